"""Expected gain in overall desirability: held to a dense quadrature and to BoTorch, and never without a slope."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import labloop
from labloop.campaign.desirability import Shape, Slope
from labloop.campaign.desirability import together as exact
from labloop.planner import desire, torch_models, torch_scores
from labloop.planner.acquisition import build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal, desired, standing
from labloop.planner.known import Known, Observations
from labloop.planner.surrogate import fit_all

UP, DOWN = Shape((Slope(0.0, 1.0, 2.0),)), Shape((Slope(2.0, 1.0, 0.5),))
WINDOW = Shape((Slope(0.0, 1.0), Slope(3.0, 1.5, 2.0)))
GOALS = (Goal("a", 1, weight=2.0, shape=UP), Goal("b", 0, target=1.25, tolerance=0.25, weight=1.0, shape=WINDOW))
SQUARE = Encoding((Column("x", "real"), Column("y", "real")))
EMPTY = np.empty((0, 2))


@pytest.mark.parametrize("shapes", [(UP,), (UP, DOWN), (WINDOW, DOWN, UP)])
def test_arrays_are_as_the_campaign_has_it_and_slopes_are_slopes(shapes: tuple[Shape, ...]) -> None:
    weights = [2.0, 1.0, 0.5][: len(shapes)]
    wishes = desire.wishes_of(shapes, range(len(shapes)), weights)
    values = np.random.default_rng(0).uniform(-1.0, 4.0, (400, len(shapes)))
    total, slopes = wishes._overall(list(values.T), True)
    assert np.array_equal(total, wishes.of(values))
    told = [exact([shape.standing(float(y)) for shape, y in zip(shapes, row, strict=True)], weights) for row in values]
    assert total == pytest.approx(np.array(told), abs=1e-9)
    assert (total > 0.0).any() and (total < 0.0).any()
    for column, step in product(range(len(shapes)), [1e-6]):
        moved = values.copy()
        moved[:, column] += step
        rise = (wishes.of(moved) - total) / step
        smooth = np.abs(rise - slopes[column]) < 1e-3 * (1.0 + np.abs(rise))
        assert smooth.mean() > 0.98, "but where a value lies on a bend"


def test_the_gain_is_that_of_a_dense_quadrature() -> None:
    wishes = desire.wishes_of((UP, WINDOW), (0, 1), (2.0, 1.0))
    means = np.array([[[0.6, 0.8], [0.9, 1.2], [0.2, 0.5], [1.1, 2.0]]])
    sds = np.array([[0.2, 0.3], [0.1, 0.1], [0.3, 0.6], [0.4, 0.5]])
    nodes = np.linspace(-5.0, 5.0, 201)
    density = np.exp(-0.5 * nodes**2) / np.exp(-0.5 * nodes**2).sum()
    for best in (-0.3, 0.2, 0.7):
        merit = desire.desired_over(wishes, np.array([best]), 3)
        found = merit.values(means, sds)[0]
        assert np.array_equal(found, merit.slopes(means, sds)[0][0])
        for at, (mean, sd) in enumerate(zip(means[0], sds, strict=True)):
            y = np.stack(np.meshgrid(mean[0] + sd[0] * nodes, mean[1] + sd[1] * nodes, indexing="ij"), axis=-1)
            gain = np.maximum(wishes.of(y) - best, 0.0)
            true = float(density @ gain @ density)
            if true > 0.01:
                assert found[at] == pytest.approx(np.log(true), abs=0.06)


def test_the_draws_of_each_fantasy_are_even() -> None:
    wishes = desire.wishes_of((UP, WINDOW), (0, 1), (2.0, 1.0))
    normal = desire.desired_over(wishes, np.zeros(16), 5).normal
    assert normal.shape == (16, 16, 2) and len(np.unique(normal[:, :, 0])) == 256
    assert np.abs(normal.mean(axis=1)).max() < 0.3 and normal.std(axis=1).min() > 0.7


def test_far_off_there_is_still_a_way_in() -> None:
    wishes = desire.wishes_of((UP, WINDOW), (0, 1), (1.0, 1.0))
    merit = desire.desired_over(wishes, np.array([0.9]), 0)
    far = np.array([[[-50.0, 40.0]]])
    value, by_means, _ = merit.slopes(far, np.full((1, 2), 0.1))
    assert np.isfinite(value).all() and by_means[0, 0, 0] > 0.0 > by_means[0, 0, 1]


def test_botorch_finds_the_same_worth() -> None:
    rng = np.random.default_rng(4)
    x = rng.random((9, 2))
    data = {
        name: Observations(x, y, np.full(9, 1e-6), np.arange(1, 10))
        for name, y in (("a", 0.2 + x[:, 0] * x[:, 1]), ("b", 2.0 * x[:, 0]))
    }
    known, grid = Known(x, EMPTY, x, EMPTY), np.array(list(product(np.linspace(0, 1, 7), repeat=2)))
    closed = build(fit_all(data, SQUARE, ["matern"]), GOALS, known, SQUARE, 0)
    sampled = torch_scores.build(torch_models.fit(data, SQUARE), GOALS, known, SQUARE, 0, samples=512)
    ours, theirs = closed.of_rows(grid), sampled.of_rows(grid)
    high = theirs > theirs.max() - 2.0
    assert high.sum() >= 3 and np.abs(ours - theirs)[high].max() < 0.5
    assert theirs[int(np.argmax(ours))] > theirs.max() - 0.2, "what is best by one is among the best by the other"


def test_the_ends_hold_what_may_come_out() -> None:
    wishes = desired(GOALS, ("a", "b"))
    assert wishes is not None
    mean, reach = np.array([[0.5, 1.0], [0.2, 2.5], [1.4, 1.2]]), np.full((3, 2), 0.4)
    least, most = wishes.ends(mean, reach)
    inside = mean[:, None] + reach[:, None] * np.random.default_rng(0).uniform(-1.0, 1.0, (3, 4000, 2))
    total = wishes.of(inside)
    assert (total.min(1) >= least - 1e-12).all() and (total.max(1) <= most + 1e-12).all()
    assert total.max(1) == pytest.approx(most, abs=0.05) and total.min(1) == pytest.approx(least, abs=0.05)


@pytest.mark.parametrize("exponent", [0.01, 6.0, 100.0])
def test_whoever_orders_trials_has_the_campaigns_order(exponent: float) -> None:
    """However small a desirability is: of 0.03 at an exponent of 6 it is 7e-10, and of use still."""
    shapes, weights = (Shape((Slope(0.0, 1.0, exponent),)), WINDOW), (1.0, 2.0)
    goals = tuple(Goal(name, 1, weight=w, shape=one) for name, w, one in zip("ab", weights, shapes, strict=True))
    values = np.random.default_rng(1).uniform(-0.3, 1.3, (200, 2))
    values[0] = 0.03, 1.25
    rows = [[shape.standing(float(y)) for shape, y in zip(shapes, row, strict=True)] for row in values]
    told = pytest.approx(np.array([exact(row, weights) for row in rows]), rel=1e-9, abs=1e-12)
    wishes = desired(goals, ("a", "b"))
    assert wishes is not None
    assert standing(goals, ("a", "b"), (1.0, 1.0), values).total == told
    assert torch_scores._desirability(wishes, torch.as_tensor(values)).numpy() == told
    for ends in wishes.ends(values, np.zeros(values.shape)):
        assert ends == told


def test_a_campaign_that_starts_where_nothing_is_of_use_gets_to_the_best() -> None:
    spec: dict[str, Any] = {
        "labloop": 1, "campaign": "far", "parameters": {name: {"range": [0, 1]} for name in "abc"},
        "outcomes": {
            "y": {"goal": "maximize", "desirability": [0.92, 1.0]},
            "w": {"goal": {"target": 1.0, "tolerance": 0.02}, "desirability": {"between": [0.94, 1.06], "exponent": 2}},
        },
        "design": {"initial": {"trials": 5}, "seed": 4}, "stop_when": {"regret_below": 0.02, "chance_below": 0.01},
    }  # fmt: skip

    def measured(at: Any) -> dict[str, float]:
        return {"y": 1.0 - (at["a"] - 0.85) ** 2 - (at["b"] - 0.15) ** 2, "w": at["a"] + 2.0 * at["b"] * at["c"]}

    seen, bounds = [], []
    with labloop.Campaign(spec, planner="inline") as campaign:
        for _ in range(10):
            (proposal,) = campaign.ask()
            bounds.append(campaign.state.trials[proposal.trial].proposal.outlook.get("regret_bound"))
            campaign.tell(proposal.trial, measured(proposal.settings))
            best = campaign.best()
            assert isinstance(best, dict)
            seen.append(best["desirability"]["overall"])
        assert seen[4] == 0.0, "of the first design nothing is of use"
        assert seen[-1] > 0.8 and bounds[5] > bounds[-1]
        assert campaign.trials()["desirability"].max() == seen[-1]
        assert "desirability expected" in campaign.state.trials[10].proposal.reason
