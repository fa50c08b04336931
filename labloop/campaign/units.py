"""Quantities: a number and its unit, read as a chemist writes them.

We split number and unit ourselves and hand pint single unit words only (``uL``, ``degC``), so no text of a user's ever
reaches a parser that could compute. A unit is a product of powers of words; each word has a factor and an offset to
its base and a dimension:

    base = factor * value + offset        (offset: degC and degF only, and only when the word stands alone)

Temperatures: degC is a point on a scale, K is a point or a difference. A point plus a difference is a point, a point
less a point is a difference (K), two points cannot be added and a point cannot be multiplied.
"""

import math
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from typing import Any

from .errors import UnitError
from .events import Reading
from .unit_table import BY_DIMENSION

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORD = r"(?:%|[^\W\d]\w*%?)"
_POWER = r"(?:(?:\*\*|\^)[-+]?\d{1,2})?"
UNIT = rf"{_WORD}{_POWER}(?:[*/]{_WORD}{_POWER})*"
_QUANTITY = re.compile(rf"({NUMBER})\s*(\S.*)?", re.DOTALL)
_UNIT_TEXT = re.compile(rf"(?:1/)?{UNIT}")
_TERM = re.compile(rf"([*/]?)({_WORD}|1)((?:(?:\*\*|\^)[-+]?\d{{1,2}})?)")
_LONGEST_UNIT = 60  # the longest sensible unit is some 25 characters; the bound keeps hostile text cheap

_SAME = str.maketrans(
    {"µ": "u", "μ": "u", "\N{MINUS SIGN}": "-", "·": "*", "⋅": "*", "²": "**2", "³": "**3", "\N{NO-BREAK SPACE}": " "}
)
_DEGREES = {"°C": "degC", "℃": "degC", "°F": "degF", "℉": "degF", "°": "deg"}

