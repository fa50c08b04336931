"""A campaign whose hands are a person's: it is asked what to try and told what came of it.

The same journal, planner and states as a run's, without a bench. A trial stays proposed until its result is told, so
open proposals are pending points of the acquisition. The first result of a trial is kept; another one is refused, and
that it came is noted.

A run with a bench may be told as well: results that come days later (``from: told``), and old data.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from numbers import Real
from pathlib import Path
from typing import Any, Final, Literal, Self

from labloop import __version__
from labloop.campaign import events as e
from labloop.campaign import recipe
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.models import did_you_mean
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.units import parse_measurement
from labloop.journal import Blobs, Journal, MemoryBlobs
from labloop.journal.files import private_folder, write_whole
from labloop.planner import InlinePlanner, PlannerProcess

from .clock import utc_stamp
from .look import JOURNAL, kept_spec
from .memory import RunMemory

OPEN: Final = (s.PROPOSED, s.AWAITING)
# Another short command's lock on the journal is gone within this.
WAIT_S: Final = 2.0

PlannerKind = Literal["process", "inline"]
Written = Mapping[str, Any]


class Told:
    """An open campaign to ask and tell. One writer: hold it as briefly as a command, or as long as a session."""

    def __init__(self, spec: CampaignSpec, journal: Journal, memory: RunMemory, planner: PlannerKind) -> None:
        self.spec = spec
        self.memory = memory
        self._journal = journal
        self._kind = planner
        self._planner: InlinePlanner | PlannerProcess | None = None
        self._space = Space(spec)
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

        Raises SpecError when the folder holds another campaign, StoreLocked while another process writes it,
        StoreError.
        """
        if folder is not None and (folder / JOURNAL).exists():
            return cls.take_up(folder, planner=planner, spec=spec, stamp=stamp)
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
            kept = kept_spec(folder, state.opened)
            if spec is not None and state.opened and _hash(_text(spec)) != state.opened.campaign_sha256:
                raise SpecError(
                    f"{folder}: holds another campaign (or an earlier text of it) than the one given. Give another "
                    "folder, or go on with the old text"
                )
        except BaseException:
            journal.close()
            raise
        return cls(kept, journal, RunMemory(journal, Blobs(folder / "blobs"), state), planner)

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

    def ask(self, count: int = 1) -> list[e.ProposalMade]:
        """Propose ``count`` trials and write them down.

        Raises SpecError (the campaign cannot be planned), NothingLeftError (the space is used up), PlannerError.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise SpecError(f"{count!r} proposals: ask for a whole number of at least 1")
        state = self.state
        if state.mode != "told" and state.state in (s.RUNNING, s.PAUSED):
            raise StateError(
                f"this run is {state.state} and proposes by itself. Ask in a folder of its own, or resume the run"
            )
        first = state.next_trial()
        answer = self._warm().request(count=count, based_on=state.seq, first=first).result()
        proposals = [
            e.ProposalMade(
                trial=one.trial, sample=f"S{one.trial}", settings=one.settings, source=one.source, seed=one.seed,
                based_on=state.last_result, predicted=one.predicted, acquisition=one.acquisition,
                acquisition_value=one.acquisition_value, model=one.model, reason=one.reason,
                runners_up=one.runners_up,
            )
            for one in answer
        ]  # fmt: skip
        self.memory.record(*proposals)
        return proposals

    # --- tell -----------------------------------------------------------------------------------------------------

    def tell(
        self, trial: int, outcomes: Written | None = None, *, failed: str = "", void: str = "", by: str = "a person"
    ) -> None:
        """Write down what came of a trial: its outcomes, or why there are none.

        outcomes: {name: value}, a value being a number in the outcome's unit, (mean, sd), ``"12.34(5)"`` or
        ``"530 nm"``. failed: chemistry's failure, which teaches the model. void: the bench's fault, which does not.

        Raises SpecError for what is told, StateError when the trial cannot be told (again).
        """
        self.memory.record(*self.told_facts(trial, outcomes, failed=failed, void=void, by=by))

    def told_facts(
        self, trial: int, outcomes: Written | None = None, *, failed: str = "", void: str = "", by: str = "a person"
    ) -> list[e.Fact]:
        """The facts that ``tell`` writes down. Raises as it does; a second result leaves a note first."""
        if sum(bool(one) for one in (outcomes, failed, void)) != 1:
            raise SpecError(f"trial {trial}: tell its outcomes, or failed=WHY, or void=WHY: one of the three")
        if isinstance(trial, bool) or not isinstance(trial, int) or trial not in self.state.trials:
            last = max(self.state.trials, default=0)
            way_out = f"the last is {last}" if last else "ask for one first, or use tell_settings for data of your own"
            raise SpecError(f"there is no trial {trial!r}; {way_out}")
        known = self.state.trials[trial]
        readings = self._readings(outcomes, known) if outcomes else {}
        if known.state not in OPEN:
            self._refuse(known, readings, failed or void, by)
        if failed:
            return [e.TrialFailed(trial=trial, reason=failed, t_s=self.state.t_s, by=by)]
        if void:
            return [e.TrialAbandoned(trial=trial, reason=void, t_s=self.state.t_s, by=by)]
        return [e.TrialMeasured(trial=trial, outcomes=readings, t_s=self.state.t_s, by=by)]

    def tell_settings(
        self, settings: Written | Sequence[Written], outcomes: Written | Sequence[Written], *, by: str = "a person"
    ) -> list[int]:
        """Write down data that nobody proposed, all or nothing; gives the numbers of the trials it became.

        One mapping each, or lists of the same length. Raises SpecError with every complaint.
        """
        rows = [settings] if isinstance(settings, Mapping) else list(settings)
        measured = [outcomes] if isinstance(outcomes, Mapping) else list(outcomes)
        if len(rows) != len(measured):
            raise SpecError(f"{len(rows)} settings and {len(measured)} outcomes: give as many of one as of the other")
        first, facts, complaints = self.state.next_trial(), [], []
        for number, (row, result) in enumerate(zip(rows, measured, strict=True), first):
            try:
                plain = self._settings(row)
                readings = self._readings(result)
            except SpecError as error:
                where = f"row {number - first + 1}: " if len(rows) > 1 else ""
                complaints += [f"{where}{complaint}" for complaint in error.complaints]
                continue
            facts += [
                e.ProposalMade(
                    trial=number, sample=f"S{number}", settings=plain, source="told", based_on=self.state.last_result,
                    reason=f"told by {by}",
                ),
                e.TrialMeasured(trial=number, outcomes=readings, t_s=self.state.t_s, by=by),
            ]  # fmt: skip
        if complaints:
            raise SpecError(*complaints)
        self.memory.record(*facts)
        return list(range(first, first + len(rows)))

    # --- within ---------------------------------------------------------------------------------------------------

    def _settings(self, row: Written) -> dict[str, e.Value]:
        known = flat_parameters(self.spec.parameters)
        complaints = [f"{name} is no parameter. {did_you_mean(str(name), known)}" for name in row if name not in known]
        plain: dict[str, e.Value] = {}
        for name, parameter in known.items():
            if name not in row:
                if getattr(parameter, "active_when", None) is None:
                    complaints.append(f"{name} is missing. Give every parameter a value")
                continue
            try:
                plain[name] = parameter.read(_number(row[name]))
            except SpecError as error:
                complaints.append(f"{name}: {error}")
        complaints = complaints or self._space.contains(plain)
        if complaints:
            raise SpecError(*complaints)
        return plain

    def _readings(self, outcomes: Written, trial: s.TrialState | None = None) -> dict[str, e.Reading]:
        known = self.spec.outcomes
        complaints = [
            f"{name} is no outcome. {did_you_mean(str(name), known)}" for name in outcomes if name not in known
        ]
        readings: dict[str, e.Reading] = {}
        if not complaints and trial is not None and trial.acted:
            readings |= recipe.outcomes(self.spec, self.memory.saved(trial.trial))
        for name, written in outcomes.items():
            if name in known:
                try:
                    readings[name] = _reading(written, known[name].unit)
                except SpecError as error:
                    complaints.append(f"{name}: {error}")
        missing = [name for name in known if name not in readings and name not in outcomes]
        if missing and not complaints:
            complaints.append(f"{', '.join(missing)} missing. Tell every outcome at once")
        if complaints:
            raise SpecError(*complaints)
        return readings

    def _refuse(self, trial: s.TrialState, readings: Mapping[str, e.Reading], why: str, by: str) -> None:
        had = ", ".join(f"{name} = {one.value}" for name, one in trial.outcomes.items()) or trial.reason
        if trial.state not in (s.MEASURED, s.FAILED, s.ABANDONED):
            raise StateError(f"trial {trial.trial} is {trial.state} on the bench; its result is not for telling yet")
        came = ", ".join(f"{name} = {one.value}" for name, one in readings.items()) or why
        same = bool(readings) and dict(readings) == trial.outcomes
        if not same:
            note = f"a second result for trial {trial.trial} was refused: {came}; kept: {had}"
            self.memory.record(e.NoteTaken(text=note, by=by))
        raise StateError(
            f"trial {trial.trial} is {trial.state} already ({had}); the first result is kept, and {came} was refused"
        )

    def _warm(self) -> InlinePlanner | PlannerProcess:
        """The planner, told all the facts; it is started when it is first needed."""
        if self._planner is None:
            if self._kind == "inline":
                self._planner = InlinePlanner(self.spec)
            else:
                self._planner = PlannerProcess(self.spec.dump(), self.spec.folder.resolve())
            self._closing.callback(self._planner.close)
            self._planner.start()
            self._planner.send_facts(list(self._journal.records()))
            self.memory.listeners.append(self._pass_on)
        return self._planner

    def _pass_on(self, record: e.Record) -> None:
        assert self._planner is not None
        self._planner.send_facts([record])


def _reading(written: Any, unit: str) -> e.Reading:
    if isinstance(written, (tuple, list)) and len(written) == 2:
        value, sd = (_number(one) for one in written)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isinstance(sd, (int, float)) or sd < 0:
            raise SpecError(f"{written!r} is no (mean, sd). Give two numbers, the sd not below 0")
        if not math.isfinite(sd):
            raise SpecError(f"{written!r}: the sd is not finite. Leave it out where it is not known")
        plain = parse_measurement(value, unit)
        return e.Reading(value=plain.value, unit=plain.unit, sd=float(sd) or None)
    return parse_measurement(_number(written), unit)


def _number(value: Any) -> Any:
    """numpy's numbers, and others that are real, as Python's."""
    if isinstance(value, (bool, int, str)) or not isinstance(value, Real):
        return value
    return float(value)


def _text(spec: CampaignSpec) -> str:
    """The campaign as it is kept: the file's exact text, or a dict's JSON with every path absolute."""
    return spec.source or json.dumps(spec.dump(), ensure_ascii=False, indent=1, default=str)


def _files(spec: CampaignSpec) -> dict[str, Path]:
    """Every file that the kept text names, by the name it has there."""
    return spec.files if spec.source else {str(path.resolve()): path for path in spec.files.values()}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
