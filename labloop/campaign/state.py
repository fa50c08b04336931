"""The state of a campaign: what the facts add up to.

Three tables say every move there is (the trial's stands in trial_state, the step's in step_state). A fact without an
arrow is refused with StateError, so a journal cannot say what cannot be.

    campaign   ready --run--> running <--pause/resume--> paused;  both --> finished | stopped | halted --run--> running
               ready --> stopped: its first start did not get the bench
    trial      proposed --> running --> awaiting --> measured;    running --> failed | abandoned | in_doubt
               a part of the outcomes is known: proposed | running | awaiting --> awaiting
               in_doubt --> running | measured | failed | abandoned
               proposed --> measured | failed | abandoned (told by a person, or vetoed)
    step       started --> finished | failed | in_doubt;          in_doubt --> finished | failed

``running`` says what the facts say: whether the runner is alive is not a fact, and is asked of the run's folder. What
is paused may be paused by another person as well, and goes on when nobody holds it any more (see holds).

What is known stands in the Tally (see tally); each kind of fact has a file that says what it adds to it, those of the
campaign itself stand here. A CampaignState is the tally that grows by ``apply``; equal facts give an equal state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import amendments, instruments, pauses, step_course, trial_course, withdrawal
from . import events as e
from .errors import StateError
from .step_state import FAILED as FAILED
from .step_state import FINISHED as FINISHED
from .step_state import IN_DOUBT as IN_DOUBT
from .step_state import STARTED as STARTED
from .step_state import STEP as STEP
from .step_state import StepState as StepState
from .step_state import move
from .tally import HALTED as HALTED
from .tally import PAUSED as PAUSED
from .tally import READY as READY
from .tally import STOPPED as STOPPED
from .tally import Tally
from .trial_state import ABANDONED as ABANDONED
from .trial_state import ALL as ALL
from .trial_state import AWAITING as AWAITING
from .trial_state import MEASURED as MEASURED
from .trial_state import OPEN_STATES as OPEN_STATES
from .trial_state import PROPOSED as PROPOSED
from .trial_state import RUNNING as RUNNING
from .trial_state import TRIAL as TRIAL
from .trial_state import TrialState as TrialState

CAMPAIGN: Final[Mapping[tuple[str, type], str]] = {
    **{(state, e.RunStarted): RUNNING for state in (READY, RUNNING, PAUSED, FINISHED, STOPPED, HALTED)},
    **{(state, e.CampaignPaused): PAUSED for state in (RUNNING, PAUSED)},
    (PAUSED, e.CampaignResumed): RUNNING,
    **{(state, e.CampaignFinished): FINISHED for state in (RUNNING, PAUSED)},
    **{(state, e.CampaignStopped): STOPPED for state in (READY, RUNNING, PAUSED, HALTED)},
    **{(state, e.CampaignHalted): HALTED for state in (RUNNING, PAUSED)},
}


@dataclass(slots=True)
class CampaignState(Tally):
    """The tally that grows, fact by fact, by ``apply``."""

    def apply(self, record: e.Record) -> None:
        """Add one fact. Raises StateError when the tables have no arrow for it, or it speaks of what is not there."""
        fact = record.event
        if record.seq <= self.seq:
            raise StateError(f"fact {record.seq} comes after fact {self.seq}: the journal is out of order")
        kind = type(fact)
        if kind in _CAMPAIGN_FACTS:
            self.state = move(CAMPAIGN, self.state, fact, record.seq, "campaign")
        _APPLY.get(kind, _nothing)(self, record, fact)
        self.seq, self.at = record.seq, record.at
        t_s = getattr(fact, "t_s", None)
        if t_s is not None and (t_s > self.t_s or not self.t_at):
            self.t_s, self.t_at = t_s, record.at


def fold(records: Iterable[e.Record], state: CampaignState | None = None) -> CampaignState:
    """Add all ``records`` up, from nothing or onto ``state``. Raises StateError as ``apply`` does."""
    state = state or CampaignState()
    for record in records:
        state.apply(record)
    return state


def _nothing(state: Tally, record: e.Record, fact: Any) -> None:
    """Facts that are kept and shown but add nothing up."""


def _opened(state: Tally, record: e.Record, fact: e.CampaignOpened) -> None:
    if state.opened:
        raise StateError(f"fact {record.seq}: the campaign was opened already")
    state.opened, state.opened_at = fact, record.at
    state.code = fact.code


def _run_started(state: Tally, record: e.Record, fact: e.RunStarted) -> None:
    state.reason, state.exit_code = "", None
    state.runs += 1
    state.unwatched_s += fact.unwatched_s
    pauses.rest_is_over(state, fact.t_s)
    state.code = fact.code or state.code
    state.failures_in_a_row = 0
    state.held, state.holds = {}, {}  # the bench is looked at anew
    state.left = state.left or None
    state.unread = state.left is not None or bool(state.counted)
    state.stood, state.moved, state.by_hand = None, {}, {}
    state.instruments = dict.fromkeys(state.instruments, "idle")
    state.configured = set()


def _ended(state: Tally, record: e.Record, fact: Any) -> None:
    state.reason = fact.reason
    state.exit_code = getattr(fact, "exit_code", None)


def _safe(state: Tally, record: e.Record, fact: e.SafeStateReached) -> None:
    state.safe, state.unsafe = not fact.errors, list(fact.errors)
    state.phases = {}
    if fact.by:  # somebody else spoke with the instruments first
        for name in state.identities:
            state.heard.setdefault(name, []).append(fact.found[name].first_reply if name in fact.found else None)
        pauses.left_by_guard(state, fact)
    for name, seen in fact.found.items():
        state.witnesses[name] = state.witnesses[name].later(seen) if name in state.witnesses else seen
    state.guard_epoch = max(state.guard_epoch, fact.epoch)


def _watched(state: Tally, record: e.Record, fact: e.WatchTripped | e.WatchCleared) -> None:
    if isinstance(fact, e.WatchCleared) and fact.released:
        state.held.pop(fact.rule, None)
    elif isinstance(fact, e.WatchCleared) or fact.then == "hold":
        state.held[fact.rule] = fact


def _phase(state: Tally, record: e.Record, fact: e.PhaseFinished) -> None:
    for counts in (state.phases, state.passes):
        counts[fact.phase] = counts.get(fact.phase, 0) + 1


def _note(state: Tally, record: e.Record, fact: e.NoteTaken) -> None:
    state.notes.append((record.at, fact))


def _requested(state: Tally, record: e.Record, fact: e.Requested) -> None:
    state.requests[fact.id] = None
    if fact.request == "refill" and fact.arguments:
        state.refills[fact.id] = fact.arguments[0]


def _answered(state: Tally, record: e.Record, fact: e.RequestAnswered) -> None:
    state.requests[fact.id] = fact.accepted
    name = state.refills.pop(fact.id, None)
    if name is not None and fact.accepted:
        pauses.refilled(state, name)


_CAMPAIGN_FACTS: Final = frozenset(kind for _, kind in CAMPAIGN)
_APPLY: Final[Mapping[type, Any]] = {
    e.CampaignOpened: _opened,
    e.RunStarted: _run_started,
    e.CampaignFinished: _ended,
    e.CampaignStopped: _ended,
    e.CampaignHalted: _ended,
    e.SafeStateReached: _safe,
    e.WatchTripped: _watched,
    e.WatchCleared: _watched,
    e.PhaseFinished: _phase,
    e.NoteTaken: _note,
    e.Requested: _requested,
    e.RequestAnswered: _answered,
    **amendments.APPLY,
    **pauses.APPLY,
    **instruments.APPLY,
    **trial_course.APPLY,
    **withdrawal.APPLY,
    **step_course.APPLY,
}
