"""Small screens on top of another: a question before what hurts, an answer to an act in doubt, what was said."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import DescendantFocus, Key
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from labloop.campaign import text

from .asking import ABORT, Asking
from .field import Entry, Field
from .leaving import CLOSES, Question, Said


class Confirm(Asking[str | None]):
    """Asks before it hurts; gives the reason (maybe empty), or None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, words: str, yes: str, *, needs_why: bool = False, begun: str = "") -> None:
        super().__init__(begun=begun)
        self._title, self._words, self._yes, self._needs_why = title, words, yes, needs_why
        self._begun = begun

    def compose(self) -> ComposeResult:
        """Title, what it does, a line for the reason."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            why = "why?" if self._needs_why else "why? (may be left empty)"
            yield Field(self._begun, placeholder=why, select_on_focus=False)
            yield Static(Text(f"enter: {self._yes}  esc: leave it  {ABORT}", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Yes."""
        why = event.input.value.strip()  # a letter that came ahead may have been put into it since
        if self.is_seen and (why or not self._needs_why):
            self.dismiss(why)

    def action_no(self) -> None:
        """No."""
        self.dismiss(None)


class Listed(Question[Said]):
    """A list, and a line beside it, which has the focus only later.

    A letter that comes before that is lost on the list, and 12.5 uL would be 2.5 uL: the line is asked for once more.
    """

    def __init__(self) -> None:
        super().__init__(classes="dialog")
        self._lost = False

    def on_key(self, event: Key) -> None:
        """No line has taken it."""
        self._lost = self._lost or event.is_printable

    def is_whole(self, line: Input) -> bool:
        """Whether nothing of it was lost; else it is emptied and says so."""
        if not self._lost:
            return True
        self._lost = False
        line.value, line.placeholder = "", "typed before this line was there: once more, please"
        return False


