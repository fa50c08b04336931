"""The raw array that a trial's step read. Points only, no drawing."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labloop.campaign.analysis import SavedReading, curve_of
from labloop.campaign.errors import LabloopError
from labloop.campaign.state import TrialState
from labloop.journal import Blobs


@dataclass(frozen=True, slots=True)
class Raw:
    """``points`` of the reading ``name``, or ``trouble`` where they cannot be had."""

    name: str
    instrument: str
    unit: str = ""
    points: tuple[tuple[float, float], ...] = ()
    trouble: str = ""


def raw_of(trial: TrialState, blobs: Path) -> Raw | None:
    """Return the array that was read last in this trial, or None where none was."""
    for step in reversed(trial.steps):
        for name, reading in step.readings.items():
            if reading.blob:
                try:
                    array = Blobs(blobs).get(reading.blob)
                    curve = curve_of(SavedReading(array=array, unit=reading.unit))
                except LabloopError as error:
                    return Raw(name, step.begun.instrument, trouble=str(error))
                points = tuple(zip(curve.x, curve.y, strict=True))
                return Raw(name, step.begun.instrument, reading.unit, points)
    return None


def extent(points: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return the least and the greatest x, then y."""
    xs, ys = zip(*points, strict=True)
    return min(xs), max(xs), min(ys), max(ys)
