"""The process that only knows comparisons: its evidence, its posterior against BoTorch's PairwiseGP, what it finds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from botorch.models.pairwise_gp import PairwiseGP
from gpytorch.kernels import MaternKernel, ScaleKernel
from scipy.special import ndtr

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.tastes import Duels, mode
from labloop.planner.acquisition import build
from labloop.planner.bounds import is_bounded
from labloop.planner.encoding import Column, Encoding
from labloop.planner.history import read
from labloop.planner.improvement import log_ei
from labloop.planner.kernels import Array, Separable, dimension_scaled
from labloop.planner.known import Observations
from labloop.planner.pool import top
from labloop.planner.preference import LOOK_PRIOR, condition, fit, objective, shorter
from labloop.planner.problem import propose, read_problem
from labloop.planner.surrogate import fit_all, kernels

CUBE = Encoding(tuple(Column(f"x{i}", "real") for i in range(2)))
KERNEL = Separable("matern", (0, 1), number_prior=dimension_scaled(2, 2))


def truth(x: Array) -> Array:
    """Best at (0.7, 0.3), in units of what can be told apart."""
    return np.asarray(-12.0 * ((x[:, 0] - 0.7) ** 2 + (x[:, 1] - 0.3) ** 2))


def compared(n: int, m: int, seed: int = 0) -> tuple[Array, list[tuple[int, int, bool]]]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    u = truth(x)
    pairs = [tuple(rng.choice(n, 2, replace=False)) for _ in range(m)]
    told = [(a, b) if rng.random() < ndtr((u[a] - u[b]) / np.sqrt(2.0)) else (b, a) for a, b in pairs]
    return x, [(int(a), int(b), False) for a, b in told]


def test_agrees_with_botorch_at_the_same_parameters() -> None:
    x, pairs = compared(12, 25)
    lengths, noise = np.array([0.4, 0.7]), 0.25
    kernel = ScaleKernel(MaternKernel(nu=2.5, ard_num_dims=2)).double()
    kernel.base_kernel.lengthscale = torch.tensor(lengths)
    kernel.outputscale = 1.0 / noise  # BoTorch's noise is fixed at 1
    stock = PairwiseGP(torch.tensor(x), torch.tensor([pair[:2] for pair in pairs]), covar_module=kernel, jitter=1e-10)
    stock.eval()
    ours = condition(KERNEL, x, Duels.of(pairs), np.log(np.append(lengths, noise)))
    assert np.abs(mode_differences(ours.data.y / np.sqrt(noise), pairs)).max() < 3 * np.sqrt(2), "BoTorch clips there"
    points = np.random.default_rng(1).random((40, 2))
    with torch.no_grad():
        reference = stock.posterior(torch.tensor(points))
    mean, variance, _ = replace(ours, anchor=None).posterior(points)
    assert mean / np.sqrt(noise) == pytest.approx(reference.mean.numpy().ravel(), abs=1e-4)
    assert variance / noise == pytest.approx(reference.variance.numpy().ravel(), abs=1e-4)
    # As it is told: against the mean of what was compared.
    with torch.no_grad():
        joint = stock.posterior(torch.tensor(np.concatenate([points, x])))
    against = np.hstack([np.eye(40), np.full((40, 12), -1.0 / 12.0)])
    mean, variance, _ = ours.posterior(points)
    assert mean / np.sqrt(noise) == pytest.approx(against @ joint.mean.numpy().ravel(), abs=1e-4)
    expected = np.diag(against @ joint.distribution.covariance_matrix.numpy() @ against.T)
    assert variance / noise == pytest.approx(expected, abs=1e-3)


def mode_differences(u: Array, pairs: list[tuple[int, int, bool]]) -> Array:
    return np.array([u[a] - u[b] for a, b, _ in pairs])


def test_the_gradient_is_that_of_the_evidence() -> None:
    x, pairs = compared(9, 14, seed=3)
    duels = Duels.of([*pairs, (0, 1, True)])
    at, step = np.array([-1.0, -0.3, -1.2]), 1e-4
    _, gradient = objective(KERNEL, x, duels, at)
    for index, d in enumerate(step * np.eye(3)):
        slope = (objective(KERNEL, x, duels, at + d)[0] - objective(KERNEL, x, duels, at - d)[0]) / (2 * step)
        assert gradient[index] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_the_evidence_is_that_of_one_comparison() -> None:
    """Of one comparison the difference alone counts, and Laplace's evidence of it can be written down."""
    x = np.array([[0.1, 0.1], [0.4, 0.2]])
    duels, at = Duels.of([(0, 1, False)]), np.array([0.0, 0.0, -1.0])
    k = KERNEL.cross(at[:2], x, x) / np.exp(-1.0)
    v = 2.0 * (k[0, 0] - k[0, 1])
    grid = np.linspace(-12, 12, 400_001)
    height = np.log(ndtr(grid / np.sqrt(2.0))) - 0.5 * grid**2 / v
    top = int(np.argmax(height))
    bend = -(height[top + 1] - 2 * height[top] + height[top - 1]) / (grid[1] - grid[0]) ** 2
    evidence = height[top] - 0.5 * np.log(bend * v)
    prior = KERNEL.log_prior(at[:2])[0]
    whole = -objective(KERNEL, x, duels, at)[0] - prior - LOOK_PRIOR.log_density(at[2:])[0]
    assert whole == pytest.approx(evidence, abs=1e-4)


