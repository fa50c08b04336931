"""A disk that is full, or fails, at any write of a campaign: the bench is made safe, nothing is lost, it goes on later.

The bench lives in this process (see lockstep) and outlives the runner; the disk fails beneath the runner's own store
(see disk_nursery). What the devices did is held against the journal, as after a kill.
"""

import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lockstep import Bench, Nursery
from test_kill_anywhere import Stage, memory_folder, wrong_in

from campaigns import records
from labloop.campaign import state as s
from labloop.journal import Reader
from tests.journal.faulty_disk import library

pytestmark = pytest.mark.skipif(library() is None, reason="this Python's SQLite hides its functions")

FOR_EVER = 10**9
LAST = 4  # deeds of a run that need no room (it tidies up), or that one run does and the next need not
WORDS = {"trials": 2, "sobol": 2}


class DiskNursery(Nursery):
    """Runners on a disk that fails when told to."""

    script = "disk_nursery.py"


def on_disk(stage: Stage, nursery: Nursery, name: str, **plan: Any) -> tuple[Bench, Path, dict[str, Any]]:
    """Run a copy of the stage to its end on such a disk; the report."""
    run, report = stage.copy(name), stage.begun.parent / f"{name}.json"
    bench = Bench.of(stage.lab)
    bench.run(nursery, {"resume": str(run), "disk": {**plan, "report": str(report)}})
    return bench, run, json.loads(report.read_text())


def unsafe(bench: Bench) -> list[str]:
    """Devices that still move or heat, although nobody is left to watch them."""
    open_acts: dict[tuple[str, str], int] = {}
    for entry in bench.ledger:
        open_acts[entry.instrument, entry.act] = open_acts.get((entry.instrument, entry.act), 0) + (
            1 if entry.phase == "begin" else -1
        )
    return [f"{instrument} still does {act}" for (instrument, act), count in open_acts.items() if count > 0]


def answered(run: Path) -> None:
    """Say of a pump, told to run and stopped in the same moment, that it was not done.

    Its counters stand at 0 as before, so that nobody knows; that nothing came, the ledger is held against.
    """
    (act,) = [step.begun for step in s.fold(records(run)).questions.values()]
    words = ("request", str(run), "resolve", f"{act.trial}.{act.instrument}", "not-done", "--by", "a test")
    subprocess.run([sys.executable, "-P", "-m", "labloop", *words], check=True, capture_output=True)


def failed_at(stage: Stage, nursery: Nursery, whole: s.CampaignState, deed: int, how: str, count: int) -> list[str]:
    """Let ``count`` deeds fail from ``deed`` on; then let there be room, and resume: what is wrong."""
    name = f"{how}-{deed}-{count}"
    bench, run, report = on_disk(stage, nursery, name, **{"from": deed, "count": count, "how": how})
    wrong = []
    if not report["failed"] and (report["code"] != 0 or deed < report["deeds"] - LAST):
        return [f"{name}: nothing failed: {report}"]
    if report["code"] not in (0, 5):
        wrong.append(f"ended with {report['code']}: {report['said']}")
    if report["code"] == 5:
        if "labloop resume" not in report["said"] and "try again" not in report["said"]:
            wrong.append(f"names no way out: {report['said']}")
        wrong += unsafe(bench)
        bench.pass_time(30.0)
        wrong += unsafe(bench)
        with Reader(run / "journal.db") as reader:
            kept = reader.verify()
        code = bench.run(nursery, {"resume": str(run)})
        if code == 6 and "stand at 0 as they did before" in str(s.fold(records(run)).questions):
            answered(run)
            code = bench.run(nursery, {"resume": str(run)})
        if code != 0:
            wrong.append(f"resumed, it ended with {code}")
        with Reader(run / "journal.db") as reader:
            if reader.verify() <= kept:
                wrong.append("nothing was added after the resume")
    state = s.fold(records(run))
    wrong += wrong_in(bench, state, stage.campaign, whole)
    shutil.rmtree(run)
    return [f"{name}: {one}" for one in wrong]


def sweep(deeds: Iterable[int], how: str, count: int) -> list[str]:
    """What is wrong after each of ``deeds``."""
    wrong: list[str] = []
    with memory_folder() as folder, DiskNursery() as nursery:
        stage = Stage.set(folder, nursery, **WORDS)
        whole, _ = stage.unharmed(nursery)
        for deed in deeds:
            wrong += failed_at(stage, nursery, whole, deed, how, count)
    return wrong


def deeds_of() -> int:
    """How many there are in a run that nothing happens to."""
    with memory_folder() as folder, DiskNursery() as nursery:
        stage = Stage.set(folder, nursery, **WORDS)
        _, _, report = on_disk(stage, nursery, "counted")
    assert report["code"] == 0 and report["failed"] == 0
    return int(report["deeds"])


def test_a_disk_that_is_full_from_some_deed_on_or_fails_at_one() -> None:
    with memory_folder() as folder, DiskNursery() as nursery:
        stage = Stage.set(folder, nursery, **WORDS)
        whole, _ = stage.unharmed(nursery)
        deeds = int(on_disk(stage, nursery, "counted")[2]["deeds"])
        assert deeds > 300
        wrong = []
        for part in range(1, 8):
            wrong += failed_at(stage, nursery, whole, deeds * part // 8, "full", FOR_EVER)
        for part, how in enumerate(("failed", "torn", "synced", "failed", "synced"), 1):
            wrong += failed_at(stage, nursery, whole, deeds * part // 6, how, 1)
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "count", "stride"), [("full", FOR_EVER, 2), ("failed", 1, 2), ("torn", 1, 3), ("synced", 1, 3)]
)
def test_every_single_deed_of_a_campaign(how: str, count: int, stride: int) -> None:
    deeds = deeds_of()
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(sweep, range(start * stride, deeds, 2 * stride), how, count) for start in (0, 1)]
        wrong = [one for part in parts for one in part.result()]
    assert wrong == []
