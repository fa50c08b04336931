"""Which columns count at a point: parameters that are active only under a condition, and mixtures of a few components.

    a condition does not hold   the parameter has no value. Its coordinate stays in the middle (of unordered choices: at
                                a level of its own), so that such points differ by what they do have
    a sparse mixture            at most so many components are above 0, each of these with a least share
    shared by a batch           what the others in flight have is held

A column that does not count stands still in a search; a point is settled when what does not count is where it belongs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MIDDLE = 0.5
ABSENT = 1e-6  # a share of a mixture below it is none: what a proposal is rounded to
SAME = 1e-9
_REMEMBERED = 4096
MANY = 64  # points from which it pays to see which of them are alike


@dataclass(frozen=True, slots=True)
class Sparse:
    """A mixture: its columns, how many of them may be above 0, and the least share of one that is (0: any)."""

    columns: tuple[int, ...]
    most: int
    least: float = 0.0

    @property
    def sizes(self) -> tuple[int, int]:
        """How few and how many components a point has. Without a least share, fewer are a limit of the most."""
        return (1 if self.least else self.most), self.most

    def present(self, points: Array) -> Mask:
        """Which components are there, N x components."""
        return np.asarray(points[:, self.columns] > ABSENT)

    def keeps(self, points: Array) -> Mask:
        """Which points have few enough components, and enough of each."""
        shares, there = points[:, self.columns], self.present(points)
        enough = ~there | (shares >= self.least * (1.0 - 1e-9))
        return np.asarray((there.sum(1) <= self.most) & enough.all(1))

    def settled(self, points: Array) -> Array:
        """The nearest points that have so few components; their sums are no longer what they were."""
        shares = points[:, self.columns].copy()
        rank = np.argsort(np.argsort(-shares, axis=1, kind="stable"), axis=1)
        shares[(rank >= self.most) | (shares < max(0.5 * self.least, ABSENT))] = 0.0
        nothing = np.flatnonzero(~(shares > 0.0).any(1))  # then the largest component is all there is
        shares[nothing, np.argmax(points[nothing][:, self.columns], axis=1)] = 1.0
        shares = np.where(shares > 0.0, np.maximum(shares, self.least), 0.0)
        out = points.copy()
        out[:, self.columns] = shares
        return out

    def neighbours(self, point: Array) -> list[Array]:
        """The same with one component swapped for another, left out, or one more."""
        shares = point[list(self.columns)]
        there, gone = np.flatnonzero(shares > ABSENT), np.flatnonzero(shares <= ABSENT)
        found = []
        for j in gone:
            for i in there:
                found.append(shares.copy())
                found[-1][[i, j]] = 0.0, shares[i]
            if len(there) < self.most:
                found.append(shares * (1.0 - 1.0 / (len(there) + 1)))
                found[-1][j] = max(self.least, 1.0 / (len(there) + 1))
        for i in there if len(there) > 1 else ():
            found.append(np.where(np.arange(len(shares)) == i, 0.0, shares / max(1.0 - shares[i], ABSENT)))
        points = [point.copy() for _ in found]
        for other, one in zip(points, found, strict=True):
            other[list(self.columns)] = one
        return points


@dataclass(slots=True)
class Conditions:
    """``parents``: the columns that conditions look at; ``children``: those that have one, and ``absent`` without.

    inactive: which children do not count at a point; it looks at the parents alone.
    """

    parents: tuple[int, ...]
    children: tuple[int, ...]
    absent: tuple[float, ...]
    inactive: Callable[[Array], Sequence[bool]]
    _known: dict[bytes, tuple[bool, ...]] = field(default_factory=dict)

    def out(self, points: Array) -> Mask:
        """Which columns do not count, N x d."""
        out = np.zeros(points.shape, dtype=bool)
        if len(points) < MANY:
            for row, point in enumerate(points):
                out[row, self.children] = self._of(point)
            return out
        _, rows, which = np.unique(points[:, self.parents], axis=0, return_index=True, return_inverse=True)
        out[:, self.children] = np.array([self._of(points[row]) for row in rows])[which.ravel()]
        return out

    def _of(self, point: Array) -> tuple[bool, ...]:
        key = point[list(self.parents)].tobytes()
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = tuple(self.inactive(point))
        return self._known[key]

    def settled(self, points: Array) -> Array:
        """The same with what does not count where it belongs."""
        out = points.copy()
        gone = self.out(points)[:, self.children]
        out[:, self.children] = np.where(gone, self.absent, points[:, self.children])
        return out


@dataclass(frozen=True, slots=True)
class Presence:
    """What of a space counts at a point. ``held``: columns that may not move at all, and where they are."""

    sparse: tuple[Sparse, ...] = ()
    conditions: Conditions | None = None
    held: tuple[tuple[int, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sparse or self.held) or self.conditions is not None

    def still(self, points: Array) -> Mask:
        """Which coordinates stand still at each point, N x d: those that are held, and that do not count there."""
        out = np.zeros(points.shape, dtype=bool) if self.conditions is None else self.conditions.out(points)
        for one in self.sparse:
            out[:, one.columns] |= ~one.present(points)
        for column, _ in self.held:
            out[:, column] = True
        return out

    def least(self, points: Array) -> Array:
        """The lowest coordinates near each point, N x d: of a component that is there its least share."""
        low = np.zeros(points.shape)
        for one in self.sparse:
            low[:, one.columns] = np.where(one.present(points), one.least, 0.0)
        return low

    def keeps(self, points: Array) -> Mask:
        """Which points have what is held, and few enough components."""
        kept = np.ones(len(points), dtype=bool)
        out = self.conditions.out(points) if self.held and self.conditions is not None else None
        for column, value in self.held:
            same = np.abs(points[:, column] - value) <= SAME
            kept &= same if out is None else same | out[:, column]
        for one in self.sparse:
            kept &= one.keeps(points)
        return kept

    def settled(self, points: Array) -> Array:
        """The nearest points of which only what counts is said."""
        for one in self.sparse:
            points = one.settled(points)
        if self.held:
            points = points.copy()
            points[:, [column for column, _ in self.held]] = [value for _, value in self.held]
        return points if self.conditions is None else self.conditions.settled(points)

    def neighbours(self, point: Array) -> list[Array]:
        """Points with a component more, less, or another one."""
        return [other for one in self.sparse for other in one.neighbours(point)]
