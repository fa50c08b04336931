"""What instruments were seen to read last, as their runner leaves it in a file. Plain words, no widget.

Facts know a value once its step is over; a hold of hours is read every few seconds meanwhile. The file is no fact: what
cannot be read there is not shown, and a value that nobody renews says how old it is.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from labloop.campaign import text
from labloop.campaign.events import Value
from labloop.journal import StoreError
from labloop.journal.files import read_bounded

SEEN: Final = "seen.json"
# 25 instruments with 10 readings each have some 20 kB.
LONGEST: Final = 1024 * 1024
LINES: Final = 24  # values that are kept of each reading while a dashboard is open
# The file is written once a second, and looked at four times: what is renewed is never older than this.
FRESH_S: Final = 5.0

_Stamp = tuple[int, int]  # of the file: when it was written, and its inode


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading: its last value, when that was, and the values before it since this dashboard looks."""

    value: Value
    unit: str
    at: datetime
    course: tuple[Value, ...]

    def age(self, now: datetime) -> str:
        """How old it is: ``now``, or ``3 min 20 s ago``."""
        age_s = (now - self.at).total_seconds()
        if age_s < FRESH_S:
            return "now"
        return f"{text.duration(age_s) if age_s >= 10 else f'{age_s:.0f} s'} ago"


class SeenWatch:
    """Follows one run's file."""

    def __init__(self) -> None:
        self.readings: dict[str, dict[str, Seen]] = {}
        self._stamp: _Stamp | None = None

    def poll(self, run: Path) -> None:
        """Read it anew where it was written anew."""
        try:
            found = (run / SEEN).stat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp == self._stamp:
                return
            self._stamp = stamp
            told = json.loads(read_bounded(run / SEEN, LONGEST))["instruments"]
            self.readings = {
                str(name): dict(_drawable(readings, self.readings.get(name, {}))) for name, readings in told.items()
            }
        except (OSError, StoreError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return  # none, or none that makes sense: the facts are shown as they are


def _drawable(told: Mapping[str, Any], before: Mapping[str, Seen]) -> Iterator[tuple[str, Seen]]:
    """All readings of an instrument; one that is no number now stays as it was."""
    for name, one in told.items():
        value = one["value"]
        if not isinstance(value, float) or math.isfinite(value):
            yield str(name), _one(one, before.get(name))
        elif name in before:
            yield str(name), before[name]


def _one(told: Mapping[str, Any], before: Seen | None) -> Seen:
    at = datetime.fromisoformat(told["at"])
    value, unit = told["value"], str(told["unit"])
    if not isinstance(value, int | float | str) or at.tzinfo is None:
        raise ValueError(f"{told!r} is no reading")
    course = before.course if before is not None and before.unit == unit else ()
    if before is None or before.at != at or before.value != value:
        course = (*course, value)[-LINES:]
    return Seen(value, unit, at.astimezone(UTC), course)
