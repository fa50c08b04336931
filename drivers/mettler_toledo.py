"""Mettler-Toledo balances that speak MT-SICS (XPR/XSR, XS, MS/ML, ME, weigh modules), over RS-232, USB or Ethernet.

Sources: "MT-SICS Interface Commands" reference manuals (30324923 for XPR/XSR, 11781363 for weigh modules), levels 0 and
1, and traffic recorded on a WXS205SDU. What matters of them:

* 9600 8N1, CR LF both ways, capitals. A response repeats the command and has a status: S stable, D dynamic (not stable
  yet), A done, I understood but not executable now, L wrong parameter, + overload, - underload. A line that the balance
  does not understand is answered with ES, ET or EL alone.
* A weight stands right-aligned in ten characters, then a blank and the unit: a lost character shows.
* S, T and Z wait for a stable weight, for tens of seconds; SI, TI and ZI answer at once and say whether it was stable.
  So this driver asks with SI until the weight is stable, and never waits in the balance. SI is answered as S.
* A response may come unasked: I4 when the balance was switched on, weights when somebody presses its print key or left
  it repeating (SIR). Weights are passed over; any command ends SIR.
* Zeroing clears the tare memory; so does a power cut, and then what stands on the pan is the new zero. The I4 that
  comes unasked tells of it, once: so this driver listens before each question, and weighs no more until it is zeroed
  or tared. That line may be lost, so the tare memory (TA) is read again with each weighing after a tare; nothing tells
  of a zero, so where its line was away since (it is opened again then), it weighs no more either.
* @ ends whatever the balance is about; zero and tare stay.
* The unit is the one set on the balance (host unit). Not used, because not every balance has them: SC, TC, ZC (answers
  ES on a WXS205SDU), M21 (unit), C3 (adjustment, minutes), WS (doors).
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labloop.bench import (
    Amount,
    Exchange,
    Identity,
    InstrumentFault,
    LineCodec,
    Progress,
    ProtocolError,
    Reading,
    Signal,
    Stand,
    action,
    shown,
    twice_alike,
    written,
)

from .weighing import (
    GRAMS,
    LOOK_S,
    MASS,
    MOVES,
    MOVES_G,
    WITHIN,
    Balance,
    alike,
    confirmed,
    unstable,
    weight_number,
)

# The longest response we ask for (I2) has 60 characters, 65 ms at 9600 baud; a WXS205SDU answers within 0.15 s.
ANSWER_S = 1.0
# The rest of a line of which half is there: 40 characters at 9600 baud.
REST_S = 0.05

WEIGHT = r"(?P<value>(?=.{10} ) *-?\d+\.\d+) (?P<unit>\S{1,5})"
QUOTED = r'"(?P<text>[ -~]*)"'
# By command: the name its response has, and the statuses with what follows each of them.
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "SI": ("S", {"S": WEIGHT, "D": WEIGHT, "I": "", "+": "", "-": ""}),
    "TI": ("TI", {"S": WEIGHT, "D": WEIGHT, "I": "", "L": "", "+": "", "-": ""}),
    "ZI": ("ZI", {"S": "", "D": "", "I": "", "+": "", "-": ""}),
    "TA": ("TA", {"A": WEIGHT, "I": "", "L": ""}),
    "I2": ("I2", {"A": QUOTED, "I": ""}),
    "I3": ("I3", {"A": QUOTED, "I": ""}),
    "I4": ("I4", {"A": QUOTED, "I": ""}),
    "@": ("I4", {"A": QUOTED}),
}
# A weight cell that is broken says so in the place of the weight (11781363, 2.1.3.3).
LISTEN = ""  # says nothing
BROKEN = re.compile(r"S S +Error +(\d+[bt])")
# What may come unasked.
UNASKED = re.compile(rf"S [SD] {WEIGHT}|S [-I+]|I4 A {QUOTED}")
SWITCHED_ON = re.compile(f"I4 A {QUOTED}$")  # what was broken off by it may stand before it
ERRORS = {
    "ES": "it does not know this command",
    "ET": "the command reached it damaged",
    "EL": "it cannot execute this command",
}
MODEL = re.compile(r"(?P<model>.*\S) +(?P<capacity>\d+(?:\.\d+)?) +(?P<unit>\S+)")


@dataclass(frozen=True, slots=True)
class Command:
    """One line: ``SI``, ``I4``, ``@``; LISTEN takes what came unasked."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One response. ``status``: its letter, or ES, ET, EL; ``value`` in g with one unit of its last ``digit``."""

    status: str
    value: float | None = None
    digit: float = 0.0
    text: str = ""


