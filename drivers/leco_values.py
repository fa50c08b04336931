"""What an actor's answers are worth: its values as readings, amounts and arrays, by what the lab file says of them."""

import json
import math
from collections.abc import Mapping
from struct import pack
from typing import Any

from labloop.bench import Amount, ProtocolError, Reading, Stand, Value, as_amounts

from .leco_client import Answer, array_of, finite
from .leco_options import Doing, Stays, Told

# What is read back may differ by the last digits of a float on its way through JSON and an instrument.
ALIKE = 1e-6


def reading_of(told: Told, value: Any) -> Reading:
    """A value as its reading."""
    if told.signal.unit:
        return Reading(value=finite(value), unit=told.signal.unit)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        value = json.dumps(value)
    return Reading(value=value if isinstance(value, str) else finite(value))


def stand_of(stays: Stays, value: Any) -> Stand:
    """A value as what stands there until somebody changes it; a switch that is on goes on."""
    if stays.unit:
        return Stand(value=finite(value), unit=stays.unit, within=stays.within, counts=stays.counts)
    return Stand(value=value if isinstance(value, bool | str) else json.dumps(value))


def numbers_of(value: Any, answer: Answer) -> bytes:
    """The numbers of a list, or of the frame behind the answer: float64, little-endian."""
    if answer.frames:
        return array_of(answer)
    if not isinstance(value, list) or not value:
        raise ProtocolError("an array was due, and there came neither a list of numbers nor a frame")
    return pack(f"<{len(value)}d", *(finite(one) for one in value))


def alike(said: Any, wanted: Any) -> bool:
    """Whether a parameter reads back as it was set."""
    if isinstance(wanted, bool) or isinstance(said, bool) or not isinstance(wanted, (int, float)):
        return bool(said == wanted)
    try:
        return isinstance(said, (int, float)) and math.isclose(said, wanted, rel_tol=ALIKE, abs_tol=1e-12)
    except OverflowError:  # a whole number that is too large for any float
        return False


def unit_of(doing: Doing) -> str:
    """Of what its counter counts."""
    assert doing.counts is not None
    return next(one.setting.unit for one in doing.given if one.setting.name == doing.counts.setting)


def amount_of(doing: Doing, name: str, values: Mapping[str, Value]) -> Amount:
    """A setting with its unit."""
    unit = next(one.setting.unit for one in doing.given if one.setting.name == name)
    return Amount(values[name], unit)


def remainder_of(doing: Doing, values: Mapping[str, Value], achieved: Mapping[str, Amount]) -> dict[str, Amount]:
    """The settings that would deliver the rest, where that can be said."""
    name = doing.action.amount
    if not doing.action.remainder or name not in achieved:
        return {}
    left = float(values[name]) - float(achieved[name].value)
    return as_amounts(doing.action, {**values, name: left}) if left > 0.0 else {}


def achieved_of(doing: Doing, report: Mapping[str, Any]) -> dict[str, Amount]:
    """How much was done, where the report's result has the counter's name."""
    result = report.get("result")
    if doing.counts is None or not isinstance(result, Mapping) or doing.counts.parameter not in result:
        return {}
    return {doing.counts.setting: Amount(finite(result[doing.counts.parameter]), unit_of(doing))}
