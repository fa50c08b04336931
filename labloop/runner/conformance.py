"""The rules that every driver keeps, tried on its own simulator: a report that says which it breaks, and where.

    declared      every setting has a unit the house knows and limits (or choices), every default lies inside
    identified    open() says who is there, sets nothing, and says the same twice
    read          read() gives what the class declares, in its units, finite
    limits        each setting is taken at both limits and refused just beyond them, before a byte is sent
    on the wire   what sent() tells is numbers, and of settings that there are: a limit on another name binds nothing
    actions       each action runs to its end from the middle of its limits, and gives what it declares; one that takes
                  time says so beforehand (expected), and is not over sooner than it says
    asked         what became of an act is told: not "not begun" of one that was done, read-only
    stopped       stop() is harmless twice, at rest and in the middle of every act; nothing goes on after it
    one byte      answers that come one byte at a time are the same answers
    wrong device  something else on the line is refused, and so is a line that says nothing
    faults        each kind of fault of the line gives no wrong number and leaves a driver that works afterwards
    reopened      after the cable was out, the same instrument answers on the port that is opened again

A rule that a driver gives no occasion for (what changes no matter has no act to be asked after) is "none".
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from labloop.bench import Action, Amount, BenchError, Identity, InstrumentFault, Progress, Reading, Setting, SpecError
from labloop.bench.safety import Envelope
from labloop.bench.settings import resolve
from labloop.campaign.errors import LabloopError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.units import check_unit
from labloop.simulation.faults import KINDS

from .proving import Example, Stand, examples

ACT: Final = "conformance-1"
# A rate is rounded on its way to the instrument, and so is the time that it makes.
ROUNDED: Final = 0.05
AT_ONCE_S: Final = 2.0  # some commands with the pauses between them; what takes longer says so beforehand
TRIES: Final = 12  # settings an action is tried with before it counts as one that is never done
KEPT, BROKEN, NONE = "kept", "broken", "none"
# Of every answer of the line, when a kind of fault is tried: often enough to meet several in the looks taken.
OFTEN: Final = 0.2
LOOKS: Final = 40
# What a reading may change within some seconds on a bench at rest, as a part of its size: more is a wrong number.
STEADY: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule on one thing. ``state``: kept, broken or none; ``why`` in words."""

    rule: str
    about: str
    state: str
    why: str = ""


class Broken(Exception):
    """A rule is broken; the message says how."""


class Occasion(Exception):
    """The driver gives no occasion for this rule; the message says why."""


def examine(lab: LabSpec, name: str) -> Iterator[Finding]:
    """Every finding about one instrument of a lab, on its simulator. Raises SpecError when it cannot be loaded."""
    actions = Stand(lab, name).declaration.actions
    yield _find("declared", "", lambda: _declared(Stand(lab, name)))
    for rule, check in (("identified", _identified), ("read", _read)):
        yield _find(rule, "", lambda check=check: check(Stand(lab, name)))  # type: ignore[misc]
    for action in actions.values():
        for setting in action.settings:
            yield _find(
                "limits", f"{action.name}.{setting.name}",
                lambda action=action, setting=setting: _limits(Stand(lab, name).ready(), action, setting),  # type: ignore[misc]
            )  # fmt: skip
    for action in actions.values():
        for rule, on_action in (
            ("on the wire", _says), ("actions", _runs), ("asked", _asked), ("stopped", _stops),
        ):  # fmt: skip
            yield _find(
                rule, action.name,
                lambda action=action, on_action=on_action: on_action(lab, name, action),  # type: ignore[misc]
            )  # fmt: skip
    yield _find("stopped", "at rest", lambda: _stops_at_rest(Stand(lab, name).ready()))
    yield _find("one byte", "", lambda: _one_byte(lab, name))
    yield _find("wrong device", "noise", lambda: _wrong(Stand(lab, name), b"\x00\xffHELLO 3.14\r\n"))
    yield _find("wrong device", "silence", lambda: _wrong(Stand(lab, name), b""))
    for kind in KINDS:
        yield _find("faults", kind, lambda kind=kind: _faults(lab, name, kind))  # type: ignore[misc]
    yield _find("reopened", "", lambda: _reopened(Stand(lab, name).ready()))


