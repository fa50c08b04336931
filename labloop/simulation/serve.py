"""Serve a simulated bench on real ports, as a process of its own: ``python -m labloop.simulation.serve PLAN.json``.

The plan is a SimulatedBench's (bench.py) with some keys more:

    "addresses": OUT.json      written whole when every port answers, taken away at the end:
                               {"pid": ..., "speed": ..., "ports": {name: "serial:///...?baud=19200", ...}}
    "transport": "pty" | "tcp" | "rfc2217" | null     for serial lines (null: as each port's own address says), always
                               on the loopback; messages go over ZMQ on a free port of ...
    "host": address            ... (default 127.0.0.1); another than the loopback only with
    "own_key": file, "allow": folder           our key_secret, and the public keys of those who are let in
    "state": folder | null     everything that outlives the process is kept in its bench.json, written whole after each
                               act's begin and end and once a second, and taken up again at the start. Time stands still
                               in between.
    "by_hand": folder          where a person's refills are put down (left out: "by-hand" in the state's folder). A file
                               ``*.json`` there, {"instrument": name, "holds_ul": number}, says that so much stands in
                               it now: it is taken away when it is done, or renamed to ``*.refused``.
    "watch": lock | null       end when nobody has held an flock on this file for a minute: so the instruments of a run
                               outlive a killed runner by that much, and no longer.

SIGTERM and SIGINT end it cleanly. Why it ended, and who sent the signal, is its last word on stderr. One thread, one
loop: what the host says is heard in the order it was said, the state is saved before the answer leaves, and answers are
paced at the line's rate (times the speed).

Two processes never serve one kept bench: whoever does holds an flock on ``serve.lock`` beside its state, and a second
one gives way. In that file stands where its ports' links lie, so that whoever comes after one that was killed can clear
them away. Addresses are taken away before the last look at the watched lock, so whoever holds that lock and sees
addresses may rely on them.
"""

import argparse
import fcntl
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zmq

from labloop.keys import Context

from .bench import SimulatedBench
from .clock import WallClock
from .doorway import Doorway
from .ports import TRANSPORTS, TcpPort, transport_of
from .said import SerialSide

OUTLIVES_S = 60.0
SAVE_EVERY_S = 1.0
LOCK = "serve.lock"
LINKS = "labloop-ports-"
BY_HAND = "by-hand"
# Looks at the lock last microseconds.
LOCK_WITHIN_S = 0.1
LONGEST_WAIT_S = 0.1  # A signal or a plan's end is seen this soon.


