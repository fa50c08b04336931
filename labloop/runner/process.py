"""A process is ended by its pid and the moment that it began: a pid alone may be somebody else's by now."""

import os
import signal
import time
from contextlib import suppress
from typing import Final

from labloop.journal import locks

ENDS_S: Final = 5.0
LOOK_S: Final = 0.01


def end_process(pid: int, started: str) -> bool:
    """End exactly the process that began at ``started``, and say whether it is gone (within ENDS_S)."""
    with suppress(ProcessLookupError):  # it has just gone by itself
        _kill(pid, started)
    until_s = time.monotonic() + ENDS_S
    while locks.process_started(pid) == started:
        if time.monotonic() > until_s:
            return False
        time.sleep(LOOK_S)
    return True


def _kill(pid: int, started: str) -> None:
    handle = _handle(pid)
    try:
        if locks.process_started(pid) != started:
            return
        if handle is None:
            os.kill(pid, signal.SIGKILL)
        else:  # it is of that process, whatever happens to its pid meanwhile
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        if handle is not None:
            os.close(handle)


def _handle(pid: int) -> int | None:
    """A hold on whatever process has that pid now; None where the system gives none (macOS, a Linux before 5.3, a
    sandbox that forbids it). Raises ProcessLookupError."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None
