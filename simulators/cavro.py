"""Tecan Cavro XCalibur syringe pump with a distribution valve, simulated from the manuals of its family (XLP 6000,
734237-C, and XP 3000, 725730C, chapter 3) and from what matterlab-pumps sends.

Line: 9600 8N1, up to 15 pumps (option ``address``: the switch, 0 to 14; address ``1`` is switch 0), in the protocol, DT
or OEM, that it hears first (cavro_frames.py). ``_`` as address is all of them, which answer nothing. The status
character has bit 5 for ready and an error's number in its low bits.

    Z W Y [force,in,out]  initialize: the plunger to its end, the valve to the output port
    A a [place]  P p D d [steps]  move the plunger (the small letters do not say busy)     I O [port]  turn the valve
    V v c [speed]  L S  K k  N [0|1]  settings     M [ms]  wait     R run     X again     T stop
    ?  place   ?1 ?2 ?3  start, top, cutoff speed   ?4  the encoder   ?6  port   ?10 F  buffer   ?12 K   ?24 k
    ?15 ?16 ?17  initializations, plunger moves, valve moves   ?29 Q  status   & ?23  firmware   ?76  configuration

A string runs when it ends in R; without, it waits in the buffer. What is no command, or stands in the wrong place, is
refused at once (2, 4); a number out of range is found when it is reached (3), and moving before an initialization too
(7): the next Q tells, once. While the plunger moves only reports, T and V are taken, all else is refused (15). T leaves
the rest of the string in the buffer, and R goes on with it. Loops (g, G) and halts (H) are not simulated.

What stands behind it: a plunger of 24 000 microsteps that goes 4 of them for each pulse of V (6000 half-steps a
stroke), and a valve that takes 0.3 s. After power-up the pump believes its plunger to be at 0, wherever it is. Options:
``syringe``; of the simulation ``after``: a string that it has run before.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .cavro_frames import Frames, Message
from .cavro_program import (
    BAD_NUMBER,
    BAD_SEQUENCE,
    BUSY,
    DEFAULTS,
    NO_COMMAND,
    NOT_INITIALIZED,
    PLUNGER,
    PORTS,
    RANGES,
    SPEEDS,
    STROKE,
    Op,
    Wrong,
    parse,
)

FIRMWARE, CONFIGURATION = "30046219 Rev G", "XCalibur, 3-port to 12-port distribution, 24000"
VALVE_S, STAYS_S, FOUND_S = 0.3, 0.05, 1.0
HOMING = 1000.0  # half-steps a second
MICROSTEPS = 4.0  # of a half-step
READY = 0x60


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """What takes time: from when until when, and the plunger's way meanwhile, in microsteps from its end."""

    began_s: float
    until_s: float
    start: float
    goal: float
    act: str = ""

    def at(self, now_s: float) -> float:
        whole_s = self.until_s - self.began_s
        part = min(max((now_s - self.began_s) / whole_s, 0.0), 1.0) if whole_s > 0.0 else 1.0
        return self.start + (self.goal - self.start) * part


