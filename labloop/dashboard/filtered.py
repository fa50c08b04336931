"""A screen of many lines with a filter above them: what is typed for the filter is never heard as a key of the page.

Keys that come together, over a slow line or from quick hands, are given to what has the focus then, before the first
of them has done anything. So the key of the filter is heard ahead of all others, and gives its line the focus at once.
"""

from typing import Final

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from .page import Page

# The second is for a page that is opened by a key of the same handful: it did not stand on top when they came.
FILTER: Final[list[BindingType]] = [
    Binding("slash", "filter", "Filter", key_display="/", id="filter", priority=True),
    Binding("slash", "filter", "Filter", key_display="/", id="filter", show=False),
]


class FilteredPage(Page):
    """Has an Input ``#filter``, seen while it is in use, and the lines that it narrows."""

    @property
    def lines(self) -> Widget:
        """What has the focus else."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """The lines have the focus, or the filter if its key came before it was there. Called after the page's own."""
        line = self.query_one("#filter", Input)
        line.display = self.filter_comes
        self.set_focus(line if self.filter_comes else self.lines)
        self.filter_comes = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the filter its own key is a letter; before the parts are there it is kept for when they are."""
        if action == "filter":
            return not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Write what is wanted."""
        if not self.ready:
            self.filter_comes = True
            return
        line = self.query_one("#filter", Input)
        line.display = True
        self.set_focus(line)  # focus() would do it after the keys that came with this one

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the lines; the filter stays."""
        event.input.display = bool(event.value.strip())
        self.set_focus(self.lines)

    def action_back(self) -> None:
        """Out of the filter, which is wiped; else to the overview."""
        line = self.query_one("#filter", Input)
        if line.display:
            line.value = ""
            line.display = False
            self.set_focus(self.lines)
        else:
            super().action_back()
