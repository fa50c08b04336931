"""One act by hand, from its first byte to its end; without waiting, so that several can go on beside each other.

The instrument's counters are read, the act is written down (``begun``), and only then it begins.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from functools import partial
from typing import Any, Final

import msgspec

from labloop.bench import BenchError, InstrumentFault, Permit, Progress, Verdict
from labloop.bench.lab import SAFE_S, wait_past
from labloop.bench.station import Station
from labloop.bench.totals import nothing
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError
from labloop.campaign.flags import plain_amounts

from .admission import Admission

# How long an action may last beyond what it is waited for, in the instrument's own seconds, as in a run.
GRACE_S: Final = 60.0


class HandAct:
    """An act under way. ``turn`` as often as ``due_s`` says, until it gives the fact that ends it.

    ``look``: what the instrument said last. ``duration_s``: how long it is expected to last.
    """

    def __init__(
        self, station: Station, admission: Admission, begun: e.ByHand, permit: Permit, *,
        write: Callable[[e.Fact], None], make_safe: Callable[[str], list[str]],
    ) -> None:  # fmt: skip
        """``write`` puts a fact into the bench's book; ``make_safe`` says what went wrong on the way there."""
        self.begun = begun
        self.look = Progress(done=False)
        self._station, self._admission, self._permit = station, admission, permit
        self._write, self._make_safe = write, make_safe
        self._clock = admission.clock
        self._why_stopped = ""
        self._written = self._silent = False
        self._told: dict[type[e.Fact], str] = {}
        self.duration_s = self._station.declaration.expected(begun.action, permit.values).duration_s
        self._most_s = self._station.declaration.most_s(begun.action, permit.values)
        self.began_s = self._again_s = self._clock.now_s()
        self._call: Future[Any] | asyncio.Future[Any] = self._submit(self._station.driver.counters)
        self._next: Callable[[Any], e.ByHand | None] = self._begin

    @property
    def call(self) -> Any:
        """The exchange that is under way, or was last: the future of its port."""
        return self._call

    @property
    def elapsed_s(self) -> float:
        """Since it began, in the bench's seconds."""
        return self._clock.now_s() - self.began_s

    @property
    def due_s(self) -> float:
        """When the next turn is worth while, by the bench's clock; 0 while an exchange is under way."""
        return self._again_s if self._call.done() else 0.0

    def turn(self) -> e.ByHand | None:
        """Go on as far as can be; the fact that ends it, once it has ended."""
        self.tell()
        if self._clock.now_s() < self._again_s or not self._call.done():
            return None
        try:
            answer = self._call.result()
            self.tell()
            step = self._halt if self._why_stopped and self._next != self._halted else self._next
            return step(answer)
        except LabloopError as error:
            self.tell()
            return self.fail(str(error))

    def rests(self) -> bool:
        """Whether no exchange of it is under way; what was told once is written down then."""
        if not self._call.done():
            return False
        self.tell()
        return True

    def fail(self, why: str) -> e.ByHand:
        """Break it off: the bench is brought to its safe state."""
        why = why or "interrupted"
        return self.broken_off("; ".join([why, *self._make_safe(why)]))

    def broken_off(self, why: str) -> e.ByHand:
        """The fact that it was broken off, by whoever has made the bench safe."""
        if not self._written:
            return self.ended_by(why, None)
        port = self._station.port
        asking = port.submit(self.ask, self._station.name)
        wait_past([port], [asking], time.monotonic() + SAFE_S)  # past a stop that hangs, and no longer than for a stop
        try:
            verdict = asking.result(0.0)
        except FutureTimeout:  # its driver hangs: the bench was stopped past it, and nobody waits for it for ever
            asking.cancel()
            return self.ended_by(f"{why}; {port.hanging}", None)
        except BenchError:  # the cable is out: an amount that is not known counts in full
            return self.ended_by(why, None)
        except Exception as error:  # noqa: BLE001 a driver's own mistake must not keep its act from being ended
            return self.ended_by(f"{why}; {error!r}", None)
        return self.ended_by(why, verdict)

    @property
    def written(self) -> bool:
        """Whether it is written down, so that something of it may have been sent."""
        return self._written

    def ended_by(self, why: str, verdict: Verdict | None) -> e.ByHand:
        """The fact that it was broken off; ``verdict``: what its instrument says it came to (None: it does not)."""
        if not self._written:
            return self._ended(why, nothing(self._station.actions[self.begun.action]))
        if verdict is None:
            return self._ended(why, {})
        return self._ended(why, self._moved(verdict))

    def asked(self) -> None:
        """Write down that its instrument is asked who it is, and may say what it says once; ``tell`` follows."""
        if self._written and not self._silent:
            self._silent = True
            self._write(e.InstrumentAsked(instrument=self.begun.instrument))

    def tell(self) -> None:
        """Write down what was told once, or lost (see Driver.taken, .alarm): before anything else is done."""
        driver = self._station.driver
        for kind, said in ((e.ActTaken, driver.taken), (e.AlarmHeard, driver.alarm)):
            if self._written and said and said != self._told.get(kind):
                self._told[kind] = said
                self._silent = False
                self._write(kind(instrument=self.begun.instrument, said=said))

    def stop(self, why: str) -> None:
        """Let the exchange under way end, then stop the instrument and ask it how much was done."""
        self._why_stopped, self._again_s = why, 0.0

    # --- one exchange after the other ---------------------------------------------------------------------------

    def _submit(self, call: Callable[[], Any]) -> "Future[Any] | asyncio.Future[Any]":
        """Have a call of its driver made: here, next on its port."""
        return self._station.port.submit(call)

    def _begin(self, counters: Mapping[str, e.Amount]) -> None:
        self.begun = msgspec.structs.replace(self.begun, before=plain_amounts(counters))
        self._written = True
        self._write(self.begun)
        self._call = self._submit(partial(self._station.begin, self._permit, self.begun.act))
        self._next = self._began_now

    def _began_now(self, _: Any) -> None:
        self.began_s = self._again_s = self._clock.now_s()
        self._ask()

    def _ask(self, _: Any = None) -> None:
        self._call = self._submit(partial(self._station.driver.progress, self.elapsed_s))
        self._next = self._looked

    def _looked(self, look: Progress) -> e.ByHand | None:
        self.look = look
        self._admission.see(self.begun.instrument, look.readings)
        if look.done:
            return self._ended("", look.achieved)
        limit_s = self._most_s + GRACE_S
        if self.elapsed_s > limit_s:
            raise InstrumentFault(f"{self.begun.instrument}.{self.begun.action} had not ended after {limit_s:.0f} s")
        self._again_s = self._clock.now_s() + look.again_in_s
        self._next = self._ask
        return None

    def _halt(self, _: Any) -> None:
        def halt() -> Verdict:
            self._station.driver.stop()
            return self.ask()

        self._call, self._next = self._submit(halt), self._halted

    def _halted(self, verdict: Verdict) -> e.ByHand:
        if not self._written:  # before it began: its counters say nothing of it
            return self.ended_by(self._why_stopped, None)
        why = "" if verdict.state == "done" else f"{self._why_stopped}; {verdict.why}"
        return self._ended(why, self._moved(verdict))

    def ask(self) -> Verdict:
        """Ask its instrument, in its port's turn, what became of it."""
        begun = self.begun
        verdict: Verdict = self._station.driver.happened(begun.action, begun.settings, begun.before, begun.act)
        return verdict

    def _moved(self, verdict: Verdict) -> Mapping[str, e.Amount]:
        """What the instrument's own counters say of an act that broke off; nothing where they cannot tell."""
        return nothing(self._station.actions[self.begun.action]) if verdict.state == "not_begun" else verdict.achieved

    def _ended(self, failed: str, achieved: Mapping[str, e.Amount]) -> e.ByHand:
        self.look = replace(self.look, achieved=achieved)
        return msgspec.structs.replace(
            self.begun, achieved=plain_amounts(achieved), done=not failed, failed=failed, before={}
        )  # fmt: skip
