"""A screen beside the overview: the same keys lead to the others from each of them."""

from typing import ClassVar, Final

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from .help import Help
from .key_line import KeyLine
from .leaving import Leaving
from .source import Change
from .view import Headline
from .widgets import HeadLine

# One key each, the same on every screen: key, name, what it shows. The first is the overview itself.
SCREENS: Final = (
    ("1", "overview", "Overview"),
    ("2", "trials", "Trials"),
    ("3", "bench", "Bench"),
    ("4", "timeline", "Timeline"),
    ("5", "log", "Log"),
    ("6", "model", "Model"),
)
GO: Final[list[BindingType]] = [
    Binding(f"{key},l" if name == "log" else key, f"app.go('{name}')", title, show=False)
    for key, name, title in SCREENS
]

# What a person does with the trial that they look at, wherever they look at it.
ACT: Final[list[BindingType]] = [
    Binding(key, f"app.act('{name}')", title, show=False, id=name)
    for key, name, title in (
        ("y", "approve", "Approve"),
        ("v", "veto", "Veto"),
        ("e", "edit", "Edit"),
        ("t", "add", "Add a trial"),
        ("m", "wrong", "Mark as wrong"),
        ("c", "compare", "Compare"),
    )
]
# What is asked of the run as a whole is the same everywhere: nobody looks for the overview before they press pause.
EVERYWHERE: Final[list[BindingType]] = [
    Binding("p", "app.act('ask', 'pause')", "Pause", show=False, id="pause"),
    Binding("r", "app.act('ask', 'resume')", "Resume", show=False, id="resume"),
    Binding("s", "app.act('stop')", "Stop", show=False, id="stop"),
    Binding("a", "app.act('answer')", "Answer", show=False, id="answer"),
    Binding("n", "app.act('note')", "Note", show=False, id="note"),
]


def names_of_screens() -> Text:
    """Return the keys and names in a line; each can be clicked."""
    line = Text(style="dim")
    for key, name, title in SCREENS:
        line.append(f"{key} {title}", Style.from_meta({"@click": f"app.go('{name}')"}))
        line.append("  ")
    return line


class Page(Leaving[None]):
    """A screen on top of a run's overview; the overview reads the journal and says what is new.

    Its first lines are the overview's: simulated or live, and whether the runner is gone, are seen everywhere.
    """

    # Each page says itself what has the focus. Else it is the line of its filter for a moment, which swallows what is
    # typed ahead: 2 q over a slow line would not quit.
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *GO,
        *EVERYWHERE,
        Binding("escape", "back", "Back"),
        Binding("question_mark", "help", "Help", key_display="?", id="help"),
        Binding("q", "app.quit", "Quit", id="quit"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._told: tuple[Headline, str] | None = None
        self._trouble = ""
        self.ready = False  # its parts are there; a key that comes before that does nothing
        self.filter_comes = False  # one of those was the filter's (see FilteredPage): the next ones are its letters

    def compose(self) -> ComposeResult:
        """The headline, the page's own parts, the keys."""
        head = HeadLine(alone=True, id="head")
        if self._told is not None:
            head.show(*self._told)
        head.explain(self._trouble)
        yield head
        yield from self.parts()
        yield Static(names_of_screens(), id="screens")
        yield KeyLine()

    def on_mount(self) -> None:
        """From now on keys and news may come. Called after the page's own."""
        self.ready = True
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing before the parts are there."""
        return super().check_action(action, parameters) if self.ready else None

    def parts(self) -> ComposeResult:
        """What stands between headline and keys."""
        raise NotImplementedError

    def show_head(self, head: Headline, run: str) -> None:
        """Bring the headline up to date."""
        self._told = head, run
        for shown in self.query(HeadLine):  # none yet while the screen is being made
            shown.show(head, run)

    def show_trouble(self, trouble: str) -> None:
        """Say why nothing of the run can be shown; "": it can."""
        self._trouble = trouble
        for shown in self.query(HeadLine):
            shown.explain(trouble)

    def follow(self, change: Change) -> None:
        """Show what is new."""
        raise NotImplementedError

    def action_help(self) -> None:
        """Open the keys, those of this screen first."""
        declared = [one for one in type(self).__dict__.get("BINDINGS", ()) if isinstance(one, Binding)]
        own = {one.action for one in declared if one not in ACT and one.action != "back"}
        here: dict[str, list[str]] = {}  # as the user's own file of keys has them
        for active in self.active_bindings.values():
            if active.node is self and active.binding.action in own:
                shown = here.setdefault(active.binding.description, [])
                shown.append(self.app.get_key_display(active.binding))
        keys = [("  ".join(dict.fromkeys(shown)), words) for words, shown in here.items()]
        self.app.push_screen(Help(getattr(self.app, "keys", {}), keys))

    def action_back(self) -> None:
        """To the overview."""
        self.dismiss(None)
