"""What a point may gain in overall desirability: the expected improvement of a score that is no Gaussian.

    y_i ~ N(m_i, s_i^2)   independent, by the model          u_i = standing of y_i, D = together(u) (see desirability)
    EI = E g(D - best)    g(x) = (x + sqrt(x^2 + 4 t^2)) / 2

over DRAWS quasi-random normal vectors, the same for every point, so that the value has exact derivatives. g is
max(x, 0) but for a tail: t^2/|x| far below, where no draw is better than the best, and there it still says in which
direction the best is nearer (as the fat tails of Ament et al., NeurIPS 2023, arXiv:2310.20708, do). And since a
standing goes on below 0, a start at which all is of no use is no plain without a slope.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from labloop.campaign.desirability import Shape

from .improvement import LEAST_LOG, Slopes

Array = NDArray[np.float64]

DRAWS = 128  # the log of a gain of some size is right to 0.05 (test_desire holds it to a dense quadrature)
CHANCES = 1024  # draws of a chance: it is held against a percent or so
TAIL = 1e-4  # t: its share of a gain is next to nothing beside one draw that is better
LEAST = 1e-9  # of a slope: where an exponent below 1 makes it infinite
ROWS = 1024  # points at once: some arrays of them by draws fit a processor's cache


def standing(shape: Shape, y: Array) -> tuple[Array, Array]:
    """The standing of each value and its slope, elementwise."""
    found = slopes = None
    for slope in shape.slopes:
        span = slope.one - slope.zero
        place = np.minimum((y - slope.zero) / span, 1.0)
        inside = place > 0.0
        up = np.maximum(place, LEAST)
        value = np.where(inside, up**slope.exponent, place)
        rate = np.where(inside, slope.exponent * up ** (slope.exponent - 1.0), 1.0) / span
        rate = np.where(place < 1.0, rate, 0.0)
        if found is None or slopes is None:
            found, slopes = value, rate
        else:
            found, slopes = np.minimum(found, value), np.where(value < found, rate, slopes)
    assert found is not None and slopes is not None
    return np.asarray(found), np.asarray(slopes)


def together(standings: Array, shares: Array) -> tuple[Array, Array]:
    """The standing of all outcomes, ..., and its slopes, ... x w. standings: ... x w; shares: w, of weight, sum 1."""
    least = standings.min(axis=-1)
    up = np.maximum(standings, LEAST)
    useful = np.exp(np.log(up) @ shares)
    short = np.minimum(standings, 0.0) @ shares
    by_useful = useful[..., None] * shares / up
    by_short = np.where(standings < 0.0, shares, 0.0)
    is_useful = least > 0.0
    return np.where(is_useful, useful, short), np.where(is_useful[..., None], by_useful, by_short)


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

    def of(self, values: Array) -> tuple[Array, Array]:
        """The overall standing of outcomes, ... x m, and its slopes by the wished ones, ... x w."""
        each = [standing(shape, values[..., at]) for shape, at in zip(self.shapes, self.columns, strict=True)]
        total, by_each = together(np.stack([one for one, _ in each], axis=-1), self.shares)
        return total, by_each * np.stack([slope for _, slope in each], axis=-1)

    def drawn(self, mean: Array, sd: Array, normal: Array) -> tuple[Array, Array]:
        """The overall standing of N x n outcomes, and its slopes, N x n x w. mean, sd: N x m; normal: n x w."""
        columns = list(self.columns)
        y = mean[:, None, columns] + sd[:, None, columns] * normal[None, :, :]
        among = Wishes(self.shapes, tuple(range(len(columns))), self.shares)
        return among.of(y)

    def chance(self, mean: Array, sd: Array, wanted: float, seed: int) -> Array:
        """The chance that each point's standing is above ``wanted``, N."""
        normal = draws_of(len(self.columns), seed, CHANCES)
        parts = [
            (self.drawn(mean[at : at + ROWS], sd[at : at + ROWS], normal)[0] > wanted).mean(axis=1)
            for at in range(0, len(mean), ROWS)
        ]
        return np.concatenate(parts)

    def ends(self, mean: Array, reach: Array) -> tuple[Array, Array]:
        """The least and the greatest standing of outcomes within ``reach`` of their means, N each."""
        low, high = [], []
        for shape, at in zip(self.shapes, self.columns, strict=True):
            ends = (mean[:, at] - reach[:, at], mean[:, at] + reach[:, at])
            rising = [slope.one for slope in shape.slopes if slope.one > slope.zero]
            falling = [slope.one for slope in shape.slopes if slope.one < slope.zero]
            ideal = np.clip(mean[:, at], max(rising, default=-np.inf), min(falling, default=np.inf))
            low.append(np.minimum(*(standing(shape, end)[0] for end in ends)))
            high.append(standing(shape, np.clip(ideal, *ends))[0])
        return together(np.column_stack(low), self.shares)[0], together(np.column_stack(high), self.shares)[0]


@dataclass(frozen=True, slots=True)
class Desired:
    """The overall desirability to improve over ``best``, S. normal: DRAWS x w."""

    wishes: Wishes
    best: Array
    normal: Array

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by means and sds, S x N x m."""
        value = np.empty(means.shape[:2])
        by_means, by_sds = np.zeros(means.shape), np.zeros(means.shape)
        for s, best in enumerate(self.best):
            for start in range(0, means.shape[1], ROWS):
                rows = slice(start, start + ROWS)
                total, slope = self.wishes.drawn(means[s, rows], sds[rows], self.normal)
                gain, rate = _gain(total - best)
                whole = gain.mean(axis=1)
                value[s, rows] = np.log(whole)
                pull = rate[..., None] * slope / whole[:, None, None]
                for column, at in enumerate(self.wishes.columns):
                    by_means[s, rows, at] = pull[..., column].mean(axis=1)
                    by_sds[s, rows, at] = (pull[..., column] * self.normal[:, column]).mean(axis=1)
        return np.maximum(value, LEAST_LOG), by_means, by_sds


def _gain(x: Array) -> tuple[Array, Array]:
    """g and its slope."""
    root = np.sqrt(x**2 + 4.0 * TAIL**2)
    value = np.where(x > 0.0, 0.5 * (x + root), 2.0 * TAIL**2 / (root - np.minimum(x, 0.0)))  # nothing cancels
    return value, value / root


def wishes_of(shapes: Sequence[Shape], columns: Sequence[int], weights: Sequence[float]) -> Wishes:
    """Outcomes desired together, by their weights as written."""
    shares = np.array(weights, dtype=float)
    return Wishes(tuple(shapes), tuple(columns), shares / shares.sum())
