"""Cavro pumps: the bytes, captured and from manuals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.cavro import STROKE
from drivers.cavro_codec import CavroCodec, Command, Reply
from labloop.bench import ProtocolError, SpecError

CAPTURED = "captured from matterlab-pumps 1.2.1"
XP = "XP 3000 manual p. 3-46"
XLP = "XLP 6000 manual p. 3-8, 3-45"

# command, sent, received, reply, source
TABLE = [
    ("?", b"/1?\r", b"/0`0\x03\r\n", Reply(False, 0, "0"), CAPTURED),
    ("?", b"/1?\r", b"/0`6000\x03\r\n", Reply(False, 0, "6000"), CAPTURED),
    ("?", b"/1?\r", b"\xff/0@6000\x03\r\n", Reply(True, 0, "6000"), XLP),
    ("?6", b"/1?6\r", b"/0`1\x03\r\n", Reply(False, 0, "1"), CAPTURED),
    ("?6", b"/1?6\r", b"/0`i\x03\r\n", Reply(False, 0, "i"), XLP),
    ("?12", b"/1?12\r", b"/0`96\x03\r\n", Reply(False, 0, "96"), CAPTURED),
    ("Q", b"/1Q\r", b"/0`\x03\r\n", Reply(False, 0, ""), CAPTURED),
    ("Q", b"/1Q\r", b"/0@\x03\r\n", Reply(True, 0, ""), CAPTURED),
    ("Q", b"/1Q\r", b"/0c\x03\r\n", Reply(False, 3, ""), XP),
    ("Q", b"/1Q\r", b"/0I\x03\r\n", Reply(True, 9, ""), XP),
    ("Q", b"/1Q\r", b"/0o\x03\r\n", Reply(False, 15, ""), XP),
    ("N1R", b"/1N1R\r", b"/0`\x03\r\n", Reply(False, 0, ""), CAPTURED),
    ("Z1,1,1R", b"/1Z1,1,1R\r", b"/0@\x03\r\n", Reply(True, 0, ""), CAPTURED),
    ("I3A6000R", b"/1I3A6000R\r", b"/0@\x03\r\n", Reply(True, 0, ""), CAPTURED),
    ("T", b"/1T\r", b"/0`\x03\r\n", Reply(False, 0, ""), XLP),
    ("&", b"/1&\r", b"/0`30046219 Rev G\x03\r\n", Reply(False, 0, "30046219 Rev G"), XP),
]


def codec(asked, switch=0):
    made = CavroCodec(switch)
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_exchanges(command, sent, received, reply, source):
    made = CavroCodec(0)
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    assert [made.feed(bytes([byte])) for byte in received] == [None] * (len(received) - 1) + [reply]


@pytest.mark.parametrize(("switch", "address"), [(0, b"1"), (8, b"9"), (9, b":"), (14, b"?")])
def test_addresses(switch, address):
    assert CavroCodec(switch).encode(Command("Q")) == [b"/" + address + b"Q\r"]


@pytest.mark.parametrize("text", ["R", "TR", "A100", "I3A100RR", "RA100R", "A100TR", "?R", "", "A10.5R", "A100R\r/1R"])
def test_what_is_never_said(text):
    """XLP 6000 manual p. 3-42: R alone goes on with what T has stopped."""
    with pytest.raises(SpecError):
        Command(text)


@pytest.mark.parametrize(
    ("asked", "received"),
    [
        ("?", b"/0`\x03\r\n"),
        ("Q", b"/0`6000\x03\r\n"),
        ("A100R", b"/0@6000\x03\r\n"),
        ("?", b"/0`30046219 Rev G\x03\r\n"),
        ("&", b"/0`6000\x03\r\n"),
        ("?", b"/1`6000\x03\r\n"),  # not to the master
        ("?", b"/0\xe06000\x03\r\n"),
        ("?", b"/0p6000\x03\r\n"),  # no status
        ("?", b"x/0`6000\x03\r\n"),
        ("?", b"9" * 200),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_the_answer_to_a_probe_is_never_taken_for_the_one_that_is_owed(command, sent, received, reply, source):
    with pytest.raises(ProtocolError):
        codec(CavroCodec(0).probe(Command(command)).text).feed(received)


def test_only_the_stop_is_urgent():
    assert [CavroCodec(0).urgent(Command(text)) for text in ("T", "Q", "A0R")] == [True, False, False]


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\x03\r\n")
        except ProtocolError:
            made.reset()
        assert len(made._framer._rest) <= 200


@given(st.integers(0, 15), st.booleans(), st.integers(0, STROKE))
def test_what_a_pump_says_is_what_is_read(error, busy, place):
    status = (0x40 if busy else 0x60) | error
    said = b"/0" + bytes([status]) + str(place).encode() + b"\x03\r\n"
    assert codec("?").feed(said) == Reply(busy, error, str(place))
