"""The dashboard: a reader of the journal in a process of its own. Quitting or killing it changes nothing in a run."""

import gc
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, ClassVar, Final
from weakref import WeakKeyDictionary

from textual import work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Event, Key
from textual.screen import ModalScreen, Screen

from labloop.journal import inbox, presence

from .asking import typed_ahead
from .command import labloop
from .keymap import read_keys
from .page import Page
from .run_screen import RunScreen
from .runs_screen import RunsScreen
from .source import JOURNAL, RunSource, utc_now

# How long the first ctrl+x waits for the second: long enough for cold fingers, too short to be armed by accident.
ABORT_WITHIN_S: Final = 3.0
# Facts are kept and hold no cycles: looking for some after every few hundred of them took 40 % of the time that a
# journal of 200,000 facts needs to open (2.2 s of the processor, 1.3 s with this).
COLLECT_AFTER: Final = (100_000, 50, 1000)


class DashboardApp(App[None]):
    """Shows ``run_folder``, or (None) the list of all runs below ``below``. ``by``: who presses the keys."""

    CSS_PATH = "dashboard.tcss"
    SUSPENDED_SCREEN_CLASS = "-below"  # under a question
    TITLE = "labloop"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-middle"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+x", "abort", "Abort", key_display="^x ^x", priority=True),
    ]

    def __init__(
        self,
        run_folder: Path | None,
        read_only: bool = False,
        *,
        by: str = "",
        below: Path | None = None,
        now: Callable[[], datetime] = utc_now,
        look: Callable[[Path], str] = presence.look,
        zone: tzinfo | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.keys = dict(keys or {})  # of this user, by name (see keymap)
        self.run_folder, self._read_only, self._below = run_folder, read_only, below or Path.cwd()
        self._now, self._look, self._zone = now, look, zone
        self._by = by or inbox.user()
        self._armed = False
        self._came_on: WeakKeyDictionary[Key, Screen[Any]] = WeakKeyDictionary()

    def on_mount(self) -> None:
        """Open the run, or the list."""
        self.set_keymap(self.keys)
        if self.run_folder is not None:
            self.open_run(self.run_folder, listed=False)
        else:
            self.push_screen(RunsScreen(self._below, self._source, self.open_run, self._zone))

    def open_run(self, folder: Path, listed: bool = True) -> None:
        """Show one run on top."""
        name = str(folder.relative_to(self._below)) if folder.is_relative_to(self._below) else str(folder)
        self.push_screen(RunScreen(self._source(folder), name, self._zone, listed))

    def _source(self, folder: Path) -> RunSource:
        return RunSource(folder, self._now, self._look, self._by, self._read_only)

    def _run_screen(self) -> RunScreen | None:
        return next((s for s in reversed(self.screen_stack) if isinstance(s, RunScreen)), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Abort is there wherever a run is shown."""
        if action == "command_palette" and isinstance(self.screen, ModalScreen):
            return False  # a question is answered first
        if action in ("act", "go", "quit") and isinstance(self.screen, Page) and self.screen.filter_comes:
            return False  # a letter of the filter that is being opened
        if action == "act":  # the key of a page does what the same key does on the overview
            screen = self._run_screen()
            return screen.check_action(str(parameters[0]), parameters[1:]) if screen is not None else False
        if action == "abort":
            return not self._read_only and self._run_screen() is not None
        return super().check_action(action, parameters)

    async def on_event(self, event: Event) -> None:
        """Remember on which screen a key came."""
        if isinstance(event, Key) and not event.is_forwarded:
            self._came_on[event] = self.screen
        await super().on_event(event)

    def on_key(self, event: Key) -> None:
        """Nothing on a screen has taken it, and it is heard as a key of the screen on top: or it was typed ahead."""
        if typed_ahead(event, self._came_on.get(event), self.screen):
            event.stop()
            event.prevent_default()

    def action_go(self, name: str) -> None:
        """To another screen of the run that is shown."""
        screen = self._run_screen()
        if screen is not None:
            screen.go(name)

    def action_act(self, name: str, *parameters: str) -> None:
        """What the same key does on the overview, where it does something now."""
        screen = self._run_screen()
        if screen is not None and screen.is_looked_at and screen.check_action(name, parameters):
            getattr(screen, f"action_{name}")(*parameters)

    def action_trial(self, number: int) -> None:
        """To a trial's page."""
        screen = self._run_screen()
        if screen is not None:
            screen.open_trial(number)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer in the palette what can be looked at and done now."""
        run = self._run_screen()
        if run is not None:
            yield from run.commands()
            if self.check_action("abort", ()):
                yield SystemCommand("Abort", "to the safe state now; or ctrl+x twice, from anywhere", self.action_abort)
        yield SystemCommand("Quit", "the dashboard; the run goes on", self.exit)

    def action_abort(self) -> None:
        """Abort at the second ctrl+x."""
        screen = self._run_screen()
        if screen is None:
            return
        if not self._armed:
            self._armed = True
            self.set_timer(ABORT_WITHIN_S, self.disarm)
            self.notify(
                "ctrl+x once more: everything stops now and the bench goes to its safe state.",
                title="ABORT?",
                severity="warning",
                timeout=ABORT_WITHIN_S,
                markup=False,
            )
            return
        self.disarm()
        self.clear_notifications()
        if screen.source.runner != "alive":  # also where that cannot be seen
            self._abort_without_runner(screen.source.folder)
        else:
            screen.send("abort")

    @work(thread=True)
    def _abort_without_runner(self, folder: Path) -> None:
        """No runner answers: what the guard would do is done by a process of its own, and said here."""
        self.call_from_thread(
            self.notify, "No runner answers here. Trying to make the bench safe without it.", title="ABORT",
            severity="warning", markup=False,
        )  # fmt: skip
        code, words = labloop("abort", str(folder), "--by", self._by)
        self.call_from_thread(
            self.notify, words, title="ABORT", severity="error" if code else "information", timeout=30, markup=False
        )

    def action_help_quit(self) -> None:
        """Ctrl-C, of which somebody may think that it stops the run."""
        words = "q quits this dashboard, and the run goes on."
        if self._run_screen() is not None and not self._read_only:
            words += " To stop the run: s, or ctrl+x ctrl+x at once."
        self.notify(words, title="Ctrl-C does nothing here", markup=False)

    def disarm(self) -> None:
        """The second ctrl+x came too late, or has done its work."""
        self._armed = False


def watch(path: Path | None, read_only: bool = False, by: str = "") -> int:
    """Show the run in ``path`` (None: a list of all below this folder) until a person quits; give the exit code.

    ``by``: who presses the keys ("": the user of this terminal).
    """
    if not all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on stderr
        sys.stderr.write("labloop watch needs a terminal. `labloop status RUN` prints how a run stands.\n")
        return 2
    return show(path, read_only, by)


def show(path: Path | None, read_only: bool = False, by: str = "") -> int:
    """The same, on whatever Textual draws: a terminal, or a browser's end of a pipe.

    Raises SpecError: the user's file of keys cannot be followed.
    """
    if path is not None and path.name == JOURNAL:
        path = path.parent
    gc.set_threshold(*COLLECT_AFTER)
    app = DashboardApp(path, read_only, by=by, keys=read_keys())
    app.run()
    return app.return_code or 0
