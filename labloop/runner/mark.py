"""The guard's mark: one byte in the machine's memory that says whether the guard has touched the bench.

What a guard does it writes down, before and after. But a disk that takes nothing is no reason to leave a heater on, so
that a missing word proves nothing: it may have asked, and been told an alarm that nobody hears twice. Memory takes a
byte always, and keeps it when the processes are gone. So the guard keeps a page there, says in its lock's file where
it is, and turns it over as its first deed before it opens a port:

    page there, not turned, its guard gone     nothing was touched: the instruments tell the next start as much as ever
    page turned, or none                       nobody knows what was told: a power cut takes the page with it

A page that lies on a disk after all (a container may have no memory file system) would prove nothing, and is not made.

A page that was left behind is evidence for as long as its run's lock names it. One that none names, of a guard that is
gone (it says itself by process and start who that is, and whose run), is nobody's: the next guard takes it away.
"""

import mmap
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from labloop.journal import StoreError, locks, presence

MEMORY: Final = Path("/dev/shm")
MOUNTS: Final = Path("/proc/self/mounts")
WHOLE, TURNED = b".", b"X"
TOKEN: Final = 32  # characters
PART: Final = "labloop-guard-"


class Mark:
    """The page of one guard. ``note`` goes into its lock's file."""

    def __init__(self, path: Path, token: str, page: mmap.mmap) -> None:
        self._path = path
        self._token = token
        self._page = page

    @classmethod
    def set(cls, folder: Path) -> Self | None:
        """A new page of this process, which guards the run in ``folder``; None where the system keeps none."""
        if not _in_memory(MEMORY):
            return None
        token = secrets.token_hex(TOKEN // 2)
        path = MEMORY / f"{PART}{token[:8]}"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                words = token.encode() + WHOLE + _whose(folder)
                os.write(handle, words.ljust(mmap.PAGESIZE, b"\0"))  # room is taken now, not later
                page = mmap.mmap(handle, mmap.PAGESIZE)
            finally:
                os.close(handle)
        except OSError:
            return None
        return cls(path, token, page)

    @property
    def note(self) -> dict[str, str]:
        return {"mark": str(self._path), "token": self._token}

    def turn(self) -> None:
        """From here on the bench counts as touched. Cannot fail: no system call is made."""
        self._page[len(self._token) : len(self._token) + 1] = TURNED

    def close(self) -> None:
        """Its guard has said all that there is to say; harmless twice."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def untouched(folder: Path) -> bool:
    """Whether it is proven that the last guard of the run in ``folder`` is gone and never touched the bench."""
    try:
        guard = locks.last_holder(folder / presence.GUARD_LOCK)
    except StoreError:
        return False
    # In this order: one that is gone turns no page any more.
    if guard is None or not guard.started or locks.process_started(guard.pid) == guard.started:
        return False
    page = _page(guard.note, os.O_RDONLY)
    if page is None:
        return False
    with os.fdopen(page, "rb") as file:
        return file.read(len(guard.note["token"]) + 1) == str(guard.note["token"]).encode() + WHOLE


def sweep(note: Mapping[str, Any]) -> None:
    """Do away with the page of a guard that was killed, once its run has gone by it, and with pages that are nobody's.

    note: what its lock said.
    """
    page = _page(note, os.O_RDONLY)
    if page is not None:
        os.close(page)
        with suppress(OSError):
            Path(note["mark"]).unlink(missing_ok=True)
    for path in MEMORY.glob(f"{PART}*"):
        if _is_nobodys(path):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _whose(folder: Path) -> bytes:
    """Who guards which run, as a page says it; nothing where it has no room for that: such a page stays."""
    pid = os.getpid()
    words = msgspec.json.encode([pid, locks.process_started(pid) or "", str(folder.resolve())])
    return words if TOKEN + len(WHOLE) + len(words) < mmap.PAGESIZE else b""


def _is_nobodys(path: Path) -> bool:
    """Whether a page is of a guard that is gone, and no run's lock leads to it any more."""
    token = _token(path)
    page = _page({"mark": str(path), "token": token}, os.O_RDONLY)
    if page is None:
        return False
    with os.fdopen(page, "rb") as file:
        words = file.read(mmap.PAGESIZE)[TOKEN + len(WHOLE) :].rstrip(b"\0")
    try:
        pid, started, folder = msgspec.json.decode(words, type=tuple[int, str, str])
        if not started or locks.process_started(pid) == started:
            return False
        guard = locks.last_holder(Path(folder) / presence.GUARD_LOCK)
    except (msgspec.DecodeError, UnicodeDecodeError, StoreError):
        return False
    return guard is None or guard.note.get("token") != token


def turn(folder: Path) -> None:
    """Whoever does a guard's work in its place (an abort) turns its page first; all pages, where nobody can read
    which one that is."""
    try:
        guard = locks.last_holder(folder / presence.GUARD_LOCK)
        notes = [guard.note] if guard is not None else []
    except StoreError:
        notes = [{"mark": str(path), "token": _token(path)} for path in MEMORY.glob(f"{PART}*")]
    for note in notes:
        page = _page(note, os.O_RDWR)
        if page is not None:
            try:
                os.pwrite(page, TURNED, len(note["token"]))
            finally:
                os.close(page)


def _token(path: Path) -> str:
    try:
        return path.read_bytes()[:TOKEN].decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _page(note: Mapping[str, Any], flags: int) -> int | None:
    """The page that a guard's note names, opened, if it is one of ours."""
    path, token = note.get("mark"), note.get("token")
    if not isinstance(path, str) or not isinstance(token, str) or not token or not _in_memory(MEMORY):
        return None
    if Path(path).parent != MEMORY or not Path(path).name.startswith(PART):
        return None
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW)
    except OSError:
        return None
    mine = os.fstat(handle).st_uid == os.getuid() and os.pread(handle, len(token), 0) == token.encode()
    if not mine:
        os.close(handle)
        return None
    return handle


def _in_memory(folder: Path) -> bool:
    """Whether a folder lies on a file system that is kept in memory alone."""
    try:
        mounts = MOUNTS.read_text().splitlines()
    except OSError:
        return False
    return any(words[1:3] == [str(folder), "tmpfs"] for words in (line.split() for line in mounts))
