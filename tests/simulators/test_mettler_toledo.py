"""The MT-SICS balance, byte for byte against its manuals (11781363, 30324923) and recorded traffic."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.mettler_toledo import MTSICS, REPEAT_S, STABLE_WITHIN_S


def balance(**options: Any) -> MTSICS:
    return MTSICS(World(), "balance", options)


LOADED = b"S S    12.5000 g\r\n"
EXCHANGES = [
    (b"I4\r\n", b'I4 A "B123456789"\r\n', "captured, and recorded on a WXS205SDU"),
    (b"@\r\n", b'I4 A "B123456789"\r\n', "recorded: the reset answers as I4"),
    (b"I1\r\n", b'I1 A "01" "2.30" "2.22" "" ""\r\n', "recorded"),
    (b"I2\r\n", b'I2 A "XS205DU Excellence 220.0000 g"\r\n', "captured"),
    (b"S\r\n", LOADED, "captured: ten characters, a blank, the unit"),
    (b"SI\r\n", LOADED, "captured: the response is called S"),
    (b"ZI\r\n", b"ZI +\r\n", "12.5 g are outside the zero range of 4.4 g"),
    (b"T\r\n", b"T S    12.5000 g\r\n", "manual"),
    (b"TI\r\nS\r\n", b"TI S    12.5000 g\r\nS S     0.0000 g\r\n", "manual: net is above tare"),
    (b"TA\r\n", b"TA A     0.0000 g\r\n", "manual"),
    (b"TA 2.5 g\r\nSI\r\n", b"TA A     2.5000 g\r\nS S    10.0000 g\r\n", "manual: a known tare is set"),
    (b"TA 2.5\r\n", b"TA L\r\n", "manual: wrong parameter"),
    (b"TA 500 g\r\n", b"TA L\r\n", "manual: wrong parameter"),
    (b"TI\r\nTAC\r\nSI\r\n", b"TI S    12.5000 g\r\nTAC A\r\n" + LOADED, "manual"),
    (b'D "hello"\r\n', b"D A\r\n", "manual"),
    (b"D hello\r\n", b"D L\r\n", "manual"),
    (b"DW\r\n", b"DW A\r\n", "manual"),
    (b"M21 0 0\r\n", b"M21 A\r\n", "PyLabRobot's first word to a WXS205SDU: gram"),
    (b"M21 0 3\r\n", b"M21 L\r\n", "this one has grams only"),
    (b'I10 "My Balance"\r\nI10\r\n', b'I10 A\r\nI10 A "My Balance"\r\n', "InstrumentKit"),
    (b'I10\r\nI10 "' + b"x" * 21 + b'"\r\n', b'I10 A ""\r\nI10 L\r\n', "InstrumentKit: twenty characters"),
    (b"si\r\n", b"ES\r\n", "manual: capitals only"),
    (b"SI 3\r\n", b"ES\r\n", "manual: no parameter"),
    (b"SC 1000\r\n", b"ES\r\n", "recorded: not on every balance"),
    (b"NONSENSE\r\n", b"ES\r\n", "manual"),
    (b"X" * 200 + b"\r\nI4\r\n", b'ES\r\nI4 A "B123456789"\r\n', "a line that is too long"),
    (b"\r\n", b"", "an empty line"),
    (b"I4\r\nTA\r\nSI\r\n", b'I4 A "B123456789"\r\nTA A     0.0000 g\r\n' + LOADED, "several in one write"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert balance(load="12.5 g").receive(sent, 0.0) == answer, source
    single = balance(load="12.5 g")
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def test_the_list_of_commands_ends_with_a() -> None:
    *lines, last = balance().receive(b"I0\r\n", 0.0).split(b"\r\n")[:-1]
    assert lines[0] == b'I0 B 0 "I0"' and all(line.startswith(b"I0 B ") for line in lines) and last == b'I0 A 2 "M21"'
    said = balance()
    for line in [*lines, last]:
        name = line.split()[-1].strip(b'"')
        assert b"ES" not in said.receive(name + b"\r\n", 0.0), name
        said.receive(b"@\r\n", 0.0)


def test_a_moving_pan_is_dynamic_and_s_waits_for_it() -> None:
    device = balance()
    device.receive(b"", 100.0)
    device.pan.place(10.0, 100.0)
    assert device.receive(b"SI\r\n", 100.5).startswith(b"S D     8.111")
    assert device.receive(b"TI\r\n", 100.5).startswith(b"TI D ")
    device.receive(b"TAC\r\n", 100.5)
    assert device.receive(b"S\r\n", 100.5) == b""
    due_s = device.due(100.5)
    assert due_s is not None and 103.0 < due_s < 105.0
    assert device.receive(b"", due_s - 0.01) == b""
    answer = device.receive(b"", due_s)
    assert answer.startswith(b"S S    10.000") or answer.startswith(b"S S     9.999")


@pytest.mark.parametrize("command", [b"S", b"Z", b"T"])
def test_what_waits_gives_up_and_meanwhile_everything_but_reset_is_not_executable(command: bytes) -> None:
    device = balance()
    device.pan.place(1.0, 0.0)
    assert device.receive(command + b"\r\n", 0.0) == b""
    assert device.receive(b"SI\r\nI2\r\n", 0.1) == b"S I\r\nI2 I\r\n"
    for n in range(1, 50):
        device.pan.place(0.5 if n % 2 else -0.5, float(n))
        if answer := device.receive(b"", n + 0.5):
            break
    assert answer == command + b" I\r\n" and n + 0.5 >= STABLE_WITHIN_S
    device.receive(command + b"\r\n", n + 0.6)
    device.pan.place(5.0, n + 0.6)
    device.receive(command + b"\r\n", n + 0.6)
    assert device.receive(b"@\r\n", n + 0.7) == b'I4 A "B123456789"\r\n'
    assert device.receive(b"", n + 100.0) == b""


def test_repeating_goes_on_until_the_next_command() -> None:
    device = balance(load="1 g")
    assert device.receive(b"SIR\r\n", 0.0) == b"S S     1.0000 g\r\n"
    assert device.due(0.0) == REPEAT_S
    assert device.receive(b"", 1.0) == 10 * b"S S     1.0000 g\r\n"
    assert device.receive(b"TA\r\n", 1.05) == b"TA A     0.0000 g\r\n"
    assert device.receive(b"", 9.0) == b""


def test_zero_clears_the_tare_within_its_range() -> None:
    device = balance(load="2 g")
    assert device.receive(b"T\r\nZ\r\nTA\r\nSI\r\n", 0.0) == (
        b"T S     2.0000 g\r\nZ A\r\nTA A     0.0000 g\r\nS S     0.0000 g\r\n"
    )
    device.pan.place(-7.0, 0.0)
    assert device.receive(b"ZI\r\n", 60.0) == b"ZI -\r\n"
    assert device.receive(b"TI\r\n", 60.0) == b"TI -\r\n"


def test_overload_and_underload() -> None:
    device = balance()
    device.pan.place(230.0, 0.0)
    assert device.receive(b"SI\r\nS\r\nT\r\n", 60.0) == b"S +\r\nS +\r\nT +\r\n"
    device.pan.place(-260.0, 60.0)
    assert device.receive(b"SI\r\n", 120.0) == b"S -\r\n"


def test_power_up_says_who_it_is_and_takes_what_stands_there_as_zero() -> None:
    device = balance(load="12.5 g")
    device.receive(b"TI\r\n", 0.0)
    device.power_cycle(10.0)
    assert device.receive(b"SI\r\n", 11.0) == b"", "it is deaf until it has found its zero"
    assert device.due(11.0) == 13.0
    assert device.receive(b"", 13.0) == b'I4 A "B123456789"\r\n'
    assert device.receive(b"TA\r\nSI\r\n", 14.0) == b"TA A     0.0000 g\r\nS S     0.0000 g\r\n"


def test_readability_and_capacity() -> None:
    device = balance(readability="10 mg", capacity="4.2 kg", model="MS4002S", load="1 kg", serial="C9")
    assert device.receive(b"I2\r\nSI\r\nI4\r\n", 0.0) == (
        b'I2 A "MS4002S 4200.00 g"\r\nS S    1000.00 g\r\nI4 A "C9"\r\n'
    )


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device, again = balance(load="3 g"), balance()
    device.receive(b"T\r\n", 0.0)
    device.pan.place(1.0, 10.0)
    device.receive(b"S\r\n", 10.0)
    again.restore(json.loads(json.dumps(device.state())), 10.0)
    assert again.receive(b"", 20.0) == device.receive(b"", 20.0) != b""
    assert again.receive(b"TA\r\n", 20.0) == b"TA A     3.0000 g\r\n"


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 10)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = balance(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    device.receive(b"\r\n@\r\n", at_s)
    assert device.receive(b"I4\r\n", at_s + 1) == b'I4 A "B123456789"\r\n'
    assert len(device._line) <= 100
