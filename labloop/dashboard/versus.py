"""What was foretold against what was measured, and two wishes against each other, as lines of characters."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from rich.text import Text

from labloop.campaign import text
from labloop.planner.figure import Foretold, Front, Parity

from .canvas import GUTTER, Canvas, Scale, below, scale_of
from .curve import WIDTH_SD
from .plot import nice_ticks
from .slices import Styles

HIT, MISSED, SPREAD = "●", "✗", "│"
BEATEN, BROKEN, FIRST = "●", "✗", "◆"
MOST_BARS: Final = 60  # more bars hide the points
PARITY_LEGEND: Final = f"{HIT} within ± 2 sd {SPREAD}  {MISSED} outside  ⡠⠊ as foretold"
FRONT_LEGEND: Final = f"{FIRST} front  {BEATEN} beaten  {BROKEN} breaks a limit"
EXPECTED: Final = 0.954  # of honest forecasts lie within two sd


def draw_parity(body: Parity, name: str, unit: str, width: int, height: int, styles: Styles) -> list[Text]:
    """Measured across, foretold up; what lies on the diagonal came as foretold."""
    points = body.foretold.get(name, [])
    if not points:
        return [Text(), Text(f" {name}: nothing was measured.")]
    scale = scale_of([value for one in points for value in (one.measured, one.mean)])
    canvas = Canvas(width - GUTTER - 1, height - 4, scale, scale)
    canvas.curve(lambda place: place, "edge")
    if len(points) <= MOST_BARS:
        for one in points:
            reach = WIDTH_SD * one.sd
            canvas.upright(canvas.column(one.measured), one.mean - reach, one.mean + reach, SPREAD, "band")
    for one in sorted(points, key=lambda one: _off(one) > WIDTH_SD):
        missed = _off(one) > WIDTH_SD
        canvas.mark(one.measured, one.mean, MISSED if missed else HIT, "bad" if missed else "mean")
    written = f" [{unit}]" if unit else ""
    return [
        Text(f" foretold{written}", "bold"),
        *canvas.lines(styles, canvas.heights()),
        _foot(canvas, styles),
        Text(f"measured{written} ".rjust(width), "bold"),
        Text(f" {parity_words(points, width - 2)}"),
    ]


def parity_words(points: Sequence[Foretold], width: int) -> str:
    """How good the forecasts are, in a line; what matters least is left out where it does not fit."""
    measured = [one.measured for one in points]
    rms = math.sqrt(fmean((one.mean - one.measured) ** 2 for one in points))
    middle = fmean(measured)
    whole = fmean((value - middle) ** 2 for value in measured)
    inside = sum(_off(one) <= WIDTH_SD for one in points)
    farthest = max(points, key=_off)
    words = f"rms error {text.number(rms, 2)}"
    for more in (
        f"R² {1.0 - rms * rms / whole:.2f}" if whole > 0.0 else "",
        f"{inside} of {len(points)} within ± 2 sd",
        f"farthest trial {farthest.trial}, {_off(farthest):.1f} sd",
        f"of honest forecasts {EXPECTED * len(points):.0f} would be within",
    ):
        if more and len(words) + len(more) + 3 <= width:
            words += f" · {more}"
    return words


def _off(one: Foretold) -> float:
    return abs(one.measured - one.mean) / one.sd if one.sd > 0 else 0.0


def draw_front(
    body: Front, pair: tuple[int, int], units: Sequence[str], width: int, height: int, styles: Styles
) -> list[Text]:
    """Two wishes against each other at the left, the hypervolume over the trials at the right."""
    right = max(width * 2 // 5, 24)
    left = width - right
    lines = _scatter(body, pair, units, left, height, styles)
    for line, other in zip(lines, _volume(body, right, height, styles), strict=True):
        line.truncate(left, overflow="ellipsis", pad=True)
        line.append_text(other)
    return lines


def _scatter(
    body: Front, pair: tuple[int, int], units: Sequence[str], width: int, height: int, styles: Styles
) -> list[Text]:
    xs, ys = (body.values[index] for index in pair)
    canvas = Canvas(width - GUTTER - 2, height - 3, scale_of(xs), scale_of(ys))
    for kind in (False, True):
        for x, y, kept, first in zip(xs, ys, body.kept, body.first, strict=True):
            if first is kind:
                mark, tone = (FIRST, "measured") if first else (BEATEN, "mean") if kept else (BROKEN, "bad")
                canvas.mark(x, y, mark, tone)
    x_unit, y_unit = (f" [{units[index]}]" if units[index] else "" for index in pair)
    foot = Text(f"{body.wishes[pair[0]]}{x_unit} ".rjust(width - 1), "bold")
    return [
        Text(f" {body.wishes[pair[1]]}{y_unit}", "bold"),
        *canvas.lines(styles, canvas.heights()),
        _foot(canvas, styles),
        foot,
    ]


def _volume(body: Front, width: int, height: int, styles: Styles) -> list[Text]:
    trials, volumes = [float(trial) for trial, _ in body.course], [volume for _, volume in body.course]
    x, y = Scale(trials[0], trials[-1]), scale_of([0.0, *volumes])
    canvas = Canvas(width - GUTTER - 1, height - 3, x, y)

    def level(place: float) -> float:
        """It stays what it was until the next trial."""
        at = x.low + place * (x.high - x.low)
        return y(next((v for trial, v in zip(reversed(trials), reversed(volumes), strict=True) if trial <= at), 0.0))

    canvas.curve(level, "measured")
    return [
        Text(f"  hypervolume {text.number(volumes[-1], 3)}", "bold"),
        *canvas.lines(styles, canvas.heights()),
        _foot(canvas, styles, whole=True),
        Text("trial ".rjust(width), "bold"),
    ]


def _foot(canvas: Canvas, styles: Styles, whole: bool = False) -> Text:
    """Round numbers below a canvas; whole: of trials."""
    ticks = nice_ticks(canvas.x.low, canvas.x.high, max(canvas.width // 12, 2))
    labels = [(canvas.column(tick), text.number(tick)) for tick in ticks if not whole or tick == int(tick)]
    foot = Text(" " * (GUTTER - 1) + "└", styles.get("edge", ""))
    foot.append(below(canvas.width, labels), styles.get("edge", ""))
    return foot
