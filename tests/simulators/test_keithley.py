"""The 2400 simulator, byte for byte against its manual (2400S-900-01 Rev. K) and captured traffic."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.keithley import K2400
from simulators.two_terminals import THERMAL_V, TwoTerminals, read_two_terminals

RESISTOR = {"device": {"resistance": "1 kohm"}}
FORMAT = b":FORMAT:ELEMENTS VOLTAGE, CURRENT, RESISTANCE, TIME, STATUS\n"


def meter(**options: Any) -> K2400:
    return K2400(World(), "smu", RESISTOR | options)


def ask(device: K2400, data: bytes, at_s: float = 0.0, for_s: float = 100.0) -> bytes:
    """What it says to this within some seconds."""
    said, until_s = device.receive(data, at_s), at_s + for_s
    while (due_s := device.due(at_s)) is not None and due_s <= until_s:
        at_s = due_s
        said += device.receive(b"", at_s)
    return said


ON = b":SENS:FUNC 'VOLT','CURR'\n:SENS:CURR:PROT 0.01\n:SOUR:VOLT 1\n:OUTP ON\n"
IDENTITY = b"KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C32   Oct  4 2010 14:20:11/A02  /S/K\n"
EXCHANGES = [
    (FORMAT, b"", "captured: the first thing pymeasure says"),
    (b"*IDN?\n", IDENTITY, "captured"),
    (b"*IDN?\r\n", IDENTITY, "14-15: CR ends a message too"),
    (
        b":SOURCE:FUNCTION VOLT\n:SOURCE:VOLTAGE:RANGE 10\n:SENSE:CURRENT:PROTECTION 0.01\nSYST:ERR?\n",
        b'0,"No error"\n',
        "captured: four messages at once",
    ),
    (b"OUTPUT 1\nOUTPUT?\n", b"1\n", "captured"),
    (b":SENS:FUNC 'CURR';:SENS:CURR:NPLC 1.000000;\n", b"", "captured: a message that ends with a semicolon"),
    (b":SENS:CURR:RANG 1e-6;NPLC 2;NPLC?;PROT?\n", b"2.000000E+00;1.050000E-04\n", "14-11: the place stays"),
    (b":SENS:CURR:PROT?\n", b"1.050000E-04\n", "basil issue 121: 105 uA at first, no plus"),
    (b":SENS:CURR:PROT 1e-6\n:SENS:CURR:PROT?\n", b"1.000000E-06\n", "basil issue 121"),
    (b":SENS:VOLT:PROT?\n", b"2.100000E+01\n", "table 18-6"),
    (b":SOUR:VOLT:RANG 3;:SOUR:VOLT:RANG?\n", b"2.100000E+01\n", "18-75: 3 V stand in the 20 V range"),
    (b":SOUR:VOLT:RANG 3\n:SOUR:VOLT 30\n:SYST:ERR?\n", b'-222,"Parameter data out of range"\n', "a fixed range"),
    (b":SOUR:VOLT 211\n:SYST:ERR?\n", b'-222,"Parameter data out of range"\n', "18-84"),
    (b":SENS:VOLT:RANG 2\n:SYST:ERR?\n", b'+823,"Invalid with source read-back on"\n', "18-62, note 1"),
    (b":SENS:CURR:RANG 1\n:SYST:ERR?\n", b'+824,"Cannot exceed compliance range"\n', "18-62, note 3"),
    (b"FOO\n:SYST:ERR?\n", b'-113,"Undefined header"\n', "B-8"),
    (b":SENS:DATE?; :SENS:FUNC?\n:SYST:ERR?\n", b'-113,"Undefined header"\n', "B-9: the rest is thrown away"),
    (b":SENS:VOLT:DC:RANG100\n:SYST:ERR?\n", b'-113,"Undefined header"\n', "B-8: no blank before the number"),
    (b":DISP:TEXT:DATA 'a\xff'\n:DISP:TEXT:DATA?\n:SYST:ERR?\n", b'""\n-101,"Invalid character"\n', "table B-1"),
    (b":OUTP MAYBE\n:SYST:ERR?\n", b'-104,"Data type error"\n', "table B-1"),
    (b":SOUR:FUNC WATT\n:SYST:ERR?\n", b'-224,"Illegal parameter value"\n', "table B-1"),
    (b":SOUR:VOLT\n:SYST:ERR?\n", b'-109,"Missing parameter"\n', "table B-1"),
    (b":READ?\n:SYST:ERR?\n", b'+803,"Not permitted with OUTPUT off"\n', "17-5, B-6: no answer with the output off"),
    (b":SYST:ERR?\n", b'0,"No error"\n', "captured"),
    (b"FOO\nBAR\n:SYST:ERR:COUN?\n*CLS\n:SYST:ERR:COUN?\n", b"2\n0\n", "15: *CLS empties the queue"),
    (b"FOO\n" * 12 + b":SYST:ERR:COUN?\n", b"10\n", "18: ten places"),
    (b":DISP:WIND2:TEXT:DATA 'hello; you, there'\n:DISP:WIND2:TEXT:DATA?\n", b'"hello; you, there"\n', "18-46"),
    (b":DISP:TEXT:DATA '123456789012345678901'\n:SYST:ERR?\n", b'-223,"Too much data"\n', "18-46: 20 characters"),
    (b":ROUT:TERM REAR;:ROUT:TERM?\n", b"REAR\n", "18-57"),
    (b":OUTP ON\n:ROUT:TERM REAR\n:OUTP?\n", b"0\n", "new terminals switch the output off"),
    (b":OUTP ON\n:SOUR:FUNC CURR\n:OUTP?\n", b"0\n", "a new function switches the output off"),
    (b":OUTP ON\n:SOUR:FUNC VOLT\n:OUTP?\n", b"1\n", "the same function does not"),
    (b"*OPC?;*ESR?\n", b"1;128\n", "16-3: power came on"),
    (b"FOO\n*ESR?\n*ESR?\n", b"160\n0\n", "15: a command error; reading clears"),
    (b":TRIG:COUN 2500\n:ARM:COUN 2\n:SYST:ERR?\n", b'-221,"Settings conflict"\n', "11: 2500 readings at most"),
    (b":SENS:FUNC?\n", b'"CURR:DC"\n', "table 18-6: only current at first"),
    (b":SENS:FUNC 'VOLT'\n:SENS:FUNC?\n", b'"VOLT:DC","CURR:DC"\n', "concurrent"),
    (b":SENS:FUNC:CONC OFF;:SENS:FUNC 'VOLT';FUNC?\n", b'"VOLT:DC"\n', "one at a time"),
    (b":OUTP O\x03*IDN?\n", IDENTITY, "14-14: ^C throws away what was half said"),
    (b":SOUR:VOLT:STAR 0;STOP 1;STEP 0.1\n:SOUR:SWE:POIN?\n", b"11\n", "18-88: (stop - start) / step + 1"),
    (b":SOUR:CURR:STEP 1E-3;STAR 0;STOP 5E-3\n:SOUR:SWE:POIN?\n", b"6\n", "18-88: in any order"),
    (b":SOUR:VOLT:STAR 0;STOP 1;STEP -0.1\n:SYST:ERR?\n", b'-221,"Settings conflict"\n', "18-88"),
    (b":SYST:REM\n:SYST:RWL ON\n:SYST:RWL?\n", b"1\n", "18-112: over RS-232 only"),
    (b"*IDN?\r", IDENTITY, "keithley2400 0.2.6 ends its messages with CR"),
    (b"*OPT?\n", b"0\n", "16-2: no options"),
    (b"\n\r\n\n", b"", "empty messages"),
    (b"X" * 3000 + b"\n:SYST:ERR?\n", b'-363,"Input buffer overrun"\n', "table B-1"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert ask(meter(), sent) == answer, source
    single = meter()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def reading(device: K2400, at_s: float, command: bytes = b":READ?\n") -> list[float]:
    return [float(one) for one in ask(device, command, at_s).split(b",")]


def test_a_reading_has_five_elements_with_signs_and_the_status_of_what_was_done() -> None:
    device = meter()
    ask(device, FORMAT + ON)
    said = ask(device, b":READ?\n", 10.0)
    assert len(said) == 70 and all(one[:1] in b"+-" for one in said.split(b","))
    volts, amps, ohms, time_s, status = (float(one) for one in said.split(b","))
    assert volts == pytest.approx(1.0, rel=1e-4) and amps == pytest.approx(1e-3, rel=1e-4) and ohms == 9.91e37
    assert 10.0 < time_s < 11.0
    assert int(status) == 22532, "captured: front terminals, V and I measured, V sourced"
    ask(device, b":SENSE:FUNCTION:ALL\n:SENS:RES:MODE MAN\n:SYST:RSEN ON\n")
    assert reading(device, 20.0)[2] == pytest.approx(1000.0, rel=1e-4)
    assert int(reading(device, 30.0)[4]) == 22532 | 1 << 13 | 1 << 22


def test_only_what_is_measured_or_sourced_has_a_value() -> None:
    device = meter()
    ask(device, b":SENS:FUNC:CONC OFF;:SENS:FUNC 'CURR'\n:SENS:CURR:PROT 0.01\n:SOUR:VOLT 2\n:OUTP ON\n")
    assert reading(device, 1.0)[0] == 2.0, "the programmed voltage, to the last digit"
    ask(device, b":SOUR:FUNC CURR\n:SOUR:CURR 1e-3\n:SENS:FUNC 'CURR'\n:OUTP ON\n", 5.0)
    assert reading(device, 6.0)[0] == 9.91e37


def test_elements_come_in_their_own_order_whatever_was_asked_for() -> None:
    device = meter()
    ask(device, b":FORM:ELEM CURR,VOLT\n" + ON)
    volts, amps = reading(device, 1.0)
    assert (volts, amps) == (pytest.approx(1.0, rel=1e-4), pytest.approx(1e-3, rel=1e-4))
    assert ask(device, b":FORM:ELEM?\n") == b"CURR,VOLT\n"


def test_measuring_takes_its_time_and_what_is_said_meanwhile_waits() -> None:
    device = meter()
    ask(device, ON + b":SENS:CURR:NPLC 10\n")
    assert device.receive(b":READ?\n", 1.0) == b"" and device.receive(b":OUTP?\n", 1.1) == b""
    ready_s = device.due(1.1)
    assert ready_s == pytest.approx(1.0 + 0.003 + 2 * 3 * 10 / 60.0 + 0.002), "two functions, autozero, 10 cycles"
    assert device.receive(b"", ready_s - 0.01) == b""
    first, then = device.receive(b"", ready_s).split(b"\n")[:2]
    assert first.count(b",") == 4 and then == b"1"


def test_abort_and_control_c_come_first() -> None:
    for word, answers in ((b":ABOR\n", 2), (b"\x03", 0)):
        device = meter()
        ask(device, ON)
        device.receive(b":TRIG:COUN 2500\n:INIT\n:OUTP?\n:OUTP?\n", 1.0)
        assert device.due(1.0) is not None
        assert device.receive(word, 2.0).count(b"1\n") == answers
        assert device.due(2.0) is None and ask(device, b":OUTP?\n", 2.0) == b"1\n"


def test_measure_puts_the_compliance_back() -> None:
    device = meter()
    ask(device, b":SENS:CURR:PROT 1e-6\n:SOUR:VOLT -2\n")
    volts, amps, ohms, _, status = reading(device, 1.0, b":MEAS:CURR?\n")
    assert volts == -2.0 and ohms == 9.91e37 and device.output
    assert ask(device, b":SENS:CURR:PROT?\n") == b"1.050000E-04\n", "17-2; basil issue 121"
    assert amps == pytest.approx(-1.05e-4, rel=1e-4) and int(status) & 1 << 3


def test_real_compliance_clamps_and_sets_bit_three() -> None:
    device = meter()
    ask(device, ON + b":SENS:CURR:PROT 1e-4\n")
    volts, amps, _, _, status = reading(device, 1.0)
    assert (volts, amps) == (pytest.approx(0.1, rel=1e-3), pytest.approx(1e-4, rel=1e-3)) and int(status) & 1 << 3
    assert ask(device, b":SENS:CURR:PROT:TRIP?\n") == b"1\n" and ask(device, b":SENS:VOLT:PROT:TRIP?\n") == b"0\n"
    ask(device, b":SOUR:FUNC CURR;:SOUR:CURR 1e-2;:SENS:VOLT:PROT 2;:OUTP ON\n", 5.0)
    volts, amps, _, _, status = reading(device, 6.0)
    assert (volts, amps) == (pytest.approx(2.0, rel=1e-3), pytest.approx(2e-3, rel=1e-3)) and int(status) & 1 << 3


def test_a_fixed_range_below_the_compliance_clamps_too() -> None:
    device = meter()
    ask(device, ON + b":SENS:CURR:RANG 1e-5\n")
    _, amps, _, _, status = reading(device, 1.0)
    assert amps == pytest.approx(1.05e-5, rel=1e-3) and int(status) & 1 << 16 and not int(status) & 1 << 3


def test_fetch_gives_the_same_reading_again() -> None:
    device = meter()
    assert ask(device, b":FETC?\n:SYST:ERR?\n") == b'-230,"Data corrupt or stale"\n'
    ask(device, ON)
    said = ask(device, b":READ?\n", 1.0)
    assert ask(device, b":FETC?\n", 9.0) == said and ask(device, b":READ?\n", 10.0) != said


def test_a_staircase_sweep_into_the_buffer_which_a_battery_keeps() -> None:
    device = meter()
    ask(device, ON + b":FORM:ELEM VOLT,CURR\n:SOUR:VOLT:STAR -1;STOP 1;MODE SWE\n:SOUR:SWE:POIN 5\n:TRIG:COUN 5\n"
        b":TRAC:POIN 5;FEED SENS;FEED:CONT NEXT\n:STAT:MEAS:ENAB 512\n*SRE 1\n:INIT\n")  # fmt: skip
    assert ask(device, b"*STB?\n", 10.0) == b"65\n", "buffer full, as pymeasure looks for it"
    assert ask(device, b":TRAC:POIN:ACT?;:TRAC:FEED:CONT?\n") == b"5;NEV\n"
    values = [float(one) for one in ask(device, b":TRAC:DATA?\n").split(b",")]
    assert values[::2] == pytest.approx([-1.0, -0.5, 0.0, 0.5, 1.0], abs=1e-4)
    assert values[1::2] == pytest.approx([-1e-3, -5e-4, 0.0, 5e-4, 1e-3], abs=1e-7)
    device.power_cycle(20.0)
    assert ask(device, b":TRAC:POIN:ACT?;:OUTP?;:SOUR:VOLT?\n", 20.0) == b"5;0;0.000000E+00\n"


def test_auto_output_off_is_on_for_its_measurements_only() -> None:
    device = meter()
    assert len(ask(device, b":SOUR:CLE:AUTO ON\n:TRIG:COUN 3\n:READ?\n").split(b",")) == 15
    assert not device.output
    assert [(e.act, e.phase) for e in device.world.ledger.entries] == [
        ("source_voltage", "begin"),
        ("source_voltage", "end"),
    ]


def test_the_ledger_knows_when_the_output_was_on_and_at_what() -> None:
    device = meter()
    device.receive(b":SOUR:VOLT 2\n:OUTP ON\n", 1.0)
    device.receive(b":OUTP ON\n", 2.0)
    device.receive(b":OUTP OFF\n", 5.0)
    device.receive(b":SOUR:FUNC CURR\n:SOUR:CURR 1e-3\n:OUTP ON\n", 6.0)
    device.power_cycle(9.0)
    assert [(e.at_s, e.act, e.phase, e.amount, e.unit) for e in device.world.ledger.entries] == [
        (1.0, "source_voltage", "begin", 2.0, "V"),
        (5.0, "source_voltage", "end", 2.0, "V"),
        (6.0, "source_current", "begin", 0.001, "A"),
        (9.0, "source_current", "end", 0.001, "A"),
    ]


def test_reset_leaves_the_buffer_the_display_and_the_errors_alone() -> None:
    device = meter()
    ask(device, b":SOUR:VOLT 5\n:TRAC:POIN 7\n:DISP:WIND2:TEXT:DATA 'mine'\n:OUTP ON\nFOO\n*RST\n")
    answers = b'0;0.000000E+00;7;mine;-113,"Undefined header"\n'
    assert ask(device, b":OUTP?;:SOUR:VOLT?;:TRAC:POIN?;:DISP:WIND2:TEXT:DATA?;:SYST:ERR?\n") == answers


def test_models_and_what_cannot_be() -> None:
    assert b"MODEL 2410," in ask(meter(model="2410"), b"*IDN?\n")
    assert ask(meter(model="2410"), b":SOUR:VOLT 1000\n:SYST:ERR?\n") == b'0,"No error"\n'
    for options in ({"model": "2450"}, {"device": {"colour": 1}}, {"device": {"resistance": 0}}):
        with pytest.raises(ValueError, match=r"model = '2450'|unknown colour|cannot be"):
            meter(**options)


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device = meter()
    ask(device, ON + b":TRAC:FEED:CONT NEXT;:READ?\nFOO\n:DISP:WIND2:TEXT:DATA 'labloop 1'\n")
    again = meter()
    again.restore(json.loads(json.dumps(device.state())), 50.0)
    asked = b":OUTP?;:SOUR:VOLT?;:SYST:ERR?;:TRAC:DATA?;:DISP:WIND2:TEXT:DATA?\n"
    assert ask(again, asked, 50.0) == ask(device, asked, 50.0)
    assert ask(again, b":READ?\n", 60.0) == ask(device, b":READ?\n", 60.0)


@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 100)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = meter(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    assert ask(device, b"\x03\n*CLS\n*IDN?\n", at_s + 1).endswith(IDENTITY)


WORDS = ":SOUR:VOLT :SOUR:FUNC :OUTP :READ? :INIT :SENS:FUNC :SENS:CURR:RANG :TRIG:COUN :MEAS? *RST :TRAC:DATA? :FETC?"


@given(st.lists(st.tuples(st.sampled_from(WORDS.split()), st.text("0123456789.-EVOLTCUR',", max_size=6)), max_size=30))
def test_no_commands_whatever_bring_it_down(said: list[tuple[str, str]]) -> None:
    device = meter()
    for n, (command, parameters) in enumerate(said):
        device.receive(f"{command} {parameters}\n".encode(), n * 0.01)
    assert ask(device, b"\x03*CLS\n*IDN?\n", 1e4).endswith(IDENTITY)


@given(st.floats(-200, 200), st.floats(1, 1e7), st.floats(0, 1e-3), st.floats(0, 100))
def test_voltage_and_current_of_a_device_are_two_ways_to_say_the_same(
    volts: float, shunt: float, saturation: float, series: float
) -> None:
    device = TwoTerminals(shunt_ohm=shunt, saturation_a=saturation, series_ohm=series)
    amps = device.at_voltage(volts)
    assert math.isfinite(amps)
    if abs(amps) < 1e6:
        assert device.at_current(amps) == pytest.approx(volts, rel=1e-6, abs=1e-6)


def test_a_solar_cell_gives_current_at_no_voltage_and_voltage_at_no_current() -> None:
    cell = read_two_terminals({"resistance": "1 Mohm", "saturation_current": "1 nA", "light_current": "30 mA"})
    assert cell.at_voltage(0.0) == pytest.approx(-0.03, rel=1e-6)
    assert cell.at_current(0.0) == pytest.approx(THERMAL_V * math.log(0.03 / 1e-9 + 1), rel=1e-3)
