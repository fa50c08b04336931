"""What lab.yaml says of a remote actor: which of its parameters are read, what it can do, and how that is told.

    identity: {parameter: idn, is: "FURNACE 3.*", serial: serial_number}
    starts: {parameter: started_at}                     # is another one each time that the actor was started
    answers_within: 5 s
    readings:
      temperature: {parameter: temperature_c, unit: degC}     # parameter: the reading's own name, when left out
    actions:
      heat:
        doc: Heat to a temperature
        act: true
        settings:
          temperature: {parameter: setpoint_c, unit: degC, from: 20, to: 300}       # set, and read back
        parameters: {heater: true}                                                  # set with them
        until: {parameter: temperature_c, near: temperature, within: 0.5}
        lasts: 10 min
      deposit:
        act: true
        call: deposit
        settings:
          thickness: {argument: thickness_nm, unit: nm, from: 1, to: 500}           # handed to the call
          layers: {argument: n, unit: count, from: 1, to: 9, whole: true}           # as an integer
        until: {parameter: state, is: idle, fails: [error]}
        counts: {parameter: deposited_nm, setting: thickness}                       # the actor's own counter of it
        remainder: true
      spectrum:
        call: spectrum
        gives: {spectrum: {array: true}}      # what the call returns; {parameter: x} reads x; {result: x} takes x of it
    stop: {parameters: {heater: false}, call: stop}
    stands:              # what stays as it is until a person changes it there: asked when a run ends and when it begins
      temperature: {parameter: setpoint_c, unit: degC, within: 0.1}
    watchdog: the furnace's own cut-out
    remembers: true      # calls take ``act``, an id, and answer with a report; ``last_act`` tells what became of it

What an actor's attribute means, and in which unit, only a person knows: so nothing of this is guessed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import Action, Setting, Signal, SpecError, Value, quantity_of, refuse_unknown

KNOWN = (
    "actor", "identity", "starts", "answers_within", "readings", "actions", "stop", "stands", "watchdog", "remembers",
)  # fmt: skip
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
# An actor that works while it is called answers when it is done; nobody on its port is heard until then.
ANSWER_S, LONGEST_ANSWER_S = 5.0, 120.0


@dataclass(frozen=True, slots=True)
class Given:
    """One setting and where it goes: into a parameter, or to the call under a name.

    ``sends``: words as values. ``whole``: it is sent as an integer, and refused when it is none.
    """

    setting: Setting
    parameter: str
    argument: str
    sends: Mapping[str, Any]
    whole: bool = False

    def sent(self, value: Value) -> Any:
        """The value as the actor takes it."""
        if self.whole:
            return round(float(value))
        return self.sends.get(str(value), value) if self.sends else value


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that is read: a parameter, or of what the call returned a ``result`` ("": all of it)."""

    signal: Signal
    parameter: str = ""
    result: str = ""
    call: str = ""


@dataclass(frozen=True, slots=True)
class Until:
    """When it is done: a parameter is one of some words, or near a setting. ``fails``: words that say it failed."""

    parameter: str
    words: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    near: str = ""
    within: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The actor's own counter of what a setting asks for."""

    parameter: str
    setting: str


@dataclass(frozen=True, slots=True)
class Stays:
    """A parameter that stays until a person changes it. ``within``: what is no difference; ``counts``: what moved."""

    parameter: str
    unit: str
    within: float
    counts: bool


