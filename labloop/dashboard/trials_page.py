"""All trials on one screen: in any order, and only those that are wanted."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from . import view
from .field import Field
from .filtered import FILTER, FilteredPage
from .page import ACT
from .source import Change, RunSource
from .table import Row, TrialTable
from .trial_list import TRIAL, Wanted, arranged, columns


class TrialsPage(FilteredPage):
    """Follows the run; enter opens a trial."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *FILTER,
        Binding("o", "order(1)", "Order", id="order"),
        Binding("O", "order(-1)", "Order back", show=False, id="order-back"),
        Binding("d", "turn", "Turn", id="turn"),
        *ACT,
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, source: RunSource, best: set[int]) -> None:
        super().__init__()
        self._source, self._best = source, best
        self._column = TRIAL
        self._rising = False
        self._wanted = ""
        self._filled = False  # the table has its columns

    def parts(self) -> ComposeResult:
        """A line for the filter, the table."""
        outcome = next(iter(self._source.spec.outcomes), "") if self._source.spec is not None else ""
        compared = f"{outcome}<0.3  " if outcome else ""
        yield Field(placeholder=f"words, or as in: state=failed  {compared}trial>=20", id="filter", compact=True)
        yield TrialTable(id="trials")

    def on_mount(self) -> None:
        """Show all, newest first; nothing of a run whose campaign is not known yet."""
        self._fill()

    def _fill(self) -> None:
        spec = self._source.spec
        if spec is None:
            return
        self._filled = True
        headings = view.trial_columns(list(spec.outcomes), list(view.units(spec)))
        self.lines.fill(headings, len(headings) - len(view.units(spec)), self._row)
        self._arrange()

    @property
    def lines(self) -> TrialTable:
        """The table."""
        return self.query_one(TrialTable)

    def follow(self, change: Change) -> None:
        """Put new and changed trials where they belong."""
        if not self._filled:
            self._fill()
        elif change.trials:
            self._arrange()

    def show_best(self, best: set[int]) -> None:
        """The best of now."""
        self._best = best

    @property
    def trial(self) -> int | None:
        """The trial under the cursor."""
        return self.lines.trial

    def _row(self, number: int) -> Row:
        spec = self._source.spec
        assert spec is not None
        trial = self._source.state.trials[number]
        cells = view.trial_cells(trial, list(spec.outcomes), list(view.units(spec)), number in self._best)
        return cells, view.mark_of(trial)[1]

    def _arrange(self) -> None:
        spec, trials = self._source.spec, self._source.state.trials
        if spec is None:
            return
        wanted = Wanted(self._wanted, spec)
        numbers = arranged(trials.values(), wanted, self._column, self._rising)
        table = self.lines
        table.show_only(numbers)
        way = "rising" if self._rising else "falling"
        of = f"{len(numbers)} of {len(trials)}" if self._wanted else f"{len(trials)}"
        unknown = f" (no column is called {', '.join(wanted.unknown)})" if wanted.unknown else ""
        table.border_title = Text(f"Trials: {of}{unknown}, by {self._column}, {way}")

    async def on_trial_table_opened(self, message: TrialTable.Opened) -> None:
        """To its page."""
        await self.app.run_action(f"trial({message.trial})")

    def action_order(self, by: int) -> None:
        """Put them in order by another column."""
        spec = self._source.spec
        if spec is None:
            return
        known = columns(spec)
        self._column = known[(known.index(self._column) + by) % len(known)]
        self._rising = self._column != TRIAL
        self._arrange()

    def action_turn(self) -> None:
        """The other way round."""
        self._rising = not self._rising
        self._arrange()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter narrows it."""
        self._wanted = event.value.strip()
        self._arrange()