class Server:
    """A bench on its ports. ``run`` until ``stop`` is called or nobody watches."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        """Raises ValueError for a plan that makes no sense; nothing is left open then."""
        transport = plan.get("transport")
        if transport not in (None, *TRANSPORTS):
            raise ValueError(f"transport = {transport!r}; known are {', '.join(TRANSPORTS)}")
        self._addresses = Path(plan["addresses"])
        self._watch = Path(plan["watch"]) if plan.get("watch") else None
        self._state = Path(plan["state"]) if plan.get("state") else None
        hand = plan.get("by_hand") or (self._state and self._state / BY_HAND)
        self._hand = Path(hand) if hand else None
        self._lock = _take(self._state / LOCK) if self._state is not None else None
        self._addresses.unlink(missing_ok=True)  # of a process that was killed: their ports are nobody's
        kept = self._kept()
        speed = float(plan.get("speed") or 1.0)
        self.clock = WallClock(speed, kept["at_s"] if kept else 0.0)
        self.bench = SimulatedBench(plan, self.clock)
        if kept:
            self.bench.restore(kept)
        self.why_ended = ""
        self._by_hand_seen = 0
        self._acts_seen = len(self.bench.ledger.entries)
        self._seen_s = self._saved_s = time.monotonic()
        self._links = tempfile.TemporaryDirectory(prefix=LINKS)
        if self._lock is not None:
            _follow(self._lock, self._links.name)
        self._context = Context()
        self._doorway = Doorway(plan, self._context)
        self._serial: list[SerialSide] = []
        self._sockets: dict[Any, Any] = {}
        self.ports: dict[str, str] = {}
        for port, line in self.bench.lines.items():
            address = self._open_serial(port, line, transport) if line.kind == "serial" else self._open_zmq(port, line)
            self.ports.update(dict.fromkeys(self.bench.names[port], address))

    def _open_serial(self, port: str, line: Any, transport: str | None) -> str:
        named = Path(urlsplit(port).path).name or self.bench.names[port][0]
        kind = TRANSPORTS[transport or transport_of(port)]
        opened = kind(f"{len(self._serial)}-{named}", port, Path(self._links.name))
        if kind is TcpPort:
            for name in self.bench.names[port]:
                getattr(self.bench.devices[name], "over_tcp", int)()
        self._serial.append(SerialSide(line, opened, self.clock.speed))
        return opened.address

    def _open_zmq(self, port: str, line: Any) -> str:
        router, address = self._doorway.open(port)
        self._sockets[router] = line
        return address

    def stop(self, why: str = "it was stopped") -> None:
        """End at the next turn of the loop. Safe in a signal's handler."""
        self.why_ended = self.why_ended or why

    def run(self, signals: Callable[[], str] = lambda: "") -> None:
        """Serve until ``stop`` is called, ``signals`` gives a reason, or nobody watches."""
        text = json.dumps({"pid": os.getpid(), "speed": self.clock.speed, "ports": self.ports})
        try:
            while not self.why_ended:
                write_whole(self._addresses, text)
                while not self.why_ended and self._watched():
                    self._turn()
                    self.why_ended = self.why_ended or signals()
                # From here on nobody finds these ports. Who took the lock before, and found them, keeps them.
                self._addresses.unlink(missing_ok=True)
                if not self.why_ended and self._watch is not None and not is_held(self._watch):
                    self.stop(f"nobody has held {self._watch} for {OUTLIVES_S:g} s")
                self._seen_s = time.monotonic()
        finally:
            self.close()

    def close(self) -> None:
        """Take the addresses away, save, close every port, let go of the bench."""
        self._addresses.unlink(missing_ok=True)
        self._save()
        for side in self._serial:
            side.port.close()
        for router in self._sockets:
            router.close(0)
        self._doorway.close()
        self._context.term()
        self._links.cleanup()
        self.bench.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- the loop ----------------------------------------------------------------------------------------------------
    def _turn(self) -> None:
        poller = zmq.Poller()
        ends = {fd: side for side in self._serial for fd in side.port.readable()}
        for end in (*ends, *self._sockets, *self._doorway.sockets):
            poller.register(end, zmq.POLLIN)
        ready = dict(poller.poll(self._wait_ms()))
        self._doorway.answer()
        if (stamp := self._by_hand_stamp()) != self._by_hand_seen:  # before what is said now is done
            self._by_hand_seen = stamp
            self._by_hand()
        now_s, out = self.clock.now_s(), []
        self.bench.settle(now_s)
        for fd, side in ends.items():
            data = side.port.read(fd) if fd in ready else b""
            side.hear(data, now_s, time.monotonic())
        for router, line in self._sockets.items():
            out += [(router, message) for message in self._answers(router, line, router in ready, now_s)]
        if len(self.bench.ledger.entries) != self._acts_seen or time.monotonic() - self._saved_s >= SAVE_EVERY_S:
            self._by_hand()  # a folder's stamp may not change twice within one tick of its file system
            self._save()
        for router, (peer, frames) in out:
            router.send_multipart([peer, *frames])
        for side in self._serial:
            side.replug(now_s)
            side.speak(time.monotonic())

    def _answers(self, router: Any, line: Any, ready: bool, now_s: float) -> list[tuple[bytes, list[bytes]]]:
        answers = list(line.receive(b"", [], now_s))
        while ready:
            try:
                peer, *frames = router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            answers += line.receive(peer, frames, now_s)
        return answers

    def _wait_ms(self) -> int:
        """Rounded down: less than a millisecond is spent looking again and again, or answers would come late."""
        waits = [LONGEST_WAIT_S]
        wall_s, now_s = time.monotonic(), self.clock.now_s()
        waits += [at_s - wall_s for side in self._serial if (at_s := side.next_s()) is not None]
        if (due_s := self.bench.due(now_s)) is not None:
            waits.append((due_s - now_s) / self.clock.speed)
        return int(max(min(waits), 0.0) * 1e3)

    def _watched(self) -> bool:
        if self._watch is None:
            return True
        wall_s = time.monotonic()
        if is_held(self._watch):
            self._seen_s = wall_s
        return wall_s - self._seen_s < OUTLIVES_S

    # -- what is kept ------------------------------------------------------------------------------------------------
    def _kept(self) -> dict[str, Any] | None:
        path = self._state / "bench.json" if self._state is not None else None
        if path is None or not path.exists():
            return None
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: does not say any more how the simulated bench stood ({error})") from error
        return kept

    def _save(self) -> None:
        self._acts_seen, self._saved_s = len(self.bench.ledger.entries), time.monotonic()
        if self._state is None:
            return
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            write_whole(self._state / "bench.json", json.dumps(self.bench.state()))
        except OSError as error:  # an instrument does not fall silent because a disk is full; tried again in a second
            with suppress(OSError):  # and this may go into a log on that very disk
                sys.stderr.write(f"{self._state}: the bench's state cannot be kept: {error}\n")

    def _by_hand_stamp(self) -> int:
        """When its folder changed last (0: there is none)."""
        try:
            return self._hand.stat().st_mtime_ns if self._hand is not None else 0
        except OSError:
            return 0

    def _by_hand(self) -> None:
        if self._hand is None:
            return
        for path in sorted(self._hand.glob("*.json")):
            try:
                wish = json.loads(path.read_text(encoding="utf-8"))
                self.bench.refill(wish["instrument"], float(wish["holds_ul"]))
            except (ValueError, KeyError, TypeError) as error:
                sys.stderr.write(f"{path}: refused: {error!r}\n")
                path.rename(path.with_suffix(".refused"))
            else:
                path.unlink()


