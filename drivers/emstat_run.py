"""What a script says, line by line, turned into points: what is believed, what was lost, what was at its end.

A package is believed when both its numbers, sent twice, are alike, and it stands where the axis can be by now.

Points in overload are no values and are kept apart; what is left of a curve, and its integral, is then only a bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import pack

from labloop.bench import Amount, InstrumentFault, Progress, ProtocolError, Reading

from .emstat_codec import OVERLOAD, package
from .emstat_scripts import Technique

LOST_SHARE = 0.1
# A jump along the axis that a few lost points explain; a wider one is a damaged number.
GAP_STEPS = 8


@dataclass(frozen=True, slots=True)
class Point:
    """One point: where on the axis, what was measured, and whether that is only a bound."""

    at: float
    value: float
    bound: bool


@dataclass(slots=True)
class Run:
    """A script that was begun in this process, and what it said so far. ``scan_at``: where the last scan begins.

    ``unheard``: it is over, and nobody heard it end.
    """

    technique: Technique
    points: list[Point] = field(default_factory=list)
    scan_at: int = 0
    lost: int = 0
    ended: bool = False
    unheard: bool = False
    wrong: str = ""
    _last: str = ""

    def take(self, text: str) -> None:
        """One line that it said."""
        if text == self._last and text.startswith("P"):
            return  # said twice by the line
        self._last = text
        if text == "":
            self.ended = True
        elif text.startswith("!"):
            self.wrong, self.ended = text[1:], True
        elif text.startswith("C"):
            self.scan_at = len(self.points)
        elif text.startswith("P"):
            self._point(text)

    def _point(self, text: str) -> None:
        try:
            axis, value, *again = package(text)
        except (ProtocolError, ValueError):
            return  # it shows as a gap when the next one is there
        if [axis.said, value.said] != [one.said for one in again] or axis.kind != self.technique.axis:
            return
        if axis.number is None or value.number is None:
            return
        before = self.points[-1].at if self.points else axis.number
        gap = abs(axis.number - before) / self.technique.step
        if gap > GAP_STEPS + 0.5:
            return
        self.lost += max(0, round(gap) - 1)
        self.points.append(Point(axis.number, value.number, bool(value.status & OVERLOAD)))

    def progress(self) -> Progress:
        """What it came to. Raises InstrumentFault when too much was lost, or nothing is left but bounds."""
        behind = max(0, self.technique.points - len(self.points) - self.lost - self.technique.scans)
        if self.unheard and behind:
            raise InstrumentFault(
                f"the last {behind} of {self.technique.points} points did not come, nor did its end: it was switched "
                "off or aborted, or they were lost on the line",
                kind="line",
            )
        missing = self.lost + behind
        if missing > LOST_SHARE * self.technique.points:
            raise InstrumentFault(f"{missing} of {self.technique.points} points were lost on the line", kind="line")
        sure = [point for point in self.points if not point.bound]
        if len(sure) < 2:
            raise InstrumentFault(f"all of {len(self.points)} points are in overload", kind="overload")
        if lost := self._end_lost(behind):
            raise InstrumentFault(f"{lost} of {self.technique.points} points was lost on the line", kind="line")
        whole = bounded(self.points)
        if self.technique.axis == "da":
            last = self.points[self.scan_at :]
            arrays = {"voltammogram": array_of(sure), "last_scan": array_of([one for one in last if not one.bound])}
            readings = {"voltammogram": whole, "last_scan": bounded(last)}
        elif self.technique.unit == "A":
            arrays = {"trace": array_of(sure)}
            readings = {"trace": whole, "charge": bounded(self.points, integral(sure), "A*s")}
        else:
            late = sure[len(sure) // 2 :]
            mean = sum(point.value for point in late) / len(late)
            return Progress(done=True, readings={"potential": Reading(value=mean, unit="V")})
        if bounds := [point for point in self.points if point.bound]:
            arrays["bounds"], readings["bounds"] = array_of(bounds), Reading(unit="A")
        return Progress(
            done=True,
            achieved={"points": Amount(float(len(self.points)), "count")},
            readings=readings,
            arrays=arrays,
        )

    def _end_lost(self, behind: int) -> str:
        """The end of a curve that did not come, in words ("": it is whole). A gap has points on both sides of it.

        ``behind``: how many are missing at its ends. What flows first is most of a charge, and nothing tells it.
        """
        if self.technique.axis == "da":
            return "an end" if behind > GAP_STEPS else ""
        if self.technique.unit != "A":
            return ""
        # One that began slowly comes as much later to its end; one that lost its beginning is shorter.
        first_s, last_s = self.points[0].at, self.points[-1].at
        short = round((last_s - first_s) / self.technique.step) + 1 < self.technique.points
        if short and first_s > 1.9 * self.technique.step:
            return "the beginning"
        return "the end" if behind else ""


def bounded(points: Sequence[Point], value: float | None = None, unit: str = "A") -> Reading:
    """What is made of a curve without its points in overload: more flowed there, less where the current is negative."""
    sides = {"above" if point.value > 0.0 else "below" for point in points if point.bound}
    if len(sides) > 1:
        return Reading(value=value, unit=unit, flag="in overload both above and below; take a larger current_range")
    return Reading(value=value, unit=unit, censored=sides.pop() if sides else "")


def array_of(points: Sequence[Point]) -> bytes:
    """n places on the axis, then n values: float64, little-endian."""
    numbers = [point.at for point in points] + [point.value for point in points]
    return pack(f"<{len(numbers)}d", *numbers)


def integral(points: Sequence[Point]) -> float:
    """By trapezia, over what was measured."""
    return sum(0.5 * (one.value + other.value) * (other.at - one.at) for one, other in pairwise(points))
