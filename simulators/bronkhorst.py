"""Bronkhorst EL-FLOW mass flow controller (DMFC), simulated from its manuals: 9.17.027 (RS-232, ProPar), 9.17.061 and
9.17.084 (EL-FLOW Base and Prestige), 9.17.158 p. 29 to 47 (parameters), and the table of its maker's library.

Line: 38400 8N1, ProPar in binary and in ASCII (simulators/bronkhorst_frames.py, bronkhorst_messages.py). It answers to
its own node (option ``node``, 3 if left out) and to 80 (hexadecimal), the node that the cable goes to; with its own
number. For other nodes it is silent.

    1/0 measure   1/1 setpoint (32000 is 100 %)   33/0, 33/3 the same in its unit   1/4 control mode   1/13 capacity
    1/20 alarms   1/31 its unit   1/17 fluid   1/5 .. 1/8 polynomial   114/11 IO status   0/10 init reset   0/1 node
    104/1 counter value   /3 limit   /5 setpoint mode   /6 new setpoint   /7 unit   /8 mode   /9 who may reset
    113/1 .. 113/6 device, model, serial, customer, firmware, tag    0/0 identification string    115/8 reset

Polynomial, fluid and IO status can be set only after init reset was set to 64 (82 locks them; so does power-up).

Control modes: 0, 18 setpoint from the line; 1 analog input (nothing is connected); 3, 12, 22 closed; 4 as it is; 7 full
scale; 8 open, 131 % and more; others closed. At power-up 1 if 40 is in the IO status, else 0. The counter goes on when
the mains come back.

In counter mode 2 and setpoint mode 1 the valve goes to the new setpoint at the limit, until the counter is reset; then
the old setpoint holds again. Our readings, nobody's text: that; that counting stops at the limit; a setpoint of 0 after
power-up; 00 status position for a parameter that is locked (0D).

What stands behind it: gas at 3 bar in front of the valve; the flow follows the setpoint with 0.3 s. Options:
``full_scale``, ``reference`` (normal, standard), ``gas``, ``node``, ``analog`` (its default mode is the analog input),
``watchdog`` (a volume). In the ledger a flow that its counter ends is a ``dose``, unless it is the watchdog's volume.
"""

import math
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.thermal import Leg, leg_of
from labloop.simulation.world import World

from .bronkhorst_frames import Frames, Heard, framed
from .bronkhorst_messages import BYTE, LONG, TEXT, VALUE, WORD, Parameter, Status, Table, Worth, answer_to

LOCAL = 0x80
TAU_S = 0.3
FULL, MOST = 32_000, 41_942
OPEN = 1.4  # of full scale, through an open valve
UNLOCKED, LOCKED = 64, 82
ANALOG = 0x40
COUNTER_UNITS = {"uln": 1e-3, "mln": 1.0, "ln": 1e3, "m3n": 1e6, "uls": 1e-3, "mls": 1.0, "ls": 1e3, "m3s": 1e6}
# 1.01325 bar both; a normal litre is measured at 0, a standard litre at 20 degC.
NORMAL_K, STANDARD_K = 273.15, 293.15
BATCH = 0x10


