"""Atlas Scientific EZO pH circuit in UART mode, simulated from its datasheet (V6.1); the beaker is in beaker.py.

Line: 9600 8N1, lines end with CR both ways, capitals do not matter. Every command ends with *OK, or *ER when it is not
understood; ``*OK,0`` ends the former. A question's own line comes first:

    i -> ?i,pH,2.16     Status -> ?Status,P,5.038     C,<0..99>  C,?     *OK,<0,1>  *OK,?     L,<0,1>  L,?
    R -> 7.203, after 0.8 s     T,<degC>  T,?     RT,<degC>  T and R in one (as the maker's Ezo_uart_lib asks)
    Name,<16>  Name,?     Find     Factory -> *OK *RS *RE
    Cal,mid,<pH> (forgets low and high)  Cal,low,<pH>  Cal,high,<pH>  Cal,clear  Cal,? -> ?Cal,2
    Slope,? -> ?Slope,99.7,100.3,-0.89 (acid %, base %, mV)     Sleep -> *SL, any byte -> *WA and the line is lost

As delivered it says a reading every second (C,1). What it keeps without power: C, *OK, L, Name, Cal. What it forgets: T
(25 again). Our reading, not the datasheet's: a command that comes while another is done waits; a calibration takes
0.9 s (that is what its I2C mode says); Find ends continuous mode and ends with the next command; a Name that was never
given is empty; low and high without mid are *ER.

options: ``name``; of the simulation ``beaker``, see simulators/beaker.py.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labloop.simulation.world import World

from .beaker import Beaker, nernst_mv

FIRMWARE = "2.16"
READS_S, CALIBRATES_S = 0.8, 0.9
LEAST, MOST = 0.001, 14.0
TEMPERATURES_C = (-126.0, 1254.0)
LONGEST, MOST_WAITING = 64, 16
NOISE_PH = 0.001
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class _Wrong(Exception):
    """A command that is answered with *ER."""


class EzoPh:
    """options: name; of the simulation: beaker."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.beaker = Beaker(world, options.get("beaker") or {})
        self.called = str(options.get("name", ""))
        self.every_s, self.codes, self.led = 1, True, True
        self.points: dict[str, tuple[float, float, float]] = {}  # pH, mV, degC
        self.temperature_c, self.reason = 25.0, "P"
        self.asleep = self.finding = False
        self.now_s = 0.0
        self._next_s = 1.0  # continuous mode
        self._line = bytearray()
        self._waiting: list[str] = []
        self._does: tuple[float, str] | None = None  # until when, and what
        self._said = bytearray()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        for byte in data:
            if self.asleep:
                self.asleep = False
                self._next_s = now_s + self.every_s
                self._say("*WA")
                self._line = bytearray(b"\x00")  # what woke it is lost up to its CR
            if byte == 0x0D:
                line = bytes(self._line).decode("ascii", "replace")
                self._line.clear()
                if line and "\x00" not in line and len(self._waiting) < MOST_WAITING:
                    self._waiting.append(line)
            elif len(self._line) < LONGEST:
                self._line.append(byte)
        self._work()
        said, self._said = bytes(self._said), bytearray()
        return said

    def _say(self, text: str) -> None:
        self._said += text.encode("ascii", "replace") + b"\r"

    def _work(self) -> None:
        """Begin what waits, as far as nothing takes its time."""
        while self._does is None and self._waiting and not self.asleep:
            line = self._waiting.pop(0).strip()
            self.finding = False
            reads, calibrates = re.match("(?i)r$|rt,", line), re.match("(?i)cal,[mlh]", line)
            takes_s = READS_S if reads else CALIBRATES_S if calibrates else 0.0
            if takes_s:
                self._does = (self.now_s + takes_s, line)
            else:
                self._do(line)

    def _do(self, line: str) -> None:
        word, _, rest = line.partition(",")
        command = _COMMANDS.get(word.upper())
        try:
            if command is None:
                raise _Wrong
            said = command(self, [one.strip() for one in rest.split(",")] if rest else [])
        except _Wrong:
            self._say("*ER")
            return
        if said:
            self._say(said)
        if self.codes and said != "*SL":
            self._say("*OK")
        if word.upper() == "FACTORY":
            self._say("*RS")
            self._say("*RE")

    # -- commands ----------------------------------------------------------------------------------------------------
    def _i(self, rest: list[str]) -> str:
        _none(rest)
        return f"?i,pH,{FIRMWARE}"

    def _status(self, rest: list[str]) -> str:
        _none(rest)
        return f"?Status,{self.reason},5.038"

    def _r(self, rest: list[str]) -> str:
        _none(rest)
        return self._reading()

    def _rt(self, rest: list[str]) -> str:
        self.temperature_c = _number(rest, *TEMPERATURES_C)
        return self._reading()

    def _c(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?C,{self.every_s}"
        self.every_s = round(_number(rest, 0, 99))
        self._next_s = self.now_s + self.every_s
        return ""

    def _ok(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?*OK,{int(self.codes)}"
        self.codes = _switch(rest)
        return ""

    def _l(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?L,{int(self.led)}"
        self.led = _switch(rest)
        return ""

    def _name(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?Name,{self.called}"
        if len(rest) > 1 or len("".join(rest)) > 16:
            raise _Wrong
        self.called = "".join(rest)
        return ""

    def _t(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?T,{self.temperature_c:g}"
        self.temperature_c = _number(rest, *TEMPERATURES_C)
        return ""

    def _find(self, rest: list[str]) -> str:
        _none(rest)
        self.finding, self.every_s = True, 0
        return ""

    def _sleep(self, rest: list[str]) -> str:
        _none(rest)
        self.asleep = True
        self._waiting.clear()
        return "*SL"

    def _factory(self, rest: list[str]) -> str:
        _none(rest)
        self.every_s, self.codes, self.led, self.called, self.points = 1, True, True, "", {}
        self.temperature_c, self.reason, self._next_s = 25.0, "S", self.now_s + 1.0
        return ""

    def _cal(self, rest: list[str]) -> str:
        if rest == ["?"]:
            return f"?Cal,{len(self.points)}"
        if rest == ["clear"]:
            self.points = {}
            return ""
        place = rest[0].lower() if rest else ""
        if place not in ("mid", "low", "high") or (place != "mid" and "mid" not in self.points):
            raise _Wrong
        ph = _number(rest[1:], 0.0, 14.0)
        if place == "mid":
            self.points = {}
        self.points[place] = (ph, self.beaker.mv(self.now_s), self.temperature_c)
        return ""

    def _slope(self, rest: list[str]) -> str:
        if rest != ["?"]:
            raise _Wrong
        zero_mv, acid, base = self._fit()
        return f"?Slope,{100 * acid:.1f},{100 * base:.1f},{zero_mv:.2f}"

    # -- what it makes of the electrode ------------------------------------------------------------------------------
    def _fit(self) -> tuple[float, float, float]:
        """The voltage at pH 7, and the slopes below and above the middle, as parts of the ideal one."""
        if "mid" not in self.points:
            return 0.0, 1.0, 1.0
        mid_ph, mid_mv, _ = self.points["mid"]
        slopes = {}
        for place in ("low", "high"):
            ph, mv, at_c = self.points.get(place, (mid_ph, mid_mv, 25.0))
            slopes[place] = (mid_mv - mv) / (ph - mid_ph) / nernst_mv(at_c) if ph != mid_ph else 1.0
        low, high = (slopes[place] if abs(slopes[place]) > 1e-3 else 1.0 for place in ("low", "high"))
        side = low if mid_ph > 7.0 else high
        return mid_mv + side * nernst_mv(self.points["mid"][2]) * (mid_ph - 7.0), low, high

    def shows_ph(self, mv: float) -> float:
        zero_mv, acid, base = self._fit()
        per_ph = nernst_mv(self.temperature_c)
        slope = acid if mv > zero_mv else base
        return 7.0 - (mv - zero_mv) / (slope * per_ph)

    def _reading(self) -> str:
        seed = [abs(self.world.seed), zlib.crc32(self.name.encode()), int(self.now_s * 10)]
        noise = NOISE_PH * float(np.random.default_rng(seed).uniform(-1.0, 1.0))
        return f"{min(max(self.shows_ph(self.beaker.mv(self.now_s)) + noise, LEAST), MOST):.3f}"

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        times = [self._does[0]] if self._does is not None else []
        if self.every_s and not self.asleep:
            times.append(self._next_s)
        return min(times, default=None)

    def advance(self, now_s: float) -> None:
        while (at_s := self.due(now_s)) is not None and at_s <= now_s:
            self.now_s = max(self.now_s, at_s)
            if self._does is not None and self._does[0] <= at_s:
                line, self._does = self._does[1], None
                self._do(line)
                self._work()
            else:
                self._say(self._reading())
                self._next_s = at_s + self.every_s
        self.now_s = max(self.now_s, now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came."""
        self.world.settle(now_s)
        self._line.clear()
        self._waiting.clear()
        self._said.clear()
        self._does, self.asleep, self.finding = None, False, False
        self.temperature_c, self.reason, self._next_s = 25.0, "P", now_s + self.every_s
        self._say("*RS")
        self._say("*RE")

    def state(self) -> Mapping[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        return kept | {"points": {place: list(point) for place, point in self.points.items()}} | {
            "beaker": self.beaker.state()
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.points = {place: (point[0], point[1], point[2]) for place, point in state["points"].items()}
        self.beaker.restore(state["beaker"])
        self.now_s, self._next_s = now_s, now_s + self.every_s


_KEPT = ("called", "every_s", "codes", "led", "temperature_c", "reason", "asleep", "now_s")
_COMMANDS: Mapping[str, Callable[[EzoPh, list[str]], str]] = {
    "I": EzoPh._i, "STATUS": EzoPh._status, "R": EzoPh._r, "RT": EzoPh._rt, "C": EzoPh._c, "*OK": EzoPh._ok,
    "L": EzoPh._l, "NAME": EzoPh._name, "T": EzoPh._t, "FIND": EzoPh._find, "SLEEP": EzoPh._sleep,
    "FACTORY": EzoPh._factory, "CAL": EzoPh._cal, "SLOPE": EzoPh._slope,
}  # fmt: skip


def _none(rest: list[str]) -> None:
    if rest:
        raise _Wrong


def _number(rest: list[str], low: float, high: float) -> float:
    if len(rest) != 1 or not NUMBER.fullmatch(rest[0]) or not low <= float(rest[0]) <= high:
        raise _Wrong
    return float(rest[0])


def _switch(rest: list[str]) -> bool:
    if rest not in (["0"], ["1"]):
        raise _Wrong
    return rest == ["1"]
