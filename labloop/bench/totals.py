"""What stands in a vessel: amounts of acts added up, across runs, acts by hand and crashes.

An act counts in full from the moment it is begun until its end tells what it really moved; where its end tells nothing,
in full for good. So a total is never less than what is there. Facts of the bench keep it: ActCounted for every act of
a run that ended, ByHand for a person's, TotalSet for what a person says is there now. An act by hand whose settings its
driver knows no more (one was renamed since), and of which nobody knows how much it moved, makes a total full.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.text import quantity
from labloop.campaign.units import convert

from .declared import Declaration
from .instrument import Action
from .rules import ActName, TotalRule
from .settings import resolve

UNKNOWN: Final = e.Amount(math.inf)  # more than anybody can say; it is never written down


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One act as totals see it: ``amount`` it will move at worst, or has moved."""

    name: ActName
    amount: e.Amount | None


class Totals:
    """``held``: by rule, in its unit. Facts come by ``apply``, acts of a running run by ``begin`` and ``end``."""

    def __init__(self, rules: Iterable[TotalRule], declared: Mapping[str, Declaration]) -> None:
        self.rules = list(rules)
        self.held: dict[str, float] = {rule.name: 0.0 for rule in self.rules}
        self._declared = declared
        self._open: dict[str, Counted] = {}
        self._counted: set[str] = set()
        self._by_hand: set[str] = set()

    def concerns(self, instrument: str, action: str) -> bool:
        """Whether any total counts this action, or is emptied by it."""
        name = (instrument, action)
        return any(name in rule.of or name in rule.less or name in rule.until for rule in self.rules)

    def counted(self, act: str) -> bool:
        """Whether an act has been counted already."""
        return act in self._counted

    def begin(self, act: str, instrument: str, action: str, settings: Mapping[str, e.Amount]) -> None:
        """An act is about to begin: it counts in full."""
        if act not in self._counted and self.concerns(instrument, action):
            expected = self.expected(instrument, action, settings)
            self._open[act] = Counted(name=(instrument, action), amount=expected)

    def drop(self, act: str) -> None:
        """Nothing of an act was sent: it counts no more."""
        self._open.pop(act, None)

    def end(self, fact: e.ActCounted) -> None:
        """An act is over."""
        self._open.pop(fact.act, None)
        if fact.act in self._counted:
            return
        self._counted.add(fact.act)
        name = (fact.instrument, fact.action)
        for rule in self.rules:
            if name in rule.until and fact.done:
                self.held[rule.name] = 0.0
            # What nobody knows the end of has brought all of it, and taken nothing away.
            unknown = fact.asked if name in rule.of else None
            change = _change(rule, name, fact.amount if fact.amount is not None else unknown)
            self.held[rule.name] = _full(rule, self.held[rule.name], max(0.0, self.held[rule.name] + change))

    def apply(self, fact: Any) -> None:
        """Add one fact of the bench's journal."""
        match fact:
            case e.ActCounted():
                self.end(fact)
            case e.TotalSet(name=name, amount=amount):
                for rule in self.rules:
                    if rule.name.partition(".")[2] == name:
                        there = float(amount.value)
                        self.held[rule.name] = convert(there, amount.unit, rule.unit) if there else 0.0
                for act in self._by_hand:  # what a person has looked at is what is there: broken-off acts are in it
                    self._open.pop(act, None)
                self._by_hand.clear()
            case e.ByHand(done=False, failed=""):
                self._by_hand.add(fact.act)
                try:
                    self.begin(fact.act, fact.instrument, fact.action, fact.settings)
                except SpecError:
                    self._open[fact.act] = Counted(name=(fact.instrument, fact.action), amount=UNKNOWN)
            case e.ByHand() if self.concerns(fact.instrument, fact.action):
                try:
                    counted = self.counting(fact.act, fact, fact.achieved, done=fact.done)
                except SpecError:
                    counted = e.ActCounted(
                        act=fact.act, instrument=fact.instrument, action=fact.action, done=fact.done, asked=UNKNOWN,
                        amount=self._told(fact, fact.achieved),
                    )  # fmt: skip
                self.end(counted)

    def counting(self, act: str, begun: Any, achieved: Mapping[str, e.Amount], *, done: bool) -> e.ActCounted:
        """The fact that counts an act (``begun``: its StepStarted or ByHand) which is over."""
        amount = self._told(begun, achieved)
        asked = self.expected(begun.instrument, begun.action, begun.settings)
        return e.ActCounted(
            act=act, instrument=begun.instrument, action=begun.action, amount=amount, asked=asked, done=done
        )

    def _told(self, begun: Any, achieved: Mapping[str, e.Amount]) -> e.Amount | None:
        action = self._action(begun.instrument, begun.action)
        if action is None or not action.amount:
            return None
        # Earlier versions wrote what a person had said ("done, 0.14 mL") beside what the instrument had, as "amount".
        return achieved.get("amount", achieved.get(action.amount))

    def expected(self, instrument: str, action: str, settings: Mapping[str, e.Amount]) -> e.Amount | None:
        """What an act with these settings moves, when all goes well."""
        declared = self._action(instrument, action)
        if declared is None or not declared.amount:
            return None
        one = self._declared[instrument]
        told = one.expected(action, resolve(declared, settings)).achieved.get(declared.amount)
        return settings.get(declared.amount) if told is None else told

    def change(self, rule: TotalRule, instrument: str, action: str, settings: Mapping[str, e.Amount]) -> float:
        """By how much an act with these settings changes a total, in its unit, when all goes well."""
        return _change(rule, (instrument, action), self.expected(instrument, action, settings))

    def missing(self, acts: Iterable[tuple[str, str, Mapping[str, e.Amount]]]) -> str:
        """Why these acts ({instrument, action, settings}) together would be too much; empty: there is room for all."""
        acts = list(acts)
        for rule in self.rules:
            for name, action, settings in acts:
                if (name, action) in rule.of and self.expected(name, action, settings) is None:
                    return f"nobody can tell how much {name}.{action} would bring to {rule.name} ({rule.place})"
            more = sum(
                max(0.0, _change(rule, (name, action), self.expected(name, action, settings)))
                for name, action, settings in acts
            )
            if more <= 0.0:
                continue
            held = self.held[rule.name] + sum(
                max(0.0, _change(rule, one.name, one.amount)) for one in self._open.values()
            )
            held = _full(rule, self.held[rule.name], held)
            if rule.is_full(held + more):
                return (
                    f"{rule.name} holds {quantity(held, rule.unit)}, {quantity(more, rule.unit)} would come to it, and "
                    f"{quantity(rule.most, rule.unit)} is the most ({rule.place})"
                )
        return ""

    def _action(self, instrument: str, action: str) -> Action | None:
        declared = self._declared.get(instrument)
        return declared.actions.get(action) if declared is not None else None


