"""The widget that shows a figure of the model: lines of characters at the present size."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.text import Text
from textual.app import RenderResult
from textual.geometry import Size
from textual.widget import Widget

from labloop.campaign import text
from labloop.planner.figure import Figure, Importance, Map, Parity, Slices

from .heat import draw_map
from .slices import draw_importance, draw_slices
from .versus import draw_front, draw_parity

# By what is meant, the theme's colours; without colour the characters tell.
TONES: Final = {
    "mean": "text-primary", "band": "text-secondary", "measured": "text-success", "bad": "text-error"
}  # fmt: skip
PLAIN: Final = {"edge": "dim", "here": "dim"}


@dataclass(frozen=True, slots=True)
class Look:
    """How one looks at a figure. name: the outcome; worth: how good a value of it is; units: of the outcomes.

    sd: how little is known instead of what is expected; wishes: which two of a front, across and up.
    """

    name: str
    worth: Callable[[float], float]
    units: Mapping[str, str]
    sd: bool = False
    wishes: tuple[int, int] = (0, 1)


class Picture(Widget):
    """Draws one figure, anew at each size; higher than its place where not all has room."""

    DEFAULT_CSS = "Picture { width: 1fr; height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draw: Callable[[int, int], list[Text]] | None = None
        self._words = ""
        self._lines: list[Text] = []
        self._drawn_at = (0, 0)

    def show(self, figure: Figure, look: Look) -> None:
        """Draw ``figure`` from now on, as one looks at it."""
        self._draw = lambda width, height: self._of(figure, look, width, height)
        self._words, self._drawn_at = "", (0, 0)
        self.refresh(layout=True)

    def explain(self, words: str) -> None:
        """Say why there is no figure."""
        self._draw, self._words, self._drawn_at = None, words, (0, 0)
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are."""
        return len(self._at(width, container.height))

    def render(self) -> RenderResult:
        """Return the lines."""
        assert isinstance(self.parent, Widget)
        return Text("\n").join(self._at(self.size.width, self.parent.size.height))

    def _at(self, width: int, height: int) -> list[Text]:
        if (width, height) != self._drawn_at:
            self._drawn_at = (width, height)
            self._lines = self._draw(width, height) if self._draw is not None else self._explained(width)
        return self._lines

    def _explained(self, width: int) -> list[Text]:
        if not self._words:
            return [Text()]
        return list(Text(f"\n{text.plain(self._words).rstrip('.')}.").wrap(self.app.console, max(width - 4, 20)))

    def _of(self, figure: Figure, look: Look, width: int, height: int) -> list[Text]:
        styles, body = self._styles(), figure.body
        if isinstance(body, Slices):
            return draw_slices(figure, body, look.name, look.worth, width, height, styles)
        if isinstance(body, Map):
            return draw_map(figure, body, look.name, look.sd, width, height, styles, not self.app.no_color)
        if isinstance(body, Importance):
            return draw_importance(body, width, styles)
        if isinstance(body, Parity):
            return draw_parity(body, look.name, look.units.get(look.name, ""), width, height, styles)
        units = [look.units.get(name, "") for name in body.wishes]
        return draw_front(body, look.wishes, units, width, height, styles)

    def _styles(self) -> dict[str, str]:
        if self.app.no_color:
            return {**PLAIN, "mean": "bold", "measured": "bold", "bad": "bold", "band": ""}
        theme = self.app.theme_variables
        return {**PLAIN, **{tone: theme[name] for tone, name in TONES.items()}}
