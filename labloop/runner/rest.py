"""Rest: a pause has had its time. The bench is safe, its lines are closed, and the runner waits for whoever paused it.

The run keeps its bench meanwhile, its guard watches, and its inbox is read: what may be asked of a paused run may be
asked now. After ``resume`` it goes on as a run does that is taken up again: every instrument is identified, asked and
configured, and ``setup`` is done once more. A signal, stop or abort ends it (exit 4), as in any pause; where not all
could be made safe before, its guard tries again as soon as its process is gone.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from labloop.bench import Action
from labloop.campaign import events as e
from labloop.campaign.spec import CampaignSpec, LabSpec
from labloop.campaign.state import PAUSED

from .left import unsafe
from .lookout import lookout_of
from .memory import RunMemory

# Real seconds between two looks into the inbox, and between two heartbeats: nothing runs that could be in a hurry.
LOOK_S: Final = 0.1


class Rest:
    """One rest of one run. ``run`` gives the exit code, or None when the run goes on.

    ``action``: what is declared of an action. ``tick``: what is to be done several times a second.
    """

    def __init__(
        self, spec: CampaignSpec, lab: LabSpec, action: Callable[[str, str], Action], memory: RunMemory,
        now_s: Callable[[], float], tick: Callable[[], None],
    ) -> None:  # fmt: skip
        self._memory = memory
        self._tick = tick
        self._ending: tuple[str, int, str] | None = None
        self.lookout = lookout_of(spec, lab, action, memory, self.end, now_s, tick)

    def end(self, kind: str, reason: str, exit_code: int, by: str = "") -> None:
        """Begin to end; the first who says so stands."""
        self._ending = self._ending or (reason, exit_code, by)

    def amend(self, spec: CampaignSpec) -> None:
        """Another text of the campaign is in force; the run follows it when it goes on."""
        self.lookout.spec = spec

    def interrupted(self, name: str) -> None:
        """A signal ends the run: its bench is safe already."""
        self.end("interrupt", name, 4)

    async def run(self) -> int | None:
        """Wait. Raises StoreError, and BenchError when no guard can be kept alive."""
        amender = self.lookout.amender
        amending = None if amender is None else asyncio.ensure_future(amender.run())  # an abort must not wait for it
        try:
            return await self._wait(amending)
        finally:
            if amending is not None:
                amending.cancel()
                await asyncio.wait([amending])

    async def _wait(self, amending: "asyncio.Task[None] | None") -> int | None:
        while True:
            if amending is not None and amending.done():
                amending.result()
            self.lookout.take_requests()
            if self._ending is not None:
                reason, code, by = self._ending
                self._leave_to_guard()
                self._memory.record(e.CampaignStopped(reason=reason, exit_code=code, by=by))
                return code
            if self._memory.state.state != PAUSED:
                return None
            self._tick()
            await asyncio.sleep(LOOK_S)

    def _leave_to_guard(self) -> None:
        """What was not made safe when it began to rest: nobody here has its lines any more, its guard tries again."""
        memory = self._memory
        memory.left_to_guard = unsafe(memory.state)
        if memory.left_to_guard:
            memory.record(e.NoteTaken(text="not all was made safe before it rested; its guard tries again"))
