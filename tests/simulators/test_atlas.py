"""The EZO pH simulator against its datasheet (V6.1), its beaker against hand-made chemistry."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.atlas import EzoPh
from simulators.beaker import WATER, Beaker, nernst_mv

DATASHEET = "EZO pH datasheet V6.1, UART mode"
IDEAL = {"beaker": {"slope": 100.0, "zero": "0 V"}}


def circuit(**options: Any) -> EzoPh:
    return EzoPh(World(), "ph", IDEAL | options)


def quiet(**options: Any) -> EzoPh:
    """With continuous mode off."""
    device = circuit(**options)
    device.receive(b"C,0\r", 0.0)
    return device


def ask(device: EzoPh, data: bytes, at_s: float = 0.0, for_s: float = 0.0) -> bytes:
    """What it says to this at once and within some seconds."""
    said, until_s = device.receive(data, at_s), at_s + for_s
    while (due_s := device.due(at_s)) is not None and due_s <= until_s:
        at_s = due_s
        said += device.receive(b"", at_s)
    return said


EXCHANGES = [
    (b"i\r", b"?i,pH,2.16\r*OK\r", DATASHEET),
    (b"I\r", b"?i,pH,2.16\r*OK\r", "capitals do not matter"),
    (b"Status\r", b"?Status,P,5.038\r*OK\r", DATASHEET),
    (b"C,?\r", b"?C,0\r*OK\r", DATASHEET),
    (b"C,5\rC,?\r", b"*OK\r?C,5\r*OK\r", "two at once"),
    (b"T,25.0\rT,?\r", b"*OK\r?T,25\r*OK\r", DATASHEET),
    (b"T,19.5\rT,?\r", b"*OK\r?T,19.5\r*OK\r", DATASHEET),
    (b"*OK,?\r", b"?*OK,1\r*OK\r", DATASHEET),
    (b"*OK,0\ri\r", b"?i,pH,2.16\r", f"{DATASHEET}: response codes off"),
    (b"*OK,0\rnonsense\r", b"*ER\r", "the maker's Ezo_uart_lib, which ends *OK, looks for *ER"),
    (b"RT\rRT,warm\rT,?\r", b"*ER\r*ER\r?T,25\r*OK\r", "no temperature"),
    (b"*OK,0\r*OK,1\r", b"*OK\r", "on again"),
    (b"L,?\rL,0\rL,?\r", b"?L,1\r*OK\r*OK\r?L,0\r*OK\r", DATASHEET),
    (b"Name,left\rName,?\r", b"*OK\r?Name,left\r*OK\r", DATASHEET),
    (b"Name,seventeen_letters\r", b"*ER\r", f"{DATASHEET}: 16 at most"),
    (b"Cal,?\rSlope,?\r", b"?Cal,0\r*OK\r?Slope,100.0,100.0,0.00\r*OK\r", "never calibrated"),
    (b"Sleep\r", b"*SL\r", DATASHEET),
    (b"Factory\r", b"*OK\r*RS\r*RE\r", DATASHEET),
    (b"nonsense\r", b"*ER\r", DATASHEET),
    (b"C,100\r", b"*ER\r", f"{DATASHEET}: 99 at most"),
    (b"T,warm\r", b"*ER\r", DATASHEET),
    (b"*OK,2\r", b"*ER\r", DATASHEET),
    (b"i,1\r", b"*ER\r", DATASHEET),
    (b"Slope\r", b"*ER\r", DATASHEET),
    (b"Cal,low,4.00\r", b"*ER\r", "no middle: our reading"),
    (b"\r\r", b"", "nothing is asked"),
]


@pytest.mark.parametrize("sent, said, source", EXCHANGES)
def test_exchanges(sent: bytes, said: bytes, source: str) -> None:
    assert ask(quiet(), sent, for_s=0.9) == said


@pytest.mark.parametrize("sent, said, source", EXCHANGES)
def test_one_byte_at_a_time_is_the_same(sent: bytes, said: bytes, source: str) -> None:
    device = quiet()
    found = b"".join(device.receive(sent[n : n + 1], 0.0) for n in range(len(sent)))
    assert found + ask(device, b"", for_s=0.9) == said


def test_at_power_up_it_speaks_every_second() -> None:
    device = circuit()
    said = ask(device, b"", for_s=5.5).split(b"\r")
    assert len(said) == 6 and all(float(one) == pytest.approx(7.0, abs=0.002) for one in said[:5])
    assert ask(device, b"C,0\r", 5.6, for_s=10.0) == b"*OK\r"


def test_a_reading_takes_800_ms_and_what_comes_meanwhile_waits() -> None:
    device = quiet()
    assert ask(device, b"R\ri\r", for_s=0.79) == b""
    reading, *rest = ask(device, b"", 0.81).split(b"\r")
    assert float(reading) == pytest.approx(7.0, abs=0.002) and rest == [b"*OK", b"?i,pH,2.16", b"*OK", b""]


def test_a_reading_at_a_temperature_takes_as_long_and_leaves_it_set() -> None:
    """As the maker's Ezo_uart_lib asks for one."""
    device = quiet(beaker={"slope": 100.0, "zero": "0 V", "ph": 4.0})
    assert ask(device, b"rt,60.000\r", for_s=0.79) == b""
    assert ask(device, b"T,?\r", 0.79, for_s=0.02).endswith(b"*OK\r?T,60\r*OK\r")
    plain = ask(device, b"R\r", 5.0, for_s=0.8)
    assert abs(float(plain.split(b"\r")[0]) - float(ask(device, b"RT,60\r", 10.0, for_s=0.8).split(b"\r")[0])) < 0.003
    assert float(ask(device, b"RT,25\r", 15.0, for_s=0.8).split(b"\r")[0]) < float(plain.split(b"\r")[0]) - 0.1


