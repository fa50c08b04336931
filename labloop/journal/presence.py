"""Who runs: the one thing that no fold of the facts can say.

    lock free -> gone        lock held, heart beats -> alive        lock held, no beat for HUNG_AFTER_S -> hung

The lock is the kernel's, so death is seen at once. The heartbeat is the machine's monotonic clock (a clock set by a day
changes nothing, and a machine that slept did not hang), written in place into the lock's own file, so that it needs no
room on a full disk. Small things to show that are no facts (what an instrument reads now) go into ``runner.json``; a
power cut may take that.
"""

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from . import locks
from .errors import StoreError, from_os
from .files import private_folder, write_whole
from .locks import FileLock, Holder

HUNG_AFTER_S = 10.0  # ten missed beats: far above a slow disk's second, below what a heater should be left alone for
EVERY_S = 1.0
LOCK = "runner.lock"
SHOWN = "runner.json"
GUARD_LOCK = "guard.lock"  # held by the run's guard as long as it lives; what it did last stands in it
ACTED = "acted"

State = Literal["alive", "gone", "hung"]
GuardState = Literal["alive", "gone", "acted"]


class Presence:
    """Held by the runner of a run's folder as long as it lives. A context manager."""

    def __init__(
        self, folder: Path, *, wait_s: float = 0.0, every_s: float = EVERY_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the folder (made private to the user), waiting at most ``wait_s`` for another runner to be gone.

        Raises:
            StoreLocked: another runner holds it; the message names it.
            StoreError: the folder cannot be written.
        """
        self._folder = private_folder(folder)
        self._every_s = every_s
        self._now = now
        self._beat_s = now()
        self._shown: dict[str, Any] = {}
        self.trouble: StoreError | None = None  # why runner.json could not be renewed at the last beat
        self.also: Callable[[], Mapping[str, Any]] = dict  # what is written down beside each beat
        former = locks.last_holder(folder / LOCK)
        self.former: Mapping[str, Any] = former.note if former is not None else {}  # the same of the runner before
        self.idle_s = _idle_s(folder / LOCK)  # how long ago, by the clock on the wall, the last heart here stood still
        # What it wrote stays until the first beat: else whoever reads, or dies, in between would not know it.
        note = {**self.former, "beat_s": self._beat_s}
        self._lock = FileLock.take(folder / LOCK, f"{folder}: the run", note=note, wait_s=wait_s)
        self._show()

    def beat(self, **shown: Any) -> None:
        """Say that the runner lives, and what to show; call it from the loop itself, as often as you like.

        Writes at most once every ``every_s``, or when ``shown`` changed. A full disk stops only ``runner.json`` (see
        ``trouble``), never the heart. Raises StoreLocked: the lock is lost.
        """
        now_s = self._now()
        changed = shown != self._shown
        if now_s - self._beat_s < self._every_s and not changed:
            return
        self._beat_s = now_s
        self._lock.write(beat_s=now_s, **self.also())
        if changed or self.trouble is not None:
            self._shown = shown
            self._show()

    def close(self) -> None:
        """The runner is gone from here on; harmless when done twice."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show(self) -> None:
        try:
            write_whole(self._folder / SHOWN, msgspec.json.encode(self._shown), durable=False)
            self.trouble = None
        except StoreError as error:
            self.trouble = error


def _idle_s(lock: Path) -> float | None:
    """Since when nobody runs here: each beat is written into the lock's file. None: nobody ever did."""
    try:
        return max(time.time() - lock.stat().st_mtime, 0.0)
    except OSError:
        return None


def look(folder: Path, now_s: float | None = None, hung_after_s: float = HUNG_AFTER_S) -> State:
    """Say whether a run's runner is alive, gone or hung; from any process, changing nothing.

    ``now_s``: this machine's monotonic clock. Of a runner on another machine only the lock is judged; where its file
    makes no sense, how long nobody has written it tells, by the clock on the wall.
    Raises StoreError.
    """
    path = folder / LOCK
    if not locks.held(path):
        return "gone"
    holder = locks.last_holder(path)
    if holder is None:  # each beat writes it anew
        return "hung" if (_idle_s(path) or 0.0) > hung_after_s else "alive"
    beat_s = holder.note.get("beat_s")
    if not isinstance(beat_s, (int, float)) or holder.host != socket.gethostname():
        return "alive"
    if (time.monotonic() if now_s is None else now_s) - beat_s <= hung_after_s:
        return "alive"
    # The lock is taken an instant before its file says by whom, and a stray child may keep it after its runner's death:
    # the old beat of a process that has ended is nobody's hanging.
    return "hung" if not holder.started or locks.process_started(holder.pid) == holder.started else "gone"


def look_at_guard(folder: Path) -> GuardState:
    """Say whether a run's guard lives, is gone, or has acted and is gone; from any process. Raises StoreError."""
    path = folder / GUARD_LOCK
    if locks.held(path):
        return "alive"
    holder = locks.last_holder(path)
    return "acted" if holder is not None and holder.note.get("state") == ACTED else "gone"


def guard_left_unsafe(folder: Path) -> int | None:
    """Say how many things a guard could not make safe; None: it has not acted, or did not say. Raises StoreError."""
    if look_at_guard(folder) != "acted":
        return None
    holder = locks.last_holder(folder / GUARD_LOCK)
    unsafe = holder.note.get("unsafe") if holder is not None else None
    return unsafe if isinstance(unsafe, int) else None


def last_beat(folder: Path) -> Mapping[str, Any]:
    """Give what the runner wrote down beside its last beat, be it gone since ({}: nothing). Raises StoreError."""
    holder = locks.last_holder(folder / LOCK)
    return {} if holder is None else holder.note


def last_runner(folder: Path) -> Holder | None:
    """Say who runs here, or ran last: pid, start, host (the guard ends a hung one by these). Raises StoreError."""
    return locks.last_holder(folder / LOCK)


def shown(folder: Path) -> dict[str, Any]:
    """Give what the runner showed last (``{}``: nothing). Raises StoreError."""
    path = folder / SHOWN
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise from_os(error, path, "read this file") from error
