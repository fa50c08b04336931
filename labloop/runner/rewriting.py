"""A campaign's text with some places changed, as a person types them: ``parameters.q_tot.range=300 to 700 uL/min``.

    parameters.X.range     two numbers, a unit behind them or behind each   300 to 700 uL/min   300 uL/min to 0.7 mL/min
    parameters.X.choices   the whole list, or what is added and retired     DMF, NMP   +DMSO, -NMP
    any other place        one value; nothing behind the = takes it out     budget.trials=60   outcomes.y.limit=

All else stays as it was written, comments and order too. Whether it may be so is not asked here: what comes of it is
read, held against the text before and shown like a changed copy that somebody made by hand (see preview).
"""

import re
from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from labloop.campaign.errors import SpecError
from labloop.campaign.reading import read_text

LISTS: Final = frozenset({"choices", "molecules"})
NAMED: Final = frozenset({"parameters", "outcomes"})  # what stands in them has a name, and is there or is not
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE: Final = re.compile(
    rf"\[?\s*(?P<low>{_NUMBER})\s*(?P<of_low>[^\d\s,\]][^,\]]*?)??\s*(?:\bto\b|,|\s)\s*"
    rf"(?P<high>{_NUMBER})\s*(?P<unit>[^\d\s,\]][^,\]]*?)?\s*\]?"
)


def rewritten(text: str, typed: Sequence[str]) -> str:
    """Return ``text`` with each of ``typed`` (``PLACE=VALUE``) in it. Raises SpecError: one cannot be understood."""
    yaml = YAML(typ="rt")
    yaml.width = 10_000
    yaml.preserve_quotes = True
    document = yaml.load(text)
    for one in typed:
        place, sign, value = one.partition("=")
        path = place.strip().split(".")
        if not sign or not all(path):
            raise SpecError(f"--set {one}: is no PLACE=VALUE. Write it like parameters.q_tot.range='300 to 700 uL/min'")
        _set(document, path, value.strip())
    into = StringIO()
    yaml.dump(document, into)
    return into.getvalue()


def _set(document: Any, path: list[str], value: str) -> None:
    place = ".".join(path)
    found = document
    for depth, part in enumerate(path[:-1]):
        if part not in found and not depth and part not in NAMED:
            found[part] = {}  # budget, stop_when ...
        found = _inside(found, path[: depth + 1], place)
    key = path[-1]
    if not value:
        if key not in found:
            raise SpecError(f"--set {place}=: there is nothing to be taken out. {_there(found)}")
        del found[key]
    elif key == "range":
        found[key] = _range(found.get(key), value, place)
    elif key in LISTS:
        found[key] = _list(found.get(key), value, place)
    else:
        found[key] = _value(value, place)


def _inside(found: Any, path: list[str], place: str) -> Any:
    """What stands at ``path`` and holds others. Raises SpecError."""
    here = ".".join(path)
    if path[-1] not in found:
        raise SpecError(f"--set {place}: there is no {here}. {_there(found)}")
    inside = found[path[-1]]
    if not isinstance(inside, dict):
        raise SpecError(f"--set {place}: {here} is one value. Give a changed copy of the campaign")
    return inside


def _there(found: Any) -> str:
    return f"There: {', '.join(map(str, found))}"


def _range(before: Any, value: str, place: str) -> Any:
    match = _RANGE.fullmatch(value)
    if match is None:
        raise SpecError(f"--set {place}={value}: is no range. Write two numbers and their unit: 300 to 700 uL/min")
    unit = (match["unit"] or "").strip()
    ends = [_end(match["low"], (match["of_low"] or unit).strip()), _end(match["high"], unit)]
    return [*ends, *before[2:]] if isinstance(before, list) else ends  # ``integer`` may stand behind them


def _end(number: str, unit: str) -> Any:
    return f"{number} {unit}" if unit else _scalar(number)


def _list(before: Any, value: str, place: str) -> Any:
    words = [word.strip() for word in value.strip("[]").split(",")]
    if not all(words):
        raise SpecError(f"--set {place}={value}: has an empty place. Write DMF, NMP, or +DMSO, -NMP")
    if not all(word[0] in "+-" for word in words):
        return [_scalar(word) for word in words]
    if not isinstance(before, list):
        raise SpecError(f"--set {place}={value}: its list stands in a file. Give a changed copy of the campaign")
    after = CommentedSeq(before)
    after.fa.set_flow_style()
    for word in words:
        name = word[1:].strip()
        if word[0] == "+":
            after.append(_scalar(name))
            continue
        gone = [one for one in after if _name(one) == name]
        if not gone:
            raise SpecError(f"--set {place}={value}: there is no {name}. There: {', '.join(map(_name, after))}")
        after.remove(gone[0])
    return after


def _name(one: Any) -> str:
    """What a choice is called: it may be a word, a number, or a row with a name."""
    return str(one.get("name", one.get("smiles", "")) if isinstance(one, dict) else one)


def _value(value: str, place: str) -> Any:
    """A value of another place: a list or a table as YAML has them, else one word or number."""
    return read_text(f"value: {value}", f"--set {place}").value["value"] if value[0] in "[{" else _scalar(value)


def _scalar(word: str) -> Any:
    if not re.fullmatch(_NUMBER, word):
        return {"true": True, "false": False}.get(word, word)
    return int(word) if re.fullmatch(r"[-+]?\d{1,300}", word) else float(word)
