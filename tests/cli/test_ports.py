"""``ports --probe``: who is there, and whose evidence nobody else may hear."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from .test_processes import HOUSE, WITHIN_S, call, command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")

LAB = f"""
    labloop: 1
    name: plates
    root: {HOUSE}
    instruments:
      plate: {{driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/plate?baud=9600"}}
"""
CAMPAIGN = """
    labloop: 1
    campaign: warm
    lab: OUT.yaml
    parameters: {speed: {range: [100, 400], unit: rpm}}
    outcomes: {y: {goal: maximize, from: told}}
    trial: [{plate.stir: {speed: $speed}}]
    design: {initial: {method: sobol, trials: 1}, seed: 1}
    budget: {trials: 1}
"""
# Ends its own process, as a power cut does, at the first act.
KILLED = """
import os, sys
from pathlib import Path
from labloop.campaign.events import StepStarted
from labloop.runner import registry
from labloop.runner.session import Order, begin
def listen(record, state):
    registry.enter(Path("r"))
    if isinstance(record.event, StepStarted):
        os._exit(9)
begin(Order(campaign=Path("one.yaml"), run=Path("r"), live=True), listen)
"""


@pytest.fixture
def port(here: Path) -> Iterator[str]:
    """A simulated plate on a port that looks real."""
    (here / "lab.yaml").write_text(dedent(LAB))
    (here / "one.yaml").write_text(dedent(CAMPAIGN))
    server = subprocess.Popen(command("simulate", "lab.yaml", "--addresses", "OUT.yaml", "--speed", 100))
    until_s = time.monotonic() + WITHIN_S
    while not (here / "OUT.yaml").exists():
        assert server.poll() is None and time.monotonic() < until_s
        time.sleep(0.05)
    line = next(line for line in (here / "OUT.yaml").read_text().splitlines() if "port:" in line)
    yield line.partition('port: "')[2].partition("?")[0]
    server.terminate()
    server.wait(WITHIN_S)


def test_whose_run_was_killed_on_a_line_hears_it_first(port: str, here: Path) -> None:
    asked = call("ports", "--probe", "--at", port, "--lab", "OUT.yaml", "--json")
    (heard,) = json.loads(asked.stdout)["heard"]
    assert (heard["driver"], heard["model"]) == ("drivers.ika:RCT", "RCT digital"), asked

    died = subprocess.run([sys.executable, "-c", KILLED], env=os.environ, check=False, timeout=WITHIN_S)
    assert died.returncode == 9
    refused = call("ports", "--probe", "--at", port)
    assert f"{port}: not asked. The run in {here / 'r'} was killed on this line" in refused.stderr, refused
    assert "RCT" not in refused.stdout + refused.stderr

    assert call("resume", "r").returncode == 0
    again = call("ports", "--probe", "--at", port, "--lab", "OUT.yaml")
    assert "not asked" not in again.stderr and "RCT digital" in again.stdout, again
