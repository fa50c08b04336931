"""The journal of a run's bench, followed: what its stock holds now, whoever drew from it or filled it.

It lies in the lab's folder, of a simulated run in the run's. A bench that cannot be read is nothing to worry about
here: the cards then show no stock.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from labloop.campaign import events as e
from labloop.campaign.bench_state import BenchState
from labloop.campaign.errors import LabloopError
from labloop.journal import Reader
from labloop.journal.origin import lab_folder

BENCH: Final = "bench.db"
# Facts of the bench folded in one go: it may be older, and its journal longer, than the run's.
HELPING: Final = 1000


class BenchWatch:
    """Reads one bench. ``state``: as far as it was read; ``whole``: that is to its end."""

    def __init__(self) -> None:
        self.state = BenchState()
        self.whole = False
        self._seq = 0
        self._reader: Reader | None = None
        self._records: Iterator[e.Record] | None = None

    def poll(self, run: Path, mode: str) -> None:
        """Read a helping of what is new."""
        try:
            if self._reader is None:
                self._reader = Reader((lab_folder(run) if mode == "live" else run) / BENCH)
            self._read(self._reader)
        except (LabloopError, OSError):
            self.close()

    def _read(self, reader: Reader) -> None:
        if self._records is None:
            if not reader.changed():
                return
            self._records = iter(reader.records(self._seq))
        for count, record in enumerate(self._records, 1):
            self.state.apply(record)
            self._seq = record.seq
            if count == HELPING:
                return
        self._records, self.whole = None, True

    def close(self) -> None:
        """Let go of the journal."""
        self._records = None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
