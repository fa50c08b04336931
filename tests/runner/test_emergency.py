"""The safe state at a person's word where no runner answers: whatever is damaged, whoever is at it already."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.journal import Journal, Presence, StoreError, guard_left_unsafe, inbox, locks
from labloop.runner import left, registry, wishes
from labloop.runner.book import BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.emergency import act_now
from labloop.runner.lease import Lease, holder
from tests.runner.watched_bench import STOPPED, WITHIN_S, Bench

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys, pidfd, flock")


def test_an_abort_where_runner_and_guard_are_gone_does_what_the_guard_does(bench: Any) -> None:
    it = bench()
    it.left_alone()
    assert act_now(it.run, "abort by ann").words == "the bench is safe (stopped: a)", "a hung one is ended first"
    assert it.runner.wait(WITHIN_S) == -signal.SIGKILL
    assert it.device.heard == STOPPED
    (acted,) = it.acts()
    assert acted.why.startswith("abort by ann; the runner") and "hung" in acted.why
    again = act_now(it.run, "abort by bob")
    assert again.safe and "has made it safe already" in again.words and it.device.heard == STOPPED, "nobody has had it"


def altered(run: Path) -> None:
    with closing(sqlite3.connect(run / "journal.db")) as connection, connection:
        connection.execute("DROP TRIGGER events_no_update")
        connection.execute("UPDATE events SET body = '{}' WHERE seq = 2")


def overwritten(run: Path) -> None:
    for log in run.glob("journal.db-*"):
        log.unlink()
    (run / "journal.db").write_bytes(bytes(4096))


def no_text(run: Path) -> None:
    with closing(sqlite3.connect(run / "journal.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray((run / "journal.db").read_bytes())
    at = data.index(b"tableevents")
    data[at + 7] = data[at + 14] = 0xF2
    (run / "journal.db").write_bytes(data)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "an altered row": altered,
    "another file": overwritten,
    "no file": lambda run: (run / "journal.db").unlink(),
    "the campaign": lambda run: (run / "campaign.yaml").write_text("x: 1\n"),
    "the lab": lambda run: (run / "lab.yaml").write_text("x: 1\n"),
    "no text in the journal": no_text,
    "no text in the runner's lock": lambda run: (run / "runner.lock").write_bytes(b'{"pid": 1, "started": "\xff"}'),
    "no text in the lease": lambda run: (run.parent / "bench.lease").write_bytes(b'{"epoch": 1, "run": "\xff"}'),
    "an empty lease": lambda run: (run.parent / "bench.lease").write_bytes(b""),
    "no lease": lambda run: (run.parent / "bench.lease").unlink(),
}


def test_no_damage_in_a_runs_folder_keeps_an_abort_from_the_bench(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = bench(value="1.5")
    it.dead()
    monkeypatch.setenv("XDG_STATE_HOME", str(it.folder / "state"))
    whole, lease = it.folder / "whole", (it.folder / "bench.lease").read_bytes()
    it.run.rename(whole)
    for damage, do in DAMAGES.items():
        shutil.copytree(whole, it.run)
        (it.folder / "bench.lease").write_bytes(lease)
        do(it.run)
        registry.enter(it.run)
        assert registry.left() == [it.run.resolve()], damage
        reply = wishes.ask(it.run, "abort", [], by="ann", why="")
        assert reply.accepted and reply.safe and reply.message.startswith("the bench is safe (stopped: a)"), damage
        unread = damage in ("an altered row", "another file", "no file", "no text in the journal")
        assert ("the run's journal cannot be read" in reply.message) == unread, damage
        assert ("lab.yaml as it lies" in reply.message) == unread, damage
        assert it.device.heard == STOPPED and it.acts()[-1].errors == [], damage
        assert registry.left() == [], damage
        it.device.heard.clear()
        shutil.rmtree(it.run)
    assert len(it.acts()) == len(DAMAGES)
    noted = [one for one in caplog.records if "not written into the run's journal" in one.getMessage()]
    assert noted and not any(one.exc_info for one in noted), "a person is told in a line, without a traceback"
    whole.rename(it.run)
    (it.run / "origin.json").unlink()
    registry.enter(it.run)
    for _ in range(2):
        assert registry.left() == [it.run.resolve()], "where its bench is nobody knows: it stays"
    with pytest.raises(SpecError, match="does not say where the lab's folder lies"):
        wishes.ask(it.run, "abort", [], by="ann", why="")


def test_an_abort_without_a_runner_is_told_a_start_that_is_on_its_way(bench: Any) -> None:
    it = bench()
    it.dead()
    assert wishes.ask(it.run, "abort", [], by="ann", why="smoke").safe
    with Journal.open(it.run / "journal.db") as journal:
        wish, said = (one.event for one in list(journal.records())[-2:])
        assert (wish.request, wish.by, wish.why, said.id, said.accepted) == ("abort", "ann", "smoke", wish.id, True)
        with Presence(it.run):  # it has the run, and waits for the bench which another abort makes safe

            def sleep(seconds: float) -> None:
                for one in inbox.take(it.run / "requests", asked)[0]:
                    asked.append(one.id)
                    journal.append(
                        e.Requested(id=one.id, request="abort", by=one.by),
                        e.RequestAnswered(id=one.id, accepted=True, message="heard"),
                        e.SafeStateReached(why="abort by bob"),
                    )

            asked: list[str] = []
            looked = iter(["gone"])
            with pytest.MonkeyPatch.context() as was:
                was.setattr(wishes, "_look", lambda folder: next(looked, "alive"))
                reply = wishes.ask(it.run, "abort", [], by="bob", why="", sleep=sleep)
    assert (reply.message, reply.safe, len(asked)) == ("heard", True, 1)


def dead(it: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runner and guard are killed; the run, as the registry of this user knows it."""
    it.dead()
    monkeypatch.setenv("XDG_STATE_HOME", str(it.folder / "state"))
    registry.enter(it.run)
    return it.run.resolve()


