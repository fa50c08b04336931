"""A trial as data: the steps with their settings worked out, and the way from readings to outcomes."""

import math
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .analysis import ANALYSES, SavedReading, Wanted, bounded, number_of, read_target
from .constraints import meanings
from .errors import SpecError
from .events import Amount, Reading, Value
from .expression import parse_expression
from .flags import believed
from .formula import Expression, Meaning, condition_of, quantity_of
from .grammar import CampaignSpec, flat_parameters
from .outcomes import OutcomeSpec
from .steps import Setting, Stage, Step, Text
from .units import Quantity, convert, number_text

__all__ = ["PlannedStage", "PlannedStep", "SavedReading", "outcomes", "plan", "stages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step, ready to be done. An amount with unit "" is in the unit that the driver declares (or has none)."""

    instrument: str
    action: str
    settings: Mapping[str, Amount] = field(default_factory=dict)
    save_as: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """Steps that run together."""

    steps: tuple[PlannedStep, ...]
    if_interrupted: str | None = None
    start_within_s: float | None = None


def stages(spec: CampaignSpec, phase: str, settings: Mapping[str, Value]) -> tuple[PlannedStage, ...]:
    """Work out the stages of a phase (``trial``, ``cleanup``, ..., ``every.0``) for a trial's settings.

    Raises SpecError, with the place, for a setting that has no value there.
    """
    return plan(spec, spec.steps_of(phase), settings)


def plan(spec: CampaignSpec, written: Sequence[Stage], settings: Mapping[str, Value]) -> tuple[PlannedStage, ...]:
    """Work out stages; those whose ``when`` does not hold are left out."""
    parameters = flat_parameters(spec.parameters)
    values = meanings(settings, parameters)
    return tuple(
        PlannedStage(
            steps=tuple(_planned(spec, step, values) for step in stage.steps),
            if_interrupted=stage.if_interrupted,
            start_within_s=stage.start_within_s,
        )
        for stage in written
        if stage.when is None or holds(stage.when, values, parameters)
    )


def holds(when: Expression, values: Mapping[str, Meaning], parameters: Container[str]) -> bool:
    """Whether a condition holds for settings; one that names a parameter without a value there does not."""
    return all(name in values for name in when.names if name in parameters) and condition_of(when, values)


def _planned(spec: CampaignSpec, step: Step, values: Mapping[str, Meaning]) -> PlannedStep:
    amounts: dict[str, Amount] = {}
    for name, setting in step.settings.items():
        try:
            amounts[name] = amount(setting, values)
        except SpecError as error:
            raise SpecError(spec.complaint(step.path_of(name), str(error))) from error
    return PlannedStep(
        instrument=step.instrument, action=step.action, settings=amounts, save_as=step.save_as,
        place=spec.place(step.path, key=True),
    )  # fmt: skip


def amount(setting: Setting, values: Mapping[str, Meaning]) -> Amount:
    """Work out one setting. Raises SpecError."""
    found: Meaning
    if isinstance(setting, Text):
        found = _filled(setting.text, values) if setting.template else setting.text
    else:
        found = setting.evaluate(values) if isinstance(setting, Expression) else setting
    if isinstance(found, Quantity):
        return Amount(float(f"{found.value:.12g}"), found.unit)
    return Amount(found)


def _filled(text: str, values: Mapping[str, Meaning]) -> str:
    """Put values in place of ``$name``."""

    def one(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None:
            raise SpecError(f"${match[1]} is not known here")
        return (
            f"{number_text(float(f'{value.value:.6g}'))} {value.unit}".rstrip()
            if isinstance(value, Quantity)
            else str(value)
        )

    return re.sub(r"\$([^\W\d]\w*)", one, text)


def outcomes(spec: CampaignSpec, readings: Mapping[str, SavedReading | Sequence[SavedReading]]) -> dict[str, Reading]:
    """Work out every outcome that is not told, each in its declared unit.

    A reading taken several times (``remeasure``) may be a list: the outcome is then the mean, with the standard
    deviation of that mean. Raises SpecError, naming the outcome, for what is missing, no number, or not finite.
    """
    found: dict[str, Reading] = {}
    for name, outcome in spec.outcomes.items():
        if outcome.told:
            continue
        try:
            found[name] = _outcome(spec, name, outcome, readings)
        except (SpecError, ArithmeticError) as error:  # of numbers at the end of what a float can hold
            raise SpecError(f"outcome {name}: {error}") from error
    return found


def _outcome(
    spec: CampaignSpec, name: str, outcome: OutcomeSpec, readings: Mapping[str, SavedReading | Sequence[SavedReading]]
) -> Reading:
    missing = [source for source in outcome.sources if source not in readings]
    if missing:
        raise SpecError(f"the reading {missing[0]} was not saved")
    columns = [_several(readings[source]) for source in outcome.sources]
    times = max(map(len, columns))
    if any(len(column) not in (1, times) for column in columns):
        raise SpecError("the readings were taken a different number of times")
    taken = _believed([[column[at % len(column)] for column in columns] for at in range(times)])
    target = spec.target_of(name)
    wanted = Wanted(read_target(target) if target is not None else None, outcome.window)
    each = [_seen(outcome, _once(outcome, one, wanted)) for one in taken]
    if len(each) == 1:
        return each[0]
    sides = {one.censored for one in each} - {""}
    if len(sides) > 1:
        raise SpecError("of the readings one lies above what the detector can see, and another below")
    values = [float(one.value) for one in each if isinstance(one.value, (int, float))]
    count = len(values)
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) / count)
    words = ", ".join(dict.fromkeys(one.word for one in each if one.word))
    side = sides.pop() if sides else ""
    return Reading(value=mean, unit=each[0].unit, sd=spread or None, censored=side, word=words)


