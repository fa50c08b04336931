"""GRBL controllers: the bytes, from captured traffic and the documents."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.grbl_codec import CANCEL, RESET, STATUS, Command, GrblCodec, Reply, Report, feed_of, settings_of
from labloop.bench import ProtocolError

CAPTURED = "captured from pygrbl-streamer 1.0.5 on a pty"
DOCUMENTS = "gnea/grbl, doc/markdown/interface.md"
VERSION = "[VER:1.1h.20190830:]", "[OPT:V,15,128]"


def report(state, *where, sub=0, machine=True, feed=0.0, speed=0.0):
    return Report(state, sub, machine, where or (0.0, 0.0, 0.0), feed, speed, "")


# command, sent, received, reply, source
TABLE = [
    ("G21", b"G21\n", b"ok\r\n", Reply(), CAPTURED),
    ("$X", b"$X\n", b"[MSG:Caution: Unlocked]\r\nok\r\n", Reply(lines=("[MSG:Caution: Unlocked]",)), CAPTURED),
    ("$I", b"$I\n", b"[VER:1.1h.20190830:]\r\n[OPT:V,15,128]\r\nok\r\n", Reply(lines=VERSION), DOCUMENTS),
    ("$J=G53X5F100", b"$J=G53X5F100\n", b"error:15\r\n", Reply(error=15), DOCUMENTS),
    ("$J=G53X5F100", b"$J=G53X5F100\n", b"ALARM:1\r\n", Reply(alarm=1), DOCUMENTS),
    ("G21", b"G21\n", b"\r\nGrbl 1.1h ['$' for help]\r\n", Reply(banner="1.1h"), DOCUMENTS),
    (RESET, b"\x18", b"\r\nGrbl 1.1h ['$' for help]\r\n", Reply(banner="1.1h"), CAPTURED),
    (RESET, b"\x18", b"ALARM:3\r\n\r\nGrbl 1.1f ['$' for help]\r\n", Reply(banner="1.1f"), DOCUMENTS),
    (
        STATUS, b"?", b"<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|WCO:0.000,0.000,0.000>\r\n",
        report("Idle"), CAPTURED,
    ),
    (
        STATUS, b"?", b"<Hold:1|WPos:-2.500,0.000,11.000|F:500>\r\n",
        report("Hold", -2.5, 0.0, 11.0, sub=1, machine=False, feed=500.0), DOCUMENTS,
    ),
    (
        STATUS, b"?", b"<Jog|MPos:1.000,2.000,3.000,4.000|Ln:99999|FS:500,8000|Pn:XYZPDHRS|Ov:100,100,100|A:SFM>\r\n",
        report("Jog", 1.0, 2.0, 3.0, 4.0, feed=500.0, speed=8000.0), DOCUMENTS,
    ),
    (STATUS, b"?", b"<Alarm|MPos:0.000,-10.000,5.000>\r\n", report("Alarm", 0.0, -10.0, 5.0), DOCUMENTS),
]  # fmt: skip
IDS = [f"{row[0]!r}-{n}" for n, row in enumerate(TABLE)]


def codec(asked):
    made = GrblCodec()
    made.encode(Command(asked))
    return made


def plain(said):
    return said if not isinstance(said, Report) else report(
        said.state, *said.where, sub=said.sub, machine=said.machine, feed=said.feed, speed=said.speed
    )  # fmt: skip


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE, ids=IDS)
def test_lines(command, sent, received, reply, source):
    made = GrblCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    assert plain(made.feed(received)) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE, ids=IDS)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert plain(made.feed(received[-1:])) == reply


def test_what_has_no_answer():
    assert GrblCodec().encode(Command(CANCEL)) == [b"\x85"] and not GrblCodec().expects_reply(Command(CANCEL))
    assert not GrblCodec().expects_reply(Command("$H", answered=False))
    assert GrblCodec().urgent(Command(CANCEL)) and GrblCodec().urgent(Command(RESET))
    assert not GrblCodec().urgent(Command(STATUS))


def test_the_place_in_the_line_is_found_with_a_question_of_another_kind():
    made = GrblCodec()
    assert made.probe(Command("G21")).text == made.probe(Command(RESET)).text == "$G"
    assert made.probe(Command("$G")).text == "$I"
    for none in (STATUS, CANCEL, "M3S500\nG4P30\nM5"):
        assert made.probe(Command(none)) is None


def test_reports_messages_and_alarms_are_not_counted_as_answers():
    made = codec("G21")
    assert made.feed(b"<Idle|MPos:0.000,0.000,0.000>\r\n[MSG:Check Door]\r\n>G54:ok\r\n[echo: G21]\r\n") is None
    assert made.feed(b"ok\r\n").error == 0
    made = codec(STATUS)
    assert made.feed(b"ok\r\nerror:9\r\n[MSG:Check Door]\r\n\r\nGrbl 1.1h ['$' for help]\r\nALARM:9\r\n") is None
    assert made.feed(b"<Run|MPos:0.000,0.000,0.000>\r\n").state == "Run" and made.alarm == 9


def test_an_ok_that_was_owed_to_an_earlier_line_is_not_taken_for_the_answer():
    made = codec("$G")
    late = b"ok\r\n\r\nGrbl 1.1h ['$' for help]\r\n[MSG:Check Door]\r\nok\r\n"
    assert made.feed(late) is None
    reply = made.feed(b"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F1234 S0]\r\nok\r\n")
    assert feed_of(reply) == 1234
    assert codec("$$").feed(b"ok\r\n") is None and codec("$I").feed(b"ok\r\n") is None


@pytest.mark.parametrize("text, feed", [("F0 S0", 0), ("F500.0 S0", 500), ("S0 F81000.0", 81000), ("F7", 7)])
def test_the_feed_that_stands(text, feed):
    assert feed_of(Reply(lines=("[MSG:x]", f"[GC:G0 G54 T0 {text}]"))) == feed
    with pytest.raises(ProtocolError, match="without a feed"):
        feed_of(Reply(lines=("[GC:G0 G54]",)))


def test_settings_are_read_by_number():
    reply = codec("$$").feed(b"$0=10\r\n$11=0.010\r\n$100=250.000 (x, step/mm)\r\n$N0=G54\r\nok\r\n")
    assert settings_of(reply) == {0: 10.0, 11: 0.01, 100: 250.0}


@pytest.mark.parametrize(
    "asked, received",
    [
        (STATUS, b"<Idle|MPos:0.000,0.00,0.000|FS:0,0>\r\n"),  # a digit was lost
        (STATUS, b"<Idle|MPos:0.000,0.000|FS:0,0>\r\n"),
        (STATUS, b"<Idle|MPos:0.000,0.000,0.000|FS:0,0\r\n"),
        (STATUS, b"<Ilde|MPos:0.000,0.000,0.000>\r\n"),
        (STATUS, b"<Idle,MPos:0.000,0.000,0.000,WPos:0.000,0.000,0.000>\r\n"),  # GRBL 0.9
        ("G21", b"k\r\n"),
        ("G21", b"okok\r\n"),
        ("G21", b"error:\r\n"),
        ("G21", b"\x02" + b"00S?\x03\r\n"),
        ("G21", b"\xef\xeb\r\n"),
        ("G21", b"9" * 2000),
    ],
)
def test_what_grbl_never_says_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@given(st.sampled_from([STATUS, RESET, "$G", "$$", "G21"]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\r\n")
        except ProtocolError:
            made.reset()


@given(
    st.sampled_from(["Idle", "Run", "Jog", "Alarm", "Home"]),
    st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 1000), min_size=3, max_size=3),
    st.integers(0, 9999),
    st.integers(0, 9999),
    st.permutations(["Bf:15,128", "WCO:0.000,0.000,0.000", "Ov:100,100,100", "Pn:X"]),
)
def test_what_a_controller_reports_is_what_is_read(state, where, feed, speed, more):
    axes = ",".join(f"{value:.3f}" for value in where)
    said = codec(STATUS).feed(f"<{state}|MPos:{axes}|FS:{feed},{speed}|{'|'.join(more)}>\r\n".encode())
    assert (said.state, said.where, said.feed, said.speed) == (state, tuple(where), feed, speed)
