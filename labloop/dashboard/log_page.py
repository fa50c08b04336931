"""The whole log, as far back as this dashboard keeps it."""

from datetime import tzinfo
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, RichLog

from .source import RunSource
from .widgets import log_cells
from .words import LogLine


class LogPage(Screen[None]):
    """Follows the run while it stands at its end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l", "back", "Back", key_display="esc"),
        Binding("home", "edge(True)", "First", show=False),
        Binding("end", "edge(False)", "Follow"),
        Binding("q", "app.quit", "Quit"),
    ]

    def __init__(self, source: RunSource, zone: tzinfo | None) -> None:
        super().__init__()
        self._source, self._zone = source, zone

    def compose(self) -> ComposeResult:
        """One list of lines."""
        log = RichLog(wrap=True, min_width=0, markup=False, max_lines=4000)
        log.border_title = Text("Log")
        yield log
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Write what there is."""
        self.add(list(self._source.log))
        self.query_one(RichLog).focus()

    def add(self, lines: list[LogLine]) -> None:
        """Write ``lines`` at the end."""
        log = self.query_one(RichLog)
        for line in lines:
            row = Table.grid(padding=(0, 1))
            row.add_column(no_wrap=True)
            row.add_column(overflow="fold")
            row.add_row(*log_cells(self, line, self._zone))
            log.write(row, expand=True)

    def action_back(self) -> None:
        """To the overview."""
        self.dismiss(None)

    def action_edge(self, first: bool) -> None:
        """To the first line, or to the last and on with it."""
        log = self.query_one(RichLog)
        (log.scroll_home if first else log.scroll_end)(animate=False)
