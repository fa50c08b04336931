"""Outcomes through a transform: rising, with an inverse, chosen where it foretells better, and the order kept."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import yeojohnson

from labloop.campaign.spec import spec_from_dict
from labloop.planner.acquisition import build
from labloop.planner.belief import ALL_LEARNT, Memory
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal
from labloop.planner.gp import condition
from labloop.planner.known import Known, Observations
from labloop.planner.problem import propose
from labloop.planner.surrogate import fit_all
from labloop.planner.transform import PLAIN, Logarithm, Transform, YeoJohnson, candidates, evidence, most_normal

PLANE = Encoding((Column("x", "real"), Column("y", "real")))
EVERY = [PLAIN, Logarithm(), *(YeoJohnson(power, 1.5, 0.7) for power in (0.0, 0.4, 1.0, 1.7, 2.0))]
POINTS = np.random.default_rng(1).random((100, 2))


def decades(x: np.ndarray) -> np.ndarray:
    return np.exp(4.0 * np.sin(3 * x[:, 0]) + 2.0 * x[:, 1])


def flat(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x[:, 0]) + 0.5 * x[:, 1]


def told(truth: Callable, n: int = 25, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    noise = rng.standard_normal(n)
    y = truth(x) * np.exp(0.1 * noise) if truth is decades else truth(x) + 0.1 * noise
    return Observations(x, y, np.zeros(n), np.arange(1, n + 1))


@pytest.mark.parametrize("by", EVERY, ids=lambda by: by.words)
def test_rises_and_has_an_inverse_and_a_slope(by: Transform) -> None:
    values = np.array([0.01, 0.3, 1.4, 1.6, 2.0, 9.0, 400.0])
    seen = by.forward(values)
    assert np.all(np.diff(seen) > 0)
    assert by.backward(seen) == pytest.approx(values, rel=1e-9)
    slopes = (by.forward(values * (1 + 1e-6)) - by.forward(values * (1 - 1e-6))) / (2e-6 * values)
    assert by.log_slopes(values) == pytest.approx(np.log(slopes), abs=1e-5)
    assert np.all(np.isfinite(by.backward(np.array([-1e6, 1e6]))))


@pytest.mark.parametrize("power", [0.0, 0.4, 1.0, 1.7, 2.0])
def test_yeo_johnson_is_scipys(power: float) -> None:
    values = np.linspace(-4, 4, 9)
    assert YeoJohnson(power, 0.0, 1.0).forward(values) == pytest.approx(yeojohnson(values, power))


def test_the_power_is_that_of_highest_likelihood() -> None:
    values = np.exp(np.random.default_rng(0).standard_normal(60))
    u = (values - values.mean()) / values.std(ddof=1)
    assert most_normal(values).power == pytest.approx(np.clip(yeojohnson(u)[1], 0, 2), abs=1e-3)


def test_the_evidence_is_what_leaving_each_out_gives() -> None:
    data, by = told(decades, 8), Logarithm()
    gp = fit_all({"y": Observations(data.points, np.log(data.values), data.variances, data.trials)}, PLANE, ["matern"])
    belief = gp.beliefs[0]
    member = belief.members[0]
    k = member.kernel.matrix(member.theta, data.points)[0] + member.noise * np.eye(8)
    wanted = 0.0
    for i in range(8):
        kept = np.arange(8) != i
        weights = np.linalg.solve(k[np.ix_(kept, kept)], k[kept, i])
        mean = belief.shift + belief.scale * (member.mean + weights @ (member.data.y[kept] - member.mean))
        sd = belief.scale * np.sqrt(k[i, i] - weights @ k[kept, i])
        y = data.values[i]  # a log-normal density of y itself
        wanted += -0.5 * ((np.log(y) - mean) / sd) ** 2 - np.log(sd * y * np.sqrt(2 * np.pi))
    assert evidence(member, belief.scale, by, data.values) == pytest.approx(wanted)


def error(surrogate, truth: Callable) -> float:
    return float(np.quantile(np.abs(surrogate.predict(POINTS)[0][:, 0] / truth(POINTS) - 1.0), 0.9))


def test_decades_are_seen_by_their_logarithm_and_foretold_better() -> None:
    data = told(decades)
    seen, plain = (fit_all({"y": data}, PLANE, ["matern"], transformed=name) for name in ("y", ""))
    assert "y by its logarithm" in seen.words
    assert 3 * error(seen, decades) < error(plain, decades)
    mean, sd = seen.predict(POINTS)
    member, belief = seen.beliefs[0].members[0], seen.beliefs[0]
    z = belief.shift + belief.scale * (
        member.posterior(POINTS)[0][:, None]
        + np.sqrt(member.posterior(POINTS)[1])[:, None] * np.random.default_rng(0).standard_normal((1, 200_000))
    )
    low, middle, high = np.quantile(np.exp(z), [0.1587, 0.5, 0.8413], axis=1)
    assert mean[:, 0] == pytest.approx(middle, rel=0.02)
    assert sd[:, 0] == pytest.approx(0.5 * (high - low), rel=0.05)


def test_a_heavy_tail_about_nought_is_seen_through_a_power() -> None:
    def tail(x: np.ndarray) -> np.ndarray:
        return np.exp(3.0 * flat(x)) - 3.0

    words = fit_all({"y": told(tail, 40)}, PLANE, ["matern"], transformed="y").words
    assert "y by Yeo-Johnson, power 0" in words


def test_what_has_no_tail_stays_as_it_is() -> None:
    """As good as always: of fifteen courses of noise alone at most one is taken for something else."""
    taken = []
    for seed in range(15):
        data = told(flat, 25, seed)
        seen, plain = (fit_all({"y": data}, PLANE, ["matern"], transformed=name) for name in ("y", ""))
        taken.append("y as it is" in seen.words)
        if taken[-1]:
            assert np.array_equal(seen.predict(POINTS), plain.predict(POINTS))
    assert sum(taken) >= 14


def test_no_logarithm_where_an_outcome_is_not_above_nought_and_nothing_where_all_are_alike() -> None:
    assert not any(isinstance(one, Logarithm) for one in candidates(np.array([0.0, 1.0, 5.0]), False))
    assert candidates(np.full(5, 3.0), True) == [PLAIN]


def test_a_measurements_own_sd_is_seen_through_it_too() -> None:
    data = told(decades)
    known = Observations(data.points, data.values, (0.2 * data.values) ** 2, data.trials)
    member = fit_all({"y": known}, PLANE, ["matern"], transformed="y").beliefs[0].members[0]
    scale = np.std(np.log(data.values), ddof=1)
    assert member.data.known == pytest.approx(np.full(25, (0.2 / scale) ** 2))


@pytest.mark.parametrize("sense", [1, -1])
def test_the_best_is_still_the_best(sense: int) -> None:
    """Improvement is told from the best of what was measured, in the order of the outcomes themselves."""
    data = told(decades)
    surrogate = fit_all({"y": data}, PLANE, ["matern"], transformed="y")
    none = np.empty((0, 2))
    known = Known(data.points, none, data.points, none)
    score = build(surrogate, (Goal("y", sense),), known, PLANE, 0)
    believed = surrogate.predict(data.points)[0][:, 0]
    best = np.log(np.max(sense * believed) if sense > 0 else np.min(believed))
    grid = np.linspace(-12, 12, 40_001)
    density = np.exp(-0.5 * grid**2) / np.exp(-0.5 * grid**2).sum()
    member, belief = surrogate.beliefs[0].members[0], surrogate.beliefs[0]
    points = POINTS[np.argsort(-score.of_rows(POINTS))[:3]]
    for point, value in zip(points, score.of_rows(points), strict=True):
        mean, variance, _ = member.posterior(point[None, :])
        z = belief.shift + belief.scale * (mean[0] + np.sqrt(variance[0]) * grid)
        assert value == pytest.approx(np.log(np.maximum(sense * (z - best), 0.0) @ density), abs=1e-3)


def test_of_many_trials_what_is_remembered_changes_nothing() -> None:
    memory: Memory = {}
    data = told(decades, ALL_LEARNT + 30)
    warm = [fit_all({"y": data}, PLANE, ["matern"], memory, transformed="y") for _ in range(2)][1]
    cold = fit_all({"y": data}, PLANE, ["matern"], transformed="y")
    assert "logarithm" in cold.words and len(memory) == 3
    assert np.array_equal(warm.predict(POINTS), cold.predict(POINTS))
    member = cold.beliefs[0].members[0]
    assert np.array_equal(condition(member.kernel, member.data, member.parameters).alpha, member.alpha)


def test_a_campaign_that_asks_is_told_how_its_outcome_was_seen(journal: Callable) -> None:
    told = journal(3)
    for x in np.linspace(0, 1, 12):
        told.measure({"x": float(x)}, y=float(np.exp(12 * (x - 0.33) ** 2 - 5)))
    spec = {
        "parameters": {"x": {"range": [0, 1]}},
        "outcomes": {"y": {"goal": "minimize"}},
        "engine": {"transform": "auto"},
    }
    asked = propose(spec_from_dict(spec), told.state)[0]
    assert "y by its logarithm" in asked.model
    assert asked.settings["x"] == pytest.approx(0.33, abs=0.02)
    assert asked.predicted["y"].mean == pytest.approx(np.exp(-5), rel=0.1)
