"""Sartorius balance (Cubis MSE1203S), simulated from its operating instructions ("Data Interfaces", SBI) and from
traffic recorded on such a balance (firmware 00-39-21).

Line: 9600 8O1. A command is ESC and a capital letter, or ESC, a letter, a digit and "_"; CR LF may follow. Only print
and the questions answer; everything else is silent, and so is what is not known: there are no errors.

    P     -> "N     +    0.026 g  \\r\\n"     22 characters: identification (6), sign, value (9), blank, unit (3) and
             CR LF. The unit is blank as long as the weight is not stable. Without identification (``lines: 16``) the
             first six are missing.
    x1_ model, x2_ serial number, x3_ software: a line of 20 characters, filled up with blanks, and CR LF
    T     tare, or zero within the zero range      U tare      V zero      all three wait for a stable weight
    Z     adjusts with the built-in weight: meanwhile print answers "Stat     Cal.Int.   "
    O, R  key lock      K, L, M, N  filter      s3_ ends an adjustment

Overload is "Stat       High     ", underload "Stat       Low      ". With ``print: stable`` (a setting of its menu) P
waits for a stable weight. With ``autoprint: true`` it prints by itself all the time; P ends that, T and V begin it
anew. At power-up it takes what stands on the pan as its zero.

Our readings, not the manual's: a zero range of 2 % of the capacity, ADJUSTS_S, five lines a second of autoprint.
"""

from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .pan import Pan

ESC = 0x1B
COMMAND_LENGTH = 20
ZERO_RANGE = 0.02
ADJUSTS_S = 15.0
AUTOPRINT_S = 0.2


class SBI:
    """options: ``serial``, ``model``, ``capacity``, ``readability``, ``lines: 22|16``, ``print: any|stable``,
    ``autoprint``, and the pan's (see pan.py)."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "0037402012"))
        self.model = str(options.get("model", "MSE1203S-100-DR"))
        digit_g = amount(options.get("readability", "1 mg"), "g")
        capacity_g = amount(options.get("capacity", "1200 g"), "g")
        self.decimals = max(0, len(f"{digit_g:.6f}".rstrip("0").partition(".")[2]))
        self.pan = Pan(world, name, options, digit_g=digit_g, capacity_g=capacity_g)
        self.identified = int(options.get("lines", 22)) == 22
        self.prints_stable = options.get("print", "any") == "stable"
        self.autoprints = bool(options.get("autoprint", False))
        self.prints_s: float | None = 0.0 if self.autoprints else None  # when autoprint says its next line
        self.on_zero_g = self.zero_g = self.tare_g = 0.0
        self.waits = ""  # T, U or V, until the weight is stable
        self.asked = 0  # prints that wait for a stable weight
        self.adjusts_until_s: float | None = None
        self._command: bytearray | None = None
        self._out = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            self._hear(byte, now_s)
        out, self._out = bytes(self._out), bytearray()
        return out

    def _hear(self, byte: int, now_s: float) -> None:
        if byte == ESC:
            self._command = bytearray()
            return
        command = self._command
        if command is None:
            return  # CR, LF and whatever else comes outside a command
        command.append(byte)
        if not command[:1].islower() or byte == ord("_"):
            self._command = None
            self._do(command.decode("latin-1"), now_s)
        elif len(command) >= COMMAND_LENGTH:
            self._command = None

    def _say(self, text: str) -> None:
        self._out += text.encode("latin-1") + b"\r\n"

    def _do(self, command: str, now_s: float) -> None:
        match command:
            case "P":
                self.prints_s = None
                self.asked += 1
            case "T" | "U" | "V":
                self.waits = command
                if command != "U" and self.autoprints:
                    self.prints_s = now_s + AUTOPRINT_S * self.world.speed
            case "Z":
                self.adjusts_until_s = now_s + ADJUSTS_S
            case "s3_":
                self.adjusts_until_s = None
            case "x1_":
                self._say(f"{self.model:<20}")
            case "x2_":
                self._say(f"{self.serial:<20}")
            case "x3_":
                self._say(f"{'00-39-21':<20}")
        self.advance(now_s)

    # -- weighing ----------------------------------------------------------------------------------------------------
    def _print(self, now_s: float) -> None:
        if self.adjusts_until_s is not None:
            self._special("Cal.Int.", 3)
        elif off := self.pan.overloaded(now_s):
            self._special("High" if off > 0 else "Low", 5)
        else:
            value_g = self.pan.shows_g(now_s) - self.zero_g - self.tare_g
            digits = round(value_g / self.pan.digit_g) * self.pan.digit_g
            unit = "g" if self.pan.stable(now_s) else ""
            line = f"{'-' if digits < 0 else '+'}{abs(digits):>9.{self.decimals}f} {unit:<3}"
            self._say(f"{'N':<6}{line}" if self.identified else line)

    def _special(self, text: str, before: int) -> None:
        line = f"{' ' * before}{text}"
        self._say(f"{'Stat':<6}{line:<14}" if self.identified else f"{line:<14}")

    def _set_zero(self, command: str, now_s: float) -> None:
        shown_g = self.pan.shows_g(now_s)
        in_range = abs(shown_g - self.on_zero_g) <= ZERO_RANGE * self.pan.capacity_g
        if command == "V" and not in_range:
            return
        if command == "U" or not in_range:
            self.tare_g = shown_g - self.zero_g
        else:
            self.zero_g, self.tare_g = shown_g, 0.0

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        self.pan.catch()
        times = [at_s for at_s in (self.adjusts_until_s, self.prints_s) if at_s is not None]
        if self.waits or self.asked:
            times.append(self.pan.stable_at_s())
        return min(times, default=None)

    def advance(self, now_s: float) -> None:
        self.pan.catch()
        if self.adjusts_until_s is not None and self.adjusts_until_s <= now_s:
            self.adjusts_until_s = None
        if self.waits and self.pan.stable(now_s):
            command, self.waits = self.waits, ""
            self._set_zero(command, now_s)
        while self.asked and (not self.prints_stable or self.pan.stable(now_s)):
            self.asked -= 1
            self._print(now_s)
        if self.prints_s is not None and self.prints_s <= now_s:
            self._print(self.prints_s)
            self.prints_s += AUTOPRINT_S * self.world.speed

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: what stands on the pan is the new zero, the tare is forgotten."""
        self.world.settle(now_s)
        self.waits, self.asked, self.adjusts_until_s = "", 0, None
        self._command = None
        self._out.clear()
        self.on_zero_g = self.zero_g = self.pan.shows_g(now_s)
        self.tare_g = 0.0
        self.prints_s = now_s if self.autoprints else None

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "pan": self.pan.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.pan.restore(state["pan"])


_KEPT = ("on_zero_g", "zero_g", "tare_g", "waits", "asked", "adjusts_until_s", "prints_s")
