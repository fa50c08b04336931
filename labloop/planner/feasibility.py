"""Where trials work: failed ones teach where not to go.

The log of a kernel estimate of the chance that a point works is added to its score,

    (a + sum over trials that worked of k) / (a + b + sum over all of k),

so that the neighbourhood of failures is avoided while its edge stays open. It is a plain estimate, not a model of its
own: two failures among forty trials are enough for it. It is taken at several reaches: the wide one says where not to
go before much is known; the narrow ones tell the place that failed again and again from the one beside it that works,
so that an edge of failure in front of the optimum is closed in on, and not run into at the same place for ever.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .encoding import Array, Encoding
from .known import Known
from .prior import prior_of

# Reaches in the unit cube for each sqrt(dimension), and how often the chance at each counts. docs/benchmarks.md has the
# tries: with the widest alone, once, nine of ten trials ran into the same two places behind an edge.
FAILURE_REACHES = (0.15, 0.05, 0.017)
COUNTS = 2.0
# The weight of the prior belief that a point works (a of a + b).
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
    reaches: tuple[float, ...]

    @property
    def words(self) -> str:
        """What it is called in a score's name."""
        return "chance to work"

    def log(self, points: Array) -> Array:
        """Log chances of N points."""
        apart = self._apart(points)
        return np.asarray(COUNTS * sum(np.log(1.0 - self._share(_near(apart, reach))) for reach in self.reaches))

    def log_slopes(self, points: Array) -> tuple[Array, Array]:
        """Log chances, and their gradients by the point, N x d."""
        apart = self._apart(points)
        total, out = np.zeros(len(points)), np.zeros(points.shape)
        for reach in self.reaches:
            near = _near(apart, reach)
            share = self._share(near)
            whole = PRIOR_WORKS + PRIOR_FAILS + near.sum(1)
            # d share = (d fails - share d every) / whole, and d near = -near (x - c)/reach^2
            weights = -near * share[:, None]
            weights[:, : self.failures] += near[:, : self.failures]
            weights /= whole[:, None] * -(1.0 - share)[:, None]
            pulled = points[:, self.numbers] * weights.sum(1)[:, None] - weights @ self.centres[:, self.numbers]
            out[:, self.numbers] -= pulled / reach**2
            total += np.log(1.0 - share)
        return COUNTS * total, COUNTS * out

    def _share(self, near: Array) -> Array:
        fails = near[:, : self.failures].sum(1)
        return np.asarray((PRIOR_FAILS + fails) / (PRIOR_WORKS + PRIOR_FAILS + near.sum(1)))

    def _apart(self, points: Array) -> tuple[Array, Array]:
        """Of each point from each centre: half the squared distance in numbers, and how many choices differ."""
        squares, unlike = (np.zeros((len(points), len(self.centres))) for _ in range(2))
        for column in self.numbers:
            squares += 0.5 * (points[:, column, None] - self.centres[None, :, column]) ** 2
        for column in self.labels:
            unlike += points[:, column, None] != self.centres[None, :, column]
        return squares, unlike


def _near(apart: tuple[Array, Array], reach: float) -> Array:
    squares, unlike = apart
    return np.asarray(np.exp(-squares / reach**2 - unlike / reach))


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
        reaches=tuple(reach * encoding.dimension**0.5 for reach in FAILURE_REACHES),
    )


def factors(known: Known, encoding: Encoding) -> tuple[Factor, ...]:
    """All that a score is multiplied by."""
    found = (chance_to_work(known, encoding), prior_of(encoding, len(known.observed)))
    return tuple(one for one in found if one is not None)
