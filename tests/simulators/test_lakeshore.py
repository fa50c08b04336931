"""The 336 simulator, byte for byte against captured traffic and the manuals; and the cryostat behind it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.cryostat import COLD_K, CONDUCTANCE_W_K, STEP_S, Cryostat
from simulators.lakeshore import LS336, six


def controller(**options: Any) -> LS336:
    device = LS336(World(), "cryostat", {"spacing": 0} | options)
    device.receive(b"*CLS\n", 0.0)
    return device


EXCHANGES = [
    (b"\n", b"", "captured: the first thing the maker's client says"),
    (b"*IDN?\n", b"LSCI,MODEL336,LSA1234/#######,2.9\r\n", "captured; without an option card"),
    (b"*IDN?\r\n", b"LSCI,MODEL336,LSA1234/#######,2.9\r\n", "a CR in front of LF"),
    (b"KRDG? A;*ESR?\n", b"+4.20000;000\r\n", "captured"),
    (b"SETP 1,77.0;*ESR?\n", b"000\r\n", "captured"),
    (b"SETP 1,77.0;*ESR?\nSETP? 1;*ESR?\n", b"000\r\n+77.0000;000\r\n", "captured"),
    (b"RANGE 1,3;*ESR?\n", b"000\r\n", "captured"),
    (b"RANGE 1,3\nRANGE? 1\n", b"3\r\n", "a command alone is silent"),
    (b"NONSENSE\n*ESR?\n*ESR?\n", b"032\r\n000\r\n", "not understood; reading clears"),
    (b"NONSENSE? A\n", b"", "what is not understood is not answered"),
    (b"SETP 7,1;*ESR?\n", b"016\r\n", "not possible: no such output"),
    (b"SETP 1,hot;*ESR?\n", b"016\r\n", "not possible: no number"),
    (b"SETP 1,-5;*ESR?\n", b"016\r\n", "not possible: below zero"),
    (b"RANGE 3,2;*ESR?\n", b"016\r\n", "outputs 3 and 4 are on or off"),
    (b"RAMP 1,1,10.5;RAMP? 1\n", b"1,+010.5\r\n", "335 manual p. 122"),
    (b"RAMP 1,1,200;*ESR?\n", b"016\r\n", "335 manual p. 122: up to 100 K/min"),
    (b"RAMPST? 1\n", b"0\r\n", "335 manual p. 122"),
    (b"PID 1,40,27,0;PID? 1\n", b"+0040.0,+0027.0,+0000.0\r\n", "325 manual 6-31"),
    (b"RDGST? A;RDGST? C\n", b"000;001\r\n", "350 manual p. 154: a sensor, and none"),
    (b"KRDG? 0\n", b"+4.20000,+4.20000,+0.00000,+0.00000\r\n", "captured: all inputs"),
    (b"CRDG? A\n", b"-268.950\r\n", "331 manual: Celsius"),
    (b"KRDG? X;*ESR?\n", b"016\r\n", "no such input"),
    (b"HTR? 1;HTRST? 1\n", b"+000.0;0\r\n", "331 manual: format +nnn.n"),
    (b"OUTMODE 1,1,2,0;:OUTMODE? 1\n", b"1,2,0\r\n", "the maker's client joins with ;:"),
    (b"TLIMIT A,300;TLIMIT? A\n", b"+300.0000\r\n", "the cut-out"),
    (b"INNAME A,\"stage\"\nINNAME? A\n", b"stage\r\n", "a name"),
    (b"intype? a\n", b"1,0,0,0,1\r\n", "no case"),
    (b"MODE 2;MODE?\n", b"2\r\n", "kept and told"),
    (b"MODE;*ESR?\n", b"016\r\n", "nothing to keep"),
    (b"X" * 3000 + b"\n*IDN?\n", b"LSCI,MODEL336,LSA1234/#######,2.9\r\n", "an endless line is one message"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert controller().receive(sent, 0.0) == answer, source
    single = controller()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def test_a_message_that_comes_within_fifty_milliseconds_is_lost() -> None:
    device = controller(spacing="50 ms")
    assert device.receive(b"*IDN?\nKRDG? A\n", 1.0).count(b"\r\n") == 1
    assert device.receive(b"KRDG? A\n", 1.049) == b""
    assert device.receive(b"KRDG? A\n", 1.099) == b"+4.20000\r\n", "50 ms after the one that was lost"
    assert device.receive(b"KRD", 1.12) == b"" and device.receive(b"G? A\n", 1.3) == b"", "its begin counts"
    quick = LS336(World(speed=60.0), "cryostat", {})
    assert quick.receive(b"\n", 1.0) == b"" and quick.receive(b"*IDN?\n", 3.9) == b"" and quick.receive(b"*IDN?\n", 7.0)


def test_power_on_is_told_once() -> None:
    device = LS336(World(), "cryostat", {"spacing": 0})
    assert device.receive(b"*ESR?;*ESR?\n", 0.0) == b"128;000\r\n"


SIX = [(4.2009, "+4.20090"), (77.0, "+77.0000"), (299.8762, "+299.876"), (0.0, "+0.00000"), (-3.5, "-3.50000")]


@pytest.mark.parametrize(("value", "text"), SIX)
def test_six_digits(value: float, text: str) -> None:
    assert six(value) == text


def reading(device: LS336, question: bytes, at_s: float) -> float:
    return float(device.receive(question + b"\n", at_s))


def test_the_stage_is_heated_and_held_and_the_sample_follows() -> None:
    device = controller()
    device.receive(b"SETP 1,77;RANGE 1,3\n", 0.0)
    assert reading(device, b"HTR? 1", 10.0) == 100.0
    early = [reading(device, b"KRDG? A", 20.0), reading(device, b"KRDG? B", 20.0)]
    assert 4.2 < early[1] < early[0] < 30.0
    assert reading(device, b"KRDG? A", 900.0) == pytest.approx(77.0, abs=0.01)
    assert reading(device, b"KRDG? B", 900.0) == pytest.approx(77.0, abs=0.01)
    assert reading(device, b"HTR? 1", 900.0) == pytest.approx((77.0 - COLD_K) * CONDUCTANCE_W_K / 50.0 * 100.0, abs=0.2)
    device.receive(b"RANGE 1,0\n", 900.0)
    assert reading(device, b"KRDG? A", 9000.0) == pytest.approx(COLD_K, abs=0.01)
    assert [(e.act, e.phase, e.at_s, e.unit) for e in device.world.ledger.entries] == [
        ("hold", "begin", 0.0, "K"),
        ("hold", "end", 900.0, "K"),
    ]


def test_a_low_range_cannot_hold_it() -> None:
    device = controller()
    device.receive(b"SETP 1,77;RANGE 1,1\n", 0.0)
    assert reading(device, b"KRDG? A", 1e5) == pytest.approx(COLD_K + 0.5 / CONDUCTANCE_W_K, abs=0.01)


def test_a_ramp_moves_the_setpoint_and_says_so() -> None:
    device = controller(start="77 K")
    device.receive(b"SETP 1,77;RAMP 1,1,6;RANGE 1,3;SETP 1,100\n", 0.0)
    assert (
        reading(device, b"SETP? 1", 60.0) == pytest.approx(83.0, abs=0.2) and reading(device, b"RAMPST? 1", 60.0) == 1
    )
    assert reading(device, b"SETP? 1", 300.0) == 100.0 and reading(device, b"RAMPST? 1", 300.0) == 0


def test_above_its_limit_it_switches_its_outputs_off_when_that_happens_and_not_when_somebody_looks() -> None:
    device = controller()
    device.receive(b"TLIMIT A,50;SETP 1,77;RANGE 1,3;RANGE 2,1\n", 0.0)
    assert device.receive(b"RANGE? 1;RANGE? 2\n", 5000.0) == b"0;0\r\n"
    ended = device.world.ledger.entries[-1]
    assert ended.phase == "end" and 30.0 < ended.at_s < 120.0
    assert reading(device, b"KRDG? A", 5000.0) < 6.0


def test_a_broken_wire_and_power_that_went_and_came() -> None:
    device = controller()
    device.receive(b"SETP 1,77;RANGE 1,3\n", 0.0)
    device.stall(100.0)
    assert device.receive(b"RANGE? 1;HTRST? 1;HTRST? 1\n", 101.0) == b"0;1;0\r\n"
    device.receive(b"RANGE 1,3\n", 102.0)
    device.power_cycle(200.0)
    assert device.receive(b"RANGE? 1;SETP? 1;*ESR?\n", 201.0) == b"0;+77.0000;128\r\n"


@given(st.lists(st.floats(0, 400), max_size=20))
def test_how_often_somebody_looks_changes_nothing(looks: list[float]) -> None:
    looked_at, alone = controller(), controller()
    said = [(0.0, b"SETP 1,20;RANGE 1,3\n"), (100.0, b"RAMP 1,1,5;SETP 1,25\n"), (300.0, b"RANGE 1,0\n")]
    for at_s, data in sorted([*said, *((look, b"KRDG? A\n") for look in looks)], key=lambda each: each[0]):
        looked_at.receive(data, at_s)
    for at_s, data in said:
        alone.receive(data, at_s)
    asked = b"KRDG? A;KRDG? B;HTR? 1\n"
    assert looked_at.receive(asked, 401.0) == alone.receive(asked, 401.0)


def test_a_leap_of_a_month_is_a_leap() -> None:
    cryostat = Cryostat()
    cryostat.loop.most_w, steps = 50.0, 0
    cryostat.aim(77.0)
    step = cryostat._step

    def counted() -> None:
        nonlocal steps
        steps += 1
        step()

    cryostat._step = counted  # type: ignore[method-assign]
    cryostat.go(30 * 86400.0)
    assert steps < 20_000 and cryostat.stage_k == pytest.approx(77.0, abs=1e-6)
    assert cryostat.at_s == 30 * 86400.0 - 30 * 86400.0 % STEP_S


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device = controller()
    device.receive(b"SETP 1,77;RAMP 1,1,5;TLIMIT A,200;RANGE 1,3;SETP 1,90\n", 0.0)
    device.receive(b"", 50.0)
    again = controller()
    again.restore(json.loads(json.dumps(device.state())), 50.0)
    asked = b"KRDG? A;SETP? 1;RAMPST? 1;RANGE? 1;TLIMIT? A;HTR? 1\n"
    assert again.receive(asked, 400.0) == device.receive(asked, 400.0)


@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 100)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = controller(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    assert device.receive(b"\n*IDN?\n", at_s + 1).endswith(b",2.9\r\n")


WORDS = "SETP RANGE RAMP PID OUTMODE MOUT TLIMIT KRDG? RDGST? HTRST? RAMPST? INTYPE INNAME? *ESR? *RST MODE HTRSET"


@given(st.lists(st.tuples(st.sampled_from(WORDS.split()), st.text("0123456789.,-ABC", max_size=8)), max_size=30))
def test_no_commands_whatever_bring_it_down(said: list[tuple[str, str]]) -> None:
    device = controller()
    for n, (command, parameters) in enumerate(said):
        device.receive(f"{command} {parameters};*ESR?\n".encode(), n * 5.0)
    assert device.receive(b"*IDN?\n", 1e4).endswith(b",2.9\r\n")
