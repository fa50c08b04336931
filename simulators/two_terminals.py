"""What stands between the two terminals of a simulated source: a resistor, a diode, a solar cell.

One junction behind a series resistance, with a shunt across it:

    I = saturation * (exp(Vj / (n * 25.85 mV)) - 1) + Vj / shunt - light        V = Vj + I * series

Without saturation current it is a resistor, with light current a solar cell. V and I both rise with Vj, so every
operating point is found by halving.

Keys: ``resistance`` (10 kohm; the shunt), ``series`` (0), ``saturation_current`` (0), ``ideality`` (1),
``light_current`` (0).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labloop.simulation.quantity import amount

THERMAL_V = 0.02585
# exp() of more than this is more current than any source gives.
MOST_EXPONENT = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoTerminals:
    """``shunt_ohm`` above 0, ``series_ohm`` 0 or more; currents in A."""

    shunt_ohm: float = 10e3
    series_ohm: float = 0.0
    saturation_a: float = 0.0
    ideality: float = 1.0
    light_a: float = 0.0

    def at_voltage(self, volts: float) -> float:
        """The current in A that flows at this voltage."""
        return self._current(
            self._junction(volts, lambda junction: junction + self._current(junction) * self.series_ohm)
        )

    def at_current(self, amps: float) -> float:
        """The voltage in V that stands across it at this current."""
        return self._junction(amps, self._current) + amps * self.series_ohm

    def _current(self, junction: float) -> float:
        exponent = min(junction / (self.ideality * THERMAL_V), MOST_EXPONENT)
        return self.saturation_a * math.expm1(exponent) + junction / self.shunt_ohm - self.light_a

    def _junction(self, wanted: float, rising: Callable[[float], float]) -> float:
        low, high = -1.0, 1.0
        while rising(low) > wanted:
            low *= 2.0
        while rising(high) < wanted:
            high *= 2.0
        while (middle := 0.5 * (low + high)) not in (low, high):
            low, high = (low, middle) if rising(middle) > wanted else (middle, high)
        return middle


def read_two_terminals(options: Mapping[str, Any]) -> TwoTerminals:
    """From the simulation's options. Raises ValueError for a thing that cannot be."""
    known = {"resistance", "series", "saturation_current", "ideality", "light_current"}
    if unknown := sorted(set(options) - known):
        raise ValueError(f"device: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    found = TwoTerminals(
        shunt_ohm=amount(options.get("resistance", 10e3), "ohm"),
        series_ohm=amount(options.get("series", 0.0), "ohm"),
        saturation_a=amount(options.get("saturation_current", 0.0), "A"),
        ideality=float(options.get("ideality", 1.0)),
        light_a=amount(options.get("light_current", 0.0), "A"),
    )
    if not (0.0 < found.shunt_ohm < 1e15 and 0.0 <= found.series_ohm < 1e12 and 0.5 <= found.ideality <= 10.0):
        raise ValueError(f"device: {dict(options)} cannot be: resistance above 0, series 0 or more, ideality 0.5 to 10")
    if not (0.0 <= found.saturation_a < 1.0 and abs(found.light_a) < 100.0):
        raise ValueError(f"device: {dict(options)} cannot be: saturation_current below 1 A, light_current below 100 A")
    return found
