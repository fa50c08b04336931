"""What is better: goals, weights, limits.

Each goal gives a utility, larger is better: ``-y`` (minimize), ``y`` (maximize), minus the distance from the target
beyond the tolerance; of ``prefer`` it is what comparisons say of the trial (see tastes). With one goal or with weights
trials are ordered by (limits kept, sum of weight * utility less that of the reference); two or more goals without
weights order them only by dominance: a Pareto front. Where goals say how desirable their values are the score is the
overall desirability (see desirability). A trial that breaks a limit is worse than any that keeps them all;
among those that break some, less excess is better.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .desirability import Shape, shown, together
from .events import Reading
from .grammar import CampaignSpec
from .outcomes import Limit, OutcomeSpec, Target


class Trial(Protocol):
    """What is asked of a trial."""

    @property
    def trial(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def outcomes(self) -> Mapping[str, Reading]: ...


T = TypeVar("T")


def value_of(reading: Reading | float | None) -> float | None:
    """The number of a reading; None when it is none, not finite, only a bound, or not to be believed."""
    if isinstance(reading, Reading) and (reading.censored or reading.flag):
        return None
    raw = reading.value if isinstance(reading, Reading) else reading
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        return None
    return float(raw)


class Objective:
    """The wishes of a campaign. ``goals``: the outcomes that have one, in the order written."""

    def __init__(self, spec: CampaignSpec) -> None:
        self.outcomes: dict[str, OutcomeSpec] = dict(spec.outcomes)
        self.goals: dict[str, OutcomeSpec] = {n: one for n, one in spec.outcomes.items() if one.is_wish}
        self.limits: dict[str, OutcomeSpec] = {n: one for n, one in spec.outcomes.items() if one.limit is not None}
        self.shapes: dict[str, Shape] = {n: one.shape for n, one in self.goals.items() if one.shape is not None}
        weighed = any(one.weight is not None for one in self.goals.values())
        self.pareto: bool = len(self.goals) > 1 and not weighed and not self.shapes

    def utility(self, name: str, value: float) -> float:
        """How good a value of one outcome is; larger is better, 0 is within the tolerance of a target.

        Of a desirability it is that, and below 0 what is short of being of use, in spans.
        """
        if name in self.shapes:
            return self.shapes[name].standing(value)
        goal = self.goals[name].goal
        if isinstance(goal, Target):
            return -max(abs(value - goal.target) - goal.tolerance, 0.0)
        return -value if goal == "minimize" else value

    def utilities(self, outcomes: Any) -> tuple[float, ...] | None:
        """The utility of each goal, of a trial or a mapping of outcomes; None when one is not known."""
        found, utilities = _outcomes(outcomes), []
        for name in self.goals:
            value = value_of(found.get(name))
            if value is None:
                return None
            utilities.append(self.utility(name, value))
        return tuple(utilities)

    def score(self, outcomes: Any) -> float | None:
        """One number, larger is better, where goals are ordered by one (see ``pareto``); None when not known."""
        utilities = self.utilities(outcomes)
        return None if utilities is None else self._total(utilities)

    def _total(self, utilities: tuple[float, ...]) -> float:
        if self.shapes:
            return together(utilities, [1.0 if one.weight is None else one.weight for one in self.goals.values()])
        total = 0.0
        for (name, outcome), utility in zip(self.goals.items(), utilities, strict=True):
            zero = 0.0 if outcome.reference is None else self.utility(name, outcome.reference)
            total += (1.0 if outcome.weight is None else outcome.weight) * (utility - zero)
        return total

    def desirability(self, outcomes: Any) -> tuple[float, dict[str, float]] | None:
        """The overall desirability and that of each goal, from 0 to 1; None where none is asked for or known."""
        score, utilities = self.score(outcomes), self.utilities(outcomes)
        if not self.shapes or score is None or utilities is None:
            return None
        return shown(score), {name: shown(one) for name, one in zip(self.goals, utilities, strict=True)}

    def excess(self, outcomes: Any) -> float:
        """By how much limits are broken in all, each in units of its bound; 0: all are kept; unknown ones break."""
        found, total = _outcomes(outcomes), 0.0
        for name, outcome in self.limits.items():
            if outcome.limit is not None:
                total += _excess(outcome.limit, found.get(name))
        return total

    def feasible(self, outcomes: Any) -> bool:
        """Whether every limit on an outcome is kept."""
        return self.excess(outcomes) == 0.0

    def rank(self, outcomes: Any) -> tuple[float, float] | None:
        """Where it stands among others, larger is better, where they are ordered (see ``pareto``); None: not known.

        How little limits are broken comes first; then, where all are kept, the score.
        """
        utilities = self.utilities(outcomes)
        if utilities is None:
            return None
        broken = self.excess(outcomes) if self.limits else 0.0
        return (-broken, 0.0) if broken else (0.0, self._total(utilities))

    def better(self, one: Any, other: Any) -> bool:
        """Whether one trial (or mapping of outcomes) is better than another; on a front: dominates it."""
        if not self.pareto:
            rank, against = self.rank(one), self.rank(other)
            return rank is not None and (against is None or rank > against)
        left, right = self.utilities(one), self.utilities(other)
        if left is None or right is None:
            return left is not None and right is None
        broken, others = self.excess(one), self.excess(other)
        if broken or others:
            return broken < others
        return all(a >= b for a, b in zip(left, right, strict=True)) and left != right

    def measured(self, trials: Iterable[T]) -> list[T]:
        """The trials that count: measured, no controls or blanks, every goal known."""
        return [
            trial for trial in trials
            if getattr(trial, "state", "measured") == "measured"
            and getattr(trial, "role", "candidate") in ("candidate", "repeat")
            and self.utilities(trial) is not None
        ]  # fmt: skip

    def best(self, trials: Iterable[T]) -> Any:
        """The best trial (the first of equals), or the Pareto front as a list; None or [] when nothing is measured."""
        measured = self.measured(trials)
        if self.pareto:
            return self.front(measured)
        best: T | None = None
        for trial in measured:
            if best is None or self.better(trial, best):
                best = trial
        return best

    def front(self, trials: Sequence[T]) -> list[T]:
        """The trials that none dominates, in their order."""
        kept = [trial for trial in trials if self.feasible(trial)] or list(trials)
        return [trial for trial in kept if not any(self.better(other, trial) for other in kept)]

    def course(self, trials: Iterable[Any]) -> list[float]:
        """Best so far after each measured trial: the outcome's value with one goal, else the score.

        Trials that break a limit leave it as it is; before the first that keeps them all it is not a number. On a
        front: the largest sum of utilities.
        """
        best: Any = None
        course: list[float] = []
        for trial in self.measured(trials):
            if self.feasible(trial) and (best is None or (self.score(trial) or 0.0) > (self.score(best) or 0.0)):
                best = trial
            course.append(math.nan if best is None else self._shown(best))
        return course

    def _shown(self, trial: Any) -> float:
        if len(self.goals) == 1:
            return value_of(_outcomes(trial).get(next(iter(self.goals)))) or 0.0
        score = self.score(trial) or 0.0
        return shown(score) if self.shapes else score


def _excess(limit: Limit, reading: Any) -> float:
    """By how much a limit is broken, in units of its bound. A bound may be enough to know that it is kept."""
    side = reading.censored if isinstance(reading, Reading) and not reading.flag else ""
    value = value_of(reading.value) if side else value_of(reading)
    if value is None:
        return math.inf
    excess = limit.excess(value) / (abs(limit.value) or 1.0)
    if not side or side == ("below" if limit.sense == "<=" else "above"):
        return excess if not side or excess == 0.0 else math.inf
    return excess or math.inf


def _outcomes(trial: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = trial if isinstance(trial, Mapping) else trial.outcomes
    return found
