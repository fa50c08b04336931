"""The guard, on a runner that holds a bench of ptys: when it acts, when it does not, and what it leaves behind."""

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from labloop.bench.rescue import Rescue
from labloop.campaign import events as e
from labloop.journal import Reader, guard_left_unsafe, locks, look_at_guard
from labloop.journal.presence import last_runner
from labloop.runner import guard as guards
from labloop.runner import mark
from labloop.runner.book import NO_WORD, BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.emergency import act_now
from labloop.runner.guard import Guard, Watched
from labloop.runner.lease import Lease, holder
from labloop.runner.mark import untouched
from labloop.runner.notes import hold_against
from labloop.runner.process import end_process
from tests.runner.watched_bench import NEVER_S, STOPPED, WITHIN_S, wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys, pidfd, flock")

NOBODY = locks.Holder(pid=0, started="", host="")


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
    it.dead()
    assert it.device.heard == [] and it.acts() == [] and look_at_guard(it.run) == "gone"
    held = holder(it.folder)
    assert held is not None and not held.released and held.run == str(it.run.resolve())


in_memory = pytest.mark.skipif(not mark._in_memory(mark.MEMORY), reason="no memory file system")


def killed_with_its_guard(it: Any) -> bool:
    """Kill both, and say whether it is proven that the bench was not touched."""
    assert not untouched(it.run), "a guard that lives may act at any moment"
    it.dead()
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


@pytest.mark.parametrize("said", [b'{"epoch": 1, "run": "\xff"}', None], ids=["no sense", "gone"])
def test_a_lease_that_is_gone_or_makes_no_sense_is_no_reason_to_leave_the_bench_on(
    bench: Any, said: bytes | None
) -> None:
    it = bench()
    if said is None:
        (it.folder / "bench.lease").unlink()
    else:
        (it.folder / "bench.lease").write_bytes(said)
    it.runner.kill()
    it.gone(it.guard)
    assert it.device.heard == STOPPED and it.acts()[-1].errors == []
    held = holder(it.folder)
    assert held is not None and held.released and it.acts()[-1].epoch == 2


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
    assert it.device.heard == (STOPPED if answers_as == "box" else [b"name?"] * 2)
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


def why_of_this_process(it: Any) -> str:
    """Why its guard would act that has let it go, and whose heart stands still."""
    started = locks.process_started(os.getpid()) or ""
    guard = Guard(Watched(folder=it.run, pid=os.getpid(), started=started, hung_after_s=-1.0))
    guard._told = True
    reading, writing = os.pipe()
    os.close(writing)
    with locks.FileLock.take(it.run / "guard.lock", "a guard") as lock, open(reading):
        return guard.watch(lock, reading)


def test_the_guard_of_a_start_that_never_had_the_bench_takes_it_only_as_it_was_left(bench: Any) -> None:
    """Runner and guard were killed; the next start of the same run is killed before it takes the bench."""
    it = bench()
    it.dead()
    never = Guard(Watched(folder=it.run, pid=2**22 + 1, started="never"))
    left = (it.folder / "bench.lease").read_bytes()
    (it.folder / "bench.lease").unlink()
    assert never.given_back(), "nobody says that this run has ever had it"
    Lease.take(it.folder, str(it.folder / "another"), "runner").close()
    assert never.given_back(), "somebody else's"
    Lease.take(it.folder, str(it.run.resolve()), "runner").close()
    assert never.given_back(), "of a runner that lives, and has a guard of its own"
    (it.folder / "bench.lease").write_bytes(left)
    assert not never.given_back()
    assert why_of_this_process(it) == "", "a start that was refused in a notebook, which does not hang"
    acted = never.act("the runner (process 4194305) was gone")
    assert acted is not None and acted.rescued.errors == () and it.device.heard == STOPPED
    assert never.given_back()
    Lease.take(it.folder, str(it.run.resolve()), "runner").close()
    assert "hung" in why_of_this_process(it), "it has the bench"


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
