"""Small screens on top of another: a question before what hurts, an answer to an act in doubt, and help."""

from collections.abc import Mapping
from typing import ClassVar, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from labloop.campaign import text


class Confirm(ModalScreen[str | None]):
    """Asks before it hurts; gives the reason (maybe empty), or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, words: str, yes: str, *, needs_why: bool = False) -> None:
        super().__init__(classes="dialog")
        self._title, self._words, self._yes, self._needs_why = title, words, yes, needs_why

    def compose(self) -> ComposeResult:
        """Title, what it does, a line for the reason."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            yield Input(placeholder="why?" if self._needs_why else "why? (may be left empty)")
            yield Static(Text(f"enter: {self._yes}    esc: leave it", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Yes."""
        if event.value.strip() or not self._needs_why:
            self.dismiss(event.value.strip())

    def action_no(self) -> None:
        """No."""
        self.dismiss(None)


class Answer(ModalScreen[tuple[str, str] | None]):
    """Offers the answers to an act in doubt; gives (answer, amount), or None for later.

    Only ``done`` takes more: the amount that really moved, where a person can tell, or what was to be read.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "later", "Later")]

    def __init__(self, title: str, question: str, answers: Mapping[str, str]) -> None:
        super().__init__(classes="dialog")
        self._title, self._question, self._answers = title, question, dict(answers)

    def compose(self) -> ComposeResult:
        """The question and one line for each answer."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._question))
            yield OptionList(
                *(
                    Option(Text.assemble((answer, "bold"), f"  {effect}"), id=str(n))
                    for n, (answer, effect) in enumerate(self._answers.items())
                )
            )
            yield Input(placeholder="how much was done, with its unit (may be left empty)")
            yield Static(Text("up/down, enter: answer    esc: later", style="dim"))

    def on_mount(self) -> None:
        """The amount is asked for only after ``done``."""
        self.query_one(Input).display = False
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """One answer was chosen."""
        answer = list(self._answers)[event.option_index]
        done, _, reads = answer.partition(" ")
        if done != "done":
            self.dismiss((answer, ""))
            return
        amount = self.query_one(Input)
        amount.placeholder = reads or amount.placeholder
        amount.display = True
        amount.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """``done``, and how much."""
        self.dismiss(("done", event.value.strip()))

    def action_later(self) -> None:
        """Leave the question open."""
        self.dismiss(None)


class Line(ModalScreen[str | None]):
    """Asks for one line of words; gives it, or None for never mind."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, words: str, example: str) -> None:
        super().__init__(classes="dialog")
        self._title, self._words, self._example = title, words, example

    def compose(self) -> ComposeResult:
        """Title, what is asked for, the line."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            yield Input(placeholder=self._example)
            yield Static(Text("enter: send it    esc: leave it", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is it."""
        if event.value.strip():
            self.dismiss(event.value.strip())

    def action_no(self) -> None:
        """Never mind."""
        self.dismiss(None)


class Words(ModalScreen[None]):
    """Shows what was said, as it was said."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "close", "Close")]

    def __init__(self, title: str, words: str) -> None:
        super().__init__(classes="dialog wide")
        self._title, self._words = title, words

    def compose(self) -> ComposeResult:
        """Title and words."""
        with VerticalScroll():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text("\n".join(text.plain(line) for line in self._words.splitlines())))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)


KEYS: Final = (
    ("p", "pause: no new step starts; what runs is finished"),
    ("r", "resume after a pause (another's: asks why)"),
    ("s", "stop after the current steps (asks first)"),
    ("ctrl+x ctrl+x", "abort: to the safe state now, from anywhere"),
    ("a", "answer what waits for you"),
    ("y  v", "approve, veto a proposal (asks first)"),
    ("n  f", "note for the next shift; a stock was refilled"),
    ("arrows, pgup ...", "move in the trials; left, right: more columns"),
    ("enter", "the trial's own page; w there: why this point"),
    ("o", "plot another outcome"),
    ("1 ... 5", "overview, trials, bench, timeline, log (l)"),
    ("ctrl+p", "palette: every screen and act by its name"),
    ("esc", "back"),
    ("q", "quit the dashboard; the run goes on"),
)
MARKS: Final = (
    "trials  ● measured ▶ running ○ proposed … owed ✗ failed\n"
    "        - abandoned ? in doubt ★ best\n"
    "plot    + first design ● model ▬ best so far │ hoped ± 2 sd"
)


class Help(ModalScreen[None]):
    """All keys, and what the marks mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "close", "Close")]

    def __init__(self) -> None:
        super().__init__(classes="dialog")

    def compose(self) -> ComposeResult:
        """A table of the keys."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for key, words in KEYS:
            table.add_row(key, words)
        with VerticalScroll():
            yield Static(Group(Text("Keys", style="bold"), table, Text(), Text(MARKS)))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
