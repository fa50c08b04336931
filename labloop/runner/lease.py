"""The lease of a bench: one controller at a time, told apart by an epoch, looked at before every write on a wire.

The bench's journal has a lock, and the kernel frees it when its holder is gone. That is enough on one machine, while
nobody deletes lock files and no process sleeps on after it was given up for dead. The lease holds where it is not
enough: ``bench.lease`` says who controls the bench, in one sector written in place, and whoever takes the bench raises
the epoch in it. A link asks before each write whether the file still says what its own controller wrote there:

    controller   shared lock on the file - is it still my epoch? - write to the wire - let go
    taker        exclusive lock on the file - epoch + 1 - let go

So a taker waits for a write that is under way, and no write begins under an epoch that is over, however long its
process was stopped in between, and also on lines that know no exclusive open (TCP, RFC 2217, ZMQ). It costs some
microseconds a write (test_lease: the price).

Somebody may delete the file or spoil it. Then it names nobody, and the lock decides: whoever holds the lock of the
bench's journal still, and has never seen another's name in the file, puts his own word back, under the exclusive lock,
and goes on. Whoever holds it no more writes nothing, once and for all:

    the file says             my epoch     another's     nothing (gone, or no sense)
    my lock is held still     go on        lost          put back, go on
    my lock is gone           go on        lost          lost
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec

from labloop.bench import LeaseLost, Port
from labloop.bench.lab import Connect
from labloop.journal import StoreDamaged, StoreError, StoreLocked, locks
from labloop.journal.errors import from_os

LOG: Final = logging.getLogger("labloop.run")
FILE: Final = "bench.lease"
SIZE: Final = 512  # one sector: written in place it is old or new
# A write to a wire lasts a second at most (transport.WRITE_S); who holds the file for longer is stopped in one.
TAKE_S: Final = 2.0
TRY_AGAIN_S: Final = 0.002
# A path that has no room in the file: its end tells runs apart.
SHORTENED: Final = "..."
KEPT: Final = 200


class Leaseholder(msgspec.Struct, frozen=True, kw_only=True):
    """Who controls the bench, as ``bench.lease`` says it. ``by``: runner, guard, by hand.

    ``pid`` 0: nobody any more; it was not made safe, and is left to whoever can.
    """

    epoch: int
    run: str
    by: str
    pid: int
    started: str
    host: str
    released: bool = False

    @property
    def lives(self) -> bool:
        """Whether that process still lives (on another machine: nobody here knows that it does not)."""
        here = self.host == socket.gethostname()
        return self.pid != 0 and not (here and locks.process_started(self.pid) != self.started)

    def is_for(self, run: Path) -> bool:
        """Whether it was taken for the run in that folder."""
        name = str(run.resolve())
        return self.run in (name, SHORTENED + name[-KEPT:])

    def is_of(self, run: Path, pid: int, started: str) -> bool:
        """Whether that process has the bench for the run in that folder, or had it last and has not given it back.

        A folder may have been moved since; but where the lease names another that is there, the process has had several
        runs, one after the other (a notebook), and this one gave the bench back.
        """
        if self.released or (self.pid, self.started) != (pid, started):
            return False
        try:
            return os.path.samefile(self.run, run)
        except (OSError, ValueError):
            return True


class Lease:
    """The lease of one bench, as its present controller has it. ``fence`` is what its links ask.

    ``locked``: whether the lock of the bench's journal is still held here (a guard that a broken disk gives none: it
    only stops, and ended who was there before).
    """

    def __init__(
        self, path: Path, holder: Leaseholder, locked: Callable[[], bool], found: Leaseholder | None = None
    ) -> None:
        self.path = path
        self.holder = holder
        self._found = found
        self._locked = locked
        self._lost = False
        self._fences: list[Fence] = []

    @property
    def epoch(self) -> int:
        """The number of this controller among all of the bench."""
        return self.holder.epoch

    @classmethod
    def take(
        cls, folder: Path, run: str, by: str, at_least: int = 0, wait_s: float = TAKE_S,
        locked: Callable[[], bool] = lambda: True,
    ) -> Self:  # fmt: skip
        """Make the bench in ``folder`` ours: epoch + 1, and not below ``at_least``.

        Raises StoreLocked while its former controller stands in the middle of a write; StoreError.
        """
        path = folder / FILE
        with _alone(path, wait_s) as handle:
            data = os.pread(handle, SIZE, 0)
            before = _decode(data, path) if _makes_sense(data) else None
            pid = os.getpid()
            holder = Leaseholder(
                epoch=max((before.epoch if before else 0) + 1, at_least), run=run, by=by, pid=pid,
                started=locks.process_started(pid) or "", host=socket.gethostname(),
            )  # fmt: skip
            os.pwrite(handle, _encode(holder), 0)
        return cls(path, holder, locked, before)

    def holds(self) -> bool:
        """Whether the bench is still ours; a word of ours that somebody deleted or spoiled is put back.

        Raises StoreLocked while a write of somebody's does not end; StoreError.
        """
        return not self._lost and (_read(self.path) == _encode(self.holder) or self._say(self.holder))

    def _say(self, holder: Leaseholder) -> bool:
        """Write that into the file, if the bench is still ours (the table above), and say whether it is."""
        locked = self._locked()
        if self._lost or not (locked or _read(self.path) is not None):
            self._lost = True
            return False
        with _alone(self.path, TAKE_S) as handle:
            data = os.pread(handle, SIZE, 0)
            if data != _encode(self.holder):
                if _makes_sense(data) or not locked:
                    self._lost = True
                    return False
                what = "made no sense" if data else "was gone, or emptied"
                LOG.warning("%s %s; the bench is still ours, and it says so again", self.path, what)
            os.pwrite(handle, _encode(holder), 0)
        self.holder = holder
        return True

    def release(self, *, failed: bool = False, as_found: bool = False) -> None:
        """Say in the file that the bench is free, if it still is ours; or that it is not safe (``failed``), and so is
        left to whoever can make it safe. ``as_found``: one that was left so before is so still.

        Raises StoreLocked while a write of ours does not end; StoreError.
        """
        left = {"pid": 0, "started": ""} if failed else {"released": True}
        free = msgspec.structs.replace(self.holder, **left)
        found = self._found
        if as_found and found is not None and found.pid == 0 and not found.released:
            free = msgspec.structs.replace(found, epoch=self.epoch)
        self._say(free)

    def fence(self) -> "Fence":
        """What one link asks before it writes."""
        self._fences.append(Fence(self))
        return self._fences[-1]

    def close(self) -> None:
        """Let go of the file: from here on every fence refuses. Harmless twice."""
        while self._fences:
            self._fences.pop().close()


class Fence:
    """``with fence: write``. Raises LeaseLost, and then nothing may be written. For one thread at a time."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._handle: int | None = None
        self._closed = False
        self._ours = _encode(lease.holder)

    def __enter__(self) -> None:
        try:
            if not self._is_ours():
                raise self._lost()
        except (OSError, StoreError) as error:
            raise LeaseLost(f"{self._lease.path}: cannot be looked at ({error}), so nothing was sent") from error

    def _is_ours(self) -> bool:
        """Whether we may write; then the file stays locked, shared, until __exit__."""
        if self._closed:
            raise StoreError("the bench was given back")
        if self._handle is not None and self._says_so(self._handle):
            return True
        if not self._lease.holds():
            return False
        self._let_go()  # of a file that is another now
        self._handle = os.open(self._lease.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        return self._says_so(self._handle)

    def _says_so(self, handle: int) -> bool:
        """Whether the file says that the bench is ours; then it stays locked."""
        until_s = time.monotonic() + TAKE_S
        while not locks.try_lock(handle, shared=True):  # somebody is just taking the bench
            if time.monotonic() > until_s:
                return False
            time.sleep(TRY_AGAIN_S)
        if os.pread(handle, SIZE, 0) == self._ours and locks.same_file(handle, self._lease.path):
            return True
        locks.unlock(handle)
        return False

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            locks.unlock(self._handle)

    def close(self) -> None:
        """Let go of the file; harmless twice."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _lost(self) -> LeaseLost:
        mine = self._lease.holder
        try:
            now = holder(self._lease.path.parent)
            who = f"epoch {now.epoch} is held by {now.by} ({now.run}, process {now.pid})" if now else "its file is gone"
            who += ", and the lock of its journal is not ours either" if now is None else ""
        except StoreError as error:
            who = f"nobody can read it: {error}"
        return LeaseLost(
            f"the bench is not ours any more: {self._lease.path} said epoch {mine.epoch}, and now {who}. Nothing was "
            "sent. Look at the bench, then take the run up again with `labloop resume`"
        )


def fenced(connect: Connect, lease: Lease | None) -> Connect:
    """The same ports, each of whose writes asks the lease first (None: a bench that ends with this process)."""

    def opened(address: str) -> Port:
        port = connect(address)
        if lease is not None:
            port.link.fence = lease.fence()
        return port

    return opened


def holder(folder: Path) -> Leaseholder | None:
    """Say who controls the bench in ``folder``, or did last; None: nobody ever did.

    Raises StoreDamaged where the file makes no sense, which says of nobody that he has not got it; StoreError.
    """
    data = _read(folder / FILE)
    return None if data is None else _decode(data, folder / FILE)


@contextmanager
def _alone(path: Path, wait_s: float) -> Iterator[int]:
    """The lease's file, made where there is none, read and written by nobody else meanwhile.

    Raises StoreLocked, StoreError.
    """
    until_s = time.monotonic() + wait_s
    try:
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            try:
                if locks.try_lock(handle, shared=False) and locks.same_file(handle, path):
                    yield handle
                    return
            finally:
                os.close(handle)
            if time.monotonic() > until_s:
                raise StoreLocked(
                    f"{path}: its controller stands in the middle of a write to an instrument. End that process."
                )
            time.sleep(TRY_AGAIN_S)
    except OSError as error:
        raise from_os(error, path, "write this lease") from error


def _encode(holder: Leaseholder) -> bytes:
    text = msgspec.json.encode(holder)
    if len(text) >= SIZE:  # a run's path of some hundred characters
        text = msgspec.json.encode(msgspec.structs.replace(holder, run=SHORTENED + holder.run[-KEPT:]))
    return text.ljust(SIZE - 1) + b"\n"


def _read(path: Path) -> bytes | None:
    """What the file says; None: there is none. Raises StoreError."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os(error, path, "look at this lease") from error


def _decode(data: bytes, path: Path) -> Leaseholder:
    try:
        return msgspec.json.decode(data, type=Leaseholder)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreDamaged(f"{path}: makes no sense ({error}), so that nobody can say who has the bench.") from error


def _makes_sense(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=Leaseholder)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True
