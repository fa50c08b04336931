"""An act by hand while a run is paused: done by the run itself, which has the bench, through the same gate.

    asked       the run is paused and at rest, nobody else's act by hand is under way, and the gate lets it begin
    begun       the instrument is set up, its counters are read, and ByHand is in the bench's journal before its first
                byte
    over        what its instrument says was done is in the bench's journal, its stock and totals; the run's own journal
                says that it was done, and a resume needs a person's word that all is right as it is (see rereading)
    broken off  its instrument is stopped and asked. One that does not answer ends the run, and the bench is made safe;
                the act stays open in the bench's journal, and whoever has the bench next asks first what became of it

While it lasts the watch over the bench goes on, nobody can resume, and a stop lets it come to its end; an abort does
not wait for it. A run that is killed meanwhile asks what became of it at its next start, before anything else is said
there.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labloop.bench import BenchError, InstrumentFault, LinkInterrupted, SafetyError, Verdict
from labloop.bench.lab import Lab
from labloop.bench.station import Station
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.recipe import PlannedStep
from labloop.campaign.state import PAUSED
from labloop.campaign.text import duration

from .admission import OutOfStock, hand_step
from .book import DEAD
from .hand_act import HandAct
from .left_by_hand import finish
from .memory import RunMemory
from .questions import amounts_text
from .reach import Ended, InstrumentGone, Reach
from .recovery import NOT_DONE
from .step import StepHand
from .watching import Ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An act that a person asked for, and why."""

    act: e.ByHand
    why: str


class BrokenOff(Exception):
    """The act cannot go on; ``error``: what it met."""

    def __init__(self, why: str, error: BaseException | None) -> None:
        self.error = error
        super().__init__(why)


