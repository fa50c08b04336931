"""Steps of one stage that begin at the same moment: each is prepared, and waits here until all of them are."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from labloop.bench import Verdict
from labloop.campaign.events import StepFailed, StepStarted

from .reach import InstrumentGone
from .recovery import NOT_DONE

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A step that is to begin. ``begun``: the fact that it will be, still without counters and time."""

    begun: StepStarted
    save_as: str = ""


class NotBegun(Exception):
    """Nothing of this step has happened, and nothing will."""

    fault = NOT_DONE


class Interrupted(Exception):
    """The bench is being made safe."""


class Judged(Exception):
    """The instrument was asked what became of an act whose beginning was lost: it is not simply under way."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict.why)


class Start:
    """Where the ``wished`` steps of a stage wait for each other. ``undone``: those that turned out not to have begun.

    ``alone``: it is all that the stage does. ``was_away``: whether a line was lost since they were permitted.
    """

    def __init__(
        self, wished: Sequence[StepStarted], alone: bool = True, was_away: Callable[[], bool] = lambda: False
    ) -> None:  # fmt: skip
        self.wished = wished
        self.alone = alone
        self.was_away = was_away
        self.undone: list[StepFailed] = []
        self._missing = len(wished)
        self._why_not = ""
        self._said = asyncio.Event()

    async def ready(self) -> None:
        """Wait until every step of the stage is ready. Raises NotBegun when one cannot be."""
        self._missing -= 1
        if not self._missing:
            self._said.set()
        await self._said.wait()
        if self._why_not:
            raise NotBegun(f"nothing was begun, because {self._why_not}")

    def off(self, why: str) -> None:
        """One of them cannot be made ready: none begins."""
        self._why_not = self._why_not or why
        self._said.set()


async def all_ended(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Wait for all of them, and only then raise what the first one met; InstrumentGone comes last."""
    ends = await asyncio.gather(*calls, return_exceptions=True)
    errors = [end for end in ends if isinstance(end, BaseException)]
    for error in sorted(errors, key=lambda error: isinstance(error, InstrumentGone)):
        raise error
    return [end for end in ends if not isinstance(end, BaseException)]
