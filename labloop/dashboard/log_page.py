"""The whole log, as far back as this dashboard keeps it."""

from datetime import tzinfo
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from labloop.campaign.words import LogLine

from .field import Field
from .filtered import FILTER, FilteredPage
from .log_lines import LogLines
from .source import Change, RunSource
from .widgets import log_cells


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
        yield Field(placeholder="words, each of which must stand in a line", id="filter", compact=True)
        log = LogLines(lambda line: log_cells(self, line, self._when))
        log.border_title = Text("Log")
        yield log

    def on_mount(self) -> None:
        """Write what there is."""
        self._write(list(self._source.log))

    @property
    def lines(self) -> LogLines:
        """The log."""
        return self.query_one(LogLines)

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
        self.lines.write(line for line in lines if all(word in line.text.lower() for word in self._words))
        self._written = max([self._written, *(line.seq for line in lines)])

    def action_edge(self, first: bool) -> None:
        """To the first line, or to the last and on with it."""
        if first:
            self.lines.scroll_home(animate=False)
        else:
            self.lines.to_end()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter narrows it."""
        self._words = event.value.lower().split()
        self.lines.clear()
        self._write(list(self._source.log))
