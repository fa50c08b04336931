"""What a lab file says of a Lake Shore 336: which input and output, with which range and cut-out.

Source: as drivers/lakeshore.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import SpecError, quantity_of, refuse_unknown, written

INPUTS, OUTPUTS = ("A", "B", "C", "D"), (1, 2)
RANGES = {"low": 1, "medium": 2, "high": 3}


@dataclass(frozen=True, slots=True)
class Loop:
    """Which input and output, with which range and cut-out, a lab file names."""

    place: str
    output: int
    range: str
    cutoff_k: float


def read_loop(options: Mapping[str, Any]) -> Loop:
    """Read and check the options. Raises SpecError for what makes no sense."""
    refuse_unknown(options, ("input", "output", "range", "cutoff"), "LS336")
    place, output, range_ = str(options.get("input", "A")), options.get("output", 1), str(options.get("range", "high"))
    if place not in INPUTS:
        raise SpecError(f"input = {place!r} is none of {', '.join(INPUTS)}")
    if output not in OUTPUTS or isinstance(output, bool):
        raise SpecError(f"output = {output!r} is neither 1 nor 2, the outputs that heat")
    if range_ not in RANGES:
        raise SpecError(f"range = {range_!r} is none of {', '.join(RANGES)}")
    cutoff_k = quantity_of(options.get("cutoff", 350.0), "K")
    if not 0.0 <= cutoff_k <= 1505.0:
        raise SpecError(f"cutoff = {written(cutoff_k, 'K')} is outside 0 (none) to 1505 K")
    return Loop(place, int(output), range_, cutoff_k)
