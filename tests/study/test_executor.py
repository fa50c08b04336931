"""Who does the pieces of a backtest: as many processes as were asked for, and none that is left over."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labloop.journal.locks import process_started

WITHIN_S = 300.0
# Each worker says who it is, and then never ends by itself.
ENDLESS = """
import os, sys, threading
from pathlib import Path
from labloop.study.executor import as_done

def work(path):
    part = Path(path + ".part")
    part.write_text(str(os.getpid()))
    part.rename(path)
    threading.Event().wait()

list(as_done("2", work, sys.argv[1:]))
"""


def wait_for(what: Callable[[], Any]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="there a process keeps its parent's number")
def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    said = [tmp_path / "one", tmp_path / "two"]
    workers: list[int] = []
    began = subprocess.Popen([sys.executable, "-c", ENDLESS, *map(str, said)])
    try:
        wait_for(lambda: all(path.exists() for path in said))
        workers += [int(path.read_text()) for path in said]
        assert len({began.pid, *workers}) == 3
        began.kill()
        began.wait()
        wait_for(lambda: not any(map(process_started, workers)))
    finally:
        began.kill()
        began.wait()
        for pid in workers:
            if process_started(pid):
                os.kill(pid, signal.SIGKILL)
