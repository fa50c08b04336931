"""One trial, or one pass of a phase, walked from stage to stage until it is over.

Where it stands is read off the facts each time, so a walk that a crash broke off is simply begun again.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from labloop.bench import Action, SafetyError
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.recipe import PlannedStage

from . import recovery
from .reach import MOST_OUTAGES, Ended
from .schedule import NextStage, instruments_of, next_stage
from .set_again import fallen, taken_back
from .start import Beginning
from .step import StepHand

Gate = Callable[[frozenset[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a walk ended: "done", "fail", "abandon", "refuse", "doubt", "stale"; ``why`` in words."""

    verdict: str
    why: str = ""


@dataclass(slots=True, kw_only=True)
class Walk:
    """``phase`` of ``trial`` (None: pass ``number`` of a phase that belongs to no trial).

    ``gate``: returns when a stage may take its instruments, raises Ended when no new step may start. ``pipelined``: it
    has let go of the instruments that no stage ahead needs.
    """

    hand: StepHand
    stages: Sequence[PlannedStage]
    phase: str
    gate: Gate
    trial: int | None = None
    number: int = 0
    pipelined: bool = False
    _looked: bool = False  # whether what was set before this start was asked after
    _did: bool = False  # whether anything was done since

    def steps(self) -> list[s.StepState]:
        """Every attempt so far, in the journal's order."""
        state = self.hand.memory.state
        if self.trial is not None:
            return [step for step in state.trials[self.trial].steps if step.begun.phase == self.phase]
        return [
            step for step in state.loose_steps if step.begun.phase == self.phase and step.begun.number == self.number
        ]

    async def run(self, *, forgive: bool = False) -> End:
        """Walk to the end. ``forgive``: what failed in an earlier run is done again (cleanup, setup).

        Raises InstrumentGone, OutOfStock, Ended.
        """
        outages, began = 0, self.hand.memory.state.seq
        again: list[NextStage] = []
        while True:
            steps = self.steps()
            if any(step.state == s.IN_DOUBT for step in steps):
                return End(verdict="doubt", why="an act may or may not have been done")
            if not self._looked:
                self._looked, again = True, await self._taken_back(steps)
            running = [step for step in steps if step.state == s.STARTED]
            ahead = next_stage(self.stages, steps, self.phase)
            if ahead is None and not again:
                return await self._over(steps)
            judgement = recovery.Judgement(verdict="run")
            # What was to be set again and failed is tried again before what is to be set again behind it.
            first = bool(again) and (ahead is None or again[0].number <= ahead.number)
            if ahead is not None and not (running and first):
                judgement = recovery.judge(
                    ahead, steps, self.phase, self._actions(ahead), self.hand.teaches,
                    forgive=forgive and not self._failed(ahead, began),
                )  # fmt: skip
            # And beside what goes on.
            waits = not again and any(ahead is None or ahead.number >= step.begun.stage for step in running)
            if running and (waits or judgement.verdict != "run"):
                await self.hand.rejoined(running)
                if any(step.state == s.STARTED for step in running):
                    raise Ended
                self._did = True
                continue
            if judgement.verdict != "run":
                return End(verdict=judgement.verdict, why=judgement.why)
            if ahead is not None and not (running or forgive) and self._stale(ahead):
                again, first = [], False
            sets = ahead is None or bool(again or running) or self._is_done(ahead)
            if ahead is None or first:
                ahead, judgement = again[0], recovery.Judgement(verdict="run")
            planned = list(ahead.steps.values())
            await self.gate(frozenset(step.instrument for step in (planned if sets else ahead.stage.steps)))
            returns = self.hand.returns(planned)
            if not (sets or forgive) and (stale := self._stale(ahead)):
                return End(verdict="stale", why=stale)
            try:
                early_s = await self.hand.admit(planned, self.trial)
                if early_s > 0.0:
                    await self.hand.clock.wait(self.hand.halt, early_s)
                    continue
                if judgement.wait_s:
                    await self.hand.reach.wait(judgement.wait_s)
                self._did = True
                not_after_s = math.inf if sets or forgive else self._not_after_s(ahead)
                if await self._run_stage(ahead, judgement, returns, not_after_s):
                    forgive, outages = forgive and sets, 0
                    again = again[1:] if first else again
                    continue
            except SafetyError as error:
                return End(verdict="refuse", why=str(error))
            if self.hand.returns(planned) != returns:
                outages += 1
            if outages > MOST_OUTAGES:
                name = next(one.instrument for one in planned if one.instrument != e.PERSON)
                raise self.hand.reach.give_up(name, "a line that it needs comes and goes")

    async def _taken_back(self, steps: Sequence[s.StepState]) -> list[NextStage]:
        """What this walk has set, and stands no more: to be set again before it goes on (see set_again)."""
        ahead = next_stage(self.stages, steps, self.phase) if steps else None
        if not steps or (ahead is None and self.trial is not None):
            return []
        state = self.hand.memory.state
        left = {step.begun.instrument for step in state.running.values()}  # what works is asked nothing
        if ahead is not None:
            left |= self._released(ahead.number)
        since = [  # setup is done again after a safe state: what that sets was set before any of these
            one for one in state.steps.values()
            if one.seq >= steps[0].seq and (self.phase == "setup" or one.begun.phase != "setup")
        ]  # fmt: skip
        set_up = {
            one.begun.instrument: one.seq for one in state.steps.values()
            if one.begun.phase == "setup" and self.phase != "setup"
        }  # fmt: skip
        undone = await taken_back(self.hand, steps if self.trial is not None else since, steps, left, set_up)
        return [
            NextStage(
                number=number, stage=self.stages[number],
                steps={step.begun.index: self.stages[number].steps[step.begun.index] for step in group},
                attempt=1 + max(self._attempts(number, step.begun.index) for step in group),
            )
            for number, group in _by_stage(undone)
        ]  # fmt: skip

    def _released(self, stage: int) -> set[str]:
        """The instruments that it has let go of by this stage."""
        return self.hand.stations.keys() - instruments_of(self.stages[stage:]) if self.pipelined else set()

    async def _over(self, steps: Sequence[s.StepState]) -> End:
        """Done; of a trial in which something was done just now, if all stands that it has set (see set_again)."""
        if self.phase != "trial" or not self._did:
            return End(verdict="done")
        working = {step.begun.instrument for step in self.hand.memory.state.running.values()}
        gone = await fallen(self.hand, steps, working | self._released(len(self.stages) - 1))
        if not gone or self.hand.halt.is_set():  # what the safe state has ended just now stood until then
            return End(verdict="done")
        return End(verdict="abandon", why=f"not as it was set in this trial: {'; '.join(gone)}")

    async def _run_stage(
        self, ahead: NextStage, judgement: recovery.Judgement, returns: int, not_after_s: float
    ) -> bool:  # fmt: skip
        actions = self._actions(ahead)
        says = recovery.AGAIN if self._is_done(ahead) else recovery.policy(ahead.stage.if_interrupted, actions.values())
        where = str(self.trial) if self.trial is not None else f"{self.phase}-{self.number}"
        steps = [
            Beginning(
                begun=e.StepStarted(
                    step=f"{where}.{self.phase}.{ahead.number}.{index}.{self._attempts(ahead.number, index) + 1}",
                    trial=self.trial, phase=self.phase, number=self.number, stage=ahead.number, index=index,
                    attempt=ahead.attempt, instrument=planned.instrument, action=planned.action,
                    settings=dict(judgement.overrides.get(index, planned.settings)),
                    act=actions[planned.instrument, planned.action].act,
                ),
                save_as=planned.save_as or "",
            )
            for index, planned in ahead.steps.items()
        ]  # fmt: skip
        return await self.hand.run_stage(steps, says, returns, not_after_s)

    def _attempts(self, stage: int, index: int) -> int:
        return sum((step.begun.stage, step.begun.index) == (stage, index) for step in self.steps())

    def _failed(self, ahead: NextStage, since: int) -> bool:
        """Whether what is ahead has failed already in this run."""
        return any(
            step.begun.stage == ahead.number and step.begun.index in ahead.steps and step.state == s.FAILED
            for step in self.steps() if step.seq > since
        )  # fmt: skip

    def _is_done(self, ahead: NextStage) -> bool:
        """Whether all that is ahead was done already, and is only to be set again."""
        done = {one.begun.index for one in self.steps() if one.begun.stage == ahead.number and one.state == s.FINISHED}
        return ahead.steps.keys() <= done

    def _actions(self, ahead: NextStage) -> dict[tuple[str, str], Action]:
        return {
            (step.instrument, step.action): self.hand.action(step.instrument, step.action) for step in ahead.stage.steps
        }

    def _not_after_s(self, ahead: NextStage) -> float:
        """Until when the stage ahead may begin: after that the sample is too old for it."""
        within_s = None if self._is_done(ahead) else ahead.stage.start_within_s
        made: dict[tuple[int, int], float] = {}  # what was set again is no younger for it
        for step in self.steps() if within_s is not None else ():
            if step.begun.stage < ahead.number and step.state == s.FINISHED:
                made.setdefault((step.begun.stage, step.begun.index), step.ended_t_s)
        if within_s is None or not made:
            return math.inf
        last_s = max(made.values())
        return last_s + within_s if last_s > self.hand.clock.unknown_before_s else -math.inf

    def _stale(self, ahead: NextStage) -> str:
        """Why the sample is too old for the stage ahead; empty when it is not."""
        late_s = self.hand.clock.now_s() - self._not_after_s(ahead)
        if late_s <= 0.0:
            return ""
        within_s = ahead.stage.start_within_s or 0.0
        names = " and ".join(sorted({step.instrument for step in ahead.stage.steps}))
        if math.isinf(late_s):
            return (
                f"how long the sample waited for {names} is not known: this computer's clock was set back while nobody "
                f"ran. start_within is {within_s:.0f} s"
            )
        return f"the sample waited {within_s + late_s:.0f} s for {names}; start_within is {within_s:.0f} s"


def _by_stage(steps: Sequence[s.StepState]) -> list[tuple[int, list[s.StepState]]]:
    """By the stages that they belong to, in the recipe's order."""
    stages: dict[int, list[s.StepState]] = {}
    for step in steps:
        stages.setdefault(step.begun.stage, []).append(step)
    return sorted(stages.items())
