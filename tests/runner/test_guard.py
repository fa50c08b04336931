"""The guard, on a runner that holds a bench of ptys: when it acts, when it does not, and what it leaves behind."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from labloop.bench.rescue import Rescue
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.events import Record
from labloop.journal import Journal, Presence, Reader, StoreError, guard_left_unsafe, inbox, locks, look_at_guard
from labloop.journal.presence import last_runner
from labloop.runner import guard as guards
from labloop.runner import mark, registry, wishes
from labloop.runner.book import NO_WORD, BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.emergency import act_now
from labloop.runner.guard import Guard, Watched, end_process
from labloop.runner.lease import Lease, holder
from labloop.runner.mark import untouched
from labloop.runner.notes import hold_against
from tests.bench.lines import PtyDevice, answers
from tests.bench.test_rescue import HEATER, SOUND

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys, pidfd, flock")

WITHIN_S = 300.0
# A runner that a busy computer keeps waiting does not hang.
NEVER_S = 600.0
NOBODY = locks.Holder(pid=0, started="", host="")
CAMPAIGN = """
labloop: 1
campaign: watched
lab: lab.yaml
parameters:
  q: {range: [1, 9]}
outcomes:
  warmth: {goal: maximize, from: told}
trial:
  - a.off: {}
"""


def wait_for(what: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    until_s = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.005)
    return found


class Bench:
    """A lab of one heater on a pty, and the runner that holds it."""

    def __init__(self, folder: Path, stack: ExitStack, hung_after_s: float = NEVER_S, **values: Any) -> None:
        self.folder, self.run = folder, folder / "run"
        self.device = PtyDevice(answers(**(SOUND | values)))
        stack.callback(self.device.unplug)
        (folder / "drivers").mkdir()
        (folder / "drivers" / "hot.py").write_text(HEATER.replace("\n    ", "\n"))
        lab = f'labloop: 1\ninstruments: {{a: {{driver: "drivers.hot:Heater", port: "serial://{self.device.path}"}}}}\n'
        (folder / "lab.yaml").write_text(lab)
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "tests.runner.watched", folder / "campaign.yaml", self.run, str(hung_after_s)],
            stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        stack.callback(self._end)
        self.guard = self.next_guard(0)

    def _end(self) -> None:
        for pid in {self.runner.pid, *self.guards()}:
            if pid == self.runner.pid or locks.process_started(pid) is not None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.runner.communicate()

    def facts(self, kind: type) -> list[Any]:
        try:
            with Reader(self.run / "journal.db") as reader:
                return [record.event for record in reader.records() if isinstance(record.event, kind)]
        except StoreError:
            return []

    def guards(self) -> list[int]:
        return [fact.pid for fact in self.facts(e.GuardStarted)]

    def next_guard(self, before: int) -> int:
        """The process of the guard that came after ``before`` others."""
        found: int = wait_for(lambda: self.guards()[before:])[0]
        return found

    def records(self) -> list[Record]:
        with Reader(self.folder / "bench.db") as reader:
            return list(reader.records())

    def acts(self) -> list[e.GuardActed]:
        return [record.event for record in self.records() if isinstance(record.event, e.GuardActed)]

    def say(self, word: str) -> None:
        assert self.runner.stdin is not None
        self.runner.stdin.write(word + "\n")
        self.runner.stdin.flush()

    def left_alone(self) -> None:
        """The guard is dead, and the runner stands still, so that it begins no other."""
        os.kill(self.runner.pid, signal.SIGSTOP)
        os.waitpid(self.runner.pid, os.WUNTRACED)
        os.kill(self.guard, signal.SIGKILL)
        self.gone(self.guard)

    def gone(self, pid: int) -> None:
        wait_for(lambda: locks.process_started(pid) is None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:
        yield lambda **values: Bench(tmp_path, stack, **values)


STOPPED = [b"name?", b"value?", b"warm?", b"set 0", b"stop", b"value?"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP], ids=lambda how: how.name)
def test_it_makes_the_bench_safe_when_its_runner_is_gone_or_hangs(bench: Any, how: signal.Signals) -> None:
    it = bench(value=["1.5", "2.5"], hung_after_s=1.0 if how == signal.SIGSTOP else NEVER_S)
    assert look_at_guard(it.run) == "alive" and it.device.heard == []
    it.runner.send_signal(how)
    it.gone(it.guard)
    assert it.device.heard == STOPPED
    assert it.runner.wait(WITHIN_S) == -(signal.SIGKILL if how == signal.SIGSTOP else how), "a hung runner is ended"
    (acted,) = it.acts()
    assert ("hung: its heart stood still" in acted.why) == (how == signal.SIGSTOP)
    assert str(it.runner.pid) in acted.why and acted.errors == [] and acted.run == str(it.run.resolve())
    seen = acted.found["a"]
    assert (seen.state, seen.before["moved"].value, seen.after["moved"].value) == ("stopped", 1.5, 2.5)
    kinds = [type(record.event).__name__ for record in it.records()]
    assert kinds[-3:] == ["LeaseTaken", "JournalNoted", "GuardActed"], "its intent is journaled before it acts"
    with Reader(it.run / "journal.db") as journal:
        assert hold_against(it.run).rows == journal.last_seq, "how far the dead runner came is noted"
    assert look_at_guard(it.run) == "acted"
    held = holder(it.folder)
    assert held is not None and (held.epoch, held.by, held.released) == (acted.epoch, "guard", True)


def test_a_run_that_gives_its_bench_back_ends_its_guard_without_an_act(bench: Any) -> None:
    it = bench()
    it.say("end")
    assert it.runner.wait(WITHIN_S) == 0
    it.gone(it.guard)
    assert it.device.heard == [] and it.acts() == [] and look_at_guard(it.run) == "gone"


def test_it_is_not_ended_by_what_a_terminal_sends(bench: Any) -> None:
    it = bench()
    assert os.getsid(it.guard) == it.guard, "it has a session of its own"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        os.kill(it.guard, number)
    it.runner.kill()
    it.gone(it.guard)
    assert it.guards() == [it.guard] and it.device.heard == STOPPED


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV], ids=lambda how: how.name)
def test_a_guard_that_is_gone_is_replaced_and_that_is_a_fact(bench: Any, how: signal.Signals) -> None:
    it = bench()
    os.kill(it.guard, how)
    second = it.next_guard(1)
    assert second != it.guard
    assert f"the guard (process {it.guard}) was gone (killed by signal {how})" in it.facts(e.GuardStarted)[1].why
    it.runner.kill()
    it.gone(second)
    assert it.device.heard == STOPPED


def test_both_killed_leave_the_bench_as_it_is_and_the_run_its_claim(bench: Any) -> None:
    it = bench()
    it.left_alone()
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    assert it.device.heard == [] and it.acts() == [] and look_at_guard(it.run) == "gone"
    held = holder(it.folder)
    assert held is not None and not held.released and held.run == str(it.run.resolve())


in_memory = pytest.mark.skipif(not mark._in_memory(mark.MEMORY), reason="no memory file system")


def killed_with_its_guard(it: Any) -> bool:
    """Kill both, and say whether it is proven that the bench was not touched."""
    assert not untouched(it.run), "a guard that lives may act at any moment"
    it.left_alone()
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    return untouched(it.run)


def told_at_the_next_start(it: Any) -> list[str]:
    """What the next start is told that nobody knows."""
    with closing(BenchBook.open(it.folder, "lab", utc_stamp, wait_s=WITHIN_S)) as book:
        book.take_lease(str(it.run.resolve()), "live", {}, untouched=untouched(it.run))
        return [why for fact in book.guarded(str(it.run.resolve()), 0) for why in fact.errors]


@in_memory
def test_a_guard_that_was_killed_with_its_runner_is_known_to_have_touched_nothing(bench: Any) -> None:
    it = bench()
    assert killed_with_its_guard(it) and it.device.heard == []
    assert told_at_the_next_start(it) == []


@in_memory
@pytest.mark.parametrize("in_its_place", [False, True], ids=["a guard", "an abort in its place"])
@pytest.mark.parametrize("readable", [True, False], ids=["", "which one nobody can read"])
def test_the_mark_is_turned_before_a_port_is_touched(
    bench: Any, monkeypatch: pytest.MonkeyPatch, in_its_place: bool, readable: bool
) -> None:
    it = bench()
    assert killed_with_its_guard(it)
    guard = Guard(Watched(folder=it.run, pid=it.runner.pid, started=last_runner(it.run).started))
    page = Path(locks.last_holder(it.run / "guard.lock").note["mark"])
    if not in_its_place:
        guard.mark = mark.Mark.set(it.run)
        page = Path(guard.mark.note["mark"])
    if not readable:
        (it.run / "guard.lock").unlink()
        (it.run / "guard.lock").mkdir()
    seen: list[bytes] = []
    run = Rescue.run
    monkeypatch.setattr(Rescue, "run", lambda self: (seen.append(page.read_bytes()[32:33]), run(self))[1])
    acted = act_now(it.run, "abort by ann").safe if in_its_place else guard.act("it was gone")
    assert acted and seen == [mark.TURNED] and it.device.heard == STOPPED
    assert not (in_its_place and untouched(it.run))
    page.unlink()


@pytest.mark.parametrize("wrong", ["no page", "another page", "a link", "no memory"])
def test_what_is_no_mark_of_ours_proves_nothing(bench: Any, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    it = bench()
    killed_with_its_guard(it)
    page = Path(locks.last_holder(it.run / "guard.lock").note.get("mark", "/nowhere"))
    whole = page.read_bytes() if page.exists() else b""
    if wrong == "no memory":
        monkeypatch.setattr(mark, "MOUNTS", it.folder / "lab.yaml")
    elif page.exists():
        page.unlink()
        if wrong == "another page":
            page.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        elif wrong == "a link":
            (it.folder / "page").write_bytes(whole)
            page.symlink_to(it.folder / "page")
    try:
        assert not untouched(it.run) and told_at_the_next_start(it) == [NO_WORD]
    finally:
        page.unlink(missing_ok=True)


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
}


def test_no_damage_in_a_runs_folder_keeps_an_abort_from_the_bench(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    it = bench(value="1.5")
    it.left_alone()
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    monkeypatch.setenv("XDG_STATE_HOME", str(it.folder / "state"))
    whole, left = it.folder / "whole", (it.folder / "bench.lease").read_bytes()
    it.run.rename(whole)
    for damage, do in DAMAGES.items():
        shutil.copytree(whole, it.run)
        do(it.run)
        registry.enter(it.run)
        (it.folder / "bench.lease").write_bytes(left)
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
    whole.rename(it.run)
    (it.run / "origin.json").unlink()
    registry.enter(it.run)
    for _ in range(2):
        assert registry.left() == [it.run.resolve()], "where its bench is nobody knows: it stays"
    with pytest.raises(SpecError, match="does not say where the lab's folder lies"):
        wishes.ask(it.run, "abort", [], by="ann", why="")


def dead(it: Bench, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runner and guard are killed; the run, as the registry of this user knows it."""
    it.left_alone()
    it.runner.kill()
    it.runner.wait(WITHIN_S)
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
        assert it.device.heard == [b"name?"] * tried


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
    monkeypatch.setattr(registry.s, "fold", lambda _: {}["a damage that nobody has thought of"])
    assert registry.left() == [bad, good]


