"""Eurotherm controllers: the bytes, captured and computed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.eurotherm_modbus import LASTING, LONGEST, MAY_BE_WRITTEN, ModbusCodec, Read, Reply, Write
from labloop.bench import ProtocolError, SpecError

CAPTURED = "minimalmodbus 2.1.1 against pymodbus 3.16.1 over crossed ptys"
COMPUTED = "Modbus over serial line V1.02, checksums by minimalmodbus"


def raw(text):
    return bytes.fromhex(text)


# command, sent, received, reply, source
TABLE = [
    (Read(1), "01 03 00 01 00 01 d5 ca", "01 03 02 00 00 b8 44", Reply((0,)), CAPTURED),
    (Read(24), "01 03 00 18 00 01 04 0d", "01 03 02 04 b5 7b 33", Reply((1205,)), CAPTURED),
    (Read(1, 2), "01 03 00 01 00 02 95 cb", "01 03 04 00 fd 03 e8 6b 7d", Reply((253, 1000)), COMPUTED),
    (Read(1), "01 03 00 01 00 01 d5 ca", "01 03 02 ff ce 78 20", Reply((-50,)), COMPUTED),
    (Read(1), "01 03 00 01 00 01 d5 ca", "01 83 02 c0 f1", Reply(exception=2), COMPUTED),
    (Write(26, 1205), "01 06 00 1a 04 b5 6b 7a", "01 06 00 1a 04 b5 6b 7a", Reply((1205,)), COMPUTED),
    (Write(26, -5), "01 06 00 1a ff fb a8 7e", "01 06 00 1a ff fb a8 7e", Reply((-5,)), COMPUTED),
    (Write(23, 1), "01 06 00 17 00 01 f8 0e", "01 86 03 02 61", Reply(exception=3), COMPUTED),
]


def codec(asked, unit=1):
    made = ModbusCodec(unit)
    made.encode(asked)
    return made


@pytest.mark.parametrize(
    ("address", "least_s", "most_s"),
    [  # 3.5 characters of 11 bits
        ("serial:///dev/ttyUSB0?baud=9600", 0.00401, 0.006),
        ("rfc2217://10.0.0.7:4001?baud=19200", 0.00201, 0.003),
        ("serial:///dev/ttyUSB0?baud=1200", 0.0321, 0.045),
        ("tcp://10.0.0.7:502", 0.0321, 0.045),  # whatever line lies behind it
    ],
)
def test_frames_are_parted_by_silence_as_long_as_the_line_is_slow(address, least_s, most_s):
    assert least_s <= ModbusCodec.on(address, 1).gap_s <= most_s


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_exchanges(command, sent, received, reply, source):
    made = ModbusCodec(1)
    assert made.encode(command) == [raw(sent)] and made.expects_reply(command)
    assert made.feed(raw(received)) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made, received = codec(command), raw(received)
    assert [made.feed(bytes([byte])) for byte in received] == [None] * (len(received) - 1) + [reply]


@pytest.mark.parametrize(
    ("asked", "received"),
    [
        (Read(1), "01 03 04 00 fd 03 e8 6b 7d"),  # two registers where one was asked for
        (Read(1), "01 06 00 1a 04 b5 6b 7a"),  # the echo of a write
        (Read(1), "01 86 02 c3 a1"),  # the refusal of a write
        (Read(1), "01 03 02 00 00 b8 45"),  # checksum
        (Read(1), "02 03 02 00 00 fc 44"),  # another unit
        (Write(26, 1205), "01 06 00 1a 04 b6 2b 7b"),  # another value
        (Write(26, 1205), "01 06 00 17 04 b5 fa b9"),  # another register
        (Write(26, 1205), "01 03 02 04 b5 7b 33"),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(raw(received))


def test_a_probe_is_told_from_every_reply_by_its_length():
    for asked in (Read(1), Read(1, 2), Read(1, 5), Write(26, 0)):
        probe = ModbusCodec(1).probe(asked)
        assert probe.count != (asked.count if isinstance(asked, Read) else 1)


@pytest.mark.parametrize("register", [2, 24, 25, 35, 1281, 0, 199, 111, 112])
def test_what_wears_out_cannot_be_written(register):
    """Manual p. 81: a memory of 100 000 write cycles."""
    assert register not in MAY_BE_WRITTEN
    for lasting in (False, *[True] * (register not in LASTING)):
        with pytest.raises(SpecError, match=f"register {register} is not one that this driver may write"):
            Write(register, 1, lasting=lasting)


def test_a_value_that_does_not_fit_is_refused():
    with pytest.raises(SpecError, match="does not fit"):
        Write(26, 40000)


def test_an_endless_stream_of_nothing_is_refused():
    made = codec(Read(1))
    with pytest.raises(ProtocolError):
        for _ in range(LONGEST + 1):
            made.feed(b"\x00")
    assert made._rest == b""


def test_only_a_stop_is_urgent():
    asked = [Write(26, 0, urgent=True), Write(26, 0), Read(1)]
    assert [ModbusCodec(1).urgent(command) for command in asked] == [True, False, False]


@given(st.sampled_from([Read(1), Read(1, 5), Write(26, 3)]), st.lists(st.binary(max_size=300), max_size=8))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece)
        except ProtocolError:
            made.reset()
        assert len(made._rest) <= LONGEST


@given(st.integers(1, 247), st.lists(st.integers(-0x8000, 0x7FFF), min_size=1, max_size=5), st.binary(max_size=4))
def test_what_a_controller_says_is_what_is_read(unit, registers, more):
    from simulators.eurotherm_frames import framed

    body = bytes([3, 2 * len(registers)]) + b"".join((one & 0xFFFF).to_bytes(2, "big") for one in registers)
    assert codec(Read(1, len(registers)), unit).feed(framed(unit, body)) == Reply(tuple(registers))
