"""What the parameters are learnt from, and that remembering them changes nothing."""

import numpy as np
import pytest

from labloop.planner.belief import ALL_LEARNT, MOST_LEARNT, Memory, learnt_from
from labloop.planner.encoding import Column, Encoding
from labloop.planner.errors import SurrogateError
from labloop.planner.known import Observations
from labloop.planner.surrogate import fit_all

PLANE = Encoding((Column("x", "real"), Column("y", "real")))


def told(n: int, size: float = 1.0) -> Observations:
    rng = np.random.default_rng(0)
    x = rng.random((5000, 2))[:n]
    y = size * (np.sin(5 * x[:, 0]) + x[:, 1] + 0.1 * rng.standard_normal(n))
    return Observations(x, y, np.zeros(n), np.arange(1, n + 1))


def test_few_trials_are_all_learnt_from_and_many_at_intervals() -> None:
    assert len(learnt_from(ALL_LEARNT)) == ALL_LEARNT
    assert learnt_from(400).tolist() == learnt_from(415).tolist() != learnt_from(416).tolist()
    assert len(learnt_from(5000)) == MOST_LEARNT
    assert learnt_from(5000).max() < 5000


def test_what_is_remembered_changes_nothing() -> None:
    memory: Memory = {}
    fit_all({"y": told(145)}, PLANE, ["matern"], memory)
    assert len(memory) == 1
    warm = fit_all({"y": told(150)}, PLANE, ["matern"], memory)
    assert len(memory) == 1
    cold = fit_all({"y": told(150)}, PLANE, ["matern"])
    assert np.array_equal(warm.beliefs[0].members[0].parameters, cold.beliefs[0].members[0].parameters)
    points = np.random.default_rng(1).random((5, 2))
    assert np.array_equal(warm.predict(points)[0], cold.predict(points)[0])


def test_five_thousand_trials_have_a_model() -> None:
    surrogate = fit_all({"y": told(5000)}, PLANE, ["matern"])
    mean, sd = surrogate.predict(np.array([[0.3, 0.5]]))
    assert mean[0, 0] == pytest.approx(np.sin(1.5) + 0.5, abs=0.05)
    assert 0 < sd[0, 0] < 0.05


@pytest.mark.parametrize("size", [1e-290, 1e290])
def test_the_size_of_numbers_does_not_matter(size: float) -> None:
    plain, sized = (fit_all({"y": told(12, one)}, PLANE, ["matern"]) for one in (1.0, size))
    point = np.array([[0.4, 0.4]])
    assert sized.predict(point)[0][0, 0] / size == pytest.approx(plain.predict(point)[0][0, 0], rel=1e-3)


def test_numbers_too_large_to_reach_beyond_are_refused() -> None:
    with pytest.raises(SurrogateError, match="no model of y from 12 trials: the outcomes are too large"):
        fit_all({"y": told(12, 1e307)}, PLANE, ["matern"])