Dimension = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a unit; ``""`` is a pure number. ``str`` gives the text that ``parse_quantity`` reads back."""

    value: float
    unit: str = ""

    def to(self, unit: str, difference: bool = False) -> "Quantity":
        """Say the same in another unit. Raises UnitError when the dimensions differ."""
        return Quantity(convert(self.value, self.unit, unit, difference), unit)

    def __str__(self) -> str:
        return f"{number_text(self.value)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class _Scale:
    factor: float
    offset: float
    dimension: Dimension


_TIME: Dimension = (("[time]", -1.0),)
# A revolution is one turn here, and 2 pi to pint: 60 rad/s are 573 rpm, and never 3600.
_TURN = 2.0 * math.pi
# Words whose meaning in a laboratory differs from pint's, or that pint lacks.
_OURS = {
    "%": _Scale(0.01, 0.0, ()),
    "mol%": _Scale(0.01, 0.0, ()),
    "wt%": _Scale(0.01, 0.0, ()),
    "vol%": _Scale(0.01, 0.0, ()),
    "eq": _Scale(1.0, 0.0, ()),
    "equiv": _Scale(1.0, 0.0, ()),
    "1": _Scale(1.0, 0.0, ()),
    "rev": _Scale(1.0, 0.0, ()),
    "pH": _Scale(1.0, 0.0, (("[pH]", 1.0),)),  # to pint it is a picohenry
    "rpm": _Scale(1.0 / 60.0, 0.0, _TIME),
    "rps": _Scale(1.0, 0.0, _TIME),
}
_TABLE = {
    word: _Scale(factor, offset, dimension) for dimension, rows in BY_DIMENSION.items() for word, factor, offset in rows
}
_COMMON: tuple[str, ...] = (
    "percent", "ppm", "degC", "K", "s", "ms", "min", "h", "d", "uL", "mL", "L", "nL", "nm",
    "um", "mm", "cm", "m", "g", "mg", "ug", "kg", "mol", "mmol", "umol", "M", "mM", "uM",
    "V", "mV", "A", "mA", "W", "kW", "Hz", "kHz", "Pa", "kPa", "MPa", "bar", "mbar", "psi",
    "rpm", "degF", "J", "N", "eV",
)  # fmt: skip
_KINDS: dict[Dimension, str] = {
    (): "a pure number",
    (("[time]", 1.0),): "a time",
    (("[temperature]", 1.0),): "a temperature",
    (("[length]", 1.0),): "a length",
    (("[length]", 3.0),): "a volume",
    (("[mass]", 1.0),): "a mass",
    (("[length]", 3.0), ("[time]", -1.0)): "a volume flow",
    (("[length]", -1.0), ("[mass]", 1.0), ("[time]", -2.0)): "a pressure",
    (("[substance]", 1.0),): "an amount of substance",
    (("[length]", -3.0), ("[substance]", 1.0)): "a concentration",
    (("[temperature]", 1.0), ("[time]", -1.0)): "a heating rate",
    (("[time]", -1.0),): "a rate",
    (("[pH]", 1.0),): "a pH",
    (("[current]", 1.0),): "a current",
    (("[current]", 1.0), ("[time]", 1.0)): "an electric charge",
    (("[current]", -1.0), ("[length]", 2.0), ("[mass]", 1.0), ("[time]", -3.0)): "a voltage",
    (("[length]", 2.0), ("[mass]", 1.0), ("[time]", -3.0)): "a power",
    (("[length]", 2.0), ("[mass]", 1.0), ("[time]", -2.0)): "an energy or a torque",
}


def number_text(value: float) -> str:
    """Write a number as short as it can be read back exactly."""
    text = repr(value)
    return text[:-2] if text.endswith(".0") else text


def parse_quantity(raw: str | int | float, unit: str | None = None) -> Quantity:
    """Read ``90``, ``"90"`` or ``"90 degC"``; a bare number is in ``unit``, the answer too when ``unit`` is given.

    Raises UnitError for text that is no quantity, a unit of another dimension, and what is not finite.
    """
    value, written = split_quantity(raw)
    if unit is None:
        return Quantity(value, written)
    unit = plain_unit(unit)
    return Quantity(value if not written else convert(value, written, unit), unit)


def split_quantity(raw: str | int | float) -> tuple[float, str]:
    """Part a quantity into number and unit (``""`` when none was written). Raises UnitError."""
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise UnitError(f"{quote(raw)} is not a number with a unit. Write a number, or a number and a unit")
    if not isinstance(raw, str):
        return _finite(raw, str), ""
    match = _QUANTITY.fullmatch(_plain(raw)) if len(raw) <= 200 else None
    if match is None:
        raise UnitError(f"{quote(raw)} is not a number with a unit. Write it like 20, 1e-3 or 90 degC")
    number, unit = match[1], match[2] or ""
    if unit.startswith(","):
        raise UnitError(f"{quote(raw)} has a comma. Write the decimal point as 3.5 and thousands without a mark")
    value = _finite(number, quote)
    if unit:
        unit = plain_unit(unit)
        _scale(unit)
    return value, unit


def parse_measurement(raw: str | int | float, unit: str | None = None) -> Reading:
    """Read a measured value: ``0.41``, ``12.34(5)``, ``12.34(5) mL``, ``12.3 +- 0.2 mL``; in ``unit`` when given.

    ``12.34(5)`` is a value of 12.34 with a standard deviation of 0.05. Raises UnitError.
    """
    if not isinstance(raw, str):
        return Reading(value=parse_quantity(raw).value, unit=unit or "")
    text = _plain(raw).replace("±", "+-")
    sd = 0.0
    match = re.fullmatch(r"([-+]?\d*\.?\d*)\((\d*\.?\d+)\)((?:[eE][-+]?\d+)?)(.*)", text, re.DOTALL)
    if match is not None:
        digits, spread, exponent, rest = match.groups()
        decimals = len(digits.partition(".")[2]) if "." not in spread else 0
        sd = _finite(f"{spread}e-{decimals}", quote) * _finite(f"1{exponent}", quote)
        text = f"{digits}{exponent}{rest}"
    elif "+-" in text:
        text, _, spread = text.partition("+-")
        sd, written = split_quantity(spread.strip())
        if sd < 0.0:
            raise UnitError(f"{quote(raw)} has a standard deviation below 0. Write 12.3 +- 0.2")
        if split_quantity(text.strip())[1] not in ("", written):
            raise UnitError(f"{quote(raw)} has two units. Write the unit once, at the end")
        text = f"{split_quantity(text.strip())[0]!r} {written}"
    value, written = split_quantity(text.strip())
    target = written if unit is None else plain_unit(unit)
    if written:
        value, sd = convert(value, written, target), convert(sd, written, target, difference=True)
    return Reading(value=value, unit=target, sd=sd or None)


def convert(value: float, unit: str, to: str, difference: bool = False) -> float:
    """Convert a value between units; ``difference``: of temperatures, a difference. Raises UnitError."""
    unit, to = plain_unit(unit), plain_unit(to)
    if unit == to:
        return value
    one, other = _scale(unit), _scale(to)
    if one.dimension != other.dimension:
        way_out = " (C is the coulomb; write degC)" if "C" in (unit, to) else ""
        raise UnitError(
            f"{number_text(value)} {unit or '(no unit)'} is {_kind(one.dimension)}, and {to or 'a pure number'} is "
            f"{_kind(other.dimension)}{way_out}. Write it in {to or 'no unit'} or a unit of that kind"
        )
    if difference:
        return _tidy(value * one.factor / other.factor)
    if one.offset == 0.0 and other.offset == 0.0:
        return _tidy(value * (one.factor / other.factor))
    return _tidy((value * one.factor + one.offset - other.offset) / other.factor)


def same_dimension(unit: str, other: str) -> bool:
    """Tell whether one unit converts to the other. Raises UnitError for a unit that is not known."""
    return _scale(plain_unit(unit)).dimension == _scale(plain_unit(other)).dimension


def check_unit(unit: str) -> str:
    """Give the unit back in plain spelling. Raises UnitError when it is not known."""
    plain = plain_unit(unit)
    _scale(plain)
    return plain


def is_pure_number(unit: str) -> bool:
    """Tell whether the unit only scales a pure number (percent, ppm, none)."""
    return not _scale(unit).dimension


def is_point(unit: str) -> bool:
    """Tell whether the unit is a point on a scale with a shifted zero (degC, degF)."""
    return _scale(unit).offset != 0.0


@lru_cache(maxsize=4096)
def plain_unit(unit: str) -> str:
    """Spell a unit plainly: ``µL / min`` is ``uL/min``, ``°C`` is ``degC``."""
    for sign, word in _DEGREES.items():
        unit = unit.replace(sign, word)
    unit = _plain(unit).replace("^", "**")
    return re.sub(r"\s*([*/])\s*", r"\1", unit)


def quote(value: object, longest: int = 80) -> str:
    """Show a value in a message, never more than ``longest`` characters of it, never walking a large one."""
    if isinstance(value, str):
        text = repr(value[: longest + 1])
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        text = "a number of more than 40 digits"
    elif isinstance(value, (dict, list, tuple)):
        text = _outline(value)
    else:
        text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _outline(value: object, depth: int = 0) -> str:
    """Show the first few entries of a collection, two levels deep."""
    if depth > 2:
        return "..."
    if isinstance(value, dict):
        shown = [f"{key}: {_outline(value[key], depth + 1)}" for key in list(value)[:6]]
        return "{" + ", ".join(shown + (["..."] if len(value) > 6 else [])) + "}"
    if isinstance(value, (list, tuple)):
        shown = [_outline(item, depth + 1) for item in value[:6]]
        return "[" + ", ".join(shown + (["..."] if len(value) > 6 else [])) + "]"
    return str(value)[:80] if isinstance(value, str) else quote(value)


def _plain(text: str) -> str:
    return text.translate(_SAME).strip()


def _finite(raw: str | int | float, show: Any) -> float:
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UnitError(f"{quote(raw)} is not a finite number. Write a number that an instrument could show")
    return value


def _tidy(value: float) -> float:
    """Drop the last two binary digits' noise, so that 300 K is 26.85 degC."""
    return float(f"{value:.14g}")


