"""JULABO refrigerated/heating circulator (an FP50-HL), simulated from its manual (SL/HL series, chapter 12).

Line: 4800 7E1 with RTS/CTS. A command ends with CR, a value follows after a blank; case does not matter. On RS-485 the
address stands in front of commands and answers, ``A032_in_sp_00`` -> ``A032_55.50`` (option ``address``); what has no
prefix, or another's, is passed over.

    version   -> JULABO HIGHTECH FL HL/SL VERSION 4.0
    status    -> 02 REMOTE STOP, 03 REMOTE START (00 and 01 MANUAL ...), or a negative number and what is wrong
    in_pv_00 bath   in_pv_01 power in %   in_pv_02 external Pt100 (---.-- without one)   in_pv_03, in_pv_04 safety
    in_sp_00 .. 02 working temperatures 1 to 3   in_sp_03, 04 warning limits   in_sp_06 unit (0 degC, 1 degF)
    in_mode_01 which working temperature is used   in_mode_02 selftuning (0 off, 1 once, 2 always)
    in_mode_03 programmer's input (0 voltage, 1 current)   in_mode_04 controlled by (0 the bath, 1 an external Pt100)
    in_mode_05 started   in_hil_00, 01 most cooling and heating power in %
    in_sp_07 stage of the pump   in_par_06, 07, 08 Xp, Tn and Tv of the controller
    out_sp_00 .. 04 [degC]   out_mode_01 0|1|2   out_mode_02 0|1|2   out_mode_05 0|1   out_sp_07, out_par_06 .. 08

Answers end with CR LF. out_ commands never answer; they work in remote control only. One that is refused is told by
the next status: -08 unknown, -09 not in this mode, -10 and -11 too small and too large, -13 outside the warning limits
(but stored). An alarm (-01 low level) stops heater and pump and stands until the mains went and came.

Times: a command that comes within 150 ms of an out_ command is lost. The manual asks for 250 ms; a busy computer hands
bytes over up to 100 ms late, which would be a driver's fault here and is none. The manual's other rule, 10 ms after an
answer, cannot be broken at 4800 baud, where the shortest command takes longer than that. Our reading, not the manual's:
a refusal is told once; what is lost is lost whole; out_mode_03 and _04 are refused, for it has neither programmer nor
external Pt100; the pump's stage and the controller's terms are kept and told, and the bath does not mind them.

What stands behind it: 10 L of liquid, heated with at most 2 K/min and cooled with at most 1 K/min, on the last stretch
with a time constant of 60 s; stopped it goes to the room's temperature with 90 min.

Options of the simulation alone: ``remote``, false when somebody has left it under manual control; ``unit``, degF when
somebody has chosen that at the keypad: then all temperatures on the line are in it.
"""

import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.thermal import Leg, leg_of, resting
from labloop.simulation.world import World

VERSION = "JULABO HIGHTECH FL HL/SL VERSION 4.0"
LINE_LENGTH = 80
AFTER_OUT_S = 0.15
RANGE_C = (-50.0, 200.0)
KEYPAD_C = (24.0, 20.0, 30.0)  # working temperatures as they were set by hand, and come back after a power cut
WARNING_C = (-45.0, 150.0)
SAFETY_C = 160.0
# The pump's stage, and Xp in K, Tn and Tv in s: what they begin with, the least and the most (as for a CF41).
TERMS = {
    "sp_07": (2.0, 1.0, 4.0),
    "par_06": (2.0, 0.1, 99.9),
    "par_07": (120.0, 3.0, 9999.0),
    "par_08": (20.0, 0.0, 999.0),
}
UP_K_S, DOWN_K_S, TAU_S, REST_S = 2.0 / 60.0, 1.0 / 60.0, 60.0, 5400.0
WRONG = {
    -1: "LOW LEVEL ALARM",
    -8: "INVALID COMMAND",
    -9: "COMMAND NOT ALLOWED IN CURRENT OPERATING MODE",
    -10: "VALUE TOO SMALL",
    -11: "VALUE TOO LARGE",
    -13: "WARNING : VALUE EXCEEDS TEMPERATURE LIMITS",
}


