"""All keys, and what the marks mean."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from .leaving import CLOSES, Question

KEYS: Final = (
    ("p", "pause: no new step starts; what runs is finished"),
    ("r", "resume after a pause (another's: asks why)"),
    ("s", "stop after the current steps (asks first)"),
    ("ctrl+x ctrl+x", "abort: to the safe state now, from anywhere"),
    ("a", "answer what waits for you"),
    ("y  v  e", "approve, veto, edit a proposal (asks first)"),
    ("t  m", "add a trial of your own; mark a result as wrong"),
    ("c", "compare two trials (goal: prefer)"),
    ("h", "one act by hand, while the run is paused"),
    ("n  f", "note for the next shift; a stock was refilled"),
    ("arrows, pgup ...", "move in the trials; left, right: more columns"),
    ("enter", "the trial's own page; w there: why this point"),
    ("o", "plot another outcome"),
    ("1 ... 6", "overview, trials, bench, timeline, log (l), model"),
    ("ctrl+p", "palette: every screen and act by its name"),
    ("esc", "back"),
    ("q", "quit the dashboard; the run goes on"),
)
MARKS: Final = (
    "trials  ● measured ▶ running ○ proposed … owed ✗ failed\n"
    "        - abandoned ? in doubt ⊘ marked as wrong ★ best\n"
    "plot    + first design ● model ▬ best so far │ hoped ± 2 sd"
)


class Help(Question[None]):
    """All keys, and what the marks mean. ``own``: the user's own, by name; ``here``: those of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", "Close")]

    def __init__(self, own: Mapping[str, str], here: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(classes="dialog")
        self._here = here
        self._own = ", ".join(f"{name} {key.replace(',', ' or ')}" for name, key in own.items())

    def compose(self) -> ComposeResult:
        """A table of the keys."""
        with VerticalScroll() as box:
            box.border_subtitle = CLOSES
            if self._own:
                yield Static(Text(f"Your own keys: {self._own}"))
            if self._here:
                yield Static(Group(Text("Keys of this screen", style="bold"), self._table(self._here)))
            yield Static(Group(Text("Keys", style="bold"), self._table(KEYS), Text(), Text(MARKS)))

    @staticmethod
    def _table(keys: Sequence[tuple[str, str]]) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True, min_width=max(len(key) for key, _ in KEYS))
        table.add_column()
        for key, words in keys:
            table.add_row(key, words)
        return table

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
