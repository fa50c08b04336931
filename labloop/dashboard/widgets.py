"""The parts of the overview. Each shows plain words of ``view`` as text: nothing that an instrument or a person wrote
is ever read as markup."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual.app import RenderResult
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from labloop.campaign.words import LogLine

from .doing import InstrumentRow
from .view import Headline, Notice

# Below this many lines a screen shows the most urgent notice in full and of the others the title.
ROOMY: Final = 36
WAITS: Final = "WAITS FOR YOU"
# A tone is a colour of the theme, as text and as a block; the words beside it always say the same.
TONES: Final = {
    "good": ("text-success", "black on success"),
    "bad": ("text-error", "white on error"),
    "warn": ("text-warning", "black on warning"),
    "simulated": ("text-primary", "black on text-primary"),
    "live": ("text-error", "white on error"),
}


def style_of(widget: Widget, tone: str, solid: bool = False) -> str:
    """Return the Rich style for a tone; ``solid``: as a block of colour, for what nobody may overlook."""
    if tone not in TONES:
        return "dim" if tone == "quiet" and not solid else "bold reverse" if solid else ""
    if widget.app.no_color:
        return "bold reverse" if solid else ""
    theme = widget.app.theme_variables
    words, block = TONES[tone]
    if not solid:
        return theme[words]
    ink, _, paper = block.partition(" on ")
    return f"bold {ink} on {theme[paper]}"


def say(place: Static, words: Text) -> None:
    """Write ``words`` unless they stand there: each update is sent, and a slow line carries 960 bytes a second."""
    shown = place.content
    if not isinstance(shown, Text) or (shown, shown.style) != (words, words.style):
        place.update(words)


class HeadLine(Widget):
    """Mode and title; state and how far it is."""

    DEFAULT_CSS = "HeadLine { height: 2; padding: 0 1; background: $panel; }"

    def __init__(self, *, alone: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._alone = alone  # no notices below it say what waits for a person
        self._head: Headline | None = None
        self._run = self._trouble = ""

    def explain(self, trouble: str) -> None:
        """Show why there is nothing to show; "": there is, or will be."""
        if trouble != self._trouble:
            self._trouble = trouble
            self.refresh()

    def show(self, head: Headline, run: str) -> None:
        """Show ``head`` from now on; ``run`` names it at the right."""
        if (head, run) != (self._head, self._run):
            self._head, self._run = head, run
            self.refresh()

    def render(self) -> RenderResult:
        """Return both lines."""
        head = self._head
        if head is None and self._trouble:
            return Text.assemble((" Cannot show this run ", style_of(self, "bad", solid=True)), f"  {self._trouble}")
        if head is None:
            return Text(f"reading {self._run} ..." if self._run else "reading ...")
        badge = f" {head.mode} "
        room = self.size.width - len(badge) - 2
        run = Text(self._run, style="dim")
        run.truncate(max(room // 2, 8), overflow="ellipsis")
        title = Text(head.title, style="bold")
        title.truncate(max(room - run.cell_len - 2, 8), overflow="ellipsis", pad=True)
        first = Text.assemble((badge, style_of(self, head.mode_tone, solid=True)), "  ", title, "  ", run)
        second = Text.assemble((f" {head.state} ", style_of(self, head.state_tone, solid=True)), "  ")
        if head.waits and self._alone:
            second.append_text(Text.assemble((f" {WAITS} ", style_of(self, "warn", solid=True)), "  "))
        second.append_text(self._bar(head))
        facts = list(head.facts)  # whole ones only: half a time is another time
        while len(facts) > 1 and second.cell_len + cell_len(" · ".join(facts)) > self.size.width:
            facts.pop()
        second.append(" · ".join(facts))
        second.truncate(self.size.width, overflow="ellipsis")
        return Group(first, second)

    def _bar(self, head: Headline) -> Text:
        words = sum(len(fact) + 3 for fact in head.facts) + len(head.state) + 4
        words += len(WAITS) + 4 if head.waits and self._alone else 0
        width = min(self.size.width - words - 2, 24)
        if not head.allowed or width < 6:
            return Text()
        full = round(width * min(head.done / head.allowed, 1.0))
        return Text.assemble(("█" * full, style_of(self, "good")), ("░" * (width - full), "dim"), "  ")


class Notices(VerticalScroll, can_focus=False):
    """What a person must know now; takes no room while there is nothing."""

    DEFAULT_CSS = """
    Notices { height: auto; max-height: 40%; padding: 0 1; scrollbar-size-vertical: 1; }
    Notices Static { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._notices: Sequence[Notice] = ()

    def show(self, notices: Sequence[Notice]) -> None:
        """Show these, the most urgent first."""
        if list(notices) == list(self._notices):
            return
        self._notices = notices
        self.display = bool(notices)
        self.remove_children()
        self.mount(*(Static(self._render_one(n, first=n is notices[0])) for n in notices))

    def on_resize(self) -> None:
        """More room, more words."""
        for shown, notice in zip(self.query(Static), self._notices, strict=False):
            shown.update(self._render_one(notice, first=notice is self._notices[0]))

    def _render_one(self, notice: Notice, first: bool) -> RenderableType:
        head = Text(f" {notice.title} ", style=style_of(self, notice.tone, solid=True))
        roomy = self.app.size.height >= ROOMY
        lines = [*notice.lines[:-1], *notice.more, *notice.lines[-1:]] if roomy else list(notice.lines)
        if len(lines) == 1 and head.cell_len + len(lines[0]) + 4 <= self.app.size.width:
            return Text.assemble(head, "  ", lines[0])
        if not lines or not (first or roomy):
            return head
        return Group(head, *(Padding(Text(words), (0, 0, 0, 2)) for words in lines))


class InstrumentPanel(Widget):
    """One line for each instrument; what it was asked to do stands below where there is room for all of them."""

    DEFAULT_CSS = "InstrumentPanel { width: 1fr; height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[InstrumentRow] = ()
        self._detailed = False

    def show(self, rows: Sequence[InstrumentRow]) -> None:
        """Show these from now on."""
        if list(rows) != list(self._rows):
            self._rows = rows
            self.refresh(layout=True)

    def render(self) -> RenderResult:
        """Return the lines."""
        if not self._rows:
            return Text("none known yet", style="dim")
        name_width = max(len(row.name) for row in self._rows)
        lines = []
        for row in self._rows:
            style = style_of(self, row.tone)
            line = Text.assemble((f"{row.mark} ", style), f"{row.name:<{name_width}}  ", (row.state, style))
            if row.where and line.cell_len + len(row.where) + 2 <= self.size.width:
                line.append(f"  {row.where}", style="dim")
            lines.append(line)
            if self._detailed and row.doing:
                lines.append(Text(f"  {row.doing}", style="dim"))
        for line in lines:
            line.truncate(max(self.size.width, 1), overflow="ellipsis")
        return Group(*lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """One line for each, and for each that is active another where all of them fit."""
        details = sum(bool(row.doing) for row in self._rows)
        self._detailed = len(self._rows) + details <= container.height
        return max(len(self._rows) + (details if self._detailed else 0), 1)


class LogTail(Widget):
    """The last lines of the log, as many as fit, the newest at the bottom."""

    DEFAULT_CSS = "LogTail { height: 1fr; }"

    def __init__(self, when: Callable[[str], str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[LogLine] = ()
        self._when = when

    def show(self, lines: Sequence[LogLine]) -> None:
        """Show the end of ``lines``."""
        self._lines = lines
        self.refresh()

    def render(self) -> RenderResult:
        """Return what fits."""
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        room = self.size.height
        chosen: list[LogLine] = []
        lines = list(self._lines)[-max(room, 1) :]
        column = max((len(self._when(line.at)) for line in lines), default=0)
        width = max(self.size.width - column - 1, 10)
        for line in reversed(lines):
            rows = Text(line.text).wrap(self.app.console, width)
            if len(rows) > room:
                if room > 0:
                    rows[room - 1].truncate(width - 1)
                    begun = " ".join(row.plain.strip() for row in rows[:room])
                    chosen.append(replace(line, text=f"{begun}…"))
                break
            room -= len(rows)
            chosen.append(line)
        for line in reversed(chosen):
            table.add_row(*log_cells(self, line, self._when))
        return table


def log_cells(widget: Widget, line: LogLine, when: Callable[[str], str]) -> tuple[Text, Text]:
    """Return time and words of a line of the log."""
    return Text(when(line.at), style="dim"), Text(line.text, style=style_of(widget, line.tone))
