"""The exchange on a line that misbehaves, in virtual time: no wrong value, ever, and no wait beyond the deadline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.bench import InProcessLink, LinkError, LinkInterrupted, LinkTimeout, ProtocolError
from tests.bench.lines import FakeTime, ScriptedLine, WordCodec, answers

DEADLINE_S = 1.0


def link_to(script):
    line = ScriptedLine(script)
    clock = FakeTime()
    return InProcessLink("test", line, clock), line, clock


def test_a_reply_in_time_is_the_answer_and_the_clock_stands_where_it_came():
    link, _, clock = link_to(answers(0.3, value="25.0"))
    assert link.exchange(WordCodec(), "value?", DEADLINE_S) == "25.0"
    assert clock.t_s == pytest.approx(0.3)


def test_a_silent_command_waits_for_nothing():
    link, line, clock = link_to(answers())
    assert link.exchange(WordCodec(), "set 3", DEADLINE_S) is None
    assert (line.heard, clock.t_s) == ([b"set 3"], 0.0)


def test_no_reply_at_all_ends_at_the_deadline():
    link, _, clock = link_to(answers())
    with pytest.raises(LinkTimeout, match=r"no whole answer to b'value\?\\r\\n' within 1 s \(nothing came\)"):
        link.exchange(WordCodec(), "value?", DEADLINE_S)
    assert clock.t_s == pytest.approx(DEADLINE_S)


def test_f1_a_late_reply_never_answers_the_next_question():
    late = [(1.5, b"value 100.0\r\n")]
    link, line, _ = link_to(answers(0.1, value=[late, "200.0", "300.0"]))
    codec = WordCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "200.0"
    assert link.exchange(codec, "value?", DEADLINE_S) == "300.0"
    assert line.heard == [b"value?", b"name?", b"value?", b"value?"]  # the probe found the place, once


def test_f1_a_reply_that_comes_while_the_probe_waits_is_passed_over():
    """The device answers in order: the late value comes just before the probe's name."""
    busy_until = [0.0]

    def script(line):
        word = line.decode().rstrip("?")
        busy_until[0] = max(busy_until[0], clock.t_s) + (1.3 if word == "value" and len(device.heard) == 1 else 0.1)
        value = {"value": f"{100.0 * len(device.heard)}", "name": "box"}[word]
        return [(busy_until[0] - clock.t_s, f"{word} {value}\r\n".encode())]

    link, device, clock = link_to(script)
    codec = WordCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "300.0"


def test_f2_a_split_frame_is_never_parsed():
    split = [(0.5, b"value 25.0"), (1.5, b"000\r\n")]
    link, _, _ = link_to(answers(0.1, value=[split, "30.0"]))
    codec = WordCodec()
    with pytest.raises(LinkTimeout, match=r"received b'value 25.0'"):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "30.0"


def test_f3_two_replies_glued_and_an_unsolicited_line():
    glued = [(0.1, b"value 1.0\r\nvalue 1.0\r\n")]
    link, _, _ = link_to(answers(0.1, value=[glued, "2.0", [(0.1, b"hello there\r\nvalue 9.0\r\n")], "4.0"]))
    codec = WordCodec()
    assert [link.exchange(codec, "value?", DEADLINE_S) for _ in range(2)] == ["1.0", "2.0"]
    with pytest.raises(ProtocolError, match=r"b'value\?\\r\\n' makes no sense: b'hello there'"):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "4.0"


def test_f3_an_answer_that_comes_once_more_later_is_dropped_before_the_next_question():
    twice = [(0.1, b"value 1.0\r\n"), (0.3, b"value 1.0\r\n")]
    link, _, clock = link_to(answers(0.1, value=[twice, "2.0"]))
    codec = WordCodec()
    assert link.exchange(codec, "value?", DEADLINE_S) == "1.0"
    clock.advance_to(0.5)
    assert link.exchange(codec, "value?", DEADLINE_S) == "2.0"
    assert ("dropped", b"value 1.0\r\n") in [(one.kind, one.data) for one in link.traffic]


@given(st.binary(min_size=1, max_size=80))
def test_f4_garbage_is_refused_and_the_next_value_is_right(noise):
    link, _, _ = link_to(answers(0.1, value=[[(0.1, noise + b"\r\n")], "7.0"]))
    codec = WordCodec()
    try:
        said = link.exchange(codec, "value?", DEADLINE_S)
    except (ProtocolError, LinkTimeout):
        pass
    else:
        assert noise.startswith(f"value {said}\r\n".encode()) or noise == f"value {said}".encode()
    assert link.exchange(codec, "value?", DEADLINE_S) == "7.0"


def test_f5_a_trickling_device_cannot_stretch_the_deadline():
    trickle = [(0.9 * n, b"v") for n in range(1, 30)]
    link, _, clock = link_to(answers(value=[trickle]))
    with pytest.raises(LinkTimeout):
        link.exchange(WordCodec(), "value?", DEADLINE_S)
    assert clock.t_s == pytest.approx(DEADLINE_S)


