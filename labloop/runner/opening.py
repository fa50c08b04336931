"""What an earlier runner left: identify, ask what became of what was begun, and only then configure.

Asking is read-only, and comes first because configuring may wipe the evidence. What each begun step came to becomes a
fact at once (see recovery), so a start that is killed in the middle is simply made again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final

from labloop.bench import Action, Identity, InstrumentFault, Verdict
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.recipe import PlannedStage
from labloop.campaign.spec import CampaignSpec

from .memory import RunMemory
from .questions import Waits, undone, with_trial
from .reach import Ended, InstrumentGone, Station
from .recovery import AGAIN, NOT_DONE, goes_on, needs_asking, place, policy, settle, was_done
from .rejoin import Rejoining
from .schedule import planned
from .start import all_ended
from .step import GRACE_S, StepHand

LOOK_S: Final = 0.2  # between two looks whether a line is away, once somebody else has answered on another
# On a line that turns a character in each tenth answer, four in a row that differ from the one before are a line that
# no run should be begun on.
MOST_SAID: Final = 4


class Opening:
    """The first minutes of a run, on an open lab."""

    def __init__(self, spec: CampaignSpec, hand: StepHand, memory: RunMemory) -> None:
        self.spec = spec
        self.hand = hand
        self.memory = memory
        hand.knows.recipe = self._may_wait
        self.going_on: list[s.StepState] = []  # what still runs, and is to be watched again

    async def identify(self) -> str:
        """Ask every instrument who it is, all lines at once, setting nothing; which are not those that were here before
        ("": none).

        Where somebody else answers that is told at once: lines that are away may be waited for without end.

        Raises InstrumentFault, InstrumentGone.
        """
        asked = {
            asyncio.ensure_future(self._identified(name, station)): name for name, station in self.hand.stations.items()
        }
        left, away = set(asked), self.hand.reach.is_away
        while left and not (any(map(_wrong, asked.keys() - left)) and all(away(asked[one]) for one in left)):
            _, left = await asyncio.wait(left, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        strangers = [stranger for stranger in await all_ended(one for one in asked if one not in left) if stranger]
        if not strangers:
            return ""
        return (
            f"{'; '.join(strangers)}. Put back what was there, or say that it was replaced on purpose "
            f"(`labloop request RUN replaced {strangers[0].partition(':')[0]}`), and resume"
        )

    async def _identified(self, name: str, station: Station) -> str:
        """Who one instrument says that it is, as a fact; in words when it is not the one that was here before."""
        others = self.hand.book is not None and self.hand.book.others_until != ""  # who asked, and left us no answer
        if self.hand.reach.unsettled(name):
            self.memory.record(*[e.InstrumentAsked(instrument=name)] * (2 if others else 1))
        known = self.memory.state.identities.get(name)
        was = () if known is None else (known.model, known.serial)
        try:
            now = station.identity = await self._said_alike(name, station, *was)
        except InstrumentFault as fault:
            station.stranger = str(fault) if fault.kind == "identity" else ""
            raise
        if known is not None and not now.is_still(known.model, known.serial):
            station.stranger = f"{_who(now)} answers where {_who(known)} was"
            return f"{name}: {station.stranger}"
        if known is not None:
            now = station.identity = now.completed(known.firmware, known.serial)
        self.memory.record(
            e.InstrumentIdentified(
                instrument=name, model=now.model, firmware=now.firmware, serial=now.serial, first_reply=now.first_reply
            )
        )
        return ""

    async def _said_alike(self, name: str, station: Station, *was: str) -> Identity:
        """Who it says that it is; where nobody knew that before, only when it has said so twice in a row.

        A line without a checksum turns a character now and then, and what is believed here is held against the
        instrument ever after. Raises as ``named`` does.
        """
        first = found = await self.hand.reach.named(name, station.identify, *was)
        if was:
            return found
        said = [_who(found)]
        while len(said) < MOST_SAID:
            again = await self.hand.reach.named(name, station.identify, found.model, found.serial)
            if again.is_still(found.model, found.serial) and found.is_still(again.model, again.serial):
                return replace(again if found.busy else found, first_reply=first.first_reply)
            found = again
            said.append(_who(found))
        raise self.hand.reach.give_up(
            name, f"it says another time that it is another: {', '.join(said)}. Look at its cable and its line settings"
        )

    async def settle(self) -> None:
        """Ask what became of every step that was begun and never ended, and record it. Raises InstrumentGone, Ended."""
        state = self.memory.state
        later: dict[tuple[int | None, str, int, int], list[e.StepFailed]] = {}  # by stage, when all of it is known
        for step in list(state.running.values()):
            fact = await self._settled(step)
            if fact is None:
                self.going_on.append(step)
            elif isinstance(fact, e.StepFailed) and fact.fault == NOT_DONE:
                later.setdefault(place(step.begun)[:-1], []).append(fact)
            else:
                self.memory.record(*with_trial(state, fact))
        for facts in later.values():
            for fact in undone(state, facts, self._policy(state.steps[facts[0].step]), self.hand.knows):
                self.memory.record(*with_trial(state, fact))

    @property
    def busy(self) -> set[str]:
        """The instruments on which something goes on."""
        return {step.begun.instrument for step in self.going_on}

    async def configure(self) -> None:
        """Send every instrument its settings. Raises InstrumentFault, InstrumentGone."""
        busy = self.busy  # their turn comes when they are free
        for name in self.hand.stations:
            if name not in busy:
                await self.hand.reach.configure(name)

    async def rejoin(
        self, rejoining: Rejoining, watch: Callable[[Collection[str]], Awaitable[None]]
    ) -> None:  # fmt: skip
        """Let what still runs be watched again, and the bench with it: others' lines may be away for hours yet."""
        for step in self.going_on:
            stage = self._stages(step.begun)[step.begun.stage]
            rejoining.begin(step, stage.steps[step.begun.index].save_as or "", self._policy(step))
        if self.going_on:
            await watch(self.busy)

    async def _settled(self, step: s.StepState) -> e.Fact | None:
        """What a begun step came to; None: it still runs, and is watched again.

        One whose sample was given up meanwhile is stopped instead.
        """
        begun = step.begun
        action = self.hand.action(begun.instrument, begun.action)
        verdict, ended_s = None, self.hand.clock.now_s()
        if needs_asking(action):
            verdict, ended_s = await self._come_to_rest(step, action)
            if goes_on(action, verdict):
                if not self._given_up(begun):
                    return None
                await self.hand.reach.named(begun.instrument, self.hand.stations[begun.instrument].driver.stop)
                verdict, ended_s = await self.hand.ask(step), self.hand.clock.now_s()
        return settle(
            step, self._policy(step), verdict, round(self.hand.clock.now_s(), 6), ended_s=round(ended_s, 6),
            repeatable=action.repeatable, knows=self.hand.knows,
        )  # fmt: skip

    def _stages(self, begun: e.StepStarted) -> tuple[PlannedStage, ...]:
        settings = self.memory.state.trials[begun.trial].settings if begun.trial is not None else {}
        return planned(self.spec, begun.phase, settings)

    def _may_wait(self, begun: e.StepStarted) -> Waits:
        here, *later = self._stages(begun)[begun.stage :]
        return here.start_within_s, later[0].start_within_s if later else None

    def _given_up(self, begun: e.StepStarted) -> bool:
        return begun.trial is not None and self.memory.state.trials[begun.trial].state == s.ABANDONED

    def _policy(self, step: s.StepState) -> str:
        if self._given_up(step.begun):
            return "discard"
        state, trial = self.memory.state, step.begun.trial
        if was_done(step.begun, state.loose_steps if trial is None else state.trials[trial].steps):
            return AGAIN
        stage = self._stages(step.begun)[step.begun.stage]
        return policy(stage.if_interrupted, (self.hand.action(p.instrument, p.action) for p in stage.steps))

    async def _come_to_rest(self, step: s.StepState, action: Action) -> tuple[Verdict, float]:
        """What the instrument says of a begun act, and when that ended at the earliest.

        One that still runs, and cannot be watched again, is let come to its end, within reason.
        """
        begun, clock = step.begun, self.hand.clock
        settings = self.hand.envelope.resolve(begun.instrument, begun.action, begun.settings)
        declared = self.hand.stations[begun.instrument].declaration
        until_s = clock.now_s() + declared.most_s(begun.action, settings) + GRACE_S
        while True:
            verdict = await self.hand.ask(step)
            if verdict.state != "running" or goes_on(action, verdict):
                return verdict, self.hand.at_work.earliest_end(begun)
            self.hand.at_work.seen(begun.step)
            if clock.now_s() > until_s:
                why = f"It still runs, long after its time: {verdict.why}"
                return Verdict(state="cannot_tell", why=why), clock.now_s()
            if await clock.wait(self.hand.halt, 1.0):
                raise Ended


def _wrong(asked: "asyncio.Future[str]") -> bool:
    """Whether it was found out that the run cannot begin; that an instrument is gone ends it without us."""
    met = asked.exception()
    return bool(asked.result()) if met is None else not isinstance(met, InstrumentGone)


def _who(one: Identity | e.InstrumentIdentified) -> str:
    return " ".join(filter(None, (one.model, one.serial)))
