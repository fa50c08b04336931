"""A service is ended in good time, whatever its drivers do, and says what it leaves."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from labloop.bench import Progress, Verdict
from labloop.bench import lab as labs
from labloop.bench import port as ports
from labloop.campaign import events as e
from labloop.runner import by_hand, hand_act, serving
from labloop.runner.book import BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.signals import Heeded
from tests.runner.test_by_hand import heater

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")

PATIENCE_S = 20.0  # far beyond what is waited for here, far below what a driver that hangs was given


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """What does not return before the test is over; and nobody waits long for it."""
    for room in (labs, hand_act):
        monkeypatch.setattr(room, "SAFE_S", 1.0)
    for name, seconds in (("SILENT_S", 0.1), ("LET_GO_S", 0.1)):
        monkeypatch.setattr(ports, name, seconds)
    returns = threading.Event()
    yield lambda *_: returns.wait(60.0)
    returns.set()


@contextmanager
def terminated(when: Callable[[], bool]) -> Iterator[None]:
    """SIGTERM comes when that is so."""

    def wait() -> None:
        while not when():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    began_s = time.monotonic()
    ending = threading.Thread(target=wait)
    ending.start()
    yield
    ending.join()
    assert time.monotonic() - began_s < PATIENCE_S


def served(lab: Any, said: list[str]) -> list[str]:
    with Heeded() as signals:
        errors = serving.serve_bench(
            lab, live=True, node="n", host="127.0.0.1", port=0, own_key=None, allow=None, read_only=False,
            ended=signals.heed, at_once=signals.at_once, said=said.append, by="ann",
        )  # fmt: skip
        assert signals.heed() == "ended by SIGTERM"
    return errors


@pytest.mark.parametrize("first", ["open", "configure"])
def test_one_that_hangs_before_it_serves_is_ended_and_its_bench_made_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: Callable[..., Any], first: str
) -> None:
    began = threading.Event()

    def hangs(*_: Any) -> Any:
        began.set()
        return hang()

    with heater(tmp_path) as (device, lab):
        opened = by_hand.open_lab

        def opens(*how: Any) -> Any:
            found = opened(*how)
            setattr(found.instruments["a"]._driver, first, hangs)
            return found

        monkeypatch.setattr(by_hand, "open_lab", opens)
        said: list[str] = []
        with terminated(began.is_set):
            assert served(lab, said) == []
    assert said == [], "it has not begun"
    assert b"stop" in device.heard


def test_a_stop_that_hangs_is_named_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: Callable[..., Any]
) -> None:
    with heater(tmp_path) as (_, lab):
        opened = by_hand.open_lab

        def opens(*how: Any) -> Any:
            found = opened(*how)
            found.instruments["a"]._driver.stop = hang
            return found

        monkeypatch.setattr(by_hand, "open_lab", opens)
        said: list[str] = []
        with terminated(lambda: bool(said)):
            errors = served(lab, said)
        assert errors == ["a.stop: its port did not answer in time"]
        with closing(BenchBook.open(lab.folder, lab.name, utc_stamp)) as book:
            notes = [one.event for one in book.journal.records() if isinstance(one.event, e.NoteTaken)]
    assert [one.text for one in notes] == [f"{serving.NOT_SAFE} {errors[0]}"]


def test_an_act_whose_stop_hangs_is_asked_about_past_it(tmp_path: Path, hang: Callable[..., Any]) -> None:
    began = threading.Event()

    def at_it(*_: Any) -> Progress:
        began.set()
        return Progress(done=False, again_in_s=0.05)

    with heater(tmp_path) as (_, lab), by_hand.hand_bench(lab, live=True) as bench:
        driver = bench.lab.instruments["a"]._driver
        driver.progress, driver.stop = at_it, hang
        driver.happened = lambda *_: Verdict(state="partial", why="", achieved={"amount": e.Amount(3.0, "")})
        with terminated(began.is_set), pytest.raises(KeyboardInterrupt, match="its port did not answer in time"):
            by_hand.act(bench, "a", "off", {}, "ann")
        (ended,) = (
            one.event for one in bench.book.journal.records() if isinstance(one.event, e.ByHand) and one.event.failed
        )
    assert ended.achieved == {"amount": e.Amount(3.0, "")}
