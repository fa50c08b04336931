"""What a person tells of a trial, read and turned into facts: pure functions of campaign, state and what is told.

The first result of a trial is kept. Another one is refused, and the refusal says what to note down of it. A result may
come in parts, some outcomes today and the others when they are there: each is told once, and again only where it was
marked as wrong meanwhile.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from labloop.campaign import events as e
from labloop.campaign import recipe
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.flags import NO_READING, doubtful, plain_number
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.models import did_you_mean
from labloop.campaign.parameters import Parameter
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.tables import is_empty
from labloop.campaign.text import bound
from labloop.campaign.units import parse_measurement, quote

OPEN: Final = (s.PROPOSED, s.AWAITING)

MISSING: Final = "missing"
SIDES: Final[Mapping[str, str]] = {">": "above", "<": "below"}

Written = Mapping[str, Any]
Saved = Mapping[str, recipe.SavedReading | Sequence[recipe.SavedReading]]


class ResultKept(StateError):
    """A trial has its result already. ``note``: what came and was refused ("": the same result once more)."""

    def __init__(self, message: str, note: str) -> None:
        self.note = note
        super().__init__(message)


class Telling:
    """What may be told of a campaign as it stands. ``saved``: what a trial's own steps have read."""

    def __init__(self, spec: CampaignSpec, state: s.CampaignState, saved: Callable[[int], Saved]) -> None:
        self.spec = spec
        self.state = state
        self._saved = saved
        self._space = Space(spec)

    def of_trial(
        self, trial: int, outcomes: Written | None = None, *, failed: str = "", void: str = "", by: str = "a person"
    ) -> list[e.Fact]:
        """The fact of one trial: its outcomes or some of them, or why there are none.

        outcomes: {name: value}, those that are known by now, a value being a number in the outcome's unit, (mean, sd),
        ``"12.34(5)"`` or ``"530 nm"``, or ``missing``: it will not come. failed: chemistry's failure, which teaches the
        model. void: the bench's fault, which does not.

        Raises SpecError for what is told, ResultKept for what is known already, StateError when it is on the bench.
        """
        if sum(bool(one) for one in (outcomes, failed, void)) != 1:
            three = "its outcomes, or that it failed, or that it is void: one of the three"
            raise SpecError(f"trial {trial}: tell {three}")
        known = self._known(trial)
        readings, owed = self._readings(outcomes, known) if outcomes else ({}, [])
        if known.state not in OPEN:
            raise _refusal(known, readings, failed or void)
        if failed:
            return [e.TrialFailed(trial=trial, reason=failed, t_s=self.state.t_s, by=by)]
        if void:
            return [e.TrialAbandoned(trial=trial, reason=void, t_s=self.state.t_s, by=by)]
        told = outcomes or {}
        if again := [name for name in told if name in known.measured and name not in known.withdrawn]:
            raise _told_already(known, again, readings)
        if owed:
            return [e.PartMeasured(trial=trial, outcomes=readings, owed=owed, t_s=self.state.t_s, by=by)]
        gone = {name for name in known.owed if name not in readings}  # was marked as wrong, and will not come again
        every = {name: one for name, one in {**known.measured, **readings}.items() if name not in gone}
        again = [name for name in readings if name in known.withdrawn]
        return [e.TrialMeasured(trial=trial, outcomes=every, again=again, t_s=self.state.t_s, by=by)]

    def of_comparison(
        self, trial: int, over: int, *, tie: bool = False, by: str = "a person", why: str = ""
    ) -> list[e.Fact]:
        """The facts of one comparison: ``trial`` is better than ``over``, or as good (``tie``).

        Whoever compares trials has them before their eyes: those that were open are measured by it, where nothing else
        of them is to be told. Raises SpecError for what is told, StateError for trials that cannot be compared.
        """
        outcome = next((name for name, one in self.spec.outcomes.items() if one.prefers), None)
        if outcome is None:
            names = " ".join(f"{name}=..." for name in self.spec.outcomes)
            raise SpecError(
                f"this campaign compares no trials: none of its outcomes has goal: prefer. Tell numbers: labloop tell "
                f"RUN TRIAL {names}"
            )
        for number in (trial, over):
            self._known(number)
        if trial == over:
            raise SpecError(f"trial {trial} is no better than itself. Name two trials")
        facts: list[e.Fact] = []
        for number in (trial, over):
            known = self.state.trials[number]
            if known.state == s.MEASURED:
                continue
            if known.state not in OPEN:
                raise _incomparable(known)
            facts.append(e.TrialMeasured(trial=number, outcomes=self._made(known), t_s=self.state.t_s, by=by))
        return [*facts, e.Preferred(
            outcome=outcome, trial=trial, over=over, tie=tie, by=by, why=why, t_s=self.state.t_s
        )]  # fmt: skip

    def _made(self, trial: s.TrialState) -> dict[str, e.Reading]:
        """What is known of an open trial when it is compared. Raises StateError when more is to be told of it first."""
        readings = self._read(trial) | trial.measured
        missing = list(trial.owed) or [
            name for name, one in self.spec.outcomes.items() if not one.prefers and name not in readings
        ]
        if missing:
            names = " ".join(f"{name}=..." for name in missing)
            raise StateError(
                f"trial {trial.trial} is {trial.state}, and not compared before it is measured. Tell its "
                f"{', '.join(missing)} first: labloop tell RUN {trial.trial} {names}"
            )
        return readings

    def _known(self, trial: int) -> s.TrialState:
        """The trial of that number. Raises SpecError when there is none."""
        if isinstance(trial, bool) or not isinstance(trial, int) or trial not in self.state.trials:
            last = max(self.state.trials, default=0)
            way_out = f"the last is {last}" if last else "ask for one first, or use tell_settings for data of your own"
            raise SpecError(f"there is no trial {trial!r}; {way_out}")
        return self.state.trials[trial]

    def of_settings(
        self, settings: Written | Sequence[Written], outcomes: Written | Sequence[Written], *, by: str = "a person"
    ) -> list[e.Fact]:
        """The facts of data that nobody proposed, all of it or nothing: one mapping each, or lists of one length.

        Raises SpecError with every complaint.
        """
        rows = [settings] if isinstance(settings, Mapping) else list(settings)
        measured = [outcomes] if isinstance(outcomes, Mapping) else list(outcomes)
        if len(rows) != len(measured):
            raise SpecError(f"{len(rows)} settings and {len(measured)} outcomes: give as many of one as of the other")
        first = self.state.next_trial()
        facts: list[e.Fact] = []
        complaints: list[str] = []
        for number, (row, result) in enumerate(zip(rows, measured, strict=True), first):
            try:
                plain = settings_of(flat_parameters(self.spec.parameters), self._space, row)
                readings, _ = self._readings(result)
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
        return facts

    def _readings(self, outcomes: Written, trial: s.TrialState | None = None) -> tuple[dict[str, e.Reading], list[str]]:
        """What is told, with what its own steps have read, and what is still owed. Raises SpecError."""
        known = self.spec.outcomes
        complaints = [
            f"{name} is no outcome. {did_you_mean(str(name), known)}" for name in outcomes if name not in known
        ]
        readings: dict[str, e.Reading] = {}
        before = {} if trial is None else {name: 1 for name in trial.measured if name not in trial.owed}
        if not complaints and trial is not None:
            readings |= self._read(trial)
        for name, written in outcomes.items():
            if name in known and not known[name].prefers and not _is_missing(written):
                try:
                    if known[name].passes:
                        value, word = known[name].verdict(written)
                        readings[name] = e.Reading(value=value, word=word)
                    else:
                        readings[name] = _reading(written, known[name].unit)
                except SpecError as error:
                    complaints.append(f"{name}: {error}")
        for name in outcomes:
            if name in known and known[name].prefers:
                complaints.append(f"{name}: is told by comparing. Write labloop prefer RUN TRIAL over OTHER")
        settled = {*readings, *outcomes, *before}
        missing = [name for name in known if name not in settled and not known[name].prefers]
        if trial is not None and trial.owed:  # of the others was said that they will not come
            missing = [name for name in trial.owed if name not in settled]
        if missing and not complaints and not self._in_parts(trial):
            word = f"{missing[0]}=missing"
            complaints.append(f"{', '.join(missing)} missing. Tell every outcome at once; {word}: it will not come")
        if outcomes and not readings and not before and not missing and not complaints:
            complaints.append(f"{', '.join(outcomes)}: nothing is left to learn from. Tell it void, and why")
        if complaints:
            raise SpecError(*complaints)
        return readings, missing

    def _read(self, trial: s.TrialState) -> dict[str, e.Reading]:
        """What its steps came to, and no fact says yet: a fact stands, also where another version made it."""
        due = [name for name, one in self.spec.outcomes.items() if not one.told and name not in trial.measured]
        read = recipe.outcomes(self.spec, self._saved(trial.trial)) if due and trial.acted else {}
        return {name: read[name] for name in due if name in read}

    def _in_parts(self, trial: s.TrialState | None) -> bool:
        """Whether the rest of what comes of a trial may be told later: not of one that the bench has still to make."""
        return trial is not None and (trial.state != s.PROPOSED or self.state.mode == "told")


