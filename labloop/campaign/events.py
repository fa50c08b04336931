"""The facts. A campaign is a list of these; everything else is a function of it.

Every fact is a frozen msgspec Struct with the class name as its tag, so that the journal's JSON is decoded straight
into typed values and a field that is not known is refused (see docs/decisions). Facts hold no wall-clock time: the
journal stamps each row; ``t_s`` fields are seconds of the run's own clock (lab time), so that two virtual runs with one
seed give the same facts to the last byte.

Settings of a trial are plain values in the units that the campaign declares; settings of a step carry their unit.
A float field that crosses a file carries its unit in its name or beside it.
"""

from typing import Any, TypeAlias

import msgspec

from .amend_events import Amended as Amended
from .amend_events import BudgetExtended as BudgetExtended
from .amend_events import Change as Change
from .bench_events import ActCounted as ActCounted
from .bench_events import BenchOpened as BenchOpened
from .bench_events import ByHand as ByHand
from .bench_events import ContentsChanged as ContentsChanged
from .bench_events import GuardActed as GuardActed
from .bench_events import HoldsKept as HoldsKept
from .bench_events import JournalNoted as JournalNoted
from .bench_events import LeaseReleased as LeaseReleased
from .bench_events import LeaseTaken as LeaseTaken
from .bench_events import QuestionClosed as QuestionClosed
from .bench_events import QuestionOpened as QuestionOpened
from .bench_events import StockDrawn as StockDrawn
from .bench_events import StockSet as StockSet
from .bench_events import TotalSet as TotalSet
from .pause_events import ByHandSeen as ByHandSeen
from .pause_events import CampaignPaused as CampaignPaused
from .pause_events import CampaignResumed as CampaignResumed
from .pause_events import HoldReleased as HoldReleased
from .pause_events import MovedAccepted as MovedAccepted
from .pause_events import SettingsLeft as SettingsLeft
from .pause_events import SettingsRead as SettingsRead
from .step_events import StepFailed as StepFailed
from .step_events import StepFinished as StepFinished
from .step_events import StepInDoubt as StepInDoubt
from .step_events import StepKept as StepKept
from .step_events import StepRejoined as StepRejoined
from .step_events import StepStarted as StepStarted
from .trial_events import PartMeasured as PartMeasured
from .trial_events import ResultRestored as ResultRestored
from .trial_events import ResultWithdrawn as ResultWithdrawn
from .values import PERSON as PERSON
from .values import Amount as Amount
from .values import Evidence as Evidence
from .values import Fact as Fact
from .values import Prediction as Prediction
from .values import Reading as Reading
from .values import RunnerUp as RunnerUp
from .values import Stand as Stand
from .values import Timed as Timed
from .values import Value as Value
from .values import Witness as Witness
from .watch_events import WatchCleared as WatchCleared
from .watch_events import WatchTripped as WatchTripped

# --- the campaign ---------------------------------------------------------------------------------------------------


class CampaignOpened(Fact, frozen=True, kw_only=True):
    """First fact of a journal. ``files``: every file that campaign and lab name, {path as written: sha256}.

    ``run_id`` names this run among all others of a bench: acts are known to instruments as ``run_id/step``.
    """

    campaign: str
    run_id: str
    version: str
    mode: str  # "simulated", "virtual", "live", "told"
    seed: int
    speed: float = 1.0
    faults: str | None = None
    campaign_sha256: str
    lab_sha256: str | None = None
    files: dict[str, str] = {}
    code: dict[str, str] = {}  # the drivers (of a simulated run also the simulators): {drivers/new_era.py: sha256}


class RunStarted(Fact, frozen=True, kw_only=True):
    """A runner took the campaign up. READY, or whatever a runner left behind, becomes RUNNING.

    ``version``: of this labloop, when it is not the one that opened the campaign. ``code``: the drivers' code, when a
    person accepted that it was changed; ``by`` and ``why`` are his. ``rested``: it is the same runner, after a pause
    that had had its time. ``unwatched_s``: how many of the lab seconds since the last runner nobody lived through.
    """

    resumed: bool = False
    rested: bool = False
    t_s: float = 0.0
    unwatched_s: float = 0.0
    version: str = ""
    code: dict[str, str] = {}
    by: str = ""
    why: str = ""


class CampaignFinished(Timed, frozen=True, kw_only=True):
    """Budget or a stopping rule reached; ``reason`` says which and what it saw.

    ``exit_code``: 1 when nothing was ever measured, 3 when the bench could not be made safe then.
    """

    reason: str
    exit_code: int = 0


