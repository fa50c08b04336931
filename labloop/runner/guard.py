"""The guard: a small process of its own that makes the bench safe when its runner is gone or hangs.

    python -P -m labloop.runner.guard RUN --pid PID --started WHEN

It begins with a live run, in a session of its own, so that it survives the runner and its terminal. Until something
happens it holds no port and writes nothing but its own heartbeat. It watches

    its stdin        the runner holds the other end: the kernel ends it the moment the runner is gone, however it went
    the process      known by pid and start time
    the heartbeat    written by the runner's own loop (see journal.presence)

and then goes through, in this order:

    a hung runner is ended, by pid and start time, before any port is touched
    its mark is turned: from here on nobody may say that it has not touched the bench (see mark)
    the bench's lock is taken. If a runner was faster (`labloop resume`), that one has its own guard: stand down
    the lease must still be the run's that it watched. If it was given back, all is well: stand down; one that is gone,
        that nobody can read, or that makes no sense, says nothing of that kind
    the epoch is raised: whatever is left of the runner writes no byte any more
    LeaseTaken is journaled in bench.db
    every instrument is asked, read, stopped (see bench.rescue); nothing is ever set
    GuardActed is journaled, with what was read before anything was written; the run learns it at its next start
    the lease is given back, or says that the bench is not safe, so that `labloop abort` tries again

Only that somebody else has the bench lets it stand down. A disk that takes nothing (full, read-only, broken) is a
likely reason for a runner's death and none to leave a heater on: what it does not give of lock, lease and journal is
done without, and the log says so. What it was told then is lost, and the next start knows that it may be (see
book.guarded), or by its mark that it is not.

A run that ends by itself gives its lease back, and the guard ends without an act. SIGINT, SIGHUP, SIGQUIT and SIGTERM
are not for the guard: it goes when the run goes.
"""

import argparse
import json
import os
import select
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from labloop.bench.lab import connect_real
from labloop.bench.rescue import Rescue, Rescued
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError
from labloop.campaign.lab_spec import LabSpec
from labloop.journal import FileLock, Journal, Reader, StoreError, StoreLocked, locks, presence
from labloop.journal.store import lock_path, take_lock

from . import kept, mark
from .book import GUARD, BenchBook
from .clock import utc_stamp
from .former import WATCHING, in_place_of_former
from .lease import Lease, fenced
from .lease import holder as leaseholder
from .mark import Mark
from .notes import note_of
from .process import end_process

# Two looks at the runner. Death comes by the pipe at once; this is for the heartbeat, and where there is no pipe.
LOOK_S: Final = 0.1
# A runner's heart begins to beat in its loop, which then tells the guard who the instruments are. Until then it reads
# files and opens ports; those of a network may each take some seconds.
STARTING_S: Final = 60.0
DYING_LOOK_S: Final = 0.005
BEAT_S: Final = 1.0
# What a dying process holds is let go within milliseconds; what a process in the middle of a write holds, in a second.
TAKE_S: Final = 5.0
# A commit takes some milliseconds. A disk that is full or stuck must not keep a heater on.
RECORD_S: Final = 0.3

