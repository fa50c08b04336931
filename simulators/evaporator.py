"""A thermal evaporator behind LECO, as pyleco's Actor offers any Python object: attributes and methods by their names.

    get_parameters / set_parameters
        idn, serial_number                     who it is, read only
        starts                                 how often it was started, read only
        temperature_c, setpoint_c (20 to 300), heater (true, false)         the substrate's holder
        state ("idle", "depositing", "error"), rate_nm_s, deposited_nm      the film, read only; since it was started
        shutter.open                           read only, an attribute of an attribute
    call_action
        deposit {"thickness_nm": 1 to 500}     opens the shutter until so much is there; answers at once
        stop {}                                shuts it
        spectrum {"points": n}                 the film's transmission from 400 to 800 nm, as a list
        clear {}                               deposited_nm is 0 again

As pyleco does it: an attribute that is not there is -32603 with "AttributeError: ...", a value that is not taken -32603
with "ValueError: ...", an argument that is not known "TypeError: ...". Nobody remembers a call.

The holder follows its setpoint with a time constant of a minute, in closed form.

options: ``serial``; of the simulation: ``start`` (temperature).
"""

import math
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .leco import INTERNAL_ERROR, Coordinator, Message, Refused

RATE_NM_S = 0.5
SETTLES_S = 60.0
ROOM_C = 22.0
SETPOINTS_C, THICKNESS_NM = (20.0, 300.0), (1.0, 500.0)
_READ_ONLY = ("idn", "starts", "serial_number", "temperature_c", "state", "rate_nm_s", "deposited_nm", "shutter.open")
_KEPT = (
    "starts", "setpoint_c", "heater", "deposited_nm", "before_nm", "left_nm", "now_s", "_from_c", "_since_s", "broken",
)  # fmt: skip


