"""How a GRBL machine moves: a queue of straight motions, each with its own ramps; in closed form.

A motion of length d at the rate v with the acceleration a rises along v = a t, cruises, and falls again; when d is too
short for the rate (d < v^2 / a) it never cruises. A hold falls from wherever it is with the same a and leaves the rest
of the motion in the queue. Our simplification: every motion comes to rest at its end, while the instrument blends
motions that go on in nearly the same direction.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One motion from rest to rest. ``rate``: mm/s on the way, ``ramp``: mm/s^2."""

    start: Vector
    end: Vector
    rate: float
    ramp: float

    @property
    def length(self) -> float:
        return math.dist(self.start, self.end)

    @property
    def top(self) -> float:
        """The rate that is really reached."""
        return min(self.rate, math.sqrt(self.ramp * self.length))

    @property
    def lasts_s(self) -> float:
        return self.length / self.top + self.top / self.ramp if self.length else 0.0

    def at(self, t: float) -> tuple[float, float]:
        """How far it is after ``t`` seconds, and how fast."""
        rises_s = self.top / self.ramp
        left_s = self.lasts_s - t
        if t <= 0.0:
            return 0.0, 0.0
        if left_s <= 0.0:
            return self.length, 0.0
        if t < rises_s:
            return 0.5 * self.ramp * t * t, self.ramp * t
        if left_s < rises_s:
            return self.length - 0.5 * self.ramp * left_s * left_s, self.ramp * left_s
        return 0.5 * self.top * rises_s + self.top * (t - rises_s), self.top

    def point(self, way: float) -> Vector:
        part = min(way / self.length, 1.0) if self.length else 1.0
        return _along(self.start, self.end, part)


class Motion:
    """The queue. ``moves``: whether anything is in motion; ``rests``: it stands in the middle of a motion (held)."""

    def __init__(self, start: Vector) -> None:
        self._rest: Vector = start  # where it stands while nothing runs
        self.travelled = 0.0  # mm in all, of what has ended or was held
        self.blocks: list[Block] = []
        self._began_s: float | None = None  # when the first block began; None: it stands
        self._hold: tuple[float, float, float] | None = None  # since when it slows down, from which way and speed

    # -- what is asked -----------------------------------------------------------------------------------------------
    @property
    def moves(self) -> bool:
        return self._began_s is not None

    @property
    def holds(self) -> bool:
        """Whether it is slowing down to a hold."""
        return self._hold is not None

    def where(self, at_s: float) -> Vector:
        if self._began_s is None:
            return self._rest
        return self.blocks[0].point(self._look(at_s)[0])

    def speed(self, at_s: float) -> float:
        """In mm/s."""
        return 0.0 if self._began_s is None else self._look(at_s)[1]

    def target(self) -> Vector:
        """Where the queue ends."""
        return self.blocks[-1].end if self.blocks else self._rest

    def due(self) -> float | None:
        """When the running motion ends, or has come to a hold."""
        if self._began_s is None:
            return None
        if self._hold is not None:
            return self._hold[0] + self._hold[2] / self.blocks[0].ramp
        return self._began_s + self.blocks[0].lasts_s

    def _look(self, at_s: float) -> tuple[float, float]:
        assert self._began_s is not None
        if self._hold is None:
            return self.blocks[0].at(at_s - self._began_s)
        since_s, way, speed = self._hold
        ramp = self.blocks[0].ramp
        t = min(max(at_s - since_s, 0.0), speed / ramp)
        return way + speed * t - 0.5 * ramp * t * t, speed - ramp * t

    # -- what is told ------------------------------------------------------------------------------------------------
    def queue(self, end: Vector, rate: float, ramp: float) -> None:
        self.blocks.append(Block(start=self.target(), end=end, rate=rate, ramp=ramp))

    def start(self, at_s: float) -> None:
        """Begin the first motion of the queue."""
        if self.blocks and self._began_s is None:
            self._began_s = at_s

    def step(self, at_s: float) -> None:
        """The moment of due() has come: the next motion begins, or it stands."""
        first = self.blocks[0]
        if self._hold is not None:
            way = self._look(at_s)[0]
            self.travelled += way
            self._rest = first.point(way)
            self.blocks[0] = Block(start=self._rest, end=first.end, rate=first.rate, ramp=first.ramp)
            if not self.blocks[0].length:
                del self.blocks[0]
            self._began_s = self._hold = None
            return
        self._rest = first.end
        self.travelled += first.length
        del self.blocks[0]
        self._began_s = at_s if self.blocks else None

    def hold(self, at_s: float) -> None:
        if self._began_s is not None and self._hold is None:
            self._hold = (at_s, *self._look(at_s))

    def stop_dead(self, at_s: float) -> None:
        """Without a ramp; what was queued is lost."""
        self.travelled += self._look(at_s)[0] if self.moves else 0.0
        self._rest = self.where(at_s)
        self.blocks, self._began_s, self._hold = [], None, None

    def flush(self) -> None:
        """Forget what is queued, while it stands."""
        self.blocks = []

    def set_rest(self, where: Vector) -> None:
        """It stands there now (homing)."""
        self._rest, self.blocks, self._began_s, self._hold = where, [], None, None

    # -- state -------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        return {
            "rest": list(self._rest),
            "travelled": self.travelled,
            "blocks": [asdict(block) for block in self.blocks],
            "began_s": self._began_s,
            "hold": list(self._hold) if self._hold else None,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        self._rest, self.travelled = _vector(kept["rest"]), kept["travelled"]
        self.blocks = [
            Block(start=_vector(one["start"]), end=_vector(one["end"]), rate=one["rate"], ramp=one["ramp"])
            for one in kept["blocks"]
        ]
        self._began_s = kept["began_s"]
        hold = kept["hold"]
        self._hold = (hold[0], hold[1], hold[2]) if hold else None


def _along(start: Vector, end: Vector, part: float) -> Vector:
    return _vector([a + (b - a) * part for a, b in zip(start, end, strict=True)])


def _vector(values: Sequence[float]) -> Vector:
    x, y, z = values
    return float(x), float(y), float(z)
