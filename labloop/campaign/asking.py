"""A person as an instrument: what a step asks of them, and how their answer is read.

    - person.do: {ask: Load 4 substrates, read: {plate: barcode, mass: g}, reach_by: 8 h}

``read`` names what is to be written down: a ``barcode`` or ``text`` is kept as it is typed, anything else is a unit
(``number``: none) and the answer a number in it. Each is saved under its own name, for an outcome's ``from: mass``.
``simulated`` gives the numbers that the person of a simulated run answers with: nobody makes a measurement up.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import SpecError
from .flags import doubtful
from .models import did_you_mean
from .text import plain
from .units import convert, parse_measurement, parse_quantity
from .values import PERSON, Amount, Reading

ACTION = "do"
WORDS = ("barcode", "text")
NUMBER = "number"
KEYS = ("ask", "read", "simulated", "reach_by")
# Work that nobody has done by the next day was forgotten; a run that waits for it longer hides that.
REACH_BY_S = 86_400.0
LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request to a person. ``reads``: {name: "barcode", "text" or a unit ("": a plain number)}."""

    ask: str
    reads: Mapping[str, str] = field(default_factory=dict)
    simulated: Mapping[str, Amount] = field(default_factory=dict)
    reach_by_s: float = REACH_BY_S

    @property
    def usage(self) -> str:
        """What has to be written behind ``done``."""
        return " ".join(f"{name}={'TEXT' if kind in WORDS else 'VALUE'}" for name, kind in self.reads.items())

    def question(self, trial: int | None) -> tuple[str, dict[str, str]]:
        """What a person reads, and what each answer will do; ``trial``: None outside one."""
        sample = "the sample is cleaned away, and the same settings are tried again as a new trial"
        reads = f" Then say done {self.usage}." if self.reads else ""
        return f"Please: {self.ask}.{reads}".replace("..", "."), {
            f"done {self.usage}".strip(): "it is done, and the trial goes on",
            "not-done": "you are asked again",
            "discard": "the run ends here" if trial is None else sample,
        }


def asking(settings: Mapping[str, Amount]) -> Asking:
    """Read the settings of a ``person.do``. Raises SpecError with every complaint."""
    complaints = list(_complaints(settings))
    if complaints:
        raise SpecError(*complaints)
    reads: dict[str, str] = {}
    simulated: dict[str, Amount] = {}
    for name, amount in settings.items():
        group, _, key = name.partition(".")
        if group == "read":
            kind = str(amount.value)
            reads[key] = "" if kind == NUMBER else kind
        elif group == "simulated":
            simulated[key] = amount
    by = settings.get("reach_by")
    return Asking(
        ask=str(settings["ask"].value), reads=reads, simulated=simulated,
        reach_by_s=REACH_BY_S if by is None else convert(float(by.value), by.unit or "s", "s"),
    )  # fmt: skip


def _complaints(settings: Mapping[str, Amount]) -> Iterator[str]:
    if not str(settings["ask"].value if "ask" in settings else "").strip():
        yield "ask is missing. Write what is to be done, like ask: Load 4 substrates"
    for name, amount in settings.items():
        group, _, key = name.partition(".")
        if group not in KEYS or (group in ("read", "simulated")) != bool(key):
            yield f"{PERSON}.{ACTION} has no setting {name}. {did_you_mean(group, KEYS)}"
        elif group == "read" and amount.value not in (*WORDS, NUMBER):
            yield from _unit_fault(key, amount)
        elif group == "simulated":
            yield from _simulated_fault(key, amount, settings.get(f"read.{key}"))
        elif group == "reach_by":
            yield from _time_fault(amount)


def _unit_fault(key: str, amount: Amount) -> Iterator[str]:
    way_out = f"Write {' or '.join(WORDS)}, {NUMBER}, or the unit of a number, like g"
    if not isinstance(amount.value, str):
        yield f"read.{key} = {amount.value} is no kind of answer. {way_out}"
        return
    try:
        parse_quantity(f"1 {amount.value}")
    except SpecError:
        yield f"read.{key} = {amount.value} is no kind of answer and no unit. {way_out}"


def _simulated_fault(key: str, amount: Amount, read: Amount | None) -> Iterator[str]:
    if read is None:
        yield f"simulated.{key}: nothing called {key} is read. Add it to read, or take it out"
        return
    try:
        _reading(key, "" if read.value == NUMBER else str(read.value), _written(amount))
    except SpecError as error:
        yield f"simulated.{error}"


def _time_fault(amount: Amount) -> Iterator[str]:
    try:
        if not isinstance(amount.value, (int, float)) or convert(float(amount.value), amount.unit or "s", "s") <= 0:
            raise SpecError("must be above 0")
    except SpecError as error:
        yield f"reach_by = {_written(amount)}: {error}. Write a time, like 8 h"


def answer(asked: Asking, written: Sequence[str]) -> dict[str, Reading]:
    """Read ``name=value`` words into readings. Raises SpecError for one that is missing, unknown or no such value."""
    given: dict[str, str] = {}
    complaints: list[str] = []
    for one in _parts(written):
        name, sign, value = one.partition("=")
        if not sign or name not in asked.reads:
            known = f"Write done {asked.usage}" if asked.reads else "Write done alone"
            complaints.append(f"{one!r} is not asked for. {known}")
        elif name in given:
            complaints.append(f"{name} is given twice. Give it once")
        else:
            given[name] = value
    complaints += [f"{name} is missing. Write done {asked.usage}" for name in asked.reads if name not in given]
    readings: dict[str, Reading] = {}
    for name in given:
        try:
            readings[name] = _reading(name, asked.reads[name], given[name])
        except SpecError as error:
            complaints.append(str(error))
    if complaints:
        raise SpecError(*complaints)
    return readings


def _parts(written: Sequence[str]) -> list[str]:
    """The words of an answer, parted where the next name begins: a value may have blanks."""
    text = " ".join(written).strip()
    return re.split(r"\s+(?=[^\W\d]\w*=)", text) if text else []


def simulated_answer(asked: Asking, step: str) -> dict[str, Reading]:
    """What the person of a simulated run answers. Raises SpecError for a number that nobody has given."""
    missing = [name for name, kind in asked.reads.items() if kind not in WORDS and name not in asked.simulated]
    if missing:
        raise SpecError(
            f"a simulated person measures nothing: give the number to be answered, as in simulated: {{{missing[0]}: "
            f"{'1 ' + asked.reads[missing[0]] if asked.reads[missing[0]] else '1'}}}"
        )
    said = {
        name: _written(asked.simulated[name]) if name in asked.simulated else f"SIMULATED-{step}"
        for name in asked.reads
    }
    return {name: _reading(name, asked.reads[name], value) for name, value in said.items()}


def _reading(name: str, kind: str, value: str) -> Reading:
    value = value.strip()
    if kind in WORDS:
        if not value or len(value) > LONGEST or plain(value) != value:
            raise SpecError(f"{name} = {value[:40]!r} is no {kind}. Give 1 to {LONGEST} printable characters")
        return Reading(value=value)
    try:
        reading = parse_measurement(value, kind)
        if doubt := doubtful(value, reading):
            raise SpecError(f"{doubt}. Measure it again, or discard the sample")
        return reading
    except SpecError as error:
        raise SpecError(f"{name} = {value[:40]!r}: {error}") from error


def _written(amount: Amount) -> str:
    return f"{amount.value} {amount.unit}".strip()
