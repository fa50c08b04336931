"""What the plot shows: measured values, the best so far, and what the model hoped for. Points only, no drawing.

One goal (or several under weights) is a course over the trials; a Pareto front is a picture of two outcomes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from labloop.campaign import text
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import OPEN_STATES, CampaignState, TrialState
from labloop.campaign.view import BREAKS

from .view import measured

T = TypeVar("T")
Points = list[tuple[float, float]]
# More bands than this hide the points between them at 80 columns.
BANDS: Final = 12
# Two sd each way: the band that 19 of 20 results should fall into, if the model is honest.
WIDTH_SD: Final = 2.0
# A terminal has a few hundred columns: more points than this cost time and show nothing more.
MOST_POINTS: Final = 1200


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the outcome's unit. ``bands``: (trial, low, mean, high) of recent proposals, newest last."""

    title: str
    goal: str
    x_label: str
    y_label: str
    first: Points  # the initial design, and what people told
    model: Points  # what the model proposed
    best: Points  # the best so far, or the Pareto front
    bands: list[tuple[float, float, float, float]]
    front: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing to plot yet."""
        return not (self.first or self.model or self.bands)

    def limits(self) -> tuple[float, float]:
        """Return the range of y: all that was measured, and of the bands what lies within half that range beside it."""
        values = [y for points in (self.first, self.model, self.best) for _, y in points]
        ends = [y for _, low, _, high in self.bands for y in (low, high)]
        if not values:
            return min(ends), max(ends)
        low, high = min(values), max(values)
        room = 0.5 * (high - low) or abs(high) * 0.1 or 1.0
        return max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)


def goal_words(spec: CampaignSpec, name: str) -> str:
    """Return what is wanted of an outcome: ``minimize``, ``maximize`` or ``530 ± 5 nm``."""
    outcome = spec.outcomes[name]
    goal = outcome.goal
    if goal is None:
        return "within its limit"
    if isinstance(goal, str):
        return goal
    return f"towards {text.spread(goal.target, goal.tolerance)} {outcome.unit}".rstrip()


class Course:
    """The best so far, kept up as results come: a long run costs no more for its next result than a short one."""

    def __init__(self, spec: CampaignSpec) -> None:
        self.objective = Objective(spec)
        self.tastes = any(one.prefers for one in self.objective.goals.values())
        self.done: dict[int, TrialState] = {}
        self.best: list[tuple[TrialState, TrialState]] = []  # (trial, the best once it was measured)
        self.leaders: list[TrialState] = []  # the best one, or the Pareto front
        self._rank: tuple[float, float] | None = None  # of the best one

    def update(self, trials: Iterable[TrialState]) -> None:
        """Add the results among ``trials``, which are in the order of their numbers."""
        changed = list(trials)
        counted = self.objective.measured(changed)
        new = [trial for trial in counted if trial.trial not in self.done]
        gone = {trial.trial for trial in changed if trial.trial in self.done} - {trial.trial for trial in counted}
        late = bool(new and self.done) and new[0].trial < next(reversed(self.done))
        if late or gone or self.tastes:  # begin anew, in order: a comparison says something of every trial
            kept = [trial for number, trial in self.done.items() if number not in gone]
            new = sorted([*kept, *new], key=lambda trial: trial.trial)
            self.done, self.best, self.leaders, self._rank = {}, [], [], None
        for trial in new:
            self.done[trial.trial] = trial
            self._lead(trial)
            self.best.append((trial, self.leaders[0]))

    def _lead(self, trial: TrialState) -> None:
        better = self.objective.better
        if not self.objective.pareto:
            rank = self.objective.rank(trial)
            if self._rank is None or (rank is not None and rank > self._rank):
                self.leaders, self._rank = [trial], rank
        elif not any(better(leader, trial) for leader in self.leaders):
            self.leaders = [leader for leader in self.leaders if not better(trial, leader)] + [trial]


def course_of(spec: CampaignSpec, state: CampaignState) -> Course:
    """Return the whole course of a campaign."""
    course = Course(spec)
    course.update(state.trials[number] for number in sorted(state.trials))
    return course


def curve(spec: CampaignSpec, state: CampaignState, outcome: str, course: Course) -> Curve:
    """Return the points for ``outcome``, or the front of the first two goals of a Pareto campaign."""
    goals = list(course.objective.goals)
    if course.objective.pareto and outcome == goals[0]:
        return _front(spec, course, goals[0], goals[1])
    done = course.done.values()
    first = [trial for trial in done if trial.source != "model"]
    model = [trial for trial in done if trial.source == "model"]
    steps = course.best
    if outcome in goals:  # known of each of them: those that are not shown need not be looked at
        first, model, steps = _thin(first), _thin(model), _thin(steps)
    unit = spec.outcomes[outcome].unit
    title = f"{outcome}{f' [{unit}]' if unit else ''}"
    best = course.leaders[0] if course.leaders else None
    found = best.outcomes.get(outcome) if best is not None else None
    if best is not None and found is not None:
        lacks = "" if course.objective.feasible(best) else f", {BREAKS}"
        title += f" · best {text.reading(found)} (trial {best.trial}{lacks})"
    return Curve(
        title=title,
        goal=goal_words(spec, outcome),
        x_label="trial",
        y_label=outcome,
        first=_thin([p for t in first for p in _point(t, outcome)]),
        model=_thin([p for t in model for p in _point(t, outcome)]),
        best=_thin([(float(trial.trial), y) for trial, one in steps if (y := measured(one, outcome)) is not None]),
        bands=_bands(state, outcome),
    )


def _front(spec: CampaignSpec, course: Course, x: str, y: str) -> Curve:
    members = {trial.trial for trial in course.leaders}
    front = sorted(_pair(trial, x, y) for trial in course.leaders)

    def cloud(model: bool) -> Points:
        done = (t for t in course.done.values() if (t.source == "model") is model and t.trial not in members)
        return _thin([_pair(trial, x, y) for trial in done])

    title = f"{y} over {x} · {len(members)} on the front"
    goal = f"{x}: {goal_words(spec, x)}, {y}: {goal_words(spec, y)}"
    return Curve(title, goal, x, y, cloud(False), cloud(True), front, [], front=True)


def _pair(trial: TrialState, x: str, y: str) -> tuple[float, float]:
    return measured(trial, x) or 0.0, measured(trial, y) or 0.0


def _point(trial: TrialState, outcome: str) -> Points:
    value = measured(trial, outcome)
    return [] if value is None else [(float(trial.trial), value)]


def _bands(state: CampaignState, outcome: str) -> list[tuple[float, float, float, float]]:
    bands = []
    for number in reversed(state.trials):
        trial = state.trials[number]
        hoped = trial.proposal.predicted.get(outcome)
        if hoped is not None and (trial.outcomes or trial.state in OPEN_STATES):
            reach = WIDTH_SD * hoped.sd
            bands.append((float(number), hoped.mean - reach, hoped.mean, hoped.mean + reach))
        if len(bands) == BANDS:
            break
    return bands[::-1]


def _thin(points: list[T]) -> list[T]:
    """Keep the ends and evenly as many between them as a terminal can show."""
    if len(points) <= MOST_POINTS:
        return points
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]
