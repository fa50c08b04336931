"""Simulators served by a process of their own, for whoever wants real ports: ``serve_plan(plan, **more)``."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


class Served:
    """A serving process and where its ports are."""

    def __init__(self, process: subprocess.Popen[str], addresses: Path) -> None:
        self.process, self._addresses = process, addresses
        self.ports: dict[str, str] = {}
        self.ended, self.said = False, ""

    def wait_ready(self) -> "Served":
        deadline = time.monotonic() + 300
        while not self._addresses.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the simulators did not come up within 300 s"
            time.sleep(0.01)
        written = json.loads(self._addresses.read_text())
        assert written["pid"] == self.process.pid
        self.ports = written["ports"]
        return self

    def device(self, name: str) -> str:
        """The path of a serial port, as a client opens it."""
        return self.ports[name].removeprefix("serial://").partition("?")[0]

    def end(self, how: int = signal.SIGTERM) -> int:
        if not self.ended:
            if self.process.poll() is None:
                self.process.send_signal(how)
            self.said = self.process.communicate(timeout=300)[1]
            self.ended = True
        return self.process.returncode


@pytest.fixture
def serve_plan(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """``serve_plan(plan, **more)``: a process that serves it, ready."""
    running: list[Served] = []

    def start(plan: dict[str, Any], **more: Any) -> Served:
        number = len(running)
        addresses = tmp_path / f"addresses-{number}.json"
        path = tmp_path / f"plan-{number}.json"
        path.write_text(json.dumps(plan | {"addresses": str(addresses)} | more))
        process = subprocess.Popen(
            [sys.executable, "-m", "labloop.simulation.serve", str(path)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(Served(process, addresses))
        return running[-1].wait_ready()

    yield start
    died = [served for served in running if not served.ended and served.process.poll() is not None]
    for served in running:
        served.end(signal.SIGKILL)
    assert not died, [(served.process.returncode, served.said) for served in died]
