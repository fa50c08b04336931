"""After a pause every setting is read again, and what somebody has moved meanwhile is asked.

    at rest       as soon as nothing runs there any more, each instrument is asked, read-only, whether what was done
                  last with it still stands: set values, positions, counters, as its driver reads them back. A
                  person who paused waits for no other instrument before they turn a knob
    resumed       it is asked again. All alike: it is configured once more, and steps may begin
    moved         another answer than before: the run pauses again and says what is another. Put back, a resume finds it
                  alike; right as it is, a person says so, by force and with a reason
    set up        what setup set and no trial sets again (a stirrer, a bath) is asked after when a trial has begun, and
                  when its instrument went off by itself or its line was lost. What does not stand any more pauses the
                  run, as moved does

Compared is what an instrument says before with what it says after, not with what was wished: so nothing but a change
shows, and time alone is none (a ramp that came to its end). What cannot tell is asked nothing and tells nothing.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from labloop.bench import Action, BenchError, InstrumentFault, LinkInterrupted, Stand, Verdict
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.flags import sound_stands
from labloop.campaign.state import PAUSED, RUNNING, StepState

from .last_acts import LastActs
from .memory import RunMemory
from .reach import Ended, InstrumentGone
from .step import StepHand
from .watching import Ends

AS_DONE: Final = "as it was done"
# What a driver's verdict says of an act that is over: one that still moves towards its end stands as well.
STANDS: Final[Mapping[str, str]] = {"done": AS_DONE, "running": AS_DONE}
# Faults by which an instrument says that it went off by itself, or was switched off and on.
WENT_OFF: Final = frozenset({"off", "reset"})


class Rereading:
    """Reads the instruments of one run again. ``end`` ends the run; ``run`` goes on until it is cancelled."""

    def __init__(self, hand: StepHand, memory: RunMemory, end: Ends) -> None:
        self._hand = hand
        self._memory = memory
        self._end = end
        self._last = LastActs(memory.state.steps.values())
        self._stood: dict[str, dict[str, str]] = {}  # by instrument: what it said first since the pause
        self._counted: dict[str, dict[str, Stand]] = {}  # and what it counted then
        self._due: dict[str, str] = {}  # what setup did and is gone: a resume must find it again
        self._cleared: set[str] = set()  # instruments whose counters were wiped for an act that the pause forestalled
        # Instruments at which something was done for all trials, and what an earlier runner did there stands still.
        steps, done = memory.state.loose_steps, memory.state.phases
        self._set_up = {step.begun.instrument for step in steps if step.begun.phase in done}
        self._undone: set[str] = set()  # of these: where that is to be looked at
        self._news = asyncio.Event()
        memory.listeners.append(self._hear)

    def _hear(self, record: e.Record) -> None:
        fact = record.event
        if isinstance(fact, e.StepStarted):
            self._last.begin(self._memory.state.steps[fact.step])
            self._stood.pop(fact.instrument, None)
            self._cleared.discard(fact.instrument)
            self._set_up |= {fact.instrument} if fact.trial is None else set()
        elif isinstance(fact, e.CountersCleared):
            self._cleared.add(fact.instrument)
            self._counted.pop(fact.instrument, None)
        elif isinstance(fact, e.TrialStarted):
            self._undone |= self._set_up
        elif isinstance(fact, e.MovedAccepted):
            self._stood.clear()
            self._due.clear()
        elif isinstance(fact, e.InstrumentLost):
            self._undone |= {fact.instrument} & self._set_up
        elif isinstance(fact, e.StepFailed) and fact.fault in WENT_OFF:
            self._undone |= {self._memory.state.steps[fact.step].begun.instrument} & self._set_up
        self._news.set()

    async def run(self) -> None:
        """Do what is due whenever a fact has come, until cancelled or the run ends. Raises StoreError."""
        try:
            while True:
                self._news.clear()
                await self._turn()
                await self._news.wait()
        except (Ended, InstrumentGone, LinkInterrupted):  # the run is ending, and its end says why
            return
        except BenchError as error:
            self._end("lost", str(error), 3)

    async def _turn(self) -> None:
        state = self._memory.state
        if self._hand.halt.is_set():  # made safe: nothing is set up there any more
            return
        if not state.unread:
            if state.state == RUNNING:
                await self._still_set_up()
            return
        if state.state == PAUSED and state.stood is None:
            await (self._at_rest() if self._rests() else self._on_the_way())
        elif state.state == RUNNING:
            await self._resumed()

    def _rests(self) -> bool:
        return all(does in ("idle", "lost") for does in self._memory.state.instruments.values())

    def _free(self) -> list[str]:
        """The instruments that can be asked: nothing runs there that we know of, and their line is there."""
        does, unsettled = self._memory.state.instruments, self._hand.reach.unsettled
        return [
            name
            for name, one in self._hand.stations.items()
            if does.get(name) == "idle" and not unsettled(name) and not one.port.lost
        ]

    async def _on_the_way(self) -> None:
        """Read where nothing runs any more, while other instruments still work."""
        for name in self._free():
            if name not in self._stood:
                await self._read_first(name)

    async def _read_first(self, name: str) -> None:
        state = self._memory.state
        begun = len(state.steps)
        found, _ = await self._found([name])
        counted = await self._counts(name)
        if state.state == PAUSED and len(state.steps) == begun:  # else it was not at rest, and it is asked anew
            self._stood[name], self._counted[name] = found, counted

    async def _counts(self, name: str) -> dict[str, Stand]:
        """What it counts of what it moved; nothing, where nothing was done with it."""
        station = self._hand.stations[name]
        if not self._standing(name):
            return {}
        try:
            said = await self._hand.reach.named(name, station.driver.stands)
        except InstrumentFault:
            return {}
        return {where: one for where, one in sound_stands(said).items() if one.counts}

    async def _at_rest(self) -> None:
        state = self._memory.state
        begun = len(state.steps)
        await self._on_the_way()
        if state.state == PAUSED and len(state.steps) == begun and self._rests():
            counted = {name: one for name in self._stood if (one := self._counted.get(name))}
            self._memory.record(e.SettingsRead(found=self._first(), counted=counted, t_s=self._now()))

    def _first(self) -> dict[str, str]:
        return {key: said for found in self._stood.values() for key, said in found.items()}

    async def _resumed(self) -> None:
        state, free = self._memory.state, self._free()
        resumed = state.resumed_seq
        stood = {**(self._first() if state.stood is None else state.stood), **self._due}

        def over() -> bool:
            """Paused again meanwhile, and perhaps resumed again as well: what was read is no longer what stands."""
            return state.state != RUNNING or state.resumed_seq != resumed

        found, why = await self._found(free)
        if over():
            return
        moved = {
            name: why[name] for name, said in stood.items() if found.get(name, said) != said and not self._wiped(name)
        }
        moved |= dict.fromkeys(state.by_hand.values(), "done by hand")
        if moved:
            self._memory.record(
                e.SettingsRead(found=found, moved=moved, resumed=True, t_s=self._now()),
                e.CampaignPaused(reason=asks(moved, "the run was paused")),
            )
            return
        for name in free:
            if over():  # something may be done there by hand
                return
            try:
                await self._hand.reach.configure(name)
            except InstrumentFault as fault:
                if not over():
                    self._memory.record(e.CampaignPaused(reason=f"{fault}. See to it, and say resume"))
                return
        if not over():
            self._hand.reach.unverified |= self._hand.stations.keys() - set(free)  # before they begin anything
            self._stood.clear()
            self._due.clear()
            self._memory.record(e.SettingsRead(found=found, resumed=True, t_s=self._now()))

    def _wiped(self, key: str) -> bool:
        """Whether it is counted by counters that the run itself has cleared since."""
        name, _, action = key.partition(".")
        return name in self._cleared and bool(self._hand.action(name, action).amount)

    async def _still_set_up(self) -> None:
        """What was set for all trials stands still, or is asked about."""
        state = self._memory.state
        for name in [one for one in self._free() if one in self._undone] if self._undone else ():
            self._undone.discard(name)
            lasting = self._lasting(name)
            if not lasting:
                continue
            found, why = await self._found([name])
            gone = {key: why[key] for key, action in lasting.items() if _is_gone(found.get(key, AS_DONE), action)}
            if gone and state.state == RUNNING and not self._hand.halt.is_set():
                self._due |= dict.fromkeys(gone, AS_DONE)
                self._memory.record(
                    e.CampaignPaused(reason=asks(gone, "it was set up")),
                    e.SettingsRead(found=found, moved=gone, resumed=True, t_s=self._now()),
                )
                return

    def _lasting(self, name: str) -> dict[str, Action]:
        """Acts outside the trials that set something, which no act has set since: what a trial relies on there.

        What sets nothing (a rinse), or measures what is not read at any other time, is over when it is done.
        """
        lasting: dict[str, Action] = {}
        reads = {signal.name for signal in self._hand.stations[name].driver.signals}
        for step in self._standing(name):
            begun, action = step.begun, self._hand.action(name, step.begun.action)
            sets = bool(begun.settings) and (action.repeatable or (action.holds and action.rejoins))
            measures = any(signal.name not in reads for signal in action.gives)
            if begun.trial is None and sets and not (action.amount or measures or self._last.is_set_since(step)):
                lasting[f"{name}.{begun.action}"] = action
        return lasting

    async def _found(self, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """What the instruments say of what was done with them: in a word to be compared, and in their own words."""
        found: dict[str, str] = {}
        why: dict[str, str] = {}
        for step, last in list(self._last_of(names)):
            begun, key = step.begun, f"{step.begun.instrument}.{step.begun.action}"
            driver = self._hand.stations[begun.instrument].driver
            try:
                verdict: Verdict = await self._hand.reach.named(
                    begun.instrument, driver.happened, begun.action, begun.settings, begun.before,
                    self._hand.act_name(begun.step),
                )  # fmt: skip
            except InstrumentFault as fault:
                found[key] = why[key] = str(fault)
                continue
            except SpecError:  # its settings were renamed or narrowed since: this code cannot tell
                continue
            found[key], why[key] = STANDS.get(verdict.state, verdict.state), verdict.why
            amount = verdict.achieved.get(self._hand.action(begun.instrument, begun.action).amount)
            if last and amount is not None:
                said = f"{float(amount.value):.6g} {amount.unit}"
                found[key], why[key] = f"{found[key]}, {said}", f"{verdict.why}; it counts {said}"
        return found, why

    def _last_of(self, names: Iterable[str]) -> Iterator[tuple[StepState, bool]]:
        """What stands at each, and whether none came after it there: what a counter says of an earlier act, later ones
        have changed."""
        for name in names:
            acts = self._standing(name)
            yield from ((step, step is acts[-1]) for step in acts)

    def _standing(self, name: str) -> list[StepState]:
        return self._last.standing(name, self._hand.stations[name].actions.get)

    def _now(self) -> float:
        return round(self._hand.clock.now_s(), 6)


def _is_gone(said: str, action: Action) -> bool:
    """Whether it stood, and does not: what keeps no record, or was over when it was done (a measurement), says nothing
    of that."""
    return said not in (AS_DONE, "cannot_tell") and (said != "partial" or action.rejoins)


def asks(moved: Mapping[str, str], when: str) -> str:
    """The question about what was ``moved`` since ``when``, and what may be answered."""
    what = "; ".join(f"{name} ({why})" for name, why in moved.items())
    return (
        f"not as it was when {when}: {what}. Put it back and say resume; or, if it is right as it is, say so: "
        "resume --force --why TEXT"
    )
