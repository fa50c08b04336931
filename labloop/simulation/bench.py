"""A whole simulated bench in one process, built from a plan.

A plan is plain data (it travels as JSON to a process that serves it):

    {"instruments": {name: {"simulator": "simulators.new_era:NE1000", "port": "serial:///dev/...?baud=19200",
                            "options": {"address": 0, "syringe": {...}, "stock": "10 mL"}}},
     "root": "/the/lab", "sample": {"response": "/the/lab/agnp.csv", "inputs": [...], "output": "spectrum_loss"},
     "seed": 7, "speed": 60, "faults": null, "ledger": null}

``root`` goes last on sys.path, so that ``simulators.new_era`` is found. Serial instruments with the same port stand on
one line. To drive a bench with no port at all, on a clock of your own:

    bench = SimulatedBench(plan, clock)
    answer = bench.lines[port].receive(b"0RUN\\r", clock.now_s())            # serial: bytes in, bytes out
    messages = bench.lines[port].receive(peer, frames, clock.now_s())        # message: (peer, frames) out

and to let time pass under a VirtualClock: ``at_s = bench.due(clock.now_s())`` says when the bench next does something
of its own accord (None: never); go to the earlier of that and your own next moment with ``clock.advance_to(...)`` and
call ``bench.settle(clock.now_s())``; ``line.receive(b"", now_s)`` gives what it has sent unasked. Leaps may be of any
length: everything that was due in between happens at its own moment.
"""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from .device import MessageDevice, SerialDevice
from .faults import Faults, FaultyMessageLine, FaultySerialLine, parse_faults
from .ledger import Ledger
from .sample import Sample, read_chemistry
from .world import World


class Clock(Protocol):
    @property
    def speed(self) -> float: ...
    def now_s(self) -> float: ...


class SerialLine:
    """One serial line with all the devices on it: each hears every byte, and what they say arrives as one stream."""

    kind = "serial"

    def __init__(self, devices: Mapping[str, SerialDevice]) -> None:
        self.devices = dict(devices)

    def receive(self, data: bytes, now_s: float) -> bytes:
        return b"".join(device.receive(data, now_s) for device in self.devices.values())

    def due(self, now_s: float) -> float | None:
        return earliest(device.due(now_s) for device in self.devices.values())


class MessageLine:
    """One socket with the one device behind it."""

    kind = "message"

    def __init__(self, name: str, device: MessageDevice) -> None:
        self.devices = {name: device}
        self._device = device

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[tuple[bytes, list[bytes]]]:
        return self._device.receive(peer, frames, now_s)

    def due(self, now_s: float) -> float | None:
        return self._device.due(now_s)


def earliest(times: Iterable[float | None]) -> float | None:
    """The smallest of some times, leaving out None; None when there is none."""
    return min((at_s for at_s in times if at_s is not None), default=None)


class SimulatedBench:
    """``devices``: by instrument name. ``lines``: by port as the plan writes it. ``names``: a port's instruments."""

    def __init__(self, plan: Mapping[str, Any], clock: Clock) -> None:
        """Raises ValueError with the instrument's name for a simulator that cannot be found or built."""
        self.clock = clock
        root = plan.get("root")
        if root is not None and str(root) not in sys.path:
            sys.path.append(str(root))
        instruments: Mapping[str, Mapping[str, Any]] = plan["instruments"]
        seed = int(plan.get("seed") or 0)
        sample = plan.get("sample")
        chemistry = read_chemistry(sample, list(instruments)) if sample else None
        self.ledger = Ledger(plan.get("ledger"))
        self.world = World(Sample(chemistry, seed), self.ledger, speed=clock.speed, seed=seed)
        self.devices: dict[str, Any] = {}
        self.names: dict[str, list[str]] = {}
        for name, given in instruments.items():
            if given.get("simulator"):
                self.devices[name] = self._device(name, given)
                self.names.setdefault(str(given["port"]), []).append(name)
        self.faults = Faults(parse_faults(plan.get("faults")), seed)
        self.lines: dict[str, Any] = {port: self._line(port, names) for port, names in self.names.items()}

    def _device(self, name: str, given: Mapping[str, Any]) -> Any:
        made = load_simulator(name, given["simulator"])
        try:
            return made(self.world, name, dict(given.get("options") or {}))
        except Exception as error:  # whatever a simulator stumbles over, its instrument is named
            said = str(error) if isinstance(error, ValueError) else f"{given['simulator']} errs: {error!r}"
            raise ValueError(said if said.startswith(f"{name}: ") else f"{name}: {said}") from error

    def _line(self, port: str, names: Sequence[str]) -> Any:
        kinds = {self.devices[name].kind for name in names}
        alone = f". Give each a line of its own, like port: sim:{names[-1]}" if port == "sim:" else ""
        if kinds == {"message"} and len(names) == 1:
            return FaultyMessageLine(MessageLine(names[0], self.devices[names[0]]), self.faults, self.world.speed)
        if kinds != {"serial"}:
            raise ValueError(
                f"{' and '.join(names)} cannot share the port {port}: only serial instruments share a line{alone}"
            )
        addresses = [getattr(self.devices[name], "address", None) for name in names]
        if len(set(addresses)) < len(addresses):
            raise ValueError(f"{' and '.join(names)} on {port} have the same address{alone or ': give each its own'}")
        return FaultySerialLine(SerialLine({name: self.devices[name] for name in names}), self.faults, self.world.speed)

    def due(self, now_s: float) -> float | None:
        """When the bench next does something of its own accord."""
        return earliest(line.due(now_s) for line in self.lines.values())

    def settle(self, now_s: float) -> None:
        """Let everything happen that was due until ``now_s``."""
        self.world.settle(now_s)

    def fills(self, name: str) -> bool:
        """Whether this instrument holds what a person fills."""
        return callable(getattr(self.devices.get(name), "refill", None))

    def refill(self, name: str, volume_ul: float) -> None:
        """A person fills (or empties) this instrument: so much stands in it now. Raises ValueError where none does."""
        if not self.fills(name):
            raise ValueError(f"{name} is nothing that can be refilled")
        self.settle(self.clock.now_s())
        self.devices[name].refill(volume_ul)

    def state(self) -> dict[str, Any]:
        """All that outlives a process, as plain JSON values."""
        now_s = self.clock.now_s()
        self.settle(now_s)
        return {
            "at_s": now_s,
            "sample": self.world.sample.state(),
            "devices": {name: dict(device.state()) for name, device in self.devices.items()},
            "faults": self.faults.state(),
            "lines": {port: line.state() for port, line in self.lines.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved bench; the clock must start at its ``at_s`` (time stood still while nobody simulated it)."""
        self.world.sample.restore(state["sample"])
        if "faults" in state:  # benches saved before faults went on from where they were have none
            self.faults.restore(state["faults"])
        for port, kept in state.get("lines", {}).items():
            self.lines[port].restore(kept)
        for name, device in self.devices.items():
            if name in state["devices"]:
                # What an earlier version had no word for stands as it does in a new device.
                begun = json.loads(json.dumps(device.state()))
                device.restore({**begun, **state["devices"][name]}, state["at_s"])

    def close(self) -> None:
        self.ledger.close()


def load_simulator(name: str, simulator: str) -> Any:
    """The class that ``module:Class`` names. Raises ValueError naming the instrument."""
    module, _, attribute = simulator.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ValueError(
            f"{name}: simulator {simulator!r} cannot be loaded ({error!r}); write module:Class, with the module's "
            f"folder in the lab's root"
        ) from error
