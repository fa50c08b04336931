"""How desirable a value is, from 0 (of no use) to 1 (nothing better to be wished for), and several outcomes at once.

    maximize    d = ((y - low) / (high - low))^r       0 at low and below, 1 at high and above
    minimize    d = ((high - y) / (high - low))^r      1 at low and below, 0 at high and above
    a target    both: 0 at low and at high, 1 within the tolerance of the target; each side may have an r of its own
    together    D = (d_1^w_1 d_2^w_2 ...)^(1 / (w_1 + w_2 + ...)): what is of no use in one respect is of no use

(Derringer and Suich, J. Qual. Technol. 12:214, 1980.) Where D is 0 nothing would tell better from worse, and a campaign
that starts far off would look for the way in blindly. So a *standing* goes on below 0: of one outcome the distance from
where it begins to be of use, in spans (from 0 to 1) and negative; of several the weighted mean of these. What is of use
at all is ordered by D alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slope:
    """Where it is 0, where it is 1 (above or below that), and the exponent between."""

    zero: float
    one: float
    exponent: float = 1.0

    def place(self, value: float) -> float:
        """How far along a value is: 0 and 1 at the two ends, beyond them more or less."""
        return (value - self.zero) / (self.one - self.zero)

    def standing(self, value: float) -> float:
        """Its desirability where that is above 0, else minus the distance from there in spans."""
        place = min(self.place(value), 1.0)
        return place**self.exponent if place > 0.0 else place


@dataclass(frozen=True, slots=True)
class Shape:
    """The desirability of one outcome: a slope up, a slope down, or both."""

    slopes: tuple[Slope, ...]

    def standing(self, value: float) -> float:
        """The desirability of a value where it is above 0, else minus its distance from there in spans."""
        return min(slope.standing(value) for slope in self.slopes)

    def words(self, unit: str) -> str:
        """Where it is 0 and where 1, in the outcome's unit."""
        parts = []
        for slope in self.slopes:
            exponent = "" if slope.exponent == 1.0 else f", exponent {slope.exponent:g}"
            parts.append(f"0 at {slope.zero:g} and 1 at {f'{slope.one:g} {unit}'.rstrip()}{exponent}")
        return "; ".join(parts)


def together(standings: Sequence[float], weights: Sequence[float]) -> float:
    """The standing of several outcomes at once: their weighted geometric mean where each is of use (see above)."""
    total = math.fsum(weights)
    if min(standings) > 0.0:
        return math.exp(math.fsum(w * math.log(one) for w, one in zip(weights, standings, strict=True)) / total)
    return math.fsum(w * min(one, 0.0) for w, one in zip(weights, standings, strict=True)) / total


def shown(standing: float) -> float:
    """A standing as the desirability that it is, from 0 to 1."""
    return max(standing, 0.0)
