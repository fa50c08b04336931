"""What can still be gained, and a campaign that stops when it is too little."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labloop.api import Campaign

SPEC: dict[str, Any] = {
    "labloop": 1,
    "campaign": "hill",
    "parameters": {"x": {"range": [0, 10]}, "z": {"range": [0, 1]}},
    "outcomes": {"y": {"goal": "maximize"}},
    "design": {"initial": {"method": "sobol", "trials": 5}, "seed": 1},
    "stop_when": {"regret_below": 0.05},
}


def height(settings: dict[str, Any]) -> float:
    return float(np.exp(-((settings["x"] - 6.0) ** 2) / 8.0) - 0.5 * (settings["z"] - 0.4) ** 2)


def outlooks(
    spec: dict[str, Any], count: int, truth: Callable[[dict[str, Any]], dict[str, float]] = lambda at: {"y": height(at)}
) -> list[dict[str, float]]:
    found = []
    with Campaign(spec, planner="inline") as campaign:
        for _ in range(count):
            (proposal,) = campaign.ask()
            found.append(campaign.state.trials[proposal.trial].proposal.outlook)
            campaign.tell(proposal.trial, truth(proposal.settings))
    return found


def line(outcomes: dict[str, Any]) -> dict[str, Any]:
    return {**SPEC, "parameters": {"x": {"range": [0, 1]}}, "outcomes": outcomes}


def test_what_can_still_be_gained_shrinks_to_nothing() -> None:
    found = outlooks(SPEC, 16)
    assert found[:5] == [{}] * 5, "the design has no model"
    bounds = [one["regret_bound"] for one in found[5:]]
    assert bounds[0] > 0.2 and bounds[-1] < 0.05
    chances = [one["best_chance"] for one in found[5:]]
    assert 0.1 < chances[0] <= 1.0 and 0.0 <= chances[-1] < 0.05


@pytest.mark.parametrize("sense", ["maximize", "minimize"])
def test_the_bound_covers_what_can_be_gained(sense: str) -> None:
    sign = 1.0 if sense == "maximize" else -1.0
    spec = {**SPEC, "outcomes": {"y": {"goal": sense}}}
    with Campaign(spec, planner="inline") as campaign:
        best = -np.inf
        for _ in range(9):
            (proposal,) = campaign.ask()
            outlook = campaign.state.trials[proposal.trial].proposal.outlook
            if outlook:
                assert outlook["regret_bound"] >= 0.8 * (1.0 - best), "the true gain left lies below the bound"
            value = height(proposal.settings)
            best = max(best, value)
            campaign.tell(proposal.trial, {"y": sign * value})


def test_nothing_is_foreseen_while_nothing_keeps_its_limit() -> None:
    spec = line({"y": {"goal": "maximize"}, "z": {"limit": "<= -1"}})
    assert outlooks(spec, 9, lambda at: {"y": at["x"], "z": at["x"]}) == [{}] * 9


def test_what_would_break_its_limit_is_no_gain() -> None:
    """y grows with x, and its limit with it: half of the space is better than the best, and none of it may be had."""
    spec = line({"y": {"goal": "maximize"}, "z": {"limit": "<= 0.5"}})
    last = outlooks(spec, 16, lambda at: {"y": at["x"], "z": at["x"]})[-1]
    assert last["regret_bound"] < 0.1, "beyond the limit y is believed to be better by 0.5"
    assert last["best_chance"] < 0.1, "what is surely better surely breaks its limit"


def test_nothing_is_better_than_on_the_target() -> None:
    spec = line({"y": {"goal": {"target": 0.5, "tolerance": 0.1}}})
    last = outlooks(spec, 12, lambda at: {"y": at["x"]})[-1]
    assert last == {"regret_bound": 0.0, "best_chance": 0.0}


def test_no_gain_that_could_be_told_from_the_noise_is_a_small_chance() -> None:
    noise = iter(np.random.default_rng(3).normal(0.0, 0.02, 24))
    found = outlooks(SPEC, 24, lambda at: {"y": height(at) + next(noise)})
    assert found[-1]["best_chance"] < 0.05


def test_nobody_who_does_not_ask_pays_for_it() -> None:
    plain = {key: value for key, value in SPEC.items() if key != "stop_when"}
    assert outlooks(plain, 7) == [{}] * 7