def test_a_lease_that_makes_no_sense_is_no_reason_to_leave_the_bench_on(bench: Any) -> None:
    it = bench()
    (it.folder / "bench.lease").write_bytes(b'{"epoch": 1, "run": "\xff"}')
    it.runner.kill()
    it.gone(it.guard)
    assert it.device.heard == STOPPED and it.acts()[-1].errors == []
    held = holder(it.folder)
    assert held is not None and held.released and it.acts()[-1].epoch == 2


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

    def sleep(seconds: float) -> None:
        assert [wish.request for wish in inbox.take(tmp_path / "requests")[0]] == ["abort"]
        runner.close()

    reply = wishes.ask(tmp_path, "abort", [], by="ann", why="", sleep=sleep)
    assert reply.accepted and "the run has ended" in reply.message and "journal.db: is damaged" in reply.message
    with pytest.raises(StoreError, match="is damaged"):
        wishes.ask(tmp_path, "pause", [], by="ann", why="")


def test_a_runner_that_was_faster_is_left_alone(bench: Any) -> None:
    """The run was resumed before its guard woke: there is another controller, and it has a guard of its own."""
    it = bench()
    os.kill(it.guard, signal.SIGSTOP)
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    book = BenchBook.open(it.folder, "lab", utc_stamp, wait_s=WITHIN_S)
    book.take_lease(str(it.run.resolve()), "live", {})
    os.kill(it.guard, signal.SIGCONT)
    it.gone(it.guard)
    book.close()
    assert it.device.heard == [] and it.acts() == []
    assert "stands down" in (it.run / "guard.log").read_text() or look_at_guard(it.run) == "gone"