def test_f6_a_device_that_stays_silent_is_lost_each_time_and_answers_when_it_is_back():
    link, _, clock = link_to(answers(0.1, value=[[], "5.0"], name=[[], "box"]))
    codec = WordCodec()
    for n in (1, 2):
        with pytest.raises(LinkTimeout):
            link.exchange(codec, "value?", DEADLINE_S)
        assert clock.t_s <= n * DEADLINE_S + (n - 1) * 0.5 + 1e-9
    assert link.exchange(codec, "value?", DEADLINE_S) == "5.0"


@given(st.lists(st.sampled_from(["ok", "late", "split", "noise", "silent", "double"]), max_size=25))
def test_no_sequence_of_faults_gives_a_wrong_value(faults):
    """Each answer carries the number of its question; an accepted one must be its own."""
    left = list(faults)
    asked = [0]

    def script(line):
        if line == b"name?":
            return [(0.05, b"name box\r\n")]
        asked[0] += 1
        whole = f"value {asked[0]}.5\r\n".encode()
        fault = left.pop(0) if left else "ok"
        return {
            "ok": [(0.1, whole)],
            "late": [(1.2, whole)],
            "split": [(0.8, whole[:7]), (1.1, whole[7:])],
            "noise": [(0.1, b"\xff\x00" + whole)],
            "silent": [],
            "double": [(0.1, whole + whole)],
        }[fault]

    link, _, _ = link_to(script)
    codec = WordCodec()
    for _ in range(len(faults) + 2):
        before = asked[0]
        try:
            said = link.exchange(codec, "value?", DEADLINE_S)
        except (LinkTimeout, ProtocolError):
            continue
        assert said == f"{asked[0]}.5" and asked[0] == before + 1


def test_a_stop_goes_out_at_once_although_the_place_is_lost():
    link, line, _ = link_to(answers(0.1, value=[[], "3.0"]))
    codec = WordCodec()
    with pytest.raises(LinkTimeout):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "stop", DEADLINE_S) == "stopped"
    assert line.heard == [b"value?", b"stop"]
    assert link.exchange(codec, "value?", DEADLINE_S) == "3.0"
    assert line.heard[2:] == [b"name?", b"value?"]  # the debt stood, and was settled before the next question


def test_an_interrupted_link_sends_nothing_until_it_is_resumed():
    link, line, _ = link_to(answers(value="1.0"))
    link.interrupt()
    with pytest.raises(LinkInterrupted):
        link.exchange(WordCodec(), "value?", DEADLINE_S)
    assert line.heard == []
    link.resume()
    assert link.exchange(WordCodec(), "value?", DEADLINE_S) == "1.0"


def test_a_closed_link_says_so():
    link, _, _ = link_to(answers(value="1.0"))
    link.close()
    link.close()
    with pytest.raises(LinkError, match="test is closed"):
        link.exchange(WordCodec(), "value?", DEADLINE_S)


def test_the_traffic_keeps_the_last_two_hundred():
    link, _, _ = link_to(answers(value="1.0"))
    for _ in range(150):
        link.exchange(WordCodec(), "value?", DEADLINE_S)
    assert len(link.traffic) == 200
    assert [(one.kind, one.data) for one in link.traffic][-2:] == [
        ("sent", b"value?\r\n"),
        ("received", b"value 1.0\r\n"),
    ]


# --- the silence that an instrument wants -----------------------------------------------------------------------------


class SlowCodec(WordCodec):
    """An instrument that wants a quarter of a second of silence before it is spoken to."""

    gap_s = 0.25


def sent_at(link):
    return [one.at_s for one in link.traffic if one.kind == "sent"]


def test_silence_is_kept_after_an_answer_after_a_silent_command_and_before_a_stop():
    link, line, clock = link_to(answers(0.1, value="1.0"))
    codec = SlowCodec()
    for command in ("set 3", "value?", "stop", "set 3"):
        link.exchange(codec, command, DEADLINE_S)
    assert sent_at(link) == pytest.approx([0.0, 0.25, 0.25 + 0.1 + 0.25, 0.6 + 0.1 + 0.25])
    clock.advance_to(5.0)
    link.exchange(codec, "set 3", DEADLINE_S)
    assert sent_at(link)[-1] == 5.0 and len(line.heard) == 5


