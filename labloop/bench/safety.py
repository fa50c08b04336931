"""The envelope: what no act may leave, whoever wished it.

Three hands draw it, and the narrowest wins: the driver (what the instrument can do), the lab file (what the bench may
do) and the campaign (what this chemistry may do; it may tighten the lab, never loosen it).

A limit on a setting binds the setting of every action that has it. A limit on a reading binds what is measured while
anything runs: too high, too low, too fast a change, or no fresh reading at all is a breach. A name that is both binds
both, so a furnace that runs away past its limit is caught although nobody asked for it. A limit with ``when`` holds
while its condition does, and also where the condition cannot be judged.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import Amount, Reading, Value
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.limits import Limit
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.units import convert

from .errors import SafetyError
from .instrument import Action, Setting, Signal
from .lab import Declaration, declare
from .settings import resolve, suggest, written

# A limit on a reading that names no stale_after: twice the slowest look a driver asks for between two looks (5 s), and
# some more for a line that has to find its place (test_safety: no fresh reading).
STALE_S = 15.0
# The change of a reading is judged over at least this long: a probe's noise of 0.1 K between two looks 0.2 s apart
# would be 30 K/min (test_safety: noise is no rate).
RATE_WINDOW_S = 10.0
# Rounding of units: 80 degC written as 353.15 K must not be above 80 degC.
SLACK = 1e-9

_Places = Callable[[tuple[str | int, ...]], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One bound in the declared unit, and who drew it. ``sign``: "<=" or ">="."""

    sign: str
    value: float
    unit: str
    who: str
    way_out: str
    when: Any = None

    def broken_by(self, value: float) -> bool:
        slack = SLACK * max(1.0, abs(self.value))
        return value > self.value + slack if self.sign == "<=" else value < self.value - slack

    def __str__(self) -> str:
        return f"{'above' if self.sign == '<=' else 'below'} {self.who} of {written(self.value, self.unit)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is bound of one reading. ``rate``: the most it may change, in ``unit`` a second."""

    unit: str
    bounds: tuple[Bound, ...]
    rates: tuple[Bound, ...]
    stale_after_s: float


