"""Questions that are asked over a slow line: what is typed before a question is drawn belongs to it, and is no act.

Keys that come together are given to what has the focus then, which is the screen below a question that the first of
them opens. The app knows on which screen each came, and gives it to the question that lies there now (``typed_ahead``);
those behind them come to the question's line by themselves, maybe sooner. They are put together here, in their order.
An enter among them is no answer, and none of them chooses from a list: nobody has seen the question yet.
"""

from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import CommandPalette
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, Static

from .leaving import Question, Said

# The keys of the screen below do nothing while a question is asked, and are not shown; but this one does.
ABORT: Final = "^x ^x: abort"


class Asking(Question[Said]):
    """A question whose first line takes the letters that came ahead of it, behind what stands there already."""

    def __init__(self, classes: str = "dialog", begun: str = "") -> None:
        super().__init__(classes=classes)
        self._next = len(begun)  # where the next of them goes
        self._ahead: list[str] = []  # of the line itself
        self.is_seen = False  # every key that was pressed before it was there has been heard

    def take(self, event: Key) -> None:
        """A letter that was typed ahead, or what takes the last one back."""
        if event.key == "backspace":
            self._take_back()
        elif event.character is not None and event.is_printable:
            self._ahead.append(event.character)
            self._put()

    def _take_back(self) -> None:
        """The last letter that came ahead, or the last of what stood there already."""
        if self._ahead:
            self._ahead.pop()
            return
        for line in self.query(Input).results():
            cursor, self._next = line.cursor_position, max(self._next - 1, 0)
            line.delete(self._next, self._next + 1)
            line.cursor_position = cursor - 1 if cursor > self._next else cursor
            return

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
            cursor = line.cursor_position
            letters = "".join(self._ahead)
            self._ahead.clear()
            line.insert(letters, self._next)
            line.cursor_position = cursor + len(letters) if cursor >= self._next else cursor
            self._next += len(letters)
            return


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
