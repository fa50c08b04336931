"""Named analyses: from saved readings to the value of an outcome.

An array reading is float64, little-endian, ``2 x n`` flattened: n points of the axis (nm for a spectrum), then the n
values there. In what unit its axis is, its driver declares. A plain reading is one number with its unit and, where
known, its standard deviation.

distance_to_target: the total-variation distance of two spectra. Both are interpolated on the target's wavelengths,
negative values are set to 0, each is scaled to sum 1, and the answer is 0.5 * sum |a - b|: 0 (same shape) to 1.
"""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from .errors import SpecError
from .events import Reading, Value
from .flags import array_flag
from .tables import read_table
from .units import Quantity, convert, quote

UNEVEN: Final = 10.0  # of a parabola's two sides one may be this often the other
NEAR: Final = 1.5  # a point that was left out, no more steps off than that, was measured between the others
NM: Final = "nm"  # of a target's axis, and of a curve whose driver does not say


@dataclass(frozen=True, slots=True)
class SavedReading:
    """What a step saved: a value with its unit, or an array as bytes (``unit`` is then that of its values).

    ``censored``, ``axis`` and ``flag`` as in a Reading. ``bounds``: of a curve the points that are only bounds and were
    left out, as another array.
    """

    value: Value | None = None
    unit: str = ""
    sd: float | None = None
    array: bytes | None = None
    censored: str = ""
    flag: str = ""
    axis: str = ""
    bounds: bytes | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """An array reading, parted into its axis and its values. ``left_out``: places of points that are only bounds."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    unit: str = ""
    axis: str = ""
    left_out: tuple[float, ...] = ()


class Window(NamedTuple):
    """A part of an axis; without a unit, in that of the axis. An infinite bound is no end."""

    low: float
    high: float
    unit: str = ""

    def on(self, axis: str) -> "Window":
        """The same in the unit of an axis ("": not known, then as it is written). Raises UnitError."""
        if not axis or not self.unit:
            return self
        return Window(convert(self.low, self.unit, axis), convert(self.high, self.unit, axis), axis)

    def holds(self, x: float) -> bool:
        """Whether a place lies in it."""
        return self.low <= x <= self.high


EVERYWHERE: Final = Window(-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an analysis may need beside the readings: a target curve, a window of the axis."""

    target: Curve | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """A named analysis. ``readings``: how many it takes (None: one or more); ``curve``: it reads arrays only.

    ``rises``: with larger readings its answer is never smaller, so that of a reading that is only bounded (a saturated
    detector) the answer is bounded as well; the others say nothing of such a reading. ``looks``: at the ``highest`` or
    the ``lowest`` alone, so that what lies beyond the other end leaves its answer as it is.
    """

    work: Callable[[Sequence[SavedReading], Wanted], Reading]
    readings: int | None = 1
    curve: bool = False
    needs_target: bool = False
    rises: bool = False
    looks: str = ""
    doc: str = ""


def bounded(readings: Sequence[SavedReading], analysis: Analysis | None, wanted: Wanted) -> str:
    """Where the answer of an analysis (None: an expression) to ``readings`` lies: ``above``, ``below`` or "" (there).

    Raises SpecError when one is flagged, or bounded where that says nothing.
    """
    flagged = next((reading.flag for reading in readings if reading.flag), "")
    if flagged:
        raise SpecError(f"the reading is not to be believed: {flagged}")
    sides = {reading.censored for reading in readings if _inside(reading, wanted.window)} - {""}
    if analysis is not None and analysis.looks and sides:
        sides -= _beyond_the_other_end(readings, analysis.looks, wanted)
    if sides and (analysis is None or not analysis.rises or len(sides) > 1):
        where = " and ".join(sorted(sides))
        raise SpecError(f"the reading lies {where} what the detector can see, and so says nothing")
    return sides.pop() if sides else ""