class RunHandAct(HandAct):
    """An act by hand in a run: whoever drives it sees to what goes wrong, and waits for nothing meanwhile.

    Its calls go the way of the run's own (see Reach.call): one at a time, and what was told once is a fact before
    anybody, the watch too, asks the instrument anything else.
    """

    def __init__(self, reach: Reach, halt: asyncio.Event, station: Station, *more: Any, **words: Any) -> None:
        self._reach, self._halted_by = reach, halt
        super().__init__(station, *more, **words)

    @property
    def call(self) -> "asyncio.Future[Any]":
        """The exchange that is under way, or was last."""
        assert isinstance(self._call, asyncio.Future)
        return self._call

    def _submit(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        name = self.begun.instrument

        async def made() -> Any:
            if self._halted_by.is_set():  # since it was asked for
                raise LinkInterrupted(f"{name}: stopped before the call began")
            return await self._reach.call(name, call)

        calling = asyncio.ensure_future(made())
        calling.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait for it any more
        return calling

    def fail(self, why: str) -> e.ByHand:
        """Say so. Raises BrokenOff, always."""
        raise BrokenOff(why, sys.exception())


class Hands:
    """Does what a person asks for by hand, one act at a time. ``end`` ends the run."""

    def __init__(self, hand: StepHand, memory: RunMemory, lab: Lab, run: str, end: Ends) -> None:
        self._hand = hand
        self._memory = memory
        self._lab = lab
        self._run = run
        self._end = end
        self._wanted: Wanted | None = None
        self._asked = asyncio.Event()
        self._rests = asyncio.Event()
        self._rests.set()
        self._goes_on = False  # whether somebody is there who does what is asked for

    @property
    def busy(self) -> str:
        """What is done by hand now ("": nothing)."""
        return "" if self._wanted is None else _name(self._wanted.act)

    def ask(self, act: e.ByHand, why: str) -> str:
        """Take an act on, or say why not. What is measured and decides about it is read before it begins."""
        if self.busy:
            return f"{self.busy} is under way by hand: one after the other"
        if not self._goes_on:
            return "the start still reads what stands there. Ask again when the run has gone on, and is paused again"
        name = act.instrument
        if name == e.PERSON or name not in self._hand.stations:
            return f"there is no instrument {name!r} on this bench"
        if self._hand.stations[name].port.lost:
            return f"{name} is lost: bring it back first"
        try:
            outside = self._hand.envelope.complaints(name, act.action, act.settings, unread=False)
        except LabloopError as error:
            return str(error)
        if outside:
            return " ".join(outside)
        if held := self._held(act):
            return f"{held}: nothing is done by hand before that is over, but what switches off"
        run_id = self._memory.state.opened.run_id if self._memory.state.opened else ""
        made = e.ByHand(
            act=f"{run_id}/hand-{act.act}", instrument=name, action=act.action, settings=act.settings, by=act.by,
            run=self._run,
        )  # fmt: skip
        self._wanted = Wanted(act=made, why=why)
        self._rests.clear()
        self._asked.set()
        return ""

    async def run(self) -> None:
        """Do what is asked for, until cancelled; before and after that nothing is taken on. Raises StoreError."""
        self._goes_on = True
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                assert self._wanted is not None
                await self._do(self._wanted)
                self._rest()
        finally:
            self._goes_on = False
            self._rest()

    def _rest(self) -> None:
        self._wanted = None
        self._rests.set()

    async def rests(self) -> None:
        """Wait until nothing is done by hand any more."""
        await self._rests.wait()

    # --- one act --------------------------------------------------------------------------------------------------

    async def _do(self, wanted: Wanted) -> None:
        try:
            under_way = await self._set_up(wanted.act)
        except (Ended, InstrumentGone, LinkInterrupted):  # the run is ending, and its end says why
            self._note(f"{_name(wanted.act)} was not begun by hand: the run is ending")
            return
        except (LabloopError, OutOfStock) as error:
            self._note(f"{_name(wanted.act)} was not begun by hand: {error}")
            return
        lasts = f"; it takes about {duration(under_way.duration_s)}" if under_way.duration_s else ""
        self._note(f"{_name(wanted.act)} begins by hand{lasts}")
        ended: e.ByHand | None
        tell = self._hand.admission.tell  # the bench's journal has the act itself
        with self._hand.reach.by_hand(wanted.act.instrument, under_way):
            try:
                ended = await self._to_its_end(under_way)
            except BrokenOff as broken:
                ended = await self._broken_off(under_way, broken)
        if ended is None:
            tell(e.StepFailed(step=under_way.begun.act, fault="lost", reason="it does not say", t_s=self._now()))
            name = wanted.act.instrument
            self._note(
                f"{name} does not say what became of {_name(wanted.act)}: it is asked at the next start, before "
                f"anything else is said to it. {DEAD.format(name)}"
            )
            return
        if not under_way.written:  # nothing was sent
            self._hand.admission.totals.drop(ended.act)
            tell(e.StepFailed(step=ended.act, fault=NOT_DONE, reason=ended.failed, t_s=self._now()))
            self._note(f"{_name(wanted.act)} was not begun by hand: {ended.failed}")
            return
        tell(
            e.StepFinished(step=ended.act, achieved=ended.achieved, t_s=self._now()) if ended.done
            else e.StepFailed(step=ended.act, fault="stopped", reason=ended.failed, t_s=self._now())
        )  # fmt: skip
        with self._memory.store():
            finish(self._lab.declared, self._memory.bench_book, ended)
        came = amounts_text(ended.achieved) if ended.achieved else amounts_text(ended.settings)
        how = came if ended.done else f"{came}; not to its end: {ended.failed}"
        said = f"{_name(ended)} by {ended.by or 'a person'} ({how})"
        self._memory.record(e.ByHandSeen(acts={ended.act: said}, by=ended.by, why=wanted.why, t_s=self._now()))

    async def _set_up(self, act: e.ByHand) -> RunHandAct:
        """Through the gate, and ready to begin. Raises LabloopError, OutOfStock, Ended, InstrumentGone."""
        name, hand = act.instrument, self._hand
        step = PlannedStep(instrument=name, action=act.action, settings=dict(act.settings))
        station = self._lab.instruments[name]
        if await hand.admit([step], None) > 0.0:
            hand.admission.too_early(step)
        await hand.reach.configure(name)
        if hand.halt.is_set():
            raise Ended
        if (why := self._held(act)) or self._memory.state.state != PAUSED:
            raise SpecError(why or "the run is not paused any more")
        permit = hand.admission.permit(step, None)
        begun = RunHandAct(
            hand.reach, hand.halt, station, hand.admission, act, permit, write=self._write, make_safe=lambda why: []
        )
        hand.admission.totals.begin(act.act, name, act.action, act.settings)
        self._hand.admission.tell(hand_step(act, self._now()))
        return begun

    def _held(self, act: e.ByHand) -> str:
        """Which interlock stands in its way ("": none); in the way of what switches off stands none."""
        held = self._memory.state.held
        if not held or self._hand.action(act.instrument, act.action).stops:
            return ""
        return f"{next(iter(held))} holds the run"

    async def _to_its_end(self, act: RunHandAct) -> e.ByHand:
        """Turn by turn. Raises BrokenOff."""
        clock = self._hand.clock
        halted = asyncio.ensure_future(self._hand.halt.wait())
        try:
            while True:
                await asyncio.wait((act.call, halted), return_when=asyncio.FIRST_COMPLETED)
                if halted.done() or await clock.wait(self._hand.halt, max(act.due_s - clock.now_s(), 0.0)):
                    raise BrokenOff("the bench was made safe meanwhile", None)
                try:
                    ended = act.turn()
                except InstrumentGone as gone:  # the run has been told
                    raise BrokenOff(str(gone), gone) from gone
                if ended is not None:
                    return ended
        finally:
            halted.cancel()

    async def _broken_off(self, act: RunHandAct, broken: BrokenOff) -> e.ByHand | None:
        """Stop it, where that is not done for all of the bench, and ask what it came to; None: it does not say."""
        name = act.begun.instrument
        station = self._lab.instruments[name]
        why = f"{name}: {broken}" if not str(broken).startswith(name) else str(broken)
        if isinstance(broken.error, SafetyError):
            self._end("breach", why, 3)
        if not act.written:
            return act.ended_by(str(broken), None)
        while True:
            safe = self._hand.halt.is_set()
            if safe:
                await self._hand.made_safe.wait()
                act.tell()  # what it said once meanwhile
            try:
                verdict = await self._hand.reach.call(name, _stopped, station, act, not safe)
            except InstrumentGone:  # the run has been told
                return None
            except BenchError as error:
                act.tell()
                if not safe and self._hand.halt.is_set():
                    continue  # others were in the way: it is asked when the bench is safe
                if not safe:
                    fault = isinstance(error, InstrumentFault)
                    self._end("lost", f"{name} was stopped by hand, and says: {error}" if fault else str(error), 3)
                return None
            return act.ended_by("" if verdict.state == "done" else str(broken), verdict)

    # --- what is written down -------------------------------------------------------------------------------------

    def _write(self, fact: e.Fact) -> None:
        with self._memory.store():
            self._memory.bench_book.record(fact)

    def _note(self, text: str) -> None:
        self._memory.record(e.NoteTaken(text=text))

    def _now(self) -> float:
        return round(self._hand.clock.now_s(), 6)


def _stopped(station: Station, act: RunHandAct, stop: bool) -> Verdict:
    if stop:
        station.driver.stop()
    return act.ask()


def _name(act: e.ByHand) -> str:
    return f"{act.instrument}.{act.action}"
