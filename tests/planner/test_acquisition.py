"""Scores: what they reward, and that no compiler is ever called."""

import numpy as np
import pytest
import torch

from labloop.planner.acquisition import Goal, Known, build, log_chance, reference_point
from labloop.planner.encoding import Column, Encoding
from labloop.planner.surrogate import Observations, fit

LINE = Encoding((Column("x", "real"),))
GRID = np.linspace(0, 1, 101)[:, None]
EMPTY = np.empty((0, 1))


def observed(x: np.ndarray, y: np.ndarray, sd: np.ndarray | None = None) -> Observations:
    return Observations(x, y, np.zeros(len(y)) if sd is None else sd**2)


def test_hypervolume_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []  # BoTorch swallows what a failing compiler raises, so it is counted
    monkeypatch.setattr("torch.utils.cpp_extension.load", lambda *_, **__: compiled.append(1))
    x = np.linspace(0, 1, 6)[:, None]
    surrogate = fit({"a": observed(x, x[:, 0] ** 2), "b": observed(x, (x[:, 0] - 1) ** 2)}, LINE)
    acquisition = build(surrogate, (Goal("a", -1), Goal("b", -1)), Known(x, EMPTY, x, EMPTY), LINE, 0, samples=16)
    assert acquisition.name == "qLogNEHVI"
    import botorch.acquisition.multi_objective.logei as logei

    assert logei._C is None
    assert compiled == []
    assert np.isfinite(acquisition.of_rows(GRID)).all()


def test_closed_form_and_sampled_improvement_agree_without_noise() -> None:
    x = np.array([[0.0], [0.2], [0.45], [0.8], [1.0]])
    surrogate = fit({"y": observed(x, np.sin(6 * x[:, 0]))}, LINE)
    known = Known(x, EMPTY, x, EMPTY)
    closed = build(surrogate, (Goal("y", 1),), known, LINE, 0, force="LogEI").of_rows(GRID)
    sampled = build(surrogate, (Goal("y", 1),), known, LINE, 0, samples=1024, force="qLogNEI").of_rows(GRID)
    assert abs(int(np.argmax(closed)) - int(np.argmax(sampled))) <= 3
    assert closed.max() == pytest.approx(sampled.max(), abs=0.3)


@pytest.mark.parametrize("force", ["LogEI", "qLogNEI"])
def test_a_point_in_flight_lowers_its_neighbourhood(force: str) -> None:
    x = np.array([[0.0], [0.2], [0.5], [0.8], [1.0]])
    surrogate = fit({"y": observed(x, np.sin(3 * x[:, 0]))}, LINE)
    flying = np.array([[0.6]])
    before = build(surrogate, (Goal("y", 1),), Known(x, EMPTY, x, EMPTY), LINE, 0, force=force).of_rows(flying)
    after = build(surrogate, (Goal("y", 1),), Known(x, flying, x, EMPTY), LINE, 0, force=force).of_rows(flying)
    assert after[0] < before[0] - 0.5


def test_noise_is_learnt_from_repeats_and_taken_where_given() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(np.linspace(0, 1, 5), 6)[:, None]
    scatter = fit({"y": observed(x, 3 * x[:, 0] + 0.3 * rng.standard_normal(30))}, LINE)
    assert float(scatter.words.rsplit(" ", 1)[1]) == pytest.approx(0.3, rel=0.4)
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


def test_reference_point_is_the_given_one_or_below_the_front() -> None:
    x = np.linspace(0, 1, 6)[:, None]
    surrogate = fit({"a": observed(x, 10 * x[:, 0]), "b": observed(x, -x[:, 0])}, LINE)
    known = Known(x, EMPTY, x, EMPTY)
    guessed = reference_point(surrogate, (Goal("a", 1), Goal("b", 1)), known)
    assert guessed[0] < -0.5 and guessed[1] < -1.05  # nadir (0, -1) less a tenth of the range, roughly
    given = reference_point(surrogate, (Goal("a", 1, reference=2.0), Goal("b", -1, reference=-0.5)), known)
    assert given.tolist() == [2.0, 0.5]


def test_chance_to_work_falls_near_failures_alone() -> None:
    known = Known(GRID[:50:10], EMPTY, GRID[:50:10], np.array([[0.9], [0.95]]))
    chance = log_chance(known, LINE)
    assert chance is not None
    values = chance(torch.as_tensor(GRID)).exp()
    assert values[92] < 0.4 and values[20] > 0.85
    assert log_chance(Known(GRID, EMPTY, GRID, EMPTY), LINE) is None
