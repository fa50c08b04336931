"""A second pair of eyes: reads a journal from any process, and never makes its writer wait."""

import sqlite3
import threading
from pathlib import Path
from typing import Any, Self

from . import chain, schema
from .codec import CODEC, EventCodec
from .errors import StoreError, from_sqlite
from .files import FileId, file_id, log_of
from .rows import Rows, fetch


class Reader(Rows):
    """A read-only view from any process, beside a living writer or none; it never makes one wait. A context manager."""

    def __init__(self, path: Path, *, codec: EventCodec = CODEC) -> None:
        """Open the journal at ``path``.

        Raises:
            StoreNewer: a newer labloop wrote it.
            StoreDamaged: it makes no sense.
            StoreError: there is none, or it cannot be read.
        """
        self.path: Path = path
        self._codec = codec
        self._one_at_a_time = threading.RLock()
        self._version: int | None = None
        self._log: FileId = None  # which log is read; None: none was there yet
        self._closed = False
        if not path.exists():
            raise StoreError(f"{path}: there is no journal. Name the folder of a run (`labloop watch` lists them).")
        self._connection = schema.connect(path, "read")
        try:
            schema.check_tables(self._connection, path)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._connection.close()
            raise from_sqlite(error, path) from error
        except BaseException:
            self._connection.close()
            raise

    @property
    def last_seq(self) -> int:
        """Sequence number of the last record (0: none). Raises StoreError."""
        return chain.head(self._query, self.path)[0]

    def changed(self) -> bool:
        """Say, in microseconds, whether anything was committed since the last call (the first time: True)."""
        version = self._query("PRAGMA data_version")[0][0]
        before, self._version = self._version, version
        return bool(version != before)

    def close(self) -> None:
        """Let go; harmless when done twice."""
        self._closed = True
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._one_at_a_time:
            self._follow()
            return fetch(self._connection, self.path, sql, values)

    def _follow(self) -> None:
        """Open anew where another log lies than is read here: somebody deleted that, and its writer goes on in this."""
        log = file_id(log_of(self.path))
        if log in (None, self._log) or self._closed:
            return
        if self._log is not None:
            before, self._connection = self._connection, schema.connect(self.path, "read")
            self._version = None
            before.close()
        self._log = log