def test_silence_does_not_cost_the_exchange_its_deadline():
    link, _, clock = link_to(answers(0.9, value="1.0"))
    codec = SlowCodec()
    link.exchange(codec, "set 3", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "1.0"
    assert clock.t_s == pytest.approx(0.25 + 0.9)


def test_only_the_one_who_wants_silence_waits_for_it():
    link, _, _ = link_to(answers(0.1, value="1.0"))
    quick = WordCodec()
    link.exchange(SlowCodec(), "set 3", DEADLINE_S)
    link.exchange(quick, "set 3", DEADLINE_S)
    link.exchange(SlowCodec(), "set 3", DEADLINE_S)
    assert sent_at(link) == pytest.approx([0.0, 0.0, 0.25])


def test_the_probe_of_a_lost_place_keeps_the_silence_too():
    link, line, _ = link_to(answers(0.1, value=[[(0.1, b"noise\r\n")], "2.0"]))
    codec = SlowCodec()
    with pytest.raises(ProtocolError):
        link.exchange(codec, "value?", DEADLINE_S)
    assert link.exchange(codec, "value?", DEADLINE_S) == "2.0"
    assert line.heard == [b"value?", b"name?", b"value?"]
    assert sent_at(link) == pytest.approx([0.0, 0.1 + 0.25, 0.45 + 0.25])


def test_what_comes_into_the_silence_is_stale_and_does_not_stretch_it():
    chatter = [(0.1, b"value 1.0\r\n"), (0.2, b"value 8.0\r\n"), (0.3, b"value 9.0\r\n")]
    link, _, _ = link_to(answers(0.1, value=[chatter, "2.0"]))
    codec = SlowCodec()
    assert [link.exchange(codec, "value?", DEADLINE_S) for _ in range(2)] == ["1.0", "2.0"]
    assert sent_at(link) == pytest.approx([0.0, 0.35])


def test_an_interrupt_in_the_silence_keeps_the_command_back():
    link, line, _ = link_to(answers(0.1, value="1.0"))
    codec = SlowCodec()
    link.exchange(codec, "value?", DEADLINE_S)
    link.interrupt()
    with pytest.raises(LinkInterrupted):
        link.exchange(codec, "value?", DEADLINE_S)
    assert line.heard == [b"value?"]


def test_what_is_told_goes_out_at_once_and_its_answer_is_not_the_next_ones():
    def script(line):
        word = line.decode().rstrip("?")
        value = f"{len(device.heard)}.0" if word == "value" else "box"
        return [(0.04, f"{word} {value}\r\n".encode())]

    link, device, clock = link_to(script)
    first, second = WordCodec(), WordCodec()
    with pytest.raises(LinkTimeout):  # the line owes an answer, and what is told does not wait for it
        link.exchange(first, "value?", 0.01)
    said_s = clock.t_s
    link.tell(first, "stop")
    link.tell(second, "value?")
    assert clock.t_s == said_s and device.heard == [b"value?", b"stop", b"value?"]
    assert link.exchange(second, "value?", DEADLINE_S) == "4.0"
    link.interrupt()
    with pytest.raises(LinkInterrupted):
        link.tell(first, "stop")


# --- what an instrument says of its own accord ------------------------------------------------------------------------


class ListeningCodec(WordCodec):
    """``start`` is silent; from then on the instrument says its value whenever it likes."""

    def listens(self, command):
        return command == "listen"

    def encode(self, command):
        if command != "listen":
            return super().encode(command)
        self._asked = "value"
        return []

    def expects_reply(self, command):
        return command != "start"


def test_what_comes_of_its_own_accord_is_kept_for_who_listens():
    stream = [(0.1, b"value 1.0\r\nval"), (0.2, b"ue 2.0\r\n"), (0.9, b"value 3.0\r\n")]
    link, line, clock = link_to(lambda message: stream if message == b"start" else [])
    codec = ListeningCodec()
    link.exchange(codec, "start", DEADLINE_S)
    clock.advance_to(0.5)
    assert [link.exchange(codec, "listen", 0.0) for _ in range(3)] == ["1.0", "2.0", None]
    assert clock.t_s == 0.5, "what is there already is not waited for"
    assert link.exchange(codec, "listen", 1.0) == "3.0" and clock.t_s == pytest.approx(0.9)
    assert link.exchange(codec, "listen", 1.0) is None and clock.t_s == pytest.approx(1.9)
    assert line.heard == [b"start"], "listening says nothing"


def test_listening_in_vain_owes_nothing():
    link, line, _ = link_to(answers(0.1, value="1.0"))
    codec = ListeningCodec()
    assert link.exchange(codec, "listen", 0.2) is None
    assert link.exchange(codec, "value?", DEADLINE_S) == "1.0" and line.heard == [b"value?"]


def test_noise_and_an_interrupt_are_told_to_who_listens():
    link, _, _ = link_to(lambda message: [(0.1, b"noise\r\n")])
    codec = ListeningCodec()
    link.exchange(codec, "start", DEADLINE_S)
    with pytest.raises(ProtocolError, match=r"^test: what it says makes no sense: b'noise'"):
        link.exchange(codec, "listen", DEADLINE_S)
    link.interrupt()
    with pytest.raises(LinkInterrupted):
        link.exchange(codec, "listen", DEADLINE_S)
