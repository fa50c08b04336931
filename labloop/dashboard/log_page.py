"""The whole log, as far back as this dashboard keeps it."""

from datetime import tzinfo
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import RichLog

from .page import Page
from .source import Change, RunSource
from .widgets import log_cells
from .words import LogLine


class LogPage(Page):
    """Follows the run while it stands at its end."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "edge(True)", "First", show=False),
        Binding("end", "edge(False)", "Follow"),
    ]

    def __init__(self, source: RunSource, zone: tzinfo | None) -> None:
        super().__init__()
        self._source, self._zone = source, zone
        self._written: int | None = None  # the last fact that is shown

    def parts(self) -> ComposeResult:
        """One list of lines."""
        log = RichLog(wrap=True, min_width=0, markup=False, max_lines=4000)
        log.border_title = Text("Log")
        yield log

    def on_mount(self) -> None:
        """Write what there is."""
        self._write(list(self._source.log))
        self.query_one(RichLog).focus()

    def follow(self, change: Change) -> None:
        """Write what is new; what came while the page was being made is there already."""
        if self._written is not None:
            self._write([line for line in change.lines if line.seq > self._written])

    def _write(self, lines: list[LogLine]) -> None:
        log = self.query_one(RichLog)
        for line in lines:
            row = Table.grid(padding=(0, 1))
            row.add_column(no_wrap=True)
            row.add_column(overflow="fold")
            row.add_row(*log_cells(self, line, self._zone))
            log.write(row, expand=True)
        self._written = max([self._written or 0, *(line.seq for line in lines)])

    def action_edge(self, first: bool) -> None:
        """To the first line, or to the last and on with it."""
        log = self.query_one(RichLog)
        (log.scroll_home if first else log.scroll_end)(animate=False)