class Answer(Listed[tuple[str, str] | None]):
    """Offers the answers to an act in doubt; gives (answer, amount), or None for later.

    Only ``done`` takes more: the amount that really moved, where a person can tell, or what was to be read.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "later", "Later")]

    def __init__(self, title: str, question: str, answers: Mapping[str, str]) -> None:
        super().__init__()
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
            yield Field(placeholder="how much was done, with its unit (may be left empty)")
            yield Static(Text(f"up/down, enter: answer  esc: later  {ABORT}", style="dim"))

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
        self.set_focus(amount)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """``done``, and how much."""
        if self.is_whole(event.input):
            self.dismiss(("done", event.value.strip()))

    def action_later(self) -> None:
        """Leave the question open."""
        self.dismiss(None)


class Line(Asking[str | None]):
    """Asks for one line of words; gives it, or None for never mind."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(
        self, title: str, words: str, example: str, *, begun: str = "", may_be_empty: bool = False, yes: str = "send it"
    ) -> None:
        super().__init__(begun=begun)
        self._title, self._words, self._example = title, words, example
        self._begun, self._may_be_empty, self._yes = begun, may_be_empty, yes

    def compose(self) -> ComposeResult:
        """Title, what is asked for, the line."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            yield Field(self._begun, placeholder=self._example, select_on_focus=False)
            yield Static(Text(f"enter: {self._yes}  esc: leave it  {ABORT}", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """That is it."""
        line = event.input.value.strip()
        if self.is_seen and (line or self._may_be_empty):
            self.dismiss(line)

    def action_no(self) -> None:
        """Never mind."""
        self.dismiss(None)


class Pick(Question[int | None]):
    """Asks which of some things is meant; gives its number from 0, or None for never mind."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, things: Sequence[tuple[str, str]]) -> None:
        super().__init__(classes="dialog")
        self._title, self._things = title, things

    def compose(self) -> ComposeResult:
        """Title, and a line for each thing."""
        across = max(len(name) for name, _ in self._things)
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield OptionList(
                *(
                    Option(Text.assemble((name.ljust(across), "bold"), f"  {now}", no_wrap=True, overflow="ellipsis"))
                    for name, now in self._things
                ),
                classes="long",
            )
            yield Static(Text(f"up/down, enter: this one  esc: leave it  {ABORT}", style="dim"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """This one."""
        self.dismiss(event.option_index)

    def action_no(self) -> None:
        """Never mind."""
        self.dismiss(None)


class Wish(Asking[tuple[str, str] | None]):
    """Asks for one line of words, which may be begun, and why; gives both, or None for never mind."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "no", "No")]

    def __init__(self, title: str, words: str, begun: str, example: str) -> None:
        super().__init__("dialog wide", begun)
        self._title, self._words, self._begun, self._example = title, words, begun, example
        self._line: str | None = None  # as it was at the enter behind it

    def compose(self) -> ComposeResult:
        """Title, what it does, the line, the reason."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            yield Entry(self._begun, placeholder=self._example, id="line", select_on_focus=False)
            yield Entry(placeholder="why? (may be left empty)", id="why")
            yield Static(Text(f"enter: on, then send it  esc: leave it  {ABORT}", style="dim"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """From the line to the reason, and then that is it."""
        if not self.is_seen:
            return
        line, why = self.query_one("#line", Input), self.query_one("#why", Input)
        if event.input is why:
            if line.value.strip():
                self.dismiss((line.value.strip(), event.value.strip()))
        elif self.focused is line and event.value.strip():
            self._line = event.value
            self.set_focus(why)
            self._take_late_letters()

    def on_input_changed(self, event: Input.Changed) -> None:
        """What comes into the line after it was left was typed for the reason."""
        if event.input.id == "line" and self.focused is not event.input:
            self._take_late_letters()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Back in the line: it is not left any more."""
        if event.widget.id == "line":
            self._line = None

    def _take_late_letters(self) -> None:
        line, why = self.query_one("#line", Input), self.query_one("#why", Input)
        if self._line is not None and line.value != self._line:
            if line.value.startswith(self._line):
                why.insert(line.value.removeprefix(self._line), len(why.value))
            line.value = self._line

    def action_no(self) -> None:
        """Never mind."""
        self.dismiss(None)


class Compare(Listed[tuple[str, str, str, str] | None]):
    """Asks which of two trials is better; gives (trial, over or like, other, why), or None for later.

    Two others than those that are offered may be written. ``begun``: of the reason.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "later", "Later")]

    def __init__(self, both: Mapping[int, str], worth_it: bool, *, begun: str = "") -> None:
        super().__init__()
        self.add_class("wide")
        self._both, self._worth_it, self._begun = dict(both), worth_it, begun
        self._said: tuple[str, str, str] | None = None

    def compose(self) -> ComposeResult:
        """Both trials, the answers, a line for another pair, the reason."""
        one, other = self._both
        with Vertical():
            yield Static(Text("Which is better?", style="bold"))
            for number, made in self._both.items():
                yield Static(Text.assemble((f"trial {number}  ", "bold"), made))
            if not self._worth_it:
                yield Static(Text("No answer could change much which of all is best."))
            yield OptionList(
                Option(f"trial {one} is better", id=f"{one} over {other}"),
                Option(f"trial {other} is better", id=f"{other} over {one}"),
                Option("I cannot tell: they are as good as each other", id=f"{one} like {other}"),
            )
            yield Field(placeholder="or two others: 7 over 3, 7 like 3", id="line")
            yield Field(self._begun, placeholder="why? (may be left empty)", id="why", select_on_focus=False)
            yield Static(Text(f"up/down, enter: answer  tab: two others  esc: later  {ABORT}", style="dim"))

    def on_mount(self) -> None:
        """The reason comes last."""
        self.query_one("#why").display = False
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """One of the answers; now the reason."""
        self._take(str(event.option_id))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Two others, or the reason."""
        if event.input.id == "line":
            if self.is_whole(event.input):
                self._take(event.value)
        elif self._said is not None:
            self.dismiss((*self._said, event.value.strip()))

    def _take(self, said: str) -> None:
        words = said.split()
        if len(words) != 3 or words[1] not in ("over", "like") or not (words[0] + words[2]).isdecimal():
            return
        self._said = words[0], words[1], words[2]
        self.query_one(OptionList).disabled = True
        self.query_one("#line").display = False  # 24 lines hold no more
        why = self.query_one("#why", Input)
        why.display = True
        self.set_focus(why)

    def action_later(self) -> None:
        """Another time."""
        self.dismiss(None)


class Words(Question[None]):
    """Shows what was said, as it was said."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "close", "Close")]

    def __init__(self, title: str, words: str) -> None:
        super().__init__(classes="dialog wide")
        self._title, self._words = title, words

    def compose(self) -> ComposeResult:
        """Title and words."""
        with VerticalScroll() as box:
            box.border_subtitle = CLOSES
            yield Static(Text(self._title, style="bold"))
            yield Static(Text("\n".join(text.plain(line) for line in self._words.splitlines())))

    def action_close(self) -> None:
        """Back."""
        self.dismiss(None)
