"""The mass on a balance's pan, and what the load cell makes of it; in closed form, so that leaps of any length are
exact.

The load changes in steps: by hand (``place``), or by what pumps of the same bench push out (``catches``). What the cell
shows relaxes towards the load with a time of SETTLES_S after each step; it counts as stable when it is within half a
digit of where it will end. Each load has a deviation of its own (the balance's repeatability), drawn by seed and count,
so looking at the pan in between changes nothing.

Options: ``load: 12.5 g`` (what stands on the pan at first), ``catches: [pump_water]`` (whose dispensed volume lands on
the pan, at the end of each dispensing), ``density: 0.998 g/mL`` of what they push out.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

# An analytical balance settles to its last digit within three to four seconds: ten steps from 10 g to 0.05 mg are 12 of
# these times.
SETTLES_S = 0.3


class Pan:
    """``digit_g``: one unit of the display's last place; ``capacity_g``: the most it weighs."""

    def __init__(
        self, world: World, name: str, options: Mapping[str, Any], *, digit_g: float, capacity_g: float
    ) -> None:
        self.world, self.name = world, name
        self.digit_g, self.capacity_g = digit_g, capacity_g
        self._catches = tuple(options.get("catches") or ())
        self._density_g_ml = amount(options.get("density", 0.998), "g/mL")
        self.load_g = amount(options.get("load", 0.0), "g")
        self._deviation_g = 0.0
        self._loads = 0
        self._from_g, self._since_s = self.load_g, 0.0  # what the cell showed at the last step, and when that was
        self._seen = len(world.ledger.entries)

    def place(self, mass_g: float, now_s: float) -> None:
        """Put a mass onto the pan, or take it off (below 0)."""
        self._from_g, self._since_s = self.shows_g(now_s), now_s
        self.load_g += mass_g
        self._loads += 1
        seed = [abs(self.world.seed), zlib.crc32(self.name.encode()), self._loads]
        draw = float(np.random.default_rng(seed).standard_normal())
        # Repeatability as makers give it: a standard deviation of one digit; cut where a sound balance never comes.
        self._deviation_g = self.digit_g * min(max(draw, -2.5), 2.5)

    def catch(self) -> None:
        """Take in what pumps have pushed out since, each at its own moment."""
        entries = self.world.ledger.entries
        for entry in entries[self._seen :]:
            if entry.instrument in self._catches and (entry.act, entry.phase) == ("dispense", "end"):
                self.place(entry.amount * 1e-3 * self._density_g_ml, entry.at_s)
        self._seen = len(entries)

    def shows_g(self, at_s: float) -> float:
        """What the cell shows, before zero and tare are taken off."""
        aim_g = self.load_g + self._deviation_g
        return aim_g + (self._from_g - aim_g) * math.exp(-max(at_s - self._since_s, 0.0) / SETTLES_S)

    def stable(self, at_s: float) -> bool:
        return at_s >= self.stable_at_s()

    def stable_at_s(self) -> float:
        """When it is, or was, within half a digit of where it ends."""
        off_g = abs(self._from_g - self.load_g - self._deviation_g)
        return self._since_s + SETTLES_S * math.log(max(2.0 * off_g / self.digit_g, 1.0))

    def overloaded(self, at_s: float) -> int:
        """1 above the capacity, -1 without its pan (a twentieth of the capacity below empty), else 0."""
        shown_g = self.shows_g(at_s)
        return (shown_g > self.capacity_g + 9 * self.digit_g) - (shown_g < -0.05 * self.capacity_g)

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, kept[name])
        self._seen = len(self.world.ledger.entries)


_KEPT = ("load_g", "_deviation_g", "_loads", "_from_g", "_since_s")
