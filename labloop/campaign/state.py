"""The state of a campaign: what the facts add up to.

Two tables say every move there is (a third, small one, for steps). A fact without an arrow is refused with StateError,
so a journal cannot say what cannot be.

    campaign   ready --run--> running <--pause/resume--> paused;  both --> finished | stopped | halted --run--> running
    trial      proposed --> running --> awaiting --> measured;    running --> failed | abandoned | in_doubt
               a part of the outcomes is known: proposed | running | awaiting --> awaiting
               in_doubt --> running | measured | failed | abandoned
               proposed --> measured | failed | abandoned (told by a person, or vetoed)
    step       started --> finished | failed | in_doubt;          in_doubt --> finished | failed

``running`` says what the facts say: whether the runner is alive is not a fact, and is asked of the run's folder. What
is paused may be paused by another person as well, and goes on when nobody holds it any more (see holds).
``failed`` is chemistry's and teaches the model; ``abandoned`` is the bench's and does not. A trial is *closed* when its
cleanup is done: until then its sample stands on the bench, whatever its outcome.

A CampaignState grows by ``apply``; it is the one mutable thing here, and equal facts give an equal state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import amendments, instruments, pauses, step_state, withdrawal
from . import events as e
from .amendments import Amendment
from .errors import StateError
from .step_state import FAILED as FAILED
from .step_state import FINISHED as FINISHED
from .step_state import IN_DOUBT as IN_DOUBT
from .step_state import STARTED as STARTED
from .step_state import STEP as STEP
from .step_state import StepState as StepState
from .step_state import move
from .tastes import Tastes

READY, RUNNING, PAUSED, STOPPED, HALTED = "ready", "running", "paused", "stopped", "halted"
PROPOSED, AWAITING, MEASURED, ABANDONED = "proposed", "awaiting", "measured", "abandoned"
OPEN_STATES: Final = frozenset({PROPOSED, RUNNING, AWAITING, IN_DOUBT})

CAMPAIGN: Final[Mapping[tuple[str, type], str]] = {
    **{(state, e.RunStarted): RUNNING for state in (READY, RUNNING, PAUSED, FINISHED, STOPPED, HALTED)},
    **{(state, e.CampaignPaused): PAUSED for state in (RUNNING, PAUSED)},
    (PAUSED, e.CampaignResumed): RUNNING,
    **{(state, e.CampaignFinished): FINISHED for state in (RUNNING, PAUSED)},
    **{(state, e.CampaignStopped): STOPPED for state in (RUNNING, PAUSED, HALTED)},
    **{(state, e.CampaignHalted): HALTED for state in (RUNNING, PAUSED)},
}
TRIAL: Final[Mapping[tuple[str, type], str]] = {
    (PROPOSED, e.TrialStarted): RUNNING,
    (PROPOSED, e.TrialAwaiting): AWAITING,
    (RUNNING, e.TrialAwaiting): AWAITING,
    **{(state, e.PartMeasured): AWAITING for state in (PROPOSED, RUNNING, AWAITING)},
    (RUNNING, e.TrialInDoubt): IN_DOUBT,
    (IN_DOUBT, e.TrialResumed): RUNNING,
    **{(state, e.TrialMeasured): MEASURED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
    **{(state, e.TrialFailed): FAILED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
    **{(state, e.TrialAbandoned): ABANDONED for state in (PROPOSED, RUNNING, AWAITING, IN_DOUBT)},
}


@dataclass(slots=True)
class TrialState:
    """One trial's life: the proposal it came from, its steps (every attempt), its outcomes."""

    proposal: e.ProposalMade
    seq: int
    proposed: str
    state: str = PROPOSED
    approved_by: str | None = None
    started: str | None = None
    finished: str | None = None
    started_t_s: float = 0.0
    finished_t_s: float = 0.0
    finished_seq: int = 0  # the order of ends: two may fall on one instant, and a clock may be set back
    measured: dict[str, e.Reading] = field(default_factory=dict)
    owed: tuple[str, ...] = ()  # outcomes that are still to come, while some are known
    tastes: Tastes = field(default_factory=Tastes)  # the campaign's: what it is believed to be worth to people
    withdrawn: dict[str, e.ResultWithdrawn] = field(default_factory=dict)  # by outcome ("": all of it)
    steps: list[StepState] = field(default_factory=list)
    reason: str = ""
    again: bool = False
    closed: bool = False
    told_by: str = ""
    amended: int = 0  # sequence number of the last amendment of the campaign before it was proposed (0: none)

    @property
    def trial(self) -> int:
        """The trial's number, from 1."""
        return self.proposal.trial

    @property
    def outcomes(self) -> dict[str, e.Reading]:
        """What was measured, and what people's comparisons say of it; what was withdrawn is flagged."""
        found = self.measured | self.tastes.of(self.trial) if self.tastes.comparisons else self.measured
        return withdrawal.flagged(found, self.withdrawn) if self.withdrawn else found

    @property
    def is_withdrawn(self) -> bool:
        """Whether all that came of it is marked as wrong: then it teaches no more than an abandoned one."""
        every = bool(self.measured) and not self.owed and self.measured.keys() <= self.withdrawn.keys()
        return "" in self.withdrawn or every

    @property
    def settings(self) -> dict[str, e.Value]:
        """What was wished, in the units that the campaign declares."""
        return self.proposal.settings

    @property
    def role(self) -> str:
        """candidate, control, blank or repeat."""
        return self.proposal.role

    @property
    def sample(self) -> str:
        """The sample's own name; a repeat of a measurement shares it."""
        return self.proposal.sample

    @property
    def source(self) -> str:
        """sobol, lhs, random, model, human or told."""
        return self.proposal.source

    @property
    def acted(self) -> bool:
        """Whether any of its steps has begun, so that something of it may stand on the bench."""
        return bool(self.steps)