def terms(unit: str) -> dict[str, int]:
    """Part a plain unit into its words and their powers: ``uL/min`` is ``{"uL": 1, "min": -1}``. Raises UnitError."""
    if len(unit) > _LONGEST_UNIT or (unit and _UNIT_TEXT.fullmatch(unit) is None):
        raise UnitError(f"{quote(unit)} is not a unit. Write words with * and /, like uL/min")
    powers: dict[str, int] = {}
    for sign, word, power in _TERM.findall(unit):
        exponent = int(power.lstrip("*^")) if power else 1
        powers[word] = powers.get(word, 0) + (-exponent if sign == "/" else exponent)
    powers.pop("1", None)
    return {word: power for word, power in powers.items() if power}


def unit_text(powers: dict[str, int]) -> str:
    """Write words and powers as a unit: ``{"uL": 1, "min": -1}`` is ``uL/min``."""

    def one(word: str, power: int) -> str:
        return word if power == 1 else f"{word}**{power}"

    above = "*".join(one(word, power) for word, power in powers.items() if power > 0)
    below = "".join("/" + one(word, -power) for word, power in powers.items() if power < 0)
    return (above or ("1" if below else "")) + below


@lru_cache(maxsize=4096)
def _scale(unit: str) -> _Scale:
    powers = terms(unit)
    if len(powers) == 1 and next(iter(powers.values())) == 1:
        return _word(next(iter(powers)))
    factor, dimension = 1.0, dict[str, float]()
    for word, power in powers.items():
        scale = _word(word)
        factor *= scale.factor**power
        for base, exponent in scale.dimension:
            dimension[base] = dimension.get(base, 0.0) + exponent * power
    return _Scale(factor, 0.0, tuple(sorted((base, power) for base, power in dimension.items() if power)))


