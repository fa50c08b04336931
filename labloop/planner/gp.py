"""An exact Gaussian process on LAPACK: fit by analytic gradients, posterior, and its gradient by the point.

    y = m + f(x) + e,   f ~ GP(0, k),   e_i ~ N(0, s^2 + v_i)        y standardized; v_i what is known of a measurement

    log p(y) = -1/2 (y - m)' K^-1 (y - m) - 1/2 log |K| - n/2 log 2 pi
    d log p / dK = 1/2 (a a' - K^-1),   a = K^-1 (y - m)

The mean m has its closed form, (1' K^-1 y)/(1' K^-1 1), so that the search goes over the kernel's parameters and the
noise alone, in logs, by L-BFGS-B. Added are the logs of the priors: the maximum is that of BoTorch's SingleTaskGP with
the same kernel, found in a tenth of the time and less; tests hold one against the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log, pi
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

from .errors import SurrogateError
from .kernels import Array, Kernel, LogNormal, Separable
from .pairs import BAD, Likelihood
from .room import Room

# Standardized noise below this is the Cholesky's own noise (BoTorch's MIN_INFERRED_NOISE_LEVEL).
LEAST_NOISE = 1e-4
MOST_NOISE = 1e2
NOISE_PRIOR = LogNormal(np.array([-4.0]), np.array([1.0]))
LEAST_VARIANCE = 1e-12  # of f: below it is rounding
Pull = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True, slots=True)
class Data:
    """What is learnt from. x: n x d; y: n, standardized; known: n, variances of measurements, standardized."""

    x: Array
    y: Array
    known: Array


@dataclass(frozen=True, slots=True)
class Anchor:
    """What f is told against: sum_p weights_p f(points_p). points: as the kernel sees them.

    k: its covariances with x, n; v: L^-1 k; own: its variance before anything was seen.
    """

    points: Array
    weights: Array
    k: Array
    v: Array
    own: float


@dataclass(frozen=True, slots=True)
class GP:
    """A process that has seen its data. ``parameters``: the kernel's, then the log of the noise variance.

    x: what it is conditioned on, the data's points and then ``flying`` points whose outcome is still unknown. They
    narrow the variance as measured ones do; alpha is 0 there, so the mean stays, and moves with their outcomes by
    ``lifts``: if the flying outcomes are their means plus C z (C C' their covariance), the mean here moves by lifts z.

    anchor: what every mean and variance is told against, where the data say nothing of f itself but of its differences
    (see preference): then it is that of f(x) less the anchor.

    now: coordinates that every point which is asked for has after its own, as x has them: those of the present.
    """

    kernel: Kernel
    parameters: Array
    data: Data
    x: Array
    mean: float
    factor: Array  # lower Cholesky factor of K over x
    alpha: Array
    value: float  # log p(y) + log prior
    flying: int = 0
    now: tuple[float, ...] = ()
    anchor: Anchor | None = None

    @property
    def theta(self) -> Array:
        """The kernel's parameters."""
        return self.parameters[:-1]

    @property
    def noise(self) -> float:
        """Variance of the learnt noise."""
        return float(np.exp(self.parameters[-1]))

    @property
    def prior(self) -> float:
        """Variance of f before anything was seen."""
        return self.kernel.variance(self.theta)

    def at(self, points: Array) -> Array:
        """Points as the kernel sees them."""
        return np.column_stack([points, np.tile(self.now, (len(points), 1))]) if self.now else points

    def posterior(self, points: Array) -> tuple[Array, Array, Array]:
        """Mean and variance of f, each N, and lifts, N x flying."""
        k = self.kernel.cross(self.theta, self.at(points), self.x)
        v, prior = _solve_lower(self.factor, k.T), np.full(len(points), self.prior)
        if self.anchor is not None:
            k, v = k - self.anchor.k, v - self.anchor.v[:, None]
            across = self.kernel.cross(self.theta, self.at(points), self.anchor.points)
            prior += self.anchor.own - 2.0 * across @ self.anchor.weights
        variance = np.maximum(prior - np.einsum("ij,ij->j", v, v), LEAST_VARIANCE)
        return self.mean + k @ self.alpha, variance, v[len(self.x) - self.flying :].T

    def means(self, points: Array) -> tuple[Array, Array]:
        """``posterior`` without its variance: n^2 a point less where nothing is in flight."""
        if self.flying:
            mean, _, lifts = self.posterior(points)
            return mean, lifts
        k = self.kernel.cross(self.theta, self.at(points), self.x)
        if self.anchor is not None:
            k = k - self.anchor.k
        return self.mean + k @ self.alpha, np.empty((len(points), 0))

    def against(self, points: Array, weights: Array) -> "GP":
        """The same told against the weighted sum of f at some points, p x d."""
        points = self.at(points)
        k = weights @ self.kernel.cross(self.theta, points, self.x)
        own = float(weights @ self.kernel.cross(self.theta, points, points) @ weights)
        return replace(self, anchor=Anchor(points, weights, k, _solve_lower(self.factor, k), own))

    def joint(self, points: Array) -> tuple[Array, Array]:
        """Mean, N, and covariance, N x N, of f."""
        v = _solve_lower(self.factor, self.kernel.cross(self.theta, self.at(points), self.x).T)
        own, _ = self.kernel.matrix(self.theta, self.at(points))
        return self.posterior(points)[0], own - v.T @ v

    def watched(self, points: Array) -> tuple[tuple[Array, Array, Array], Pull]:
        """``posterior``, and a function from something's derivatives by its three to those by the points, N x d."""
        k, back = self.kernel.watched(self.theta, self.at(points), self.x)
        v, prior, anchor = _solve_lower(self.factor, k.T), np.full(len(points), self.prior), self.anchor
        if anchor is not None:
            k, v = k - anchor.k, v - anchor.v[:, None]
            across, back_across = self.kernel.watched(self.theta, self.at(points), anchor.points)
            prior += anchor.own - 2.0 * across @ anchor.weights
        variance = prior - np.einsum("ij,ij->j", v, v)
        inside = variance > LEAST_VARIANCE
        first = len(self.x) - self.flying

        def pull(by_mean: Array, by_variance: Array, by_lifts: Array) -> Array:
            by_v = v * (-2.0 * by_variance * inside)
            if self.flying:
                by_v[first:] += by_lifts.T
            by_points = back(by_mean[:, None] * self.alpha + _solve_lower_transposed(self.factor, by_v).T)
            if anchor is not None:
                by_points = by_points + back_across(np.outer(-2.0 * by_variance * inside, anchor.weights))
            return by_points[:, : points.shape[1]]

        return (self.mean + k @ self.alpha, np.maximum(variance, LEAST_VARIANCE), v[first:].T), pull

    def with_flying(self, points: Array) -> "GP":
        """The same with points in flight, p x d, each to be measured with the learnt noise."""
        if not len(points):
            return self
        n, p = len(self.x), len(points)
        points = self.at(points)
        b = _solve_lower(self.factor, self.kernel.cross(self.theta, self.x, points))
        own, _ = self.kernel.matrix(self.theta, points)
        own.flat[:: p + 1] += self.noise
        corner, fault = dpotrf(own - b.T @ b, lower=1, clean=1)
        if fault:
            raise SurrogateError(f"the covariance of {p} points in flight is singular ({self.kernel.words})")
        factor = np.zeros((n + p, n + p), order="F")
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, b.T, corner
        alpha = np.concatenate([self.alpha, np.zeros(p)])
        told = replace(self, x=np.concatenate([self.x, points]), factor=factor, alpha=alpha, flying=self.flying + p)
        return told if self.anchor is None else told.against(self.anchor.points, self.anchor.weights)

    def leave_one_out(self) -> tuple[Array, Array]:
        """Mean and variance of each y as the others foretell it, noise included (Sundararajan and Keerthi, 2001)."""
        inverse, _ = dpotri(self.factor, lower=1)
        variance = 1.0 / np.diag(inverse)
        return self.data.y - self.alpha * variance, variance


def fit(
    kernel: Kernel, data: Data, start: Array | None = None, iterations: int = 200, prior: LogNormal = NOISE_PRIOR
) -> GP:
    """The process at the parameters of highest posterior. ``start``: parameters to begin at (default: the priors').

    Raises SurrogateError where no parameters give a matrix that can be factored.
    """
    low = np.append(kernel.low, log(LEAST_NOISE))
    high = np.append(kernel.high, log(MOST_NOISE))
    begin = np.append(kernel.start, prior.mode[0]) if start is None else start
    room = Room()
    loss: Callable[[Array], tuple[float, Array]] = lambda at: objective(kernel, data, at, prior, room)  # noqa: E731
    if isinstance(kernel, Separable) and Likelihood.is_for(kernel, len(data.y)):
        loss = Likelihood(kernel, data.x, data.y, data.known, prior)
    ended: Any = minimize(
        loss,
        np.clip(begin, low, high),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
        options={"maxiter": iterations},
    )
    return condition(kernel, data, ended.x, prior)


def objective(
    kernel: Kernel, data: Data, parameters: Array, prior: LogNormal = NOISE_PRIOR, room: Room | None = None
) -> tuple[float, Array]:
    """Minus the log posterior of parameters, and its gradient. room: where it is worked out."""
    n, room = len(data.y), room or Room()
    k, back = kernel.matrix(parameters[:-1], data.x, room)
    noise = float(np.exp(parameters[-1]))
    # LAPACK's matrices are these transposed, so that it works in place.
    noisy = room.array("noisy", k).T
    noisy[:] = k
    noisy.flat[:: n + 1] += noise + data.known
    factor, fault = dpotrf(noisy, lower=1, clean=1, overwrite_a=1)
    if fault:
        return BAD, np.zeros(len(parameters))
    mean, alpha = _weights(factor, data.y)
    residual = data.y - mean
    value = -0.5 * float(residual @ alpha) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * log(2 * pi)
    # dL/dK with the inverse's lower half standing for both: of a symmetric dK only the sum of the two counts.
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    g = np.multiply((0.5 * alpha)[:, None], alpha, out=room.array("g", k)).T
    g -= inverse
    g.flat[:: n + 1] += 0.5 * np.diag(inverse)
    before, slope = kernel.log_prior(parameters[:-1])
    noise_value, noise_slope = prior.log_density(parameters[-1:])
    gradient = np.append(back(g) + slope, noise * float(np.trace(g)) + noise_slope[0])
    return -(value + before + noise_value), -gradient


def condition(kernel: Kernel, data: Data, parameters: Array, prior: LogNormal = NOISE_PRIOR) -> GP:
    """The process with these parameters. Raises SurrogateError where K cannot be factored."""
    n = len(data.y)
    k, _ = kernel.matrix(parameters[:-1], data.x)
    k.flat[:: n + 1] += float(np.exp(parameters[-1])) + data.known
    factor, fault = dpotrf(k, lower=1, clean=1)
    if fault or not np.isfinite(factor).all():
        raise SurrogateError(f"the covariance of {n} points is singular ({kernel.words})")
    mean, alpha = _weights(factor, data.y)
    value = -0.5 * float((data.y - mean) @ alpha) - float(np.log(np.diag(factor)).sum()) - 0.5 * n * log(2 * pi)
    value += kernel.log_prior(parameters[:-1])[0] + prior.log_density(parameters[-1:])[0]
    return GP(kernel, parameters, data, data.x, mean, factor, alpha, value)


def _weights(factor: Array, y: Array) -> tuple[float, Array]:
    """The mean's closed form and K^-1 (y - mean)."""
    both, _ = dpotrs(factor, np.column_stack([y, np.ones(len(y))]), lower=1)
    mean = float(both[:, 0].sum() / both[:, 1].sum())
    return mean, both[:, 0] - mean * both[:, 1]


def _solve_lower(factor: Array, b: Array) -> Array:
    out, _ = dtrtrs(factor, b, lower=1)
    return np.asarray(out)


def _solve_lower_transposed(factor: Array, b: Array) -> Array:
    out, _ = dtrtrs(factor, b, lower=1, trans=1)
    return np.asarray(out)
