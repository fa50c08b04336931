"""Eurotherm 3216 temperature controller on a furnace, simulated from its handbook (HA028651 issue 7, p. 81-82).

Line: 9600 8N1, Modbus RTU, one of many units on RS-485 (option ``address``, 1 if left out). Functions 03 (read up to
125 registers), 06 (write one), 16 (write many). Numbers are integers in units of the last digit displayed (option
``decimals``); at 0x8000 + 2 n the same parameter stands as a 32-bit float, times as milliseconds (a long), as other
people's drivers for it read them.

    1 process value   2 target setpoint   3, 4 output in 0.1 %   5 working setpoint   6, 8, 9 its terms (band, integral,
    derivative: kept, the furnace does not mind them)   11, 12 input range
    15 which of SP1 (24) and SP2 (25)   23 programme: 0 reset 1 run 2 hold 3 end   26 remote setpoint   35 rate limit
    75 status: bit 4 manual, 5 sensor break, 9 programme ended, 13 programme runs, 14 remote setpoint failed   76 its
    inverse   274 alarms are acknowledged (it has none)
    107 version   111, 112 setpoint limits, high and low   122 type   131 unit   199 mode   273 manual   276 remote
    328 end of programme: 1 dwell (state 3), 3 reset   516 degC   525 decimals   1280 + 3 n: dwell, target, ramp rate

Answers to what cannot be: 01 unknown function, 02 no such register or one that may only be read, 03 value out of range.
Registers 2, 6, 8, 9, 15, 24, 25, 35, 111, 112, 199, 273, 276, 328 and the programme's live in a memory of 100 000 write
cycles: ``worn`` counts.

The remote setpoint is used while 276 is 1 and 26 was written within the last FALLS_BACK_S; then bit 14 stands and
SP1 or SP2 is taken. It is forgotten when the mains goes. Our reading: how long that takes, that 26 is refused outside
the setpoint limits, and that these take no value beyond the input range or beyond each other.

What stands behind it: a furnace that heats with at most 20 K/min, cools with at most 6 K/min, and follows its working
setpoint with 60 s. Options of the simulation: ``remote`` (276 is 1), ``decimals``, ``sp1``, and ``program``: segments
of [ramp in K/min (0: step), target in degC, dwell in min].
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

from labloop.simulation.thermal import ROOM_C, Leg, leg_of
from labloop.simulation.world import World

from .eurotherm_frames import GAP_S, Frames, framed
from .eurotherm_program import END, HELD, RESET, RUN, Program

FALLS_BACK_S = 5.0
TYPE, VERSION = 0x3216, 0x0213
RANGE_C, LIMITS_C = (-200, 1372), (1200, 0)
UP_K_S, DOWN_K_S, TAU_S = 20.0 / 60.0, 6.0 / 60.0, 60.0
STEP_S = 5.0  # while a setpoint moves, the furnace is aimed anew this often
FLOATS = 0x8000
LASTING = {2, 6, 8, 9, 15, 24, 25, 35, 111, 112, 199, 273, 276, 328, *range(1280, 1304)}


class Refused(Exception):
    """The request cannot be done; ``number`` of the Modbus exception."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class E3216:
    """options: address; of the simulation: remote, decimals, sp1, program."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.address = int(options.get("address", 1))
        self.decimals = int(options.get("decimals", 1))
        largest_c = 0x7FFF / 10.0**self.decimals
        self.limits_c = [min(LIMITS_C[0], largest_c), float(LIMITS_C[1])]  # high, low
        self.range_c = min(RANGE_C[1], largest_c)
        remote = options.get("remote", options.get("control", "remote") == "remote")
        terms = {6: round(20.0 * 10.0**self.decimals), 8: 360, 9: 60}  # as delivered: 20 K, 360 s, 60 s
        self.kept = {**terms, 15: 0, 35: 0, 199: 0, 273: 0, 276: int(remote), 328: 1}
        self.setpoints_c = [float(options.get("sp1", 20.0)), 0.0]
        self.remote_c, self.remote_s, self.live = 0.0, 0.0, False
        self.program = Program(options.get("program", [[10.0, 200.0, 30.0]]))
        self.broken = False
        self.worn = 0
        self.leg = Leg(began_s=0.0, start_c=ROOM_C, goal_c=ROOM_C, tau_s=TAU_S)
        self.aimed_s = 0.0
        self._acts: set[str] = set()
        self._frames = Frames(GAP_S * world.speed)
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        out = b""
        for byte in data:
            if (request := self._frames.take(byte, now_s)) is not None and request[0] == self.address:
                out += framed(self.address, self._answer(request[1], now_s))
        return out

    def _answer(self, request: bytes, now_s: float) -> bytes:
        function = request[0]
        try:
            if function == 3:
                address, count = struct.unpack(">HH", request[1:5])
                if not 1 <= count <= 125:
                    raise Refused(3)
                words = self._words(address, count, now_s)
                return struct.pack(f">BB{count}H", 3, 2 * count, *(word & 0xFFFF for word in words))
            if function == 6:
                address, value = struct.unpack(">Hh", request[1:5])
                self._write(address, value, now_s)
                return request
            if function == 16:
                address, count = struct.unpack(">HH", request[1:5])
                if request[5] != 2 * count or len(request) != 6 + 2 * count:
                    raise Refused(3)
                self._write_many(address, struct.unpack(f">{count}h", request[6:]), now_s)
                return request[:5]
            raise Refused(1)
        except Refused as refused:
            return bytes([function | 0x80, refused.number])

    # -- registers ---------------------------------------------------------------------------------------------------
    def _words(self, address: int, count: int, now_s: float) -> list[int]:
        if address < FLOATS:
            return [self._read(address + n, now_s) for n in range(count)]
        words: list[int] = []
        for n in range(address, address + count):
            number, second = divmod(n - FLOATS, 2)
            words.append(struct.unpack(">HH", self._wide(number, now_s))[second])
        return words

    def _wide(self, number: int, now_s: float) -> bytes:
        """A parameter's 32 bits: a float, or a time as a long of milliseconds."""
        if number in range(1280, 1304, 3):
            return struct.pack(">l", round(self.program.segment((number - 1280) // 3)[2] * 60_000))
        scale = self._digits(number)
        return struct.pack(">f", self._read(number, now_s) / scale)

    def _digits(self, number: int) -> float:
        """How many units of the last digit make one: degrees have the display's decimals, percents one."""
        if number in (3, 4):
            return 10.0
        celsius = {1, 2, 5, 6, 11, 12, 24, 25, 26, 35, 111, 112, *range(1281, 1304, 3)}
        return 10.0 if number in range(1282, 1304, 3) else 10.0**self.decimals if number in celsius else 1.0

    def _read(self, number: int, now_s: float) -> int:
        if number in range(1280, 1304):
            index, which = divmod(number - 1280, 3)
            ramp, target_c, dwell_min = self.program.segment(index)
            return round((dwell_min, target_c, ramp)[which] * (1.0 if which == 0 else self._digits(number)))
        if number in self.kept:
            return self.kept[number]
        output = round(self._output(now_s) * 10.0)
        values: dict[int, float] = {
            1: self.range_c if self.broken else self.leg.at(now_s),
            2: self._target_c(now_s),
            5: self._target_c(now_s),
            11: RANGE_C[0],
            12: self.range_c,
            24: self.setpoints_c[0],
            25: self.setpoints_c[1],
            26: self.remote_c,
            111: self.limits_c[0],
            112: self.limits_c[1],
        }
        if number in values:
            return round(values[number] * self._digits(number))
        others = {3: output, 4: output, 23: self.program.state, 75: self._status(), 76: ~self._status(), 107: VERSION,
                  122: TYPE, 131: self.address, 274: 0, 516: 0, 525: self.decimals}  # fmt: skip
        if number not in others:
            raise Refused(2)
        return others[number]

    def _write_many(self, address: int, values: tuple[int, ...], now_s: float) -> None:
        if address < FLOATS:
            for n, value in enumerate(values):
                self._write(address + n, value, now_s)
            return
        if len(values) != 2 or address % 2:
            raise Refused(3)
        number = (address - FLOATS) // 2
        raw = struct.pack(">hh", *values)
        if number in range(1280, 1304, 3):
            self._write(number, round(struct.unpack(">l", raw)[0] / 60_000), now_s)
            return
        value = struct.unpack(">f", raw)[0] * self._digits(number)
        if not -0x8000 <= value <= 0x7FFF:
            raise Refused(3)
        self._write(number, round(value), now_s)

    def _write(self, number: int, value: int, now_s: float) -> None:
        value_c = value / 10.0**self.decimals
        high_c, low_c = self.limits_c
        lowest_c, highest_c = {111: (low_c, self.range_c), 112: (RANGE_C[0], high_c)}.get(number, (low_c, high_c))
        if number in (2, 24, 25, 26, 111, 112) and not lowest_c <= value_c <= highest_c:
            raise Refused(3)
        if number == 26:
            self.remote_c, self.remote_s, self.live = value_c, now_s, True
        elif number == 23:
            self._command(value, now_s)
        elif number in (111, 112):
            self.limits_c[number - 111] = value_c
        elif number in (2, 24, 25):
            self.setpoints_c[self.kept[15] if number == 2 else number - 24] = value_c
        elif number in range(1280, 1304):
            index, which = divmod(number - 1280, 3)
            self.program.change(index, which, value / (1.0 if which == 0 else self._digits(number)))
        elif number == 274:
            if value not in (0, 1):
                raise Refused(3)
        elif number in self.kept:
            self.kept[number] = value
        else:
            raise Refused(2)
        self.worn += number in LASTING
        self._aim(now_s)

    def _command(self, state: int, now_s: float) -> None:
        if state not in (RESET, RUN, HELD):
            raise Refused(3)
        self.program.command(state, self.leg.at(now_s), now_s)
        self.aimed_s = now_s

    # -- control -----------------------------------------------------------------------------------------------------
    def _remote(self) -> bool:
        return self.kept[276] == 1 and self.live

    def _target_c(self, now_s: float) -> float:
        if self.program.state != RESET:
            return self.program.setpoint_c(now_s)
        return self.remote_c if self._remote() else self.setpoints_c[1 if self.kept[15] else 0]

    def _status(self) -> int:
        failed = self.kept[276] == 1 and not self.live
        return (
            (self.kept[273] == 1) << 4
            | self.broken << 5
            | (self.program.state == END) << 9
            | (self.program.state == RUN) << 13
            | failed << 14
        )

    def _output(self, now_s: float) -> float:
        if self.broken or self.kept[199]:
            return 0.0
        return min(max((self.leg.goal_c - self.leg.at(now_s)) / (UP_K_S * TAU_S), 0.0), 1.0) * 100.0

    def _aim(self, now_s: float) -> None:
        """Something changed: the furnace goes to the working setpoint from where it is; and so does the ledger."""
        off = self.broken or self.kept[199] or self.kept[273]
        goal_c = ROOM_C if off else max(self._target_c(now_s), ROOM_C)
        if goal_c != self.leg.goal_c:
            self.leg = Leg(
                began_s=now_s, start_c=self.leg.at(now_s), goal_c=goal_c, tau_s=TAU_S, up_k_s=UP_K_S, down_k_s=DOWN_K_S
            )
        runs = self.program.state in (RUN, HELD)
        holds = not runs and self._remote() and self.remote_c > ROOM_C
        for act, active in (("run_program", runs), ("hold", holds)):
            if active and act not in self._acts:
                self._acts.add(act)
                self.world.ledger.begin(now_s, self.name, act, self.leg.at(now_s), "degC")
            elif not active and act in self._acts:
                self._acts.discard(act)
                self.world.ledger.end(now_s, self.name, act, self.leg.at(now_s), "degC")

    # -- time --------------------------------------------------------------------------------------------------------
    def _falls_back_s(self) -> float:
        return self.remote_s + FALLS_BACK_S * self.world.speed if self.live else math.inf

    def _aims_s(self) -> float:
        return min(self.aimed_s + STEP_S, self.program.ends_s()) if self.program.state == RUN else math.inf

    def due(self, now_s: float) -> float | None:
        at_s = min(self._falls_back_s(), self._aims_s())
        return None if math.isinf(at_s) else at_s

    def advance(self, now_s: float) -> None:
        if now_s < min(self._falls_back_s(), self._aims_s()):
            return
        if now_s >= self._falls_back_s():
            self.live = False
        if self.program.state == RUN and now_s >= self.program.ends_s():
            self.program.state = END if self.kept[328] == 1 else RESET
        self.aimed_s = now_s
        self._aim(now_s)

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def break_sensor(self, now_s: float) -> None:
        """The thermocouple breaks: the reading goes up to the range, the output to 0."""
        self.world.settle(now_s)
        self.broken = True
        self._aim(now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: remote setpoint and programme are forgotten; the heat and what lasts are not."""
        self.world.settle(now_s)
        self.remote_c, self.live = 0.0, False
        self.program.state = RESET
        self._frames.forget()
        self._aim(now_s)

    def state(self) -> Mapping[str, Any]:
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "kept": {str(number): value for number, value in self.kept.items()},
            "leg": self.leg.state(),
            "program": self.program.kept(),
            "acts": sorted(self._acts),
        }

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.kept = {int(number): value for number, value in state["kept"].items()}
        self.leg = leg_of(state["leg"])
        self.program.restore(state["program"])
        self._acts = set(state["acts"])


_KEPT = ("setpoints_c", "limits_c", "remote_c", "remote_s", "live", "broken", "worn", "aimed_s")
