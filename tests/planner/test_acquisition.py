"""Scores: what they reward, and that no compiler is ever called."""

import numpy as np
import pytest

from labloop.campaign.desirability import Shape, Slope
from labloop.planner import torch_models, torch_scores
from labloop.planner.acquisition import build
from labloop.planner.encoding import Column, Encoding
from labloop.planner.feasibility import chance_to_work
from labloop.planner.goals import Goal, reference_point, standing
from labloop.planner.known import Known, Observations
from labloop.planner.surrogate import Surrogate, fit_all

LINE = Encoding((Column("x", "real"),))
GRID = np.linspace(0, 1, 101)[:, None]
EMPTY = np.empty((0, 1))
SQUARE = Encoding((Column("x", "real"), Column("y", "real")))


def fit(data: dict[str, Observations], encoding: Encoding) -> Surrogate:
    return fit_all(data, encoding, ["matern", "rbf"])


def observed(x: np.ndarray, y: np.ndarray, sd: np.ndarray | None = None) -> Observations:
    return Observations(x, y, np.zeros(len(y)) if sd is None else sd**2, np.arange(1, len(y) + 1))


def test_hypervolume_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []  # BoTorch swallows what a failing compiler raises, so it is counted
    monkeypatch.setattr("torch.utils.cpp_extension.load", lambda *_, **__: compiled.append(1))
    x = np.linspace(0, 1, 6)[:, None]
    data = {"a": observed(x, x[:, 0] ** 2), "b": observed(x, (x[:, 0] - 1) ** 2)}
    goals = (Goal("a", -1), Goal("b", -1))
    surrogate = torch_models.fit(data, LINE)
    acquisition = torch_scores.build(surrogate, goals, Known(x, EMPTY, x, EMPTY), LINE, 0, samples=64)
    assert acquisition.name == "qLogNEHVI"
    import botorch.acquisition.multi_objective.logei as logei

    assert logei._C is None
    assert compiled == []
    sampled = acquisition.of_rows(GRID)
    closed = build(fit_all(data, LINE, ["matern"]), goals, Known(x, EMPTY, x, EMPTY), LINE, 0)
    assert closed.name == "LogEHVI"
    assert abs(int(np.argmax(closed.of_rows(GRID))) - int(np.argmax(sampled))) <= 5


def test_closed_form_and_sampled_improvement_agree_without_noise() -> None:
    x = np.array([[0.0], [0.2], [0.45], [0.8], [1.0]])
    data = {"y": observed(x, np.sin(6 * x[:, 0]))}
    known = Known(x, EMPTY, x, EMPTY)
    closed = build(fit_all(data, LINE, ["matern"]), (Goal("y", 1),), known, LINE, 0).of_rows(GRID)
    model = torch_models.fit(data, LINE)
    sampled = torch_scores.build(model, (Goal("y", 1),), known, LINE, 0, samples=1024).of_rows(GRID)
    assert abs(int(np.argmax(closed)) - int(np.argmax(sampled))) <= 3
    assert closed.max() == pytest.approx(sampled.max(), abs=0.3)


def test_a_point_in_flight_lowers_its_neighbourhood() -> None:
    x = np.array([[0.0], [0.2], [0.5], [0.8], [1.0]])
    surrogate = fit({"y": observed(x, np.sin(3 * x[:, 0]))}, LINE)
    flying = np.array([[0.6]])
    before = build(surrogate, (Goal("y", 1),), Known(x, EMPTY, x, EMPTY), LINE, 0).of_rows(flying)
    after = build(surrogate, (Goal("y", 1),), Known(x, flying, x, EMPTY), LINE, 0).of_rows(flying)
    assert after[0] < before[0] - 0.5


def test_fantasies_are_half_as_wide_as_what_is_believed() -> None:
    x = np.array([[0.0], [0.5], [1.0]])
    score = build(fit({"y": observed(x, x[:, 0])}, LINE), (Goal("y", 1),), Known(x, GRID[::9], x, EMPTY), LINE, 0)
    assert score.teams[0].draws.std() == pytest.approx(0.5, abs=0.05)


WISHES = {
    "one": (Goal("a", 1),),
    "target": (Goal("a", target=0.4, tolerance=0.1),),
    "target that is met": (Goal("a", target=0.4, tolerance=2.0),),
    "weights": (Goal("a", 1, weight=2.0), Goal("b", target=0.1, weight=0.5)),
    "desirability": (
        Goal("a", 1, weight=2.0, shape=Shape((Slope(-5.0, 5.0, 2.0),))),
        Goal("b", target=0.1, shape=Shape((Slope(-6.0, 0.05, 3.0), Slope(6.0, 0.15, 4.0)))),
    ),
    "front": (Goal("a", 1), Goal("b", -1)),
    "limit": (Goal("a", 1), Goal("b", upper=0.3, lower=-0.4)),
}


