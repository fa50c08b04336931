"""The process on LAPACK against BoTorch's SingleTaskGP: likelihood, posterior, score and proposed point to 1e-4."""

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms.outcome import Standardize
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood

from labloop.planner import torch_models
from labloop.planner.acquisition import build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.errors import SurrogateError
from labloop.planner.goals import Goal
from labloop.planner.gp import Data, condition, fit, objective
from labloop.planner.kernels import Separable, dimension_scaled
from labloop.planner.known import Known, Observations
from labloop.planner.search import Effort, maximize
from labloop.planner.surrogate import fit_all

CUBE = Encoding(tuple(Column(f"x{i}", "real") for i in range(3)))
MIXED = Encoding((*CUBE.columns, Column("c", "label", values=("a", "b", "c"))))


def told(encoding: Encoding, n: int, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    x = rng.random((n, encoding.dimension))
    if encoding.labels:
        x[:, 3] = rng.integers(0, 3, n)
    y = 5.0 + 2.0 * np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + (x[:, -1] if encoding.labels else 0.0)
    return Observations(x, y + 0.1 * rng.standard_normal(n), np.zeros(n), np.arange(1, n + 1))


@pytest.mark.parametrize("shape", ["matern", "rbf"])
@pytest.mark.parametrize("encoding", [CUBE, MIXED], ids=["numbers", "mixed"])
@pytest.mark.parametrize("n", [8, 40])
def test_agrees_with_botorch(encoding: Encoding, shape: str, n: int) -> None:
    data = told(encoding, n)
    plain = fit_all({"y": data}, encoding, [shape])
    stock = torch_models.fit({"y": data}, encoding, shape)
    mll = ExactMarginalLogLikelihood(stock.model.likelihood, stock.model.train())
    reference = mll(stock.model(*stock.model.train_inputs), stock.model.train_targets).item()
    stock.model.eval()
    ours = plain.beliefs[0].members[0]
    assert ours.value / n >= reference - 1e-4  # not below: BoTorch's search ends where its own tolerance says
    # The same parameters give the same likelihood to rounding.
    lengths = [kernel.lengthscale.detach().numpy().ravel() for kernel in _kernels(stock.model.covar_module)]
    parameters = np.log(np.concatenate([*lengths, stock.model.likelihood.noise.detach().numpy()]))
    same = condition(ours.kernel, ours.data, parameters)
    assert same.value / n == pytest.approx(reference, abs=1e-4)
    points = np.random.default_rng(1).random((50, encoding.dimension))
    if encoding.labels:
        points[:, 3] = np.random.default_rng(2).integers(0, 3, 50)
    mean, sd = plain.predict(points)
    stock_mean, stock_sd = stock.predict(points)
    scale = plain.scales[0]
    assert mean == pytest.approx(stock_mean, abs=2e-3 * scale)
    assert sd == pytest.approx(stock_sd, abs=2e-3 * scale)


def _kernels(module: torch.nn.Module) -> list:
    return list(module.kernels) if hasattr(module, "kernels") else [module]


def test_the_same_parameters_give_botorchs_posterior_score_and_point() -> None:
    data = told(CUBE, 25)
    stock = torch_models.fit({"y": data}, CUBE, "rbf")
    surrogate = fit_all({"y": data}, CUBE, ["rbf"])
    ours = surrogate.beliefs[0].members[0]
    stock.model.covar_module.lengthscale = torch.as_tensor(np.exp(ours.theta))
    stock.model.likelihood.noise = ours.noise
    stock.model.mean_module.constant = ours.mean
    known = Known(data.points, np.empty((0, 3)), data.points, np.empty((0, 3)))
    score = build(surrogate, (Goal("y", 1),), known, CUBE, 0)
    best = float(surrogate.predict(data.points)[0].max())
    reference = LogExpectedImprovement(stock.model, best_f=best)
    points = np.random.default_rng(3).random((200, 3))
    with torch.no_grad():
        wanted = reference(torch.as_tensor(points).unsqueeze(-2)).numpy()
    assert np.ptp(wanted) > 50
    assert score.of_rows(points) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    mean, sd = stock.predict(points)
    assert surrogate.predict(points)[0] == pytest.approx(mean, abs=1e-6)
    assert surrogate.predict(points)[1] == pytest.approx(sd, rel=1e-4)
    found = maximize(score, CUBE, data.points[:3], data.points, 0, Effort())[0]
    torch.manual_seed(0)
    bounds = torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64)
    at, value = optimize_acqf(reference, bounds=bounds, q=1, num_restarts=10, raw_samples=256)
    assert found.score == pytest.approx(float(value), abs=1e-4)
    assert found.point == pytest.approx(at.detach().numpy()[0], abs=1e-4)


