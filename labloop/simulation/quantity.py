"""Quantities as they are written in a lab file, for simulators: ``amount("14.43 mm", "mm")``."""

import re

_FACTORS: dict[str, tuple[str, float]] = {
    "uL": ("volume", 1.0),
    "µL": ("volume", 1.0),
    "mL": ("volume", 1e3),
    "L": ("volume", 1e6),
    "mL/min": ("flow", 1.0),
    "L/min": ("flow", 1e3),
    "um": ("length", 1e-3),
    "mm": ("length", 1.0),
    "cm": ("length", 10.0),
    "m": ("length", 1e3),
    "ms": ("time", 1e-3),
    "s": ("time", 1.0),
    "min": ("time", 60.0),
    "h": ("time", 3600.0),
    "degC": ("temperature", 1.0),
    "rpm": ("speed", 1.0),
    "K": ("absolute temperature", 1.0),
    "ug": ("mass", 1e-6),
    "mg": ("mass", 1e-3),
    "g": ("mass", 1.0),
    "kg": ("mass", 1e3),
    "mV": ("voltage", 1e-3),
    "V": ("voltage", 1.0),
    "pA": ("current", 1e-12),
    "nA": ("current", 1e-9),
    "uA": ("current", 1e-6),
    "mA": ("current", 1e-3),
    "A": ("current", 1.0),
    "ohm": ("resistance", 1.0),
    "kohm": ("resistance", 1e3),
    "Mohm": ("resistance", 1e6),
    "uM": ("concentration", 1e-3),
    "mM": ("concentration", 1.0),
    "M": ("concentration", 1e3),
    "mbar": ("pressure", 1.0),
    "bar": ("pressure", 1e3),
    "W": ("power", 1.0),
    "g/mL": ("density", 1.0),
    "kg/L": ("density", 1.0),
}
_WRITTEN = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*")


def amount(written: object, unit: str) -> float:
    """A number in ``unit`` from ``"10 mL"``, or from a bare number that is in ``unit`` already.

    Raises ValueError for anything else, with the units that are known.
    """
    if isinstance(written, int | float) and not isinstance(written, bool):
        return float(written)
    match = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f"{written!r} is not a quantity: write a number and a unit, as in '10 {unit}'")
    value, found = float(match[1]), match[2] or unit
    if found not in _FACTORS or _FACTORS[found][0] != _FACTORS[unit][0]:
        raise ValueError(f"{written!r} cannot be read in {unit}: known units are {', '.join(_FACTORS)}")
    return value * _FACTORS[found][1] / _FACTORS[unit][1]
