"""Running the shipped campaign in a process of its own, and reading what it left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from labloop.campaign.events import Record
from labloop.journal import Reader

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "campaigns" / "quickstart.yaml"
# Ends its own process, as a power cut does, right after the n-th fact was committed.
RUN = """
import os, sys
from pathlib import Path
from labloop.runner.session import Order, begin
campaign, run, trials, virtual, kill_at = sys.argv[1:]
def listen(record, state):
    if record.seq == int(kill_at):
        os._exit(9)
order = Order(campaign=Path(campaign), run=Path(run), trials=int(trials), virtual=virtual == "virtual")
sys.exit(begin(order, listen))
"""


def command(run: Path, trials: int, *, virtual: bool, kill_at: int = 0, campaign: Path = QUICKSTART) -> list[str]:
    """The command that runs or resumes ``run``."""
    return [
        sys.executable,
        "-c",
        RUN,
        str(campaign),
        str(run),
        str(trials),
        "virtual" if virtual else "real",
        str(kill_at),
    ]


def go(run: Path, trials: int, *, virtual: bool, kill_at: int = 0, campaign: Path = QUICKSTART) -> int:
    """Run it to its end (or its kill) and give the exit code."""
    done = subprocess.run(
        command(run, trials, virtual=virtual, kill_at=kill_at, campaign=campaign), cwd=ROOT, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def records(run: Path) -> list[Record]:
    """Every fact of a run."""
    with Reader(run / "journal.db") as reader:
        return list(reader.records())


def ledger(run: Path) -> list[dict[str, Any]]:
    """What the simulated devices of a run did."""
    return [json.loads(line) for line in (run / "simulators" / "ledger.jsonl").read_text().splitlines()]
