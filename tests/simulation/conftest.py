"""A small droplet bench, as a plan; and the same served by a process of its own."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.served import ROOT
from tests.served import serve_plan as serve_plan

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


@pytest.fixture
def plan() -> dict[str, Any]:
    return droplet_plan()


@pytest.fixture(scope="session")
def crosswise_python() -> Callable[..., Path]:
    """``crosswise_python("ika-control==0.7.0")``: the Python of a venv with that client alone, made once and kept.

    More requirements pin what the client needs.
    """

    def made(*requirements: str) -> Path:
        folder = ROOT / ".crosswise" / re.sub(r"[^\w.]+", "-", " ".join(requirements))
        python, finished = folder / "bin" / "python", folder / "finished"
        if not finished.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", *requirements]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                named = " ".join(requirements)
                pytest.fail(f"{named} cannot be installed, so nothing was checked against it:\n{done.stderr}")
            finished.touch()
        return python

    return made
