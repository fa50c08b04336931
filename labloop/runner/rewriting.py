"""A campaign's text with some places changed, as a person types them: ``parameters.q_tot.range=300 to 700 uL/min``.

    parameters.X.range     two numbers, a unit behind them or behind each   300 to 700 uL/min   300 uL/min to 0.7 mL/min
    parameters.X.integer   the same, where its two numbers stand there      1 to 12
    parameters.X.choices   the whole list, or what is added and retired     DMF, NMP   +DMSO, -NMP
    parameters.X.likely    a value and how sure that is, or choices         60 degC within 10 K   DMF, NMP
    constraints            all, or what is added and retired                a + b <= 95 percent; c <= 3   +c <= 3
    any other place        one value; nothing behind the = takes it out     budget.trials=60   outcomes.y.limit=

A name with a comma, or that begins with a sign, is quoted: '1,4-dioxane', +'-OH'. Inside [ ] no sign adds or retires;
and beside negative numbers -1 is a number, and --1 retires it.

All else stays as it was written, comments and order too. Whether it may be so is not asked here: what comes of it is
read, held against the text before and shown like a changed copy that somebody made by hand (see preview).
"""

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import accumulate
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from labloop.campaign.errors import SpecError
from labloop.campaign.reading import read_text

LISTS: Final = frozenset({"choices", "molecules"})
NAMED: Final = frozenset({"parameters", "outcomes"})  # what stands in them has a name, and is there or is not
_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
# Behind a number a unit begins with no digit, but for the one of 1/min, before which stands a space.
_UNIT: Final = r"(?:(?<=\s)1\s*/\s*)?[^\d\s,\]/][^,\]]*?"
_RANGE: Final = re.compile(
    rf"\[?\s*(?P<low>{_NUMBER})\s*(?P<of_low>{_UNIT})??\s*(?:\bto\b|,|\s)\s*"
    rf"(?P<high>{_NUMBER})\s*(?P<unit>{_UNIT})?\s*\]?"
)
# A word of a list, with the comma behind it: quoted, as YAML quotes, or as it stands.
_WORD: Final = re.compile(
    r"""\s*(?P<sign>[-+]?)\s*(?:'(?P<single>(?:[^']|'')+)'|"(?P<double>[^"]+)")\s*(?:,|$)|(?P<bare>[^,]*)(?:,|$)"""
)


def as_written() -> YAML:
    """YAML that is read to be written again: comments, order and quotes stay as they are; nothing in it is ever run."""
    yaml = YAML(typ="rt")
    yaml.width = 10_000
    yaml.preserve_quotes = True
    return yaml


def rewritten(text: str, typed: Sequence[str]) -> str:
    """Return ``text`` with each of ``typed`` (``PLACE=VALUE``) in it. Raises SpecError: one cannot be understood."""
    yaml = as_written()
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
    elif key in ("range", "integer") and isinstance(found.get("integer"), list):  # [low, high] of whole numbers
        found["integer"] = _range(found["integer"], value, place)
    elif key == "range":
        found[key] = _range(found.get(key), value, place)
    elif place == "constraints":
        found[key] = _constraints(found.get(key), value)
    elif key == "likely":
        found[key] = _likely(found, value, place)
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


class Word(NamedTuple):
    """A word of a typed list: the sign before it, as it was typed or inside its quotes, and whether it had some."""

    sign: str
    name: str
    quoted: bool


def _list(before: Any, value: str, place: str) -> Any:
    known = {_name(one): one for one in before} if isinstance(before, list) else {}
    whole = value not in known and _is_bracketed(value)
    words = _words(value[1:-1] if whole else value)
    if not all(word.name for word in words):
        raise SpecError(f"--set {place}={value}: has an empty place. Write DMF, NMP, or +DMSO, -NMP")
    if whole or not _adds_and_retires(words, known):
        return [_choice(_unsigned(word), known) for word in words]
    if not isinstance(before, list):
        raise SpecError(f"--set {place}={value}: its list stands in a file. Give a changed copy of the campaign")
    after = _in_a_line(before)
    for word in words:
        if word.sign == "+":
            after.append(_choice(word, known))
            continue
        names = [_name(one) for one in after]
        if word.name not in names:
            raise SpecError(f"--set {place}={value}: there is no {word.name}. There: {', '.join(names)}")
        del after[names.index(word.name)]
    return after


