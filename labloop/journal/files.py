"""Files that are there whole or not at all.

A file is written under another name in the same folder, synced, and renamed onto its name; then the folder is synced,
because a name is data of the folder. A crash in between leaves a ``.part-`` file that nobody reads.
"""

import os
import stat
import sys
import tempfile
from pathlib import Path

from .errors import StoreDamaged, from_os

PART = ".part-"
FileId = tuple[int, int] | None  # device and inode; None: there is none


def file_id(path: Path) -> FileId:
    """Which file bears a name now. Raises StoreError."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os(error, path, "look at this file") from error
    return there.st_dev, there.st_ino


def log_of(path: Path) -> Path:
    """Where SQLite keeps the log of a journal: beside it."""
    return path.with_name(path.name + "-wal")


def private_folder(path: Path) -> Path:
    """Make ``path`` (and what is above it) and close it to everybody but the user. Raises StoreError."""
    doing = "make this folder"
    try:
        path.mkdir(parents=True, exist_ok=True)
        doing = "write in this folder"
        path.chmod(0o700)
    except OSError as error:
        raise from_os(error, path, doing) from error
    return path


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    if sys.platform == "win32":  # NTFS journals its names; a folder cannot be opened for syncing there
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make durable what was written to a file, by whomever; one that is not there is. Raises StoreError."""
    try:
        handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_os(error, path, "open this file") from error
    try:
        os.fsync(handle)
    except OSError as error:
        raise from_os(error, path, "sync this file") from error
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, *, durable: bool = True, shared: bool = False) -> None:
    """Put ``data`` under ``path`` so that a reader, or a crash, sees the old file or the new one. Raises StoreError.

    ``durable=False`` leaves out the syncs: for what a power cut may take. ``shared=True``: what a person asked for, for
    whomever their umask lets read it; else it is the user's alone.
    """
    part = ""
    try:
        handle, part = tempfile.mkstemp(prefix=PART, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if shared:
                os.umask(mask := os.umask(0o077))  # there is no way but this to ask for it
                os.chmod(part, 0o666 & ~mask)
            if durable:
                os.fsync(file.fileno())
        os.replace(part, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise from_os(error, path, "write this file") from error


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a plain file of at most ``limit`` bytes. Raises OSError; StoreDamaged for a link, a pipe, or too much.

    Never waits: a pipe that somebody left in the place of a file is not opened at all.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise StoreDamaged(f"{path}: is not a plain file. Take it away.")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StoreDamaged(f"{path}: is longer than {limit} bytes. Take it away.")
    return data


def sweep(folder: Path) -> None:
    """Take away what a crash left half written. Only the one writer of a folder may call this. Raises StoreError."""
    try:
        for part in folder.glob(PART + "*"):
            part.unlink(missing_ok=True)
    except OSError as error:
        raise from_os(error, folder, "clean up") from error