def _find(rule: str, about: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except Broken as broken:
        return Finding(rule=rule, about=about, state=BROKEN, why=str(broken))
    except Occasion as none:
        return Finding(rule=rule, about=about, state=NONE, why=str(none))
    except LabloopError as error:
        return Finding(rule=rule, about=about, state=BROKEN, why=f"it was refused: {error}")
    except Exception as error:  # noqa: BLE001 a driver's own mistake is what this report is for
        return Finding(rule=rule, about=about, state=BROKEN, why=f"{type(error).__name__}: {error}")
    return Finding(rule=rule, about=about, state=KEPT)


# --- what is declared -------------------------------------------------------------------------------------------------


def _declared(stand: Stand) -> None:
    driver = stand.declaration.driver
    if not driver.kind:
        raise Broken("the class says of no kind what it is: kind = ''")
    for action in stand.declaration.actions.values():
        if not action.doc:
            raise Broken(f"{action.name} has no docstring")
        if action.remainder and not action.evidence:
            raise Broken(f"{action.name} can deliver a remainder, and has no evidence of what was done")
        for setting in action.settings:
            _declared_setting(f"{action.name}.{setting.name}", setting)
    given = [signal for action in stand.declaration.actions.values() for signal in action.gives]
    for signal in (*stand.declaration.signals.values(), *given):
        for unit in filter(None, (signal.unit, signal.axis)):
            check_unit(unit)


def _declared_setting(where: str, setting: Setting) -> None:
    if setting.choices:
        return
    if setting.low is None or setting.high is None or not -math.inf < setting.low < setting.high < math.inf:
        raise Broken(f"{where} has no limits: low = {setting.low}, high = {setting.high}")
    if setting.unit:
        check_unit(setting.unit)
    if isinstance(setting.default, (int, float)) and not setting.low <= setting.default <= setting.high:
        raise Broken(f"{where}: the default {setting.default:g} lies outside its own limits")


# --- who is there -----------------------------------------------------------------------------------------------------


def _identified(stand: Stand) -> None:
    first = stand.driver.open()
    if not isinstance(first, Identity) or not first.model or not first.first_reply:
        raise Broken("open() gives no Identity with model and first_reply")
    if stand.bench.ledger.entries:
        raise Broken(f"open() moved something: {stand.bench.ledger.entries[0]}")
    again = stand.restarted().open()
    if (first.model, first.serial) != (again.model, again.serial):
        raise Broken(f"asked twice it says {first.model} {first.serial}, then {again.model} {again.serial}")


def _read(stand: Stand) -> None:
    readings = stand.ready().driver.read()
    declared = stand.declaration.signals
    if set(readings) - set(declared) or (declared and not readings):
        raise Broken(f"read() gives {', '.join(readings) or 'nothing'}, declared are {', '.join(declared) or 'none'}")
    for name, reading in readings.items():
        if reading.unit != declared[name].unit:
            raise Broken(f"{name} is in {reading.unit or 'no unit'}, declared in {declared[name].unit or 'no unit'}")
        if isinstance(reading.value, float) and not math.isfinite(reading.value):
            raise Broken(f"{name} = {reading.value} on a bench at rest")


def _wrong(stand: Stand, answer: bytes) -> None:
    """Something else answers everything with the same bytes (or nothing)."""
    said = [answer] if stand.serial else []

    def receive(*heard: Any) -> Any:
        if stand.serial:
            return said[0] if heard[0] else b""
        return []

    stand.line.receive = receive
    try:
        identity = stand.driver.open()
    except BenchError:
        return
    raise Broken(f"open() takes it for {identity.model}")


# --- settings and actions ---------------------------------------------------------------------------------------------


def _limits(stand: Stand, action: Action, setting: Setting) -> None:
    """At a limit the driver takes it or says why not together with the others; beyond it nothing is sent."""
    if setting.choices:
        _choices(stand, action, setting)
        return
    assert setting.low is not None and setting.high is not None
    step = (setting.high - setting.low) * 1e-3 or 1.0
    if setting.difference:
        step = abs(step)
    envelope = Envelope(stand.lab, None, stand.declarations)
    for value, inside in (
        (setting.low, True), (setting.high, True), (setting.low - step, False), (setting.high + step, False),
        (math.inf, False), (math.nan, False),
    ):  # fmt: skip
        amounts = _others(stand, action, setting) | {setting.name: Amount(value, setting.unit)}
        before = stand.sent
        complaints = envelope.complaints(stand.name, action.name, amounts)
        about_it = any(f"{setting.name} = " in one for one in complaints)
        if inside and about_it and "the limit of" in " ".join(complaints):
            raise Broken(f"{value:g} {setting.unit} is its own limit and is refused: {complaints[0]}")
        if not inside and not about_it and not (setting.zero and value == 0.0):
            raise Broken(f"{value:g} {setting.unit} is beyond its limits and is not refused")
        if stand.sent != before:
            raise Broken("something was sent before the limits were looked at")


def _choices(stand: Stand, action: Action, setting: Setting) -> None:
    for word in (*setting.choices, "no such word"):
        try:
            resolve(action, _others(stand, action, setting) | {setting.name: Amount(word)})
        except SpecError:
            if word in setting.choices:
                raise Broken(f"{word!r} is one of its choices and is refused") from None
            continue
        if word not in setting.choices:
            raise Broken(f"{word!r} is none of its choices and is taken")


def _others(stand: Stand, action: Action, setting: Setting) -> dict[str, Amount]:
    for example in examples(stand.declaration, action):
        if setting.name in example.amounts:
            return dict(example.amounts)
    return {}


def _first_done(lab: LabSpec, name: str, action: Action) -> tuple[Stand, Example, Progress, Mapping[str, Amount]]:
    """The first of some settings with which the action is done, on a stand of its own; and the counters before."""
    refused: BenchError | None = None
    for example in islice(examples(Stand(lab, name).declaration, action), TRIES):
        stand = Stand(lab, name).ready()
        before = stand.driver.counters()
        try:
            return stand, example, stand.run(action.name, example, ACT), before
        except BenchError as error:  # at its limit, say: other settings may do
            refused = refused or error
    raise Broken(f"it was not done: {refused}" if refused else "no settings inside its limits are accepted together")


def _says(lab: LabSpec, name: str, action: Action) -> None:
    declaration = Stand(lab, name).declaration
    known = {setting.name for one in declaration.actions.values() for setting in one.settings}
    told = False
    for example in islice(examples(declaration, action), TRIES):
        for setting, levels in declaration.sent(action.name, example.values).items():
            told = True
            if setting not in known:
                raise Broken(f"sent() tells of {setting}, which no action of it has: {', '.join(sorted(known))}")
            if not isinstance(levels, tuple) or not all(
                isinstance(one, (int, float)) and math.isfinite(one) for one in levels
            ):
                raise Broken(f"sent() says that {setting} comes to {levels!r}. Write numbers in brackets: (80.1,)")
    if not told:
        raise Occasion("it says what it is asked for, and nothing else")


def _runs(lab: LabSpec, name: str, action: Action) -> None:
    stand, example, look, _ = _first_done(lab, name, action)
    expected = stand.declaration.expected(action.name, example.values)
    if stand.took_s > AT_ONCE_S and not expected.duration_s:
        raise Broken(f"it took {stand.took_s:.3g} s, and expected() says nothing of that")
    if stand.took_s < expected.least_s * (1.0 - ROUNDED):
        raise Broken(f"it took {stand.took_s:.3g} s, and expected() says {expected.least_s:.3g} s at the least")
    if action.amount and action.amount not in look.achieved:
        raise Broken(f"its amount is {action.amount}, and it has achieved {', '.join(look.achieved) or 'nothing'}")
    given = {*look.readings, *look.arrays}
    if action.gives and action.gives[0].name not in given:  # the first is what save_as keeps
        raise Broken(f"it gives {action.gives[0].name}, and ended without")
    for name, reading in look.readings.items():
        if not isinstance(reading, Reading) or (reading.value is None and name not in look.arrays):
            raise Broken(f"{name} is no reading: {reading!r}")


def _asked(lab: LabSpec, name: str, action: Action) -> None:
    if not action.act or action.holds:
        raise Occasion("it changes no matter, or only holds a condition")
    stand, example, _, before = _first_done(lab, name, action)
    done = len(stand.bench.ledger.entries)
    for driver in (stand.driver, stand.restarted()):
        driver.open()
        verdict = driver.happened(action.name, example.amounts, before, ACT)
        if verdict.state == "not_begun":
            raise Broken(f"it was done, and is told as not begun ({verdict.why}): it would be done twice")
        if action.amount and verdict.state not in ("done", "running"):
            raise Broken(f"it was done, its evidence is {action.evidence}, and it is told as {verdict.state}")
    if len(stand.bench.ledger.entries) != done:
        raise Broken("asking what became of it moved something")


def _stops(lab: LabSpec, name: str, action: Action) -> None:
    if not action.act:
        raise Occasion("it changes no matter")
    stand = Stand(lab, name).ready()
    example = next(examples(stand.declaration, action), None)
    if example is None:
        raise Broken("no settings in the middle of its limits are accepted together")
    stand.driver.begin(action.name, dict(example.values), ACT)
    stand.wait(1.0)
    _stop_twice(stand)


def _stops_at_rest(stand: Stand) -> None:
    _stop_twice(stand)


def _stop_twice(stand: Stand) -> None:
    stand.driver.stop()
    stand.driver.stop()
    stand.wait(1.0)
    if stand.running:
        raise Broken("after stop() a physical act goes on")
    ended = len(stand.bench.ledger.entries)
    stand.wait(600.0)
    if len(stand.bench.ledger.entries) != ended:
        raise Broken(f"ten minutes after stop() something moved: {stand.bench.ledger.entries[-1]}")


# --- the line ---------------------------------------------------------------------------------------------------------


def _one_byte(lab: LabSpec, name: str) -> None:
    whole, slow = Stand(lab, name), Stand(lab, name, slow=True)
    if not whole.serial:
        raise Occasion("its line hands over whole messages")
    if (whole.driver.open().model, whole.driver.open().serial) != (slow.driver.open().model, slow.driver.open().serial):
        raise Broken("one byte at a time it says another name")
    whole.driver.configure()
    slow.driver.configure()
    _same(whole.driver.read(), slow.driver.read(), "one byte at a time")


def _faults(lab: LabSpec, name: str, kind: str) -> None:
    if kind in ("stall", "power_cycle") and not hasattr(Stand(lab, name).bench.devices[name], kind):
        raise Occasion("its simulator knows no such fault")
    stand = Stand(lab, name, faults=f"{kind}={OFTEN}")
    for _ in range(LOOKS):
        try:
            stand.driver.open()
            readings = stand.driver.read()
        except BenchError:
            stand.wait(10.0)
            continue
        if kind not in ("stall", "power_cycle"):
            _same(stand.truth(), readings, f"under {kind}")
    stand.faultless()
    if kind == "unplug":
        stand.port.reopen()
    for last in (False, False, True):
        try:
            stand.driver.open()
            stand.driver.configure()
            stand.driver.read()
        except InstrumentFault as fault:
            if kind == "stall":  # what is blocked stays blocked until a person looks, and says so
                return
            if last:
                raise Broken(f"when the line is sound again it still does not work: {fault}") from fault
        except BenchError as error:
            if last:
                raise Broken(f"when the line is sound again it still does not work: {error}") from error
        else:
            return


def _same(expected: Any, readings: Any, when: str) -> None:
    """Nothing has happened between the two: whatever differs by more than noise is a wrong number."""
    for name, reading in readings.items():
        value, known = reading.value, expected[name].value if name in expected else None
        if isinstance(value, str | bool) or value is None or known is None:
            if value != known:
                raise Broken(f"{when} {name} reads {value!r} where {known!r} is right")
        elif abs(value - known) > STEADY * max(abs(known), 1.0):
            raise Broken(f"{when} {name} reads {value:g} where {known:g} is right")


def _reopened(stand: Stand) -> None:
    before = stand.driver.open()
    stand.port.link.close()
    try:
        stand.driver.read()
    except BenchError:
        pass
    else:
        if stand.declaration.signals:
            raise Broken("read() answers on a port that is closed")
    stand.port.reopen()
    after = stand.driver.open()
    if (before.model, before.serial) != (after.model, after.serial):
        raise Broken(f"{after.model} {after.serial} answers where {before.model} {before.serial} was")
    stand.driver.configure()
    stand.driver.read()
