"""The trials' table: only the rows in sight are ever made, so ten thousand trials cost no more than ten.

Newest first. The cursor stays on its trial while new ones come in above it; on the newest it follows the newest.
Columns are shown whole or not at all: left and right bring the parameters that do not fit.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Row = tuple[list[str], str]  # cells and a tone
GAP = 1


class TrialTable(ScrollView, can_focus=True):
    """Rows by trial number; ``row`` of ``fill`` makes one when it comes into sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "trials--head",
        "trials--cursor",
        "trials--good",
        "trials--bad",
        "trials--warn",
        "trials--quiet",
    }
    DEFAULT_CSS = """
    TrialTable {
        & > .trials--head { text-style: bold; color: $text-muted; }
        & > .trials--cursor { background: $surface-lighten-2; text-style: bold; }
        &:focus > .trials--cursor { background: $primary 40%; text-style: bold; }
        & > .trials--good { color: $foreground; }
        & > .trials--bad { color: $text-error; }
        & > .trials--warn { color: $text-warning; }
        & > .trials--quiet { color: $text-muted; }
        &:nocolor > .trials--cursor { background: $foreground; color: $background; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Newer", show=False),
        Binding("down", "move(1)", "Older", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home", "edge(True)", "Newest", show=False),
        Binding("end", "edge(False)", "Oldest", show=False),
        Binding("left", "shift(-1)", "Columns left", show=False),
        Binding("right", "shift(1)", "Columns right", show=False),
        Binding("enter", "open", "Trial", show=False),
    ]

    class Opened(Message):
        """A person wants to see this trial."""

        def __init__(self, trial: int) -> None:
            self.trial = trial
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._numbers: list[int] = []  # the lowest row first: ascending, unless they were arranged
        self._arranged = False
        self._columns: list[tuple[str, int]] = []
        self._fixed = 0  # columns that never scroll away
        self._shift = 0
        self._row: Callable[[int], Row] = lambda number: ([], "")
        self._cursor: int | None = None  # a trial's number

    @property
    def trial(self) -> int | None:
        """The trial under the cursor, or None while there is none."""
        return self._cursor

    def fill(self, columns: Sequence[tuple[str, int]], fixed: int, row: Callable[[int], Row]) -> None:
        """Set the columns (heading, width), of which the first ``fixed`` always stay, and what makes a row."""
        self._columns, self._fixed, self._row = list(columns), fixed, row
        self.refresh()

    def update(self, numbers: Sequence[int]) -> None:
        """Show these trials (new ones among them or not) as they are now."""
        known = set(self._numbers)
        new = sorted(set(numbers) - known)
        top = self._numbers[-1] if self._numbers else None
        before = self._position(self._cursor)
        for number in new:
            insort(self._numbers, number)
        if self._cursor is None or (new and self._cursor == top):
            self._cursor = self._numbers[-1] if self._numbers else None
        self.virtual_size = Size(0, len(self._numbers) + 1)
        moved = self._position(self._cursor) - before
        if self.scroll_offset.y and moved > 0:  # keep what is being read where it is
            self.scroll_to(y=self.scroll_offset.y + moved, animate=False)
        self.refresh()

    def show_only(self, numbers: Sequence[int]) -> None:
        """Show these and no others, in this order, the first on top; the cursor stays on its trial if it is there."""
        self._numbers, self._arranged = list(reversed(numbers)), True
        if self._cursor not in self._numbers:
            self._cursor = numbers[0] if numbers else None
        self.virtual_size = Size(0, len(self._numbers) + 1)
        self._go(self._position(self._cursor))
        self.refresh()  # all rows may be other ones

    def _position(self, number: int | None) -> int:
        """The row of a trial, counted from the top."""
        if number is None or not self._numbers:
            return 0
        if self._arranged:
            return len(self._numbers) - 1 - self._numbers.index(number)
        return len(self._numbers) - 1 - bisect_left(self._numbers, number)

    def _shown(self) -> list[int]:
        """Indexes of the columns that fit, whole."""
        shown = list(range(min(self._fixed, len(self._columns))))
        left = self._width() - sum(self._columns[i][1] + GAP for i in shown)
        for index in range(self._fixed + self._shift, len(self._columns)):
            left -= self._columns[index][1] + GAP
            if left < 0:
                break
            shown.append(index)
        return shown

    def _width(self) -> int:
        return int(self.scrollable_content_region.width) - 2  # room for the marks of columns that do not fit

    def render_line(self, y: int) -> Strip:
        """Make one line of the table; the first is always the heading."""
        shown = self._shown()
        width = int(self.scrollable_content_region.width)
        if y == 0:
            return self._head(shown, width)
        position = int(self.scroll_offset.y) + y - 1
        base = self.rich_style
        if position >= len(self._numbers):
            return Strip.blank(width, base)
        number = self._numbers[-1 - position]
        cells, tone = self._row(number)
        cursor = number == self._cursor
        style = base + (self.get_component_rich_style("trials--cursor", partial=True) if cursor else self._tone(tone))
        line = "".join(self._fit(cells[i], self._columns[i][1]) for i in shown if i < len(cells))
        return Strip([Segment(line, style)]).adjust_cell_length(width, style)

    def _head(self, shown: list[int], width: int) -> Strip:
        style = self.rich_style + self.get_component_rich_style("trials--head", partial=True)
        line = "".join(self._fit(self._columns[i][0], self._columns[i][1]) for i in shown)
        hidden_left = "<" if self._shift else ""
        hidden_right = ">" if shown and shown[-1] < len(self._columns) - 1 else ""
        marks = hidden_left + hidden_right
        strip = Strip([Segment(line, style)]).adjust_cell_length(width - len(marks), style)
        return Strip.join([strip, Strip([Segment(marks, style)])])

    @staticmethod
    def _fit(cell: str, width: int) -> str:
        fitted = Text(cell)
        fitted.truncate(width, overflow="ellipsis", pad=True)
        return fitted.plain + " " * GAP

    def _tone(self, tone: str) -> Style:
        return self.get_component_rich_style(f"trials--{tone}", partial=True) if tone else Style()

    def _go(self, position: int) -> None:
        if not self._numbers:
            return
        before = self._position(self._cursor)
        position = max(0, min(position, len(self._numbers) - 1))
        self._cursor = self._numbers[-1 - position]
        height = max(self.scrollable_content_region.height - 1, 1)
        top = int(self.scroll_offset.y)
        if position < top:
            self.scroll_to(y=position, animate=False)
        elif position >= top + height:
            self.scroll_to(y=position - height + 1, animate=False)
        else:  # two lines are other ones now: the whole table is thirty times as much over a slow line
            width = self.scrollable_content_region.width
            self.refresh(*(Region(0, row - top + 1, width, 1) for row in {before, position}))
            return
        self.refresh()

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._position(self._cursor) + rows)

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by what fits on the screen."""
        self._go(self._position(self._cursor) + pages * max(self.scrollable_content_region.height - 2, 1))

    def action_edge(self, newest: bool) -> None:
        """Move the cursor to the newest or the oldest."""
        self._go(0 if newest else len(self._numbers) - 1)

    def action_shift(self, columns: int) -> None:
        """Bring other parameters into sight."""
        shown = self._shown()
        if columns > 0 and (not shown or shown[-1] >= len(self._columns) - 1):
            return
        self._shift = max(0, self._shift + columns)
        self.refresh()

    def action_open(self) -> None:
        """Open the trial under the cursor."""
        if self._cursor is not None:
            self.post_message(self.Opened(self._cursor))

    def on_resize(self) -> None:
        """More may fit now."""
        self._shift = 0
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Choose a row; the second click on it opens it."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        position = int(self.scroll_offset.y) + offset.y - 1
        if position >= len(self._numbers):
            return
        if self._position(self._cursor) == position and event.chain > 1:
            self.action_open()
        self._go(position)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """The heading must be drawn anew wherever the rows go."""
        super().watch_scroll_y(old_value, new_value)
        self.refresh(Region(0, 0, self.size.width, 1))
