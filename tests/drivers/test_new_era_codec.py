"""New Era pumps: the bytes, from the manual and from captured traces."""

import binascii
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.new_era_codec import UL_MIN, Command, NewEraCodec, Reply, number, rate, volumes
from labloop.bench import ProtocolError

CAPTURED = "captured from NESP-Lib 2.0.0 on a pty"
MANUAL = "manual 1200-01, section 10"

# command, sent, received, reply, source; pump 0, basic frames
TABLE = [
    ("VER", b"0VER\r", b"\x0200SNE1000V3.923\x03", Reply("S", "NE1000V3.923"), CAPTURED),
    ("DIA14.43", b"0DIA14.43\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("DIRINF", b"0DIRINF\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VOLUL", b"0VOLUL\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VOL1000", b"0VOL1000\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("RAT20MM", b"0RAT20MM\r", b"\x0200S\x03", Reply("S"), MANUAL),
    ("RAT20UM", b"0RAT20UM\r", b"\x0200I?NA\x03", Reply("I", error="NA"), MANUAL),
    ("RUN", b"0RUN\r", b"\x0200I\x03", Reply("I"), CAPTURED),
    ("", b"0\r", b"\x0200I\x03", Reply("I"), CAPTURED),
    ("DIS", b"0DIS\r", b"\x0200II501.4W0.000UL\x03", Reply("I", "I501.4W0.000UL"), CAPTURED),
    ("STP", b"0STP\r", b"\x0200P\x03", Reply("P"), MANUAL),
    ("CLDINF", b"0CLDINF\r", b"\x0200S\x03", Reply("S"), MANUAL),
    ("", b"0\r", b"\x0200A?R\x03", Reply("S", alarm="R"), MANUAL),
    ("DIS", b"0DIS\r", b"\x0200A?S\x03", Reply("S", alarm="S"), MANUAL),
    ("XYZ", b"0XYZ\r", b"\x0200S?\x03", Reply("S", error=""), MANUAL),
    ("RAT9999MM", b"0RAT9999MM\r", b"\x0200S?OOR\x03", Reply("S", error="OOR"), MANUAL),
]
# Frames with length and CRC-CCITT; the first is NESP-Lib's very first, the second computed in the same way.
SAFE_TABLE = [
    ("SAF0", bytes.fromhex("02093053414630 59ad 03"), b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VER", bytes.fromhex("02083056455248 09 03"), bytes.fromhex("0207303053aaa603"), None, MANUAL),
]


def codec(asked="", safe=False, address=0):
    made = NewEraCodec(address)
    made.safe = safe
    made.encode(Command(asked))
    return made


def safe_frame(text):
    return b"\x02" + bytes([len(text) + 4]) + text + binascii.crc_hqx(text, 0).to_bytes(2, "big") + b"\x03"


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_basic_frames(command, sent, received, reply, source):
    made = NewEraCodec(0)
    assert made.encode(Command(command)) == [sent]
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", SAFE_TABLE)
def test_safe_frames(command, sent, received, reply, source):
    made = NewEraCodec(0)
    made.safe = True
    assert made.encode(Command(command)) == [sent]
    made.safe = False  # after SAF0 the pump answers in basic frames
    if reply is not None:
        assert made.feed(received) == reply


def test_safe_answers_one_byte_at_a_time():
    made = codec("DIS", safe=True)
    frame = safe_frame(b"00SI1.000W0.000UL")
    for byte in frame[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(frame[-1:]) == Reply("S", "I1.000W0.000UL")
    assert codec("").feed(bytes.fromhex("0207303053aaa603")) == Reply("S")


@pytest.mark.parametrize(
    "asked, safe, received",
    [
        ("DIS", False, b"\x0200S\x03"),  # the answer to something else
        ("DIS", False, b"\x0200SI1.0\x03"),  # half of one
        ("RUN", False, b"\x0200SI1.000W0.000UL\x03"),
        ("", False, b"noise"),
        ("", False, b"\x02xyz\x03"),
        ("", False, b"\x02" + b"0" * 100),
        ("", True, b"\x0200S\x03"),  # without a checksum in safe mode
        ("", True, safe_frame(b"00S")[:-3] + b"\x00\x00\x03"),
        ("", False, b"\x02\x03\x00"),
    ],
)
def test_what_makes_no_sense_is_refused(asked, safe, received):
    with pytest.raises(ProtocolError):
        codec(asked, safe).feed(received)


def test_the_answers_of_other_pumps_are_passed_over():
    made = codec("", address=3)
    assert made.feed(b"\x0202S\x03\x0200A?S\x03") is None
    assert made.feed(b"\x0203I\x03") == Reply("I")


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans(), st.sampled_from(["", "DIS", "VER", "RUN"]))
def test_random_bytes_raise_nothing_but_protocol_errors(pieces, safe, asked):
    made = codec(asked, safe)
    for piece in pieces:
        try:
            made.feed(b"\x02" + piece)
        except ProtocolError:
            made.reset()


@given(
    st.integers(0, 99),
    st.sampled_from("IWSPTUX"),
    st.floats(0, 9999).map(number),
    st.floats(0, 9999).map(number),
    st.sampled_from(["UL", "ML"]),
    st.booleans(),
)
def test_what_a_pump_says_is_what_is_read(address, status, infused, withdrawn, unit, safe):
    data = f"I{infused}W{withdrawn}{unit}"
    text = f"{address:02d}{status}{data}".encode()
    made = codec("DIS", safe, address)
    assert made.feed(safe_frame(text) if safe else b"\x02" + text + b"\x03") == Reply(status, data)
    said = volumes(data)
    factor = 1000.0 if unit == "ML" else 1.0
    assert (said.infused, said.withdrawn) == (float(infused) * factor, float(withdrawn) * factor)


@pytest.mark.parametrize(
    "value, text", [(14.43, "14.43"), (1000, "1000"), (0.3333, "0.333"), (9.9996, "10.00"), (0, "0.000")]
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


@given(st.floats(0.01, 900_000.0))
def test_a_rate_is_said_as_well_as_four_digits_can(rate_ul_min):
    text, unit = rate(rate_ul_min)
    assert len(text.replace(".", "")) <= 4
    assert math.isclose(float(text) * UL_MIN[unit], rate_ul_min, rel_tol=6e-3 if rate_ul_min < 0.1 else 6e-4)
