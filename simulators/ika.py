"""IKA RCT digital hotplate stirrer, simulated from its manual (20014388a, NAMUR commands).

Line: 9600 7E1. Commands in capitals, a blank before the value, ended by blank CR LF; bare CR LF (what real clients
send) is taken as well. At most 80 characters. Only IN_* , STATUS_n and the watchdog's commands answer; setters, START
and STOP are silent, and so is everything unknown: there are no errors.

    IN_NAME -> "RCT digital \\r\\n"      IN_TYPE -> "RCT5 \\r\\n"      (undocumented, asked by real clients)
    IN_PV_1 medium probe, IN_PV_2 plate, IN_PV_7 second probe, IN_PV_4 rpm, IN_PV_5 viscosity trend -> "22.0 1 \\r\\n"
    IN_SP_1 set temperature, IN_SP_3 safety limit, IN_SP_4 set speed, IN_SP_7, IN_SP_8
    OUT_SP_1 80.0   OUT_SP_4 500   START_1 STOP_1 (heat)   START_4 STOP_4 (stir)   RESET
    STATUS_1 -> "11 1 \\r\\n" heating, "12 1 \\r\\n" idle     STATUS_4 -> "1 4 \\r\\n", "0 4 \\r\\n"
    OUT_WD1@30    unless it is sent again within 30 s (20 to 1500): heat and stirrer off; answers "30 \\r\\n"
    OUT_WD2@30    then set temperature and speed fall to the safety values instead; OUT_WD2@0 ends the watchdog
    OUT_SP_12@60  safety temperature, OUT_SP_42@0 safety speed; both answer with the value, "60 \\r\\n"

Only its own command winds the watchdog up ("must be transmitted within the set watchdog time"). A set temperature
above the safety limit less 50 K is held down to that. Our reading, not the manual's: RESET switches heat, stirrer and
watchdog off.

What stands behind it: the plate follows a ramp of 5 K/min up to the set temperature and stays there; unheated it cools
towards the room with a time of 10 min. The medium follows the plate with a lag of 60 s. The stirrer changes its speed
by 200 rpm in a second.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.world import World

from .ika_bath import Bath

LINE_LENGTH = 80
SAFETY_LIMIT_C, SAFETY_GAP_K = 360.0, 50.0
FASTEST_RPM = 1500.0
STIRRER_RPM_S = 200.0
WATCHDOG_S = (20, 1500)


class RCT:
    """options: none."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.bath = Bath()
        self.set_c, self.set_rpm = 0.0, 0.0
        self.safe_c, self.safe_rpm = 0.0, 0.0
        self.watchdog, self.watchdog_s = 0, 0
        self.wound_s = 0.0
        self.now_s = 0.0
        self.rpm = 0.0
        self.heats = self.stirs = False
        self._line = bytearray()
        world.join(self)
        world.sample.heated(self.bath.medium_c(0.0), self.bath.medium_c(0.0))

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        out = bytearray()
        for byte in data:
            if byte == 0x0A:
                line = bytes(self._line).decode("ascii", "replace").strip()
                self._line.clear()
                if line:
                    out += self._take(line, now_s)
            elif byte != 0x0D:
                self._line.append(byte)
                # A line that is too long is no command; it ends with its own line feed.
                del self._line[LINE_LENGTH + 1 :]
        return bytes(out)

    def _take(self, line: str, now_s: float) -> bytes:
        answer = self._do(line, now_s) if len(line) <= LINE_LENGTH else None
        return f"{answer} \r\n".encode("ascii") if answer is not None else b""

    def _do(self, line: str, now_s: float) -> str | None:
        asked = self._asked(line)
        if asked is not None:
            return asked
        if setting := re.fullmatch(r"OUT_SP_([14]) +(\d{1,4}(?:\.\d*)?)", line):
            self._set(int(setting[1]), float(setting[2]), now_s)
        elif watch := re.fullmatch(r"OUT_(WD1|WD2|SP_12|SP_42)@(\d{1,4}(?:\.\d*)?)", line):
            return self._watch(watch[1], float(watch[2]), now_s)
        elif line == "START_1":
            self._stop_heat(now_s)
            self.heats = True
            self.world.ledger.begin(now_s, self.name, "hold", self.bath.medium_c(now_s), "degC")
            self.bath.steer(now_s, self.set_c)
        elif line == "STOP_1":
            self._stop_heat(now_s)
        elif line == "START_4":
            self._stop_stirrer(now_s)
            self.stirs = True
            self.world.ledger.begin(now_s, self.name, "stir", self.rpm, "rpm")
        elif line == "STOP_4":
            self._stop_stirrer(now_s)
        elif line == "RESET":
            self._all_off(now_s)
            self.watchdog = 0
        return None

    def _asked(self, line: str) -> str | None:
        medium, plate = self.bath.medium_c(self.now_s), self.bath.plate_c(self.now_s)
        values = {
            "IN_PV_1": medium,
            "IN_PV_2": plate,
            "IN_PV_4": self.rpm,
            "IN_PV_5": 0.0,
            "IN_PV_7": medium,
            "IN_SP_1": self.set_c,
            "IN_SP_3": SAFETY_LIMIT_C,
            "IN_SP_4": self.set_rpm,
            "IN_SP_7": self.safe_c,
            "IN_SP_8": self.safe_rpm,
        }
        if line in values:
            return f"{values[line]:.1f} {line[-1]}"
        words = {
            "IN_NAME": "RCT digital",
            "IN_TYPE": "RCT5",
            "STATUS_1": "11 1" if self.heats else "12 1",
            "STATUS_4": "1 4" if self.stirs else "0 4",
        }
        return words.get(line)

    def _set(self, channel: int, value: float, now_s: float) -> None:
        if channel == 1:
            self.set_c = min(value, SAFETY_LIMIT_C - SAFETY_GAP_K)
            if self.heats:
                self.bath.steer(now_s, self.set_c)
        else:
            self.set_rpm = min(value, FASTEST_RPM)

    def _watch(self, name: str, value: float, now_s: float) -> str | None:
        if name == "SP_12":
            self.safe_c = min(value, SAFETY_LIMIT_C - SAFETY_GAP_K)
        elif name == "SP_42":
            self.safe_rpm = min(value, FASTEST_RPM)
        elif name == "WD2" and value == 0:
            self.watchdog = 0
        elif WATCHDOG_S[0] <= value <= WATCHDOG_S[1]:
            self.watchdog, self.watchdog_s, self.wound_s = int(name[-1]), int(value), now_s
        else:
            return None
        return f"{value:g}"

    # -- what it does ------------------------------------------------------------------------------------------------
    def _stop_heat(self, now_s: float) -> None:
        if self.heats:
            self.heats = False
            self.bath.steer(now_s, None)
            self.world.ledger.end(now_s, self.name, "hold", self.bath.medium_c(now_s), "degC")

    def _stop_stirrer(self, now_s: float) -> None:
        if self.stirs:
            self.stirs = False
            self.world.ledger.end(now_s, self.name, "stir", self.rpm, "rpm")

    def _all_off(self, now_s: float) -> None:
        self._stop_heat(now_s)
        self._stop_stirrer(now_s)

    def _watch_ends_s(self) -> float:
        return self.wound_s + self.watchdog_s * self.world.speed if self.watchdog else math.inf

    def due(self, now_s: float) -> float | None:
        at_s = self._watch_ends_s()
        return None if math.isinf(at_s) else at_s

    def advance(self, now_s: float) -> None:
        if (ends_s := self._watch_ends_s()) <= now_s:
            self._go(ends_s)
            if self.watchdog == 1:
                self._all_off(ends_s)
            else:
                self._set(1, self.safe_c, ends_s)
                self._set(4, self.safe_rpm, ends_s)
            self.watchdog = 0
        self._go(now_s)

    def _go(self, now_s: float) -> None:
        if now_s <= self.now_s:
            return
        wanted = self.set_rpm if self.stirs else 0.0
        most = STIRRER_RPM_S * (now_s - self.now_s)
        self.rpm += min(max(wanted - self.rpm, -most), most)
        self.world.sample.heated(self.bath.hottest_c(self.now_s, now_s), self.bath.medium_c(now_s))
        self.now_s = now_s

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: everything is off, set values and watchdog are forgotten; heat is not."""
        self.world.settle(now_s)
        self._all_off(now_s)
        self.watchdog, self.set_c, self.set_rpm = 0, 0.0, 0.0
        self._line.clear()

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "bath": self.bath.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.bath.restore(state["bath"])


_KEPT = (
    "set_c",
    "set_rpm",
    "safe_c",
    "safe_rpm",
    "watchdog",
    "watchdog_s",
    "wound_s",
    "now_s",
    "rpm",
    "heats",
    "stirs",
)
