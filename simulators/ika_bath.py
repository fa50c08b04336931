"""The heat behind a hotplate: a plate and a medium on it, in closed form, so that leaps of any length are exact.

The plate P is either steered (towards a set temperature: up along a ramp, down by cooling, then held) or it cools:
dP/dt = (room - P) / COOLING_S. The medium follows: dM/dt = (P - M) / LAG_S. What is known is where the present course
began (time, P, M); every temperature is computed from there, so looking at it in between changes nothing.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ROOM_C = 22.0
RAMP_K_S = 5.0 / 60.0
COOLING_S = 600.0
LAG_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A stretch with one law: P(t) = a + b t + c exp(-t / COOLING_S), M follows. t runs from ``began_s``."""

    began_s: float
    length_s: float
    a: float
    b: float
    c: float
    medium_c: float

    def plate(self, at_s: float) -> float:
        t = at_s - self.began_s
        return self.a + self.b * t + self.c * math.exp(-t / COOLING_S)

    def medium(self, at_s: float) -> float:
        t = at_s - self.began_s
        return self._forced(t) + (self.medium_c - self._forced(0.0)) * math.exp(-t / LAG_S)

    def _forced(self, t: float) -> float:
        follow = COOLING_S / (COOLING_S - LAG_S)
        return self.a + self.b * (t - LAG_S) + self.c * follow * math.exp(-t / COOLING_S)


class Bath:
    """Plate and medium, both at the temperature of the room at first."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._plate_c = self._medium_c = ROOM_C
        self._goal_c: float | None = None

    def steer(self, now_s: float, goal_c: float | None) -> None:
        """From now on heat to ``goal_c``; None: the heater is off."""
        if goal_c == self._goal_c:
            return
        plate_c, medium_c = self.plate_c(now_s), self.medium_c(now_s)
        self._began_s, self._plate_c, self._medium_c, self._goal_c = now_s, plate_c, medium_c, goal_c

    def plate_c(self, at_s: float) -> float:
        return self._leg(at_s).plate(at_s)

    def medium_c(self, at_s: float) -> float:
        return self._leg(at_s).medium(at_s)

    def hottest_c(self, from_s: float, to_s: float) -> float:
        """The medium's highest temperature between two moments, exactly."""
        hottest = max(self.medium_c(from_s), self.medium_c(to_s))
        for leg in self._legs():
            low, high = max(from_s, leg.began_s), min(to_s, leg.began_s + leg.length_s)
            # The medium rises as long as the plate is hotter; within a leg that ends at most once.
            if low < high and leg.plate(low) > leg.medium(low) and leg.plate(high) < leg.medium(high):
                for _ in range(60):
                    middle = 0.5 * (low + high)
                    if leg.plate(middle) > leg.medium(middle):
                        low = middle
                    else:
                        high = middle
                hottest = max(hottest, leg.medium(low))
        return hottest

    def _leg(self, at_s: float) -> Leg:
        leg = None
        for leg in self._legs():
            if at_s < leg.began_s + leg.length_s:
                break
        assert leg is not None
        return leg

    def _legs(self) -> Iterator[Leg]:
        """At most two: on the way to the goal, and there for ever."""
        start, plate, goal = self._began_s, self._plate_c, self._goal_c
        medium = self._medium_c
        if goal is None:
            yield _cooling(start, math.inf, plate, medium)
            return
        if goal > plate:
            first = Leg(began_s=start, length_s=(goal - plate) / RAMP_K_S, a=plate, b=RAMP_K_S, c=0.0, medium_c=medium)
        else:
            cools = goal > ROOM_C and plate > ROOM_C
            length = COOLING_S * math.log((plate - ROOM_C) / (goal - ROOM_C)) if cools else math.inf
            first = _cooling(start, length, plate, medium)
        yield first
        if not math.isinf(first.length_s):
            there = start + first.length_s
            yield Leg(began_s=there, length_s=math.inf, a=goal, b=0.0, c=0.0, medium_c=first.medium(there))

    def state(self) -> dict[str, Any]:
        return {
            "began_s": self._began_s,
            "plate_c": self._plate_c,
            "medium_c": self._medium_c,
            "goal_c": self._goal_c,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        self._began_s, self._plate_c = kept["began_s"], kept["plate_c"]
        self._medium_c, self._goal_c = kept["medium_c"], kept["goal_c"]


def _cooling(start_s: float, length_s: float, plate_c: float, medium_c: float) -> Leg:
    return Leg(began_s=start_s, length_s=length_s, a=ROOM_C, b=0.0, c=plate_c - ROOM_C, medium_c=medium_c)
