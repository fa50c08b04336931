"""A person as an instrument of a run: asked, waited for, and never hurried past what they say.

A step of ``person`` begins like any other, as a fact; then it waits until it is answered:

    labloop request RUN resolve TRIAL.person done [name=value ...]     it is done, and this was read
    labloop request RUN resolve TRIAL.person not-done                  it is asked again
    labloop request RUN resolve TRIAL.person discard                   the sample is cleaned away

An answer may come while no runner lives. Nobody in ``reach_by``: the step fails like an instrument that was not ready.
A question that the run's end cuts short is asked anew when the run is resumed. In a simulated run a simulated person
answers after a minute.
"""

import asyncio
from typing import Final, Protocol

from msgspec.structs import replace

from labloop.bench import Action
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.asking import ACTION, Asking, asking, simulated_answer
from labloop.campaign.text import duration

from .clock import Clock

# Asking a person twice harms nothing, and what was not answered has not changed any matter.
DO: Final = Action(name=ACTION, repeatable=True, doc="Ask a person to do something, and what they read.")
SIMULATED_S: Final = 60.0
LOOK_S: Final = 0.2  # real seconds between two looks for an answer


class Memory(Protocol):
    """What asking needs of the journal."""

    @property
    def state(self) -> s.CampaignState: ...
    def record(self, *facts: e.Fact) -> None: ...


class PersonHand:
    """Asks. ``leave``: set when the run ends, in whatever way: then nobody is waited for any longer."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self.leave = asyncio.Event()

    async def run(self, begun: e.StepStarted) -> None:
        """Ask, and see to it that the facts say what came of the step."""
        asked = asking(begun.settings)
        step = begun.step
        self._memory.record(replace(begun, t_s=self._now()))
        asked_now = self._memory.state.steps[step]
        if self._memory.state.mode != "live":
            await self._simulated(asked, step)
        else:
            await self._answered(asked, asked_now)
        if asked_now.state == s.STARTED:
            self._fail(step, "interrupted", "the run ended before it was answered")

    async def _simulated(self, asked: Asking, step: str) -> None:
        if not await self._clock.wait(self.leave, min(SIMULATED_S, asked.reach_by_s)):
            said = simulated_answer(asked, step)
            self._memory.record(e.StepFinished(step=step, readings=said, t_s=self._now(), by="a simulated person"))

    async def _answered(self, asked: Asking, step: s.StepState) -> None:
        until_s = self._clock.now_s() + asked.reach_by_s
        while step.state == s.STARTED and not self.leave.is_set():
            left_s = until_s - self._clock.now_s()
            if left_s <= 0.0:
                why = f"nobody answered within {duration(asked.reach_by_s)}: {asked.ask}"
                self._fail(step.begun.step, "not_reached", why)
                return
            await self._clock.wait(self.leave, min(left_s, LOOK_S * self._clock.speed))

    def _fail(self, step: str, fault: str, why: str) -> None:
        self._memory.record(e.StepFailed(step=step, fault=fault, reason=why, t_s=self._now()))

    def _now(self) -> float:
        return round(self._clock.now_s(), 6)
