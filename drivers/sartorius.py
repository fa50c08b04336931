"""Sartorius balances that speak SBI (Cubis, Quintix, Secura, Practum, MSE, ME, Master series), over RS-232 or USB.

Sources: operating instructions of the Cubis MSE and the Master series, "Data Interfaces" (pages 71 and 79), and traffic
recorded on an MSE1203S with firmware 00-39-21. What matters of them:

* 9600 8O1 (odd parity!) as delivered. A command is ESC with a capital letter, or ESC, letter, digit and "_"; CR LF
  after it is optional. Only print (P) and the questions x1_ x2_ x3_ answer. Everything else is silent, also what is not
  known: there are no errors, so what became of a command is only known from the weights that follow.
* A weight is a line of 22 characters, CR LF among them: identification (N net, G gross), sign, nine for the value, a
  blank, three for the unit. The unit is blank as long as the weight is not stable. Without identification (a setting
  of the menu) it has 16. What is no weight has "Stat" for its identification: High, Low, Cal.Int., ERR 54.
* P may be set up to wait for a stable weight ("with stability"). Then it stays silent while the pan moves; a balance
  that answers x2_ and not P is taken for one that waits.
* It may print by itself (autoprint); P ends that. Lines that come unasked are passed over where they are not weights.
* T, U and V wait for a stable weight. T tares, or zeroes within the zero range; V outside its range does nothing.
* There is no way to read the tare: a power cut between tare and weighing takes what stands on the pan as zero, and
  nothing tells of it. Give such a balance an uninterruptible supply, or weigh the vessel before and after. Nor is it
  told that somebody pressed its tare or zero key (no stands()): a weight is another one with each sample as well.
* Not used, because not every balance has them (an MSE1203S is silent): O K S Z (keys, filter, restart, adjustment).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import (
    Amount,
    Exchange,
    Identity,
    InstrumentFault,
    LineCodec,
    LinkTimeout,
    Progress,
    ProtocolError,
    Reading,
    Signal,
    action,
    shown,
    twice_alike,
    written,
)

from .weighing import GRAMS, LOOK_S, MASS, WITHIN, Balance, alike, confirmed, unstable, weight_number

# 22 characters of 11 bits take 25 ms at 9600 baud; balances answer within 0.2 s, their display's own beat.
ANSWER_S = 1.0

WEIGHT = re.compile(r"(?:(?:N|G#?) {4,5})?(?P<sign>[-+ ])(?P<value>(?=.{9} ) *\d+\.\d+) (?P<unit>\S* *)")
SPECIAL = re.compile(
    r"(?:Stat  )? +(?P<word>High|Low|H|L|OFF|Cal\.? ?(?:Int|Ext)\.?|(?:[A-Z]{3}\. ?)?E[Rr][Rr](?: \d+)?) *"
)
WORDS = re.compile(r"(?=.{1,20}$)(?P<text>[!-~](?:[ -~]*[!-~])?) *")
# A weight that lost a character is not taken for somebody's name; a software's version may well be 00-20-12.01.
LIKE_WEIGHT = re.compile(r"[NG#]? *[-+] *\d+\.\d|Stat ")
SPECIAL_FAULTS = {
    "High": ("overload", "overload: more stands on the pan than it can weigh"),
    "H": ("overload", "overload: more stands on the pan than it can weigh"),
    "Low": ("underload", "underload: the pan is away, or lifted"),
    "L": ("underload", "underload: the pan is away, or lifted"),
    "OFF": ("off", "its display is switched off"),
}


@dataclass(frozen=True, slots=True)
class Command:
    """What follows ESC: ``P``, ``T``, ``x2_``."""

    text: str

    @property
    def asks(self) -> bool:
        """Whether it is answered."""
        return self.text in ("P", "x1_", "x2_", "x3_")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: a weight (``value`` as written, one unit of its last ``digit``, ``unit`` blank while it is not stable),
    a ``special`` in the place of one, or the ``text`` that answers a question."""

    value: float | None = None
    digit: float = 0.0
    unit: str = ""
    special: str = ""
    text: str = ""


