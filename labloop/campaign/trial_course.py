"""What the facts of trials add up to: each trial's life, what the budget counts, what is to be tried again."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .errors import StateError
from .step_state import IN_DOUBT, move
from .tally import Tally
from .trial_state import ALL, MEASURED, PROPOSED, RUNNING, TRIAL, TrialState


def _proposed(state: Tally, record: e.Record, fact: e.ProposalMade) -> None:
    if fact.trial in state.trials:
        raise StateError(f"fact {record.seq}: trial {fact.trial} was proposed already")
    state.trials[fact.trial] = TrialState(
        proposal=fact, seq=record.seq, proposed=record.at, tastes=state.tastes,
        amended=state.amendments[-1].seq if state.amendments else 0,
    )  # fmt: skip
    state.open_trials.add(fact.trial)
    if fact.source == "model":
        state.outliers = frozenset(fact.outliers)
    if fact.again_of is not None:
        state.owed_again.discard(fact.again_of)


def _approved(state: Tally, record: e.Record, fact: e.ProposalApproved) -> None:
    state.trial_of(fact.trial, record.seq).approved_by = fact.by


def _trial_moved(state: Tally, record: e.Record, fact: Any) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    trial.state = move(TRIAL, trial.state, fact, record.seq, "trial")
    kind = type(fact)
    if kind is e.TrialStarted:
        trial.started, trial.started_t_s = record.at, fact.t_s
        trial.started_lived_s, trial.started_worked_s = state.lived_s(fact.t_s), state.worked_s(fact.t_s)
        if trial.role == "candidate":
            state.attempts += 1
        return
    trial.reason = getattr(fact, "reason", trial.reason)
    if kind is e.PartMeasured:
        trial.measured = trial.measured | fact.outcomes
        for name in trial.withdrawn.keys() & fact.outcomes.keys():
            del trial.withdrawn[name]  # told anew
        if fact.by:
            trial.told |= fact.outcomes.keys()
        known = trial.measured.keys() - (trial.withdrawn.keys() & trial.told)
        trial.owed = tuple(name for name in fact.owed if name not in known)
        state.last_result = record.seq
        return
    if kind not in _TRIAL_ENDS:
        return
    trial.owed = ()
    trial.finished, trial.finished_t_s, trial.finished_seq = record.at, fact.t_s, record.seq
    trial.finished_lived_s, trial.finished_worked_s = state.lived_s(fact.t_s), state.worked_s(fact.t_s)
    trial.told_by = fact.by
    if kind is e.TrialMeasured:
        trial.withdrawn = {name: one for name, one in trial.withdrawn.items() if _stays(trial, name, fact)}
        trial.measured, trial.reason = fact.outcomes, ""
        state.failures_in_a_row = 0
        if trial.role == "candidate" and trial.source != "told":
            state.measured += 1
    elif not fact.by:  # a person's veto or verdict is no sign of a sick bench
        state.failures_in_a_row += 1
    if kind is e.TrialAbandoned:
        trial.again = fact.again
        if fact.again:
            state.owed_again.add(fact.trial)
    else:
        state.last_result = record.seq
    if not trial.acted:  # nothing of it stands on the bench
        trial.closed = True
        state.open_trials.discard(fact.trial)


def _stays(trial: TrialState, name: str, fact: e.TrialMeasured) -> bool:
    """Whether what was marked as wrong was not told anew (older journals say so by another value alone)."""
    return name == ALL or (name not in fact.again and fact.outcomes.get(name) == trial.measured.get(name))


def _preferred(state: Tally, record: e.Record, fact: e.Preferred) -> None:
    for number in (fact.trial, fact.over):
        trial = state.trial_of(number, record.seq)
        if trial.state != MEASURED:
            raise StateError(f"fact {record.seq}: trial {number} is {trial.state} and cannot be compared")
    if fact.trial == fact.over:
        raise StateError(f"fact {record.seq}: trial {fact.trial} cannot be compared with itself")
    if state.tastes.comparisons and state.tastes.comparisons[0].outcome != fact.outcome:
        raise StateError(f"fact {record.seq}: trials are compared by {state.tastes.comparisons[0].outcome} already")
    state.tastes.add(fact, {number: state.trials[number].settings for number in (fact.trial, fact.over)})
    state.last_result = record.seq


def _closed(state: Tally, record: e.Record, fact: e.TrialClosed) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    if trial.state in (PROPOSED, RUNNING, IN_DOUBT):
        raise StateError(f"fact {record.seq}: trial {fact.trial} is {trial.state} and cannot be closed")
    trial.closed = True
    state.open_trials.discard(fact.trial)


_TRIAL_ENDS: Final = frozenset({e.TrialMeasured, e.TrialFailed, e.TrialAbandoned})
APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.ProposalMade: _proposed,
    e.ProposalApproved: _approved,
    **{kind: _trial_moved for kind in {kind for _, kind in TRIAL}},
    e.Preferred: _preferred,
    e.TrialClosed: _closed,
}