def test_who_dies_over_making_the_bench_safe_leaves_it_to_the_next_abort(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench()
    run = dead(it, monkeypatch)
    take = "from pathlib import Path; from sys import argv; from labloop.runner.lease import Lease; "
    take += "Lease.take(Path(argv[1]), argv[2], 'guard')"
    subprocess.run([sys.executable, "-c", take, it.folder, run], check=True)
    assert holder(it.folder).by == "guard" and registry.left() == [run]
    reply = wishes.ask(it.run, "abort", [], by="ann", why="")
    assert (reply.accepted, reply.safe) == (True, True) and reply.message == "the bench is safe (stopped: a)"
    assert it.device.heard == STOPPED and registry.left() == []


def test_what_a_guard_could_not_make_safe_every_abort_tries_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    it = bench(name="kettle")
    monkeypatch.setenv("XDG_STATE_HOME", str(it.folder / "state"))
    registry.enter(it.run)
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    it.gone(it.guard)
    held = holder(it.folder)
    assert held is not None and held.pid == 0 and not held.released
    for tried in (2, 3):  # this process goes on, as a dashboard does
        assert registry.left() == [it.run.resolve()]
        reply = wishes.ask(it.run, "abort", [], by="ann", why="")
        assert (reply.accepted, reply.safe) == (True, False) and "the bench is NOT safe" in reply.message
        assert it.device.heard == [b"name?"] * 2 * tried, "whoever answers as another is asked twice"


def test_what_a_run_that_ended_in_order_could_not_make_safe_an_abort_does_and_claims_nothing(bench: Any) -> None:
    it = bench()
    it.dead()
    run = str(it.run.resolve())
    with closing(BenchBook.open(it.folder, "lab", utc_stamp)) as book:
        book.take_lease(run, "live", {})
        book.release_lease(run, {}, failed=True)
    done = act_now(it.run, "abort by ann")
    assert done is not None and done.safe and it.device.heard == STOPPED
    assert guard_left_unsafe(it.run) == 0, "status says so"
    with closing(BenchBook.open(it.folder, "lab", utc_stamp)) as book:
        assert [act.run for _, act in book.state.guard_acts] == [run]
        (it.folder / "other").mkdir()
        book.take_lease(str(it.folder / "other"), "live", {})  # BenchOwes, where the run had to be taken up first


def test_an_abort_waits_for_the_guard_that_is_at_it_and_says_what_it_came_to(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = bench()
    run = dead(it, monkeypatch)
    clock = iter(range(1000))

    def at_it(*steps: Callable[[], Any]) -> Any:
        """What an abort says while a guard (this process) goes through these steps."""
        left = list(steps)
        return act_now(it.run, "abort by ann", 10.0, lambda: next(clock), lambda _: left.pop(0)() if left else None)

    with locks.FileLock.take(it.run / "guard.lock", "a guard") as lock:
        lock.write(state="acting")
        assert registry.left() == [run], "it is not through yet"
        said = at_it()
        assert not said.safe and f"the run's guard (process {os.getpid()}) has it, and is not through" in said.words
        assert "(kill -9), and say abort again" in said.words
        lock.write(state="watching", beat_s=time.monotonic() + WITHIN_S)
        assert "the run's guard" in at_it().words, "it is about to act"
        lock.write(state="acting")
        lease = Lease.take(it.folder, str(run), "guard")
    assert "whoever makes it safe" in at_it().words
    said = at_it(lambda: None, lease.release)
    assert said.safe and "has made it safe already" in said.words and it.device.heard == []
    lease = Lease.take(it.folder, str(run), "guard")
    said = at_it(lambda: lease.release(failed=True))
    assert said.safe and "stopped: a" in said.words and it.device.heard == STOPPED, "what it could not is done here"
    lease = Lease.take(it.folder, str(run), "guard")
    said = at_it(lambda: Lease.take(it.folder, "another", "runner"))
    assert not said.safe and "somebody else has the bench: runner (another" in said.words
    assert at_it() is None, "and then it is no concern of this run's"


def test_a_run_that_cannot_be_looked_at_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.mkdir()
    (bad / "runner.lock").symlink_to(bad / "runner.lock")
    registry.enter(bad)
    with Presence(good):
        registry.enter(good)
        for _ in range(2):
            assert (registry.left(), registry.living(), registry.killed()) == ([bad], [good], [])
    with pytest.raises(SpecError, match="does not say where the lab's folder lies"):
        wishes.ask(bad, "abort", [], by="ann", why="")
    (bad / "runner.lock").unlink()
    Journal.create(good / "journal.db").close()
    for reads in (registry.s, left):
        monkeypatch.setattr(reads, "fold", lambda _: {}["a damage that nobody has thought of"])
    assert registry.left() == [bad, good]


def test_an_abort_that_nobody_answers_says_who_makes_the_bench_safe(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "journal.db"), Presence(tmp_path):
        reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", wait_s=0.0)
        assert (reply.accepted, reply.safe) == (None, None) and "it has no guard, and another abort" in reply.message
        with locks.FileLock.take(tmp_path / "guard.lock", "a guard"):
            reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", wait_s=0.0)
        assert "its guard makes the bench safe then, and so does another" in reply.message
        assert "guard" not in wishes.ask(tmp_path, "pause", [], by="ann", why="", wait_s=0.0).message


def test_an_abort_that_a_living_runner_heard_is_told_without_its_journal(tmp_path: Path) -> None:
    """What it wrote cannot be read: that it ended can be seen all the same."""
    (tmp_path / "journal.db").write_bytes(bytes(4096))
    (tmp_path / "origin.json").write_text(json.dumps({"lab_folder": str(tmp_path)}))
    runner = Presence(tmp_path)
    Lease.take(tmp_path, str(tmp_path), "runner").release()

    def sleep(seconds: float) -> None:
        assert [wish.request for wish in inbox.take(tmp_path / "requests")[0]] == ["abort"]
        runner.close()

    reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", sleep=sleep)
    assert reply.accepted and "the run has ended" in reply.message and "journal.db: is damaged" in reply.message
    assert reply.safe, "it gave its bench back"
    (tmp_path / "bench.lease").unlink()
    with pytest.raises(StoreError, match=r"lab\.yaml: cannot read what stands on the bench"):  # it was to be made safe
        wishes.ask(tmp_path, "abort", [], by="ann", why="")
    with pytest.raises(StoreError, match="is damaged"):
        wishes.ask(tmp_path, "pause", [], by="ann", why="")


@pytest.mark.parametrize("errors, safe", [([], True), (["a.stop: it sticks"], False), (None, None)])
def test_of_an_abort_that_was_granted_it_is_said_whether_the_bench_is_safe(
    tmp_path: Path, errors: list[str] | None, safe: bool | None
) -> None:
    (tmp_path / "origin.json").write_text(json.dumps({"lab_folder": str(tmp_path)}))
    with Journal.create(tmp_path / "journal.db") as journal, Presence(tmp_path) as runner:
        journal.append(
            e.CampaignOpened(
                campaign="c", run_id="1", version="1", mode="live", seed=1, speed=1.0, campaign_sha256="", lab_sha256=""
            ),
            e.RunStarted(),
            e.SafeStateReached(why="the end", errors=["an earlier start: it stuck"]),
            e.RunStarted(resumed=True),
            e.SafeStateReached(why="its runner was gone", errors=["an earlier start: nobody knows"], by="guard"),
        )
        Lease.take(tmp_path, str(tmp_path / "another"), "runner").release()

        def grant() -> None:
            (wish,) = inbox.take(tmp_path / "requests")[0]
            journal.append(
                e.Requested(id=wish.id, request="abort", arguments=[], by="ann", why=""),
                e.RequestAnswered(id=wish.id, accepted=True, message="to the safe state now"),
            )

        def reach() -> None:
            if errors is None:
                runner.close()
            else:
                journal.append(e.SafeStateReached(why="abort by ann", errors=errors))

        steps = iter((grant, reach))
        reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", now=lambda: 0.0, sleep=lambda _: next(steps, int)())
    assert (reply.accepted, reply.safe) == (True, safe)
    assert ("the bench is NOT safe: a.stop: it sticks" in reply.message) == (safe is False)
    assert ("nobody knows whether the bench is safe" in reply.message) == (safe is None)


def test_an_abort_of_a_run_that_rests_on_a_bench_that_it_could_not_make_safe_tries_again(bench: Any) -> None:
    """It has no line in its hands: it ended, and what it could not do an hour ago was told for what was done now."""
    it = bench()
    it.dead()
    with Journal.open(it.run / "journal.db") as journal, Presence(it.run) as runner:
        journal.append(
            e.RunStarted(), e.CampaignPaused(reason="lunch", by="ann"),
            e.SafeStateReached(why="nobody said resume", errors=["a.stop: its line was out"]),
        )  # fmt: skip

        def grant() -> None:
            (wish,) = inbox.take(it.run / "requests")[0]
            journal.append(
                e.Requested(id=wish.id, request="abort", by="bob"),
                e.RequestAnswered(id=wish.id, accepted=True, message="to the safe state now"),
                e.CampaignStopped(reason="abort by bob", exit_code=4),
            )
            inbox.done(it.run / "requests", wish.id)
            journal.close()

        steps = iter((grant, runner.close))
        reply = wishes.ask(it.run, "abort", [], by="bob", why="", sleep=lambda _: next(steps, int)())
    assert (reply.accepted, reply.safe) == (True, True) and it.device.heard == STOPPED


def test_an_abort_that_a_killed_runner_did_not_come_to_read_does_not_end_the_next_start(bench: Any) -> None:
    it = bench()
    it.dead()
    id = inbox.post(it.run / "requests", "abort", by="ann")
    assert wishes.ask(it.run, "abort", [], by="ann", why="", id=id).safe and it.device.heard == STOPPED
    assert not list((it.run / "requests").glob("*.json"))


@pytest.mark.parametrize("waits", [False, True])
def test_an_abort_that_a_runner_did_not_read_any_more_when_it_ended_ends_only_a_start_that_waited_for_it(
    tmp_path: Path, waits: bool
) -> None:
    (tmp_path / "origin.json").write_text(json.dumps({"lab_folder": str(tmp_path)}))
    Lease.take(tmp_path, str(tmp_path), "runner").release()
    started: list[Presence] = []
    with Journal.create(tmp_path / "journal.db") as journal:
        journal.append(e.CampaignOpened(
            campaign="c", run_id="1", version="1", mode="live", seed=1, speed=1.0, campaign_sha256="", lab_sha256=""
        ))  # fmt: skip
        runner = Presence(tmp_path)

        def sleep(seconds: float) -> None:
            if seconds == wishes.LOOK_S:
                runner.close()
            elif waits:
                started.append(Presence(tmp_path))
            if started and (there := inbox.take(tmp_path / "requests", known)[0]):
                known.append(there[0].id)
                journal.append(
                    e.Requested(id=there[0].id, request="abort", by="ann"),
                    e.RequestAnswered(id=there[0].id, accepted=True, message="heard"),
                    e.SafeStateReached(why="abort by ann"),
                )

        known: list[str] = []
        reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", sleep=sleep)
    assert reply.accepted and reply.safe and ("heard" if waits else "the run has ended") in reply.message
    assert waits or not list((tmp_path / "requests").glob("*.json"))
    assert bool(known) == waits == bool(started)
    for one in started:
        one.close()
