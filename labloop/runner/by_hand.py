"""A bench without a campaign: who is there, what does it read, and one action by hand under the same limits.

An act by hand is a fact of the bench: ByHand before its first byte, ByHand again with what was achieved. On a bench
that a run holds, or to which a run still owes an answer, nothing is done by hand.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from labloop.bench import (
    BenchError,
    InProcessLink,
    InProcessMessageLink,
    InstrumentFault,
    Permit,
    Port,
    SafetyError,
    Verdict,
)
from labloop.bench.declared import declare
from labloop.bench.lab import Lab, Station, open_lab
from labloop.bench.safety import Envelope
from labloop.bench.totals import nothing
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.recipe import PlannedStep
from labloop.campaign.units import parse_quantity
from labloop.simulation.bench import SimulatedBench

from .admission import Admission, OutOfStock
from .benches import simulation_plan
from .book import BY_HAND, BenchBook
from .clock import VirtualClock, WallClock, utc_stamp
from .hand_watch import LOOK_S, HandWatch
from .lease import fence

# How long an action may last beyond twice its expected time, in the instrument's own seconds, as in a run.
GRACE_S: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Answer:
    """What one instrument said. ``error``: why it did not."""

    instrument: str
    kind: str
    address: str
    identity: Mapping[str, str] = field(default_factory=dict)
    readings: Mapping[str, e.Reading] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True, kw_only=True)
class HandBench:
    """An open lab, its limits, and the clock to wait by."""

    spec: LabSpec
    lab: Lab
    envelope: Envelope
    live: bool
    clock: WallClock | VirtualClock

    def wait(self, seconds: float) -> None:
        """Let so many of the bench's seconds pass."""
        if isinstance(self.clock, VirtualClock):
            self.clock.advance_to(self.clock.now_s() + seconds)
        else:
            time.sleep(seconds / self.clock.speed)


@contextmanager
def hand_bench(spec: LabSpec, *, live: bool) -> Iterator[HandBench]:
    """Open a lab: its real ports, or its simulators in this process.

    Raises SpecError for the file, LinkError for a port that does not open.
    """
    envelope = Envelope(spec, None, declare(spec))
    with ExitStack() as stack:
        if live:
            clock: WallClock | VirtualClock = WallClock(spec.speed if spec.simulated else 1.0)
            lab = open_lab(spec)
        else:
            clock = VirtualClock()
            lab = _simulated(spec, clock, stack)
        stack.callback(lab.close)
        yield HandBench(spec=spec, lab=lab, envelope=envelope, live=live, clock=clock)


def ask_all(bench: HandBench, name: str | None = None) -> list[Answer]:
    """Identify and read every instrument (or the one called ``name``), setting nothing; failures beside their names."""
    answers = []
    for one, station in bench.lab.instruments.items():
        if name not in (None, one):
            continue
        answer = Answer(instrument=one, kind=station.declaration.kind, address=bench.spec.instruments[one].port or "")
        answers.append(answer)
        try:
            identity = station.port.submit(station.driver.open).result()
            answer.identity = {
                "model": identity.model, "firmware": identity.firmware, "serial": identity.serial
            }  # fmt: skip
            answer.readings = station.port.submit(station.driver.read).result()
        except BenchError as error:
            answer.error = str(error)
    return answers


def read_settings(written: list[str]) -> dict[str, e.Amount]:
    """``rate=10 uL/min`` as settings of an action. Raises SpecError."""
    settings: dict[str, e.Amount] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise SpecError(f"{one!r}: write settings as name=value, like 'rate=10 uL/min'")
        try:
            quantity = parse_quantity(value.strip())
        except SpecError:
            settings[name.strip()] = e.Amount(value.strip())  # a word; the action says whether it knows it
        else:
            settings[name.strip()] = e.Amount(quantity.value, quantity.unit)
    return settings


