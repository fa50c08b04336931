"""A run in a process of its own: started, watched, followed.

The runner has no terminal, so no closing window and no stray Ctrl-C can reach it; what a person means for it is sent
on: every SIGINT, SIGTERM or SIGHUP that this process gets goes to the runner, whose first and second signal have their
own meanings.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from labloop.campaign.errors import LabloopError
from labloop.campaign.events import RunStarted
from labloop.campaign.state import CampaignState
from labloop.campaign.text import in_shell
from labloop.journal import Reader, StoreError, begun
from labloop.journal.files import private_folder
from labloop.journal.locks import last_holder
from labloop.runner.signals import ending

from . import words
from .lines import LineView

LOG: Final = "runner.log"
LOOK_S: Final = 0.1
# Reading the files and checking them takes a second or two; a journal that another process lets go of up to ten.
START_S: Final = 60.0

Runner = subprocess.Popen[bytes]


class NotStarted(LabloopError):
    """The runner ended before it ran; ``exit_code`` is its own, its words are the message."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def start(folder: Path, arguments: list[str]) -> Runner:
    """Start ``labloop`` with ``arguments`` as the runner of ``folder``, and wait until it has taken folder and bench.

    Raises NotStarted with what it said.
    """
    if not folder.parent.exists():
        private_folder(folder.parent)
    before = _last_seq(folder)
    handle, name = tempfile.mkstemp(prefix=".runner-", suffix=".log", dir=folder.parent)
    log = Path(name)
    with os.fdopen(handle, "wb") as out:
        # -P: the folder that a person stands in is no place to import labloop from.
        runner = subprocess.Popen(
            [sys.executable, "-P", "-m", "labloop", *arguments, "--no-dashboard"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    until_s = time.monotonic() + START_S
    while not _has_begun(folder, runner.pid, before):
        if runner.poll() is not None:
            if (folder / "journal.db").exists() and runner.returncode == 0:
                break  # so short a run that nobody saw it
            said = log.read_text(errors="replace").strip()
            log.unlink()
            raise NotStarted(said or f"the runner ended at once with exit code {runner.returncode}", runner.returncode)
        if time.monotonic() > until_s:
            runner.terminate()
            raise NotStarted(f"the runner did not take {folder} within {START_S:.0f} s; it says: {log.read_text()}", 1)
        time.sleep(LOOK_S)
    log.replace(folder / LOG)
    return runner


def under_dashboard(folder: Path, arguments: list[str], verbose: bool = False, by: str = "") -> int:
    """Run under the dashboard, and after ``q`` in the line view, to the end; gives the runner's exit code."""
    from labloop.dashboard.app import watch
    from labloop.dashboard.keymap import read_keys

    read_keys()  # refused before anything begins
    runner = start(folder, arguments)
    with _Signals(runner) as signals:
        try:
            signals.end_dashboard = True
            watch(folder, by=by)
        except _Signalled:
            words.say("stopping")
        else:
            again = f"labloop watch {in_shell(folder)}"
            words.say(f"The run goes on (pid {runner.pid}). Ctrl-C stops it; `{again}` shows it again.")
        finally:
            signals.end_dashboard = False
        view = LineView(folder, verbose=verbose, after=_last_seq(folder))
        return view.end(follow(folder, view, runner))


def follow(folder: Path, view: LineView, runner: Runner) -> int:
    """Show the run's facts as they come until the runner is gone; gives its exit code."""
    state = CampaignState()
    with Reader(folder / "journal.db") as reader:
        while True:
            code = runner.poll()  # before the last look, so that no fact is missed
            if reader.changed():
                for record in reader.records(state.seq):
                    state.apply(record)
                    view(record, state)
            if code is not None:
                return code if code >= 0 else 128 - code
            time.sleep(2 * LOOK_S)


class _Signalled(SystemExit):
    """Ends the dashboard when a signal has come for the run."""


class _Signals:
    """While this is entered, every signal that ends a process goes to the runner instead.

    ``end_dashboard``: the dashboard has the terminal and is to give it back when one comes.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._before: dict[int, Any] = {}
        self.end_dashboard = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._send_on) for number in ending()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _send_on(self, number: int, frame: Any) -> None:
        if self._runner.poll() is None:
            self._runner.send_signal(number)
        if self.end_dashboard:
            self.end_dashboard = False
            raise _Signalled


def _has_begun(folder: Path, pid: int, after: int) -> bool:
    holder = last_holder(folder / "runner.lock")
    if holder is None or holder.pid != pid:
        return False
    with suppress(StoreError), Reader(folder / "journal.db") as reader:  # it has the bench when it says this
        return any(isinstance(record.event, RunStarted) for record in reader.records(after))
    return False


def _last_seq(folder: Path) -> int:
    if not begun(folder / "journal.db"):
        return 0
    with Reader(folder / "journal.db") as reader:
        return reader.last_seq
