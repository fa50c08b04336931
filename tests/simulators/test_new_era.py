"""The NE-1000 simulator, byte for byte against the manual (1200-01, section 10) and captured traffic."""

import binascii
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.new_era import NE1000
from simulators.new_era_frames import number

SYRINGE = {"syringe": {"volume": "10 mL", "diameter": "14.43 mm"}, "stock": "10 mL"}


def pump(awake: bool = True, **options: Any) -> NE1000:
    device = NE1000(World(), "pump", SYRINGE | options)
    if awake:
        device.receive(f"{device.address}\r".encode(), 0.0)
    return device


def told(device: NE1000, *sent: bytes, at_s: float = 0.0) -> bytes:
    """The answer to the last of several commands."""
    return [device.receive(each, at_s) for each in sent][-1]


def safe(payload: bytes) -> bytes:
    return bytes([2, len(payload) + 4]) + payload + binascii.crc_hqx(payload, 0).to_bytes(2, "big") + b"\x03"


BASIC = [
    ([b"0VER\r"], b"\x0200SNE1000V3.923\x03", "captured"),
    ([b"0DIA14.43\r"], b"\x0200S\x03", "captured"),
    ([b"0DIA14.43\r", b"0DIA\r"], b"\x0200S14.43\x03", "captured"),
    ([b"0DIRINF\r"], b"\x0200S\x03", "captured"),
    ([b"0DIRWDR\r"], b"\x0200S\x03", "captured"),
    ([b"0DIRWDR\r", b"0DIR\r"], b"\x0200SWDR\x03", "manual 10.4"),
    ([b"0DIRREV\r", b"0DIR\r"], b"\x0200SWDR\x03", "manual 10.4"),
    ([b"0VOLUL\r"], b"\x0200S\x03", "captured"),
    ([b"0VOLUL\r", b"0VOL1000\r", b"0VOL\r"], b"\x0200S1000.UL\x03", "number always has a point (nesp-lib)"),
    ([b"0RAT5MM\r"], b"\x0200S\x03", "captured"),
    ([b"0RAT5MM\r", b"0RAT\r"], b"\x0200S5.000MM\x03", "manual 10.4"),
    ([b"0RAT5MM\r", b"0RAT2\r", b"0RAT\r"], b"\x0200S2.000MM\x03", "no unit keeps the unit"),
    ([b"0RAT300UH\r", b"0RAT\r"], b"\x0200S300.0UH\x03", "manual 10.4"),
    ([b"0RAT5MM\r", b"0RUN\r"], b"\x0200I\x03", "captured"),
    ([b"0DIA14.43\r", b"0DIS\r"], b"\x0200SI0.000W0.000ML\x03", "above 14.0 mm in ML"),
    ([b"0DIA14.0\r", b"0DIS\r"], b"\x0200SI0.000W0.000UL\x03", "up to 14.0 mm in UL"),
    ([b"0\r"], b"\x0200S\x03", "captured"),
    ([b"0 v e r\r"], b"\x0200SNE1000V3.923\x03", "manual 10.2.2: spaces and case are ignored"),
    ([b"VER\r"], b"\x0200SNE1000V3.923\x03", "manual 10.2: no address is address 0"),
    ([b"00VER\r"], b"\x0200SNE1000V3.923\x03", "manual 10.2: one or two digits"),
    ([b"0STP\r"], b"\x0200S?NA\x03", "nothing to stop"),
    ([b"0CLDINF\r"], b"\x0200S\x03", "manual 10.4"),
    ([b"0CLD\r"], b"\x0200S?\x03", "manual 10.4"),
    ([b"0XYZ\r"], b"\x0200S?\x03", "unknown"),
    ([b"0RATMM\r"], b"\x0200S?\x03", "no number"),
    ([b"0RAT5XX\r"], b"\x0200S?\x03", "no unit of rates"),
    ([b"0VOL12345\r"], b"\x0200S?OOR\x03", "manual 10.2.1: four digits"),
    ([b"0VOL.1234\r"], b"\x0200S?OOR\x03", "manual 10.2.1: three decimals"),
    ([b"0DIA99\r"], b"\x0200S?OOR\x03", "no such syringe"),
    ([b"0DIA0\r"], b"\x0200S?OOR\x03", "no such syringe"),
    ([b"0DIA14.43\r", b"0RAT8.341MM\r"], b"\x0200S\x03", "5.1005 cm/min"),
    ([b"0DIA14.43\r", b"0RAT8.342MM\r"], b"\x0200S?OOR\x03", "5.1005 cm/min"),
    ([b"0DIA14.43\r", b"0RAT6.88UH\r"], b"\x0200S\x03", "0.004205 cm/h"),
    ([b"0DIA14.43\r", b"0RAT6.86UH\r"], b"\x0200S?OOR\x03", "0.004205 cm/h"),
    ([b"0RUN\r"], b"\x0200S?NA\x03", "no rate yet"),
    ([b"0RUN99\r"], b"\x0200S?OOR\x03", "41 phases"),
    ([b"0PHN\r"], b"\x0200S01\x03", "manual 10.4"),
    ([b"0PHN2\r", b"0FUN\r"], b"\x0200SSTP\x03", "phase 2 is STP unless programmed"),
    ([b"0PHN2\r", b"0FUNRAT\r", b"0FUN\r"], b"\x0200SRAT\x03", "manual 10.4"),
    ([b"0FUNPAS05\r", b"0FUN\r"], b"\x0200SPAS05\x03", "manual 10.4"),
    ([b"0PHN42\r"], b"\x0200S?OOR\x03", "41 phases"),
    ([b"0FUNXXX\r"], b"\x0200S?\x03", "no such function"),
    ([b"0FUNPAS01\r", b"0RUN\r"], b"\x0200T\x03", "timed pause"),
    ([b"0FUNJMP01\r", b"0RUN\r", b"0\r"], b"\x0200A?E\x03", "a program that jumps to itself"),
    ([b"0PUR\r"], b"\x0200X\x03", "purging"),
    ([b"0SAF\r"], b"\x0200S0\x03", "manual 10.2.3"),
    ([b"0SAF256\r"], b"\x0200S?OOR\x03", "manual 10.2.3"),
    ([b"0ADR\r"], b"\x0200S00\x03", "manual 10.4"),
    ([b"0ADR07\r"], b"\x0207S\x03", "manual 10.4"),
    ([b"*ADR7\r", b"7VER\r"], b"\x0207SNE1000V3.923\x03", "manual 10.2.4: * is every pump"),
    ([b"1VER\r"], b"", "another pump's"),
    ([b"10VER\r"], b"", "another pump's"),
    ([b"0RAT1MM\r0VOL.5\r0RUN\r"], b"\x0200S\x03\x0200S\x03\x0200I\x03", "several commands in one write"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), BASIC, ids=lambda value: str(value)[:40])
