"""Which model an outcome is believed by, where that is left to the data: leave-one-out evidence among a few.

    sum_i log p(y_i | all others)          in the outcome's own units, so that one scale compares with another

what a model foretells of each measurement from all the others, its noise included. Of several members it is the log of
their weighted mean. Where a transform sees the outcome its slope is counted. Parameters that were learnt from y_i
foretell it better than they ought to, by about one nat each (Akaike 1974), so as much is taken off for each; and an
outlier pays its price (robust.py), for its own variance foretells the one measurement it was made for.

The plain model stays unless another is ahead of it by more than MARGIN: with several to choose from one of them is
ahead by chance. What goes together with the one that is taken is tried next, and taken as well where that gains as much
again. Of more than ALL_LEARNT trials the choice is made where parameters are learnt, at intervals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labloop.campaign.events import Evidence

from .belief import Belief, Memory, key_of, learnt_from, remember
from .encoding import Array
from .errors import SurrogateError
from .improvement import LOG_ROOT_2PI, log_sum
from .known import Observations
from .robust import price

PLAIN, JOIN = "plain", " + "
MARGIN = 4.0  # nats; where the plain model is right another one is taken in 11 of 120 cases (docs/benchmarks.md)
FEWEST = 8  # measurements: of fewer there is no telling

Believe = Callable[[Observations, Memory], Belief]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The belief that was taken, and what spoke for it."""

    belief: Belief
    evidence: Evidence


def choose(observations: Observations, every: Mapping[str, Believe], memory: Memory) -> Chosen:
    """The belief by the candidate that is taken; the plain one is among them, and some of several words joined by JOIN.

    These are tried when the one that is taken is one of their words, and taken in its stead where they are ahead of it
    by as much again. One that cannot be fitted is left out. Raises SurrogateError where the plain one cannot be fitted.
    """
    part = observations.of(learnt_from(len(observations.values)))
    names = [PLAIN] if len(part.values) < FEWEST else [name for name in every if JOIN not in name]
    made: dict[str, Belief] = {}
    heights = _heights(names, every, part, memory, made)
    if not np.isfinite(heights[PLAIN]):
        return Chosen(every[PLAIN](observations, memory), Evidence(taken=PLAIN))
    taken = _ahead(heights, PLAIN)
    more = [name for name in every if JOIN in name and taken in name.split(JOIN)]
    if more:
        heights |= _heights(more, every, part, memory, made)
        taken = _ahead({name: heights[name] for name in (taken, *more)}, taken)
    leads = {
        name: round(height - heights[PLAIN], 3)
        for name, height in heights.items()
        if name != PLAIN and np.isfinite(height)
    }
    whole = len(part.values) == len(observations.values)
    belief = made[taken] if whole and taken in made else every[taken](observations, memory)
    evidence = Evidence(taken=taken, ahead=leads)
    failed = "".join(f", {name} failed" for name in heights if name not in (PLAIN, *leads))
    return Chosen(replace(belief, words=f"{_told(belief.words, evidence)}{failed}"), evidence)


def _ahead(heights: Mapping[str, float], stays: str) -> str:
    """The highest, where it is ahead of what ``stays`` else by more than MARGIN."""
    best = max(heights, key=lambda name: heights[name])
    return best if heights[best] > heights[stays] + MARGIN else stays


def _heights(
    names: Sequence[str], every: Mapping[str, Believe], part: Observations, memory: Memory, made: dict[str, Belief]
) -> dict[str, float]:
    """The evidence of some candidates, remembered. made: takes the beliefs that were fitted for it."""
    key = key_of(f"evidence of {', '.join(names)}", part.points, part.values, part.variances, part.trials.astype(float))
    if key not in memory:
        remember(memory, key, np.array([_height(every[name], name, part, made) for name in names]))
    return dict(zip(names, map(float, memory[key]), strict=True))


def _told(words: str, evidence: Evidence) -> str:
    """What is said of the outcome: how it is believed, and why so."""
    if evidence.taken != PLAIN:
        return f"{words} ({evidence.taken}, taken by evidence: {evidence.ahead[evidence.taken]:+.1f} over plain)"
    if not evidence.ahead:
        return "plain, of too few trials to tell"
    nearest = max(evidence.ahead, key=lambda name: evidence.ahead[name])
    return f"plain by evidence (nearest is {nearest}, {evidence.ahead[nearest]:+.1f})"


def _height(believe: Believe, name: str, part: Observations, made: dict[str, Belief]) -> float:
    """The evidence of a candidate; minus infinity where it has none."""
    try:
        belief = made[name] = believe(part, {})
    except (SurrogateError, ValueError, ArithmeticError):
        if name == PLAIN:
            raise
        return -np.inf
    return log_density(belief, part.values)


def log_density(belief: Belief, values: Array) -> float:
    """What a belief foretells of each value that it has learnt from, from all the others, less what it has to pay."""
    each = []
    for member in belief.members:
        mean, variance = member.leave_one_out()
        each.append(-0.5 * (member.data.y - mean) ** 2 / variance - 0.5 * np.log(variance) - LOG_ROOT_2PI)
    logs = log_sum([one + np.log(weight) for one, weight in zip(each, belief.weights, strict=True)])
    total = float(np.sum(logs - np.log(belief.scale) + belief.transform.log_slopes(values)))
    learnt = len(belief.members[0].parameters) + belief.transform.learnt
    return total - learnt - price(len(values)) * len(belief.outliers)


def even(beliefs: list[Belief]) -> list[Belief]:
    """The same with as many members each: one that has fewer counts them several times, with as much less weight."""
    most = int(np.lcm.reduce([len(belief.members) for belief in beliefs]))
    found = []
    for belief in beliefs:
        times = most // len(belief.members)
        found.append(replace(belief, members=belief.members * times, weights=np.tile(belief.weights / times, times)))
    return found
