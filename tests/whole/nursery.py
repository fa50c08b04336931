"""Runners in lock step with a bench that outlives them: ``python nursery.py DESCRIPTOR``.

The bench, its clock and its ledger live in the process that started this one (see lockstep). This one is warm: it has
everything imported, and forks a runner for each order that comes with a socket to the bench. The runner is labloop's
own, put together from other parts: lines that end in that socket, a planner in its own process, and a journal that
says, after each commit and before it goes on, that it has committed. It waits for an answer each time, so that who
has the other end of the socket may kill it at a point of their choosing.

Orders and answers are JSON. Order: {"campaign": ..., "run": ..., "seed", "trials", "mode"} or {"resume": folder, "by",
"as_it_is": why}, with the socket's descriptor beside it. Answer, when the runner is gone: {"pid"} first, then {"code"}
(below 0: the signal).
"""

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from labloop.bench import InProcessLink, InProcessMessageLink, Port, declare
from labloop.campaign.spec import read_lab, read_spec
from labloop.journal.store import Journal
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.connect import Bench
from labloop.runner.parts import Parts
from labloop.runner.sources import sources

LONGEST = 1 << 20


class Wire:
    """Questions to the bench's process, each answered before anything else is done."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.clock: Any = None

    def ask(self, *question: Any) -> Any:
        """Say it and wait. The bench's process may kill this one instead of answering."""
        now_s = self.clock.now_s() if self.clock is not None else 0.0
        self.end.send(msgspec.msgpack.encode((now_s, *question)))
        answer = self.end.recv(LONGEST)
        if not answer:
            os._exit(17)  # the bench is gone: nobody is left to be in step with
        return msgspec.msgpack.decode(answer)


class RemoteLine:
    """A simulated line at the other end of the socket. ``due`` is what the last answer said."""

    def __init__(self, wire: Wire, port: str) -> None:
        self._wire, self._port = wire, port
        self._due_s: float | None = None
        self.unplugged_until_s = float("-inf")

    def due(self, now_s: float) -> float | None:
        return self._due_s

    def _ask(self, *said: Any) -> Any:
        answer, self._due_s, unplugged_until_s = self._wire.ask("line", self._port, *said)
        self.unplugged_until_s = float("-inf") if unplugged_until_s is None else unplugged_until_s
        return answer


class RemoteSerialLine(RemoteLine):
    """Bytes in, bytes out."""

    def receive(self, data: bytes, now_s: float) -> bytes:
        heard: bytes = self._ask(data)
        return heard


class RemoteMessageLine(RemoteLine):
    """Messages in, messages out."""

    def receive(self, peer: bytes, frames: list[bytes], now_s: float) -> list[tuple[bytes, list[bytes]]]:
        return [(to, list(what)) for to, what in self._ask(peer, frames)]


@contextmanager
def remote_bench(wire: Wire, clock: Any) -> Iterator[Bench]:
    """The bench at the other end; this run's clock goes on where that one stands."""
    wire.clock = clock
    told = wire.ask("hello")
    clock.advance_to(told["now_s"])

    def connect(address: str) -> Port:
        if told["lines"][address] == "serial":
            return Port(InProcessLink(address, RemoteSerialLine(wire, address), clock), inline=True)
        return Port(InProcessMessageLink(address, RemoteMessageLine(wire, address), clock), inline=True)

    yield Bench(connect=connect)
    wire.ask("goodbye")


def run(order: dict[str, Any], end: socket.socket) -> int:
    """What a runner does, from its order to its exit code."""
    wire = Wire(end)
    committed = Journal._commit

    def commit(journal: Journal, rows: Any) -> None:
        committed(journal, rows)
        wire.ask("commit", journal.path.name if journal.path else "", [row.type.decode() for row in rows])

    Journal._commit = commit  # type: ignore[method-assign]
    parts = Parts(
        planner=lambda spec, folder: InlinePlanner(spec, folder),
        bench=lambda folder, lab, opened, clock: remote_bench(wire, clock),
    )
    if "resume" in order:
        why = order.get("as_it_is", "")
        return session.resume(
            Path(order["resume"]), parts=parts, by=order.get("by", ""), as_it_is=bool(why), why=why
        )  # fmt: skip
    wanted = session.Order(
        campaign=Path(order["campaign"]), run=Path(order["run"]), virtual=True, seed=order.get("seed"),
        trials=order.get("trials"),
    )  # fmt: skip
    return session.begin(wanted, parts=parts)


def warm(campaign: Path) -> None:
    """Read and import here what every runner would else read and import for itself."""
    spec = read_spec(campaign)
    assert spec.lab is not None
    lab = read_lab(spec.lab)
    sources(lab, simulators=True)
    declare(lab)


def main() -> None:
    """Fork a runner for each order, one after the other, until the other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST, 1)
        if not message:
            return
        order = json.loads(message)
        if "campaign" in order:
            warm(Path(order["campaign"]))
        child = os.fork()
        if child == 0:
            control.close()
            signal.set_wakeup_fd(-1)
            code = 70
            try:
                code = run(order, socket.socket(fileno=descriptors[0]))
            except BaseException:  # noqa: BLE001  whatever it is, it must not run on in the nursery's own loop
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(descriptors[0])
        control.send(json.dumps({"pid": child}).encode())
        _, status = os.waitpid(child, 0)
        control.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())


if __name__ == "__main__":
    import labloop.planner.planner  # noqa: F401  torch once, not in each runner

    main()
