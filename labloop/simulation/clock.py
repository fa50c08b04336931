"""Two clocks for a simulated bench. Both only go forward; seconds count from the bench's own beginning.

WallClock follows the computer's monotonic clock, ``speed`` times faster. VirtualClock stands still until somebody
moves it: ask the bench's ``due`` when it will next do something, advance there, and let it act.
"""

import time
from collections.abc import Callable


class WallClock:
    """Real time, ``speed`` times faster, beginning at ``start_s`` (where a saved bench left off)."""

    def __init__(
        self, speed: float = 1.0, start_s: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 < speed <= 1e6:
            raise ValueError(f"speed = {speed!r} must lie above 0 and at most at 1e6")
        self.speed = speed
        self._monotonic = monotonic
        self._start_s = start_s
        self._origin = monotonic()

    def now_s(self) -> float:
        return self._start_s + (self._monotonic() - self._origin) * self.speed


class VirtualClock:
    """Time that moves only when told. ``speed`` is 1: there is no wall to be faster than."""

    speed = 1.0

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def advance_to(self, at_s: float) -> None:
        """Move forward to ``at_s``; a time that has passed already changes nothing."""
        self._now_s = max(self._now_s, at_s)
