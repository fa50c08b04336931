"""The points that keep linear constraints: corners, and uniform draws by hit-and-run.

    A x <= b,  E x = f,  low <= x <= high

Hit-and-run (Smith, Oper. Res. 32, 1296 (1984)): from a point inside, draw a direction, go to a uniform point of the
chord; the walk's limit is the uniform distribution. Equalities leave directions of their null space only.
"""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from .constraints import Linear
from .errors import SpecError

THIN = 30  # steps between two draws, per dimension: neighbours are then independent to the eye in boxes and simplices
SEED_DIRECTIONS = 24


class Polytope:
    """Linear constraints over named numbers in declared units. ``names`` orders the columns of every array."""

    def __init__(self, bounds: Mapping[str, tuple[float, float]], lines: Sequence[Linear]) -> None:
        self._numpy = numpy = import_module("numpy")
        self.names = list(bounds)
        self.low = numpy.array([bounds[name][0] for name in self.names])
        self.high = numpy.array([bounds[name][1] for name in self.names])
        rows = {sense: [line for line in lines if line.sense == sense] for sense in ("<=", "==")}
        self.upper, self.upper_bound = self._matrix(rows["<="])
        self.equal, self.equal_bound = self._matrix(rows["=="])
        self._free = self._directions()
        self._shares = self._in_shares()

    def _matrix(self, lines: Sequence[Linear]) -> tuple[Any, Any]:
        numpy = self._numpy
        matrix = numpy.array([[line.coefficients.get(name, 0.0) for name in self.names] for line in lines])
        return matrix.reshape(len(lines), len(self.names)), numpy.array([line.bound for line in lines])

    def _directions(self) -> Any:
        """Basis (d x k) of the directions that stay on the equalities, scaled by the ranges."""
        numpy = self._numpy
        scale = numpy.where(self.high > self.low, self.high - self.low, 0.0)
        basis = numpy.eye(len(self.names))[:, scale > 0] if len(self.names) else numpy.zeros((0, 0))
        if not len(self.equal) or not basis.size:
            return scale[:, None] * basis
        scaled = (self.equal * scale)[:, scale > 0]
        _, values, rows = numpy.linalg.svd(scaled)
        rank = int((values > 1e-10 * max(values.max(), 1e-300)).sum()) if values.size else 0
        return scale[:, None] * (basis @ rows[rank:].T)

    def extreme(self, direction: Any) -> Any | None:
        """The corner farthest along ``direction`` (of no numbers: the empty row); None when there is no point."""
        if not self.names:
            return self._numpy.zeros(0)
        optimize = import_module("scipy.optimize")
        (upper, upper_bound), (equal, equal_bound) = self._shares
        width = self.high - self.low
        answer = optimize.linprog(
            -direction * width,
            A_ub=upper if len(upper) else None,
            b_ub=upper_bound if len(upper) else None,
            A_eq=equal if len(equal) else None,
            b_eq=equal_bound if len(equal) else None,
            bounds=[(0.0, 1.0)] * len(self.names),
            method="highs",
        )
        return self._numpy.clip(self.low + answer.x * width, self.low, self.high) if answer.status == 0 else None

    def _in_shares(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Both matrices over shares of the ranges, each line in units of its largest term, as a solver needs them.

        It forgives 1e-7 and passes over factors below 1e-9, whatever the units are.
        """
        found = []
        for matrix, bound in ((self.upper, self.upper_bound), (self.equal, self.equal_bound)):
            terms = matrix * (self.high - self.low)
            unit = abs(terms).max(axis=1, initial=0.0)
            unit = self._numpy.where(unit > 0.0, unit, 1.0)
            found.append((terms / unit[:, None], (bound - matrix @ self.low) / unit))
        return found[0], found[1]

    def corners(self, count: int, seed: int) -> Any:
        """Up to ``count`` corners: those along each axis, both ways, then along random directions. X: n x d."""
        numpy = self._numpy
        random = numpy.random.default_rng(seed)
        dimension = len(self.names)
        if not dimension:  # a space of choices alone
            return numpy.zeros((1, 0))
        scale = numpy.where(self.high > self.low, 1.0 / numpy.maximum(self.high - self.low, 1e-300), 0.0)
        axes = [sign * axis * scale for axis in numpy.eye(dimension) for sign in (1.0, -1.0)]
        directions = axes + [random.standard_normal(dimension) * scale for _ in range(max(count - len(axes), 0))]
        found = [corner for corner in map(self.extreme, directions) if corner is not None]
        if not found:
            raise SpecError("no point keeps the constraints. Loosen one, or widen a range")
        # To nine digits of a range and more, whatever its unit is.
        places = [12 + max(0, -3 - math.floor(math.log10(wide))) if wide > 0 else 12 for wide in self.high - self.low]
        columns = [numpy.round(column, digits) for column, digits in zip(numpy.array(found).T, places, strict=True)]
        return numpy.unique(numpy.column_stack(columns), axis=0)

    def contains(self, points: Any) -> Any:
        """Which rows of X (n x d) keep everything, within 1e-9 of the largest term. Returns n booleans."""
        numpy = self._numpy
        slack = 1e-9 * numpy.maximum(abs(self.low), abs(self.high))
        kept = ((points >= self.low - slack) & (points <= self.high + slack)).all(axis=1)
        for matrix, bound, equal in ((self.upper, self.upper_bound, False), (self.equal, self.equal_bound, True)):
            if len(matrix):
                over = points @ matrix.T - bound
                slack = 1e-9 * numpy.maximum(abs(bound), (abs(points[:, None, :] * matrix)).max(axis=2))
                kept &= ((abs(over) if equal else over) <= slack).all(axis=1)
        return kept

    def middle(self, seed: int) -> Any:
        """The mean of some corners, where draws start: d numbers. Raises SpecError when there is no point."""
        return self.corners(2 * len(self.names) + SEED_DIRECTIONS, seed).mean(axis=0)

    def draw(self, count: int, seed: int, middle: Any) -> Any:
        """Uniform points, from ``middle`` on. X: count x d."""
        numpy = self._numpy
        random, x = numpy.random.default_rng(seed), middle
        if not self._free.size:
            return numpy.repeat(x[None, :], count, axis=0)
        found = []
        for _ in range(count):
            for _ in range(THIN * self._free.shape[1]):
                x = self._step(x, random)
            found.append(x)
        return numpy.array(found)

    def _step(self, x: Any, random: Any) -> Any:
        numpy = self._numpy
        direction = self._free @ random.standard_normal(self._free.shape[1])
        speeds = numpy.concatenate([direction, -direction, self.upper @ direction])
        rooms = numpy.concatenate([self.high - x, x - self.low, self.upper_bound - self.upper @ x])
        rooms = numpy.maximum(rooms, 0.0)
        moving = abs(speeds) > 1e-14 * (abs(direction).max() + 1e-300)
        times = rooms[moving] / speeds[moving]
        ahead = times[speeds[moving] > 0].min(initial=numpy.inf)
        back = times[speeds[moving] < 0].max(initial=-numpy.inf)
        if not numpy.isfinite(ahead) or not numpy.isfinite(back):
            return x
        return numpy.clip(x + random.uniform(back, ahead) * direction, self.low, self.high)
