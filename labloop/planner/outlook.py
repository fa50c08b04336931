"""What can still be gained, by the model: for stopping rules.

    regret_bound    max over the space of (mean + 2 sd) - max over what was measured of (mean - 2 sd), of the utility
                    (Makarova et al., AutoML 2022, arXiv:2104.08166: terminate when the bound is below a threshold)
    best_chance     the largest chance of any point that was not measured to beat the best, as the model believes it

The space is looked at where the search for the proposal ended, and at a low-discrepancy cloud (of a table: its rows).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from labloop.campaign.stopping import CHANCE, REGRET

from .design import free_rows, sample
from .encoding import Array, Encoding
from .goals import Goal, standing
from .history import History

CLOUD = 2048  # points: the bound of a known function is found to a few percent (test_outlook)
ROWS = 20_000
BELIEVABLE = 1.96


class Model(Protocol):
    @property
    def outcomes(self) -> tuple[str, ...]: ...
    @property
    def scales(self) -> tuple[float, ...]: ...
    def predict(self, points: Array) -> tuple[Array, Array]: ...


def outlook(
    model: Model, goals: Sequence[Goal], history: History, encoding: Encoding, found: Array, seed: int
) -> dict[str, float]:
    """Both figures, in units of the score that orders trials. ``found``: where the search ended, k x d."""
    observed = history.known.observed
    ahead = np.concatenate([found, _cloud(encoding, history.taken, seed)])
    here, here_sd = _score(model, goals, observed)
    there, there_sd = _score(model, goals, ahead)
    kept = standing(goals, model.outcomes, model.scales, model.predict(observed)[0]).kept
    surest = float(np.max((here - BELIEVABLE * here_sd)[kept]))
    bound = max(0.0, float(np.max(there + BELIEVABLE * there_sd)) - surest)
    best = float(np.max(here[kept]))
    chance = float(np.max(ndtr((there - best) / np.maximum(there_sd, 1e-12))))
    return {REGRET: bound, CHANCE: chance}


def _score(model: Model, goals: Sequence[Goal], points: Array) -> tuple[Array, Array]:
    """Mean and sd of the weighted utilities, outcomes taken as independent; of a target: at its mean."""
    mean, sd = model.predict(points)
    at = {name: column for column, name in enumerate(model.outcomes)}
    total, variance = np.zeros(len(points)), np.zeros(len(points))
    for goal in goals:
        if goal.is_wish:
            total += goal.factor * goal.utility(mean[:, at[goal.outcome]])
            variance += (goal.factor * sd[:, at[goal.outcome]]) ** 2
    return total, np.sqrt(variance)


def _cloud(encoding: Encoding, taken: Array, seed: int) -> Array:
    if encoding.rows is None:
        return sample(encoding, CLOUD, seed)
    free = free_rows(encoding, taken)
    if len(free) > ROWS:
        free = np.random.default_rng(seed).choice(free, ROWS, replace=False)
    rows: Array = encoding.rows[free]
    return rows
