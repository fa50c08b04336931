"""What amendments make of a campaign's state: which text of the campaign is in force.

    opened, amended, amended    the last text            undone    the text before; undone again    the one before that

The facts name texts by their hashes only; who has the run's folder reads them (see runner.kept).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .amendment import Amendment
from .errors import StateError
from .tally import Tally


def text_in_force(state: Tally) -> str:
    """The hash of the campaign's text that is in force ("": nothing is opened)."""
    if state.amended:
        return state.amended[-1].fact.campaign_sha256
    return state.opened.campaign_sha256 if state.opened else ""


def text_before(state: Tally) -> str:
    """The hash of the text that is in force again once the last amendment is taken back."""
    if len(state.amended) > 1:
        return state.amended[-2].fact.campaign_sha256
    return state.opened.campaign_sha256 if state.opened else ""


def files_in_force(state: Tally) -> dict[str, str]:
    """The files that this text names."""
    if state.amended:
        return state.amended[-1].fact.files
    return state.opened.files if state.opened else {}


def texts(state: Tally) -> list[tuple[str, dict[str, str]]]:
    """Every text that was in force at some time, with its files, each once, the one that is in force last."""
    if state.opened is None:
        return []
    found = {state.opened.campaign_sha256: state.opened.files}
    found |= {one.fact.campaign_sha256: one.fact.files for one in state.amendments}
    now = text_in_force(state)
    return [*((sha, files) for sha, files in found.items() if sha != now), (now, files_in_force(state))]


def extended_without(state: Tally, one: Amendment) -> int:
    """What is added to the budget's trials once an amendment is taken back: what was added before it, and since."""
    return state.extended_trials + (one.extended_trials if one.is_of_budget else 0)


def _amended(state: Tally, record: e.Record, fact: e.Amended) -> None:
    if fact.before_sha256 != text_in_force(state):
        raise StateError(f"fact {record.seq} amends a text of the campaign that is not in force")
    one = Amendment(record.seq, record.at, fact, state.extended_trials)
    if fact.undoes:
        if not state.amended or state.amended[-1].seq != fact.undoes:
            raise StateError(f"fact {record.seq} takes fact {fact.undoes} back, which is not the last amendment")
        undone = state.amended.pop()
        if text_in_force(state) != fact.campaign_sha256:
            raise StateError(f"fact {record.seq} takes fact {fact.undoes} back, and does not say the text before it")
        state.extended_trials = extended_without(state, undone)
    else:
        state.amended.append(one)
        if one.is_of_budget:  # it says how many there are in all
            state.extended_trials = 0
    state.amendments.append(one)
    state.owed_again -= set(fact.leaves)


def _extended(state: Tally, record: e.Record, fact: e.BudgetExtended) -> None:
    state.extended_trials += fact.trials


APPLY: Final[Mapping[type, Callable[..., Any]]] = {e.Amended: _amended, e.BudgetExtended: _extended}
