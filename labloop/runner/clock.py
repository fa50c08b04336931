"""The clock a run lives by: lab seconds that go on across stops, and the stamp of each fact.

A wall clock may run ``speed`` times faster (simulators then do as well). It counts by the machine's time since it was
switched on, sleep included: whoever sets the computer's clock changes nothing, and a laptop that slept for eight hours
had its samples stand for eight hours. Across a stop it goes on by the same count; only when the machine was switched on
anew in between, by the date. A date that lies before the last fact tells nothing: then nobody knows how old a sample is
(``unknown_before_s``), and what may only wait for so long has waited too long.

A virtual clock stands still while anything is computed and leaps to the next timer when nothing is left to do; its
stamps start at a fixed day, so that two virtual runs with one seed write the same journal to the last byte.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

VIRTUAL_DAY_ONE: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Lab time: ``now_s`` rises from 0 at the campaign's first start and counts the gaps between runs as well."""

    speed: float
    virtual: bool
    unknown_before_s: float

    def now_s(self) -> float: ...
    def stamp(self) -> str: ...
    async def wait(self, event: asyncio.Event, seconds: float) -> bool: ...
    def run(self, main: Coroutine[Any, Any, T]) -> T: ...


def utc_stamp() -> str:
    """Now, in UTC with offset, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment as a machine knows it: which start of it (``boot``; "": not known), how long since, and the date."""

    boot: str
    up_s: float
    at: datetime


def up_s() -> float:
    """Seconds since the machine was switched on, sleep included where the system counts it."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def moment() -> Moment:
    """Now."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # only Linux says so; elsewhere the date has to do
        boot = ""
    return Moment(boot=boot, up_s=up_s(), at=datetime.now(UTC))


class WallClock:
    """Real time, ``speed`` lab seconds to the second, starting at ``start_s``. ``up``: what it counts by."""

    virtual = False

    def __init__(
        self, speed: float = 1.0, start_s: float = 0.0, *, unknown_before_s: float = -math.inf,
        up: Callable[[], float] = up_s,
    ) -> None:  # fmt: skip
        self.speed = speed
        self.unknown_before_s = unknown_before_s
        self._start_s = start_s
        self._up = up
        self._began = up()

    def now_s(self) -> float:
        return self._start_s + (self._up() - self._began) * self.speed

    def note(self) -> dict[str, Any]:
        """This moment and the lab's, to go on by after a crash."""
        now = moment()
        return {"boot": now.boot, "up_s": now.up_s, "t_s": self.now_s()}

    def stamp(self) -> str:
        return utc_stamp()

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait lab ``seconds`` or until ``event``, and say whether it came.

        Never less than 2 real ms, so that a fast clock cannot spin.
        """
        return await _wait(event, max(seconds / self.speed, 0.002))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner() as runner:
            return runner.run(main)


class VirtualClock:
    """Time that leaps. ``advance_to`` lets an in-process device use up time inside an exchange."""

    virtual = True
    speed = 1.0
    unknown_before_s = -math.inf

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def advance_to(self, t_s: float) -> None:
        """Go forward to ``t_s``; going back is ignored."""
        self._now_s = max(self._now_s, t_s)

    def stamp(self) -> str:
        return (VIRTUAL_DAY_ONE + timedelta(microseconds=round(self._now_s * 1e6))).isoformat(timespec="microseconds")

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        return await _wait(event, max(seconds, 0.001))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(main)


async def _wait(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False


class _VirtualSelector(selectors.DefaultSelector):
    """Where an event loop would wait for its next timer, the virtual clock leaps there instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._clock.advance_to(self._clock.now_s() + timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        super().__init__(_VirtualSelector(clock))

    def time(self) -> float:
        return self._clock.now_s()
