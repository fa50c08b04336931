"""Many parameters of which few matter: sparse axis-aligned subspaces (SAAS; Eriksson and Jankowiak, UAI 2021,
arXiv:2103.00349).

    1/l_j^2 ~ half-Cauchy(tau)        most of them next to 0, so that a column does nothing; a few as large as need be

for the columns that are numbers; unordered choices keep their prior. The paper samples from the posterior. Here three
processes stand for it, the maxima of the posterior at three taus from loose to tight, each climbed to from the one
before and the first from the plain model's: climbed to from afar, a tight one switches off what matters. They count
alike: leave-one-out evidence favours the loosest, the one that errs most (docs/benchmarks.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, pi

import numpy as np

from .encoding import Array
from .gp import GP
from .kernels import Separable

TAUS = (0.1, 0.01, 0.001)
MATTERS = 10.0  # lengthscales (unit cube) below it are told: what rises evenly has one of 4, what does nothing 50


@dataclass(frozen=True, slots=True)
class HalfCauchy:
    """A prior on 1/l^2 of ``count`` columns, seen at log l: density of 1/l^2 itself."""

    tau: float
    count: int

    @property
    def mode(self) -> Array:
        """Log l where 1/l^2 = tau, the median: the density only rises as l grows."""
        return np.full(self.count, -0.5 * log(self.tau))

    def log_density(self, logs: Array) -> tuple[float, Array]:
        """Log density at exp(logs) and its gradient by logs."""
        squares = np.exp(-4.0 * logs) / self.tau**2
        return self.count * log(2.0 / (pi * self.tau)) - float(np.log1p(squares).sum()), 4.0 * squares / (1.0 + squares)


def tightened(kernel: Separable) -> list[Separable]:
    """The kernel with each tau, loosest first."""
    return [replace(kernel, number_prior=HalfCauchy(tau, kernel.smooth)) for tau in TAUS]


def mattering(gp: GP, names: Sequence[str]) -> list[str]:
    """What matters of the columns that are numbers, and of what mixtures are like; most first. names: of columns."""
    assert isinstance(gp.kernel, Separable)
    lengths = np.exp(gp.theta[: gp.kernel.smooth])
    told = [*(names[column] for column in gp.kernel.numbers), *(one.words for one in gp.kernel.blends)]
    return [told[at] for at in np.argsort(lengths, kind="stable") if lengths[at] < MATTERS]
