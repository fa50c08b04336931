"""One run as the dashboard knows it: its facts, folded as they come, read in small helpings.

Nothing here writes into a run except ``post``, which puts a request into the inbox. A run that cannot be read is not an
error of the dashboard: ``trouble`` then says what is the matter, and what was read before stays.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Final

from labloop.campaign import events as e
from labloop.campaign import text
from labloop.campaign.errors import LabloopError, StateError
from labloop.campaign.spec import CampaignSpec, LabSpec, read_lab, read_spec
from labloop.campaign.state import FAILED, FINISHED, CampaignState, StepState
from labloop.campaign.words import WORTH_A_LINE, LogLine, line
from labloop.journal import Reader, inbox, presence

from .bench_watch import BenchWatch
from .cards import Said, hear, nothing_said
from .seen import SeenWatch

JOURNAL: Final = "journal.db"
INBOX: Final = "requests"
BLOBS: Final = "blobs"
# Records folded in one go: some 20 ms of work, so that a key is answered while a long journal is still being read.
HELPING: Final = 4000
LOG_LINES: Final = 2000
_STEP_ENDS: Final = frozenset({e.StepFinished, e.StepFailed})
_OVER: Final = frozenset({FINISHED, FAILED})
_RARE: Final = frozenset({
    e.Amended, e.AlarmHeard, e.InstrumentLost, e.RequestAnswered, e.Preferred, e.ResultWithdrawn, e.ResultRestored,
})  # fmt: skip


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Change:
    """What one ``poll`` brought."""

    facts: int = 0
    trials: set[int] = field(default_factory=set)
    lines: list[LogLine] = field(default_factory=list)
    more: bool = False
    # Another text of the campaign is in force, or a result is wrong or right after all: what was judged is judged anew.
    amended: bool = False

    def add(self, later: "Change") -> None:
        """What a later one brought as well: a helping that was not shown is shown with the next."""
        self.facts += later.facts
        self.trials |= later.trials
        self.lines += later.lines
        self.more, self.amended = later.more, self.amended or later.amended


@dataclass(slots=True)
class Sent:
    """A request of this dashboard and what became of it."""

    id: str
    request: str
    arguments: tuple[str, ...]
    why: str = ""
    answer: e.RequestAnswered | None = None
    told: bool = False  # on top of another page
    by_command: bool = False  # labloop's command line writes it down: no runner reads the inbox


class RunSource:
    """Reads the run in ``folder``; ``now`` and ``look`` (is its runner alive, gone or hung?) are injected by tests.

    ``by``: in whose name it asks ("": the user's of this terminal). ``read_only``: it asks nothing of anybody.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime] = utc_now,
        look: Callable[[Path], str] = presence.look,
        by: str = "",
        read_only: bool = False,
    ) -> None:
        self.folder = folder
        self.now = now
        self.spec: CampaignSpec | None = None
        self.state = CampaignState()
        self.runner = ""
        self.not_safe: int | None = None  # how much a guard could not make safe, where it has acted
        self.beat_s: float | None = None  # how long it had gone on at its runner's last heartbeat
        self.trouble = ""
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self._last: dict[str, str] = {}  # the step that each instrument was given last
        self.said: dict[str, Said] = {}
        self.lab: LabSpec | None = None
        self.sent: list[Sent] = []
        self.bench = BenchWatch()
        self.seen = SeenWatch()
        self.by = by or inbox.user()
        self.read_only = read_only
        self._look = look
        self._deserted = False  # no runner lives, and all that the last one has written is read
        self._reader: Reader | None = None
        self._records: Iterator[e.Record] | None = None
        self._unsaid: deque[e.Record] = deque(maxlen=LOG_LINES)  # read, and not in words yet

    def poll(self, helping: int = HELPING) -> Change:
        """Read what is new, at most ``helping`` facts; ``more`` says that there are others behind them."""
        change, was_gone = Change(), self.runner == "gone"
        self._deserted = False
        try:
            try:
                self._open()
                self._read(change, helping)
            finally:  # who runs is seen of a run whose journal is damaged as well
                self.runner = self._look(self.folder)
                self.not_safe = presence.guard_left_unsafe(self.folder) if self.runner == "gone" else None
                self.beat_s = presence.last_beat(self.folder).get("elapsed_s")
            self.trouble = ""
            self._deserted = was_gone and self.runner == "gone" and not change.more
            if not change.more and self.state.opened and self.state.mode != "told":
                self.bench.poll(self.folder, self.state.mode)
                self.seen.poll(self.folder)
        except LabloopError as error:
            self._in_trouble(str(error))
        except OSError as error:
            self._in_trouble(f"{self.folder}: cannot be read: {error}.")
        if not change.more:
            self._say(change)
        return change

    @property
    def current(self) -> dict[str, StepState]:
        """The step of each instrument that is not over."""
        steps = self.state.steps
        return {name: steps[step] for name, step in self._last.items() if steps[step].state not in _OVER}

    def moment(self, stamp: str | None, zone: tzinfo | None) -> str:
        """Write when a fact was, with its date where that is not today; a virtual clock's dates are nobody's."""
        return text.clock(stamp, zone) if self.state.mode == "virtual" else text.moment(stamp, zone, self.now())

    def close(self) -> None:
        """Let go of both journals."""
        self.bench.close()
        self._records = None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def post(self, request: str, *arguments: str, why: str = "") -> Sent:
        """Ask the run for something, in the name of whoever sits here. Raises StoreError, StateError (read-only)."""
        if self.read_only:
            raise StateError("This dashboard only looks. Open one without --read-only to ask for something.")
        if not self.folder.is_dir():  # nor is one made by asking
            raise StateError(f"{self.folder}: there is no such run any more. Nobody could answer.")
        posted = inbox.post(self.folder / INBOX, request, list(arguments), by=self.by, why=why)
        sent = Sent(posted, request, arguments, why)
        self.sent.append(sent)
        return sent

    def unheard(self) -> Iterator[Sent]:
        """Take back what was asked of a runner that has ended and has not read it; else the next start would obey it.

        One by one, so that none is taken back and lost with the next. Raises StoreError.
        """
        if not self._deserted:
            return
        for one in [one for one in self.sent if one.answer is None and one.id not in self.state.requests]:
            if self._look(self.folder) != "gone":  # it was taken up since: whoever did has read it, or will
                return
            self.sent.remove(one)
            if inbox.take_back(self.folder / INBOX, one.id):
                yield one

    def _open(self) -> None:
        journal = self.folder / JOURNAL
        if self._reader is not None and not journal.exists():  # an open file is read on though nobody has it any more
            self.close()
        if self._reader is None:
            self._reader = Reader(journal)

    def _read(self, change: Change, helping: int) -> None:
        assert self._reader is not None
        if self._records is None:
            if not self._reader.changed():
                return
            self._records = iter(self._reader.records(self.state.seq))
        before = self.state.seq
        try:
            for record in islice(self._records, helping):
                self._take(record, change)
        finally:
            change.facts += self.state.seq - before
        change.more = change.facts >= helping
        if not change.more:
            self._records = None

    def _take(self, record: e.Record, change: Change) -> None:
        fact, kind = record.event, type(record.event)  # by type, not isinstance: a long journal has 200,000 of them
        state = self.state
        if kind is e.CampaignOpened:
            lab = self.folder / "lab.yaml" if fact.lab_sha256 else None
            self.spec = read_spec(self.folder / "campaign.yaml", files=self._kept(fact.files), lab=lab)
            self.lab = read_lab(lab, files=self._kept(fact.files)) if lab else None
        state.apply(record)
        if kind is e.StepStarted:
            self._last[fact.instrument], trial = fact.step, fact.trial
        elif kind in _STEP_ENDS:
            begun = state.steps[fact.step].begun
            trial = begun.trial
            self._hear(begun.instrument, fact)
        else:
            trial = getattr(fact, "trial", None)
            if kind in _RARE:
                self._take_rare(record, change)
        if trial is not None:
            change.trials.add(trial)
        if kind in WORTH_A_LINE:
            self._unsaid.append(record)

    def _say(self, change: Change) -> None:
        """Put into words what was read: of a long journal only what the log does not lose again."""
        change.lines += filter(None, (line(record, self.state) for record in self._unsaid))
        self.log += change.lines
        self._unsaid.clear()

    def _take_rare(self, record: e.Record, change: Change) -> None:
        fact = record.event
        if isinstance(fact, e.Amended):
            self.spec = self._amended(fact)
            change.amended = True
            change.trials |= self.state.trials.keys()
        elif isinstance(fact, e.AlarmHeard | e.InstrumentLost):
            words = fact.said if isinstance(fact, e.AlarmHeard) else f"lost: {fact.reason}"
            self.said.setdefault(fact.instrument, nothing_said()).alarms.append((record.at, words))
        elif isinstance(fact, e.RequestAnswered):
            for sent in self.sent:
                if sent.id == fact.id:
                    sent.answer = fact
        else:  # it says something of every trial that was compared
            change.amended = not isinstance(fact, e.Preferred) or change.amended
            change.trials |= self.state.tastes.settings.keys()

    def _hear(self, instrument: str, fact: e.StepFinished | e.StepFailed) -> None:
        """The values that a step achieved and read, for the cards of the bench."""
        said = self.said.get(instrument)
        if said is None:
            said = self.said[instrument] = nothing_said()
        for name, amount in fact.achieved.items():
            hear(said, name, amount.value, amount.unit)
        if type(fact) is e.StepFinished:
            for name, reading in fact.readings.items():
                if reading.value is not None:
                    hear(said, name, reading.value, reading.unit)

    def _amended(self, fact: e.Amended) -> CampaignSpec:
        """The text that is in force from ``fact`` on; one that the run began with lies in its folder."""
        opened = self.state.opened
        first = opened is not None and fact.campaign_sha256 == opened.campaign_sha256
        path = self.folder / "campaign.yaml" if first else self.folder / BLOBS / fact.campaign_sha256
        lab = self.folder / "lab.yaml" if opened is not None and opened.lab_sha256 else None
        return read_spec(path, files=self._kept(fact.files), lab=lab, folder=self.folder, name="the amended campaign")

    def _kept(self, files: Mapping[str, str]) -> dict[str, Path]:
        """The files that the campaign names, as they were when it came into force, lie among the blobs."""
        return {written: self.folder / BLOBS / sha256 for written, sha256 in files.items()}

    def _in_trouble(self, words: str) -> None:
        """Say what is wrong and begin anew at the next poll, behind the facts that were read."""
        self.trouble = words
        self.close()


def runs_below(folder: Path) -> list[Path]:
    """Return the folders of ``folder`` and of its ``runs`` that hold a journal, newest first."""
    found = {journal.parent for pattern in ("*/journal.db", "runs/*/journal.db") for journal in folder.glob(pattern)}
    return sorted(found, key=_written, reverse=True)


def _written(run: Path) -> float:
    try:
        return (run / JOURNAL).stat().st_mtime
    except FileNotFoundError:  # somebody has taken it away since: who reads it says so
        return 0.0