def test_any_byte_wakes_it_and_is_lost_with_its_line() -> None:
    device = quiet()
    ask(device, b"Sleep\r")
    assert ask(device, b"i\r", 5.0) == b"*WA\r" and ask(device, b"i\r", 6.0) == b"?i,pH,2.16\r*OK\r"


def test_the_middle_forgets_the_other_points() -> None:
    device = quiet()
    for point in (b"mid,7.00", b"low,4.00", b"high,10.00"):
        assert ask(device, b"Cal," + point + b"\r", device.now_s, for_s=1.0) == b"*OK\r"
    assert ask(device, b"Cal,?\r", device.now_s) == b"?Cal,3\r*OK\r"
    ask(device, b"Cal,mid,7.00\r", device.now_s, for_s=1.0)
    assert ask(device, b"Cal,?\r", device.now_s) == b"?Cal,1\r*OK\r"
    assert ask(device, b"Cal,clear\rCal,?\r", device.now_s) == b"*OK\r?Cal,0\r*OK\r"


@pytest.mark.parametrize("ph", [2.0, 5.0, 7.0, 9.0, 12.0])
def test_a_calibrated_circuit_shows_what_a_poor_probe_stands_in(ph: float) -> None:
    device = EzoPh(World(), "ph", {"beaker": {"slope": 91.0, "zero": "-14 mV", "settles": "1 s"}})
    device.receive(b"C,0\r", 0.0)
    for point, buffer in (("mid", 7.02), ("low", 4.01), ("high", 10.06)):
        device.beaker.dip(buffer, device.now_s)
        ask(device, f"Cal,{point},{buffer}\r".encode(), device.now_s + 30.0, for_s=1.0)
    assert ask(device, b"Slope,?\r", device.now_s) == b"?Slope,91.0,91.0,-14.00\r*OK\r"
    device.beaker.dip(ph, device.now_s)
    assert device.shows_ph(device.beaker.mv(device.now_s + 30.0)) == pytest.approx(ph, abs=0.001)


def test_it_says_no_more_than_14_and_no_less_than_a_thousandth() -> None:
    device = quiet()
    for ph, said in ((-1.0, b"0.001"), (15.0, b"14.000")):
        device.beaker.dip(ph, device.now_s)
        assert ask(device, b"R\r", device.now_s + 60.0, for_s=1.0) == said + b"\r*OK\r"


def test_power_forgets_the_temperature_alone() -> None:
    device = quiet()
    ask(device, b"T,60\rName,left\rCal,mid,7\r", for_s=2.0)
    device.power_cycle(10.0)
    assert ask(device, b"C,?\rT,?\rName,?\rCal,?\r", 10.0) == (
        b"*RS\r*RE\r?C,0\r*OK\r?T,25\r*OK\r?Name,left\r*OK\r?Cal,1\r*OK\r"
    )


def test_looking_changes_nothing() -> None:
    often, seldom = quiet(), quiet()
    for device in (often, seldom):
        device.beaker.dip(4.0, 1.0)
    for n in range(2, 60):
        ask(often, b"R\r", n, for_s=0.9)
    assert ask(often, b"R\r", 61.0, for_s=0.9) == ask(seldom, b"R\r", 61.0, for_s=0.9)


