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
    """What has happened. observed: n x d; pending: p x d; worked, failed: where trials ended one way or the other.

    reachable: which of the observed may still be proposed, where the campaign was amended (None: nobody looked).
    """

    observed: Array
    pending: Array
    worked: Array
    failed: Array
    reachable: NDArray[np.bool_] | None = None

    @property
    def rivals(self) -> Array:
        """What a new point must be better than: in an amended space the trials that lie in it, if there are any.

        All of them teach the model; but to be better than what nobody may make any more is no use to anybody, and where
        that was good nothing else would ever be worth a trial.
        """
        some = self.reachable is not None and bool(self.reachable.any())
        return self.observed[self.reachable] if some else self.observed