def settings_of(known: Mapping[str, Parameter], space: Space, row: Written) -> dict[str, e.Value]:
    """Settings as a person writes them, all of them and inside the space. Raises SpecError with every complaint."""
    complaints = [f"{name} is no parameter. {did_you_mean(str(name), known)}" for name in row if name not in known]
    plain: dict[str, e.Value] = {}
    missing: list[str] = []
    for name, parameter in known.items():
        optional = getattr(parameter, "active_when", None) is not None
        if name not in row or (optional and is_empty(row[name])):
            if not optional:
                missing.append(name)
            continue
        try:
            plain[name] = parameter.read(plain_number(row[name]))
        except SpecError as error:
            complaints.append(f"{name}: {error}")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        complaints.insert(0, f"{', '.join(missing)} {verb} missing. Give every parameter a value")
    complaints = complaints or space.contains(plain)
    if complaints:
        raise SpecError(*complaints)
    return plain


def _refusal(trial: s.TrialState, readings: Mapping[str, e.Reading], why: str) -> StateError:
    """Why a trial that is not open cannot be told."""
    if trial.state not in (s.MEASURED, s.FAILED, s.ABANDONED):
        return StateError(f"trial {trial.trial} is {trial.state} on the bench; its result is not for telling yet")
    had = ", ".join(f"{name} = {bound(one)}{one.value}" for name, one in trial.outcomes.items()) or trial.reason
    came = ", ".join(f"{name} = {bound(one)}{one.value}" for name, one in readings.items()) or why
    same = bool(readings) and dict(readings) == trial.outcomes
    note = "" if same else f"a second result for trial {trial.trial} was refused: {came}; kept: {had}"
    return ResultKept(
        f"trial {trial.trial} is {trial.state} already ({had}); the first result is kept, and {came} was refused"
        f"{'' if trial.state == s.ABANDONED else f'. {_wrong(trial)}'}",
        note,
    )


