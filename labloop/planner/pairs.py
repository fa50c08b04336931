"""The likelihood of gp.py over a separable kernel, pair by pair.

    r^2 = sum_j D_j / l_j^2,   log damp = -sum_c U_c / l_c      D, U: a number a pair of points, a row a lengthscale

What does not change while a fit goes over the lengthscales, D and U, is worked out once, and K, which is symmetric, is
seen by its lower half alone: at a hundred points two thirds of the time that whole matrices take, which is spent on
square roots, exponentials and calls. Values and gradients are those of gp.objective (test_pairs.py).
"""

from math import log, pi

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

from .kernels import Array, LogNormal, Separable, smooth
from .room import Room

MOST = 1 << 19  # numbers in D and U: 4 MiB. With more a pass over them costs more than whole matrices do
BAD = 1e25  # of parameters where K cannot be factored: the line search turns back


class Likelihood:
    """Minus the log posterior of a process's parameters, and its gradient, at parameters as gp.GP has them."""

    @staticmethod
    def is_for(kernel: object, count: int) -> bool:
        """Whether a kernel over so many points can be seen so, and is seen faster."""
        return isinstance(kernel, Separable) and count * (count - 1) // 2 * len(kernel.start) <= MOST

    def __init__(self, kernel: Separable, x: Array, y: Array, known: Array, prior: LogNormal) -> None:
        n = len(y)
        self._kernel, self._prior, self._y, self._known = kernel, prior, y, known
        self._i, self._j = np.tril_indices(n, -1)
        self._at = self._j * n + self._i  # where LAPACK has the lower half: column by column
        self._apart, self._unlike = self._pairs(x)
        self._sides = np.stack([y, np.ones(n)]).T
        self._matrix, self._room = np.empty((n, n)), Room()

    def _pairs(self, x: Array) -> tuple[Array, Array]:
        kernel = self._kernel
        features = np.ascontiguousarray(kernel.features(x).T)
        squares = features.take(self._i, axis=1)
        squares -= features.take(self._j, axis=1)
        squares *= squares
        if kernel.blends:
            squares = np.array([squares[kernel.lengths == one].sum(0) for one in range(kernel.smooth)])
        levels = [x[:, column].astype(np.intp) for column in kernel.labels]
        unlike = [d[a[self._i], a[self._j]] for d, a in zip(kernel.unlike, levels, strict=True)]
        return squares, np.array(unlike).reshape(len(unlike), len(self._at))

    def __call__(self, parameters: Array) -> tuple[float, Array]:
        """As gp.objective."""
        kernel, n, p = self._kernel, len(self._y), len(self._apart)
        rates, noise = np.exp(-2.0 * parameters[:p]), float(np.exp(parameters[-1]))
        k, slope = smooth(kernel.shape, rates @ self._apart, self._room)
        label_rates = np.exp(-parameters[p:-1])
        if kernel.labels:
            damp = np.exp(-(label_rates @ self._unlike))
            k *= damp
            slope *= damp
        flat = self._matrix.reshape(-1)
        flat[self._at] = k
        flat[:: n + 1] = self._known + (kernel.variance(parameters[:-1]) + noise)
        factor, fault = dpotrf(self._matrix.T, lower=1, clean=0, overwrite_a=1)
        if fault:
            return BAD, np.zeros(len(parameters))
        solved, _ = dpotrs(factor, self._sides, lower=1)
        mean = solved[:, 0].sum() / solved[:, 1].sum()
        alpha = solved[:, 0] - mean * solved[:, 1]
        value = -0.5 * float((self._y - mean) @ alpha) - float(np.log(flat[:: n + 1]).sum()) - 0.5 * n * log(2 * pi)
        dpotri(factor, lower=1, overwrite_c=1)
        # dL/dK of each pair, both halves together: a_i a_j - K^-1_ij.
        g = alpha[self._i]
        g *= alpha[self._j]
        g -= flat[self._at]
        before, gradient = kernel.log_prior(parameters[:-1])
        noise_value, noise_slope = self._prior.log_density(parameters[-1:])
        if kernel.labels:
            gradient[p:] += label_rates * (self._unlike @ (g * k))
        slope *= g
        gradient[:p] -= 2.0 * rates * (self._apart @ slope)
        by_noise = 0.5 * noise * (float(alpha @ alpha) - float(flat[:: n + 1].sum())) + noise_slope[0]
        return -(value + before + noise_value), -np.append(gradient, by_noise)