class CampaignStopped(Timed, frozen=True, kw_only=True):
    """Ended before its budget: by a person (exit 4, 130) or by the bench (exit 3; 5 or 6: somebody else has it)."""

    reason: str
    exit_code: int
    by: str = ""


class CampaignHalted(Timed, frozen=True, kw_only=True):
    """Waits for a person's answer (exit 6); the open questions say to what."""

    reason: str


class SafeStateReached(Timed, frozen=True, kw_only=True):
    """stop() on everything and the lab's safe_state list were done; ``errors`` names what answered otherwise.

    ``by``: who did it when it was not the runner: ``guard``, then ``at`` says when, ``epoch`` under which lease, and
    ``found`` what it read of each instrument before it wrote, and after.
    """

    why: str
    errors: list[str] = []
    by: str = ""
    at: str = ""
    epoch: int = 0
    found: dict[str, Witness] = {}


class GuardStarted(Fact, frozen=True, kw_only=True):
    """A guard watches over this run. ``why``: an earlier one was gone, and how."""

    pid: int
    why: str = ""


class PhaseFinished(Fact, frozen=True, kw_only=True):
    """One pass of ``setup``, ``each_batch``, ``every`` or ``teardown`` is over."""

    phase: str
    number: int


class NoteTaken(Fact, frozen=True, kw_only=True):
    """A person's note for the next shift."""

    text: str
    by: str = ""


class Requested(Fact, frozen=True, kw_only=True):
    """A person's wish, taken out of the inbox; ``request`` is a verb of ``labloop request``."""

    id: str
    request: str
    arguments: list[str] = []
    by: str = ""
    why: str = ""


class RequestAnswered(Fact, frozen=True, kw_only=True):
    """What became of a wish."""

    id: str
    accepted: bool
    message: str = ""


# --- instruments ----------------------------------------------------------------------------------------------------


class InstrumentIdentified(Fact, frozen=True, kw_only=True):
    """open() asked who is there; ``first_reply`` is the first thing it said (a reset alarm is evidence)."""

    instrument: str
    model: str
    firmware: str = ""
    serial: str = ""
    first_reply: str = ""


class InstrumentAsked(Fact, frozen=True, kw_only=True):
    """Committed before an instrument with an unsettled act is asked who it is.

    Its first answer is evidence (an alarm is told once, to whoever speaks first): who asked and ended before it was
    written down in InstrumentIdentified, has lost it.
    """

    instrument: str


class AlarmHeard(Fact, frozen=True, kw_only=True):
    """An alarm that was cleared by being told, outside the first answer; ``said`` as a first answer has it."""

    instrument: str
    said: str


class ActTaken(Fact, frozen=True, kw_only=True):
    """An instrument has taken the act that was begun there last; ``said``: how it is known. Told once, as an alarm is.

    Committed before anything else is asked of it: what it shows afterwards is held against that.
    """

    instrument: str
    said: str


class InstrumentReplaced(Fact, frozen=True, kw_only=True):
    """A person says that another instrument stands in its place on purpose; what it did is not asked of the new one."""

    instrument: str
    by: str = ""
    why: str = ""


class InstrumentConfigured(Fact, frozen=True, kw_only=True):
    """configure() sent the lab's settings; done only after recovery has asked."""

    instrument: str


class CountersCleared(Fact, frozen=True, kw_only=True):
    """The instrument's own evidence was wiped on purpose; ``before`` is what it said last."""

    instrument: str
    before: dict[str, Amount] = {}


class InstrumentLost(Fact, frozen=True, kw_only=True):
    """The bench's fault: cable, port, or an answer that makes no sense."""

    instrument: str
    reason: str


# --- trials ---------------------------------------------------------------------------------------------------------


class ProposalMade(Fact, frozen=True, kw_only=True):
    """A trial exists. ``based_on``: sequence number of the last result the planner knew (0: none).

    ``knew``: of the last fact it had been told when it was asked, beside the proposals since (0: all before this one).
    """

    trial: int
    sample: str
    settings: dict[str, Value]
    source: str  # sobol, lhs, random, model, human, told
    role: str = "candidate"  # candidate, control, blank, repeat
    seed: int = 0
    based_on: int = 0
    knew: int = 0
    predicted: dict[str, Prediction] = {}
    acquisition: str = ""
    acquisition_value: float | None = None
    model: str = ""
    reason: str = ""
    runners_up: list[RunnerUp] = []
    outlook: dict[str, float] = {}  # what can still be gained, where a stopping rule asks (see stopping)
    evidence: dict[str, Evidence] = {}  # by outcome, where the model was chosen by it
    outliers: list[int] = []  # trials that the model took for outliers, in any of their outcomes
    repeat_of: int | None = None  # the trial whose settings are made (role repeat) once more, to learn the noise
    again_of: int | None = None  # the abandoned trial whose settings are tried again


