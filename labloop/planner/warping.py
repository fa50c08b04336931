"""Numbers warped before a kernel sees them, so that a function may be steep at one end of a range and flat at the
other (Snoek et al., ICML 2014, arXiv:1402.0929).

    w(u) = 1 - (1 - u^a)^b        Kumaraswamy's distribution; a = b = 1 leaves u as it is

a and b of each column are learnt with the lengthscales; their priors are densest at 1.
"""

from dataclasses import dataclass
from math import log

import numpy as np

from .encoding import Array
from .kernels import Back, LogNormal, Separable
from .room import Room

SCALE = 0.5  # of the priors: most exponents between a half and 2
LEAST, MOST = 0.1, 10.0
EDGE = 1e-6  # the ends of the cube are moved in by so much: slopes are infinite there


@dataclass(frozen=True)
class Warped:
    """A kernel over warped numbers. Parameters: its own, then the logs of a and of b, one a column of numbers."""

    base: Separable

    @property
    def words(self) -> str:
        """The kernel in a few words."""
        return f"{self.base.words} of warped numbers"

    @property
    def start(self) -> Array:
        """The base's start, and no warp."""
        return np.concatenate([self.base.start, np.zeros(2 * len(self.base.numbers))])

    @property
    def low(self) -> Array:
        """Least parameters."""
        return np.concatenate([self.base.low, np.full(2 * len(self.base.numbers), log(LEAST))])

    @property
    def high(self) -> Array:
        """Largest parameters."""
        return np.concatenate([self.base.high, np.full(2 * len(self.base.numbers), log(MOST))])

    def log_prior(self, theta: Array) -> tuple[float, Array]:
        """Log density of the prior and its gradient."""
        own, logs = self._parts(theta)
        value, slope = self.base.log_prior(own)
        more, steep = LogNormal(np.full(len(logs), SCALE**2), np.full(len(logs), SCALE)).log_density(logs)
        return value + more, np.concatenate([slope, steep])

    def matrix(self, theta: Array, x: Array, room: Room | None = None) -> tuple[Array, Back]:
        """K, n x n, and dL/dK -> dL/dtheta."""
        own, logs = self._parts(theta)
        warped, _, by_a, by_b = self._warp(logs, x)
        k, back = self.base.matrix(own, warped, room)
        _, back_x = self.base.watched(own, warped, warped)

        def pull(g: Array) -> Array:
            by_x = back_x(g + g.T)[:, self.base.numbers]
            return np.concatenate([back(g), (by_x * by_a).sum(0), (by_x * by_b).sum(0)])

        return k, pull

    def cross(self, theta: Array, a: Array, b: Array) -> Array:
        """K between a (N x d) and b (n x d): N x n."""
        own, logs = self._parts(theta)
        return self.base.cross(own, self._warp(logs, a)[0], self._warp(logs, b)[0])

    def variance(self, theta: Array) -> float:
        """k(x, x)."""
        return self.base.variance(self._parts(theta)[0])

    def roughness(self, theta: Array) -> float:
        """Without bound: at the ends of a range a warp may be as steep as can be."""
        return float("inf")

    def watched(self, theta: Array, a: Array, b: Array) -> tuple[Array, Back]:
        """``cross``, and dL/dK -> dL/da: N x d, zero in columns of choices."""
        own, logs = self._parts(theta)
        warped, by_u, _, _ = self._warp(logs, a)
        k, back = self.base.watched(own, warped, self._warp(logs, b)[0])

        def pull(weights: Array) -> Array:
            out = back(weights)
            out[:, self.base.numbers] *= by_u
            return out

        return k, pull

    def warps(self, theta: Array) -> list[tuple[int, float, float]]:
        """Column, a and b of each number."""
        p = len(self.base.numbers)
        exponents = np.exp(self._parts(theta)[1])
        return [(column, float(exponents[i]), float(exponents[p + i])) for i, column in enumerate(self.base.numbers)]

    def _parts(self, theta: Array) -> tuple[Array, Array]:
        own = len(theta) - 2 * len(self.base.numbers)
        return theta[:own], theta[own:]

    def _warp(self, logs: Array, x: Array) -> tuple[Array, Array, Array, Array]:
        """Warped points, and the derivatives of their numbers by u, by log a and by log b, n x p each."""
        p = len(self.base.numbers)
        a, b = np.exp(logs[:p]), np.exp(logs[p:])
        # Trials from before a range was narrowed count as made at its end: a warp goes no further.
        u = EDGE + (1.0 - 2.0 * EDGE) * np.clip(x[:, self.base.numbers], 0.0, 1.0)
        power = u**a
        rest = 1.0 - power
        outer = a * b * rest ** (b - 1.0) * power
        out = x.copy()
        out[:, self.base.numbers] = 1.0 - rest**b
        return out, (1.0 - 2.0 * EDGE) * outer / u, outer * np.log(u), -b * rest**b * np.log(rest)
