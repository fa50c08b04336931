"""Steps as written: which action of which instrument with which settings, alone or together.

    - hotplate.hold: {temperature: 40 degC, time: 30 s}          one step
      start_within: 5 min                                        what holds for the stage stands beside it
    - together: [pump_a.dispense: {...}, pump_b.dispense: {...}]

A setting is a quantity, true or false, a word, text, or an expression over the trial's settings. Text that is no
expression is text (``ask: Load 4 substrates``); whether it was meant to be one is judged when the names are known.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from .errors import SpecError
from .expression import parse_expression
from .formula import Expression, Name
from .models import CUT, KEY, did_you_mean, located, read_seconds, suggest
from .reading import Path_
from .units import Quantity, parse_quantity
from .values import PERSON

INTERRUPTED = ("discard", "remainder", "ask", "again")
STAGE_KEYS = ("together", "if_interrupted", "start_within", "save_as", "when")
_ACTION = re.compile(r"[^\W\d][\w-]*\.[^\W\d]\w*")
_WORD = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is no expression. ``problem``: why not. ``template``: ``$name`` in it stands for the value.

    ``formula``: what it is if its words are parameters (``fast-scan``, ``q_tot * q_a``); decided by ``resolved``.
    """

    text: str
    problem: str = ""
    template: bool = False
    formula: Expression | None = None


Setting: TypeAlias = Quantity | bool | Expression | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of one instrument. Nested settings are flat: ``read: {plate: barcode}`` is ``read.plate``."""

    instrument: str
    action: str
    settings: Mapping[str, Setting]
    save_as: str = ""
    path: Path_ = ()

    @property
    def name(self) -> str:
        """``instrument.action``."""
        return f"{self.instrument}.{self.action}"

    @property
    def saves(self) -> dict[str, Path_]:
        """The words by which outcomes name what it reads, and where each is written."""
        if self.instrument == PERSON:
            return {name[5:]: self.path_of(name) for name in self.settings if name.startswith("read.")}
        return {self.save_as: (*self.path, "save_as")} if self.save_as else {}

    def path_of(self, setting: str) -> Path_:
        """Where a setting is written."""
        parts = tuple(int(part) if part.isdigit() else part for part in setting.split("."))
        return (*self.path, *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Steps that run together (mostly one). ``when``: only if this holds for the trial's settings."""

    steps: tuple[Step, ...]
    if_interrupted: str | None = None
    start_within_s: float | None = None
    when: Expression | None = None
    path: Path_ = ()


class _Faults:
    """Collects what is wrong, by path below the phase."""

    def __init__(self) -> None:
        self.found: list[tuple[Path_, str, Any]] = []

    def add(self, path: Path_, sentence: str, value: Any = None) -> None:
        self.found.append((path, sentence, value))


def read_phase(raw: Any, at: Path_) -> tuple[Stage, ...]:
    """Read a list of stages; ``at`` is where it stands. Raises a located ValidationError."""
    faults = _Faults()
    if raw is None:
        return ()
    if not isinstance(raw, (list, tuple)):
        faults.add((), "must be a list of steps. Begin each with a dash: - hotplate.hold: {...}", raw)
        raise located(faults.found, "steps")
    stages = [_stage(one, (index,), at, faults) for index, one in enumerate(raw) if one is not CUT]
    if faults.found:
        raise located(faults.found, "steps")
    return tuple(stage for stage in stages if stage is not None)


def steps_of(stages: "tuple[Stage, ...]") -> Iterator[Step]:
    """Every step of the stages, in order."""
    for stage in stages:
        yield from stage.steps


def moved(stages: "tuple[Stage, ...]", below: Path_) -> "tuple[Stage, ...]":
    """The same stages, standing below another path."""
    return tuple(
        replace(
            stage,
            steps=tuple(replace(step, path=(*below, *step.path)) for step in stage.steps),
            path=(*below, *stage.path),
        )
        for stage in stages
    )


