"""The spectrometer Z0, behind ZMQ in LECO framing: one ROUTER that is Coordinator N1 and actor N1.spectrometer in one.

    request  00 | receiver | sender   | 16 B conversation, 3 B message, 01 | {"jsonrpc":"2.0","id":1,"method":M,...}
    answer   00 | sender   | receiver | the same 20 B | {"id":1,"result":R,"jsonrpc":"2.0"} | additional frames

COORDINATOR (or N1.COORDINATOR): sign_in (first of all, sender without namespace), sign_out, pong, rpc.discover,
send_local_components, send_global_components, send_nodes. Before signing in all is refused with -32090 and id null.

N1.spectrometer: pong, rpc.discover, and

    get_parameters {"parameters": [name, ...]}      -> {name: value}
    set_parameters {"parameters": {name: value}}    -> null
        serial_number, model, firmware, wavelengths (nm), rinse_time_s, rinse_volume_ml, waste_ml, state: read only
        integration_time_ms (1 to 10000), lamp ("on", "off")
    call_action {"action": A, "kwargs": {...}}      (or "args": the act id as the one positional argument)

    A         kwargs                      result
    measure   act, [integration_time_ms]  REPORT, at once, state "running"; lasts the integration + 50 ms
    rinse     act                         REPORT, at once, state "running"; lasts rinse_time_s
    stop      -                           REPORT of the act cut short; null when nothing ran
    last_act  [act]                       REPORT of that act, or of the last one begun; null when there is none
    spectrum  act                         {"act", "wavelengths": n, "length": bytes, "sha256"} and one additional frame:
                                          float64 little-endian, n wavelengths (nm), then n absorbances

    REPORT    {"act": id, "action": "measure" | "rinse", "state": "running" | "done" | "stopped", "elapsed_s": s,
               "duration_s": s, "result": null | {"wavelengths", "length", "sha256", "integration_time_ms"}
               | {"waste_ml"}}

An act id is 32 lower-case hex digits. An id that was begun is answered with its report and never done again, also after
a reconnect. Errors: -32601 (method), -32602 "TypeError: ..." or "ValueError: ..." (arguments), -32603
"AttributeError: name" (action, parameter), -32000 "Busy: ...", "NotReady: ...", "UnknownAct: ...", "NoSpectrum: ...",
"LampOff: ...".
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from labloop.simulation import spectra
from labloop.simulation.world import World

from .leco import INTERNAL_ERROR, INVALID_PARAMS, SERVER_ERROR, Coordinator, Message, Refused, WithFrames

OVERHEAD_S = 0.05
RINSE_TIME_S, RINSE_VOLUME_ML = 20.0, 2.0
INTEGRATION_MS = (1.0, 10000.0)
ACTS_KEPT, SPECTRA_KEPT = 200, 20
_READ_ONLY = (
    "serial_number",
    "model",
    "firmware",
    "wavelengths",
    "rinse_time_s",
    "rinse_volume_ml",
    "waste_ml",
    "state",
)


class Spectrometer:
    """options: serial."""

    kind = "message"

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "Z0-0001"))
        self.integration_time_ms, self.lamp = 100.0, "on"
        self.waste_ml = 0.0
        self.acts: dict[str, dict[str, Any]] = {}  # id -> report and began_s, in the order begun
        self.spectra: dict[str, bytes] = {}
        self.running: str | None = None
        self.now_s = 0.0
        methods = {
            "get_parameters": self._get_parameters,
            "set_parameters": self._set_parameters,
            "call_action": self._call_action,
        }
        self.coordinator = Coordinator("N1", "spectrometer", methods, world.speed)
        world.join(self)

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[Message]:
        self.world.settle(now_s)
        return self.coordinator.receive(peer, frames, now_s)

    # -- parameters --------------------------------------------------------------------------------------------------
    def _get_parameters(self, params: dict[str, Any]) -> dict[str, Any]:
        names = params.get("parameters")
        if set(params) != {"parameters"} or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise Refused(INVALID_PARAMS, "TypeError: parameters must be a list of names")
        state = (
            {"measure": "measuring", "rinse": "rinsing"}[self.acts[self.running]["action"]] if self.running else "idle"
        )
        values = {
            "serial_number": self.serial,
            "model": "Z0 fibre spectrometer",
            "firmware": "1.0",
            "integration_time_ms": self.integration_time_ms,
            "lamp": self.lamp,
            "wavelengths": spectra.WAVELENGTHS_NM.tolist(),
            "rinse_time_s": RINSE_TIME_S,
            "rinse_volume_ml": RINSE_VOLUME_ML,
            "waste_ml": round(self.waste_ml, 6),
            "state": state,
        }
        for name in names:
            if name not in values:
                raise Refused(INTERNAL_ERROR, f"AttributeError: {name}")
        return {name: values[name] for name in names}

    def _set_parameters(self, params: dict[str, Any]) -> None:
        wanted = params.get("parameters")
        if set(params) != {"parameters"} or not isinstance(wanted, dict):
            raise Refused(INVALID_PARAMS, "TypeError: parameters must be an object")
        for name in wanted:
            if name not in ("integration_time_ms", "lamp"):
                raise Refused(INTERNAL_ERROR, f"AttributeError: {name}")
        integration_ms = _integration(wanted.get("integration_time_ms", self.integration_time_ms))
        lamp = wanted.get("lamp", self.lamp)
        if lamp not in ("on", "off"):
            raise Refused(INVALID_PARAMS, f"ValueError: lamp = {lamp!r} is neither on nor off")
        self._idle_only()
        self.integration_time_ms, self.lamp = integration_ms, lamp

    # -- actions -----------------------------------------------------------------------------------------------------
    def _call_action(self, params: dict[str, Any]) -> Any:
        action, args, kwargs = params.get("action"), params.get("args") or [], params.get("kwargs") or {}
        if set(params) - {"action", "args", "kwargs"} or not isinstance(args, list) or not isinstance(kwargs, dict):
            raise Refused(INVALID_PARAMS, "TypeError: call_action takes action, args and kwargs")
        takes = {
            "measure": ("act", "integration_time_ms"),
            "rinse": ("act",),
            "stop": (),
            "last_act": ("act",),
            "spectrum": ("act",),
        }
        if not isinstance(action, str) or action not in takes:
            raise Refused(INTERNAL_ERROR, f"AttributeError: {action}")
        names = takes[action]
        if len(args) > len(names[:1]) or (args and "act" in kwargs) or set(kwargs) - set(names):
            raise Refused(INVALID_PARAMS, f"TypeError: {action} takes {', '.join(names) or 'nothing'}")
        given = dict(zip(names, args, strict=False)) | kwargs
        act = given.get("act")
        needed = "act" in names and not (action == "last_act" and act is None)
        if needed and not (isinstance(act, str) and re.fullmatch(r"[0-9a-f]{32}", act)):
            raise Refused(INVALID_PARAMS, f"ValueError: act = {act!r} is not 32 lower-case hex digits")
        if action == "stop":
            return self._stop()
        if action == "last_act":
            return self._report(act if act is not None else next(reversed(self.acts), ""))
        if action == "spectrum":
            return self._spectrum(str(act))
        integration_ms = _integration(given.get("integration_time_ms", self.integration_time_ms))
        return self._begin("measure" if action == "measure" else "rinse", str(act), integration_ms)

    def _idle_only(self) -> None:
        if self.running is not None:
            raise Refused(SERVER_ERROR, f"Busy: act {self.running} ({self.acts[self.running]['action']}) is running")

    def _begin(self, action: Literal["measure", "rinse"], act: str, integration_ms: float) -> dict[str, Any] | None:
        if (known := self.acts.get(act)) is not None:
            if known["action"] != action:
                raise Refused(INVALID_PARAMS, f"ValueError: act {act} is a {known['action']}")
            return self._report(act)
        self._idle_only()
        if action == "measure" and self.lamp != "on":
            raise Refused(SERVER_ERROR, "LampOff: nothing can be measured without light")
        self.acts[act] = {
            "action": action,
            "state": "running",
            "began_s": self.now_s,
            "elapsed_s": 0.0,
            "duration_s": round(integration_ms / 1e3 + OVERHEAD_S, 6) if action == "measure" else RINSE_TIME_S,
            "integration_time_ms": integration_ms,
            "result": None,
        }
        self.running = act
        while len(self.acts) > ACTS_KEPT:
            self.acts.pop(next(iter(self.acts)))
        self.world.ledger.begin(self.now_s, self.name, action, 0.0, "ms" if action == "measure" else "mL")
        return self._report(act)

    def _report(self, act: str) -> dict[str, Any] | None:
        if (kept := self.acts.get(act)) is None:
            return None
        elapsed_s = self.now_s - kept["began_s"] if kept["state"] == "running" else kept["elapsed_s"]
        return {
            "act": act,
            "action": kept["action"],
            "state": kept["state"],
            "elapsed_s": round(elapsed_s, 6),
            "duration_s": kept["duration_s"],
            "result": kept["result"],
        }

    def _stop(self) -> dict[str, Any] | None:
        if (act := self.running) is None:
            return None
        self._end(act, "stopped")
        return self._report(act)

    def _spectrum(self, act: str) -> WithFrames:
        if (kept := self.acts.get(act)) is None:
            raise Refused(SERVER_ERROR, f"UnknownAct: {act}")
        if kept["state"] == "running":
            raise Refused(SERVER_ERROR, f"NotReady: act {act} is running")
        if (frame := self.spectra.get(act)) is None:
            why = "is a rinse" if kept["action"] == "rinse" else "was stopped"
            if kept["action"] == "measure" and kept["state"] == "done":
                why = "is no longer kept"
            raise Refused(SERVER_ERROR, f"NoSpectrum: act {act} {why}")
        result = kept["result"]
        return WithFrames(
            {"act": act, **{name: result[name] for name in ("wavelengths", "length", "sha256")}}, (frame,)
        )

    def _end(self, act: str, state: Literal["done", "stopped"]) -> None:
        kept = self.acts[act]
        kept["state"], self.running = state, None
        kept["elapsed_s"] = kept["duration_s"] if state == "done" else self.now_s - kept["began_s"]
        part = kept["elapsed_s"] / kept["duration_s"]
        if kept["action"] == "rinse":
            self.world.sample.rinse(part if state == "stopped" else 1.0)
            used_ml = RINSE_VOLUME_ML * part
            self.waste_ml += used_ml
            kept["result"] = {"waste_ml": round(used_ml, 6)}
            self.world.ledger.end(self.now_s, self.name, "rinse", used_ml, "mL")
            return
        integration_ms = kept["integration_time_ms"]
        if state == "done":
            absorbance = self.world.sample.measure(self.now_s, integration_ms)
            frame = np.concatenate([spectra.WAVELENGTHS_NM, absorbance]).astype("<f8").tobytes()
            kept["result"] = {
                "wavelengths": len(spectra.WAVELENGTHS_NM),
                "length": len(frame),
                "sha256": hashlib.sha256(frame).hexdigest(),
                "integration_time_ms": integration_ms,
            }
            self.spectra[act] = frame
            while len(self.spectra) > SPECTRA_KEPT:
                self.spectra.pop(next(iter(self.spectra)))
        self.world.ledger.end(self.now_s, self.name, "measure", integration_ms if state == "done" else 0.0, "ms")

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        if self.running is None:
            return None
        kept = self.acts[self.running]
        return float(kept["began_s"] + kept["duration_s"])

    def advance(self, now_s: float) -> None:
        if self.running is not None and (ends_s := self.due(now_s)) is not None and ends_s <= now_s:
            self.now_s = ends_s
            self._end(self.running, "done")
        self.now_s = max(self.now_s, now_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: what ran is cut short, nobody is signed in, settings are as at first."""
        self.world.settle(now_s)
        self._stop()
        self.integration_time_ms, self.lamp = 100.0, "on"
        self.coordinator.forget()

    def state(self) -> Mapping[str, Any]:
        kept = {name: getattr(self, name) for name in _KEPT}
        kept["acts"] = [[act, dict(report)] for act, report in self.acts.items()]
        kept["spectra"] = [[act, base64.b64encode(frame).decode()] for act, frame in self.spectra.items()]
        return kept

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.acts = {act: dict(report) for act, report in state["acts"]}
        self.spectra = {act: base64.b64decode(frame) for act, frame in state["spectra"]}


_KEPT = ("integration_time_ms", "lamp", "waste_ml", "running", "now_s")


def _integration(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not INTEGRATION_MS[0] <= value <= INTEGRATION_MS[1]
    ):
        raise Refused(INVALID_PARAMS, f"ValueError: integration_time_ms = {value!r} must lie between 1 and 10000")
    return float(value)
