"""What ran when on which instrument, and what comes next: a Gantt chart of the last hour, or of any other stretch."""

from datetime import datetime
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from labloop.campaign import text
from labloop.campaign.bench_time import elapsed_s
from labloop.campaign.state import PAUSED, RUNNING

from . import doing, timeline
from .coming import coming
from .page import Page
from .source import Change, RunSource
from .widgets import say, style_of

WINDOWS_S: Final = (600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
HOUR: Final = 1  # where in WINDOWS_S a person begins
NAME_WIDTH: Final = 16
BUSY_WIDTH: Final = 5
# A run at rest changes nothing; one at work moves its picture on, but not faster than a slow line carries it.
REDRAW_S: Final = 1.0
LEGEND: Final = "█ trial  ░ setup, cleanup  ▒ in hand  ✗ failed  ? doubt  % busy  ─ to come"
# Of the stretch that is shown while the run is followed, so much lies before now; what is to come has the rest.
PAST: Final = 0.75


class Gantt(Widget):
    """One line for each instrument, one for the time."""

    DEFAULT_CSS = "Gantt { height: auto; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._lanes: list[timeline.Lane] = []
        self._window = (0.0, 1.0, 1.0)
        self._shown: Text | None = None

    def show(self, lanes: list[timeline.Lane], start_s: float, end_s: float, now_s: float) -> None:
        """Show these from now on: a picture that a slow line carries only where it is another."""
        higher = len(lanes) != len(self._lanes)
        self._lanes, self._window = lanes, (start_s, end_s, now_s)
        if higher or self._picture() != self._shown:
            self.refresh(layout=higher)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Time and lanes."""
        return len(self._lanes) + 1

    def render(self) -> RenderResult:
        """Return the lines."""
        self._shown = self._picture()
        return self._shown

    def _picture(self) -> Text:
        if not self._lanes:  # of a run of which nothing can be read
            return Text()
        start_s, end_s, now_s = self._window
        names = min(max((len(lane.name) for lane in self._lanes), default=0), NAME_WIDTH)
        width = max(self.size.width - names - 1 - BUSY_WIDTH, 10)
        lines = [self._axis(names, width)]
        for lane in self._lanes:
            line = Text(lane.name)
            line.truncate(names, overflow="ellipsis", pad=True)
            line.append(" ")
            for character, tone in timeline.cells(lane, start_s, end_s, width, now_s):
                line.append(character, style_of(self, tone))
            line.append(f"{lane.busy:5.0%}", "dim")
            lines.append(line)
        return Text("\n").join(lines)

    def _axis(self, names: int, width: int) -> Text:
        axis = [" "] * width
        for at, words in timeline.ticks(*self._window, width):
            axis[at : at + len(words)] = words
        return Text(" " * (names + 1) + "".join(axis[:width]), "dim")


class TimelinePage(Page):
    """Follows the run while its end is now; left and right go back and forth, + and - change the stretch."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Move", key_display="← →", priority=True),
        Binding("right", "move(1)", "Move", key_display="← →", show=False, priority=True),
        Binding("plus,equals_sign", "zoom(-1)", "Stretch", key_display="+ -"),
        Binding("minus", "zoom(1)", "Stretch", key_display="+ -", show=False),
        Binding("end", "now", "Now", priority=True),
    ]

    def __init__(self, source: RunSource) -> None:
        super().__init__()
        self._source = source
        self._zoom = HOUR
        self._end_s: float | None = None  # None: now
        self._drawn: datetime | None = None

    def parts(self) -> ComposeResult:
        """Title, chart, what the marks mean."""
        yield Static(id="span")
        with VerticalScroll(id="gantt"):
            yield Gantt()
        yield Static(Text(LEGEND, "dim"), id="marks")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#gantt").border_title = Text("Timeline")
        self.query_one("#gantt").focus()
        self.draw()

    def follow(self, change: Change) -> None:
        """Draw anew if what is shown has grown older."""
        now = self._source.now()
        if self._drawn is None or abs((now - self._drawn).total_seconds()) >= REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the window as it is now."""
        source, spec = self._source, self._source.spec
        if spec is None:
            return
        self._drawn = source.now()
        now_s = self._now_s()
        span_s = WINDOWS_S[self._zoom]
        follows = self._end_s is None
        goes_on = source.state.state in (RUNNING, PAUSED) and source.state.mode != "told" and source.runner != "gone"
        end_s = now_s if self._end_s is None else self._end_s
        start_s = end_s - span_s
        if follows and goes_on:
            end_s = now_s + span_s * (1 - PAST) / PAST
        ahead = coming(spec, source.state, now_s, end_s, self._pipelined()) if end_s > now_s else {}
        lanes = timeline.lanes(doing.instrument_names(spec), source.state, start_s, end_s, now_s, ahead)
        self.query_one(Gantt).show(lanes, start_s, end_s, now_s)
        which = "the last" if follows else f"until {text.duration(now_s - end_s)} ago:"
        speed = source.state.opened.speed if source.state.opened else 1.0
        time = " of bench time" if speed != 1 else ""
        ahead_words = f", and the plan for {text.duration(end_s - now_s)}" if end_s > now_s else ""
        words = Text(f"{which} {text.duration(span_s)}{time}{ahead_words}", "bold")
        say(self.query_one("#span", Static), words)

    def _pipelined(self) -> bool:
        return self._source.lab is not None and self._source.lab.pipelined

    def _now_s(self) -> float:
        source = self._source
        spent_s = elapsed_s(source.state, source.runner, source.now(), source.beat_s)
        return spent_s + source.state.unwatched_s  # lab seconds, as facts tell them

    def action_move(self, halves: int) -> None:
        """Half a window earlier or later; never beyond now."""
        now_s = self._now_s()
        end_s = (now_s if self._end_s is None else self._end_s) + halves * WINDOWS_S[self._zoom] / 2
        end_s = max(end_s, WINDOWS_S[self._zoom] / 2)  # before that there is nothing to see
        self._end_s = None if end_s >= now_s - WINDOWS_S[self._zoom] / 20 else end_s
        self.draw()

    def action_zoom(self, by: int) -> None:
        """A longer or a shorter stretch, with the same end."""
        self._zoom = max(0, min(self._zoom + by, len(WINDOWS_S) - 1))
        self.draw()

    def action_now(self) -> None:
        """Follow the run again."""
        self._end_s = None
        self.draw()
