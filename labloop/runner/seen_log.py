"""What every instrument was seen to read last, in a file of the run's folder that anybody may look at: ``seen.json``.

A hold of hours says nothing in the journal before it is over, and whoever watches wants to know how warm it is now. So
what the watch and the steps read anyway is left here, with when that was. The file is written whole, about once a
second while something is read, and when the lines are closed. It is no fact: nothing is done by it, a crash may take
its last second, and where it cannot be written the run goes on and the log says so.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from numbers import Real
from pathlib import Path
from typing import Any, Final

from labloop.campaign import events as e
from labloop.journal import StoreError
from labloop.journal.files import write_whole

SEEN: Final = "seen.json"
EVERY_S: Final = 1.0  # real seconds: as often as somebody who reads along can follow
LOG: Final = logging.getLogger("labloop.run")


class SeenLog:
    """Keeps the file of one run up to date. ``hear`` what was read; ``look`` as often as you like."""

    def __init__(
        self, path: Path, now_s: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._path = path
        self._now_s, self._now = now_s, now
        self._last: dict[str, dict[str, Any]] = {}
        self._due_s = now_s()
        self._new = self._failed = False

    def hear(self, instrument: str, readings: Mapping[str, e.Reading]) -> None:
        """Keep these; an array, or a number that is none, is no value that a card could show."""
        at = self._now().isoformat(timespec="milliseconds")
        for name, one in readings.items():
            value = _shown(one.value)
            if value is not None:
                self._last.setdefault(instrument, {})[name] = {"value": value, "unit": str(one.unit), "at": at}
                self._new = True

    def look(self) -> None:
        """Write it anew where it is due and something was read."""
        if self._now_s() >= self._due_s:
            self._due_s = self._now_s() + EVERY_S
            self.write()

    def write(self) -> None:
        """Write it now, where something was read since."""
        if not self._new:
            return
        try:
            told = json.dumps({"schema": 1, "instruments": self._last}).encode()
            write_whole(self._path, told, durable=False)
        except StoreError as error:
            if not self._failed:
                LOG.warning("what is read is not shown: %s", error)
            self._failed = True
            return
        self._new = self._failed = False


def _shown(value: object) -> e.Value | None:
    """The value as JSON has it: a driver may well give a number of NumPy's. None for what nobody could draw."""
    if isinstance(value, bool | str):
        return value
    if not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    return value if isinstance(value, int) else number
