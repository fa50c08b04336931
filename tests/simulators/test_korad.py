"""The KA3005P simulator, byte for byte against what is published of its protocol."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.korad import GAP_S, KA3005P

SIGROK = "sigrok wiki, Korad KAxxxxP series"


def supply(**options: Any) -> KA3005P:
    return KA3005P(World(), "supply", options)


def said(device: KA3005P, *commands: bytes, at_s: float = 0.0) -> bytes:
    """What it answers to commands with a pause of 50 ms between them."""
    out = b""
    for n, command in enumerate(commands):
        out += device.receive(command, at_s + 0.05 * n)
    return out + device.receive(b"", at_s + 0.05 * len(commands))


EXCHANGES = [
    ([b"*IDN?"], b"KORADKA3005PV2.0\0", "recorded, libsigrok #269: 17 bytes"),
    ([b"VSET1:12.50", b"VSET1?"], b"12.50", "captured from koradctl 0.8"),
    ([b"VSET1:5", b"VSET1?"], b"05.00", SIGROK + ": fixed length"),
    ([b"ISET1:0.125", b"ISET1?"], b"0.125", SIGROK),
    (
        [b"*IDN?", b"ISET1:0.125", b"ISET1?"],
        b"KORADKA3005PV2.0\x000.125K",
        SIGROK + ": the sixth character of the name",
    ),
    ([b"VSET1:99", b"VSET1?"], b"31.00", SIGROK + ": up to 31.00 V"),
    ([b"ISET1:9", b"ISET1?"], b"5.100", SIGROK + ": up to 5.100 A"),
    ([b"STATUS?"], b"\x11", "EEVblog: CV, beep"),
    ([b"VSET1:1.00", b"ISET1:1", b"OUT1", b"STATUS?"], b"Q", "EEVblog, captured"),
    ([b"VSET1:5", b"ISET1:0.1", b"OUT1", b"STATUS?"], b"\x50", "constant current"),
    ([b"OCP1", b"STATUS?"], b"\x31", SIGROK + ": 20"),
    ([b"OVP1", b"BEEP0", b"STATUS?"], b"\x21", SIGROK + ": 20"),
    ([b"VSET1:5", b"ISET1:1", b"OUT1", b"VOUT1?", b"IOUT1?"], b"05.000.500", SIGROK),
    ([b"VSET1:5", b"ISET1:0.1", b"OUT1", b"VOUT1?", b"IOUT1?"], b"01.000.100", "the current is held"),
    ([b"VSET1:5", b"ISET1:1", b"VOUT1?", b"IOUT1?"], b"00.000.000", "off"),
    ([b"VSET1:5", b"SAV1", b"VSET1:7", b"RCL1", b"VSET1?"], b"05.00", SIGROK),
    ([b"VSET1:12.50ISET1:0.125", b"VSET1?", b"ISET1?"], b"00.000.000", "two without a pause are lost"),
    ([b"VSET1:12.50\r\n", b"VSET1?"], b"00.00", "no line ends"),
    ([b"vset1?"], b"", "capitals"),
    ([b"NONSENSE?"], b"", "unknown is silent"),
    ([b"X" * 500, b"VSET1?"], b"00.00", "noise ends with a pause"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:60])
def test_exchanges(sent: list[bytes], answer: bytes, source: str) -> None:
    assert said(supply(), *sent) == answer, source


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:60])
def test_byte_by_byte_at_the_lines_rate_is_the_same(sent: list[bytes], answer: bytes, source: str) -> None:
    device, out, at_s = supply(), b"", 0.0
    for command in sent:
        for n in range(len(command)):
            at_s += 10 / 9600
            out += device.receive(command[n : n + 1], at_s)
        at_s += 0.05
        out += device.receive(b"", at_s)
    assert out == answer, source


def test_an_answer_comes_after_the_silence_that_ends_its_command() -> None:
    device = supply()
    assert device.receive(b"VSET", 0.0) == b"" and device.receive(b"1?", 0.02) == b""
    assert device.due(0.02) == pytest.approx(0.02 + GAP_S)
    assert device.receive(b"", 0.04) == b"" and device.receive(b"", 0.02 + GAP_S) == b"00.00"
    assert device.due(1.0) is None


def test_a_faster_bench_keeps_the_pause_of_the_wall() -> None:
    device = KA3005P(World(speed=60.0), "supply", {})
    device.receive(b"VSET1:12.50", 0.0)
    assert device.receive(b"VSET1?", 1.0) == b"" and device.receive(b"", 10.0) == b"", "glued: 17 ms on the wall"
    device.receive(b"VSET1?", 20.0)
    assert device.receive(b"", 22.0) == b"00.00"


def test_a_cell_draws_what_its_own_voltage_leaves() -> None:
    device = supply(emf="1.2 V", resistance="2 ohm")
    assert said(device, b"VSET1:1.00", b"ISET1:1", b"OUT1", b"IOUT1?") == b"0.000"
    assert said(device, b"VSET1:2.20", b"IOUT1?", b"VOUT1?", at_s=1.0) == b"0.50002.20"
    assert said(device, b"VSET1:9.00", b"IOUT1?", b"VOUT1?", b"STATUS?", at_s=2.0) == b"1.00003.20P"


def test_the_ledger_has_the_charge_that_really_flowed() -> None:
    device = supply()
    said(device, b"VSET1:5", b"ISET1:1", b"OUT1", at_s=0.0)
    said(device, b"VSET1:10", at_s=10.0)
    said(device, b"ISET1:0.2", at_s=20.0)
    said(device, b"OUT0", at_s=30.0)
    begun, ended = device.world.ledger.entries
    assert (begun.act, begun.at_s, ended.unit) == ("apply", 0.13, "C")
    assert ended.at_s == 30.03 and ended.amount == pytest.approx(9.9 * 0.5 + 10.0 * 1.0 + 10.0 * 0.2, abs=1e-3)


def test_over_current_protection_switches_off() -> None:
    device = supply()
    assert said(device, b"OCP1", b"VSET1:5", b"ISET1:0.1", b"OUT1", b"STATUS?") == b"\x31"
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin", "end"]


def test_power_up_is_off_and_keeps_the_set_values() -> None:
    device = supply()
    said(device, b"*IDN?", b"VSET1:5", b"ISET1:1", b"OUT1")
    device.power_cycle(10.0)
    assert said(device, b"STATUS?", b"VSET1?", b"ISET1?", at_s=11.0) == b"\x1105.001.000"
    assert [entry.phase for entry in device.world.ledger.entries] == ["begin", "end"]


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device, again = supply(), supply()
    said(device, b"VSET1:5", b"ISET1:1", b"OUT1", b"SAV2")
    again.restore(json.loads(json.dumps(device.state())), 10.0)
    for one in (device, again):
        said(one, b"OUT0", at_s=20.0)
    assert again.charge_c == pytest.approx(device.charge_c) and again.charge_c > 9.0
    assert said(again, b"RCL2", b"VSET1?", at_s=30.0) == b"05.00"


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1)), max_size=20))
def test_no_bytes_whatever_bring_it_down(sent: list[tuple[bytes, float]]) -> None:
    device, at_s = supply(), 0.0
    for data, wait_s in sent:
        at_s += wait_s
        device.receive(data, at_s)
    device.receive(b"", at_s + 1)
    assert said(device, b"*IDN?", at_s=at_s + 2) == b"KORADKA3005PV2.0\0"
    assert len(device._command) <= 40
