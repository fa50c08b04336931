"""A figure over two parameters as lines of characters: colours by lightness, or shades where there is no colour."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text

from labloop.campaign import text
from labloop.campaign.state import MEASURED as IS_MEASURED
from labloop.planner.figure import Axis, Figure, Map

from .canvas import Scale, below
from .slices import MEASURED, Styles, axis_scale

# From dark to light, so that it is read without seeing hues as well: anchors of viridis (CC0, matplotlib).
COLOURS: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
SHADES: Final = "·░▒▓█"
OUTSIDE: Final = " "
DONE, OPEN, MANY = "●", "○", "•"
MANY_TRIALS: Final = 60  # more than these are drawn small
CELLS_A_TRIAL: Final = 12  # of more trials than have so much room each the last are drawn: else they hide the map
GUTTER: Final = 9
# Of an expected gain a thousandth of the best one is as good as none: below it all is one shade.
LEAST_GAIN: Final = math.log(1000.0)

Colour = tuple[int, int, int]


def draw_map(
    figure: Figure, body: Map, name: str, sd: bool, width: int, height: int, styles: Styles, colour: bool
) -> list[Text]:
    """The map, its edges, what the shades mean. sd: how little is known instead of what is expected."""
    curve = body.curves[name]
    values: list[float | None] = list(curve.sd) if sd and curve.sd else curve.mean
    known = [value for value, inside in zip(values, body.inside, strict=True) if value is not None and inside]
    if not known:
        return [Text(), Text(" No point of this plane lies in the space.", "bold")]
    low, high = min(known), max(known)
    if not curve.sd:
        low = max(low, high - LEAST_GAIN)
    gutter = min(max(GUTTER, _names(body.up) + 1), width // 3)
    columns, rows = max(width - gutter - 1, 4), max(height - 3, 3)
    places = _Places(body.across, columns), _Places(body.up, rows * 2 if colour else rows)
    share = _shares(values, body, places, Scale(low, high))
    cells = _coloured(share, columns, rows) if colour else _shaded(share, columns, rows)
    most = max(columns * rows // CELLS_A_TRIAL, MANY_TRIALS)
    _trials(cells, figure, body, most, (places[0], _Places(body.up, rows)), colour)
    labels = _edge_labels(body.up, rows)
    lines = []
    for row in range(rows):
        words = labels.get(row, "")
        words = words if len(words) < gutter else words[: gutter - 2] + "…"
        line = Text(f"{words:>{gutter - 1}}{'┤' if words else '│'}", styles.get("edge", ""))
        for character, style in cells[row]:
            line.append(character, style)
        lines.append(line)
    foot = Text(" " * (gutter - 1) + "└", styles.get("edge", ""))
    foot.append(below(columns, _under(body.across, columns)), styles.get("edge", ""))
    title = _title(body.up)
    title.append("   ")
    title.append_text(_legend(sd, low, high, bool(curve.sd), colour))
    last = f"the last {most} " if len(body.tried) > most else ""
    done = MANY if min(len(body.tried), most) > MANY_TRIALS else DONE
    marks = f"{MEASURED} trial {figure.through}  {done} {last}measured  {OPEN} open"
    across = _title(body.across)
    below_it = Text(" " * gutter)
    below_it.append(f"{marks:<{max(columns - across.cell_len, 0)}.{max(columns - across.cell_len, 0)}}", "dim")
    below_it.append_text(across)
    return [title, *lines, foot, below_it]


class _Places:
    """Where the values of an axis lie on ``count`` cells, and which two of them each cell lies between."""

    def __init__(self, axis: Axis, count: int) -> None:
        self.axis, self.count = axis, count
        self._scale = None if axis.choices else axis_scale(axis)
        self.spots = [self._spot((index + 0.5) / count) for index in range(count)]

    def _spot(self, place: float) -> tuple[int, int, float]:
        """Indices into ``axis.at``, and how far it is from the first to the second."""
        at = self.axis.at
        if self._scale is None or len(at) == 1:
            index = min(int(place * len(at)), len(at) - 1)
            return index, index, 0.0
        places = [self._scale(value) for value in at]
        for index in range(1, len(places)):
            if place <= places[index]:
                span = places[index] - places[index - 1]
                return index - 1, index, (place - places[index - 1]) / span if span > 0 else 0.0
        return len(at) - 1, len(at) - 1, 0.0

    def cell(self, value: float) -> int | None:
        """The cell of a value of the axis; None: it is not on it."""
        if self._scale is None:
            if value not in self.axis.at:
                return None
            return int((self.axis.at.index(value) + 0.5) / len(self.axis.at) * self.count)
        share = self._scale(value)
        return min(int(share * self.count), self.count - 1) if -1e-9 <= share <= 1.0 + 1e-9 else None


def _shares(
    values: Sequence[float | None], body: Map, places: tuple[_Places, _Places], scale: Scale
) -> Callable[[int, int], float | None]:
    """Each cell's value between 0 and 1, straight between the four around it; None outside the space."""
    wide = len(body.across.at)
    shares = [
        min(max(scale(value), 0.0), 1.0) if value is not None and inside else (0.0 if inside else None)
        for value, inside in zip(values, body.inside, strict=True)
    ]

    def of(column: int, row: int) -> float | None:
        left, right, over = places[0].spots[column]
        lower, upper, up = places[1].spots[row]
        corners = [shares[j * wide + i] for j in (lower, upper) for i in (left, right)]
        nearest = corners[(up >= 0.5) * 2 + (over >= 0.5)]
        a, b, c, d = corners
        if a is None or b is None or c is None or d is None:
            return nearest
        return (a * (1 - over) + b * over) * (1 - up) + (c * (1 - over) + d * over) * up

    return of


