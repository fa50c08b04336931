"""Whoever draws the model's figures: a process of its own, begun when one is wanted and ended when nobody looks.

The dashboard loads neither numpy nor torch, and never waits: a want is a line that is written, an answer a line that
comes when it comes. The run's own planner is another process, which this one neither asks nor slows down.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from labloop.planner.figure import Figure, NoFigure, Want, pack, read_answer
from labloop.planner.process import ONE_THREAD

LAST_WORDS: Final = 2000  # bytes of what it said on its way out


class Painter:
    """Draws figures of the run in ``folder``. ``take`` is called with each from another thread."""

    def __init__(self, folder: Path, take: Callable[[Figure | NoFigure], object]) -> None:
        self._folder, self._take = folder, take
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The process's id; None before the first want and after the end."""
        return self._child.pid if self._child is not None else None

    def want(self, want: Want) -> None:
        """Ask for a figure; one that was asked for before and has not come is no longer wanted."""
        self._asked = want.number
        for _ in range(2):  # once more where the process had just ended
            child = self._child or self._begin()
            assert child.stdin is not None
            try:
                child.stdin.write(pack(want))
                return
            except OSError:
                self._child = None
        self._take(NoFigure(number=want.number, words="The process that draws ends as soon as it begins"))

    def close(self) -> None:
        """End it. Harmless twice."""
        self._closed = True
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def _begin(self) -> subprocess.Popen[bytes]:
        talk = tempfile.TemporaryFile()  # noqa: SIM115  closed by the thread that reads the child's end
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "labloop.study.drawing", str(self._folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, bufsize=0, env={**os.environ, **ONE_THREAD},
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(child, talk), daemon=True, name="painter").start()
        self._child = child
        return child

    def _read(self, child: "subprocess.Popen[bytes]", talk: IO[bytes]) -> None:
        assert child.stdout is not None
        with talk, child.stdout:
            for line in child.stdout:
                self._take(read_answer(line))
            code = child.wait()
            if child is self._child and not self._closed:
                self._child = None
                self._take(NoFigure(number=self._asked, words=f"The process that draws ended: {_how(code, talk)}"))


def _how(code: int, talk: IO[bytes]) -> str:
    """What ended it, and the last that it said."""
    words = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    talk.seek(0, os.SEEK_END)
    talk.seek(max(talk.tell() - LAST_WORDS, 0))
    said = talk.read().decode(errors="replace").strip().splitlines()
    return f"{words}{'; ' + said[-1] if said else ''}"
