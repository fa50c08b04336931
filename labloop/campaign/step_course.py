"""What the facts of steps add up to: how each attempt goes, what its instrument does, what a person is asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .errors import StateError
from .step_state import STARTED, STEP, StepState, move
from .tally import HALTED, Tally


def _step_started(state: Tally, record: e.Record, fact: e.StepStarted) -> None:
    if fact.step in state.steps:
        raise StateError(f"fact {record.seq}: step {fact.step} was begun already")
    step = StepState(begun=fact, seq=record.seq, started=record.at)
    state.steps[fact.step] = step
    if fact.trial is None:
        state.loose_steps.append(step)
    else:
        state.trial_of(fact.trial, record.seq).steps.append(step)
    if fact.instrument == e.PERSON:
        state.asked[fact.step] = step
        return
    state.instruments[fact.instrument] = fact.action
    state.witnesses.pop(fact.instrument, None)
    state.stood = None
    state.heard.pop(fact.instrument, None)
    state.safe, state.unsafe = False, []


def _step_kept(state: Tally, record: e.Record, fact: e.StepKept) -> None:
    step = _begun(state, record, fact)
    step.kept, step.since_t_s = fact.kept, fact.since_t_s


def _step_rejoined(state: Tally, record: e.Record, fact: e.StepRejoined) -> None:
    step = _begun(state, record, fact)
    step.unwatched_s += fact.unwatched_s
    begun = step.begun
    state.instruments[begun.instrument] = begun.action
    state.safe, state.unsafe = False, []


def _begun(state: Tally, record: e.Record, fact: e.StepKept | e.StepRejoined) -> StepState:
    """The step that runs. Raises StateError when it does not."""
    step = state.steps.get(fact.step)
    if step is None or step.state != STARTED:
        raise StateError(f"fact {record.seq} speaks of step {fact.step}, which does not run")
    return step


def _step_ended(state: Tally, record: e.Record, fact: Any) -> None:
    if fact.step not in state.steps:
        raise StateError(f"fact {record.seq} speaks of step {fact.step}, which was never begun")
    step = state.steps[fact.step]
    step.state = move(STEP, step.state, fact, record.seq, "step")
    kind = type(fact)
    if kind is e.StepInDoubt:
        step.question, step.answers = fact.question, fact.answers
        step.achieved, step.remainder = fact.achieved, fact.remainder
        state.questions[fact.step] = step
        return
    if state.questions.pop(fact.step, None) and state.state == HALTED and not state.questions:
        state.reason = "what was asked is answered; resume it"
    state.asked.pop(fact.step, None)
    step.finished, step.ended_t_s, step.achieved, step.by = record.at, fact.t_s, fact.achieved, fact.by
    if kind is e.StepFinished:
        step.readings, step.save_as = fact.readings, fact.save_as
    else:
        step.fault, step.reason, step.remainder = fact.fault, fact.reason, fact.remainder
    if state.instruments.get(step.begun.instrument) not in (None, "lost"):
        state.instruments[step.begun.instrument] = "idle"


APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.StepStarted: _step_started,
    e.StepKept: _step_kept,
    e.StepRejoined: _step_rejoined,
    **{kind: _step_ended for kind in {kind for _, kind in STEP}},
}
