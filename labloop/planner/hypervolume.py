"""Expected hypervolume improvement of independent Gaussians in closed form, as a logarithm with its derivatives.

What a front leaves undominated above the reference point is cut into boxes [l, u). A new point adds in each box the
volume between l and min(y, u), and outcomes are independent, so

    EHVI = sum over boxes of prod_j (E[(y_j - l_j)+] - E[(y_j - u_j)+])                    (Yang et al., 2019)

Every term is positive, so the sum is taken over logarithms and nothing cancels. No sampling, hence no noise between two
points that are compared, and derivatives are exact. Boxes grow as n^(m - 1) with m outcomes: up to three are done so.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from .encoding import Array
from .goals import non_dominated
from .improvement import LEAST_LOG, log_h, log_less, log_phi, log_sum

MOST_OUTCOMES = 3
FLOOR = 1e-280  # of an EHVI that is only a bound


def boxes(front: Array, reference: Array) -> tuple[Array, Array]:
    """Lower and upper corners, each B x m, of the boxes above ``reference`` that ``front`` (n x m) leaves."""
    front = front[np.all(front > reference, axis=1)]
    front = np.unique(front[non_dominated(front)], axis=0)
    cut = _cut(front, reference)
    return np.array([low for low, _ in cut]), np.array([high for _, high in cut])


def _cut(front: Array, reference: Array) -> list[tuple[list[float], list[float]]]:
    """Slabs along the last axis; in each, what the points above it leave in the others."""
    if len(reference) == 1:
        return [([float(max(reference[0], front[:, 0].max(initial=-np.inf)))], [np.inf])]
    levels = np.unique(front[:, -1])
    edges = np.concatenate([reference[-1:], levels, [np.inf]])
    out: list[tuple[list[float], list[float]]] = []
    for low, high in pairwise(edges):
        above = front[front[:, -1] >= high, :-1]
        above = above[non_dominated(above)]
        out += [([*a, float(low)], [*b, float(high)]) for a, b in _cut(above, reference[:-1])]
    return out


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes by index into the thresholds of each axis, so that every hinge is worked out once."""

    thresholds: tuple[Array, ...]
    low: tuple[NDArray[np.intp], ...]
    high: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, front: Array, reference: Array) -> "Boxes":
        """The boxes that a front leaves above a reference point."""
        low, high = boxes(front, reference)
        thresholds = [np.unique(np.concatenate([low[:, j], high[:, j]])) for j in range(low.shape[1])]
        return cls(
            tuple(thresholds),
            tuple(np.searchsorted(one, low[:, j]) for j, one in enumerate(thresholds)),
            tuple(np.searchsorted(one, high[:, j]) for j, one in enumerate(thresholds)),
        )

    def log_improvement(self, mean: Array, sd: Array) -> tuple[Array, Array, Array]:
        """log EHVI of N points (means and sds N x m), and its derivatives by both."""
        sides, means, sds = [], [], []
        for j, edges in enumerate(self.thresholds):
            s = sd[:, j, None]
            u = (mean[:, j, None] - edges) / s
            with np.errstate(invalid="ignore"):
                hinge = np.where(np.isinf(edges), -np.inf, log_h(np.where(np.isinf(edges), 0.0, u)) + np.log(s))
            a, b = hinge[:, self.low[j]], hinge[:, self.high[j]]
            side = log_less(a, b)
            phi_cdf = np.where(np.isinf(edges), -np.inf, log_ndtr(u))
            phi_pdf = np.where(np.isinf(edges), -np.inf, log_phi(u))
            with np.errstate(over="ignore"):
                known = side > LEAST_LOG
                at = np.where(known, side, np.inf)
                means.append(np.exp(phi_cdf[:, self.low[j]] - at) - np.exp(phi_cdf[:, self.high[j]] - at))
                sds.append(np.exp(phi_pdf[:, self.low[j]] - at) - np.exp(phi_pdf[:, self.high[j]] - at))
            sides.append(side)
        each = np.maximum(np.sum(sides, axis=0), LEAST_LOG)
        value = log_sum(each.T)
        share = np.exp(each - value[:, None])
        by_mean = np.column_stack([(share * one).sum(1) for one in means])
        by_sd = np.column_stack([(share * one).sum(1) for one in sds])
        return value, by_mean, by_sd

    def log_most(self, mean: Array, sd: Array) -> Array:
        """No less than log EHVI, N, nor than FLOOR's: without logarithms of boxes, and what cancels there added."""
        volume: Array | float = 1.0
        lost: Array | float = len(self.low[0]) * 1e-15
        for j, edges in enumerate(self.thresholds):
            finite = np.isfinite(edges)
            hinge = np.zeros((len(mean), len(edges)))
            s = sd[:, j, None]
            hinge[:, finite] = np.exp(log_h((mean[:, j, None] - edges[finite]) / s)) * s
            volume = volume * (hinge[:, self.low[j]] - hinge[:, self.high[j]])
            lost = lost * hinge[:, 0]
        return np.asarray(np.log(np.maximum(np.sum(volume, axis=1) + lost, FLOOR)))
