"""The overview of one run: is it safe, is it working, is it getting anywhere, what does it want from me."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import tzinfo
from functools import partial
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from labloop.campaign import text
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import PAUSED
from labloop.planner.figure import Kind

from . import doing, view
from .amend_acts import AmendingScreen
from .bench_page import BenchPage
from .curve import Course, course_of, curve
from .help import Help
from .key_line import KeyLine
from .log_page import LogPage
from .model_page import FIGURES, ModelPage
from .page import GO, SCREENS, Page, names_of_screens
from .plot import FRONT_LEGEND, LEGEND, CurvePlot
from .source import Change, RunSource
from .table import Row, TrialTable
from .timeline_page import TimelinePage
from .trial_page import TrialPage
from .trials_page import TrialsPage
from .widgets import HeadLine, InstrumentPanel, LogTail, Notices, say
from .wire_page import WirePage

POLL_S: Final = 0.25
SHOWN_EVERY: Final = 10
# A run that cannot be read is looked at again, but not four times a second: its journal may be long.
TROUBLE_S: Final = 2.0


class RunScreen(AmendingScreen):
    """Polls its source and shows it. The one thing that it writes is a request."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *GO,
        Binding("p", "ask('pause')", "Pause", id="pause"),
        Binding("r", "ask('resume')", "Resume", id="resume"),
        Binding("s", "stop", "Stop", id="stop"),
        Binding("a", "answer", "Answer", id="answer"),
        Binding("y", "approve", "Approve", id="approve"),
        Binding("v", "veto", "Veto", show=False, id="veto"),
        Binding("e", "edit", "Edit", show=False, id="edit"),
        Binding("t", "add", "Add a trial", show=False, id="add"),
        Binding("m", "wrong", "Mark as wrong", show=False, id="wrong"),
        Binding("c", "compare", "Compare", show=False, id="compare"),
        Binding("h", "by_hand", "By hand", show=False, id="by-hand"),
        Binding("n", "note", "Note", show=False, id="note"),
        Binding("f", "refill", "Refill", show=False, id="refill"),
        Binding("o", "outcome", "Outcome", show=False, id="outcome"),
        Binding("question_mark", "help", "Help", key_display="?", id="help"),
        Binding("escape", "back", "Runs"),
        Binding("q", "app.quit", "Quit", id="quit"),
    ]

    def __init__(self, source: RunSource, name: str, zone: tzinfo | None, listed: bool) -> None:
        super().__init__(source)
        self.run_name = name
        self._zone, self._listed = zone, listed
        self._course: Course | None = None
        self._best: set[int] = set()
        self._outcome = 0
        self._loaded = False
        self._helpings = -1
        self._unshown = Change()
        self._head: view.Headline | None = None
        self._trouble = ""
        self._allowed: tuple[bool | None, ...] = ()

    def compose(self) -> ComposeResult:
        """Headline, notices, plot beside instruments, trials beside (or above) the log."""
        yield HeadLine(id="head")
        yield Notices(id="notices")
        with Vertical(id="body"):
            with Horizontal(id="top"):
                with Vertical(id="course"):
                    yield CurvePlot(id="plot")
                    yield Static(id="legend")
                with VerticalScroll(id="bench", can_focus=False):
                    yield InstrumentPanel(id="instruments")
            with Container(id="bottom"):
                yield TrialTable(id="trials")
                yield LogTail(self._when, id="log")
        yield Static(id="trouble")
        yield Static(id="sent")
        yield Static(names_of_screens(), id="screens")
        yield KeyLine()

    def _when(self, stamp: str) -> str:
        return self.source.moment(stamp, self._zone)

    def on_mount(self) -> None:
        """Read from now on."""
        for id, title in (("#bench", "Instruments"), ("#trials", "Trials, newest first"), ("#log", "Log")):
            self.query_one(id).border_title = title
        self.query_one("#notices").display = False
        self.query_one("#trouble").display = False
        self.query_one("#sent").display = False
        self.query_one("#trials").focus()
        self.query_one(HeadLine).refresh()
        self.call_after_refresh(self.tick)

    def on_unmount(self) -> None:
        """Let go of the journal."""
        self.source.close()

    def tick(self) -> None:
        """Read what is new and show it; then again, as long as there is a dashboard to show it on."""
        if not self.app.is_running:  # its screens are being taken apart, the parts of a page before the page
            return
        more = self.read_on()
        self.set_timer(0.001 if more else TROUBLE_S if self.source.trouble else POLL_S, self.tick)

    def read_on(self) -> bool:
        """Read a helping of what is new and show it; say whether there is more."""
        change = self.source.poll()
        self.show(change)
        return change.more

    @property
    def settled(self) -> bool:
        """Whether all that the journal held has been shown, or why it cannot be."""
        return self._loaded or self.query_one("#trouble").display

    def show(self, change: Change) -> None:
        """Bring every part up to date with the source."""
        source, spec = self.source, self.source.spec
        self._show_trouble()
        if spec is None or not source.state.opened:
            return
        self._helpings += 1
        self._unshown.add(change)
        if change.more and self._helpings % SHOWN_EVERY:
            return  # how far it is is seen well enough at every tenth helping; each time costs half as much as reading
        now = source.now()
        self._show_head(view.headline(spec, source.state, source.runner, now, source.beat_s), bool(source.trouble))
        if change.more:
            return  # a long journal is still being read: its pictures would be drawn for nothing
        first, change = not self._loaded, self._unshown
        self._loaded, self._unshown = True, Change()
        notices = view.notices(spec, source.state, source.runner, text.in_shell(self.run_name), source.not_safe)
        if source.trouble:
            notices.insert(0, view.Notice("bad", "CANNOT READ ON", (source.trouble,)))
        self.query_one(Notices).show(notices)
        self._show_instruments(spec)
        if first:
            self.query_one(TrialTable).fill(*self._columns(spec), self._row)
        if change.amended:
            self._course = None
        if first or change.trials:
            self._show_trials(spec, set(source.state.trials) if first else change.trials)
        if first or change.lines:
            self.query_one(LogTail).show(list(source.log)[-200:])
        self.send_again()
        self.show_sent()
        self._follow_up(change)

    def _show_head(self, head: view.Headline, breaks_off: bool) -> None:
        """On this screen and on those above it."""
        if breaks_off:
            head = replace(head, facts=("CANNOT READ ON", *head.facts))
        self._head = head
        self.query_one(HeadLine).show(head, self.run_name)
        for screen in self.app.screen_stack:
            if isinstance(screen, Page):
                screen.show_head(head, self.run_name)

    def _show_trouble(self) -> None:
        """A run of which nothing can be read has nothing else to show."""
        trouble = ""
        if not self.source.state.opened:
            trouble = self.source.trouble or "Its journal holds no event yet; the first is waited for."
        trouble = self._trouble = text.plain(trouble)
        for screen in self.app.screen_stack:
            if isinstance(screen, Page):
                screen.show_trouble(trouble)
        panel = self.query_one("#trouble", Static)
        panel.display = bool(trouble)
        for part in ("#body", "#head"):
            self.query_one(part).display = not trouble
        if trouble:
            words = Text.assemble((" Cannot show this run ", "bold reverse"), "\n\n", trouble)
            words.append(f"\n\n{self.run_name}\nIt is looked at again every {TROUBLE_S:.0f} s. q quits.", "dim")
            say(panel, words)

    def _show_instruments(self, spec: CampaignSpec) -> None:
        source = self.source
        names = doing.instrument_names(spec)
        now, readings = source.now(), source.seen.readings
        rows = doing.instrument_rows(names, source.state, source.current, source.runner, now, readings)
        rows = doing.with_by_hand(rows, source.bench.state)
        bench = self.query_one("#bench")
        bench.display = bool(rows)
        title = "Instruments · safe state" if source.state.safe else "Instruments"
        if bench.border_title != title:  # setting it draws the whole panel anew, four times a second over a slow line
            bench.border_title = title
        self.query_one(InstrumentPanel).show(rows)

    def _columns(self, spec: CampaignSpec) -> tuple[list[tuple[str, int]], int]:
        columns = view.trial_columns(list(spec.outcomes), list(view.units(spec)))
        return columns, len(columns) - len(view.units(spec))

    def _row(self, number: int) -> Row:
        spec = self.source.spec
        assert spec is not None
        trial = self.source.state.trials[number]
        cells = view.trial_cells(trial, list(spec.outcomes), list(view.units(spec)), number in self._best)
        return cells, view.mark_of(trial)[1]

    def _show_trials(self, spec: CampaignSpec, trials: set[int]) -> None:
        state = self.source.state
        if self._course is None:
            self._course = course_of(spec, state)
        else:
            self._course.update(state.trials[number] for number in sorted(trials))
        self._best = {trial.trial for trial in self._course.leaders}
        self.query_one(TrialTable).update(sorted(trials))
        self._show_curve(spec)

    def _show_curve(self, spec: CampaignSpec) -> None:
        outcomes = list(spec.outcomes)
        if not outcomes or self._course is None:
            return
        points = curve(spec, self.source.state, outcomes[self._outcome % len(outcomes)], self._course)
        plot = self.query_one(CurvePlot)
        self.query_one("#course").border_title = Text(points.title)
        self.query_one("#legend", Static).update(Text(f"{points.goal}    {FRONT_LEGEND if points.front else LEGEND}"))
        plot.show(points)

    def _follow_up(self, change: Change) -> None:
        allowed = tuple(self.check_action(action, ()) for action in ("ask", "stop", "answer", "approve", "by_hand"))
        allowed += (self.source.state.state == PAUSED,)
        if allowed != self._allowed:
            self._allowed = allowed
            self.refresh_bindings()
            self.app.screen.refresh_bindings()
        for screen in self.app.screen_stack:
            if isinstance(screen, TrialsPage):
                screen.show_best(self._best)
            if isinstance(screen, Page) and screen.ready:
                screen.follow(change)

    # --- keys -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Say which keys do something now."""
        return self._listed if action == "back" else super().check_action(action, parameters)

    def trial_in_hand(self) -> int | None:
        """The trial whose page is open, or under the cursor."""
        pages = [
            screen for screen in self.app.screen_stack if isinstance(screen, TrialPage | TrialsPage) and screen.ready
        ]
        return pages[-1].trial if pages else self.query_one(TrialTable).trial

    @property
    def is_looked_at(self) -> bool:
        """Whether a person sees this run now, and no question."""
        above = self.app.screen_stack[self.app.screen_stack.index(self) + 1 :]
        return all(isinstance(screen, Page) for screen in above)

    def action_outcome(self) -> None:
        """Plot another outcome."""
        if self.source.spec is not None and self._loaded:
            self._outcome += 1
            self._show_curve(self.source.spec)

    def on_trial_table_opened(self, message: TrialTable.Opened) -> None:
        """Open a trial's page."""
        self.open_trial(message.trial)

    def open_trial(self, number: int) -> None:
        """Open a trial's page on top of whatever is shown."""
        self._open(TrialPage(self.source, number, self._zone))

    def _open(self, page: Page, instead: bool = False) -> None:
        if self._head is not None:
            page.show_head(self._head, self.run_name)
        page.show_trouble(self._trouble)
        if instead:  # the overview is not drawn in between
            self.app.switch_screen(page)
        else:
            self.app.push_screen(page)

    def go(self, name: str) -> None:
        """To another screen of this run, from wherever one stands; a question on top is answered first."""
        above = self.app.screen_stack[self.app.screen_stack.index(self) + 1 :]
        if not self.is_looked_at:
            return
        made: dict[str, Callable[[], Page]] = {
            "trials": lambda: TrialsPage(self.source, self._best),
            "bench": lambda: BenchPage(self.source, self._zone),
            "timeline": lambda: TimelinePage(self.source),
            "log": lambda: LogPage(self.source, self._zone),
            "wire": lambda: WirePage(self.source),
            "model": lambda: ModelPage(self.source),
        }
        for screen in reversed(above[1:] if name in made else above):
            screen.dismiss(None)
        if name in made:
            self._open(made[name](), instead=bool(above))

    def go_to_figure(self, kind: Kind) -> None:
        """To one of the model's figures."""
        if not isinstance(self.app.screen, ModelPage):
            self.go("model")
        if isinstance(self.app.screen, ModelPage):
            self.app.screen.choose(kind)

    def commands(self) -> Iterator[SystemCommand]:
        """What the palette offers on this run."""
        for key, name, title in SCREENS:
            yield SystemCommand(title, f"screen, key {key}", partial(self.go, name))
        yield SystemCommand("Exchanges", "what passed on each line last, byte by byte", partial(self.go, "wire"))
        for kind, words in FIGURES.items():
            yield SystemCommand(f"Model: {kind}", words, partial(self.go_to_figure, kind))
        yield from self.acts()
        yield SystemCommand("Keys", "all keys, and what the marks mean", self._keys)

    def _keys(self) -> None:
        """Those of the screen that is looked at first."""
        page = self.app.screen
        (page if isinstance(page, Page) else self).action_help()

    def action_help(self) -> None:
        """Open the keys."""
        self.app.push_screen(Help(getattr(self.app, "keys", {})))

    def action_back(self) -> None:
        """To the list of runs."""
        self.dismiss(None)