def test_the_posterior_is_laplaces_where_nothing_was_compared_as_well() -> None:
    x, pairs = compared(7, 6, seed=5)  # some points are in no pair: W is singular there
    at = np.array([-1.0, -0.5, -1.5])
    ours = condition(KERNEL, x, Duels.of(pairs), at)
    k = KERNEL.cross(at[:2], x, x)
    w = mode(k / np.exp(-1.5), Duels.of(pairs)).information / np.exp(-1.5)
    assert ours.value == pytest.approx(-objective(KERNEL, x, Duels.of(pairs), at)[0], rel=1e-9)
    points = np.random.default_rng(2).random((20, 2))
    cross = KERNEL.cross(at[:2], points, x)
    expected = 1.0 - np.einsum("ij,jk,ik->i", cross, np.linalg.solve(np.eye(7) + w @ k, w), cross)
    assert replace(ours, anchor=None).posterior(points)[1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_told_against_a_point_has_its_gradients(part: int) -> None:
    x, pairs = compared(7, 9, seed=5)
    ours = condition(KERNEL, x, Duels.of(pairs), np.array([-1.0, -0.5, -1.5]))
    gp = ours.with_flying(np.array([[0.2, 0.9], [0.6, 0.1]])).against(x[:1], np.ones(1))
    points, d = np.random.default_rng(2).random((20, 2)), np.array([1e-6, 0.0])
    above, below = gp.posterior(points + d)[part], gp.posterior(points - d)[part]
    weights = [np.zeros(20), np.zeros(20), np.zeros((20, 2))]
    weights[part] = np.ones_like(weights[part])
    slope = (above - below).reshape(20, -1).sum(1) / 2e-6
    told, pull = gp.watched(points)
    assert pull(*weights)[:, 0] == pytest.approx(slope, abs=1e-4)
    assert told[part] == pytest.approx(gp.posterior(points)[part])
    assert gp.posterior(x[:1])[part] == pytest.approx(0.0, abs=1e-5), "it differs from itself by nothing"


def test_what_is_in_flight_moves_what_is_told_against_a_point_as_it_moves_both() -> None:
    x, pairs = compared(7, 9, seed=5)
    ours = condition(KERNEL, x, Duels.of(pairs), np.array([-1.0, -0.5, -1.5]))
    flying, points = np.array([[0.2, 0.9]]), np.random.default_rng(2).random((5, 2))
    bare = replace(ours, anchor=None).with_flying(flying)
    lifts = bare.posterior(points)[2] - bare.posterior(x)[2].mean(0)
    assert ours.with_flying(flying).posterior(points)[2] == pytest.approx(lifts)


def test_only_what_differs_from_the_best_is_hoped_for(journal: Any) -> None:
    """A sum that is added to all utilities is never known: without an anchor its sd alone would be a hope."""
    facts = journal(2)
    tasted(facts, 16)
    problem = read_problem(spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer"}}}))
    history = read(facts.state, problem.encoding, problem.goals)
    model = fit_all(history.data, problem.encoding, ["matern"])
    mean = model.predict(history.known.observed)[0][:, 0]
    best = history.known.observed[int(np.argmax(mean))]
    score = build(model, problem.goals, history.known, problem.encoding, 0)
    there, far = score.of_rows(np.array([best, [0.01, 0.99]]))
    assert there < -5.0, "nothing is gained by making the best again"
    (member,) = model.beliefs[0].members
    pair = np.array([best, [0.01, 0.99]])
    (m_best, m_far), covariance = member.joint(pair)
    s = model.scales[0] * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    assert far == pytest.approx(float(log_ei(np.array(model.scales[0] * (m_far - m_best)), s, 0.0)), abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_it_learns_where_the_best_is_from_noisy_comparisons(seed: int) -> None:
    x, pairs = compared(25, 80, seed)
    (kernel,) = kernels(CUBE, ["matern"])
    gp = fit(shorter(kernel), x, Duels.of(pairs))
    fresh = np.random.default_rng(9).random((300, 2))
    mean = gp.posterior(fresh)[0]
    assert np.corrcoef(mean, truth(fresh))[0, 1] > 0.8
    assert truth(fresh)[int(np.argmax(mean))] > -1.5, "of about -12 to 0"


def test_the_same_point_twice_and_one_comparison_are_no_trouble() -> None:
    x = np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    (kernel,) = kernels(CUBE, ["matern"])
    for pairs in ([(0, 1, False)], [(0, 1, False), (1, 0, False), (0, 2, True)], [(0, 2, False)] * 200):
        mean, variance, _ = fit(kernel, x, Duels.of(pairs)).with_flying(x[:1]).posterior(x)
        assert np.isfinite(mean).all() and (variance > 0).all()
        assert mean[0] == pytest.approx(mean[1], abs=1e-5), "settings that are the same are worth the same"


SPEC: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 1]}, "y": {"range": [0, 1]}},
    "outcomes": {"taste": {"goal": "prefer"}, "cost": {"limit": "<= 3"}},
    "design": {"initial": {"method": "sobol", "trials": 6}, "seed": 2},
}


