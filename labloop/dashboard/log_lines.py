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
        self._whens: list[Text] = []  # its time, as it was when it got its rows: at midnight it gets a date
        self._rows = 0
        self._width = 0  # for which they were laid out; 0 before it is known
        self._follows = True

    def write(self, lines: Iterable[LogLine]) -> None:
        """Add lines below those that are there. None: nothing is drawn, unless it is another day by now."""
        new = list(lines)
        if self._dates_changed():
            self._fold_anew()
        if not new:
            return
        self._lines += new
        if len(self._lines) > MOST:
            self._drop(len(self._lines) - FEWEST)
        else:
            self._lay_out()

    def _drop(self, gone: int) -> None:
        """Forget the oldest lines; what is read further up stays where it is."""
        follows, up = self._follows, self._tops[gone] if gone < len(self._tops) else self._rows
        top = max(self.scroll_offset.y - up, 0)
        del self._lines[:gone]
        self._lay_out_all()
        if not follows:
            self.scroll_to(y=top, animate=False)

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
        """Fold anew where it is narrower or wider; whoever follows still sees the last line where it is only lower."""
        if self.scrollable_content_region.width != self._width:
            self._fold_anew()
        elif self._follows:
            self.to_end()

    def _dates_changed(self) -> bool:
        """Whether it is another day: then the first or the last line, of all, has another time than when laid out."""
        laid_out = len(self._tops)
        return any(
            self._cells(self._lines[at])[0].plain != self._whens[at].plain for at in (0, laid_out - 1) if laid_out
        )

    def _fold_anew(self) -> None:
        """The line on top stays there, or the last one in sight."""
        follows, top = self._follows, self._index(self.scroll_offset.y)
        self._lay_out_all()
        if not follows and top < len(self._tops):
            self.scroll_to(y=self._tops[top], animate=False)

    def _lay_out_all(self) -> None:
        self._tops, self._whens, self._rows = [], [], 0
        self._width = self.scrollable_content_region.width
        self._lay_out()

    def _lay_out(self) -> None:
        """Give the lines that have none yet their rows."""
        if not self._width:
            return
        follows = self._follows
        for line in self._lines[len(self._tops) :]:
            when, words = self._cells(line)
            self._tops.append(self._rows)
            self._whens.append(when)
            self._rows += len(self._folded(when, words))
        self.virtual_size = Size(0, self._rows)
        if follows:
            self.to_end()
        self.refresh()

    def _folded(self, when: Text, words: Text) -> list[Text]:
        """The words of a line in as many rows as they need beside its time."""
        room = max(self._width - when.cell_len - 1, 1)
        if words.cell_len <= room and "\n" not in words.plain:
            return [words]
        return list(words.wrap(self.app.console, room, overflow="fold"))

    def _index(self, row: int) -> int:
        """Which line has this row."""
        return max(bisect_right(self._tops, row) - 1, 0)

    def render_line(self, y: int) -> Strip:
        """Draw a row."""
        width, row = self.scrollable_content_region.width, self.scroll_offset.y + y
        if row >= self._rows or not self._lines:
            return Strip.blank(width, self.rich_style)
        index = self._index(row)
        when, part = self._whens[index], row - self._tops[index]
        rows = self._folded(when, self._cells(self._lines[index])[1])
        drawn = Text.assemble(when if part == 0 else " " * when.cell_len, " ", rows[part], end="")
        strip = Strip(drawn.render(self.app.console), drawn.cell_len)
        return strip.adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)
