"""What lab.yaml says of a Eurotherm controller, read and found sensible (see eurotherm)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import SpecError, quantity_of, refuse_unknown, written

from .eurotherm_limits import CHECKED, POLICIES, SET

# What it can be set up to show behind the point (register 525).
DECIMALS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one controller. ``remote``: temperatures are held through the remote setpoint; else it runs its
    own programme. ``fallback_c``: the most that it may go to when nobody speaks to it. ``policy``: of its limits.
    ``decimals``: with how many it shows a temperature, by one; all that there are, where the lab file does not say."""

    address: int
    remote: bool
    fallback_c: float
    policy: str
    decimals: tuple[int, ...]


def read_options(options: Mapping[str, Any]) -> Options:
    """Read and check the options. Raises SpecError for what makes no sense."""
    refuse_unknown(options, ("address", "control", "fallback", "setpoint_limits", "decimals"), "E3216")
    address = options.get("address", 1)
    if not isinstance(address, int) or isinstance(address, bool) or not 1 <= address <= 254:
        raise SpecError(f"address = {address!r} is not a whole number from 1 to 254")
    control = options.get("control", "remote")
    if control not in ("remote", "program"):
        raise SpecError(f"control = {control!r} is neither remote nor program")
    if (policy := options.get("setpoint_limits", CHECKED)) not in POLICIES:
        raise SpecError(f"setpoint_limits = {policy!r} is none of {', '.join(POLICIES)}")
    if (policy, control) == (SET, "program"):
        raise SpecError("setpoint_limits = 'set' needs control: remote. A stored programme has no limits of a lab")
    decimals = options.get("decimals")
    if isinstance(decimals, bool) or decimals not in (None, *DECIMALS):
        raise SpecError(f"decimals = {decimals!r} is none of 0, 1, 2")
    fallback_c = quantity_of(options.get("fallback", 50.0), "degC")
    if not -200.0 <= fallback_c <= 200.0:
        raise SpecError(f"fallback = {written(fallback_c, 'degC')} is not harmless: write at most 200 degC")
    return Options(address, control == "remote", fallback_c, policy, DECIMALS if decimals is None else (decimals,))
