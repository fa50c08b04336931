"""Every proposal made again, from the facts that it rested on, and held against the one in the journal.

    same       settings, predictions, score, runners-up: to the last bit
    close      the settings are the same, a number beside them is another (another machine, other libraries)
    differs    other settings
    none       nobody computed it from facts: a person's wish, a told trial, a control, one that was tried again, or a
               point that stood in for a planner that did not answer
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState, TrialState, fold
from labloop.planner.planner import Problem, plan
from labloop.planner.problem import read_problem
from labloop.planner.proposal import Proposal

from .basis import basis

SAME, CLOSE, DIFFERS, NONE = "same", "close", "differs", "none"
STOOD_IN: Final = "the planner did not answer:"  # so begins the reason of a point that was drawn instead
NO_MODEL: Final = "surrogate failed:"  # and so of one that the design gave, whatever became of the model's process

# The campaign as it was at some state, and as it was before that, oldest first.
Specs = Callable[[CampaignState], tuple[CampaignSpec, Sequence[CampaignSpec]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One proposal held against its replay. ``words``: what is another in it, or why there is no replay."""

    trial: int
    source: str
    verdict: str
    words: str = ""


def replay(records: Sequence[e.Record], specs: Specs, only: Collection[int] = ()) -> Iterator[Replayed]:
    """Each proposal in turn; ``only``: of these trials. Raises SpecError for a trial that is not there."""
    trials = fold(records).trials
    if unknown := sorted(set(only) - trials.keys()):
        raise SpecError(f"there is no trial {unknown[0]}; the last is {max(trials, default=0)}")
    problems: dict[int, Problem] = {}  # by how often the campaign had been amended
    for number in sorted(only or trials):
        trial = trials[number]
        if why := _not_computed(trial.proposal):
            yield Replayed(trial=number, source=trial.source, verdict=NONE, words=why)
            continue
        state = basis(records, trial)
        amended = len(state.amendments)
        if amended not in problems:
            problems = {amended: read_problem(*specs(state))}
        verdict, words = _held_against(trial, state, problems[amended])
        yield Replayed(trial=number, source=trial.source, verdict=verdict, words=words)


def _not_computed(proposal: e.ProposalMade) -> str:
    if proposal.again_of is not None:
        return f"trial {proposal.again_of} again"
    if proposal.role != "candidate":
        return f"a {proposal.role}"
    if proposal.source in ("human", "told"):
        return "a person's wish" if proposal.source == "human" else "told: nobody proposed it"
    return proposal.reason if proposal.reason.startswith(STOOD_IN) else ""


def _held_against(trial: TrialState, state: CampaignState, problem: Problem) -> tuple[str, str]:
    made = trial.proposal
    design_only = made.reason if made.source != "model" and made.reason.startswith(NO_MODEL) else ""
    try:
        (again,) = plan(problem, state, 1, trial.trial, design_only)
    except LabloopError as error:
        return DIFFERS, f"the planner refuses now: {error}"
    if others := _others(made.settings, again.settings):
        return DIFFERS, "; ".join(others)
    if numbers := _numbers(made, again):
        return CLOSE, "; ".join(numbers)
    return SAME, ""


def _others(then: Mapping[str, e.Value], now: Mapping[str, e.Value]) -> list[str]:
    """Settings that are others now, as ``name then -> now``."""
    names = [*then, *(name for name in now if name not in then)]
    return [f"{name} {then.get(name)!s} -> {now.get(name)!s}" for name in names if then.get(name) != now.get(name)]


def _numbers(made: e.ProposalMade, again: Proposal) -> list[str]:
    """What else is another, in words."""
    found = []
    if made.source != again.source:
        found.append(f"source {made.source} -> {again.source}")
    if made.acquisition_value != again.acquisition_value:
        found.append(f"score {made.acquisition_value} -> {again.acquisition_value}")
    for name, then in made.predicted.items():
        now = again.predicted.get(name)
        if now is None or (then.mean, then.sd) != (now.mean, now.sd):
            found.append(f"{name} expected {then.mean} -> {now.mean if now else None}")
    if list(made.runners_up) != list(again.runners_up):
        found.append("runners-up")
    return found