class SicsCodec(LineCodec):
    """Lines of text. A response has the name and the shape that its command asks for; others are passed over."""

    def __init__(self) -> None:
        super().__init__(b"\r\n", longest=256)
        self._asked = "I4"
        self.switched_on = False  # it said so while something else was waited for
        self.serial_due = False  # it was asked for last: a serial number that comes may be the answer, or its double

    def overhears(self, data: bytes | list[bytes]) -> None:
        """What is thrown away, in any portions: the line that tells of switching on may be in it."""
        with suppress(ProtocolError):
            self._framer.push(data if isinstance(data, bytes) else b"".join(data))
        while (line := self._framer.pop()) is not None:
            self._overheard(line.decode("ascii", "replace"))

    @property
    def half(self) -> bool:
        """Whether it is in the middle of a line."""
        return self._framer.holds

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        self.serial_due = self.serial_due or command.text in ("I4", "@")
        return [] if command.text == LISTEN else [command.text.encode("ascii") + b"\r\n"]

    def listens(self, command: Command) -> bool:
        return command.text == LISTEN

    def urgent(self, command: Command) -> bool:
        return command.text == "@"

    def probe(self, command: Command) -> Command:
        """The firmware is answered like nothing else; after a lost one, the tare memory is.

        Never the serial number: an answer to it that came late would tell of switching on.
        """
        return Command("TA") if command.text == "I3" else Command("I3")

    def reply(self, line: bytes) -> Reply | None:
        """The response. Raises ProtocolError for what answers nothing that was asked."""
        text = line.decode("ascii", "replace")
        if self._asked == LISTEN:
            self._overheard(text)
            return Reply("A", text=text) if self.switched_on else None
        if text in ERRORS:
            return Reply(text)
        name, statuses = SHAPES[self._asked]
        if text.startswith(f"{name} ") and (status := text[len(name) + 1 : len(name) + 2]) in statuses:
            if broken := BROKEN.fullmatch(text):
                return Reply("Error", text=broken[1])
            rest = text[len(name) + 2 :]
            shape = statuses[status]
            if match := re.fullmatch(f" {shape}" if shape else "", rest, re.ASCII):
                self.serial_due = name == "I4"
                return _filled(status, match.groupdict(), line)
        self._overheard(text)
        if UNASKED.fullmatch(text):
            return None
        raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")

    def _overheard(self, text: str) -> None:
        """Whether a line tells that it was switched on."""
        self.switched_on = self.switched_on or (not self.serial_due and SWITCHED_ON.search(text) is not None)


def _filled(status: str, found: Mapping[str, str], line: bytes) -> Reply:
    if "value" not in found:
        return Reply(status, text=found.get("text", ""))
    if found["unit"] not in GRAMS:
        return Reply("unit", text=found["unit"])
    value, digit = weight_number(found["value"].strip(), line)
    in_grams = GRAMS[found["unit"]]
    return Reply(status, round(value * in_grams, 9), in_grams * digit)


TARE = Signal(name="tare", unit="g", doc="the tare memory")


