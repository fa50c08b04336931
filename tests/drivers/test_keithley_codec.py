"""What a Keithley SourceMeter is asked and answers: the bytes, from the manual and from captured traces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.keithley_codec import BREAK, Command, KeithleyCodec, Measured, measured, number
from labloop.bench import ProtocolError

CAPTURED = "captured from pymeasure 0.16 on a pty"
BASIL = "SiLab-Bonn/basil issue 121, a 2400 over RS-232"
MANUAL = "2400S-900-01 Rev. K"
IDENTITY = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,4105123,C32   Oct  4 2010 14:20:11/A02  /S/K"
NAME = ":DISP:WIND2:TEXT:DATA?"

# command, sent, received, reply, source
READING = "+1.000000E+00,+1.000000E-03,+9.910000E+37,+1.234000E+01,+2.253200E+04"
LEAKING = "-2.000000E+00,-1.470096E-08,+9.910000E+37,+6.860023E+03,+2.151000E+04"
AS_PRINTED = "KEITHLEY INSTRUMENTS INC., MODEL 2400, 1234567, C30 Mar 17 1999/A02 /K/J"
OFF = '+803,"Not permitted with OUTPUT off"'
# command, received, reply, source; what is sent is the command and LF
TABLE = [
    ("*IDN?", IDENTITY.encode() + b"\n", IDENTITY, CAPTURED),
    ("*IDN?", AS_PRINTED.encode() + b"\r\n", AS_PRINTED, f"{MANUAL}, 16-3"),
    (":OUTP?", b"1\n", "1", CAPTURED),
    ("*OPC?", b"1\n", "1", f"{MANUAL}, 16-3"),
    (":SYST:ERR?", b'0,"No error"\n', '0,"No error"', CAPTURED),
    (":SYST:ERR?", b'-113,"Undefined header"\n', '-113,"Undefined header"', f"{MANUAL}, B-8"),
    (":SYST:ERR?", OFF.encode() + b"\n", OFF, f"{MANUAL}, B-6"),
    (":SENS:CURR:PROT?", b"1.000000E-06\r\n", "1.000000E-06", BASIL),
    (":READ?", LEAKING.encode() + b"\r\n", LEAKING, BASIL),
    (":FETC?", READING.encode() + b"\n", READING, CAPTURED),
    (":SOUR:FUNC?", b"VOLT\n", "VOLT", CAPTURED),
    (":ROUT:TERM?", b"FRON\n", "FRON", CAPTURED),
    (":SENS:FUNC?", b'"VOLT:DC","CURR:DC"\n', '"VOLT:DC","CURR:DC"', f"{MANUAL}, 18-60"),
    (NAME, b'"labloop ready"\n', "labloop ready", f"{MANUAL}, 18-46"),
    (NAME, b"\n", "", f"{MANUAL}, 18-46"),
]
SILENT = [(":OUTP ON", b":OUTP ON\n"), (":SOUR:VOLT 1.000000E+00", b":SOUR:VOLT 1.000000E+00\n"), (BREAK, b"\x03")]


def codec(asked):
    made = KeithleyCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, received, reply, source", TABLE)
def test_questions(command, received, reply, source):
    made = KeithleyCodec()
    assert made.encode(Command(command)) == [command.encode() + b"\n"] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, received, reply, source):
    made, text = codec(command), received.rstrip(b"\r\n")
    for byte in text:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[len(text) :][:1]) == reply


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n\r"])
@pytest.mark.parametrize("command, received, reply, source", TABLE)
def test_any_end_that_its_menu_knows_ends_an_answer(command, received, reply, source, end):
    """14-14; keithley2400 0.2.6 expects CR, PyMeasure LF."""
    made = codec(command)
    ended = received.removesuffix(b"\n") + end
    for _ in range(3):  # and what is left of an end begins no other answer
        said = [made.feed(bytes([byte])) for byte in ended]
        assert [one for one in said if one is not None] == [reply]


@pytest.mark.parametrize("command, sent", SILENT)
def test_orders_are_silent(command, sent):
    assert KeithleyCodec().encode(Command(command)) == [sent]
    assert not KeithleyCodec().expects_reply(Command(command))


@pytest.mark.parametrize(
    "asked, received",
    [
        (":OUTP?", b"VOLT\n"),
        (":OUTP?", b"11\n"),
        (":READ?", b"1.000000E-06\n"),
        (":READ?", b"+1.000000E+00,+1.000000E-03,+9.910000E+37,+1.234000E+01\n"),  # one element is missing
        (":READ?", b"+1.000000E+00,+1.00000E-03,+9.910000E+37,+1.234000E+01,+2.253200E+04\n"),  # one digit is missing
        (":SENS:CURR:PROT?", b"+1.000000E+00,+1.000000E-03,+9.910000E+37,+1.234000E+01,+2.253200E+04\n"),
        (":SYST:ERR?", b'1,"No error"\n'),
        ("*IDN?", b"LSCI,MODEL336,LSA3361/LSO3362,2.9\n"),
        (":SOUR:FUNC?", b"\xd6OLT\n"),
        (":READ?", b"9" * 600),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=200), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\n")
        except ProtocolError:
            made.reset()


def floats(most):
    """Numbers that an instrument can say: not below a femtovolt or femtoampere."""
    return st.floats(-most, most).map(lambda value: round(value, 15))


@given(floats(1100), floats(3.15), st.booleans())
def test_what_is_measured_is_what_is_read(volts, amps, limited):
    status = 22532 | limited << 3
    line = f"{volts:+.6E},{amps:+.6E},+9.910000E+37,+1.234000E+01,{status:+.6E}\n".encode()
    found = measured(codec(":READ?").feed(line))
    assert found == Measured(float(f"{volts:.6E}"), float(f"{amps:.6E}"), limited)


@given(floats(1100))
def test_what_is_sent_is_read_back(value):
    assert float(codec(":SOUR:VOLT?").feed(number(value).encode() + b"\n")) == pytest.approx(value, rel=1e-6, abs=0)


def test_a_reading_without_a_value_has_none():
    assert measured("+9.910000E+37,+9.900000E+37,+9.910000E+37,+1.000000E+00,+8.000000E+00") == Measured(
        None, None, True
    )
    with pytest.raises(ProtocolError, match="a status of"):
        measured("+1.000000E+00,+1.000000E+00,+9.910000E+37,+1.000000E+00,+9.910000E+37")