def _several(reading: SavedReading | Sequence[SavedReading]) -> list[SavedReading]:
    return [reading] if isinstance(reading, SavedReading) else list(reading)


def _believed(taken: list[list[SavedReading]]) -> list[list[SavedReading]]:
    """Of several times that a sample was measured those to be believed; when none is, all: the outcome is refused."""
    return [readings for readings in taken if not any(reading.flag for reading in readings)] or taken


def _seen(outcome: OutcomeSpec, found: Reading) -> Reading:
    """The same, or the end of what the detector can see, where the value lies at it or beyond."""
    if outcome.detects is None or not isinstance(found.value, (int, float)):
        return found
    low, high = outcome.detects
    if found.censored == "" and low < found.value < high:
        return found
    side = found.censored or ("above" if found.value >= high else "below")
    return Reading(value=min(max(found.value, low), high), unit=found.unit, sd=found.sd, censored=side)


def _once(outcome: OutcomeSpec, readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    analysis = ANALYSES.get(outcome.analysis)
    word = ""
    if outcome.passes:
        verdicts = [outcome.verdict(one.value) for one in readings]
        word = ", ".join(dict.fromkeys(seen for _, seen in verdicts if seen))
        readings = [replace(one, value=value, unit="") for one, (value, _) in zip(readings, verdicts, strict=True)]
    side = bounded(readings, analysis, wanted)
    if analysis is not None:
        found = analysis.work(readings, wanted)
    else:
        values = {name: number_of(one) for name, one in zip(outcome.sources, readings, strict=True)}
        quantity = quantity_of(parse_expression(outcome.analysis), values)
        found = Reading(value=quantity.value, unit=quantity.unit)
    if not isinstance(found.value, (int, float)) or not math.isfinite(found.value):
        raise SpecError(f"{outcome.analysis} gave {found.value}, which is not a finite number")
    if doubt := believed(found).flag:
        raise SpecError(f"{outcome.analysis} gave {found.value:g}: {doubt}")
    if not outcome.unit or found.unit == outcome.unit:
        return Reading(value=found.value, unit=found.unit, sd=found.sd, censored=side, word=word)
    if not found.unit and analysis is not None and not analysis.curve:  # a bare reading is in the declared unit
        return Reading(value=found.value, unit=outcome.unit, sd=found.sd, censored=side)
    sd = None if found.sd is None else convert(found.sd, found.unit, outcome.unit, difference=True)
    return Reading(value=convert(found.value, found.unit, outcome.unit), unit=outcome.unit, sd=sd, censored=side)