class MTSICS(Balance):
    """A balance with MT-SICS. Options: ``model: XS205DU`` (what I2 must begin with: another one is refused)."""

    kind = "Mettler-Toledo balance"
    signals = (MASS, TARE, Signal(name="stable", doc="yes or no"))

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = SicsCodec()
        self._tare_g: float | None = None  # as tare() left it; None: not known to this process
        self._switched_on = False  # since it was zeroed or tared last
        self._away = False  # its line was, since then, and its tare memory tells nothing of that

    def open(self) -> Identity:
        """Ask for model and serial number. Raises InstrumentFault when something else answers."""
        self._away = self._away or self._tare_g == 0.0  # it was opened before: the line was lost
        said = self._words("I2")
        model = MODEL.fullmatch(said)
        if model is None or model["unit"] not in GRAMS:
            raise InstrumentFault(f"{said!r} answers where a balance was expected", kind="identity")
        self._refuse_another(model["model"])
        serial = self._words("I4")
        return Identity(model=model["model"], firmware=self._words("I3"), serial=serial, first_reply=repr(said))

    def read(self) -> Mapping[str, Reading]:
        """Mass and tare now. Raises InstrumentFault when the pan is overloaded or away."""
        now = confirmed(self._look, _same)
        return {
            "mass": Reading(value=now.value, unit="g"),
            "tare": Reading(value=self._memory(), unit="g"),
            "stable": Reading(value="yes" if now.status == "S" else "no"),
        }

    def stands(self) -> Mapping[str, Stand]:
        """The tare memory, which its keys change too. Not the weight, nor the zero: no command tells what that is."""
        said = self._alike("TA")
        assert said.value is not None
        return {"tare": Stand(value=said.value, unit="g", within=0.5 * said.digit)}

    @action(WITHIN, gives=(MASS,), repeatable=True)
    def weigh(self, within_s: float) -> None:
        """Read the net mass once it is stable."""
        self._begun, self._within_s = "weigh", within_s

    @action(WITHIN, gives=(TARE,), repeatable=True)
    def tare(self, within_s: float) -> None:
        """Take what stands on the pan as the tare, once it is stable."""
        self._begun, self._within_s = "tare", within_s

    @action(WITHIN, gives=(MASS,), repeatable=True)
    def zero(self, within_s: float) -> None:
        """Take what stands on the pan as zero, once it is stable; this clears the tare."""
        self._begun, self._within_s = "zero", within_s

    def progress(self, elapsed_s: float) -> Progress:
        """One look at the pan. Raises InstrumentFault: overload, underload, unstable, reset, zero_range."""
        self._listen()
        if self._switched_on and self._begun == "weigh":
            raise InstrumentFault(
                "it was switched off and on, and takes what stood on its pan then as zero: empty and zero it, or tare "
                "it, before it weighs again",
                kind="reset",
            )
        if self._away and self._begun == "weigh":
            raise InstrumentFault(
                "its line was away since it was zeroed, or tared with nothing on it, and a balance that was switched "
                "off meanwhile takes what stood on its pan as zero: empty and zero it, or tare it, before it weighs "
                "again",
                kind="reset",
            )
        now = self._look()
        if now.status != "S":
            if elapsed_s <= self._within_s:
                seen = {} if now.value is None else {"mass": Reading(value=now.value, unit="g")}
                return Progress(done=False, readings=seen, again_in_s=LOOK_S)
            raise unstable(self._within_s, now.value)
        if self._begun == "weigh":
            return self._weighed(now)
        done = self._tared() if self._begun == "tare" else self._zeroed()
        return done or Progress(done=False, again_in_s=LOOK_S)

    def stop(self) -> None:
        """End what the balance waits for or repeats; zero and tare stay. Harmless twice."""
        self._answered("@")
        self._listen()  # the answer may come twice, and is the line that tells of switching on
        self._codec.serial_due = False

    # --- how it is said -----------------------------------------------------------------------------------------

    def _weighed(self, first: Reply) -> Progress:
        now = self._sure(first)
        if now is None:
            return Progress(done=False, again_in_s=LOOK_S)
        tare = self._memory()
        self._listen()
        if self._switched_on:
            return Progress(done=False, again_in_s=0.0)  # the next look says so
        if self._tare_g is not None and abs(tare - self._tare_g) > 0.5 * now.digit:
            raise InstrumentFault(
                f"its tare is {written(tare, 'g')} where {written(self._tare_g, 'g')} was tared: it was switched off, "
                "or somebody tared it, and what it weighs is not the net mass",
                kind="reset",
            )
        assert now.value is not None
        return Progress(
            done=True,
            achieved={"mass": Amount(now.value, "g")},
            # The net mass stands or falls with the tare, which only this process watches: so it is told along.
            readings={"mass": Reading(value=now.value, unit="g"), "tare": Reading(value=tare, unit="g")},
        )

    def _tared(self) -> Progress | None:
        said = self._answered("TI")
        if said.status == "D":
            return None
        self._begin_anew()
        self._tare_g = self._memory()
        tare = Amount(self._tare_g, "g")
        return Progress(done=True, achieved={"tare": tare}, readings={"tare": Reading(value=self._tare_g, unit="g")})

    def _zeroed(self) -> Progress | None:
        said = self._answered("ZI", over="zero_range")
        if said.status == "D":
            return None
        self._begin_anew()
        self._tare_g = 0.0
        now = self._look()
        return Progress(done=True, readings={"mass": Reading(value=now.value, unit="g")})

    def _sure(self, first: Reply) -> Reply | None:
        """A stable weight that was said twice alike; None: it is not stable after all."""
        again = self._look()
        if again.status != "S" or again.value is None or first.value is None:
            return None
        if not alike(first.value, again.value, again.digit):
            raise ProtocolError(f"SI was answered with {first.value:g} g and then with {again.value:g} g, both stable")
        return again

    def _memory(self) -> float:
        """The tare memory."""
        value = self._alike("TA").value
        assert value is not None
        return value

    def _words(self, text: str) -> str:
        return self._alike(text).text

    def _alike(self, text: str) -> Reply:
        """What was said twice alike: a line without a checksum turns a character now and then."""
        return twice_alike(lambda: self._answered(text), text)

    def _look(self) -> Reply:
        """The weight now; busy counts as not stable."""
        said = self._ask("SI")
        return said if said.status == "I" else self._believe("SI", said)

    def _listen(self) -> None:
        """Take note of it when it has told, unasked, that it was switched on."""
        if self.exchange(self._codec, Command(LISTEN), 0.0) is None and self._codec.half:
            self.exchange(self._codec, Command(LISTEN), REST_S)
        self._switched_on, self._codec.switched_on = self._switched_on or self._codec.switched_on, False

    def _begin_anew(self) -> None:
        """Whatever stood on its pan when it was switched on is its zero no more."""
        self._listen()
        self._switched_on = self._away = False

    def _answered(self, text: str, over: str = "overload") -> Reply:
        return self._believe(text, self._ask(text), over)

    def _ask(self, text: str) -> Reply:
        """The response; one that would stop a step must be said twice alike."""
        said = self._exchange(text)
        if said.status in ("S", "D", "A"):
            return said
        return twice_alike(lambda: self._exchange(text), text)

    def _exchange(self, text: str) -> Reply:
        self._listen()  # what came unasked is thrown away before a question
        reply: Reply = self.exchange(self._codec, Command(text), ANSWER_S)
        return reply

    def _believe(self, text: str, reply: Reply, over: str = "overload") -> Reply:
        match reply.status:
            case "+" | "-" if over == "zero_range":
                raise InstrumentFault("what stands on the pan is outside its zero range: tare it instead", kind=over)
            case "+":
                raise InstrumentFault("overload: more stands on the pan than it can weigh", kind=over)
            case "-":
                raise InstrumentFault("underload: the pan is away, or lifted", kind="underload")
            case "Error":
                raise InstrumentFault(f"it reports error {reply.text} in the place of a weight", kind="hardware")
            case "unit":
                raise InstrumentFault(
                    f"it weighs in {reply.text!r}: set the unit for the host to g on the balance", kind="setup"
                )
            case "I":
                raise InstrumentFault(f"{text}: it is busy with something else", kind="busy")
            case "L":
                raise InstrumentFault(f"{text}: it takes no such value", kind="refused")
            case "ES" | "ET" | "EL":
                raise InstrumentFault(f"{text}: {ERRORS[reply.status]} ({reply.status})", kind="refused")
        return reply


def _same(before: Reply, now: Reply) -> bool:
    """Whether two looks confirm each other: nearly, while the pan has not settled."""
    if before.status != now.status or before.value is None or now.value is None:
        return before.status == now.status and before.value == now.value
    if now.status == "S":
        return alike(before.value, now.value, now.digit)
    return abs(now.value - before.value) <= max(MOVES_G, MOVES * abs(now.value))
