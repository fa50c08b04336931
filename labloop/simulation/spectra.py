"""The spectra a simulated sample can have: a target band, what else may grow instead, and their mixture.

Silver nanoprisms absorb near 650 nm, with the small out-of-plane band near 330 nm; round particles near 400 nm. The
two shapes hardly overlap, so a mixture of both with share w of the wrong one lies at the total-variation distance
w * D from the target, D being the distance of the pure wrong one: a wanted distance is met exactly by w = distance / D.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WAVELENGTHS_NM: Floats = np.arange(300.0, 901.0, 2.0)


def _band(center_nm: float, width_nm: float) -> Floats:
    """A Gaussian band of height 1; ``width_nm`` is its standard deviation. Ends at four widths, as a baseline would."""
    distance = (WAVELENGTHS_NM - center_nm) / width_nm
    return np.where(np.abs(distance) <= 4.0, np.exp(-0.5 * distance**2), 0.0)


TARGET: Floats = np.round(_band(650.0, 42.0) + 0.12 * _band(331.0, 7.0), 6)
OFF_TARGET: Floats = np.round(_band(404.0, 19.0), 6)
PLAIN: Floats = _band(520.0, 40.0)


def distance(a: Floats, b: Floats) -> float:
    """Total-variation distance on one grid: negatives to 0, each to sum 1, half the summed difference."""
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    if a.sum() <= 0.0 or b.sum() <= 0.0:
        return 1.0
    return float(0.5 * np.abs(a / a.sum() - b / b.sum()).sum())


def at_distance(wanted: float, target: Floats = TARGET) -> Floats:
    """A spectrum of height about 1 whose distance from ``target`` is ``wanted`` (as far as OFF_TARGET reaches)."""
    share = float(np.clip(wanted / distance(OFF_TARGET, target), 0.0, 1.0))
    mixed = (1.0 - share) * target / target.sum() + share * OFF_TARGET / OFF_TARGET.sum()
    return np.asarray(mixed / mixed.max(), dtype=np.float64)


def with_height(value: float) -> Floats:
    """A single band at 520 nm whose highest absorbance is ``value``."""
    return PLAIN * value


def read_spectrum(path: Path | str) -> Floats:
    """A target file (columns ``wavelength_nm,absorbance``) on WAVELENGTHS_NM. Raises ValueError naming the file."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        x = np.array([float(row["wavelength_nm"]) for row in rows])
        y = np.array([float(row["absorbance"]) for row in rows])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a spectrum with columns wavelength_nm,absorbance ({error!r})") from None
    if len(x) < 2 or np.any(np.diff(x) <= 0):
        raise ValueError(f"{path}: wavelengths must rise from row to row")
    return np.asarray(np.interp(WAVELENGTHS_NM, x, y, left=0.0, right=0.0), dtype=np.float64)


def write_target(path: Path | str) -> None:
    """The shipped target as a file, for a campaign's ``target:``."""
    lines = [f"{x:g},{y:g}" for x, y in zip(WAVELENGTHS_NM, TARGET, strict=True)]
    Path(path).write_text("wavelength_nm,absorbance\n" + "\n".join(lines) + "\n", encoding="utf-8")