@dataclass(frozen=True, slots=True)
class Doing:
    """One action: what is set, what is called, when it is done and what it gives."""

    action: Action
    given: tuple[Given, ...]
    constants: Mapping[str, Any]
    call: str
    until: Until | None
    counts: Counts | None
    gives: tuple[Told, ...]
    lasts_s: float
    answer_s: float
    reads_back: bool


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one actor, read and found sensible."""

    identity: str
    pattern: str
    serial: str
    starts: str
    answer_s: float
    readings: tuple[Told, ...]
    doings: Mapping[str, Doing]
    stop_constants: Mapping[str, Any]
    stop_call: str
    stands: Mapping[str, Stays]
    watchdog: str
    remembers: bool


def read_options(options: Mapping[str, Any]) -> Options:
    """Read and check the options. Raises SpecError for what makes no sense."""
    refuse_unknown(options, KNOWN, "LecoActor")
    identity = _table(options, "identity", ("parameter", "is", "serial"))
    starts = _table(options, "starts", ("parameter",))
    stop = _table(options, "stop", ("parameters", "call"))
    remembers = _flag(options, "remembers")
    answer_s = _seconds(options, "answers_within", ANSWER_S)
    readings = tuple(_told(name, said, f"readings.{name}") for name, said in _named(options, "readings").items())
    doings = {
        name: _doing(name, said, answer_s, remembers=remembers) for name, said in _named(options, "actions").items()
    }
    if not stop and any(doing.action.act for doing in doings.values()):
        raise SpecError("an actor whose actions change matter needs its stop: {call: stop}, or {parameters: {...}}")
    return Options(
        identity=_parameter(identity, "parameter", "identity") if "parameter" in identity else "",
        pattern=str(identity.get("is", "")),
        serial=_parameter(identity, "serial", "identity") if "serial" in identity else "",
        starts=_parameter(starts, "parameter", "starts") if starts else "",
        answer_s=answer_s,
        readings=readings,
        doings=doings,
        stop_constants=_constants(stop, "stop"),
        stop_call=str(stop.get("call", "")),
        stands={name: _stays(name, said, f"stands.{name}") for name, said in _named(options, "stands").items()},
        watchdog=str(options.get("watchdog", "")),
        remembers=remembers,
    )


_DOING = (
    "doc", "act", "repeatable", "holds", "remainder", "settings", "parameters", "call", "until", "counts", "gives",
    "lasts", "answers_within", "reads_back",
)  # fmt: skip


def _doing(name: str, said: Any, answer_s: float, *, remembers: bool) -> Doing:
    where = f"actions.{name}"
    said = _mapping(said, where)
    refuse_unknown(said, _DOING, where)
    call = str(said.get("call", ""))
    given = tuple(_given(one, its, f"{where}.settings.{one}") for one, its in _named(said, "settings", where).items())
    constants = _constants(said, where)
    if not call and (not (given or constants) or any(one.argument for one in given)):
        raise SpecError(f"{where} calls nothing: write call: NAME, or give its settings a parameter to set")
    if remembers and not call:
        raise SpecError(f"{where}: an actor that remembers, remembers calls. Write call: NAME, or take remembers out")
    settings = {one.setting.name: one.setting for one in given}
    until, counts = _until(said, where, settings), _counts(said, where, settings)
    gives = tuple(_told(one, its, f"{where}.gives.{one}", call) for one, its in _named(said, "gives", where).items())
    evidence = (
        "it remembers its acts by their ids" if remembers
        else f"its own counter {counts.parameter}" if counts
        else "its parameters, read back" if not call else ""
    )  # fmt: skip
    action = Action(
        name=name,
        settings=tuple(settings.values()),
        gives=tuple(one.signal for one in gives),
        act=_flag(said, "act", where),
        repeatable=_flag(said, "repeatable", where, default=remembers or not call),
        holds=_flag(said, "holds", where),
        evidence=evidence,
        rejoins=remembers or until is not None,
        remainder=_flag(said, "remainder", where),
        amount=counts.setting if counts else "",
        doc=str(said.get("doc", "")) or f"{call or 'set'} of the actor",
    )
    if action.remainder and counts is None:
        raise SpecError(f"{where}.remainder: without counts nobody can say how much is left")
    return Doing(
        action, given, constants, call, until, counts, gives,
        lasts_s=_seconds(said, "lasts", 0.0, where, most_s=30 * 86_400.0),
        answer_s=_seconds(said, "answers_within", answer_s, where),
        reads_back=_flag(said, "reads_back", where, default=True),
    )  # fmt: skip


_GIVEN = (
    "parameter", "argument", "unit", "from", "to", "default", "resolution", "difference", "zero", "choices", "sends",
    "whole", "doc",
)  # fmt: skip


def _given(name: str, said: Any, where: str) -> Given:
    said = _mapping(said, where)
    refuse_unknown(said, _GIVEN, where)
    if ("parameter" in said) == ("argument" in said):
        raise SpecError(f"{where} needs one of the two: parameter: NAME to set it, or argument: NAME for the call")
    sends = _mapping(said.get("sends", {}), f"{where}.sends")
    choices = tuple(sends) or _words(said, "choices", where)
    default = said.get("default")
    if choices:
        setting = Setting(
            name=name, argument=name, choices=choices, default=None if default is None else str(default),
            required=default is None, doc=str(said.get("doc", "")),
        )  # fmt: skip
    else:
        unit = str(said.get("unit", ""))
        if not unit or "from" not in said or "to" not in said:
            raise SpecError(f"{where} needs unit, from and to (or choices)")
        setting = Setting(
            name=name, argument=name, unit=unit,
            low=quantity_of(said["from"], unit), high=quantity_of(said["to"], unit),
            default=None if default is None else quantity_of(default, unit), required=default is None,
            resolution=quantity_of(said["resolution"], unit) if "resolution" in said else None,
            difference=_flag(said, "difference", where), zero=_flag(said, "zero", where), doc=str(said.get("doc", "")),
        )  # fmt: skip
        assert setting.low is not None and setting.high is not None
        if not setting.low < setting.high:
            raise SpecError(f"{where}: from = {said['from']} is not below to = {said['to']}")
    goes = "parameter" if "parameter" in said else "argument"
    target = _parameter(said, goes, where)
    return Given(
        setting, *((target, "") if goes == "parameter" else ("", target)), dict(sends), _flag(said, "whole", where)
    )


def _told(name: str, said: Any, where: str, call: str = "") -> Told:
    """A reading, or what an action gives (``call``: what it calls, if anything)."""
    said = _mapping(said, where)
    refuse_unknown(said, ("parameter", "unit", "doc", *(("array", "result", "call") if call else ())), where)
    signal = Signal(
        name=name, unit=str(said.get("unit", "")), array=_flag(said, "array", where), doc=str(said.get("doc", ""))
    )
    if "parameter" in said or not call:
        return Told(signal, parameter=_parameter(said, "parameter", where) if "parameter" in said else name)
    return Told(signal, result=str(said.get("result", "")), call=str(said.get("call", "")))


def _stays(name: str, said: Any, where: str) -> Stays:
    said = _mapping(said, where)
    refuse_unknown(said, ("parameter", "unit", "within", "counts"), where)
    unit = str(said.get("unit", ""))
    if not unit and ("within" in said or "counts" in said):
        raise SpecError(f"{where}: within and counts are of a number, which needs its unit")
    within = quantity_of(said.get("within", 0.0), unit) if unit else 0.0
    if within < 0.0:
        raise SpecError(f"{where}.within = {said['within']} is below 0")
    parameter = _parameter(said, "parameter", where) if "parameter" in said else name
    return Stays(parameter, unit, within, _flag(said, "counts", where))


def _until(said: Mapping[str, Any], where: str, settings: Mapping[str, Setting]) -> Until | None:
    if "until" not in said:
        return None
    table = _table(said, "until", ("parameter", "is", "fails", "near", "within"), where)
    where = f"{where}.until"
    until = Until(
        _parameter(table, "parameter", where), _words(table, "is", where), _words(table, "fails", where),
        str(table.get("near", "")),
    )  # fmt: skip
    if bool(until.words) == bool(until.near):
        raise SpecError(f"{where} needs one of the two: is: WORD, or near: SETTING with within")
    if until.near and (until.near not in settings or "within" not in table):
        raise SpecError(f"{where}: near = {until.near!r} must be a setting with a number, with within: how near")
    if not until.near:
        return until
    within = quantity_of(table["within"], settings[until.near].unit)
    return Until(until.parameter, (), until.fails, until.near, within)


def _counts(said: Mapping[str, Any], where: str, settings: Mapping[str, Setting]) -> Counts | None:
    if "counts" not in said:
        return None
    table = _table(said, "counts", ("parameter", "setting"), where)
    setting = str(table.get("setting", ""))
    if setting not in settings or not settings[setting].unit:
        raise SpecError(f"{where}.counts: setting = {setting!r} is not one of its settings with a number")
    return Counts(_parameter(table, "parameter", f"{where}.counts"), setting)


# --- the ways values are written --------------------------------------------------------------------------------------


def _mapping(said: Any, where: str) -> Mapping[str, Any]:
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise SpecError(f"{where} = {said!r} is no table of names and values")
    return said


def _named(said: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    table = _mapping(said.get(key), f"{where}.{key}".lstrip("."))
    if wrong := [str(name) for name in table if not NAME.fullmatch(str(name))]:
        raise SpecError(f"{where}.{key}: {wrong[0]!r} is no name; letters, digits and _ are".lstrip("."))
    return table


def _table(said: Mapping[str, Any], key: str, known: tuple[str, ...], where: str = "") -> Mapping[str, Any]:
    table = _mapping(said.get(key), f"{where}.{key}".lstrip("."))
    refuse_unknown(table, known, f"{where}.{key}".lstrip("."))
    return table


def _constants(said: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    constants = _mapping(said.get("parameters"), f"{where}.parameters")
    for name, value in constants.items():
        if not PARAMETER.fullmatch(str(name)) or not isinstance(value, (str, int, float, bool)):
            raise SpecError(f"{where}.parameters: {name!r} = {value!r} is no parameter with a plain value")
    return dict(constants)


def _parameter(said: Mapping[str, Any], key: str, where: str) -> str:
    name = str(said.get(key, ""))
    if not PARAMETER.fullmatch(name):
        raise SpecError(f"{where}.{key} = {name!r} is no name of a parameter, as ``temperature`` or ``heater.power``")
    return name


def _words(said: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = said.get(key, [])
    words = tuple(found) if isinstance(found, (list, tuple)) else (found,)
    if wrong := [word for word in words if not isinstance(word, str) or not word]:
        raise SpecError(f"{where}.{key}: {wrong[0]!r} is no word; write it in quotes")
    return words


def _flag(said: Mapping[str, Any], key: str, where: str = "", *, default: bool = False) -> bool:
    found = said.get(key, default)
    if not isinstance(found, bool):
        raise SpecError(f"{where}.{key} = {found!r} is neither true nor false".lstrip("."))
    return found


def _seconds(
    said: Mapping[str, Any], key: str, default: float, where: str = "", most_s: float = LONGEST_ANSWER_S
) -> float:
    if key not in said:
        return default
    seconds = quantity_of(said[key], "s")
    if not 0.0 < seconds <= most_s:
        raise SpecError(f"{where}.{key} = {said[key]} lies outside 0 to {most_s:g} s".lstrip("."))
    return seconds
