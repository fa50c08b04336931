"""What the envelope lets through is inside the limits on the wire too: rounded, reckoned from others, by another name.

The bytes are read as the instruments' manuals say, here anew and without the drivers' own codecs.
"""

import json
import random
import re
import struct

import pytest

from labloop.bench import Amount, Envelope
from labloop.campaign.spec import lab_from_dict
from tests.drivers.rigs import Rig
from tests.drivers.stand import FOLDER, shipped, stand_of

DRIVERS = {driver.__name__: driver for driver in shipped()}


def text_of(sent):
    return b"".join(sent).decode("latin-1")


def numbers(pattern, sent, factor=1.0):
    return [float(one) * factor for one in re.findall(pattern, text_of(sent))]


def ne1000(sent):
    per_min = {"UM": 1.0, "MM": 1e3, "UH": 1.0 / 60.0, "MH": 1e3 / 60.0}
    rates = [float(one) * per_min[unit] for one, unit in re.findall(r"RAT([\d.]+)([UM][MH])", text_of(sent))]
    return {"rate": rates, "volume": numbers(r"VOL([\d.]+)", sent)}  # in uL, as configure() has set it


def e3216(sent):
    """Function 6 on register 26, tenths of a degree here."""
    return {"temperature": [int.from_bytes(one[4:6], "big") / 10.0 for one in sent if one[1:4] == b"\x06\x00\x1a"]}


def xcalibur(sent):
    """A stroke of 1 mL has 24000 steps and 6000 half-steps, and it stands at the middle."""
    moved = [abs(place - 12_000.0) / 24.0 for place in numbers(r"A(\d+)R", sent)]
    return {"volume": moved, "rate": numbers(r"V(\d+)I", sent, 1000.0 / 6000.0 * 60.0)}


def k2400(sent):
    found = {"voltage": numbers(r":SOUR:VOLT ([-\d.E+]+)", sent), "current": numbers(r":SOUR:CURR ([-\d.E+]+)", sent)}
    return found | {
        "voltage_limit": numbers(r":VOLT:PROT ([-\d.E+]+)", sent),
        "current_limit": numbers(r":CURR:PROT ([-\d.E+]+)", sent),
    }


def elflow(sent):
    """A setpoint (process 1, parameter 1) in 32000ths of 500 mL/min; 10 hex is doubled on the line."""
    told = [one.replace(b"\x10\x10", b"\x10") for one in sent]
    setpoints = [match[1] for one in told for match in re.finditer(rb"\x01\x01\x21(..)\x10\x03", one, re.DOTALL)]
    limits = [match[1] for one in told for match in re.finditer(rb"\x01\x68\x43(....)\x10\x03", one, re.DOTALL)]
    return {
        "rate": [int.from_bytes(one, "big") / 32_000.0 * 500.0 for one in setpoints if any(one)],  # 0 before a dose
        "volume": [struct.unpack(">f", one)[0] for one in limits],
    }


def emstat(sent):
    """What the cell is set to and swept to; m, u and n are prefixes."""
    factors = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
    sweeps = re.findall(r"meas_loop_(?:cv p c (\S+) (\S+) (\S+)|ca p c (\S+))|set_e (\S+)", text_of(sent))
    levels = [one for sweep in sweeps for one in sweep if one]
    volts = [float(one.rstrip("mun")) * factors[one.lstrip("-0123456789")] for one in levels]
    return {"potential": volts, "begin": [], "vertex1": [], "vertex2": []}


def leco(name):
    def read(sent):
        told = [json.loads(part) for message in sent for part in message if part.startswith(b'{"')]
        return [float(value) for one in told for value in _values(one, name)]

    return read


def _values(node, name):
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == name)
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _values(inner, name)


