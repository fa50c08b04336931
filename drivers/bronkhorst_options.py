"""What a lab file says of a Bronkhorst controller, and the units that such a controller counts in.

A volume of gas is one at 1.01325 bar and some temperature: normal (0 degC: mln, ln) or standard (20 degC: mls, ls),
which differ by 7 %. The units are those of manual 9.17.158 p. 33 and 37; a unit has at most seven letters there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import SpecError, quantity_of, refuse_unknown, written

from .bronkhorst_codec import LOCAL
from .gas_flow import full_scale_of

REFERENCES = {"normal": "n", "standard": "s"}
MILLILITRES = {"u": 1e-3, "m": 1.0, "": 1e3, "mm3": 1e-3, "cm3": 1.0, "cc": 1.0, "dm3": 1e3, "m3": 1e6}
A_MINUTE = {"h": 1.0 / 60.0, "m": 1.0, "min": 1.0, "s": 60.0}
# The maker counts these as normal, whatever the s stands for elsewhere.
OTHER = {"sccm": 1.0, "slm": 1e3}
VOLUME = re.compile(r"(?:(?P<litre>[um]?)l|(?P<cube>mm3|cm3|cc|dm3|m3))(?P<reference>[ns])")
# Manual 9.17.158 p. 33: a counter's limit goes up to 9999999.
MOST = 9_999_999.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``watchdog_ml``: what may flow in one act (0: as much as it will)."""

    full_ml_min: float
    reference: str
    node: int
    gas: str
    watchdog_ml: float


def read_options(options: Mapping[str, Any]) -> Options:
    """The options of a lab file. Raises SpecError for what makes no sense."""
    refuse_unknown(options, ("full_scale", "reference", "node", "gas", "watchdog"), "ELFlow")
    full = full_scale_of(options)
    reference = options.get("reference", "normal")
    if reference not in REFERENCES:
        raise SpecError(f"reference = {reference!r} is neither normal (0 degC) nor standard (20 degC)")
    node = options.get("node", LOCAL)
    if isinstance(node, bool) or not isinstance(node, int) or not 1 <= node <= LOCAL:
        raise SpecError(f"node = {node!r} is not a number from 1 to {LOCAL} ({LOCAL}: the one that the cable goes to)")
    watchdog = quantity_of(options["watchdog"], "mL") if "watchdog" in options else 0.0
    if not 0.0 <= watchdog <= MOST:
        raise SpecError(f"watchdog = {written(watchdog, 'mL')} must lie between 0 and {written(MOST, 'mL')} of gas")
    return Options(
        full_ml_min=full, reference=reference, node=node, gas=str(options.get("gas", "")), watchdog_ml=watchdog
    )


def millilitres(unit: str, reference: str) -> float | None:
    """How many mL one of its units of volume is; None for another reference, a mass, or what is not known."""
    match = VOLUME.fullmatch(unit)
    if match is None or match["reference"] != REFERENCES[reference]:
        return None
    return MILLILITRES[match["litre"] if match["cube"] is None else match["cube"]]


def millilitres_a_minute(unit: str, reference: str) -> float | None:
    """The same of its units of flow."""
    if unit in OTHER:
        return OTHER[unit] if reference == "normal" else None
    volume, _, time = unit.partition("/")
    factor = millilitres(volume, reference)
    return None if factor is None or time not in A_MINUTE else factor * A_MINUTE[time]
