"""Local maxima in a box: found from each start, at a bound where they lie beyond it, and never lower than the start."""

import numpy as np
import pytest

from labloop.planner.climb import maxima
from labloop.planner.encoding import Array

STARTS = np.random.default_rng(0).random((8, 3))
LOW, HIGH = np.zeros((8, 3)), np.ones((8, 3))
FORM = np.array([[50.0, 9.0, 0.0], [9.0, 4.0, 1.0], [0.0, 1.0, 1.0]])  # a long ridge, not along an axis


def bowl(top: Array) -> object:
    def slopes(rows: Array, x: Array) -> tuple[Array, Array]:
        off = x - top
        return -0.5 * np.einsum("ni,ij,nj->n", off, FORM, off), -off @ FORM

    return slopes


def test_every_start_finds_the_top_of_a_ridge() -> None:
    top = np.array([0.3, 0.6, 0.5])
    assert maxima(bowl(top), STARTS, LOW, HIGH, 60) == pytest.approx(np.tile(top, (8, 1)), abs=1e-4)


def test_a_top_outside_the_box_is_approached_along_its_side() -> None:
    ends = maxima(bowl(np.array([0.5, 1.4, 0.5])), STARTS, LOW, HIGH, 60)
    assert ends[:, 1] == pytest.approx(1.0)
    # There the others are at their own best: the slopes by them are none.
    off = ends - [0.5, 1.4, 0.5]
    assert (off @ FORM)[:, [0, 2]] == pytest.approx(0.0, abs=1e-3)


def test_each_start_climbs_its_own_hill_and_what_is_held_stands_still() -> None:
    def hills(rows: Array, x: Array) -> tuple[Array, Array]:
        slope = np.column_stack([-12.0 * np.sin(12.0 * x[:, 0]), np.full(len(x), -1.0)])
        return np.cos(12.0 * x[:, 0]) - x[:, 1], slope

    starts = np.array([[0.1, 0.5], [0.45, 0.5], [0.6, 0.5], [0.95, 0.2]])
    low, high = np.zeros((4, 2)), np.ones((4, 2))
    low[3, 1] = high[3, 1] = 0.2
    ends = maxima(hills, starts, low, high, 60)
    hill = np.pi / 6
    assert ends[:, 0] == pytest.approx([0.0, hill, hill, 1.0], abs=1e-5)
    assert ends[:, 1] == pytest.approx([0.0, 0.0, 0.0, 0.2])


def test_no_start_ends_lower_however_few_rounds_there_are() -> None:
    rough = np.random.default_rng(1).normal(size=(20, 3)) * 15.0

    def waves(rows: Array, x: Array) -> tuple[Array, Array]:
        return np.sin(x @ rough.T).sum(1), np.cos(x @ rough.T) @ rough

    begun = waves(np.arange(8), STARTS)[0]
    for rounds in (0, 1, 2, 3, 5, 8, 60):
        ends = maxima(waves, STARTS, LOW, HIGH, rounds)
        assert np.all(waves(np.arange(8), ends)[0] >= begun)
        assert np.all((ends >= 0.0) & (ends <= 1.0))
    slope = np.clip(ends + waves(np.arange(8), ends)[1], 0.0, 1.0) - ends
    assert slope == pytest.approx(0.0, abs=1e-2)


def test_what_is_flat_stands_still() -> None:
    flat = maxima(lambda rows, x: (np.full(len(x), -1e6), np.zeros(x.shape)), STARTS, LOW, HIGH, 60)
    assert np.array_equal(flat, STARTS)
    assert maxima(bowl(np.zeros(3)), np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3)), 60).shape == (0, 3)
