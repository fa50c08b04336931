"""Mettler-Toledo balance (XS205), simulated from the MT-SICS reference manuals (11781363 for weigh modules, 30324923
for XPR/XSR balances), levels 0 and 1 and two commands of level 2, and from traffic recorded on a WXS205SDU.

Line: 9600 8N1, CR LF both ways, capitals. A response repeats the command, then a status: S stable, D dynamic, A done,
B done and more follows, I understood but not executable now, L wrong parameter, + overload, - underload. A line that is
not understood is answered ES. A weight stands right-aligned in ten characters, then a blank and the unit.

    S    -> "S S    52.1873 g"   waits for a stable weight, "S I" after STABLE_WITHIN_S
    SI   -> "S S ..." or "S D ..." at once (the response is called S)      SIR  the same, again and again
    Z    -> "Z A"    waits for stability         ZI -> "ZI S" or "ZI D" at once     outside its range "Z +", "Z -"
    T    -> "T S      0.0000 g"  waits           TI -> "TI S ..." or "TI D ..." at once
    TA   -> "TA A ..."   tare memory; "TA 12.5 g" sets it         TAC -> "TAC A" clears it
    @    -> I4 A "..."   ends what waits and what repeats, always; zero and tare stay
    I0 list of commands, I1 levels, I2 model and capacity, I3 software, I4 serial number, I5 software's number
    D "text", DW  display
    I10 the name that a person gave it, up to twenty characters; I10 "text" gives one        M21 0 0  its unit is gram

While S, Z or T waits for stability, everything but @ is answered with status I. Any command ends SIR. At power-up the
balance is deaf for a while, then says I4 unasked, takes what stands on it as its zero, and has an empty tare memory.

Our readings, not the manuals': STABLE_WITHIN_S, BOOTS_S, ten lines a second for SIR, a zero range of 2 % of the
capacity, and a unit that is always gram (M21 with another is a wrong parameter).
"""

import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .pan import Pan

STABLE_WITHIN_S = 40.0
REPEAT_S = 0.1
ZERO_RANGE = 0.02
LINE_LENGTH = 80
LEVELS = {
    0: ("I0", "I1", "I2", "I3", "I4", "I5", "S", "SI", "SIR", "Z", "ZI", "@"),
    1: ("D", "DW", "T", "TA", "TAC", "TI"),
    2: ("I10", "M21"),
}
WITH_MORE = ("TA", "D", "I10", "M21")  # what may have a parameter
WAITING = ("S", "Z", "T")
# Switched on, it is deaf and silent until it has found its zero and says I4. The manuals give no time for it.
BOOTS_S = 3.0


