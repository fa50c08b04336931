"""Arithmetic on quantities: what may be added, multiplied and compared, and in which unit the answer is.

A product with a pure number keeps the other side's unit (500 uL/min * 20 percent is 100 uL/min); other products join
the words of both units (uL/min * min is uL). Rules for temperatures: see units.
"""

import math
from collections.abc import Callable

from .errors import UnitError
from .units import Quantity, convert, is_point, is_pure_number, same_dimension, terms, unit_text


def add(left: Quantity, right: Quantity) -> Quantity:
    """Add two quantities, in the unit of the left (of the point, when one is a temperature in degC)."""
    if is_point(left.unit) and is_point(right.unit):
        raise UnitError(f"{left} + {right}: two temperatures cannot be added. Write the difference in K, as in + 5 K")
    if is_point(right.unit):
        left, right = right, left
    return Quantity(left.value + convert(right.value, right.unit, left.unit, difference=True), left.unit)


def subtract(left: Quantity, right: Quantity) -> Quantity:
    """Subtract; a temperature in degC less another is a difference in K."""
    if is_point(left.unit) and is_point(right.unit):
        return Quantity(convert(left.value, left.unit, "K") - convert(right.value, right.unit, "K"), "K")
    if is_point(right.unit):
        return Quantity(left.value - convert(right.value, right.unit, left.unit), left.unit)
    return Quantity(left.value - convert(right.value, right.unit, left.unit, difference=True), left.unit)


def multiply(left: Quantity, right: Quantity) -> Quantity:
    """Multiply two quantities."""
    _no_points(left, right)
    if left.unit == "":
        return Quantity(left.value * right.value, right.unit)
    if right.unit == "":
        return Quantity(left.value * right.value, left.unit)
    if is_pure_number(left.unit) and not is_pure_number(right.unit):
        left, right = right, left
    if is_pure_number(right.unit):
        unit = left.unit if not is_pure_number(left.unit) else ""
        return Quantity(convert(left.value, left.unit, unit) * convert(right.value, right.unit, ""), unit)
    return _joined(left.value * right.value, left.unit, right.unit, 1)


def divide(left: Quantity, right: Quantity) -> Quantity:
    """Divide two quantities. Raises UnitError on division by zero."""
    _no_points(left, right)
    if right.value == 0:
        raise UnitError(f"{left} / {right}: division by zero. Keep zero out of the range of what stands below the line")
    if right.unit == "":
        return Quantity(left.value / right.value, left.unit)
    if same_dimension(left.unit, right.unit):
        return Quantity(convert(left.value, left.unit, right.unit) / right.value, "")
    if is_pure_number(right.unit):
        return Quantity(left.value / convert(right.value, right.unit, ""), left.unit)
    return _joined(left.value / right.value, left.unit, right.unit, -1)


def power(base: Quantity, exponent: Quantity) -> Quantity:
    """Raise to a power; the exponent is a pure number, and whole when the base has a unit."""
    _no_points(base, exponent)
    by = convert(exponent.value, exponent.unit, "")
    if is_pure_number(base.unit):
        base = Quantity(convert(base.value, base.unit, ""), "")
    elif by != int(by) or abs(by) > 20:
        raise UnitError(f"{base} ** {exponent}: a quantity with a unit takes whole powers up to 20 only")
    try:
        value = base.value**by
    except (OverflowError, ZeroDivisionError):
        value = math.inf
    if isinstance(value, complex) or not math.isfinite(value):
        raise UnitError(f"{base} ** {exponent} is not a finite number")
    return Quantity(value, unit_text({word: times * int(by) for word, times in terms(base.unit).items()} if by else {}))


def negate(quantity: Quantity) -> Quantity:
    """Turn the sign."""
    _no_points(quantity)
    return Quantity(-quantity.value, quantity.unit)


def difference(left: Quantity, right: Quantity) -> Quantity:
    """Say by how much left exceeds right, temperatures as points, in the unit of the left (K for degC)."""
    if same_dimension(left.unit, right.unit) and (is_point(left.unit) or is_point(right.unit)):
        return Quantity(convert(left.value, left.unit, "K") - convert(right.value, right.unit, "K"), "K")
    return Quantity(left.value - convert(right.value, right.unit, left.unit), left.unit)


COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda by, slack: by <= slack,
    ">=": lambda by, slack: by >= -slack,
    "==": lambda by, slack: abs(by) <= slack,
    "!=": lambda by, slack: abs(by) > slack,
    "<": lambda by, slack: by < -slack,
    ">": lambda by, slack: by > slack,
}


def compare(sign: str, left: Quantity, right: Quantity, tolerance: float = 1e-9) -> bool:
    """Compare two quantities; ``tolerance`` is relative to the larger of the two."""
    by = difference(left, right)
    slack = tolerance * max(abs(left.value), abs(left.value - by.value), 1e-300)
    return COMPARE[sign](by.value, slack)


def _joined(value: float, unit: str, other: str, sign: int) -> Quantity:
    powers = terms(unit)
    for word, times in terms(other).items():
        powers[word] = powers.get(word, 0) + sign * times
    joined = unit_text({word: times for word, times in powers.items() if times})
    return Quantity(convert(value, joined, ""), "") if joined and is_pure_number(joined) else Quantity(value, joined)


def _no_points(*quantities: Quantity) -> None:
    for quantity in quantities:
        if is_point(quantity.unit):
            raise UnitError(
                f"{quantity} cannot be multiplied, divided or raised: {quantity.unit} has a shifted zero. "
                "Subtract another temperature first, or declare it in K"
            )
