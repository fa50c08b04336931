"""One bound of the envelope, drawn from a limit as it is written: who drew it, in the declared unit, when it holds."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign.errors import SpecError
from labloop.campaign.events import Reading
from labloop.campaign.flags import plain_number
from labloop.campaign.formula import judge
from labloop.campaign.limits import Limit
from labloop.campaign.units import convert, is_point

from .errors import SafetyError
from .settings import written

# A limit on a reading that names no stale_after: twice the slowest look a driver asks for between two looks (5 s), and
# some more for a line that has to find its place (test_watch: no fresh reading).
STALE_S: Final = 15.0
# Rounding of units: 80 degC written as 353.15 K must not be above 80 degC. A part of the limit, so that 2 nA is not
# within 1 nA; of 0, and of what has a zero of its own, of one unit.
SLACK: Final = 1e-9
# Instruments keep numbers of seven digits (a float of 32 bits): what rounding to these adds leaves no limit.
DIGITS: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One bound in the declared unit, and who drew it. ``sign``: "<=" or ">="."""

    sign: str
    value: float
    unit: str
    who: str
    way_out: str
    when: Any = None

    def broken_by(self, value: float, slack: float = SLACK) -> bool:
        slack *= max(1.0, abs(self.value)) if is_point(self.unit) else abs(self.value) or 1.0
        return value > self.value + slack if self.sign == "<=" else value < self.value - slack

    def holds(self, values: Mapping[str, Any], unknown: bool = True, unread: bool = True) -> bool:
        """Whether it holds now.

        ``unknown``: whether one does whose condition cannot be judged by ``values``, ``unread``: that lacks a reading.
        """
        if self.when is None:
            return True
        if not unread and any("." in name and name not in values for name in self.when.names):
            return False
        judged = judge(self.when, values)
        return unknown if judged is None else judged

    def __str__(self) -> str:
        only = f" when {self.when}" if self.when is not None else ""
        return f"{'above' if self.sign == '<=' else 'below'} {self.who} of {written(self.value, self.unit)}{only}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What is bound of one reading. ``rates``: the most it may change, in ``unit`` a second."""

    unit: str
    bounds: tuple[Bound, ...] = ()
    rates: tuple[Bound, ...] = ()
    stale_after_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often something may be done. ``dwell_s``: the least time between; ``rates``: in the unit a second."""

    rates: tuple[Bound, ...] = ()
    dwell_s: float = 0.0
    who: str = ""


def bounds_of(limit: Limit, unit: str, difference: bool, who: str, way_out: str) -> Iterator[Bound]:
    """The least and the most of a limit, in the declared unit."""
    for sign, quantity in ((">=", limit.min), ("<=", limit.max)):
        if quantity is not None:
            value = convert(quantity.value, quantity.unit or unit, unit, difference)
            yield Bound(sign=sign, value=value, unit=unit, who=who, way_out=way_out, when=limit.when)


def rates_of(limit: Limit, unit: str, who: str, way_out: str) -> Iterator[Bound]:
    """The fastest change of a limit, in the declared unit a second."""
    if limit.rate is not None:
        each_s = f"{difference_unit(unit)}/s" if unit else "1/s"
        rate = convert(limit.rate.value, limit.rate.unit or each_s, each_s, difference=True)
        yield Bound(sign="<=", value=rate, unit=each_s, who=who, way_out=way_out, when=limit.when)


def refuse_looser(new: Iterable[Bound], drawn: Iterable[Bound]) -> None:
    """A campaign may tighten a limit of the lab, never loosen it."""
    for bound in new:
        for other in drawn:
            if bound.sign == other.sign and other.when is None and other.broken_by(bound.value):
                raise SpecError(
                    f"{written(bound.value, bound.unit)} is {other}. A campaign may tighten a limit of the lab, never "
                    "loosen it"
                )


def number_of(instrument: str, name: str, reading: Reading, unit: str) -> float:
    """A reading as a number in ``unit``. Raises SafetyError for what is none: a limit stands on it."""
    value = plain_number(reading.value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SafetyError(f"{instrument}: {name} reads {value!r}, which is no number; a limit stands on it.")
    return convert(float(value), reading.unit, unit)


def difference_unit(unit: str) -> str:
    """The unit of a difference of temperatures."""
    return {"degC": "K", "degF": "delta_degF"}.get(unit, unit)