def _constraints(before: Any, value: str) -> Any:
    """Expressions, between which stands a semicolon. Raises SpecError: one that is not there is taken out."""
    if _is_bracketed(value):
        return _in_a_line(_value(value, "constraints"))
    typed = [" ".join(one.split()) for one in value.split(";") if one.strip()]
    if not all(one[0] in "+-" for one in typed):
        return _in_a_line(typed)
    after = _in_a_line([]) if before is None else before  # as it was written, with its comments
    for one in typed:
        sign, wanted = one[0], one[1:].strip()
        if sign == "+":
            after.append(wanted)
            continue
        known = [" ".join(str(written).split()) for written in after]
        if wanted not in known:
            there = "; ".join(known) or "none"
            raise SpecError(
                f"--set constraints={value}: there is no {wanted}. There: {there}. One that begins with a minus stands "
                "in brackets with all others: [-x <= 3, ...]"
            )
        del after[known.index(wanted)]
    return after


def _in_a_line(words: Sequence[Any]) -> CommentedSeq:
    found = CommentedSeq(words)
    found.fa.set_flow_style()
    return found


def _likely(found: Any, value: str, place: str) -> Any:
    """Where the optimum is expected: give or take how much, or at which choices."""
    choices: Sequence[Any] = next((found[key] for key in sorted(LISTS) if isinstance(found.get(key), list)), [])
    known = {_name(one): one for one in choices}
    if value in known:
        return value
    whole = _is_bracketed(value)
    if value[0] == "{" or (whole and not known):
        return _value(value, place)
    number = re.fullmatch(r"(\S.*?)\s+within\s+(\S.*)", value)
    if number is not None:
        return {"value": _scalar(number[1]), "within": _scalar(number[2])}
    names = [_name(_choice(_unsigned(word), known)) for word in _words(value[1:-1] if whole else value)]
    return names[0] if len(names) == 1 and not whole else _in_a_line(names)


def _is_bracketed(value: str) -> bool:
    """Whether one pair of brackets holds all of it; [BMIM][PF6] has two."""
    if not (value.startswith("[") and value.endswith("]")):
        return False
    depths = list(accumulate((one == "[") - (one == "]") for one in value))
    return depths[-1] == 0 and all(depths[:-1])


def _words(value: str) -> list[Word]:
    words, at, more = list[Word](), 0, True
    while more:
        match = _WORD.match(value, at)
        assert match is not None  # the last of its branches takes anything, and nothing
        at, more = match.end(), match[0].endswith(",")
        bare = match["bare"]
        if bare is None:
            name = match["single"].replace("''", "'") if match["single"] else match["double"]
            words.append(Word(match["sign"], name, True))
        else:
            bare = bare.strip()
            sign = bare[:1] if bare[:1] in ("+", "-") else ""
            words.append(Word(sign, bare[len(sign) :].strip(), False))
    return words


def _unsigned(word: Word) -> Word:
    """The same where no sign adds or retires: it belongs to the word."""
    return Word("", word.sign + word.name, word.quoted)


def _adds_and_retires(words: Sequence[Word], known: Mapping[str, Any]) -> bool:
    """Whether the signs are no part of the words: all have one, and none is a negative number among such."""
    negative = any(isinstance(one, int | float) and one < 0 for one in known.values())
    numbers = any(word.sign == "-" and not word.quoted and re.fullmatch(_NUMBER, "-" + word.name) for word in words)
    return all(word.sign for word in words) and not (negative and numbers)


def _choice(word: Word, known: Mapping[str, Any]) -> Any:
    """What a word means: one that is there already, as it stands there; text among texts; else what it looks like."""
    if word.name in known:
        return known[word.name]
    texts = bool(known) and all(isinstance(one, str) for one in known.values())
    return word.name if texts or word.quoted else _scalar(word.name)


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
