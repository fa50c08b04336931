"""What can still be gained, by the model: for stopping rules.

    regret_bound    max over the space of (mean + 2 sd) - max over what was measured of (mean - 2 sd), of the utility
                    (Makarova et al., AutoML 2022, arXiv:2104.08166: terminate when the bound is below a threshold)
    best_chance     the largest chance of any point that was not measured to beat the best by more than the learnt
                    noise, as the model believes it. Less is no gain that could be told; and without such a margin
                    (Kushner, 1964) it is never below a half, for beside the best there is always a point as good

Of desirabilities both are of the overall one: within 1.96 sd of each outcome, and a chance over draws (desire.py).

Limits: what was measured counts where it is believed to keep them, what was not where that is believable, and a chance
is that of keeping them too. While nothing measured is believed to keep them there is nothing to compare with, and no
outlook. The space is looked at where the search for the proposal ended, and at a low-discrepancy cloud (of a table: its
rows).
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from labloop.campaign.stopping import CHANCE, REGRET

from .design import free_rows, sample
from .desire import draws_of
from .encoding import Array, Encoding
from .goals import Goal, desired, standing
from .history import History
from .surrogate import Model

CLOUD = 2048  # points: the bound of a known function is found to a few percent (test_outlook)
ROWS = 20_000
BELIEVABLE = 1.96


def outlook(
    model: Model, goals: Sequence[Goal], history: History, encoding: Encoding, found: Array, seed: int
) -> dict[str, float]:
    """Both figures, in units of the score that orders trials. ``found``: where the search ended, k x d."""
    mean, sd = model.predict(history.known.rivals)
    here = standing(goals, model.outcomes, model.scales, mean)
    kept = here.excess <= 0.0
    if not kept.any():
        return {}
    surest = float(np.max((here.total - _reach(goals, model, mean, sd, -1))[kept]))
    best = float(np.max(here.total[kept]))
    top = mean[kept][[int(np.argmax(here.total[kept]))]]
    mean, sd = model.predict(np.concatenate([found, _cloud(encoding, history.taken, seed)]))
    total = standing(goals, model.outcomes, model.scales, mean).total
    alone, both = _keeps(goals, model, mean, sd)
    hoped = (total + _reach(goals, model, mean, sd, 1))[np.minimum(alone, both) >= ndtr(-BELIEVABLE)]
    wishes, noises = desired(goals, model.outcomes), np.array([model.noises])
    if wishes is not None:
        normal = draws_of(len(wishes.columns), seed)
        wanted = best + float(wishes.drawn(top, noises, normal).std())
        beats = wishes.chance(mean, sd, wanted, seed)
    else:
        wanted = best + float(_spread(goals, model, noises)[0])
        beats = ndtr((total - wanted) / np.maximum(_spread(goals, model, sd), 1e-12))
    if wishes is None and wanted >= 0.0 and all(goal.target is not None for goal in goals if goal.is_wish):
        beats = np.zeros(len(total))  # no utility of a target is above 0
    return {
        REGRET: max(0.0, float(np.max(hoped, initial=surest)) - surest),
        CHANCE: float(np.max(np.minimum(beats, both) * alone)),
    }


def _spread(goals: Sequence[Goal], model: Model, sd: Array) -> Array:
    """The sd of the weighted utilities, outcomes taken as independent; of a target: that of its outcome."""
    columns = [(goal.factor, model.outcomes.index(goal.outcome)) for goal in goals if goal.is_wish]
    return np.asarray(np.sqrt(sum((factor * sd[:, at]) ** 2 for factor, at in columns)))


def _reach(goals: Sequence[Goal], model: Model, mean: Array, sd: Array, side: int) -> Array:
    """How far the weighted utilities may believably lie above (side 1) or below (-1) those of the mean."""
    wishes = desired(goals, model.outcomes)
    if wishes is not None:
        least, most = wishes.ends(mean, BELIEVABLE * sd)
        total = wishes.of(mean)
        return most - total if side > 0 else total - least
    squares = np.zeros(len(mean))
    for goal in goals:
        if not goal.is_wish:
            continue
        at = model.outcomes.index(goal.outcome)
        reach = BELIEVABLE * sd[:, at]
        if goal.target is not None:
            end = goal.target + np.maximum(np.abs(mean[:, at] - goal.target) - side * reach, 0.0)
            reach = np.abs(goal.utility(end) - goal.utility(mean[:, at]))
        squares += (goal.factor * reach) ** 2
    return np.sqrt(squares)


def _keeps(goals: Sequence[Goal], model: Model, mean: Array, sd: Array) -> tuple[Array, Array]:
    """Chances to keep the limits of outcomes that have no other wish, and the least one of those that have.

    The first are independent of being better. The second are not: both at once is at most as likely as either.
    """
    alone, both = np.ones(len(mean)), np.ones(len(mean))
    for goal in goals:
        at = model.outcomes.index(goal.outcome)
        for sign, bound in ((1.0, goal.upper), (-1.0, goal.lower)):
            if bound is None:
                continue
            keeps = ndtr(sign * (bound - mean[:, at]) / np.maximum(sd[:, at], 1e-12))
            if goal.is_wish:
                both = np.minimum(both, keeps)
            else:
                alone = alone * keeps
    return alone, both


def _cloud(encoding: Encoding, taken: Array, seed: int) -> Array:
    if encoding.rows is None:
        return sample(encoding, CLOUD, seed)
    free = free_rows(encoding, taken)
    if len(free) > ROWS:
        free = np.random.default_rng(seed).choice(free, ROWS, replace=False)
    rows: Array = encoding.rows[free]
    return rows