def made(facts: Any, x: float, y: float) -> int:
    return int(facts.measure({"x": x, "y": y}, cost=x + y))


def told(facts: Any, trial: int, over: int) -> None:
    facts.put(e.Preferred(outcome="taste", trial=trial, over=over))


def tasted(facts: Any, count: int, seed: int = 0) -> None:
    """Trials at random, each compared with the one before, without noise."""
    rng, last = np.random.default_rng(seed), None
    for x in rng.random((count, 2)):
        trial = made(facts, *x)
        if last is not None:
            pair = sorted((last, (float(truth(x[None, :])[0]), trial)), reverse=True)
            told(facts, pair[0][1], pair[1][1])
        last = (float(truth(x[None, :])[0]), trial)


def test_a_proposal_is_expected_to_be_liked_more(journal: Any) -> None:
    facts = journal(2)
    tasted(facts, 16)
    (proposal,) = propose(spec_from_dict(SPEC), facts.state)
    assert proposal.source == "model" and "taste by 15 comparisons of 16 trials" in proposal.model
    assert proposal.acquisition == "LogEI" and proposal.predicted["taste"].sd > 0
    x = np.array([[proposal.settings["x"], proposal.settings["y"]]], dtype=float)
    assert truth(x)[0] > -2.5
    assert propose(spec_from_dict(SPEC), facts.state) == [proposal], "the same facts propose the same"