def test_basic_frames(sent: list[bytes], answer: bytes, source: str) -> None:
    assert told(pump(), *sent) == answer, source


@pytest.mark.parametrize(("sent", "answer", "source"), BASIC, ids=lambda value: str(value)[:40])
def test_byte_at_a_time_is_the_same(sent: list[bytes], answer: bytes, source: str) -> None:
    whole, single = pump(), pump()
    for each in sent:
        expected = whole.receive(each, 0.0)
        assert b"".join(single.receive(bytes([byte]), 0.0) for byte in each) == expected, source


SAFE = [
    (b"\x02\x09\x30\x53\x41\x46\x30\x59\xad\x03", b"\x0200S\x03", "nesp-lib's first frame; the answer is basic"),
    (b"\x02\x08\x30\x56\x45\x52\x48\x09\x03", b"\x0200SNE1000V3.923\x03", "0VER, pump in basic mode"),
    (safe(b"0SAF30"), b"\x02\x07\x30\x30\x53\xaa\xa6\x03", "00S, as computed from the manual"),
    (b"\x02\x08\x30\x56\x45\x52\x48\x0a\x03", b"\x0200S?COM\x03", "wrong CRC"),
    (b"\x02\x08\x30\x56\x45\x52\x48\x09\x04", b"\x0200S?COM\x03", "no ETX"),
    (safe(b"1VER"), b"", "another pump's"),
    (b"\x02\x03\x30", b"", "a length that cannot be"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), SAFE, ids=lambda value: str(value)[:40])