def _stage(raw: Any, path: Path_, at: Path_, faults: _Faults) -> Stage | None:
    if isinstance(raw, str):
        raw = {raw: None}
    if not isinstance(raw, Mapping) or not raw:
        faults.add(path, "must be a step. Write instrument.action: {setting: value}", raw)
        return None
    actions = [key for key in raw if key not in STAGE_KEYS]
    for key in [key for key in actions if "." not in str(key)]:
        faults.add((*path, key), _no_step(str(key)), KEY)
    actions = [key for key in actions if "." in str(key)]
    words = _stage_words(raw, path, faults)
    if "together" in raw:
        if actions:
            faults.add(
                (*path, actions[0]), "stands beside together. Move it into the list, or give it its own dash", KEY
            )
        if "save_as" in raw:
            faults.add(
                (*path, "save_as"), "cannot stand beside together. Write it into the step that reads", raw["save_as"]
            )
        return Stage(steps=_together(raw["together"], (*path, "together"), at, faults), path=(*at, *path), **words)
    if len(actions) > 1:
        rule = f"stands in one entry with {actions[0]}. Give it a dash of its own, or write together: [...]"
        faults.add((*path, actions[1]), rule, KEY)
        return None
    if not actions:
        if len(raw) > sum(1 for key in raw if key not in STAGE_KEYS):
            faults.add(path, "has no step. Write instrument.action: {setting: value} in it", raw)
        return None
    settings = dict(raw[actions[0]]) if isinstance(raw[actions[0]], Mapping) else raw[actions[0]]
    inside = _stage_words(settings, (*path, actions[0]), faults) if isinstance(settings, dict) else {}
    if isinstance(settings, dict):
        for key in ("if_interrupted", "start_within", "when"):
            settings.pop(key, None)
        if "save_as" in raw:
            settings.setdefault("save_as", raw["save_as"])
    elif settings is None and "save_as" in raw:
        settings = {"save_as": raw["save_as"]}
    step = _step(str(actions[0]), settings, (*path, actions[0]), at, faults)
    merged = {key: value if value is not None else inside.get(key) for key, value in words.items()}
    return None if step is None else Stage(steps=(step,), path=(*at, *path), **merged)


def _together(raw: Any, path: Path_, at: Path_, faults: _Faults) -> tuple[Step, ...]:
    if not isinstance(raw, (list, tuple)) or not raw:
        faults.add(path, "must be a list of steps", raw)
        return ()
    steps: list[Step] = []
    for index, one in enumerate(raw):
        here = (*path, index)
        if isinstance(one, str):
            one = {one: None}
        if not isinstance(one, Mapping) or not one:
            faults.add(here, "must be a step. Write instrument.action: {setting: value}", one)
            continue
        if "together" in one:
            faults.add((*here, "together"), "cannot stand inside together. Put its steps into the outer list")
            continue
        for key in one:
            if key in STAGE_KEYS and key != "save_as":
                faults.add((*here, key), "holds for all that runs together. Write it beside together", one[key])
            elif key not in STAGE_KEYS and "." not in str(key):
                faults.add((*here, key), _no_step(str(key)), KEY)
        actions = [key for key in one if "." in str(key)]
        if len(actions) > 1:
            faults.add((*here, actions[1]), f"stands in one entry with {actions[0]}. Give it a dash of its own", KEY)
        elif actions:
            settings = dict(one[actions[0]]) if isinstance(one[actions[0]], Mapping) else one[actions[0]]
            if "save_as" in one and (settings is None or isinstance(settings, dict)):
                settings = {**(settings or {}), "save_as": one["save_as"]}
            step = _step(str(actions[0]), settings, (*here, actions[0]), at, faults)
            if step is not None:
                steps.append(step)
    seen: dict[str, Step] = {}
    for step in steps:
        if step.instrument in seen:
            rule = f"{step.instrument} does two things at once. Give each its own dash"
            faults.add(step.path[len(at) :], rule, KEY)
        seen[step.instrument] = step
    return tuple(steps)


def _stage_words(raw: Mapping[str, Any], path: Path_, faults: _Faults) -> dict[str, Any]:
    words: dict[str, Any] = {"if_interrupted": None, "start_within_s": None, "when": None}
    if "if_interrupted" in raw:
        value = raw["if_interrupted"]
        if value not in INTERRUPTED:
            rule = f"must be one of {', '.join(INTERRUPTED)}. {did_you_mean(str(value), INTERRUPTED)}"
            faults.add((*path, "if_interrupted"), rule, value)
        words["if_interrupted"] = value
    for key, name, read in (("start_within", "start_within_s", read_seconds), ("when", "when", _condition)):
        if key in raw:
            try:
                words[name] = read(raw[key])
            except (SpecError, ValueError) as error:
                text = error.message() if hasattr(error, "message") else str(error)
                faults.add((*path, key), text, raw[key])
    return words


def _condition(raw: Any) -> Expression:
    if not isinstance(raw, str):
        raise SpecError("must be a condition. Write it like solvent == DMF")
    return parse_expression(raw)


def _no_step(key: str) -> str:
    close = did_you_mean(key, STAGE_KEYS)
    return (
        f"unknown key. {close if close.startswith('Did') else 'A step is written instrument.action: {setting: value}'}"
    )