@dataclass(slots=True)
class CampaignState:
    """What all the facts add up to. Grows by ``apply``."""

    state: str = READY
    opened: e.CampaignOpened | None = None
    opened_at: str = ""
    code: dict[str, str] = field(default_factory=dict)  # of the drivers, as the run was begun or a person accepted
    seq: int = 0
    at: str = ""
    t_s: float = 0.0  # lab seconds, as far as a fact has told them
    t_at: str = ""  # when that was
    trials: dict[int, TrialState] = field(default_factory=dict)
    open_trials: set[int] = field(default_factory=set)  # not closed: proposed, running, or still to be cleaned up
    tastes: Tastes = field(default_factory=Tastes)
    steps: dict[str, StepState] = field(default_factory=dict)
    loose_steps: list[StepState] = field(default_factory=list)  # of phases that belong to no trial
    questions: dict[str, StepState] = field(default_factory=dict)
    asked: dict[str, StepState] = field(default_factory=dict)  # steps that a person was asked to do
    instruments: dict[str, str] = field(default_factory=dict)
    identities: dict[str, e.InstrumentIdentified] = field(default_factory=dict)
    configured: set[str] = field(default_factory=set)
    phases: dict[str, int] = field(default_factory=dict)  # phase -> passes finished since the last safe state
    passes: dict[str, int] = field(default_factory=dict)  # phase -> passes finished in all
    requests: dict[str, bool | None] = field(default_factory=dict)  # id -> accepted (None: not answered yet)
    refills: dict[str, str] = field(default_factory=dict)  # of those not answered yet: id -> whose stock was filled
    notes: list[tuple[str, e.NoteTaken]] = field(default_factory=list)
    owed_again: set[int] = field(default_factory=set)  # abandoned trials whose settings are still to be tried again
    extended_trials: int = 0
    amended: list[Amendment] = field(default_factory=list)  # what is in force of them
    amendments: list[Amendment] = field(default_factory=list)  # every one, those that were taken back too
    measured: int = 0  # what the budget counts: measured, told data and controls excluded
    attempts: int = 0
    failures_in_a_row: int = 0
    last_result: int = 0  # sequence number of the last fact that taught the model something
    reason: str = ""
    exit_code: int | None = None
    # Interlocks that hold the run, by rule. WatchCleared: the condition is over, and a person's word is awaited.
    held: dict[str, e.WatchTripped | e.WatchCleared] = field(default_factory=dict)
    holds: dict[str, e.CampaignPaused] = field(default_factory=dict)  # by whom it was paused, until they say resume
    hands: set[str] = field(default_factory=set)  # acts by hand on its bench that it knows of
    by_hand: dict[str, str] = field(default_factory=dict)  # of these: while it is paused, and nobody said it is right
    unread: bool = False  # it was paused, and the settings were not read again since
    stood: dict[str, str] | None = None  # what they were found to be at rest (None: not read)
    moved: dict[str, str] = field(default_factory=dict)  # what is another since, and a person is asked about
    # What stood at each instrument when the bench had been made safe, until it is compared (None: nothing is known).
    left: dict[str, dict[str, e.Stand]] | None = None
    resumed_seq: int = 0  # sequence number of the last CampaignResumed
    safe: bool = False
    unsafe: list[str] = field(default_factory=list)  # what went wrong on the way to the last safe state, in words
    # What was heard first of an instrument since its last act began, by whoever spoke first (None: not written down).
    heard: dict[str, list[str | None]] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)  # instrument -> sequence number of the last replacement
    witnesses: dict[str, e.Witness] = field(default_factory=dict)  # what the guard read; until the next act there
    guard_epoch: int = 0  # of the last act of the guard that this run knows of
    runs: int = 0

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

    @property
    def seed(self) -> int:
        """The campaign's seed, fixed when it was opened."""
        return self.opened.seed if self.opened else 0

    @property
    def mode(self) -> str:
        """simulated, virtual, live or told."""
        return self.opened.mode if self.opened else "told"

    @property
    def may_begin(self) -> bool:
        """Whether steps may begin: nobody has paused it, no interlock holds it, and all was read again since."""
        return self.state == RUNNING and not self.held and not self.unread

    def next_trial(self) -> int:
        """The number that the next trial will have."""
        return max(self.trials, default=0) + 1

    def trial_of(self, number: int, seq: int) -> TrialState:
        """The trial of that number. Raises StateError when no fact made it."""
        if number not in self.trials:
            raise StateError(f"fact {seq} speaks of trial {number}, which was never proposed")
        return self.trials[number]


