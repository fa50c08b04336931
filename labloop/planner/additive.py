"""A kernel half of which is effects that add up: what one parameter does, it does whatever the others are.

    k = 1/2 prod_i k_i + 1/2 mean_i k_i        k_i: of one number, one choice, or one respect in which mixtures differ

Both halves share their lengthscales, so nothing more is learnt. Where a ligand is good with every base, a trial with
one base tells of it with all; to the product alone it is the less known the more the bases differ (Duvenaud et al.,
NeurIPS 2011, arXiv:1112.4394; BoTorch's kernel over mixed spaces has a sum and a product likewise).
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoding import Array
from .kernels import Back, Separable
from .room import Room

SHARE = 0.5  # of what adds up


@dataclass(frozen=True)
class Additive:
    """The base and the kernels of its columns, each on its own. Parameters: the base's."""

    base: Separable
    parts: tuple[tuple[Separable, NDArray[np.intp]], ...] = field(init=False)  # and which of the parameters are theirs

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _parts(self.base))

    @property
    def words(self) -> str:
        """The kernel in a few words."""
        return f"{self.base.words} and effects that add up"

    @property
    def start(self) -> Array:
        """The base's start."""
        return self.base.start

    @property
    def low(self) -> Array:
        """Least parameters."""
        return self.base.low

    @property
    def high(self) -> Array:
        """Largest parameters."""
        return self.base.high

    def log_prior(self, theta: Array) -> tuple[float, Array]:
        """Log density of the prior and its gradient."""
        return self.base.log_prior(theta)

    def matrix(self, theta: Array, x: Array, room: Room | None = None) -> tuple[Array, Back]:
        """K, n x n, and dL/dK -> dL/dtheta."""
        every = [one.matrix(own, x) for one, own in self._each(theta)]
        return self._sum([k for k, _ in every]), lambda g: self._spread([back(g) for _, back in every], len(theta))

    def cross(self, theta: Array, a: Array, b: Array) -> Array:
        """K between a (N x d) and b (n x d): N x n, in the precision of a."""
        return self._sum([one.cross(own, a, b) for one, own in self._each(theta)])

    def variance(self, theta: Array) -> float:
        """k(x, x)."""
        return 1.0

    def roughness(self, theta: Array) -> float:
        """The base's: no part changes faster than the product can."""
        return self.base.roughness(theta)

    def watched(self, theta: Array, a: Array, b: Array) -> tuple[Array, Back]:
        """``cross``, and dL/dK -> dL/da: N x d, zero in columns of choices."""
        every = [one.watched(own, a, b) for one, own in self._each(theta)]
        return self._sum([k for k, _ in every]), lambda g: self._sum([back(g) for _, back in every])

    def _each(self, theta: Array) -> list[tuple[Separable, Array]]:
        return [(self.base, theta), *((one, theta[at]) for one, at in self.parts)]

    def _sum(self, arrays: list[Array]) -> Array:
        total = (1.0 - SHARE) * arrays[0]
        for one in arrays[1:]:
            total += (SHARE / len(self.parts)) * one
        return total

    def _spread(self, slopes: list[Array], count: int) -> Array:
        """The slopes by each one's own parameters as one by all."""
        every = [slopes[0]]
        for (_, at), slope in zip(self.parts, slopes[1:], strict=True):
            every.append(np.zeros(count))
            every[-1][at] = slope
        return self._sum(every)


def _parts(base: Separable) -> tuple[tuple[Separable, NDArray[np.intp]], ...]:
    alone: dict[str, Any] = {"numbers": (), "labels": (), "unlike": (), "blends": ()}
    found = []
    for at, column in enumerate(base.numbers):
        found.append((replace(base, **alone | {"numbers": (column,)}), np.array([at])))
    for at, blend in enumerate(base.blends, start=len(base.numbers)):
        found.append((replace(base, **alone | {"blends": (blend,)}), np.array([at])))
    labels = np.array(base.labels)
    for column in dict.fromkeys(base.labels):  # in every way in which its levels differ
        ways = np.flatnonzero(labels == column)
        unlike = tuple(base.unlike[way] for way in ways)
        found.append((replace(base, **alone | {"labels": (column,) * len(ways), "unlike": unlike}), base.smooth + ways))
    return tuple(found)