def _full(rule: TotalRule, before: float, held: float) -> float:
    """What stands there, where an act of an amount that nobody knows makes it full."""
    return held if math.isfinite(held) else max(before, rule.most)


def _change(rule: TotalRule, name: ActName, amount: e.Amount | None) -> float:
    """By how much an act changes a total, in its unit."""
    sign = 1.0 if name in rule.of else -1.0 if name in rule.less else 0.0
    if sign == 0.0 or amount is None:
        return 0.0
    if amount is UNKNOWN:
        return sign * math.inf
    return sign * convert(float(amount.value), amount.unit, rule.unit)


def nothing(action: Action) -> dict[str, e.Amount]:
    """What an act has achieved that was never begun."""
    unit = next((one.unit for one in action.settings if one.name == action.amount), None)
    return {} if unit is None else {action.amount: e.Amount(0.0, unit)}


def drawn(action: Action, achieved: Mapping[str, e.Amount], unit: str) -> e.Amount | None:
    """What an act took out of its instrument's stock, in the stock's unit; less than 0 when it filled; None: nothing.

    Raises UnitError when the act's amount cannot be said in that unit.
    """
    amount = achieved.get(action.amount) if action.amount else None
    if amount is None or isinstance(amount.value, (str, bool)):
        return None
    taken = convert(float(amount.value), amount.unit, unit)
    return e.Amount(-taken if action.fills else taken, unit)
