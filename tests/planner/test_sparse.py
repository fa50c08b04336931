"""Many parameters of which few matter: the ones that matter are found, and the outcome is foretold better."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import halfcauchy

from labloop.campaign.spec import spec_from_dict
from labloop.planner.belief import ALL_LEARNT, Memory
from labloop.planner.encoding import Column, Encoding
from labloop.planner.gp import Data, fit
from labloop.planner.known import Observations
from labloop.planner.problem import propose
from labloop.planner.sparse import TAUS, HalfCauchy, mattering, tightened
from labloop.planner.surrogate import fit_all, kernels

MANY = Encoding(tuple(Column(f"x{i}", "real") for i in range(30)))
POINTS = np.random.default_rng(99).random((300, 30))


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(5 * x[:, 3]) + 6 * (x[:, 11] - 0.4) ** 2 + x[:, 20] * x[:, 3]


def told(n: int, seed: int) -> Observations:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 30))
    return Observations(x, truth(x) + 0.05 * rng.standard_normal(n), np.zeros(n), np.arange(1, n + 1))


def error(surrogate) -> float:
    return float(np.sqrt(np.mean((surrogate.predict(POINTS)[0][:, 0] - truth(POINTS)) ** 2)))


def test_the_prior_is_half_cauchy_over_inverse_squares() -> None:
    logs = np.array([-1.5, 0.0, 2.0])
    value, slope = HalfCauchy(0.1, 3).log_density(logs)
    assert value == pytest.approx(halfcauchy.logpdf(np.exp(-2 * logs), scale=0.1).sum())
    steps = [
        (HalfCauchy(0.1, 3).log_density(logs + s)[0] - HalfCauchy(0.1, 3).log_density(logs - s)[0]) / 2e-6
        for s in 1e-6 * np.eye(3)
    ]
    assert slope == pytest.approx(steps, abs=1e-6)
    assert halfcauchy.cdf(np.exp(-2 * HalfCauchy(0.1, 1).mode[0]), scale=0.1) == pytest.approx(0.5)


def test_the_few_that_matter_are_found_and_the_outcome_is_foretold_better() -> None:
    """Thirty parameters, three matter, forty trials: in each of six pairs better, by a fifth in the mean."""
    few, plain = [], []
    for seed in range(6):
        data = told(40, seed)
        surrogate = fit_all({"y": data}, MANY, ["matern"], few=True)
        assert set(mattering(surrogate.beliefs[0].members[-1], MANY.names)) == {"x3", "x11", "x20"}
        few.append(error(surrogate))
        plain.append(error(fit_all({"y": data}, MANY, ["matern"])))
    assert all(a < b for a, b in zip(few, plain, strict=True))
    assert np.mean(few) < 0.8 * np.mean(plain)


def test_each_tau_is_a_maximum_of_its_own_posterior() -> None:
    belief = fit_all({"y": told(30, 0)}, MANY, ["matern"], few=True).beliefs[0]
    assert len(belief.members) == len(TAUS) and belief.weights == pytest.approx(np.full(3, 1 / 3))
    for kernel, member in zip(tightened(kernels(MANY, ["matern"])[0]), belief.members, strict=True):
        assert member.kernel.number_prior == kernel.number_prior
        again = fit(kernel, Data(member.data.x, member.data.y, member.data.known), member.parameters)
        assert again.value == pytest.approx(member.value, abs=1e-2)


def test_of_many_trials_what_is_remembered_changes_nothing() -> None:
    memory: Memory = {}
    data = told(ALL_LEARNT + 10, 0)
    warm = [fit_all({"y": data}, MANY, ["matern"], memory, few=True) for _ in range(2)][1]
    cold = fit_all({"y": data}, MANY, ["matern"], few=True)
    assert len(memory) == 1 + len(TAUS)
    assert np.array_equal(warm.predict(POINTS), cold.predict(POINTS))


def test_a_campaign_that_asks_is_told_what_matters(journal: Callable) -> None:
    facts = journal(3)
    data = told(40, 0)
    for x, y in zip(data.points, data.values, strict=True):
        facts.measure({f"x{i}": float(u) for i, u in enumerate(x)}, y=float(y))
    spec = {
        "parameters": {f"x{i}": {"range": [0, 1]} for i in range(30)},
        "outcomes": {"y": {"goal": "maximize"}},
        "engine": {"model": "saas"},
    }
    asked = propose(spec_from_dict(spec), facts.state)[0]
    found = asked.model.split("; y by ")[1].split(" of 30")[0]
    assert set(found.split(", ")) == {"x3", "x11", "x20"}
    assert asked.model.startswith("GP matern;")
    assert truth(np.array([[asked.settings[f"x{i}"] for i in range(30)]]))[0] > np.max(data.values) - 0.3
