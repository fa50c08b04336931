"""A beaker with a buffered solution, and the glass electrode that stands in it.

Solution: one weak acid HA (concentration and pKa), strong base and strong acid. The pH is where the charges balance:

    [strong base] - [strong acid] + [H+] = [OH-] + [A-]         [A-] = c K / (K + [H+])

Activities are taken for concentrations. Pumps of the same bench that the beaker ``catches`` push strong acid (below 0)
or strong base into it; volume and amounts add up, each at the end of a dispensing.

Electrode: Nernst's voltage with a zero and a slope of its own, mV = zero - slope k(T) (pH - 7), k being 59.16 mV at
25 degC and going with the absolute temperature. It relaxes towards that with a time constant, in closed form.

Keys: ``ph`` (7.0), ``volume`` (50 mL), ``buffer`` (10 mM), ``pka`` (7.2), ``temperature`` (25 degC),
``catches: {pump_naoh: 100 mM, pump_hcl: -100 mM}``, ``slope`` in % (98), ``zero`` (3 mV), ``settles`` (2 s).
"""

import math
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount
from labloop.simulation.world import World

WATER = 1e-14
NERNST_MV_K = 59.16 / 298.15
KEYS = ("ph", "volume", "buffer", "pka", "temperature", "catches", "slope", "zero", "settles")
_KEPT = ("volume_ml", "acid_mmol", "base_mmol", "temperature_c", "dipped", "_from_mv", "_since_s")


class Beaker:
    """``dip`` puts the electrode into a solution of a given pH in place of the beaker (None: back into it)."""

    def __init__(self, world: World, options: Mapping[str, Any]) -> None:
        if unknown := sorted(set(options) - set(KEYS)):
            raise ValueError(f"beaker: unknown {', '.join(unknown)}; known are {', '.join(KEYS)}")
        self.world = world
        self.volume_ml = amount(options.get("volume", "50 mL"), "uL") * 1e-3
        self.acidity = math.pow(10.0, -float(options.get("pka", 7.2)))
        self.temperature_c = amount(options.get("temperature", 25.0), "degC")
        self.slope = float(options.get("slope", 98.0)) / 100.0
        self.zero_mv = amount(options.get("zero", 3e-3), "V") * 1e3
        self.settles_s = amount(options.get("settles", 2.0), "s")
        self._catches = {name: amount(strength, "mM") for name, strength in dict(options.get("catches") or {}).items()}
        if not (self.volume_ml > 0 and self.slope > 0 and self.settles_s > 0):
            raise ValueError(f"beaker: {dict(options)} cannot be")
        self.acid_mmol = amount(options.get("buffer", 10.0), "mM") * self.volume_ml * 1e-3
        self.base_mmol = 0.0
        self.base_mmol = -self._excess(float(options.get("ph", 7.0))) * self.volume_ml
        self.dipped: float | None = None
        self._from_mv, self._since_s = self._aim_mv(), 0.0
        self._seen = len(world.ledger.entries)

    # -- solution ----------------------------------------------------------------------------------------------------
    def _excess(self, ph: float) -> float:
        """Positive less negative charges at a pH, in mol/L."""
        h = math.pow(10.0, -ph)
        weak = self.acid_mmol / self.volume_ml * self.acidity / (self.acidity + h)
        return self.base_mmol / self.volume_ml + h - WATER / h - weak

    def ph(self) -> float:
        """Of the solution in the beaker."""
        low, high = -2.0, 16.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._excess(middle) > 0 else (low, middle)
        return 0.5 * (low + high)

    def catch(self) -> None:
        """Take in what pumps have pushed out since."""
        entries = self.world.ledger.entries
        for entry in entries[self._seen :]:
            if entry.instrument in self._catches and (entry.act, entry.phase) == ("dispense", "end"):
                self._step(entry.at_s)
                self.volume_ml += entry.amount * 1e-3
                self.base_mmol += entry.amount * 1e-6 * self._catches[entry.instrument]
        self._seen = len(entries)

    def dip(self, ph: float | None, now_s: float) -> None:
        self.catch()
        self._step(now_s)
        self.dipped = ph

    # -- electrode ---------------------------------------------------------------------------------------------------
    def _step(self, at_s: float) -> None:
        self._from_mv, self._since_s = self._mv(at_s), at_s

    def _aim_mv(self) -> float:
        ph = self.ph() if self.dipped is None else self.dipped
        return self.zero_mv - self.slope * nernst_mv(self.temperature_c) * (ph - 7.0)

    def _mv(self, at_s: float) -> float:
        aim_mv = self._aim_mv()
        return aim_mv + (self._from_mv - aim_mv) * math.exp(-max(at_s - self._since_s, 0.0) / self.settles_s)

    def mv(self, at_s: float) -> float:
        """What the electrode says."""
        self.catch()
        return self._mv(at_s)

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _KEPT}

    def restore(self, kept: Mapping[str, Any]) -> None:
        for name in _KEPT:
            setattr(self, name, kept[name])
        self._seen = len(self.world.ledger.entries)


def nernst_mv(temperature_c: float) -> float:
    """Of one unit of pH."""
    return NERNST_MV_K * (temperature_c + 273.15)
