"""GRBL's settings: numbers, defaults of a small stage, and how ``$$`` prints them (gnea/grbl, doc/csv, settings.c)."""

import re
from collections.abc import Mapping
from typing import Any

from labloop.simulation.quantity import amount

# Number: value. Whole ones are printed as such, the rest with three decimals.
SETTINGS: dict[int, float] = {
    0: 10, 1: 25, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 10: 1, 11: 0.01, 12: 0.002, 13: 0, 20: 1, 21: 1, 22: 1, 23: 0,
    24: 25.0, 25: 1500.0, 26: 250, 27: 1.0, 30: 6000, 31: 0, 32: 0, 100: 250.0, 101: 250.0, 102: 250.0,
    110: 3000.0, 111: 3000.0, 112: 3000.0, 120: 200.0, 121: 200.0, 122: 200.0, 130: 200.0, 131: 200.0, 132: 200.0,
}  # fmt: skip
DECIMALS = (11, 12, 24, 25, 27, *range(100, 103), *range(110, 113), *range(120, 123), *range(130, 133))


class Settings:
    """By number. Options: ``travel``, ``speed``, ``homing``, ``settings`` (see grbl.py)."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._values = dict(SETTINGS)
        for n, axis in enumerate("xyz"):
            if axis in (options.get("travel") or {}):
                low, high = options["travel"][axis]
                self._values[130 + n] = amount(high, "mm") - amount(low, "mm")
        if "speed" in options:
            slowest, fastest = options["speed"]
            self._values[31], self._values[30] = amount(slowest, "rpm"), amount(fastest, "rpm")
        if not options.get("homing", "travel" in options):  # a spindle alone has none
            self._values |= {20: 0, 21: 0, 22: 0}
        for number, value in (options.get("settings") or {}).items():
            self._values[int(number)] = float(value)

    def __getitem__(self, number: int) -> float:
        return self._values[number]

    def lines(self) -> list[str]:
        return [f"${number}={self._written(number)}" for number in self._values]

    def _written(self, number: int) -> str:
        return f"{self._values[number]:.3f}" if number in DECIMALS else f"{self._values[number]:.0f}"

    def set(self, command: str) -> int:
        """``120=500``: GRBL's error number, or 0."""
        match = re.fullmatch(r"(\d+)=([-+]?\d+\.?\d*)", command)
        if match is None:
            return 3
        number, value = int(match[1]), float(match[2])
        if value < 0.0:
            return 4
        if number not in self._values:
            return 3
        if number == 20 and value and not self._values[22]:
            return 10
        self._values[number] = value
        return 0

    def state(self) -> dict[str, float]:
        return {str(number): value for number, value in self._values.items()}

    def restore(self, kept: Mapping[str, float]) -> None:
        self._values = {int(number): value for number, value in kept.items()}
