"""What a run does beside its trials: it looks into its inbox, watches the bench, reads it again after a pause, and does
what a person asks for by hand meanwhile.

    looking, watching    from the first moment to the last: a start may wait for an instrument for hours
    amending             likewise: what is under way is none of its business
    rereading, by hand   once what an earlier runner left is known: it configures, which may wipe the evidence of that

Each goes on by itself. One that breaks down, by whatever it is, ends the run, which makes the bench safe: nobody works
on a bench that nobody watches, with a run that nobody can stop, or after a pause that nothing would ever end.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from labloop.campaign.errors import LabloopError
from labloop.journal import StoreError

from .hands import Hands
from .lookout import Lookout
from .rereading import Rereading
from .watching import Ends, Watcher


class Beside:
    """What goes on beside the trials of one run. ``end`` ends the run; ``failed``: how it ends when its store fails."""

    def __init__(
        self, lookout: Lookout, watcher: Watcher, rereading: Rereading, hands: Hands, end: Ends,
        failed: Callable[[StoreError], None],
    ) -> None:  # fmt: skip
        self._lookout = lookout
        self._watcher = watcher
        self._rereading = rereading
        self._hands = hands
        self._end = end
        self._failed = failed
        self._going: list[asyncio.Task[None]] = []

    def begin(self, virtual: bool) -> None:
        """The run begins. ``virtual``: its time leaps."""
        look = self._lookout.keep_looking_in_virtual_time if virtual else self._lookout.keep_looking
        self._go_on("the look into the inbox", self._looking(look()))
        if self._lookout.amender is not None:
            self._go_on("the look at an amendment", self._lookout.amender.run())
        self._go_on("the watch over the bench", self._watcher.run())

    def opened(self) -> None:
        """What an earlier runner left is known, and every instrument is configured that is free."""
        self._go_on("the reading after a pause", self._rereading.run())
        self._go_on("what is done by hand", self._hands.run())

    async def over(self) -> list[BaseException | None]:
        """Let all of it end; what each ended with."""
        for one in self._going:
            one.cancel()
        return list(await asyncio.gather(*self._going, return_exceptions=True))

    def _go_on(self, what: str, going: Coroutine[Any, Any, None]) -> None:
        self._going.append(asyncio.ensure_future(self._unbroken(what, going)))

    async def _unbroken(self, what: str, going: Coroutine[Any, Any, None]) -> None:
        try:
            await going
        except StoreError as error:
            self._failed(error)
            raise
        except Exception as error:
            self._end("lost", f"{what} broke down: {type(error).__name__}: {error}", 3)
            raise

    async def _looking(self, look: Coroutine[Any, Any, None]) -> None:
        try:
            await look
        except StoreError:
            raise
        except LabloopError as error:  # the run's lock, or its lease, is somebody else's: that says enough
            self._end("lost", str(error), 3)
            raise


def raise_first(broken: StoreError | None, ends: Iterable[object], not_safe: Sequence[str] | None) -> None:
    """Raise what the store met, else what the way to the safe state, a trial or anything beside them did.

    ``not_safe``: what went wrong on that way, which no fact says where the store has failed (None: nobody knows).
    """
    if broken is not None:
        add_word(broken, not_safe, "`labloop abort` tries again.")
        raise broken
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
            raise end


def add_word(broken: StoreError, not_safe: Sequence[str] | None, way_out: str) -> None:
    """Add to what the store met what became of the bench then (``not_safe``: as in raise_first)."""
    why = "nobody knows how far that came" if not_safe is None else "; ".join(not_safe)
    broken.add_note(f"The bench is NOT known to be safe: {why}. {way_out}" if why else "The bench was made safe.")
