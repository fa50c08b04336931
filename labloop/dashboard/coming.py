"""What comes next, and about when: the trials in hand to their ends, then others until the budget is spent.

How long a step will take is what it took lately at its place in the recipe (a median), else what its driver said when
it was begun last. Trials follow each other as the bench lets them: one after the other, or (``samples: pipelined``)
each stage as soon as its instruments are free. It is an outlook and no promise: a trial that is not proposed yet is
taken to be like the last one, and nothing that may go wrong does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import Final

from msgspec import structs

from labloop.campaign.bench_time import trials_allowed
from labloop.campaign.errors import SpecError
from labloop.campaign.recipe import PlannedStage, stages
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import AWAITING, OPEN_STATES, PAUSED, RUNNING, STARTED, CampaignState, StepState, TrialState

from .timeline import Bar

TO_COME: Final = ("─", "")  # of a trial
BESIDE: Final = ("┄", "quiet")  # cleanup
# Steps looked back at: some dozen trials of a usual recipe. All of a long run's would take a second at every look.
LOOK_BACK: Final = 400
RECENT: Final = 5
MOST: Final = 200  # trials ahead: more have no room in any window

Place = tuple[str, int, int, str, str]  # phase, stage, index, instrument, action


@dataclass(slots=True)
class Coming:
    """Bars by instrument, and when each is free. Grows by ``put``."""

    took: dict[Place, float]
    bars: dict[str, list[Bar]] = field(default_factory=dict)
    free_s: dict[str, float] = field(default_factory=dict)

    def put(self, phase: str, number: int, stage: PlannedStage, begun: set[Place], trial: int, at_s: float) -> float:
        """One stage of one trial, not before ``at_s``; when it is over."""
        steps = [
            (step.instrument, self.took.get(place, 0.0))
            for index, step in enumerate(stage.steps)
            if (place := (phase, number, index, step.instrument, step.action)) not in begun
        ]
        start_s = max([at_s, *(self.free_s.get(name, at_s) for name, _ in steps)])
        mark, tone = TO_COME if phase == "trial" else BESIDE
        for name, duration_s in steps:
            label = str(trial) if phase == "trial" else ""
            self.bars.setdefault(name, []).append(Bar(start_s, start_s + duration_s, mark, tone, label))
            self.free_s[name] = start_s + duration_s
        return max([start_s, *(start_s + duration_s for _, duration_s in steps)])


def coming(
    spec: CampaignSpec, state: CampaignState, now_s: float, until_s: float, pipelined: bool = False
) -> dict[str, list[Bar]]:  # fmt: skip
    """Return what is to come on each instrument until ``until_s``; nothing where nothing goes on."""
    if state.state not in (RUNNING, PAUSED):
        return {}
    found = Coming(durations(state))
    ends: dict[int | None, float] = {}  # when the steps in hand of a trial are over
    for step in _in_hand(state):
        begun = step.begun
        over_s = max(begun.t_s + (found.took.get(_place(step)) or begun.expected_s), now_s)
        mark, tone = TO_COME if begun.phase == "trial" else BESIDE
        found.bars.setdefault(begun.instrument, []).append(Bar(now_s, over_s, mark, tone, ""))
        found.free_s[begun.instrument] = over_s
        ends[begun.trial] = max(ends.get(begun.trial, now_s), over_s)
    before_s = ends.get(None, now_s)
    for trial in _ahead(spec, state):
        at_s = max(ends.get(trial.trial, now_s), now_s if pipelined else before_s)
        before_s = _trial(found, spec, trial, at_s)
        if before_s > until_s and not pipelined:
            break
        if at_s > until_s:
            break
    return {name: [bar for bar in bars if bar.start_s < until_s] for name, bars in found.bars.items()}


def durations(state: CampaignState) -> dict[Place, float]:
    """Return how long steps took lately, by their place in the recipe."""
    took: dict[Place, list[float]] = {}
    said: dict[Place, float] = {}
    for step in islice(reversed(state.steps.values()), LOOK_BACK):
        place = _place(step)
        if step.state == "finished" and len(took.setdefault(place, [])) < RECENT:
            took[place].append(max(step.ended_t_s - step.begun.t_s, 0.0))
        if step.begun.expected_s:
            said.setdefault(place, step.begun.expected_s)
    return said | {place: median(found) for place, found in took.items() if found}


def _place(step: StepState) -> Place:
    begun = step.begun
    return begun.phase, begun.stage, begun.index, begun.instrument, begun.action


def _in_hand(state: CampaignState) -> Iterable[StepState]:
    return (step for step in islice(reversed(state.steps.values()), LOOK_BACK) if step.state == STARTED)


def _ahead(spec: CampaignSpec, state: CampaignState) -> Sequence[TrialState]:
    """The trials in hand, then as many like the last one as the budget has room for."""
    known = [state.trials[number] for number in sorted(state.open_trials)]
    known = [trial for trial in known if trial.acted or trial.state != AWAITING]
    allowed, last = trials_allowed(spec, state), state.trials.get(max(state.trials, default=0))
    if last is None or allowed is None:
        return known
    owed = sum(trial.state in OPEN_STATES and trial.role == "candidate" for trial in known)
    more = min(max(allowed - state.measured - owed, 0), MOST)
    made = [
        TrialState(proposal=structs.replace(last.proposal, trial=number), seq=0, proposed="")
        for number in range(last.trial + 1, last.trial + 1 + more)
    ]
    return [*known, *made]


def _trial(found: Coming, spec: CampaignSpec, trial: TrialState, at_s: float) -> float:
    """What is left of one trial, with its cleanup; when it is over."""
    begun = {_place(step) for step in trial.steps if step.state in ("started", "finished")}
    phases = ["trial", "cleanup"] if trial.state in OPEN_STATES - {AWAITING} else ["cleanup"]
    for phase in phases:
        try:
            planned = stages(spec, phase, trial.settings)
        except SpecError:  # a text of the campaign that has no value for it any more
            return at_s
        for number, stage in enumerate(planned):
            at_s = found.put(phase, number, stage, begun, trial.trial, at_s)
    return at_s
