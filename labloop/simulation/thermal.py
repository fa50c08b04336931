"""Things that warm and cool, in closed form: what a body's temperature is at any time, however often it is asked.

A leg begins when somebody changes something and says where the temperature goes from there: towards ``goal_c``, at most
``up_k_s`` and ``down_k_s`` fast, and within its last stretch with the time constant ``tau_s``:

    far away      dT/dt = +up or -down            (the heater's or the cooler's power is the limit)
    near          dT/dt = (goal - T) / tau        (the controller takes its power back)

The two meet where they are equally steep, so nothing overshoots.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ROOM_C = 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One stretch of a temperature's history, from ``began_s`` on."""

    began_s: float
    start_c: float
    goal_c: float
    tau_s: float
    up_k_s: float = math.inf
    down_k_s: float = math.inf

    def at(self, now_s: float) -> float:
        """The temperature at a time after the leg began."""
        elapsed_s, gap_k = max(now_s - self.began_s, 0.0), self.goal_c - self.start_c
        rate_k_s = self.up_k_s if gap_k > 0.0 else self.down_k_s
        near_k = rate_k_s * self.tau_s
        if abs(gap_k) <= near_k:
            return self.goal_c - gap_k * math.exp(-elapsed_s / self.tau_s)
        far_s = (abs(gap_k) - near_k) / rate_k_s
        if elapsed_s < far_s:
            return self.start_c + math.copysign(rate_k_s * elapsed_s, gap_k)
        return self.goal_c - math.copysign(near_k * math.exp(-(elapsed_s - far_s) / self.tau_s), gap_k)

    def state(self) -> dict[str, Any]:
        """Plain JSON values; an infinite rate is None there."""
        return {key: None if math.isinf(value) else value for key, value in asdict(self).items()}


def leg_of(kept: Mapping[str, Any]) -> Leg:
    """The leg that ``state()`` gave."""
    return Leg(**{key: math.inf if value is None else value for key, value in kept.items()})


def resting(at_s: float = 0.0, temperature_c: float = ROOM_C, *, tau_s: float) -> Leg:
    """Left alone: it relaxes to the room's temperature."""
    return Leg(began_s=at_s, start_c=temperature_c, goal_c=ROOM_C, tau_s=tau_s)
