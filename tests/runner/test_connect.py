"""The simulators of a run, in a process of their own that a killed runner leaves behind."""

import sys
from pathlib import Path

import pytest

from labloop.campaign.spec import read_lab
from labloop.journal import FileLock
from labloop.runner.benches import simulation_plan
from labloop.runner.connect import _Child

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")


def test_one_that_is_still_coming_up_is_waited_for_and_not_doubled(tmp_path: Path) -> None:
    plan = simulation_plan(read_lab(ROOT / "campaigns/lab.yaml"), speed=60.0)
    lock = tmp_path / "runner.lock"
    plan |= {"state": str(tmp_path), "addresses": str(tmp_path / "addresses.json"), "watch": str(lock)}
    with FileLock.take(lock, "the run"):
        orphan = _Child._spawn(tmp_path, plan)  # its runner is killed here, before anything stands in the folder
        child = _Child.of(tmp_path, plan)
        try:
            assert child.ports.keys() == plan["instruments"].keys()
            assert _Child.of(tmp_path, plan) == child
            if child.pid != orphan.pid:
                assert orphan.wait(300) == 0, "two processes serve one bench"
        finally:
            while (serving := _Child._find(tmp_path)) is not None:  # a second one may have waited for its turn
                serving.end()
            orphan.wait(300)
    last_words = (tmp_path / "serve.log").read_text()
    assert "served until: SIGTERM" in last_words
