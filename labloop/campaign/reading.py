"""A YAML file as plain values, with the place of each: what a person wrote and where.

YAML 1.2, read from the parser's events, so that nothing is built before it is known to be harmless: no tags, no
second document, each key once, at most ``DEEPEST`` levels, ``MOST_VALUES`` values (aliases counted each time they are
used) and ``LONGEST_FILE`` bytes. Plain scalars mean what a chemist means: 1e3 is a number, 012 is 12, on / no / 1:30
are words.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from .errors import SpecError
from .units import quote

LONGEST_FILE = 1_000_000  # bytes; the longest campaign we know has 20 kB, tables go into CSV files
MOST_VALUES = 10_000  # the parser reads some 30 000 values a second; more belong into a table
LONGEST_KEY = 80  # characters of a key that a message shows
DEEPEST = 50  # the grammar itself needs 8

Path_: TypeAlias = tuple[str | int, ...]

_LONG_TAG = re.compile(r"!\S{200}")  # the parser's time grows with the square of a tag's length
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,64}")
_OCTAL = re.compile(r"0o[0-7]{1,64}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    ".inf": float("inf"), ".Inf": float("inf"), ".INF": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"),
}  # fmt: skip


def path_text(path: Path_) -> str:
    """Write a path as a person would: ``trial[0].together[1]``; a key that is no word is shown quoted."""
    text = ""
    for part in path:
        key = f"[{part}]" if isinstance(part, int) else _key_text(part)
        text += key if isinstance(part, int) or not text else f".{key}"
    return text


def _key_text(key: str) -> str:
    return key if len(key) <= LONGEST_KEY and key.isprintable() else quote(key)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and the places of keys and values.

    ``name`` is the file as the reader named it, empty for a dict; ``text`` the file's exact text.
    """

    value: Any
    name: str = ""
    text: str = ""
    values: Mapping[Path_, tuple[int, int]] = field(default_factory=dict)
    keys: Mapping[Path_, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path_, key: bool = False) -> str:
        """Say where the value (or the key) at ``path`` stands, or the nearest thing around it that is written."""
        if not self.name:
            return ""
        for length in range(len(path), -1, -1):
            part = path[:length]
            named, found = self.keys.get(part), self.values.get(part)
            if named is not None and found is not None and (key or length < len(path) or named[0] != found[0]):
                found = named  # of a block that begins in the next line, the key is the place
            if found is not None:
                return f"{self.name}:{found[0]}:{found[1]}"
        return f"{self.name}:1:1"

    def complaint(self, path: Path_, rule: str, *, key: bool = False, show: bool = True) -> str:
        """Write a complaint: place, path, value, rule and way out."""
        subject = path_text(path) or "the file"
        if show and not key and path:
            found, value = self.at(path)
            if found:
                subject += f" = {bare(value)}"
                rule = rule.removeprefix(f"{quote(value)} ") if isinstance(value, str) else rule
        place = self.place(path, key)
        return f"{place}: {subject}: {rule}" if place else f"{subject}: {rule}"

    def at(self, path: Path_) -> tuple[bool, Any]:
        """Find the value written at ``path``."""
        value = self.value
        for part in path:
            if holds(value, part):
                value = value[part]
            else:
                return False, None
        return True, value


def holds(value: Any, part: str | int) -> bool:
    """Whether a dict has that key, or a list that index."""
    return (
        isinstance(part, int) and part < len(value)
        if isinstance(value, list)
        else isinstance(value, dict) and part in value
    )


def bare(value: Any) -> str:
    """Show a value as it is written in YAML, cut to 80 characters."""
    if isinstance(value, str) and len(value) <= 78 and value.isprintable() and value:
        return value
    return {None: "(nothing)", True: "true", False: "false"}[value] if _is_word(value) else quote(value)


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def read_document(path: Path | str, name: str | None = None) -> Document:
    """Read a YAML file. Raises SpecError for a file that is missing, too long, no text, or no harmless mapping."""
    name = str(path) if name is None else name
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise SpecError(f"{name}: is a folder. Name the YAML file in it")
        if not stat.S_ISREG(status.st_mode):
            raise SpecError(f"{name}: is not a plain file. Name a YAML file")
        if status.st_size > LONGEST_FILE:
            raise SpecError(f"{name}:1:1: {_too_long(status.st_size)}")
        with open(path, "rb") as file:
            data = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecError(f"{name}: there is no such file. Check the path (it starts at {Path.cwd()})") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"{name}: cannot be read ({error}). Check its permissions") from error
    return read_text(data, name)


def read_text(data: bytes | str, name: str) -> Document:
    """Read YAML from bytes or text; see ``read_document``."""
    if len(data) > LONGEST_FILE:
        raise SpecError(f"{name}:1:1: {_too_long(len(data))}")
    if isinstance(data, bytes):
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start]
            line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
            raise SpecError(
                f"{name}:{line}:{column}: the byte {data[error.start : error.start + 1]!r} is not UTF-8. "
                "Save the file as UTF-8"
            ) from None
    else:
        text = data
    return _Builder(text, name).document()


def _too_long(size: int) -> str:
    return f"the file has {size} bytes, and {LONGEST_FILE} are the most. Put tables into CSV files and name them"


@dataclass(slots=True)
class _Anchor:
    value: Any
    count: int
    open: bool = True


