"""What a point may gain in overall desirability: the expected improvement of a score that is no Gaussian.

    y_i ~ N(m_i, s_i^2)   independent, by the model          u_i = standing of y_i, D = together(u) (see desirability)
    EI = E g(D - best)    g(x) = (x + sqrt(x^2 + 4 t^2)) / 2

over DRAWS quasi-random normal vectors, the same for every point, so that the value has exact derivatives. g is
max(x, 0) but for a tail: t^2/|x| far below, where no draw is better than the best, and there it still says in which
direction the best is nearer (as the fat tails of Ament et al., NeurIPS 2023, arXiv:2310.20708, do). And since a
standing goes on below 0, a start at which all is of no use is no plain without a slope.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from labloop.campaign.desirability import Shape

from .improvement import Slopes

Array = NDArray[np.float64]

DRAWS = 128  # the log of a gain of some size is right to 0.05 (test_desire holds it to a dense quadrature)
FEWEST = 16  # of one fantasy of what is in flight
CHANCES = 1024  # draws of a chance: it is held against a percent or so
TAIL = 1e-4  # t: its share of a gain is next to nothing beside one draw that is better
# Of a place, whose slope an exponent below 1 makes infinite. Of a standing it would be 0.03 at an exponent of 6
# (test_desire).
LEAST = 1e-9
ROWS = 1024  # points at once: some arrays of them by draws fit a processor's cache


def standing(shape: Shape, y: Array) -> Array:
    """The standing of each value, elementwise."""
    place, exponent, _ = _place(shape, y)
    return np.where(place > 0.0, np.maximum(place, LEAST) ** exponent, place)


def _place(shape: Shape, y: Array) -> tuple[Array, Array | float, Array | float]:
    """How far along its slope each value is, 1 at most, with that slope's exponent and the rate of the place."""
    first, *more = shape.slopes
    rate: Array | float = 1.0 / (first.one - first.zero)
    exponent: Array | float = first.exponent
    place = (y - first.zero) * rate
    for slope in more:
        other = 1.0 / (slope.one - slope.zero)
        along = (y - slope.zero) * other
        nearer = along < place
        place, rate = np.where(nearer, along, place), np.where(nearer, other, rate)
        exponent = exponent if slope.exponent == exponent else np.where(nearer, slope.exponent, exponent)
    return np.minimum(place, 1.0, out=place), exponent, rate


def draws_of(wishes: int, seed: int, count: int = DRAWS) -> Array:
    """count x wishes normal numbers, evenly spread."""
    uniform = qmc.Sobol(wishes, scramble=True, rng=seed).random(count)
    return np.asarray(ndtri(np.clip(uniform, 1e-9, 1.0 - 1e-9)))


@dataclass(frozen=True, slots=True)
class Wishes:
    """Outcomes that are desired together. columns: of theirs among all outcomes; shares: of weight, sum 1."""

    shapes: tuple[Shape, ...]
    columns: tuple[int, ...]
    shares: Array

    def of(self, values: Array) -> Array:
        """The overall standing of outcomes, ... x m."""
        return self._overall([values[..., at] for at in self.columns], False)[0]

    def drawn(self, mean: Array, sd: Array, normal: Array) -> Array:
        """The overall standing of N x n possible outcomes. mean, sd: N x m; normal: n x w."""
        return self._overall(self._possible(mean, sd, normal), False)[0]

    def drawn_slopes(self, mean: Array, sd: Array, normal: Array) -> tuple[Array, list[Array]]:
        """The same, and its slopes by each wished outcome."""
        return self._overall(self._possible(mean, sd, normal), True)

    def _possible(self, mean: Array, sd: Array, normal: Array) -> list[Array]:
        return [mean[:, [at]] + sd[:, [at]] * normal[:, column] for column, at in enumerate(self.columns)]

    def _overall(self, values: Sequence[Array], with_slopes: bool) -> tuple[Array, list[Array]]:
        """The overall standing of the wished outcomes' values, and its slope by each of them where that is asked for.

        Through logarithms, of which a place needs one whatever its exponent: this is where a proposal's time goes.
        """
        places = [_place(shape, y) for shape, y in zip(self.shapes, values, strict=True)]
        logs, short, least = np.zeros(values[0].shape), np.zeros(values[0].shape), np.full(values[0].shape, np.inf)
        for (place, exponent, _), share in zip(places, self.shares, strict=True):
            logs += share * exponent * np.log(np.maximum(place, LEAST))
            short += share * np.minimum(place, 0.0)
            np.minimum(least, place, out=least)
        useful = least > 0.0
        total = np.where(useful, np.exp(logs), short)
        if not with_slopes:
            return total, []
        slopes = []
        for (place, exponent, rate), share in zip(places, self.shares, strict=True):
            rising = np.where(useful, total * exponent / np.maximum(place, LEAST), place < 0.0)
            slopes.append(np.where(place < 1.0, share * rate * rising, 0.0))
        return total, slopes

    def chance(self, mean: Array, sd: Array, wanted: float, seed: int) -> Array:
        """The chance that each point's standing is above ``wanted``, N."""
        normal = draws_of(len(self.columns), seed, CHANCES)
        parts = [
            (self.drawn(mean[at : at + ROWS], sd[at : at + ROWS], normal) > wanted).mean(axis=1)
            for at in range(0, len(mean), ROWS)
        ]
        return np.concatenate(parts)

    def ends(self, mean: Array, reach: Array) -> tuple[Array, Array]:
        """The least and the greatest standing of outcomes within ``reach`` of their means, N each."""
        ends = [(mean[:, at] - reach[:, at], mean[:, at] + reach[:, at]) for at in self.columns]
        low = [
            np.where(standing(shape, one[0]) < standing(shape, one[1]), *one)
            for shape, one in zip(self.shapes, ends, strict=True)
        ]
        return self._overall(low, False)[0], self.most([one[0] for one in ends], [one[1] for one in ends])

    def most(self, low: Sequence[Array], high: Sequence[Array]) -> Array:
        """The greatest standing where each wished outcome lies between two ends."""
        ideal = []
        for shape, least, greatest in zip(self.shapes, low, high, strict=True):
            rising = max((slope.one for slope in shape.slopes if slope.one > slope.zero), default=-np.inf)
            falling = min((slope.one for slope in shape.slopes if slope.one < slope.zero), default=np.inf)
            ideal.append(np.clip(np.clip(0.5 * (least + greatest), rising, falling), least, greatest))
        return self._overall(ideal, False)[0]


