"""The notifier as the process that it is, beside a run's folder and with a web server of this machine as its target."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.journal import Journal, Presence
from labloop.journal.files import write_whole
from labloop.runner.folder import Order, create
from labloop.runner.notifier import SHOWN, shown, told_of
from labloop.runner.notifying import LOG, Notifying

from .listening import WITHIN_S, Listener, listening

CAMPAIGN = """
labloop: 1
campaign: cake
lab: lab.yaml
parameters: {q: {range: [1, 9]}}
outcomes: {height: {goal: maximize, from: told}}
trial: [{a.off: {}}]
"""
LAB = """
labloop: 1
instruments: {a: {driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "tcp://127.0.0.1:1"}}
notify:
  phone: {env: PHONE, about: [halted, alarm, finished, new_best], simulated: true}
  pager: {env: PAGER}
"""

class Told:
    """A run's folder, its journal, and the notifier beside it."""

    def __init__(self, folder: Path, live: bool = False) -> None:
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        (folder / "lab.yaml").write_text(LAB)
        self.folder, _, self.lab, opened = create(
            Order(campaign=folder / "campaign.yaml", run=folder / "run", live=live)
        )
        self.path = self.folder.path
        self.presence = Presence(self.path)
        self.journal = Journal.create(self.path / "journal.db")
        self.journal.append(opened)
        self.notifying = Notifying(self.path, self.lab, opened.mode)

    def start(self) -> "subprocess.Popen[bytes] | None":
        self.notifying.start(after=self.journal.last_seq)
        return self.notifying._notifier

    def end(self) -> None:
        """The runner is gone, by whatever: the kernel closes what it held."""
        self.presence.close()
        self.journal.close()
        self.notifying.close()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    with listening() as found:
        monkeypatch.setenv("PHONE", found.address)
        monkeypatch.delenv("PAGER", raising=False)
        yield found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Callable[..., Told]]:
    made: list[Told] = []

    def make(**how: Any) -> Told:
        made.append(Told(tmp_path, **how))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_facts_are_told_as_they_come_and_the_end_after_the_runner_has_gone(
    listener: Listener, told: Callable[..., Told]
) -> None:
    run = told()
    process = run.start()
    assert process is not None
    run.journal.append(e.RunStarted(), e.AlarmHeard(instrument="a", said="hot"))
    assert listener.next() == ("SIMULATED cake: alarm of a", "hot")
    run.journal.append(e.CampaignFinished(reason="all done"))
    run.end()
    assert listener.next() == ("SIMULATED cake: finished", "all done\nnothing was measured")
    assert process.wait(WITHIN_S) == 0
    assert shown(run.path)["phone"] | {"at": ""} == {"sent": 2, "failed": 0, "why": "", "at": ""}
    assert "phone: sent" in (run.path / LOG).read_text()
    for file in (LOG, SHOWN, "lab.yaml", "log.jsonl"):
        assert not (run.path / file).exists() or "token" not in (run.path / file).read_text()


def test_what_was_before_is_not_told_again(listener: Listener, told: Callable[..., Told]) -> None:
    run = told()
    run.journal.append(e.RunStarted(), e.AlarmHeard(instrument="a", said="old"), e.CampaignHalted(reason="old"))
    run.start()
    run.journal.append(e.RunStarted(resumed=True), e.AlarmHeard(instrument="a", said="new"))
    assert listener.next() == ("SIMULATED cake: alarm of a", "new")


def test_a_runner_that_ends_without_a_word_is_told(listener: Listener, told: Callable[..., Told]) -> None:
    run = told()
    run.start()
    run.journal.append(e.RunStarted())
    run.end()
    assert listener.next()[0] == "SIMULATED cake: RUNNER GONE"


@pytest.mark.parametrize("note, words", [
    ({"state": "acted", "unsafe": 0}, "The guard made the bench safe."),
    ({"state": "acted", "unsafe": 2}, "The bench is NOT safe: the guard could not make 2 things safe (guard.log)."),
    ({"state": "ended"}, "The guard has NOT said that the bench is safe."),
])  # fmt: skip
def test_of_a_live_run_it_is_told_what_the_guard_did(
    listener: Listener, told: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, note: dict[str, Any], words: str
) -> None:
    from labloop.journal import FileLock
    from labloop.journal.presence import GUARD_LOCK

    monkeypatch.setenv("PAGER", listener.address)
    run = told(live=True)
    run.start()
    run.journal.append(e.RunStarted())
    with FileLock.take(run.path / GUARD_LOCK, "the guard") as guard:
        run.end()
        guard.write(**note)
    for _ in ("phone", "pager"):
        title, body = listener.next()
        assert title == "cake: RUNNER GONE" and body.startswith(words)


def test_whom_nobody_can_tell_is_known_at_once(listener: Listener, told: Callable[..., Told]) -> None:
    run = told(live=True)
    process = run.start()
    assert process is not None
    run.end()
    assert process.wait(WITHIN_S) == 0
    assert shown(run.path).keys() == {"pager"} and "PAGER is not set" in str(shown(run.path)["pager"]["why"])


def test_a_start_that_was_refused_is_no_death(listener: Listener, told: Callable[..., Told]) -> None:
    run = told()
    process = run.start()
    assert process is not None
    run.end()
    assert process.wait(WITHIN_S) == 0
    assert listener.got.empty()


def test_another_runners_facts_are_left_to_its_own_notifier(listener: Listener, told: Callable[..., Told]) -> None:
    run = told()
    process = run.start()
    assert process is not None
    run.journal.append(e.RunStarted(), e.CampaignStopped(reason="lunch", exit_code=4, by="ann"))
    run.journal.append(e.RunStarted(resumed=True), e.AlarmHeard(instrument="a", said="not mine"))
    assert process.wait(WITHIN_S) == 0
    assert listener.next()[0] == "SIMULATED cake: stopped by ann" and listener.got.empty()


def test_who_is_told_of_what(told: Callable[..., Told]) -> None:
    lab = told().lab
    modes = ("live", "simulated", "virtual", "told")
    assert [told_of(lab, mode) for mode in modes] == [["phone", "pager"], ["phone"], [], []]


def test_without_anybody_to_tell_there_is_no_notifier(told: Callable[..., Told]) -> None:
    run = told()
    virtual = Notifying(run.path, run.lab, "virtual")
    virtual.start(after=1)
    assert virtual._notifier is None and not (run.path / LOG).exists()


def test_one_that_cannot_be_started_is_a_line_in_the_log(
    told: Callable[..., Told], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = told()
    monkeypatch.setattr(sys, "executable", str(run.path / "no-python"))
    assert run.start() is None
    assert "nobody is told of this run" in caplog.text


def test_how_targets_answered_may_be_damaged(told: Callable[..., Told]) -> None:
    run = told()
    assert shown(run.path) == {}
    write_whole(run.path / SHOWN, b"no json")
    assert "cannot be read" in str(shown(run.path)[SHOWN]["why"])
