"""Numbers warped: as BoTorch warps them, learnt with the rest, and better where a function is steep at one end."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from botorch.models.transforms.input import Warp

from labloop.campaign.spec import spec_from_dict
from labloop.planner import pool
from labloop.planner.acquisition import build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.goals import Goal
from labloop.planner.gp import Data, objective
from labloop.planner.kernels import Separable, dimension_scaled, hamming
from labloop.planner.known import Known, Observations
from labloop.planner.problem import propose
from labloop.planner.surrogate import fit_all
from labloop.planner.warping import Warped

PLANE = Encoding((Column("x", "real"), Column("c", "label", values=("a", "b")), Column("y", "real")))
MIXED = Separable("matern", (0, 2), (1,), (hamming(2),), dimension_scaled(2, 2), dimension_scaled(1, 1))
AT = np.array([0.1, -0.2, 0.3, 0.4, -0.3, 0.2, 0.1])


def points(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    x[:, 1] = rng.integers(0, 2, n)
    return x


def steep(x: np.ndarray) -> np.ndarray:
    """Flat at the low end of x, three waves at its high end."""
    return np.sin(18 * x[:, 0] ** 5) + x[:, 2]


def test_what_lies_outside_a_narrowed_range_counts_as_made_at_its_end() -> None:
    inside, beyond = np.array([[0.0, 0.0, 1.0]]), np.array([[-3.0, 0.0, 1.7]])
    near = points(5, 0)
    assert Warped(MIXED).cross(AT, beyond, near) == pytest.approx(Warped(MIXED).cross(AT, inside, near))
    k, pull = Warped(MIXED).matrix(AT, np.concatenate([near, beyond]))
    assert np.isfinite(k).all() and np.isfinite(pull(np.ones(k.shape))).all()


def test_warps_as_botorch_does() -> None:
    x = points(9, 0)
    cube = torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64)
    stock = Warp(d=3, indices=[0, 2], eps=1e-6, bounds=cube)
    stock.concentration1 = torch.nn.Parameter(torch.as_tensor(np.exp(AT[3:5])))
    stock.concentration0 = torch.nn.Parameter(torch.as_tensor(np.exp(AT[5:7])))
    theirs = stock(torch.as_tensor(x)).detach().numpy()
    wanted = MIXED.cross(AT[:3], theirs, theirs)
    assert Warped(MIXED).cross(AT, x, x) == pytest.approx(wanted, abs=1e-7)
    assert np.max(np.abs(wanted - MIXED.cross(AT[:3], x, x))) > 0.05


def test_no_warp_is_the_kernel_itself() -> None:
    x = points(9, 0)
    assert Warped(MIXED).matrix(np.append(AT[:3], np.zeros(4)), x)[0] == pytest.approx(
        MIXED.matrix(AT[:3], x)[0], abs=1e-5
    )


def test_gradient_of_the_likelihood() -> None:
    x = points(12, 0)
    seen = Data(x, steep(x) - 0.5, np.linspace(0, 0.2, 12))
    at = np.append(AT, -2.0)
    kernel = Warped(MIXED)
    wanted = [
        (objective(kernel, seen, at + s)[0] - objective(kernel, seen, at - s)[0]) / 2e-6 for s in 1e-6 * np.eye(8)
    ]
    assert objective(kernel, seen, at)[1] == pytest.approx(wanted, abs=1e-6)


def test_a_function_that_is_steep_at_one_end_is_foretold_better() -> None:
    new = points(300, 99)
    errors = []
    for seed in range(6):
        x = points(40, seed)
        y = steep(x) + 0.02 * np.random.default_rng(seed).standard_normal(40)
        data = {"y": Observations(x, y, np.zeros(40), np.arange(1, 41))}
        both = [fit_all(data, PLANE, ["matern"], warp=asked).predict(new)[0][:, 0] for asked in (True, False)]
        errors.append([float(np.sqrt(np.mean((one - steep(new)) ** 2))) for one in both])
    better, plain = np.array(errors).T
    assert better.mean() < 0.85 * plain.mean()
    assert np.sum(better < plain) >= 5


def test_the_best_of_a_large_table_is_found_by_scoring_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    x, rows = points(20, 0), points(2000, 1)
    data = {"y": Observations(x, steep(x), np.zeros(20), np.arange(1, 21))}
    none = np.empty((0, 3))
    score = build(fit_all(data, PLANE, ["matern"], warp=True), (Goal("y", 1),), Known(x, none, x, none), PLANE, 0)
    assert not any(map(pool.is_bounded, score.teams)), "a warp's slope has no bound, so rounding has none"
    monkeypatch.setattr(pool, "SMALL", 100)
    assert pool.top(score, rows, 3)[0].tolist() == np.argsort(-score.of_rows(rows), kind="stable")[:3].tolist()


def test_a_campaign_that_asks_is_told_the_exponents(journal: Callable) -> None:
    told = journal(3)
    for u in np.linspace(0, 1, 13):
        told.measure({"x": float(u)}, y=float(np.sin(18 * u**5)))
    spec = {
        "parameters": {"x": {"range": [0, 1]}},
        "outcomes": {"y": {"goal": "maximize"}},
        "engine": {"warp": True},
    }
    asked = propose(spec_from_dict(spec), told.state)[0]
    assert "GP matern of warped numbers; y warped by x " in asked.model
