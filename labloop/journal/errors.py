"""Whose fault it is, in the store. Every one of these ends a command with exit code 5."""

import errno
import sqlite3
from pathlib import Path

from labloop.campaign.errors import LabloopError

AGAIN = "then go on with `labloop resume` (where no run was begun yet: say the same again)"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EPERM)


class StoreError(LabloopError):
    """The store cannot be read or written."""


class StoreFull(StoreError):
    """The disk took no more. What was acknowledged before is safe; ``append`` may be tried again when there is room."""


class StoreLocked(StoreError):
    """Somebody else writes it. ``pid`` and ``host`` name them where known."""

    def __init__(self, message: str, pid: int | None = None, host: str = "") -> None:
        self.pid, self.host = pid, host
        super().__init__(message)


class StoreDamaged(StoreError):
    """What is read is not what was written. ``seq`` is the first row that is altered, missing or out of its place."""

    def __init__(self, message: str, seq: int | None = None) -> None:
        self.seq = seq
        super().__init__(message)


class StoreNewer(StoreError):
    """Written by a newer labloop than this one."""


def damaged(path: object, seq: int, what: str) -> StoreDamaged:
    """Name the row, what is wrong with it, and the way out."""
    sound = "No row before it." if seq <= 1 else f"Rows 1 to {seq - 1} are sound."
    return StoreDamaged(
        f"{path}: row {seq} {what}. {sound} Put a copy of the folder back, or begin a new run and tell it the old"
        " results (`labloop tell RUN --table T.csv`).",
        seq,
    )


def from_os(error: OSError, path: Path, doing: str) -> StoreError:
    """Turn the system's refusal into ours: place, value, rule, way out."""
    said = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return StoreFull(f"{path}: cannot {doing}: {said}. Make room on this disk, {AGAIN}.")
    if error.errno == errno.EROFS:
        return StoreError(f"{path}: cannot {doing}: {said}. Mount it so that it can be written again, {AGAIN}.")
    if error.errno in NOT_ALLOWED:
        return StoreError(f"{path}: cannot {doing}: {said}. Give yourself the right to write there, {AGAIN}.")
    return StoreError(f"{path}: cannot {doing}: {said}. Look after the disk, {AGAIN}.")


def from_sqlite(error: sqlite3.Error | UnicodeDecodeError, path: object) -> StoreError:
    """Turn SQLite's refusal into ours; one that repeats bytes of a damaged file cannot even be read.

    SQLite reports a full disk as FULL, but a full quota or a size limit as a failed write, and a full disk met while
    it grows its shared memory as IOERR_SHMSIZE: to a person all of them are a disk that takes no more.
    """
    if isinstance(error, UnicodeDecodeError):
        return StoreDamaged(f"{path}: is damaged: its tables hold bytes that are no text. Put a copy of it back.")
    code = getattr(error, "sqlite_errorcode", 0)
    said = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
        return StoreFull(
            f"{path}: the disk took no more: {said}. Nothing acknowledged is lost. Make room (or look after the disk),"
            f" {AGAIN}."
        )
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return StoreLocked(
            f"{path}: another program keeps it locked: {said}. Close it there (an sqlite3 shell?), then again."
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreError(
            f"{path}: cannot be opened: {said}. Give yourself the right to it, or copy its folder to where you have."
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path}: is damaged or no journal at all: {said}. Put a copy of the folder back.")
    return StoreError(f"{path}: {said}. Nothing acknowledged is lost. Look after the disk, {AGAIN}.")
