"""One holder at a time, found out at once.

A lock is an flock on a small file that is never deleted. The kernel frees it the moment its holder is gone, however it
went, so nobody has to judge whether an old lock is stale. What stands in the file only serves the complaint (and the
heartbeat): 512 bytes, written in place, so that a full disk does not silence a heartbeat.

A look at a lock takes it shared for some microseconds. Whoever wants it therefore tries again for GRACE_S before giving
up, and no look can make a start fail.
"""

import os
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec

from .errors import StoreError, StoreLocked, from_os

# Far longer than a look (microseconds), far shorter than a person's patience; test_looks_never_make_a_start_fail.
GRACE_S = 0.25
TRY_AGAIN_S = 0.01
SIZE = 512  # one sector: written in place it is old or new, and never needs a new block

if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30  # a Windows lock also forbids reading: lock a byte that the file does not have

    def try_lock(handle: int, shared: bool) -> bool:
        """Lock an open file, without waiting; False: somebody else has it. Raises OSError."""
        os.lseek(handle, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Let go of the lock on an open file. Raises OSError."""
        os.lseek(handle, FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def try_lock(handle: int, shared: bool) -> bool:
        """Lock an open file, without waiting; False: somebody else has it. Raises OSError."""
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(handle: int) -> None:
        """Let go of the lock on an open file. Raises OSError."""
        fcntl.flock(handle, fcntl.LOCK_UN)


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who took a lock. ``started`` tells a process from a later one with the same ``pid``."""

    pid: int
    started: str
    host: str
    note: dict[str, Any] = {}


def process_started(pid: int) -> str | None:
    """Say when a process of this machine began, in the system's words; None: it is gone, or the system won't say."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        # proc(5): field 3 (state) is the first after the name; Z and X are dead; field 22 is the start in clock ticks
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    if sys.platform == "win32":
        return None
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


class FileLock:
    """The lock, held from ``take`` until ``release`` or the end of this process. A context manager."""

    def __init__(self, path: Path, handle: int, holder: Holder) -> None:
        self.path = path
        self.holder = holder
        self._handle: int | None = handle
        _HELD.add(self)

    @classmethod
    def take(
        cls,
        path: Path,
        what: str,
        *,
        note: dict[str, Any] | None = None,
        wait_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Self:
        """Take the lock ``path``; ``what`` says in a complaint what it guards. Waits at most ``wait_s`` (or GRACE_S).

        Raises:
            StoreLocked: somebody else holds it; the message names them.
            StoreError: the file cannot be made, or this file system knows no locks.
        """
        until_s = now() + max(wait_s, GRACE_S)
        while True:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                raise from_os(error, path, "lock this file") from error
            try:
                taken = try_lock(handle, shared=False) and same_file(handle, path)
            except OSError as error:
                os.close(handle)
                raise from_os(error, path, "lock this file") from error
            if taken:
                pid = os.getpid()
                holder = Holder(pid=pid, started=process_started(pid) or "", host=socket.gethostname(), note=note or {})
                lock = cls(path, handle, holder)
                try:
                    lock.write(**holder.note)
                except StoreError:
                    lock.release()
                    raise
                return lock
            os.close(handle)
            if now() >= until_s:
                raise _refusal(path, what)
            sleep(TRY_AGAIN_S)

    def write(self, **note: Any) -> None:
        """Renew what the lock's file says beside who holds it. Raises StoreError; StoreLocked if the lock is lost."""
        self.check()
        assert self._handle is not None
        self.holder = msgspec.structs.replace(self.holder, note=note)
        text = msgspec.json.encode(self.holder)
        if len(text) >= SIZE:
            raise ValueError(f"a lock's note has room for {SIZE} bytes, not {len(text)}")
        try:
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, text.ljust(SIZE - 1) + b"\n")
        except OSError as error:
            raise from_os(error, self.path, "write this file") from error

    def check(self) -> None:
        """Make sure that the lock is still ours: somebody may have deleted its file. Raises StoreLocked, StoreError."""
        try:
            ours = self._handle is not None and same_file(self._handle, self.path)
        except OSError as error:
            raise from_os(error, self.path, "look at this lock") from error
        if not ours:
            raise StoreLocked(
                f"{self.path}: this lock is lost (its file was deleted or replaced). End this process; nobody may"
                " delete that file while a run lives."
            )

    def is_ours(self) -> bool:
        """Whether the lock is still ours, so that nobody else can have taken it; no, where that cannot be seen."""
        try:
            self.check()
        except StoreError:
            return False
        return True

    def release(self) -> None:
        """Let go; harmless when done twice. What the file says stays (it is a record of the last holder)."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


# A forked child shares the lock with its parent and would keep it after the parent's death: children let go at once.
_HELD: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for lock in list(_HELD):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def held(path: Path) -> bool:
    """Say whether anybody holds the lock now; changes nothing. Raises StoreError."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os(error, path, "look at this lock") from error
    try:
        return not try_lock(handle, shared=True)
    except OSError as error:
        raise from_os(error, path, "look at this lock") from error
    finally:
        os.close(handle)


def last_holder(path: Path) -> Holder | None:
    """Say who holds the lock, or held it last; None: nobody yet, or it is being written just now."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(SIZE), type=Holder)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise from_os(error, path, "look at this lock") from error


def same_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name. Raises OSError."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _refusal(path: Path, what: str) -> StoreLocked:
    holder = last_holder(path)
    if holder is None:
        return StoreLocked(f"{what} is held by another process. Only one may: end that one first.")
    here = holder.host == socket.gethostname()
    if here and process_started(holder.pid) is None:
        who = f"a process that process {holder.pid} left behind on {holder.host}"
    else:
        who = f"process {holder.pid} on {holder.host}"
    way_out = "stop it there (`labloop request RUN stop`, or end the process), then try again"
    if here and holder.pid == os.getpid():  # a notebook's cell that is run again
        who, way_out = f"{who}, which is this one", "close what has it first (`campaign.close()` in Python)"
    return StoreLocked(
        f"{what} is held by {who}. Only one may: {way_out}.",
        holder.pid,
        holder.host,
    )