# By driver: how what it says is read, what else its lab file says, and its acts: settings, and those that are bounded.
READ = {
    "NE1000": ne1000,
    "RCT": lambda sent: {"temperature": numbers(r"OUT_SP_1 (\S+)", sent), "speed": numbers(r"OUT_SP_4 (\S+)", sent)},
    "E3216": e3216,
    "XCalibur": xcalibur,
    "Circulator": lambda sent: {"temperature": numbers(r"OUT_SP_00 (\S+)\r", sent)},
    "KA3005P": lambda sent: {
        "voltage": numbers(r"VSET1:(\d\d\.\d\d)", sent), "current": numbers(r"ISET1:(\d\.\d{3})", sent),
    },
    "K2400": k2400,
    "LS336": lambda sent: {
        "temperature": numbers(r"SETP 1,([\d.]+)", sent), "ramp": numbers(r"RAMP 1,1,([\d.]+)", sent),
    },
    "MC": lambda sent: {"rate": numbers(r"AS([\d.]+)\r", sent)},
    "ELFlow": elflow,
    "Stage": lambda sent: {axis: numbers(rf"\$J=\S*{axis.upper()}(-?[\d.]+)", sent) for axis in "xy"}
    | {"feed": numbers(r"\$J=\S*F(\d+)", sent)},
    "SpinCoater": lambda sent: {"speed": numbers(r"S(\d+)\n", sent), "time": numbers(r"G4P([\d.]+)\nM5", sent)},
    "EmStatPico": emstat,
    "EzoPh": lambda sent: {"temperature": numbers(r"T,([\d.]+)\r", sent), "ph": numbers(r"Cal,mid,([\d.]+)\r", sent)},
    "Spectrometer": lambda sent: {"integration": leco("integration_time_ms")(sent)},
    "LecoActor": lambda sent: {"temperature": leco("setpoint_c")(sent), "thickness": leco("thickness_nm")(sent)},
}  # fmt: skip
SAYS_NO_NUMBER = {"Actuator", "MTSICS", "SBI"}  # a place by its name; how long a person lets it weigh
OPTIONS = {"E3216": {"control": "remote"}, "MC": {"unit": "SCCM"}}
SIMULATION = {"NE1000": {"stock": "9 mL"}, "E3216": {"control": "remote"}}
# driver, action, {setting: from, to} of all that are given; the bounded ones stand behind.
ACTS = [
    ("NE1000", "dispense", {"rate": (100.0, 5000.0), "time": (1.0, 50.0)}, ("rate", "volume")),
    ("NE1000", "withdraw", {"rate": (0.5, 20_000.0), "volume": (1.0, 900.0)}, ("rate", "volume")),
    ("RCT", "heat", {"temperature": (20.0, 200.0)}, ("temperature",)),
    ("RCT", "stir", {"speed": (60.0, 1200.0)}, ("speed",)),
    ("E3216", "hold", {"temperature": (30.0, 900.0), "time": (1.0, 9.0)}, ("temperature",)),
    ("XCalibur", "aspirate", {"volume": (1.0, 400.0), "rate": (600.0, 50_000.0)}, ("volume", "rate")),
    ("Circulator", "control", {"temperature": (5.0, 90.0)}, ("temperature",)),
    ("KA3005P", "switch_on", {"voltage": (0.1, 30.0), "current": (0.01, 5.0)}, ("voltage", "current")),
    ("K2400", "source_voltage", {"voltage": (0.001, 20.0), "current_limit": (1e-6, 0.1)}, ("voltage", "current_limit")),
    ("K2400", "source_current", {"current": (1e-9, 1e-3), "voltage_limit": (0.1, 20.0)}, ("current", "voltage_limit")),
    ("K2400", "sweep_voltage",
     {"start": (0.1, 1.0), "stop": (1.1, 5.0), "step": (1.0, 2.0), "current_limit": (0.01, 0.1)}, ("voltage",)),
    ("LS336", "control", {"temperature": (80.0, 300.0), "ramp": (0.1, 90.0)}, ("ramp",)),
    ("LS336", "control", {"temperature": (80.0, 300.0)}, ("temperature",)),
    ("MC", "flow", {"rate": (1.0, 490.0)}, ("rate",)),
    ("ELFlow", "flow", {"rate": (1.0, 490.0)}, ("rate",)),
    ("ELFlow", "dose", {"volume": (5.0, 500.0), "rate": (10.0, 490.0)}, ("rate", "volume")),
    ("Stage", "move", {"x": (-190.0, -1.0), "y": (-190.0, -1.0), "feed": (100.0, 2900.0)}, ("x", "y", "feed")),
    ("SpinCoater", "spin", {"speed": (300.0, 5900.0), "time": (1.0, 9.0), "spread_speed": (300.0, 5900.0)},
     ("speed", "time")),
    ("EmStatPico", "cyclic_voltammogram",
     {"begin": (-0.2, 0.1), "vertex1": (0.2, 0.6), "vertex2": (-0.3, 0.1), "scan_rate": (0.02, 0.1)}, ("potential",)),
    ("EmStatPico", "chronoamperogram", {"potential": (-1.0, 1.0), "time": (1.0, 2.0)}, ("potential",)),
    ("EzoPh", "measure", {"temperature": (5.0, 90.0)}, ("temperature",)),
    ("Spectrometer", "measure", {"integration": (1.0, 900.0)}, ("integration",)),
    ("LecoActor", "heat", {"temperature": (21.0, 290.0)}, ("temperature",)),
    ("LecoActor", "deposit", {"thickness": (1.0, 400.0)}, ("thickness",)),
]  # fmt: skip
TRIES = 4


