"""How alike two points are: kernels with analytic gradients.

    separable   k(x, x') = f(r) prod_c exp(-D_c[x_c, x'_c] / l_c),
                r^2 = sum_j (x_j - x'_j)^2 / l_j^2 + sum_b |z_b(x) - z_b(x')|^2 / l_b^2
                f: Matern 5/2, (1 + s + s^2/3) exp(-s) with s = sqrt(5) r, or RBF, exp(-r^2/2)
                D_c: how unlike the levels of an unordered choice are. All alike but itself (Hamming) unless levels are
                described
                z_b: what a mixture of described components is like in one respect (blends.py)

A kernel's parameters are all logs. ``matrix`` gives K of the points with themselves and a function that takes dL/dK
(any matrix) to dL/dparameters; ``cross`` gives K between two sets of points; ``watched`` gives it with a function
that takes dL/dK to dL/da, over the columns that are numbers. Nothing here knows of noise or outcomes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .blends import Blend
from .room import Room

Array = NDArray[np.float64]
Back = Callable[[Array], Array]

ROOT5 = sqrt(5.0)


class Kernel(Protocol):
    """What a Gaussian process asks of its kernel. Parameters are logs; ``low``, ``high`` bound them."""

    @property
    def words(self) -> str:
        """The kernel in a few words."""

    @property
    def start(self) -> Array:
        """Where a fit starts."""

    @property
    def low(self) -> Array:
        """Least parameters."""

    @property
    def high(self) -> Array:
        """Largest parameters."""

    def log_prior(self, theta: Array) -> tuple[float, Array]:
        """Log density of the prior and its gradient."""

    def matrix(self, theta: Array, x: Array, room: Room | None = None) -> tuple[Array, Back]:
        """K, n x n, and dL/dK -> dL/dtheta. room: where both are worked out, and hold until it is used again."""

    def cross(self, theta: Array, a: Array, b: Array) -> Array:
        """K between a (N x d) and b (n x d): N x n, in the precision of a."""

    def variance(self, theta: Array) -> float:
        """k(x, x)."""

    def roughness(self, theta: Array) -> float:
        """How much cross changes at most for each unit of error in a and b, relative to their size (unit cube)."""

    def watched(self, theta: Array, a: Array, b: Array) -> tuple[Array, Back]:
        """``cross``, and dL/dK -> dL/da: N x d, zero in columns of choices."""


class Prior(Protocol):
    """A prior on a few positive numbers, seen at their logs."""

    @property
    def mode(self) -> Array:
        """Logs of the numbers where a fit starts."""

    def log_density(self, logs: Array) -> tuple[float, Array]:
        """Log density at exp(logs) and its gradient by logs."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A prior on a positive number, seen at its log: density of the number itself, as BoTorch counts it."""

    loc: Array
    scale: Array

    @property
    def mode(self) -> Array:
        """Log of the number that is most dense."""
        return np.asarray(self.loc - self.scale**2)

    def log_density(self, logs: Array) -> tuple[float, Array]:
        """Log density at exp(logs) and its gradient by logs."""
        z = (logs - self.loc) / self.scale
        value = -0.5 * z**2 - logs - np.log(self.scale) - 0.5 * log(2 * np.pi)
        return float(value.sum()), np.asarray(-z / self.scale - 1.0)


def dimension_scaled(dimension: int, count: int, loc: float = sqrt(2.0), scale: float = sqrt(3.0)) -> LogNormal:
    """Lengthscales that grow with sqrt(d) (Hvarfner et al., ICML 2024, arXiv:2402.02229)."""
    return LogNormal(np.full(count, loc + 0.5 * log(max(dimension, 1))), np.full(count, scale))


LEAST_LENGTH = 2.5e-2  # BoTorch's
MOST_LENGTH = 1e4


