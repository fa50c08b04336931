"""What is known of a campaign: all that its facts have added up to so far, and nothing of how.

Each kind of fact has a file that says what it adds (amendments, instruments, pauses, withdrawal, trial_course,
step_course): they know the tally, and the tally knows none of them. CampaignState (see state) is the tally that grows.
"""

from dataclasses import dataclass, field

from . import events as e
from .amendment import Amendment
from .errors import StateError
from .step_state import StepState
from .tastes import Tastes
from .trial_state import RUNNING, TrialState

READY, PAUSED, STOPPED, HALTED = "ready", "paused", "stopped", "halted"


@dataclass(slots=True)
class Tally:
    """What all the facts add up to."""

    state: str = READY
    opened: e.CampaignOpened | None = None
    opened_at: str = ""
    code: dict[str, str] = field(default_factory=dict)  # of the drivers, as the run was begun or a person accepted
    seq: int = 0
    at: str = ""
    t_s: float = 0.0  # lab seconds, as far as a fact has told them
    t_at: str = ""  # when that was
    unwatched_s: float = 0.0  # of these, how many no runner lived through
    rested_s: float = 0.0  # of the others, how many passed in pauses that are over
    rests_since_s: float | None = None  # of a pause that goes on: when it began, as lived
    trials: dict[int, TrialState] = field(default_factory=dict)
    open_trials: set[int] = field(default_factory=set)  # not closed: proposed, running, or still to be cleaned up
    tastes: Tastes = field(default_factory=Tastes)
    steps: dict[str, StepState] = field(default_factory=dict)
    running: dict[str, StepState] = field(default_factory=dict)  # of these, those that were begun and have not ended
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
    outliers: frozenset[int] = frozenset()  # trials that the last model took for outliers (engine: robust)
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
    # What was counted at rest in a pause, by instrument, until it is compared: after a safe state as well.
    counted: dict[str, dict[str, e.Stand]] = field(default_factory=dict)
    # What stood at each instrument when the bench had been made safe, until it is compared (None: nothing is known).
    left: dict[str, dict[str, e.Stand]] | None = None
    resumed_seq: int = 0  # sequence number of the last CampaignResumed
    accepted_seq: int = 0  # and of the last MovedAccepted: what was set before stands as a person has found it right
    safe: bool = False
    unsafe: list[str] = field(default_factory=list)  # what went wrong on the way to the last safe state, in words
    # What was heard first of an instrument since its last act began, by whoever spoke first (None: not written down).
    heard: dict[str, list[str | None]] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)  # instrument -> sequence number of the last replacement
    witnesses: dict[str, e.Witness] = field(default_factory=dict)  # what the guard read; until the next act there
    guard_epoch: int = 0  # of the last act of the guard that this run knows of
    runs: int = 0

    @property
    def seed(self) -> int:
        """The campaign's seed, fixed when it was opened."""
        return self.opened.seed if self.opened else 0

    @property
    def mode(self) -> str:
        """simulated, virtual, live or told."""
        return self.opened.mode if self.opened else "told"

    @property
    def believed(self) -> list[TrialState]:
        """The trials among which the best is looked for: those that the last model took for outliers are none."""
        return [trial for trial in self.trials.values() if trial.trial not in self.outliers]

    @property
    def may_begin(self) -> bool:
        """Whether steps may begin: nobody has paused it, no interlock holds it, and all was read again since."""
        return self.state == RUNNING and not self.held and not self.unread

    def lived_s(self, t_s: float) -> float:
        """Lab seconds less what no runner had lived through until then."""
        return t_s - self.unwatched_s

    def worked_s(self, t_s: float) -> float:
        """The same less the pauses, also of one that goes on."""
        lived_s = self.lived_s(t_s)
        resting_s = 0.0 if self.rests_since_s is None else max(lived_s - self.rests_since_s, 0.0)
        return lived_s - self.rested_s - resting_s

    def next_trial(self) -> int:
        """The number that the next trial will have."""
        return max(self.trials, default=0) + 1

    def trial_of(self, number: int, seq: int) -> TrialState:
        """The trial of that number. Raises StateError when no fact made it."""
        trial = self.trials.get(number)
        if trial is None:
            raise StateError(f"fact {seq} speaks of trial {number}, which was never proposed")
        return trial