def fold(records: Iterable[e.Record], state: CampaignState | None = None) -> CampaignState:
    """Add all ``records`` up, from nothing or onto ``state``. Raises StateError as ``apply`` does."""
    state = state or CampaignState()
    for record in records:
        state.apply(record)
    return state


def _nothing(state: CampaignState, record: e.Record, fact: Any) -> None:
    """Facts that are kept and shown but add nothing up."""


def _opened(state: CampaignState, record: e.Record, fact: e.CampaignOpened) -> None:
    if state.opened:
        raise StateError(f"fact {record.seq}: the campaign was opened already")
    state.opened, state.opened_at = fact, record.at
    state.code = fact.code


def _run_started(state: CampaignState, record: e.Record, fact: e.RunStarted) -> None:
    state.reason, state.exit_code = "", None
    state.runs += 1
    state.code = fact.code or state.code
    state.failures_in_a_row = 0
    state.held, state.holds = {}, {}  # the bench is looked at anew
    state.left = state.left or None
    state.unread, state.stood, state.moved, state.by_hand = state.left is not None, None, {}, {}
    state.instruments = dict.fromkeys(state.instruments, "idle")
    state.configured = set()


def _ended(state: CampaignState, record: e.Record, fact: Any) -> None:
    state.reason = fact.reason
    state.exit_code = getattr(fact, "exit_code", None)


def _safe(state: CampaignState, record: e.Record, fact: e.SafeStateReached) -> None:
    state.safe, state.unsafe = not fact.errors, list(fact.errors)
    state.phases = {}
    if fact.by:  # somebody else spoke with the instruments first
        for name in state.identities:
            state.heard.setdefault(name, []).append(fact.found[name].first_reply if name in fact.found else None)
        pauses.left_by_guard(state, fact)
    state.witnesses |= fact.found
    state.guard_epoch = max(state.guard_epoch, fact.epoch)


