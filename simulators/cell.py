"""An electrochemical cell: a disk electrode in a quiet solution of one redox couple, all of it reduced at first.

    R <-> O + e-      D, the same for both; so c_R + c_O is the bulk concentration everywhere

Linear diffusion to the disk, dc/dt = D d2c/dx2, on a grid that is fine at the electrode and ends far outside the
diffusion layer; implicit in time. At the electrode the flux follows Butler and Volmer,

    flux = k_f c_R - k_b c_O        k_f = k0 exp((1 - a) F (E - E0) / RT), k_b = k0 exp(-a F (E - E0) / RT)

with E less the drop of the current over the solution's resistance (the one of the step before). The double layer adds
its capacitance times dE/dt. The solution is stirred before each script. ``peak_a`` is what Randles and Sevcik say of a
reversible peak; the tests hold the grid against it and against Cottrell.

Keys: ``concentration`` (1 mM), ``formal_potential`` (0.2 V), ``area`` in mm2 (7.07), ``diffusion`` in m2/s (7e-10),
``rate`` in m/s (1e-3), ``capacitance`` in F/m2 (0.2), ``resistance`` (100 ohm).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.linalg import solve_banded

from labloop.simulation.quantity import amount

F, RT = 96485.332, 8.314462 * 298.15
SYMMETRY = 0.5
POINTS, STRETCH = 60, 1.12
MOST_EXPONENT = 60.0
# The open circuit of a solution that is almost all reduced: one part in a hundred is not.
OPEN_SHARE = 0.01


class Cell:
    """One electrode in its solution. ``rest`` stirs it; ``apply`` goes on in time at a potential."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        known = {"concentration", "formal_potential", "area", "diffusion", "rate", "capacitance", "resistance"}
        if unknown := sorted(set(options) - known):
            raise ValueError(f"cell: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        self.bulk = amount(options.get("concentration", 1.0), "mM")  # mol/m3
        self.formal_v = amount(options.get("formal_potential", 0.2), "V")
        self.area_m2 = float(options.get("area", 7.07)) * 1e-6
        self.diffusion = float(options.get("diffusion", 7e-10))
        self.rate = float(options.get("rate", 1e-3))
        self.capacitance_f = float(options.get("capacitance", 0.2)) * self.area_m2
        self.resistance_ohm = amount(options.get("resistance", 100.0), "ohm")
        if not (self.bulk >= 0 and self.area_m2 > 0 and 0 < self.diffusion < 1e-6 and self.rate > 0):
            raise ValueError(f"cell: {dict(options)} cannot be")
        self.rest(1.0)

    def rest(self, longest_s: float) -> None:
        """Stir it; ``longest_s``: how long it will be measured at most (the grid reaches as far as diffusion does)."""
        reach = 6.0 * math.sqrt(self.diffusion * max(longest_s, 1e-3))
        widths = STRETCH ** np.arange(POINTS)
        self._dx = widths * reach / widths.sum()
        self._reduced = np.full(POINTS, self.bulk)
        self._amps = 0.0
        self._volts: float | None = None

    def apply(self, volts: float, seconds: float) -> float:
        """The current in A (oxidation positive) at the end of so many seconds at a potential."""
        charging = 0.0 if self._volts is None else self.capacitance_f * (volts - self._volts) / seconds
        self._volts = volts
        steps = 4
        for _ in range(steps):
            faradaic = self._step(volts - self._amps * self.resistance_ohm, seconds / steps)
            self._amps = faradaic + charging
        return self._amps

    def _step(self, volts: float, seconds: float) -> float:
        """One implicit step; the faradaic current at its end. Unknowns: the reduced form in every cell of the grid."""
        exponent = min(max(F * (volts - self.formal_v) / RT, -MOST_EXPONENT), MOST_EXPONENT)
        forward, back = self.rate * math.exp((1 - SYMMETRY) * exponent), self.rate * math.exp(-SYMMETRY * exponent)
        between = self.diffusion / (0.5 * (self._dx[:-1] + self._dx[1:]))
        half = 2.0 * self.diffusion / self._dx[0]  # from the first cell's middle to the electrode
        # flux = (forward + back) * surface - back * bulk = half * (first - surface)
        conductance = half * (forward + back) / (half + forward + back)
        level = back * self.bulk / (forward + back)
        diagonal = self._dx / seconds
        diagonal[:-1] += between
        diagonal[1:] += between
        diagonal[0] += conductance
        right = self._dx / seconds * self._reduced
        right[0] += conductance * level
        bands = np.zeros((3, POINTS))
        bands[0, 1:], bands[1], bands[2, :-1] = -between, diagonal, -between
        self._reduced = solve_banded((1, 1), bands, right, check_finite=False)
        return float(F * self.area_m2 * conductance * (self._reduced[0] - level))

    @property
    def open_circuit_v(self) -> float:
        """Nernst, for the little of the oxidized form that there is."""
        return self.formal_v + RT / F * math.log(OPEN_SHARE / (1.0 - OPEN_SHARE))

    def peak_a(self, scan_rate_v_s: float) -> float:
        """The height of a reversible peak (Randles, Sevcik)."""
        return 0.4463 * F * self.area_m2 * self.bulk * math.sqrt(F * scan_rate_v_s * self.diffusion / RT)
