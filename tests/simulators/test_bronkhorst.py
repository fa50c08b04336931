"""The EL-FLOW simulator, byte for byte against the manual of its protocol and the library of its maker."""

import json
from typing import Any

import propar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.bronkhorst import TAU_S, ELFlow
from simulators.bronkhorst_frames import Frames, Heard, framed

MANUAL = "9.17.027, p. 22 to 26"


def controller(**options: Any) -> ELFlow:
    return ELFlow(World(), "gas", {"full_scale": "500 mL/min", **options})


def said(device: ELFlow, *bodies: str, at_s: float = 0.0, node: int = 3) -> str:
    """The bodies of its answers to these, in hexadecimal."""
    out = []
    for number, body in enumerate(bodies, 1):
        data = device.receive(framed(Heard(number, 0, b""), node, bytes.fromhex(body)), at_s)
        frames = Frames()
        heard = [one for byte in data if (one := frames.take(byte)) is not None]
        assert all(one.number == number and one.node == device.address for one in heard)
        out += [one.body.hex(" ") for one in heard]
    return " | ".join(out)


def as_in_the_manual() -> ELFlow:
    device = controller()
    device.texts |= {"serial": "Mb212345A"}
    device.capacity, device.gas = 1.0, "N2"
    device.setpoint = 0x1CD8
    device._steer(0.0)
    device.receive(b"", 60.0)
    return device


def counted() -> ELFlow:
    device = controller()
    device.counted_ml = 5023.96 * 1000.0
    return device


def half() -> ELFlow:
    device = controller()
    device.setpoint = 16000
    device._steer(0.0)
    device.receive(b"", 60.0)
    return device


ASCII = [
    (half, ":06030401210121", ":06030201213E80", MANUAL),
    (half, ":06030401210120", ":06030201213E80", MANUAL + ": measure, with the index of the setpoint"),
    (counted, ":06030468416841", ":0803026841459CFFAE", MANUAL),
    (
        as_in_the_manual, ":1A0304F1EC7163006D71660001AE0120CF014DF0017F077101710A",
        ":370302F1EC004D623231323334354100" "6D00555345525441470001AE1CD8CF3F800000F0076D6C6E2F6D696E710A"
        "4E322020202020202020", MANUAL + ": six parameters of two processes",
    ),
    (
        controller, ":1D0301800A4081C500000000C63F800000C7000000004800000000000A52", ":040300001C",
        MANUAL + ": unlocked, four constants, locked",
    ),
    (half, ":06800401210121", ":06030201213E80", "80 is the node at hand"),
    (half, ":06040401210121", "", "another node"),
    (half, ":07030401210121", ":020304", "its length contradicts itself"),
    (half, ":0603040121012", "", "half a byte"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "sent", "answer", "source"), ASCII, ids=lambda value: getattr(value, "__name__", str(value))[:40]
)
def test_ascii(made: Any, sent: str, answer: str, source: str) -> None:
    device = made()
    out = device.receive(f"{sent}\r\n".encode("ascii"), 100.0)
    assert out.decode("ascii") == (f"{answer}\r\n" if answer else ""), source


@pytest.mark.parametrize(
    ("made", "sent", "answer", "source"), ASCII, ids=lambda value: getattr(value, "__name__", str(value))[:40]
)
def test_ascii_one_byte_at_a_time(made: Any, sent: str, answer: str, source: str) -> None:
    device, out = made(), b""
    for byte in f"{sent}\r\n".encode("ascii"):
        out += device.receive(bytes([byte]), 100.0)
    assert out.decode("ascii") == (f"{answer}\r\n" if answer else ""), source