class MTSICS:
    """options: ``serial``, ``model``, ``capacity``, ``readability``, and the pan's (see pan.py)."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "B123456789"))
        self.called = ""
        self.model = str(options.get("model", "XS205DU Excellence"))
        digit_g = amount(options.get("readability", "0.1 mg"), "g")
        capacity_g = amount(options.get("capacity", "220 g"), "g")
        self.decimals = max(0, len(f"{digit_g:.6f}".rstrip("0").partition(".")[2]))
        self.pan = Pan(world, name, options, digit_g=digit_g, capacity_g=capacity_g)
        self.on_zero_g = self.zero_g = self.tare_g = 0.0
        self.waits, self.since_s = "", 0.0  # the command that waits for stability
        self.repeats_s: float | None = None  # when SIR says its next line
        self.boots_until_s: float | None = None
        self._line = bytearray()
        self._out = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data if self.boots_until_s is None else b"":
            if byte == 0x0A:
                line = bytes(self._line).removesuffix(b"\r").decode("latin-1")
                self._line.clear()
                self._take(line, now_s)
            elif len(self._line) <= LINE_LENGTH:
                self._line.append(byte)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _say(self, text: str) -> None:
        self._out += text.encode("latin-1") + b"\r\n"

    def _take(self, line: str, now_s: float) -> None:
        if not line:
            return
        command, _, rest = line.partition(" ")
        self.repeats_s = None
        if command == "@" and not rest:
            self.waits = ""
            self._say(f'I4 A "{self.serial}"')
        elif len(line) > LINE_LENGTH or not any(command in level for level in LEVELS.values()):
            self._say("ES")
        elif self.waits:
            self._say(f"{'S' if command in ('SI', 'SIR') else command} I")
        else:
            self._do(command, rest, now_s)

    def _do(self, command: str, rest: str, now_s: float) -> None:
        if rest and command not in WITH_MORE:
            self._say("ES")
        elif command in WAITING:
            self.waits, self.since_s = command, now_s
            self.advance(now_s)
        elif command == "SI":
            self._weigh(now_s)
        elif command == "SIR":
            self._weigh(now_s)
            self.repeats_s = now_s + REPEAT_S * self.world.speed
        elif command == "ZI":
            self._zero(command, now_s)
        elif command == "TI":
            self._tare(command, now_s)
        elif command == "TA":
            self._tare_memory(rest)
        elif command == "TAC":
            self.tare_g = 0.0
            self._say("TAC A")
        elif command in ("D", "DW"):
            told = command == "DW" or re.fullmatch(r'"[^"]*"', rest)
            self._say(f"{command} {'A' if told else 'L'}")
        elif command == "I10":
            self._name(rest)
        elif command == "M21":
            self._say("M21 A" if re.fullmatch("[0-2] 0", rest) else "M21 L")
        else:
            self._tell(command)

    def _name(self, rest: str) -> None:
        given = re.fullmatch(r'"([^"]{0,20})"', rest)
        if given is not None:
            self.called = given[1]
            self._say("I10 A")
        else:
            self._say("I10 L" if rest else f'I10 A "{self.called}"')

    def _tell(self, command: str) -> None:
        """Who it is."""
        if command == "I0":
            known = [(level, name) for level, names in LEVELS.items() for name in names]
            for n, (level, name) in enumerate(known):
                self._say(f'I0 {"B" if n < len(known) - 1 else "A"} {level} "{name}"')
            return
        capacity = f"{self.pan.capacity_g:.{self.decimals}f}"
        words = {
            "I1": '"01" "2.30" "2.22" "" ""',
            "I2": f'"{self.model} {capacity} g"',
            "I3": '"2.10 10.28.0.493.142"',
            "I4": f'"{self.serial}"',
            "I5": '"12121306C"',
        }
        self._say(f"{command} A {words[command]}")

    # -- weighing ----------------------------------------------------------------------------------------------------
    def _written(self, mass_g: float) -> str:
        digits = round(mass_g / self.pan.digit_g) * self.pan.digit_g
        return f"{digits:>10.{self.decimals}f} g"

    def _gross_g(self, now_s: float) -> float:
        return self.pan.shows_g(now_s) - self.zero_g

    def _status(self, now_s: float) -> str:
        return "S" if self.pan.stable(now_s) else "D"

    def _weigh(self, now_s: float) -> None:
        if off := self.pan.overloaded(now_s):
            self._say("S +" if off > 0 else "S -")
        else:
            self._say(f"S {self._status(now_s)} {self._written(self._gross_g(now_s) - self.tare_g)}")

    def _zero(self, command: str, now_s: float) -> None:
        shown_g = self.pan.shows_g(now_s)
        off_g = shown_g - self.on_zero_g
        if abs(off_g) > ZERO_RANGE * self.pan.capacity_g:
            self._say(f"{command} {'+' if off_g > 0 else '-'}")
            return
        self.zero_g, self.tare_g = shown_g, 0.0
        self._say(f"{command} {'A' if command == 'Z' else self._status(now_s)}")

    def _tare(self, command: str, now_s: float) -> None:
        gross_g = self._gross_g(now_s)
        off = self.pan.overloaded(now_s) or (-1 if gross_g < -0.5 * self.pan.digit_g else 0)
        if off:
            self._say(f"{command} {'+' if off > 0 else '-'}")
            return
        self.tare_g = gross_g
        self._say(f"{command} {self._status(now_s)} {self._written(gross_g)}")

    def _tare_memory(self, rest: str) -> None:
        if rest:
            match = re.fullmatch(r"(\d+(?:\.\d+)?) g", rest)
            if match is None or float(match[1]) > self.pan.capacity_g:
                self._say("TA L")
                return
            self.tare_g = float(match[1])
        self._say(f"TA A {self._written(self.tare_g)}")

    # -- time --------------------------------------------------------------------------------------------------------
    def _answers_s(self) -> float:
        """When the command that waits is answered."""
        return min(max(self.pan.stable_at_s(), self.since_s), self.since_s + STABLE_WITHIN_S)

    def due(self, now_s: float) -> float | None:
        self.pan.catch()
        if self.boots_until_s is not None:
            return self.boots_until_s
        times = [self._answers_s()] if self.waits else []
        times += [self.repeats_s] if self.repeats_s is not None else []
        return min(times, default=None)

    def advance(self, now_s: float) -> None:
        self.pan.catch()
        if self.boots_until_s is not None and self.boots_until_s <= now_s:
            self.on_zero_g = self.zero_g = self.pan.shows_g(self.boots_until_s)
            self.boots_until_s = None
            self._say(f'I4 A "{self.serial}"')
        if self.waits and (at_s := self._answers_s()) <= now_s:
            command, self.waits = self.waits, ""
            if not self.pan.stable(at_s):
                self._say(f"{command} I")
            elif command == "S":
                self._weigh(at_s)
            elif command == "Z":
                self._zero(command, at_s)
            else:
                self._tare(command, at_s)
        if self.repeats_s is not None and self.repeats_s <= now_s:
            self._weigh(self.repeats_s)
            self.repeats_s += REPEAT_S * self.world.speed

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: what stands on the pan is the new zero, the tare memory is empty."""
        self.world.settle(now_s)
        self.waits, self.repeats_s = "", None
        self._line.clear()
        self._out.clear()
        self.tare_g, self.boots_until_s = 0.0, now_s + BOOTS_S * self.world.speed

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "pan": self.pan.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.pan.restore(state["pan"])


_KEPT = ("called", "on_zero_g", "zero_g", "tare_g", "waits", "since_s", "repeats_s", "boots_until_s")
