"""What stands behind a simulated temperature controller: a stage on a cold head, a sample on the stage, a PID loop.

    C dT/dt = P - G (T - T_cold)          the stage: heated with P, cooled by the head
    dS/dt = (T - S) / LAG                 the sample follows
    output = gain * (e + reset / 1000 * integral of e)   in percent of the range's power, held between 0 and 100

Time goes in steps of STEP_S on one grid that starts at 0, whoever looks and when: so looking changes nothing. Between
two steps nothing is known; a look gives the last one. When a step changes nothing any more, the rest is skipped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STEP_S = 0.5
CAPACITY_J_K, CONDUCTANCE_W_K, COLD_K, LAG_S = 60.0, 0.15, 4.2, 15.0
STILL = 1e-9


@dataclass(slots=True)
class Loop:
    """What the loop is told: setpoint in K and how fast it gets there (None: at once), PI terms, most power in W.

    ``limits_k``: of stage and sample (0: none); above one of them the power is cut.
    """

    target_k: float = 0.0
    ramp_k_s: float | None = None
    gain: float = 50.0
    reset: float = 20.0
    most_w: float = 0.0
    manual: float = 0.0
    closed: bool = True
    limits_k: tuple[float, float] = (0.0, 0.0)


class Cryostat:
    """Stage and sample at ``start_k``; ``at_s`` is the last moment of the grid that has passed."""

    def __init__(self, start_k: float = COLD_K) -> None:
        self.stage_k = self.sample_k = start_k
        self.setpoint_k = 0.0
        self.percent = 0.0
        self.integral = 0.0
        self.at_s = 0.0
        self.tripped_s: float | None = None  # when a limit cut the power
        self.loop = Loop()

    def aim(self, target_k: float) -> None:
        """From now on towards another setpoint, along the ramp if there is one."""
        self.loop.target_k = target_k
        if self.loop.ramp_k_s is None:
            self.setpoint_k = target_k

    @property
    def ramping(self) -> bool:
        return self.setpoint_k != self.loop.target_k

    def go(self, now_s: float) -> None:
        steps = math.floor((now_s - self.at_s) / STEP_S + 1e-9)
        for n in range(steps):
            before = (self.stage_k, self.sample_k, self.setpoint_k, self.integral)
            self._step()
            if self.tripped_s is None and self.loop.most_w and self._too_hot():
                self.tripped_s, self.loop.most_w = self.at_s + (n + 1) * STEP_S, 0.0
            after = (self.stage_k, self.sample_k, self.setpoint_k, self.integral)
            if all(abs(one - other) < STILL for one, other in zip(before, after, strict=True)):
                break
        self.at_s += steps * STEP_S

    def _too_hot(self) -> bool:
        at_k = (self.stage_k, self.sample_k)
        return any(limit and now > limit for limit, now in zip(self.loop.limits_k, at_k, strict=True))

    def _step(self) -> None:
        loop = self.loop
        if self.ramping:
            most = math.inf if loop.ramp_k_s is None else loop.ramp_k_s * STEP_S
            self.setpoint_k += min(max(loop.target_k - self.setpoint_k, -most), most)
        self.percent = self._output()
        # Exact within a step, at the step's constant power.
        rest_k = COLD_K + self.percent / 100.0 * loop.most_w / CONDUCTANCE_W_K
        self.stage_k = rest_k + (self.stage_k - rest_k) * math.exp(-STEP_S * CONDUCTANCE_W_K / CAPACITY_J_K)
        self.sample_k = self.stage_k + (self.sample_k - self.stage_k) * math.exp(-STEP_S / LAG_S)

    def _output(self) -> float:
        loop = self.loop
        if loop.most_w == 0.0:
            self.integral = 0.0
            return 0.0
        if not loop.closed:
            return min(max(loop.manual, 0.0), 100.0)
        error = self.setpoint_k - self.stage_k
        summed = self.integral + error * STEP_S
        wanted = loop.gain * (error + loop.reset / 1000.0 * summed)
        if 0.0 <= wanted <= 100.0:
            self.integral = summed  # else it would wind up while the heater is at its end
        return min(max(wanted, 0.0), 100.0)

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, kept[name])


_KEPT = ("stage_k", "sample_k", "setpoint_k", "percent", "integral", "at_s")
