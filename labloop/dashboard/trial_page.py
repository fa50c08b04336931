"""One trial's page: wished against achieved, hoped against measured, every attempt of every step."""

from datetime import tzinfo
from typing import ClassVar, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from labloop.campaign import text
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import StepState, TrialState
from labloop.campaign.view import duration_s

from . import doing, view
from .command import labloop
from .dialogs import Words
from .page import ACT, Page
from .plot import RawPlot
from .source import BLOBS, Change, RunSource
from .spectrum import raw_of
from .widgets import style_of

WIDE: Final = 110  # below this what was asked and what was achieved stand under each other
STEP_TONES: Final = {"started": "", "finished": "good", "failed": "bad", "in_doubt": "bad"}


class TrialPage(Page):
    """Follows its trial while it runs; left and right go to its neighbours."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "why", "Why", id="why"),
        Binding("left", "neighbour(-1)", "Older", priority=True),
        Binding("right", "neighbour(1)", "Newer", priority=True),
        *ACT,
    ]

    def __init__(self, source: RunSource, trial: int, zone: tzinfo | None) -> None:
        super().__init__()
        self._source, self._trial, self._zone = source, trial, zone

    @property
    def trial(self) -> int:
        """The trial that is shown."""
        return self._trial

    def parts(self) -> ComposeResult:
        """All in one scrolling page."""
        with VerticalScroll(id="page"):
            yield Static(id="trial")
            yield Static(id="steps")
            yield Static(id="raw-title")
            yield RawPlot(id="raw")

    def on_mount(self) -> None:
        """Show it."""
        self.update_trials({self._trial})
        self.query_one("#page").focus()

    def follow(self, change: Change) -> None:
        """Draw anew if something happened to this trial."""
        self.update_trials(change.trials)

    def update_trials(self, trials: set[int]) -> None:
        """Draw anew if this trial is among ``trials``."""
        spec = self._source.spec
        if self._trial not in trials or spec is None:
            return
        trial = self._source.state.trials[self._trial]
        if not self.query("#raw"):
            return  # the screen is being made
        raw = raw_of(trial, self._source.folder / BLOBS)
        proposed = self._source.moment(trial.proposed, self._zone)
        self.query_one("#trial", Static).update(trial_page(self, spec, trial, self._zone, proposed))
        title = self.query_one("#raw-title", Static)
        title.display = raw is not None
        if raw is not None:
            title.update(_title(f"Raw: {raw.name} of {raw.instrument}{f' [{raw.unit}]' if raw.unit else ''}"))
        self.query_one(RawPlot).show(raw)
        steps = Group(_title("Steps: asked and achieved"), _steps(self, trial, self._zone))
        self.query_one("#steps", Static).update(steps)

    def on_resize(self) -> None:
        """Another layout may fit."""
        self.update_trials({self._trial})

    def action_why(self) -> None:
        """Why this point? Asked of a process of its own: it makes the model again, which takes a while."""
        self.notify("The model of that time is made again from the facts ...", title="WHY", markup=False)
        self._ask_why(self._trial)

    @work(thread=True, exclusive=True)
    def _ask_why(self, trial: int) -> None:
        _, words = labloop("why", str(self._source.folder), str(trial))
        self.app.call_from_thread(self._tell_why, trial, words)

    def _tell_why(self, trial: int, words: str) -> None:
        if self.is_current and trial == self._trial:  # else a person went on meanwhile
            self.app.clear_notifications()
            self.app.push_screen(Words(f"Why trial {trial}?", words))

    def action_neighbour(self, by: int) -> None:
        """To the trial before or after this one."""
        numbers = sorted(self._source.state.trials)
        at = numbers.index(self._trial) + by
        if 0 <= at < len(numbers):
            self._trial = numbers[at]
            self.query_one("#page", VerticalScroll).scroll_home(animate=False)
            self.update_trials({self._trial})


def trial_page(
    widget: Widget, spec: CampaignSpec, trial: TrialState, zone: tzinfo | None, proposed: str
) -> RenderableType:  # fmt: skip
    """Return what stands above the raw reading and the steps. ``proposed``: when that was."""
    parts: list[RenderableType] = [_head(widget, trial, zone, proposed), Text()]
    parts += [_title("Wished"), _settings(spec, trial), Text()]
    parts += [_title("Hoped and measured"), _outcomes(spec, trial), Text()]
    return Group(*parts)


def _title(words: str) -> Text:
    return Text(words, style="bold underline")


def _head(widget: Widget, trial: TrialState, zone: tzinfo | None, proposed: str) -> RenderableType:
    mark, tone, state = view.mark_of(trial)
    took_s = duration_s(trial)
    first = Text.assemble(
        (f"Trial {trial.trial}", "bold"),
        "  ",
        (f"{mark} {state}", style_of(widget, tone)),
        f"  {trial.role}, from {trial.source}, sample {text.plain(trial.sample)}",
    )
    second = Text(f"proposed {proposed}  started {text.clock(trial.started, zone)}", "dim")
    second.append(f"  finished {text.clock(trial.finished, zone)}")
    if took_s is not None:
        second.append(f"  took {text.duration(took_s)}")
    lines = [first, second]
    proposal = trial.proposal
    if proposal.model or proposal.acquisition:
        value = f" = {text.number(proposal.acquisition_value)}" if proposal.acquisition_value is not None else ""
        lines.append(Text(text.plain(f"by {proposal.model}  {proposal.acquisition}{value}"), "dim"))
    for words in (proposal.reason, trial.reason):
        if words:
            lines.append(Text(text.plain(words), style_of(widget, tone) if words == trial.reason else ""))
    for name, fact in trial.withdrawn.items():
        what = f"{name}: marked" if name else "marked"
        why = text.plain(f"{what} as wrong by {fact.by or 'a person'}: {fact.why}")
        lines.append(Text(why, style_of(widget, "warn")))
    if trial.told_by:
        lines.append(Text(text.plain(f"told by {trial.told_by}"), "dim"))
    return Group(*lines)


def _grid(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def _settings(spec: CampaignSpec, trial: TrialState) -> Table:
    table = Table.grid(padding=(0, 2))
    units = view.units(spec)
    for name, value in trial.settings.items():
        unit = units.get(name, "")
        table.add_row(Text(name), Text(text.plain(text.quantity(value, unit))))
    return table


def _outcomes(spec: CampaignSpec, trial: TrialState) -> Table:
    table = _grid("outcome", "hoped", "measured", "off by")
    for name in dict.fromkeys([*spec.outcomes, *trial.outcomes]):
        found = trial.outcomes.get(name)
        table.add_row(
            Text(name),
            Text(view.hoped(trial, name)),
            Text(text.plain(text.reading(found)) if found else "-"),
            Text(view.off(trial, name)),
        )
    return table


def _steps(widget: Widget, trial: TrialState, zone: tzinfo | None) -> RenderableType:
    if not trial.steps:
        return Text("no step has begun", style="dim")
    wide = widget.app.size.width >= WIDE
    if wide:
        table = _grid("at", "step", "state", "took", "asked", "achieved and read")
    else:
        table = _grid("step", "state", "took", "asked → achieved and read")
    table.columns[1 if wide else 0].no_wrap = True
    phase = "trial"
    for step in trial.steps:
        begun = step.begun
        if begun.phase != phase:
            phase = begun.phase
            table.add_row(*([""] if wide else []), Text(phase, style="dim"))
        again = f" (attempt {begun.attempt})" if begun.attempt > 1 else ""
        cells = [
            Text(f"{begun.instrument}.{begun.action}{again}"),
            Text(view.in_words(step.state), style=style_of(widget, STEP_TONES.get(step.state, ""))),
            Text(text.duration(step.ended_t_s - begun.t_s) if step.finished else doing.takes(step) or "-"),
        ]
        asked, came = doing.amounts(begun.settings), _came_of(step)
        if wide:
            table.add_row(Text(text.clock(step.started, zone), style="dim"), *cells, Text(asked), Text(came or "-"))
        else:
            both = Text(asked, style="dim")
            if came:
                line_end = "\n" if asked else ""
                both.append(f"{line_end}→ {came}", style="not dim")
            table.add_row(*cells, both)
    return table


def _came_of(step: StepState) -> str:
    words = [doing.amounts(step.achieved)] if step.achieved else []
    words += [
        f"{name} {text.plain(text.reading(one))}" for name, one in step.readings.items() if name not in step.achieved
    ]
    if step.reason:
        words.append(text.plain(f"{step.fault}: {step.reason}"))
    elif step.question and step.state == "in_doubt":
        words.append(text.plain(step.question))
    return ", ".join(words)
