"""What the devices of one simulated bench share: the sample, the ledger, and one order of events.

Time may come in big leaps. Before a device acts on something shared it settles the world: everything that was due
until now (a pump that ran to its volume, a rinse that ended) happens first, in order of time and at its own moment.
So what a bench does depends on what was said to it and when, never on how often somebody looked.
"""

from typing import Protocol

from .ledger import Ledger
from .sample import Sample


class Mover(Protocol):
    """A device seen from the world: when something of its own is due, and go on until then."""

    def due(self, now_s: float) -> float | None: ...
    def advance(self, now_s: float) -> None: ...


class World:
    """``speed``: how much faster than the wall the clock goes. What judges the host and not matter (a pause between two
    bytes, a watchdog over a silent host) is a time on the wall, where the host lives: devices multiply such times by
    it. ``seed``: of all chance."""

    def __init__(
        self, sample: Sample | None = None, ledger: Ledger | None = None, *, speed: float = 1.0, seed: int = 0
    ) -> None:
        self.sample = sample if sample is not None else Sample()
        self.ledger = ledger if ledger is not None else Ledger()
        self.speed = speed
        self.seed = seed
        self._movers: list[Mover] = []

    def join(self, mover: Mover) -> None:
        self._movers.append(mover)

    def settle(self, now_s: float) -> None:
        """Let everything happen that was due until ``now_s``."""
        while True:
            waiting = [(at_s, n) for n, mover in enumerate(self._movers) if (at_s := mover.due(now_s)) is not None]
            if not waiting or min(waiting)[0] > now_s:
                break
            at_s, first = min(waiting)
            self._movers[first].advance(at_s)
        for mover in self._movers:
            mover.advance(now_s)
