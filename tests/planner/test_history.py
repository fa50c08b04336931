"""What teaches the model and what does not."""

import math
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import CampaignState, fold
from labloop.planner.encoding import Encoding
from labloop.planner.history import read
from labloop.planner.problem import read_problem


def campaign():
    return spec_from_dict({"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"y": {"goal": "maximize"}}})


def told(*readings: e.Reading) -> CampaignState:
    facts: list[e.Fact] = []
    for number, reading in enumerate(readings, 1):
        facts.append(e.ProposalMade(trial=number, sample="S", settings={"x": number / 10}, source="sobol"))
        facts.append(e.TrialMeasured(trial=number, outcomes={"y": reading}))
    return fold(e.Record(seq, "2026-01-01T00:00:00+00:00", fact) for seq, fact in enumerate(facts, 1))


@pytest.mark.parametrize(
    "bad",
    [
        e.Reading(value=5.0, censored="above"),
        e.Reading(value=5.0, censored="below"),
        e.Reading(value=5.0, flag="in g, where mg is declared"),
        e.Reading(value=None, flag="nan is no number"),
        e.Reading(value=math.nan),
        e.Reading(value=math.inf),
        e.Reading(value="high"),
    ],
)
def test_what_is_no_value_is_never_trained_on_and_its_point_is_not_proposed_again(bad: e.Reading) -> None:
    problem = read_problem(campaign())
    assert isinstance(problem.encoding, Encoding)
    history = read(told(e.Reading(value=1.0), bad, e.Reading(value=2.0)), problem.encoding, problem.goals)
    assert list(history.data["y"].values) == [1.0, 2.0]
    assert len(history.taken) == 3 and len(history.known.observed) == 2
    assert history.left_out == 1


def test_what_is_marked_as_wrong_teaches_nothing(journal: Any) -> None:
    facts = journal(0)
    wrong = facts.measure({"x": 0.2}, y=1.0)
    facts.measure({"x": 0.4}, y=2.0)
    failed = facts.fail({"x": 0.9})
    problem = read_problem(campaign())
    before = read(facts.state, problem.encoding, problem.goals)
    assert (len(before.data["y"].values), before.failed, len(before.taken), before.begun) == (2, 1, 3, 2)
    for trial in (wrong, failed):
        facts.put(e.ResultWithdrawn(trial=trial, why="w"))
    after = read(facts.state, problem.encoding, problem.goals)
    assert after.data["y"].values.tolist() == [2.0] and after.failed == 0 and after.left_out == 0
    assert len(after.taken) == 1 and after.begun == 1, "it may be tried again"
