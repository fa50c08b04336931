"""The memory: the only writer of data."""

from .blobs import Blobs, BlobStore, MemoryBlobs
from .codec import EventError
from .errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreNewer
from .locks import FileLock
from .presence import Presence, guard_left_unsafe, last_beat, look, look_at_guard
from .reader import Reader
from .rows import Rows
from .store import Journal, begun, utc_now

__all__ = [
    "Blobs", "BlobStore", "EventError", "FileLock", "Journal", "MemoryBlobs", "Presence", "Reader", "Rows",
    "StoreDamaged", "StoreError", "StoreFull", "StoreLocked", "StoreNewer", "begun", "guard_left_unsafe", "last_beat",
    "look", "look_at_guard", "utc_now",
]  # fmt: skip