def _watched(state: CampaignState, record: e.Record, fact: e.WatchTripped | e.WatchCleared) -> None:
    if isinstance(fact, e.WatchCleared) and fact.released:
        state.held.pop(fact.rule, None)
    elif isinstance(fact, e.WatchCleared) or fact.then == "hold":
        state.held[fact.rule] = fact


def _phase(state: CampaignState, record: e.Record, fact: e.PhaseFinished) -> None:
    for counts in (state.phases, state.passes):
        counts[fact.phase] = counts.get(fact.phase, 0) + 1


def _note(state: CampaignState, record: e.Record, fact: e.NoteTaken) -> None:
    state.notes.append((record.at, fact))


def _requested(state: CampaignState, record: e.Record, fact: e.Requested) -> None:
    state.requests[fact.id] = None
    if fact.request == "refill" and fact.arguments:
        state.refills[fact.id] = fact.arguments[0]


def _answered(state: CampaignState, record: e.Record, fact: e.RequestAnswered) -> None:
    state.requests[fact.id] = fact.accepted
    name = state.refills.pop(fact.id, None)
    if name is not None and fact.accepted:
        pauses.refilled(state, name)


def _proposed(state: CampaignState, record: e.Record, fact: e.ProposalMade) -> None:
    if fact.trial in state.trials:
        raise StateError(f"fact {record.seq}: trial {fact.trial} was proposed already")
    state.trials[fact.trial] = TrialState(
        proposal=fact, seq=record.seq, proposed=record.at, tastes=state.tastes,
        amended=state.amendments[-1].seq if state.amendments else 0,
    )  # fmt: skip
    state.open_trials.add(fact.trial)
    if fact.again_of is not None:
        state.owed_again.discard(fact.again_of)


def _approved(state: CampaignState, record: e.Record, fact: e.ProposalApproved) -> None:
    state.trial_of(fact.trial, record.seq).approved_by = fact.by


def _trial_moved(state: CampaignState, record: e.Record, fact: Any) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    trial.state = move(TRIAL, trial.state, fact, record.seq, "trial")
    kind = type(fact)
    if kind is e.TrialStarted:
        trial.started, trial.started_t_s = record.at, fact.t_s
        if trial.role == "candidate":
            state.attempts += 1
        return
    trial.reason = getattr(fact, "reason", trial.reason)
    if kind is e.PartMeasured:
        trial.measured = trial.measured | fact.outcomes
        trial.owed = tuple(name for name in fact.owed if name not in trial.measured)
        for name in trial.withdrawn.keys() & fact.outcomes.keys():
            del trial.withdrawn[name]  # told anew
        state.last_result = record.seq
        return
    if kind not in _TRIAL_ENDS:
        return
    trial.owed = ()
    trial.finished, trial.finished_t_s, trial.finished_seq = record.at, fact.t_s, record.seq
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
    return name == withdrawal.ALL or (name not in fact.again and fact.outcomes.get(name) == trial.measured.get(name))


def _preferred(state: CampaignState, record: e.Record, fact: e.Preferred) -> None:
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


def _closed(state: CampaignState, record: e.Record, fact: e.TrialClosed) -> None:
    trial = state.trial_of(fact.trial, record.seq)
    if trial.state in (PROPOSED, RUNNING, IN_DOUBT):
        raise StateError(f"fact {record.seq}: trial {fact.trial} is {trial.state} and cannot be closed")
    trial.closed = True
    state.open_trials.discard(fact.trial)


_TRIAL_ENDS: Final = frozenset({e.TrialMeasured, e.TrialFailed, e.TrialAbandoned})
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
    e.ProposalMade: _proposed,
    e.ProposalApproved: _approved,
    **{kind: _trial_moved for kind in {kind for _, kind in TRIAL}},
    e.Preferred: _preferred,
    **withdrawal.APPLY,
    e.TrialClosed: _closed,
    **step_state.APPLY,
}
