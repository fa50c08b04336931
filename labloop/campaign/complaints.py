"""From what pydantic found to what a person reads: all complaints of a file, each with place, value, rule, way out.

A broken part hides what is wrong elsewhere only as far as it must: it is cut out and the rest is read again, so that
the checks across parts (names, files, recipes) still run over everything that can be understood.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from .errors import SpecError
from .models import CUT, Files, Model, Unknown, suggest
from .parameters import TAGS
from .reading import Document, Path_, holds
from .units import quote

M = TypeVar("M", bound=Model)

Fault = tuple[Path_, str, bool]  # path, sentence, whether it is about the key

_SENTENCES: Mapping[str, str] = {
    "dict_type": "must be keys and values, like {key: value}",
    "model_type": "must be keys and values, like {key: value}",
    "model_attributes_type": "must be keys and values, like {key: value}",
    "list_type": "must be a list, like [a, b]",
    "tuple_type": "must be a list, like [a, b]",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
}


@dataclass(frozen=True, slots=True)
class Broken:
    """What had to be cut out before the rest could be read."""

    paths: frozenset[Path_]

    def touches(self, *path: str | int) -> bool:
        """Whether something at or below ``path`` was cut out."""
        return any(broken[: len(path)] == path or path[: len(broken)] == broken for broken in self.paths)


def read_model(
    model: type[M],
    document: Document,
    files: Files,
    checks: Callable[[M, Broken], list[Fault]],
    parts: Mapping[str, int],
) -> M:
    """Read ``document`` into ``model`` and run ``checks`` over it. Raises SpecError with every complaint.

    ``parts``: for each top-level key how many path elements make a part that can be cut out on its own.
    """
    faults: list[Fault] = []
    value, cut, misspelt = document.value, set[Path_](), set[Path_]()
    found: M | None = None
    for _ in range(5):
        try:
            found = model.model_validate(value, context={"files": files})
            break
        except ValidationError as error:
            errors = error.errors()
        seen = [fault for one in errors for fault in _faults(one, document)]
        faults += [fault for fault in seen if fault not in faults and not _is_echo(fault, misspelt)]
        misspelt |= {
            (*_path_of(one, document)[:-1], one["input"].meant)
            for one in errors
            if isinstance(one["input"], Unknown) and one["input"].meant
        }
        if value is document.value:
            value = copy.deepcopy(value) if document.name else _shallow(value)
        fresh = {_part(fault, parts) for fault in seen} - cut
        for path in fresh:
            _cut(value, path)
        cut |= fresh
        if not fresh:
            break
    if found is not None:
        whole = {path for path in cut if not any(fault[0] == path and fault[2] for fault in faults)}
        later = checks(found, Broken(frozenset(whole | misspelt)))
        faults += [fault for fault in later if not _is_echo(fault, misspelt)]
    if faults:
        faults = sorted(dict.fromkeys(faults), key=lambda fault: _position(fault[0], document))
        raise SpecError(*(document.complaint(path, sentence, key=key) for path, sentence, key in faults))
    if found is None:
        raise SpecError(f"{document.name or 'the campaign'}: cannot be read")
    return found


def _is_echo(fault: Fault, misspelt: set[Path_]) -> bool:
    """Whether a fault only says again that a misspelt key is not there."""
    return fault[0] in misspelt or ("is missing" in fault[1] and any(path[:-1] == fault[0] for path in misspelt))


def _shallow(value: Any) -> Any:
    """Copy the first three levels: what a dict of the caller's may lose when a part is cut out."""
    if isinstance(value, dict):
        return {k: {a: dict(b) if isinstance(b, dict) else list(b) if isinstance(b, list) and len(b) < 1000 else b
                    for a, b in v.items()} if isinstance(v, dict)
                else list(v) if isinstance(v, list) and len(v) < 1000 else v for k, v in value.items()}  # fmt: skip
    return value


def _faults(error: Any, document: Document) -> list[Fault]:
    path = _path_of(error, document)
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        sentence = value.sentence if isinstance(value, Unknown) else "unknown key. Take it out"
        return [(path, sentence, True)]
    if kind == "missing":
        return [(path, f"is missing. Write {path[-1]}: ...", False)]
    if kind == "literal_error":
        allowed = str(error.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
        close = suggest(str(value), allowed.split(", "))
        return [(path, f"must be one of {allowed}.{f' Did you mean {close}?' if close else ''}", False)]
    if kind == "rule":
        return [(path, str(error["msg"]), bool(error["ctx"].get("about_key")))]
    return [(path, _SENTENCES.get(kind, f"{error['msg']} ({quote(kind)})"), False)]


def _path_of(error: Any, document: Document) -> Path_:
    """Where an error is, without the tags that tell kinds of parameters apart."""
    path = tuple(part for part in error["loc"] if part not in TAGS)
    return _as_written(path, document)


def _as_written(path: Path_, document: Document) -> Path_:
    """A whole-number range may be written as ``integer: [1, 12]``."""
    written: list[str | int] = []
    for part in path:
        there, around = document.at(tuple(written))
        if part == "range" and there and isinstance(around, dict) and "range" not in around and "integer" in around:
            part = "integer"
        written.append(part)
    return tuple(written)


def _part(fault: Fault, parts: Mapping[str, int]) -> Path_:
    path, _, about_key = fault
    if about_key or not path:
        return path
    return path[: parts.get(str(path[0]), 1)]


def _cut(value: Any, path: Path_) -> None:
    for part in path[:-1]:
        if holds(value, part):
            value = value[part]
        else:
            return
    last = path[-1] if path else None
    if isinstance(value, dict):
        value.pop(last, None)
    elif isinstance(value, list) and isinstance(last, int) and last < len(value):
        value[last] = CUT


def _position(path: Path_, document: Document) -> tuple[int, int]:
    for length in range(len(path), -1, -1):
        found = document.keys.get(path[:length]) or document.values.get(path[:length])
        if found is not None:
            return found
    return (0, 0)
