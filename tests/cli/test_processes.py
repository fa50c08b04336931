"""Verbs that are processes: simulate on real ports, a live run against it, a run without a terminal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labloop.campaign.spec import read_lab
from labloop.runner.by_hand import taken
from tests.patience import PATIENT, patient_lab

HOUSE = Path(__file__).parents[2]
CAMPAIGNS = HOUSE / "campaigns"
WITHIN_S = 300.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "labloop", *map(str, arguments)]


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=WITHIN_S)


@pytest.fixture
def served(here: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The shipped lab's simulators, served from another folder than the lab's."""
    server = subprocess.Popen(
        command(
            "simulate", CAMPAIGNS / "lab.yaml", "--addresses", "OUT.yaml", "--ledger", "ledger.jsonl", "--speed", 200
        )
    )
    until_s = time.monotonic() + WITHIN_S
    while not (here / "OUT.yaml").exists():
        assert server.poll() is None and time.monotonic() < until_s
        time.sleep(0.05)
    patient_lab(here / "OUT.yaml")
    yield server
    server.terminate()
    server.wait(WITHIN_S)


def test_a_live_run_on_served_simulators(served: subprocess.Popen[bytes], here: Path) -> None:
    text = (here / "OUT.yaml").read_text()
    assert "simulated: true" in text and "speed: 200" in text and str(HOUSE) in text
    said = call(
        "run", CAMPAIGNS / "quickstart.yaml", "--lab", "OUT.yaml", "--live", "--yes", "--trials", 1, "--run", "r"
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("LIVE  trial   1  spectrum_loss = ")
    seen = json.loads((here / "r" / "seen.json").read_text())["instruments"]
    assert seen["hotplate"]["temperature"]["value"] == pytest.approx(40.0, abs=2.0), "what dashboards show of a hold"
    ledger = [json.loads(line) for line in (here / "ledger.jsonl").read_text().splitlines()]
    begun = [(one["instrument"], one["act"]) for one in ledger if one["phase"] == "begin"]
    assert begun.count(("pump_agno3", "dispense")) == 1 and ("spectrometer", "rinse") in begun

    hand = call(
        "instruments", "OUT.yaml", "pump_agno3", "dispense", "rate=300 uL/min", "volume=20 uL", "--live", "--json"
    )
    assert hand.returncode == 0, hand.stderr
    assert json.loads(hand.stdout)["achieved"]["volume"]["value"] == pytest.approx(20.0, abs=0.1)
    assert (here / "bench.db").exists(), "an act by hand is a fact of the bench"

    served.send_signal(signal.SIGTERM)
    assert served.wait(WITHIN_S) == 0
    gone = call("instruments", "OUT.yaml", "--live")
    assert gone.returncode == 3 and "Traceback" not in gone.stderr


def test_a_run_without_a_terminal_is_reached_by_abort(here: Path) -> None:
    said = call("run", CAMPAIGNS / "quickstart.yaml", "--detach", "--run", "d", "--speed", 100)
    assert said.returncode == 0, said.stderr
    pid, folder = said.stdout.split()
    assert folder == "d"
    assert "another" not in said.stderr
    try:
        abort = subprocess.run([*PATIENT, "abort", "--why", "test"], capture_output=True, text=True, check=True)
        assert abort.stdout.startswith(f"{here / 'd'}: abort accepted")
        until_s = time.monotonic() + WITHIN_S
        while json.loads(call("status", "d", "--json").stdout)["runner"] != "gone":
            assert time.monotonic() < until_s
        status = json.loads(call("status", "d", "--json").stdout)
        assert (status["state"], status["exit_code"]) == ("stopped", 4)
        assert "stopped: test" in (here / "d" / "runner.log").read_text()
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(int(pid), signal.SIGKILL)


def test_a_detached_run_that_cannot_begin_says_why_here(here: Path) -> None:
    text = (CAMPAIGNS / "quickstart.yaml").read_text().replace("lab.yaml", str(CAMPAIGNS / "lab.yaml"))
    text = text.replace("target_spectrum.csv", str(CAMPAIGNS / "target_spectrum.csv"))
    (here / "hot.yaml").write_text(text.replace("40 degC", "400 degC"))
    said = call("run", "hot.yaml", "--detach", "--run", "d")
    assert said.returncode == 2
    assert "hot.yaml:26:" in said.stderr and "80 degC" in said.stderr
    assert [path.name for path in here.iterdir() if path.name.startswith(".runner")] == []


def test_a_detached_run_takes_a_folder_whose_beginning_was_cut_short(here: Path) -> None:
    (here / "d").mkdir(mode=0o700)
    (here / "d" / "journal.db").touch()
    said = call("run", CAMPAIGNS / "quickstart.yaml", "--virtual", "--seed", 1, "--detach", "--run", "d")
    assert said.returncode == 0, said.stderr
    assert [path.name for path in here.iterdir() if path.name.startswith(".runner")] == []


def test_a_detached_run_that_does_not_get_its_bench_says_so_here(here: Path) -> None:
    """It was left without a terminal, and had ended when nobody looked any more."""
    plate = '{driver: "drivers.ika:RCT", port: "tcp://127.0.0.1:1"}'
    (here / "lab.yaml").write_text(f"labloop: 1\nname: b\nroot: {HOUSE}\ninstruments: {{plate: {plate}}}\n")
    (here / "one.yaml").write_text(
        "labloop: 1\ncampaign: c\nlab: lab.yaml\nparameters: {x: {range: [100, 400], unit: rpm}}\n"
        "outcomes: {y: {goal: maximize, from: told}}\ntrial: [{plate.stir: {speed: $x}}]\nbudget: {trials: 1}\n"
    )
    with taken(read_lab(here / "lab.yaml"), live=True):
        said = call("run", "one.yaml", "--live", "--yes", "--detach", "--run", "d")
    assert said.returncode == 5 and said.stdout == ""
    assert "the bench 'b' has a controller already" in said.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_takes_the_place_of_no_closed_stream(closed: str, tmp_path: Path) -> None:
    program = """
import os, sys
from labloop.cli import app
app.app = lambda: print(app.words.has_terminal(), os.open(sys.executable, os.O_RDONLY), file=open("said", "w"))
app.main()
"""
    command = f'"{sys.executable}" -c "$PROGRAM" {closed}'
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=os.environ | {"PROGRAM": program}, check=False
    )  # fmt: skip
    terminal, number = (tmp_path / "said").read_text().split()
    assert (done.returncode, terminal) == (0, "False")
    assert int(number) > 2
