"""Simulators on ports of every kind; ``ports --probe``: who is there, and whose evidence nobody else may hear."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


Served = Callable[..., str]


@pytest.fixture
def served(here: Path) -> Iterator[Served]:
    """``served("--transport", "tcp")``: a simulated plate on a port that looks real; its address."""
    servers: list[subprocess.Popen[bytes]] = []

    def serve(*how: str, lab: str = LAB) -> str:
        (here / "lab.yaml").write_text(dedent(lab))
        (here / "one.yaml").write_text(dedent(CAMPAIGN))
        (here / "OUT.yaml").unlink(missing_ok=True)
        servers.append(
            subprocess.Popen(command("simulate", "lab.yaml", "--addresses", "OUT.yaml", "--speed", 100, *how))
        )
        until_s = time.monotonic() + WITHIN_S
        while not (here / "OUT.yaml").exists():
            assert servers[-1].poll() is None and time.monotonic() < until_s
            time.sleep(0.05)
        line = next(line for line in (here / "OUT.yaml").read_text().splitlines() if "port:" in line)
        return line.partition('port: "')[2].partition('"')[0]

    yield serve
    for server in servers:
        server.terminate()
        server.wait(WITHIN_S)


@pytest.mark.parametrize(
    ("how", "written", "scheme"),
    [
        (("--transport", "tcp"), "serial:///dev/plate?baud=9600", "tcp"),
        (("--transport", "rfc2217"), "serial:///dev/plate?baud=9600&bytesize=7&parity=E", "rfc2217"),
        ((), "tcp://10.0.0.7:4001", "tcp"),
        ((), "rfc2217://10.0.0.7:4001?baud=9600&bytesize=7&parity=E", "rfc2217"),
    ],
)
def test_what_is_served_over_the_network_is_identified_read_and_moved(
    served: Served, how: tuple[str, ...], written: str, scheme: str
) -> None:
    address = served(*how, lab=LAB.replace("serial:///dev/plate?baud=9600", written))
    settings = written.partition("?")[2] if scheme == "rfc2217" else ""
    assert address.startswith(f"{scheme}://127.0.0.1:") and address.partition("?")[2] == settings
    seen = json.loads(call("instruments", "OUT.yaml", "--live", "--json").stdout)["instruments"]
    assert seen[0]["model"] == "RCT digital" and seen[0]["readings"]["speed"]["value"] == 0.0, seen
    stirred = call("instruments", "OUT.yaml", "plate", "stir", "speed=300 rpm", "--live", "--json")
    assert json.loads(stirred.stdout)["done"], stirred


def test_a_transport_that_there_is_not_is_refused(here: Path) -> None:
    (here / "lab.yaml").write_text(dedent(LAB))
    said = call("simulate", "lab.yaml", "--addresses", "OUT.yaml", "--transport", "pigeon")
    assert said.returncode == 2 and "transport = 'pigeon'; known are pty, tcp, rfc2217" in said.stderr


def test_whose_run_was_killed_on_a_line_hears_it_first(served: Served, here: Path) -> None:
    port = served().partition("?")[0]
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
