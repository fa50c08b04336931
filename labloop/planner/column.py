"""One parameter as one number: values of a range or choices as coordinates, and back.

    real     a range, linear or log: u = (v - low)/(high - low), or the same of log v
    grid     a range with a step, or integers: as real, but only the levels low, low + step, ... are points
    ordered  ranked choices: u = rank/(k - 1)
    label    unordered choices: the index itself, 0 .. k - 1. Models see it through a Hamming kernel, never as a number
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, log, log10
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labloop.campaign.events import Value

from .presence import MIDDLE, Array

# A proposal is written with this share of its range as its last digit: below what any instrument resolves, short
# enough to be read. test_encoding.py holds that rounding never leaves the space.
RESOLUTION = 1e-6


@dataclass(frozen=True, slots=True)
class Column:
    """One parameter as one number. ``step`` is set for grids, ``values`` for choices.

    unlike: what is known of how far apart unordered choices are, k x k each, 1 in the mean; described: by what.
    retired: indices of choices that trials had once and none may have now, after the campaign was amended.
    optional: it has a value at some points only; shared: all trials of a batch have the same.
    likely: where a person expects the optimum: of numbers centre and width, of choices weights (see prior.py).
    """

    name: str
    kind: Literal["real", "grid", "ordered", "label"]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float = 0.0
    integer: bool = False
    values: tuple[Value, ...] = ()
    unlike: tuple[Array, ...] = field(default=(), compare=False, repr=False)
    described: str = ""
    retired: frozenset[int] = frozenset()
    optional: bool = False
    shared: bool = False
    likely: tuple[float, ...] | None = None

    @property
    def absent(self) -> float:
        """The coordinate where it has no value: of unordered choices one more index."""
        return float(len(self.values)) if self.kind == "label" else MIDDLE

    @property
    def levels(self) -> int | None:
        """How many points there are; None: any."""
        if self.kind == "real":
            return None if self.high > self.low else 1
        if self.kind == "grid":
            return floor((self.high - self.low) / self.step * (1 + 1e-12) + 1e-9) + 1
        return len(self.values)

    @property
    def count(self) -> int:
        """How many levels may be proposed (0: any value)."""
        return (self.levels or 0) - len(self.retired)

    def opened(self, nth: NDArray[np.intp]) -> NDArray[np.intp]:
        """Indices of the levels that may be proposed, by their number among these."""
        if not self.retired:
            return nth
        every = np.arange(len(self.values))
        return every[~np.isin(every, list(self.retired))][nth]

    @property
    def is_linear(self) -> bool:
        """Whether the value is a linear function of u."""
        return self.kind in ("real", "grid") and not self.log

    @property
    def upper(self) -> float:
        """The highest coordinate: 1, or the last index of a label, or 0 where there is but one level."""
        if self.kind == "label":
            return float(len(self.values) - 1)
        return float(self.level(self.levels - 1)) if self.levels is not None else 1.0

    @property
    def furthest(self) -> float:
        """The highest coordinate that any point has here."""
        return max(self.upper, self.absent) if self.optional else self.upper

    def level(self, index: ArrayLike) -> Array:
        """Coordinates of levels by index, 0 .. levels - 1."""
        at = np.asarray(index, dtype=float)
        if self.kind == "label":
            return at
        if self.kind == "ordered":
            return at / max(len(self.values) - 1, 1)
        if self.kind == "real":
            return at * 0.0
        return self.to_unit(self.low + at * self.step)

    def index(self, u: Array) -> Array:
        """Index of the level nearest to each coordinate."""
        count = self.levels
        assert count is not None
        if self.kind == "grid":
            raw = (self.to_value(u) - self.low) / self.step
        else:
            raw = u if self.kind == "label" else u * max(count - 1, 1)
        return np.clip(np.rint(raw), 0, count - 1)

    def snap(self, u: Array) -> Array:
        """The nearest coordinates that are points."""
        return np.clip(u, 0.0, 1.0) if self.levels is None else self.level(self.index(u))

    def to_unit(self, value: Array | float) -> Array:
        """Values of a range as coordinates."""
        value = np.asarray(value, dtype=float)
        if self.high <= self.low:
            return value * 0.0
        if self.log:
            return (np.log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return (value - self.low) / (self.high - self.low)

    def to_value(self, u: Array | float) -> Array:
        """Coordinates of a range as values."""
        u = np.asarray(u, dtype=float)
        if self.log:
            return np.exp(log(self.low) + u * (log(self.high) - log(self.low)))
        return self.low + u * (self.high - self.low)

    def encode(self, values: Sequence[Any]) -> Array:
        """Values as coordinates. Raises KeyError for a choice that is not one."""
        if self.kind in ("real", "grid"):
            return self.to_unit(np.asarray(values, dtype=float))
        ranks = {_choice_key(value): rank for rank, value in enumerate(self.values)}
        return self.level(np.asarray([ranks[_choice_key(value)] for value in values], dtype=float))

    def decode(self, u: float) -> Value:
        """One coordinate as the plain value to propose: snapped, rounded, inside the range."""
        if self.kind in ("ordered", "label"):
            return self.values[int(self.index(np.asarray(u)))]
        if self.kind == "grid":
            value = float(f"{self.low + float(self.index(np.asarray(u))) * self.step:.12g}")
        else:
            value = self.round(float(self.to_value(min(max(u, 0.0), 1.0))))
        value = min(max(value, self.low), self.high)
        return int(value) if self.integer else value

    def round(self, value: float) -> float:
        """A value with no more digits than RESOLUTION asks for."""
        if self.high <= self.low:
            return self.low
        unit = value * RESOLUTION if self.log else (self.high - self.low) * RESOLUTION
        return round(value, -floor(log10(abs(unit)))) if unit else value


def _choice_key(value: Any) -> Any:
    """1 and 1.0 are one choice; True and 1 are not."""
    return (isinstance(value, bool), float(value) if isinstance(value, int | float) else value)
