"""What drivers of balances share: how a stable weight is waited for, and which balance is meant.

A balance moves nothing and changes no matter, so none of its actions is an act: a weighing, a tare or a zero that was
cut short is simply done again. A weight counts when the balance calls it stable twice in a row and says nearly the
same, for a line without a checksum turns a digit now and then.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from labloop.bench import (
    Expected,
    InstrumentFault,
    ProtocolError,
    Setting,
    Signal,
    SpecError,
    Value,
    refuse_unknown,
    written,
)

L = TypeVar("L")

# Between two looks at a pan that has not settled.
LOOK_S = 0.5
# How long a balance takes to settle on a quiet table; only for the expected time of a step.
SETTLES_S = 4.0
# Two stable weights in a row may differ by their last digits; so may zero after a tare. More was damaged, or moves.
AGREE_DIGITS = 5.0
# With one answer in ten damaged, five unlike pairs in a row happen once in some thousand times.
AGREE_TRIES = 5
# A pan that has not settled moves by less than this part of its weight (or this many grams) between two answers.
MOVES, MOVES_G = 0.1, 1.0

WITHIN = Setting(
    name="within", argument="within_s", unit="s", low=1.0, high=600.0, default=60.0, required=False,
    doc="how long the weight may take to be stable",
)  # fmt: skip
MASS = Signal(name="mass", unit="g", doc="net: above zero and tare")
WATCHDOG = "nothing to be made safe: a balance moves nothing"


def serial_of(options: Mapping[str, Any], driver: str) -> str:
    """The serial number that the lab file asks for ("": any). Raises SpecError for options that make no sense."""
    refuse_unknown(options, ("serial",), driver)
    serial = options.get("serial", "")
    if "serial" in options and (isinstance(serial, bool) or not isinstance(serial, str | int) or not str(serial)):
        raise SpecError(f"serial = {serial!r} is not a serial number; it stands on the balance's plate")
    return str(serial)


def expected(values: Mapping[str, Value]) -> Expected:
    """As long as a pan takes to settle on a quiet table."""
    return Expected(duration_s=min(SETTLES_S, float(values["within_s"])))


def refuse_another(wanted: str, serial: str, model: str) -> None:
    """Raise InstrumentFault when another balance answers than the lab file asks for."""
    if wanted and serial != wanted:
        raise InstrumentFault(f"balance {serial} ({model}) answers where {wanted} was expected", kind="identity")


def alike(first_g: float, again_g: float, digit_g: float) -> bool:
    """Whether two stable weights in a row confirm each other."""
    return abs(again_g - first_g) <= AGREE_DIGITS * digit_g


def confirmed(look: Callable[[], L], same: Callable[[L, L], bool]) -> L:
    """What two looks in a row say nearly alike. Raises ProtocolError when they go on being unlike."""
    said = look()
    for _ in range(AGREE_TRIES):
        before, said = said, look()
        if same(before, said):
            return said
    raise ProtocolError("the pan reads differently each time")


def unstable(within_s: float, last_g: float | None) -> InstrumentFault:
    """The complaint about a pan that does not settle."""
    at = f" (last about {written(last_g, 'g')})" if last_g is not None else ""
    return InstrumentFault(
        f"not stable within {written(within_s, 's')}{at}: draught, vibration, or the pan is touched", kind="unstable"
    )