@lru_cache(maxsize=4096)
def _word(word: str) -> _Scale:
    known = _OURS.get(word) or _TABLE.get(word)
    return _word_of_pint(word) if known is None else known


def _word_of_pint(word: str) -> _Scale:
    registry, pint = _registry()
    try:
        unit = registry.parse_units(word)
        zero, one, two = (float(registry.Quantity(x, unit).to_base_units().magnitude) for x in (0.0, 1.0, 2.0))
    except (pint.errors.PintError, ValueError, TypeError, ZeroDivisionError) as error:
        near = [one for one in _COMMON if len(one) == len(word) > 2 and sum(map(str.__ne__, one, word)) == 1]
        close = near or get_close_matches(word, _COMMON, n=1) or get_close_matches(word.lower(), _COMMON, n=1)
        way_out = f"Did you mean {close[0]}?" if close else "Write a unit like uL/min, degC, percent, s"
        raise UnitError(f"{quote(word)} is not a unit. {way_out}") from error
    if not math.isclose(two - one, one - zero, rel_tol=1e-9):
        raise UnitError(f"{word} is a logarithmic scale, which cannot be added or converted here. Leave the unit out")
    dimension = tuple(sorted((str(base), float(power)) for base, power in unit.dimensionality.items()))
    angles = dict(registry.Quantity(1.0, unit).to_base_units().unit_items()).get("radian", 0)
    turned = _TURN**angles if abs(angles) == 1 else 1.0  # a solid angle is no turn
    return _Scale((one - zero) / turned, zero, dimension)


@lru_cache(maxsize=1)
def _registry() -> tuple[Any, Any]:
    """Load pint when the first unit is read that is not in the table (0.3 s)."""
    pint = import_module("pint")
    return pint.UnitRegistry(cache_folder=None), pint


def _kind(dimension: Dimension) -> str:
    if dimension in _KINDS:
        return _KINDS[dimension]
    return " ".join(base.strip("[]") + (f"^{power:g}" if power != 1 else "") for base, power in dimension)
