"""The watch over a bench while anything runs: between steps and within them.

What was read last, and when, is all it needs to see five things:

    limits        a reading beyond its bounds, a change that is too fast, no fresh reading at all
    interlocks    a condition over readings holds
    requires      an act goes on, and what it needs is not there any more
    plausible     a reading does not follow what it was set to: the probe lies, or lies beside the flask
    (and that the condition of an interlock that holds the run is over)

Times are seconds of one clock of the caller's. ``patience``: how much faster than the wall that clock goes; the line to
an instrument is as slow as ever then, so readings may be so many times as old.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.flags import believed
from labloop.campaign.formula import Expression
from labloop.campaign.rules import readings_in
from labloop.campaign.units import Quantity

from .bounds import STALE_S, number_of
from .courses import Courses, forget
from .errors import SafetyError
from .rules import ActName
from .safety import Envelope
from .settings import written
from .standing import NOTHING_SENT, Standing, stopped_for

# The change of a reading is judged over at least this long: a probe's noise of 0.1 K between two looks 0.2 s apart
# would be 30 K/min (test_watch: noise is no rate).
RATE_WINDOW_S: Final = 10.0
# And over this long on the wall: where the bench's clock goes 60 times faster, the tenth of a second for which a busy
# computer keeps an answer waiting is 6 s of its time, and a plate seemed to heat twice as fast as it did.
RATE_WALL_S: Final = 1.0
# A reading is asked for when it has reached this part of the age that its limit allows: early enough for a second try.
ASK_AT: Final = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Trip:
    """A rule that was broken: what it brings (hold, safe, halt) and why, in words; ``unread``: whose silence did it."""

    rule: str
    then: str
    reason: str
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one look has found: rules that are broken now, and holds whose condition is over."""

    tripped: tuple[Trip, ...] = ()
    cleared: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seen:
    """The past of one reading: as far back as the rules look, newest last."""

    past: list[tuple[float, float]] = field(default_factory=list)
    last: Any = None
    at_s: float = -math.inf


