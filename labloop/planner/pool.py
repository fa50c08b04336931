"""The exact argmax over a large table without the variance of every row.

One pass in single precision bounds every row's score from above (bounds.py). Rows are then scored in the order of their
bounds until no bound is left above the worst score that is kept: the answer is that of scoring every row. Of a large
table the pass is done on a GPU where there is one (gpu.py); the scores, and so the answer, are those without.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from . import gpu
from .acquisition import Acquisition, Score
from .bounds import Pass, is_bounded
from .encoding import Array
from .improvement import LEAST_LOG, log_sum

SMALL = 4096  # rows that are simply all scored
CHUNK = 8192
GPU_ROWS, GPU_CHUNK = 50_000, 65_536  # below it a processor is done before torch is imported
FIRST = 512  # rows scored before bounds are looked at again


def top(acquisition: Score, rows: Array, count: int) -> tuple[NDArray[np.intp], Array]:
    """Indices of the ``count`` best rows, best first (of equals the first in the table), and their scores."""
    if len(rows) <= SMALL or not isinstance(acquisition, Acquisition) or not all(map(is_bounded, acquisition.teams)):
        scores = _numbers(acquisition.of_rows(rows))
        best = _leaders(scores, np.arange(len(rows)), count)
        return best, scores[best]
    bounds = _bounds(acquisition, rows)
    if bounds.max() <= LEAST_LOG:  # a target that is met: nothing is worth anything, and none more than another
        return np.arange(count), _numbers(acquisition.of_rows(rows[:count]))
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
    passes = [Pass.of(team, where) for team in acquisition.teams]
    for start in range(0, len(rows), at_once):
        chunk = rows[start : start + at_once]
        each = [one.bound(chunk) + w for one, w in zip(passes, acquisition.log_weights, strict=True)]
        bounds[start : start + at_once] = log_sum(each)
    return np.where(np.isnan(bounds), np.inf, bounds)  # a bound that is no number rules nothing out


def _numbers(scores: Array) -> Array:
    return np.where(np.isnan(scores), -np.inf, scores)


def _leaders(scores: Array, rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    return np.lexsort((rows, -scores))[:count]
