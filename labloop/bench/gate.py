"""The gate: the one way from a wish to the wire.

The envelope knows the limits of each act by itself. The gate adds what only shows on a bench that lives: what acts have
made of it so far (totals, dwell times, how fast a setting may change) and what is measured now (required order, limits
under a condition on a reading). Its answer to a stage of acts is yes for all of them, or no for all:

    SafetyError   this leaves the envelope, and waiting does not help
    NotYet        it will be allowed in so many seconds
    NoRoom        a person must empty something first

``permit`` then writes the permit that a station begins.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Amount
from labloop.campaign.formula import Expression, Meaning
from labloop.campaign.rules import readings_in
from labloop.campaign.units import Quantity, convert

from .bounds import Pace
from .errors import SafetyError
from .instrument import Action
from .permit import Permit
from .safety import Envelope
from .settings import as_amounts, in_unit, written
from .standing import Standing
from .totals import Totals

# How soon what an act waits for is looked at again.
AGAIN_S: Final = 1.0


class NotYet(SafetyError):
    """The envelope has no objection, but it is too early: ``wait_s`` more seconds."""

    def __init__(self, message: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(message)


class NoRoom(SafetyError):
    """What the acts would bring together is more than there is room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One act that somebody wants done."""

    instrument: str
    action: str
    settings: Mapping[str, Amount]


class Wished(Protocol):
    """A wish, a step as it is planned, or as its first fact says it."""

    @property
    def instrument(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Amount]: ...


def after(envelope: Envelope, values: Mapping[str, Any], acts: Iterable[Wished]) -> dict[str, Any]:
    """``values``, as conditions read them, after what ``acts`` set, will have achieved, and stop.

    Raises SpecError, SafetyError for settings that cannot be said.
    """
    found = dict(values)
    for act in acts:
        action, declared = envelope.action(act.instrument, act.action), envelope.declared[act.instrument]
        resolved = envelope.resolve(act.instrument, act.action, act.settings)
        for name in declared.lasting if action.stops else ():
            found.pop(f"{act.instrument}.{name}", None)
        achieved = declared.expected(act.action, resolved).achieved
        for name, amount in {**as_amounts(action, resolved), **achieved}.items():
            found[f"{act.instrument}.{name}"] = meaning(amount)
    return found


def meaning(amount: Amount) -> Meaning:
    """A value as conditions read it."""
    return amount.value if isinstance(amount.value, (str, bool)) else Quantity(float(amount.value), amount.unit)


class Gate:
    """``standing`` and ``totals`` are told of facts by whoever owns the gate."""

    def __init__(self, envelope: Envelope, standing: Standing, totals: Totals) -> None:
        self.envelope = envelope
        self.standing = standing
        self.totals = totals
        self._missing_since_s: dict[str, float] = {}  # requirement -> since when an act has waited for it

    def asks(self, wish: Wish) -> set[str]:
        """The instruments that must be read now, because what is measured there decides."""
        conditions = [rule.that for rule in self.envelope.rules.needs(wish.instrument, wish.action)]
        conditions += self._conditions(wish)
        names = {name for condition in conditions for name in readings_in(condition)}
        found = set()
        for name in names:
            instrument, _, word = name.partition(".")
            if word in self.envelope.declared[instrument].signals:
                found.add(instrument)
        return found

    def admit(
        self, wishes: Sequence[Wish], values: Mapping[str, Any], now_s: float, beside: Sequence[Wish] = ()
    ) -> None:
        """Say nothing when all of ``wishes`` may begin together now.

        ``values``: the trial's settings, what was achieved in it and what is measured now, by name; ``beside``: what
        begins together with them. Raises SafetyError, NotYet (the longest wait of all), NoRoom; SpecError for what
        cannot be said at all.
        """
        for wish in wishes:
            self.envelope.check(wish.instrument, wish.action, wish.settings, values)
            self._check_requirements(wish, values, now_s)
        there = self._check_then(wishes, values, beside)
        late = max((one for wish in wishes for one in self._early(wish, (values, there), now_s)), default=None)
        if late is not None:
            raise NotYet(f"{late[1]}: {late[0]:.0f} s more.", late[0])
        missing = self.totals.missing((wish.instrument, wish.action, wish.settings) for wish in wishes)
        if missing:
            raise NoRoom(f"{missing}.")

    def permit(self, wish: Wish, values: Mapping[str, Any], now_s: float, beside: Sequence[Wish] = ()) -> Permit:
        """The permit for one act. Raises as ``admit`` does."""
        self.admit([wish], values, now_s, beside)
        return self.envelope.permit(wish.instrument, wish.action, wish.settings, values)

    def permit_again(
        self, wish: Wish, values: Mapping[str, Any], now_s: float, beside: Sequence[Wish] = ()
    ) -> Permit:  # fmt: skip
        """A new permit for an act that has one, and has not begun: what is measured now decides again.

        Totals and pace count it already. Raises SafetyError, NotYet.
        """
        self._check_requirements(wish, values, now_s)
        self._check_then([wish], values, beside)
        return self.envelope.permit(wish.instrument, wish.action, wish.settings, values)

    def waits_no_longer(self, wish: Wish) -> None:
        """Whoever wished it is not going to ask again: what it needs may stay away as long for the next one."""
        for rule in self.envelope.rules.needs(wish.instrument, wish.action):
            self._missing_since_s.pop(rule.name, None)

    def _conditions(self, wish: Wish) -> Iterator[Expression]:
        """On what the limits of an act depend: of its settings, and of what they come to on the wire."""
        declared = self.envelope.declared[wish.instrument]
        names = {one.name for one in self.envelope.action(wish.instrument, wish.action).settings}
        with suppress(SpecError, SafetyError):  # of what cannot be said, which is refused
            names |= declared.sent(wish.action, self.envelope.resolve(*_said(wish))).keys()
        return self.envelope.conditions(wish.instrument, sorted(names))

    def _check_then(
        self, wishes: Sequence[Wish], values: Mapping[str, Any], beside: Sequence[Wish]
    ) -> Mapping[str, Any]:  # fmt: skip
        """What there is when all of them have begun: limits with a condition must be kept then as well.

        Raises SafetyError.
        """
        if not any(True for wish in wishes for _ in self._conditions(wish)):
            return values
        there = after(self.envelope, values, (*wishes, *beside))
        for wish in wishes:
            self.envelope.check(*_said(wish), there)
        return there

    def _check_requirements(self, wish: Wish, values: Mapping[str, Any], now_s: float) -> None:
        for rule in self.envelope.rules.needs(wish.instrument, wish.action):
            needs = f"{wish.instrument}.{wish.action} needs {rule.that} ({rule.place})"
            names = sorted(readings_in(rule.that))
            unread = [name for name in names if name not in values]
            if unread:
                raise SafetyError(f"{needs}, and {unread[0]} cannot be read.")
            said = ", ".join(f"{name} is {values[name]}" for name in names)
            try:
                there = rule.that.evaluate(values)
            except SpecError as error:  # a reading that is a word ("OFF") is not what is needed
                there, said = False, str(error)
            if there:
                self._missing_since_s.pop(rule.name, None)
                continue
            why = f"{needs}, and {said}"
            waited_s = now_s - self._missing_since_s.setdefault(rule.name, now_s)
            if waited_s < rule.within_s:
                raise NotYet(f"{why}.", min(AGAIN_S, rule.within_s - waited_s))
            del self._missing_since_s[rule.name]
            raise SafetyError(f"{why}, {waited_s:.0f} s long." if waited_s else f"{why}.")

    def _early(
        self, wish: Wish, seen: Sequence[Mapping[str, Any]], now_s: float
    ) -> Iterator[tuple[float, str]]:  # fmt: skip
        """What is too early in a wish: how long to wait, and why. ``seen``: what conditions are judged by, by each."""
        name = f"{wish.instrument}.{wish.action}"
        action = self.envelope.action(wish.instrument, wish.action)
        pace = self.envelope.pace(wish.instrument, wish.action)
        since_s = self.standing.rests_since_s(wish.instrument, wish.action)
        if pace is not None and since_s is not None and since_s + pace.dwell_s > now_s:
            yield since_s + pace.dwell_s - now_s, f"{name} rests for {pace.dwell_s:g} s ({pace.who})"
        for setting in action.settings:
            pace = self.envelope.pace(wish.instrument, setting.name)
            since_s = self.standing.since_s(wish.instrument, setting.name)
            if pace is None or since_s is None:
                continue
            change = self._change(wish, action, setting.name)
            if change == 0.0:
                continue
            if since_s + pace.dwell_s > now_s:
                why = f"{wish.instrument}.{setting.name} stands for {pace.dwell_s:g} s at least ({pace.who})"
                yield since_s + pace.dwell_s - now_s, why
            if change is not None:
                yield from _too_fast(f"{wish.instrument}.{setting.name}", pace, change, now_s - since_s, seen)

    def _change(self, wish: Wish, action: Action, setting: str) -> float | None:
        """By how much a setting would change, in its declared unit; None: it is no number, or was never known."""
        declared = next(one for one in action.settings if one.name == setting)
        amount = wish.settings.get(setting)
        wanted = declared.default if amount is None else in_unit(declared, amount)
        stood = self.standing.stood(wish.instrument, setting)
        if wanted is None:
            return 0.0
        if stood is None:
            return None
        if isinstance(wanted, str) or isinstance(stood.amount.value, str):
            return 0.0 if wanted == stood.amount.value else None
        stands = convert(
            float(stood.amount.value), stood.amount.unit or declared.unit, declared.unit, declared.difference
        )
        return abs(float(wanted) - stands)


def _said(wish: Wish) -> tuple[str, str, Mapping[str, Amount]]:
    return wish.instrument, wish.action, wish.settings


def _too_fast(
    name: str, pace: Pace, change: float, stood_s: float, seen: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[float, str]]:
    for rate in pace.rates:
        wait_s = change / rate.value - stood_s
        if wait_s > 0.0 and any(rate.holds(values) for values in seen):
            yield wait_s, f"{name} changes by {written(rate.value, rate.unit)} at most, {rate.who}"