class XCalibur:
    """options: address, syringe; of the simulation: after."""

    kind = "serial"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.address = int(options.get("address", 0))
        if not 0 <= self.address <= 14:
            raise ValueError(f"{name}: address = {self.address} must lie between 0 and 14")
        self.syringe_ul = amount(options.get("syringe", "1 mL"), "uL")
        self.settings = dict(DEFAULTS)
        self.plunger, self.port = 0.0, 1
        self.initialized = self.overloaded = False
        self.counts = {"Z": 0, "A": 0, "I": 0}
        self.error = 0
        self.buffer: list[Op] = []
        self.running: list[Op] = []
        self.last: list[Op] = []
        self.moving: Moving | None = None
        self.frames = Frames()
        if after := options.get("after"):
            self._run(parse(f"{after}R"), 0.0)
            self.advance(math.inf)
            world.ledger.entries.clear()
        world.join(self)

    # -- wire --------------------------------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> bytes:
        self.world.settle(now_s)
        heard = (message for byte in data if (message := self.frames.feed(byte)) is not None)
        return b"".join(self._take(message, now_s) for message in heard)

    def _take(self, message: Message, now_s: float) -> bytes:
        if message.address not in (chr(ord("1") + self.address), "_"):
            return b""
        if message.address != "_" and (answer := self.frames.again(message)):
            return answer
        data, error = self._do(message.text, now_s)
        if message.address == "_":
            return b""
        return self.frames.answer((READY ^ 0x20 if self._busy else READY) | error, data)

    def _do(self, text: str, now_s: float) -> tuple[str, int]:
        """The data of the answer and the error it tells."""
        if (said := self._report(text)) is not None:
            return said, self.error
        if text in ("Q", "?29"):
            error, self.error = self.error, 0
            return "", error
        if text == "T":
            self._terminate(now_s)
            return "", self.error
        try:
            self._string(text, now_s)
        except Wrong as wrong:
            self.error = wrong.number
        return "", self.error if self.error in (NO_COMMAND, BAD_SEQUENCE, BUSY) else 0

    def _report(self, text: str) -> str | None:
        setting = {"?1": "v", "?2": "V", "?3": "c", "?12": "K", "?24": "k"}
        if text in setting:
            return str(self.settings[setting[text]])
        values: dict[str, object] = {
            "?": round(self.plunger / self._unit) if self.initialized else 0,
            "?4": round(self.plunger / self._unit),
            "?6": self.port,
            "?10": int(bool(self.buffer)),
            "F": int(bool(self.buffer)),
            "?15": self.counts["Z"],
            "?16": self.counts["A"],
            "?17": self.counts["I"],
            "&": FIRMWARE,
            "?23": FIRMWARE,
            "?76": CONFIGURATION,
        }
        return str(values[text]) if text in values else None

    # -- command strings ---------------------------------------------------------------------------------------------
    @property
    def _unit(self) -> float:
        """Microsteps in one unit of its numbers."""
        return 1.0 if self.settings["N"] else 8.0

    @property
    def _busy(self) -> bool:
        return bool(self.running) and self.running[0].name not in "apd"

    def _string(self, text: str, now_s: float) -> None:
        ops = parse(text)
        names = "".join(op.name for op in ops)
        if self.running:
            if names != "VR":
                raise Wrong(BUSY)
            self._set(ops[0])
        elif names == "R":
            self._run([*self.buffer, *ops], now_s)
        elif names in ("X", "XR"):
            self._run(list(self.last), now_s)
        elif names.endswith("R"):
            self._run(ops, now_s)
        else:
            self.buffer = ops

    def _run(self, ops: list[Op], now_s: float) -> None:
        self.last, self.buffer = ops, []
        self.running = [op for op in ops if op.name != "R"]
        self._next(now_s)

    def _next(self, now_s: float) -> None:
        """Go through what takes no time, and begin what does."""
        while self.running and self.moving is None:
            try:
                self.moving = self._begin(self.running[0], now_s)
            except Wrong as wrong:
                self.error, self.running = wrong.number, []
                return
            if self.moving is None:
                self.running.pop(0)
            elif self.moving.act:
                self.world.ledger.begin(now_s, self.name, self.moving.act, 0.0, "uL")

    def _begin(self, op: Op, now_s: float) -> Moving | None:
        """What a command sets going; None for what is done at once. Raises Wrong."""
        if op.name in "AaPpDd":
            goal = self._target(op)
            self.counts["A"] += 1
            lasts_s = abs(goal - self.plunger) / (self.settings["V"] * MICROSTEPS)
            act = "aspirate" if goal > self.plunger else "dispense"
            return Moving(began_s=now_s, until_s=now_s + lasts_s, start=self.plunger, goal=goal, act=act)
        if op.name in "IO":
            self._may_move()
            if not 1 <= op.number(self.port) <= PORTS:
                raise Wrong(BAD_NUMBER)
            self.counts["I"] += 1
            return self._resting(now_s, STAYS_S if op.number(self.port) == self.port else VALVE_S)
        if op.name in "ZYW":
            if any(number > PORTS for number in op.numbers[1:]) or op.number(0) > 40:
                raise Wrong(BAD_NUMBER)
            self.counts["Z"] += 1
            lasts_s = FOUND_S + VALVE_S + self.plunger / (HOMING * MICROSTEPS)
            return Moving(began_s=now_s, until_s=now_s + lasts_s, start=self.plunger, goal=0.0, act="initialize")
        if op.name == "M":
            return self._resting(now_s, min(op.number(5), 30_000) / 1000.0)
        self._set(op)
        return None

    def _resting(self, now_s: float, lasts_s: float) -> Moving:
        return Moving(began_s=now_s, until_s=now_s + lasts_s, start=self.plunger, goal=self.plunger)

    def _may_move(self) -> None:
        if self.overloaded:
            raise Wrong(PLUNGER)
        if not self.initialized:
            raise Wrong(NOT_INITIALIZED)

    def _target(self, op: Op) -> float:
        self._may_move()
        steps = op.number(0) * self._unit
        goal = steps if op.name in "Aa" else self.plunger + (steps if op.name in "Pp" else -steps)
        if not -0.5 <= goal <= STROKE + 0.5:
            raise Wrong(BAD_NUMBER)
        return min(max(goal, 0.0), float(STROKE))

    def _set(self, op: Op) -> None:
        low, high = RANGES[op.name]
        value = op.number(0)
        if not low <= value <= high or (op.name in "vc" and value > self.settings["V"]):
            raise Wrong(BAD_NUMBER)
        if op.name == "S":
            self.settings["V"] = SPEEDS[value]
        else:
            self.settings[op.name] = value

    # -- time --------------------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return self.moving.until_s if self.moving is not None else None

    def advance(self, now_s: float) -> None:
        while self.moving is not None and self.moving.until_s <= now_s:
            until_s = self.moving.until_s
            self._end(self.running.pop(0), until_s)
            self._next(until_s)
        if self.moving is not None:
            self.plunger = self.moving.at(now_s)

    def _end(self, op: Op, now_s: float) -> None:
        """A command came to its end."""
        self._halt(now_s)
        if op.name in "IO":
            self.port = op.number(self.port)
        elif op.name in "ZYW":
            self.initialized, self.overloaded = True, False
            if len(op.numbers) > 2 and op.numbers[2]:
                self.port = op.numbers[2]

    def _halt(self, now_s: float) -> None:
        """What moves ends where it is."""
        if self.moving is None:
            return
        self.plunger = self.moving.at(now_s)
        if self.moving.act:
            moved_ul = abs(self.plunger - self.moving.start) * self.syringe_ul / STROKE
            self.world.ledger.end(now_s, self.name, self.moving.act, moved_ul, "uL")
        self.moving = None

    def _terminate(self, now_s: float) -> None:
        """Stop the plunger where it is; a valve goes on to its port. The rest waits in the buffer."""
        if not self.running:
            return
        stays = 1 if self.running[0].name in "IO" else 0
        if not stays:
            self._halt(now_s)
        self.buffer, self.running = self.running[stays:], self.running[:stays]

    # -- by hand, and state ------------------------------------------------------------------------------------------
    def stall(self, now_s: float) -> None:
        """The plunger is blocked: what moves stops with error 9, and nothing moves before an initialization."""
        self.world.settle(now_s)
        if self.running and self.running[0].name in "AaPpDd":
            self._halt(now_s)
            self.running = []
            self.error, self.overloaded = PLUNGER, True

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: the plunger stays where it is, and the pump does not know where that is."""
        self.world.settle(now_s)
        self._halt(now_s)
        self.running, self.buffer, self.last = [], [], []
        self.settings = dict(DEFAULTS)
        self.initialized = self.overloaded = False
        self.error = 0
        self.frames.forget()

    def state(self) -> Mapping[str, Any]:
        ops = {name: [op.text for op in getattr(self, name)] for name in _STRINGS}
        kept = {name: getattr(self, name) for name in _KEPT}
        moving = asdict(self.moving) if self.moving is not None else None
        return {**kept, **ops, "moving": moving, "frames": self.frames.state()}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        for name in _STRINGS:
            setattr(self, name, [op for text in state[name] for op in parse(text)])
        self.moving = Moving(**state["moving"]) if state["moving"] is not None else None
        self.frames.restore(state["frames"])


_KEPT = ("address", "settings", "plunger", "port", "initialized", "overloaded", "counts", "error")
_STRINGS = ("buffer", "running", "last")