class Envelope:
    """The limits of one lab under one campaign, ready to be asked. Raises SpecError when made from limits that name
    nothing, bind what cannot be bound, or loosen the lab's."""

    def __init__(
        self, lab: LabSpec, campaign: CampaignSpec | None = None, declarations: Mapping[str, Declaration] | None = None
    ) -> None:
        self._declared = declare(lab) if declarations is None else declarations
        sources: list[tuple[str, str, LabSpec | CampaignSpec, tuple[Limit, ...]]] = [
            ("the lab's limit", "raise the limit if the bench allows", lab, lab.limits_written)
        ]
        if campaign is not None:
            sources.append(("the campaign's limit", "change the campaign's limit", campaign, campaign.limits))
        self._settings: dict[tuple[str, str], list[Bound]] = {}
        self._watched: dict[str, dict[str, Watched]] = {}
        complaints: list[str] = []
        for who, way_out, spec, limits in sources:
            for limit in limits:
                try:
                    self._draw(limit, who, way_out, spec.place)
                except LabloopError as error:
                    complaints.append(f"{spec.place(limit.path)}: {error}")
        if complaints:
            raise SpecError(*complaints)

    # --- acts ---------------------------------------------------------------------------------------------------

    def resolve(self, instrument: str, action: str, settings: Mapping[str, Amount]) -> dict[str, Value]:
        """Settings as {argument: value} in declared units, defaults filled in. Raises SpecError, SafetyError."""
        return resolve(self.action(instrument, action), settings)

    def action(self, instrument: str, action: str) -> Action:
        """What is declared of an action. Raises SpecError for a name that nobody declares."""
        declared = self._declared.get(instrument)
        if declared is None:
            raise SpecError(f"there is no instrument {instrument!r}; {suggest(instrument, self._declared)}")
        found = declared.actions.get(action)
        if found is None:
            raise SpecError(f"{instrument} has no action {action!r}; {suggest(action, declared.actions)}")
        return found

    def complaints(
        self,
        instrument: str,
        action: str,
        settings: Mapping[str, Amount],
        trial: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[str]:
        """Everything by which these settings leave the envelope; [] is inside. ``trial``: for limits with ``when``.

        Raises SpecError for settings that the action does not have or cannot read.
        """
        declared = self.action(instrument, action)
        try:
            values = resolve(declared, settings)
        except SafetyError as error:
            return [f"{instrument}.{action}: {error}"]
        found = [
            f"{instrument}.{action}: {setting.name} = {written(value, setting.unit)} is {bound}. "
            f"{'Lower' if bound.sign == '<=' else 'Raise'} it, or {bound.way_out}."
            for setting, value in _numbers(declared, values)
            for bound in self.bounds(instrument, action, setting.name)
            if bound.broken_by(value) and not (setting.zero and value == 0.0) and _holds(bound, trial)
        ]
        if not found and (why := self._declared[instrument].complaint(action, values)):
            found.append(f"{instrument}.{action}: {why}.")
        return found

    def check(
        self,
        instrument: str,
        action: str,
        settings: Mapping[str, Amount],
        trial: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Raise SafetyError when an act would leave the envelope; SpecError when it cannot be said at all."""
        if found := self.complaints(instrument, action, settings, trial):
            raise SafetyError(" ".join(found))

    def bounds(self, instrument: str, action: str, setting: str) -> tuple[Bound, ...]:
        """Every bound on one setting, in its declared unit: the driver's, the lab's, the campaign's."""
        declared = next(one for one in self.action(instrument, action).settings if one.name == setting)
        kind = self._declared[instrument].kind
        own = [
            Bound(sign=sign, value=value, unit=declared.unit, who=f"the limit of the {kind}", way_out="use another one")
            for sign, value in ((">=", declared.low), ("<=", declared.high))
            if value is not None
        ]
        return (*own, *self._settings.get((instrument, setting), ()))

    # --- readings -----------------------------------------------------------------------------------------------

    def watched(self, instrument: str) -> Mapping[str, Watched]:
        """The readings of an instrument that are bound, by signal: what must be read while anything runs, how often."""
        return self._watched.get(instrument, {})

    def check_reading(
        self,
        instrument: str,
        readings: Mapping[str, Reading],
        age_s: float = 0.0,
        trial: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Raise SafetyError when what was read breaks a limit, is no number, or is older than its limit allows."""
        for name, watched in self.watched(instrument).items():
            reading = readings.get(name)
            if reading is None:
                continue
            value = _value(instrument, name, reading, watched.unit)
            if age_s > watched.stale_after_s:
                raise SafetyError(_stale(instrument, name, age_s, watched.stale_after_s))
            for bound in watched.bounds:
                if bound.broken_by(value) and _holds(bound, trial):
                    raise SafetyError(f"{instrument}: {name} reads {written(value, watched.unit)}, {bound}.")

    # --- drawing ------------------------------------------------------------------------------------------------

    def _draw(self, limit: Limit, who: str, way_out: str, place: _Places) -> None:
        declared = self._declared.get(limit.instrument)
        if declared is None:
            raise SpecError(f"there is no instrument {limit.instrument!r}; {suggest(limit.instrument, self._declared)}")
        settings = [one for action in declared.actions.values() for one in action.settings if one.name == limit.name]
        signal = declared.signals.get(limit.name)
        if not settings and signal is None:
            known = {one.name for action in declared.actions.values() for one in action.settings} | {*declared.signals}
            raise SpecError(
                f"{limit.instrument} has no setting or reading {limit.name!r}; {suggest(limit.name, sorted(known))}"
            )
        if signal is None and (limit.rate is not None or limit.stale_after_s is not None):
            raise SpecError(f"{limit.name} is a setting of {limit.instrument}: rate and stale_after bind readings only")
        who = f"{who} ({place(limit.path)})"
        if settings:
            self._draw_setting(limit, settings[0], who, way_out)
        if signal is not None:
            self._draw_reading(limit, signal, who, way_out)

    def _draw_setting(self, limit: Limit, setting: Setting, who: str, way_out: str) -> None:
        if setting.choices:
            raise SpecError(f"{limit.name} is one of {', '.join(setting.choices)}: it has no limits")
        drawn = self._settings.setdefault((limit.instrument, limit.name), [])
        new = list(_bounds(limit, setting.unit, setting.difference, who, way_out))
        _refuse_looser(new, drawn)
        drawn += new

    def _draw_reading(self, limit: Limit, signal: Signal, who: str, way_out: str) -> None:
        watched = self._watched.setdefault(limit.instrument, {})
        before = watched.get(limit.name, Watched(unit=signal.unit, bounds=(), rates=(), stale_after_s=math.inf))
        new = list(_bounds(limit, signal.unit, False, who, way_out))
        _refuse_looser(new, before.bounds)
        rates = []
        if limit.rate is not None:
            unit = f"{_difference(signal.unit)}/s"
            rate = convert(limit.rate.value, limit.rate.unit or unit, unit, difference=True)
            rates.append(Bound(sign="<=", value=rate, unit=unit, who=who, way_out=way_out, when=limit.when))
            _refuse_looser(rates, before.rates)
        stale_after_s = limit.stale_after_s or STALE_S
        watched[limit.name] = Watched(
            unit=signal.unit,
            bounds=(*before.bounds, *new),
            rates=(*before.rates, *rates),
            stale_after_s=min(before.stale_after_s, stale_after_s),
        )


class Watch:
    """The watched readings of a bench while anything runs: remembers enough to see staleness and rates.

    Times are seconds of one clock of the caller's.
    """

    def __init__(self, envelope: Envelope, instruments: Iterable[str], now_s: float) -> None:
        self._envelope = envelope
        self._seen: dict[tuple[str, str], list[tuple[float, float]]] = {
            (instrument, name): [] for instrument in instruments for name in envelope.watched(instrument)
        }
        self._began_s = now_s

    def see(self, instrument: str, readings: Mapping[str, Reading], now_s: float) -> None:
        """Take in what was read. Raises SafetyError when a value or its change breaks a limit."""
        self._envelope.check_reading(instrument, readings)
        for name, watched in self._envelope.watched(instrument).items():
            if name not in readings:
                continue
            value = _value(instrument, name, readings[name], watched.unit)
            seen = self._seen.setdefault((instrument, name), [])
            seen.append((now_s, value))
            old = [one for one in seen if one[0] <= now_s - RATE_WINDOW_S]
            if not old:
                continue
            del seen[: len(old) - 1]  # the newest of the old ones is what the next change is measured from
            then_s, then = old[-1]
            rate = abs(value - then) / (now_s - then_s)
            for bound in watched.rates:
                if bound.broken_by(rate):
                    raise SafetyError(f"{instrument}: {name} changes by {written(rate, bound.unit)}, {bound}.")

    def check_fresh(self, now_s: float) -> None:
        """Raise SafetyError when a watched reading is older than its limit allows."""
        for (instrument, name), seen in self._seen.items():
            limit_s = self._envelope.watched(instrument)[name].stale_after_s
            age_s = now_s - (seen[-1][0] if seen else self._began_s)
            if age_s > limit_s:
                raise SafetyError(_stale(instrument, name, age_s, limit_s))


def drawn(action: Action, achieved: Mapping[str, Amount], unit: str) -> Amount | None:
    """What an act took out of its instrument's stock, in the stock's unit; less than 0 when it filled; None: nothing.

    Raises UnitError when the act's amount cannot be said in that unit.
    """
    amount = achieved.get(action.amount) if action.amount else None
    if amount is None or isinstance(amount.value, (str, bool)):
        return None
    taken = convert(float(amount.value), amount.unit, unit)
    return Amount(-taken if action.fills else taken, unit)


def _bounds(limit: Limit, unit: str, difference: bool, who: str, way_out: str) -> Iterator[Bound]:
    for sign, quantity in ((">=", limit.min), ("<=", limit.max)):
        if quantity is not None:
            value = convert(quantity.value, quantity.unit or unit, unit, difference)
            yield Bound(sign=sign, value=value, unit=unit, who=who, way_out=way_out, when=limit.when)


def _refuse_looser(new: Iterable[Bound], drawn: Iterable[Bound]) -> None:
    """A campaign may tighten a limit of the lab, never loosen it."""
    for bound in new:
        for other in drawn:
            if bound.sign == other.sign and other.when is None and other.broken_by(bound.value):
                raise SpecError(
                    f"{written(bound.value, bound.unit)} is {other}. A campaign may tighten a limit of the lab, never "
                    "loosen it"
                )


def _holds(bound: Bound, trial: Mapping[str, Any]) -> bool:
    """Whether a bound holds for this trial; one whose condition cannot be judged does."""
    if bound.when is None or not bound.when.names & set(trial):
        return True
    try:
        return bool(bound.when.evaluate(trial))
    except SpecError:
        return True


def _numbers(action: Action, values: Mapping[str, Value]) -> Iterator[tuple[Setting, float]]:
    for setting in action.settings:
        value = values.get(setting.argument)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield setting, float(value)


def _value(instrument: str, name: str, reading: Reading, unit: str) -> float:
    value = reading.value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SafetyError(f"{instrument}: {name} reads {value!r}, which is no number; a limit stands on it.")
    return convert(float(value), reading.unit, unit)


def _stale(instrument: str, name: str, age_s: float, limit_s: float) -> str:
    return (
        f"{instrument}: no fresh reading of {name} for {age_s:.0f} s, and a limit stands on it ({limit_s:g} s at most)."
    )


def _difference(unit: str) -> str:
    """The unit of a difference of temperatures."""
    return {"degC": "K", "degF": "delta_degF"}.get(unit, unit)
