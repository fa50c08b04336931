"""The design: seeded, inside the constraints, a function of (seed, trial), no point of a discrete space twice."""

import numpy as np
import pytest

from labloop.planner.design import design_point, free_rows, sample
from labloop.planner.encoding import Column, Encoding, Linear
from labloop.planner.errors import NothingLeftError

NONE = np.empty((0, 0))
CUBE = tuple(Column(name, "real", 0.0, 1.0) for name in "abcde")
SUM = Linear(dict.fromkeys("abcde", 1.0), 2.0)
SIMPLEX = Linear(dict.fromkeys("abcde", 1.0), 1.0, equality=True)
CORNER = Linear(dict.fromkeys("abcde", -1.0), -4.5)  # one point in 4000 is inside


@pytest.mark.parametrize("method", ["sobol", "lhs", "random"])
@pytest.mark.parametrize("constraint", [SUM, SIMPLEX, CORNER], ids=["sum", "simplex", "corner"])
def test_points_keep_the_constraints(method: str, constraint: Linear) -> None:
    encoding = Encoding(CUBE, (constraint,))
    points = np.array([design_point(encoding, method, 3, trial, 8, NONE) for trial in range(1, 13)])
    assert encoding.is_inside(points).all()
    assert len(np.unique(points.round(6), axis=0)) == 12


def test_a_point_depends_on_seed_and_trial_alone() -> None:
    encoding = Encoding(CUBE, (SUM,))
    at_once = [design_point(encoding, "sobol", 7, trial, 8, NONE) for trial in (1, 2, 3)]
    assert np.array_equal(design_point(encoding, "sobol", 7, 3, 8, NONE), at_once[2])
    assert not np.array_equal(design_point(encoding, "sobol", 8, 3, 8, NONE), at_once[2])


def test_sobol_covers_better_than_chance() -> None:
    encoding = Encoding(CUBE[:2])
    points = np.array([design_point(encoding, "sobol", 1, trial, 16, NONE) for trial in range(1, 17)])
    # A scrambled net puts one of its first sixteen points into each cell of a 4 x 4 board.
    assert len({tuple(cell) for cell in np.floor(points * 4).astype(int)}) == 16


def test_lhs_has_one_point_in_every_stratum() -> None:
    points = np.array([design_point(Encoding(CUBE), "lhs", 1, trial, 8, NONE) for trial in range(1, 9)])
    assert all(sorted(np.floor(column * 8).astype(int)) == list(range(8)) for column in points.T)


def test_a_walk_fills_the_simplex() -> None:
    points = sample(Encoding(CUBE, (SIMPLEX,)), 512, 0)
    assert points.mean(0) == pytest.approx([0.2] * 5, abs=0.05)
    # A component of a uniform simplex of 5 is Beta(1, 4): sd 0.163. The farthest-first order keeps all 512 of the pool.
    assert points.std(0) == pytest.approx([0.163] * 5, abs=0.03)


def test_a_discrete_space_is_used_up_and_then_refuses() -> None:
    encoding = Encoding((Column("a", "label", values=("x", "y", "z")), Column("b", "grid", 1.0, 3.0, step=1.0)))
    taken = np.empty((0, 2))
    for trial in range(1, 10):
        point = design_point(encoding, "sobol", 5, trial, 4, taken)
        assert not np.any(np.all(taken == point, axis=1)) if len(taken) else True
        taken = np.vstack([taken, point])
    with pytest.raises(NothingLeftError, match="every point of the space"):
        design_point(encoding, "sobol", 5, 10, 4, taken)


def test_a_table_gives_each_row_once_and_spreads_them() -> None:
    rng = np.random.default_rng(0)
    table = [{"a": float(a), "b": float(b)} for a, b in np.vstack([rng.random((30, 2)), rng.random((300, 2)) * 0.1])]
    encoding = Encoding((Column("a", "real"), Column("b", "real")), table=table)
    taken = np.empty((0, 2))
    for trial in range(1, 9):
        taken = np.vstack([taken, design_point(encoding, "sobol", 1, trial, 8, taken)])
    assert len(np.unique(taken, axis=0)) == 8
    assert np.sum(np.all(taken < 0.1, axis=1)) <= 2  # nine rows in ten lie in that corner


def test_a_row_that_stands_twice_is_one_point() -> None:
    encoding = Encoding((Column("a", "real"),), table=[{"a": 0.5}, {"a": 0.5}, {"a": 0.7}])
    assert encoding.rows is not None
    assert free_rows(encoding, encoding.rows[:1]).tolist() == [2]
    with pytest.raises(NothingLeftError, match="3 candidates"):
        free_rows(encoding, encoding.rows)


def test_contradictory_constraints_are_said() -> None:
    contradiction = (Linear({"a": 1.0}, 0.2), Linear({"a": -1.0}, -0.8))
    with pytest.raises(NothingLeftError, match="no settings keep all"):
        design_point(Encoding(CUBE, contradiction), "sobol", 1, 1, 8, NONE)


def test_what_no_linear_form_says_is_kept_by_rejection() -> None:
    encoding = Encoding(CUBE[:2], allowed=lambda settings: settings["a"] * settings["b"] <= 0.1)
    for trial in range(1, 10):
        settings = encoding.decode(design_point(encoding, "sobol", 1, trial, 8, NONE))
        assert settings["a"] * settings["b"] <= 0.1