def _inside(reading: SavedReading, window: Window | None) -> bool:
    """Whether what is only a bound counts: of a curve that says where that is, within the window alone."""
    if not reading.censored or window is None or reading.bounds is None:
        return True
    curve = curve_of(reading)
    return any(map(window.on(curve.axis).holds, curve.left_out))


def _beyond_the_other_end(readings: Sequence[SavedReading], looks: str, wanted: Wanted) -> set[str]:
    """The side on which what is only bounded leaves the highest (or lowest) as it is: where another one is that."""
    side, sign = ("below", 1.0) if looks == "highest" else ("above", -1.0)
    if len(readings) == 1 and readings[0].array is not None:
        # Points beyond the end were left out, or stand at it: then they are all the same, and the least.
        values = [sign * y for y in _windowed(readings[0], wanted.window).y]
        return {side} if max(values) > min(values) else set()
    unit = readings[0].unit
    found = [(sign * number_of(one).to(unit).value, one.censored) for one in readings]
    sure = max((value for value, censored in found if censored != side), default=-math.inf)
    return {side} if all(value <= sure for value, censored in found if censored == side) else set()


def curve_of(reading: SavedReading) -> Curve:
    """Part an array into axis and values. Raises SpecError when it is none, has an odd length or is not finite."""
    if reading.array is None:
        raise SpecError("the reading is a single value, and this analysis needs a curve")
    x, y = _parted(reading.array)
    if not all(math.isfinite(number) for number in y):
        raise SpecError("the array holds values that are not finite")
    left_out = () if reading.bounds is None else _parted(reading.bounds)[0]
    return Curve(x, y, reading.unit, reading.axis, left_out)


