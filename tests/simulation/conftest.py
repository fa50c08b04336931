"""A small droplet bench, as a plan; and the same served by a process of its own."""

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

ROOT = Path(__file__).parents[2]
PUMPS = "serial:///dev/serial/by-id/usb-FTDI_A1-if00?baud=19200"
HOTPLATE = "serial:///dev/serial/by-id/usb-FTDI_B7-if00?baud=9600&bytesize=7&parity=E"
SPECTROMETER = "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"


def droplet_plan() -> dict[str, Any]:
    """The shipped lab as a plan."""
    small = {"volume": "10 mL", "diameter": "14.43 mm"}
    instruments: dict[str, Any] = {}
    for address, name in enumerate(("agno3", "pva", "tsc", "seed", "water")):
        syringe = {"volume": "50 mL", "diameter": "26.7 mm"} if name == "water" else small
        options = {"address": address, "syringe": syringe, "stock": syringe["volume"]}
        instruments[f"pump_{name}"] = {"simulator": "simulators.new_era:NE1000", "port": PUMPS, "options": options}
    instruments["hotplate"] = {"simulator": "simulators.ika:RCT", "port": HOTPLATE, "options": {}}
    instruments["spectrometer"] = {"simulator": "simulators.spectrometer:Spectrometer", "port": SPECTROMETER}
    inputs = ["q_agno3", "q_pva", "q_tsc", "q_seed", "q_tot"]
    sample = {"response": str(ROOT / "campaigns/agnp.csv"), "inputs": inputs, "output": "spectrum_loss"}
    return {"instruments": instruments, "root": str(ROOT), "sample": sample, "seed": 7}


class Served:
    """A serving process and where its ports are."""

    def __init__(self, process: subprocess.Popen[str], addresses: Path) -> None:
        self.process, self._addresses = process, addresses
        self.ports: dict[str, str] = {}
        self.ended, self.said = False, ""

    def wait_ready(self) -> "Served":
        deadline = time.monotonic() + 30
        while not self._addresses.exists():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < deadline, "the simulators did not come up within 30 s"
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
            self.said = self.process.communicate(timeout=20)[1]
            self.ended = True
        return self.process.returncode


@pytest.fixture
def plan() -> dict[str, Any]:
    return droplet_plan()


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


@pytest.fixture(scope="session")
def crosswise_python() -> Callable[[str], Path]:
    """``crosswise_python("ika-control==0.7.0")``: the Python of a venv with that client alone, made once and kept."""

    def made(requirement: str) -> Path:
        folder = ROOT / ".crosswise" / requirement.replace("==", "-")
        python, finished = folder / "bin" / "python", folder / "finished"
        if not finished.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", requirement]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"{requirement} cannot be installed, so nothing was checked against it:\n{done.stderr}")
            finished.touch()
        return python

    return made
