"""Cuts through a space: one or two columns go over their range, everything else stays as in one point.

    a sum to keep       what is shared out among the other components keeps their proportions (Cox, 1971)
    a condition         what it takes away is gone; what it brings stands in the middle of its range, or at its first
                        choice
    a table             the cut goes through values that the table has; a row of it may lie there or not

A point of a cut may lie outside the space: a model has an opinion of it, and a trial may not be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .column import Column
from .encoding import Array, Encoding

POINTS = 49  # along a range: an odd number has the middle
MOST_LEVELS = 60  # of a range with a step, or of a table: beyond it as many as of any range
SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Section:
    """points: N x d; inside: which of them a trial may have."""

    points: Array
    inside: NDArray[np.bool_]


def levels(encoding: Encoding, at: int, points: int = POINTS) -> Array:
    """Where a cut looks along one column, rising."""
    column = encoding.columns[at]
    if encoding.rows is not None:
        known = np.unique(encoding.rows[:, at])
        known = known[known != column.absent] if column.optional and column.kind == "label" else known
        if column.kind in ("label", "ordered") or len(known) <= MOST_LEVELS:
            return np.asarray(known)
    count = column.levels
    if count is not None and (count <= MOST_LEVELS or column.kind in ("label", "ordered")):
        return column.level(np.arange(count))
    u = np.linspace(0.0, column.upper, points)
    return u if count is None else np.unique(column.snap(u))


def along(encoding: Encoding, point: Array, columns: Sequence[int], values: Array) -> Section:
    """The cut where ``columns`` are ``values``, N x columns, and everything else as at ``point``."""
    points = np.repeat(point[None, :], len(values), axis=0)
    points[:, columns] = values
    points = _brought(encoding, points)
    points = _in_sum(encoding, points, columns)
    held = np.all(np.abs(points[:, columns] - values) <= SAME, axis=1)
    return Section(points, held & encoding.holds(points))


def _brought(encoding: Encoding, points: Array) -> Array:
    """What conditions take away is gone, and what they bring is somewhere."""
    conditions = encoding.presence.conditions
    if conditions is None:
        return points
    out = conditions.out(points)
    for child in conditions.children:
        column = encoding.columns[child]
        if column.kind == "label":
            missing = ~out[:, child] & (points[:, child] >= len(column.values))
            points[missing, child] = 0.0
        elif column.levels is not None:
            points[~out[:, child], child] = column.snap(points[~out[:, child], child])
    return conditions.settled(points)


def _in_sum(encoding: Encoding, points: Array, held: Sequence[int]) -> Array:
    """The same where the columns that are not held make up for those that are, as far as they can."""
    rows, bounds = encoding.equalities()
    for row, bound in zip(rows, bounds, strict=True):
        free = [at for at in np.flatnonzero(row) if at not in held and _moves(encoding.columns[at])]
        if not free:
            continue
        shares = points[:, free] * row[free]
        now, left = shares.sum(1), bound - (points @ row - shares.sum(1))
        scaled = np.abs(now) > SAME
        factor = np.where(scaled, left / np.where(scaled, now, 1.0), 0.0)
        spread = left[:, None] / len(free) / row[free]  # where all others are at 0 they share alike
        points[:, free] = np.clip(np.where(scaled[:, None], points[:, free] * factor[:, None], spread), 0.0, 1.0)
    return points


def _moves(column: Column) -> bool:
    return column.kind == "real" and column.is_linear