class SbiCodec(LineCodec):
    """Lines of 22 or 16 characters; questions are answered with words, print with a weight or a special."""

    def __init__(self) -> None:
        super().__init__(b"\r\n", longest=128)
        self._asked = "P"

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [b"\x1b" + command.text.encode("ascii") + b"\r\n"]

    def expects_reply(self, command: Command) -> bool:
        return command.asks

    def urgent(self, command: Command) -> bool:
        return False

    def probe(self, command: Command) -> Command:
        """A weight cannot be taken for words, nor words for a weight."""
        return Command("x2_") if command.text == "P" else Command("P")

    def reply(self, line: bytes) -> Line | None:
        """The answer. Weights where words were asked for are passed over. Raises ProtocolError."""
        text = line.decode("ascii", "replace")
        found = _weight(text, line)
        if self._asked == "P" and found is not None:
            return found
        if self._asked != "P" and found is None and (words := WORDS.fullmatch(text)) and not LIKE_WEIGHT.match(text):
            return Line(text=words["text"])
        if self._asked == "P" or found is None:
            raise ProtocolError(f"{shown(line)} is no answer to ESC {self._asked}")
        return None


def _weight(text: str, line: bytes) -> Line | None:
    """A weight or a special; None: something else."""
    if len(text) not in (14, 20):
        return None
    if match := WEIGHT.fullmatch(text):
        value, digit = weight_number(match["value"].strip(), line)
        return Line(-value if match["sign"] == "-" else value, digit, match["unit"].strip())
    if match := SPECIAL.fullmatch(text):
        return Line(special=match["word"])
    return None


@dataclass(frozen=True, slots=True)
class Look:
    """The pan at one moment; ``mass_g`` is None while the balance does not say."""

    stable: bool = False
    mass_g: float | None = None
    digit_g: float = 0.0


