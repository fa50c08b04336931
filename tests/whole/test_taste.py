"""A run on the shipped bench whose outcome is told by comparing what it made."""

from pathlib import Path

import labloop
from labloop.campaign import view
from labloop.campaign.state import MEASURED
from labloop.runner import wishes
from labloop.runner.look import see

HOUSE = Path(__file__).parents[2]

CAMPAIGN = """
labloop: 1
campaign: colour
lab: {lab}
parameters:
  q_pva: {{range: [10, 40], unit: percent}}
  q_tsc: {{range: [1, 30], unit: percent}}
outcomes:
  colour: {{goal: prefer, from: told}}
trial:
  - together:
      - pump_pva.dispense:   {{rate: 500 uL/min * $q_pva, time: 20 s}}
      - pump_tsc.dispense:   {{rate: 500 uL/min * $q_tsc, time: 20 s}}
  - spectrometer.measure:  {{integration: 100 ms, save_as: spectrum}}
design: {{initial: {{method: sobol, trials: 2}}, seed: 4}}
budget: {{trials: 4}}
"""


def test_made_compared_and_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(lab=HOUSE / "campaigns" / "lab.yaml"))
    run = tmp_path / "r"
    assert labloop.run(tmp_path / "c.yaml", run, virtual=True).exit_code == 6
    assert see(run).state.reason.startswith("2 made trials waited to be compared")
    assert wishes.prefer(run, 2, 1, tie=False, by="anna").accepted
    assert labloop.run(tmp_path / "c.yaml", run, virtual=True).exit_code == 6
    state = see(run).state
    third = state.trials[3]
    assert third.source == "model" and "colour by 1 comparison of 2 trials" in third.proposal.model
    assert state.trials[2].state == MEASURED and state.trials[2].closed and third.state != MEASURED
    assert wishes.prefer(run, 3, 2, tie=False, by="anna").accepted
    seen = see(run)
    best = view.best(seen.spec, seen.state)
    assert isinstance(best, dict) and best["trial"] == 3
