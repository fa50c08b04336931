"""The last exchanges on each line, byte by byte."""

from rich.console import Group, RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from .page import Page
from .source import Change, RunSource
from .widgets import style_of
from .wire import WireLine, read_wire

LEGEND = "when: before the last one of its line    dropped: answers no question any more"


class WirePage(Page):
    """Follows what the runner leaves in its file; the ports are the runner's alone."""

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self._source = source
        self._shown: list[WireLine] | str | None = None

    def parts(self) -> ComposeResult:
        """All lines, one after the other."""
        with VerticalScroll(id="cards"):
            yield Static(id="bench-cards")
        yield Static(Text(LEGEND, "dim"), id="marks")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#cards").focus()
        self._draw()

    def on_resize(self) -> None:
        """More or fewer bytes in a row."""
        self._draw()

    def action_back(self) -> None:
        """To the bench, whose key led here."""
        self.call_later(self.app.run_action, "go('bench')")

    def follow(self, change: Change) -> None:
        """Draw anew what is otherwise now."""
        self._draw()

    def _draw(self) -> None:
        shown = list(self.query("#bench-cards").results(Static))
        found = read_wire(self._source.folder, self.app.size.width - 4)
        if shown and found != self._shown:
            self._shown = found
            shown[0].update(Text(found) if isinstance(found, str) else self._lines(found))

    def _lines(self, found: list[WireLine]) -> RenderableType:
        parts: list[RenderableType] = []
        for line in found:
            parts.append(Text.assemble((line.instruments, "bold"), ("  " + line.address, "dim")))
            parts += [Text(words, style_of(self, tone), no_wrap=True) for words, tone in line.rows]
            parts.append(Text())
        return Group(*parts)