def test_binary() -> None:
    device = half()
    asked = bytes.fromhex("10 02 02 80 05 04 01 20 01 20 10 03")
    answer = bytes.fromhex("10 02 02 03 05 02 01 20 3e 80 10 03")
    assert device.receive(asked, 60.0) == answer
    assert device.receive(b"\x00\x10" + asked + asked[:5], 60.0) == answer
    assert device.receive(asked[5:], 60.0) == answer, "the rest of a frame"
    assert device.receive(b":0603" + asked, 60.0) == answer, "ASCII that breaks off"
    assert device.receive(asked[:6] + asked, 60.0) == answer, "10 02 begins anew"
    assert device.receive(b"\x10\x02" + b"x" * 300 + asked, 60.0) == answer
    wrong = bytes.fromhex("10 02 02 80 06 04 01 20 01 20 10 03")
    assert device.receive(wrong, 60.0) == bytes.fromhex("10 02 02 03 01 04 10 03"), "its length contradicts itself"
    device.setpoint = 0x1010
    setpoint = bytes.fromhex("10 02 10 10 03 05 04 01 21 01 21 10 03")
    assert device.receive(setpoint, 60.0) == bytes.fromhex("10 02 10 10 03 05 02 01 21 10 10 10 10 10 03")


@pytest.mark.parametrize("start", [b"\x10\x02", b":"])
def test_a_frame_without_end_takes_no_room(start: bytes) -> None:
    device = half()
    assert device.receive(start + b"0" * 5000, 60.0) == b"" and len(device._frames._inside) <= 516
    assert said(device, "04 01 20 01 20", at_s=60.0) == "02 01 20 3e 80"


STATUS = [
    ("04 7f 20 7f 20", "00 03 05", "no such process"),
    ("04 01 3e 01 3e", "00 04 05", "no such parameter"),
    ("04 01 00 01 00", "00 05 05", "another type"),
    ("04 01 21 01 41", "00 05 05", "two types"),
    ("04 01 41 01 21", "00 05 05", "two types"),
    ("01 01 41 3f 80 00 00", "00 05 03", "set to another type"),
    ("04 01 20 01", "00 22 02", "too short"),
    ("04 01 20 01 20 00", "00 22 05", "too long"),
    ("04 81 20 01 20", "00 22 05", "another process was announced"),
    ("01 01 21 7d 01", "00 06 05", "a setpoint above 7D00"),
    ("01 01 20 00 00", "00 0d 05", "measure is read only"),
    ("01 01 45 3f 80 00 00", "00 0d 07", "a constant, locked"),
    ("01 01 21 00", "00 22 03", "too short"),
    ("01 71 63 00 4d 31", "00 22 04", "a text without an end"),
    ("01 00 0a 41", "00 06 04", "init reset is 64 or 82"),
    ("01 68 67 04 6d 69 6c 65", "00 06 08", "no unit of volume"),
    ("07", "00 02 01", "no such command"),
    ("02 01 21 3e 80 | 04 01 21 01 21", "02 01 21 3e 80", "set without an answer"),
    ("02 01 21 7d 01 | 04 01 21 01 21", "02 01 21 00 00", "refused without an answer"),
    ("01 01 a1 3e 80 04 00", "00 00 07", "two of one process"),
    ("01 00 0a 40 | 01 01 71 00 48 65 00 | 04 01 71 01 71 04", "00 00 04 | 00 00 07 | 02 01 71 04 48 65 20 20",
     "a fluid"),
    ("01 00 0a 40 | 01 01 71 0c 41 42 43 44 45 46 47 48 49 4a 4b 4c | 04 01 71 01 71 00",
     "00 00 04 | 00 00 10 | 02 01 71 00 41 42 43 44 45 46 47 48 49 4a 00", "a long name"),
    ("01 68 67 04 6d 6c 6e 20 | 04 68 67 68 67 00", "00 00 08 | 02 68 67 00 6d 6c 6e 00", "a unit of volume"),
    ("01 21 43 42 c8 00 00 | 04 01 21 01 21 | 04 21 43 21 43", "00 00 07 | 02 01 21 19 00 | 02 21 43 42 c8 00 00",
     "a setpoint in its unit"),
    ("04 00 60 00 60 00", "02 00 60 00 07 53 4e 4d 31 32 33 34 35 36 37 38 41 00", "identification"),
    ("04 00 01 00 01", "02 00 01 03", "its node"),
]  # fmt: skip


