"""Values in words: how numbers, units and times are written wherever a person reads them.

Files and ``--json`` keep every digit; these lines are for eyes only, and command line and dashboard share them.
"""

import math
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Final

from .events import Reading, Value

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_DAY_S: Final = 86400.0


def number(value: Value | None, digits: int = 4) -> str:
    """Write ``value`` with ``digits`` significant digits; a word as it stands, nothing as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | str):
        return str(value)
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e7:
        text = f"{value:.0f}"
    return text


def in_shell(path: object) -> str:
    """Write ``path`` so that a command line that is shown can be copied as it stands."""
    return shlex.quote(str(path))


def quantity(value: Value | None, unit: str = "", digits: int = 4) -> str:
    """Write ``value`` with its unit."""
    text = number(value, digits)
    return f"{text} {unit}" if unit and value is not None else text


def spread(value: float, sd: float | None, digits: int = 4) -> str:
    """Write ``value ± sd``, both down to the second digit of the sd (0.4213, 0.0527: ``0.421 ± 0.053``)."""
    if sd is None or not math.isfinite(sd) or not math.isfinite(value):
        return number(value, digits)
    if sd <= 0:
        return number(value, digits)
    decimals = 1 - math.floor(math.log10(sd))
    if not -6 <= decimals <= 6:
        return f"{number(value, digits)} ± {number(sd, 2)}"
    places = max(decimals, 0)
    return f"{round(value, decimals):.{places}f} ± {round(sd, decimals):.{places}f}"


def bound(one: Reading) -> str:
    """Write what stands before the number of a reading that is only a bound: ``> ``, ``< ``, or nothing."""
    return {"above": "> ", "below": "< "}.get(one.censored, "")


def reading(one: Reading, digits: int = 4) -> str:
    """Write a reading: a number with its sd and unit, a word, a bound, why it is not believed, or an array's length."""
    if one.flag:
        value = f"{_reading(one, digits)}, " if one.value is not None else ""
        return f"{value}not believed: {one.flag}"
    return bound(one) + _reading(one, digits)


def _reading(one: Reading, digits: int) -> str:
    if one.word:
        return f"{one.word} ({'pass' if one.value == 1.0 else 'fail' if one.value == 0.0 else number(one.value)})"
    if one.blob is not None:
        length = f"{one.length} values" if one.length else "array"
        return f"{length} {one.unit}".rstrip()
    if one.sd is not None and isinstance(one.value, int | float) and not isinstance(one.value, bool):
        return f"{spread(float(one.value), one.sd, digits)} {one.unit}".rstrip()
    return quantity(one.value, one.unit, digits)


def settings(values: Mapping[str, Value], units: Mapping[str, str] | None = None, digits: int = 4) -> str:
    """Write settings in one line: ``q_agno3 20.1 percent, solvent DMF``."""
    units = units or {}
    return ", ".join(f"{name} {quantity(value, units.get(name, ''), digits)}" for name, value in values.items())


def named(line: str) -> list[str]:
    """Part ``name=value`` words where the next name begins: a value may have blanks (``rate=10 uL/min time=20 s``)."""
    line = line.strip()
    return re.split(r"\s+(?=[^\W\d][\w.]*=)", line) if line else []


def duration(seconds: float | None) -> str:
    """Write a time span in the two units that matter: ``42 s``, ``3 min 20 s``, ``3 h 05 min``, ``2 d 4 h``."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE_S - 0.5:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 10 * _MINUTE_S:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < _HOUR_S:
        return f"{whole // 60} min"
    if whole < _DAY_S:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(stamp: str | None, zone: tzinfo | None = None) -> str:
    """Write the time of day of an ISO 8601 stamp in ``zone`` (none: this computer's)."""
    if not stamp:
        return "-"
    return datetime.fromisoformat(stamp).astimezone(zone).strftime("%H:%M:%S")


def moment(stamp: str | None, zone: tzinfo | None, now: datetime) -> str:
    """Write the same, with the date in front of it where that is not the date of ``now``."""
    if not stamp:
        return "-"
    at, today = datetime.fromisoformat(stamp).astimezone(zone), now.astimezone(zone)
    if at.date() == today.date():
        return clock(stamp, zone)
    return f"{at.date().isoformat()[0 if at.year != today.year else 5 :]} {clock(stamp, zone)}"


def plain(text: str) -> str:
    """Return ``text`` as one printable line: what an instrument or a person wrote cannot steer the terminal."""
    return "".join(c if c.isprintable() else " " if c in "\n\t\r" else "�" for c in text)
