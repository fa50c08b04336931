"""Slices and importance as lines of characters. Nothing here knows a widget: numbers in, lines out."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from labloop.campaign import text
from labloop.planner.figure import Axis, Curve, Figure, Importance, Slice, Slices

from .canvas import GUTTER, Canvas, Scale, below, between
from .curve import WIDTH_SD

BAND, HERE, MEASURED, MEAN = "░", "┊", "◆", "●"
PANEL_WIDTH: Final = 38  # two beside each other at 80 columns, four at 160
PANEL_HEIGHT: Final = 8  # title, axis and six rows, so that four panels have room at 80x24
MOST_HEIGHT: Final = 22
NAME_WIDTH: Final = 14
BAND_ROOM: Final = 0.6  # of the means' range is left above and below it for bands
LEGEND: Final = f"⣀⠤⠒ expected  {BAND} ± 2 sd  {MEASURED} measured  {HERE} the trial  ⠁⠁ no trial may be there"

Styles = Mapping[str, str]
Worth = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Room:
    """How many panels of what size."""

    across: int
    width: int
    height: int


def room_for(count: int, width: int, height: int) -> Room:
    """Panels as large as all of them can be; where they do not fit, the rest is scrolled to."""
    across = max(min(width // PANEL_WIDTH, count), 1)
    while across > 1 and math.ceil(count / (across - 1)) == math.ceil(count / across):
        across -= 1  # the same rows with wider panels
    rows = math.ceil(count / across)
    return Room(across, width // across, min(max(height // max(rows, 1), PANEL_HEIGHT), MOST_HEIGHT))


def draw_slices(
    figure: Figure, body: Slices, name: str, worth: Worth, width: int, height: int, styles: Styles
) -> list[Text]:
    """All panels of one outcome (or of the acquisition), what matters most first, under one scale.

    worth: how good a value is, where not all choices have room.
    """
    shares = body.shares.get(name, {})
    slices = sorted(body.slices, key=lambda one: -shares.get(one.axis.name, 0.0))
    room = room_for(len(slices), width, height)
    scale = _scale(slices, name, figure.measured.get(name))
    panels = [
        _panel(one, name, figure.measured.get(name), shares.get(one.axis.name), worth, scale, room, styles)
        for one in slices
    ]
    lines = []
    for first in range(0, len(panels), room.across):
        for parts in zip(*panels[first : first + room.across], strict=True):
            line = Text()
            for part in parts:
                part.truncate(room.width, overflow="ellipsis", pad=True)
                line.append_text(part)
            lines.append(line)
    return lines


def _scale(slices: Iterable[Slice], name: str, measured: float | None) -> Scale:
    curves = [one.curves[name] for one in slices if name in one.curves]
    means = [value for one in curves for value in one.mean if value is not None]
    if measured is not None:
        means.append(measured)
    if not means:
        return Scale(0.0, 1.0)
    low, high = min(means), max(means)
    ends = [
        value + side * WIDTH_SD * sd
        for one in curves
        for value, sd in zip(one.mean, one.sd, strict=False)
        for side in (-1, 1)
        if value is not None
    ]
    room = BAND_ROOM * (high - low) or abs(high) * 0.1 or 1.0
    low, high = max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
    margin = 0.03 * (high - low)
    return Scale(low - margin, high + margin)


def _panel(
    one: Slice,
    name: str,
    measured: float | None,
    share: float | None,
    worth: Worth,
    scale: Scale,
    room: Room,
    styles: Styles,
) -> list[Text]:
    axis = one.axis
    unit = f" [{axis.unit}]" if axis.unit else ""
    title = Text(f" {axis.name}", "bold")
    title.append(unit, "dim")
    if share is not None:
        title.append(f"  moves {share:.0%}", "dim")
    if one.words:
        blank = [Text("") for _ in range(room.height - 2)]
        return [title, Text(f"   {one.words}", "dim"), *blank]
    curve = one.curves[name]
    width = room.width - GUTTER - 1
    if axis.choices:
        return [title, *_choices(one, curve, measured, worth, scale, room, styles)]
    canvas = Canvas(width, room.height - 2, axis_scale(axis), scale)
    _along(canvas, one, curve)
    here = None if axis.here is None else canvas.column(axis.here)
    if here is not None:
        for row in range(canvas.height):
            if canvas.cells[row][here][0] in (" ", BAND):
                canvas.put(here, row, HERE, "here")
        if measured is not None and axis.here is not None:
            canvas.mark(axis.here, measured, MEASURED, "measured")
    lines = canvas.lines(styles, canvas.heights())
    ends = [] if here is None else [(here, text.number(axis.here))]
    low, high = text.number(axis.at[0]), text.number(axis.at[-1])
    ends += [(0, low), (width, high)]
    foot = Text(" " * (GUTTER - 1) + "└", styles.get("edge", ""))
    foot.append(below(width, ends), styles.get("edge", ""))
    return [title, *lines, foot]


def axis_scale(axis: Axis) -> Scale:
    """The scale of a parameter that is a number."""
    return Scale(min(axis.at), max(axis.at), axis.log)


def _along(canvas: Canvas, one: Slice, curve: Curve) -> None:
    """Band and mean along a range."""
    axis = one.axis
    inside = between(axis.at, [float(value) for value in one.inside], canvas.x)
    mean = between(axis.at, curve.mean, canvas.x)
    dotted = []
    sd = between(axis.at, list(curve.sd), canvas.x) if curve.sd else None
    for column in range(canvas.width):
        place = (column + 0.5) / canvas.width
        may = (inside(place) or 0.0) >= 0.5
        dotted.append(not may)
        middle = mean(place)
        if may and sd is not None and middle is not None:
            reach = WIDTH_SD * (sd(place) or 0.0)
            canvas.upright(column, middle - reach, middle + reach, BAND, "band")

    def level(place: float) -> float | None:
        value = mean(place)
        return None if value is None else canvas.y(value)

    canvas.curve(level, "mean", dotted)


def _choices(
    one: Slice, curve: Curve, measured: float | None, worth: Worth, scale: Scale, room: Room, styles: Styles
) -> list[Text]:
    """A row for each choice, the value across: names can be read, and a hundred choices be cut down to the best."""
    axis, height = one.axis, room.height - 2
    names = {int(at): axis.choices[int(at)] for at in axis.at}
    here = None if axis.here is None else int(axis.here)
    order = list(range(len(axis.at)))
    left_out = 0
    if len(order) > height:
        left_out = len(order) - (height - 1)
        ranked = sorted(order, key=lambda index: -worth(curve.mean[index] or 0.0))
        kept = [index for index in order if int(axis.at[index]) == here]
        kept += [index for index in ranked if index not in kept]
        order = sorted(kept[: height - 1])
    others = f" {left_out} others" if left_out else ""
    longest = max(*(len(names[int(axis.at[index])]) for index in order), len(others) - 1)
    gutter = min(longest + 3, NAME_WIDTH + 3)
    width = max(room.width - gutter - 1, 4)
    canvas = Canvas(width, height, scale, Scale(0.0, 1.0))
    labels = {}
    apart = max(min(height // max(len(order), 1), 2), 1) if not left_out else 1
    for row, index in zip(range(0, height, apart), order, strict=False):
        place = int(axis.at[index])
        labels[row] = f"{'▸' if place == here else ' '}{text.plain(names[place])}"
        value = curve.mean[index]
        if value is None:
            continue
        if curve.sd:
            reach = WIDTH_SD * curve.sd[index]
            first, last = canvas.column(value - reach), canvas.column(value + reach)
            for column in range(max(first, 0), min(last, width - 1) + 1):
                canvas.put(column, row, BAND if one.inside[index] else "·", "band")
        canvas.put(canvas.column(value), row, MEAN if one.inside[index] else "○", "mean")
        if place == here and measured is not None:
            canvas.put(canvas.column(measured), row, MEASURED, "measured")
    lines = []
    for row, line in enumerate(canvas.lines(styles, {}, gutter)):
        words = labels.get(row, others if row == len(order) else "")
        shown = Text(words, styles.get("edge", ""))
        shown.truncate(gutter - 1, overflow="ellipsis", pad=True)
        shown.append_text(line[gutter - 1 :])
        lines.append(shown)
    foot = Text(" " * (gutter - 1) + "└", styles.get("edge", ""))
    ends = [(0, text.number(scale.low, 3)), (width, text.number(scale.high, 3))]
    foot.append(below(width, ends), styles.get("edge", ""))
    return [*lines, foot]


def draw_importance(body: Importance, width: int, styles: Styles) -> list[Text]:
    """Bars, for each outcome the largest first."""
    across = max(min(width // PANEL_WIDTH, len(body.shares)), 1)
    part = width // across
    blocks = [_bars(name, shares, part, styles) for name, shares in body.shares.items()]
    lines = []
    for first in range(0, len(blocks), across):
        some = blocks[first : first + across]
        for row in range(max(map(len, some))):
            line = Text()
            for block in some:
                piece = block[row].copy() if row < len(block) else Text()
                piece.truncate(part, overflow="ellipsis", pad=True)
                line.append_text(piece)
            lines.append(line)
        lines.append(Text())
    return lines


def _bars(name: str, shares: Mapping[str, float], width: int, styles: Styles) -> list[Text]:
    names = min(max(map(len, shares), default=0), max(width // 3, 8))
    room = max(width - names - 9, 5)
    lines = [Text(f" {name}", "bold")]
    most = max(shares.values(), default=0.0) or 1.0
    for parameter, share in shares.items():
        line = Text(" ")
        label = Text(parameter)
        label.truncate(names, overflow="ellipsis", pad=True)
        line.append_text(label)
        line.append(f" {share:4.0%} ")
        line.append(_bar(share / most * room), styles.get("mean", ""))
        lines.append(line)
    return lines


def _bar(length: float) -> str:
    """Eighths of a character."""
    whole, rest = divmod(round(length * 8), 8)
    return "█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]
