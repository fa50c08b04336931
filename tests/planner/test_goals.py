"""Which trials are ahead of the others."""

import numpy as np
import pytest

from labloop.planner.goals import non_dominated


@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("levels", [3, 1000])
def test_a_row_is_dominated_by_one_that_is_better_somewhere_and_worse_nowhere(columns: int, levels: int) -> None:
    values = np.random.default_rng(columns).integers(0, levels, (200, columns)) / 7.0
    values[5], values[6] = values.max(0), values.max(0)
    for count in (0, 1, 5, 200):
        rows = values[:count]
        beaten = [any(np.all(other >= row) and np.any(other > row) for other in rows) for row in rows]
        assert non_dominated(rows).tolist() == [not one for one in beaten]


def test_a_sum_that_rounds_to_the_same_hides_nobody() -> None:
    assert non_dominated(np.array([[1e16, 0.0], [1e16, 1.0]])).tolist() == [False, True]


def test_what_is_no_number_beats_nothing_and_is_beaten_by_nothing() -> None:
    assert non_dominated(np.array([[np.nan, 9.0], [1.0, 1.0], [0.0, 2.0], [0.0, 1.0]])).tolist() == [True] * 3 + [False]
