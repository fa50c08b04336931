"""What the facts add up to about a pause: who holds the run, what was read at rest, and what was moved meanwhile; and
about what stood at the instruments when the bench was made safe, which the next start compares.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import events as e
from .tally import PAUSED, Tally


def _paused(state: Tally, record: e.Record, fact: e.CampaignPaused) -> None:
    state.reason = fact.reason
    if state.rests_since_s is None:
        state.rests_since_s = state.lived_s(max(fact.t_s, state.t_s))  # an older journal does not say when
    if not state.unread:
        state.unread, state.stood, state.moved, state.by_hand, state.counted = True, None, {}, {}, {}
    if fact.by:
        state.holds[fact.by] = fact


def _released(state: Tally, record: e.Record, fact: e.HoldReleased) -> None:
    state.holds.pop(fact.of, None)
    if state.state == PAUSED and state.holds:
        state.reason = next(reversed(state.holds.values())).reason


def _settings_read(state: Tally, record: e.Record, fact: e.SettingsRead) -> None:
    if not fact.resumed:
        state.stood, state.counted = fact.found, dict(fact.counted)
    elif fact.moved:
        state.moved = fact.moved
    else:
        state.unread, state.stood, state.moved, state.by_hand, state.counted = False, None, {}, {}, {}
        state.left = None  # from here on what stands there is the run's own doing


def _settings_left(state: Tally, record: e.Record, fact: e.SettingsLeft) -> None:
    state.left = dict(fact.stands) or None
    for name in fact.touched:
        state.counted.pop(name, None)


def rest_is_over(state: Tally, t_s: float) -> None:
    """The run goes on, or has ended, at ``t_s``: what it rested is counted. Harmless where it did not."""
    if state.rests_since_s is not None:
        state.rested_s += max(state.lived_s(t_s) - state.rests_since_s, 0.0)
        state.rests_since_s = None


def left_by_guard(state: Tally, fact: e.SafeStateReached) -> None:
    """What the guard read when it had made the bench safe; what an earlier start has still to compare goes before.

    A position that a step under way was to come to, and had not, is left out: nothing stops a valve that turns, and the
    guard does not know where it was sent.
    """
    if state.left is not None:
        return
    under_way = [step.begun for step in state.running.values()]
    sent = {(one.instrument, where): amount.value for one in under_way for where, amount in one.settings.items()}

    def on_its_way(name: str, where: str, one: e.Stand) -> bool:
        return isinstance(one.value, str) and sent.get((name, where), one.value) != one.value

    read = {
        name: {where: one for where, one in found.stands.items() if not on_its_way(name, where, one)}
        for name, found in fact.found.items()
    }
    if stands := {name: one for name, one in read.items() if one}:
        state.left, state.unread = stands, True


def refilled(state: Tally, name: str) -> None:
    """A person says what a stock holds now: who fills it with the instrument's own keys moves what it counts."""
    state.counted.pop(name, None)
    if state.left is not None and name in state.left:
        state.left[name] = {where: one for where, one in state.left[name].items() if not one.counts}


def _by_hand(state: Tally, record: e.Record, fact: e.ByHandSeen) -> None:
    state.hands |= fact.acts.keys()
    if state.unread:
        state.by_hand |= fact.acts
    for said in fact.acts.values():  # what it moved is asked about as an act
        state.counted.pop(said.partition(".")[0], None)


def _cleared(state: Tally, record: e.Record, fact: e.CountersCleared) -> None:
    """For an act that the pause forestalled: what the run itself has wiped nobody has moved."""
    state.counted.pop(fact.instrument, None)


def _accepted(state: Tally, record: e.Record, fact: e.MovedAccepted) -> None:
    state.moved, state.by_hand, state.left, state.counted = {}, {}, None, {}
    state.accepted_seq = record.seq
    if state.stood is not None:  # else the bench is still to be read at rest, and nothing is done there before
        state.stood = {}


def _resumed(state: Tally, record: e.Record, fact: e.CampaignResumed) -> None:
    rest_is_over(state, fact.t_s)
    state.reason, state.holds = "", {}
    state.resumed_seq = record.seq


APPLY: Final[Mapping[type, Callable[[Tally, e.Record, Any], None]]] = {
    e.CampaignPaused: _paused,
    e.HoldReleased: _released,
    e.SettingsRead: _settings_read,
    e.SettingsLeft: _settings_left,
    e.MovedAccepted: _accepted,
    e.ByHandSeen: _by_hand,
    e.CountersCleared: _cleared,
    e.CampaignResumed: _resumed,
}
