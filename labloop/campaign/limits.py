"""Limits of the lab and of a campaign: of a setting, a reading or an action, always or only under a condition.

hotplate: {temperature: {max: 80 degC}, plate: {max: 120 degC, rate: 10 K/min, stale_after: 5 s}, stir: {dwell: 5 s}}
- hotplate.temperature <= 80 degC when solvent == DCM
- furnace.power changes by at most 5 percent/min
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from .arithmetic import difference
from .errors import SpecError
from .expression import parse_expression, parse_limit
from .formula import Compare, Expression, Name, Negative, Number
from .models import CUT, KEY, AnyQuantity, Condition, Model, Rule, Seconds, located
from .reading import Path_
from .units import Quantity, parse_quantity, quote

_LONGEST = 2000
_CHANGES = "furnace.power changes by at most 5 percent/min"
_CHANGE = re.compile(
    r"(?P<instrument>[^\W\d][\w-]*)\.(?P<name>[^\W\d]\w*)\s+changes\s+by\s+at\s+most\s+(?P<rate>\S+(?:\s+\S+)?)"
    r"(?:\s+when\s+(?P<when>.+))?"
)


class LimitSpec(Model):
    """Bounds of one setting, reading or action; a bare number is in the unit that the driver declares.

    ``rate``: how fast it may change. ``dwell``: how long a setting stands before it is set to something else, and
    how long an action rests before the next.
    """

    min: AnyQuantity | None = None
    max: AnyQuantity | None = None
    rate: AnyQuantity | None = None
    dwell_s: Annotated[Seconds | None, Field(alias="dwell")] = None
    stale_after_s: Annotated[Seconds | None, Field(alias="stale_after")] = None
    when: Condition | None = None

    @model_validator(mode="after")
    def _agree(self) -> "LimitSpec":
        if self.min is None and self.max is None and self.rate is None and self.dwell_s is None:
            raise Rule("bounds nothing. Write min, max, rate or dwell")
        if self.rate is not None and self.rate.value <= 0:
            raise Rule("rate must be above 0. Write it like rate: 10 K/min")
        if self.min is not None and self.max is not None:
            try:
                empty = difference(self.min, self.max).value > 0
            except SpecError as error:
                raise Rule(str(error)) from error
            if empty:
                raise Rule("min is above max. Swap them")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit with its place: ``instrument.name`` is bounded, while ``when`` holds (None: always)."""

    instrument: str
    name: str
    min: Quantity | None = None
    max: Quantity | None = None
    rate: Quantity | None = None
    dwell_s: float | None = None
    stale_after_s: float | None = None
    when: Expression | None = None
    path: Path_ = ()

    def __str__(self) -> str:
        bounds = [f">= {self.min}"] * (self.min is not None) + [f"<= {self.max}"] * (self.max is not None)
        bounds += [f"changes by at most {self.rate}"] * (self.rate is not None)
        if self.dwell_s is not None:
            bounds.append(f"stands for {self.dwell_s:g} s")
        return f"{self.instrument}.{self.name} {' and '.join(bounds)}" + (f" when {self.when}" if self.when else "")


def read_limits(raw: Any, at: Path_) -> tuple[Limit, ...]:
    """Read limits written as a mapping, or as a list of mappings and sentences. Raises a located ValidationError."""
    faults: list[tuple[Path_, str, Any]] = []
    limits: list[Limit] = []
    if raw is None:
        return ()
    if isinstance(raw, Mapping):
        limits += _mapped(raw, (), at, faults)
    elif isinstance(raw, (list, tuple)):
        for index, one in enumerate(raw):
            if one is CUT:
                continue
            if isinstance(one, Mapping):
                limits += _mapped(one, (index,), at, faults)
            elif isinstance(one, str):
                try:
                    limits.append(_sentence(one, (*at, index)))
                except SpecError as error:
                    faults.append(((index,), str(error), one))
            else:
                faults.append(((index,), "must be a limit, like hotplate.temperature <= 80 degC", one))
    else:
        faults.append(((), "must be limits by instrument, like hotplate: {temperature: {max: 80 degC}}", raw))
    if faults:
        raise located(faults, "limits")
    return tuple(limits)


