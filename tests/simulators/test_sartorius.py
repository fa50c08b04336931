"""The SBI balance, byte for byte against its manual and recorded traffic."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.sartorius import ADJUSTS_S, AUTOPRINT_S, SBI


def balance(**options: Any) -> SBI:
    return SBI(World(), "balance", options)


LOADED = b"N     +   12.500 g  \r\n"
EMPTY = b"N     +    0.000 g  \r\n"
EXCHANGES = [
    (b"\x1bP\r\n", LOADED, "manual: 22 characters"),
    (b"\x1bP", LOADED, "manual: CR LF is optional (sartorius 0.7.1 sends none)"),
    (b"\x1bx1_", b"MSE1203S-100-DR     \r\n", "recorded"),
    (b"\x1bx2_\r\n", b"0037402012          \r\n", "manual"),
    (b"\x1bx3_", b"00-39-21            \r\n", "manual"),
    (b"\x1bT", b"", "silent"),
    (b"\x1bT\x1bP", EMPTY, "tare or zero"),
    (b"\x1bU\x1bP", EMPTY, "tare"),
    (b"\x1bV\x1bP", EMPTY, "zero, within 24 g"),
    (b"\x1bO\x1bR\x1bK\x1bN\x1bm1_\x1bf5_", b"", "silent"),
    (b"\x1by9_\x1b;\x1bp\x1bP", LOADED, "unknown is silent; ESC begins anew"),
    (b"P\r\n", b"", "no ESC"),
    (b"\x1b" + b"x" * 60 + b"\x1bP", LOADED, "20 characters at most"),
    (b"\x1bP\x1bP\x1bx2_", LOADED + LOADED + b"0037402012          \r\n", "several in one write"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert balance(load="12.5 g").receive(sent, 0.0) == answer, source
    single = balance(load="12.5 g")
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


@pytest.mark.parametrize("load_g", [0.0, 12.5, -3.25, 1100.0, 5000.0, -500.0])
@pytest.mark.parametrize(("lines", "length"), [(22, 22), (16, 16)])
def test_every_line_has_its_length(load_g: float, lines: int, length: int) -> None:
    device = balance(load=load_g, lines=lines)
    assert len(device.receive(b"\x1bP", 0.0)) == length
    device.pan.place(1.0, 1.0)
    assert len(device.receive(b"\x1bP", 1.1)) == length
    assert len(device.receive(b"\x1bZ\x1bP", 1.2)) == length


def test_specials() -> None:
    assert balance(load="1300 g").receive(b"\x1bP", 0.0) == b"Stat       High     \r\n"
    assert balance(load="-100 g").receive(b"\x1bP", 0.0) == b"Stat       Low      \r\n"
    device = balance()
    assert device.receive(b"\x1bZ\x1bP", 0.0) == b"Stat     Cal.Int.   \r\n"
    assert device.receive(b"\x1bP", ADJUSTS_S + 0.1) == EMPTY
    assert device.receive(b"\x1bZ\x1bs3_\x1bP", 60.0) == EMPTY


def test_the_unit_is_blank_until_the_weight_is_stable_and_a_tare_waits_for_that() -> None:
    device = balance()
    device.pan.place(50.0, 10.0)
    assert device.receive(b"\x1bT\x1bP", 10.5).startswith(b"N     +   40.5")
    assert device.receive(b"\x1bP", 10.5).endswith(b"    \r\n")
    assert device.tare_g == 0.0
    due_s = device.due(10.5)
    assert due_s is not None and 12.0 < due_s < 15.0
    assert device.receive(b"\x1bP", due_s) == EMPTY
    assert device.tare_g == pytest.approx(50.0, abs=3e-3)


def test_zero_outside_its_range_does_nothing_and_tare_tares() -> None:
    device = balance(load="100 g")
    assert device.receive(b"\x1bV\x1bP", 0.0) == b"N     +  100.000 g  \r\n"
    assert device.receive(b"\x1bT\x1bP", 1.0) == EMPTY
    assert (device.zero_g, device.tare_g) == (0.0, 100.0)


def test_with_stability_print_waits() -> None:
    device = balance(print="stable")
    device.pan.place(5.0, 0.0)
    assert device.receive(b"\x1bP\x1bx2_", 0.1) == b"0037402012          \r\n"
    assert device.receive(b"", 1.0) == b""
    assert device.receive(b"", 10.0).endswith(b" g  \r\n")
    assert device.receive(b"", 20.0) == b""


def test_autoprint_runs_from_power_up_until_print_and_again_after_zero() -> None:
    device = balance(autoprint=True)
    assert device.receive(b"", 1.0).count(b"N     +    0.000 g  \r\n") == round(1.0 / AUTOPRINT_S) + 1
    between = device.receive(b"\x1bx1_", 1.05)
    assert between == b"MSE1203S-100-DR     \r\n"
    assert device.receive(b"\x1bP", 1.1) == EMPTY
    assert device.receive(b"", 60.0) == b""
    assert device.receive(b"\x1bV", 61.0) == b""
    assert device.receive(b"", 62.1).count(b"\r\n") == 5


def test_power_up_takes_what_stands_there_as_zero() -> None:
    device = balance(load="12.5 g")
    device.power_cycle(10.0)
    assert device.receive(b"\x1bP", 11.0) == EMPTY


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device, again = balance(load="3 g", print="stable"), balance(print="stable")
    device.receive(b"\x1bU", 0.0)
    device.pan.place(1.0, 10.0)
    device.receive(b"\x1bP", 10.0)
    again.restore(json.loads(json.dumps(device.state())), 10.0)
    assert again.receive(b"", 20.0) == device.receive(b"", 20.0) != b""


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 10)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = balance(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    device.receive(b"\x1bs3_", at_s)
    device.receive(b"", at_s + 10)
    assert device.receive(b"\x1bx2_", at_s + 10).endswith(b"0037402012          \r\n")
    assert device._command is None or len(device._command) <= 20
