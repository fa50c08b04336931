"""The bytes of IKA hotplates, from the manual and from captured traces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ika_codec import Command, IkaCodec
from labloop.bench import ProtocolError

CAPTURED = "captured from ika-control 0.7.0 on a pty"
MANUAL = "operating instructions 20014388a, interfaces"

# command, sent, received, reply, source
TABLE = [
    ("IN_NAME", b"IN_NAME \r\n", b"RCT digital \r\n", "RCT digital", CAPTURED),
    ("IN_TYPE", b"IN_TYPE \r\n", b"RCT5 \r\n", "RCT5", CAPTURED),
    ("IN_PV_1", b"IN_PV_1 \r\n", b"22.0 1 \r\n", "22.0", CAPTURED),
    ("IN_PV_2", b"IN_PV_2 \r\n", b"24.5 2\r\n", "24.5", MANUAL),
    ("IN_PV_4", b"IN_PV_4 \r\n", b"0.0 4 \r\n", "0.0", CAPTURED),
    ("IN_SP_3", b"IN_SP_3 \r\n", b"360.0 3 \r\n", "360.0", CAPTURED),
    ("STATUS_1", b"STATUS_1 \r\n", b"11 1 \r\n", "11", CAPTURED),
    ("OUT_WD1@30", b"OUT_WD1@30 \r\n", b"30 \r\n", "30", MANUAL),
]
SILENT = [("OUT_SP_1 80.0", b"OUT_SP_1 80.0 \r\n"), ("START_1", b"START_1 \r\n"), ("STOP_4", b"STOP_4 \r\n")]


def codec(asked):
    made = IkaCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_questions(command, sent, received, reply, source):
    made = IkaCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize("command, sent", SILENT)
def test_setters_are_silent(command, sent):
    assert IkaCodec().encode(Command(command)) == [sent]
    assert not IkaCodec().expects_reply(Command(command))


@pytest.mark.parametrize(
    "asked, received",
    [
        ("IN_PV_1", b"22.0 2 \r\n"),  # another channel
        ("IN_PV_1", b"RCT digital \r\n"),
        ("IN_PV_1", b"22.0 \r\n"),
        ("IN_NAME", b"22.0 1 \r\n"),
        ("IN_PV_1", b"\xb2\xb2.0 1 \r\n"),  # parity noise
        ("IN_PV_1", b"2\x002.0 1 \r\n"),
        ("IN_PV_1", b"9" * 200),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\r\n")
        except ProtocolError:
            made.reset()


@given(st.floats(-50, 400).map(lambda value: f"{value:.1f}"), st.sampled_from("1247"))
def test_what_a_plate_says_is_what_is_read(text, channel):
    assert codec(f"IN_PV_{channel}").feed(f"{text} {channel} \r\n".encode()) == text
