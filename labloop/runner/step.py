"""The steps of a stage on their instruments: committed, prepared, begun together, watched, recorded.

Write before you act: StepStarted is durable before the first byte. An act is never begun twice on a guess: when its
beginning was lost on the wire, the instrument is asked what became of it. What only reads may be tried again.

A step ends in one of four ways: a fact StepFinished; StepFailed, which says whose fault it was; StepInDoubt;
or InstrumentGone, when nobody answers any more: then the step stays begun, and the next start asks again.
"""

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from msgspec.structs import replace

from labloop.bench import (
    Action,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    NotYet,
    Permit,
    Progress,
    ProtocolError,
    SafetyError,
    Verdict,
)
from labloop.bench.totals import nothing
from labloop.campaign import events as e
from labloop.campaign.flags import no_number, plain_amounts
from labloop.campaign.lab_spec import OnLost
from labloop.campaign.recipe import PlannedStep
from labloop.campaign.state import StepState

from .admission import Admission, OutOfStock, Wished
from .at_work import AtWork
from .book import BenchBook
from .clock import Clock
from .finished import finished, plainly
from .person import DO, PersonHand
from .questions import Knowledge, question, undone, with_trial
from .reach import PASSING, Memory, OnLine, Reach, Station, nobody
from .recovery import INSTRUMENT, NOT_DONE, goes_on, needs_asking, settle
from .start import Beginning, Interrupted, Judged, NotBegun, Start, all_ended

