"""What a course of measurements was worth, from the merits of the rows in the order they were measured.

A Yardstick is all that can be measured: the table's conditions, or points that stand for an emulator's space.
One goal: ``gain`` is 0 at the table's median and 1 at its best; a course's gain is the best so far. What breaks a limit
is worth what the worst is that keeps them all. ``area`` is the gain's mean over the evaluations after the first ones. A
front: the share of the table's hypervolume, goals scaled to 0..1 over what keeps the limits and the origin as reference
(Zitzler & Thiele 1998; computed by moocore).
"""

import math
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

from .measured import Array

TOP = 0.01  # of the conditions, rounded up, are their top


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What courses are measured by. ``every``: N x m, the merit of all there is, or of points that stand for it.

    best: k x m, merits of the best there are where ``every`` may lack them. near: how near to the best, on the scale of
    gains, counts as the best.
    """

    every: Array
    best: Array | None = None
    near: float = 0.0

    @property
    def known(self) -> Array:
        """``every`` and the best."""
        return self.every if self.best is None else np.concatenate([self.every, self.best])


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``curve``: gain or hypervolume share after each evaluation. ``to_top``, ``to_best``: evaluations needed.

    None: not reached (of a front: never asked). ``area``: the curve's mean after the first ones.
    """

    curve: tuple[float, ...]
    area: float
    to_top: int | None = None
    to_best: int | None = None


def can_tell(yardstick: Yardstick) -> bool:
    """Whether one course can be told from another; not where the front has no volume."""
    return yardstick.every.shape[1] == 1 or _volume(_gains(yardstick.known, yardstick.known)) > 0.0


def score(merit: Array, yardstick: Yardstick, initial: int) -> Score:
    """The score of one course. ``merit``: n x m, of what was measured, in that order, the first ones first."""
    if merit.shape[1] > 1:
        return _score_front(merit, yardstick, initial)
    return _score_best(merit[:, 0], yardstick, initial)


def _score_best(merit: Array, yardstick: Yardstick, initial: int) -> Score:
    every = yardstick.every[:, 0]
    worst = every[np.isfinite(every)].min()
    ranked = np.sort(np.where(np.isfinite(every), every, worst))[::-1]
    best, median = float(yardstick.known.max()), float(np.median(ranked))
    so_far = np.maximum.accumulate(np.where(np.isfinite(merit), merit, worst))
    curve = np.clip((so_far - median) / ((best - median) or 1.0), 0.0, 1.0)
    return Score(
        curve=tuple(float(one) for one in curve),
        area=_area(curve, initial),
        to_top=_first(so_far >= ranked[max(1, math.ceil(TOP * len(ranked))) - 1]),
        to_best=_first(so_far >= best - yardstick.near * (best - median)),
    )


def _score_front(merit: Array, yardstick: Yardstick, initial: int) -> Score:
    gains = _gains(merit, yardstick.known)
    whole = _volume(_gains(yardstick.known, yardstick.known))
    curve = np.minimum([_volume(gains[: n + 1]) / whole for n in range(len(gains))], 1.0)
    return Score(curve=tuple(float(one) for one in curve), area=_area(curve, initial))


def _gains(merit: Array, known: Array) -> Array:
    """Each goal from 0 to 1 over what is known to keep the limits."""
    finite = np.isfinite(known).all(axis=1)
    low, high = known[finite].min(axis=0), known[finite].max(axis=0)
    gains = np.maximum((merit - low) / np.where(high > low, high - low, 1.0), 0.0)
    gains[~np.isfinite(merit).all(axis=1)] = 0.0
    return np.asarray(gains)


def _volume(gains: Array) -> float:
    return float(moocore.hypervolume(gains, ref=np.zeros(gains.shape[1]), maximise=True))


def _area(curve: Array, initial: int) -> float:
    after = curve[initial:]
    return float(after.mean()) if len(after) else float(curve[-1])


def _first(reached: Any) -> int | None:
    return int(np.argmax(reached)) + 1 if bool(np.any(reached)) else None