@dataclass(frozen=True)
class Separable:
    """The product kernel. numbers, labels: columns of the points; unlike: D_c of each label column, levels x levels.

    number_prior: of the lengthscales of numbers, and then of blends.
    """

    shape: str
    numbers: tuple[int, ...]
    labels: tuple[int, ...] = ()
    unlike: tuple[Array, ...] = ()
    number_prior: Prior = field(default_factory=lambda: dimension_scaled(1, 0))
    label_prior: LogNormal = field(default_factory=lambda: dimension_scaled(1, 0))
    blends: tuple[Blend, ...] = ()

    @property
    def smooth(self) -> int:
        """How many lengthscales there are of what is compared by distance: numbers, and then blends."""
        return len(self.numbers) + len(self.blends)

    @property
    def words(self) -> str:
        """The kernel in a few words."""
        return " x ".join(([self.shape] if self.numbers else []) + (["hamming"] if self.labels else []))

    @property
    def start(self) -> Array:
        """The priors' modes."""
        modes = np.concatenate([self.number_prior.mode, self.label_prior.mode])
        return np.asarray(np.clip(modes, self.low, self.high))

    @property
    def low(self) -> Array:
        """Least log lengthscales."""
        return np.full(self.smooth + len(self.labels), log(LEAST_LENGTH))

    @property
    def high(self) -> Array:
        """Largest log lengthscales."""
        return np.full(self.smooth + len(self.labels), log(MOST_LENGTH))

    def log_prior(self, theta: Array) -> tuple[float, Array]:
        """Log density of the lengthscales' priors and its gradient."""
        p = self.smooth
        a, da = self.number_prior.log_density(theta[:p])
        if not self.labels:
            return a, da
        b, db = self.label_prior.log_density(theta[p:])
        return a + b, np.concatenate([da, db])

    def matrix(self, theta: Array, x: Array, room: Room | None = None) -> tuple[Array, Back]:
        """K, n x n, and dL/dK -> dL/dtheta. room: where both are worked out, and hold until it is used again."""
        p, room = self.smooth, room or Room()
        scaled = self.features(x) * self.rates(theta)
        squares = _squares(scaled, scaled, room)
        squares.flat[:: len(x) + 1] = 0.0
        k, slope = smooth(self.shape, squares, room)
        unlike = [d[np.ix_(i, i)] for d, i in zip(self.unlike, self._indices(x), strict=True)]
        rates = np.exp(-theta[p:])
        if unlike:
            damp = np.exp(-sum(r * d for r, d in zip(rates, unlike, strict=True)))
            k, slope = k * damp, slope * damp

        def back(g: Array) -> Array:
            out = np.empty(len(theta))
            if p:
                # sum_ab G_ab (s_a - s_b)^2 = s^2' (G 1 + G' 1) - 2 s' G s, column by column: no n x n x d array.
                gs = np.multiply(g, slope, out=room.array("gs", slope))
                both = (scaled**2).T @ (gs.sum(0) + gs.sum(1)) - 2.0 * np.einsum("ij,ij->j", scaled, gs @ scaled)
                out[:p] = -2.0 * (np.bincount(self.lengths, both, p) if self.blends else both)
            gk = g * k if unlike else g
            for c, d in enumerate(unlike):
                out[p + c] = rates[c] * float(np.vdot(gk, d))
            return out

        return k, back

    def cross(self, theta: Array, a: Array, b: Array) -> Array:
        """K between a (N x d) and b (n x d): N x n, in the precision of a."""
        scale = self.rates(theta).astype(a.dtype)
        k = _shape(self.shape, _squares(self.features(a) * scale, self.features(b) * scale))
        return k * self._damp(theta, a, b) if self.labels else k

    def variance(self, theta: Array) -> float:
        """k(x, x)."""
        return 1.0

    def roughness(self, theta: Array) -> float:
        """How much cross changes at most for each unit of error in a and b, relative to their size (unit cube)."""
        # |a|^2 + |b|^2, f' <= 5/6, and the exponential over choices changes by no more than its own rounding.
        squares = np.exp(-2.0 * theta[: self.smooth])
        count = len(self.numbers)
        blended = [square * one.rough for square, one in zip(squares[count:], self.blends, strict=True)]
        return 1.0 + 5.0 / 3.0 * float(np.sum(squares[:count]) + sum(blended))

    def watched(self, theta: Array, a: Array, b: Array) -> tuple[Array, Back]:
        """``cross``, and dL/dK -> dL/da: N x d, zero in columns of choices."""
        scale = self.rates(theta)
        sa, sb = self.features(a) * scale, self.features(b) * scale
        k, slope = smooth(self.shape, _squares(sa, sb))
        if self.labels:
            damp = self._damp(theta, a, b)
            k, slope = k * damp, slope * damp

        def back(weights: Array) -> Array:
            out = np.zeros(a.shape)
            w = weights * slope
            slopes = 2.0 * (sa * w.sum(1)[:, None] - w @ sb) * scale
            at = len(self.numbers)
            out[:, self.numbers] = slopes[:, :at]
            for one in self.blends:
                out[:, one.columns] += slopes[:, at : at + one.width] @ one.weights.T
                at += one.width
            return out

        return k, back

    def features(self, x: Array) -> Array:
        """What is compared by distance: the numbers, then what each blend is like; n x F."""
        own = x[:, self.numbers]
        return np.hstack([own, *(one.of(x) for one in self.blends)]) if self.blends else own

    def rates(self, theta: Array) -> Array:
        """1/l of each feature, F."""
        rates = np.exp(-theta[: self.smooth])
        return rates[self.lengths] if self.blends else rates

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Which lengthscale each feature has."""
        return np.repeat(np.arange(self.smooth), [1] * len(self.numbers) + [one.width for one in self.blends])

    def _damp(self, theta: Array, a: Array, b: Array) -> Array:
        total = np.zeros((len(a), len(b)), dtype=a.dtype)
        rates = np.exp(-theta[self.smooth :])
        for rate, d, i, j in zip(rates, self.unlike, self._indices(a), self._indices(b), strict=True):
            total -= (rate * d).astype(a.dtype)[np.ix_(i, j)]
        return np.asarray(np.exp(total))

    def _indices(self, x: Array) -> list[NDArray[np.intp]]:
        return [x[:, column].astype(np.intp) for column in self.labels]


def hamming(levels: int) -> Array:
    """Every two levels equally unlike."""
    return 1.0 - np.eye(levels)


def _squares(a: Array, b: Array, room: Room | None = None) -> Array:
    """Squared distances, N x n, through one matrix product."""
    if not a.shape[1]:
        return np.zeros((len(a), len(b)), dtype=a.dtype)
    # Centred, so that little is lost where points are close together and far from 0.
    middle = b.mean(0)
    a, b = a - middle, b - middle
    out = (room or Room()).array("squares", a, len(a), len(b))
    np.matmul(a, b.T, out=out)
    out *= -2.0
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)
    np.maximum(out, 0.0, out=out)
    return out


def _shape(shape: str, squares: Array) -> Array:
    """f; ``squares`` are used up."""
    if shape == "rbf":
        return np.asarray(np.exp(-0.5 * squares))
    k, _, e = _matern(squares)
    k *= e
    return k


def smooth(shape: str, squares: Array, room: Room | None = None) -> tuple[Array, Array]:
    """f and df/d(r^2); ``squares`` are used up."""
    if shape == "rbf":
        k = np.exp(-0.5 * squares)
        return k, -0.5 * k
    k, slope, e = _matern(squares, room)
    k *= e
    slope *= -(5.0 / 6.0)
    slope *= e
    return k, slope


def _matern(squares: Array, room: Room | None = None) -> tuple[Array, Array, Array]:
    """1 + s + s^2/3, 1 + s and exp(-s); ``squares`` are used up."""
    room, s = room or Room(), squares
    np.sqrt(s, out=s)
    s *= ROOT5
    e, k = room.array("e", s), room.array("k", s)
    np.negative(s, out=e)
    np.exp(e, out=e)
    np.multiply(s, s, out=k)
    k /= 3.0
    s += 1.0
    k += s
    return k, s, e