def test_safe_frames(sent: bytes, answer: bytes, source: str) -> None:
    assert pump().receive(sent, 0.0) == answer, source
    single = pump()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def test_safe_mode_answers_safe_to_both_framings_and_ends_with_saf0() -> None:
    device = pump()
    device.receive(safe(b"0SAF30"), 0.0)
    assert device.receive(b"0VER\r", 0.0) == safe(b"00SNE1000V3.923")
    assert device.receive(safe(b"0VER"), 0.0) == safe(b"00SNE1000V3.923")
    assert device.receive(b"\x02\x08SAF0\x55\x43\x03", 0.0) == b"\x0200S\x03"  # Manual 10.2.2, bytes and all.


def test_a_gap_of_half_a_second_drops_a_safe_frame() -> None:
    device = pump()
    device.receive(b"\x02\x08\x30\x56", 0.0)
    assert device.receive(b"\x45\x52\x48\x09\x03", 0.6) == b""
    assert device.receive(b"\r0VER\r", 0.7).endswith(b"NE1000V3.923\x03")


def test_the_first_answer_after_power_up_is_the_alarm_and_the_command_is_not_done() -> None:
    device = pump(awake=False)
    assert device.receive(b"0DIA20\r", 0.0) == b"\x0200A?R\x03"
    assert device.receive(b"0DIA\r", 0.0) == b"\x0200S26.59\x03"
    device.receive(b"0RAT1MM\r0RUN\r", 0.0)
    device.power_cycle(10.0)
    assert device.receive(b"0DIS\r", 10.0) == b"\x0200A?R\x03"
    assert device.receive(b"0DIS\r", 10.0) == b"\x0200SI0.000W0.000ML\x03"


def running(rate: bytes = b"0RAT6MM\r", volume: bytes = b"0VOL1\r") -> NE1000:
    device = pump()
    told(device, b"0DIA14.43\r", volume, rate, b"0RUN\r")
    return device


def test_it_delivers_what_was_told_and_stops() -> None:
    device = running()  # 1 mL at 6 mL/min: 10 s
    assert device.receive(b"0DIS\r", 5.0) == b"\x0200II0.500W0.000ML\x03"
    assert device.receive(b"0\r", 9.999) == b"\x0200I\x03"
    assert device.receive(b"0\r", 10.0) == b"\x0200S\x03"
    assert device.receive(b"0DIS\r", 1000.0) == b"\x0200SI1.000W0.000ML\x03"
    assert [(e.at_s, e.phase, e.amount) for e in device.world.ledger.entries] == [(0, "begin", 0), (10, "end", 1000.0)]


@given(st.lists(st.floats(0.0, 12.0), max_size=20))
def test_how_often_somebody_looks_changes_nothing(looks: list[float]) -> None:
    looked_at, left_alone = running(), running()
    for at_s in sorted(looks):
        looked_at.receive(b"0DIS\r", at_s)
    last, alone = looked_at.receive(b"0DIS\r", 12.0), left_alone.receive(b"0DIS\r", 12.0)
    assert last == alone == b"\x0200SI1.000W0.000ML\x03"
    assert looked_at.world.ledger.entries[-1] == left_alone.world.ledger.entries[-1]


def test_stop_pauses_then_stops_and_run_goes_on_from_a_pause() -> None:
    device = running()
    assert device.receive(b"0STP\r", 4.0) == b"\x0200P\x03"
    assert device.receive(b"0DIS\r", 8.0) == b"\x0200PI0.400W0.000ML\x03"
    assert device.receive(b"0RUN\r", 10.0) == b"\x0200I\x03"
    assert device.receive(b"0DIS\r", 16.0) == b"\x0200SI1.000W0.000ML\x03"
    device.receive(b"0RUN\r", 20.0)
    assert device.receive(b"0STP\r", 21.0) == b"\x0200P\x03"
    assert device.receive(b"0STP\r", 21.0) == b"\x0200S\x03"
    amounts = [(e.phase, e.amount) for e in device.world.ledger.entries]
    assert amounts == [("begin", 0), ("end", 400), ("begin", 0), ("end", 600), ("begin", 0), ("end", 100)]


