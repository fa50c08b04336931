"""One step on one instrument: committed, begun, watched, recorded.

Write before you act: StepStarted is durable before the first byte. An act is never begun twice on a guess: when its
beginning was lost on the wire, the instrument is asked what became of it. What only reads may be tried again.

A step ends in one of four ways: a fact StepFinished; StepFailed, which says whose fault it was; StepInDoubt;
or InstrumentGone, when nobody answers any more: then the step stays begun, and the next start asks again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from labloop.bench import (
    Action,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    Progress,
    ProtocolError,
    SafetyError,
    Verdict,
    drawn,
)
from labloop.campaign import events as e
from labloop.campaign.flags import array_flag, believed, no_number
from labloop.campaign.recipe import PlannedStep
from labloop.campaign.state import CampaignState, StepState

from .book import BenchBook
from .clock import Clock
from .person import DO, PersonHand
from .recovery import amount_text, amounts_text, needs_asking, question, settle, with_trial

P = ParamSpec("P")
R = TypeVar("R")

# Tries of an exchange that only reads, or that was shown not to have begun anything. Three got through every single
# and double line fault of the fault-injection tests; a cable that is out stays out.
TRIES: Final = 4
BACK_OFF_S: Final = 0.25  # real seconds, doubled each time: 0.25 + 0.5 + 1.0
GRACE_S: Final = 60.0  # lab seconds that an action may last beyond twice its expected time


class InstrumentGone(Exception):
    """An instrument does not answer any more: the run must end safely (exit 3)."""

    def __init__(self, instrument: str, reason: str) -> None:
        self.instrument = instrument
        super().__init__(f"{instrument}: {reason}")


class OutOfStock(Exception):
    """An act wants more than the bench holds: a person must refill before anything of the stage starts."""


class Station(Protocol):
    """One instrument of an open lab, as the runner sees it."""

    @property
    def driver(self) -> Any: ...
    @property
    def port(self) -> Any: ...
    @property
    def declaration(self) -> Any: ...
    @property
    def actions(self) -> Mapping[str, Action]: ...


class Memory(Protocol):
    """What a step needs of the journal: to write facts, and to read what they add up to."""

    @property
    def state(self) -> CampaignState: ...
    def record(self, *facts: Any) -> None: ...
    def keep(self, data: bytes) -> str: ...


class StepHand:
    """Runs steps on the stations of one lab. ``halt`` set: running steps are cut short once ``made_safe`` is set."""

    def __init__(
        self,
        stations: Mapping[str, Station],
        envelope: Any,
        memory: Memory,
        clock: Clock,
        teaches: tuple[str, ...] = (),
        book: BenchBook | None = None,
    ) -> None:
        self.stations = stations
        self.envelope = envelope
        self.memory = memory
        self.clock = clock
        self.teaches = teaches
        self.book = book
        self.person = PersonHand(memory, clock)
        self.halt = asyncio.Event()
        self.made_safe = asyncio.Event()
        self.wished: Callable[[int | None], Mapping[str, Any]] = lambda trial: {}  # for limits that hold `when`
        self.on_gone: Callable[[InstrumentGone], None] = lambda gone: None

    def action(self, instrument: str, action: str) -> Action:
        """What is declared of an action; of a person's too."""
        return DO if instrument == e.PERSON else self.stations[instrument].actions[action]

    def refusal(self, steps: Iterable[PlannedStep], trial: int | None) -> str:
        """Why the safety envelope refuses one of ``steps``; empty: all may start. Nothing of a stage starts if so.

        Raises OutOfStock when one would draw more than its stock holds.
        """
        for planned in steps:
            if planned.instrument == e.PERSON:
                continue
            station = self.stations[planned.instrument]
            action = station.actions[planned.action]
            try:
                self.envelope.check(planned.instrument, planned.action, planned.settings, self.wished(trial))
                resolved = self.envelope.resolve(planned.instrument, planned.action, planned.settings)
            except SafetyError as error:
                return str(error)
            if self.book is None or not action.amount:
                continue
            held = self.book.left(planned.instrument)
            if held is None:
                continue
            wanted = drawn(action, station.declaration.expected(action.name, resolved).achieved, held.unit)
            missing = self.book.missing(planned.instrument, wanted) if wanted else ""
            if missing:
                raise OutOfStock(
                    f"{missing}. Refill it, say so with `labloop request RUN refill {planned.instrument} AMOUNT`, "
                    "and resume."
                )
        return ""

    async def call(self, instrument: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One call of a driver on its port's own thread (at once, on an in-process bench)."""
        future = self.stations[instrument].port.submit(partial(method, *args, **kwargs))
        if future.done():
            result: R = future.result()
            return result
        return await asyncio.wrap_future(future)

    async def run(
        self, planned: PlannedStep, *, step: str, trial: int | None, phase: str, number: int, stage: int, index: int,
        attempt: int, says: str,
    ) -> StepState:  # fmt: skip
        """Run one step to its end and return what the facts say of it. ``says``: its stage's ``if_interrupted``.

        Raises InstrumentGone.
        """
        if planned.instrument == e.PERSON:
            return await self.person.run(
                planned, step=step, trial=trial, phase=phase, number=number, stage=stage, index=index, attempt=attempt
            )
        name = planned.instrument
        action = self.stations[name].actions[planned.action]
        try:
            resolved = self.envelope.resolve(name, planned.action, planned.settings)
            self.envelope.check(name, planned.action, planned.settings, self.wished(trial))
        except SafetyError as error:
            refused = e.StepStarted(
                step=step, trial=trial, phase=phase, number=number, stage=stage, index=index, attempt=attempt,
                instrument=name, action=planned.action, settings=dict(planned.settings), t_s=self._now(),
            )  # fmt: skip
            self.memory.record(refused, e.StepFailed(step=step, fault="safety", reason=str(error), t_s=self._now()))
            return self.memory.state.steps[step]
        before = await self.evidence(name) if action.act else {}
        self.memory.record(
            e.StepStarted(
                step=step, trial=trial, phase=phase, number=number, stage=stage, index=index, attempt=attempt,
                instrument=name, action=planned.action, settings=dict(planned.settings), act=action.act,
                before=dict(before), t_s=self._now(),
            )
        )  # fmt: skip
        try:
            await self._begin(name, action, resolved, planned.settings, step, before)
            await self._watch(name, action, resolved, step, planned.save_as or "")
        except (_Interrupted, LinkInterrupted):
            await self.made_safe.wait()
            state = self.memory.state.steps[step]
            verdict = await self.ask(state) if needs_asking(action) else None
            fact = settle(state, says, verdict, self._now(), repeatable=action.repeatable, does=self.does)
            self.memory.record(*with_trial(self.memory.state, fact))
        except InstrumentFault as fault:
            await self._stop(name)
            await self._cut_short(name, action, step, fault.kind, str(fault))
        except SafetyError as error:
            await self._stop(name)
            await self._cut_short(name, action, step, "safety", str(error))
        except _Doubt as doubt:
            self.doubt(step, str(doubt))
        return self.memory.state.steps[step]

    async def ask_named(self, name: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call outside a step: a fault names the instrument. Raises InstrumentFault, InstrumentGone."""
        try:
            return await self._reading(name, method, *args, **kwargs)
        except InstrumentFault as fault:
            raise InstrumentFault(f"{name}: {fault}", fault.kind) from fault

    async def evidence(self, name: str) -> Mapping[str, e.Amount]:
        """What the instrument's own counters say; counters about to lose resolution are cleared, as a fact, first."""
        driver = self.stations[name].driver
        counters = await self.ask_named(name, driver.counters)
        if driver.needs_clear(counters):
            self.memory.record(e.CountersCleared(instrument=name, before=dict(counters)))
            await self.ask_named(name, driver.clear_counters)
            counters = await self.ask_named(name, driver.counters)
        if doubtful := no_number(counters):
            raise InstrumentFault(f"{name}: its counter says {doubtful}", kind="no_number")
        return dict(counters)

    async def ask(self, step: StepState) -> Verdict:
        """Ask the instrument, read-only, what became of a begun step. Raises InstrumentGone."""
        begun = step.begun
        driver = self.stations[begun.instrument].driver
        verdict: Verdict = await self._reading(
            begun.instrument, driver.happened, begun.action, begun.settings, begun.before, self.act_name(begun.step)
        )
        if doubtful := no_number(verdict.achieved) or no_number(verdict.remainder):
            return Verdict(state="cannot_tell", why=f"It says {doubtful}. {verdict.why}")
        return verdict

    def doubt(self, step: str, why: str) -> None:
        """Record that nobody can tell, with the question a person will read."""
        fact = question(self.memory.state.steps[step], why, does=self.does)
        self.memory.record(*with_trial(self.memory.state, fact))

    def does(self, begun: e.StepStarted, settings: Mapping[str, e.Amount]) -> str:
        """What an action with these settings will do to matter, in words: how much, and with which settings."""
        action = self.action(begun.instrument, begun.action)
        resolved = self.envelope.resolve(begun.instrument, begun.action, settings)
        declared = self.stations[begun.instrument].declaration
        amount = declared.expected(begun.action, resolved).achieved.get(action.amount) if action.amount else None
        much = f" {amount_text(amount)}" if amount is not None else ""
        return f"{begun.action}{much} ({amounts_text(settings)})"

    def act_name(self, step: str) -> str:
        """The name by which an instrument that remembers its acts knows this one: unique among all runs."""
        opened = self.memory.state.opened
        return f"{opened.run_id if opened else ''}/{step}"

    def _now(self) -> float:
        return round(self.clock.now_s(), 6)

    async def _begin(
        self, name: str, action: Action, resolved: Mapping[str, e.Value], settings: Mapping[str, e.Amount], step: str,
        before: Mapping[str, e.Amount],
    ) -> None:  # fmt: skip
        driver = self.stations[name].driver
        for attempt in range(TRIES):
            if self.halt.is_set():
                raise _Interrupted
            try:
                await self.call(name, driver.begin, action.name, resolved, self.act_name(step))
                return
            except LinkInterrupted:
                raise
            except (LinkError, ProtocolError) as error:
                await self._back_off(attempt, name, error)
                if not action.act:
                    continue
                verdict = await self._reading(name, driver.happened, action.name, settings, before, self.act_name(step))
                if verdict.state in ("done", "running"):
                    return
                if verdict.state != "not_begun":
                    raise _Doubt(f"{error}. Asked again, it said: {verdict.why}") from error
        raise AssertionError("the last back-off raises")

    async def _watch(self, name: str, action: Action, resolved: Mapping[str, e.Value], step: str, save_as: str) -> None:
        driver = self.stations[name].driver
        began = self.clock.now_s()
        limit_s = 2.0 * self.stations[name].declaration.expected(action.name, resolved).duration_s + GRACE_S
        while True:
            look: Progress = await self._reading(name, driver.progress, self.clock.now_s() - began)
            if look.readings:
                self.envelope.check_reading(name, look.readings)
            if look.done:
                self._finish(step, look, save_as)
                return
            if self.clock.now_s() - began > limit_s:
                raise InstrumentFault(f"{name}.{action.name} had not ended after {limit_s:.0f} s", kind="overdue")
            if await self.clock.wait(self.halt, look.again_in_s):
                raise _Interrupted

    def _finish(self, step: str, look: Progress, save_as: str) -> None:
        begun = self.memory.state.steps[step].begun
        if doubtful := no_number(look.achieved):
            raise InstrumentFault(f"{begun.instrument} says that it achieved {doubtful}", kind="no_number")
        units = {name: one.unit for name, one in self.stations[begun.instrument].declaration.signals.items()}
        units |= {one.name: one.unit for one in self.action(begun.instrument, begun.action).gives}
        readings = {key: believed(reading, units.get(key)) for key, reading in look.readings.items()}
        for key, data in look.arrays.items():
            sha = self.memory.keep(data)
            said = look.readings.get(key) or e.Reading(unit=units.get(key, ""))
            flag = said.flag or array_flag(data)
            readings[key] = e.Reading(
                unit=said.unit, blob=sha, length=len(data) // 8, flag=flag, censored="" if flag else said.censored
            )
        self.memory.record(
            e.StepFinished(step=step, achieved=dict(look.achieved), readings=readings, save_as=save_as, t_s=self._now())
        )

    async def _cut_short(self, name: str, action: Action, step: str, fault: str, reason: str) -> None:
        state = self.memory.state.steps[step]
        achieved: Mapping[str, e.Amount] = {}
        remainder: Mapping[str, e.Amount] = {}
        if needs_asking(action):
            verdict = await self.ask(state)
            if verdict.state == "cannot_tell" and not action.repeatable:
                self.doubt(step, f"It was cut short ({reason}). {verdict.why}")
                return
            if verdict.state == "done":
                self.memory.record(
                    e.StepFinished(step=step, achieved=dict(verdict.achieved), t_s=self._now(), by="instrument")
                )
                return
            achieved, remainder = verdict.achieved, verdict.remainder
        self.memory.record(
            e.StepFailed(
                step=step, fault=fault, reason=reason, achieved=dict(achieved), remainder=dict(remainder),
                t_s=self._now(),
            )
        )  # fmt: skip

    async def _stop(self, name: str) -> None:
        await self._reading(name, self.stations[name].driver.stop)

    async def _reading(self, name: str, method: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call that moves nothing (or is harmless twice), tried again when the line fails it."""
        for attempt in range(TRIES):
            try:
                return await self.call(name, method, *args, **kwargs)
            except LinkInterrupted:
                raise
            except (LinkError, ProtocolError) as error:
                await self._back_off(attempt, name, error)
        raise AssertionError("the last back-off raises")

    async def _back_off(self, attempt: int, name: str, error: Exception) -> None:
        if attempt == TRIES - 1:
            self.memory.record(e.InstrumentLost(instrument=name, reason=str(error)))
            gone = InstrumentGone(name, str(error))
            self.on_gone(gone)
            raise gone from error
        await self.clock.wait(self.halt, BACK_OFF_S * 2**attempt * self.clock.speed)


class _Interrupted(Exception):
    """The bench is being made safe."""


class _Doubt(Exception):
    """Nobody can tell whether the act began."""