@pytest.mark.parametrize(("bodies", "answers", "source"), STATUS, ids=lambda value: str(value)[:40])
def test_messages(bodies: str, answers: str, source: str) -> None:
    assert said(controller(), *bodies.split(" | ")) == answers, source


# --- what stands behind it --------------------------------------------------------------------------------------------


def flow_of(device: ELFlow, at_s: float) -> float:
    """In mL/min, as measured."""
    return int(said(device, "04 01 20 01 20", at_s=at_s)[9:].replace(" ", ""), 16) / 64.0


SET_100, RESET, COUNT, BATCH = "01 01 21 19 00", "01 73 08 03", "01 68 08 01", "01 68 08 02"
LIMIT_50, TO_ZERO = "01 68 43 3d 4c cc cd", "01 68 05 01"  # 0.05 of its litres


def counter_of(device: ELFlow, at_s: float) -> float:
    said(device, "04 68 41 68 41", at_s=at_s)
    return device.counted_ml


def test_the_flow_follows_the_setpoint_and_is_counted() -> None:
    device = controller()
    said(device, COUNT, SET_100)
    assert flow_of(device, TAU_S) == pytest.approx(63.2, abs=0.1)
    assert flow_of(device, 60.0) == pytest.approx(100.0, abs=0.1)
    assert counter_of(device, 60.0) == pytest.approx(100.0 - 100.0 * TAU_S / 60.0)
    assert said(device, "04 21 40 21 40", at_s=60.0) == "02 21 40 42 c8 00 00"
    said(device, "01 01 21 00 00", at_s=60.0)
    assert counter_of(device, 120.0) == pytest.approx(100.0), "what flows while the valve closes, too"
    (begun, ended) = device.world.ledger.entries
    assert (begun.act, begun.phase, ended.phase, ended.at_s) == ("flow", "begin", "end", 60.0)
    assert ended.amount == pytest.approx(99.5) and ended.unit == "mL"


def test_counting_depends_on_what_was_said_and_not_on_how_often_it_was_asked() -> None:
    devices = controller(), controller()
    for device in devices:
        said(device, BATCH, LIMIT_50, TO_ZERO, SET_100)
    for n in range(400):
        said(devices[0], "04 68 41 68 41", at_s=n / 10.0)
    for device in devices:
        said(device, "04 68 41 68 41", at_s=40.0)
    ends = [entry.at_s for device in devices for entry in device.world.ledger.entries if entry.phase == "end"]
    assert ends == [pytest.approx(30.0 + TAU_S, abs=1e-5)] * 2 and devices[0].batch and devices[1].batch
    assert devices[0].counted_ml == devices[1].counted_ml == devices[0].limit_ml == pytest.approx(50.0)


def test_at_its_limit_the_valve_closes_until_the_counter_is_reset() -> None:
    device = controller()
    said(device, BATCH, LIMIT_50, TO_ZERO, SET_100)
    assert said(device, "04 01 14 01 14", at_s=60.0) == "02 01 14 10" and flow_of(device, 60.0) == 0.0
    assert said(device, "04 01 21 01 21", at_s=60.0) == "02 01 21 19 00", "the setpoint is kept"
    said(device, RESET, at_s=60.0)
    assert said(device, "04 01 14 01 14", at_s=61.0) == "02 01 14 00" and flow_of(device, 63.0) > 99.0
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin", "end", "begin"]


def test_without_setpoint_mode_the_limit_is_only_an_alarm() -> None:
    device = controller()
    said(device, BATCH, LIMIT_50, SET_100)
    assert said(device, "04 01 14 01 14", at_s=60.0) == "02 01 14 10" and flow_of(device, 60.0) > 99.0
    assert counter_of(device, 90.0) == pytest.approx(50.0), "counting up until the limit is reached"


