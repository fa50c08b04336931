"""The plot of the overview: plotext in Textual's clothes."""

import math
from typing import Final

from rich.text import Text
from textual.app import RenderResult
from textual.color import Color
from textual_plotext import PlotextPlot

from labloop.campaign import text

from .curve import Curve
from .spectrum import Raw, extent

# Shape before colour: each kind of point has a mark of its own, so that a terminal without colour tells them apart.
FIRST, MODEL, BEST, BAND = "+", "●", "▬", "│"
LEGEND: Final = f"{FIRST} first design  {MODEL} model  {BEST} best so far  {BAND} hoped ± 2 sd"
MARGIN: Final = 0.04  # of the range, so that no point sits on the frame
COLORS: Final = {"first": "foreground-darken-2", "model": "text-primary", "best": "success", "band": "text-secondary"}
FRONT_LEGEND: Final = f"{FIRST} first design  {MODEL} model  {BEST} Pareto front"


class CurvePlot(PlotextPlot):
    """Draws one Curve, anew at each size."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._curve: Curve | None = None

    def show(self, curve: Curve) -> None:
        """Draw ``curve`` from now on."""
        if curve != self._curve:
            self._curve = curve
            self.refresh()

    def render(self) -> RenderResult:
        """Return the picture at the present size."""
        if self._curve is None or self._curve.empty:
            return "\n no result yet"
        if self.size.width < 20 or self.size.height < 5:
            return " too small to plot"
        self._draw(self._curve)
        return super().render()

    def _draw(self, curve: Curve) -> None:
        plt = self.plt
        plt.clear_figure()
        colors = {name: Color.parse(self.app.theme_variables[value]).rgb for name, value in COLORS.items()}
        low, high = curve.limits()
        for x, bottom, mean, top in curve.bands:
            bottom, top = max(bottom, low), min(top, high)
            if bottom < top:
                plt.plot([x, x], [bottom, top], marker=BAND, color=colors["band"])
            if low <= mean <= high:
                plt.scatter([x], [mean], marker="┼", color=colors["band"])
        if curve.best:
            self._best(curve, colors["best"])
        for points, marker, color in ((curve.first, FIRST, "first"), (curve.model, MODEL, "model")):
            if points:
                plt.scatter([x for x, _ in points], [y for _, y in points], marker=marker, color=colors[color])
        if high <= low:  # one result, or all alike: room around it
            low, high = low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)
        margin = (high - low) * MARGIN
        plt.ylim(low - margin, high + margin)
        ticks = nice_ticks(low, high, max(self.size.height // 2, 2))
        plt.yticks(ticks, [text.number(tick) for tick in ticks])
        self._x_axis(curve)
        plt.xaxes(True, False)
        plt.yaxes(True, False)

    def _best(self, curve: Curve, color: tuple[int, int, int]) -> None:
        if curve.front:
            self.plt.scatter([x for x, _ in curve.best], [y for _, y in curve.best], marker=BEST, color=color)
            return
        xs, ys = [], []
        for (x, y), (after, _) in zip(curve.best, [*curve.best[1:], curve.best[-1]], strict=True):
            xs += [x, max(after, x)]
            ys += [y, y]
        self.plt.plot(xs, ys, marker=BEST, color=color)

    def _x_axis(self, curve: Curve) -> None:
        """Round numbers; of trials whole ones, not 7.5."""
        numbers = [x for points in (curve.first, curve.model, curve.best) for x, _ in points]
        numbers += [x for x, *_ in curve.bands]
        low, high = min(numbers), max(numbers)
        ticks = nice_ticks(low, high, max(self.size.width // 12, 2))
        if not curve.front:
            ticks = [tick for tick in ticks if tick == int(tick)]
        self.plt.xticks(ticks, [text.number(tick) for tick in ticks])
        margin = (high - low) * MARGIN if curve.front and high > low else 0.5
        self.plt.xlim(low - margin, high + margin)


class RawPlot(PlotextPlot):
    """Draws one raw array, anew at each size."""

    DEFAULT_CSS = "RawPlot { height: 12; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._raw: Raw | None = None

    def show(self, raw: Raw | None) -> None:
        """Draw ``raw`` from now on; takes no room where there is none."""
        self.display = raw is not None
        if raw != self._raw:
            self._raw = raw
            self.refresh()

    def render(self) -> RenderResult:
        """Return the picture at the present size, or why there is none."""
        raw = self._raw
        if raw is None:
            return ""
        if not raw.points:
            return Text(text.plain(raw.trouble))
        if self.size.width < 20 or self.size.height < 5:
            return " too small to plot"
        plt = self.plt
        plt.clear_figure()
        color = Color.parse(self.app.theme_variables[COLORS["model"]]).rgb
        plt.plot([x for x, _ in raw.points], [y for _, y in raw.points], marker="braille", color=color)
        left, right, low, high = extent(raw.points)
        across, up = (nice_ticks(left, right, self.size.width // 12), nice_ticks(low, high, self.size.height // 2))
        plt.xticks(across, [text.number(tick) for tick in across])
        plt.yticks(up, [text.number(tick) for tick in up])
        plt.xaxes(True, False)
        plt.yaxes(True, False)
        return super().render()


# Of 10, 5 or 2: what may be tried where that has too few multiples, and is round as well. The last has always two.
FINER: Final = (0.5, 0.4, 0.2)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return at most about ``count`` round numbers (steps of 1, 2 or 5 times a power of ten) from low to high; where
    there is room for two, no fewer, for one alone says nothing of a scale."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    found, finer = _multiples(step, low, high), iter(FINER)
    while len(found) < min(count, 2):
        found = _multiples(step * next(finer), low, high)
    return found


def _multiples(step: float, low: float, high: float) -> list[float]:
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]
