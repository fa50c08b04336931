"""Korad KA3005P power supply (Velleman PS3005D, Tenma 72-2540), simulated from what is published of its protocol: the
sigrok wiki's page on the KAxxxxP series, and the maker's list of the status byte (EEVblog, topic 13017).

Line: 9600 8N1. Nothing ends a command but silence: what comes without a pause is one command, so two that are sent
together are one that it does not know, and lost. Nothing ends an answer either; its length is known. What it does not
know, and what sets or switches, is answered with nothing.

    *IDN?         KORADKA3005PV2.0 and a NUL (17 bytes, recorded by sigrok); "TENMA 72-2540 V5.5 SN:05243173" of others
    VSET1:12.34   sets the voltage (00.00 to 31.00)        VSET1?  -> 12.34      VOUT1?  -> 12.34, what is really there
    ISET1:1.234   sets the current (0.000 to 5.100)        ISET1?  -> 1.234      IOUT1?  -> 1.234
    OUT1 OUT0     output on, off     OVP1 OVP0 OCP1 OCP0   protections     BEEP1 BEEP0     RCL1 .. RCL5, SAV1 .. SAV5
    STATUS?       one byte: 01 constant voltage (else current), 10 beep, 20 (a Tenma 72-2540: 80, found by koradctl's
                  author) a protection is on, 40 output on

Version 2.0 says a sixth byte after ISET1? once *IDN? was asked: the sixth of its name. While the output is off, VOUT1?
and IOUT1? are 0. At power-up the output is off and the set values are the last ones.

Behind the terminals: a cell, through which a current flows above its own voltage: U = emf + R I. With OCP1 the output
goes off when the current reaches its set value. Our readings, nobody's text: GAP_S, the set values after power-up.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

# koradctl spaces its commands by 50 ms (libsigrok by 80) and is heard; shorter pauses are part of a command.
GAP_S = 0.03
LONGEST = 32
MOST_V, MOST_A = 31.0, 5.1
NAME = "KORADKA3005PV2.0"


class KA3005P:
    """options: ``resistance: 10 ohm`` and ``emf: 1.2 V`` of the cell, ``name`` (what ``*IDN?`` says),
    ``serial`` (told by newer versions only)."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        newer = f"KORAD KA3005P V5.5 SN:{str(options['serial']).zfill(8)}" if "serial" in options else NAME
        self.idn = str(options.get("name", newer))
        self.resistance = amount(options.get("resistance", "10 ohm"), "ohm")
        self.emf = amount(options.get("emf", "0 V"), "V")
        self.set_v, self.set_a = 0.0, 0.0
        self.on = self.ovp = self.ocp = False
        self.beep = True
        self.named = False  # *IDN? was asked since power-up
        self.memory: dict[str, list[float]] = {}
        self.charge_c, self.since_s = 0.0, 0.0  # of the running act, and since when it flows as now
        self._command = bytearray()
        self._heard_s = 0.0
        self._out = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        if data:
            self._command += data
            del self._command[LONGEST + 1 :]
            self._heard_s = now_s
        out, self._out = bytes(self._out), bytearray()
        return out

    def _ends_s(self) -> float:
        """When the command that is coming in is over."""
        return self._heard_s + GAP_S * self.world.speed if self._command else math.inf

    def _do(self, command: str, now_s: float) -> None:
        if command.endswith("?"):
            self._out += self._asked(command)
            return
        if setting := re.fullmatch(r"([VI])SET1:(\d{1,2}(?:\.\d*)?)", command):
            self._set(setting[1], float(setting[2]), now_s)
        elif switch := re.fullmatch(r"(OUT|OVP|OCP|BEEP)([01])", command):
            self._switch(switch[1], switch[2] == "1", now_s)
        elif place := re.fullmatch(r"(RCL|SAV)([1-5])", command):
            self._remember(place[1], place[2], now_s)

    def _asked(self, command: str) -> bytes:
        volts, amperes = self.terminals()
        if command == "*IDN?":
            self.named = True
            return self.idn.encode("ascii") + (b"\0" if self.idn.endswith("V2.0") else b"")
        if command == "STATUS?":
            protection = 0x80 if self.idn.startswith("TENMA") else 0x20
            bits = (self.constant_voltage, 0x01), (self.beep, 0x10), (self.ovp or self.ocp, protection), (self.on, 0x40)
            return bytes([sum(value for bit, value in bits if bit)])
        if command == "ISET1?":
            sixth = self.idn[5] if self.named and self.idn.endswith("V2.0") else ""
            return f"{self.set_a:.3f}{sixth}".encode("ascii")
        said = {"VSET1?": f"{self.set_v:05.2f}", "VOUT1?": f"{volts:05.2f}", "IOUT1?": f"{amperes:.3f}"}
        return said.get(command, "").encode("ascii")

    # -- what it does ------------------------------------------------------------------------------------------------
    @property
    def constant_voltage(self) -> bool:
        return not self.on or self._wanted_a() <= self.set_a

    def _wanted_a(self) -> float:
        """What would flow at the set voltage."""
        return max(self.set_v - self.emf, 0.0) / self.resistance

    def terminals(self) -> tuple[float, float]:
        """Volts and amperes at the terminals."""
        if not self.on:
            return 0.0, 0.0
        if self.constant_voltage:
            return self.set_v, self._wanted_a()
        return self.emf + self.set_a * self.resistance, self.set_a

    def _flow(self, now_s: float) -> None:
        """Count what has flowed until now; what flows from now on may be another current."""
        self.charge_c += self.terminals()[1] * (now_s - self.since_s)
        self.since_s = now_s

    def _set(self, what: str, value: float, now_s: float) -> None:
        self._flow(now_s)
        if what == "V":
            self.set_v = min(round(value, 2), MOST_V)
        else:
            self.set_a = min(round(value, 3), MOST_A)
        self._protect(now_s)

    def _switch(self, what: str, on: bool, now_s: float) -> None:
        if what == "OUT":
            self._output(on, now_s)
        elif what == "OVP":
            self.ovp = on
        elif what == "OCP":
            self.ocp = on
        else:
            self.beep = on
        self._protect(now_s)

    def _output(self, on: bool, now_s: float) -> None:
        if on == self.on:
            return
        self._flow(now_s)
        self.on = on
        if on:
            self.charge_c = 0.0
            self.world.ledger.begin(now_s, self.name, "apply", 0.0, "C")
        else:
            self.world.ledger.end(now_s, self.name, "apply", self.charge_c, "C")

    def _protect(self, now_s: float) -> None:
        if self.ocp and not self.constant_voltage:
            self._output(False, now_s)

    def _remember(self, how: str, place: str, now_s: float) -> None:
        if how == "SAV":
            self.memory[place] = [self.set_v, self.set_a]
        elif place in self.memory:
            volts, amperes = self.memory[place]
            self._output(False, now_s)
            self.set_v, self.set_a = volts, amperes

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        at_s = self._ends_s()
        return None if math.isinf(at_s) else at_s

    def advance(self, now_s: float) -> None:
        if (ends_s := self._ends_s()) <= now_s:
            command = self._command.decode("latin-1")
            self._command.clear()
            self._do(command, ends_s)
        self._flow(now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: the output is off."""
        self.world.settle(now_s)
        self._output(False, now_s)
        self.named = self.ovp = self.ocp = False
        self._command.clear()
        self._out.clear()

    def state(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])


_KEPT = ("set_v", "set_a", "on", "ovp", "ocp", "beep", "named", "memory", "charge_c", "since_s")
