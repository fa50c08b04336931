"""What a person wishes of trials while a run goes on: on the bench, not only in the journal."""

from pathlib import Path

import pytest
import reach as reach_module
from people import People, wish
from reach import CAMPAIGN, Reach

from labloop.campaign import events as e
from labloop.campaign import state as s

ONE = """
    trial:
      - pump_a.dispense: {rate: $q, time: 1 min}
    budget: {trials: 3}
"""


def pumped(reach: Reach) -> list[float]:
    return [one.amount for one in reach.ledger("pump_a")]


def test_a_trial_that_a_person_adds_runs_on_the_bench_with_its_settings(tmp_path: Path) -> None:
    people = People(tmp_path, (30.0, wish("add", "q=0.123", "mL/min", by="ann", why="a hunch")))
    reach = Reach(tmp_path, "", ONE, people)
    assert reach.run() == 0
    state = reach.state()
    assert [trial.source for trial in state.trials.values()] == ["random", "human", "random"]
    assert pumped(reach)[1] == pytest.approx(123.0, abs=0.1)
    (asked,) = reach.facts(e.Requested)
    assert (asked.by, asked.why, reach.facts(e.RequestAnswered)[0].accepted) == ("ann", "a hunch", True)


def test_a_trial_that_a_person_adds_runs_even_when_the_budget_is_spent(tmp_path: Path) -> None:
    reach = Reach(
        tmp_path, "", ONE.replace("trials: 3", "trials: 1"), People(tmp_path, (30.0, wish("add", "q=200", by="ann")))
    )
    assert reach.run() == 0
    assert len(pumped(reach)) == 2 and pumped(reach)[1] == pytest.approx(200.0, abs=0.1)


def test_what_is_edited_runs_as_edited_and_what_it_was_never_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are proposed at once, and the second waits for the pump."""
    monkeypatch.setattr(reach_module, "CAMPAIGN", CAMPAIGN.replace("design: {", "design: {batch: 2, "))
    people = People(tmp_path, (30.0, wish("edit", "2", "q=111", by="bob", why="safer")))
    reach = Reach(tmp_path, "", ONE.replace("trials: 3", "trials: 2"), people)
    assert reach.run() == 0
    state = reach.state()
    assert (state.trials[2].state, state.trials[3].source) == (s.ABANDONED, "human") and not state.trials[2].acted
    assert len(pumped(reach)) == 2 and pumped(reach)[1] == pytest.approx(111.0, abs=0.1)


def test_what_runs_is_not_edited(tmp_path: Path) -> None:
    reach = Reach(tmp_path, "", ONE, People(tmp_path, (30.0, wish("edit", "1", "q=111", by="bob"))))
    assert reach.run() == 0
    (answered,) = reach.facts(e.RequestAnswered)
    assert not answered.accepted and "trial 1 is running" in answered.message