def test_two_proposals_are_apart_and_the_first_is_the_only_one(journal: Any) -> None:
    facts = journal(2)
    tasted(facts, 12)
    one, two = propose(spec_from_dict(SPEC), facts.state, 2)
    assert propose(spec_from_dict(SPEC), facts.state) == [one]
    assert abs(float(one.settings["x"]) - float(two.settings["x"])) > 0.01 or one.settings["y"] != two.settings["y"]


def test_what_was_made_and_not_compared_is_in_flight(journal: Any) -> None:
    facts = journal(2)
    tasted(facts, 8)
    problem = read_problem(spec_from_dict(SPEC))
    made(facts, 0.5, 0.5)
    history = read(facts.state, problem.encoding, problem.goals)
    assert history.known.pending.tolist() == [[0.5, 0.5]] and len(history.known.observed) == 9  # its cost is known
    assert len(history.data["taste"].values) == 8 and len(history.data["cost"].values) == 9
    told(facts, 9, 1)
    assert not len(read(facts.state, problem.encoding, problem.goals).known.pending)


def test_before_anything_is_compared_the_design_goes_on(journal: Any) -> None:
    facts = journal(2)
    for at in range(7):
        made(facts, at / 7, 0.5)
    (proposal,) = propose(spec_from_dict(SPEC), facts.state)
    assert (proposal.source, proposal.reason) == ("sobol", "nothing is known yet of taste")


@pytest.mark.parametrize(("key", "value"), [("warp", True), ("robust", True), ("transform", "auto"), ("model", "saas"),
                                            ("drift", True), ("acquisition", "qLogNEI")])  # fmt: skip
def test_models_of_numbers_are_not_for_tastes(key: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"engine.{key}.*is for outcomes that are numbers, and taste is told by"):
        read_problem(spec_from_dict({**SPEC, "engine": {key: value}}))


def test_what_was_made_and_not_compared_is_not_left_out(journal: Any) -> None:
    facts = journal(2)
    for x in (0.1, 0.5, 0.9):
        facts.measure({"x": x, "y": x})
    told(facts, 1, 2)
    problem = read_problem(spec_from_dict(SPEC))
    history = read(facts.state, problem.encoding, problem.goals)
    assert history.left_out == 0 and len(history.known.pending) == 1


def test_a_belief_is_in_units_of_what_can_be_told_apart() -> None:
    x, pairs = compared(20, 60, seed=1)
    seen = Observations(x, np.zeros(20), np.zeros(20), np.arange(20), tuple(pairs))
    model = fit_all({"taste": seen}, CUBE, ["matern"])
    (member,) = model.beliefs[0].members
    utility = mode(KERNEL.cross(member.theta, x, x) / member.noise, Duels.of(pairs)).utility
    assert model.predict(x)[0][:, 0] == pytest.approx(utility - utility.mean(), abs=1e-5)
    assert model.noises == pytest.approx((1.0,))


def test_tastes_that_share_no_pair_with_this_space_are_no_model(journal: Any) -> None:
    facts = journal(2)
    a, b = made(facts, 0.5, 0.5), int(facts.measure({"x": "red", "y": 0.5}))
    told(facts, a, b)
    (proposal,) = propose(
        spec_from_dict({**SPEC, "design": {"initial": {"method": "sobol", "trials": 1}}}), facts.state
    )
    assert proposal.reason.startswith("surrogate failed: no model of taste from 1 trials: no two that this space holds")


def test_over_a_large_table_every_row_is_scored(journal: Any) -> None:
    """A pseudo-measurement is not one of a single point, so that the bounds of ordinary ones do not hold."""
    facts = journal(2)
    tasted(facts, 10)
    problem = read_problem(spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer"}}}))
    history = read(facts.state, problem.encoding, problem.goals)
    model = fit_all(history.data, problem.encoding, ["matern"])
    score = build(model, problem.goals, history.known, problem.encoding, 0)
    assert not any(map(is_bounded, score.teams))
    rows = np.random.default_rng(4).random((5000, 2))
    found, values = top(score, rows, 3)
    assert found.tolist() == np.argsort(-score.of_rows(rows), kind="stable")[:3].tolist() and values[0] >= values[2]
