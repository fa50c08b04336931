"""The bench: a card for each instrument."""

from datetime import tzinfo
from typing import ClassVar, Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from . import doing
from .cards import Card, cards
from .page import Page
from .source import Change, RunSource
from .widgets import style_of

CARD_WIDTH: Final = 38  # two beside each other at 80 columns, four at 160


class BenchPage(Page):
    """Follows the run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "app.act('by_hand')", "By hand"),
        Binding("f", "app.act('refill')", "Refill", id="refill"),
        Binding("x", "app.go('wire')", "Exchanges"),
    ]

    def __init__(self, source: RunSource, zone: tzinfo | None) -> None:
        super().__init__()
        self._source, self._zone = source, zone
        self._shown: list[Card] | None = None

    def parts(self) -> ComposeResult:
        """All cards, scrolled where they do not fit."""
        with VerticalScroll(id="cards"):
            yield Static(id="bench-cards")

    def on_mount(self) -> None:
        """Show them."""
        self.query_one("#cards").focus()
        self._draw()

    def on_resize(self) -> None:
        """More or fewer beside each other."""
        self._shown = None
        self._draw()

    def follow(self, change: Change) -> None:
        """Draw anew what is otherwise now."""
        self._draw()

    def _draw(self) -> None:
        source, spec = self._source, self._source.spec
        shown = list(self.query("#bench-cards").results(Static))
        if spec is None or not shown:
            return
        names = doing.instrument_names(spec)
        now, readings = source.now(), source.seen.readings
        rows = doing.instrument_rows(names, source.state, source.current, source.runner, now, readings)
        stamps = {at for said in source.said.values() for at, _ in said.alarms}
        times = {at: source.moment(at, self._zone) for at in stamps}
        found = cards(
            rows, spec, source.lab, source.state, source.said, times, source.bench.state, readings, now
        )  # fmt: skip
        if found != self._shown:
            self._shown = found
            shown[0].update(self._grid(found))

    def _grid(self, found: list[Card]) -> RenderableType:
        width = max(self.app.size.width - 2, CARD_WIDTH)
        beside = max(width // CARD_WIDTH, 1)
        columns: list[list[RenderableType]] = [[] for _ in range(beside)]
        heights = [0] * beside
        for card in found:  # the next card goes where there is most room above it
            at = heights.index(min(heights))
            columns[at].append(self._panel(card))
            heights[at] += len(card.lines) + 2
        table = Table.grid(expand=True)
        for _ in columns:
            table.add_column(ratio=1)
        table.add_row(*(Group(*column) for column in columns))
        return table

    def _panel(self, card: Card) -> Panel:
        lines = [Text(line.words, style_of(self, line.tone), overflow="fold") for line in card.lines]
        border = style_of(self, card.tone or "quiet")
        return Panel(Group(*lines), title=Text(card.title, "bold"), title_align="left", border_style=border)
