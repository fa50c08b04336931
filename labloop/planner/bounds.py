"""What no row of a large table scores above, without the variance of every row.

A variance costs n^2 a row, a mean n, and a variance is at most

    sd^2(x) <= k(x, x) - max_j k(x, x_j)^2 / (k(x_j, x_j) + s_j^2)            (what one observation tells)

so one pass gives the lowest and highest mean of each outcome and its largest sd. What points in flight do to the mean
is linear in k as well, and a chance is at most 1. From these, for every merit a bound:

    a sum, a front    EI and EHVI rise with every utility's mean and sd (a hypervolume's gain is convex in each). The
                      utility of a target is at most that of the mean that is nearest, and spreads no wider than y
    a target alone    the gain is below each of the two hinges whose least it is, each of them an EI; and below its
                      greatest value, by the width of what is near enough, by the greatest density of y there; and
                      the rounding of the hinges. Of one that is met: the chance not to be on the far side,
                      times the sd
    desirabilities    draws are taken by the handful: none of one gains more than the most desirable of the box that
                      holds all of its outcomes, at whatever sd up to the largest

The pass is done in single precision, and its rounding is added to the bound: a squared distance is off by at most
ERRORS * (|a|^2 + |b|^2), f changes by 5/6 of that at most, and the mean by that times sum |alpha|.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtri
from scipy.special import log_ndtr

from . import gpu
from .acquisition import Hypervolume, Improvement, Limited, Merit, Team
from .desire import Desired
from .encoding import Array
from .goals import Goal
from .gp import GP
from .improvement import LEAST_LOG, log_ei, log_phi, log_sum
from .kernels import Separable

Work = Callable[[Array], tuple[NDArray[np.float32], NDArray[np.float32]]]
ERRORS = 16 * 2.0**-24
ROUNDING = 32 * 2.0**-52  # of a hinge, in double precision
AT_ONCE = 1 << 20  # numbers of a front's boxes that are held at once


def is_bounded(team: Team) -> bool:
    """Whether there is a bound of what this team says."""
    if any(member.anchor or not np.isfinite(member.kernel.roughness(member.theta)) for member in team.members):
        return False
    return isinstance(_base(team.merit), Improvement | Hypervolume | Desired)


def _base(merit: Merit) -> Merit:
    return merit.base if isinstance(merit, Limited) else merit


@dataclass(frozen=True, slots=True)
class Pass:
    """What is worked out once for a team."""

    team: Team
    works: tuple[Work, ...]  # one a member
    reach: tuple[float, ...]  # sum |weights|
    handfuls: tuple[tuple[Array, Array], ...] = ()  # of each fantasy's draws: corners, g x w each

    @classmethod
    def of(cls, team: Team, where: str) -> "Pass":
        """Prepare a team, to be worked out on ``where`` ("": here)."""
        merit = _base(team.merit)
        # alpha and the rows that give lifts, n x (1 + p)
        weights = [np.column_stack([member.alpha, _lifting(member).T]) for member in team.members]
        reach = tuple(float(np.abs(one).sum(0).max()) for one in weights)
        works = [_work(member, one, where) for member, one in zip(team.members, weights, strict=True)]
        handfuls = [handful(draws) for draws in merit.normal] if isinstance(merit, Desired) else []
        return cls(team, tuple(works), reach, tuple(handfuls))

    def bound(self, rows: Array) -> Array:
        """No log worth of these rows is above this."""
        merit = _base(self.team.merit)
        if isinstance(merit, Desired):
            value = self._of_desired(merit, rows)
        else:
            assert isinstance(merit, Improvement | Hypervolume)
            wishes = [(goal, merit.outcomes.index(goal.outcome)) for goal in merit.goals if goal.is_wish]
            ends = [self._ends(j, rows) for _, j in wishes]
            if isinstance(merit, Hypervolume):
                value = _of_front(merit, [goal for goal, _ in wishes], ends)
            elif len(wishes) == 1 and wishes[0][0].target is not None:
                value = _of_target(merit, wishes[0][0], *ends[0])
            else:
                value = _of_sum(merit, [goal for goal, _ in wishes], ends)
        return value + 1e-9

    def _ends(self, j: int, rows: Array) -> tuple[Array, Array, Array]:
        """The lowest and highest mean of outcome j, S x N, and its largest sd, N, in its own unit."""
        team, member, scale = self.team, self.team.members[j], float(self.team.scales[j])
        both, told = (one.astype(float) for one in self.works[j](member.at(rows)))
        error = member.kernel.roughness(member.theta) * ERRORS
        slack = scale * (error + len(member.x) * 2.0**-24) * self.reach[j]
        means = team.shifts[j] + scale * (member.mean + both[:, 0] + team.draws[:, :, j] @ both[:, 1:].T)
        off = slack * (1.0 + np.abs(team.draws[:, :, j]).sum(1)[:, None])
        prior, root = member.prior, member.prior**0.5
        left = prior - np.maximum(told - error / root - 1e-6 * root, 0.0) ** 2
        return means - off, means + off, scale * np.sqrt(np.clip(left, 1e-12, prior))

    def _of_desired(self, merit: Desired, rows: Array) -> Array:
        ends = [self._ends(j, rows) for j in merit.wishes.columns]
        gains = np.zeros(len(rows))
        for s, (down, up) in enumerate(self.handfuls):
            low = [one[0][s, :, None] + one[2][:, None] * down[:, at] for at, one in enumerate(ends)]
            high = [one[1][s, :, None] + one[2][:, None] * up[:, at] for at, one in enumerate(ends)]
            gains += merit.most(s, low, high)
        return np.asarray(np.log(gains / len(self.handfuls)))


def handful(draws: Array, size: int = 8) -> tuple[Array, Array]:
    """Draws, n x w, some ``size`` at a time that are near each other: corners of boxes with them and 0, g x w each."""
    parts = [draws]
    while len(parts[0]) > size and len(parts) < len(draws):
        halves = []
        for part in parts:
            along = np.argsort(part[:, int(np.argmax(np.ptp(part, axis=0)))], kind="stable")
            halves += np.array_split(part[along], 2)
        parts = halves
    return np.array([part.min(0).clip(max=0.0) for part in parts]), np.array([part.max(0).clip(0.0) for part in parts])


def _utility(goal: Goal, low: Array, high: Array) -> tuple[Array, Array]:
    """The least (where that matters: of no target) and the greatest mean utility, S x N."""
    if goal.target is not None:
        return np.full_like(low, -np.inf), np.asarray(goal.utility(np.clip(goal.target, low, high)))
    return (low, high) if goal.sense > 0 else (-high, -low)


def _of_sum(merit: Improvement, goals: list[Goal], ends: list[tuple[Array, Array, Array]]) -> Array:
    total: Any = 0.0
    sd: Any = 0.0
    for goal, (low, high, wide) in zip(goals, ends, strict=True):
        least, most = _utility(goal, low, high)
        total = total + goal.factor * (most if goal.factor > 0.0 else least)
        sd = np.hypot(sd, abs(goal.factor) * wide)
    best = float(merit.best.min()) if len(merit.best) == 1 else 0.0
    highest = total[0] if len(total) == 1 else (total - merit.best[:, None]).max(0)  # the kindest of the fantasies
    return log_ei(highest, sd, best)


def _of_target(merit: Improvement, goal: Goal, low: Array, high: Array, sd: Array) -> Array:
    assert goal.target is not None
    if merit.met:
        away = np.maximum(np.maximum(low - goal.target, goal.target - high) - goal.tolerance, 0.0)
        each = np.where(away > 0.0, log_ndtr(-away / sd), 0.0) + np.log(sd)
        return np.asarray(log_sum(each) - np.log(len(each)))
    gain = np.maximum(-merit.best / goal.factor, 0.0)[:, None]
    reach = goal.tolerance + gain
    rising, falling = log_ei(high - goal.target + reach, sd, 0.0), log_ei(goal.target + reach - low, sd, 0.0)
    away = np.maximum(np.maximum(low - goal.target, goal.target - high) - reach, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.minimum(sd, away)  # at which it is likeliest that y is so far from its mean
        there = np.where(away > 0.0, log_phi(away / spread) - np.log(spread), np.inf)
        most = np.log(gain) + np.minimum(np.log(reach + goal.tolerance) + there, 0.0)
        most = np.where(gain > 0.0, most, LEAST_LOG)  # a reach of none, however dense, is no number
    hinge = np.minimum(rising, falling)
    # The score is a difference of hinges: of their rounding, where next to nothing is left to gain. What is met has no
    # gain: its hinges are one, and leave nothing.
    with np.errstate(divide="ignore"):
        rounding = np.logaddexp(
            hinge + np.log1p(np.abs(hinge - np.log(sd))), np.log(2.0 * reach) + log_ndtr(-away / sd)
        )
    each = np.where(gain > 0.0, np.logaddexp(np.minimum(hinge, most), rounding + log(ROUNDING)), LEAST_LOG)
    each = np.maximum(each, LEAST_LOG)
    return np.asarray(log_sum(each) - np.log(len(gain)))


def _of_front(merit: Hypervolume, goals: list[Goal], ends: list[tuple[Array, Array, Array]]) -> Array:
    means = np.stack([_utility(goal, low, high)[1] for goal, (low, high, _) in zip(goals, ends, strict=True)], axis=-1)
    sds = np.column_stack([wide for _, _, wide in ends])
    value = np.empty(means.shape[:2])
    for s, boxes in enumerate(merit.boxes):
        step = max(AT_ONCE // max(len(boxes.low[0]), 1), 1)
        for start in range(0, len(sds), step):
            part = slice(start, start + step)
            value[s, part] = boxes.log_most(means[s, part], sds[part])
    return np.asarray(log_sum(value) - np.log(len(value)))


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
