"""The watch that a run keeps on its bench: what is bound is read, between steps too, and each watchdog hears from us.

Every instrument with something to watch has a task of its own here, so one that does not answer keeps nobody waiting.
It asks only for what no step has shown meanwhile, through the same port, in its turn. A pulse goes out well before an
instrument's own watchdog would act: from this loop and not from the port's thread, so that a runner that hangs is
silent, and the instrument makes itself safe.

What is broken becomes a fact (WatchTripped) and an end or a hold of the run. A hold ends by itself where the interlock
says so, else by a person's ``resume``; held for too long, the bench is made safe and the run waits for a person.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Collection
from typing import Final, Protocol, TypeVar

from labloop.bench import BenchError, LinkInterrupted, SafetyError, Trip
from labloop.campaign import events as e
from labloop.campaign.spec import CampaignSpec, LabSpec
from labloop.campaign.text import duration
from labloop.journal.presence import HUNG_AFTER_S

from .admission import Admission
from .clock import Clock
from .reach import InstrumentGone, Memory
from .step import StepHand

R = TypeVar("R")

LOG: Final = logging.getLogger("labloop.run")
# However fast the clock goes, an instrument on a real line is asked no more often than this (real seconds): at speed 60
# a reading that is good for 5 s would be asked for 27 times a second.
LEAST_S: Final = 0.2
# Real seconds between two looks at what was read; a loop that comes twice as late stood still, and could not ask. One
# that did so for as long as makes a runner hang (a computer that slept) has left its bench alone, and is not excused.
LOOK_S: Final = 1.0
# A pulse goes out in this part of the time after which the instrument's own watchdog acts: two may be lost.
PULSE_AT: Final = 0.3
# A bench does not stay as it is all night because an interlock holds it (lab seconds; ``pause: {hold:}`` of
# campaign or lab says otherwise).
HOLD_S: Final = 1800.0


def hold_s(spec: CampaignSpec, lab: LabSpec) -> float:
    """How long a pause, or an interlock, may hold the bench as it is: the shorter one of what campaign and lab say."""
    return min((one.hold_s for one in (spec.pause, lab.pause) if one is not None), default=HOLD_S)


class Ends(Protocol):
    """How a run is ended (see loop)."""

    def __call__(self, kind: str, reason: str, exit_code: int) -> None: ...


class Watcher:
    """Watches the stations of one hand. ``end`` ends the run; ``run`` goes on until it is cancelled."""

    def __init__(self, hand: StepHand, memory: Memory, end: Ends, hold_s: float = HOLD_S) -> None:
        self._hand = hand
        self._admission: Admission = hand.admission
        self._clock: Clock = hand.clock
        self._memory = memory
        self._end = end
        self._hold_s = hold_s
        self._on = asyncio.Event()
        self._never = asyncio.Event()
        self._asked_s: dict[str, float] = {}
        self._silent: dict[str, str] = {}  # instrument -> why it did not answer last
        self._holds_since_s: float | None = None
        self._looked_s = self._clock.now_s()
        envelope = hand.envelope
        self._resume = {rule.name: rule.resume for rule in envelope.rules.interlocks}
        self._pulse_s = {
            name: PULSE_AT * one.silence_s * self._clock.speed
            for name, one in envelope.declared.items()
            if one.silence_s > 0.0 and name in hand.stations
        }
        self._wound: Collection[str] = ()
        self._watched = frozenset(name for name in self._admission.watch.instruments if name in hand.stations)

    async def begin(self, wound: Collection[str] | None = None) -> None:
        """From now on the bench is watched. Everything is read once before this returns.

        ``wound``: the instruments whose own watchdogs are wound up meanwhile; None: all, for the bench is configured.
        One that is not may never have been armed, and to wind it up is to arm it.
        """
        self._wound = self._pulse_s.keys() if wound is None else wound
        self._looked_s = self._clock.now_s()
        self._admission.watch.begin(self._looked_s)
        self._on.set()
        for name in sorted(self._watched):
            await self._read(name)

    def rest(self) -> None:
        """The bench is being made safe: nothing is asked of it meanwhile."""
        self._on.clear()

    async def run(self) -> None:
        """Watch until cancelled."""
        attended = [name for name in self._hand.stations if name in self._watched or name in self._pulse_s]
        tasks = [asyncio.ensure_future(self._attend(name)) for name in attended]
        try:
            await asyncio.gather(self._judge_in_time(), *tasks)
        finally:
            for task in tasks:
                task.cancel()

    # --- one instrument -------------------------------------------------------------------------------------------

    async def _attend(self, name: str) -> None:
        last_pulse_s = self._clock.now_s()
        while True:
            await self._on.wait()
            now_s = self._clock.now_s()
            pulse_s = last_pulse_s + self._pulse_s.get(name, math.inf)
            due_s = min(pulse_s, self._due_s(name))
            if due_s > now_s:
                await self._clock.wait(self._never, due_s - now_s)
            elif pulse_s <= now_s:
                last_pulse_s = now_s
                if name in self._wound:
                    await self._ask(name, self._hand.stations[name].driver.pulse)
            else:
                await self._read(name)

    def _due_s(self, name: str) -> float:
        """When an instrument is to be read next; never, when nothing is bound there."""
        if name not in self._watched:
            return math.inf
        due_s = self._admission.watch.due_s(name)
        asked_s = self._asked_s.get(name)
        if asked_s is not None:  # it did not answer, or the clock goes too fast
            again_s = self._admission.watch.ask_again_s(name)
            due_s = max(due_s, asked_s + max(again_s, 0.0 if self._clock.virtual else LEAST_S * self._clock.speed))
        return due_s

    async def _read(self, name: str) -> None:
        readings = await self._ask(name, self._hand.stations[name].driver.read)
        self._asked_s[name] = self._clock.now_s()  # after it: a dead line has taken its time already
        if readings is None or not self._on.is_set():
            return
        try:
            self._admission.see(name, readings)
        except SafetyError as error:
            self._trip(Trip(rule=f"limits.{name}", then="safe", reason=str(error)))
        self.judge()

    async def _ask(self, name: str, method: Callable[[], R]) -> R | None:
        """One call in the port's turn; None when it failed. A line that stays silent shows as a reading gone stale."""
        try:
            said = await self._hand.reach.call(name, method)
        except (LinkInterrupted, InstrumentGone):  # of an instrument that is given up, the run has been told
            return None
        except BenchError as error:
            if name not in self._silent:
                LOG.warning("%s did not answer the watch: %s", name, error)
            self._silent[name] = str(error)
            self._hand.reach.recover(name, error)
            return None
        self._silent.pop(name, None)
        return said

    # --- what is seen ---------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Hold every rule against what was read last."""
        if not self._on.is_set():
            return
        now_s, watch = self._clock.now_s(), self._admission.watch
        if not self._clock.virtual and 2.0 * LOOK_S < (now_s - self._looked_s) / self._clock.speed < HUNG_AFTER_S:
            watch.stood_still(now_s)
        self._looked_s = now_s
        changes = watch.look(now_s)
        for trip in changes.tripped:
            self._trip(trip)
        for rule in changes.cleared:
            if rule in self._memory.state.held:
                fact = e.WatchCleared(rule=rule, released=self._resume[rule], t_s=self._now())
                self._memory.record(fact)

    async def _judge_in_time(self) -> None:
        """Judge also when nothing comes in: that is how a silence shows, and a hold that lasts too long."""
        while True:
            await self._on.wait()
            now_s = self._clock.now_s()
            self.judge()
            self._end_long_hold(now_s)
            next_s = self._admission.watch.next_s(now_s)
            if self._holds_since_s is not None:
                next_s = min(next_s, self._holds_since_s + self._hold_s)
            if not self._clock.virtual:
                next_s = min(next_s, now_s + LOOK_S * self._clock.speed)
            await self._clock.wait(self._never, max(next_s - now_s, 0.1))

    def _end_long_hold(self, now_s: float) -> None:
        held = self._memory.state.held
        if not held:
            self._holds_since_s = None
            return
        if self._holds_since_s is None:
            self._holds_since_s = now_s
        if now_s - self._holds_since_s >= self._hold_s:
            name, fact = next(iter(held.items()))
            why = fact.reason if isinstance(fact, e.WatchTripped) else "its condition is over, and nobody said resume"
            self._end("breach", f"{name} has held the run for {duration(self._hold_s)}: {why}", 6)

    def _trip(self, trip: Trip) -> None:
        if not self._on.is_set():
            return
        why = self._silent.get(trip.unread)
        reason = trip.reason if why is None else f"{trip.reason} It says: {why}"
        self._memory.record(e.WatchTripped(rule=trip.rule, then=trip.then, reason=reason, t_s=self._now()))
        if trip.then != "hold":
            self.rest()
            self._end("breach", f"{trip.rule}: {reason}", 6 if trip.then == "halt" else 3)

    def _now(self) -> float:
        return round(self._clock.now_s(), 6)
