"""The envelope: what no act may leave, whoever wished it.

Three hands draw it, and the narrowest wins: the driver (what the instrument can do), the lab file (what the bench may
do) and the campaign (what this chemistry may do; it may tighten the lab, never loosen it).

A limit on a setting binds the setting of every action that has it. A limit on a reading binds what is measured while
anything runs: too high, too low, too fast a change, or no fresh reading at all is a breach. A name that is both binds
both, so a furnace that runs away past its limit is caught although nobody asked for it. A limit with ``when`` holds
while its condition does, and also where the condition cannot be judged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import Amount, Reading, Value
from labloop.campaign.formula import Expression
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.limits import Limit
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.units import convert

from .bounds import DIGITS, STALE_S, Bound, Pace, Watched, bounds_of, number_of, rates_of, refuse_looser
from .declared import Declaration, declare
from .errors import SafetyError
from .instrument import Action, Setting, Signal
from .permit import Permit, sealed
from .rules import Rules
from .settings import resolve, suggest, written

_Places = Callable[[tuple[str | int, ...]], str]


class Envelope:
    """The limits of one lab under one campaign, ready to be asked. Raises SpecError when made from limits that name
    nothing, bind what cannot be bound, or loosen the lab's."""

    def __init__(
        self, lab: LabSpec, campaign: CampaignSpec | None = None, declarations: Mapping[str, Declaration] | None = None
    ) -> None:
        self.declared = declare(lab) if declarations is None else declarations
        sources: list[tuple[str, str, LabSpec | CampaignSpec, tuple[Limit, ...]]] = [
            ("the lab's limit", "raise the limit if the bench allows", lab, lab.limits_written)
        ]
        if campaign is not None:
            sources.append(("the campaign's limit", "change the campaign's limit", campaign, campaign.limits))
        self._settings: dict[tuple[str, str], list[Bound]] = {}
        self._watched: dict[str, dict[str, Watched]] = {}
        self._paces: dict[tuple[str, str], Pace] = {}
        complaints: list[str] = []
        self.rules = Rules(lab, campaign, self.declared, complaints)
        for who, way_out, spec, limits in sources:
            for limit in limits:
                try:
                    self._draw(limit, who, way_out, spec.place)
                except LabloopError as error:
                    complaints.append(f"{spec.place(limit.path)}: {error}")
        complaints += self._standing_complaints()
        if complaints:
            raise SpecError(*dict.fromkeys(complaints))

    # --- acts ---------------------------------------------------------------------------------------------------

    def resolve(self, instrument: str, action: str, settings: Mapping[str, Amount]) -> dict[str, Value]:
        """Settings as {argument: value} in declared units, defaults filled in. Raises SpecError, SafetyError."""
        return resolve(self.action(instrument, action), settings)

    def action(self, instrument: str, action: str) -> Action:
        """What is declared of an action. Raises SpecError for a name that nobody declares."""
        declared = self.declared.get(instrument)
        if declared is None:
            raise SpecError(f"there is no instrument {instrument!r}; {suggest(instrument, self.declared)}")
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
        unread: bool = True,
    ) -> list[str]:
        """Everything by which these settings leave the envelope; [] is inside. ``trial``: for limits with ``when``.

        ``unread`` False: nothing is measured yet, so limits that depend on a reading are left to the moment of the act.

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
            if bound.broken_by(value) and not (setting.zero and value == 0.0) and bound.holds(trial, unread=unread)
        ]
        if not found and (why := self.declared[instrument].complaint(action, values)):
            found.append(f"{instrument}.{action}: {why}.")
        return found or list(self._beyond(instrument, declared, values, trial, unread))

    def _beyond(
        self, instrument: str, action: Action, values: Mapping[str, Value], trial: Mapping[str, Any], unread: bool
    ) -> Iterator[str]:
        """By what settings that are inside leave the envelope once they are said on the wire (see Driver.sent)."""
        known = {setting.name: setting for setting in action.settings}
        others = self.declared[instrument].actions.values()
        zero = {setting.name for one in others for setting in one.settings if setting.zero}
        for name, levels in self.declared[instrument].sent(action.name, values).items():
            setting = known.get(name)
            for bound in self._settings.get((instrument, name), ()):
                bound = bound if setting is None else _said_in(bound, setting)
                for level in levels:
                    nothing = level == 0.0 and name in zero
                    if nothing or not bound.broken_by(level, DIGITS) or not bound.holds(trial, unread=unread):
                        continue
                    yield (
                        f"{instrument}.{action.name}: {name} comes to {written(level, bound.unit)} on the wire, which "
                        f"is {bound}. {'Lower' if bound.sign == '<=' else 'Raise'} it, or {bound.way_out}."
                    )
                    break

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

    def permit(
        self,
        instrument: str,
        action: str,
        settings: Mapping[str, Amount],
        trial: Mapping[str, Any] = MappingProxyType({}),
    ) -> Permit:
        """What the limits have to say, and no more: see ``gate`` for what was done before and what is measured now.

        Raises as ``check`` does.
        """
        self.check(instrument, action, settings, trial)
        return sealed(instrument, action, self.resolve(instrument, action, settings))

    @property
    def remembers(self) -> bool:
        """Whether what was done before decides what may be done."""
        read = [one for watched in self._watched.values() for one in watched.values()]
        bound = (*self._settings.values(), *(one.bounds for one in read), *(one.rates for one in read))
        conditional = any(one.when is not None for bounds in bound for one in bounds)
        rules = self.rules
        return bool(conditional or self._paces or rules.totals or rules.requires or rules.plausible)

    def pace(self, instrument: str, name: str) -> Pace | None:
        """How often a setting may be set, or an action be done; None: as often as anybody likes."""
        return self._paces.get((instrument, name))

    def fixed(self, instrument: str) -> dict[str, tuple[float | None, float | None]]:
        """{setting: (least, most)} that it allows under every condition, in declared units."""
        found: dict[str, tuple[float | None, float | None]] = {}
        for (name, setting), bounds in self._settings.items():
            if name == instrument:
                low = max((one.value for one in bounds if one.sign == ">=" and one.when is None), default=None)
                high = min((one.value for one in bounds if one.sign == "<=" and one.when is None), default=None)
                found[setting] = (low, high)
        return found

    def conditions(self, instrument: str, names: Iterable[str]) -> Iterator[Expression]:
        """The conditions on which the limits of an instrument's settings depend."""
        for name in names:
            pace = self._paces.get((instrument, name), Pace())
            bounds = (*self._settings.get((instrument, name), ()), *pace.rates)
            yield from (bound.when for bound in bounds if bound.when)

    def bounds(self, instrument: str, action: str, setting: str) -> tuple[Bound, ...]:
        """Every bound on one setting, in its declared unit: the driver's, the lab's, the campaign's. Of what is none of
        this action's (what it comes to on the wire) in the unit that the first action with it declares."""
        drawn = self._settings.get((instrument, setting), ())
        declared = next((one for one in self.action(instrument, action).settings if one.name == setting), None)
        if declared is None:
            return tuple(drawn)
        kind = self.declared[instrument].kind
        own = [
            Bound(sign=sign, value=value, unit=declared.unit, who=f"the limit of the {kind}", way_out="use another one")
            for sign, value in ((">=", declared.low), ("<=", declared.high))
            if value is not None
        ]
        return (*own, *(_said_in(one, declared) for one in drawn))

    # --- readings -----------------------------------------------------------------------------------------------

    def watched(self, instrument: str) -> Mapping[str, Watched]:
        """The readings of an instrument that are bound, by signal: what must be read while anything runs, how often."""
        return self._watched.get(instrument, {})

    def check_reading(
        self,
        instrument: str,
        readings: Mapping[str, Reading],
        values: Mapping[str, Any] = MappingProxyType({}),
        unknown: bool = True,
    ) -> None:
        """Raise SafetyError when what was read breaks a limit or is no number.

        ``values``: for limits with ``when``; ``unknown``: whether those hold that these values cannot judge.
        """
        for name, watched in self.watched(instrument).items():
            reading = readings.get(name)
            if reading is None:
                continue
            value = number_of(instrument, name, reading, watched.unit)
            for bound in watched.bounds:
                if bound.broken_by(value) and bound.holds(values, unknown):
                    raise SafetyError(f"{instrument}: {name} reads {written(value, watched.unit)}, {bound}.")

    # --- drawing ------------------------------------------------------------------------------------------------

    def _draw(self, limit: Limit, who: str, way_out: str, place: _Places) -> None:
        declared = self.declared.get(limit.instrument)
        if declared is None:
            raise SpecError(f"there is no instrument {limit.instrument!r}; {suggest(limit.instrument, self.declared)}")
        settings = [one for action in declared.actions.values() for one in action.settings if one.name == limit.name]
        signal = declared.signals.get(limit.name)
        if not settings and signal is None and limit.name not in declared.actions:
            known = {one.name for action in declared.actions.values() for one in action.settings} | {*declared.signals}
            raise SpecError(
                f"{limit.instrument} has no setting, reading or action {limit.name!r}; "
                f"{suggest(limit.name, sorted(known | {*declared.actions}))}"
            )
        if signal is None and limit.stale_after_s is not None:
            raise SpecError(f"{limit.name} is no reading of {limit.instrument}: stale_after binds readings only")
        if limit.dwell_s is not None and not settings and limit.name not in declared.actions:
            raise SpecError(f"{limit.name} is a reading of {limit.instrument}: dwell binds settings and actions")
        if limit.dwell_s is not None and limit.when is not None:
            raise SpecError(f"the dwell of {limit.instrument}.{limit.name} holds always. Take the condition out")
        bounded = limit.min is not None or limit.max is not None or limit.rate is not None
        if bounded and not settings and signal is None:
            raise SpecError(f"{limit.name} is an action of {limit.instrument}: only dwell binds it")
        if limit.when is not None:
            self.rules.read_for(limit.when)
        who = f"{who} ({place(limit.path)})"
        if limit.dwell_s is not None or (limit.rate is not None and signal is None):
            self._draw_pace(limit, settings, who, way_out)
        if settings and bounded:
            self._draw_setting(limit, settings, who, way_out)
        if signal is not None and (bounded or limit.stale_after_s is not None):
            self._draw_reading(limit, signal, who, way_out)

    def _draw_setting(self, limit: Limit, settings: list[Setting], who: str, way_out: str) -> None:
        setting = settings[0]
        if setting.choices:
            raise SpecError(f"{limit.name} is one of {', '.join(setting.choices)}: it has no limits")
        for other in settings[1:]:
            convert(1.0, setting.unit, other.unit, setting.difference)
        drawn = self._settings.setdefault((limit.instrument, limit.name), [])
        new = list(bounds_of(limit, setting.unit, setting.difference, who, way_out))
        refuse_looser(new, drawn)
        drawn += new

    def _draw_pace(self, limit: Limit, settings: list[Setting], who: str, way_out: str) -> None:
        before = self._paces.get((limit.instrument, limit.name), Pace())
        rates: tuple[Bound, ...] = ()
        if limit.rate is not None:
            if settings[0].choices:
                raise SpecError(f"{limit.name} is one of {', '.join(settings[0].choices)}: it has no rate")
            rates = tuple(rates_of(limit, settings[0].unit, who, way_out))
            refuse_looser(rates, before.rates)
        dwell_s = limit.dwell_s or 0.0
        self._paces[limit.instrument, limit.name] = Pace(
            rates=(*before.rates, *rates),
            dwell_s=max(before.dwell_s, dwell_s),
            who=who if dwell_s > before.dwell_s else before.who,
        )

    def _draw_reading(self, limit: Limit, signal: Signal, who: str, way_out: str) -> None:
        watched = self._watched.setdefault(limit.instrument, {})
        before = watched.get(limit.name, Watched(unit=signal.unit))
        new = list(bounds_of(limit, signal.unit, False, who, way_out))
        refuse_looser(new, before.bounds)
        rates = list(rates_of(limit, signal.unit, who, way_out))
        refuse_looser(rates, before.rates)
        watched[limit.name] = Watched(
            unit=signal.unit,
            bounds=(*before.bounds, *new),
            rates=(*before.rates, *rates),
            stale_after_s=min(before.stale_after_s, limit.stale_after_s or STALE_S),
        )

    def _standing_complaints(self) -> Iterator[str]:
        """What an instrument may come to stand at by itself must keep the limits of its settings."""
        for name, declared in self.declared.items():
            for setting, amount in declared.standing.items():
                off = float(amount.value) == 0.0 and any(
                    one.zero for action in declared.actions.values() for one in action.settings if one.name == setting
                )
                for bound in self._settings.get((name, setting), ()):
                    value = convert(float(amount.value), amount.unit, bound.unit)
                    if bound.when is None and not off and bound.broken_by(value):
                        yield (
                            f"{declared.place}: its own watchdog sets {setting} to {written(value, bound.unit)}, "
                            f"{bound}. {'Lower' if bound.sign == '<=' else 'Raise'} it, or {bound.way_out}"
                        )


def _numbers(action: Action, values: Mapping[str, Value]) -> Iterator[tuple[Setting, float]]:
    for setting in action.settings:
        value = values.get(setting.argument)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield setting, float(value)


def _said_in(bound: Bound, setting: Setting) -> Bound:
    """A bound in the unit that this action's setting of the name declares."""
    if bound.unit == setting.unit:
        return bound
    value = convert(bound.value, bound.unit, setting.unit, setting.difference)
    return replace(bound, value=value, unit=setting.unit)