def _parted(array: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """An array's axis and its values. Raises SpecError when its length is odd, or a place on the axis is not finite."""
    if len(array) % 16 or not array:
        raise SpecError(f"the array has {len(array)} bytes, which is no axis and values of float64")
    numbers = struct.unpack(f"<{len(array) // 8}d", array)
    half = len(numbers) // 2
    if not all(math.isfinite(number) for number in numbers[:half]):
        raise SpecError("the array holds values that are not finite")
    return numbers[:half], numbers[half:]


def read_target(path: Path) -> Curve:
    """Read a target spectrum: CSV with the columns ``wavelength_nm`` and ``absorbance``. Raises SpecError."""
    rows = read_table(path)
    points: list[tuple[float, float]] = []
    for line, row in enumerate(rows, start=2):
        pair = row.get("wavelength_nm"), row.get("absorbance")
        if any(isinstance(number, (str, bool)) or number is None for number in pair):
            what = "needs the columns wavelength_nm and absorbance" if None in pair else "holds words, not numbers"
            raise SpecError(f"{path}:{line}: the target {what}. Export it as such a CSV file")
        if wrong := array_flag(struct.pack("<2d", *pair)):
            raise SpecError(f"{path}:{line}: the target has no value there: {wrong}. Take the row out")
        points.append((float(pair[0] or 0.0), float(pair[1] or 0.0)))
    points.sort()
    x, y = zip(*points, strict=True)
    if len(points) < 2 or len(set(x)) < len(x):
        raise SpecError(f"{path}: the target needs two or more points, each wavelength once")
    if not sum(max(value, 0.0) for value in y) > 0:
        raise SpecError(f"{path}: the target is zero everywhere. Give it absorbance")
    return Curve(tuple(x), tuple(y))


def interpolate(curve: Curve, at: Sequence[float]) -> list[float]:
    """Read a curve off at other points of the axis, straight between its own. Raises SpecError outside of it."""
    points = sorted(zip(curve.x, curve.y, strict=True))
    slack = 1e-9 * max(abs(points[0][0]), abs(points[-1][0]), 1.0)
    if at and (min(at) < points[0][0] - slack or max(at) > points[-1][0] + slack):
        raise SpecError(
            f"the curve runs from {points[0][0]:g} to {points[-1][0]:g}, and the target from {min(at):g} to {max(at):g}"
        )
    found, place = [], 0
    order = sorted(range(len(at)), key=lambda index: at[index])
    values = [0.0] * len(at)
    for index in order:
        x = at[index]
        while place < len(points) - 2 and points[place + 1][0] < x:
            place += 1
        (x0, y0), (x1, y1) = points[place], points[min(place + 1, len(points) - 1)]
        values[index] = y0 if x1 == x0 else y0 + (y1 - y0) * min(max((x - x0) / (x1 - x0), 0.0), 1.0)
    found.extend(values)
    return found


def total_variation(one: Sequence[float], other: Sequence[float]) -> float:
    """Compare the shapes of two curves on one axis: 0 (same) to 1 (no overlap). Raises SpecError for a zero curve."""
    left, right = [max(value, 0.0) for value in one], [max(value, 0.0) for value in other]
    if not math.fsum(left) > 0 or not math.fsum(right) > 0:
        raise SpecError("a spectrum is zero everywhere, so it has no shape")
    scale, other_scale = math.fsum(left), math.fsum(right)
    return 0.5 * math.fsum(abs(a / scale - b / other_scale) for a, b in zip(left, right, strict=True))


def _distance_to_target(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    if wanted.target is None:
        raise SpecError("distance_to_target needs a target")
    curve, target = curve_of(readings[0]), wanted.target
    if wanted.window is not None:
        target = _part(target, wanted.window.on(NM))
    if curve.axis not in ("", NM):
        curve = Curve(tuple(convert(x, curve.axis, NM) for x in curve.x), curve.y, curve.unit, NM)
    return Reading(value=total_variation(interpolate(curve, target.x), target.y))


def _windowed(reading: SavedReading, window: Window | None) -> Curve:
    """The part of a curve that is looked at. Raises SpecError when the curve ends before its window does.

    A step more or less is no matter: a window ends where its person says, and a curve at its last point.
    """
    curve = curve_of(reading)
    if window is None:
        return curve
    window = window.on(curve.axis)
    places = sorted({*curve.x, *curve.left_out})
    step = max((b - a for a, b in pairwise(places)), default=0.0)
    for end, short in ((window.low, places[0] - window.low), (window.high, window.high - places[-1])):
        if step < short and math.isfinite(end):
            raise SpecError(
                f"the curve runs from {places[0]:g} to {places[-1]:g} {curve.axis}".rstrip()
                + f", and its window to {end:g}. Write a smaller window, or -.inf or .inf where it has no end"
            )
    return _part(curve, window)


def _part(curve: Curve, window: Window) -> Curve:
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if window.holds(x)]
    if not kept:
        raise SpecError(f"no point of the curve lies between {window.low:g} and {window.high:g}")
    return Curve(tuple(x for x, _ in kept), tuple(y for _, y in kept), curve.unit, curve.axis)


def _peak(readings: Sequence[SavedReading], wanted: Wanted) -> tuple[float, float, Curve]:
    """The highest point, refined by a parabola through its neighbours, and the curve that it is on.

    Neighbours are those before and after it as it was measured: of a voltammogram there and back, the point next to it
    on the axis is on the other way. Where one of them lies on the same side, far off, or outside of the window, or was
    left out, no parabola is laid.
    """
    _windowed(readings[0], wanted.window)  # refused where it ends before its window does
    curve = curve_of(readings[0])
    window = (wanted.window or EVERYWHERE).on(curve.axis)
    points = list(zip(curve.x, curve.y, strict=True))
    inside = [index for index, (place, _) in enumerate(points) if window.holds(place)]
    at = max(inside, key=lambda index: (points[index][1], -points[index][0]))
    (x, y) = points[at]
    if 0 < at < len(points) - 1:
        (x0, y0), (x1, y1) = sorted((points[at - 1], points[at + 1]))
        left, right = x - x0, x1 - x
        near = NEAR * max(left, right)
        if (
            min(left, right) <= 0.0
            or min(left, right) * UNEVEN < max(left, right)
            or not (window.holds(x0) and window.holds(x1))
            or any(abs(place - x) <= near for place in curve.left_out)
        ):
            return x, y, curve
        bend = ((y1 - y) / right - (y - y0) / left) / (left + right)
        if bend < 0:
            slope = (y - y0) / left + bend * left
            shift = min(max(-slope / (2 * bend), -left), right)
            x, y = x + shift, y + slope * shift + bend * shift * shift
    return x, y, curve


def _peak_position(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    place, _, curve = _peak(readings, wanted)
    return Reading(value=place, unit=curve.axis or NM)


def _peak_height(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    _, height, curve = _peak(readings, wanted)
    return Reading(value=height, unit=curve.unit)


def _area(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    curve = _windowed(readings[0], wanted.window)
    points = sorted(zip(curve.x, curve.y, strict=True))
    strips = ((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    return Reading(value=math.fsum(strips), unit=area_unit(curve.unit, curve.axis))


def area_unit(unit: str, axis: str) -> str:
    """The unit of the area under a curve, where that of its axis is known."""
    if not unit or not axis:
        return axis
    return f"{unit}/{axis[2:]}" if axis.startswith("1/") else f"{unit}*{axis}"


def number_of(reading: SavedReading) -> Quantity:
    """A plain reading as a quantity. Raises SpecError for an array, a word, and what is not finite."""
    if reading.array is not None:
        raise SpecError("the reading is a curve. Name an analysis for it, like peak_height")
    if isinstance(reading.value, (str, bool)) or reading.value is None:
        raise SpecError(f"the reading is {quote(reading.value)}, not a number")
    if not math.isfinite(reading.value):
        raise SpecError(f"the reading is {reading.value}, not a finite number")
    return Quantity(float(reading.value), reading.unit)


def _value(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    quantity = number_of(readings[0])
    return Reading(value=quantity.value, unit=quantity.unit, sd=readings[0].sd)


def _over_values(work: Callable[[Sequence[float]], float]) -> Callable[[Sequence[SavedReading], Wanted], Reading]:
    """An analysis over the values of one curve, or over several plain readings in the unit of the first."""

    def analyse(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
        if len(readings) == 1 and readings[0].array is not None:
            curve = _windowed(readings[0], wanted.window)
            return Reading(value=work(curve.y), unit=curve.unit)
        quantities = [number_of(reading) for reading in readings]
        unit = quantities[0].unit
        return Reading(value=work([convert(one.value, one.unit, unit) for one in quantities]), unit=unit)

    return analyse


def _mean(readings: Sequence[SavedReading], wanted: Wanted) -> Reading:
    """The mean; of several plain readings with the standard deviation of that mean."""
    found = _over_values(lambda values: math.fsum(values) / len(values))(readings, wanted)
    if len(readings) < 2 or not isinstance(found.value, float):
        return found
    values = [convert(one.value, one.unit, found.unit) for one in (number_of(reading) for reading in readings)]
    variance = math.fsum((value - found.value) ** 2 for value in values) / (len(values) - 1)
    return Reading(value=found.value, unit=found.unit, sd=math.sqrt(variance / len(values)) or None)


ANALYSES: Final[Mapping[str, Analysis]] = {
    "value": Analysis(_value, rises=True, doc="the reading itself"),
    "mean": Analysis(_mean, None, rises=True, doc="the mean of a curve's values or of several readings"),
    "max": Analysis(_over_values(max), None, rises=True, looks="highest", doc="the largest value"),
    "min": Analysis(_over_values(min), None, rises=True, looks="lowest", doc="the smallest value"),
    "sum": Analysis(_over_values(math.fsum), None, rises=True, doc="the sum"),
    "area": Analysis(_area, curve=True, rises=True, doc="the area under a curve"),
    "peak_position": Analysis(_peak_position, curve=True, looks="highest", doc="where a curve is highest"),
    "peak_height": Analysis(_peak_height, curve=True, rises=True, looks="highest", doc="how high a curve is there"),
    "distance_to_target": Analysis(
        _distance_to_target, curve=True, needs_target=True, doc="how far a spectrum's shape is from the target's"
    ),
}
