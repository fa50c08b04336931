"""What a person marks as wrong of a trial that is over: the fact stays, and nothing learns from it any more.

    measured | failed --withdrawn--> the same state; its readings carry a flag, so that no model, best or stopping rule
                                     takes them for values
    awaiting          --withdrawn--> the same, of what is known of it; that may be told anew, and counts then. What a
                                     person told is owed again; what the bench has read is not
                      --restored-->  as it was, of what is named

What was spent on it stays spent: it counts in the budget as before.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .errors import StateError
from .tally import Tally
from .trial_state import ALL, TrialState

OVER: Final = ("measured", "failed")


def _withdrawn(state: Tally, record: e.Record, fact: e.ResultWithdrawn) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    if trial.state not in OVER and not (trial.state == "awaiting" and fact.outcomes):
        raise StateError(f"fact {record.seq}: trial {fact.trial} is {trial.state} and has nothing to be withdrawn")
    trial.withdrawn.update(dict.fromkeys(fact.outcomes or [ALL], fact))
    if trial.state == "awaiting":
        trial.owed += tuple(name for name in fact.outcomes if name in trial.told and name not in trial.owed)
    _learn_anew(state, record, trial)


def _restored(state: Tally, record: e.Record, fact: e.ResultRestored) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    for name in fact.outcomes or list(trial.withdrawn):
        trial.withdrawn.pop(name, None)
    trial.owed = tuple(name for name in trial.owed if name not in trial.measured or name in trial.withdrawn)
    _learn_anew(state, record, trial)


def _learn_anew(state: Tally, record: e.Record, trial: TrialState) -> None:
    state.tastes.leave_out(trial.trial, trial.is_withdrawn)
    state.last_result = record.seq


APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.ResultWithdrawn: _withdrawn,
    e.ResultRestored: _restored,
}
