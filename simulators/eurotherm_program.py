"""The programme of a Eurotherm controller: segments of a ramp, a target and a dwell, run one after another.

It begins at the temperature that the furnace has (servo to process value). On hold its time stands still.
"""

from collections.abc import Mapping, Sequence
from typing import Any

RESET, RUN, HELD, END = range(4)
SEGMENTS = 8


class Program:
    """``segments``: [ramp in K/min (0: a step), target in degC, dwell in min]; ``state`` as register 23 has it."""

    def __init__(self, segments: Sequence[Sequence[float]]) -> None:
        if not 1 <= len(segments) <= SEGMENTS:
            raise ValueError(f"a programme has 1 to {SEGMENTS} segments, not {len(segments)}")
        self._segments = [[float(part) for part in segment] for segment in segments]
        self._segments += [[0.0, 0.0, 0.0] for _ in range(SEGMENTS - len(segments))]
        self.used = len(segments)
        self.state = RESET
        self._from_c = 0.0
        self._began_s = self._held_s = 0.0

    def segment(self, index: int) -> list[float]:
        return self._segments[index]

    def change(self, index: int, which: int, value: float) -> None:
        """``which``: 0 dwell, 1 target, 2 ramp, in the order of the registers."""
        self._segments[index][2 - which] = value
        self.used = max([n + 1 for n, segment in enumerate(self._segments) if any(segment)], default=1)

    def command(self, state: int, temperature_c: float, now_s: float) -> None:
        """Reset, run (from the beginning, or on after a hold) or hold."""
        if state == RUN and self.state == HELD:
            self._began_s += now_s - self._held_s
        elif state == RUN and self.state != RUN:
            self._from_c, self._began_s = temperature_c, now_s
        elif state == HELD:
            if self.state != RUN:
                return
            self._held_s = now_s
        self.state = state

    def setpoint_c(self, now_s: float) -> float:
        """Where it stands; at its end it stays at the last target."""
        elapsed_s = (self._held_s if self.state == HELD else now_s) - self._began_s
        here_c = self._from_c
        for ramp, target_c, dwell_min in self._segments[: self.used]:
            way_s = abs(target_c - here_c) / ramp * 60.0 if ramp else 0.0
            if elapsed_s < way_s:
                return here_c + (target_c - here_c) * elapsed_s / way_s
            elapsed_s -= way_s
            here_c = target_c
            if elapsed_s < dwell_min * 60.0:
                return here_c
            elapsed_s -= dwell_min * 60.0
        return here_c

    def ends_s(self) -> float:
        """When it will have ended, going on as it does."""
        at_s, here_c = self._began_s, self._from_c
        for ramp, target_c, dwell_min in self._segments[: self.used]:
            at_s += (abs(target_c - here_c) / ramp * 60.0 if ramp else 0.0) + dwell_min * 60.0
            here_c = target_c
        return at_s

    def kept(self) -> dict[str, Any]:
        names = ("_segments", "used", "state", "_from_c", "_began_s", "_held_s")
        return {name.lstrip("_"): getattr(self, name) for name in names}

    def restore(self, kept: Mapping[str, Any]) -> None:
        self._segments, self.used, self.state = kept["segments"], kept["used"], kept["state"]
        self._from_c, self._began_s, self._held_s = kept["from_c"], kept["began_s"], kept["held_s"]
