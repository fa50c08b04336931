"""What is better, and when to stop."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from labloop.campaign.events import Reading
from labloop.campaign.objective import Objective
from labloop.campaign.spec import spec_from_dict


@dataclass
class Trial:
    trial: int
    outcomes: dict[str, Reading]
    state: str = "measured"
    role: str = "candidate"
    finished: str = field(default="")

    def __post_init__(self) -> None:
        self.finished = self.finished or f"2026-01-01T00:{self.trial:02d}:00+00:00"


def objective(outcomes: dict[str, Any], **more: Any) -> Objective:
    return Objective(spec_from_dict({"parameters": {"x": {"range": [0, 1]}}, "outcomes": outcomes, **more}))


def trials(*values: Any) -> list[Trial]:
    return [
        Trial(at, {n: Reading(value=v) for n, v in (one if isinstance(one, dict) else {"y": one}).items()})
        for at, one in enumerate(values, start=1)
    ]


def test_one_goal() -> None:
    low, high = objective({"y": {"goal": "minimize"}}), objective({"y": {"goal": "maximize"}})
    several = trials(3.0, 1.0, 2.0, 1.0)
    assert low.better({"y": 1.0}, {"y": 2.0}) and not low.better({"y": 2.0}, {"y": 2.0})
    assert low.best(several).trial == 2 and high.best(several).trial == 1
    assert low.course(several) == [3, 1, 1, 1] and high.course(several) == [3, 3, 3, 3]
    assert low.best([]) is None


def test_a_target_with_a_tolerance() -> None:
    goal = objective({"y": {"goal": {"target": "530 nm", "tolerance": 5}, "unit": "nm"}})
    assert goal.utility("y", 527) == 0 and goal.utility("y", 520) == -5 and goal.utility("y", 541) == -6
    assert goal.best(trials(500.0, 520.0, 541.0)).trial == 2
    assert not goal.better({"y": 531.0}, {"y": 527.0})


def test_weights_make_one_goal() -> None:
    goal = objective({"a": {"goal": "maximize", "weight": 2, "reference": 10}, "b": {"goal": "minimize", "weight": 1}})
    assert not goal.pareto
    assert goal.score({"a": 12.0, "b": 3.0}) == 1.0
    assert goal.better({"a": 12.0, "b": 3.0}, {"a": 13.0, "b": 6.0})


def test_two_goals_make_a_front() -> None:
    goal = objective({"a": {"goal": "maximize"}, "b": {"goal": "minimize"}})
    assert goal.pareto
    found = goal.best(trials({"a": 1.0, "b": 1.0}, {"a": 2.0, "b": 2.0}, {"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.0}))
    assert [trial.trial for trial in found] == [1, 2, 4]
    assert goal.best([]) == []


def test_limits_come_first() -> None:
    goal = objective({"y": {"goal": "maximize"}, "dirt": {"limit": "<= 10"}})
    clean, dirty, dirtier = ({"y": y, "dirt": d} for y, d in ((1.0, 9.0), (5.0, 12.0), (9.0, 20.0)))
    assert goal.better(clean, dirty) and goal.better(dirty, dirtier)
    assert goal.best(trials(dirty, clean, dirtier)).trial == 2
    course = goal.course(trials(dirty, clean, dirtier))
    assert math.isnan(course[0]) and course[1:] == [1, 1]
    assert not goal.feasible({"y": 1.0}) and goal.feasible(clean)


def test_the_rank_orders_as_better_does() -> None:
    goal = objective({"y": {"goal": "maximize"}, "dirt": {"limit": "<= 10"}})
    rising = [
        {"dirt": 1.0}, {"y": 9.0}, {"y": 9.0, "dirt": 20.0}, {"y": 1.0, "dirt": 12.0}, {"y": 1.0, "dirt": 10.0},
        {"y": 2.0, "dirt": 0.0},
    ]  # fmt: skip
    assert goal.rank(rising[0]) is None
    assert [(a, b) for a in range(6) for b in range(6) if goal.better(rising[b], rising[a])] == [
        (a, b) for a in range(6) for b in range(a + 1, 6)
    ]
    assert sorted(rising[:0:-1], key=lambda one: goal.rank(one) or ()) == rising[1:]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "high", True])
def test_what_is_no_number_is_never_best(value: Any) -> None:
    goal = objective({"y": {"goal": "maximize"}})
    assert goal.best(trials(1.0, value)).trial == 1
    assert goal.better({"y": 1.0}, {"y": value}) and not goal.better({"y": value}, {"y": 1.0})


def test_controls_failures_and_open_trials_do_not_count() -> None:
    goal = objective({"y": {"goal": "maximize"}})
    several = trials(1.0, 9.0, 8.0, 7.0)
    several[1].role, several[2].state, several[3].state = "control", "failed", "running"
    assert goal.best(several).trial == 1


def bound(value: float, side: str) -> Reading:
    return Reading(value=value, censored=side)


def test_a_bound_is_never_the_best_and_never_counts_as_a_value() -> None:
    high = objective({"y": {"goal": "maximize"}})
    several = [
        Trial(1, {"y": Reading(value=1.0)}), Trial(2, {"y": bound(9.0, "above")}),
        Trial(3, {"y": Reading(value=9.0, flag="in V, where mV is declared")}),
    ]  # fmt: skip
    assert high.best(several).trial == 1
    assert high.course(several) == [1.0]
    assert high.utilities(several[1]) is None and high.score(several[2]) is None


@pytest.mark.parametrize(
    ("limit", "value", "side", "kept"),
    [
        ("<= 1", 0.05, "below", True),
        ("<= 1", 2.0, "below", False),
        ("<= 1", 0.05, "above", False),
        ("<= 1", 2.0, "above", False),
        ("<= 1", 1.0, "above", False),
        (">= 1", 2.0, "above", True),
        (">= 1", 0.5, "above", False),
        (">= 1", 0.5, "below", False),
    ],
)
def test_a_bound_keeps_a_limit_where_it_is_enough_to_know(limit: str, value: float, side: str, kept: bool) -> None:
    wishes = objective({"y": {"goal": "maximize"}, "impurity": {"limit": limit}})
    outcomes = {"y": Reading(value=1.0), "impurity": bound(value, side)}
    assert wishes.feasible(outcomes) is kept
    flagged = {**outcomes, "impurity": Reading(value=value, censored=side, flag="stuck")}
    assert not wishes.feasible(flagged)
