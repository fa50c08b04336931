"""Where trials work: failed ones teach where not to go.

The log of a kernel estimate of the chance that a point works is added to its score,

    (a + sum over trials that worked of k) / (a + b + sum over all of k),

so that the neighbourhood of failures is avoided while its edge stays open. It is a plain estimate, not a model of its
own: two failures among forty trials are enough for it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .encoding import Array, Encoding
from .known import Known
from .prior import prior_of

# Reach in the unit cube for each sqrt(dimension), and the weight of the prior belief that a point works (a of a + b).
FAILURE_REACH = 0.15
PRIOR_WORKS, PRIOR_FAILS = 0.45, 0.05


class Factor(Protocol):
    """What a score is multiplied by: logs, 0 at most."""

    @property
    def words(self) -> str:
        """What it is called in the score's name."""

    def log(self, points: Array) -> Array:
        """Logs of N points, N x d."""

    def log_slopes(self, points: Array) -> tuple[Array, Array]:
        """Logs, and their gradients by the point, N x d."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Log of the estimated chance to work. ``centres``: failed trials first, then those that worked."""

    centres: Array
    failures: int
    numbers: tuple[int, ...]
    labels: tuple[int, ...]
    reach: float

    @property
    def words(self) -> str:
        """What it is called in a score's name."""
        return "chance to work"

    def log(self, points: Array) -> Array:
        """Log chances of N points."""
        near = self._near(points)
        return np.asarray(np.log(1.0 - self._share(near)))

    def log_slopes(self, points: Array) -> tuple[Array, Array]:
        """Log chances, and their gradients by the point, N x d."""
        near = self._near(points)
        share = self._share(near)
        whole = PRIOR_WORKS + PRIOR_FAILS + near.sum(1)
        # d share = (d fails - share d every) / whole, and d near = -near (x - c)/reach^2
        weights = -near * share[:, None]
        weights[:, : self.failures] += near[:, : self.failures]
        weights /= whole[:, None] * -(1.0 - share)[:, None]
        out = np.zeros(points.shape)
        pulled = points[:, self.numbers] * weights.sum(1)[:, None] - weights @ self.centres[:, self.numbers]
        out[:, self.numbers] = -pulled / self.reach**2
        return np.log(1.0 - share), out

    def _share(self, near: Array) -> Array:
        fails = near[:, : self.failures].sum(1)
        return np.asarray((PRIOR_FAILS + fails) / (PRIOR_WORKS + PRIOR_FAILS + near.sum(1)))

    def _near(self, points: Array) -> Array:
        total = np.zeros((len(points), len(self.centres)))
        for column in self.numbers:
            total -= 0.5 * ((points[:, column, None] - self.centres[None, :, column]) / self.reach) ** 2
        for column in self.labels:
            total -= (points[:, column, None] != self.centres[None, :, column]) / self.reach
        return np.asarray(np.exp(total))


def chance_to_work(known: Known, encoding: Encoding) -> Chance | None:
    """The estimate; None while nothing has failed."""
    if not len(known.failed):
        return None
    labels = tuple(encoding.labels)
    return Chance(
        centres=np.concatenate([known.failed, known.worked]),
        failures=len(known.failed),
        numbers=tuple(index for index in range(encoding.dimension) if index not in labels),
        labels=labels,
        reach=FAILURE_REACH * encoding.dimension**0.5,
    )


def factors(known: Known, encoding: Encoding) -> tuple[Factor, ...]:
    """All that a score is multiplied by."""
    found = (chance_to_work(known, encoding), prior_of(encoding, len(known.observed)))
    return tuple(one for one in found if one is not None)