GRACE_S: Final = 60.0  # lab seconds that an action may last beyond what it is waited for


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
        on_lost: OnLost = OnLost(),  # noqa: B008  it is frozen
        on_line: OnLine = nobody,
    ) -> None:
        self.stations = stations
        self.envelope = envelope
        self.memory = memory
        self.clock = clock
        self.teaches = teaches
        self.book = book
        self.admission = Admission(envelope, clock, book)
        self.person = PersonHand(memory, clock)
        self.at_work = AtWork(stations, envelope, clock)
        self.knows = Knowledge(self.action, stations, envelope, self.admission.totals)
        self.halt = asyncio.Event()
        self.made_safe = asyncio.Event()
        self.reach = Reach(stations, memory, clock, self.halt, on_lost, on_line)
        self.reach.made_safe = self.made_safe
        # A reading left the envelope: whether everything is being made safe for it (else only this instrument is).
        self.on_breach: Callable[[str], bool] = lambda why: False
        self.rejoined: Callable[[Sequence[StepState]], Awaitable[None]] = _nothing_goes_on  # waits for their ends

    def action(self, instrument: str, action: str) -> Action:
        """What is declared of an action; of a person's too. Raises SpecError for one that nobody declares."""
        if instrument == e.PERSON:
            return DO
        declared: Action = self.envelope.action(instrument, action)
        return declared

    async def admit(self, steps: Sequence[PlannedStep], trial: int | None) -> float:
        """Whether all of ``steps`` may begin together now: 0.0, or how long it is too early (lab seconds).

        What is measured there and decides is read first. Raises SafetyError when the envelope refuses one of them
        (nothing of a stage starts then), OutOfStock when a person must see to something first.
        """
        mine = [one for one in steps if one.instrument != e.PERSON]
        await self._look(mine)
        try:
            self.admission.stage(mine, trial)
        except NotYet as early:
            return early.wait_s
        return 0.0

    def returns(self, steps: Iterable[Wished]) -> int:
        """How often a line that ``steps`` need, or that decides about them, was lost and has come back."""
        mine = [one for one in steps if one.instrument != e.PERSON]
        return self.reach.returns({one.instrument for one in mine} | self.admission.asks(mine))

    async def _look(self, steps: Sequence[Wished]) -> None:
        """Read what is measured and decides about ``steps``. Raises SafetyError when it breaks a limit."""
        for name in sorted(self.admission.asks(steps)):
            self.admission.see(name, await self.reach.named(name, self.stations[name].driver.read))

    async def run_stage(
        self, steps: Sequence[Beginning], says: str, returns: int, not_after_s: float = math.inf
    ) -> bool:
        """Run the steps of one stage to their ends: prepared one by one, begun together, each end a fact.

        False: no fact says anything of them. It is for whoever walks to look at everything anew, because something has
        changed since they were admitted: a line came back (``returns``: how often it had, when nothing stood in the
        way of them), which may have taken hours; a person has paused the run, or an interlock holds it; it is too early
        again.

        ``says``: the stage's ``if_interrupted``. After ``not_after_s`` nothing is begun any more: the sample has become
        too old while an instrument was waited for. When one cannot be prepared, none of the others is begun.

        Raises SafetyError when what is measured right before breaks a limit; InstrumentFault, InstrumentGone,
        LinkInterrupted, when nothing else of the stage runs any more.
        """
        mine = [one for one in steps if one.begun.instrument != e.PERSON]
        wished = [one.begun for one in mine]
        before = await all_ended(self._evidence(one) for one in wished)
        await self._look(wished)
        late = self.halt.is_set() or self.clock.now_s() > not_after_s
        if late or not self.memory.state.may_begin or self.returns(wished) != returns:
            return False
        try:
            with suppress(SafetyError):  # of one of them: a fact, below
                self.admission.stage(wished, steps[0].begun.trial)  # together: each alone may still have room
            permits = [self._permit(one, wished) for one in wished]
        except (NotYet, OutOfStock):
            return False
        if None in permits:
            return True
        begun = [
            replace(
                one.begun, before=dict(counters), t_s=self._now(),
                expected_s=self.stations[permit.instrument].declaration.lasts_s(permit.action, permit.values),
            )
            for one, counters, permit in zip(mine, before, permits, strict=True)
            if permit is not None
        ]  # fmt: skip
        self.memory.record(*begun)
        start = Start(wished, len(steps) == 1, lambda: self.returns(wished) != returns)
        runs = [
            self._run(fact, permit, one, start, says, not_after_s)
            for fact, permit, one in zip(begun, permits, mine, strict=True)
            if permit is not None
        ]  # fmt: skip
        await all_ended([*runs, *(self.person.run(one.begun) for one in steps if one not in mine)])
        self.settled(*undone(self.memory.state, start.undone, says, self.knows))
        return True

    def _permit(self, begun: e.StepStarted, beside: Sequence[e.StepStarted]) -> Permit | None:
        """What opens the way to the wire; None: the envelope refuses it, which is a fact. Raises NotYet."""
        try:
            return self.admission.permit(begun, begun.trial, beside)
        except NotYet:
            raise
        except SafetyError as error:
            failed = e.StepFailed(step=begun.step, fault="safety", reason=str(error), t_s=self._now())
            self.memory.record(replace(begun, act=False, t_s=self._now()), failed)
            return None

    async def _run(
        self, begun: e.StepStarted, permit: Permit, one: Beginning, start: Start, says: str, not_after_s: float
    ) -> None:
        name, action = begun.instrument, self.stations[begun.instrument].actions[begun.action]

        async def doing() -> None:
            with self.admission.watch.courses.untold(begun.step):  # for as long as a line is out, maybe
                try:
                    await self._prepare(begun, permit)
                except BaseException as error:
                    start.off(f"{name} could not: {error}")
                    raise
                if start.was_away():  # for hours, maybe: what permitted it is not true any more
                    start.off(f"a line was lost while {name} was set up")
                if why := self._waits():
                    start.off(why)
                await start.ready()
                await self._begin(begun, action, permit, not_after_s, start)
            await self.watch(begun, action, permit.values, self.clock.now_s(), one.save_as)

        await self.to_its_end(doing(), begun, action, start, says)

    async def to_its_end(
        self, doing: Coroutine[Any, Any, None], begun: e.StepStarted, action: Action, start: Start, says: str
    ) -> None:
        """Let a step come to its end, and record every end but a good one. Raises InstrumentGone."""
        name = begun.instrument
        try:
            await doing
        except (Interrupted, LinkInterrupted):
            await self.made_safe.wait()
            await self._settle(begun, action, start, says)
        except NotBegun as why:
            self.memory.record(e.StepFailed(step=begun.step, fault=why.fault, reason=str(why), t_s=self._now()))
        except Judged as judged:
            await self._settle(begun, action, start, says, judged.verdict)
        except InstrumentFault as fault:
            await self._stop(name)
            await self._cut_short(begun, action, start, fault.kind, str(fault))
        except SafetyError as error:
            if self.on_breach(f"{name}.{begun.action}: {error}"):
                await self.made_safe.wait()  # with everything else of the bench, and at once
            else:
                await self._stop(name)
            await self._cut_short(begun, action, start, "safety", str(error))

    async def _settle(
        self, begun: e.StepStarted, action: Action, start: Start, says: str, verdict: Verdict | None = None
    ) -> None:
        """Record what a step that was cut short came to, by what its instrument says."""
        state = self.memory.state.steps[begun.step]
        asked = None
        if needs_asking(action):
            asked = verdict or await self.ask(state)
        if asked is not None and goes_on(action, asked):
            return  # the lab lets it go on without us; it is watched again at the next start
        ended_s = self.at_work.earliest_end(begun)
        fact = settle(state, says, asked, self._now(), ended_s=ended_s, repeatable=action.repeatable, knows=self.knows)
        if isinstance(fact, e.StepFailed) and fact.fault == NOT_DONE:
            start.undone.append(fact)
        else:
            self.settled(fact)

    def settled(self, *facts: e.Fact) -> None:
        """Commit what became of steps; with a question about a trial's sample, that the trial is in doubt."""
        for fact in facts:
            self.memory.record(*with_trial(self.memory.state, fact))

    async def _evidence(self, begun: e.StepStarted) -> Mapping[str, e.Amount]:
        """What the instrument's own counters say; counters about to lose resolution are cleared, as a fact, first."""
        name = begun.instrument
        await self.reach.verify(name)
        if not begun.act:
            return {}
        driver = self.stations[name].driver
        counters = await self.reach.named(name, driver.counters)
        if driver.needs_clear(counters):
            self.memory.record(e.CountersCleared(instrument=name, before=plain_amounts(counters)))
            await self.reach.named(name, driver.clear_counters)
            counters = await self.reach.named(name, driver.counters)
        if doubtful := no_number(counters := plain_amounts(counters)):
            raise InstrumentFault(f"{name}: its counter says {doubtful}", kind="no_number")
        return counters

    async def ask(self, step: StepState) -> Verdict:
        """Ask the instrument, read-only, what became of a begun step. Raises InstrumentGone.

        Where it cannot tell any more, and the guard had stopped it, what the guard read then decides.
        """
        begun, state = step.begun, self.memory.state
        driver = self.stations[begun.instrument].driver
        if state.replaced.get(begun.instrument, 0) > step.seq:
            return Verdict(state="cannot_tell", why="Another instrument stands in its place since")
        for said in state.heard.get(begun.instrument, ()):  # told once, to whoever spoke first
            driver.overheard(said)
        verdict = plainly(await self.reach.named(
            begun.instrument, driver.happened, begun.action, begun.settings, begun.before, self.act_name(begun.step)
        ))  # fmt: skip
        seen = state.witnesses.get(begun.instrument)
        if verdict.state == "cannot_tell" and seen is not None and seen.tells:
            then = driver.witnessed(begun.action, begun.settings, begun.before, seen.after, seen.first_reply)
            if then.state != "cannot_tell":
                verdict = dataclasses.replace(then, why=f"{then.why}, as the guard read them")
        if doubtful := no_number(verdict.achieved) or no_number(verdict.remainder):
            verdict = Verdict(state="cannot_tell", why=f"It says {doubtful}. {verdict.why}")
        if verdict.state == "cannot_tell" and self.action(begun.instrument, begun.action).holds:
            return Verdict(state="partial", why=verdict.why)  # nobody is asked how long a condition was kept
        if verdict.remainder and (why := self.admission.beyond(begun, verdict.remainder)):
            verdict = dataclasses.replace(verdict, remainder={}, why=f"{verdict.why}. The rest cannot be done: {why}")
        return verdict

    def act_name(self, step: str) -> str:
        """The name by which an instrument that remembers its acts knows this one: unique among all runs."""
        opened = self.memory.state.opened
        return f"{opened.run_id if opened else ''}/{step}"

    def _now(self) -> float:
        return round(self.clock.now_s(), 6)

    async def _prepare(self, begun: e.StepStarted, permit: Permit) -> None:
        station = self.stations[begun.instrument]
        for last in (False, False, True):
            if self.halt.is_set():
                raise Interrupted
            try:
                await self.reach.reading(begun.instrument, station.prepare, permit, self.act_name(begun.step))
            except InstrumentFault as fault:  # it was switched off and on while it was set up: nothing has begun
                if last or fault.kind != PASSING:
                    raise
            else:
                return

    async def _begin(
        self, begun: e.StepStarted, action: Action, permit: Permit, not_after_s: float, start: Start
    ) -> None:
        """Begin it, once: when its beginning was lost on the wire, the instrument is asked what became of it.

        Where its line was away, for hours maybe, its permit is worth nothing any more: alone, it has not begun, and all
        is looked at anew; what was to begin together with others gets a new one, or does not begin.
        """
        name, act = begun.instrument, self.act_name(begun.step)
        trouble = self.reach.trouble(name)
        self.at_work.seen(begun.step)
        while True:
            if self.halt.is_set():
                raise Interrupted
            if self.clock.now_s() > not_after_s:
                raise NotBegun("the sample became too old while it was tried")
            try:
                await self.reach.call(name, self.stations[name].begin, permit, act)
                self.at_work.seen(begun.step)
                return
            except LinkInterrupted:
                raise
            except (LinkError, ProtocolError) as error:
                await trouble.met(error)
                if action.act:
                    verdict = await self.ask(self.memory.state.steps[begun.step])
                    if verdict.state in ("done", "running"):
                        return
                    if verdict.state != "not_begun":
                        why = f"{str(error).rstrip('.')}. Asked again, it said: {verdict.why}"
                        raise Judged(dataclasses.replace(verdict, why=why)) from error
                if start.was_away():
                    if start.alone:
                        raise NotBegun(f"its line was lost before it began: {error}") from error
                    permit = await self._permit_again(begun, start.wished)
                elif start.alone and action.act and (why := self._waits()):  # it has not begun: it said so
                    raise NotBegun(f"it was tried and did not begin, and now {why}: {error}") from error

    async def _permit_again(self, begun: e.StepStarted, beside: Sequence[e.StepStarted]) -> Permit:
        """A permit for now, and the step set up again, when its line was away. Raises NotBegun."""
        try:
            await self._look([begun])
            permit = self.admission.permit_again(begun, begun.trial, beside)
        except SafetyError as error:
            raise NotBegun(f"its line was lost before it began, and now {error}") from error
        await self._prepare(begun, permit)
        if why := self._waits():
            raise NotBegun(f"its line was lost before it began, and {why}")
        return permit

    def _waits(self) -> str:
        """Why nothing may begin now, in words; empty when it may."""
        state = self.memory.state
        if state.held:
            return f"{next(iter(state.held))} holds it"
        return "" if state.may_begin else "the run is paused"

    async def watch(
        self, begun: e.StepStarted, action: Action, resolved: Mapping[str, e.Value], since_s: float, save_as: str
    ) -> None:
        """Look at an action that was begun at ``since_s`` until it is done."""
        name, step = begun.instrument, self.memory.state.steps[begun.step]
        driver = self.stations[name].driver
        limit_s = self.stations[name].declaration.most_s(action.name, resolved) + GRACE_S

        def progress() -> Progress:  # after an outage it is later than when it was asked first
            now: Progress = driver.progress(self.clock.now_s() - since_s)
            return now

        while True:
            look = await self.reach.reading(name, progress)
            if look.readings:
                self.admission.see(name, look.readings)
            if look.done:
                declared, ended_s = self.stations[name].declaration, self.at_work.over(begun)
                self.memory.record(finished(begun, look, save_as, action, declared, self.memory.keep, ended_s))
                return
            self.at_work.seen(begun.step, look.again_in_s)
            if dict(look.kept) != step.kept:
                self.memory.record(
                    e.StepKept(step=begun.step, kept=dict(look.kept), since_t_s=round(since_s, 6), t_s=self._now())
                )
            if self.clock.now_s() - since_s > limit_s:
                raise InstrumentFault(f"{name}.{action.name} had not ended after {limit_s:.0f} s", kind="overdue")
            if await self.clock.wait(self.halt, look.again_in_s):
                raise Interrupted

    async def _cut_short(self, begun: e.StepStarted, action: Action, start: Start, fault: str, reason: str) -> None:
        """Record what a step came to that ended in a fault, by what its instrument says of it."""
        state = self.memory.state.steps[begun.step]
        failed = e.StepFailed(step=begun.step, fault=fault, reason=reason, t_s=self._now())
        if not needs_asking(action):
            self.settled(failed)
            return
        verdict = await self.ask(state)
        if verdict.state == "not_begun" and fault == PASSING:
            start.undone.append(replace(failed, fault=NOT_DONE, by=INSTRUMENT))
        elif verdict.state == "cannot_tell" and not action.repeatable:
            self.settled(question(state, f"It was cut short: {reason}; {verdict.why}.", knows=self.knows))
        elif verdict.state == "done":
            self.settled(settle(state, "", verdict, self._now(), ended_s=self.at_work.earliest_end(begun)))
        else:
            achieved = nothing(action) if verdict.state == "not_begun" else verdict.achieved
            self.settled(replace(failed, achieved=dict(achieved), remainder=dict(verdict.remainder)))

    async def _stop(self, name: str) -> None:
        await self.reach.reading(name, self.stations[name].driver.stop)


async def _nothing_goes_on(steps: Sequence[StepState]) -> None:
    """Nothing was left running by an earlier runner."""
