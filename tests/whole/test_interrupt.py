"""A signal in the middle of an act: what was cut short is judged as after a crash, by the same table."""

import subprocess
import sys
from pathlib import Path

import pytest

from campaigns import ROOT, records
from labloop.campaign import events as e
from labloop.campaign import state as s

CAMPAIGN = """
labloop: 1
campaign: one-act
lab: {lab}
parameters:
  q: {{range: [200, 900], unit: uL/min}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {target}}}
trial:
  - pump_agno3.dispense: {{rate: $q, time: 20 s}}
    if_interrupted: {says}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
cleanup:
  - spectrometer.rinse: {{}}
budget: {{trials: 1}}
"""
# Sends itself SIGINT when the act has run for some seconds, in virtual time.
RUN = """
import os, signal, sys
from pathlib import Path
from labloop.runner.clock import VirtualClock
from labloop.runner.session import Order, begin
sent, wait = [], VirtualClock.wait
async def watched(self, event, seconds):
    if self.now_s() > 6.0 and sys.argv[3] == "stop" and not sent:
        sent.append(os.kill(os.getpid(), signal.SIGINT))
    return await wait(self, event, seconds)
VirtualClock.wait = watched
sys.exit(begin(Order(campaign=Path(sys.argv[1]), run=Path(sys.argv[2]), virtual=True)))
"""


def go(campaign: Path, run: Path, how: str) -> int:
    command = [sys.executable, "-c", RUN, str(campaign), str(run), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


@pytest.mark.parametrize(("says", "trial", "again"), [("ask", s.IN_DOUBT, 6), ("discard", s.ABANDONED, 0)])
def test_an_act_cut_short_by_a_signal_is_what_the_recipe_says(
    tmp_path: Path, says: str, trial: str, again: int
) -> None:
    campaign, run = tmp_path / "one.yaml", tmp_path / "run"
    campaigns = ROOT / "campaigns"
    campaign.write_text(
        CAMPAIGN.format(lab=campaigns / "lab.yaml", target=campaigns / "target_spectrum.csv", says=says)
    )
    assert go(campaign, run, "stop") == 4
    state = s.fold(records(run))
    cut = state.trials[1].steps[0]
    assert state.trials[1].state == trial
    assert 0.0 < float(cut.achieved["volume"].value) < 66.0, "some of it, not all of it, was dispensed"
    assert bool(state.questions) == (says == "ask")
    if says == "ask":
        assert isinstance(cut.begun, e.StepStarted) and "will do the rest" in cut.answers["not-done"]
    assert go(campaign, run, "go on") == again
