"""One controller a bench: an epoch that is over writes no byte, on any kind of line."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import serial.rfc2217

from labloop.bench import LeaseLost, Port, open_link
from labloop.journal import StoreDamaged, StoreError, StoreLocked, locks
from labloop.runner import lease as leases
from labloop.runner import left as left_benches
from labloop.runner.book import BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.lease import FILE, Lease, fenced, holder
from tests.bench.lines import PtyDevice, WordCodec, answers
from tests.bench.test_messages import CountingCodec, Server
from tests.bench.test_transport import FarPort, serve_once

LINES = ("serial", "tcp", "rfc2217", "zmq+tcp")


@pytest.fixture
def line() -> Iterator[Callable[[str], tuple[str, Any, list[Any]]]]:
    """``line(scheme)``: the address of an instrument that answers, a codec for it, and what it has heard."""
    with ExitStack() as stack:

        def make(scheme: str) -> tuple[str, Any, list[Any]]:
            heard: list[Any] = []
            if scheme == "zmq+tcp":
                server = Server(lambda frames: heard.append(frames) or [[frames[0], b"1.0"]])  # type: ignore[no-untyped-call]
                stack.callback(server.end)
                return f"zmq+{server.place}", CountingCodec(), heard  # type: ignore[no-untyped-call]
            word = answers(value="1.0")

            def script(said: bytes) -> list[tuple[float, bytes]]:
                heard.append(said)
                return word(said)

            if scheme == "serial":
                device = PtyDevice(script)
                stack.callback(device.unplug)
                return f"serial://{device.path}", WordCodec(), heard
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            wrap = None if scheme == "tcp" else lambda host: serial.rfc2217.PortManager(FarPort(), _Host(host))  # type: ignore[no-untyped-call]
            threading.Thread(target=serve_once, args=(listener, script, wrap), daemon=True).start()
            return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", WordCodec(), heard

        yield make


class _Host:
    def __init__(self, host: socket.socket) -> None:
        self.host = host

    def write(self, data: bytes) -> None:
        self.host.sendall(data)


def ask(port: Port, codec: Any) -> str:
    said: str = port.exchange("box")(codec, "value?", 60.0)
    return said


@pytest.mark.parametrize("scheme", LINES)
def test_who_lost_the_bench_writes_no_byte(line: Any, tmp_path: Path, scheme: str) -> None:
    address, codec, heard = line(scheme)
    old = Lease.take(tmp_path, "runs/old", "runner")
    port = fenced(lambda address: Port(open_link(address)), old)(address)
    assert ask(port, codec) == "1.0"
    new = Lease.take(tmp_path, "runs/old", "guard")
    assert new.epoch == old.epoch + 1
    said = len(heard)
    for say in (lambda: ask(port, codec), lambda: port.exchange()(codec, "stop", 1.0)):
        with pytest.raises(LeaseLost, match=r"epoch 1, and now epoch 2 is held by guard \(runs/old, process \d+\)"):
            say()
    with pytest.raises(LeaseLost):
        port.exchange().tell(codec, "stop")
    new.release()
    with pytest.raises(LeaseLost):
        ask(port, codec)
    time.sleep(0.1)  # what had been written would be there by now
    assert heard[said:] == []
    port.close()
    old.close()


def test_a_lease_that_was_given_back_is_nobodys(line: Any, tmp_path: Path) -> None:
    address, codec, heard = line("serial")
    lease = Lease.take(tmp_path, "runs/a", "runner")
    port = fenced(lambda address: Port(open_link(address)), lease)(address)
    assert ask(port, codec) == "1.0"
    (tmp_path / FILE).unlink()
    assert ask(port, codec) == "1.0" and holder(tmp_path) == lease.holder, "nobody took it, and that is said again"
    lease.release()
    assert holder(tmp_path) == lease.holder and lease.holder.released
    with pytest.raises(LeaseLost):
        ask(port, codec)
    assert heard == [b"value?", b"value?"]
    port.close()
    lease.close()


def test_epochs_only_rise(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert Lease.take(tmp_path, "a", "runner").epoch == 1
    assert Lease.take(tmp_path, "b", "by hand", at_least=7).epoch == 7
    assert Lease.take(tmp_path, "c", "runner", at_least=3).epoch == 8
    (tmp_path / FILE).write_bytes(b"torn")
    assert Lease.take(tmp_path, "d", "runner", at_least=9).epoch == 9
    long = Lease.take(tmp_path, "x" * 600, "runner")
    assert len((tmp_path / FILE).read_bytes()) == leases.SIZE and holder(tmp_path) is not None
    with long.fence():
        pass
    long.close()


def test_who_takes_the_bench_waits_for_a_write_that_is_under_way(tmp_path: Path) -> None:
    old = Lease.take(tmp_path, "a", "runner")
    fence, second = old.fence(), old.fence()
    with fence:
        with second:  # another line of the same bench is no hindrance
            pass
        with pytest.raises(StoreLocked, match="in the middle of a write"):
            Lease.take(tmp_path, "b", "guard", wait_s=0.05)
    assert Lease.take(tmp_path, "b", "guard", wait_s=0.05).epoch == 2
    with pytest.raises(LeaseLost), fence:
        raise AssertionError("a write")
    old.close()
    with pytest.raises(LeaseLost, match="cannot be looked at"), fence:
        raise AssertionError("a write")


SENSELESS = {"empty": b"", "zeros": bytes(512), "no text": b'{"run": "\xff"}', "less": b"{}"}


def spoil(folder: Path, said: bytes | None) -> None:
    if said is None:
        (folder / FILE).unlink()
    else:
        (folder / FILE).write_bytes(said)


@pytest.mark.parametrize("said", [*SENSELESS.values(), None], ids=[*SENSELESS, "gone"])
def test_a_spoiled_file_takes_the_bench_from_nobody_and_is_written_again(tmp_path: Path, said: bytes | None) -> None:
    lease = Lease.take(tmp_path, "a", "runner")
    fence, early = lease.fence(), lease.fence()
    with early:
        pass
    for fenced_by in (early, fence, early):
        spoil(tmp_path, said)
        if said is not None:
            with pytest.raises(StoreDamaged, match="makes no sense"):
                holder(tmp_path)
        with fenced_by:
            assert holder(tmp_path) == lease.holder
            with pytest.raises(StoreLocked):
                Lease.take(tmp_path, "b", "guard", wait_s=0.0)
    spoil(tmp_path, said)
    lease.release(failed=True)
    assert holder(tmp_path) == lease.holder and lease.holder.pid == 0
    spoil(tmp_path, said)
    new = Lease.take(tmp_path, "b", "runner")
    assert holder(tmp_path) == new.holder and not lease.holds()
    lease.close()


@pytest.mark.parametrize("said", [*SENSELESS.values(), None], ids=[*SENSELESS, "gone"])
def test_of_two_over_one_spoiled_file_only_who_has_the_bench_journals_lock_writes(
    tmp_path: Path, said: bytes | None
) -> None:
    """The first was stopped and given up for dead; it goes on, and has seen nothing of the second."""
    mine = [True, False]
    old = Lease.take(tmp_path, "a", "runner", locked=lambda: mine[0])
    new = Lease.take(tmp_path, "b", "runner", locked=lambda: mine[1])
    mine.reverse()
    spoil(tmp_path, said)
    first, second = old.fence(), new.fence()
    with pytest.raises(LeaseLost, match="nobody can read it" if said is not None else "is not ours either"), first:
        raise AssertionError("a write")
    assert (tmp_path / FILE).exists() == (said is not None), "who lost it leaves nothing there"
    with second:
        assert holder(tmp_path) == new.holder
    mine.reverse()  # whatever the lock is said to be later: lost is lost
    spoil(tmp_path, said)
    with pytest.raises(LeaseLost), first:
        raise AssertionError("a write")
    assert not old.holds()
    old.release()
    assert ((tmp_path / FILE).read_bytes() if (tmp_path / FILE).exists() else None) == said, "and gives nothing back"
    with pytest.raises(LeaseLost), second:
        raise AssertionError("a write")
    for lease in (old, new):
        lease.close()


def test_a_books_lease_knows_whether_its_journals_lock_is_held(tmp_path: Path) -> None:
    book = BenchBook.open(tmp_path, "lab", utc_stamp)
    book.take_lease("runs/a", "live", {})
    assert book.lease is not None
    (tmp_path / FILE).unlink()
    assert book.lease.holds()
    (tmp_path / FILE).unlink()
    (tmp_path / "bench.db.lock").unlink()
    assert not book.lease.holds() and holder(tmp_path) is None
    book.close()


def test_a_lease_that_nobody_can_look_at_is_a_store_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease.take(tmp_path, "a", "guard", locked=lambda: False)

    def broken(path: Path, *_: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    for look in ("stat", "open"):
        monkeypatch.setattr(Path, look, broken)
    with pytest.raises(StoreError, match=FILE):
        lease.release()


def test_a_fence_that_was_left_holds_nobody_up(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path, "a", "runner")
    fence = lease.fence()
    with pytest.raises(ZeroDivisionError), fence:
        raise ZeroDivisionError
    handle = os.open(tmp_path / FILE, os.O_RDWR)
    assert locks.try_lock(handle, shared=False)
    os.close(handle)
    lease.close()


def test_who_gives_the_bench_back_does_not_undo_a_taking_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Lease.take(tmp_path, "a", "runner")
    read, refused = os.pread, []

    def then_somebody_comes(handle: int, size: int, at: int) -> bytes:
        found = read(handle, size, at)
        monkeypatch.setattr(os, "pread", read)
        try:
            Lease.take(tmp_path, "a", "guard", wait_s=0.0)
        except StoreLocked as error:
            refused.append(error)
        return found

    monkeypatch.setattr(os, "pread", then_somebody_comes)
    old.release()
    new = Lease.take(tmp_path, "a", "guard")
    assert refused and new.epoch == old.epoch + 1 and holder(tmp_path) == new.holder
    with new.fence():
        pass
    old.release()
    assert holder(tmp_path) == new.holder, "somebody else's is not ours to give back"
    new.close()


def test_a_bench_is_left_though_nobody_can_read_who_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, lab = tmp_path / "run", tmp_path / "lab"
    for folder in (run, lab):
        folder.mkdir()
    lease = Lease.take(lab, str(run.resolve()), "runner")
    dead = msgspec.structs.replace(lease.holder, pid=2**22 + 1, started="never")
    (lab / FILE).write_bytes(leases._encode(dead))
    lease.close()

    def unread(folder: Path) -> None:
        raise StoreDamaged(f"{folder}/runner.lock: cannot be read")

    monkeypatch.setattr(left_benches, "lab_folder", lambda folder: lab)
    monkeypatch.setattr(left_benches.presence, "last_runner", unread)
    assert left_benches.left_by(run) == dead
