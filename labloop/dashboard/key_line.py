"""The last line of every screen: the keys that do something there now, each of which can be clicked as well.

Textual's own footer makes a widget of each key, anew whenever one comes or goes: a third of what it cost to go to
another screen. This is one widget and one line.
"""

from typing import Any, ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual.app import RenderResult
from textual.binding import ActiveBinding
from textual.events import MouseDown
from textual.screen import Screen
from textual.widget import Widget

MORE: Final = "…"
# What is there on nearly every screen stands last on each, in this order; a screen's own keys before it.
LAST: Final = ("abort", "back", "help", "app.quit")
WAY_OUT: Final = 2  # so many of the last, help and quit, are there however narrow it is


def _place(action: str) -> int:
    return LAST.index(action) if action in LAST else -1


class KeyLine(Widget):
    """Shows whole keys only; where there is no room for all, the palette goes first, then those before the last."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key", "key-line--words", "key-line--edge"}
    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; text-wrap: nowrap; background: $footer-background; color: $footer-foreground;
        & > .key-line--key { color: $footer-key-foreground; background: $footer-key-background; text-style: bold; }
        & > .key-line--words { color: $footer-description-foreground; background: $footer-description-background; }
        & > .key-line--edge { color: $foreground 20%; }
    }
    """

    def __init__(self, *, palette: bool = True) -> None:
        super().__init__()
        self._with_palette = palette

    def on_mount(self) -> None:
        """Hear when a key comes or goes."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[Any]) -> None:
        self.refresh()

    def _one(self, active: ActiveBinding) -> Text:
        line, binding = Text(), active.binding
        line.append(self.app.get_key_display(binding), self.get_component_rich_style("key-line--key"))
        line.append(f" {binding.description}", self.get_component_rich_style("key-line--words"))
        if not active.enabled:
            line.stylize("dim")
        line.stylize(Style(meta={"press": binding.key}))
        return line

    def _palette(self, active: ActiveBinding | None) -> Text:
        if not self._with_palette or active is None or not active.enabled:
            return Text()
        edge = Text("▏", self.get_component_rich_style("key-line--edge"))
        return edge.append_text(self._one(active)).append(" ")

    def render(self) -> RenderResult:
        """Return the line."""
        width, there = self.size.width, self.screen.active_bindings
        acts: dict[str, ActiveBinding] = {}  # each once, however many keys it has
        for one in there.values():
            if one.binding.show:
                acts.setdefault(one.binding.action, one)
        keys = [self._one(acts[action]) for action in sorted(acts, key=_place)]
        length = sum(key.cell_len + 1 for key in keys)
        if length > width + 1:  # the blank behind the last one needs no room
            while len(keys) > WAY_OUT and length + len(MORE) > width:
                length -= keys.pop(-WAY_OUT - 1).cell_len + 1
            keys.insert(max(len(keys) - WAY_OUT, 0), Text(MORE))
        line = Text(" ").join(keys)
        palette = self._palette(there.get(self.app.COMMAND_PALETTE_BINDING))
        if line.cell_len + 1 + palette.cell_len <= width:
            line.append(" " * (width - line.cell_len - palette.cell_len))
            line.append_text(palette)
        return line

    def on_mouse_down(self, event: MouseDown) -> None:
        """As if the key had been pressed."""
        key = event.style.meta.get("press")
        if key is not None:
            self.app.simulate_key(key)
