"""A run on the shipped bench of which one outcome is read there, and another is told days later."""

from pathlib import Path

import pytest

import labloop
from labloop.campaign import events as e
from labloop.campaign import recipe, view
from labloop.campaign.errors import SpecError, StateError
from labloop.journal import Reader
from labloop.runner import wishes
from labloop.runner.look import see
from labloop.runner.told import Told

HOUSE = Path(__file__).parents[2]

CAMPAIGN = """
labloop: 1
campaign: parts
lab: {lab}
parameters:
  q_pva: {{range: [10, 40], unit: percent}}
  q_tsc: {{range: [1, 30], unit: percent}}
outcomes:
  peak: {{goal: maximize, from: spectrum, analysis: max, weight: 1}}
  purity: {{goal: maximize, unit: percent, from: told, expect_within: 2 d, weight: 1}}
trial:
  - together:
      - pump_pva.dispense:   {{rate: 500 uL/min * $q_pva, time: 20 s}}
      - pump_tsc.dispense:   {{rate: 500 uL/min * $q_tsc, time: 20 s}}
  - spectrometer.measure:  {{integration: 100 ms, save_as: spectrum}}
design: {{initial: {{method: sobol, trials: 2}}, seed: 4}}
budget: {{trials: 2}}
"""


def made_no_more(*of: object) -> None:
    """What was read came to a value once, as its fact says; by another version's rules it comes to none."""
    raise SpecError("the curve ends before its window does")


def test_what_the_bench_read_counts_before_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(lab=HOUSE / "campaigns" / "lab.yaml"))
    run = tmp_path / "r"
    assert labloop.run(tmp_path / "c.yaml", run, virtual=True).exit_code == 0
    seen = see(run)
    assert [one.state for one in seen.state.trials.values()] == ["awaiting"] * 2
    assert [view.owed(seen.spec, one) for one in seen.state.trials.values()] == [["purity"]] * 2
    assert seen.status()["owed"][0] == {"trial": 1, "outcomes": ["purity"]}
    peak = seen.state.trials[1].outcomes["peak"].value
    assert isinstance(peak, float)
    monkeypatch.setattr(recipe, "outcomes", made_no_more)
    with Told.take_up(run, planner="inline") as told:
        with pytest.raises(StateError, match=r"has peak = .* already.*wrong 1 peak"):
            told.tell(1, {"peak": 5.0, "purity": 90.0})
        told.tell(1, {"purity": "91.5(3) percent"})
        trial = told.state.trials[1]
        assert trial.state == "measured" and trial.outcomes["peak"].value == peak and trial.outcomes["purity"].sd == 0.3
    wishes.ask(run, "wrong", ["2", "peak"], by="ann", why="the lamp was off")
    with Told.take_up(run, planner="inline") as told:
        told.tell(2, {"purity": 80.0})
        assert told.state.trials[2].outcomes["peak"].flag, "it was read, and is marked as wrong"
    with Reader(run / "journal.db") as reader:
        facts = [record.event for record in reader.records()]
    (part,) = [one for one in facts if isinstance(one, e.PartMeasured) and one.trial == 1]
    assert part.owed == ["purity"] and part.outcomes["peak"].value == peak and not part.by
