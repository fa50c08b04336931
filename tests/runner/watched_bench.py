"""A lab of one heater on a pty, and a runner that holds it and has a guard: what guards and aborts are tried on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from labloop.campaign import events as e
from labloop.campaign.events import Record
from labloop.journal import Reader, StoreError, locks
from tests.bench.lines import PtyDevice, answers
from tests.bench.test_rescue import HEATER, SOUND

WITHIN_S = 300.0
# A runner that a busy computer keeps waiting does not hang.
NEVER_S = 600.0
# What an instrument hears that is made safe.
STOPPED = [b"name?", b"value?", b"warm?", b"set 0", b"stop", b"value?"]
CAMPAIGN = """
labloop: 1
campaign: watched
lab: lab.yaml
parameters:
  q: {range: [1, 9]}
outcomes:
  warmth: {goal: maximize, from: told}
trial:
  - a.off: {}
"""


def wait_for(what: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    until_s = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.005)
    return found


class Bench:
    """A lab of one heater on a pty, and the runner that holds it."""

    def __init__(self, folder: Path, stack: ExitStack, hung_after_s: float = NEVER_S, **values: Any) -> None:
        self.folder, self.run = folder, folder / "run"
        self.device = PtyDevice(answers(**(SOUND | values)))
        stack.callback(self.device.unplug)
        (folder / "drivers").mkdir()
        (folder / "drivers" / "hot.py").write_text(HEATER.replace("\n    ", "\n"))
        lab = f'labloop: 1\ninstruments: {{a: {{driver: "drivers.hot:Heater", port: "serial://{self.device.path}"}}}}\n'
        (folder / "lab.yaml").write_text(lab)
        (folder / "campaign.yaml").write_text(CAMPAIGN)
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "tests.runner.watched", folder / "campaign.yaml", self.run, str(hung_after_s)],
            stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        stack.callback(self._end)
        self.guard = self.next_guard(0)

    def _end(self) -> None:
        for pid in {self.runner.pid, *self.guards()}:
            if pid == self.runner.pid or locks.process_started(pid) is not None:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.runner.communicate()

    def facts(self, kind: type) -> list[Any]:
        try:
            with Reader(self.run / "journal.db") as reader:
                return [record.event for record in reader.records() if isinstance(record.event, kind)]
        except StoreError:
            return []

    def guards(self) -> list[int]:
        return [fact.pid for fact in self.facts(e.GuardStarted)]

    def next_guard(self, before: int) -> int:
        """The process of the guard that came after ``before`` others."""
        found: int = wait_for(lambda: self.guards()[before:])[0]
        return found

    def records(self) -> list[Record]:
        with Reader(self.folder / "bench.db") as reader:
            return list(reader.records())

    def acts(self) -> list[e.GuardActed]:
        return [record.event for record in self.records() if isinstance(record.event, e.GuardActed)]

    def say(self, word: str) -> None:
        assert self.runner.stdin is not None
        self.runner.stdin.write(word + "\n")
        self.runner.stdin.flush()

    def left_alone(self) -> None:
        """The guard is dead, and the runner stands still, so that it begins no other."""
        os.kill(self.runner.pid, signal.SIGSTOP)
        os.waitpid(self.runner.pid, os.WUNTRACED)
        os.kill(self.guard, signal.SIGKILL)
        self.gone(self.guard)

    def gone(self, pid: int) -> None:
        wait_for(lambda: locks.process_started(pid) is None)

    def dead(self) -> None:
        """Runner and guard are killed."""
        self.left_alone()
        self.runner.kill()
        self.runner.wait(WITHIN_S)
