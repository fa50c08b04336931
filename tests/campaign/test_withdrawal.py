"""What is marked as wrong stays in the journal, and nothing takes it for a value any more."""

from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign import view
from labloop.campaign.errors import StateError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import spec_from_dict

SPEC: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 10]}},
    "outcomes": {"y": {"goal": "maximize"}, "cost": {"limit": "<= 5"}},
    "budget": {"trials": 9},
}


def told(*facts: e.Fact) -> s.CampaignState:
    opened = e.CampaignOpened(campaign="c", run_id="r", version="0", mode="told", seed=1, campaign_sha256="0")
    made: list[e.Fact] = [opened]
    for trial, y in ((1, 3.0), (2, 7.0), (3, 5.0)):
        made.append(e.ProposalMade(trial=trial, sample=f"S{trial}", settings={"x": y}, source="model"))
        made.append(e.TrialMeasured(trial=trial, outcomes={"y": e.Reading(value=y), "cost": e.Reading(value=1.0)}))
    made.append(e.ProposalMade(trial=4, sample="S4", settings={"x": 0.0}, source="model"))
    return s.fold(
        e.Record(seq=n + 1, at="2026-01-01T00:00:00+00:00", event=one) for n, one in enumerate([*made, *facts])
    )


WRONG = e.ResultWithdrawn(trial=2, by="ann", why="the lamp was off")


def best(state: s.CampaignState) -> list[int]:
    return [one.trial for one in view.best_trials(spec_from_dict(SPEC), state)]


def test_the_best_is_found_without_it_and_its_values_stay() -> None:
    assert best(told()) == [2] and best(told(WRONG)) == [3]
    trial = told(WRONG).trials[2]
    assert trial.state == s.MEASURED and trial.is_withdrawn
    assert trial.outcomes["y"].value == 7.0 and trial.outcomes["y"].flag == "marked as wrong by ann: the lamp was off"
    assert Objective(spec_from_dict(SPEC)).course(told(WRONG).trials.values()) == [3.0, 5.0]


def test_it_counts_in_the_budget_as_before_and_plans_made_ahead_do_not() -> None:
    before, after = told(), told(WRONG)
    assert after.measured == before.measured == 3
    assert after.last_result == after.seq > before.last_result


def test_one_outcome_alone_may_be_wrong() -> None:
    state = told(e.ResultWithdrawn(trial=2, outcomes=["cost"], why="scale"))
    trial = state.trials[2]
    assert not trial.is_withdrawn and not trial.outcomes["y"].flag and trial.outcomes["cost"].flag
    assert best(state) == [3], "nobody knows whether it keeps the limit"
    both = told(*(e.ResultWithdrawn(trial=2, outcomes=[name], why="w") for name in ("cost", "y")))
    assert both.trials[2].is_withdrawn


def test_what_was_right_after_all_counts_again() -> None:
    state = told(WRONG, e.ResultRestored(trial=2, by="ann", why="it was on"))
    assert best(state) == [2] and not state.trials[2].withdrawn and state.last_result == state.seq


def test_what_is_right_after_all_is_what_was_named() -> None:
    cost = e.ResultWithdrawn(trial=2, outcomes=["cost"], why="scale")
    state = told(cost, WRONG, e.ResultRestored(trial=2, outcomes=[""]))
    assert state.trials[2].withdrawn == {"cost": cost} and not state.trials[2].outcomes["y"].flag
    state = told(cost, WRONG, e.ResultRestored(trial=2, outcomes=["cost"]))
    assert list(state.trials[2].withdrawn) == [""] and best(state) == [3]
    assert not told(cost, WRONG, e.ResultRestored(trial=2)).trials[2].withdrawn, "as older journals say it"


def test_the_document_says_who_marked_it_and_why() -> None:
    entry = view.trial_entry(spec_from_dict(SPEC), told(WRONG).trials[2])
    assert entry["withdrawn"] == [{"outcome": None, "by": "ann", "why": "the lamp was off"}]
    assert entry["outcomes"]["y"] == {"value": 7.0, "unit": "", "flag": "marked as wrong by ann: the lamp was off"}
    assert view.trial_entry(spec_from_dict(SPEC), told().trials[2])["withdrawn"] == []


def test_what_is_not_over_has_nothing_to_be_withdrawn() -> None:
    with pytest.raises(StateError, match="trial 4 is proposed"):
        told(e.ResultWithdrawn(trial=4, why="w"))


def test_comparisons_with_a_spoiled_sample_say_nothing() -> None:
    said = [
        e.Preferred(outcome="taste", trial=1, over=2),
        e.Preferred(outcome="taste", trial=2, over=3),
        e.Preferred(outcome="taste", trial=3, over=1),
    ]
    with_it, without = told(*said), told(*said, WRONG)
    assert with_it.trials[1].outcomes["taste"].value == pytest.approx(
        with_it.trials[3].outcomes["taste"].value, abs=0.3
    )
    taste = {number: without.trials[number].outcomes["taste"].value for number in (1, 3)}
    assert taste[3] > taste[1] + 0.3, "only the last comparison counts"
    again = told(*said, WRONG, e.ResultRestored(trial=2))
    assert again.trials[1].outcomes["taste"] == with_it.trials[1].outcomes["taste"]
    alone = told(said[0], WRONG)
    assert "taste" not in alone.trials[1].outcomes