def test_what_cannot_be_set_while_pumping() -> None:
    device = running()
    for command in (b"DIA10", b"VOL2", b"VOLUL", b"DIRWDR", b"CLDINF", b"RAT1UM", b"PHN2", b"FUNRAT", b"RUN"):
        assert device.receive(b"0" + command + b"\r", 1.0) == b"\x0200I?NA\x03", command
    assert device.receive(b"0RAT3\r", 5.0) == b"\x0200I\x03"  # The number alone may change.
    assert device.receive(b"0\r", 14.9) == b"\x0200I\x03"
    assert device.receive(b"0\r", 15.0) == b"\x0200S\x03"


def test_setting_the_diameter_clears_both_totals() -> None:
    device = running()
    assert device.receive(b"0DIS\r", 20.0) == b"\x0200SI1.000W0.000ML\x03"
    device.receive(b"0DIA14.43\r", 20.0)
    assert device.receive(b"0DIS\r", 20.0) == b"\x0200SI0.000W0.000ML\x03"


def test_the_next_phase_runs_on_unless_it_is_stop() -> None:
    device = pump()
    told(device, b"0DIA14.43\r", b"0VOL1\r", b"0RAT6MM\r", b"0PHN2\r", b"0FUNPAS10\r", b"0PHN3\r", b"0FUNRAT\r")
    told(device, b"0RAT3MM\r", b"0VOL1\r", b"0PHN1\r", b"0RUN\r")
    assert device.receive(b"0\r", 12.0) == b"\x0200T\x03"
    assert device.receive(b"0DIS\r", 25.0) == b"\x0200II1.250W0.000ML\x03"
    assert device.receive(b"0DIS\r", 41.0) == b"\x0200SI2.000W0.000ML\x03"


def test_the_last_phase_ends_the_program() -> None:
    device = pump()
    told(device, b"0DIA14.43\r", b"0PHN41\r", b"0FUNRAT\r", b"0RAT6MM\r", b"0VOL1\r", b"0RUN41\r")
    assert device.receive(b"0DIS\r", 20.0) == b"\x0200SI1.000W0.000ML\x03"
    assert device.receive(b"0PUR\r", 20.0) == b"\x0200X\x03"


def test_an_empty_syringe_stalls_at_the_moment_it_is_empty() -> None:
    device = pump(stock="0.5 mL")
    told(device, b"0DIA14.43\r", b"0VOL1\r", b"0RAT6MM\r", b"0RUN\r")
    assert device.receive(b"0DIS\r", 60.0) == b"\x0200A?S\x03"
    assert device.receive(b"0DIS\r", 60.0) == b"\x0200SI0.500W0.000ML\x03"
    assert device.world.ledger.entries[-1].at_s == 5.0
    device.refill(9500)
    told(device, b"0RUN\r", at_s=70.0)
    assert device.receive(b"0DIS\r", 100.0) == b"\x0200SI1.500W0.000ML\x03"


def test_a_refill_says_what_stands_in_the_syringe_now() -> None:
    device = pump(stock="8 mL")
    for holds_ul, there_ml in ((2000, 2.0), (9000, 9.0), (90_000, 10.0), (0, 0.0)):
        device.refill(holds_ul)
        assert device.drive.content_ml == there_ml


def test_a_syringe_whose_diameter_nobody_gives_is_the_one_that_is_set() -> None:
    device = pump(syringe={"volume": "10 mL"})
    told(device, b"0DIA14.43\r", b"0VOL1\r", b"0RAT6MM\r", b"0RUN\r")
    assert device.receive(b"0DIS\r", 11.0) == b"\x0200SI1.000W0.000ML\x03"
    assert device.world.ledger.entries[-1].amount == pytest.approx(1000.0)


