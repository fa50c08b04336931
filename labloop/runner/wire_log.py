"""What passed on each line last, in a file of the run's folder that anybody may look at: ``wire.json``.

A port is its runner's alone, so whoever watches reads here what was said and answered there, byte by byte. The file is
written whole, about once a second while something passes, and when the lines are closed. It is no fact: nothing is done
by it, a crash may take its last second, and where it cannot be written the run goes on and the log says so.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from labloop.bench import Port
from labloop.bench.lab import Lab
from labloop.journal import StoreError
from labloop.journal.files import write_whole

WIRE: Final = "wire.json"
EVERY_S: Final = 1.0  # real seconds: as often as somebody who reads along can follow
LAST: Final = 40  # of each line
LONGEST: Final = 512  # bytes of a frame that are shown; a spectrum has thousands
LOG: Final = logging.getLogger("labloop.run")


class WireLog:
    """Keeps the file of one open lab up to date. ``look`` as often as you like."""

    def __init__(self, path: Path, lab: Lab, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._lines: dict[int, tuple[Port, list[str]]] = {}
        for name, station in lab.instruments.items():
            self._lines.setdefault(id(station.port), (station.port, []))[1].append(name)
        self._due_s = now()
        self._shown: list[Any] = []
        self._failed = False

    def look(self) -> None:
        """Write it anew where it is due and something has passed."""
        if self._now() >= self._due_s:
            self._due_s = self._now() + EVERY_S
            self.write()

    def write(self) -> None:
        """Write it now, where something has passed since."""
        newest = [port.traffic[-1:] for port, _ in self._lines.values()]
        if newest == self._shown:
            return
        lines = {port.address: _line(port, names) for port, names in self._lines.values()}
        try:
            write_whole(self._path, json.dumps({"schema": 1, "lines": lines}).encode(), durable=False)
        except StoreError as error:
            if not self._failed:
                LOG.warning("what passes on the lines is not shown: %s", error)
            self._failed = True
            return
        self._shown, self._failed = newest, False


def _line(port: Port, names: list[str]) -> Mapping[str, Any]:
    passed = []
    for one in port.traffic[-LAST:]:
        frames = [one.data] if isinstance(one.data, bytes) else one.data
        passed.append({
            "at_s": round(one.at_s, 4), "kind": one.kind, "frames": [frame[:LONGEST].hex() for frame in frames],
            "more": sum(max(len(frame) - LONGEST, 0) for frame in frames),
        })  # fmt: skip
    return {"instruments": names, "passed": passed}
