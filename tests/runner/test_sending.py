"""Messages to a target: apprise itself, sending to a web server on this machine, and why nobody waits for it."""

import threading
from collections.abc import Iterator

import apprise
import pytest

from labloop.campaign.errors import SpecError
from labloop.runner.notices import Notice
from labloop.runner.sending import ANSWER_S, LONGEST, MOST, Outbox, Send, masked, send_by_apprise

from .listening import WITHIN_S, Listener, listening


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


class Said:
    """What an outbox said of its messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, why: str) -> None:
        self.lines.append(why)


def outbox(
    address: str, said: Said, send: Send = send_by_apprise, tries: int = 1, deadline_s: float = WITHIN_S
) -> Outbox:
    return Outbox("phone", lambda: address, "SIMULATED agnp", said, send, [0.0] * (tries - 1), deadline_s, 0.0)


def test_apprise_sends_it(listener: Listener) -> None:
    box = outbox(listener.address, said := Said())
    box.put(Notice("halted", "HALTED", "pump_seed is in doubt\nGo on with: labloop resume run"))
    assert box.deliver()
    assert listener.next() == ("SIMULATED agnp: HALTED", "pump_seed is in doubt\nGo on with: labloop resume run")
    assert said.lines == [""]


def test_a_server_may_take_its_time_as_its_answer_comes_after_it_has_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def notify(self: apprise.Apprise, **words: object) -> bool:
        waits.extend(server.socket_read_timeout for server in self)
        return True

    monkeypatch.setattr(apprise.Apprise, "notify", notify)
    assert send_by_apprise("json://127.0.0.1:1", "", "b") == send_by_apprise("json://127.0.0.1:1?rto=7", "", "b") == ""
    assert waits == [ANSWER_S, 7.0]


def test_it_is_tried_again_and_why_it_failed_is_said_without_the_address(listener: Listener) -> None:
    listener.answers = [500, 403]
    box = outbox(listener.address, said := Said(), tries=3)
    box.put(Notice("alarm", "lost", "hotplate"))
    assert box.deliver()
    assert [listener.next() for _ in range(3)] == [("SIMULATED agnp: lost", "hotplate")] * 3
    first, second, sent = said.lines
    assert "was not sent (try 1)" in first and "500" in first and "403" in second and sent == ""
    assert "token" not in first + second


def test_it_is_given_up_in_the_end(listener: Listener) -> None:
    listener.answers = [500] * 9
    box = outbox(listener.address, said := Said(), tries=2)
    box.put(Notice("alarm", "lost"))
    assert not box.deliver()
    assert len(said.lines) == 2


@pytest.mark.parametrize("address, why", [
    ("nothing-that-apprise-knows", "none that apprise knows"),
    ("json://ann:tokenA@127.0.0.1:1/tokenB", "***"),
])  # fmt: skip
def test_a_wrong_address_is_said_and_not_shown(address: str, why: str) -> None:
    box = outbox(address, said := Said())
    box.put(Notice("alarm", "lost"))
    assert not box.deliver()
    assert why in said.lines[0] and "token" not in said.lines[0]


def test_a_server_that_never_answers_is_left_behind() -> None:
    let_go, tries = threading.Event(), []

    def hang(address: str, title: str, body: str) -> str:
        tries.append(title)
        let_go.wait(WITHIN_S)
        return ""

    box = outbox("", said := Said(), hang, tries=3, deadline_s=0.01)
    box.put(Notice("alarm", "lost"))
    assert not box.deliver()
    let_go.set()
    assert len(tries) == 1  # threads that hang do not pile up
    assert "no answer within 0.01 s" in said.lines[0] and "still hangs" in said.lines[1]


@pytest.mark.parametrize("error, why", [
    (SpecError("the environment variable PHONE is not set here"), "PHONE is not set"),
    (RuntimeError("slack://tokenA"), "RuntimeError in apprise"),
])  # fmt: skip
def test_whatever_is_raised_ends_the_try_and_not_the_thread(error: Exception, why: str) -> None:
    def fail(address: str, title: str, body: str) -> str:
        raise error

    box = outbox("", said := Said(), fail)
    box.put(Notice("alarm", "lost"))
    assert not box.deliver()
    assert why in said.lines[0] and "tokenA" not in said.lines[0]


def test_what_waits_is_one_message_the_gravest_first(listener: Listener) -> None:
    box = outbox(listener.address, Said())
    for about, title, words in (("new_best", "trial 3", "0.2"), ("halted", "HALTED", "a question"), ("alarm", "A", "")):
        box.put(Notice(about, title, words))
    box.deliver()
    assert listener.next() == ("SIMULATED agnp: A (and 2 more)", "HALTED\na question\n\ntrial 3\n0.2")


def test_too_much_is_dropped_from_the_least_grave_on(listener: Listener) -> None:
    box = outbox(listener.address, Said())
    box.put(Notice("alarm", "first"))
    for number in range(MOST):
        box.put(Notice("new_best", f"trial {number}", "x" * 100))
    box.put(Notice("halted", "HALTED", "why"))
    box.deliver()
    title, body = listener.next()
    assert title == f"SIMULATED agnp: first (and {MOST - 1} more)"
    assert body.startswith("HALTED\nwhy\n\ntrial 2\n") and body.endswith("...\n\n2 messages more were dropped")
    assert len(body) < LONGEST + 100


def test_what_an_instrument_said_cannot_steer_anything(listener: Listener) -> None:
    box = outbox(listener.address, Said())
    box.put(Notice("alarm", "alarm of a\x1b[2J", "b'\x1b]0;x\x07'\nsecond line"))
    box.deliver()
    title, body = listener.next()
    assert "\x1b" not in title + body and "\x07" not in body and body.endswith("\nsecond line")


def test_it_works_by_itself_and_ends_when_all_is_told(listener: Listener) -> None:
    box = outbox(listener.address, said := Said())
    box.start()
    box.put(Notice("finished", "finished"))
    assert listener.next()[0] == "SIMULATED agnp: finished"
    box.put(Notice("alarm", "RUNNER GONE"))
    box.close()
    assert box.join(WITHIN_S)
    assert said.lines == ["", ""]


def test_every_part_of_an_address_is_masked() -> None:
    said = masked("POST https://hooks.example.com/T0/B11/secret?key=abc failed\x1b", "slack://T0/B11/secret?key=abc")
    assert "secret" not in said and "abc" not in said and "B11" not in said and "\x1b" not in said
