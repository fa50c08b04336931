"""When a step was last known to be at work, and so when it ended at the earliest, where nobody saw it end.

A sample ages from the end of what was done to it (``start_within``). Looks at a step are seconds apart, and when one of
them finds it over, it ended just then. But its line may have been lost for hours, the machine may have slept, or the
runner was dead: what is found to be over after that may have been over all the while. Then it ended, as far as its
sample is concerned, right after it was last seen at work, though not sooner than it takes at the least.
"""

from collections.abc import Mapping
from typing import Any, Final

from labloop.campaign import events as e

from .clock import Clock

# Real seconds, for that is what exchanges take: a look that comes later than this leaves a time at which nobody looked.
# Answers that are asked for again delay one by 2 s and their deadlines.
LATE_S: Final = 5.0


class AtWork:
    """What is known of the steps under way on ``stations``."""

    def __init__(self, stations: Mapping[str, Any], envelope: Any, clock: Clock) -> None:
        self._stations = stations
        self._envelope = envelope
        self._clock = clock
        self._seen_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}  # when somebody looks again

    def seen(self, step: str, again_in_s: float = 0.0) -> None:
        """It is at work now, or may be from now on; the next look is in ``again_in_s``."""
        self._seen_s[step] = self._clock.now_s()
        self._due_s[step] = self._seen_s[step] + again_in_s

    def over(self, begun: e.StepStarted) -> float:
        """When it ended, if a look has just found it over."""
        now_s = self._clock.now_s()
        late = now_s - self._due_s.get(begun.step, begun.t_s) > LATE_S * self._clock.speed
        earliest_s = self.earliest_end(begun)
        return earliest_s if late else round(now_s, 6)

    def earliest_end(self, begun: e.StepStarted) -> float:
        """When it ended at the earliest, if it is over by now; it is forgotten."""
        resolved = self._envelope.resolve(begun.instrument, begun.action, begun.settings)
        least_s: float = self._stations[begun.instrument].declaration.least_s(begun.action, resolved)
        seen_s = self._seen_s.pop(begun.step, begun.t_s)
        self._due_s.pop(begun.step, None)
        return round(min(max(seen_s, begun.t_s + least_s), self._clock.now_s()), 6)
