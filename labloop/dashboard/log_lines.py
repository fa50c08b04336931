"""Lines of the log, of which only those in sight are ever drawn; what does not fit into a line is folded."""

from bisect import bisect_right
from collections.abc import Callable, Iterable

from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from labloop.campaign.words import LogLine

# As many are kept; the oldest of them go together, since what is read moves up with that.
MOST, FEWEST = 4000, 3000


class LogLines(ScrollView, can_focus=True):
    """``cells`` makes time and words of a line. At its end it follows what is written; elsewhere it stays."""

    def __init__(self, cells: Callable[[LogLine], tuple[Text, Text]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._cells = cells
        self._lines: list[LogLine] = []
        self._tops: list[int] = []  # the row in which each begins
        self._rows = 0
        self._width = 0  # for which they were laid out; 0 before it is known
        self._follows = True

    def write(self, lines: Iterable[LogLine]) -> None:
        """Add lines below those that are there."""
        self._lines += lines
        if len(self._lines) > MOST:
            gone = len(self._lines) - FEWEST
            up = self._tops[gone] if gone < len(self._tops) else self._rows
            del self._lines[:gone]
            self._lay_out_all()
            self.scroll_to(y=max(self.scroll_offset.y - up, 0), animate=False)
        self._lay_out()

    def clear(self) -> None:
        """Forget all, and follow what is written from now on."""
        self._lines, self._follows = [], True
        self._lay_out_all()

    def to_end(self) -> None:
        """Show the last line, and follow."""
        self._follows = True
        self.scroll_end(animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Whoever scrolls to the end follows, and nobody else."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = round(new_value) >= self.max_scroll_y

    def on_resize(self, event: events.Resize) -> None:
        """Fold anew; the line on top stays there, or the last one in sight."""
        follows, top = self._follows, self._index(self.scroll_offset.y)
        if self.scrollable_content_region.width == self._width:
            return
        self._lay_out_all()
        if not follows and top < len(self._tops):
            self.scroll_to(y=self._tops[top], animate=False)

    def _lay_out_all(self) -> None:
        self._tops, self._rows = [], 0
        self._width = self.scrollable_content_region.width
        self._lay_out()

    def _lay_out(self) -> None:
        """Give the lines that have none yet their rows."""
        if not self._width:
            return
        follows = self._follows
        for line in self._lines[len(self._tops) :]:
            self._tops.append(self._rows)
            self._rows += len(self._folded(line)[1])
        self.virtual_size = Size(0, self._rows)
        if follows:
            self.to_end()
        self.refresh()

    def _folded(self, line: LogLine) -> tuple[Text, list[Text]]:
        """Its time, and its words in as many rows as they need."""
        when, words = self._cells(line)
        room = max(self._width - when.cell_len - 1, 1)
        if words.cell_len <= room and "\n" not in words.plain:
            return when, [words]
        return when, list(words.wrap(self.app.console, room, overflow="fold"))

    def _index(self, row: int) -> int:
        """Which line has this row."""
        return max(bisect_right(self._tops, row) - 1, 0)

    def render_line(self, y: int) -> Strip:
        """Draw a row."""
        width, row = self.scrollable_content_region.width, self.scroll_offset.y + y
        if row >= self._rows or not self._lines:
            return Strip.blank(width, self.rich_style)
        index = self._index(row)
        when, rows = self._folded(self._lines[index])
        part = row - self._tops[index]
        drawn = Text.assemble(when if part == 0 else " " * when.cell_len, " ", rows[part], end="")
        strip = Strip(drawn.render(self.app.console), drawn.cell_len)
        return strip.adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)
