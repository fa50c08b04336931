"""The bench's own account of what it did to matter, kept apart from any controller's journal.

One line when a physical act begins and one when it ends or is cut short, as the device did it. Tests and judges hold
it against the journal: an act here that the journal does not know is an act done behind its back.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

Phase = Literal["begin", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``act``: the driver's name of the action, or of one that says the same bytes, which is all that a device knows.
    ``amount``: really dispensed, moved or heated to so far."""

    at_s: float
    instrument: str
    act: str
    phase: Phase
    amount: float
    unit: str


class Ledger:
    """In memory, and in a file as well when one is named: each line is flushed before the device goes on."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.entries: list[Entry] = []
        self._file: TextIO | None = None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  closed by close()

    def begin(self, at_s: float, instrument: str, act: str, amount: float, unit: str) -> None:
        self._write(at_s, instrument, act, "begin", amount, unit)

    def end(self, at_s: float, instrument: str, act: str, amount: float, unit: str) -> None:
        self._write(at_s, instrument, act, "end", amount, unit)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, at_s: float, instrument: str, act: str, phase: Phase, amount: float, unit: str) -> None:
        entry = Entry(
            at_s=round(at_s, 6), instrument=instrument, act=act, phase=phase, amount=round(amount, 6), unit=unit
        )
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(json.dumps(asdict(entry)) + "\n")
            self._file.flush()
