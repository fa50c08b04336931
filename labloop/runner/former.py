"""The guard before this one: it may still make the bench safe, and then it is waited for; or it may hang.

    it acts                      waited for: on dead lines it needs some seconds for each
    it watches, and its heart    ended, by pid and start time, as a runner ends one of its own that hangs: its runner
    stands still                 is gone, or this guard would not have been begun, and it has not seen that
"""

import math
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from labloop.journal import FileLock, StoreLocked, locks, presence

from .process import end_process

FORMER_S: Final = 30.0
LOOK_S: Final = 1.0
WATCHING: Final = "watching"


def in_place_of_former(run: Path, say: Callable[[str], None], wait_s: float = FORMER_S) -> FileLock:
    """Take the lock of a run's guard, once the one before is through. ``say``: told of one that is ended.

    Raises StoreLocked, StoreError.
    """
    path, until_s = run / presence.GUARD_LOCK, time.monotonic() + wait_s
    while True:
        try:
            return FileLock.take(path, f"{run}: its guard", wait_s=min(wait_s, LOOK_S))
        except StoreLocked:
            if (still_s := _still_s(former := locks.last_holder(path))) > presence.HUNG_AFTER_S and former is not None:
                say(f"ends an earlier guard (process {former.pid}), whose heart stood still for {still_s:.0f} s")
                end_process(former.pid, former.started)
            if time.monotonic() > until_s:
                raise


def lives_on(run: Path, pid: int) -> int:
    """The process of another guard than ``pid`` that has the run (0: none). Raises StoreError."""
    former = locks.last_holder(run / presence.GUARD_LOCK)
    if former is None or former.pid == pid or locks.process_started(former.pid) != former.started:
        return 0
    return former.pid


def _still_s(former: locks.Holder | None) -> float:
    """For how long the heart of a guard that watches stands still already."""
    if former is None or former.note.get("state") != WATCHING or former.host != socket.gethostname():
        return -math.inf
    beat_s = former.note.get("beat_s")
    return time.monotonic() - beat_s if isinstance(beat_s, (int, float)) else -math.inf