class Watch:
    """Remembers readings, and is told of facts. ``begin`` starts the clock of staleness."""

    def __init__(self, envelope: Envelope, standing: Standing, now_s: float = 0.0, patience: float = 1.0) -> None:
        self._envelope = envelope
        self._patience = max(1.0, patience)
        self._rate_window_s = max(RATE_WINDOW_S, RATE_WALL_S * self._patience)
        self.courses = Courses(envelope.rules.plausible, standing, self._patience)
        self._began_s = now_s
        self._stood_before_s = self._stood_s = -math.inf
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._ages: dict[str, dict[str, float]] = {}  # how soon each is asked for: what the strictest rule allows
        self._lasting: dict[str, dict[str, ActName]] = {}  # rule -> {step: act} of what needs it now
        self._since_s: dict[str, float] = {}  # rule -> since when its condition holds
        self._held: set[str] = set()
        self._going: dict[str, ActName] = {}
        for name in envelope.declared:
            ages = {signal: watched.stale_after_s for signal, watched in envelope.watched(name).items()}
            for signal, age_s in envelope.rules.read.get(name, {}).items():
                ages[signal] = min(age_s, ages.get(signal, math.inf))
            if ages:
                self._ages[name] = ages
        self._allowed = [(name, signal, age_s) for name, ages in self._ages.items() for signal, age_s in ages.items()]
        self._allowed += [(rule.instrument, rule.signal, rule.within_s) for rule in envelope.rules.plausible]
        for condition, age_s in self._conditions():
            self._allowed += [(*_parted(full), age_s) for full in readings_in(condition)]

    def _conditions(self) -> Iterator[tuple[Expression, float]]:
        """What interlocks and requirements are judged by, and how old its readings may be."""
        yield from ((rule.when, rule.stale_after_s) for rule in self._envelope.rules.interlocks)
        yield from ((rule.that, STALE_S) for rule in self._envelope.rules.requires)

    @property
    def instruments(self) -> tuple[str, ...]:
        """Those that must be read while anything runs."""
        return tuple(self._ages)

    def begin(self, now_s: float) -> None:
        """From now on readings are due; what was read before counts no more."""
        self._began_s = now_s
        self._seen.clear()
        self._since_s.clear()
        self.courses.begin()

    def stood_still(self, now_s: float) -> None:
        """Whoever asks stood still until now: what is due is asked for first, and judged then.

        Where nothing was read since it stood still before, it makes no difference: a silence must show.
        """
        self._stood_before_s, self._stood_s = self._stood_s, now_s

    def due_s(self, instrument: str) -> float:
        """When this instrument is to be read next."""
        return min(
            max(self._at_s(instrument, name), self._began_s - age_s) + ASK_AT * age_s
            for name, age_s in self._ages[instrument].items()
        )

    def ask_again_s(self, instrument: str) -> float:
        """How soon to ask again when an instrument did not answer."""
        return 0.1 * min(self._ages[instrument].values())

    def next_s(self, now_s: float) -> float:
        """When a look is worth while although nothing came in: a reading grows stale, a condition holds long enough."""
        allowed = [(self._fresh_s(*reading), age_s * self._patience + 0.01) for *reading, age_s in self._allowed]
        ends = [fresh_s + age_s for fresh_s, age_s in allowed]
        ends += [self._stood_s + (1.0 - ASK_AT) * age_s for _, age_s in allowed]
        ends += [
            self._since_s[rule.name] + rule.after_s
            for rule in self._envelope.rules.interlocks
            if rule.name in self._since_s and rule.name not in self._held
        ]
        return min((at_s for at_s in ends if at_s > now_s), default=now_s + 60.0)

    # --- what comes in --------------------------------------------------------------------------------------------

    def see(
        self,
        instrument: str,
        readings: Mapping[str, e.Reading],
        now_s: float,
        values: Mapping[str, Any] | None = MappingProxyType({}),
    ) -> None:
        """Take in what was read. ``values``: the settings of the trial that stands there, for limits with ``when``;
        None: none does.

        Raises SafetyError when a value, or how fast it changes, breaks a limit.
        """
        watched = self._envelope.watched(instrument)
        broken: SafetyError | None = None
        for name, reading in readings.items():
            if name not in self._ages.get(instrument, {}):
                continue
            seen = self._seen.setdefault((instrument, name), _Seen())
            if (meaning := _meaning(reading)) is not None:  # what is no value stays out
                seen.last, seen.at_s = meaning, now_s
            if name in watched:
                try:
                    value = number_of(instrument, name, reading, watched[name].unit)
                except SafetyError as error:
                    broken = broken or error
                    continue
                seen.past.append((now_s, value))
                forget(seen.past, now_s - self._rate_window_s)
        self.courses.see(instrument, readings, now_s)
        if broken is not None:
            raise broken
        known = {**self.sight(now_s), **(values or {})}
        self._envelope.check_reading(instrument, readings, known, unknown=values is not None)
        for name, limits in watched.items():
            if name in readings and limits.rates:
                self._check_rate(instrument, name, now_s, known, values is not None)

    def apply(self, fact: e.Fact) -> None:
        """Add one fact of the run: which acts go on that need something."""
        match fact:
            case e.StepStarted():
                self._begun(fact)
            case e.StepFinished() | e.StepFailed():
                self._ended(fact)
            case e.SafeStateReached() if fact.found or not fact.by:  # else nobody knows what was stopped
                self._drop(lambda act: not self._goes_on(act))

    def stopped(self, instrument: str) -> None:
        """What went on there does not any more."""
        self._drop(lambda act: act[0] == instrument)

    def _drop(self, over: Callable[[ActName], bool]) -> None:
        for acts in self._lasting.values():
            for step in [step for step, act in acts.items() if over(act)]:
                del acts[step]

    def _goes_on(self, act: ActName) -> bool:
        declared = self._envelope.declared.get(act[0])
        return declared is not None and declared.goes_on(act[1])

    def sight(self, now_s: float, stale_after_s: float = STALE_S) -> dict[str, Any]:
        """What is measured now, by ``instrument.reading``; what is too old is not there."""
        age_s = stale_after_s * self._patience
        return {".".join(reading): seen.last for reading, seen in self._seen.items() if now_s - seen.at_s <= age_s}

    def beyond(self, instrument: str, names: Collection[str]) -> str:
        """Which of these readings was beyond a limit when it was read last, in words ("": none)."""
        for name, limits in self._envelope.watched(instrument).items():
            seen = self._seen.get((instrument, name))
            if name in names and seen is not None and seen.past:
                value = seen.past[-1][1]
                for bound in limits.bounds:
                    if bound.when is None and bound.broken_by(value):
                        return f"{name} reads {written(value, limits.unit)}, {bound}"
        return ""

    # --- what is seen ---------------------------------------------------------------------------------------------

    def look(self, now_s: float) -> Changes:
        """Judge every rule by what was read last."""
        tripped = [*self._stale(now_s), *self._broken_requirements(now_s), *self._implausible(now_s)]
        cleared: list[str] = []
        for rule in self._envelope.rules.interlocks:
            why = self._interlock(rule.when, rule.stale_after_s, now_s)
            if why is None:  # what it speaks of may still come: it is as it was
                continue
            if not why:
                self._since_s.pop(rule.name, None)
                if rule.name in self._held:
                    self._held.discard(rule.name)
                    cleared.append(rule.name)
                continue
            since_s = self._since_s.setdefault(rule.name, now_s)
            if now_s - since_s >= rule.after_s and rule.name not in self._held:
                self._held.add(rule.name)
                tripped.append(Trip(rule=rule.name, then=rule.then, reason=f"{why} ({rule.place})."))
        return Changes(tripped=tuple(tripped), cleared=tuple(cleared))

    def _stale(self, now_s: float) -> Iterator[Trip]:
        """Readings that a limit stands on and that are too old. Those of interlocks only trip those."""
        for instrument in self._envelope.declared:
            for name, watched in self._envelope.watched(instrument).items():
                if age_s := self._out_s(instrument, name, now_s, watched.stale_after_s * self._patience):
                    yield Trip(
                        rule=f"limits.{instrument}.{name}",
                        then="safe",
                        reason=f"{instrument}: no fresh reading of {name} for {age_s:.0f} s, and a limit stands on it "
                        f"({watched.stale_after_s:g} s at most).",
                        unread=instrument,
                    )

    def _interlock(self, when: Expression, stale_after_s: float, now_s: float) -> str | None:
        """Why an interlock's condition holds (unread for too long, it does); empty: it does not; None: not read yet."""
        sight = self.sight(now_s, stale_after_s)
        for full in sorted(readings_in(when)):
            if full not in sight:
                return self._unread(full, stale_after_s, now_s) or None
        try:
            holds = bool(when.evaluate(sight))
        except SpecError as error:
            return f"{when} cannot be judged: {error}"
        return f"{when}: {_said(when, sight)}" if holds else ""

    def _broken_requirements(self, now_s: float) -> Iterator[Trip]:
        sight = self.sight(now_s)
        for rule in self._envelope.rules.requires:
            acts = self._lasting.get(rule.name)
            if not acts:
                continue
            why = self._missing(rule.that, sight, now_s)
            if why is None:
                continue  # not read yet
            if why:
                names = ", ".join(sorted({f"{instrument}.{action}" for instrument, action in acts.values()}))
                reason = f"{names} needs {rule.that} ({rule.place}), and {why}."
                yield Trip(rule=rule.name, then=rule.then, reason=reason)

    def _missing(self, that: Expression, sight: Mapping[str, Any], now_s: float) -> str | None:
        """Why a requirement is not there; empty: it is; None: what it speaks of has not been read yet."""
        for full in sorted(readings_in(that)):
            if full not in sight:
                return self._unread(full, STALE_S, now_s) or None
        try:
            return "" if that.evaluate(sight) else _said(that, sight)
        except SpecError as error:
            return str(error)

    def _unread(self, full: str, stale_after_s: float, now_s: float) -> str:
        """That a reading has stayed out too long; empty: it may still come."""
        age_s = self._out_s(*_parted(full), now_s, stale_after_s * self._patience)
        return f"no fresh reading of {full} for {age_s:.0f} s" if age_s else ""

    def _out_s(self, instrument: str, name: str, now_s: float, allowed_s: float) -> float:
        """How long a reading has stayed out (0.0: no longer than allowed, or whoever asks stood still meanwhile)."""
        at_s = self._fresh_s(instrument, name)
        asked_in_vain = now_s - self._stood_s > (1.0 - ASK_AT) * allowed_s or at_s <= self._stood_before_s
        return now_s - at_s if now_s - at_s > allowed_s and asked_in_vain else 0.0

    def _implausible(self, now_s: float) -> Iterator[Trip]:
        for rule, reason in self.courses.implausible():
            yield Trip(rule=rule.name, then=rule.then, reason=reason)
        for rule in self.courses.steered():  # near its set value or not: nobody can tell
            if age_s := self._out_s(rule.instrument, rule.signal, now_s, rule.within_s * self._patience):
                reason = (
                    f"{rule.instrument}: no fresh reading of {rule.signal} for {age_s:.0f} s, so that nobody can tell "
                    f"whether it follows what it was set to ({rule.place})."
                )
                yield Trip(rule=rule.name, then=rule.then, reason=reason, unread=rule.instrument)

    def _check_rate(self, instrument: str, name: str, now_s: float, values: Mapping[str, Any], unknown: bool) -> None:
        past = self._seen[instrument, name].past
        then_s, then = past[0]
        if then_s > now_s - self._rate_window_s:
            return
        rate = abs(past[-1][1] - then) / (now_s - then_s)
        for bound in self._envelope.watched(instrument)[name].rates:
            if bound.broken_by(rate) and bound.holds(values, unknown):
                raise SafetyError(f"{instrument}: {name} changes by {written(rate, bound.unit)}, {bound}.")

    # --- what goes on ---------------------------------------------------------------------------------------------

    def _begun(self, fact: e.StepStarted) -> None:
        act = (fact.instrument, fact.action)
        self._going[fact.step] = act
        declared = self._envelope.declared.get(fact.instrument)
        action = declared.actions.get(fact.action) if declared is not None else None
        if action is not None and action.stops:
            self.stopped(fact.instrument)
        for rule in self._envelope.rules.requires:
            if act in rule.of:
                self._lasting.setdefault(rule.name, {})[fact.step] = act

    def _ended(self, fact: e.StepFinished | e.StepFailed) -> None:
        act = self._going.pop(fact.step, None)
        unsent = isinstance(fact, e.StepFailed) and fact.fault in NOTHING_SENT
        if act is not None and stopped_for(fact):
            self.stopped(act[0])
        for rule in self._envelope.rules.requires:
            acts = self._lasting.get(rule.name, {})
            if act in rule.until and isinstance(fact, e.StepFinished):
                acts.clear()
            elif unsent or not rule.until:
                acts.pop(fact.step, None)

    def _fresh_s(self, instrument: str, name: str) -> float:
        return max(self._at_s(instrument, name), self._began_s)

    def _at_s(self, instrument: str, name: str) -> float:
        seen = self._seen.get((instrument, name))
        return -math.inf if seen is None else seen.at_s


def _parted(full: str) -> tuple[str, str]:
    instrument, _, name = full.partition(".")
    return instrument, name


def _meaning(reading: e.Reading) -> Any:
    """A reading as conditions see it; None for what is no value, or not to be believed."""
    reading = believed(reading)
    value = None if reading.flag else reading.value
    return value if value is None or isinstance(value, (bool, str)) else Quantity(float(value), reading.unit)


def _said(condition: Expression, values: Mapping[str, Any]) -> str:
    """What is measured of a condition, in words."""
    return ", ".join(f"{name} is {values[name]}" for name in sorted(readings_in(condition)))
