"""Outcomes seen through a transform, where that foretells them better: heavy tails, decades.

    plain          y
    log            log y                                             where every outcome is above 0
    Yeo-Johnson    u >= 0: ((1 + u)^p - 1)/p     u < 0: -((1 - u)^(2-p) - 1)/(2 - p)     u = (y - shift)/scale
                   (Biometrika 2000); 0 <= p <= 2, where every number has an inverse

Which one is chosen by leave-one-out evidence, what the process foretells of each outcome from the others, counted in
the outcome's own units:

    sum_i log N(g(y_i); m_-i, w_-i) + log g'(y_i)

A transform is taken where it gains more than MARGIN over the plain outcome. All of them rise, so that the order of
outcomes stays what it was: what is best is best. Expected improvement is then one of g(y).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import minimize_scalar

from .encoding import Array
from .gp import GP
from .improvement import LOG_ROOT_2PI

MARGIN = 2.0  # nats: of noise alone the best of two transforms gains that in one case of twenty (test_transform)
MOST_LOG = 600.0  # exp of more leaves no room for an sd beside it
SMALLEST, LARGEST = 1e-100, 1e100  # outcomes beyond, that no instrument gives, are left as they are
_LINEAR = 1e-8  # exponents that near to 0 are 0


class Transform(Protocol):
    """A rising function of an outcome. Elementwise."""

    @property
    def words(self) -> str:
        """What is said of the outcome: '' (as it is), 'by its logarithm', ..."""

    @property
    def learnt(self) -> int:
        """How many numbers of it are learnt from the outcomes."""

    def forward(self, values: Array) -> Array:
        """g(y)."""

    def backward(self, seen: Array) -> Array:
        """y of g(y)."""

    def log_slopes(self, values: Array) -> Array:
        """log g'(y)."""


@dataclass(frozen=True, slots=True)
class Plain:
    """The outcome as it is."""

    words: str = ""
    learnt: int = 0

    def forward(self, values: Array) -> Array:
        """g(y)."""
        return values

    def backward(self, seen: Array) -> Array:
        """y of g(y)."""
        return seen

    def log_slopes(self, values: Array) -> Array:
        """log g'(y)."""
        return np.zeros(len(values))


@dataclass(frozen=True, slots=True)
class Logarithm:
    """log y."""

    words: str = "by its logarithm"
    learnt: int = 0

    def forward(self, values: Array) -> Array:
        """g(y)."""
        return np.asarray(np.log(values))

    def backward(self, seen: Array) -> Array:
        """y of g(y)."""
        return np.asarray(np.exp(np.minimum(seen, MOST_LOG)))

    def log_slopes(self, values: Array) -> Array:
        """log g'(y)."""
        return np.asarray(-np.log(values))


@dataclass(frozen=True, slots=True)
class YeoJohnson:
    """The power transform of (y - shift)/scale."""

    power: float
    shift: float
    scale: float
    learnt: int = 1

    @property
    def words(self) -> str:
        """What is said of the outcome."""
        return f"by Yeo-Johnson, power {self.power:.2g}"

    def forward(self, values: Array) -> Array:
        """g(y)."""
        u = (values - self.shift) / self.scale
        above = _power(np.log1p(np.maximum(u, 0.0)), self.power)
        return np.where(u >= 0.0, above, -_power(np.log1p(np.maximum(-u, 0.0)), 2.0 - self.power))

    def backward(self, seen: Array) -> Array:
        """y of g(y)."""
        above = np.expm1(_unpower(np.maximum(seen, 0.0), self.power))
        below = -np.expm1(_unpower(np.maximum(-seen, 0.0), 2.0 - self.power))
        return np.asarray(self.shift + self.scale * np.where(seen >= 0.0, above, below))

    def log_slopes(self, values: Array) -> Array:
        """log g'(y)."""
        u = (values - self.shift) / self.scale
        return np.asarray(np.sign(u) * (self.power - 1.0) * np.log1p(np.abs(u)) - np.log(self.scale))


PLAIN = Plain()


def _power(logs: Array, p: float) -> Array:
    """(e^logs to the p - 1)/p."""
    return np.asarray(logs if p < _LINEAR else np.expm1(p * logs) / p)


def _unpower(seen: Array, p: float) -> Array:
    """What ``_power`` was of, at most MOST_LOG."""
    return np.asarray(np.minimum(seen if p < _LINEAR else np.log1p(p * seen) / p, MOST_LOG))


def candidates(values: Array, positive: bool) -> list[Transform]:
    """The transforms that may be tried on these outcomes, the plain one first. positive: every outcome is."""
    size = float(np.max(np.abs(values)))
    if len(values) < 3 or not SMALLEST < size < LARGEST or np.std(values) <= 1e-8 * size:
        return [PLAIN]
    tries: list[Transform] = [PLAIN, most_normal(values)]
    return [*tries, Logarithm()] if positive else tries


def most_normal(values: Array) -> YeoJohnson:
    """The Yeo-Johnson transform after which the outcomes look most like draws from one normal distribution."""
    shift, scale = float(np.mean(values)), float(np.std(values, ddof=1))

    def loss(power: float) -> float:
        one = YeoJohnson(power, shift, scale)
        return float(len(values) * np.log(np.std(one.forward(values))) - one.log_slopes(values).sum())

    return YeoJohnson(float(minimize_scalar(loss, bounds=(0.0, 2.0), method="bounded").x), shift, scale)


def evidence(gp: GP, scale: float, transform: Transform, values: Array) -> float:
    """Leave-one-out evidence of a process that has seen ``transform.forward(values)``, divided by ``scale``."""
    mean, variance = gp.leave_one_out()
    logs = -0.5 * (gp.data.y - mean) ** 2 / variance - 0.5 * np.log(variance) - LOG_ROOT_2PI
    return float((logs - np.log(scale) + transform.log_slopes(values)).sum())


def best(heights: Sequence[float]) -> int:
    """Which of the evidences, the plain outcome's first, is taken."""
    place = int(np.argmax(heights))
    return place if heights[place] > heights[0] + MARGIN else 0
