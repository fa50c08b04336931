"""Lines that somebody writes in, over a slow line as well: what comes together is heard in the order of the keys.

Textual's Input hears letters at once, and what edits them (backspace, arrows) only when each screen and the app were
asked about it: of a number that was wiped and written anew in one packet, the wiping came last and took the new digits.
"""

from typing import Final

from textual.binding import Binding
from textual.events import Key
from textual.widgets import Input

EDITS: Final = {
    key: one.action
    for one in Input.BINDINGS
    if isinstance(one, Binding) and one.action != "submit"
    for key in one.key.split(",")
}


class Field(Input):
    """Edits among the letters. Enter comes behind all that was typed: a reason that goes on after it is still whole."""

    async def on_key(self, event: Key) -> None:
        """Backspace and its like, now."""
        if event.key in EDITS:
            event.stop()
            await self.run_action(EDITS[event.key])


class Entry(Field):
    """Hears enter in its place as well, where a second line follows."""

    async def on_key(self, event: Key) -> None:
        """That is it, so far."""
        if event.key == "enter":
            event.stop()
            self.post_message(self.Submitted(self, self.value))
