"""Two wishes or more against each other: the trials, which of them no other beats, and how the front grew.

The hypervolume is what the front dominates above a reference point, all of it in the wishes' own units (a target counts
by the distance from it). Its reference is the one that the planner proposes by, as it is now, so that the course of one
run can be compared along itself; another run has another reference unless the campaign says one.
"""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import NDArray

from labloop.campaign.objective import Objective
from labloop.campaign.state import CampaignState

from .encoding import Array
from .errors import SurrogateError
from .figure import Front
from .goals import Goal, Standing, is_pareto, reference_point, standing

MOST_BEATEN = 1500  # trials behind the front that are given: a terminal shows no more
MOST_STEPS = 300  # of the course


def front_of(goals: Sequence[Goal], objective: Objective, state: CampaignState) -> tuple[Front, int]:
    """What was measured as the wishes see it, and how many trials that is.

    Raises SurrogateError, in words, where there is no front.
    """
    if not is_pareto(goals):
        raise SurrogateError(
            "This campaign orders trials by one number, so there is no front. "
            "Two goals or more without weights make one"
        )
    trials = objective.measured(state.trials[number] for number in sorted(state.trials))
    if not trials:
        raise SurrogateError("No trial is measured yet, so there is no front")
    wishes = list(objective.goals)
    wanted = [goal for goal in goals if goal.is_wish]
    values = np.array([[float(trial.outcomes[name].value or 0.0) for name in wishes] for trial in trials])
    kept = np.array([objective.feasible(trial) for trial in trials])
    counts = kept if kept.any() else np.ones(len(trials), dtype=bool)
    seen = standing(wanted, wishes, [1.0] * len(wanted), values)
    numbers = np.array([trial.trial for trial in trials])
    grown = _grown(seen.utilities, counts)
    first = np.zeros(len(trials), dtype=bool)
    first[grown[-1][1]] = True
    reference = _reference(seen, counts, first)
    course = _course(numbers, seen.utilities, grown, reference)
    beaten = np.flatnonzero(~first)
    if len(beaten) > MOST_BEATEN:
        beaten = beaten[np.linspace(0, len(beaten) - 1, MOST_BEATEN).astype(np.intp)]
    shown = np.sort(np.concatenate([np.flatnonzero(first), beaten]))
    front = Front(
        wishes=wishes, trials=numbers[shown].tolist(), values=values[shown].T.tolist(), kept=kept[shown].tolist(),
        first=first[shown].tolist(), course=course,
        reference=[_back(goal, float(u)) for goal, u in zip(wanted, reference, strict=True)],
    )  # fmt: skip
    return front, len(trials)


def _grown(utilities: Array, counts: NDArray[np.bool_]) -> list[tuple[int, NDArray[np.intp]]]:
    """(row, the rows that no other beats up to there; of equals all), for every row, or of many for some."""
    steps = set(np.linspace(0, len(utilities) - 1, min(len(utilities), MOST_STEPS)).astype(np.intp).tolist())
    members, course = np.empty(0, dtype=np.intp), []
    for row, (point, is_kept) in enumerate(zip(utilities, counts, strict=True)):
        front = utilities[members]
        if is_kept and not np.any(np.all(front >= point, axis=1) & np.any(front > point, axis=1)):
            beaten = np.all(front <= point, axis=1) & np.any(front < point, axis=1)
            members = np.append(members[~beaten], row)
        if row in steps:
            course.append((row, members))
    return course


def _reference(seen: Standing, counts: NDArray[np.bool_], first: NDArray[np.bool_]) -> Array:
    """The planner's reference point; of what is behind the front it asks for the worst only."""
    among = seen.utilities[counts]
    some = np.concatenate([seen.utilities[first], among[np.argmin(among, axis=0)]])
    return reference_point(Standing(seen.goals, some, np.zeros(len(some))))


def _course(
    trials: NDArray[np.intp], utilities: Array, grown: Sequence[tuple[int, NDArray[np.intp]]], reference: Array
) -> list[tuple[int, float]]:
    """(trial, the hypervolume after it)."""
    volume, before, course = 0.0, None, []
    for row, members in grown:
        if members is not before and len(members):
            volume = float(moocore.hypervolume(utilities[members], ref=reference, maximise=True))
        before = members
        course.append((int(trials[row]), float(f"{volume:.6g}")))
    return course


def _back(goal: Goal, utility: float) -> float:
    """A utility as the outcome's own number; of a target the one above it."""
    return goal.target + goal.tolerance - utility if goal.target is not None else goal.sense * utility
