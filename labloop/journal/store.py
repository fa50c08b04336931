"""The journal: the one truth of a run, or of a bench.

    append -> BEGIN IMMEDIATE, rows, head, COMMIT (WAL, synchronous=FULL: on the disk when it returns)

After a commit that failed nobody knows what the disk holds: the pages may be in its log or not, and after a failed
fsync the system believes clean what was never written. So the connection is given up, and before the next append the
file is opened anew, its log is written over into the main file and synced, and the last acknowledged row must be there.
What the failed commit carried is then there whole or not at all, and the caller learns which.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from labloop.campaign.events import Fact, Record

from . import chain, schema
from .codec import CODEC, EventCodec, EventError
from .errors import StoreError, StoreLocked, damaged, from_os, from_sqlite
from .files import FileId, file_id, log_of, sync_folder
from .locks import FileLock
from .rows import Rows, fetch

LOG: Final = logging.getLogger("labloop.journal")
Stamp = Callable[[], str]


def utc_now() -> str:
    """Stamp a row: UTC with offset, ISO 8601, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def lock_path(path: Path) -> Path:
    """Say where the writer's lock of a journal lies: beside it."""
    return path.with_name(path.name + ".lock")


class Journal(Rows):
    """The writer. One a file, made sure of by a lock; safe to use from several threads. A context manager."""

    def __init__(self, path: Path | None, at_fn: Stamp, codec: EventCodec, lock: FileLock | None) -> None:
        self.path = path
        self._at_fn = at_fn
        self._codec = codec
        self._lock = lock
        self._one_at_a_time = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._trusted = True  # False after a failed commit, until the file was opened anew and held against _last
        self._is: tuple[FileId, FileId] = (None, None)  # which file and which log of it the connection has
        self._last: tuple[int, bytes] = (0, chain.FIRST)

    @classmethod
    def create(cls, path: Path, at_fn: Stamp = utc_now, *, wait_s: float = 0.0, codec: EventCodec = CODEC) -> Self:
        """Begin a journal at ``path``, whose folder must exist. One that was never begun (see ``begun``) is taken.

        Raises:
            StoreLocked: somebody else writes there.
            StoreError: there is a journal already, or the folder cannot be written.
        """
        journal = cls(path, at_fn, codec, take_lock(path, wait_s))
        try:
            journal._begin()
            sync_folder(path.parent)
        except OSError as error:
            journal._abandon()
            raise from_os(error, path, "begin a journal") from error
        except BaseException:
            journal._abandon()
            raise
        return journal

    @classmethod
    def open(
        cls, path: Path, at_fn: Stamp = utc_now, *, wait_s: float = 0.0, codec: EventCodec = CODEC,
        lock: FileLock | None = None,
    ) -> Self:  # fmt: skip
        """Go on with the journal at ``path``; every row is held against the chain first.

        ``wait_s``: how long to wait for another writer to be gone. ``lock``: its writer's lock, if that is held
        already; the journal lets go of it when it is closed, or not opened.

        Raises:
            StoreLocked: somebody else writes it.
            StoreDamaged: a row is not as it was written.
            StoreNewer: a newer labloop wrote it.
            StoreError: there is none, or it cannot be written.
        """
        if not path.exists():
            raise StoreError(f"{path}: there is no journal. Name the folder of a run (`labloop watch` lists them).")
        journal = cls(path, at_fn, codec, lock or take_lock(path, wait_s))
        try:
            journal._connect()
            journal._verify_chain()
            journal._last = chain.head(journal._query, path)
        except BaseException:
            journal._abandon()
            raise
        return journal

    @classmethod
    def memory(cls, at_fn: Stamp = utc_now, *, codec: EventCodec = CODEC) -> Self:
        """Begin a journal that ends with this process."""
        journal = cls(None, at_fn, codec, None)
        journal._begin()
        return journal

    @property
    def last_seq(self) -> int:
        """Sequence number of the last acknowledged record (0: none)."""
        return self._last[0]

    def is_locked(self) -> bool:
        """Whether the writer's lock is still held, so that nobody else can have opened the file to write."""
        return self._lock is not None and self._lock.is_ours()

    def append(self, *events: Fact) -> list[Record]:
        """Write events in one transaction; they are durable when this returns.

        After a StoreError the events are in the journal whole or not at all. Appending the same events again is safe
        at any time: if they were kept, their records are given and nothing is written twice. Appending others while
        the refused ones were kept raises StoreError once, so that the caller reads on with ``records`` first.

        Raises:
            EventError: an event that JSON cannot keep; nothing was written.
            StoreFull: the disk took no more.
            StoreLocked: another program holds the file.
            StoreError: anything else that the disk or SQLite refuses.
        """
        with self._one_at_a_time:
            self._must_be_open()
            bodies = [self._codec.encode(event) for event in events]
            if not self._trusted:
                kept = self._recover()
                if kept and [record.event for record in kept] == list(events):
                    return kept
                if kept:
                    raise StoreError(
                        f"{self.path}: the write that failed was kept after all: rows {kept[0].seq} to {kept[-1].seq}."
                        " Read them first."
                    )
            if not events:
                return []
            rows = self._rows_of(events, bodies)
            self._trusted = False  # whatever comes between here and the last line, Ctrl-C too
            self._commit(rows)
            self._last = rows[-1].seq, rows[-1].chain
            self._trusted = True
            return [Record(row.seq, row.at.decode(), event) for row, event in zip(rows, events, strict=True)]

    def append_surely(self, *events: Fact) -> list[Record]:
        """Append, and once more when the disk hiccuped: a run of days does not end at one failed sync.

        A lost lock is no hiccup. Raises as ``append`` does.
        """
        try:
            return self.append(*events)
        except (StoreLocked, EventError):
            raise
        except StoreError as error:
            LOG.warning("a write failed and is tried once more, on a connection opened anew: %s", error)
            try:
                return self.append(*events)
            except StoreError as again:
                raise error from again  # the first says what is wrong with the disk

    def close(self) -> bool:
        """Write all into the one file and let go; harmless when done twice. True: the file alone is whole.

        False: a reader held on to the log or the disk was full; then the ``-wal`` file beside it belongs to it, and
        nothing is lost either.
        """
        with self._one_at_a_time:
            try:
                return self._connection is None or self.path is None or self._fold_log()
            except StoreError:
                return False  # what is acknowledged is in the log already, and is folded in at the next open
            finally:
                self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- within ---------------------------------------------------------------------------------------------------

    def _query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._one_at_a_time:
            self._must_be_open()
            if self._connection is None:
                self._connect()
            assert self._connection is not None
            return fetch(self._connection, self.path, sql, values)

    def _must_be_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self.path or 'the journal in memory'}: is closed.")

    def _begin(self) -> None:
        connection = self._connection = schema.connect(self.path, "create")
        try:
            made = not schema.is_empty(connection)
            if made and _has_events(connection, self.path):
                raise StoreError(f"{self.path}: is there already. Resume it (`labloop resume`), or choose another DIR.")
            schema.prepare_writer(connection, on_disk=self.path is not None)
            if not made:
                schema.create_tables(connection)
        except sqlite3.Error as error:
            raise from_sqlite(error, self.path) from error
        self._is = self._files()

    def _connect(self) -> None:
        connection = schema.connect(self.path, "write")
        try:
            schema.check_tables(connection, self.path)
            schema.prepare_writer(connection, on_disk=True)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            connection.close()
            raise from_sqlite(error, self.path) from error
        except BaseException:
            connection.close()
            raise
        self._is = self._files()
        self._connection = connection

    def _files(self) -> tuple[FileId, FileId]:
        """Which files bear the names of the journal and of its log now. Raises StoreError."""
        if self.path is None:
            return None, None
        return file_id(self.path), file_id(log_of(self.path))

    def _must_be_there(self, *, the_same: bool) -> None:
        """SQLite writes on into a file that is deleted, and all is gone when that is closed. Raises StoreError."""
        file, log = self._files()
        if file is None or (the_same and file != self._is[0]):
            raise StoreError(
                f"{self.path}: was deleted, or another file was put in its place, while it was written. Nothing more is"
                " kept there. Put it back from a copy of its folder, then go on with `labloop resume`."
            )
        if self._is[1] is None:  # SQLite had not begun one yet: some tool had left the file without
            self._is = file, log
        if the_same and log != self._is[1]:
            # What was acknowledged stands in the deleted log alone, and goes when that is closed.
            saved = "What it held was saved; go" if self._fold_log() else "Go"
            raise StoreError(
                f"{self.path}-wal: was deleted, or another file was put in its place, while it was written. It belongs"
                f" to the journal: leave it there. {saved} on with `labloop resume`."
            )

    def _rows_of(self, events: tuple[Fact, ...], bodies: list[bytes]) -> list[chain.Row]:
        seq, previous = self._last
        at = self._at_fn().encode()
        rows = []
        for event, body in zip(events, bodies, strict=True):
            seq += 1
            kind = type(event).__name__.encode()
            trial = getattr(event, "trial", None)
            previous = chain.link(previous, seq, at, kind, trial, self._codec.format, body)
            rows.append(chain.Row(seq, at, kind, trial, self._codec.format, body, previous))
        return rows

    def _commit(self, rows: list[chain.Row]) -> None:
        """Write rows and head in one transaction; on any failure give the connection up."""
        connection = self._connection
        assert connection is not None
        try:
            if self._lock is not None:
                self._lock.check()
            if self.path is not None:
                self._must_be_there(the_same=True)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(r.seq, r.at.decode(), r.type.decode(), r.trial, r.format, r.body.decode(), r.chain) for r in rows],
            )
            connection.execute("UPDATE head SET seq = ?, chain = ?", (rows[-1].seq, rows[-1].chain))
            connection.execute("COMMIT")
        except BaseException as error:
            if self.path is None:
                connection.rollback()  # memory cannot be opened anew
            else:
                self._disconnect()
            if isinstance(error, sqlite3.Error):
                raise from_sqlite(error, self.path) from error
            raise

    def _recover(self) -> list[Record]:
        """Open anew after a failed commit; give the records that it kept after all. Raises StoreError."""
        if self.path is not None:
            self._disconnect()
            self._must_be_there(the_same=False)  # a copy is as good, if it holds all that was acknowledged
            self._connect()
        try:
            if self.path is not None and not self._fold_log():
                raise StoreError(
                    f"{self.path}: a failed write cannot be settled while a reader holds on to the log. Close it, then"
                    " try again."
                )
            seq, acknowledged = self._last
            if seq and self._query("SELECT chain FROM events WHERE seq = ?", seq) != [(acknowledged,)]:
                raise damaged(self.path, seq, "was acknowledged, and is gone or altered since a failed write")
            kept = list(self.records(seq))
            self._last = chain.head(self._query, self.path)
        except BaseException:
            if self.path is not None:
                self._disconnect()
            raise
        self._trusted = True
        return kept

    def _fold_log(self) -> bool:
        """Write the log into the main file, sync it, and empty the log; False: a reader is in the way.

        Raises StoreError.
        """
        busy = self._query("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        return not busy

    def _abandon(self) -> None:
        """Let go of all after a failure in the making."""
        self._closed = True
        self._disconnect()
        if self._lock is not None:
            self._lock.release()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def begun(path: Path) -> bool:
    """Whether a journal is there and holds anything: a beginning that was cut short leaves a file without an event.

    One that cannot be read counts as begun: whoever opens it is told what is wrong.
    """
    if not path.exists():
        return False
    try:
        with closing(schema.connect(path, "read")) as connection:
            return not schema.is_empty(connection) and _has_events(connection, path)
    except (StoreError, sqlite3.Error):
        return True


def _has_events(connection: sqlite3.Connection, path: Path | None) -> bool:
    schema.check_tables(connection, path)
    return chain.head(lambda sql, *values: fetch(connection, path, sql, values), path)[0] > 0


def take_lock(path: Path, wait_s: float) -> FileLock:
    """Take the writer's lock of a journal. Raises StoreLocked, StoreError."""
    return FileLock.take(lock_path(path), f"{path}: its writer's lock", wait_s=wait_s)
