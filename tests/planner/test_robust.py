"""Outliers: found where they are, as BoTorch's relevance pursuit finds them, and none where there are none."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from botorch.fit import fit_gpytorch_mll
from botorch.models.robust_relevance_pursuit_model import RobustRelevancePursuitSingleTaskGP
from botorch.models.transforms.outcome import Standardize
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import as_tensor, manual_seed

from labloop.campaign.spec import spec_from_dict
from labloop.planner.belief import Memory
from labloop.planner.encoding import Column, Encoding
from labloop.planner.gp import Data, condition, fit
from labloop.planner.kernels import Separable, dimension_scaled
from labloop.planner.known import Observations
from labloop.planner.problem import propose
from labloop.planner.robust import Learnt, pursue
from labloop.planner.surrogate import fit_all

PLANE = Encoding((Column("x", "real"), Column("y", "real")))
POINTS = np.random.default_rng(1).random((200, 2))


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(4 * x[:, 0]) + x[:, 1] ** 2


def told(n: int, wrong: dict[int, float], seed: int = 0) -> Observations:
    """wrong: {trial, from 1: by how much}."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    y = truth(x) + 0.1 * rng.standard_normal(n)
    for trial, size in wrong.items():
        y[trial - 1] += size
    return Observations(x, y, np.zeros(n), np.arange(1, n + 1))


def error(surrogate) -> float:
    return float(np.sqrt(np.mean((surrogate.predict(POINTS)[0][:, 0] - truth(POINTS)) ** 2)))


WRONG = {3: 2.0, 11: -2.0, 12: 1.5, 25: 2.5}


