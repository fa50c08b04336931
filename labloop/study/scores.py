"""What a course of measurements was worth, from the merits of the rows in the order they were measured.

One goal: ``gain`` is 0 at the table's median and 1 at its best; a course's gain is the best so far. What breaks a limit
is worth what the worst is that keeps them all. ``area`` is the gain's mean over the evaluations after the first ones. A
front: the share of the table's hypervolume, goals scaled to 0..1 over what keeps the limits and the origin as reference
(Zitzler & Thiele 1998; computed by moocore).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

from .measured import Array

TOP = 0.01  # of the table's conditions, rounded up, are its top


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """``curve``: gain or hypervolume share after each evaluation. ``to_top``, ``to_best``: evaluations needed.

    None: not reached (of a front: never asked). ``area``: the curve's mean after the first ones.
    """

    curve: tuple[float, ...]
    area: float
    to_top: int | None = None
    to_best: int | None = None


def can_tell(merit: Array) -> bool:
    """Whether one course can be told from another; not where the table's front has no volume."""
    return merit.shape[1] == 1 or _volume(_gains(merit)) > 0.0


def score(order: Sequence[int], merit: Array, initial: int) -> Score:
    """The score of one course. ``order``: rows as measured, the first ones first; ``merit``: n x m, see Measured."""
    return _score_front(order, merit, initial) if merit.shape[1] > 1 else _score_best(order, merit[:, 0], initial)


def _score_best(order: Sequence[int], merit: Array, initial: int) -> Score:
    finite = np.where(np.isfinite(merit), merit, merit[np.isfinite(merit)].min())
    ranked = np.sort(finite)[::-1]
    best, median = float(ranked[0]), float(np.median(finite))
    so_far = np.maximum.accumulate(finite[list(order)])
    curve = np.clip((so_far - median) / ((best - median) or 1.0), 0.0, 1.0)
    return Score(
        curve=tuple(float(one) for one in curve),
        area=_area(curve, initial),
        to_top=_first(so_far >= ranked[max(1, math.ceil(TOP * len(ranked))) - 1]),
        to_best=_first(so_far >= best),
    )


def _score_front(order: Sequence[int], merit: Array, initial: int) -> Score:
    gains = _gains(merit)
    whole = _volume(gains)
    curve = np.array([_volume(gains[list(order[: n + 1])]) / whole for n in range(len(order))])
    return Score(curve=tuple(float(one) for one in curve), area=_area(curve, initial))


def _gains(merit: Array) -> Array:
    finite = np.isfinite(merit).all(axis=1)
    low, high = merit[finite].min(axis=0), merit[finite].max(axis=0)
    gains = (merit - low) / np.where(high > low, high - low, 1.0)
    gains[~finite] = 0.0
    return np.asarray(gains)


def _volume(gains: Array) -> float:
    return float(moocore.hypervolume(gains, ref=np.zeros(gains.shape[1]), maximise=True))


def _area(curve: Array, initial: int) -> float:
    after = curve[initial:]
    return float(after.mean()) if len(after) else float(curve[-1])


def _first(reached: Any) -> int | None:
    return int(np.argmax(reached)) + 1 if bool(np.any(reached)) else None