def test_a_full_syringe_withdraws_nothing() -> None:
    device = pump()
    assert told(device, b"0RAT5MM\r", b"0DIRWDR\r", b"0RUN\r") == b"\x0200W\x03"
    assert device.receive(b"0\r", 1.0) == b"\x0200A?S\x03"


def test_a_blocked_plunger_stalls() -> None:
    device = running()
    device.stall(3.0)
    assert device.receive(b"0\r", 3.0) == b"\x0200A?S\x03"
    assert device.receive(b"0DIS\r", 3.0) == b"\x0200SI0.300W0.000ML\x03"


def test_a_wrong_diameter_moves_more_liquid_than_it_says() -> None:
    device = pump()
    told(device, b"0DIA7.215\r", b"0VOLUL\r", b"0VOL1000\r", b"0RAT1MM\r", b"0RUN\r")
    assert device.receive(b"0DIS\r", 60.0) == b"\x0200SI1000.W0.000UL\x03"
    assert device.world.ledger.entries[-1].amount == pytest.approx(4000.0)


def test_the_watchdog_stops_a_pump_that_hears_nothing_and_says_so() -> None:
    device = pump()
    told(device, b"0DIA14.43\r", b"0VOL0\r", b"0RAT6MM\r", safe(b"0SAF10"), b"0RUN\r")
    assert device.due(0.0) == 10.0
    assert device.receive(b"", 9.9) == b""
    assert device.receive(b"", 50.0) == safe(b"00A?T")
    assert device.receive(b"0\r", 51.0) == safe(b"00A?T")
    assert device.receive(b"0DIS\r", 51.0) == safe(b"00SI1.000W0.000ML")


def test_a_burst_starts_several_pumps_at_one_moment() -> None:
    world = World()
    devices = [NE1000(world, f"pump_{n}", SYRINGE | {"address": n}) for n in range(3)]
    for n, device in enumerate(devices):
        told(device, b"%d\r" % n, b"%dDIA14.43\r" % n, b"%dRAT1MM\r" % n, b"%dVOL.1\r" % n)
    answers = [device.receive(b"0RUN*1RUN*2RUN*\r", 5.0) for device in devices]
    assert answers == [b"\x0200I\x03", b"\x0201I\x03", b"\x0202I\x03"]
    assert [entry.at_s for entry in world.ledger.entries] == [5.0, 5.0, 5.0]


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device = running()
    device.receive(b"0\r", 4.0)
    kept = json.loads(json.dumps(device.state()))
    again = NE1000(World(), "pump", SYRINGE)
    again.restore(kept, 4.0)
    assert again.receive(b"0DIS\r", 5.0) == b"\x0200II0.500W0.000ML\x03"
    assert again.receive(b"0DIS\r", 50.0) == b"\x0200SI1.000W0.000ML\x03"
    assert again.world.ledger.entries[-1].amount == pytest.approx(1000.0)


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 100)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = pump(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    device.receive(b"\r", at_s + 1)
    answer = device.receive(b"\r*RESET\r" + safe(b"0SAF0") + b"0VER\r*ADR0\r", at_s + 2)
    assert b"\x02" in answer


COMMANDS = "DIA VOL VOLUL VOLML RAT DIR DIRINF DIRREV RUN STP PUR DIS CLDINF PHN FUN FUNPAS FUNJMP FUNRAT SAF VER"


@given(st.lists(st.tuples(st.sampled_from(COMMANDS.split()), st.text("0123456789.MU", max_size=5)), max_size=40))
def test_no_commands_whatever_bring_it_down(said: list[tuple[str, str]]) -> None:
    device = pump()
    for n, (command, argument) in enumerate(said):
        answer = device.receive(f"0{command}{argument}\r".encode(), n * 7.0)
        assert answer[:1] == b"\x02" and answer[-1:] == b"\x03"
        assert 0.0 <= device.drive.content_ml <= 10.0 + 1e-9


@given(st.floats(0, 9999.4))
def test_numbers_have_four_digits_and_a_point(value: float) -> None:
    text = number(value)
    assert "." in text and len(text) == 5
    assert math.isclose(float(text), value, rel_tol=6e-4, abs_tol=6e-4)