def test_finds_them_and_believes_the_rest() -> None:
    data = told(30, WRONG)
    robust = fit_all({"y": data}, PLANE, ["matern"], robust=True)
    assert robust.beliefs[0].outliers == tuple(WRONG)
    assert "; y has outliers: 3, 11, 12, 25;" in robust.words
    assert error(robust) < 0.12 < 0.4 < error(fit_all({"y": data}, PLANE, ["matern"]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_finds_what_botorch_finds() -> None:
    data = told(30, WRONG)
    robust = fit_all({"y": data}, PLANE, ["matern"], robust=True)
    manual_seed(0)
    values = as_tensor(data.values)[:, None]
    stock = RobustRelevancePursuitSingleTaskGP(as_tensor(data.points), values, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(stock.likelihood, stock))
    rho = stock.likelihood.noise_covar.rho.detach().numpy().ravel()
    assert set(WRONG) <= set(np.flatnonzero(rho > 1e-3) + 1)
    theirs = stock.posterior(as_tensor(POINTS)).mean.detach().numpy()
    assert robust.predict(POINTS)[0] == pytest.approx(theirs, abs=0.25)


def test_many_that_hide_each_other_come_to_light() -> None:
    wrong = {trial: 2.0 for trial in (2, 7, 13, 19, 22, 28)}
    assert fit_all({"y": told(30, wrong)}, PLANE, ["matern"], robust=True).beliefs[0].outliers == tuple(wrong)


def test_however_wrong_they_are() -> None:
    wrong = {trial: 1e6 for trial in (2, 7, 13)}
    robust = fit_all({"y": told(60, wrong)}, PLANE, ["matern"], robust=True)
    assert robust.beliefs[0].outliers == tuple(wrong)
    assert error(robust) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_where_there_are_none_the_model_is_the_plain_one(seed: int) -> None:
    data = told(30, {}, seed)
    robust, plain = (fit_all({"y": data}, PLANE, ["matern"], robust=asked) for asked in (True, False))
    assert "; y has no outliers;" in robust.words
    assert np.array_equal(robust.predict(POINTS), plain.predict(POINTS))


def test_of_three_measurements_none_is_wrong() -> None:
    assert fit_all({"y": told(3, {2: 50.0})}, PLANE, ["matern"], robust=True).beliefs[0].outliers == ()


@pytest.mark.parametrize("n", [140, 256, 300])
def test_of_many_trials_too_and_what_is_remembered_changes_nothing(n: int) -> None:
    wrong = {5: 2.0, 77: -2.0, n: 2.0}
    memory: Memory = {}
    fit_all({"y": told(n, wrong)}, PLANE, ["matern"], memory, robust=True)
    warm = fit_all({"y": told(n, wrong)}, PLANE, ["matern"], memory, robust=True)
    cold = fit_all({"y": told(n, wrong)}, PLANE, ["matern"], robust=True)
    assert set(wrong) <= set(cold.beliefs[0].outliers) and len(cold.beliefs[0].outliers) <= 4
    assert np.array_equal(warm.predict(POINTS), cold.predict(POINTS))


def test_the_best_of_all_choices_of_outliers() -> None:
    """Against every choice of at most three of nine, each with its variances where the likelihood is highest."""
    n, price = 9, np.log(19) + 0.5 * np.log(9)
    x = np.linspace(0, 1, n)[:, None]
    y = np.sin(3 * x[:, 0])
    y[2] += 1.5
    y[6] -= 1.0
    kernel = Separable("rbf", (0,), number_prior=dimension_scaled(1, 1))
    at = np.array([-0.7, -5.0])

    def learn(rho: np.ndarray, before: Learnt | None) -> Learnt:
        return Learnt(condition(kernel, Data(x, y, rho), at), 0.0, 1.0, rho)

    def height(chosen: tuple[int, ...]) -> float:
        rho = np.zeros(n)
        grid = np.geomspace(1e-3, 10, 30)
        for _ in range(4 if chosen else 0):
            for row in chosen:
                tries = [np.where(np.arange(n) == row, size, rho) for size in grid]
                rho = max(tries, key=lambda one: learn(one, None).gp.value)
        return learn(rho, None).gp.value - price * len(chosen)

    every = [chosen for count in range(3) for chosen in combinations(range(n), count)]
    best = max(every, key=height)
    found = pursue(n, learn)
    assert tuple(np.flatnonzero(found.rho)) == best == (2, 6)
    assert found.gp.value - 2 * price == pytest.approx(height(best), abs=0.1)


def test_leave_one_out_is_what_leaving_one_out_gives() -> None:
    data = told(9, {})
    kernel = Separable("rbf", (0, 1), number_prior=dimension_scaled(2, 2))
    gp = fit(kernel, Data(data.points, data.values - 1.0, np.linspace(0, 0.1, 9)))
    mean, variance = gp.leave_one_out()
    kept = np.arange(9) != 4
    k = kernel.matrix(gp.theta, data.points)[0] + np.diag(gp.noise + gp.data.known)
    weights = np.linalg.solve(k[np.ix_(kept, kept)], k[kept, 4])
    assert mean[4] == pytest.approx(gp.mean + weights @ (gp.data.y[kept] - gp.mean))
    assert variance[4] == pytest.approx(k[4, 4] - weights @ k[kept, 4])


def test_a_campaign_that_asks_is_not_led_astray_and_says_why(journal: Callable) -> None:
    """One measurement far too high where nothing is: the plain planner goes there."""
    told = journal(3)
    for x in np.linspace(0, 1, 13):
        told.measure({"x": float(x)}, y=float(np.cos(6 * (x - 0.7)) + (4.0 if abs(x - 0.25) < 0.01 else 0.0)))
    asked = {
        engine.get("robust", False): propose(
            spec_from_dict(
                {
                    "parameters": {"x": {"range": [0, 1]}},
                    "outcomes": {"y": {"goal": "maximize"}},
                    "engine": engine,
                }
            ),
            told.state,
        )[0]
        for engine in ({}, {"robust": True})
    }
    assert asked[True].settings["x"] == pytest.approx(0.7, abs=0.1)
    assert "; y has outliers: 4;" in asked[True].model
    assert asked[True].outliers == [4] and asked[False].outliers == []
    assert asked[False].settings["x"] == pytest.approx(0.25, abs=0.15)
    assert "outliers" not in asked[False].model
