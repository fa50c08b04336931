"""Which step may start: pure functions of the recipe and the facts.

A trial walks through the stages of its recipe; the stages behind it are those whose every step has finished once. The
bench is shared by one rule: *a stage may start when no earlier trial that is still open needs any of its instruments*.
What an open trial needs is everything its recipe and its cleanup name (``one_at_a_time``: the vessel stays where it
is), or only what lies before it (``pipelined``: samples move on by themselves). Trials are ordered by number and needs
only shrink, so nobody waits in a circle and samples keep their order on the line.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labloop.campaign import recipe
from labloop.campaign import state as s
from labloop.campaign.events import Value
from labloop.campaign.recipe import PlannedStage, PlannedStep
from labloop.campaign.spec import CampaignSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStage:
    """The stage to run now: where it stands, and the steps of it that have not finished yet, by index."""

    number: int
    stage: PlannedStage
    steps: Mapping[int, PlannedStep]
    attempt: int


def planned(spec: CampaignSpec, phase: str, settings: Mapping[str, Value]) -> tuple[PlannedStage, ...]:
    """The stages of a phase; with ``remeasure: n`` a trial ends by measuring the same sample n - 1 times more."""
    stages = recipe.stages(spec, phase, settings)
    if phase != "trial" or spec.remeasure == 1:
        return stages
    again = tuple(stage for stage in stages if any(step.save_as for step in stage.steps))
    return stages + again * (spec.remeasure - 1)


def next_stage(stages: Sequence[PlannedStage], steps: Iterable[s.StepState], phase: str) -> NextStage | None:
    """The first stage of ``phase`` with a step that has not finished; None when the phase is done.

    ``steps``: every attempt so far of this trial (or this pass of a phase), in the journal's order. What was begun as
    part of the remainder of an act counts with it: an act is finished when its last attempt finished.
    """
    last: dict[tuple[int, int], s.StepState] = {}
    attempts: dict[tuple[int, int], int] = {}
    for step in steps:
        if step.begun.phase == phase:
            place = step.begun.stage, step.begun.index
            last[place] = step
            attempts[place] = attempts.get(place, 0) + 1
    for number, stage in enumerate(stages):
        left = {
            index: planned
            for index, planned in enumerate(stage.steps)
            if (number, index) not in last or last[number, index].state != s.FINISHED
        }
        if left:
            attempt = 1 + max(attempts.get((number, index), 0) for index in left)
            return NextStage(number=number, stage=stage, steps=left, attempt=attempt)
    return None


def instruments_of(stages: Iterable[PlannedStage]) -> frozenset[str]:
    """Every instrument that the stages name."""
    return frozenset(step.instrument for stage in stages for step in stage.steps)


def needs(
    trial: Sequence[PlannedStage],
    cleanup: Sequence[PlannedStage],
    steps: Iterable[s.StepState],
    *,
    made: bool,
    pipelined: bool,
) -> frozenset[str]:
    """What an open trial still keeps from those behind it. ``made``: its recipe is over, only cleanup is left."""
    if not pipelined:
        return instruments_of(trial) | instruments_of(cleanup)
    current = None if made else next_stage(trial, steps, "trial")
    # Where no stage is ahead, it is asked whether all stands that it has set, before it counts (see walk).
    ahead = () if made else trial[current.number if current else -1 :]
    return instruments_of(ahead) | instruments_of(cleanup)


def may_start(instruments: frozenset[str], earlier_needs: Iterable[frozenset[str]]) -> bool:
    """Whether nobody ahead still needs any of ``instruments``."""
    return not any(instruments & need for need in earlier_needs)


def too_many_in_a_row(state: s.CampaignState, allowed: int) -> str:
    """Why a bench on which so many trials in a row came to nothing is a sick one ("": it is not)."""
    if state.failures_in_a_row < allowed:
        return ""
    failed = [one for one in state.trials.values() if one.state in (s.FAILED, s.ABANDONED)]
    last = max((one for one in failed if not one.told_by), key=lambda trial: trial.finished_seq)
    return f"{allowed} trials in a row came to nothing; the last: {last.reason}"
