"""What can still be gained, and a campaign that stops when it is too little."""

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


def outlooks(spec: dict[str, Any], count: int) -> list[dict[str, float]]:
    found = []
    with Campaign(spec, planner="inline") as campaign:
        for _ in range(count):
            (proposal,) = campaign.ask()
            found.append(campaign.state.trials[proposal.trial].proposal.outlook)
            campaign.tell(proposal.trial, {"y": height(proposal.settings)})
    return found


def test_what_can_still_be_gained_shrinks_to_nothing() -> None:
    found = outlooks(SPEC, 16)
    assert found[:5] == [{}] * 5, "the design has no model"
    bounds = [one["regret_bound"] for one in found[5:]]
    assert bounds[0] > 0.2 and bounds[-1] < 0.05
    assert all(0.0 <= one["best_chance"] <= 1.0 for one in found[5:])


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


def test_nobody_who_does_not_ask_pays_for_it() -> None:
    plain = {key: value for key, value in SPEC.items() if key != "stop_when"}
    assert outlooks(plain, 7) == [{}] * 7
