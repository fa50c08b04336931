"""Settings as points: one column a parameter (column.py), every column in the unit cube but unordered choices.

A parameter that is not active at a point has no value there, and its coordinate is ``absent`` (see presence.py).

A campaign that brings a table of candidates has its rows as its only points; they are encoded once, as one array, and
given back exactly as they stand in the table. Linear constraints are kept twice: over values (checked on whole arrays,
right for every column) and, where all their columns are linear in u, as A u <= b and E u = f for optimizers.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from labloop.campaign.events import Value

from .blends import Blended
from .column import RESOLUTION, Column
from .presence import SAME, Mask, Presence

Array = NDArray[np.float64]
Settings = dict[str, Value]

# Relative slack of a linear constraint, a little inside what Space.contains forgives (1e-9).
SLACK = 5e-10
# Solvers forgive 1e-7 and pass over factors below 1e-9: a sum of picomoles would bind nothing.
LEAST_FACTOR = 1e-3
# Passes of putting shares on their sum and back above their least ones; each halves what is left over and more.
PASSES = 30


@dataclass(frozen=True, slots=True)
class Linear:
    """``coefficients . values <= bound`` (or ``==``) in the parameters' own units."""

    coefficients: Mapping[str, float]
    bound: float
    equality: bool = False


@dataclass(slots=True)
class Encoding:
    """A space as arrays. ``rows``: the candidates, N x d, or None. ``allowed``: what no linear form can say.

    blended: the mixtures whose components are described. amended: it was another before, so trials may lie outside.
    drawn: settings by count and seed, as the campaign itself draws them, where constraints bind at some points only.
    """

    columns: tuple[Column, ...]
    constraints: tuple[Linear, ...] = ()
    table: Sequence[Mapping[str, Value]] | None = None
    allowed: Callable[[Settings], bool] | None = None
    presence: Presence = field(default_factory=Presence)
    blended: tuple[Blended, ...] = ()
    drawn: Callable[[int, int], Sequence[Mapping[str, Value]]] | None = None
    rows: Array | None = None
    amended: bool = False
    _weights: Array = field(init=False)
    _order: NDArray[np.intp] | None = field(init=False, default=None)
    _hashes: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        # Any fixed irrational-looking weights do: equal rows get equal hashes, and hits are compared in full.
        self._weights = np.sqrt(np.arange(2.0, 2.0 + len(self.columns)))
        if self.table is not None:
            self.rows = self.encode(self.table)
            hashes = self._hash(self.rows)
            self._order = np.argsort(hashes, kind="stable")
            self._hashes = hashes[self._order]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def dimension(self) -> int:
        """How many columns."""
        return len(self.columns)

    @property
    def labels(self) -> list[int]:
        """Columns that hold an index, not a coordinate."""
        return [index for index, column in enumerate(self.columns) if column.kind == "label"]

    @property
    def upper(self) -> Array:
        """The highest coordinate of each column; the lowest is 0."""
        return np.array([column.upper for column in self.columns])

    @property
    def is_discrete(self) -> bool:
        """Whether every point can be counted."""
        return self.rows is not None or all(column.levels is not None for column in self.columns)

    def is_fixed(self, points: Array) -> NDArray[np.bool_]:
        """At which points no number is free: every column is counted, or has no value there."""
        free = np.array([column.levels is None for column in self.columns])
        if self.rows is not None or not free.any():
            return np.ones(len(points), dtype=bool)
        conditions = self.presence.conditions
        if conditions is None:
            return np.zeros(len(points), dtype=bool)
        return np.asarray(conditions.out(points)[:, free].all(axis=1))

    @property
    def size(self) -> float:
        """How many points there are before constraints; infinity for a continuous space."""
        if self.rows is not None:
            return float(len(self.rows))
        if not self.is_discrete:
            return float("inf")
        return float(np.prod([float(column.count or 1) for column in self.columns]))

    @property
    def shared(self) -> tuple[str, ...]:
        """What all trials of a batch have in common."""
        return tuple(column.name for column in self.columns if column.shared)

    def held(self, batch: Sequence[Mapping[str, Value]]) -> "Encoding":
        """The same space where what a batch shares is as in the first of these settings that has it."""
        where: dict[int, float] = {}
        for settings in reversed(batch):
            for at, column in enumerate(self.columns):
                if column.shared and column.name in settings:
                    where[at] = float(column.encode([settings[column.name]])[0])
        other = copy(self)
        other.presence = replace(self.presence, held=tuple(sorted(where.items())))
        return other

    def encode(self, settings: Sequence[Mapping[str, Value]]) -> Array:
        """Settings as points, n x d. Raises KeyError for a choice, or a parameter that counts, that is missing."""
        if not settings:
            return np.empty((0, len(self.columns)))
        points = np.column_stack([self._encoded(column, settings) for column in self.columns])
        if self.presence.conditions is None:
            return points
        missing = np.array([[column.name not in row for column in self.columns] for row in settings])
        out = self.presence.conditions.out(points)
        if np.any(missing & ~out):
            raise KeyError(next(self.names[column] for column in np.flatnonzero(np.any(missing & ~out, axis=0))))
        return self.presence.conditions.settled(points)

    def _encoded(self, column: Column, settings: Sequence[Mapping[str, Value]]) -> Array:
        if not column.optional:
            return column.encode([row[column.name] for row in settings])
        has = np.array([column.name in row for row in settings])
        out = np.full(len(settings), column.absent)
        out[has] = column.encode([row[column.name] for row in settings if column.name in row])
        return out

    def decode(self, point: Array) -> Settings:
        """A point as plain settings, rounded, with the sums of equality constraints kept exactly."""
        if self.rows is not None and self.table is not None:
            return dict(self.table[self.find(point)[0]])
        row, conditions = point[None, :], self.presence.conditions
        still, low = self.presence.still(row)[0], self.presence.least(row)[0]
        out = conditions.out(row)[0] if conditions is not None else np.zeros(len(point), dtype=bool)
        settings: Settings = {}
        real: dict[str, tuple[float, float]] = {}  # what moves, and how far
        for column, u, stands, least, gone in zip(self.columns, point, still, low, out, strict=True):
            if gone:
                continue
            value = column.decode(float(u))
            if column.kind == "real" and not stands:
                real[column.name] = (float(column.to_value(least)) if least else column.low, column.high)
                value = max(float(value), real[column.name][0])
            settings[column.name] = value
        equalities = [one for one in self.binding(out) if one.equality]
        for constraint in equalities:
            _settle(settings, constraint, real)
        if len(equalities) > 1:
            _settle_together(settings, equalities, real)
        return settings

    def find(self, point: Array) -> list[int]:
        """The rows of the table that are this point (the table may hold it more than once)."""
        assert self.rows is not None and self._hashes is not None and self._order is not None
        wanted = float(self._hash(point[None, :])[0])
        slack = 1e-9 * max(1.0, abs(wanted))
        start, end = np.searchsorted(self._hashes, [wanted - slack, wanted + slack])
        near = self._order[start:end]
        same = np.all(np.abs(self.rows[near] - point) <= 1e-9, axis=1)
        return sorted(int(row) for row in near[same])

    def _hash(self, points: Array) -> Array:
        # Column by column, not a matrix product: BLAS may round one row alone otherwise than the same row among many.
        total = np.zeros(len(points))
        for weight, column in zip(self._weights, points.T, strict=True):
            total += weight * column
        return total

    def snap(self, points: Array) -> Array:
        """The nearest points of the columns, n x d; real columns then meet the equalities, as near as can be."""
        out = np.column_stack([column.snap(points[:, index]) for index, column in enumerate(self.columns)])
        out = self.presence.settled(out)
        # What meets equalities that name a log column moves in values; else in u, in which all is linear then.
        bent = any(one.equality and not self._is_linear(one) for one in self.constraints)
        real = np.array([column.kind == "real" and (bent or column.is_linear) for column in self.columns])
        if not any(one.equality for one in self.constraints) or not real.any():
            return out
        moves = real & ~self.presence.still(out)
        low, conditions = self.presence.least(out), self.presence.conditions
        gone = np.zeros(out.shape, dtype=bool) if conditions is None else conditions.out(out)
        groups, which = np.unique(np.hstack([moves, gone]), axis=0, return_inverse=True)
        for at, group in enumerate(groups):
            pattern, none = np.split(group, 2)
            rows = np.flatnonzero(which.ravel() == at)
            if bent and pattern.any() and any(one.equality for one in self.binding(none)):
                out[rows] = self._bend(out[rows], pattern, none)
                continue
            e, f = self.equalities(none)
            if not len(f):
                continue
            back = np.linalg.pinv(e[:, pattern]).T
            for _ in range(PASSES if self.presence else 1):
                left = f - out[rows] @ e.T
                if self.presence and np.all(np.abs(left) <= SLACK):
                    break
                moved = out[np.ix_(rows, pattern)] + left @ back
                out[np.ix_(rows, pattern)] = np.clip(moved, low[np.ix_(rows, pattern)], 1.0)
        return out

    def values(self, points: Array) -> Array:
        """Points as numbers in the parameters' units, n x d; NaN for choices that are words."""
        out = np.full(points.shape, np.nan)
        for index, column in enumerate(self.columns):
            if column.kind in ("real", "grid"):
                out[:, index] = column.to_value(points[:, index])
            elif all(isinstance(value, int | float) for value in column.values):
                table = np.array([float(value) for value in column.values])
                out[:, index] = table[column.index(points[:, index]).astype(int)]
        return out

    def _bend(self, points: Array, pattern: Mask, none: Mask) -> Array:
        """Points moved onto equalities in values by Newton's steps of the columns ``pattern``.

        none: columns without a value.
        """
        lines = [one for one in self.binding(none) if one.equality]
        factors = np.array([[one.coefficients.get(name, 0.0) for name in self.names] for one in lines])
        widths = np.array([0.0 if column.kind in ("ordered", "label") else column.high - column.low
                           for column in self.columns])  # fmt: skip
        scale = np.abs(factors * widths).max(axis=1, keepdims=True)
        factors, bounds = factors / scale, np.array([one.bound for one in lines]) / scale[:, 0]
        low, logs = self.presence.least(points), [at for at, column in enumerate(self.columns) if column.log]
        for _ in range(PASSES):
            values = np.where(factors.any(axis=0), self.values(points), 0.0)
            left = bounds - values @ factors.T
            if np.all(np.abs(left) <= SLACK):
                break
            reach = np.tile(widths, (len(points), 1))
            for at in logs:
                reach[:, at] = values[:, at] * log(self.columns[at].high / self.columns[at].low)
            slopes = factors * (reach * pattern)[:, None, :]
            moved = points + np.einsum("nij,nj->ni", np.linalg.pinv(slopes), left)
            points = np.where(pattern, np.clip(moved, low, 1.0), points)
        return points

    def is_inside(self, points: Array, margin: float = 0.0) -> NDArray[np.bool_]:
        """Which points keep the linear constraints, with ``margin`` (share of their scale) to spare on inequalities."""
        inside = self.presence.keeps(points)
        for index, column in enumerate(self.columns):
            if column.retired:
                inside &= ~np.isin(column.index(points[:, index]), list(column.retired)) | self._without(points, index)
        if not self.constraints or not len(points):
            return inside
        values = self.values(points)
        conditions = self.presence.conditions
        out = np.zeros(points.shape, dtype=bool) if conditions is None else conditions.out(points)
        for constraint in self.constraints:
            total, scale = np.zeros(len(points)), abs(constraint.bound)
            for index, column in enumerate(self.columns):
                if factor := constraint.coefficients.get(column.name, 0.0):
                    total += factor * values[:, index]
                    scale = max(scale, abs(factor) * max(abs(column.low), abs(column.high)))
            if constraint.equality:
                # Continuous points are settled on the sum when decoded; a point counts when it is that close. Where no
                # number is free nothing settles it.
                free = any(self.columns[at].levels is None for at in self._columns_of(constraint))
                kept = np.abs(total - constraint.bound) <= (max(10 * RESOLUTION, margin) if free else SLACK) * scale
            else:
                kept = total <= constraint.bound + (SLACK - margin) * scale
            inside &= kept | out[:, self._columns_of(constraint)].any(axis=1)
        return inside

    def _without(self, points: Array, index: int) -> NDArray[np.bool_]:
        """At which points a column has no value."""
        conditions = self.presence.conditions
        return np.zeros(len(points), dtype=bool) if conditions is None else conditions.out(points)[:, index]

    def holds(self, points: Array) -> NDArray[np.bool_]:
        """Which points of trials could be proposed now: inside the bounds and the constraints, rows of a table."""
        beyond = np.maximum(-points, points - np.array([column.furthest for column in self.columns]))
        inside = self.is_inside(points) & np.all(beyond <= SAME, axis=1)
        if self.rows is not None:
            inside &= np.array([bool(self.find(point)) for point in points], dtype=bool)
        elif self.allowed is not None:
            inside &= np.array([bool(self.allowed(self.decode(point))) for point in points], dtype=bool)
        return np.asarray(inside)

    @property
    def is_conditional(self) -> bool:
        """Whether some constraint binds at some points only."""
        return any(self.columns[at].optional for one in self.constraints for at in self._columns_of(one))

    def _columns_of(self, constraint: Linear) -> list[int]:
        return [at for at, column in enumerate(self.columns) if constraint.coefficients.get(column.name)]

    def binding(self, out: Mask | None) -> list[Linear]:
        """The constraints that bind where the columns ``out`` have no value; None: those that bind everywhere."""
        if out is None:
            return [o for o in self.constraints if not any(self.columns[at].optional for at in self._columns_of(o))]
        return [one for one in self.constraints if not out[self._columns_of(one)].any()]

    def halfspaces(self, out: Mask | None = None) -> tuple[Array, Array]:
        """``A, b`` with A u <= b of the inequalities whose columns are linear in u, tightened by rounding's reach.

        out: columns without a value (see binding).
        """
        rows, bounds = [], []
        for constraint in self.binding(out):
            if not constraint.equality and self._is_linear(constraint):
                row, bound = self._in_cube(constraint)
                rows.append(row)
                bounds.append(bound - RESOLUTION * float(np.abs(row).sum()))
        return np.array(rows).reshape(-1, self.dimension), np.array(bounds)

    @property
    def bent(self) -> list[int]:
        """Log columns that some constraint names: it is linear in their values, and not in u."""
        return [at for at in self._named() if self.columns[at].log]

    @property
    def flat(self) -> "Encoding":
        """The same with these columns linear in their values; where there is none, this one itself."""
        if not (bent := self.bent):
            return self
        other = copy(self)
        other.columns = tuple(replace(one, log=one.log and at not in bent) for at, one in enumerate(self.columns))
        return other

    def _named(self) -> list[int]:
        return sorted({at for one in self.constraints for at in self._columns_of(one)})

    def equalities(self, out: Mask | None = None) -> tuple[Array, Array]:
        """``E, f`` with E u = f of the equalities. out: columns without a value (see binding)."""
        both = [self._in_cube(item) for item in self.binding(out) if item.equality and self._is_linear(item)]
        return np.array([row for row, _ in both]).reshape(-1, self.dimension), np.array([bound for _, bound in both])

    def _is_linear(self, constraint: Linear) -> bool:
        return all(column.is_linear for column in self.columns if constraint.coefficients.get(column.name))

    def _in_cube(self, constraint: Linear) -> tuple[Array, float]:
        row, bound = np.zeros(self.dimension), constraint.bound
        for index, column in enumerate(self.columns):
            factor = constraint.coefficients.get(column.name, 0.0)
            row[index] = factor * (column.high - column.low)
            bound -= factor * column.low if factor else 0.0
        unit = float(np.abs(row).max(initial=0.0))
        return (row / unit, bound / unit) if 0.0 < unit < LEAST_FACTOR else (row, bound)

    def grid(self) -> Array:
        """Every point of a discrete space that keeps the constraints, N x d, in lexical order."""
        axes = [column.level(column.opened(np.arange(column.count or 1))) for column in self.columns]
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        if self.presence:  # what does not count makes no points of its own
            points = np.unique(self.presence.settled(points), axis=0)
        return points[self.is_inside(points)]