def act(bench: HandBench, name: str, action: str, settings: Mapping[str, e.Amount], by: str) -> e.ByHand:
    """Do one action on one instrument, to its end; the fact that says what came of it.

    Raises SpecError (nothing was sent), StoreLocked (a run holds the bench), BenchOwes, BenchError.
    """
    try:
        bench.envelope.check(name, action, settings)
    except SafetyError as error:
        raise SpecError(str(error)) from error
    station = bench.lab.instruments[name]
    mode = "live" if bench.live else "simulated"
    book = (
        BenchBook.open(bench.spec.folder, bench.spec.name, utc_stamp)
        if bench.live
        else BenchBook.memory(bench.spec.name, utc_stamp)
    )
    begun = e.ByHand(act=f"hand-{secrets.token_hex(8)}", instrument=name, action=action, settings=dict(settings), by=by)
    try:
        stock = {one: e.Amount(i.stock.value, i.stock.unit) for one, i in bench.spec.instruments.items() if i.stock}
        book.take_lease(BY_HAND, mode, stock, by=BY_HAND)
        for port in bench.lab.ports.values():
            fence(port, book.lease)
        admission = Admission(bench.envelope, bench.clock, book)
        admission.after_others()
        bench.lab.open()
        watch = HandWatch(bench.lab, admission, bench.clock, name)
        permit = _permit(begun, admission, watch)
        station.limit(bench.envelope.fixed(name))
        station.port.submit(station.driver.configure).result()
        before = station.port.submit(station.driver.counters).result()
        book.record(begun)
        ended = _do(bench, begun, permit, admission, watch, before)
        book.record(ended)
        _draw(book, bench, ended)
        book.release_lease(BY_HAND, {})
    finally:
        book.close()
    return ended


def _permit(begun: e.ByHand, admission: Admission, watch: HandWatch) -> Permit:
    """What the gate says of it, with everything measured that it asks for. Raises SpecError: nothing was sent."""
    step = PlannedStep(instrument=begun.instrument, action=begun.action, settings=begun.settings)
    try:
        watch.read_all()
        admission.stage([step], None)
        return admission.permit(step, None)
    except (SafetyError, OutOfStock) as error:
        raise SpecError(f"{error} Nothing was sent.") from error


def _do(
    bench: HandBench, begun: e.ByHand, permit: Permit, admission: Admission, watch: HandWatch,
    before: Mapping[str, e.Amount],
) -> e.ByHand:  # fmt: skip
    station = bench.lab.instruments[begun.instrument]
    achieved: Mapping[str, e.Amount] = {}
    failed = ""
    try:
        station.port.submit(partial(station.begin, permit, begun.act)).result()
        began_s = bench.clock.now_s()
        limit_s = 2.0 * station.declaration.expected(begun.action, permit.values).duration_s + GRACE_S
        while True:
            elapsed_s = bench.clock.now_s() - began_s
            look = station.port.submit(partial(station.driver.progress, elapsed_s)).result()
            achieved = look.achieved
            admission.see(begun.instrument, look.readings)
            if look.done:
                break
            if elapsed_s > limit_s:
                raise InstrumentFault(f"{begun.instrument}.{begun.action} had not ended after {limit_s:.0f} s")
            bench.wait(min(look.again_in_s, LOOK_S))
            watch.look()
    except (BenchError, KeyboardInterrupt) as error:
        failed = str(error) or "interrupted"
        failed = "; ".join([failed, *bench.lab.safe()])
        achieved = _came_to(station, begun, before)
    return e.ByHand(
        act=begun.act, instrument=begun.instrument, action=begun.action, settings=begun.settings,
        achieved=dict(achieved), done=not failed, failed=failed, by=begun.by,
    )  # fmt: skip


def _came_to(station: Station, begun: e.ByHand, before: Mapping[str, e.Amount]) -> Mapping[str, e.Amount]:
    """What an act that broke off has moved, by the instrument's own counters; nothing where they cannot tell."""
    happened = station.driver.happened
    try:
        verdict: Verdict = station.port.submit(
            partial(happened, begun.action, begun.settings, before, begun.act)
        ).result()
    except BenchError:
        return {}  # the cable is out: an amount that is not known counts in full
    return nothing(station.actions[begun.action]) if verdict.state == "not_begun" else verdict.achieved


def _draw(book: BenchBook, bench: HandBench, ended: e.ByHand) -> None:
    action = bench.lab.instruments[ended.instrument].actions[ended.action]
    taken = ended.achieved.get(action.amount) if action.amount else None
    if taken is not None and action.act and not action.fills:
        book.draw(ended.instrument, taken, ended.act)


def _simulated(spec: LabSpec, clock: VirtualClock, stack: ExitStack) -> Lab:
    try:
        devices = SimulatedBench(simulation_plan(spec), clock)
    except ValueError as error:
        raise SpecError(f"{spec.folder}: {error}") from error
    stack.callback(devices.close)

    def connect(address: str) -> Port:
        if address not in devices.lines:
            raise SpecError(f"nothing simulates the port {address}. Give its instruments a simulator, or add --live")
        line = devices.lines[address]
        link = InProcessLink if line.kind == "serial" else InProcessMessageLink
        return Port(link(address, line, clock), inline=True)

    return open_lab(spec, connect)
