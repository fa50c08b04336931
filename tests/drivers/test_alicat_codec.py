"""Alicat controllers: the bytes, captured and from manuals."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.alicat_codec import ANSWERS, AlicatCodec, Command, Frame, frame_of
from labloop.bench import ProtocolError, SpecError

CAPTURED = "captured from alicat 0.9.0 on a pty"
MANUAL = "standard devices, January 2023, p. 32"
RECORDED = "recorded of an MC-500SCCM-D, 10v20 (alicatlib)"
FRAME = "+014.62 +021.89 +000.99 +000.99 +123.40     N2"

# command, sent, received, reply, source
TABLE = [
    (Command(""), b"A\r", f"A {FRAME}\r".encode(), FRAME, CAPTURED),
    (Command(""), b"A\r", f"A {FRAME} MOV TMF\r".encode(), f"{FRAME} MOV TMF", MANUAL),
    (Command("S", 123.4), b"AS123.40\r", f"A {FRAME}\r".encode(), FRAME, CAPTURED),
    (Command("S", 0.0), b"AS0.00\r", f"A {FRAME}\r".encode(), FRAME, CAPTURED),
    (Command("S", 1.0, 3), b"AS1.000\r", f"A {FRAME}\r".encode(), FRAME, CAPTURED),
    (Command("HC"), b"AHC\r", f"A {FRAME} HLD\r".encode(), f"{FRAME} HLD", MANUAL),
    (Command("C"), b"AC\r", f"A {FRAME}\r".encode(), FRAME, MANUAL),
    (Command("VE"), b"AVE\r", b"A   10v20.0-R24 Jan  9 2025,15:04:07\r", "10v20.0-R24 Jan  9 2025,15:04:07", CAPTURED),
    (Command("LS"), b"ALS\r", b"A +123.40 +123.40 12 SCCM\r", "+123.40 +123.40 12 SCCM", RECORDED),
    (Command("LSS"), b"ALSS\r", b"A S\r", "S", RECORDED),
    (Command("LSS", "U"), b"ALSS U\r", b"A U\r", "U", RECORDED),
    (Command("??M4"), b"A??M4\r", b"A M04 Model Number MC-500SCCM-D\r", "M04 Model Number MC-500SCCM-D", RECORDED),
    (Command(""), b"A\r", f"A {FRAME} P2O COM\r".encode(), f"{FRAME} P2O COM", "words of 10v20's ??D*, alicatlib"),
    (Command("??M4"), b"A??M4\r", b"A  M04 Model Number MC-500SCCM-D\r", "M04 Model Number MC-500SCCM-D", "alicatlib"),
    (Command("??M5"), b"A??M5\r", b"?\r", "?", MANUAL),
]  # fmt: skip


def codec(asked, letter="A"):
    made = AlicatCodec(letter)
    made.encode(asked)
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_exchanges(command, sent, received, reply, source):
    made = AlicatCodec("A")
    assert made.encode(command) == [sent] and made.expects_reply(command)
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    assert [made.feed(bytes([byte])) for byte in received] == [None] * (len(received) - 1) + [reply]


@pytest.mark.parametrize(
    ("asked", "received"),
    [
        (Command(""), f"B {FRAME}\r".encode()),  # another device
        (Command(""), b"A   10v20.0-R24\r"),
        (Command(""), b"A +014.62 +21.89 +000.99 +000.99 +123.40     N2\r"),  # a lost digit
        (Command(""), b"A +014.62 +021.89 +000.9\xb9 +000.99 +123.40     N2\r"),
        (Command("VE"), f"A {FRAME}\r".encode()),
        (Command("LS"), f"A {FRAME}\r".encode()),
        (Command("LSS"), b"A X\r"),
        (Command("??M4"), b"A M05 Serial Number     123456\r"),
        (Command("??M4"), f"A {FRAME}\r".encode()),
        (Command(""), b"9" * 400),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


def test_a_frame_taken_apart():
    assert frame_of(f"{FRAME} P2O COM GTA").words == ("P2O", "COM", "GTA")
    assert frame_of(f"{FRAME} MOV HLD") == Frame(
        pressure=14.62, temperature_c=21.89, flow=0.99, setpoint=123.4, gas="N2", words=("MOV", "HLD")
    )
    totalizer = "+014.62 +021.89 +000.99 +000.99 +123.40 +0000456.7     N2"
    assert frame_of(totalizer).setpoint == 123.4
    for other in ("+014.62 +021.89 +000.99 +000.99     N2", f"{FRAME} XYZ"):
        with pytest.raises(ProtocolError):
            frame_of(other)


@pytest.mark.parametrize("text", ["49408", "16000", "S100", "S", "T", "V", "P", "A@B", "S1.0\rA64000", "W122=34"])
def test_an_integer_setpoint_a_tare_and_whatever_else_cannot_be_said(text):
    with pytest.raises(SpecError):
        Command(text)


@pytest.mark.parametrize("value", [-1.0, 100, "100", None])
def test_a_setpoint_has_a_point_and_a_value(value):
    with pytest.raises(SpecError):
        Command("S", value)
    with pytest.raises(SpecError):
        Command("S", 100.0, 0)


@given(st.sampled_from(sorted(ANSWERS)), st.one_of(st.none(), st.floats(0, 1e6), st.just("U")), st.integers(1, 6))
def test_no_command_whatever_is_a_letter_followed_by_digits(name, value, decimals):
    try:
        command = Command(name, value, decimals)
    except SpecError:
        return
    (sent,) = AlicatCodec("A").encode(command)
    assert re.fullmatch(rb"A(|VE|LS|LSS|LSS U|HC|C|\?\?M[45]|S\d+\.\d+)\r", sent)


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_the_answer_to_a_probe_is_never_taken_for_the_one_that_is_owed(command, sent, received, reply, source):
    probe = AlicatCodec("A").probe(command)
    if reply != "?":
        with pytest.raises(ProtocolError):
            codec(probe).feed(received)


def test_closing_is_urgent():
    asked = [Command("HC"), Command("S", 0.0), Command("S", 1.0), Command("")]
    assert [AlicatCodec("A").urgent(command) for command in asked] == [True, True, False, False]


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            if (said := made.feed(piece + b"\r")) and ANSWERS[asked.name] is ANSWERS[""] and said != "?":
                frame_of(said)
        except ProtocolError:
            made.reset()
        assert len(made._framer._rest) <= 320


@given(st.lists(st.floats(-99, 999), min_size=5, max_size=5), st.sampled_from(["N2", "Air", "A1025"]))
def test_what_a_controller_says_is_what_is_read(values, gas):
    numbers = [f"{value:+07.2f}" for value in values]
    frame = frame_of(codec(Command("")).feed(f"A {' '.join(numbers)} {gas:>6}\r".encode()))
    assert (frame.pressure, frame.flow, frame.setpoint, frame.gas) == (
        float(numbers[0]), float(numbers[3]), float(numbers[4]), gas,
    )  # fmt: skip