def by_instrument(limits: tuple[Limit, ...]) -> dict[str, dict[str, Limit]]:
    """The limits that always hold, by instrument and name; of several on one name the tightest."""
    found: dict[str, dict[str, Limit]] = {}
    for limit in limits:
        if limit.when is None:
            names = found.setdefault(limit.instrument, {})
            names[limit.name] = tightest(names[limit.name], limit) if limit.name in names else limit
    return found


def tightest(one: Limit, other: Limit) -> Limit:
    """Two limits on one name as one. Raises UnitError when their units clash."""

    def pick(name: str, sign: float) -> Quantity | None:
        left: Quantity | None = getattr(one, name)
        right: Quantity | None = getattr(other, name)
        if left is None or right is None:
            return left or right
        return left if sign * difference(left, right).value <= 0 else right

    ages = [age for age in (one.stale_after_s, other.stale_after_s) if age is not None]
    dwells = [dwell for dwell in (one.dwell_s, other.dwell_s) if dwell is not None]
    return replace(
        one, min=pick("min", -1.0), max=pick("max", 1.0), rate=pick("rate", 1.0), dwell_s=max(dwells, default=None),
        stale_after_s=min(ages, default=None),
    )  # fmt: skip


def _mapped(raw: Mapping[str, Any], path: Path_, at: Path_, faults: list[tuple[Path_, str, Any]]) -> Iterator[Limit]:
    for instrument, names in raw.items():
        here = (*path, instrument)
        if not isinstance(names, Mapping) or not names:
            faults.append((here, "must be limits by name, like {temperature: {max: 80 degC}}", names))
            continue
        for name, bounds in names.items():
            try:
                found = LimitSpec.model_validate(bounds)
            except ValidationError as error:
                for one in error.errors():
                    value = KEY if one["type"] == "extra_forbidden" else one["input"]
                    sentence = getattr(one["input"], "sentence", None) or (
                        one["msg"] if one["type"] == "rule" else "must be bounds, like {max: 80 degC}"
                    )
                    faults.append(((*here, name, *one["loc"]), sentence, value))
                continue
            yield Limit(
                instrument=str(instrument), name=str(name), min=found.min, max=found.max, rate=found.rate,
                dwell_s=found.dwell_s, stale_after_s=found.stale_after_s, when=found.when, path=(*at, *here, name),
            )  # fmt: skip


def _sentence(text: str, path: Path_) -> Limit:
    way_out = "Write it like hotplate.temperature <= 80 degC when solvent == DCM"
    change = _CHANGE.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if change is not None:
        return _changing(text, change, path)
    bound, when = parse_limit(text)
    if not isinstance(bound, Compare) or bound.sign not in ("<=", ">="):
        raise SpecError(f"{quote(text)} is no limit: it needs <= or >=. {way_out}")
    subject, limit, sign = bound.left, bound.right, bound.sign
    if not isinstance(subject, Name):
        subject, limit, sign = bound.right, bound.left, {"<=": ">=", ">=": "<="}[bound.sign]
    if not isinstance(subject, Name) or subject.name.count(".") != 1:
        raise SpecError(f"{quote(text)} bounds no instrument.setting. {way_out}")
    if not isinstance(limit, Number) and not (isinstance(limit, Negative) and isinstance(limit.of, Number)):
        raise SpecError(f"{quote(text)} has no plain quantity for its bound. {way_out}")
    value = limit.evaluate({})
    if not isinstance(value, Quantity):
        raise SpecError(f"{quote(text)} has no quantity for its bound. {way_out}")
    instrument, _, name = subject.name.partition(".")
    low, high = (value, None) if sign == ">=" else (None, value)
    return Limit(instrument=instrument, name=name, min=low, max=high, when=when, path=path)


def _changing(text: str, change: "re.Match[str]", path: Path_) -> Limit:
    rate = parse_quantity(change["rate"])
    if rate.value <= 0:
        raise SpecError(f"{quote(text)}: a change of {rate} is none. Write it like {_CHANGES}")
    when = parse_expression(change["when"]) if change["when"] else None
    return Limit(instrument=change["instrument"], name=change["name"], rate=rate, when=when, path=path)
