"""Raw arrays and files by the hash of what they hold, byte exact.

A blob is on the disk before the event that names it is committed; its name says what must be in it, so a wrong byte is
found whenever it is read.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from .errors import StoreDamaged, StoreError, from_os
from .files import private_folder, sweep, write_whole

NAME = re.compile(r"[0-9a-f]{64}")


class BlobStore(Protocol):
    """What the runner and readers need of blobs, on disk or in memory."""

    def put(self, data: bytes) -> str:
        """Keep ``data``, durable when this returns, and give its SHA-256 in hex. Raises StoreError."""

    def get(self, sha: str) -> bytes:
        """Give back what was put. Raises StoreError (there is none), StoreDamaged (it is not what was put)."""


class Blobs:
    """Blobs in a folder, one file each, named by its SHA-256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Keep ``data``; putting it again changes nothing, and heals a damaged copy. Raises StoreError."""
        sha = sha256(data).hexdigest()
        path = self.folder / sha
        try:
            if path.read_bytes() == data:
                return sha
        except FileNotFoundError:
            if not self.folder.is_dir():
                private_folder(self.folder)
        except OSError as error:
            raise from_os(error, path, "read this blob") from error
        write_whole(path, data)
        return sha

    def get(self, sha: str) -> bytes:
        """Give back what was put. Raises StoreError (there is none), StoreDamaged (it is not what was put)."""
        path = self.folder / _name(sha)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{path}: this blob is missing. Put it back from a copy of the folder.") from None
        except OSError as error:
            raise from_os(error, path, "read this blob") from error
        if sha256(data).hexdigest() != sha:
            raise StoreDamaged(
                f"{path}: this blob is damaged: {len(data)} bytes that do not have the hash of its name."
                " Put it back from a copy of the folder."
            )
        return data

    def sound_path(self, sha: str) -> Path:
        """Where a blob lies, after holding it against its name. Raises StoreError, StoreDamaged."""
        self.get(sha)
        return self.folder / sha

    def sweep(self) -> None:
        """Take away what a crash left half written; only the run's one writer may. Raises StoreError."""
        sweep(self.folder)


class MemoryBlobs:
    """Blobs that end with this process."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep ``data`` and give its SHA-256 in hex."""
        sha = sha256(data).hexdigest()
        self._data[sha] = bytes(data)
        return sha

    def get(self, sha: str) -> bytes:
        """Give back what was put. Raises StoreError: there is none."""
        try:
            return self._data[_name(sha)]
        except KeyError:
            raise StoreError(f"there is no blob {sha} in this journal in memory.") from None


def _name(sha: str) -> str:
    if not NAME.fullmatch(sha):
        raise StoreError(f"{sha!r:.100} names no blob: a name is 64 hexadecimal digits (SHA-256).")
    return sha
