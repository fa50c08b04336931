"""Keys of one's own: a YAML file of names and keys, checked before it counts.

    pause: P
    resume: ctrl+r
    help: [question_mark, f1]

Abort stays where it is on every bench: ctrl+x, twice. Who has to stop a stranger's run must not have to look it up; and
as a letter, or as Esc, it would be pressed by accident.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from platformdirs import user_config_path
from textual.binding import Binding
from textual.keys import _character_to_key  # what Textual itself calls the key of a character
from textual.screen import Screen

from labloop.campaign.errors import SpecError
from labloop.campaign.models import did_you_mean
from labloop.campaign.reading import Document, read_document

from .page import GO, Page
from .run_screen import RunScreen
from .runs_screen import RunsScreen

VARIABLE: Final = "LABLOOP_KEYS"
ABORT: Final = ("abort", "ctrl+x")
# What moves, answers and leaves on every screen, and what a terminal sends for something else (ctrl+i is the tab).
KEPT: Final = frozenset({
    "escape", "enter", "tab", "shift+tab", "space", "backspace", "delete", "up", "down", "left", "right", "home",
    "end", "pageup", "pagedown", *(f"ctrl+{letter}" for letter in "chijmpqz"),
})  # fmt: skip
_KEY: Final = re.compile(r"f([1-9]|1[0-2])|ctrl\+[a-z]|[a-z_]{3,}")
_WAY_OUT: Final = "Write a letter, a sign, f1 to f12, or ctrl+ and a letter"


def place_of_keys() -> Path:
    """The file that is read: what LABLOOP_KEYS names, else keys.yaml in the user's configuration."""
    named = os.environ.get(VARIABLE, "")
    return Path(os.path.expanduser(named)) if named else user_config_path("labloop") / "keys.yaml"


def read_keys() -> dict[str, str]:
    """The user's keys, as Textual takes them: {name: "key,key"}; {} without a file.

    Raises SpecError with every complaint; also where LABLOOP_KEYS names a file that is not there.
    """
    path = place_of_keys()
    if not os.environ.get(VARIABLE) and not path.exists():
        return {}
    document = read_document(path)
    return checked(document, screens())


def screens() -> list[type[Screen[Any]]]:
    """Every screen whose keys have names."""
    return [RunScreen, RunsScreen, *_below(Page)]


def _below(kind: type[Screen[Any]]) -> Iterator[type[Screen[Any]]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def bindings_of(screen: type[Screen[Any]]) -> list[Binding]:
    """What a screen's keys do, those of the screens that it is made from included."""
    found: list[Binding] = []
    for kind in screen.__mro__:
        if not kind.__module__.startswith("textual"):
            found += [one for one in kind.__dict__.get("BINDINGS", ()) if isinstance(one, Binding)]
    return found


def checked(document: Document, on: list[type[Screen[Any]]]) -> dict[str, str]:
    """Read the names and keys of a document. Raises SpecError."""
    known = {one.id: one for screen in on for one in bindings_of(screen) if one.id}
    if not isinstance(document.value, dict):
        raise SpecError(document.complaint((), "must be names and keys, like pause: P"))
    complaints, keys = [], dict[str, list[str]]()
    for name, written in document.value.items():
        if name == ABORT[0]:
            rule = "abort is ctrl+x twice on every bench, so that everybody knows it. Take this line out"
            complaints.append(document.complaint((name,), rule, key=True))
        elif name not in known:
            rule = f"no key has this name. {did_you_mean(str(name), known)}"
            complaints.append(document.complaint((name,), rule, key=True))
        else:
            try:
                keys[name] = [_key(one) for one in (written if isinstance(written, list) else [written])]
                if not keys[name]:
                    raise SpecError(f"names no key. {_WAY_OUT}")
            except SpecError as error:
                complaints.append(document.complaint((name,), str(error)))
    complaints += _clashes(document, keys, on)
    if complaints:
        raise SpecError(*dict.fromkeys(complaints))
    return {name: ",".join(found) for name, found in keys.items()}


def _key(written: Any) -> str:
    """Textual's name of a key. Raises SpecError."""
    text = str(written) if isinstance(written, (str, int)) and not isinstance(written, bool) else ""
    if len(text) == 1 and text.isprintable() and not text.isspace():
        key = _character_to_key(text)
    else:
        key = text if _KEY.fullmatch(text) else ""
    if not key:
        raise SpecError(f"is no key. {_WAY_OUT}")
    if key == ABORT[1]:
        raise SpecError("ctrl+x aborts, twice and from anywhere. Take another key")
    screens_have = {key for binding in GO if isinstance(binding, Binding) for key in binding.key.split(",")}
    if key in KEPT | screens_have:
        raise SpecError("means the same on every screen and stays as it is. Take another key")
    return key


def _clashes(document: Document, keys: Mapping[str, list[str]], on: list[type[Screen[Any]]]) -> Iterator[str]:
    for screen in on:
        taken: dict[str, str] = {}
        for binding in sorted(bindings_of(screen), key=lambda one: (one.id or "") in keys):
            name = binding.id or binding.description.lower()
            for key in keys.get(name) or binding.key.split(","):
                if taken.setdefault(key, name) != name and name in keys:
                    yield document.complaint((name,), f"{key} is the key of {taken[key]}. Give one of them another key")
