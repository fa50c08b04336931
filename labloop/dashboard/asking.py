"""Questions that are asked over a slow line: what is typed before a question is drawn belongs to it, and is no act.

Keys that come together are given to what has the focus then, which is the screen below a question that the first of
them opens. The app knows on which screen each came, and gives it to the question that lies there now (``typed_ahead``);
those behind them come to the question's line by themselves, maybe sooner. They are put together here, in their order.
An enter among them is no answer, and none of them chooses from a list: nobody has seen the question yet.
"""

from typing import Any, ClassVar, Final

from rich.text import Text
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static
from textual.widgets.input import Selection

from .field import EDITS
from .leaving import Question, Said

# The keys of the screen below do nothing while a question is asked, and are not shown; but this one does.
ABORT: Final = "^x ^x: abort"


class Asking(Question[Said]):
    """A question whose first line takes the letters that came ahead of it, behind what stands there already."""

    def __init__(self, classes: str = "dialog", begun: str = "") -> None:
        super().__init__(classes=classes)
        self._at = Selection.cursor(len(begun))  # where the next of them goes
        self._ahead: list[Key] = []  # of the line itself
        self.is_seen = False  # every key that was pressed before it was there has been heard

    def take(self, event: Key) -> None:
        """A letter that was typed ahead, or what edits those before it."""
        if event.key in EDITS or (event.character is not None and event.is_printable):
            self._ahead.append(event)
            self._put()

    def on_mount(self) -> None:
        """Now there is a line."""
        self._put()
        self.app.call_later(self._after_the_app)

    def _after_the_app(self) -> None:
        """Each of them hears one thing after the other: what was before this in the app's turn is in the line's now."""
        for line in self.query(Input).results():
            line.call_later(self.call_later, self._seen)
            return

    def _seen(self) -> None:
        self.is_seen = True

    def _put(self) -> None:
        for line in self.query(Input).results():
            for event in self._ahead:
                self._replay(event, line)
            self._ahead.clear()
            return

    def _replay(self, event: Key, line: Input) -> None:
        """Do in the line what the key does there; what the line has heard by itself meanwhile stays behind it."""
        at, own = self._at.end, line.selection
        behind = line.value[at : own.end]
        line.value = line.value[:at] + line.value[at + len(behind) :]
        line.selection = self._at
        if event.key in EDITS:
            _, action, parameters = parse(EDITS[event.key])
            getattr(line, f"action_{action}")(*parameters)
        elif event.character is not None:
            line.replace(event.character, *sorted(self._at))
        self._at = line.selection
        if behind:
            line.insert(behind, self._at.end)
            line.cursor_position = self._at.end + len(behind)
        elif own.end < at:  # somebody has moved in it since
            line.selection = own


class Waiting(Question[str]):
    """Stands where a question will stand as soon as what it says is known, and gives what was typed for it meanwhile.

    Else it would be heard by the screen below, as keys that do something.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave it")]

    def __init__(self, title: str, words: str) -> None:
        super().__init__(classes="dialog")
        self._title, self._words = title, words
        self.typed = ""
        self.left = False

    def compose(self) -> ComposeResult:
        """What is worked out, and what was typed."""
        with Vertical():
            yield Static(Text(self._title, style="bold"))
            yield Static(Text(self._words))
            yield Static(id="typed")
            yield Static(Text(f"esc: leave it  {ABORT}", style="dim"))

    def on_mount(self) -> None:
        """What was typed so far."""
        self._show()

    def take(self, event: Key) -> None:
        """Keep a letter; the last one can be taken back."""
        if event.key == "backspace":
            self.typed = self.typed[:-1]
        elif event.is_printable and event.character is not None:
            self.typed += event.character
        self._show()

    def _show(self) -> None:
        for shown in self.query("#typed").results(Static):  # none yet while the screen is being made
            shown.display = bool(self.typed)
            shown.update(Text(f"{self.typed}\u2581"))

    def action_leave(self) -> None:
        """It is not wanted any more."""
        self.left = True
        self.dismiss("")


def typed_ahead(event: Key, then: Screen[Any] | None, now: Screen[Any]) -> bool:
    """Give a key that nothing has taken to the question that it was typed for; whether it was.

    ``then``: the screen that lay on top when it came; ``now``: the one that does.
    """
    if not isinstance(now, ModalScreen) or isinstance(now, CommandPalette) or event.key == "escape":
        return False
    unseen = then is not now or (isinstance(now, Asking) and not now.is_seen)
    if isinstance(now, Asking | Waiting) and (unseen or event.is_printable or isinstance(now, Waiting)):
        now.take(event)
        return True
    return unseen
