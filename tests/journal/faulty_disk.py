"""A disk that fails when told to, beneath the real SQLite and the real store.

A VFS of SQLite's own kind, made with ctypes: a copy of the system's, whose xWrite, xTruncate, xSync and xDelete pass
through here. They are counted, logged, and made to fail; everything else (locks, shared memory) is the real one.
The log is enough to build what a power cut would have left: ``images`` (SQLite's own crash tests work like this).
"""

import _sqlite3
import ctypes as c
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from random import Random

WRITE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_int, c.c_int64)
TRUNCATE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int64)
SYNC = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_int)
# Names stay pointers: SQLite keeps the parameters of a URI in the memory behind them.
OPEN = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_void_p, c.c_int, c.c_void_p)
DELETE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_int)
SECTOR = 512


class Methods(c.Structure):
    """sqlite3_io_methods, versions 1 to 3."""

    _fields_ = [
        ("version", c.c_int), ("close", c.c_void_p), ("read", c.c_void_p), ("write", c.c_void_p),
        ("truncate", c.c_void_p), ("sync", c.c_void_p), ("rest", c.c_void_p * 13),
    ]  # fmt: skip


class Vfs(c.Structure):
    """sqlite3_vfs, versions 1 to 3."""

    _fields_ = [
        ("version", c.c_int), ("file_size", c.c_int), ("max_path", c.c_int), ("next", c.c_void_p),
        ("name", c.c_char_p), ("data", c.c_void_p), ("open", c.c_void_p), ("delete", c.c_void_p),
        ("rest", c.c_void_p * 14),
    ]  # fmt: skip


@dataclass(frozen=True)
class Deed:
    """One thing done to one file."""

    kind: str  # write, truncate, sync, delete
    path: str
    offset: int = 0
    data: bytes = b""


def library() -> c.CDLL | None:
    """Give the very SQLite that Python uses; None: it is built in and hides its functions."""
    found = c.CDLL(getattr(_sqlite3, "__file__", None))
    return found if hasattr(found, "sqlite3_vfs_find") else None


class FaultyDisk:
    """In force from ``install`` to ``remove``, for every connection opened in between."""

    def __init__(self) -> None:
        self.log: list[Deed] = []
        self.count = 0
        self.fail_at: range | None = None  # which deeds fail, counted from 0
        self.kinds = {"write", "truncate", "sync"}
        self.how = "refused"  # refused: not done; torn: half done; done: done, but said to have failed
        self.code = sqlite3.SQLITE_FULL
        self.failed = 0
        self._paths: dict[int, str] = {}
        self._library = library()

    def install(self) -> None:
        assert self._library is not None
        find = self._library.sqlite3_vfs_find
        find.restype, find.argtypes = c.POINTER(Vfs), [c.c_char_p]
        self._real = find(None).contents
        self._mine = Vfs.from_buffer_copy(self._real)
        self._mine.name = b"faulty"
        self._real_open, self._real_delete = OPEN(self._real.open), DELETE(self._real.delete)
        self._methods: dict[int, Methods] = {}
        self._deeds = WRITE(self._write), TRUNCATE(self._truncate), SYNC(self._sync)
        self._keep = OPEN(self._open), DELETE(self._delete)
        self._mine.open, self._mine.delete = (c.cast(f, c.c_void_p).value for f in self._keep)
        assert self._library.sqlite3_vfs_register(c.byref(self._mine), 1) == 0

    def remove(self) -> None:
        assert self._library is not None
        self._library.sqlite3_vfs_unregister(c.byref(self._mine))
        self._library.sqlite3_vfs_register(c.byref(self._real), 1)

    def _open(self, vfs, name, file, flags, out) -> int:
        code = self._real_open(vfs, name, file, flags, out)
        at = c.cast(file, c.POINTER(c.c_void_p))
        if code == 0 and at[0]:
            if at[0] not in self._methods:  # one table for databases, another for logs: they lock and close otherwise
                mine = Methods.from_buffer_copy(Methods.from_address(at[0]))
                self._real_deeds = WRITE(mine.write), TRUNCATE(mine.truncate), SYNC(mine.sync)  # the same in both
                mine.write, mine.truncate, mine.sync = (c.cast(f, c.c_void_p).value for f in self._deeds)
                self._methods[at[0]] = mine
            at[0] = c.addressof(self._methods[at[0]])
            self._paths[file] = c.string_at(name).decode() if name else ""
        return code

    def _fate(self, kind: str) -> str:
        number, self.count = self.count, self.count + 1
        if self.fail_at is None or number not in self.fail_at or kind not in self.kinds:
            return "well"
        self.failed += 1
        return self.how

    def _write(self, file, data, amount, offset) -> int:
        fate = self._fate("write")
        size = {"well": amount, "done": amount, "torn": amount // 2, "refused": 0}[fate]
        if size:
            code = self._real_deeds[0](file, data, size, offset)
            assert code == 0
            self.log.append(Deed("write", self._paths[file], offset, c.string_at(data, size)))
        return 0 if fate == "well" else self.code

    def _truncate(self, file, size) -> int:
        fate = self._fate("truncate")
        if fate in ("well", "done"):
            self._real_deeds[1](file, size)
            self.log.append(Deed("truncate", self._paths[file], size))
        return 0 if fate == "well" else sqlite3.SQLITE_IOERR_TRUNCATE

    def _sync(self, file, flags) -> int:
        fate = self._fate("sync")
        if fate in ("well", "done"):
            self._real_deeds[2](file, flags)
            self.log.append(Deed("sync", self._paths[file]))
        return 0 if fate == "well" else sqlite3.SQLITE_IOERR_FSYNC

    def _delete(self, vfs, name, sync_folder) -> int:
        code = self._real_delete(vfs, name, sync_folder)
        if code == 0:
            self.log.append(Deed("delete", c.string_at(name).decode()))
        return code


def image(log: list[Deed], chance: Random, kept: float, torn: float) -> dict[str, bytes]:
    """Build the files that a power cut after ``log`` leaves: what was synced, and of the rest any part, in any order.

    A write that was not synced is there (how often: ``kept``), or torn at a sector (``torn``), or not there.
    """
    files: dict[str, bytearray] = {}
    waiting: dict[str, list[Deed]] = {}

    def do(deed: Deed) -> None:
        file = files.setdefault(deed.path, bytearray())
        if deed.kind == "truncate":
            del file[deed.offset :]
            return
        file.extend(bytes(max(0, deed.offset + len(deed.data) - len(file))))
        file[deed.offset : deed.offset + len(deed.data)] = deed.data

    for deed in log:
        if deed.kind == "sync":
            files.setdefault(deed.path, bytearray())
            for one in waiting.pop(deed.path, []):
                do(one)
        elif deed.kind == "delete":
            files.pop(deed.path, None)
            waiting.pop(deed.path, None)
        else:
            waiting.setdefault(deed.path, []).append(deed)
    for deeds in waiting.values():
        for one in chance.sample(deeds, len(deeds)):
            fate = chance.random()
            if fate < kept:
                do(one)
            elif fate < kept + torn and one.kind == "write":
                cut = chance.randrange(0, len(one.data) + 1, min(SECTOR, len(one.data)) or 1)
                do(Deed("write", one.path, one.offset, one.data[:cut]))
    return {path: bytes(data) for path, data in files.items()}


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    """Put an image into a folder."""
    for path, data in files.items():
        (folder / Path(path).name).write_bytes(data)
