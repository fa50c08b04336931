"""A plot made of characters: points, curves in braille, bands, and the numbers beside its edges.

plotext draws one plot a widget; a grid of small ones that share their scale, with bands and places that no trial may
have, is drawn here. Shapes before colours: every kind of thing has a character of its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from labloop.campaign import text

from .plot import nice_ticks

GUTTER: Final = 8  # for the numbers beside a plot
Cell = tuple[str, str]  # a character and how it is meant
_BLANK: Final[Cell] = (" ", "")
# Braille dots by (column, row) within a cell: Unicode block U+2800.
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to its place, 0 at the low end and 1 at the high one."""

    low: float
    high: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of ``value``; outside 0 to 1 where it lies outside."""
        if self.log and value <= 0.0:
            return -math.inf
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        if high <= low:
            return 0.5
        return ((math.log(value) if self.log else value) - low) / (high - low)


def scale_of(values: Iterable[float], margin: float = 0.04) -> Scale:
    """The scale that holds them all, with a little room."""
    found = list(values)
    low, high = min(found), max(found)
    room = (high - low) * margin or abs(high) * 0.05 or 1.0
    return Scale(low - room, high + room)


class Canvas:
    """``width`` by ``height`` characters; the first row is the highest."""

    def __init__(self, width: int, height: int, x: Scale, y: Scale) -> None:
        self.width, self.height, self.x, self.y = max(width, 1), max(height, 1), x, y
        self.cells: list[list[Cell]] = [[_BLANK] * self.width for _ in range(self.height)]

    def column(self, x: float) -> int:
        """Where a value lies; outside the canvas where it lies outside."""
        return _place(self.x(x), self.width)

    def row(self, y: float) -> int:
        """Where a value lies; outside the canvas where it lies outside."""
        return self.height - 1 - _place(self.y(y), self.height)

    def put(self, column: int, row: int, character: str, tone: str = "") -> None:
        """One character, where it is on the canvas."""
        if 0 <= column < self.width and 0 <= row < self.height:
            self.cells[row][column] = (character, tone)

    def mark(self, x: float, y: float, character: str, tone: str = "") -> None:
        """One point."""
        self.put(self.column(x), self.row(y), character, tone)

    def upright(self, column: int, low: float, high: float, character: str, tone: str = "") -> None:
        """A column of characters from one value of y to another."""
        top, bottom = self.row(high), self.row(low)
        for row in range(max(top, 0), min(bottom, self.height - 1) + 1):
            self.put(column, row, character, tone)

    def curve(self, height_at: Callable[[float], float | None], tone: str, dotted: Sequence[bool] = ()) -> None:
        """A curve of places (0 to 1) by places, two dots a character across and four up. ``dotted``: by column."""
        bits: dict[tuple[int, int], int] = {}
        before: int | None = None
        for at in range(2 * self.width):
            place = height_at((at + 0.5) / (2 * self.width))
            if place is None or not math.isfinite(place):
                before = None
                continue
            level = min(max(math.floor(place * 4 * self.height), -1), 4 * self.height)
            column = at // 2
            if dotted and dotted[column]:
                levels = range(level, level + 1) if at % 4 == 0 else range(0)
                before = None
            elif before is None:
                levels = range(level, level + 1)
                before = level
            else:  # steep parts are filled in, half of them each
                levels = range(min(before, level) + (before < level), max(before, level) + (before <= level))
                before = level
            for each in levels:
                if 0 <= each < 4 * self.height:
                    row, dot = divmod(4 * self.height - 1 - each, 4)
                    bits[column, row] = bits.get((column, row), 0) | _DOTS[at % 2][dot]
        for (column, row), dots in bits.items():
            self.put(column, row, chr(0x2800 + dots), tone)

    def lines(self, styles: Mapping[str, str], labels: Mapping[int, str], gutter: int = GUTTER) -> list[Text]:
        """The rows with an edge at the left and ``labels`` beside it, by row."""
        found = []
        for number, row in enumerate(self.cells):
            words = labels.get(number, "")
            line = Text(f"{words:>{gutter - 1}.{gutter - 1}}{'┤' if words else '│'}", styles.get("edge", ""))
            _append(line, row, styles)
            found.append(line)
        return found

    def heights(self) -> dict[int, str]:
        """Numbers for ``lines``: round ones, as many as there is room for."""
        found: dict[int, str] = {}
        for tick in nice_ticks(self.y.low, self.y.high, max(self.height // 2, 3)):
            found.setdefault(self.row(tick), text.number(tick))
        return found


def _append(line: Text, row: Sequence[Cell], styles: Mapping[str, str]) -> None:
    """Runs of one tone are one span."""
    run, tone = "", ""
    for character, meant in row:
        if meant != tone:
            line.append(run, styles.get(tone, tone))
            run, tone = "", meant
        run += character
    line.append(run, styles.get(tone, tone))


def _place(share: float, count: int) -> int:
    """The cell of a place; both ends of the scale are on the canvas."""
    if share == 1.0:
        return count - 1
    return math.floor(share * count) if math.isfinite(share) else -1


def below(width: int, labels: Sequence[tuple[int, str]], edge: str = "─") -> str:
    """A line of ``edge`` with words centred at columns, the first ones first; what would overlap is left out."""
    line = [edge] * width
    taken = [False] * width
    for at, words in labels:
        start = min(max(at - len(words) // 2, 0), width - len(words))
        near = taken[max(start - 1, 0) : start + len(words) + 1]
        if start >= 0 and not any(near):
            line[start : start + len(words)] = words
            taken[start : start + len(words)] = [True] * len(words)
    return "".join(line)


def between(at: Sequence[float], values: Sequence[float | None], scale: Scale) -> Callable[[float], float | None]:
    """The values as a function of the place on an axis, straight between those that are known."""
    places = [scale(value) for value in at]

    def value(place: float) -> float | None:
        if place <= places[0]:
            return values[0]
        for index in range(1, len(places)):
            if place <= places[index]:
                left, right = values[index - 1], values[index]
                span = places[index] - places[index - 1]
                if left is None or right is None or span <= 0:
                    return left if right is None else right
                share = (place - places[index - 1]) / span
                return left + share * (right - left)
        return values[-1]

    return value
