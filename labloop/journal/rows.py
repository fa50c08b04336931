"""What a writer and a reader share: records, each held against the chain."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain as joined
from pathlib import Path
from typing import Any

from labloop.campaign.events import Record

from . import chain
from .codec import EventCodec
from .errors import StoreDamaged, StoreError, from_sqlite


class Rows(ABC):
    """Something with the two tables of a journal in it."""

    path: Path | None
    _codec: EventCodec

    @abstractmethod
    def _query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one read to its end. Raises StoreError."""

    def records(self, after: int = 0) -> Iterator[Record]:
        """Give the records after sequence number ``after``, in order, also those that are appended meanwhile.

        Raises:
            StoreDamaged: a row is not as it was written; it and what follows is not given.
            StoreNewer: a newer labloop wrote it.
        """
        place = f"{self.path}: row "
        sound = chain.sound_rows(self._query, self.path, after)
        return joined.from_iterable(self._codec.records(rows, place) for rows in sound)

    def head(self) -> tuple[int, str]:
        """Give sequence number and chain (hex) of the last row (0: there is none). Raises StoreError."""
        seq, last = chain.head(self._query, self.path)
        return seq, last.hex()

    def chain_at(self, seq: int) -> str:
        """Give the chain (hex) that ends with row ``seq``, as the row has it ("": there is no such row).

        Raises StoreError.
        """
        found = self._query("SELECT chain FROM events WHERE seq = ?", seq)
        return bytes(found[0][0]).hex() if found else ""

    def verify(self) -> int:
        """Hold every row against the chain and let SQLite check its pages and indexes; give the number of rows.

        Raises:
            StoreDamaged: naming the first row that is altered, missing or out of its place.
        """
        count = self._verify_chain()
        said = self._query("PRAGMA integrity_check(1)")
        if said != [(b"ok",)]:
            raise StoreDamaged(f"{self.path}: {said[0][0]!r:.200}. Put a copy of the folder back.")
        return count

    def _verify_chain(self) -> int:
        return sum(map(len, chain.sound_rows(self._query, self.path)))


def fetch(
    connection: sqlite3.Connection, path: Path | None, sql: str, values: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    """Run one read to its end. Raises StoreError."""
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.ProgrammingError as error:  # the connection is closed
        raise StoreError(f"{path}: {error}") from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise from_sqlite(error, path) from error
