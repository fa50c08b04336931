"""`labloop serve`: a bench's instruments on a port of LECO, until somebody ends it."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from labloop.bench import LeaseLost
from labloop.bench.leco_node import Node
from labloop.bench.leco_server import NodeServer
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.journal import StoreError

from .beside import add_word
from .by_hand import LOOK_THERE, HandBench, hand_bench, in_hand
from .clock import VirtualClock
from .served import ServedBench
from .signals import Interrupted

# Whether the bench is still ours is also asked before each write; this is for a service that nobody asks anything.
LEASE_S: Final = 1.0
NOT_SAFE: Final = "the service has ended, and the bench is not in its safe state:"


def serve_bench(
    spec: LabSpec, *, live: bool, node: str, host: str, port: int, own_key: Path | None, allow: Path | None,
    read_only: bool, ended: Callable[[], str], said: Callable[[str], None], by: str = "",
    at_once: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> list[str]:  # fmt: skip
    """Serve until ``ended`` says why; what went wrong on the way to the safe state, as the bench's journal notes it
    too. ``said``: what a person reads.

    ``by``: who serves. ``at_once``: within, the service is made ready, and what ends it raises Interrupted.

    Raises SpecError (beyond this machine without keys, too), StoreLocked, BenchOwes, BenchError, LeaseLost.
    """
    if not node or "." in node or not node.isprintable():
        raise SpecError(f"--node {node!r}: a node's name has no dots and is not empty")
    # The door first: what may not be reached is refused before a port is opened.
    started = Node(node)
    server = NodeServer(started, host=host, port=port, own_key=own_key, allow=allow)
    try:
        with hand_bench(spec, live=live, person=by) as bench, in_hand(bench) as (book, admission):
            why = "the service broke down"
            try:
                try:
                    with at_once():
                        served = ServedBench(bench, book, admission, read_only=read_only)
                except Interrupted:  # a driver may not return from its first call
                    errors = bench.lab.safe()
                else:
                    started.take(served.actors)
                    said(f"{spec.name}: {len(served.actors)} actors of node {node} at {server.address}")
                    try:
                        why = _serve(bench, served, server, ended, said)
                    finally:
                        errors = served.end(why)
                if errors:
                    book.record(e.NoteTaken(text=f"{NOT_SAFE} {'; '.join(errors)}"))
            except StoreError as error:
                add_word(error, bench.lab.not_safe, LOOK_THERE)
                raise
    finally:
        server.close()
    return errors


def _serve(
    bench: HandBench, served: ServedBench, server: NodeServer, ended: Callable[[], str], said: Callable[[str], None]
) -> str:
    began_s, looked_s = time.monotonic(), time.monotonic()
    while not (why := ended()):
        now_s = time.monotonic()
        if isinstance(bench.clock, VirtualClock):
            bench.clock.advance_to(now_s - began_s)
        served.turn()
        for line in server.turn(served.wait_s()):
            said(line)
        if now_s - looked_s > LEASE_S:
            looked_s = now_s
            if not served.holds():
                raise LeaseLost("the bench was taken by somebody else; the service ends")
    return why
