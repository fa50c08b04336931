"""Readings that are not to be believed: what an instrument says when it has nothing to say.

    nan, inf                     no number
    9.9E37, -9.9E37, 9.91E37     SCPI's words for over-range, under-range, not a number (SCPI-99, 7.2.1.4 and 7.2.1.5)
    another unit than declared   somebody pressed the unit key; the number is right and means something else
    an array with any of these

Such a reading is kept, with a ``flag`` that says why; no outcome is made of it, and so nothing learns from it. A
reading that is only bounded is something else: ``censored`` (see values.Reading).
"""

import math
from array import array
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Final

import msgspec

from .errors import UnitError
from .units import parse_measurement, plain_unit
from .values import Amount, Reading, Stand

NO_READING: Final = 9.9e37
LONGEST_TEXT: Final = 200  # characters of a word that an instrument reads out


def believed(reading: Reading, unit: str | None = None) -> Reading:
    """The same reading, or one that says why it is not to be believed and can be kept in a journal.

    unit: the one that the driver declares (None: it declares no such signal).
    """
    value, flag = plain_number(reading.value), reading.flag
    if isinstance(value, float) and not math.isfinite(value):
        value, flag = None, flag or f"{value} is no number"
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= NO_READING:
        said = f"{value:.4g}" if abs(value) < 1e300 else "a number above 1e300"
        value, flag = None, flag or f"{said} is what an instrument says when it has no reading"
    elif isinstance(value, str) and len(value) > LONGEST_TEXT:
        value, flag = value[:LONGEST_TEXT], flag or f"a word of {len(value)} characters"
    elif value is not None and not isinstance(value, (str, int, float)):
        value, flag = None, flag or f"a {type(value).__name__}, which is neither a number nor a word"
    sd = plain_number(reading.sd)
    if sd is not None and not (isinstance(sd, (int, float)) and 0.0 <= sd < NO_READING):
        sd, flag = None, flag or f"a standard deviation of {sd!r:.40}"
    if unit is not None and not flag and isinstance(value, (int, float)) and not isinstance(value, bool):
        flag = unit_flag(reading.unit, unit)
    if reading.censored not in ("", "above", "below"):
        flag = flag or f"censored {reading.censored!r:.20}, which is neither above nor below"
    return msgspec.structs.replace(reading, value=value, sd=sd, flag=flag, censored="" if flag else reading.censored)


def plain_number(value: Any) -> Any:
    """numpy's numbers, and others that are real, as Python's; anything else as it is."""
    if isinstance(value, (bool, str)) or type(value) in (int, float) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def plain_amounts(amounts: Mapping[str, Amount]) -> dict[str, Amount]:
    """The same with Python's numbers."""
    return {name: Amount(plain_number(one.value), one.unit) for name, one in amounts.items()}


def sound_stands(stands: Mapping[str, Stand]) -> dict[str, Stand]:
    """The same with Python's numbers, without what is no value: nothing can be compared with that."""
    plain = {name: msgspec.structs.replace(one, value=plain_number(one.value)) for name, one in stands.items()}
    return {name: one for name, one in plain.items() if not believed(Reading(value=one.value)).flag}


def doubtful(raw: str | int | float, read: Reading) -> str:
    """Why a measurement that a person wrote (and ``read`` is in the unit wanted) is not to be believed ("": it is).

    An instrument says that it has no reading in its own unit: 9.9E37 ug are no 9.9E34 mg.
    """
    return believed(parse_measurement(raw)).flag or believed(read).flag


def array_flag(data: bytes) -> str:
    """Why an array of float64 is not to be believed ("": it is)."""
    if not data or len(data) % 8:
        return f"{len(data)} bytes are no array of float64"
    numbers = array("d", data)
    wrong = next((number for number in numbers if not math.isfinite(number) or abs(number) >= NO_READING), None)
    return "" if wrong is None else f"the array holds {wrong:.4g}"


def no_number(amounts: Mapping[str, Amount]) -> str:
    """The first amount that is no number, in words ("": all are): of what was done there must be no doubt."""
    for name, amount in amounts.items():
        value = amount.value
        if isinstance(value, (int, float)) and (abs(value) >= NO_READING or not math.isfinite(value)):
            return f"{name} = {value}"
    return ""


def unit_flag(unit: str, declared: str) -> str:
    """Why a number in another unit than the driver declares is not to be believed ("": it is that unit)."""
    try:
        if unit == declared or plain_unit(unit) == plain_unit(declared):
            return ""
    except UnitError:
        pass  # what is no unit is certainly not the one declared
    return f"in {unit or 'no unit'}, where {declared or 'no unit'} is declared"
