"""What a line without a checksum says, and when it is believed.

A byte that is lost or flipped now and then gives a number of the right shape and the wrong value (``39.4`` becomes
``9.4``). So what decides something is asked until two answers in a row are alike (``twice_alike``); what stands still
and is news is asked until more are (``Sure``); and of what moves, a reading that is not where the last one was is asked
until some agree (``Steady``). On a sound line what is no news costs no more than one or two questions.

Figures: with one answer in five damaged, two in a row are damaged alike once in some hundred to some thousand times
(the shorter the answer the oftener), four in a row once in a million (tests/drivers/test_damaged_readings.py).
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from .errors import ProtocolError

# With one answer in ten damaged, five unlike pairs in a row happen once in some thousand times; then the runner asks.
AGREE_TRIES = 5
# What was believed last is believed again when it is said twice; what is news, when it is said four times in a row.
KNOWN_ALIKE, NEWS_ALIKE = 2, 4
# So often it is asked at most until it is.
NEWS_TRIES = NEWS_ALIKE + AGREE_TRIES

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Hashable)


def twice_alike(ask: Callable[[], _T], what: str) -> _T:
    """What two answers in a row say. Raises ProtocolError when they go on being unlike; ``what`` names the question."""
    said = ask()
    for _ in range(AGREE_TRIES):
        before, said = said, ask()
        if said == before:
            return said
    raise ProtocolError(f"{what} is answered differently each time, last with {said!r}")


class Sure:
    """Answers that stand still until something is done: two alike where nothing changed, four where something did."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def ask(self, ask: Callable[[], _H], what: str) -> _H:
        """What is said of ``what``. Raises ProtocolError when the answers go on being unlike."""
        said, alike = ask(), 1
        for _ in range(NEWS_TRIES - 1):
            before, said = said, ask()
            alike = alike + 1 if said == before else 1
            if alike >= (KNOWN_ALIKE if what in self._last and self._last[what] == said else NEWS_ALIKE):
                self._last[what] = said
                return said
        raise ProtocolError(f"{what} is answered differently each time, last with {said!r}")


class Steady:
    """Readings that move slowly: one further than ``grain`` from the last is asked again until some agree.

    ``jump``: what it may move from one question to the next. ``grain`` (left out: the same): what it moves at rest, or
    what the instrument's own accuracy makes of no account. Where it moves more than its grain, and no answers agree,
    the middle one counts, if the others lie within ``jump`` of it.
    """

    def __init__(self, jump: float, grain: float | None = None) -> None:
        self._jump, self._grain = jump, jump if grain is None else grain
        self._last: dict[str, float] = {}

    def read(self, ask: Callable[[], float], what: str) -> float:
        """The reading called ``what``. Raises ProtocolError when it is answered differently each time."""
        said = ask()
        if what not in self._last or abs(said - self._last[what]) > self._grain:
            said = self._agreed(said, ask, what)
        self._last[what] = said
        return said

    def _agreed(self, said: float, ask: Callable[[], float], what: str) -> float:
        """The newest of four in a row that lie within a grain of it, or the middle of those that lie within a jump."""
        heard = [said]
        while len(heard) < NEWS_TRIES:
            heard.append(ask())
            last = heard[-NEWS_ALIKE:]
            if len(last) == NEWS_ALIKE and all(abs(one - last[-1]) <= self._grain for one in last):
                return last[-1]
        middle = sorted(heard)[len(heard) // 2]
        if sum(abs(one - middle) <= self._jump for one in heard) < len(heard) - 1:
            raise ProtocolError(f"{what} was answered with {', '.join(f'{one:g}' for one in heard)}")
        return middle
