"""What the trials taught, as arrays: a CampaignState seen by the planner."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from labloop.campaign.events import Reading, Value
from labloop.campaign.state import FAILED, MEASURED, OPEN_STATES, CampaignState, TrialState

from .encoding import Array, Encoding
from .goals import Goal
from .known import Known, Observations


@dataclass(frozen=True, slots=True)
class History:
    """``data``: {outcome: observations}; ``taken``: every point that was measured, failed or is open, n x d."""

    data: dict[str, Observations]
    known: Known
    taken: Array
    begun: int  # trials that count for the initial design: measured or open
    failed: int
    left_out: int  # trials whose settings this space cannot hold, and results that are no numbers

    def and_pending(self, point: Array) -> "History":
        """The same with one more trial in flight."""
        point = point[None, :]
        known = replace(self.known, pending=np.concatenate([self.known.pending, point]))
        taken = np.concatenate([self.taken, point])
        return History(self.data, known, taken, self.begun + 1, self.failed, self.left_out)


def read(state: CampaignState, encoding: Encoding, goals: Iterable[Goal]) -> History:
    """Sort the trials. Abandoned ones and those marked as wrong teach nothing; controls and repeats like any other.

    A trial of which a part is known teaches that, and is in flight for the rest.
    """
    goals = tuple(goals)
    wanted: list[TrialState] = []
    measured: list[tuple[Array, TrialState]] = []
    pending: list[Array] = []
    failed: list[Array] = []
    left_out = begun = 0
    tasted = {one.outcome for one in goals if one.compared}
    for trial in (state.trials[number] for number in sorted(state.trials)):
        if trial.is_withdrawn or (trial.state not in OPEN_STATES and trial.state not in (MEASURED, FAILED)):
            continue
        begun += trial.state != FAILED and trial.role == "candidate"
        wanted.append(trial)
    for trial, point in zip(wanted, points_of([trial.settings for trial in wanted], encoding), strict=True):
        if point is None:
            left_out += 1
        elif trial.state == MEASURED:
            if tasted - trial.outcomes.keys():  # it will be compared
                pending.append(point)
            measured.append((point, trial))
        elif trial.state == FAILED:
            failed.append(point)
        else:
            pending.append(point)
            if trial.measured:  # a part of it is known, the rest still to come
                measured.append((point, trial))
    data = {}
    useful = np.zeros(len(measured), dtype=bool)
    for goal in goals:
        found = [_number(trial.outcomes.get(goal.outcome)) for _, trial in measured]
        rows = [index for index, number in enumerate(found) if number is not None]
        numbers = [number for number in found if number is not None]
        useful[rows] = True
        data[goal.outcome] = Observations(
            _stack([measured[index][0] for index in rows], encoding),
            np.array([value for value, _ in numbers]),
            np.array([sd**2 for _, sd in numbers]),
            np.array([measured[index][1].trial for index in rows], dtype=np.intp),
            _compared(state, [measured[index][1].trial for index in rows]) if goal.compared else None,
        )
    waiting = np.array(
        [trial.state != MEASURED or bool(tasted - trial.outcomes.keys()) for _, trial in measured], dtype=bool
    )
    points = _stack([point for point, _ in measured], encoding)
    known = Known(points[useful], _stack(pending, encoding), points[useful], _stack(failed, encoding))
    if encoding.amended:
        known = replace(known, reachable=encoding.holds(known.observed))
    taken = np.concatenate([points, known.failed, known.pending])
    return History(data, known, taken, begun, len(failed), left_out + int(np.sum(~useful & ~waiting)))


def _compared(state: CampaignState, trials: list[int]) -> tuple[tuple[int, int, bool], ...]:
    """Comparisons between these trials, by their places in the list."""
    at = {number: place for place, number in enumerate(trials)}
    told = [one for one in state.tastes.comparisons if one.trial in at and one.over in at]
    return tuple((at[one.trial], at[one.over], one.tie) for one in told)


def points_of(settings: Sequence[Mapping[str, Value]], encoding: Encoding) -> list[Array | None]:
    """``point_of`` of many, at once where this space has a place for all."""
    try:
        points = encoding.encode(settings)
    except (KeyError, ValueError, TypeError):
        return [point_of(one, encoding) for one in settings]
    finite = np.isfinite(points)
    return [point if here.all() else None for point, here in zip(points, finite, strict=True)]


def point_of(settings: Mapping[str, Value], encoding: Encoding) -> Array | None:
    """Settings as a point; None when this space has no place for them (a choice that was taken out since)."""
    try:
        point = encoding.encode([settings])[0]
    except (KeyError, ValueError, TypeError):
        return None
    return point if np.all(np.isfinite(point)) else None


def _number(reading: Reading | None) -> tuple[float, float] | None:
    """Value and sd (0: not given); None for a word, NaN, infinity, what is only a bound, and what is flagged."""
    if reading is None or isinstance(reading.value, str | None) or reading.censored or reading.flag:
        return None
    value = float(reading.value)
    sd = reading.sd if reading.sd is not None and isfinite(reading.sd) else 0.0
    return (value, sd) if isfinite(value) else None


def _stack(points: list[Array], encoding: Encoding) -> Array:
    return np.array(points).reshape(-1, encoding.dimension)
