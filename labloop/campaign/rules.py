"""Rules of lab and campaign that speak of several acts or of the bench as it is: four tables, by a name of your own.

    totals:      {vessel:  {of: [pump_a.dispense, pump_b.dispense], max: 20 mL, until: waste.drain}}
    requires:    {stirred: {of: [hotplate.heat, hotplate.hold], that: hotplate.speed >= 100 rpm, until: hotplate.off}}
    interlocks:  {door:    {when: box.door == open, then: hold, resume: true}}
    plausible:   {probe:   {of: hotplate.temperature, rise: 2 K, within: 60 s}}

``of`` names what a rule is about, ``until`` the act that ends it. A condition speaks of readings
(``instrument.reading``); every other word in it is what a reading can be. A rule of a campaign stands beside the
lab's, so it can only add.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator, model_validator

from .arithmetic import difference
from .errors import SpecError
from .formula import Both, Compare, Expression, Not
from .models import AnyQuantity, Condition, Model, Rule, Seconds, Text, Truth, checked
from .reading import Path_

_ACT: Final = re.compile(r"[^\W\d][\w-]*\.[^\W\d]\w*")
TABLES: Final = ("totals", "requires", "interlocks", "plausible")


def _act(raw: Any) -> str:
    if not isinstance(raw, str) or _ACT.fullmatch(raw) is None:
        raise SpecError("must be instrument.action, like pump.dispense")
    return raw


def _acts(raw: Any) -> tuple[str, ...]:
    found = tuple(_act(one) for one in (raw if isinstance(raw, (list, tuple)) else [raw]))
    if not found:
        raise SpecError("names nothing. Write instrument.action, or a list of them")
    if len(set(found)) < len(found):
        raise SpecError(f"names {next(one for one in found if found.count(one) > 1)} twice. Take one out")
    return found


def _signal(raw: Any) -> str:
    if not isinstance(raw, str) or _ACT.fullmatch(raw) is None:
        raise SpecError("must be instrument.reading, like hotplate.temperature")
    return raw


_ACTS_SCHEMA: Final = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Acts = Annotated[tuple[str, ...], PlainValidator(checked(_acts)), WithJsonSchema(_ACTS_SCHEMA)]
SignalName = Annotated[str, PlainValidator(checked(_signal)), WithJsonSchema({"type": "string"})]
Then = Literal["hold", "safe", "halt"]


class Total(Model):
    """``of``: acts whose amounts add up in one place, ``less``: what takes out of it, ``until``: what empties it."""

    of: Acts
    less: Acts = ()
    max: AnyQuantity
    until: Acts = ()

    @model_validator(mode="after")
    def _agree(self) -> "Total":
        if self.max.value <= 0 or not self.max.unit:
            raise Rule("max must be an amount above 0 with its unit. Write it like max: 20 mL")
        twice = sorted({*self.of} & {*self.less} | {*self.of, *self.less} & {*self.until})
        if twice:
            raise Rule(f"{twice[0]} stands in two of of, less and until. Take it out of one")
        return self


class Requirement(Model):
    """``of`` needs ``that``: before one of these acts begins, and while it lasts (until its end, or till ``until``).

    An act waits for it, ``within`` at most: a stirrer needs some seconds to come up to speed.
    """

    of: Acts
    that: Condition
    within_s: Annotated[Seconds | None, Field(alias="within")] = None
    until: Acts = ()
    then: Literal["safe", "halt"] = "safe"

    @model_validator(mode="after")
    def _agree(self) -> "Requirement":
        _speaks_of_readings("that", self.that)
        return self


class Interlock(Model):
    """``when`` it holds (for ``after``), ``then``: hold (nothing new begins), safe (the run ends), halt (it waits).

    ``resume``: a hold ends by itself once the condition has; otherwise a person resumes.
    """

    when: Condition
    then: Then = "safe"
    after_s: Annotated[Seconds | None, Field(alias="after")] = None
    resume: Truth = False
    stale_after_s: Annotated[Seconds | None, Field(alias="stale_after")] = None

    @model_validator(mode="after")
    def _agree(self) -> "Interlock":
        _speaks_of_readings("when", self.when)
        if self.resume and self.then != "hold":
            raise Rule(f"resume belongs to then: hold; after {self.then} a person resumes. Take one of the two out")
        return self


class Plausible(Model):
    """A reading must follow what it was set to: ``rise`` (or ``fall``) by so much ``within`` a time, or it lies.

    It is looked at while the reading is farther than ``near`` from its set value (default: 2.5 times the change).
    """

    of: SignalName
    rise: AnyQuantity | None = None
    fall: AnyQuantity | None = None
    within_s: Annotated[Seconds, Field(alias="within")]
    near: AnyQuantity | None = None
    then: Literal["safe", "halt"] = "safe"

    @field_validator("rise", "fall", "near")
    @classmethod
    def _above_zero(cls, quantity: Any) -> Any:
        if quantity is not None and quantity.value <= 0:
            raise Rule("must be above 0")
        return quantity

    @model_validator(mode="after")
    def _agree(self) -> "Plausible":
        if self.rise is None and self.fall is None:
            raise Rule("says nothing. Write rise or fall, like rise: 2 K")
        changes = [one for one in (self.rise, self.fall) if one is not None]
        for change in changes:
            if self.near is not None:
                try:
                    smaller = difference(self.near, change).value < 0
                except SpecError as error:
                    raise Rule(str(error)) from error
                if smaller:
                    raise Rule(
                        "near is smaller than the change itself, so the rule would trip at the set value. Raise it"
                    )
        return self


class Ruled(Model):
    """What lab and campaign share: the four tables."""

    totals: dict[Text, Total] = {}
    requires: dict[Text, Requirement] = {}
    interlocks: dict[Text, Interlock] = {}
    plausible: dict[Text, Plausible] = {}


def _speaks_of_readings(key: str, condition: Expression) -> None:
    if not isinstance(condition, (Compare, Both, Not)):
        raise Rule(f"{key} is no condition. Compare a reading, like hotplate.speed >= 100 rpm")
    if not readings_in(condition):
        raise Rule(f"{key} speaks of no reading. Write instrument.reading, like hotplate.speed >= 100 rpm")


def readings_in(condition: Expression) -> frozenset[str]:
    """The names of a condition that are ``instrument.reading``."""
    return frozenset(name for name in condition.names if "." in name)


def instruments_of(tables: Ruled) -> Iterator[tuple[Path_, str]]:
    """Every instrument that the rules of a file name, with the path where it stands."""
    for table in TABLES:
        for name, rule in getattr(tables, table).items():
            for key in ("of", "less", "until"):
                written = getattr(rule, key, ())
                for one in (written,) if isinstance(written, str) else written:
                    yield (table, name, key), one.partition(".")[0]
            for key in ("when", "that"):
                condition = getattr(rule, key, None)
                for one in sorted(readings_in(condition)) if condition is not None else ():
                    yield (table, name, key), one.partition(".")[0]
