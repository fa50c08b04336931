"""The exact argmax over a large table without the variance of every row.

A variance costs n^2 a row, a mean n. Log EI rises with mean and sd, and

    sd^2(x) <= k(x, x) - max_j k(x, x_j)^2 / (k(x_j, x_j) + s_j^2)            (what one observation tells)

so the pass that gives the means bounds every row from above. Rows are then scored in the order of their bounds until no
bound is left above the worst score that is kept: the answer is that of scoring every row. What points in flight do to
the mean is linear in k as well; of the fantasies the kindest bounds the mean over them, and a chance is at most 1.

The pass is done in single precision, and its rounding is added to the bound: a squared distance is off by at most
ERRORS * (|a|^2 + |b|^2), f changes by 5/6 of that at most, and the mean by that times sum |alpha|. Of a large table
it is done on a GPU where there is one (gpu.py); the scores, and so the answer, are those without.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri

from . import gpu
from .acquisition import Acquisition, Improvement, Limited, Score, Team
from .encoding import Array
from .gp import GP
from .improvement import log_ei, log_sum
from .kernels import Separable

Work = Callable[[Array], tuple[NDArray[np.float32], NDArray[np.float32]]]
SMALL = 4096  # rows that are simply all scored
CHUNK = 8192
GPU_ROWS, GPU_CHUNK = 50_000, 65_536  # below it a processor is done before torch is imported
FIRST = 512  # rows scored before bounds are looked at again
ERRORS = 16 * 2.0**-24


def top(acquisition: Score, rows: Array, count: int) -> tuple[NDArray[np.intp], Array]:
    """Indices of the ``count`` best rows, best first (of equals the first in the table), and their scores."""
    if len(rows) <= SMALL or not isinstance(acquisition, Acquisition) or not all(map(_is_bounded, acquisition.teams)):
        scores = _numbers(acquisition.of_rows(rows))
        best = _leaders(scores, np.arange(len(rows)), count)
        return best, scores[best]
    bounds = _bounds(acquisition, rows)
    kept, scores = np.empty(0, dtype=np.intp), np.empty(0)
    left = np.ones(len(rows), dtype=bool)
    size = FIRST
    while left.any():
        least = -np.inf if len(kept) < count else scores[count - 1]
        open_rows = np.flatnonzero(left & (bounds >= least))
        if not len(open_rows):
            break
        if len(open_rows) > size:
            open_rows = open_rows[np.argpartition(-bounds[open_rows], size - 1)[:size]]
        left[open_rows] = False
        every = np.concatenate([kept, open_rows])
        values = np.concatenate([scores, _numbers(acquisition.of_rows(rows[open_rows]))])
        order = _leaders(values, every, count)
        kept, scores = every[order], values[order]
        size *= 2
    return kept, scores


def _bounds(acquisition: Acquisition, rows: Array) -> Array:
    """No row's score is above its bound. Where the GPU fails (its memory is full, it went away) it is done without."""
    if len(rows) >= GPU_ROWS and (where := gpu.device()):
        try:
            return _bounds_on(acquisition, rows, where, GPU_CHUNK)
        except (RuntimeError, AssertionError, ImportError) as error:  # as torch says it
            sys.stderr.write(f"the table is passed over without the GPU: {error}\n")
    return _bounds_on(acquisition, rows, "", CHUNK)


def _bounds_on(acquisition: Acquisition, rows: Array, where: str, at_once: int) -> Array:
    bounds = np.empty(len(rows))
    passes = [_Pass.of(team, where) for team in acquisition.teams]
    for start in range(0, len(rows), at_once):
        chunk = rows[start : start + at_once]
        each = [one.bound(chunk) + w for one, w in zip(passes, acquisition.log_weights, strict=True)]
        bounds[start : start + at_once] = log_sum(each)
    return bounds


def _numbers(scores: Array) -> Array:
    return np.where(np.isnan(scores), -np.inf, scores)


def _leaders(scores: Array, rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return np.lexsort((rows, -scores))[:count]


def _is_bounded(team: Team) -> bool:
    if any(member.anchor or not np.isfinite(member.kernel.roughness(member.theta)) for member in team.members):
        return False
    merit = team.merit.base if isinstance(team.merit, Limited) else team.merit
    return isinstance(merit, Improvement) and all(goal.target is None for goal in merit.goals)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What is worked out once for a team."""

    team: Team
    merit: Improvement
    works: tuple[Work, ...]  # one a member
    reach: tuple[float, ...]  # sum |weights|

    @classmethod
    def of(cls, team: Team, where: str) -> "_Pass":
        """Prepare a team, to be worked out on ``where`` ("": here)."""
        merit = team.merit.base if isinstance(team.merit, Limited) else team.merit
        assert isinstance(merit, Improvement)
        # alpha and the rows that give lifts, n x (1 + p)
        weights = [np.column_stack([member.alpha, _lifting(member).T]) for member in team.members]
        reach = tuple(float(np.abs(one).sum(0).max()) for one in weights)
        works = [_work(member, one, where) for member, one in zip(team.members, weights, strict=True)]
        return cls(team, merit, tuple(works), reach)

    def bound(self, rows: Array) -> Array:
        """No log worth of these rows is above this."""
        team, merit = self.team, self.merit
        total = np.zeros((len(team.draws), len(rows)))
        sd = np.zeros(len(rows))
        for goal in merit.goals:
            if not goal.is_wish:
                continue
            j = merit.outcomes.index(goal.outcome)
            member, scale = team.members[j], float(team.scales[j])
            both, told = (one.astype(float) for one in self.works[j](member.at(rows)))
            error = member.kernel.roughness(member.theta) * ERRORS
            slack = (error + len(member.x) * 2.0**-24) * self.reach[j]
            means = member.mean + both[:, 0] + team.draws[:, :, j] @ both[:, 1:].T
            factor = goal.factor * goal.sense
            total += factor * (team.shifts[j] + scale * means)
            total += abs(factor) * scale * slack * (1.0 + np.abs(team.draws[:, :, j]).sum(1)[:, None])
            prior, root = member.prior, member.prior**0.5
            left = prior - np.maximum(told - error / root - 1e-6 * root, 0.0) ** 2
            sd = np.hypot(sd, abs(factor) * scale * np.sqrt(np.clip(left, 1e-12, prior)))
        best = float(merit.best.min()) if len(merit.best) == 1 else 0.0
        highest = total[0] if len(total) == 1 else (total - merit.best[:, None]).max(0)
        return log_ei(highest, sd, best) + 1e-9


def _lifting(member: GP) -> Array:
    """The matrix that takes k to lifts: the last rows of L^-1."""
    if not member.flying:
        return np.empty((0, len(member.x)))
    inverse, _ = dtrtri(member.factor, lower=1)
    return np.asarray(np.tril(inverse)[len(member.x) - member.flying :])


def _work(member: GP, weights: Array, where: str) -> Work:
    """From rows to k weights and the most that one observation tells of each, in single precision."""
    known = np.concatenate([member.data.known, np.zeros(member.flying)])
    rates = (1.0 / np.sqrt(member.prior + member.noise + known)).astype(np.float32)
    short = weights.astype(np.float32)
    if where and isinstance(member.kernel, Separable):
        return gpu.pass_over(member.kernel, member.theta, member.x, short, rates, where)
    x = member.x.astype(np.float32)

    def here(rows: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        k: Any = member.kernel.cross(member.theta, np.asarray(rows, dtype=np.float32), x)  # type: ignore[arg-type]
        k = k.astype(np.float32, copy=False)
        return k @ short, np.max(k * rates, axis=1)

    return here