def test_an_instrument_that_was_another_one_before_is_named(bench: Any) -> None:
    it = bench(name="box2")
    it.runner.kill()
    it.gone(it.guard)
    (acted,) = it.acts()
    assert acted.found["a"].state == "stopped" and "box2" in acted.found["a"].notes[0]


def spoil(folder: Path, *names: str) -> None:
    """Put folders where the bench's files were: whoever writes or reads one is refused by the system."""
    for name in names:
        for path in [folder / name, *folder.glob(f"{name}-*")]:
            path.unlink(missing_ok=True)
        (folder / name).mkdir()


FILES = ("bench.db", "bench.db.lock", "bench.lease")


@pytest.mark.parametrize(
    "answers_as, unsafe, names",
    [*(("box", 0, names) for names in (*((name,) for name in FILES), FILES)), ("kettle", 1, ("bench.lease",)),
     ("kettle", 1, FILES)],
    ids=lambda one: "+".join(one) if isinstance(one, tuple) else str(one),
)  # fmt: skip
def test_a_disk_that_takes_nothing_is_no_reason_to_leave_the_bench_on(
    bench: Any, answers_as: str, unsafe: int, names: tuple[str, ...]
) -> None:
    it = bench(name=answers_as)
    spoil(it.folder, *names)
    it.runner.kill()
    it.gone(it.guard)
    assert it.device.heard == (STOPPED if answers_as == "box" else [b"name?"])
    assert look_at_guard(it.run) == "acted" and guard_left_unsafe(it.run) == unsafe
    written = "could not journal" not in (it.run / "guard.log").read_text()
    assert written == (names == ("bench.lease",)), "what the disk takes is written down all the same"
    if written:
        (acted,) = it.acts()
        assert (acted.epoch, len(acted.errors)) == (2, unsafe), "an epoch beyond the runner's, by the book"


