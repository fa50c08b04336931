"""The guard as its runner has it: started with the run, looked after, started again when it is gone, let go at the end.

No act begins before a guard watches. A guard that is gone or hangs is replaced, and that is a fact of the run; one that
cannot be kept alive ends the run, safely: a promise that nobody keeps any more is not to be relied on.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from labloop.bench import BenchError
from labloop.campaign import events as e
from labloop.campaign.text import in_shell
from labloop.journal import locks, presence
from labloop.planner.process import environment

from .former import lives_on
from .memory import RunMemory
from .process import end_process

LOG: Final = "guard.log"
# Importing the bench and its drivers takes a third of a second; a loaded machine may need many times that.
READY_S: Final = 30.0
LOOK_S: Final = 0.02
# So many guards in a row that did not live for a minute each: a machine without memory, or a file that was changed.
MOST_DEATHS: Final = 5
LONG_LIFE_S: Final = 60.0
ENDS_S: Final = 5.0


class Guarding:
    """The guard of one live run. ``look`` is called by the run's lookout, several times a second."""

    def __init__(self, folder: Path, memory: RunMemory, hung_after_s: float = presence.HUNG_AFTER_S) -> None:
        self._folder = folder
        self._memory = memory
        self._hung_after_s = hung_after_s
        self._guard: subprocess.Popen[bytes] | None = None
        self._began_s = 0.0
        self._ready = False
        self._deaths = 0
        self._why = ""
        self._told: Mapping[str, Any] | None = None

    def start(self) -> None:
        """Start a guard; it watches some tenths of a second later. Raises BenchError."""
        started = locks.process_started(os.getpid())
        if started is None:
            raise BenchError("this system does not tell when a process began, and a guard must never end a wrong one")
        with (self._folder / LOG).open("ab") as log:
            # -P: the folder that the runner was started in is no place to import from.
            self._guard = subprocess.Popen(
                [
                    sys.executable, "-P", "-m", "labloop.runner.guard", str(self._folder.resolve()),
                    "--pid", str(os.getpid()), "--started", started, "--hung-after-s", str(self._hung_after_s),
                ],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environment(),
            )  # fmt: skip
        self._began_s, self._ready, self._told = time.monotonic(), False, None

    async def ready(self) -> None:
        """Wait until a guard watches. Raises BenchError when none can be started."""
        while not self._ready:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """See that a guard watches; start another when it is gone. Raises BenchError when none can be kept alive."""
        guard = self._guard
        assert guard is not None
        age_s = time.monotonic() - self._began_s
        if guard.poll() is not None:
            self._replace(f"the guard (process {guard.pid}) was gone ({_how(guard.returncode)})")
        elif not self._ready and self._watches(guard.pid):
            self._ready = True
            self._tell()  # first: from the moment that it is said to watch, it knows who is there
            self._memory.record(e.GuardStarted(pid=guard.pid, why=self._why))
        elif not self._ready and age_s > READY_S:
            if former := lives_on(self._folder, guard.pid):
                raise BenchError(
                    f"the guard of an earlier runner (process {former}) does not come to its end. {self._folder / LOG} "
                    f"says what it does; where that is nothing, end it (kill -9 {former}), and say "
                    f"`labloop resume {in_shell(self._folder)}`"
                )
            self._replace(f"the guard (process {guard.pid}) did not come up within {READY_S:g} s")
        elif self._ready and not self._beats():
            self._replace(f"the guard (process {guard.pid}) hung")
        elif self._ready and age_s > LONG_LIFE_S:
            self._deaths = 0
        if self._ready:
            self._tell()

    def close(self, *, acts: bool = False) -> None:
        """Let the guard go, once the bench was given back; harmless twice. ``acts``: it is left to it to make safe."""
        guard, self._guard = self._guard, None
        if guard is None:
            return
        assert guard.stdin is not None
        guard.stdin.close()
        if acts:  # as soon as this process is gone
            return
        try:
            guard.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            return  # it has something to do: the bench was not given back

    # --- within ---------------------------------------------------------------------------------------------------

    def _watches(self, pid: int) -> bool:
        holder = locks.last_holder(self._folder / presence.GUARD_LOCK)
        return holder is not None and holder.pid == pid and "beat_s" in holder.note

    def _beats(self) -> bool:
        holder = locks.last_holder(self._folder / presence.GUARD_LOCK)
        beat_s = holder.note.get("beat_s") if holder is not None else None
        return not isinstance(beat_s, (int, float)) or time.monotonic() - beat_s < presence.HUNG_AFTER_S

    def _replace(self, why: str) -> None:
        guard = self._guard
        assert guard is not None and guard.stdin is not None
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise BenchError(f"no guard can be kept alive: {why}; {self._folder / LOG} says more")
        if guard.poll() is None:
            end_process(guard.pid, locks.process_started(guard.pid) or "")
            guard.wait()
        guard.stdin.close()
        self._why = why
        self.start()

    def _tell(self) -> None:
        """Tell the guard who its instruments are; it compares before it speaks with any of them."""
        known = {name: [one.model, one.serial] for name, one in self._memory.state.identities.items()}
        if known == self._told or self._guard is None or self._guard.stdin is None:
            return
        self._told = known
        try:
            self._guard.stdin.write(json.dumps({"known": known}).encode() + b"\n")
            self._guard.stdin.flush()
        except OSError:
            self._told = None  # it is gone: the next look sees that


def _how(code: int | None) -> str:
    return f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
