"""JULABO circulators: the bytes, from manuals and captured traffic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.julabo import Command, JulaboCodec
from labloop.bench import ProtocolError

MANUAL = "FL601 manual p. 39"
LIST = "SL-26 manual p. 82 and on"
STATUS = "MAGIO MX manual p. 91"
CORIO = "CORIO CD-900F manual p. 39"
LEWIS = "captured from lewis 1.4.0"
DVG = "python-dvg-devices 1.4.0, tested on an FP51-SL"

# command, sent, received, reply, source
TABLE = [
    ("IN_SP_00", b"IN_SP_00\r", b"15.5\n", "15.5", MANUAL),
    ("IN_SP_00", b"IN_SP_00\r", b"55.5\r\n", "55.5", LIST),
    ("IN_PV_00", b"IN_PV_00\r", b"24.0\r\n", "24.0", LEWIS),
    ("IN_PV_00", b"IN_PV_00\r", b"-12.34\r\n", "-12.34", LIST),
    ("IN_PV_01", b"IN_PV_01\r", b"5.0\r\n", "5.0", LIST),
    ("IN_MODE_05", b"IN_MODE_05\r", b"0\r\n", "0", LEWIS),
    ("VERSION", b"VERSION\r", b"JULABO FP50_MH Simulator, ISIS\r\n", "JULABO FP50_MH Simulator, ISIS", LEWIS),
    ("VERSION", b"VERSION\r", b"JULABO HIGHTECH FL HL/SL VERSION 4.0\r\n", "JULABO HIGHTECH FL HL/SL VERSION 4.0", DVG),
    ("STATUS", b"STATUS\r", b"03 REMOTE START\r\n", "03 REMOTE START", STATUS),
    ("STATUS", b"STATUS\r", b"00 REMOTE STOP\r\n", "00 REMOTE STOP", CORIO),
    ("STATUS", b"STATUS\r", b"-08 INVALID COMMAND\r\n", "-08 INVALID COMMAND", STATUS),
    ("STATUS", b"STATUS\r", b"Hello from the simulated Julabo\r\n", "Hello from the simulated Julabo", LEWIS),
]  # fmt: skip
SILENT = [("OUT_SP_00 55.50", b"OUT_SP_00 55.50\r"), ("OUT_MODE_05 1", b"OUT_MODE_05 1\r")]


def codec(asked, address=None):
    made = JulaboCodec(address)
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_questions(command, sent, received, reply, source):
    made = JulaboCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    assert [made.feed(bytes([byte])) for byte in received] == [None] * (len(received) - 1) + [reply]


@pytest.mark.parametrize("command, sent", SILENT)
def test_what_is_set_is_not_answered(command, sent):
    assert JulaboCodec().encode(Command(command)) == [sent]
    assert not JulaboCodec().expects_reply(Command(command))


def test_only_the_stop_is_urgent():
    assert [JulaboCodec().urgent(Command(text)) for text in ("OUT_MODE_05 0", "OUT_MODE_05 1", "VERSION")] == [
        True, False, False,
    ]  # fmt: skip


def test_on_rs485_the_address_stands_in_front_of_both():
    """SL-26 manual p. 82: A032_in_sp_00 is answered with A032_55.5."""
    made = JulaboCodec(32)
    assert made.encode(Command("IN_SP_00")) == [b"A032_IN_SP_00\r"]
    assert made.feed(b"A032_55.5\n") == "55.5"
    for received in (b"A033_55.5\n", b"55.5\n"):
        with pytest.raises(ProtocolError):
            codec("IN_SP_00", 32).feed(received)


@pytest.mark.parametrize(
    ("asked", "received"),
    [
        ("IN_PV_00", b"JULABO HIGHTECH\r\n"),
        ("IN_PV_00", b"03 REMOTE START\r\n"),
        ("IN_PV_00", b"---.--\r\n"),  # a sensor that is not connected
        ("IN_PV_00", b"\r\n"),  # what lewis answers to OUT_
        ("IN_PV_00", b"2\xb4.0\r\n"),
        ("IN_PV_00", b"12345.0\r\n"),
        ("IN_MODE_05", b"24.0\r\n"),
        ("VERSION", b"24.0\r\n"),
        ("VERSION", b"1\r\n"),
        ("STATUS", b"-5\r\n"),
        ("STATUS", b"\x00\x01\x02\r\n"),
        ("IN_PV_00", b"9" * 300),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_the_answer_to_a_probe_is_never_taken_for_the_one_that_is_owed(command, sent, received, reply, source):
    probe = JulaboCodec().probe(Command(command))
    answers = {"VERSION": b"JULABO HIGHTECH FL HL/SL VERSION 4.0\r\n", "IN_MODE_05": b"1\r\n"}
    for asked, answer in ((command, answers[probe.text]), (probe.text, received)):
        if asked != "IN_MODE_05" or answer[:1] not in b"01":
            with pytest.raises(ProtocolError):
                codec(asked).feed(answer)


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece)
            made.feed(b"\n")
        except ProtocolError:
            made.reset()
        assert len(made._framer._rest) <= 128 + 61


@given(st.floats(-95, 400).map(lambda value: f"{value:.2f}"), st.sampled_from(["IN_PV_00", "IN_SP_00"]))
def test_what_a_circulator_says_is_what_is_read(text, asked):
    assert codec(asked).feed(f"{text}\r\n".encode()) == text