Cell = tuple[str, str]


def _coloured(share: Callable[[int, int], float | None], columns: int, rows: int) -> list[list[Cell]]:
    """Two colours a cell, one above the other."""
    cells = []
    for row in range(rows):
        high, low = 2 * (rows - 1 - row) + 1, 2 * (rows - 1 - row)
        line: list[Cell] = []
        for column in range(columns):
            above, beneath = share(column, high), share(column, low)
            if above is None and beneath is None:
                line.append((OUTSIDE, ""))
            elif above is None or beneath is None:
                line.append(("▄" if above is None else "▀", _hex(above if above is not None else beneath)))
            else:
                line.append(("▀", f"{_hex(above)} on {_hex(beneath)}"))
        cells.append(line)
    return cells


def _shaded(share: Callable[[int, int], float | None], columns: int, rows: int) -> list[list[Cell]]:
    cells = []
    for row in range(rows):
        found = [share(column, rows - 1 - row) for column in range(columns)]
        cells.append([(OUTSIDE if one is None else _shade(one), "") for one in found])
    return cells


def _shade(share: float) -> str:
    return SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]


def _colour(share: float) -> Colour:
    at = share * (len(COLOURS) - 1)
    index = min(int(at), len(COLOURS) - 2)
    first, second, part = COLOURS[index], COLOURS[index + 1], at - index
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _hex(share: float | None) -> str:
    return "#{:02x}{:02x}{:02x}".format(*_colour(share or 0.0))


def _trials(
    cells: list[list[Cell]], figure: Figure, body: Map, most: int, places: tuple[_Places, _Places], colour: bool
) -> None:
    """The trials, wherever they lie in the other parameters; the one that the plane goes through last."""
    shown = body.tried[-most:]
    small = len(shown) > MANY_TRIALS
    own = [one for one in body.tried if one[0] == figure.through]
    for number, x, y, state in [*shown, *own]:
        column, row = places[0].cell(x), places[1].cell(y)
        if column is None or row is None:
            continue
        mark = MEASURED if number == figure.through else OPEN if state != IS_MEASURED else MANY if small else DONE
        line = cells[len(cells) - 1 - row]
        line[column] = (mark, _ink(line[column], colour))


def _ink(cell: Cell, colour: bool) -> str:
    """Black on light, white on dark."""
    if not colour or "#" not in cell[1]:
        return "bold"
    written = cell[1].split()
    paper = written[-1] if written[0] == "bold" else written[0]  # two trials may lie in one cell
    red, green, blue = (int(paper[at : at + 2], 16) for at in (1, 3, 5))
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "white"
    return f"bold {ink} on {paper}"


def _names(axis: Axis) -> int:
    return max((len(axis.choices[int(at)]) for at in axis.at), default=0) if axis.choices else 0


def _title(axis: Axis) -> Text:
    return Text(f" {axis.name}{f' [{axis.unit}]' if axis.unit else ''}", "bold")


def _edge_labels(axis: Axis, rows: int) -> dict[int, str]:
    """Beside the rows: the ends and the trial's own value, or every choice."""
    places = _Places(axis, rows)
    if axis.choices:
        every = [(at, text.plain(axis.choices[int(at)])) for at in axis.at]
        if len(every) > rows:
            every = [one for one in every if one[0] == axis.here] or every[:1]
    else:
        every = [(value, text.number(value)) for value in (axis.at[0], axis.at[-1])]
        every += [] if axis.here is None else [(axis.here, text.number(axis.here))]
    found: dict[int, str] = {}
    for value, words in every:
        cell = places.cell(value)
        if cell is not None:
            found.setdefault(rows - 1 - cell, words)
    return found


def _under(axis: Axis, columns: int) -> list[tuple[int, str]]:
    """Below the columns likewise."""
    places = _Places(axis, columns)
    if axis.choices:
        every = sorted(axis.at, key=lambda at: at != axis.here)
        return [(cell, text.plain(axis.choices[int(at)])) for at in every if (cell := places.cell(at)) is not None]
    values = [value for value in (axis.here, axis.at[0], axis.at[-1]) if value is not None]
    return [(cell, text.number(value)) for value in values if (cell := places.cell(value)) is not None]


def _legend(sd: bool, low: float, high: float, is_outcome: bool, colour: bool) -> Text:
    steps = 10 if colour else len(SHADES)
    line = Text()
    if is_outcome:
        line.append(f"{'sd ' if sd else ''}{text.number(low, 3)} ")
    else:
        line.append(f"1/{math.exp(high - low):.0f} ")
    for index in range(steps):
        share = (index + 0.5) / steps
        line.append("█" if colour else _shade(share), _hex(share) if colour else "")
    line.append(f" {text.number(high, 3)}" if is_outcome else " of the best on this map")
    return line
