"""What the facts of steps add up to: how each attempt goes, what its instrument does, what a person is asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .errors import StateError
from .step_state import STARTED, STEP, StepState, move
from .tally import HALTED, Tally

# What a step begins with: one for all of them, where five new ones each took half of the time that a step is made in.
_NOTHING: Final[dict[str, Any]] = {}


def _step_started(state: Tally, record: e.Record, fact: e.StepStarted) -> None:
    name, instrument, number = fact.step, fact.instrument, fact.trial
    if name in state.steps:
        raise StateError(f"fact {record.seq}: step {name} was begun already")
    step = StepState(
        fact, record.seq, record.at, achieved=_NOTHING, remainder=_NOTHING, readings=_NOTHING, answers=_NOTHING,
        kept=_NOTHING,
    )  # fmt: skip
    (state.loose_steps if number is None else state.trial_of(number, record.seq).steps).append(step)
    state.steps[name] = state.running[name] = step
    if instrument == e.PERSON:
        state.asked[name] = step
        return
    state.instruments[instrument] = fact.action
    state.witnesses.pop(instrument, None)
    state.counted.pop(instrument, None)
    state.stood = None
    state.heard.pop(instrument, None)
    state.safe, state.unsafe = False, []


def _step_kept(state: Tally, record: e.Record, fact: e.StepKept) -> None:
    step = _begun(state, record, fact)
    step.kept, step.since_t_s = fact.kept, fact.since_t_s


def _step_rejoined(state: Tally, record: e.Record, fact: e.StepRejoined) -> None:
    step = _begun(state, record, fact)
    step.unwatched_s += fact.unwatched_s
    begun = step.begun
    state.instruments[begun.instrument] = begun.action
    state.witnesses.pop(begun.instrument, None)
    state.safe, state.unsafe = False, []


def _begun(state: Tally, record: e.Record, fact: e.StepKept | e.StepRejoined) -> StepState:
    """The step that runs. Raises StateError when it does not."""
    step = state.steps.get(fact.step)
    if step is None or step.state != STARTED:
        raise StateError(f"fact {record.seq} speaks of step {fact.step}, which does not run")
    return step


def _step_ended(state: Tally, record: e.Record, fact: Any) -> None:
    step = state.steps.get(fact.step)
    if step is None:
        raise StateError(f"fact {record.seq} speaks of step {fact.step}, which was never begun")
    step.state = move(STEP, step.state, fact, record.seq, "step")
    state.running.pop(fact.step, None)
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
    instrument = step.begun.instrument
    if state.instruments.get(instrument) not in (None, "lost"):
        state.instruments[instrument] = "idle"


APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.StepStarted: _step_started,
    e.StepKept: _step_kept,
    e.StepRejoined: _step_rejoined,
    **{kind: _step_ended for kind in {kind for _, kind in STEP}},
}