class ProposalApproved(Fact, frozen=True, kw_only=True):
    """A person let it run (campaigns with ``approval: human``)."""

    trial: int
    by: str = ""


class TrialStarted(Fact, frozen=True, kw_only=True):
    """The first step may leave."""

    trial: int
    t_s: float = 0.0


class TrialAwaiting(Fact, frozen=True, kw_only=True):
    """Made; a result is owed from elsewhere."""

    trial: int


class TrialMeasured(Fact, frozen=True, kw_only=True):
    """The outcomes are known. ``by`` is empty when instruments measured them.

    ``again``: those of them that were marked as wrong, and told anew since, be it as they were.
    """

    trial: int
    outcomes: dict[str, Reading]
    again: list[str] = []
    t_s: float = 0.0
    by: str = ""


class Preferred(Fact, frozen=True, kw_only=True):
    """A person compared two measured trials by an outcome of theirs: ``trial`` is better than ``over``.

    ``tie``: it is as good. Every comparison counts, one that contradicts an earlier as well.
    """

    outcome: str
    trial: int
    over: int
    tie: bool = False
    by: str = ""
    why: str = ""
    t_s: float = 0.0


class TrialFailed(Fact, frozen=True, kw_only=True):
    """Chemistry's failure: it teaches the model that these settings fail."""

    trial: int
    reason: str
    t_s: float = 0.0
    by: str = ""


class TrialAbandoned(Fact, frozen=True, kw_only=True):
    """The bench's fault or a person's veto: it teaches nothing. ``again``: the same settings are to be tried again."""

    trial: int
    reason: str
    again: bool = False
    t_s: float = 0.0
    by: str = ""


class TrialInDoubt(Fact, frozen=True, kw_only=True):
    """An act of this trial may or may not have happened; a question stands open."""

    trial: int
    reason: str


class TrialResumed(Fact, frozen=True, kw_only=True):
    """IN_DOUBT is settled and the trial goes on."""

    trial: int


class TrialClosed(Fact, frozen=True, kw_only=True):
    """Cleanup is done: the sample is gone and the bench is free of it."""

    trial: int
    t_s: float = 0.0


CampaignEvent: TypeAlias = (
    CampaignOpened | RunStarted | CampaignPaused | HoldReleased | SettingsRead | SettingsLeft | MovedAccepted
    | CampaignResumed | ByHandSeen | CampaignFinished | CampaignStopped | CampaignHalted | BudgetExtended | Amended
    | SafeStateReached | WatchTripped | WatchCleared | GuardStarted | PhaseFinished | NoteTaken | Requested
    | RequestAnswered | InstrumentIdentified | InstrumentAsked | AlarmHeard | ActTaken | InstrumentReplaced
    | InstrumentConfigured | CountersCleared | InstrumentLost
    | ProposalMade | ProposalApproved | TrialStarted | TrialAwaiting | PartMeasured | TrialMeasured | Preferred
    | ResultWithdrawn | ResultRestored | TrialFailed | TrialAbandoned | TrialInDoubt | TrialResumed | TrialClosed
    | StepStarted | StepKept | StepRejoined | StepFinished | StepFailed | StepInDoubt
)  # fmt: skip
BenchEvent: TypeAlias = (
    BenchOpened | LeaseTaken | LeaseReleased | JournalNoted | GuardActed | StockSet | StockDrawn | ActCounted | TotalSet
    | ContentsChanged | ByHand | HoldsKept
    | QuestionOpened | QuestionClosed | CountersCleared | InstrumentAsked | InstrumentIdentified
    | AlarmHeard | ActTaken
)  # fmt: skip
Event: TypeAlias = CampaignEvent | BenchEvent


class Record(msgspec.Struct, frozen=True, gc=False):
    """A fact with its place in the journal: sequence number (from 1) and time stamp (UTC with offset, ISO 8601)."""

    seq: int
    at: str
    event: Any  # Event