def _told_already(trial: s.TrialState, names: Sequence[str], readings: Mapping[str, e.Reading]) -> StateError:
    """Why an outcome that is known is not told again."""
    had = ", ".join(f"{name} = {bound(trial.measured[name])}{trial.measured[name].value}" for name in names)
    new = {name: readings.get(name) for name in names}
    came = ", ".join(f"{name} = {f'{bound(one)}{one.value}' if one else MISSING}" for name, one in new.items())
    same = all(one == trial.measured[name] for name, one in new.items())
    note = "" if same else f"a second result for trial {trial.trial} was refused: {came}; kept: {had}"
    rest = f" Still to come: {', '.join(trial.owed)}." if trial.owed else ""
    return ResultKept(
        f"trial {trial.trial} has {had} already; the first is kept, and {came} was refused.{rest} "
        f"{_wrong(trial, *names)}, then tell it again",
        note,
    )


def _wrong(trial: s.TrialState, *names: str) -> str:
    """The way out of a result that is wrong."""
    return f"If that is wrong: labloop request RUN wrong {' '.join([str(trial.trial), *names])} --why TEXT"


def _incomparable(trial: s.TrialState) -> StateError:
    """Why a trial can be compared with nothing."""
    if trial.state in (s.FAILED, s.ABANDONED):
        why = f" ({trial.reason})" if trial.reason else ""
        return StateError(f"trial {trial.trial} is {trial.state}{why}: there is nothing to compare. Name another trial")
    return StateError(
        f"trial {trial.trial} is {trial.state} on the bench, and nobody has seen yet what comes of it. Compare it when "
        "it is made"
    )


def _is_missing(written: Any) -> bool:
    """Whether an outcome is told as one that will not come: None, or the word."""
    return written is None or (isinstance(written, str) and written.strip().lower() == MISSING)


def _reading(written: Any, unit: str) -> e.Reading:
    """A told value: a number, (mean, sd), ``"12.34(5)"``, ``"530 nm"``, or a bound: ``"> 3"``, ``"< 0.05 mg/L"``."""
    side = SIDES.get(written.strip()[:1], "") if isinstance(written, str) else ""
    reading = _measurement(written.strip()[1:] if side else written, unit)
    return e.Reading(value=reading.value, unit=reading.unit, sd=reading.sd, censored=side)


def _measurement(written: Any, unit: str) -> e.Reading:
    if isinstance(written, (tuple, list)) and len(written) == 2:
        value, sd = (plain_number(one) for one in written)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not isinstance(sd, (int, float)) or sd < 0:
            raise SpecError(f"{written!r} is no (mean, sd). Give two numbers, the sd not below 0")
        if not math.isfinite(sd):
            raise SpecError(f"{written!r}: the sd is not finite. Leave it out where it is not known")
        plain = _believed(value, unit)
        if sd >= NO_READING:
            raise SpecError(f"{written!r:.40}: the sd is what an instrument says when it has no reading. Leave it out")
        return e.Reading(value=plain.value, unit=plain.unit, sd=float(sd) or None)
    return _believed(plain_number(written), unit)


def _believed(written: Any, unit: str) -> e.Reading:
    reading = parse_measurement(written, unit)
    if doubt := doubtful(written, reading):
        raise SpecError(f"{quote(written)}: {doubt}. Tell it void, and why")
    return reading
