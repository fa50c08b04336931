"""Where the acquisition is highest, over every kind of space, among points that may still be proposed.

    table                   every row is scored: the exact argmax
    few points in all       every point is scored likewise
    anything continuous     raw points (Sobol inside the constraints, and around the best known) are scored; the best,
                            kept apart, are starts. Each start alternates a gradient step over its real columns
                            (quasi-Newton, see climb; SLSQP where that leaves the linear constraints) with a step to
                            the best neighbour in its discrete columns, until neither gains
    many points, all discrete  the same with the neighbour step alone

Grids of more than RELAXED_LEVELS levels move with the real columns and are then snapped to the best of the levels
around. The last score of a point is of what would really be proposed: rounded, inside the constraints, not yet taken.

What is in flight is not tried a second time before anything came of it: where a number is free, a point differs from
each open one by a choice, by a step of a grid, or by SPACING of a number's range; where the space has no room for that,
by less, and at last by nothing. Measured points may be measured again: in a noisy corner that is worth something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .acquisition import CROWD, Score
from .climb import maxima
from .design import free_grid, free_rows, sample
from .encoding import Array, Encoding, Settings
from .errors import NothingLeftError
from .pool import top
from .presence import Mask

ENUMERATED = 20_000
RELAXED_LEVELS = 12
APART = 0.1  # least distance of two starts (unit cube, a label counts 1), so that they climb different hills
ROUNDS = 4
RUNNERS_UP = 3
# Of a range: closer settings are the same to whoever makes them, and noise alone made half of a batch one corner eight
# times over (test_search.py). The tries where a whole hundredth leaves no room are for spaces that are next to nothing.
SPACING = (1e-2, 1e-4, 0.0)
LEAST_SCORE = -1e6  # below it a score is no hill to climb


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search. The defaults keep a proposal below a second of CPU at n = 40, d = 5."""

    raw_samples: int = 512
    restarts: int = 6
    iterations: int = 60

    def among(self, flying: int) -> "Effort":
        """Less beside more than CROWD trials in flight: a score costs the square of their number."""
        if flying <= CROWD:
            return self
        share = CROWD / flying
        return Effort(
            raw_samples=min(self.raw_samples, max(round(self.raw_samples * share), 64)),
            restarts=min(self.restarts, max(round(self.restarts * share), 2)),
            iterations=min(self.iterations, max(round(self.iterations * share), 10)),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A point (columns), the settings it stands for, and its score."""

    point: Array
    settings: Settings
    score: float


def maximize(
    acquisition: Score,
    encoding: Encoding,
    best: Array,
    taken: Array,
    seed: int,
    effort: Effort,
    flying: Array | None = None,
) -> list[Found]:
    """The best point and a few runners-up, best first.

    best: k x d, the best known points (the search looks around them). taken: points not to propose, where the space is
    discrete. flying: p x d, points to keep apart from where it is not. Raises NothingLeftError when no point may be
    proposed.
    """
    if encoding.rows is not None:
        rows = free_rows(encoding, taken)
        return _best_of(acquisition, encoding, encoding.rows[rows])
    if encoding.is_discrete and encoding.size <= ENUMERATED:
        return _best_of(acquisition, encoding, free_grid(encoding, taken))
    every = np.concatenate([sample(encoding, effort.raw_samples, seed), _around(encoding, best, seed)])
    flying = np.empty((0, encoding.dimension)) if flying is None else flying
    for spacing in SPACING if len(flying) else (0.0,):
        climb = _Climb(acquisition, encoding, taken, effort, flying, spacing)
        raw = climb.keep(every)
        if not len(raw):
            continue
        starts = _apart(encoding, raw, acquisition.of_rows(raw), effort.restarts)
        ended = climb.from_starts(starts)
        if found := _finish(acquisition, encoding, climb, np.concatenate([ended, starts])):
            return found
    raise NothingLeftError("no point that has not been proposed was found: widen the space or allow repeats")


def _best_of(acquisition: Score, encoding: Encoding, points: Array) -> list[Found]:
    order, scores = top(acquisition, points, RUNNERS_UP + 1)
    return [Found(points[i], encoding.decode(points[i]), float(s)) for i, s in zip(order, scores, strict=True)]


def _finish(acquisition: Score, encoding: Encoding, climb: "_Climb", points: Array) -> list[Found]:
    """Round every end, score what would be proposed, best first and each once; nothing where none is free."""
    settings = [encoding.decode(point) for point in points]
    rounded = encoding.encode(settings)
    legal = climb.is_free(rounded)
    if not legal.any():
        return []
    scores = np.where(legal, acquisition.of_rows(rounded), -np.inf)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    found: list[Found] = []
    for i in np.argsort(-scores, kind="stable"):
        if legal[i] and all(_distance(encoding, rounded[i], other.point) > 1e-2 for other in found):
            found.append(Found(rounded[i], settings[i], float(scores[i])))
        if len(found) > RUNNERS_UP:
            break
    return found


class _Climb:
    """Hill climbing from many starts at once. spacing: how far to keep from each of ``flying``; 0: not at all."""

    def __init__(
        self,
        acquisition: Score,
        encoding: Encoding,
        taken: Array,
        effort: Effort,
        flying: Array,
        spacing: float,
    ) -> None:
        self.acquisition, self.encoding, self.taken, self.effort = acquisition, encoding, taken, effort
        self.flying, self.spacing = flying, spacing
        levels = [column.levels for column in encoding.columns]
        self.moving = [
            index
            for index, (column, count) in enumerate(zip(encoding.columns, levels, strict=True))
            if count is None or (column.kind == "grid" and count > RELAXED_LEVELS)
        ]
        self.stepping = [index for index, count in enumerate(levels) if count is not None and count > 1]
        # Points once given again are none where no number is free.
        self.known = {row.tobytes() for row in np.round(taken[encoding.is_fixed(taken)], 9) + 0.0}

    def is_free(self, points: Array) -> NDArray[np.bool_]:
        """Which points keep every constraint and are not taken."""
        free = self.encoding.is_inside(points)
        if self.known:
            free &= np.array([row.tobytes() not in self.known for row in np.round(points, 9) + 0.0], dtype=bool)
        if self.spacing and len(self.flying):
            free &= ~self._is_beside(points)
        if self.encoding.allowed is not None:
            allowed = self.encoding.allowed
            free &= np.array([ok and allowed(self.encoding.decode(p)) for ok, p in zip(free, points, strict=True)])
        return free

    def _is_beside(self, points: Array) -> NDArray[np.bool_]:
        """Which points are no other than one in flight: the same choices and levels, and every number closer."""
        beside = np.ones((len(points), len(self.flying)), dtype=bool)
        for at, column in enumerate(self.encoding.columns):
            width = self.spacing if column.kind == "real" else 1e-9
            beside &= np.abs(points[:, at, None] - self.flying[None, :, at]) < width
        return np.asarray(beside.any(axis=1))

    def keep(self, points: Array) -> Array:
        """The points that are free."""
        return points[self.is_free(points)]

    def from_starts(self, starts: Array) -> Array:
        """Climb from each start; the ends, free, in the starts' order."""
        points, scores = starts, self.acquisition.of_rows(starts)
        for _ in range(ROUNDS if self.stepping or self.encoding.presence.sparse else 1):
            before = scores
            if self.moving:
                points, scores = self._better(points, scores, self.encoding.snap(self._gradient(points)))
            if self.stepping or self.encoding.presence.sparse:
                points, scores = self._neighbour(points, scores)
            if np.all(scores <= before + 1e-6):
                break
        return points

    def _better(self, points: Array, scores: Array, moved: Array) -> tuple[Array, Array]:
        """Take each move that is free and gains; pull a move that leaves the constraints back towards its start."""
        free = self.is_free(moved)
        for i in np.flatnonzero(~free):
            for share in (0.9, 0.7, 0.5, 0.3, 0.1):
                nearer = self.encoding.snap((points[i] + share * (moved[i] - points[i]))[None, :])
                if self.is_free(nearer)[0]:
                    moved[i], free[i] = nearer[0], True
                    break
        new = np.where(free, self.acquisition.of_rows(moved), -np.inf)
        gains = new > scores
        return np.where(gains[:, None], moved, points), np.where(gains, new, scores)

    def _gradient(self, starts: Array) -> Array:
        """Local maxima over the moving columns, each start's others fixed."""
        conditions = self.encoding.presence.conditions
        if conditions is None or not self.encoding.is_conditional:
            return self._maxima(starts, None)
        ends = starts.copy()
        outs, which = np.unique(conditions.out(starts), axis=0, return_inverse=True)
        for at, out in enumerate(outs):  # the same constraints bind those that lack the same
            ends[which.ravel() == at] = self._maxima(starts[which.ravel() == at], out)
        return ends

    def _maxima(self, starts: Array, out: Mask | None) -> Array:
        ends = self._minimize(starts, out, constrained=bool(len(self.encoding.equalities(out)[1])))
        a, b = self.encoding.halfspaces(out)
        outside = np.any(ends @ a.T > b + 1e-9, axis=1) if len(b) else np.zeros(len(ends), dtype=bool)
        if outside.any():
            ends[outside] = self._minimize(starts[outside], out, constrained=True)
        return ends

    def _minimize(self, starts: Array, out: Mask | None, constrained: bool) -> Array:
        moving, (low, high) = self.moving, self._bounds(starts)

        def slopes(rows: NDArray[np.intp], moved: Array) -> tuple[Array, Array]:
            points = starts[rows]
            points[:, moving] = moved
            values, gradient = self.acquisition.slopes(points)
            # Where nothing is to be gained the climb stands still.
            hopeless = ~(values > LEAST_SCORE) | ~np.isfinite(gradient).all(1)
            values[hopeless], gradient[hopeless] = LEAST_SCORE, 0.0
            return values, gradient[:, moving]

        ends = starts.copy()
        if not constrained:
            ends[:, moving] = maxima(slopes, starts[:, moving], low, high, self.effort.iterations)
            return ends
        every = np.arange(len(starts))

        def loss(flat: Array) -> tuple[float, Array]:
            values, gradient = slopes(every, flat.reshape(len(starts), -1))
            return -float(values.sum()), -gradient.ravel()

        ended = minimize(
            loss,
            starts[:, moving].ravel(),
            jac=True,
            method="SLSQP",
            bounds=list(zip(low.ravel(), high.ravel(), strict=True)),
            constraints=self._forms(starts, out),
            options={"maxiter": self.effort.iterations},
        )
        if np.all(np.isfinite(ended.x)):
            ends[:, moving] = np.clip(ended.x.reshape(len(starts), -1), 0.0, 1.0)
        return ends

    def _bounds(self, starts: Array) -> tuple[Array, Array]:
        """Of the moving columns of each start; what does not count there stands still."""
        presence = self.encoding.presence
        if not presence:
            return np.zeros((len(starts), len(self.moving))), np.ones((len(starts), len(self.moving)))
        still = presence.still(starts)
        low = np.where(still, starts, presence.least(starts))[:, self.moving]
        return low, np.where(still, starts, 1.0)[:, self.moving]

    def _forms(self, starts: Array, out: Mask | None) -> list[dict[str, object]]:
        """The linear constraints of all starts together, with what the fixed columns take already counted in."""
        forms: list[dict[str, object]] = []
        fixed = [index for index in range(self.encoding.dimension) if index not in self.moving]
        for kind, (rows, bounds) in (("ineq", self.encoding.halfspaces(out)), ("eq", self.encoding.equalities(out))):
            if len(bounds):
                block = np.asarray(np.kron(np.eye(len(starts)), rows[:, self.moving]), dtype=np.float64)
                room = (bounds - starts[:, fixed] @ rows[:, fixed].T).ravel()
                forms.append(_form(kind, block, room))
        return forms

    def _neighbour(self, points: Array, scores: Array) -> tuple[Array, Array]:
        """Move each point to the best of its neighbours in one discrete column, where that gains."""
        near = [self._neighbours(point) for point in points]
        every = np.concatenate(near)
        new = np.where(self.is_free(every), self.acquisition.of_rows(every), -np.inf)
        points, scores = points.copy(), scores.copy()
        for i, (start, end) in enumerate(pairwise(np.cumsum([0, *map(len, near)]))):
            if end > start and (best := start + int(np.argmax(new[start:end]))) >= 0 and new[best] > scores[i]:
                points[i], scores[i] = every[best], new[best]
        return points, scores

    def _neighbours(self, point: Array) -> Array:
        out = []
        for index in self.stepping:
            column = self.encoding.columns[index]
            here, levels = int(column.index(point[index : index + 1])[0]), column.levels or 1
            near = range(levels) if column.kind == "label" or levels <= RELAXED_LEVELS else range(here - 2, here + 3)
            for level in near:
                if level != here and 0 <= level < levels:
                    other = point.copy()
                    other[index] = column.level(level)
                    out.append(other)
        out += self.encoding.presence.neighbours(point)
        # Snapped, so that the real columns make up for what a grid's step took from an equality.
        return self.encoding.snap(np.array(out).reshape(-1, self.encoding.dimension))


def _form(kind: str, block: Array, room: Array) -> dict[str, object]:
    value: Callable[[Array], Array] = lambda flat: room - block @ flat  # noqa: E731
    return {"type": kind, "fun": value, "jac": lambda flat: -block}


def _around(encoding: Encoding, best: Array, seed: int, each: int = 32) -> Array:
    """Points near the best known ones: small steps in some columns, now and then another choice."""
    generator = np.random.default_rng([seed, 1])
    points = np.repeat(best, each, axis=0)
    if not len(points):
        return points
    steps = generator.standard_normal(points.shape) * generator.choice([0.02, 0.1, 0.3], size=(len(points), 1))
    touched = generator.random(points.shape) < 0.5
    for index, column in enumerate(encoding.columns):
        if column.kind == "label":
            other = generator.integers(len(column.values), size=len(points))
            points[:, index] = np.where(generator.random(len(points)) < 0.2, other, points[:, index])
        else:
            points[:, index] += np.where(touched[:, index], steps[:, index], 0.0)
    return encoding.snap(points)


def _apart(encoding: Encoding, points: Array, scores: Array, count: int) -> Array:
    """The best points that are not close to a better one."""
    scores = np.where(np.isnan(scores), -np.inf, scores)
    chosen: list[Array] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(_distance(encoding, points[i], other) > APART for other in chosen):
            chosen.append(points[i])
        if len(chosen) == count:
            break
    return np.array(chosen)


def _distance(encoding: Encoding, a: Array, b: Array) -> float:
    labels = encoding.labels
    unlike = float(np.sum(a[labels] != b[labels])) if labels else 0.0
    numbers = np.delete(a - b, labels) if labels else a - b
    return unlike + float(np.sqrt(np.sum(numbers**2)))
