"""Local maxima in a box from many starts at once, by quasi-Newton steps (BFGS) projected onto the box.

    d = H g,   x' = clip(x + t d),   t halved and less until f rises enough (Armijo)          per start, all in step

Each start has a matrix H, a step and an end of its own, and every round asks for all their next points in one call: a
handful of points costs little more than one. A coordinate that stands at a bound with the slope pointing out
does not move (Bertsekas, SIAM J. Control Optim. 20, 221, 1982). Climbed as one problem by L-BFGS-B the starts shared
step lengths, and took half as many calls again (docs/benchmarks.md).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .encoding import Array

FIRST = 0.1  # the first step's longest coordinate: a tenth of the cube
LONGEST = 0.5  # of any step
ENOUGH = 1e-4  # of what the slope promises (Armijo)
FLAT = 1e-5  # a slope, projected onto the box, that is none
LITTLE = 2.2e-9  # gain relative to f, or to 1, that is none
SHORT = 1e-9  # a step that is none

Slopes = Callable[[NDArray[np.intp], Array], tuple[Array, Array]]


def maxima(slopes: Slopes, starts: Array, low: Array, high: Array, rounds: int) -> Array:
    """Where each start ends, N x p, nowhere lower than it began. low, high: N x p.

    slopes: from numbers of starts and a point for each, their values and gradients.
    """
    x = starts.copy()
    if not x.size:
        return x
    count, p = x.shape
    f, g = slopes(np.arange(count), x)
    eye = np.eye(p)
    h = _guess(g)
    fresh = np.ones(count, dtype=bool)  # H is a guess still
    d, t = _direction(x, g, h, low, high), np.ones(count)
    going = _slope(x, g, low, high) > FLAT
    for _ in range(rounds):
        at = np.flatnonzero(going)
        if not len(at):
            break
        here, slope = x[at], g[at]
        there = np.clip(here + t[at, None] * d[at], low[at], high[at])
        step = there - here
        value, gradient = slopes(at, there)
        promised = np.einsum("ij,ij->i", slope, step)
        gain = value - f[at]
        up = gain >= ENOUGH * np.maximum(promised, 0.0)
        # --- those that rose: learn the curvature, and go on
        rose = at[up]
        if len(rose):
            _learn(h, rose, fresh, step[up], gradient[up] - slope[up], eye)
            x[rose], f[rose], g[rose] = there[up], value[up], gradient[up]
            d[rose] = _direction(x[rose], g[rose], h[rose], low[rose], high[rose])
            t[rose] = 1.0
            more = gain[up] > LITTLE * np.maximum(np.abs(value[up]), 1.0)
            going[rose] = more & (_slope(x[rose], g[rose], low[rose], high[rose]) > FLAT)
        # --- those that did not: a shorter step, where a parabola has its top
        fell = at[~up]
        if len(fell):
            with np.errstate(divide="ignore", invalid="ignore"):
                top = promised[~up] / (2.0 * (promised[~up] - gain[~up]))
            t[fell] *= np.where(np.isfinite(top), np.clip(top, 0.1, 0.5), 0.1)
            stuck = fell[t[fell] * np.abs(d[fell]).max(1) < SHORT]
            again = stuck[~fresh[stuck]]
            going[stuck[fresh[stuck]]] = False
            if len(again):
                h[again] = _guess(g[again])
                d[again] = _direction(x[again], g[again], h[again], low[again], high[again])
                t[again], fresh[again] = 1.0, True
    return x


def _guess(g: Array) -> Array:
    """H before anything is known of the curvature."""
    return np.asarray(np.eye(g.shape[1]) * (FIRST / np.maximum(np.abs(g).max(1), 1e-300))[:, None, None])


def _direction(x: Array, g: Array, h: Array, low: Array, high: Array) -> Array:
    """Uphill, with what stands at a bound and would leave it held, no longer than LONGEST."""
    free = ~(((x <= low) & (g < 0.0)) | ((x >= high) & (g > 0.0)))
    slope = g * free
    d: Array = np.einsum("nij,nj->ni", h, slope) * free
    d *= np.minimum(1.0, LONGEST / np.maximum(np.abs(d).max(1), 1e-300))[:, None]
    return d


def _slope(x: Array, g: Array, low: Array, high: Array) -> Array:
    """The largest slope that does not point out of the box."""
    return np.asarray(np.abs(np.clip(x + g, low, high) - x).max(1))


def _learn(h: Array, rose: Array, fresh: Array, s: Array, change: Array, eye: Array) -> None:
    """BFGS of the inverse Hessian of -f: y = -change over the coordinates that moved."""
    y = -change * (s != 0.0)
    sy = np.einsum("ij,ij->i", s, y)
    yy = np.einsum("ij,ij->i", y, y)
    ok = sy > 1e-10 * np.sqrt(np.einsum("ij,ij->i", s, s) * yy)
    if not ok.any():
        return
    at, s, y, sy, yy = rose[ok], s[ok], y[ok], sy[ok], yy[ok]
    first = fresh[at]
    if first.any():
        h[at[first]] = eye * (sy[first] / yy[first])[:, None, None]
        fresh[at] = False
    rho = 1.0 / sy
    left = eye - (rho[:, None] * s)[:, :, None] * y[:, None, :]
    h[at] = left @ h[at] @ left.transpose(0, 2, 1) + (rho[:, None] * s)[:, :, None] * s[:, None, :]