def test_a_counter_that_the_bus_may_not_reset_goes_on() -> None:
    device = controller()
    said(device, COUNT, SET_100, "01 68 09 03")
    said(device, RESET, at_s=60.0)
    assert counter_of(device, 60.0) > 90.0
    said(device, "01 68 09 07", "01 73 08 04", at_s=60.0)
    assert counter_of(device, 90.0) == 0.0 and device.counter_mode == 0
    said(device, "01 68 41 3f 80 00 00", at_s=90.0)
    assert counter_of(device, 90.0) == 1000.0


MODES = [(1, 0.0), (3, 0.0), (12, 0.0), (22, 0.0), (7, 500.0), (8, 655.34), (18, 100.0), (4, 100.0)]


@pytest.mark.parametrize(("mode", "flow"), MODES)
def test_control_modes(mode: int, flow: float) -> None:
    device = controller()
    said(device, SET_100)
    said(device, f"01 01 04 {mode:02x}", at_s=30.0)
    assert flow_of(device, 60.0) == pytest.approx(flow, abs=0.1)
    said(device, "01 01 04 00", at_s=60.0)
    assert flow_of(device, 90.0) == pytest.approx(100.0, abs=0.1)


def test_power_up_is_locked_at_zero_and_the_counter_goes_on() -> None:
    device = controller(analog=True)
    assert device.mode == 1
    said(device, "01 01 04 00", "01 00 0a 40", COUNT, SET_100)
    device.power_cycle(60.0)
    assert (device.mode, device.setpoint, device.init_reset) == (1, 0, 82)
    assert counter_of(device, 90.0) == pytest.approx(100.0)
    said(device, "01 00 0a 40", "01 72 0b 00", "01 73 08 05", at_s=90.0)
    assert device.mode == 0 and said(device, "04 72 0b 72 0b", at_s=90.0) == "02 72 0b 00"
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin", "end"]


def test_without_gas_nothing_flows() -> None:
    device = controller()
    said(device, COUNT, SET_100)
    device.stall(30.0)
    assert flow_of(device, 60.0) == 0.0 and counter_of(device, 60.0) == pytest.approx(50.0)


def test_a_normal_millilitre_is_a_larger_standard_one() -> None:
    device = controller()
    said(device, COUNT, SET_100)
    said(device, "01 68 67 04 6d 6c 73 20", at_s=60.0)
    answer = said(device, "04 68 41 68 41", at_s=60.0)
    assert answer.startswith("02 68 41 42 d5 92"), "106.785 mls are 99.5 mln"


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device, again = controller(), controller()
    said(device, BATCH, LIMIT_50, TO_ZERO, SET_100)
    device.receive(b"", 10.0)
    again.restore(json.loads(json.dumps(device.state())), 10.0)
    for one in (device, again):
        said(one, "04 68 41 68 41", at_s=60.0)
    assert again.counted_ml == device.counted_ml == pytest.approx(50.0) and again.batch
    assert again.world.ledger.entries[-1].amount == device.world.ledger.entries[-1].amount


# --- whatever comes, and against the maker's library ------------------------------------------------------------------


@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"\x10\x02", b"\x10\x03", b":", b"\r\n"]), max_size=30))
def test_no_bytes_whatever_bring_it_down(sent: list[bytes]) -> None:
    device = controller()
    for n, data in enumerate(sent):
        device.receive(data, float(n))
    device.receive(b"\x10\x03", 100.0)
    assert said(device, "04 00 01 00 01", at_s=100.0) == "02 00 01 03"
    assert len(device._frames._inside) <= 600


@given(st.binary(min_size=1, max_size=60))
def test_no_message_whatever_brings_it_down(body: bytes) -> None:
    device = controller()
    said(device, body.hex())
    assert said(device, "04 00 01 00 01", at_s=10.0) == "02 00 01 03"


@pytest.mark.parametrize("known", sorted(controller()._table))
def test_every_parameter_is_in_the_makers_table(known: tuple[int, int]) -> None:
    rows = propar.database().get_propar_parameter(*known)
    assert controller()._table[known].kind in {row["parm_type"] & 0x60 for row in rows}
