"""A Gaussian process that was never told a value, only which of two points is better.

    P(a is preferred over b) = Phi((g(a) - g(b)) / (s sqrt 2)),   g ~ GP(0, k)        (Chu and Ghahramani, ICML 2005)

k has variance 1, so s^2 is the noise of one look at one point, and u = g/s are utilities as labloop.campaign.tastes has
them: there trials are unlike each other, here settings that are alike are worth alike. With C = K/s^2 over the points,
u at its mode, a = C^-1 u and W minus the Hessian of the log likelihood, the evidence is (Rasmussen and Williams, 3.32,
with a W that is no diagonal)

    log q = log p(u) - 1/2 a'u - 1/2 log |I + W C|
    d log q / dC = 1/2 (a a' - R) + (t - R C t) a',   R = (I + W C)^-1 W,
        t_i = -1/2 sum over comparisons of d W_c/d u_i var(u_won - u_lost)

the last term because the mode moves with C. To it the priors' logs are added, and L-BFGS-B goes over the logs of
lengthscales and noise. Laplace's Gaussian is what an exact process would be that was told u, pseudo-measured with
noise W^-1: so it is given back as one, and search, score and points in flight work on it unchanged. Of what nobody
compared W knows nothing; UNKNOWN stands for infinity there.

A sum that is added to all utilities changes no comparison, so that each alone is never known, whatever is learnt: means
and variances are those of g less its mean over the compared points.
"""

from dataclasses import replace
from math import log
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf
from scipy.optimize import minimize

from labloop.campaign.tastes import Duels, mode

from .encoding import Array
from .errors import SurrogateError
from .gp import GP, LEAST_NOISE, MOST_NOISE, Data
from .kernels import Kernel, LogNormal, Separable, dimension_scaled

# Median 0.7: of two points far apart the better one is told in 8 of 10 looks. A comparison says which is better and not
# by how much; where it says so without fail, as with a median of 0.1, a point that loses is hardly known better than
# before, and is asked for again and again (so was the corner of a square, 21 times in 25; see docs/decisions/0008).
LOOK_PRIOR = LogNormal(np.array([-0.36]), np.array([0.5]))
# The lengthscales' mode is 0.3 sqrt(d), where numbers have 0.74: a few bits do not move them, and under long ones the
# best is in a corner of six dimensions whatever is said.
LENGTH_SCALE = 0.5
LENGTH_LOC = log(0.3) + LENGTH_SCALE**2
UNKNOWN = 1e6  # variance of a pseudo-measurement that is none, in units of g's: moves no posterior by more than 1e-6
_BAD = 1e25


def shorter(kernel: Separable) -> Separable:
    """The kernel with the lengthscales that are expected of a taste; which of them are longer than others stays."""
    assert isinstance(kernel.number_prior, LogNormal)
    longer = kernel.number_prior.loc - kernel.number_prior.loc.min(initial=np.inf)
    prior = dimension_scaled(len(kernel.numbers), kernel.smooth, LENGTH_LOC, LENGTH_SCALE)
    return replace(kernel, number_prior=LogNormal(prior.loc + longer, prior.scale))


def fit(kernel: Kernel, x: Array, duels: Duels, iterations: int = 60) -> GP:
    """The process at the parameters of highest posterior. x: n x d; duels: between its rows.

    Raises SurrogateError where no parameters give a covariance that can be factored.
    """
    low = np.append(kernel.low, log(LEAST_NOISE))
    high = np.append(kernel.high, log(MOST_NOISE))
    ended: Any = minimize(
        lambda at: objective(kernel, x, duels, at),
        np.clip(np.append(kernel.start, LOOK_PRIOR.mode[0]), low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"maxiter": iterations},
    )
    return condition(kernel, x, duels, ended.x)


def objective(kernel: Kernel, x: Array, duels: Duels, parameters: Array) -> tuple[float, Array]:
    """Minus the log posterior of parameters (evidence by Laplace), and its gradient."""
    n, inverse_noise = len(x), float(np.exp(-parameters[-1]))
    k, back = kernel.matrix(parameters[:-1], x)
    c = k * inverse_noise
    try:
        found = mode(c, duels)
        widened = np.eye(n) + found.information @ c
        r = np.linalg.solve(widened, found.information)
        sign, log_determinant = np.linalg.slogdet(widened)
    except np.linalg.LinAlgError:
        return _BAD, np.zeros(len(parameters))
    if sign <= 0.0:
        return _BAD, np.zeros(len(parameters))
    spread = c - c @ r @ c
    won, lost = duels.won, duels.lost
    differ = spread[won, won] + spread[lost, lost] - 2.0 * spread[won, lost]
    third = duels.likelihood(found.utility)[3]
    t = duels.gathered(0.5 * differ * third, n)
    g = 0.5 * (np.outer(found.pull, found.pull) - r) + np.outer(t - r @ (c @ t), found.pull)
    before, slope, noise_slope = _before(kernel, parameters)
    value = found.height - 0.5 * float(log_determinant) + before
    gradient = np.append(back(g * inverse_noise) + slope, -float(np.vdot(g, c)) + noise_slope)
    return -value, -gradient


def _before(kernel: Kernel, parameters: Array) -> tuple[float, Array, float]:
    """The log of the parameters' prior, and its slopes by the kernel's and by the noise."""
    value, slope = kernel.log_prior(parameters[:-1])
    noise_value, noise_slope = LOOK_PRIOR.log_density(parameters[-1:])
    return value + noise_value, slope, float(noise_slope[0])


def condition(kernel: Kernel, x: Array, duels: Duels, parameters: Array) -> GP:
    """The process with these parameters, in units of g. Raises SurrogateError where its covariance is singular."""
    n, noise = len(x), float(np.exp(parameters[-1]))
    k, _ = kernel.matrix(parameters[:-1], x)
    try:
        found = mode(k / noise, duels)
        information, axes = np.linalg.eigh(found.information / noise)
    except np.linalg.LinAlgError as error:
        raise SurrogateError(f"the comparisons of {n} points have no mode ({kernel.words}): {error}") from error
    pseudo = (axes / (np.maximum(information, 0.0) + 1.0 / UNKNOWN)) @ axes.T
    factor, fault = dpotrf(k + pseudo, lower=1, clean=1)
    if fault or not np.isfinite(factor).all():
        raise SurrogateError(f"the covariance of {n} compared points is singular ({kernel.words})")
    y = found.utility * np.sqrt(noise)
    sign, log_determinant = np.linalg.slogdet(np.eye(n) + found.information @ (k / noise))
    value = found.height - 0.5 * float(log_determinant) + _before(kernel, parameters)[0] if sign > 0.0 else -_BAD
    gp = GP(
        kernel=kernel, parameters=parameters, data=Data(x, y, np.zeros(n)), x=x, mean=0.0, factor=factor,
        alpha=found.pull / np.sqrt(noise), value=value,
    )  # fmt: skip
    return gp.against(x, np.full(n, 1.0 / n))
