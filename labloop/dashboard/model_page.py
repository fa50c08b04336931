"""What the planner believes: figures of its model, drawn by a process of its own while this screen is open."""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import Static

from labloop.campaign import text
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.objective import Objective
from labloop.planner.figure import KINDS, Figure, Front, Kind, Map, NoFigure, Parity, Slices, Want

from .curve import goal_words
from .dialogs import Line
from .page import Page
from .painter import Painter
from .picture import Look, Picture
from .slices import LEGEND
from .source import Change, RunSource
from .versus import FRONT_LEGEND, PARITY_LEGEND
from .widgets import say

# What each figure is, for the palette and for the line that says what is being drawn.
FIGURES: Final[dict[Kind, str]] = {
    "slices": "along each parameter",
    "map": "over two parameters",
    "importance": "which parameters matter",
    "parity": "each trial foretold by the others",
    "front": "the wishes against each other",
    "acquisition": "where the next trial is worth most",
}
ACQUISITION: Final = "acquisition"
# A run that measures four times a second is drawn anew no faster than this, and a slow figure not before it was seen
# for some time: nobody reads faster.
REFRESH_S: Final = 2.0
SEEN_FACTOR: Final = 3.0
TICK_S: Final = 1.0


class ModelPage(Page):
    """Asks for a figure and shows it when it comes; asks again when a result is new."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "figure(1)", "Figure", id="figure"),
        Binding("F", "figure(-1)", "Figure back", show=False, id="figure-back"),
        Binding("o", "outcome", "Outcome", id="outcome"),
        Binding("left", "trial(-1)", "Trial", key_display="←→", priority=True),
        Binding("right", "trial(1)", "Trial", key_display="←→", show=False, priority=True),
        Binding("g", "which", "Through which trial", show=False, id="through"),
        Binding("b", "best", "The best trial", show=False, id="best"),
        Binding("x", "axis(0)", "Axes", key_display="xy", id="across"),
        Binding("y", "axis(1)", "Axes", key_display="xy", show=False, id="upwards"),
        Binding("u", "uncertainty", "sd", id="sd"),
        Binding("escape", "back", "Back"),
    ]

    class Drawn(Message):
        """A figure came, or why there is none."""

        def __init__(self, answer: Figure | NoFigure) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self, source: RunSource, kind: Kind = "slices") -> None:
        super().__init__()
        self._source = source
        self._kind: Kind = kind
        self._through: int | None = None
        self._pair: tuple[str, ...] = ()
        self._outcome = 0
        self._sd = False
        self._wishes = (0, 1)
        self._asked = Want(number=0, kind=kind)
        self._asked_s = self._came_s = 0.0
        self._rests_on: tuple[object, ...] = ()
        self._answer: Figure | NoFigure | None = None
        self._painter = Painter(source.folder, self._take)

    def parts(self) -> ComposeResult:
        """Which figures there are, what this one is of, the picture, who says so."""
        yield Static(id="figures")
        yield Static(id="of")
        with VerticalScroll(id="canvas"):
            yield Picture(id="picture")
        yield Static(id="said")

    def on_mount(self) -> None:
        """Ask for the first."""
        self.query_one("#canvas").focus()
        self.set_interval(TICK_S, self._say)
        self._ask()

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        self._painter.close()

    def follow(self, change: Change) -> None:
        """Ask anew if what is shown rests on older results."""
        if self._waits or self._rests_on == self._facts():
            return
        took_s = self._answer.took_s if isinstance(self._answer, Figure) else 0.0
        if monotonic() - self._came_s >= max(REFRESH_S, SEEN_FACTOR * took_s):
            self._ask()

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def _waits(self) -> bool:
        return self._answer is None or self._answer.number != self._asked.number

    def _facts(self) -> tuple[object, ...]:
        state = self._source.state
        return state.last_result, frozenset(state.open_trials), len(state.amendments)

    def _ask(self) -> None:
        number = self._asked.number + 1
        self._asked = Want(number=number, kind=self._kind, through=self._through, pair=self._pair)
        self._asked_s, self._rests_on = monotonic(), self._facts()
        self._say()
        self._painter.want(self._asked)

    def _take(self, answer: Figure | NoFigure) -> None:
        """Called by the painter's thread."""
        self.post_message(self.Drawn(answer))

    @on(Drawn)
    def _show(self, message: Drawn) -> None:
        if message.answer.number != self._asked.number:
            return  # another was asked for meanwhile
        self._answer, self._came_s = message.answer, monotonic()
        self._draw()

    # --- showing ------------------------------------------------------------------------------------------------------

    @property
    def _outcomes(self) -> list[str]:
        spec = self._source.spec
        return list(spec.outcomes) if spec is not None else []

    @property
    def _shown_name(self) -> str:
        """The outcome that is shown."""
        if self._kind == ACQUISITION:
            return ACQUISITION
        return self._outcomes[self._outcome % len(self._outcomes)] if self._outcomes else ""

    @property
    def _objective(self) -> Objective | None:
        """What is wanted now: an amendment may have said it anew."""
        return Objective(self._source.spec) if self._source.spec is not None else None

    def _worth(self) -> Callable[[float], float]:
        """How good a value of the outcome is."""
        objective, name = self._objective, self._shown_name
        if objective is None or name not in objective.goals:
            return lambda value: value
        return partial(objective.utility, name)

    def _look(self) -> Look:
        spec = self._source.spec
        units = {name: outcome.unit for name, outcome in spec.outcomes.items()} if spec is not None else {}
        return Look(self._shown_name, self._worth(), units, self._sd, self._wishes)

    def _draw(self) -> None:
        if not self.query("#picture"):
            return
        picture = self.query_one(Picture)
        answer = self._answer
        if isinstance(answer, Figure) and answer.kind == self._kind:
            picture.show(answer, self._look())
            if isinstance(answer.body, Parity) and (words := answer.body.words.get(self._shown_name)):
                picture.explain(f"{self._shown_name}: {words}")
        elif isinstance(answer, NoFigure) and not self._waits:
            picture.explain(answer.words)
        self._say()
        self.refresh_bindings()

    def _say(self) -> None:
        if not self.query("#said"):
            return
        say(self.query_one("#figures", Static), self._tabs())
        say(self.query_one("#of", Static), self._heading())
        say(self.query_one("#said", Static), self._caption())

    def _tabs(self) -> Text:
        line = Text(no_wrap=True, overflow="ellipsis")
        for kind in KINDS:
            line.append(f" {kind} ", "bold reverse" if kind == self._kind else "")
            line.stylize(Style.from_meta({"@click": f"screen.choose('{kind}')"}), len(line) - len(kind) - 2)
            line.append(" ")
        return line

    def _heading(self) -> Text:
        spec = self._source.spec
        line = Text(no_wrap=True, overflow="ellipsis")
        if self._waits:
            since_s = monotonic() - self._asked_s
            line.append("computing ", "bold")
            line.append(f"{self._words()} ... {since_s:.0f} s")
            return line
        answer = self._answer
        if isinstance(answer, Figure):
            line.append(self._words(), "bold")
            if spec is not None and self._shown_name in spec.outcomes and self._kind in ("slices", "map"):
                line.append(f"  ({goal_words(spec, self._shown_name)})", "dim")
        else:
            line.append(f"no figure: {self._words()}", "dim")
        return line

    def _words(self) -> str:
        """What is shown, or asked for."""
        what = FIGURES[self._kind]
        if self._kind in ("slices", "map", "parity"):
            sd = "sd of " if self._sd and self._kind == "map" else ""
            what = f"{sd}{self._shown_name or 'outcome'}{', ' if self._kind == 'parity' else ' '}{what}"
        if self._kind not in ("slices", "map", ACQUISITION):
            return what
        answer = self._answer
        number = answer.through if isinstance(answer, Figure) and not self._waits else self._through
        objective = self._objective
        best = "of the front" if objective is not None and objective.pareto else "the best"
        known = isinstance(answer, Figure) and not self._waits and answer.is_best
        trial = f"trial {number}{f', {best}' if known else ''}" if number is not None else "the best trial"
        return f"{what}, through {trial}"

    def _caption(self) -> Text:
        answer, line = self._answer, Text()
        if not isinstance(answer, Figure) or answer.kind != self._kind:
            return line
        for note in answer.notes:
            line.append(f"{text.plain(note)}\n", "bold")
        legend = {Slices: LEGEND, Parity: PARITY_LEGEND, Front: FRONT_LEGEND}.get(type(answer.body), "")
        if legend:
            line.append(f"{legend}\n", "dim")
        results = f"{answer.known} results"
        if answer.trials < answer.known:
            results = f"{answer.trials} of {answer.known} results: the best, and others evenly over the run"
        line.append(f"{results}, in {text.duration(answer.took_s)}", "dim")
        if answer.model:
            line.append(f"; {text.plain(answer.model)}", "dim")
        return line

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what does something to this figure."""
        of_trial = self._kind in ("slices", "map", ACQUISITION)
        shown = {
            "outcome": self._kind in ("slices", "map", "parity") and len(self._outcomes) > 1,
            "trial": of_trial,
            "which": of_trial,
            "best": of_trial and self._through is not None,
            "axis": self._has(Map) or self._has(Front),
            "uncertainty": self._kind == "map" and self._has(Map),
        }
        return shown.get(action, True) and super().check_action(action, parameters)

    def _has(self, kind: type[Map] | type[Front]) -> bool:
        return isinstance(self._answer, Figure) and isinstance(self._answer.body, kind)

    def action_figure(self, by: int) -> None:
        """The next kind of figure."""
        self.choose(KINDS[(KINDS.index(self._kind) + by) % len(KINDS)])

    def action_choose(self, kind: Kind) -> None:
        """This kind of figure; with the mouse."""
        self.choose(kind)

    def choose(self, kind: Kind) -> None:
        """Show this kind of figure."""
        self._kind = kind
        if not self.ready:
            return  # it is asked for as soon as there is a place to show it
        self.query_one("#canvas", VerticalScroll).scroll_home(animate=False)
        self._ask()
        self.refresh_bindings()

    def action_outcome(self) -> None:
        """Another outcome: it came with the figure."""
        self._outcome += 1
        self._draw()

    def action_uncertainty(self) -> None:
        """How little is known there, or what is expected."""
        self._sd = not self._sd
        self._draw()

    def action_best(self) -> None:
        """Through the best trial, whichever it is."""
        self._through = None
        self._ask()

    def action_trial(self, by: int) -> None:
        """Through the trial before or after."""
        numbers = sorted(self._source.state.trials)
        answer = self._answer
        here = self._through
        if here is None and isinstance(answer, Figure):
            here = answer.through
        if not numbers:
            return
        at = numbers.index(here) + by if here in numbers else len(numbers) - 1
        if 0 <= at < len(numbers):
            self._through = numbers[at]
            self._ask()

    def action_which(self) -> None:
        """Through a trial by its number."""
        last = max(self._source.state.trials, default=0)
        words = f"Everything else stays as in which trial? A number up to {last}."
        self.app.push_screen(Line("Through which trial?", words, "17"), self._chosen)

    def _chosen(self, line: str | None) -> None:
        if line is None:
            return
        if not line.isdecimal() or int(line) not in self._source.state.trials:
            self.notify(text.plain(f"There is no trial {line}."), severity="warning", markup=False)
            return
        self._through = int(line)
        self._ask()

    def action_axis(self, which: int) -> None:
        """Another parameter across or up; of a front another wish."""
        answer = self._answer
        if not isinstance(answer, Figure) or self._waits:
            return
        if isinstance(answer.body, Front):
            self._wishes = _turned(self._wishes, which, len(answer.body.wishes))
            self._draw()
        elif isinstance(answer.body, Map) and self._source.spec is not None:
            names = list(flat_parameters(self._source.spec.parameters))
            here = names.index(answer.body.across.name), names.index(answer.body.up.name)
            self._pair = tuple(names[at] for at in _turned(here, which, len(names)))
            self._ask()


def _turned(pair: tuple[int, int], which: int, count: int) -> tuple[int, int]:
    """The same with the next of ``count`` at one place; where the other place has it they change places."""
    moved = (pair[which] + 1) % count
    if moved == pair[1 - which]:
        moved = (moved + 1) % count if count > 2 else moved
    if moved == pair[1 - which]:
        return pair[1], pair[0]
    return (moved, pair[1]) if which == 0 else (pair[0], moved)
