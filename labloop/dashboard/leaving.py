"""A screen that is left at most once: Textual takes away whatever lies on top, whichever screen asks for it."""

from typing import Final, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

Said = TypeVar("Said")
CLOSES: Final = "esc: close  ↑↓: more"  # below what is only read


class Leaving(Screen[Said]):
    """Two enters in one packet answer a question once; the second would take the run from below it, and its abort."""

    def dismiss(self, result: Said | None = None) -> AwaitComplete:
        """Leave it, unless it is left already or something lies on top of it."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()


class Question(ModalScreen[Said], Leaving[Said]):
    """A small screen on top of another: that is what its styles are of, and it is left as ``Leaving`` says."""
