"""Drift: trials count the less the longer they are ago, and everything is asked for the present."""

from collections.abc import Callable

import numpy as np
import pytest

from labloop.campaign.spec import spec_from_dict
from labloop.planner import pool
from labloop.planner.acquisition import build
from labloop.planner.drift import lasts, over_time, timed
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal
from labloop.planner.gp import condition
from labloop.planner.known import Known, Observations
from labloop.planner.problem import propose
from labloop.planner.surrogate import fit_all, kernels

MIXED = Encoding((Column("x", "real"), Column("c", "label", values=("a", "b")), Column("y", "real")))
POINTS = np.column_stack([np.random.default_rng(1).random((40, 2)), np.zeros(40)])[:, [0, 2, 1]]
NONE = np.empty((0, 3))


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(4 * x[:, 0]) + x[:, 1] + 0.5 * x[:, 2]


def told(n: int, rate: float) -> Observations:
    """What is measured grows by ``rate`` a trial."""
    rng = np.random.default_rng(0)
    x = rng.random((n, 3))
    x[:, 1] = rng.integers(0, 2, n)
    trials = np.arange(1, n + 1)
    return Observations(x, truth(x) + rate * trials + 0.03 * rng.standard_normal(n), np.zeros(n), trials)


def test_is_the_process_over_settings_and_time_asked_for_the_next_trial() -> None:
    data = told(20, 0.05)
    belief = fit_all({"y": data}, MIXED, ["matern"], drifting=True).beliefs[0]
    member = belief.members[0]
    x, at = timed(data.points, data.trials), timed(POINTS, np.full(40, 21))
    k = lambda a, b: member.kernel.cross(member.theta, a, b)  # noqa: E731
    inverse = np.linalg.inv(k(x, x) + member.noise * np.eye(20))
    y = (data.values - data.values.mean()) / data.values.std(ddof=1)
    ones = np.ones(20)
    mean = ones @ inverse @ y / (ones @ inverse @ ones) + k(at, x) @ inverse @ (
        y - ones @ inverse @ y / (ones @ inverse @ ones)
    )
    variance = 1.0 - np.einsum("ij,jk,ik->i", k(at, x), inverse, k(at, x))
    assert member.posterior(POINTS)[0] == pytest.approx(mean)
    assert member.posterior(POINTS)[1] == pytest.approx(variance)


def test_follows_what_drifts_where_the_plain_model_takes_it_for_noise() -> None:
    data = told(40, 0.05)
    now = truth(POINTS) + 0.05 * 41
    errors = [
        float(
            np.sqrt(
                np.mean((fit_all({"y": data}, MIXED, ["matern"], drifting=asked).predict(POINTS)[0][:, 0] - now) ** 2)
            )
        )
        for asked in (True, False)
    ]
    assert errors[0] < 0.25 and 3 * errors[0] < errors[1]


def test_where_nothing_drifts_little_is_lost() -> None:
    data = told(40, 0.0)
    drifting, plain = (fit_all({"y": data}, MIXED, ["matern"], drifting=asked) for asked in (True, False))
    assert lasts(drifting.beliefs[0].members[0]) > 100
    error = [float(np.sqrt(np.mean((one.predict(POINTS)[0][:, 0] - truth(POINTS)) ** 2))) for one in (drifting, plain)]
    assert error[0] < 1.5 * error[1] + 0.02


def test_a_point_in_flight_is_one_measured_now_and_slopes_are_those_of_the_score() -> None:
    data = told(20, 0.05)
    surrogate = fit_all({"y": data}, MIXED, ["matern"], drifting=True)
    member = surrogate.beliefs[0].members[0]
    flying = POINTS[:2]
    ahead = member.with_flying(flying)
    x = np.concatenate([member.data.x, timed(flying, np.array([21, 21]))])
    y = np.concatenate([member.data.y, member.posterior(flying)[0]])
    seen = condition(member.kernel, type(member.data)(x, y, np.zeros(22)), member.parameters)
    after = np.concatenate([POINTS[5:], np.full((35, 1), 0.21)], axis=1)
    assert ahead.posterior(POINTS[5:])[1] == pytest.approx(seen.posterior(after)[1], abs=1e-9)
    score = build(surrogate, (Goal("y", 1),), Known(data.points, flying, data.points, NONE), MIXED, 0)
    points = POINTS[5:9]
    value, slope = score.slopes(points)
    assert slope.shape == points.shape and value == pytest.approx(score.of_rows(points))
    for column in (0, 2):
        step = 1e-5 * np.eye(3)[column]
        wanted = (score.of_rows(points + step) - score.of_rows(points - step)) / 2e-5
        assert slope[:, column] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_the_best_of_a_large_table_is_that_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    data = told(20, 0.05)
    score = build(
        fit_all({"y": data}, MIXED, ["matern"], drifting=True),
        (Goal("y", 1),),
        Known(data.points, POINTS[:1], data.points, NONE),
        MIXED,
        0,
    )
    rows = np.random.default_rng(2).random((3000, 3))
    rows[:, 1] = np.round(rows[:, 1])
    monkeypatch.setattr(pool, "SMALL", 100)
    found, values = pool.top(score, rows, 3)
    every = score.of_rows(rows)
    assert found.tolist() == np.argsort(-every)[:3].tolist()
    assert values == pytest.approx(every[found])


def test_time_is_one_column_more() -> None:
    kernel = kernels(MIXED, ["matern"])[0]
    assert over_time(kernel).numbers == (0, 2, 3) and over_time(kernel).labels == (1,)


@pytest.mark.parametrize("drift", [True, False])
def test_a_campaign_that_asks_goes_where_the_best_is_now(journal: Callable, drift: bool) -> None:
    """The best moves from 0.2 to 0.8 in the course of 40 trials."""
    told = journal(3)
    rng = np.random.default_rng(0)
    for trial in range(1, 41):
        x = float(rng.random())
        told.measure({"x": x}, y=float(-((x - 0.2 - 0.6 * trial / 40) ** 2)))
    spec = {
        "parameters": {"x": {"range": [0, 1]}},
        "outcomes": {"y": {"goal": "maximize"}},
        "engine": {"drift": drift},
    }
    asked = propose(spec_from_dict(spec), told.state)[0]
    assert ("y drifts over about" in asked.model) == drift
    assert (abs(asked.settings["x"] - 0.8) < 0.1) == drift
