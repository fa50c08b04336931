"""No wish, however hostile, gets a byte out of the envelope onto the wire: in process and over real ports alike.

What arrives is judged by what the bytes mean in the instruments' manuals, read here anew and without labloop's codecs.
"""

import math
import os
import re
import select
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reach import ROOT

from labloop.bench import Amount, Envelope, InProcessLink, Port, Wish, open_lab
from labloop.campaign.errors import LabloopError
from labloop.campaign.spec import read_lab, spec_from_dict
from labloop.runner.admission import Admission, OutOfStock
from labloop.runner.benches import simulation_plan
from labloop.runner.clock import VirtualClock
from labloop.simulation.bench import SimulatedBench
from tests.patience import patient_port

LAB = f"""
labloop: 1
root: {ROOT}
instruments:
  pump:
    driver: drivers.new_era:NE1000
    simulator: simulators.new_era:NE1000
    port: serial:///dev/pump?baud=19200
    syringe: {{volume: 10 mL, diameter: 14.43 mm}}
  plate:
    driver: drivers.ika:RCT
    simulator: simulators.ika:RCT
    port: serial:///dev/plate?baud=9600
    watchdog: 60 s
limits:
  - plate: {{temperature: {{max: 80.06 degC, min: 10 degC}}, speed: {{max: 600 rpm}}}}
  - plate.temperature <= 50 degC when solvent == DCM
  - pump: {{rate: {{max: 1.5 mL/min}}, volume: {{max: 400 uL}}, time: {{max: 20 s}}}}
totals:
  flask: {{of: pump.dispense, max: 3 mL}}
"""
SPEC = {"parameters": {"solvent": {"choices": ["DCM", "DMF"]}}, "outcomes": {"y": {"goal": "maximize", "from": "told"}}}
UL_MIN = {"UM": 1.0, "MM": 1e3, "UH": 1.0 / 60.0, "MH": 1e3 / 60.0}

PUMP_WORDS = re.compile(r"|VER|DIA.*|VOL|VOLUL|PHN[12]|FUN.*|SAF0?|DIS|RAT|DIR(INF|WDR)?|STP|CLD(INF|WDR)")


class Judge:
    """Reads what arrives as the manuals say, and keeps what was asked of matter."""

    def __init__(self, dcm: bool) -> None:
        self.hottest = 50.0 if dcm else 80.06
        self.said: dict[str, bytes] = {"pump": b"", "plate": b""}
        self.pumped_ul = 0.0
        self.rate = self.volume = math.nan

    def hear(self, line: str, data: bytes) -> None:
        said = self.said[line] + data
        while b"\r" in said:
            message, _, said = said.partition(b"\r")
            text = message.decode("ascii").strip()
            self.plate(text) if line == "plate" else self.pump(re.sub(r"^\d+", "", text))
        self.said[line] = said

    def plate(self, text: str) -> None:
        if match := re.fullmatch(r"OUT_SP_1 (.*)", text):
            assert 10.0 <= float(match[1]) <= self.hottest, text
        elif match := re.fullmatch(r"OUT_SP_4 (.*)", text):
            assert 50.0 <= float(match[1]) <= 600.0, text
        else:
            assert re.fullmatch(r"IN_\w+|STATUS_[14]|ST(ART|OP)_[14]|OUT_WD1@60|OUT_WD2@0", text) or not text, text

    def pump(self, text: str) -> None:
        if match := re.fullmatch(r"RAT([\d.]+)(UM|MM|UH|MH)", text):
            self.rate = float(match[1]) * UL_MIN[match[2]]
            assert 0.0 < self.rate <= 1500.0, text
        elif match := re.fullmatch(r"VOL([\d.]+)", text):
            self.volume = float(match[1])  # in uL, as configure() has set it; 0 would mean without end
            assert 0.0 < self.volume <= 400.0, text
        elif text == "RUN":
            assert self.rate <= 1500.0 and 0.0 < self.volume <= 400.0, "it runs as it was told last"
            self.pumped_ul += self.volume
            assert self.pumped_ul <= 3000.5
        else:
            assert PUMP_WORDS.fullmatch(text), text


class Overheard:
    def __init__(self, line: Any, name: str, judge: Judge) -> None:
        self._line, self._name, self._judge = line, name, judge

    def receive(self, data: bytes, now_s: float) -> bytes:
        self._judge.hear(self._name, data)
        said: bytes = self._line.receive(data, now_s)
        return said

    def due(self, now_s: float) -> float | None:
        due_s: float | None = self._line.due(now_s)
        return due_s


class Wire:
    """A simulated line behind a real pty, on the virtual clock of the bench."""

    def __init__(self, line: Overheard, clock: VirtualClock) -> None:
        self.master, self.slave = os.openpty()
        for end in (self.master, self.slave):
            tty.setraw(end)
        self.path = os.ttyname(self.slave)
        self._line, self._clock, self.wrong = line, clock, list[BaseException]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.is_set():
            ready, _, _ = select.select([self.master], [], [], 0.002)
            try:
                answer = self._line.receive(os.read(self.master, 4096) if ready else b"", self._clock.now_s())
            except AssertionError as error:
                self.wrong.append(error)
                continue
            if answer:
                os.write(self.master, answer)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    (path / "lab.yaml").write_text(LAB)
    return path


