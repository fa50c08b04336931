"""The rules that speak of several acts or of the bench as it is, drawn from the four tables of lab and campaign.

What a rule names must be declared, and its units must fit, before anything moves. What became of it on the bench is
followed elsewhere: totals by ``totals``, the rest by ``watch`` and ``gate``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.formula import Both, Compare, Expression, Not
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.rules import Interlock, Plausible, Requirement, Total, readings_in
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.units import Quantity, convert

from .bounds import SLACK, STALE_S, difference_unit
from .declared import Declaration
from .instrument import Signal
from .settings import suggest

ActName: TypeAlias = tuple[str, str]  # instrument, action

# Nearer to its set value than this many times the change that is asked for, a thermostat slows down by itself.
NEAR: Final = 2.5
# What an act needs may still be on its way: a stirrer comes up to 1500 rpm within 10 s.
WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalRule:
    """``most`` in ``unit``: what ``of`` brings, less what ``less`` takes, until one of ``until`` empties it."""

    name: str
    of: frozenset[ActName]
    less: frozenset[ActName]
    until: frozenset[ActName]
    most: float
    unit: str
    place: str

    def is_full(self, held: float) -> bool:
        """Whether that is more than there is room for."""
        return held > self.most * (1.0 + SLACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementRule:
    """``of`` needs ``that``, from before it begins to its end (or till ``until``)."""

    name: str
    of: frozenset[ActName]
    until: frozenset[ActName]
    that: Expression
    within_s: float
    then: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InterlockRule:
    """``when`` it holds for ``after_s``, ``then``. What is older than ``stale_after_s`` counts as true."""

    name: str
    when: Expression
    then: str
    after_s: float
    resume: bool
    stale_after_s: float
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlausibleRule:
    """``signal`` follows the setting of its name: by ``rise`` or ``fall`` within ``within_s`` while not ``near``."""

    name: str
    instrument: str
    signal: str
    unit: str
    rise: float | None
    fall: float | None
    within_s: float
    near: float
    then: str
    place: str


class Rules:
    """Every rule of a lab under a campaign. ``complaints`` gets what cannot be drawn."""

    def __init__(
        self,
        lab: LabSpec,
        campaign: CampaignSpec | None,
        declared: Mapping[str, Declaration],
        complaints: list[str],
    ) -> None:
        self.totals: list[TotalRule] = []
        self.requires: list[RequirementRule] = []
        self.interlocks: list[InterlockRule] = []
        self.plausible: list[PlausibleRule] = []
        # {instrument: {reading: how old it may be}}: what must be read while anything runs.
        self.read: dict[str, dict[str, float]] = {}
        self._declared = declared
        drawing: Mapping[str, Any] = {
            "totals": self._total, "requires": self._requirement, "interlocks": self._interlock,
            "plausible": self._plausible,
        }  # fmt: skip
        for spec in (lab,) if campaign is None else (lab, campaign):
            for table, draw in drawing.items():
                for name, rule in getattr(spec, table).items():
                    place = spec.place((table, name), key=True)
                    try:
                        draw(f"{table}.{name}", rule, place)
                    except LabloopError as error:
                        complaints.append(f"{place}: {table}.{name}: {error}")

    def needs(self, instrument: str, action: str) -> Iterator[RequirementRule]:
        """What must hold before this act."""
        return (rule for rule in self.requires if (instrument, action) in rule.of)

    def read_for(self, condition: Expression) -> None:
        """See to it that what a limit's condition speaks of is read. Raises SpecError for what the bench does not have.

        ``instrument.name`` is a reading or a setting there: what was achieved counts as well as what is measured.
        """
        if not isinstance(condition, Compare | Both | Not):
            raise SpecError(f"{condition} is no condition. Compare it, like solvent == DCM")
        for full in sorted(readings_in(condition)):
            instrument, _, word = full.partition(".")
            one = _instrument(self._declared, instrument)
            settings = {setting.name for action in one.actions.values() for setting in action.settings}
            if word in one.signals:
                self._read(full, STALE_S)
            elif word not in settings:
                known = sorted({*one.signals, *settings})
                raise SpecError(f"{instrument} has no reading or setting {word!r}; {suggest(word, known)}")

    # --- one table each -------------------------------------------------------------------------------------------

    def _total(self, name: str, rule: Total, place: str) -> None:
        of, less, until = (self._acts(names) for names in (rule.of, rule.less, rule.until))
        for instrument, action in sorted(of | less):
            unit = self._unit_of_amount(instrument, action)
            if unit is not None:
                convert(1.0, unit, rule.max.unit)
        self.totals.append(
            TotalRule(
                name=name, of=of, less=less, until=until, most=rule.max.value, unit=rule.max.unit, place=place
            )
        )  # fmt: skip

    def _requirement(self, name: str, rule: Requirement, place: str) -> None:
        self._watch(rule.that, STALE_S)
        self.requires.append(
            RequirementRule(
                name=name, of=self._acts(rule.of), until=self._acts(rule.until), that=rule.that,
                within_s=WITHIN_S if rule.within_s is None else rule.within_s, then=rule.then,
                place=place,
            )
        )  # fmt: skip

    def _interlock(self, name: str, rule: Interlock, place: str) -> None:
        stale_after_s = rule.stale_after_s or STALE_S
        self._watch(rule.when, stale_after_s)
        self.interlocks.append(
            InterlockRule(
                name=name, when=rule.when, then=rule.then, after_s=rule.after_s or 0.0, resume=rule.resume,
                stale_after_s=stale_after_s, place=place,
            )
        )  # fmt: skip

    def _plausible(self, name: str, rule: Plausible, place: str) -> None:
        instrument, _, word = rule.of.partition(".")
        signal = self._signal(rule.of)
        if not any(
            one.name == word for action in self._declared[instrument].actions.values() for one in action.settings
        ):
            raise SpecError(f"{instrument} has no setting {word}, so there is nothing that {rule.of} could follow")
        unit = difference_unit(signal.unit)
        rise, fall, near = (
            None if one is None else convert(one.value, one.unit or unit, unit, difference=True)
            for one in (rule.rise, rule.fall, rule.near)
        )
        self._read(rule.of, max(rule.within_s / 2.0, 1.0))
        self.plausible.append(
            PlausibleRule(
                name=name, instrument=instrument, signal=word, unit=signal.unit, rise=rise, fall=fall,
                within_s=rule.within_s, near=near or NEAR * max(one for one in (rise, fall) if one is not None),
                then=rule.then, place=place,
            )
        )  # fmt: skip

    # --- names ----------------------------------------------------------------------------------------------------

    def _acts(self, names: Iterable[str]) -> frozenset[ActName]:
        found = set()
        for name in names:
            instrument, _, action = name.partition(".")
            actions = _instrument(self._declared, instrument).actions
            if action not in actions:
                raise SpecError(f"{instrument} has no action {action!r}; {suggest(action, actions)}")
            found.add((instrument, action))
        return frozenset(found)

    def _unit_of_amount(self, instrument: str, action: str) -> str | None:
        declared = self._declared[instrument].actions[action]
        if not declared.amount:
            raise SpecError(f"{instrument}.{action} moves no amount that could add up")
        return next((one.unit for one in declared.settings if one.name == declared.amount), None)

    def _signal(self, name: str) -> Signal:
        instrument, _, word = name.partition(".")
        signals = _instrument(self._declared, instrument).signals
        if word not in signals:
            raise SpecError(f"{instrument} has no reading {word!r}; {suggest(word, signals)}")
        if signals[word].array:
            raise SpecError(f"{name} is a curve: a rule needs a single value")
        return signals[word]

    def _read(self, name: str, stale_after_s: float) -> None:
        instrument, _, word = name.partition(".")
        ages = self.read.setdefault(instrument, {})
        ages[word] = min(ages.get(word, stale_after_s), stale_after_s)

    def _watch(self, condition: Expression, stale_after_s: float) -> None:
        """A condition over readings: each is known, and they can be compared as written."""
        values: dict[str, Any] = {}
        words: dict[str, Any] = {}
        for name in sorted(readings_in(condition)):
            unit = self._signal(name).unit
            values[name] = Quantity(1.0, unit)
            words[name] = values[name] if unit else ""
        try:
            condition.evaluate(values)
        except SpecError as error:
            try:
                condition.evaluate(words)  # a reading without a unit may be a word
            except SpecError:
                raise error from None
        for name in values:
            self._read(name, stale_after_s)


def _instrument(declared: Mapping[str, Declaration], name: str) -> Declaration:
    if name not in declared:
        raise SpecError(f"there is no instrument {name!r}; {suggest(name, declared)}")
    return declared[name]