@pytest.mark.parametrize("names", [("bench.lease",), ("bench.db",), FILES], ids=lambda names: "+".join(names))
def test_what_a_guard_was_told_that_could_not_write_it_down_is_known_to_be_lost(
    bench: Any, tmp_path_factory: pytest.TempPathFactory, names: tuple[str, ...]
) -> None:
    """The disk takes nothing while the guard acts, and is well again at the next start."""
    it = bench()
    os.kill(it.guard, signal.SIGSTOP)
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    aside = tmp_path_factory.mktemp("aside")
    for path in list(it.folder.iterdir()):
        if path.name.removesuffix("-wal").removesuffix("-shm") in names:
            path.rename(aside / path.name)
    spoil(it.folder, *names)
    os.kill(it.guard, signal.SIGCONT)
    it.gone(it.guard)
    assert it.device.heard == STOPPED
    for name in names:
        (it.folder / name).rmdir()
    for path in aside.iterdir():
        path.rename(it.folder / path.name)
    book = BenchBook.open(it.folder, "lab", utc_stamp, wait_s=WITHIN_S)
    try:
        book.take_lease(str(it.run.resolve()), "live", {}, untouched=untouched(it.run))
        (told,) = book.guarded(str(it.run.resolve()), 0)
        assert told.errors == ([] if names == ("bench.lease",) else [NO_WORD])
        assert bool(told.found) == (names == ("bench.lease",)), "else nothing of it is known"
    finally:
        book.close()


def test_a_bench_that_somebody_holds_is_left_alone_where_its_lock_can_only_be_looked_at(bench: Any) -> None:
    it = bench()
    os.kill(it.guard, signal.SIGSTOP)
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    spoil(it.folder, "bench.db.lock")
    handle = os.open(it.folder / "bench.db.lock", os.O_RDONLY)
    assert locks.try_lock(handle, shared=False)
    os.kill(it.guard, signal.SIGCONT)
    it.gone(it.guard)
    os.close(handle)
    assert it.device.heard == [] and look_at_guard(it.run) == "gone" and guard_left_unsafe(it.run) is None


def test_a_guard_that_can_say_nothing_watches_and_acts(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own lock takes no beat and no note, its log is on a full disk, and the runner's heart cannot be read."""
    it = bench()
    it.left_alone()
    started = locks.process_started(it.runner.pid) or ""
    guard = Guard(Watched(folder=it.run, pid=it.runner.pid, started=started, hung_after_s=0.0))
    guard._told = True
    (it.run / "runner.lock").unlink()
    (it.run / "runner.lock").mkdir()
    monkeypatch.setattr(guards, "BEAT_S", -1.0)
    reading, writing = os.pipe()
    lock = locks.FileLock(it.run / "guard.lock", os.open(it.run / "guard.lock", os.O_RDONLY), NOBODY)
    with open(reading) as stdin, open("/dev/full", "w") as log:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", log)
        assert guards._watch_and_act(guard, lock) == 0
        monkeypatch.undo()
        with suppress(OSError):
            log.close()
    os.close(writing)
    assert it.device.heard == STOPPED
    assert len(it.acts()) == 1 and it.runner.wait(WITHIN_S) == -signal.SIGKILL
    assert guard_left_unsafe(it.run) is None, "nobody has said that it is safe"


def test_a_guard_that_cannot_begin_says_why(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-P", "-m", "labloop.runner.guard", tmp_path, "--pid", "1", "--started", "never"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert said.returncode == 2 and "there is no journal" in said.stderr and "Traceback" not in said.stderr


def test_only_the_process_that_is_meant_is_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    started = wait_for(lambda: locks.process_started(process.pid))
    assert end_process(process.pid, "some other time") and process.poll() is None
    os.kill(process.pid, signal.SIGSTOP)
    assert end_process(process.pid, started)
    assert process.wait(WITHIN_S) == -signal.SIGKILL
    assert end_process(process.pid, started), "gone is gone"
