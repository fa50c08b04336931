"""What a line without a checksum says, and when it is believed.

A byte that is lost or flipped now and then gives a number of the right shape and the wrong value (``39.4`` becomes
``9.4``). So what decides something is asked until two answers in a row are alike, and a reading that jumps further than
its thing can move is asked again.
"""

from collections.abc import Callable
from typing import TypeVar

from .errors import ProtocolError

# With one answer in ten damaged, five unlike pairs in a row happen once in some thousand times; then the runner asks.
AGREE_TRIES = 5

_T = TypeVar("_T")


def twice_alike(ask: Callable[[], _T], what: str) -> _T:
    """What two answers in a row say. Raises ProtocolError when they go on being unlike; ``what`` names the question."""
    said = ask()
    for _ in range(AGREE_TRIES):
        before, said = said, ask()
        if said == before:
            return said
    raise ProtocolError(f"{what} is answered differently each time, last with {said!r}")


class Steady:
    """Readings that move slowly: one further than ``jump`` from the last is asked again."""

    def __init__(self, jump: float) -> None:
        self._jump = jump
        self._last: dict[str, float] = {}

    def read(self, ask: Callable[[], float], what: str) -> float:
        """The reading called ``what``. Raises ProtocolError when it was asked twice and answered differently."""
        said = ask()
        if what not in self._last or abs(said - self._last[what]) > self._jump:
            again = ask()
            if abs(again - said) > self._jump:
                raise ProtocolError(f"{what} was answered with {said:g} and then with {again:g}")
            said = again
        self._last[what] = said
        return said
