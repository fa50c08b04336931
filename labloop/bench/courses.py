"""How readings move on their way to what they were set to: a probe that lies, or lies beside the flask, does not.

A course begins with the first reading that is to be judged after its instrument was set, and goes on as long as it is
on its way in one direction: one that is set anew every half minute is on its way all the same. It ends near the set
value, when the instrument was stopped, and when it turns. Where it could not be read for longer than half of what it is
given (it is asked for sooner), nobody knows what happened meanwhile: an outage of line or mains begins it anew, once.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from labloop.campaign import events as e
from labloop.campaign.text import quantity
from labloop.campaign.units import convert

from .bounds import difference_unit, number_of
from .rules import PlausibleRule
from .standing import Standing, Stood

# So much of the change that a plausible course asks for says that it begins: what was 22.0 and is 22.2 degC is no
# noise, and a flask on a plate of 5 K/min that lags by a minute rises by 2 K within the 60 s after that, and not within
# the first 60 s (test_watch: a flask takes up heat first).
BEGINS: Final = 0.1


@dataclass(slots=True)
class _Course:
    """A reading on its way to ``target``, and since when (``on_s``). ``moves``: it was seen to begin to.

    ``out``: whether it was begun anew because it could not be read: one outage is forgiven, a slow line is not.
    ``turns_by_s``: until when it may still move the other way, as a flask does that was left to cool, or that something
    cold is added to.
    """

    target: float
    on_s: float
    turns_by_s: float
    past: list[tuple[float, float]] = field(default_factory=list)
    moves: bool = False
    out: bool = False

    def move(self, at_s: float, value: float, asked: float, longest_s: float) -> None:
        """Measure from where it turned and began to move: what stands still at first is a flask that takes up heat."""
        if self.past and at_s - self.past[-1][0] > longest_s and not self.out:
            self.past.clear()
            self.moves, self.out = False, True
        if not self.moves and self.past:
            first = self.past[0][1]
            moved = value - first if self.target > first else first - value
            self.moves = moved >= BEGINS * asked
            if self.moves or (moved <= -BEGINS * asked and at_s <= self.turns_by_s):
                self.past.clear()
        self.past.append((at_s, value))


class Courses:
    """The readings of ``rules``, by what ``standing`` says of their instruments. ``patience``: see Watch."""

    def __init__(self, rules: list[PlausibleRule], standing: Standing, patience: float) -> None:
        self._rules = rules
        self._patience = patience
        self._standing = standing
        self._courses: dict[str, _Course] = {}
        self._untold: set[str] = set()

    def begin(self) -> None:
        """What was read before counts no more."""
        self._courses.clear()

    @contextmanager
    def untold(self, step: str) -> Iterator[None]:
        """Until its instrument is told of it, a step that is known already sets nothing: others may be waited for."""
        self._untold.add(step)
        try:
            yield
        finally:
            self._untold.discard(step)

    def see(self, instrument: str, readings: Mapping[str, e.Reading], now_s: float) -> None:
        """Take in what was read. Raises SafetyError for what is no number."""
        for rule in self._rules:
            if rule.instrument == instrument and rule.signal in readings:
                self._follow(rule, number_of(instrument, rule.signal, readings[rule.signal], rule.unit), now_s)

    def steered(self) -> Iterator[PlausibleRule]:
        """The rules whose reading was set to something, and has not been let go since."""
        return (rule for rule in self._rules if self._steers(rule) is not None)

    def implausible(self) -> Iterator[tuple[PlausibleRule, str]]:
        """The rules that are broken, and why."""
        for rule in self._rules:
            course = self._courses.get(rule.name)
            if course is None or course.past[-1][0] - course.past[0][0] < rule.within_s:
                continue
            (then_s, then), (last_s, last) = course.past[0], course.past[-1]
            change, asked, how = (
                (last - then, rule.rise, "rose") if course.target > last else (then - last, rule.fall, "fell")
            )
            if asked is not None and change < asked:
                unit = difference_unit(rule.unit)
                reason = (
                    f"{rule.instrument}: {rule.signal} {how} by {quantity(change, unit)} in {last_s - then_s:.0f} s on "
                    f"its way to {quantity(course.target, rule.unit)}, and {quantity(asked, unit)} at least would be "
                    f"plausible ({rule.place}). Is its probe where it should be?"
                )
                yield rule, reason

    def _follow(self, rule: PlausibleRule, value: float, now_s: float) -> None:
        stood = self._steers(rule)
        if stood is None:
            self._courses.pop(rule.name, None)
            return
        target = convert(float(stood.amount.value), stood.amount.unit or rule.unit, rule.unit)
        gap = target - value
        asked = rule.rise if gap > 0.0 else rule.fall
        if abs(gap) <= rule.near or asked is None:
            self._courses.pop(rule.name, None)
            return
        course = self._courses.get(rule.name)
        if course is None or course.on_s != stood.on_s or (course.target > course.past[-1][1]) != (gap > 0.0):
            course = self._courses[rule.name] = _Course(target, stood.on_s, now_s + rule.within_s)
        course.target = target
        course.move(now_s, value, asked, rule.within_s / 2.0 * self._patience)
        forget(course.past, now_s - rule.within_s)

    def _steers(self, rule: PlausibleRule) -> Stood | None:
        stood = self._standing.steers(rule.instrument, rule.signal)
        if stood is not None and stood.step in self._untold:
            stood = None if stood.before is None or stood.before.over else stood.before
        return None if stood is None or isinstance(stood.amount.value, (str, bool)) else stood


def forget(past: list[tuple[float, float]], before_s: float) -> None:
    """Drop what is older than the newest one of ``before_s``: from that one the change is measured."""
    old = sum(at_s <= before_s for at_s, _ in past)
    if old > 1:
        del past[: old - 1]