ACTING, ENDED = "acting", "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The runner that is watched: its run's folder, its process, and how long its heart may be still."""

    folder: Path
    pid: int
    started: str
    hung_after_s: float = presence.HUNG_AFTER_S

    @property
    def name(self) -> str:
        """The run as the bench remembers it."""
        return str(self.folder.resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What the guard did. ``unwritten``: why bench.db does not say so (empty: it does)."""

    rescued: Rescued
    unwritten: str = ""


class NotOurs(Exception):
    """Somebody else has the bench: nothing is done to it."""


class Guard:
    """Watches one runner and acts once. Made early: drivers are loaded here, so that an act only opens ports."""

    def __init__(
        self, watched: Watched, opened: e.CampaignOpened | None = None, lab: LabSpec | None = None, *, had: bool = False
    ) -> None:
        """``lab``: what stands on the bench, where the run's folder need not be asked (see emergency); ``opened``:
        the first fact of its journal, where somebody could read it; ``had``: that the run has had the bench is known.

        Raises SpecError, StoreError.
        """
        self.watched = watched
        if lab is None:
            with Reader(watched.folder / "journal.db") as reader:
                opened = next((record.event for record in reader.records()), None)
            assert isinstance(opened, e.CampaignOpened)
            lab = kept.kept_lab(watched.folder, opened, kept.lab_folder(watched.folder))
        self.opened = opened
        self.lab = lab
        self.bench = self.lab.folder
        self.rescue = Rescue(self.lab, partial(connect_real, folder=self.lab.folder))
        self._recorder = ThreadPoolExecutor(1, "record")
        self._had = had
        self._told = False
        self._mute = False
        self._owed = True  # the run had not given the bench back, as its journal has it
        self.mark: Mark | None = None

    # --- watching -------------------------------------------------------------------------------------------------

    def watch(self, lock: FileLock, stdin: int) -> str:
        """Watch until something is to be done: why, or "" when the run has ended by itself."""
        watched = self.watched
        beat: float | None = None
        silent_s = 0.0
        looked_s = checked_s = time.monotonic()
        pipe = [stdin]
        rest = b""
        while True:
            # The pipe's end is the runner's: its process is gone in a moment, or it has given the bench back.
            if select.select(pipe, [], [], LOOK_S if pipe else DYING_LOOK_S)[0]:
                data = os.read(stdin, 65536)
                rest = self._hear(rest + data)
                pipe = [stdin] if data else []
            now_s = time.monotonic()
            if not pipe or now_s - checked_s > BEAT_S:
                checked_s = now_s
                if self.given_back() and not pipe:
                    return ""
                if locks.process_started(watched.pid) != watched.started:
                    return "" if self.given_back() else f"the runner (process {watched.pid}) was gone"
                self._live(lock, now_s)
            seen = self._beat()
            # Counted only while this process lives itself: a machine that stood still did not hang.
            silent_s = silent_s + min(now_s - looked_s, 2 * LOOK_S) if seen == beat else 0.0
            beat, looked_s = seen, now_s
            if silent_s > watched.hung_after_s + (0.0 if self._told else STARTING_S):
                if not pipe and self._never_had_it():  # a start that was refused, and its process lives on
                    return ""
                return f"the runner (process {watched.pid}) hung: its heart stood still for {silent_s:.0f} s"

    def _hear(self, data: bytes) -> bytes:
        """What the runner tells, a JSON object a line: who its instruments said they are."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            told = json.loads(line)
            self._told = self._had = True  # it is told of its instruments by a runner that has taken the bench
            self.rescue.known |= {name: (str(model), str(serial)) for name, (model, serial) in told["known"].items()}
        return rest

    def _live(self, lock: FileLock, now_s: float) -> None:
        """Say that it watches. One that cannot say so watches on; one whose lock is lost ends, and is replaced."""
        try:
            lock.write(state=WATCHING, beat_s=now_s, **self.marked)
        except StoreLocked:
            raise
        except StoreError as error:
            if not self._mute:
                say(f"watches on, and cannot say so: {error}")
            self._mute = True

    @property
    def marked(self) -> dict[str, str]:
        """Where its mark is, for its lock's file."""
        return self.mark.note if self.mark is not None else {}

    def _beat(self) -> float | None:
        """The runner's last heartbeat. None: there is none, or it cannot be read, which is no sign of life either."""
        try:
            runner = presence.last_runner(self.watched.folder)
        except StoreError:
            return None
        beat_s = runner.note.get("beat_s") if runner is not None else None
        return float(beat_s) if isinstance(beat_s, (int, float)) else None

    def given_back(self) -> bool:
        """Say whether the bench is not this run's any more, or never was. What nobody can read says nothing of that
        kind, nor does a lease that is gone, where the runner has had the bench.

        A runner that died before it took the bench may have left it as an earlier one did that was killed together with
        its guard: it is the run's still.
        """
        try:
            held = leaseholder(self.bench)
        except StoreError:
            return False
        if held is None:
            return not self._had
        watched = self.watched
        killed = held.pid != 0 and held.is_for(watched.folder) and not held.lives
        return held.released or not (killed or held.is_of(watched.folder, watched.pid, watched.started))

    def _never_had_it(self) -> bool:
        """Whether the bench is as an earlier runner left it, and the one that is watched has not touched it."""
        try:
            held = leaseholder(self.bench)
        except StoreError:
            return False
        watched = self.watched
        return held is not None and not held.is_of(watched.folder, watched.pid, watched.started)

    def _is_watched(self, pid: int, started: str) -> bool:
        return (pid, started) == (self.watched.pid, self.watched.started)

    # --- acting ---------------------------------------------------------------------------------------------------

    def act(self, why: str) -> Acted | None:
        """Make the bench safe and journal it. None: the bench is somebody else's, nothing was done."""
        began_s = time.monotonic()
        if locks.process_started(self.watched.pid) == self.watched.started:
            why += f", and was ended{'' if end_process(self.watched.pid, self.watched.started) else ' (it resists)'}"
        if self.mark is not None:
            self.mark.turn()
        else:
            mark.turn(self.watched.folder)
        try:
            lock = self._lock()
            lease = self._lease(lock)
        except NotOurs as error:
            say(f"stands down: {error}")
            return None
        say(f"acts: {why}")
        recording = self._recorder.submit(self._open_book, lock, lease)
        wait([recording], RECORD_S)
        self.rescue.connect = fenced(self.rescue.connect, lease)
        rescued = self.rescue.run()
        took_s = round(time.monotonic() - began_s, 3)
        say(f"acted in {took_s:g} s; {'; '.join(rescued.errors) or 'the bench is safe'}")
        return Acted(rescued=rescued, unwritten=self._write_down(recording, lease, why, rescued, took_s))

    def _lock(self) -> FileLock | None:
        """The lock of the bench's journal; None: the disk does not give it, and nobody else has it. Raises NotOurs."""
        path = self.bench / "bench.db"
        try:
            return take_lock(path, TAKE_S)
        except StoreLocked as error:
            self._yield_to_others(lock_path(path), error)
        except StoreError as error:
            say(f"goes on without the lock: {error}")
            with suppress(StoreError):  # what cannot be taken may be looked at all the same
                if locks.held(lock_path(path)):
                    self._yield_to_others(lock_path(path), error)
        return None

    def _yield_to_others(self, path: Path, error: StoreError) -> None:
        """Raises NotOurs, but for a runner that is dying and holds the file still: it comes to no more writing."""
        holder = None
        with suppress(StoreError):
            holder = locks.last_holder(path)
        if holder is None or not self._is_watched(holder.pid, holder.started):
            raise NotOurs(str(error)) from error

    def _lease(self, lock: FileLock | None) -> Lease | None:
        """The bench's lease; None: the disk does not give it. Raises NotOurs."""
        if self.given_back():
            if lock is not None:
                lock.release()
            raise NotOurs("the bench is not this runner's any more")
        try:
            locked = lock.is_ours if lock is not None else lambda: True
            return Lease.take(self.bench, self.watched.name, "guard", locked=locked)
        except StoreError as error:
            say(f"goes on without the lease: {error}")
            return None

    def _open_book(self, lock: FileLock | None, lease: Lease | None) -> BenchBook:
        book = BenchBook(Journal.open(self.bench / "bench.db", utc_stamp, lock=lock, wait_s=60.0))
        self._owed = bool(book.state.leased_to)
        epoch = max(book.state.epoch + 1, 0 if lease is None else lease.epoch)  # its file may have been garbled
        book.record(e.LeaseTaken(epoch=epoch, run=self.watched.name, mode=GUARD))
        return book

    def _write_down(
        self, recording: Future[BenchBook], lease: Lease | None, why: str, rescued: Rescued, took_s: float
    ) -> str:
        """Journal what was done, and say in the lease what came of it; what kept it from that ("": nothing)."""
        unwritten = ""
        with ExitStack() as stack:
            try:
                book = stack.enter_context(closing(recording.result()))
                facts = [*self._noted(), fact_of(book.state.epoch, self.watched.name, why, rescued, took_s)]
                # A run that ended in order owes nothing: nobody has to take it up before he may have the bench.
                book.record(*facts, *([] if self._owed else [e.LeaseReleased(epoch=book.state.epoch)]))
            except (StoreError, OSError) as error:
                unwritten = str(error)
                say(f"could not journal what it did: {error}")
            if lease is not None:
                try:
                    lease.release(failed=bool(rescued.errors))
                except StoreError as error:
                    say(f"could not give the lease back: {error}")
                lease.close()
        return unwritten

    def _noted(self) -> list[e.JournalNoted]:
        """How far the journal came that the dead runner left; nothing where it cannot be read."""
        if self.opened is None:
            return []
        try:
            with Reader(self.watched.folder / "journal.db") as journal:
                return [note_of(self.watched.name, self.opened, journal)]
        except StoreError as error:
            say(f"could not note how far the run's journal came: {error}")
            return []


def fact_of(epoch: int, run: str, why: str, rescued: Rescued, took_s: float) -> e.GuardActed:
    """What was done, as the bench's journal keeps it."""
    found = {
        name: e.Witness(
            state=one.state, identity=one.identity, first_reply=one.first_reply, before=dict(one.before),
            after=dict(one.after), readings=dict(one.readings), stands=dict(one.stands), notes=list(one.notes),
        )
        for name, one in rescued.found.items()
    }  # fmt: skip
    return e.GuardActed(epoch=epoch, run=run, why=why, found=found, errors=list(rescued.errors), took_s=took_s)


def say(text: str) -> None:
    """Into the guard's log. On a disk that takes nothing there is nobody else to tell, and no reason to stop."""
    with suppress(OSError):
        sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} guard {os.getpid()} {text}\n")
        sys.stderr.flush()