@dataclass(frozen=True, slots=True)
class Desired:
    """The overall desirability to improve over ``best``, S. normal: S x n x w, draws of their own for each."""

    wishes: Wishes
    best: Array
    normal: Array

    def values(self, means: Array, sds: Array) -> Array:
        """Log worth, S x N. means: S x N x m; sds: N x m."""
        value = np.empty(means.shape[:2])
        for s, rows in self._parts(means.shape[1]):
            gain, _ = _gain(self.wishes.drawn(means[s, rows], sds[rows], self.normal[s]) - self.best[s])
            value[s, rows] = np.log(gain.mean(axis=1))
        return value

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by means and sds, S x N x m."""
        value = np.empty(means.shape[:2])
        by_means, by_sds = np.zeros(means.shape), np.zeros(means.shape)
        for s, rows in self._parts(means.shape[1]):
            total, slopes = self.wishes.drawn_slopes(means[s, rows], sds[rows], self.normal[s])
            gain, rate = _gain(total - self.best[s])
            whole = gain.mean(axis=1)
            value[s, rows] = np.log(whole)
            for column, at in enumerate(self.wishes.columns):
                pull = rate * slopes[column] / whole[:, None]
                by_means[s, rows, at] = pull.mean(axis=1)
                by_sds[s, rows, at] = (pull * self.normal[s, :, column]).mean(axis=1)
        return value, by_means, by_sds

    def most(self, fantasy: int, low: Sequence[Array], high: Sequence[Array]) -> Array:
        """The mean, N, of the greatest gains over a fantasy's best of N x g boxes of outcomes, by their ends."""
        return np.asarray(_gain(self.wishes.most(low, high) - self.best[fantasy])[0].mean(axis=1))

    def _parts(self, count: int) -> Iterator[tuple[int, slice]]:
        """Each fantasy's points, some at a time."""
        for s in range(len(self.best)):
            for start in range(0, count, ROWS):
                yield s, slice(start, start + ROWS)


def desired_over(wishes: Wishes, best: Array, seed: int) -> Desired:
    """To improve over ``best``, S. Of several fantasies each has the fewer draws, and all together twice as many."""
    each = DRAWS if len(best) == 1 else max(2 * DRAWS // len(best), FEWEST)
    normal = draws_of(len(wishes.columns), seed, each * len(best))
    # Blocks of 2^k points that follow each other are even each by itself; every S-th point would be of one corner.
    return Desired(wishes, best, normal.reshape(len(best), each, -1))


def _gain(x: Array) -> tuple[Array, Array]:
    """g and its slope."""
    root = np.sqrt(x**2 + 4.0 * TAIL**2)
    value = np.where(x > 0.0, 0.5 * (x + root), 2.0 * TAIL**2 / (root - np.minimum(x, 0.0)))  # nothing cancels
    return value, value / root


def wishes_of(shapes: Sequence[Shape], columns: Sequence[int], weights: Sequence[float]) -> Wishes:
    """Outcomes desired together, by their weights as written."""
    shares = np.array(weights, dtype=float)
    return Wishes(tuple(shapes), tuple(columns), shares / shares.sum())
