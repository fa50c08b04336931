"""What is known when a proposal is asked for, as arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .encoding import Array


@dataclass(frozen=True, slots=True)
class Observations:
    """One outcome's data. points: n x d; values: n; variances: n, of the measurement alone, 0 where not given.

    trials: n, the trials' numbers. compared: of an outcome that people compare, rows of which the first is better, and
    whether they are equally good (None: it is measured); ``values`` then are what the comparisons alone say.
    """

    points: Array
    values: Array
    variances: Array
    trials: NDArray[np.intp]
    compared: tuple[tuple[int, int, bool], ...] | None = None

    def of(self, rows: NDArray[np.intp]) -> "Observations":
        """Some of them."""
        return Observations(self.points[rows], self.values[rows], self.variances[rows], self.trials[rows])


@dataclass(frozen=True, slots=True)
class Known:
    """What has happened. observed: n x d; pending: p x d; worked, failed: where trials ended one way or the other."""

    observed: Array
    pending: Array
    worked: Array
    failed: Array