class Circulator:
    """options: address; of the simulation: remote, unit."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.address = options.get("address")
        self.remote = bool(options.get("remote", True))
        self.fahrenheit = options.get("unit", "degC") == "degF"
        self.started, self.chosen, self.tuning = False, 0, 0
        self.working = list(KEYPAD_C)
        self.warning = list(WARNING_C)
        self.terms = {name: value for name, (value, _, _) in TERMS.items()}
        self.wrong = self.alarm = 0
        self.deaf_until_s = float("-inf")
        self.leg = resting(tau_s=REST_S)
        self._line = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        out = bytearray()
        for byte in data:
            if byte == 0x0D:
                line = bytes(self._line).decode("ascii", "replace").strip().lower()
                self._line.clear()
                out += self._take(line, now_s)
            elif byte != 0x0A:
                self._line.append(byte)
                del self._line[LINE_LENGTH + 1 :]  # too long to be a command
        return bytes(out)

    def _take(self, line: str, now_s: float) -> bytes:
        prefix = "" if self.address is None else f"A{self.address:03d}_"
        if not line.startswith(prefix.lower()) or len(line) > LINE_LENGTH:
            return b""
        line = line[len(prefix) :]
        if not line or now_s < self.deaf_until_s:
            return b""
        answer = self._do(line, now_s)
        if line.startswith("out_"):
            self.deaf_until_s = now_s + AFTER_OUT_S * self.world.speed
        return b"" if answer is None else f"{prefix}{answer}\r\n".encode("ascii")

    def _do(self, line: str, now_s: float) -> str | None:
        name, _, argument = line.partition(" ")
        if name.startswith("out_"):
            self.wrong = self._set(name, argument.strip(), now_s) or self.wrong
            return None
        answer = None if argument else self._asked(name, now_s)
        if answer is None:
            self.wrong = -8
        return answer

    def _asked(self, name: str, now_s: float) -> str | None:
        bath_c = self.leg.at(now_s)
        if name == "status":
            return self._status()
        if name == "version":
            return VERSION
        temperatures_c = {
            "in_pv_00": bath_c,
            "in_pv_03": bath_c,
            "in_pv_04": SAFETY_C,
            "in_sp_03": self.warning[1],
            "in_sp_04": self.warning[0],
            **{f"in_sp_{n:02d}": value for n, value in enumerate(self.working)},
        }
        if name in temperatures_c:
            value_c = temperatures_c[name]
            return f"{value_c * 1.8 + 32.0 if self.fahrenheit else value_c:.2f}"
        words = {
            "in_pv_01": f"{self._power(bath_c):.2f}",
            "in_pv_02": "---.--",
            "in_sp_06": str(int(self.fahrenheit)),
            "in_mode_01": str(self.chosen),
            "in_mode_02": str(self.tuning),
            "in_mode_03": "0",
            "in_mode_04": "0",
            "in_hil_00": "100",
            "in_hil_01": "100",
            "in_mode_05": str(int(self.started)),
            **{
                f"in_{term}": f"{value:.1f}" if term == "par_06" else f"{value:.0f}"
                for term, value in self.terms.items()
            },
        }
        return words.get(name)

    def _status(self) -> str:
        number = self.alarm or self.wrong
        self.wrong = 0
        if number:
            return f"-{-number:02d} {WRONG[number]}"
        mode = 2 * self.remote + self.started
        return f"{mode:02d} {'REMOTE' if self.remote else 'MANUAL'} {'START' if self.started else 'STOP'}"

    def _power(self, bath_c: float) -> float:
        if not self.started:
            return 0.0
        return min(max((self.leg.goal_c - bath_c) / (UP_K_S * TAU_S), 0.0), 1.0) * 100.0

    def _set(self, name: str, argument: str, now_s: float) -> int:
        """Do an out_ command; what the next status will tell of it (0: nothing)."""
        if not re.fullmatch(r"out_(mode_0[125]|sp_0[0-47]|par_0[678])", name):
            return -8
        if not re.fullmatch(r"-?\d{1,4}(\.\d*)?", argument):
            return -8
        if not self.remote:
            return -9
        value = float(argument)
        if (term := name.removeprefix("out_")) in TERMS:
            _, least, most_of_it = TERMS[term]
            if least <= value <= most_of_it:
                self.terms[term] = value
            return -10 if value < least else -11 if value > most_of_it else 0
        if name.startswith("out_mode"):
            most = 1 if name == "out_mode_05" else len(self.working) - 1
            if not value.is_integer() or value < 0.0:
                return -10
            if value > most:
                return -11
            if name == "out_mode_05":
                return self._start(now_s) if value else self._stop(now_s)
            if name == "out_mode_02":
                self.tuning = int(value)
                return 0
            self.chosen = int(value)
            self._steer(now_s)
            return 0
        shown = round(value, 2)
        return self._temperature(int(name[-1]), (shown - 32.0) / 1.8 if self.fahrenheit else shown, now_s)

    def _temperature(self, which: int, value_c: float, now_s: float) -> int:
        if value_c < RANGE_C[0]:
            return -10
        if value_c > RANGE_C[1]:
            return -11
        if which >= len(self.working):
            self.warning[which == 3] = value_c
            return 0
        self.working[which] = value_c
        self._steer(now_s)
        return 0 if self.warning[0] <= value_c <= self.warning[1] else -13

    # -- what it does ------------------------------------------------------------------------------------------------
    def _start(self, now_s: float) -> int:
        if self.alarm:
            return -9
        if not self.started:
            self.started = True
            self.world.ledger.begin(now_s, self.name, "hold", self.leg.at(now_s), "degC")
            self._steer(now_s)
        return 0

    def _stop(self, now_s: float) -> int:
        if self.started:
            self.started = False
            bath_c = self.leg.at(now_s)
            self.world.ledger.end(now_s, self.name, "hold", bath_c, "degC")
            self.leg = resting(now_s, bath_c, tau_s=REST_S)
        return 0

    def _steer(self, now_s: float) -> None:
        if self.started:
            self.leg = Leg(
                began_s=now_s, start_c=self.leg.at(now_s), goal_c=self.working[self.chosen], tau_s=TAU_S,
                up_k_s=UP_K_S, down_k_s=DOWN_K_S,
            )  # fmt: skip

    def due(self, now_s: float) -> float | None:
        return None

    def advance(self, now_s: float) -> None:
        """Its temperature is known at any time, so nothing is to be done."""

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def leak(self, now_s: float) -> None:
        """Liquid is missing: heater and pump stop with the alarm -01."""
        self.world.settle(now_s)
        self._stop(now_s)
        self.alarm = -1

    def stall(self, now_s: float) -> None:
        """The pump is blocked: what a circulator makes of it is its level alarm."""
        self.leak(now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: stopped, set by hand as before; remote control stays, and there is no autostart."""
        self.world.settle(now_s)
        self._stop(now_s)
        self.working, self.warning, self.chosen, self.tuning = list(KEYPAD_C), list(WARNING_C), 0, 0
        self.terms = {name: value for name, (value, _, _) in TERMS.items()}
        self.wrong = self.alarm = 0
        self.deaf_until_s = float("-inf")
        self._line.clear()

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "leg": self.leg.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.leg = leg_of(state["leg"])


_KEPT = ("remote", "fahrenheit", "started", "chosen", "tuning", "working", "warning", "terms", "wrong", "alarm")