@pytest.mark.parametrize("flying", [0, 2])
@pytest.mark.parametrize("failed", [0, 2])
@pytest.mark.parametrize("goals", WISHES.values(), ids=WISHES)
def test_gradients(goals: tuple[Goal, ...], failed: int, flying: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((9, 2))
    values = {"a": x[:, 0] - x[:, 1] ** 2, "b": np.sin(4 * x[:, 0]) * x[:, 1]}
    surrogate = fit({goal.outcome: observed(x, values[goal.outcome]) for goal in goals}, SQUARE)
    score = build(surrogate, goals, Known(x, rng.random((flying, 2)), x, rng.random((failed, 2))), SQUARE, 0)
    points = rng.random((5, 2))
    value, gradient = score.slopes(points)
    assert value == pytest.approx(score.of_rows(points))
    for column in range(2):
        step = np.zeros(2)
        step[column] = 1e-5
        wanted = (score.of_rows(points + step) - score.of_rows(points - step)) / 2e-5
        assert gradient[:, column] == pytest.approx(wanted, rel=2e-3, abs=1e-4)


def test_improvement_over_what_is_in_flight_is_that_of_sampling() -> None:
    x = np.array([[0.0], [0.2], [0.45], [0.8], [1.0]])
    data = {"y": observed(x, np.sin(6 * x[:, 0]))}
    known = Known(x, np.array([[0.3], [0.6]]), x, EMPTY)
    closed = build(fit_all(data, LINE, ["matern"]), (Goal("y", 1),), known, LINE, 0).of_rows(GRID)
    model = torch_models.fit(data, LINE)
    sampled = torch_scores.build(model, (Goal("y", 1),), known, LINE, 0, samples=1024).of_rows(GRID)
    # qLogNEI counts what the points in flight gain as well, so only where the most is may be compared.
    assert abs(int(np.argmax(closed)) - int(np.argmax(sampled))) <= 5


def test_noise_is_learnt_from_repeats_and_taken_where_given() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.linspace(0, 1, 5), 6)[:, None]
    scatter = fit({"y": observed(x, 3 * x[:, 0] + 0.3 * rng.standard_normal(30))}, LINE)
    assert scatter.beliefs[0].noise_sd == pytest.approx(0.3, rel=0.4)
    y = np.array([0.0, 1.0, 0.0, 1.0, 0.0])
    x = np.array([[0.1], [0.3], [0.5], [0.7], [0.9]])
    trusted = fit({"y": observed(x, y, np.array([0.01, 2.0, 0.01, 2.0, 0.01]))}, LINE)
    mean, _ = trusted.predict(x)
    assert np.all(np.abs(mean[::2, 0]) < 0.2)  # near what was measured well
    assert np.all(mean[1::2, 0] < 0.6)  # and not near what was measured badly


def test_scale_and_offset_of_an_outcome_change_nothing() -> None:
    x = np.array([[0.0], [0.3], [0.5], [0.8], [1.0]])
    y = np.cos(5 * x[:, 0])
    known = Known(x, EMPTY, x, EMPTY)
    plain = build(fit({"y": observed(x, y)}, LINE), (Goal("y", -1),), known, LINE, 0).of_rows(GRID)
    scaled = build(fit({"y": observed(x, 1e6 + 1e3 * y)}, LINE), (Goal("y", -1),), known, LINE, 0).of_rows(GRID)
    assert int(np.argmax(plain)) == int(np.argmax(scaled))


def test_reference_point_is_the_given_one_or_the_worst_that_was_seen() -> None:
    seen = np.array([[9.0, 1.0, 0.0], [2.0, 4.0, 0.0], [3.0, 0.5, 0.0], [1.0, 2.0, 0.0], [-5.0, 9.0, 1.0]])

    def inferred(*goals: Goal) -> np.ndarray:
        return reference_point(standing((*goals, Goal("c", upper=0.5)), ("a", "b", "c"), (1.0, 1.0, 1.0), seen))

    assert inferred(Goal("a", 1), Goal("b", 1)) == pytest.approx([1.0, 0.5], abs=1e-4)  # of what keeps the limit
    assert np.all(inferred(Goal("a", 1), Goal("b", 1)) < [1.0, 0.5])  # so that the worst of all is still above it
    assert inferred(Goal("a", 1), Goal("b", -1)) == pytest.approx([1.0, -4.0], abs=1e-4)
    assert inferred(Goal("a", 1, reference=2.0), Goal("b", -1, reference=-0.5)).tolist() == [2.0, 0.5]
    ends = standing((Goal("a", 1), Goal("b", 1)), ("a", "b"), (1.0, 1.0), np.array([[9.0, 1.0], [4.0, 5.0]]))
    assert reference_point(ends) == pytest.approx([3.5, 0.6], abs=1e-4)  # the ends of a front may be gone beyond


def test_chance_to_work_falls_near_failures_alone() -> None:
    known = Known(GRID[:50:10], EMPTY, GRID[:50:10], np.array([[0.9], [0.95]]))
    chance = chance_to_work(known, LINE)
    assert chance is not None
    values = np.exp(chance.log(GRID))
    assert values[92] < 0.4 and values[20] > 0.85
    assert chance_to_work(Known(GRID, EMPTY, GRID, EMPTY), LINE) is None
