"""The tables of a journal, and how a connection to them is made.

``events`` takes rows in order and keeps them: triggers refuse everything else. ``head`` says in the same transaction
how far the chain goes, so that rows lost from the end are missed as well. Any tool that reads SQLite reads both.

Writers always BEGIN IMMEDIATE: a deferred transaction that reads first and writes later is refused at once with
SQLITE_BUSY_SNAPSHOT when another one wrote in between, whatever the timeout.
"""

import sqlite3
from pathlib import Path
from typing import Any, Literal

from .errors import StoreDamaged, StoreError, StoreNewer, from_sqlite

APPLICATION_ID = int.from_bytes(b"labl", "big")
SCHEMA = 1  # user_version: goes up when the tables change
BUSY_S = 5.0  # how long to wait for a checkpoint or a tool that has the file in its hands

TABLES = (
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, type TEXT NOT NULL, trial INTEGER,"
    " format INTEGER NOT NULL, body TEXT NOT NULL, chain BLOB NOT NULL)",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, chain BLOB NOT NULL)",
    "CREATE INDEX events_type ON events (type)",
    "CREATE INDEX events_trial ON events (trial) WHERE trial IS NOT NULL",
    "CREATE TRIGGER events_in_order BEFORE INSERT ON events"
    " WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)"
    " BEGIN SELECT raise(ABORT, 'a journal takes the next row only'); END",
    "CREATE TRIGGER events_no_update BEFORE UPDATE ON events"
    " BEGIN SELECT raise(ABORT, 'a journal is never altered'); END",
    "CREATE TRIGGER events_no_delete BEFORE DELETE ON events"
    " BEGIN SELECT raise(ABORT, 'a journal is never shortened'); END",
)


def connect(path: Path | None, mode: Literal["create", "write", "read"]) -> sqlite3.Connection:
    """Open a connection (None: in memory), with text as bytes and transactions by hand. Raises StoreError."""
    try:
        if path is None:
            return _open(":memory:")
        if mode == "read":
            return _open_read_only(path)
        return _open(f"{path.absolute().as_uri()}?mode={'rwc' if mode == 'create' else 'rw'}")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise from_sqlite(error, path) from error


def _open(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    try:
        connection.text_factory = bytes  # damaged text must reach the chain, not stop at UTF-8
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _open_read_only(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    connection = _open(f"{uri}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnicodeDecodeError:
        connection.close()
        raise
    except sqlite3.Error as error:
        connection.close()
        # A WAL database needs a file of shared memory beside it even to be read. Where none can be made (a read-only
        # medium, somebody else's archive, a full disk) and no log waits to be read, the file stands still and can be
        # read as it is.
        log, code = path.with_name(path.name + "-wal"), error.sqlite_errorcode
        no_memory = code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or (
            code == sqlite3.SQLITE_IOERR_SHMSIZE
        )
        if not no_memory or (log.exists() and log.stat().st_size):
            raise
        return _open(f"{uri}?mode=ro&immutable=1")
    return connection


def prepare_writer(connection: sqlite3.Connection, *, on_disk: bool) -> None:
    """Set what makes a commit durable. Raises sqlite3.Error, StoreError."""
    if on_disk:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != b"wal":
            raise StoreError(
                f"this file system cannot hold a journal: SQLite's WAL mode is refused (it says {mode!r})."
            )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync stops at the drive's cache
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    connection.execute("PRAGMA journal_size_limit = 16777216")  # the log shrinks again after a reader kept it long


def is_empty(connection: sqlite3.Connection) -> bool:
    """Say whether nothing was ever committed here (a creation cut short leaves that). Raises sqlite3.Error."""
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return tables == 0 and _number(connection, "application_id") == 0


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in one transaction. Raises sqlite3.Error."""
    connection.execute("BEGIN IMMEDIATE")
    for table in TABLES:
        connection.execute(table)
    connection.execute("INSERT INTO head VALUES (1, 0, zeroblob(32))")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    connection.execute("COMMIT")


def check_tables(connection: sqlite3.Connection, path: object) -> None:
    """Make sure that this is a journal as we write them. Raises StoreNewer, StoreDamaged, StoreError, sqlite3.Error."""
    if is_empty(connection):
        raise StoreError(
            f"{path}: was never begun: no event is in it. If a run is just starting there, ask again; else delete it "
            "and run the campaign again."
        )
    application = _number(connection, "application_id")
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path}: is another program's database (application id {application:#010x}), no labloop journal."
        )
    version = _number(connection, "user_version")
    if version > SCHEMA:
        raise StoreNewer(
            f"{path}: was written by a newer labloop (schema {version}; this one knows {SCHEMA}). Use that one; this"
            " one leaves the file as it is."
        )
    found = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    wanted = {table.encode() for table in TABLES}
    if version < 1 or found != wanted:
        names = sorted(_name(sql) for sql in found ^ wanted) or [f"schema {version}"]
        raise StoreDamaged(
            f"{path}: its tables or triggers were altered: {', '.join(names)}. Put a copy of the folder back."
        )


def _name(sql: Any) -> str:
    words = sql[:200].split() if isinstance(sql, bytes) else []
    return words[2].decode(errors="replace") if len(words) > 2 else repr(sql)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number
