"""Expected improvement of a Gaussian, as a logarithm that stays accurate where the improvement is next to nothing.

    EI = s h(u),   u = (m - best)/s,   h(u) = phi(u) + u Phi(u)          dEI/dm = Phi(u),   dEI/ds = phi(u)

log h is taken through erfcx for u < -1 and through its asymptote, -2 log|u| + log phi(u), far below
(Ament et al., NeurIPS 2023, arXiv:2310.20708). All functions work elementwise on arrays of one shape.

A target: the improvement is a trapezoid over the outcome, height b - max(|y - t| - tolerance, 0) where that is above 0
(b: the best distance so far), and so the difference of two differences of such hinges, taken on the side of the mean.
Where next to nothing is left to gain that difference is rounding alone, and the trapezoid is a rectangle: b times the
chance that the outcome is within the tolerance.
"""

from collections.abc import Sequence
from math import log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]
Slopes = tuple[Array, Array, Array]

LOG_ROOT_2PI = 0.5 * log(2 * pi)
_FAR = -1e6  # below it 1 + u sqrt(pi/2) erfcx(-u/sqrt 2) is rounding alone
_DEEP = -1e3  # below it the difference of two logs of -u^2/2 keeps ten digits and less, and at -3e9 none: it overflows
THIN = 1e-5  # sds: of what is thinner the hinges' difference is known to six digits and less, and a rectangle's to ten
LEAST_LOG = -1e300  # of what has no value at all: still a number, so that sums over members stay numbers


def log_h(u: Array) -> Array:
    """log(phi(u) + u Phi(u))."""
    u = np.asarray(u, dtype=float)
    near = u > -1.0
    if near.all():
        return np.asarray(np.log(np.exp(-0.5 * u**2 - LOG_ROOT_2PI) + u * ndtr(u)))
    out = np.empty_like(u)
    far = u < _FAR
    out[near] = np.log(np.exp(-0.5 * u[near] ** 2 - LOG_ROOT_2PI) + u[near] * ndtr(u[near]))
    mid = ~near & ~far
    v = u[mid]
    out[mid] = -0.5 * v**2 - LOG_ROOT_2PI + np.log1p(v * sqrt(pi / 2) * erfcx(-v / sqrt(2.0)))
    w = u[far]
    out[far] = -0.5 * w**2 - LOG_ROOT_2PI - 2.0 * np.log(-w)
    return out


def log_phi(u: Array) -> Array:
    """Log of the normal density."""
    return np.asarray(-0.5 * u**2 - LOG_ROOT_2PI)


def log_ei(mean: Array, sd: Array, best: Array | float) -> Array:
    """Log of the expected improvement over ``best``."""
    return np.asarray(log_h((mean - best) / sd) + np.log(sd))


def log_ei_slopes(mean: Array, sd: Array, best: Array | float) -> Slopes:
    """log EI and its derivatives by mean and sd."""
    u = (mean - best) / sd
    h, far = log_h(u), u < _DEEP
    v = np.where(far, -u, -_DEEP)
    q = 1.0 / v**2
    dense = np.where(far, v**2 / (1.0 - 3.0 * q + 15.0 * q**2), np.exp(np.where(far, 0.0, log_phi(u) - h)))
    above = np.where(far, v / (1.0 - 2.0 * q + 10.0 * q**2), np.exp(np.where(far, 0.0, log_ndtr(u) - h)))
    return h + np.log(sd), above / sd, dense / sd


def log_target_slopes(mean: Array, sd: Array, best: Array | float, target: float, tolerance: float) -> Slopes:
    """Log of the expected gain in distance from a target, over ``best`` (minus a distance), and its derivatives."""
    side = np.where(mean > target, -1.0, 1.0)  # seen from below: the hinge that is nearest comes first
    m = side * (mean - target)
    gain = np.maximum(-np.asarray(best), 0.0) * np.ones_like(mean)
    edges = [-tolerance - gain, -tolerance + 0.0 * gain, tolerance + 0.0 * gain, tolerance + gain]
    u = [(m - edge) / sd for edge in edges]
    h = [log_h(one) for one in u]
    value = log_less(log_less(h[0], h[1]), log_less(h[2], h[3]))
    known = value > LEAST_LOG
    thin = (gain > 0.0) & (gain * (1.0 + np.abs(m) / sd) < THIN * sd)
    at = np.where(known, value, 0.0)
    signs = (1.0, -1.0, -1.0, 1.0)
    by_mean = sum(sign * np.exp(log_ndtr(one) - at) for sign, one in zip(signs, u, strict=True))
    by_sd = sum(sign * np.exp(log_phi(one) - at) for sign, one in zip(signs, u, strict=True))
    zero = np.zeros_like(mean)
    found = (
        np.where(known, value + np.log(sd), LEAST_LOG),
        np.where(known, side * by_mean / sd, zero),
        np.where(known, by_sd / sd, zero),
    )
    if not thin.any():
        return found
    chance = log_within_slopes(mean, sd, target, tolerance + 0.5 * gain)
    chance = (chance[0] + np.log(np.where(thin, gain, 1.0)), *chance[1:])
    one, two, three = (np.where(thin, near, far) for near, far in zip(chance, found, strict=True))
    return one, two, three


def log_within_slopes(mean: Array, sd: Array, target: float, reach: Array | float) -> Slopes:
    """Log of the chance that the outcome is no further than ``reach`` from a target, and its derivatives."""
    side = np.where(mean > target, -1.0, 1.0)
    m = side * (mean - target)
    high, low, width = (m + reach) / sd, (m - reach) / sd, 2.0 * np.asarray(reach) / sd
    dense = width * (1.0 + np.abs(m) / sd) < THIN  # no more than its density is needed
    value = log_less(log_ndtr(high), log_ndtr(low))
    known = (value > LEAST_LOG) & ~dense
    at = np.where(known, value, 0.0)
    up, down = (np.exp(np.where(known, log_phi(one), -np.inf) - at) for one in (high, low))
    u = m / sd
    with np.errstate(divide="ignore"):
        value = np.where(dense, log_phi(u) + np.log(width), value)
    return (
        np.maximum(value, LEAST_LOG),
        side * np.where(dense, -u, up - down) / sd,
        np.where(dense, u**2 - 1.0, -(high * up - low * down)) / sd,
    )


def log_sum(logs: Array | Sequence[Array]) -> Array:
    """log(sum exp) over the first axis."""
    every = np.asarray(logs)
    top = every.max(axis=0)
    return np.asarray(top + np.log(np.exp(every - top).sum(axis=0)))


def log_less(a: Array, b: Array) -> Array:
    """log(exp a - exp b) for a >= b; LEAST_LOG where nothing is left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = a + np.log(-np.expm1(np.minimum(b - a, 0.0)))
    return np.where(np.isfinite(out), out, LEAST_LOG)


def log_below_slopes(mean: Array, sd: Array, bound: float, sign: float) -> Slopes:
    """Log of the chance that sign * y <= sign * bound, and its derivatives by mean and sd."""
    u = sign * (bound - mean) / sd
    value = log_ndtr(u)
    far = u < _DEEP
    rate = np.where(far, sqrt(2.0 / pi) / erfcx(np.where(far, -u, 0.0) / sqrt(2.0)), 0.0)
    rate = np.where(far, rate, np.exp(np.where(far, 0.0, log_phi(u) - value))) / sd
    return value, -sign * rate, -u * rate
