"""Desirability: what a campaign file says of it, and how it orders trials."""

from typing import Any

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.stopping import Stopping

UP = {"goal": "maximize", "unit": "percent", "desirability": [40, "90 percent"]}
DOWN = {"goal": "minimize", "desirability": {"between": [2, 12], "exponent": 2}, "weight": 3}
PEAK = {"goal": {"target": 530, "tolerance": 5}, "desirability": {"between": [505, 555], "exponent": [1, 2]}}


def objective(**outcomes: Any) -> Objective:
    return Objective(spec_from_dict({"parameters": {"x": {"range": [0, 1]}}, "outcomes": outcomes}))


@pytest.mark.parametrize(
    ("outcome", "values"),
    [
        (UP, {30: 0, 40: 0, 65: 0.5, 90: 1, 120: 1}),
        (DOWN, {0: 1, 2: 1, 7: 0.25, 12: 0, 13: 0}),
        (PEAK, {500: 0, 515: 0.5, 525: 1, 530: 1, 535: 1, 545: 0.25, 555: 0, 600: 0}),
    ],
    ids=["up", "down", "target"],
)
def test_one_outcome_goes_from_0_to_1_between_the_two_values(outcome: Any, values: dict[float, float]) -> None:
    wanted = objective(y=outcome)
    for value, share in values.items():
        found = wanted.desirability({"y": value})
        assert found is not None and found[1]["y"] == pytest.approx(share), value


def test_together_they_are_a_weighted_geometric_mean() -> None:
    wanted = objective(y=UP, w=DOWN)
    assert not wanted.pareto
    overall, each = wanted.desirability({"y": 65.0, "w": 7.0}) or (0.0, {})
    assert each == {"y": 0.5, "w": 0.25} and overall == pytest.approx((0.5 * 0.25**3) ** 0.25)
    assert wanted.score({"y": 65.0, "w": 7.0}) == pytest.approx(overall)
    assert wanted.better({"y": 60.0, "w": 6.0}, {"y": 95.0, "w": 11.9}), "what is of hardly any use in one is of none"
    assert wanted.desirability({"y": 65.0}) is None, "not all of it is known"


def test_what_is_of_no_use_is_0_and_still_has_an_order() -> None:
    wanted = objective(y=UP, w=DOWN)
    far, near, of_use = {"y": 10.0, "w": 20.0}, {"y": 35.0, "w": 20.0}, {"y": 40.1, "w": 11.9}
    assert wanted.better(near, far) and wanted.better(of_use, near) and not wanted.better(far, near)
    assert (wanted.desirability(far) or (1,))[0] == (wanted.desirability(near) or (1,))[0] == 0.0
    assert wanted.course([far, near, of_use])[:2] == [0.0, 0.0] and wanted.course([of_use])[0] > 0.0


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({"goal": "maximize", "desirability": [9, 4]}, "y.desirability = [9, 4]: the low value must be below"),
        ({"goal": "maximize", "desirability": 9}, "y.desirability = 9: must be two values"),
        ({"goal": "maximize", "desirability": [float("nan"), 4]}, "y.desirability"),
        ({"goal": "maximize", "desirability": [float("-inf"), 4]}, "y.desirability"),
        ({"goal": "maximize", "unit": "g", "desirability": [1, "2 m"]}, "y.desirability"),
        ({"goal": "maximize", "desirability": {"from": 1}}, "y.desirability.from: unknown key"),
        ({"goal": "maximize", "desirability": {"between": [1, 2], "exponent": 0}}, "exponent = 0: must be a number"),
        ({"goal": "maximize", "desirability": {"between": [1, 2], "exponent": [1, 2]}}, "exponent = [1, 2]: must be"),
        ({"goal": {"target": 5}, "desirability": [4, 5]}, "the target and its tolerance must lie between"),
        ({"limit": "<= 3", "desirability": [1, 2]}, "y.desirability = [1, 2]: has no goal"),
        ({"goal": "pass", "desirability": [1, 2]}, "y.desirability = [1, 2]: is for numbers"),
        ({"goal": "maximize", "desirability": [1, 2], "reference": 1}, "y.reference = 1: has no use"),
    ],
)
def test_what_is_no_desirability_is_refused_where_it_stands(outcome: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        objective(y=outcome)
    assert says in str(refused.value)


def test_every_goal_has_one_or_none_has() -> None:
    with pytest.raises(SpecError, match=r"w = .*has no desirability, and y has one"):
        objective(y=UP, w={"goal": "minimize", "weight": 2})
    assert objective(y=UP, w={"limit": "<= 3"}).shapes.keys() == {"y"}


def test_words_and_units() -> None:
    spec = spec_from_dict({
        "parameters": {"x": {"range": [0, 1]}}, "outcomes": {"y": UP, "w": DOWN, "peak": PEAK},
        "stop_when": {"regret_below": 0.01},
    })  # fmt: skip
    assert spec.outcomes["y"].desired == "0 at 40 and 1 at 90 percent; weight 1"
    assert spec.outcomes["w"].desired == "0 at 12 and 1 at 2, exponent 2; weight 3"
    assert spec.outcomes["peak"].desired == "0 at 505 and 1 at 525; 0 at 555 and 1 at 535, exponent 2; weight 1"
    again = spec_from_dict(spec.dump())
    assert [one.shape for one in again.outcomes.values()] == [one.shape for one in spec.outcomes.values()]
    trial = {"y": 90.0, "w": 2.0, "peak": 530.0}
    seen = Stopping(spec, Objective(spec)).reason([trial], {"regret_bound": 0.001})
    assert seen is not None and "at most 0.001 can still be gained" in seen, "a desirability has no unit"
