"""A campaign whose hands are a person's: it is asked what to try and told what came of it.

The same journal, planner and states as a run's, without a bench. A trial stays proposed until its result is told, so
open proposals are pending points of the acquisition. A run with a bench may be told as well: results that come days
later (``from: told``), and old data.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, Self

from labloop import __version__
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.amending import changes
from labloop.campaign.amendments import text_in_force
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec, read_lab
from labloop.campaign.stopping import Stopping
from labloop.campaign.text import in_shell
from labloop.journal import Blobs, Journal, MemoryBlobs, begun
from labloop.journal.files import private_folder, write_whole
from labloop.planner import InlinePlanner, NothingLeftError, PlannerProcess

from .amending import AMEND, Proved, Wanted, complaints, grant
from .check import outside
from .clock import utc_stamp
from .kept import former_specs, kept_spec
from .look import JOURNAL
from .memory import RunMemory
from .telling import ResultKept, Telling, Written

# Another short command's lock on the journal is gone within this.
WAIT_S: Final = 2.0
# Of many proposals every twentieth part is told, and no fewer than so many at once: each part learns the model anew.
PARTS: Final = 20
LEAST_PART: Final = 10
# More than anybody makes before the first is told; a slip of the keys would be planned, and written down, for days.
MOST: Final = 1000

PlannerKind = Literal["process", "inline"]


class Told:
    """An open campaign to ask and tell. One writer: hold it as briefly as a command, or as long as a session."""

    def __init__(self, spec: CampaignSpec, journal: Journal, memory: RunMemory, planner: PlannerKind) -> None:
        self.spec = spec
        self.former: list[CampaignSpec] = []  # what the campaign was before it was amended
        self.memory = memory
        self._journal = journal
        self._kind = planner
        self._planner: InlinePlanner | PlannerProcess | None = None
        self._closing = ExitStack()
        self._closing.callback(journal.close)

    @classmethod
    def begin(
        cls,
        spec: CampaignSpec,
        folder: Path | None = None,
        *,
        planner: PlannerKind = "process",
        seed: int | None = None,
        stamp: Callable[[], str] = utc_stamp,
    ) -> Self:
        """Begin a campaign in ``folder`` (None: in memory), or take up the one that is there.

        Raises SpecError when the folder holds another campaign, or when the recipe leaves the limits of lab, campaign
        or drivers somewhere in the space (whoever does it by hand must not be told to; where these cannot be read here,
        a note says that nothing was held against them), StoreLocked while another process writes it, StoreError.
        """
        if folder is not None and begun(folder / JOURNAL):
            return cls.take_up(folder, planner=planner, spec=spec, stamp=stamp)
        if faults := import_module("labloop.planner.problem").complaints(spec):
            raise SpecError(*faults)
        beyond, unheld = _beyond(spec)
        if beyond:
            raise SpecError(*beyond)
        blobs: Blobs | MemoryBlobs
        if folder is None:
            journal, blobs = Journal.memory(stamp), MemoryBlobs()
        else:
            private_folder(folder)
            blobs = Blobs(folder / "blobs")
        files = {str(named): blobs.put(found.read_bytes()) for named, found in _files(spec).items()}
        if folder is not None:
            write_whole(folder / "campaign.yaml", _text(spec).encode())
            journal = Journal.create(folder / JOURNAL, stamp, wait_s=WAIT_S)
        memory = RunMemory(journal, blobs, s.CampaignState())
        memory.record(
            e.CampaignOpened(
                campaign=spec.campaign, run_id=secrets.token_hex(8), version=__version__, mode="told",
                seed=spec.design.seed if seed is None else seed, campaign_sha256=_hash(_text(spec)), files=files,
            )
        )  # fmt: skip
        if unheld:
            memory.record(e.NoteTaken(text=unheld, by="labloop"))
        return cls(spec, journal, memory, planner)

    @classmethod
    def take_up(
        cls,
        folder: Path,
        *,
        planner: PlannerKind = "process",
        spec: CampaignSpec | None = None,
        stamp: Callable[[], str] = utc_stamp,
    ) -> Self:
        """Open the campaign in ``folder``. ``spec``: refuse when it is not the one that is there.

        Raises SpecError, StateError, StoreLocked, StoreError.
        """
        journal = Journal.open(folder / JOURNAL, stamp, wait_s=WAIT_S)
        try:
            state = s.fold(journal.records())
            kept = kept_spec(folder, state)
            if spec is not None and _hash(_text(spec)) != text_in_force(state):
                raise SpecError(
                    f"{folder}: holds another campaign (or another text of it) than the one given. Give another "
                    f"folder, or change this one: `labloop amend {in_shell(folder)} FILE`"
                )
        except BaseException:
            journal.close()
            raise
        told = cls(kept, journal, RunMemory(journal, Blobs(folder / "blobs"), state), planner)
        told.former = former_specs(folder, state)
        return told

    def close(self) -> None:
        """Let go of the journal and end the planner's process; harmless twice."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> s.CampaignState:
        """What the facts add up to."""
        return self.memory.state

    # --- ask ------------------------------------------------------------------------------------------------------

    def ask(self, count: int = 1, *, heard: Callable[[int], object] | None = None) -> list[e.ProposalMade]:
        """Propose ``count`` trials (``MOST`` at the most) and write them down.

        heard: called with how many there are, now and then; so many are then written down already. The proposals are
        the same without it: each counts those before it as in flight.
        Raises SpecError (the campaign cannot be planned), NothingLeftError (the space is used up), PlannerError.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise SpecError(f"{count!r} proposals: ask for a whole number of at least 1")
        if count > MOST:
            raise SpecError(
                f"{count} proposals: {MOST} at once are the most. Ask for those that are made next; what is still open "
                "counts as taken when you ask again"
            )
        state = self.state
        if state.mode != "told" and state.state in (s.RUNNING, s.PAUSED):
            raise StateError(
                f"this run is {state.state} and proposes by itself. Ask in a folder of its own, or resume the run"
            )
        if heard is None:
            return self._asked(count)
        proposals: list[e.ProposalMade] = []
        while len(proposals) < count:
            at_once = min(max(count // PARTS, LEAST_PART), count - len(proposals))
            try:
                news = self._asked(at_once)
            except NothingLeftError:
                if not proposals:
                    raise
                break
            proposals += news
            heard(len(proposals))
            if len(news) < at_once:
                break
        return proposals

    def _asked(self, count: int) -> list[e.ProposalMade]:
        state = self.state
        first = state.next_trial()
        answer = self._warm().request(count=count, based_on=state.seq, first=first).result()
        proposals = [
            e.ProposalMade(
                trial=one.trial, sample=f"S{one.trial}", settings=one.settings, source=one.source, seed=one.seed,
                based_on=state.last_result, knew=state.seq, predicted=one.predicted, acquisition=one.acquisition,
                acquisition_value=one.acquisition_value, model=one.model, reason=one.reason,
                runners_up=one.runners_up, outlook=one.outlook, evidence=one.evidence, outliers=one.outliers,
            )
            for one in answer
        ]  # fmt: skip
        self.memory.record(*proposals)
        return proposals

    def enough(self) -> str | None:
        """Why a run of this campaign would end here, its budget spent or a stopping rule met; None: it would go on.

        What the planner saw is what it saw when it last proposed. Nothing is refused for it: whoever asks decides.
        """
        state, most = self.state, self.spec.budget.trials
        if most is not None and state.measured >= most + state.extended_trials:
            return f"the budget of {most + state.extended_trials} trials is measured"
        asked = [trial.proposal for _, trial in sorted(state.trials.items()) if trial.proposal.outlook]
        # of proposals made together the first: those behind it count it as measured
        outlook = next((one.outlook for one in asked if one.knew == asked[-1].knew), {})
        return Stopping(self.spec, Objective(self.spec)).reason(state, outlook)

    # --- tell -----------------------------------------------------------------------------------------------------

    @property
    def telling(self) -> Telling:
        """What may be told of this campaign now."""
        return Telling(self.spec, self.state, self.memory.saved)

    def tell(
        self, trial: int, outcomes: Written | None = None, *, failed: str = "", void: str = "", by: str = "a person"
    ) -> None:
        """Write down what came of a trial, as ``Telling.of_trial`` reads it. Raises as it does."""
        try:
            facts = self.telling.of_trial(trial, outcomes, failed=failed, void=void, by=by)
        except ResultKept as kept:
            if kept.note:
                self.memory.record(e.NoteTaken(text=kept.note, by=by))
            raise
        self.memory.record(*facts)

    def tell_settings(
        self, settings: Written | Sequence[Written], outcomes: Written | Sequence[Written], *, by: str = "a person"
    ) -> list[int]:
        """Write down data that nobody proposed, all or nothing; gives the numbers of the trials it became.

        Raises SpecError with every complaint.
        """
        facts = self.telling.of_settings(settings, outcomes, by=by)
        self.memory.record(*facts)
        return [fact.trial for fact in facts if isinstance(fact, e.ProposalMade)]

    def prefer(self, trial: int, over: int, *, tie: bool = False, by: str = "a person", why: str = "") -> None:
        """Write down which of two trials is better, as ``Telling.of_comparison`` reads it. Raises as it does."""
        self.memory.record(*self.telling.of_comparison(trial, over, tie=tie, by=by, why=why))

    # --- amend ----------------------------------------------------------------------------------------------------

    def amend(self, spec: CampaignSpec, *, by: str = "a person", why: str = "") -> list[e.Change]:
        """Let ``spec`` be in force from here on, and give what is another in it.

        Raises SpecError for what may not be amended, or where nothing is another.
        """
        against = complaints(self.spec, spec, None, live=False)
        if against:
            raise SpecError(*against)
        import_module("labloop.planner.problem").read_problem(spec)
        blobs, text = self.memory.blobs, _text(spec)
        files = {str(named): blobs.put(found.read_bytes()) for named, found in _files(spec).items()}
        wanted = Wanted(before=text_in_force(self.state), after=blobs.put(text.encode()), files=files)
        wish = e.Requested(id=secrets.token_hex(8), request=AMEND, by=by, why=why)
        proved = Proved(wanted=wanted, spec=spec, changes=changes(self.spec, spec))
        says = grant(self.state, wish, proved, self.state.t_s)
        if not says.accepted:
            raise SpecError(says.message)
        self.memory.record(wish, *says.facts, e.RequestAnswered(id=wish.id, accepted=True, message=says.message))
        self.former.append(self.spec)
        self.spec = spec
        self._tell_planner()
        return proved.changes

    def _tell_planner(self) -> None:
        if self._planner is not None and self.former:
            self._planner.amend(self.spec.dump(), [one.dump() for one in self.former])

    # --- within ---------------------------------------------------------------------------------------------------

    def _warm(self) -> InlinePlanner | PlannerProcess:
        """The planner, told all the facts; it is started when it is first needed."""
        if self._planner is None:
            if self._kind == "inline":
                self._planner = InlinePlanner(self.spec)
            else:
                self._planner = PlannerProcess(self.spec.dump(), self.spec.folder.resolve())
            self._closing.callback(self._planner.close)
            self._tell_planner()
            self._planner.start()
            self._planner.send_facts(list(self._journal.records()))
            self.memory.listeners.append(self._pass_on)
        return self._planner

    def _pass_on(self, record: e.Record) -> None:
        assert self._planner is not None
        self._planner.send_facts([record])


def _beyond(spec: CampaignSpec) -> tuple[list[str], str]:
    """What of the space leaves the limits of the lab; or why that cannot be said here: its drivers may be elsewhere."""
    if not spec.trial or spec.lab is None or not spec.lab.is_file():
        return [], ""
    try:
        return outside(spec, read_lab(spec.lab)), ""
    except SpecError as error:
        return [], f"the space was not held against the limits of the lab: {error}"


def _text(spec: CampaignSpec) -> str:
    """The campaign as it is kept: the file's exact text, or a dict's JSON with every path absolute."""
    return spec.source or json.dumps(spec.dump(), ensure_ascii=False, indent=1, default=str)


def _files(spec: CampaignSpec) -> dict[str, Path]:
    """Every file that the kept text names, by the name it has there."""
    return spec.files if spec.source else {str(path.resolve()): path for path in spec.files.values()}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
