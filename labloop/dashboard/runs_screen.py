"""All runs below a folder, with their state; each is read a helping at a time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Static

from labloop.campaign import text
from labloop.campaign.bench_time import trials_allowed
from labloop.campaign.state import PAUSED, RUNNING

from . import view
from .help import Help
from .key_line import KeyLine
from .leaving import Leaving
from .source import JOURNAL, RunSource, runs_below
from .widgets import WAITS, say, style_of

POLL_S: Final = 0.5
WORDS: Final = 60  # of why a run cannot be read; its own screen has all of them
# What matters most stands where the narrowest screen shows it; the long words of a run that cannot be read do not.
COLUMNS: Final = ("run", "mode", "state", "trials", "best", "campaign", "last fact")


class RunsScreen(Leaving[None]):
    """Enter opens a run."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Open", priority=True),
        Binding("question_mark", "help", "Help", key_display="?", id="help"),
        Binding("q", "app.quit", "Quit", id="quit"),
    ]

    def __init__(
        self, folder: Path, make: Callable[[Path], RunSource], opened: Callable[[Path], None], zone: tzinfo | None
    ) -> None:
        super().__init__()
        self._folder, self._make, self._opened, self._zone = folder, make, opened, zone
        self._sources: dict[Path, RunSource] = {}
        self._rows: dict[str, list[Text]] = {}
        self.settled = False  # whether all journals were read to their end

    def compose(self) -> ComposeResult:
        """One table."""
        yield Static(id="where")
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield KeyLine(palette=False)

    def on_mount(self) -> None:
        """Look for runs, now and again."""
        self.call_after_refresh(self.tick)

    def on_unmount(self) -> None:
        """Let go of every journal."""
        for source in self._sources.values():
            source.close()

    def tick(self) -> None:
        """Read on in every run that has more, and show all."""
        for folder in runs_below(self._folder):
            if folder not in self._sources:
                self._sources[folder] = self._make(folder)
        changes = {folder: source.poll() for folder, source in self._sources.items()}
        more = any(change.more for change in changes.values())
        order = sorted(changes, key=lambda folder: not self._lives(self._sources[folder]))
        rows = {str(folder): self._cells(folder, self._sources[folder], changes[folder].more) for folder in order}
        if rows != self._rows:
            self._fill(rows)
        self._say()
        self.settled = not more
        self.set_timer(0.001 if more else POLL_S, self.tick)

    def _fill(self, rows: dict[str, list[Text]]) -> None:
        """Fill the table anew: runs are few, and columns become as wide as they must. The cursor stays on its run."""
        table, names = self.query_one(DataTable), list(rows)
        known = list(self._rows)
        under = known[table.cursor_row] if table.cursor_row < len(known) else None
        self._rows = rows
        table.clear(columns=True)
        for at, heading in enumerate(COLUMNS):
            table.add_column(Text(heading), width=max(len(heading), *(cells[at].cell_len for cells in rows.values())))
        for name, cells in rows.items():
            table.add_row(*cells, key=name)
        if under in names:
            table.move_cursor(row=names.index(under), animate=False)

    def _say(self) -> None:
        where = self.query_one("#where", Static)
        if self._sources:
            say(where, Text(f"Runs below {self._folder}", style="bold"))
        else:
            words = Text.assemble(
                ("No run here yet\n\n", "bold"),
                f"Neither {self._folder} nor its folder runs/ holds a journal.\n",
                "Begin one: labloop run campaigns/quickstart.yaml",
            )
            say(where, words)
        self.query_one(DataTable).display = bool(self._sources)

    @staticmethod
    def _lives(source: RunSource) -> bool:
        """Those that somebody runs now stand first; within both, the order in which they were found."""
        return bool(source.state.opened) and source.runner in ("alive", "hung")

    def _cells(self, folder: Path, source: RunSource, more: bool) -> list[Text]:
        name, spec, state = Text(folder.name), source.spec, source.state
        if source.trouble or spec is None or not state.opened:
            trouble = source.trouble.removeprefix(f"{folder}/").removeprefix(f"{JOURNAL}: ")
            word, tone = ("cannot be read", "bad") if trouble else ("no event yet", "quiet")
            words = Text(text.plain(trouble))
            words.truncate(WORDS, overflow="ellipsis")
            return [name, Text(""), Text(word, style_of(self, tone)), Text(""), Text(""), words, Text("")]
        head = view.headline(spec, state, source.runner, source.now(), source.beat_s)
        allowed = trials_allowed(spec, state)
        if head.waits and source.runner == "alive" and state.state in (RUNNING, PAUSED):
            head = replace(head, state=WAITS, state_tone="warn")
        alive = "" if source.runner == "gone" or state.state not in (RUNNING, PAUSED) else f" ({source.runner})"
        return [
            name,
            Text(head.mode, style_of(self, head.mode_tone)),
            Text("reading ..." if more else head.state.lower() + alive, style_of(self, head.state_tone)),
            Text(f"{state.measured}{f'/{allowed}' if allowed is not None else ''}"),
            Text("" if more else view.leaders(spec, state)),
            Text(spec.campaign),
            Text(source.moment(state.at, self._zone), style="dim"),
        ]

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the run."""
        if event.row_key.value is not None:
            self._opened(Path(event.row_key.value))

    def action_open(self) -> None:
        """Open the run under the cursor (the table does that itself while it has the focus)."""
        self.query_one(DataTable).action_select_cursor()

    def action_help(self) -> None:
        """Open the keys."""
        here = (("enter", "open the run under the cursor; esc there comes back"), ("left  right", "more columns"))
        self.app.push_screen(Help(getattr(self.app, "keys", {}), here))