def is_held(path: Path) -> bool:
    """Whether somebody holds an flock on this file. Looking takes it shared for some microseconds."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing: beside it first, then in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


class BenchServed(Exception):
    """Another process serves this kept bench already."""


def _take(path: Path) -> int:
    """Hold the lock of a kept bench until the descriptor is closed. Raises BenchServed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until_s = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                os.close(descriptor)
                raise BenchServed(f"{path} is held: another process serves this bench") from None
            time.sleep(0.01)
        else:
            return descriptor


def _follow(lock: int, links: str) -> None:
    """Clear away the links of the last who held this lock (it was killed, or they are gone), and write ours down."""
    former = Path(os.pread(lock, 4096, 0).decode(errors="replace"))
    if former.name.startswith(LINKS) and former.is_dir() and not former.is_symlink():
        for link in former.iterdir():
            if link.is_symlink():
                link.unlink(missing_ok=True)
        with suppress(OSError):  # something of somebody's lies in it: not ours to take
            former.rmdir()
    os.ftruncate(lock, 0)
    os.pwrite(lock, links.encode(), 0)


class _Signals:
    """SIGTERM and SIGINT as words: which one, and who sent it, where the system tells (Linux, in the main thread)."""

    NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._came: list[int] = []

    def __enter__(self) -> "_Signals":
        # Blocked here, a signal may still reach a thread of numpy's: that one finds the handler.
        self._handlers = {number: signal.signal(number, lambda n, _: self._came.append(n)) for number in self.NUMBERS}
        if hasattr(signal, "sigtimedwait"):
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self.NUMBERS)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "sigtimedwait"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)
        for number, former in self._handlers.items():
            signal.signal(number, former)

    def __call__(self) -> str:
        """What came since the last call; empty: nothing."""
        came = signal.sigtimedwait(self.NUMBERS, 0) if hasattr(signal, "sigtimedwait") else None
        if came:
            return f"{signal.Signals(came.si_signo).name} from {_process(came.si_pid)}"
        return signal.Signals(self._came[0]).name if self._came else ""


def _process(pid: int) -> str:
    """A process in words, for whoever asks later who it was."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = "gone already"
    return f"process {pid} ({command[:200]})"


def serve(plan: Mapping[str, Any], on_ready: Callable[[Server], None] | None = None) -> str:
    """Serve until SIGTERM or SIGINT; why it ended. ``on_ready`` is called before the first turn.

    Raises ValueError for the plan, BenchServed while another process serves the same kept bench.
    """
    with _Signals() as signals:  # first: a thread of ZMQ's that has not come to run yet hears what its maker hears
        server = Server(plan)
        if on_ready is not None:
            on_ready(server)
        server.run(signals)
    return server.why_ended


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m labloop.simulation.serve", description="Serve a simulated bench.")
    parser.add_argument("plan", type=Path)
    plan = json.loads(parser.parse_args(arguments).plan.read_text(encoding="utf-8"))
    try:
        why = serve(plan)
    except BenchServed as served:
        sys.stderr.write(f"{_now()} process {os.getpid()} gives way: {served}\n")
        return 0
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stderr.write(f"{_now()} process {os.getpid()} served until: {why}\n")
    return 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    sys.exit(main())