class _Builder:
    """Builds one document from the parser's events."""

    def __init__(self, text: str, name: str) -> None:
        self._text, self._name = text, name
        self._values: dict[Path_, tuple[int, int]] = {}
        self._keys: dict[Path_, tuple[int, int]] = {}
        self._complaints: list[str] = []
        self._anchors: dict[str, _Anchor] = {}
        self._count = 0

    def document(self) -> Document:
        if not self._text.strip():
            raise SpecError(f"{self._name}:1:1: the file is empty. A file begins with labloop: 1")
        if (tag := _LONG_TAG.search(self._text)) is not None:
            line, column = (
                self._text.count("\n", 0, tag.start()) + 1,
                tag.start() - self._text.rfind("\n", 0, tag.start()),
            )
            raise SpecError(f"{self._name}:{line}:{column}: a tag of more than 200 characters is refused. Take it out")
        try:
            self._events = self._parse()
            value = self._root()
        except ReaderError as error:
            before = self._text[: error.position or 0]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            raise SpecError(
                f"{self._name}:{line}:{column}: character {error.character!r} is not allowed in YAML. Take it out"
            ) from None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{mark.line + 1}:{mark.column + 1}" if mark is not None else "1:1"
            problem = " ".join(str(error.problem or error.context or "cannot be read").split())[:200]
            raise SpecError(f"{self._name}:{place}: this is not YAML: {problem}. {_advice(problem)}") from None
        except (YAMLError, ValueError, RecursionError, AttributeError, IndexError) as error:
            # ruamel answers some broken input with errors of its own making
            raise SpecError(f"{self._name}:1:1: this is not YAML ({quote(str(error))}). Check the syntax") from None
        if self._complaints:
            raise SpecError(*self._complaints)
        return Document(value, self._name, self._text, self._values, self._keys)

    def _parse(self) -> Iterator[Event]:
        yaml = YAML(typ="rt", pure=True)
        depth = 0
        for event in yaml.parse(self._text):
            if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
                depth += 1
                if depth > DEEPEST:
                    raise SpecError(f"{self._at(event)}: nested deeper than {DEEPEST} levels. Write it flatter")
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                depth -= 1
            tag = getattr(event, "tag", None)
            if tag is not None and str(tag) not in ("", "None", "!"):
                raise SpecError(
                    f"{self._at(event)}: the tag {quote(str(tag))} is refused. Take it out, plain values do"
                )
            yield event

    def _at(self, event: Event) -> str:
        mark = event.start_mark
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"

    def _root(self) -> Any:
        value, seen = None, False
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if seen:
                    raise SpecError(f"{self._at(event)}: a second document begins here. Keep one document in the file")
                seen = True
            elif isinstance(event, (MappingStartEvent, SequenceStartEvent, ScalarEvent, AliasEvent)):
                if not isinstance(event, MappingStartEvent):
                    kind = "a list" if isinstance(event, SequenceStartEvent) else "a single value"
                    raise SpecError(
                        f"{self._at(event)}: the file is {kind}, and must be keys and values. See docs/yaml.md"
                    )
                value = self._build(event, ())
        if not seen:
            raise SpecError(f"{self._name}:1:1: the file holds no values. A file begins with labloop: 1")
        return value

    def _build(self, event: Event, path: Path_) -> Any:
        self._values[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        self._counted(1, event)
        if isinstance(event, AliasEvent):
            anchor = self._anchors.get(str(event.anchor))
            if anchor is None or anchor.open:
                rule = "is used before it is set" if anchor is None else "contains itself"
                raise SpecError(
                    f"{self._at(event)}: the alias *{quote(event.anchor)[1:-1]} {rule}. Write the value out"
                )
            self._counted(anchor.count, event)
            return anchor.value
        before = self._count
        anchor = None
        name = getattr(event, "anchor", None)
        if name is not None:
            anchor = self._anchors[str(name)] = _Anchor(None, 1)
        if isinstance(event, ScalarEvent):
            value = scalar(event.value) if event.style is None and _is_plain(event) else str(event.value)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if anchor is not None:
            anchor.value, anchor.count, anchor.open = value, self._count - before + 1, False
        return value

    def _counted(self, count: int, event: Event) -> None:
        self._count += count
        if self._count > MOST_VALUES:
            raise SpecError(
                f"{self._at(event)}: more than {MOST_VALUES} values stand here (aliases counted as often as they are "
                "used). Put tables into CSV files and name them"
            )

    def _sequence(self, path: Path_) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._build(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path_) -> dict[str, Any]:
        items: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            if not isinstance(event, ScalarEvent):
                raise SpecError(f"{self._at(event)}: a key must be a plain word. Write word: value")
            key = str(event.value)
            here = (*path, key)
            self._counted(1, event)
            if event.anchor is not None:
                self._anchors[str(event.anchor)] = _Anchor(key, 1, open=False)
            repeated = key in items
            if repeated:
                first = self._keys[here]
                self._complaints.append(
                    f"{self._at(event)}: {path_text(here)[:120]}: this key stands twice (first in line {first[0]}). "
                    "Keep one of the two"
                )
                self._build(next(self._events), (*path, key, "(again)"))
            else:
                self._keys[here] = (event.start_mark.line + 1, event.start_mark.column + 1)
                items[key] = self._build(next(self._events), here)
        return items


def _is_plain(event: ScalarEvent) -> bool:
    return not event.implicit or bool(event.implicit[0])


def scalar(text: str) -> Any:
    """Read a plain scalar of YAML 1.2's core schema, with 012 as 12."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and len(text) <= 300:
        return float(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _OCTAL.fullmatch(text):
        return int(text, 8)
    return text


def _advice(problem: str) -> str:
    if "tab" in problem or "\\t" in problem:
        return "Indent with blanks, not tabs"
    if "mapping values are not allowed" in problem:
        return "Put text that has a colon into quotes"
    if "flow" in problem or "expected ','" in problem:
        return "Check that every { and [ is closed and entries are parted by commas"
    return "Check the indentation, the colons and the brackets around this place"
