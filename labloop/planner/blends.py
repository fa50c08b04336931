"""What a mixture is like: the mean over its components, by their shares, of what each of them is like.

    z(p) = sum_i p_i w_i          w_i: what component i is like, q numbers

Two ways to make one thing of like components are then near each other, however little of the same is in them. Numbers
that describe make a column each, scaled to 0 .. 1 over the components. Of structures only distances are known, D_ij =
|w_i - w_j|^2; that is enough, since shares sum to the same:

    |z(p) - z(p')|^2 = -1/2 (p - p')' D (p - p')

and the w_i are D's principal coordinates (Torgerson 1952). The shares themselves stay beside them, since no
description says everything.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST = 1e-9  # of the largest eigenvalue: below it a coordinate is rounding


@dataclass(frozen=True, slots=True)
class Blend:
    """One respect in which the mixtures of some components differ. columns: of their shares; weights: k x q, the w_i.

    words: what it is called.
    """

    columns: tuple[int, ...]
    weights: Array
    words: str

    @property
    def width(self) -> int:
        """How many coordinates z has: q."""
        return int(self.weights.shape[1])

    @property
    def rough(self) -> float:
        """By how much more than one coordinate of the unit cube it takes part in rounding: its size, and k sums."""
        return float((self.weights**2).max(0).sum()) * (1.0 + 0.25 * len(self.columns))

    def of(self, points: Array) -> Array:
        """z of points, N x q, in their own precision."""
        return np.asarray(points[:, self.columns] @ self.weights.astype(points.dtype))


@dataclass(frozen=True, slots=True)
class Blended:
    """A mixture whose components are described: its name, by what, and the respects in which they differ."""

    mixture: str
    described: str
    blends: tuple[Blend, ...]


def by_numbers(columns: tuple[int, ...], names: tuple[str, ...], table: Array) -> tuple[Blend, ...]:
    """A respect a descriptor that is not the same for all. table: k x len(names)."""
    low, high = table.min(0), table.max(0)
    told = np.flatnonzero(high - low > 1e-9 * np.maximum(np.abs(table).max(0), 1e-300))
    return tuple(Blend(columns, ((table[:, at] - low[at]) / (high[at] - low[at]))[:, None], names[at]) for at in told)


def by_distances(columns: tuple[int, ...], words: str, squares: Array) -> Blend:
    """The respect in which components have these squared distances, k x k."""
    centred = squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-0.5 * centred)
    kept = values > LEAST * values[-1]
    return Blend(columns, vectors[:, kept] * np.sqrt(values[kept]), words)