class Evaporator:
    """options: serial; of the simulation: start."""

    kind = "message"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "0042"))
        self.setpoint_c, self.heater = ROOM_C, False
        self._from_c, self._since_s = amount(options.get("start", ROOM_C), "degC"), 0.0
        self.deposited_nm = self.left_nm = self.before_nm = 0.0
        self.broken = False
        self.starts = 1
        self.now_s = 0.0
        methods = {
            "get_parameters": self._get_parameters,
            "set_parameters": self._set_parameters,
            "call_action": self._call_action,
        }
        self.coordinator = Coordinator("N1", "evaporator", methods, world.speed)
        world.join(self)

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[Message]:
        self.world.settle(now_s)
        return self.coordinator.receive(peer, frames, now_s)

    # -- parameters --------------------------------------------------------------------------------------------------
    def _values(self) -> dict[str, Any]:
        return {
            "idn": f"EVAPORATOR 3, S/N {self.serial}",
            "serial_number": self.serial,
            "starts": self.starts,
            "temperature_c": round(self.temperature_c(), 4),
            "setpoint_c": self.setpoint_c,
            "heater": self.heater,
            "state": "error" if self.broken else "depositing" if self.left_nm > 0 else "idle",
            "rate_nm_s": RATE_NM_S if self.left_nm > 0 else 0.0,
            "deposited_nm": round(self.deposited_nm, 6),
            "shutter.open": self.left_nm > 0,
        }

    def _get_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        values, names = self._values(), params.get("parameters")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Refused(INTERNAL_ERROR, "TypeError: parameters is no list of names")
        for name in names:
            if name not in values:
                raise Refused(INTERNAL_ERROR, f"AttributeError: 'Evaporator' object has no attribute {name!r}")
        return {name: values[name] for name in names}

    def _set_parameters(self, params: dict[str, Any]) -> None:
        wanted = params.get("parameters")
        if not isinstance(wanted, dict):
            raise Refused(INTERNAL_ERROR, "TypeError: parameters is no object")
        for name, value in wanted.items():  # one after the other: those before a wrong one are set
            if name == "setpoint_c":
                if not _is_number(value) or not SETPOINTS_C[0] <= value <= SETPOINTS_C[1]:
                    raise Refused(INTERNAL_ERROR, f"ValueError: setpoint_c = {value!r}")
                self._turn(float(value), self.heater)
            elif name == "heater":
                if not isinstance(value, bool):
                    raise Refused(INTERNAL_ERROR, f"ValueError: heater = {value!r}")
                self._turn(self.setpoint_c, value)
            else:
                why = "can't set attribute" if name in _READ_ONLY else f"'Evaporator' object has no attribute {name!r}"
                raise Refused(INTERNAL_ERROR, f"AttributeError: {why}")

    # -- actions -----------------------------------------------------------------------------------------------------
    def _call_action(self, params: dict[str, Any]) -> Any:
        action, kwargs = params.get("action"), params.get("kwargs") or {}
        takes = {"deposit": {"thickness_nm"}, "spectrum": {"points"}, "stop": set(), "clear": set()}
        if not isinstance(action, str) or action not in takes:
            raise Refused(INTERNAL_ERROR, f"AttributeError: 'Evaporator' object has no attribute {action!r}")
        if params.get("args") or not isinstance(kwargs, dict) or set(kwargs) != takes[action]:
            names = ", ".join(sorted(takes[action])) or "nothing"
            raise Refused(INTERNAL_ERROR, f"TypeError: {action}() takes {names}")
        if action == "deposit":
            self._deposit(kwargs["thickness_nm"])
        elif action == "stop":
            self._shut()
        elif action == "clear":
            self.before_nm -= self.deposited_nm
            self.deposited_nm = 0.0
        else:
            return self._spectrum(kwargs["points"])
        return None

    def _deposit(self, thickness_nm: Any) -> None:
        if not _is_number(thickness_nm) or not THICKNESS_NM[0] <= thickness_nm <= THICKNESS_NM[1]:
            raise Refused(INTERNAL_ERROR, f"ValueError: thickness_nm = {thickness_nm!r}")
        if self.left_nm > 0 or self.broken:
            raise Refused(INTERNAL_ERROR, f"RuntimeError: it is {self._values()['state']}")
        self.left_nm, self.before_nm = float(thickness_nm), self.deposited_nm
        self.world.ledger.begin(self.now_s, self.name, "deposit", 0.0, "nm")

    def _shut(self) -> None:
        if self.left_nm > 0:
            self.left_nm = 0.0
            self.world.ledger.end(self.now_s, self.name, "deposit", self.deposited_nm - self.before_nm, "nm")

    def _spectrum(self, points: object) -> list[float]:
        """Absorption over the film's thickness (20 nm to 1/e), and the fringes of its two faces."""
        if not isinstance(points, int) or not 2 <= points <= 2000:
            raise Refused(INTERNAL_ERROR, f"ValueError: points = {points!r}")
        waves = [400.0 + 400.0 * n / (points - 1) for n in range(points)]
        faces = [0.95 + 0.05 * math.cos(4.0 * math.pi * 1.8 * self.deposited_nm / wave) for wave in waves]
        return [round(math.exp(-self.deposited_nm / 20.0 * 400.0 / wave) * face, 6)
                for wave, face in zip(waves, faces, strict=True)]  # fmt: skip

    # -- the holder --------------------------------------------------------------------------------------------------
    def temperature_c(self) -> float:
        aim_c = self.setpoint_c if self.heater else ROOM_C
        return aim_c + (self._from_c - aim_c) * math.exp(-(self.now_s - self._since_s) / SETTLES_S)

    def _turn(self, setpoint_c: float, heater: bool) -> None:
        self._from_c, self._since_s = self.temperature_c(), self.now_s
        if heater != self.heater:
            write = self.world.ledger.begin if heater else self.world.ledger.end
            write(self.now_s, self.name, "heat", self._from_c, "degC")
        self.setpoint_c, self.heater = setpoint_c, heater

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return self.now_s + self.left_nm / RATE_NM_S if self.left_nm > 0 else None

    def advance(self, now_s: float) -> None:
        if self.left_nm > 0:
            ends_s = self.now_s + self.left_nm / RATE_NM_S
            grown_nm = self.left_nm if ends_s <= now_s else max(now_s - self.now_s, 0.0) * RATE_NM_S
            self.deposited_nm += grown_nm
            self.left_nm -= grown_nm
            if ends_s <= now_s:
                self.left_nm = 0.0
                self.now_s = ends_s
                self.world.ledger.end(ends_s, self.name, "deposit", self.deposited_nm - self.before_nm, "nm")
        self.now_s = max(self.now_s, now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: shutter shut, heater off, its counter at 0, nobody signed in."""
        self.world.settle(now_s)
        self._shut()
        self.starts += 1
        self.before_nm -= self.deposited_nm
        self.deposited_nm = 0.0
        self._turn(ROOM_C, False)
        self.coordinator.forget()

    def state(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
