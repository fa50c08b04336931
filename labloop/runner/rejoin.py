"""Steps that went on without a runner, watched again: not begun anew, and from the first moment of a start on.

Whoever asked their instruments was told that they still run. Each is watched by a task of its own, whatever else the
start has to do before a trial goes on (configure the others, set up again); the walk whose step it is waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from labloop.bench import BenchError
from labloop.campaign import events as e
from labloop.campaign import state as s

from .reach import InstrumentGone
from .start import Start
from .step import StepHand

Opened = Callable[[], Awaitable[None]]  # what else begins once the instruments were asked


class Rejoining:
    """The rejoined steps of one run. ``gap_s``: how long nobody watched before this start, in lab seconds."""

    def __init__(self, hand: StepHand, gap_s: float) -> None:
        self._hand = hand
        self._gap_s = gap_s
        hand.rejoined = self.ended
        self._tasks: dict[str, tuple[s.StepState, asyncio.Task[None]]] = {}

    def begin(self, step: s.StepState, save_as: str, says: str) -> None:
        """Watch a step that still runs. ``save_as`` and ``says`` (if_interrupted) are its recipe's."""
        task = asyncio.ensure_future(self._watch_again(step, save_as, says))
        self._tasks[step.begun.step] = step, task

    async def ended(self, steps: Iterable[s.StepState]) -> None:
        """Wait until those of ``steps`` that are watched here are over. Raises what they raised."""
        names = [step.begun.step for step in steps]
        await asyncio.gather(*(self._tasks[name][1] for name in names if name in self._tasks))

    async def all_ended(self) -> None:
        """Wait until none is watched any more. The bench's own errors were met by the walks; defects are raised."""
        ends = await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, InstrumentGone | BenchError):
                raise end

    def busy(self, trial: int | None) -> frozenset[str]:
        """The instruments that another trial's (or phase's) rejoined steps still need."""
        return frozenset(
            step.begun.instrument
            for step, _ in self._tasks.values()
            if step.state == s.STARTED and step.begun.trial != trial
        )

    async def _watch_again(self, step: s.StepState, save_as: str, says: str) -> None:
        hand, begun = self._hand, step.begun
        name, action = begun.instrument, hand.action(begun.instrument, begun.action)
        since_s = begun.t_s if step.since_t_s is None else step.since_t_s
        elapsed_s = hand.clock.now_s() - since_s
        unwatched_s = min(self._gap_s, elapsed_s)
        resolved = hand.envelope.resolve(name, begun.action, begun.settings)

        hand.at_work.seen(begun.step)

        async def doing() -> None:
            await hand.reach.call(
                name, hand.stations[name].driver.rejoin, begun.action, resolved, hand.act_name(begun.step),
                {**begun.before, **step.kept}, elapsed_s, step.unwatched_s + unwatched_s,
            )  # fmt: skip
            now_s = round(hand.clock.now_s(), 6)
            hand.memory.record(e.StepRejoined(step=begun.step, unwatched_s=round(unwatched_s, 3), t_s=now_s))
            await hand.watch(begun, action, resolved, since_s, save_as)

        start = Start([begun])
        try:
            await hand.to_its_end(doing(), begun, action, start, says)
        finally:
            hand.reach.unverified.add(name)  # what is configured waits until it is free
        hand.settled(*start.undone)