def test_its_state_is_json_and_goes_on_in_the_next_process() -> None:
    device = quiet(beaker={"ph": 5.0})
    ask(device, b"T,60\rName,left\rCal,mid,5\r", for_s=2.0)
    device.beaker.dip(8.0, 3.0)
    kept = json.loads(json.dumps(device.state()))
    again = quiet(beaker={"ph": 5.0})
    again.restore(kept, 3.0)
    for said in (b"T,?\r", b"Name,?\r", b"Slope,?\r", b"C,?\r"):
        assert ask(again, said, 3.0) == ask(device, said, 3.0)
    assert again.beaker.mv(5.0) == device.beaker.mv(5.0)


@given(st.lists(st.tuples(st.binary(max_size=80), st.floats(0, 3)), max_size=12))
def test_any_bytes_at_any_time_are_survived(said: list[tuple[bytes, float]]) -> None:
    device, now_s = circuit(), 0.0
    for data, wait_s in said:
        now_s += wait_s
        device.receive(data, now_s)
    assert len(device._line) <= 64 and len(device._waiting) <= 16
    device.asleep, device.codes = False, True
    assert b"?i,pH,2.16\r*OK\r" in ask(device, b"\ri\r", now_s + 30.0, for_s=30.0)


WORDS = [b"C", b"R", b"T", b"Cal", b"mid", b"low", b"7", b"-1", b"?", b"*OK", b"Slope", b"Name", b"", b"1e9", b"Sleep"]


@given(st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4), max_size=12))
def test_any_words_are_answered_or_refused(lines: list[list[bytes]]) -> None:
    device = quiet()
    for n, words in enumerate(lines):
        ask(device, b",".join(words) + b"\r", 10.0 * n, for_s=5.0)


# --- the beaker ------------------------------------------------------------------------------------------------------


@given(st.floats(1.5, 12.5), st.floats(0.0, 0.2), st.floats(3.0, 11.0))
def test_a_beaker_has_the_ph_that_it_was_given(ph: float, buffer_m: float, pka: float) -> None:
    beaker = Beaker(World(), {"ph": ph, "buffer": f"{buffer_m * 1e3:.6f} mM", "pka": pka})
    assert beaker.ph() == pytest.approx(ph, abs=1e-6)


def dosed(microlitres: float, **options: Any) -> float:
    world = World()
    beaker = Beaker(world, {"catches": {"pump": options.pop("strength")}} | options)
    world.ledger.begin(1.0, "pump", "dispense", microlitres, "uL")
    world.ledger.end(2.0, "pump", "dispense", microlitres, "uL")
    beaker.catch()
    return beaker.ph()


def test_unbuffered_water_takes_the_strength_of_what_comes() -> None:
    assert dosed(5000.0, strength="-100 mM", buffer="0 mM", volume="45 mL") == pytest.approx(2.0, abs=1e-3)
    assert dosed(5000.0, strength="100 mM", buffer="0 mM", volume="45 mL") == pytest.approx(12.0, abs=1e-3)


def test_half_neutralised_is_the_pka() -> None:
    """50 mL of 10 mM acid at pH 3.6 (0.0063 mmol dissociated, no base) and half as much base."""
    acid = 4.8
    start = -math.log10(math.sqrt(10**-acid * 0.01))
    assert dosed(2500.0, strength="100 mM", ph=start, pka=acid) == pytest.approx(acid, abs=0.02)


def test_the_electrode_is_nernst() -> None:
    beaker = Beaker(World(), {"ph": 4.0, "slope": 95.0, "zero": "8 mV", "temperature": "50 degC"})
    assert beaker.mv(0.0) == pytest.approx(8.0 + 0.95 * nernst_mv(50.0) * 3.0) and nernst_mv(25.0) == 59.16
    beaker.dip(7.0, 10.0)
    assert beaker.mv(12.0) == pytest.approx(8.0 + 0.95 * nernst_mv(50.0) * 3.0 * math.exp(-1.0))


def test_water_alone_is_neutral() -> None:
    assert Beaker(World(), {"buffer": "0 mM"}).ph() == pytest.approx(-0.5 * math.log10(WATER))


@pytest.mark.parametrize("options", [{"colour": "red"}, {"slope": 0}, {"volume": "0 mL"}, {"zero": "3 s"}])
def test_a_beaker_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Beaker(World(), options)