def main(arguments: list[str] | None = None) -> int:
    """Watch, and act where that is called for.

    0: the run ended by itself, or the bench is safe; 3: it is not, or what was done could not be journaled; 2: it could
    not begin.
    """
    for name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM", "SIGTSTP", "SIGPIPE"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="python -m labloop.runner.guard", description="Watch over a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--started", required=True)
    parser.add_argument("--hung-after-s", type=float, default=presence.HUNG_AFTER_S)
    given = parser.parse_args(arguments)
    watched = Watched(folder=given.run, pid=given.pid, started=given.started, hung_after_s=given.hung_after_s)
    try:
        guard = Guard(watched)
        former = locks.last_holder(given.run / presence.GUARD_LOCK)
        with in_place_of_former(given.run, say) as lock:
            mark.sweep(former.note if former is not None else {})
            guard.mark = Mark.set(given.run)
            try:
                lock.write(state=WATCHING, beat_s=time.monotonic(), **guard.marked)
                say(f"watches process {watched.pid}")
                return _watch_and_act(guard, lock)
            finally:
                if guard.mark is not None:
                    guard.mark.close()
    except LabloopError as error:
        say(f"cannot guard: {error}")
        return 2


def _watch_and_act(guard: Guard, lock: FileLock) -> int:
    why = guard.watch(lock, sys.stdin.fileno())
    if not why:
        _note(lock, state=ENDED)
        return 0
    _note(lock, state=ACTING)
    note: dict[str, Any] = {"state": ENDED}
    try:
        acted = guard.act(why)
        if acted is None:
            return 0
        unsafe = len(acted.rescued.errors)
        note = {"state": presence.ACTED, "at": utc_stamp(), "unsafe": unsafe, "journaled": not acted.unwritten}
        return 3 if unsafe or acted.unwritten else 0
    finally:
        _note(lock, **note)


def _note(lock: FileLock, **note: Any) -> None:
    """Into the lock's file, for whoever asks after the guard; what it does comes first."""
    try:
        lock.write(**note)
    except StoreError as error:
        say(f"could not note {note['state']}: {error}")


if __name__ == "__main__":
    sys.exit(main())
