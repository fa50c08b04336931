"""Framers: whole frames in order, whatever the portions; noise is refused; memory is bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.bench import EnclosedFramer, FixedFramer, LineCodec, LineFramer, ProtocolError, shown

BODY = st.binary(max_size=20).map(lambda data: data.translate(None, b"\x02\x03\r\n"))


def frames_of(framer, data, portions):
    found = []
    at = 0
    for size in [*portions, len(data)]:
        framer.push(data[at : at + size])
        at += size
        while (frame := framer.pop()) is not None:
            found.append(frame)
    return found


@given(st.lists(BODY, max_size=6), st.lists(st.integers(0, 7), max_size=30))
def test_lines_come_back_whatever_the_portions(bodies, portions):
    assert frames_of(LineFramer(b"\r\n"), b"".join(body + b"\r\n" for body in bodies), portions) == bodies


@given(st.lists(BODY, max_size=6), st.lists(st.integers(0, 7), max_size=30))
def test_enclosed_frames_come_back_whatever_the_portions(bodies, portions):
    data = b"".join(b"\x02" + body + b"\x03" for body in bodies)
    assert frames_of(EnclosedFramer(), data, portions) == bodies


@given(st.binary(max_size=60), st.lists(st.integers(0, 7), max_size=30))
def test_fixed_frames_come_back_whatever_the_portions(data, portions):
    whole = [data[at : at + 5] for at in range(0, len(data) - 4, 5)]
    assert frames_of(FixedFramer(5), data, portions) == whole


@pytest.mark.parametrize("framer", [LineFramer(b"\n", 100), EnclosedFramer(longest=100), FixedFramer(3)])
@given(data=st.lists(st.binary(max_size=300), max_size=20))
def test_random_bytes_raise_nothing_but_protocol_errors(framer, data):
    framer.reset()
    for piece in data:
        try:
            framer.push(piece)
            while framer.pop() is not None:
                pass
        except ProtocolError:
            framer.reset()


def test_an_endless_line_is_refused_and_forgotten():
    framer = LineFramer(b"\n", longest=100)
    with pytest.raises(ProtocolError, match="120 bytes without the end of a line"):
        framer.push(b"x" * 120)
    framer.push(b"ok\n")
    assert framer.pop() == b"ok"


def test_a_long_burst_of_short_lines_is_no_endless_line():
    framer = LineFramer(b"\n", longest=10)
    framer.push(b"ok\n" * 100)
    assert [framer.pop() for _ in range(100)] == [b"ok"] * 100


class Echo(LineCodec):
    """Lines that begin with ``!`` are passed over, empty ones make no sense."""

    def __init__(self):
        super().__init__(b"\n", longest=10)

    def reply(self, line):
        if not line:
            raise ProtocolError("an empty line")
        return None if line.startswith(b"!") else line


@given(st.lists(BODY.filter(lambda body: 0 < len(body) < 10), max_size=6), st.integers(1, 20))
def test_a_codec_of_lines_replies_with_the_first_that_is_an_answer(bodies, portion):
    codec, data = Echo(), b"".join(body + b"\n" for body in bodies)
    said = [codec.feed(data[at : at + portion]) for at in range(0, len(data), portion)]
    while (more := codec.feed([])) is not None:
        said.append(more)
    assert [one for one in said if one is not None] == [body for body in bodies if not body.startswith(b"!")]


def test_a_codec_of_lines_goes_on_behind_what_made_no_sense_unless_it_is_reset():
    codec = Echo()
    with pytest.raises(ProtocolError, match="an empty line"):
        codec.feed([b"\no", b"k\nhal"])
    assert codec.feed(b"") == b"ok"
    codec.reset()
    assert codec.feed(b"late\n") == b"late" and codec.expects_reply(None)
    with pytest.raises(ProtocolError, match="without the end of a line"):
        codec.feed(b"x" * 11)


def test_noise_before_a_frame_is_named_and_the_frame_kept():
    framer = EnclosedFramer()
    framer.push(b"\xff\x00\x02in\x03")
    with pytest.raises(ProtocolError, match=r"xff\\x00"):
        framer.pop()
    assert framer.pop() == b"in"


def test_far_more_than_a_fixed_frame_is_refused():
    with pytest.raises(ProtocolError, match="where 1 were due"):
        FixedFramer(1).push(b"x" * 5000)


def test_bytes_in_messages_are_cut():
    assert len(shown(b"\xff" * 4000)) == 200