def _left(settings: Mapping[str, Value], constraint: Linear) -> float:
    """What is wanting of an equality."""
    return constraint.bound - sum(factor * float(settings[name]) for name, factor in constraint.coefficients.items())


def _settle_together(settings: Settings, equalities: Sequence[Linear], real: Mapping[str, tuple[float, float]]) -> None:
    """Where one equality took from another what it had settled, let as many real columns with room meet them all."""
    left = np.array([_left(settings, one) for one in equalities])
    names = [name for name in real if any(one.coefficients.get(name) for one in equalities)]
    if not names or np.all(np.abs(left) <= SLACK * np.maximum([abs(one.bound) for one in equalities], 1e-12)):
        return
    rows = np.array([[one.coefficients.get(name, 0.0) for name in names] for one in equalities])
    ends = [(float(settings[name]) - real[name][0], real[name][1] - float(settings[name])) for name in names]
    room = np.array([min(end) for end in ends])
    reach = rows * np.maximum(room, 0.0)
    unit = np.maximum(np.abs(reach).max(axis=1, keepdims=True), 1e-300)
    chosen = qr(reach / unit, mode="r", pivoting=True)[1][: len(equalities)]
    moved = np.linalg.lstsq(reach[:, chosen] / unit, left / unit[:, 0], rcond=None)[0] * room[chosen]
    for at, change in zip(chosen, moved, strict=True):
        low, high = real[names[at]]
        settings[names[at]] = float(f"{min(max(float(settings[names[at]]) + float(change), low), high):.12g}")


def _settle(settings: Settings, constraint: Linear, real: Mapping[str, tuple[float, float]]) -> None:
    """Let the real columns with most room take what rounding left over of an equality."""
    free = [name for name, factor in constraint.coefficients.items() if factor and name in real]
    free.sort(key=lambda name: min(float(settings[name]) - real[name][0], real[name][1] - float(settings[name])))
    left = _left(settings, constraint)
    for name in reversed(free):
        wanted = float(settings[name]) + left / constraint.coefficients[name]
        taken = float(f"{min(max(wanted, real[name][0]), real[name][1]):.12g}")
        left -= (taken - float(settings[name])) * constraint.coefficients[name]
        settings[name] = taken
        if abs(left) <= SLACK * max(abs(constraint.bound), 1e-12):
            return
