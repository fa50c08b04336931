"""A screen that is left at most once, and drawn only where it is seen: Textual, left to itself, does neither."""

from typing import Final, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

Said = TypeVar("Said")
CLOSES: Final = "esc: close  ↑↓: more"  # below what is only read


class Leaving(Screen[Said]):
    """Two enters in one packet answer a question once; the second would take the run from below it, and its abort.

    Textual takes away whatever lies on top, whichever screen asks for it.
    """

    def dismiss(self, result: Said | None = None) -> AwaitComplete:
        """Leave it, unless it is left already or something lies on top of it."""
        return super().dismiss(result) if self.app.screen is self else AwaitComplete()

    def _compositor_refresh(self) -> None:
        """Draw what has changed; below another screen only what shines through.

        Textual draws what lies below any other as if it shone through, and what did once again and again, all of it: 19
        kB a second on a still screen of 80x24, which a line of 9600 baud takes a quarter of a minute for.
        """
        above = self.app.screen
        if above is not self and above.styles.background.a == 1:
            self._compositor._dirty_regions.clear()  # all of it is drawn once it is on top again
            self._dirty_widgets.clear()
            return
        super()._compositor_refresh()
        if above is not self:
            self._repaint_required = False


class Question(ModalScreen[Said], Leaving[Said]):
    """A small screen on top of another: that is what its styles are of, and it is left as ``Leaving`` says."""
