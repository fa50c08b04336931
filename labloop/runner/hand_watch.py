"""The watch over an act by hand: the rules of a run, kept without its loop.

Between two looks at the act every bound reading is asked for when it is due, and the instrument's own watchdog hears
from us. What is broken is raised, and whoever acts by hand makes the bench safe. When the act is over the watch is over
too: an instrument with a watchdog of its own is then left to that.
"""

import math
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Final

from labloop.bench import BenchError, Port, SafetyError
from labloop.bench.lab import Lab

from .admission import Admission
from .clock import VirtualClock, WallClock
from .watching import PULSE_AT

# Between two looks nobody is waited for longer than this (lab seconds), so that a reading good for some seconds is
# asked for twice.
LOOK_S: Final = 1.0


class HandWatch:
    """Watches one act on one open lab; ``acting``: the instrument that was configured for it."""

    def __init__(self, lab: Lab, admission: Admission, clock: WallClock | VirtualClock, acting: str) -> None:
        self._lab = lab
        self._admission = admission
        self._clock = clock
        self._acting = acting
        self._pulse_s = lab.instruments[acting].declaration.silence_s * PULSE_AT * clock.speed or math.inf
        self._pulsed_s = clock.now_s()
        self._busy: list[Port] = []  # lines on which a call is waited for
        self.told: Callable[[], None] = lambda: None  # called after each question to the instrument that acts
        admission.watch.begin(clock.now_s())

    def read_all(self) -> None:
        """Read whatever is bound, once. Raises SafetyError when an interlock forbids to begin at all."""
        for name in self._admission.watch.instruments:
            self._read(name)
        self._judge()

    def look(self) -> None:
        """Read what is due. Raises SafetyError for a rule that is broken."""
        now_s = self._clock.now_s()
        if self._pulsed_s + self._pulse_s <= now_s:
            self._pulsed_s = now_s
            station = self._lab.instruments[self._acting]
            try:
                self.returned(station.port.submit(station.driver.pulse)).result()
            finally:
                self.told()
        self._read_due(now_s)
        self._judge()

    def returned(self, call: "Future[Any]", name: str = "", *, judged: bool = True) -> "Future[Any]":
        """The same call of an instrument ("": of the one that acts), once it has returned.

        Meanwhile what is due on other lines is read. One that hangs in its driver keeps its own line from being read,
        and that shows: raises SafetyError for a rule that is broken meanwhile (where it is ``judged``).
        """
        self._busy.append(self._lab.instruments[name or self._acting].port)
        try:
            while not wait([call], LOOK_S)[0]:
                if judged:
                    self._read_due(self._clock.now_s())
                    self._judge()
        finally:
            self._busy.pop()
        return call

    def _read_due(self, now_s: float) -> None:
        for name in self._admission.watch.instruments:
            free = self._lab.instruments[name].port not in self._busy
            if free and self._admission.watch.due_s(name) <= now_s:
                self._read(name)

    def _read(self, name: str) -> None:
        station = self._lab.instruments[name]
        try:
            readings = self.returned(station.port.submit(station.driver.read), name).result()
        except SafetyError:
            raise
        except BenchError:
            return  # one answer that stayed out; when no other comes in time, _judge says so
        finally:
            if name == self._acting:
                self.told()
        self._admission.see(name, readings)

    def _judge(self) -> None:
        for trip in self._admission.watch.look(self._clock.now_s()).tripped:
            raise SafetyError(f"{trip.rule}: {trip.reason}")
