"""Work that the lab lets go on without a runner: watched again after a restart, and not begun anew."""

import sys
from pathlib import Path

import pytest
from rig import CAMPAIGNS, ROOT, served, wait_for

from labloop.campaign import events as e

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")

CAMPAIGN = f"""
labloop: 1
campaign: kept-warm
parameters:
  q: {{range: [200, 900], unit: uL/min}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {CAMPAIGNS / "target_spectrum.csv"}}}
trial:
  - hotplate.hold: {{temperature: 23 degC, tolerance: 2 K, time: 600 s}}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
teardown:
  - hotplate.off: {{}}
budget: {{trials: 1}}
"""


def lab_that_keeps_its_plate(folder: Path) -> Path:
    """The shipped lab, but its hotplate goes on when nobody watches."""
    text = (CAMPAIGNS / "lab.yaml").read_text()
    text = text.replace("safe_state:\n  - hotplate.off: {}\n", "keep: [hotplate]\n")
    text = text.replace("agnp.csv", str(CAMPAIGNS / "agnp.csv")).replace(
        "labloop: 1\n", f"labloop: 1\nroot: {ROOT}\n", 1
    )
    path = folder / "lab.yaml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_a_hold_that_its_killed_runner_left_is_watched_to_its_end(tmp_path: Path) -> None:
    with served(tmp_path, lab_that_keeps_its_plate(tmp_path), 30.0) as rig:
        campaign = tmp_path / "warm.yaml"
        campaign.write_text(CAMPAIGN)
        runner = rig.run(campaign)
        wait_for(lambda: rig.facts(e.StepKept) or runner.poll() is not None)
        runner.kill()
        runner.wait()
        wait_for(lambda: rig.status()["guard"] == "acted")
        resumed = rig.start("resume", "r", "--no-dashboard")
        said, _ = resumed.communicate(timeout=120)
        assert resumed.returncode == 0, said
        assert "went on by itself and is watched again" in said
        (acted,) = [fact for fact in rig.facts(e.SafeStateReached) if fact.by == "guard"]
        assert acted.found["hotplate"].state == "kept" and acted.found["pump_water"].state == "stopped"
        (begun,) = [fact for fact in rig.facts(e.StepStarted) if fact.instrument == "hotplate" and fact.trial == 1]
        (again,) = rig.facts(e.StepRejoined)
        (ended,) = [fact for fact in rig.facts(e.StepFinished) if fact.step == begun.step]
        assert again.step == begun.step and not rig.facts(e.StepFailed)
        assert 600.0 <= ended.achieved["time"].value < 700.0, "the time before the kill, in between, and after it"
        assert 0.0 < ended.achieved["unwatched"].value <= 600.0
        heated = [line["phase"] for line in rig.ledger() if line["instrument"] == "hotplate"]
        assert heated == ["begin", "end"], "heated once, and off at the end"
