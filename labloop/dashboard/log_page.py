"""The whole log, as far back as this dashboard keeps it."""

from datetime import tzinfo
from typing import ClassVar, Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, RichLog

from labloop.campaign.words import LogLine

from .filtered import FILTER, FilteredPage
from .source import Change, RunSource
from .widgets import log_cells

# Each line that is written costs a fifth of a millisecond: with more at once a letter of the filter is felt to wait.
MOST: Final = 500


class Row:
    """A line of the log, as wide as there is room; a table only where it must be folded, which takes four times as
    long."""

    def __init__(self, when: Text, words: Text) -> None:
        self._when, self._words = when, words

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(options.max_width, options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._when.cell_len + 1 + self._words.cell_len <= options.max_width:
            yield Text.assemble(self._when, " ", self._words, no_wrap=True)
            return
        row = Table.grid(padding=(0, 1))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(self._when, self._words)
        yield row


class LogPage(FilteredPage):
    """Begins with the newest lines, and follows the run while it stands at its end; a filter searches all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *FILTER,
        Binding("home", "edge(True)", "First", show=False, priority=True),
        Binding("end", "edge(False)", "Follow", id="follow", priority=True),
    ]

    def __init__(self, source: RunSource, zone: tzinfo | None) -> None:
        super().__init__()
        self._source, self._zone = source, zone
        self._written = 0  # the last fact that was looked at
        self._words: list[str] = []

    def parts(self) -> ComposeResult:
        """A line for the filter, one list of lines."""
        yield Input(placeholder="words, each of which must stand in a line", id="filter", compact=True)
        log = RichLog(wrap=True, min_width=0, markup=False, max_lines=4000)
        log.border_title = Text("Log")
        yield log

    def on_mount(self) -> None:
        """Write what there is."""
        self._write(list(self._source.log))

    @property
    def lines(self) -> RichLog:
        """The log."""
        return self.query_one(RichLog)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the filter, home and end move in its words."""
        if action == "edge" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def follow(self, change: Change) -> None:
        """Write what is new; what came while the page was being made is there already."""
        self._write([line for line in change.lines if line.seq > self._written])

    def _when(self, stamp: str) -> str:
        return self._source.moment(stamp, self._zone)

    def _write(self, lines: list[LogLine]) -> None:
        log = self.lines
        fitting = [line for line in lines if all(word in line.text.lower() for word in self._words)]
        for line in fitting[-MOST:]:
            log.write(Row(*log_cells(self, line, self._when)), expand=True)
        self._written = max([self._written, *(line.seq for line in lines)])

    def action_edge(self, first: bool) -> None:
        """To the first line, or to the last and on with it."""
        log = self.lines
        (log.scroll_home if first else log.scroll_end)(animate=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter narrows it."""
        self._words = event.value.lower().split()
        self.lines.clear()
        self._write(list(self._source.log))