class ELFlow:
    """options: full_scale, reference, gas, node, analog, watchdog, serial."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        node = int(options.get("node", LOCAL))
        self.address = 3 if node == LOCAL else node
        self.full_ml_min = amount(options.get("full_scale", "500 mL/min"), "mL/min")
        self.reference = "s" if options.get("reference") == "standard" else "n"
        litres = self.full_ml_min >= 2000.0
        self.unit = f"{'l' if litres else 'ml'}{self.reference}/min"
        self.capacity = self.full_ml_min / (1000.0 if litres else 1.0)
        self.gas = str(options.get("gas", "N2"))
        serial = str(options.get("serial", "M12345678A"))
        self.texts = {"device": "DMFC", "model": "F-201CV-500-AAD-33-V", "serial": serial, "customer": "",
                      "firmware": "V1.12", "tag": "USERTAG"}  # fmt: skip
        self.polynomial = [0.0, 1.0, 0.0, 0.0]
        self.io_status = ANALOG if options.get("analog") else 0
        self.init_reset = LOCKED
        self.mode = 1 if self.io_status & ANALOG else 0
        self.setpoint = 0
        self.counter_unit = f"l{self.reference}"
        self.counter_mode, self.at_limit, self.new_setpoint, self.may_reset = 0, 0, 0, 7
        self.limit_ml, self.counted_ml, self.batch = 0.0, 0.0, False
        self.alarms = 0  # beside the counter's
        self.supply = True
        try:
            self.watchdog_ml = amount(options.get("watchdog", 0.0), "mL")
        except ValueError:  # in a unit that is not known here: any volume may be it
            self.watchdog_ml = math.nan
        self.act, self.passed_ml = "flow", 0.0  # the running one
        self.leg = Leg(began_s=0.0, start_c=0.0, goal_c=0.0, tau_s=TAU_S)  # in mL/min
        self.since_s = 0.0
        self._flows = False
        self._now_s = 0.0
        self._frames = Frames()
        self._table = self._parameters()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        self._now_s = now_s
        out = b""
        for byte in data:
            if (heard := self._frames.take(byte)) is not None and heard.node in (self.address, LOCAL):
                out += self._answer(heard)
        return out

    def _answer(self, heard: Heard) -> bytes:
        body = answer_to(heard.body, self._table) if heard.sound else b"\x04"
        return framed(heard, self.address, body) if body else b""

    def _parameters(self) -> Table:
        def own(name: str, kind: int, *, high: float = 255.0) -> Parameter:
            """One that is kept under a name, and read when it is needed."""

            def put(value: Worth) -> None:
                self._count(self._now_s)
                setattr(self, name, value)
                self._steer(self._now_s)

            return Parameter(kind=kind, get=lambda: getattr(self, name), put=put, high=high)

        def text(name: str) -> Parameter:
            return Parameter(kind=TEXT, get=lambda: self.texts[name])

        def constant(place: int) -> Parameter:
            return Parameter(
                kind=LONG, get=lambda: self.polynomial[place], locked=self._locked, low=-1e30, high=1e30,
                put=lambda value: self.polynomial.__setitem__(place, float(value)),
            )  # fmt: skip

        return {
            (0, 0): Parameter(kind=TEXT, get=lambda: f"\x07SN{self.texts['serial']}"),
            (0, 1): Parameter(kind=BYTE, get=lambda: self.address),
            (0, 3): Parameter(kind=BYTE, get=lambda: 0),
            (0, 10): Parameter(kind=BYTE, get=lambda: self.init_reset, put=self._put_init_reset),
            (0, 18): Parameter(kind=BYTE, get=lambda: 1),
            (1, 0): Parameter(kind=WORD, get=lambda: min(round(self._part() * FULL), MOST)),
            (1, 1): own("setpoint", WORD, high=FULL),
            (1, 4): own("mode", BYTE),
            **{(1, 5 + place): constant(place) for place in range(4)},
            (1, 13): Parameter(kind=LONG, get=lambda: self.capacity),
            (1, 14): Parameter(kind=BYTE, get=lambda: 3),
            (1, 17): Parameter(
                kind=TEXT, get=lambda: self.gas, put=lambda value: setattr(self, "gas", str(value).strip()),
                length=10, locked=self._locked,
            ),
            (1, 20): Parameter(kind=BYTE, get=lambda: self.alarms | (BATCH if self.batch else 0)),
            (1, 31): Parameter(kind=TEXT, get=lambda: self.unit),
            (33, 0): Parameter(kind=LONG, get=lambda: self._part() * self.capacity),
            (33, 3): Parameter(
                kind=LONG, get=lambda: self.setpoint / FULL * self.capacity, high=self.capacity,
                put=lambda value: self._put_setpoint(round(float(value) / self.capacity * FULL)),
            ),
            (104, 1): Parameter(
                kind=LONG, get=lambda: self.counted_ml / self._ml, put=self._put_counted, high=10_000_000.0
            ),
            (104, 3): Parameter(kind=LONG, get=lambda: self.limit_ml / self._ml, put=self._put_limit, high=9_999_999.0),
            (104, 5): own("at_limit", BYTE, high=1),
            (104, 6): own("new_setpoint", WORD, high=FULL),
            (104, 7): Parameter(kind=TEXT, get=lambda: self.counter_unit, put=self._put_unit, length=4),
            (104, 8): own("counter_mode", BYTE, high=2),
            (104, 9): own("may_reset", BYTE, high=15),
            **{(113, n): text(name) for n, name in enumerate(self.texts, 1)},
            (114, 11): Parameter(
                kind=BYTE, get=lambda: self.io_status, locked=self._locked,
                put=lambda value: setattr(self, "io_status", int(value)),
            ),
            (115, 8): Parameter(kind=BYTE, get=lambda: 0, put=self._reset, high=7),
        }  # fmt: skip

    # -- what is set -------------------------------------------------------------------------------------------------
    def _locked(self) -> bool:
        return self.init_reset != UNLOCKED

    @property
    def _ml(self) -> float:
        """How many mL of its reference one unit of its counter is."""
        factor = COUNTER_UNITS[self.counter_unit]
        own, other = (NORMAL_K, STANDARD_K) if self.reference == "n" else (STANDARD_K, NORMAL_K)
        return factor if self.counter_unit.endswith(self.reference) else factor * own / other

    def _put_init_reset(self, value: Worth) -> None:
        if value not in (UNLOCKED, LOCKED):
            raise Status(VALUE)
        self.init_reset = int(value)

    def _put_setpoint(self, value: int) -> None:
        self._count(self._now_s)
        self.setpoint = value
        self._steer(self._now_s)

    def _put_counted(self, value: Worth) -> None:
        self._count(self._now_s)
        self.counted_ml = float(value) * self._ml
        self._steer(self._now_s)

    def _put_limit(self, value: Worth) -> None:
        self._count(self._now_s)
        self.limit_ml = float(value) * self._ml
        self._steer(self._now_s)

    def _put_unit(self, value: Worth) -> None:
        if str(value).strip() not in COUNTER_UNITS:
            raise Status(VALUE)
        self.counter_unit = str(value).strip()

    def _reset(self, value: Worth) -> None:
        self._count(self._now_s)
        if value in (1, 3, 4) and self.may_reset & 4:
            self.counted_ml, self.batch = 0.0, False
            self.counter_mode = 0 if value == 4 else self.counter_mode
        elif value == 5:
            self.power_cycle(self._now_s)
        self._steer(self._now_s)

    # -- what it does ------------------------------------------------------------------------------------------------
    def _part(self) -> float:
        """Of full scale, now."""
        return self.leg.at(self._now_s) / self.full_ml_min

    def _goal(self, now_s: float) -> float:
        """Where the flow goes, in mL/min."""
        if not self.supply:
            return 0.0
        if self.mode in (0, 18):
            return (self.new_setpoint if self.batch and self.at_limit else self.setpoint) / FULL * self.full_ml_min
        fixed = {4: self.leg.at(now_s), 7: self.full_ml_min, 8: OPEN * self.full_ml_min}
        return fixed.get(self.mode, 0.0)

    def _count(self, now_s: float) -> None:
        """What passed since it was counted last."""
        passed_ml = self._passes(self.since_s, now_s)
        self.passed_ml += passed_ml
        if self.counter_mode == 1 or (self.counter_mode == 2 and not self.batch):
            self.counted_ml += passed_ml
        self.since_s = now_s

    def _passes(self, from_s: float, to_s: float) -> float:
        """The integral of an exponential approach, in mL."""
        start, goal = self.leg.at(from_s), self.leg.goal_c
        elapsed_s = to_s - from_s
        return (goal * elapsed_s + (start - goal) * TAU_S * (1.0 - math.exp(-elapsed_s / TAU_S))) / 60.0

    def _steer(self, now_s: float) -> None:
        """Something was changed (and counted before): where does the flow go now?"""
        if self.counter_mode == 2 and not self.batch and self.counted_ml >= self.limit_ml > 0.0:
            self.batch = True
        goal = self._goal(now_s)
        if goal != self.leg.goal_c:
            self.leg = Leg(began_s=now_s, start_c=self.leg.at(now_s), goal_c=goal, tau_s=TAU_S)
        flows = goal > 0.0
        if flows and not self._flows:
            ends = self.counter_mode == 2 and self.at_limit and not self.new_setpoint
            # The line carries seven digits.
            guarded = math.isnan(self.watchdog_ml) or math.isclose(self.limit_ml, self.watchdog_ml, rel_tol=1e-5)
            self.act, self.passed_ml = "dose" if ends and not guarded else "flow", 0.0
            self.world.ledger.begin(now_s, self.name, self.act, 0.0, "mL")
        elif self._flows and not flows:
            self.world.ledger.end(now_s, self.name, self.act, self.passed_ml, "mL")
        self._flows = flows

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        """When its counter reaches the limit, if it does."""
        if self.counter_mode != 2 or self.batch or not self.limit_ml:
            return None
        missing_ml = self.limit_ml - self.counted_ml
        late_s = self.since_s + 60.0 * TAU_S
        if self.leg.goal_c > 0.0:
            late_s += missing_ml / self.leg.goal_c * 60.0
        if missing_ml <= 0.0 or self._passes(self.since_s, late_s) < missing_ml:
            return None
        early_s = self.since_s
        for _ in range(60):
            middle_s = (early_s + late_s) / 2.0
            early_s, late_s = (
                (early_s, middle_s) if self._passes(self.since_s, middle_s) >= missing_ml else (middle_s, late_s)
            )
        return late_s

    def advance(self, now_s: float) -> None:
        at_s = self.due(now_s)
        self._count(now_s)
        if at_s is not None and at_s <= now_s:
            self.counted_ml = self.limit_ml
            self._steer(now_s)
        self._now_s = now_s

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def stall(self, now_s: float) -> None:
        """The gas in front of the valve is used up, or its tap is closed."""
        self.world.settle(now_s)
        self.supply = False
        self._steer(now_s)

    def set_mode(self, mode: int, now_s: float) -> None:
        """Somebody turns it at its own switch, or by another line."""
        self.world.settle(now_s)
        self.mode = mode
        self._steer(now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came."""
        self.world.settle(now_s)
        self.setpoint, self.init_reset = 0, LOCKED
        self.mode = 1 if self.io_status & ANALOG else 0
        self._frames.forget()
        self._steer(now_s)

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "leg": self.leg.state(), "flows": self._flows}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.leg, self._flows, self._now_s = leg_of(state["leg"]), state["flows"], now_s


_KEPT = (
    "gas", "texts", "polynomial", "io_status", "init_reset", "mode", "setpoint", "counter_unit", "counter_mode",
    "at_limit", "new_setpoint", "may_reset", "limit_ml", "counted_ml", "batch", "alarms", "supply", "act",
    "passed_ml", "since_s",
)  # fmt: skip
