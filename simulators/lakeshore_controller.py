"""What a Lake Shore 336 is behind its interface: inputs, outputs, their loops, and what switches them off.

Its manual is named in lakeshore.py, which says what of this a command asks or sets.
"""

from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

from .cryostat import COLD_K, Cryostat
from .lakeshore_kept import INPUTS, KEPT, OUTPUTS

MOST_K = 1505.0
POWER_ON = 128  # of the event register
SHARES = {"0": 0.0, "1": 0.01, "2": 0.1, "3": 1.0}


class Controller:
    """options: serial; of the simulation: start, power."""

    def __init__(self, world: World, name: str, options: Mapping[str, Any]) -> None:
        self.world, self.name = world, name
        self.serial = str(options.get("serial", "LSA1234/#######"))
        self.power_w = amount(options.get("power", 50.0), "W")
        self.cryostat = Cryostat(amount(options.get("start", COLD_K), "K"))
        self.event = POWER_ON
        self.kept = {command: dict.fromkeys(places or " ", first) for command, (places, first) in KEPT.items()}
        self.outmode = {"1": "1,1,0", "2": "1,2,0", "3": "0,0,0", "4": "0,0,0"}
        self.range = dict.fromkeys(OUTPUTS, "0")
        self.setpoint_k = dict.fromkeys("234", 0.0)
        self.pid = {output: (50.0, 20.0, 0.0) for output in OUTPUTS}
        self.ramp = dict.fromkeys(OUTPUTS, (0, 0.0))
        self.manual = dict.fromkeys(OUTPUTS, 0.0)
        self.limit_k = dict.fromkeys(INPUTS, 0.0)
        self.heater = 0  # what HTRST? tells of output 1
        self.now_s = 0.0

    def input_k(self, place: str) -> float | None:
        """What an input reads; None: it has no sensor."""
        return {"A": self.cryostat.stage_k, "B": self.cryostat.sample_k}.get(place)

    def status(self, place: str) -> int:
        value_k = self.input_k(place)
        return 1 if value_k is None else 32 if value_k > MOST_K else 0

    def target(self, output: str) -> float:
        return self.cryostat.setpoint_k if output == "1" else self.setpoint_k[output]

    def set_target(self, output: str, value_k: float) -> None:
        if output == "1":
            self.cryostat.aim(value_k)
        else:
            self.setpoint_k[output] = value_k

    def set_range(self, output: str, value: str, at_s: float | None = None) -> None:
        before, self.range[output] = self.range[output], value
        if output == "1" and (before == "0") != (value == "0"):
            write = self.world.ledger.end if value == "0" else self.world.ledger.begin
            write(self.now_s if at_s is None else at_s, self.name, "hold", self.cryostat.stage_k, "K")
            if value != "0" and self.ramp["1"][0]:
                self.cryostat.setpoint_k = self.cryostat.stage_k  # a ramp starts where the stage is
        self.tell_loop()

    def tell_loop(self) -> None:
        loop, (on, rate) = self.cryostat.loop, self.ramp["1"]
        mode = self.outmode["1"].partition(",")[0]
        heats = mode in ("1", "2", "3") and self.heater == 0
        loop.most_w = self.power_w * SHARES[self.range["1"]] if heats else 0.0
        loop.closed = mode != "3"
        loop.gain, loop.reset, _ = self.pid["1"]
        loop.manual = self.manual["1"]
        loop.limits_k = (self.limit_k["A"], self.limit_k["B"])
        loop.ramp_k_s = rate / 60.0 if on and rate else None

    def stall(self, now_s: float) -> None:
        """The heater's wire breaks: the output goes off, and HTRST? tells of an open load."""
        self.world.settle(now_s)
        self.heater = 1
        self.set_range("1", "0")

    # -- time and state ----------------------------------------------------------------------------------------------
    def due(self, now_s: float) -> float | None:
        return None

    def advance(self, now_s: float) -> None:
        self.cryostat.go(now_s)
        self.now_s = max(self.now_s, now_s)
        if (tripped_s := self.cryostat.tripped_s) is not None:
            self.cryostat.tripped_s = None
            for output in OUTPUTS:
                self.set_range(output, "0", tripped_s)

    def power_cycle(self, now_s: float) -> None:
        """The mains went and came: heaters off, the rest is kept."""
        self.world.settle(now_s)
        for output in OUTPUTS:
            self.set_range(output, "0")
        self.event = POWER_ON

    def reset(self) -> None:
        """*RST: what the interface has set, as after switching on."""
        for output in OUTPUTS:
            self.set_range(output, "0")

    def state(self) -> Mapping[str, Any]:
        return {**{name: getattr(self, name) for name in _KEPT}, "cryostat": self.cryostat.state(),
                "target_k": self.cryostat.loop.target_k}  # fmt: skip

    def restore(self, state: Mapping[str, Any], now_s: float) -> None:
        for name in _KEPT:
            setattr(self, name, state[name])
        self.pid = {output: (p, i, d) for output, (p, i, d) in self.pid.items()}
        self.ramp = {output: (on, rate) for output, (on, rate) in self.ramp.items()}
        self.cryostat.restore(state["cryostat"])
        self.cryostat.loop.target_k = state["target_k"]
        self.tell_loop()


_KEPT = ("event", "kept", "outmode", "range", "setpoint_k", "pid", "ramp", "manual", "limit_k", "heater", "now_s")
