"""A process is ended by its pid and the moment that it began: a pid alone may be somebody else's by now."""

import os
import signal
import time
from typing import Final

from labloop.journal import locks

ENDS_S: Final = 5.0
LOOK_S: Final = 0.01


def end_process(pid: int, started: str) -> bool:
    """End exactly the process that began at ``started``, and say whether it is gone (within ENDS_S)."""
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            if locks.process_started(pid) == started:  # the handle is of that process now, whatever happens to its pid
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
    elif locks.process_started(pid) == started:
        os.kill(pid, signal.SIGKILL)
    until_s = time.monotonic() + ENDS_S
    while locks.process_started(pid) == started:
        if time.monotonic() > until_s:
            return False
        time.sleep(LOOK_S)
    return True
