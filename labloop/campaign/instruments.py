"""What the facts add up to about the instruments of a run: who is there, how it is, and what was heard of it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .tally import Tally


def _identified(state: Tally, record: e.Record, fact: e.InstrumentIdentified) -> None:
    state.identities[fact.instrument] = fact
    heard = state.heard.setdefault(fact.instrument, [])
    if heard and heard[-1] is None:
        heard.pop()
    heard.append(fact.first_reply)
    state.instruments[fact.instrument] = _does(state, fact.instrument)


def _does(state: Tally, name: str) -> str:
    """What an instrument does that answers again: what was begun there and has not ended goes on, as far as known."""
    begun = (step.begun for step in state.running.values())
    return next((one.action for one in begun if one.instrument == name), "idle")


def _asked(state: Tally, record: e.Record, fact: e.InstrumentAsked) -> None:
    state.heard.setdefault(fact.instrument, []).append(None)


def _alarm(state: Tally, record: e.Record, fact: e.AlarmHeard | e.ActTaken) -> None:
    state.heard.setdefault(fact.instrument, []).append(fact.said)


def _replaced(state: Tally, record: e.Record, fact: e.InstrumentReplaced) -> None:
    state.identities.pop(fact.instrument, None)
    state.replaced[fact.instrument] = record.seq
    if state.left is not None:
        state.left.pop(fact.instrument, None)


def _configured(state: Tally, record: e.Record, fact: e.InstrumentConfigured) -> None:
    state.configured.add(fact.instrument)


def _lost(state: Tally, record: e.Record, fact: e.InstrumentLost) -> None:
    state.instruments[fact.instrument] = "lost"


APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.InstrumentIdentified: _identified,
    e.InstrumentAsked: _asked,
    e.AlarmHeard: _alarm,
    e.ActTaken: _alarm,
    e.InstrumentReplaced: _replaced,
    e.InstrumentConfigured: _configured,
    e.InstrumentLost: _lost,
}