def test_gradient_of_the_likelihood() -> None:
    data = told(CUBE, 12)
    kernel = Separable("matern", (0, 1, 2), number_prior=dimension_scaled(3, 3))
    y = (data.values - data.values.mean()) / data.values.std()
    at = np.array([0.1, -0.4, 0.3, -2.0])
    seen = Data(data.points, y, np.linspace(0, 0.2, 12))
    wanted = [
        (objective(kernel, seen, at + s)[0] - objective(kernel, seen, at - s)[0]) / 2e-6 for s in 1e-6 * np.eye(4)
    ]
    assert objective(kernel, seen, at)[1] == pytest.approx(wanted, abs=1e-6)


def test_a_point_in_flight_is_one_measured_at_its_mean() -> None:
    data = told(CUBE, 10)
    kernel = Separable("matern", (0, 1, 2), number_prior=dimension_scaled(3, 3))
    gp = fit(kernel, Data(data.points, (data.values - 6.0) / 2.0, np.zeros(10)))
    flying = np.array([[0.5, 0.5, 0.5], [0.1, 0.9, 0.2]])
    ahead = gp.with_flying(flying)
    points = np.random.default_rng(5).random((7, 3))
    mean, variance, lifts = ahead.posterior(points)
    believed = gp.posterior(flying)[0]
    x = np.concatenate([data.points, flying])
    y = np.concatenate([gp.data.y, believed + np.array([0.3, -0.2])])
    told_after = condition(kernel, Data(x, y, np.zeros(12)), gp.parameters)
    assert variance == pytest.approx(told_after.posterior(points)[1], abs=1e-9)
    corner = ahead.factor[10:, 10:]
    moved = mean + lifts @ np.linalg.solve(corner, [0.3, -0.2])
    # The mean constant is learnt again there, and kept here: all but that shift is the same.
    shift = told_after.mean - gp.mean
    assert moved == pytest.approx(told_after.posterior(points)[0], abs=abs(shift) + 1e-9)


def test_a_matrix_that_cannot_be_factored_is_refused() -> None:
    kernel = Separable("rbf", (0,), number_prior=dimension_scaled(1, 1))
    data = Data(np.array([[0.1], [0.2]]), np.array([0.0, np.nan]), np.array([np.nan, 0.0]))
    with pytest.raises(SurrogateError, match="singular"):
        condition(kernel, data, np.array([0.0, -4.0]))


def test_with_botorchs_own_prior_it_is_singletaskgp() -> None:
    data = told(CUBE, 30)
    x, y = torch.as_tensor(data.points), torch.as_tensor(data.values).unsqueeze(-1)
    stock = SingleTaskGP(x, y, outcome_transform=Standardize(1))
    mll = ExactMarginalLogLikelihood(stock.likelihood, stock)
    fit_gpytorch_mll(mll)
    reference = mll.train()(stock(*stock.train_inputs), stock.train_targets).item()
    kernel = Separable("rbf", (0, 1, 2), number_prior=dimension_scaled(3, 3))
    standard = (data.values - data.values.mean()) / data.values.std(ddof=1)
    ours = fit(kernel, Data(data.points, standard, np.zeros(30)))
    assert ours.value / 30 == pytest.approx(reference, abs=1e-4)
    assert np.exp(ours.theta) == pytest.approx(stock.covar_module.lengthscale.detach().numpy()[0], rel=0.02)
