"""What a person marks as wrong of a trial that is over: the fact stays, and nothing learns from it any more.

    measured | failed --withdrawn--> the same state; its readings carry a flag, so that no model, best or stopping rule
                                     takes them for values
    awaiting          --withdrawn--> the same, of what is known of it; that may be told anew, and counts then
                      --restored-->  as it was

A part of campaign.state, which holds what these functions write. What was spent on it stays spent: it counts in the
budget as before.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from . import events as e
from .errors import StateError

if TYPE_CHECKING:
    from .state import CampaignState, TrialState

ALL: Final = ""  # in place of an outcome: all that came of the trial
OVER: Final = ("measured", "failed")


def flagged(found: Mapping[str, e.Reading], withdrawn: Mapping[str, e.ResultWithdrawn]) -> dict[str, e.Reading]:
    """Readings as they are to be believed: what was withdrawn says so."""
    return {name: _flagged(one, withdrawn.get(name) or withdrawn.get(ALL)) for name, one in found.items()}


def _flagged(one: e.Reading, fact: e.ResultWithdrawn | None) -> e.Reading:
    if fact is None or one.flag:
        return one
    return structs.replace(one, flag=f"marked as wrong by {fact.by or 'a person'}: {fact.why}", censored="")


def _withdrawn(state: "CampaignState", record: e.Record, fact: e.ResultWithdrawn) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    if trial.state not in OVER and not (trial.state == "awaiting" and fact.outcomes):
        raise StateError(f"fact {record.seq}: trial {fact.trial} is {trial.state} and has nothing to be withdrawn")
    trial.withdrawn.update(dict.fromkeys(fact.outcomes or [ALL], fact))
    _learn_anew(state, record, trial)


def _restored(state: "CampaignState", record: e.Record, fact: e.ResultRestored) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    trial.withdrawn.clear()
    _learn_anew(state, record, trial)


def _learn_anew(state: "CampaignState", record: e.Record, trial: "TrialState") -> None:
    state.tastes.leave_out(trial.trial, trial.is_withdrawn)
    state.last_result = record.seq


APPLY: Final[Mapping[type, Callable[["CampaignState", e.Record, Any], None]]] = {
    e.ResultWithdrawn: _withdrawn,
    e.ResultRestored: _restored,
}
