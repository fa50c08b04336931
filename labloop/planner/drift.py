"""Drift over the trials: lamps age, stocks decompose, electrodes foul, so the same settings give something else later.

    k((x, t), (x', t')) = the kernel over one column more, t: the trial's number / TRIALS

so that a trial counts the less the longer it is ago, however near its settings are. Everything is then asked for the
present, t of the trial after the last one that is known: what is predicted, what is best, where to go next. Where
nothing drifts the lengthscale of t comes out long, and little is lost.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .encoding import Array
from .gp import GP
from .kernels import LogNormal, Separable

TRIALS = 100.0  # trials for one unit of t
# Prior of t's lengthscale: densest at a hundred trials, some thirty to some three hundred within one sd about it.
TIME_LOC, TIME_SCALE = 1.0, 1.0


def time(trial: float) -> float:
    """The coordinate of a trial's number."""
    return trial / TRIALS


def timed(points: Array, trials: NDArray[np.intp]) -> Array:
    """Points with t as their last column."""
    return np.column_stack([points, trials / TRIALS])


def over_time(kernel: Separable) -> Separable:
    """The kernel over one column more."""
    prior = kernel.number_prior
    assert isinstance(prior, LogNormal)
    column = 1 + max((*kernel.numbers, *kernel.labels), default=-1)
    at = len(kernel.numbers)  # before those of blends
    more = LogNormal(np.insert(prior.loc, at, TIME_LOC), np.insert(prior.scale, at, TIME_SCALE))
    return replace(kernel, numbers=(*kernel.numbers, column), number_prior=more)


def lasts(gp: GP) -> float:
    """Over how many trials things change: the lengthscale of t."""
    assert isinstance(gp.kernel, Separable)
    return TRIALS * float(np.exp(gp.theta[len(gp.kernel.numbers) - 1]))