def test_every_driver_is_looked_at():
    assert {driver for driver, *_ in ACTS} == READ.keys() and READ.keys() | SAYS_NO_NUMBER == DRIVERS.keys()


@pytest.mark.parametrize("name, action, ranges, bounded", ACTS, ids=[f"{one[0]}.{one[1]}.{one[3][0]}" for one in ACTS])
def test_what_is_let_through_is_inside_on_the_wire_too(name, action, ranges, bounded):
    driver, draw, let_through = DRIVERS[name], random.Random(f"{name}{action}"), dict.fromkeys(bounded, 0)
    for setting in bounded:
        for _ in range(TRIES):
            let_through[setting] += bounded_alone(driver, action, ranges, setting, draw)
    assert all(let_through.values()), f"{let_through}: of each so many were not refused, or nothing was tried"


def bounded_alone(driver, action, ranges, name, draw):
    """One odd limit on one setting, and acts at it and near it: how many were let through, and what the wire says."""
    given = {setting: draw.uniform(*ends) for setting, ends in ranges.items()}
    limit = draw.uniform(*ranges[name]) if name in ranges else expected_of(driver, action, given, name)
    sign = draw.choice(("min", "max"))
    stand = stand_of(driver)
    options = {**stand.options, **OPTIONS.get(driver.__name__, {})}
    module = driver.__module__
    lab = {
        "labloop": 1,
        "instruments": {"it": {"driver": f"{module}:{driver.__name__}", "port": stand.port, **options}},
        "limits": {"it": {name: {sign: limit}}},
    }
    envelope, passed = Envelope(lab_from_dict(lab, FOLDER.parent)), 0
    units = {one.name: one.unit for one in envelope.action("it", action).settings}
    extra = {"port": Amount("cell")} if driver.__name__ == "XCalibur" else {}
    inside = -1.0 if sign == "max" else 1.0
    for far in (0.0, 1e-5, 1e-3, 0.3):
        wanted = {one: Amount(value, units[one]) for one, value in given.items()} | extra
        for one in [name] if name in ranges else ranges:
            from_, to = ranges[one]
            near = limit if name in ranges else given[one]
            wanted[one] = Amount(min(max(near + inside * far * abs(near), from_), to), units[one])
        if envelope.complaints("it", action, wanted):
            continue
        passed += 1
        rig = Rig(driver, simulation=SIMULATION.get(driver.__name__), **OPTIONS.get(driver.__name__, {})).ready()
        heard = len(rig.sent)
        rig.begin(action, **{one: (amount.value, amount.unit) for one, amount in wanted.items()})
        if action == "sweep_voltage":
            rig.finish()
        said = READ[driver.__name__](rig.sent[heard:])[name]
        assert said, f"{driver.__name__}.{action}: {name} is not seen on the wire"
        slack = 2e-6 * abs(limit)
        for level in said:
            assert level <= limit + slack if sign == "max" else level >= limit - slack, (wanted, sign, limit, said)
    return passed


def expected_of(driver, action, given, name):
    """Where a setting has no range of its own, a limit in the middle of what its act does."""
    if name == "volume":
        return given["rate"] * given["time"] / 60.0
    ends = [value for one, value in given.items() if one in ("start", "stop", "begin", "vertex1", "vertex2")]
    return max(ends)


def test_a_pump_that_is_asked_for_nothing_is_said_nothing():
    """A volume of 0 takes no time, and no limit on times forbids it."""
    stand = stand_of(DRIVERS["NE1000"])
    pump = {"driver": "drivers.new_era:NE1000", "port": stand.port, **stand.options}
    lab = {"labloop": 1, "instruments": {"it": pump}, "limits": ["it.time >= 2 s"]}
    envelope = Envelope(lab_from_dict(lab, FOLDER.parent))
    for volume_ul, refused in ((0.0, 0), (1.0, 1), (5.0, 0)):
        wanted = {"rate": Amount(60.0, "uL/min"), "volume": Amount(volume_ul, "uL")}
        assert len(envelope.complaints("it", "dispense", wanted)) == refused