class SBI(Balance):
    """A balance with SBI. Options: ``model: MSE1203S`` (what ESC x1_ must begin with: another one is refused)."""

    kind = "Sartorius balance"
    signals = (MASS, Signal(name="stable", doc="yes or no"))

    def __init__(self, exchange: Exchange, **options: Any) -> None:
        super().__init__(exchange, **options)
        self._codec = SbiCodec()
        self._told = False  # T or V was sent
        self._in_grams: float | None = None  # of the unit, which is only told of stable weights

    def open(self) -> Identity:
        """Ask for model and serial number. Raises InstrumentFault when another balance answers."""
        model, serial = self._words("x1_"), self._words("x2_")
        firmware = self._words("x3_")
        if model == serial == firmware:  # something that says one thing whatever it hears
            raise InstrumentFault(
                f"{model!r} is answered to each question, where model, serial number and software of a Sartorius "
                "balance were expected",
                kind="identity",
            )
        self._refuse_another(model)
        return Identity(model=model, firmware=firmware, serial=serial, first_reply=repr(model))

    def read(self) -> Mapping[str, Reading]:
        """The mass now, left out as long as its unit is not known. Raises InstrumentFault: overload, underload."""
        now = confirmed(self._look, _same)
        return _mass(now) | {"stable": Reading(value="yes" if now.stable else "no")}

    @action(WITHIN, gives=(MASS,), repeatable=True)
    def weigh(self, within_s: float) -> None:
        """Read the net mass once it is stable."""
        self._begin("weigh", within_s)

    @action(WITHIN, gives=(MASS,), repeatable=True)
    def tare(self, within_s: float) -> None:
        """Take what stands on the pan as the tare, once it is stable."""
        self._begin("T", within_s)

    @action(WITHIN, gives=(MASS,), repeatable=True)
    def zero(self, within_s: float) -> None:
        """Take what stands on the pan as zero, once it is stable and within the zero range."""
        self._begin("V", within_s)

    def progress(self, elapsed_s: float) -> Progress:
        """One look at the pan. Raises InstrumentFault: overload, underload, unstable, not_zeroed."""
        if self._begun != "weigh" and not self._told:
            self._tell(self._begun)
            self._told = True
        now = self._look()
        if now.stable and (sure := self._sure(now)) is not None:
            near_zero = alike(sure, 0.0, now.digit_g)
            if self._begun == "weigh" or near_zero:
                readings = {"mass": Reading(value=sure, unit="g")}
                return Progress(done=True, achieved={"mass": Amount(sure, "g")}, readings=readings)
            if elapsed_s > self._within_s:
                raise InstrumentFault(
                    f"it shows {written(sure, 'g')} after ESC {self._begun}: what stands on the pan is outside its "
                    "range, or the command was lost",
                    kind="not_zeroed",
                )
            self._told = False  # silent commands get lost silently; saying it again harms nothing
        elif elapsed_s > self._within_s:
            raise unstable(self._within_s, now.mass_g)
        return Progress(done=False, readings=_mass(now), again_in_s=LOOK_S)

    def stop(self) -> None:
        """Nothing moves, and SBI has no command that ends a weighing: nothing is sent. Harmless twice."""
        self._begun, self._told = "", False

    # --- how it is said -----------------------------------------------------------------------------------------

    def _begin(self, what: str, within_s: float) -> None:
        self._begun, self._within_s, self._told = what, within_s, False

    def _sure(self, first: Look) -> float | None:
        """A stable mass in g that was said twice alike; None: it is not stable after all."""
        again = self._look()
        if not again.stable or again.mass_g is None or first.mass_g is None:
            return None
        if not alike(first.mass_g, again.mass_g, again.digit_g):
            raise ProtocolError(f"P is answered with {first.mass_g:g} g, then {again.mass_g:g} g, both stable")
        return again.mass_g

    def _look(self) -> Look:
        """The weight now; not stable and without a mass when the balance waits for a stable one."""
        try:
            said = self._print()
        except LinkTimeout:
            self._words("x2_")  # raises when nobody is there
            return Look()
        if said.special or said.unit not in ("", *GRAMS):
            said = twice_alike(self._print, "P")
        if said.special:
            kind, why = SPECIAL_FAULTS.get(said.special, ("busy", f"it says {said.special!r} in the place of a weight"))
            raise InstrumentFault(why, kind="hardware" if "rr" in said.special.lower() else kind)
        if said.unit not in ("", *GRAMS):
            raise InstrumentFault(f"it weighs in {said.unit!r}: set its unit to g in the menu", kind="setup")
        if said.unit:
            self._in_grams = GRAMS[said.unit]
        if self._in_grams is None or said.value is None:
            return Look()
        return Look(bool(said.unit), round(said.value * self._in_grams, 9), said.digit * self._in_grams)

    def _print(self) -> Line:
        said: Line = self.exchange(self._codec, Command("P"), ANSWER_S)
        return said

    def _words(self, text: str) -> str:
        """What a question is answered with, said twice alike."""

        def ask() -> str:
            said: Line = self.exchange(self._codec, Command(text), ANSWER_S)
            return said.text

        return twice_alike(ask, f"ESC {text}")

    def _tell(self, text: str) -> None:
        self.exchange(self._codec, Command(text), ANSWER_S)


def _same(before: Look, now: Look) -> bool:
    """Whether two looks confirm each other; one that is not stable says nothing of the mass."""
    if before.stable != now.stable or (before.mass_g is None) != (now.mass_g is None):
        return False
    return before.mass_g is None or now.mass_g is None or alike(before.mass_g, now.mass_g, now.digit_g)


def _mass(now: Look) -> dict[str, Reading]:
    return {} if now.mass_g is None else {"mass": Reading(value=now.mass_g, unit="g")}