def _step(name: str, raw: Any, path: Path_, at: Path_, faults: _Faults) -> Step | None:
    if _ACTION.fullmatch(name) is None:
        faults.add(path, "is no step. Write instrument.action, like hotplate.hold", KEY)
        return None
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        faults.add(path, "must have settings in braces. Write {setting: value}, or {} for none", raw)
        return None
    instrument, _, action = name.partition(".")
    settings: dict[str, Setting] = {}
    save_as = ""
    for key, value in raw.items():
        if key == "save_as":
            if not isinstance(value, str) or _WORD.fullmatch(value) is None:
                faults.add((*path, key), "must be a word, by which an outcome names the reading", value)
            elif value == "told":
                faults.add((*path, key), "told is what outcomes from elsewhere come from. Choose another word", value)
            else:
                save_as = value
            continue
        for flat, one, here in _flat(str(key), value, (*path, key)):
            try:
                settings[flat] = read_setting(one, template=key == "ask")
            except SpecError as error:
                faults.add(here, str(error), one)
    return Step(instrument=instrument, action=action, settings=settings, save_as=save_as, path=(*at, *path))


def _flat(name: str, value: Any, path: Path_) -> Iterator[tuple[str, Any, Path_]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _flat(f"{name}.{key}", one, (*path, key))
    elif isinstance(value, (list, tuple)) and value:
        for index, one in enumerate(value):
            yield from _flat(f"{name}.{index}", one, (*path, index))
    else:
        yield name, value, path


def read_setting(raw: Any, template: bool = False) -> Setting:
    """Read the value of a setting. Raises SpecError for what can be none."""
    if isinstance(raw, bool):
        return raw
    if raw is None or isinstance(raw, (Mapping, list, tuple)):
        raise SpecError("has no value. Write a number with its unit, a word or an expression")
    if isinstance(raw, (int, float)):
        return parse_quantity(raw)
    if not isinstance(raw, str) or len(raw) > 2000:
        raise SpecError("must be a number with its unit, a word or an expression of up to 2000 characters")
    if template:
        return Text(raw, template=True)
    if re.match(r"\s*[-+]?[.\d]", raw) and not re.search(r"\s[-+*/(]|[$(]", raw):
        try:
            return parse_quantity(raw)
        except SpecError as error:
            problem = str(error)
            try:
                return parse_expression(raw)
            except SpecError:
                return Text(raw, problem)
    try:
        found = parse_expression(raw)
    except SpecError as error:
        return Text(raw, str(error))
    if found.parts and found.names and not any(isinstance(node, Name) and node.sure for node in found.walk()):
        return Text(raw, formula=found)
    return found


def resolved(stages: "tuple[Stage, ...]", names: Iterable[str]) -> "tuple[Stage, ...]":
    """Decide what could be text or an expression: an expression when one of its words is, or is nearly, a name."""
    names = list(names)

    def one(setting: Setting) -> Setting:
        if not isinstance(setting, Text) or setting.formula is None:
            return setting
        meant = any(word in names or suggest(word, names) for word in setting.formula.names)
        return setting.formula if meant else Text(setting.text)

    return tuple(
        replace(
            stage,
            steps=tuple(
                replace(step, settings={key: one(setting) for key, setting in step.settings.items()})
                for step in stage.steps
            ),
        )
        for stage in stages
    )


def text_fault(text: Text, names: Mapping[str, object]) -> str | None:
    """Say why text cannot have been meant as text: it speaks of parameters, or begins with a number."""
    words = re.findall(r"\$?[^\W\d]\w*", text.text)
    if text.template:
        unknown = [word[1:] for word in words if word.startswith("$") and word[1:] not in names]
        return f"${unknown[0]} is no parameter. {did_you_mean(unknown[0], names)}" if unknown else None
    if (
        "$" in text.text
        or re.match(r"\s*[-+]?[.\d]", text.text)
        or (re.search(r"[-+*/()<>=]", text.text) and any(word in names for word in words))
    ):
        return text.problem
    return None


def expression_fault(expression: Expression, names: Mapping[str, object]) -> str | None:
    """Say which name of an expression is not known: one with ``$``, or one that arithmetic is done with."""
    from_words = {node.name for node in expression.walk() if isinstance(node, Name) and node.sure}
    unknown = sorted(name for name in from_words if name not in names)
    if unknown:
        return f"${unknown[0]} is no parameter. {did_you_mean(unknown[0], names)}"
    if not expression.parts:
        return None
    unknown = sorted(name for name in expression.names if name not in names)
    known = any(name in names for name in expression.names)
    if unknown and (known or did_you_mean(unknown[0], names).startswith("Did")):
        return f"{unknown[0]} is no parameter. {did_you_mean(unknown[0], names)}"
    return None