NUMBERS = st.one_of(
    st.floats(), st.floats(-500.0, 500.0), st.integers(), st.sampled_from([10**400, -0.0, 1e-320, 80.0000001, 353.15])
)
VALUES = st.one_of(NUMBERS, NUMBERS, st.text(max_size=12), st.booleans(), st.sampled_from(["80", "RUN\r0STP", "NaN"]))
UNITS = st.sampled_from(["", "degC", "K", "degF", "uL/min", "mL/min", "L/h", "uL", "mL", "s", "min", "h", "rpm", "kg"])
NAMES = st.sampled_from(["temperature", "time", "tolerance", "reach_by", "speed", "rate", "volume", "colour", ""])
SETTINGS = st.dictionaries(NAMES, st.builds(Amount, VALUES, UNITS), max_size=4)
LIKELY = st.one_of(
    st.fixed_dictionaries(
        {"rate": st.builds(Amount, st.floats(0.0, 5.0), st.just("mL/min")),
         "volume": st.builds(Amount, st.floats(0.0, 900.0), st.just("uL"))}
    ),
    st.fixed_dictionaries({"temperature": st.builds(Amount, st.floats(-20.0, 320.0), st.just("degC"))}),
    st.fixed_dictionaries({"temperature": st.builds(Amount, st.floats(80.0, 80.1), st.just("degC"))}),
    st.fixed_dictionaries({"speed": st.builds(Amount, st.floats(0.0, 2000.0), st.just("rpm"))}),
)  # fmt: skip
ACTIONS = st.sampled_from(
    ["dispense", "withdraw", "hold", "heat", "stir", "off", "stop", "configure", "pump.dispense", "__init__", ""]
)
WISHES = st.lists(
    st.builds(
        Wish, instrument=st.sampled_from(["pump", "plate"]), action=ACTIONS, settings=st.one_of(SETTINGS, LIKELY)
    ),
    min_size=1, max_size=14,
)  # fmt: skip


def wish_all(folder: Path, wishes: list[Wish], dcm: bool, *, real: bool) -> Judge:
    """Ask for everything, and begin whatever is let through; what was heard."""
    spec = read_lab(folder / "lab.yaml")
    clock, judge = VirtualClock(), Judge(dcm)
    bench = SimulatedBench(simulation_plan(spec), clock)
    heard = {
        spec.instruments[name].port: Overheard(bench.lines[spec.instruments[name].port], name, judge)
        for name in spec.instruments
    }
    admission = Admission(Envelope(spec, spec_from_dict(SPEC)), clock)
    admission.wished = lambda trial: {"solvent": "DCM" if dcm else "DMF"}
    with ExitStack() as stack:
        wires = [Wire(line, clock) for line in heard.values()] if real else []
        paths = dict(zip(heard, wires, strict=False))

        def connect(address: str) -> Port:
            if real:
                return patient_port(f"serial://{paths[address].path}?baud=9600")
            return Port(InProcessLink(address, heard[address], clock), inline=True)

        for wire in wires:
            stack.callback(wire.close)
        lab = open_lab(spec, connect)
        stack.callback(lab.close)
        lab.open()
        lab.configure()
        for number, wish in enumerate(wishes):
            station = lab.instruments[wish.instrument]
            act = f"act-{number}"
            try:
                admission.stage([wish], 1)
                permit = admission.permit(wish, 1)
                admission.totals.begin(act, wish.instrument, wish.action, wish.settings)
                station.port.submit(lambda station=station, permit=permit, act=act: station.begin(permit, act)).result()
            except (LabloopError, OutOfStock):
                pass  # refused, or the driver has found something to say; anything else is a defect
            clock.advance_to(clock.now_s() + 30.0)
        assert lab.safe() == []
        for wire in wires:
            assert not wire.wrong, wire.wrong[0]
    return judge


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WISHES, st.booleans())
def test_nothing_hostile_reaches_a_simulated_wire(folder: Path, wishes: list[Wish], dcm: bool) -> None:
    wish_all(folder, wishes, dcm, real=False)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WISHES, st.booleans())
def test_nothing_hostile_reaches_a_real_wire(folder: Path, wishes: list[Wish], dcm: bool) -> None:
    wish_all(folder, wishes, dcm, real=True)


def good() -> Iterator[Wish]:
    for n in range(10):
        yield Wish(
            instrument="pump", action="dispense", settings={"rate": Amount(1.2, "mL/min"), "time": Amount(19, "s")}
        )
        yield Wish(instrument="plate", action="heat", settings={"temperature": Amount(20.0 + n, "degC")})


def test_what_is_inside_goes_through_so_the_judge_hears_something(folder: Path) -> None:
    judge = wish_all(folder, list(good()), True, real=False)
    assert judge.pumped_ul == pytest.approx(7 * 380.0), "and the eighth would have been too much for the flask"
    with pytest.raises(AssertionError):
        judge.plate("OUT_SP_1 50.5")
