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
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import msgspec

from labloop.bench import LeaseLost, Port
from labloop.bench.lab import Connect
from labloop.journal import StoreDamaged, StoreError, StoreLocked, locks
from labloop.journal.errors import from_os
from labloop.journal.origin import lab_folder
from labloop.journal.presence import last_runner

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

    def is_of(self, pid: int, started: str) -> bool:
        """Whether that process has the bench, or had it last and has not given it back."""
        return not self.released and (self.pid, self.started) == (pid, started)


class Lease:
    """The lease of one bench, as its present controller has it. ``fence`` is what its links ask."""

    def __init__(self, path: Path, holder: Leaseholder) -> None:
        self.path = path
        self.holder = holder
        self._fences: list[Fence] = []

    @property
    def epoch(self) -> int:
        """The number of this controller among all of the bench."""
        return self.holder.epoch

    @classmethod
    def take(cls, folder: Path, run: str, by: str, at_least: int = 0, wait_s: float = TAKE_S) -> Self:
        """Make the bench in ``folder`` ours: epoch + 1, and not below ``at_least``.

        Raises StoreLocked while its former controller stands in the middle of a write; StoreError.
        """
        path = folder / FILE
        with _alone(path, wait_s, create=True) as handle:
            data = os.pread(handle, SIZE, 0)
            before = _decode(data, path) if _makes_sense(data) else None
            pid = os.getpid()
            holder = Leaseholder(
                epoch=max((before.epoch if before else 0) + 1, at_least), run=run, by=by, pid=pid,
                started=locks.process_started(pid) or "", host=socket.gethostname(),
            )  # fmt: skip
            os.pwrite(handle, _encode(holder), 0)
        return cls(path, holder)

    def holds(self) -> bool:
        """Whether the bench is still ours. Raises StoreError."""
        data = _read(self.path)
        return data is not None and self.is_ours(data)

    def is_ours(self, data: bytes) -> bool:
        """Whether a file that says this leaves us the bench; one that makes no sense gives it to nobody else."""
        return data == _encode(self.holder) or not _makes_sense(data)

    def release(self, *, failed: bool = False) -> None:
        """Say in the file that the bench is free, if it still is ours; or that it is not safe (``failed``), and so is
        left to whoever can make it safe.

        Raises StoreLocked while a write of ours does not end; StoreError.
        """
        if not self.holds():
            return
        with _alone(self.path, TAKE_S) as handle:
            if self.is_ours(os.pread(handle, SIZE, 0)):
                self.holder = msgspec.structs.replace(
                    self.holder, **({"pid": 0, "started": ""} if failed else {"released": True})
                )
                os.pwrite(handle, _encode(self.holder), 0)

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
        self._handle = os.open(lease.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._ours = _encode(lease.holder)

    def __enter__(self) -> None:
        try:
            if not self._is_ours():
                raise self._lost()
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise LeaseLost(f"{self._lease.path}: cannot be looked at ({error}), so nothing was sent") from error

    def _is_ours(self) -> bool:
        """Whether we may write; then the file stays locked, shared, until __exit__."""
        until_s = time.monotonic() + TAKE_S
        while not locks.try_lock(self._handle, shared=True):  # somebody is just taking the bench
            if time.monotonic() > until_s:
                return False
            time.sleep(TRY_AGAIN_S)
        data = os.pread(self._handle, SIZE, 0)
        ours = data == self._ours or not _makes_sense(data)
        if ours and locks.same_file(self._handle, self._lease.path):
            return True
        locks.unlock(self._handle)
        return False

    def __exit__(self, *_: object) -> None:
        locks.unlock(self._handle)

    def close(self) -> None:
        """Let go of the file; harmless twice."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _lost(self) -> LeaseLost:
        mine = self._lease.holder
        try:
            now = holder(self._lease.path.parent)
            who = f"epoch {now.epoch} is held by {now.by} ({now.run}, process {now.pid})" if now else "its file is gone"
        except StoreError as error:
            who = f"nobody can read it: {error}"
        return LeaseLost(
            f"the bench is not ours any more: {self._lease.path} said epoch {mine.epoch}, and now {who}. Nothing was "
            "sent. Look at the bench, then take the run up again with `labloop resume`"
        )


def fenced(connect: Connect, lease: Lease | None) -> Connect:
    """The same ports, each of whose writes asks the lease first."""

    def opened(address: str) -> Port:
        port = connect(address)
        fence(port, lease)
        return port

    return opened


def fence(port: Port, lease: Lease | None) -> None:
    """Let every write of an open port ask the lease first (None: a bench that ends with this process)."""
    if lease is not None:
        port.link.fence = lease.fence()


def holder(folder: Path) -> Leaseholder | None:
    """Say who controls the bench in ``folder``, or did last; None: nobody ever did.

    Raises StoreDamaged where the file makes no sense, which says of nobody that he has not got it; StoreError.
    """
    data = _read(folder / FILE)
    return None if data is None else _decode(data, folder / FILE)


def left_by(run: Path) -> Leaseholder | None:
    """Who had the bench last for the run in a folder and never gave it back; None: it is nobody's, or somebody else's.

    That is its runner, whether it lives or not; or whoever was to make the bench safe in its place (its guard, an
    abort), and died over it or could not. Raises StoreError, SpecError.
    """
    held = holder(lab_folder(run))
    if held is None or held.released:
        return None
    runner = None
    with suppress(StoreError):  # what cannot be read of it says nothing against what the lease says
        runner = last_runner(run)
    is_runner = runner is not None and held.is_of(runner.pid, runner.started)
    return held if is_runner or (held.is_for(run) and not held.lives) else None


@contextmanager
def _alone(path: Path, wait_s: float, create: bool = False) -> Iterator[int]:
    """The lease's file, read and written by nobody else meanwhile. Raises StoreLocked, StoreError."""
    try:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            until_s = time.monotonic() + wait_s
            while not locks.try_lock(handle, shared=False):
                if time.monotonic() > until_s:
                    raise StoreLocked(
                        f"{path}: its controller stands in the middle of a write to an instrument. End that process."
                    )
                time.sleep(TRY_AGAIN_S)
            yield handle
        finally:
            os.close(handle)
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
