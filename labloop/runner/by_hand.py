"""A bench without a campaign: who is there, what does it read, and one action by hand under the same limits.

An act by hand is a fact of the bench: ByHand before its first byte, ByHand again with what was achieved. On a bench
that a run holds, or to which a run still owes an answer, nothing is done by hand.
"""

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from msgspec import structs

from labloop.bench import (
    BenchError,
    InProcessLink,
    InProcessMessageLink,
    Permit,
    Port,
    SafetyError,
)
from labloop.bench.declared import declare
from labloop.bench.lab import Lab, connect_real, open_lab
from labloop.bench.safety import Envelope
from labloop.bench.station import Station
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.recipe import PlannedStep
from labloop.journal import StoreError
from labloop.simulation.bench import SimulatedBench

from .admission import Admission, OutOfStock, hand_step
from .answers import answered
from .answers import read_settings as read_values
from .benches import simulation_plan
from .beside import add_word
from .book import BY_HAND, DEAD, BenchBook
from .clock import VirtualClock, WallClock, utc_stamp
from .connect import fill_served
from .hand_act import HandAct
from .hand_watch import LOOK_S, HandWatch
from .lease import fenced
from .left_by_hand import finish, take_up
from .requests import empty, fitting, refill
from .signals import Heeded, Interrupted
from .sole import sole

LOG: Final = logging.getLogger("labloop.bench")
LOOK_THERE: Final = "Switch off there what should not be on."  # an abort reaches runs alone


@dataclass(slots=True, kw_only=True)
class Answer:
    """What one instrument said. ``error``: why it did not."""

    instrument: str
    kind: str
    address: str
    identity: Mapping[str, str] = field(default_factory=dict)
    readings: Mapping[str, e.Reading] = field(default_factory=dict)
    error: str = ""
    left: str = ""  # what became of an act by hand that was cut short here


@dataclass(slots=True, kw_only=True)
class HandBench:
    """An open lab, its limits, the clock to wait by, and the book of the bench, which nobody else has meanwhile."""

    spec: LabSpec
    lab: Lab
    envelope: Envelope
    live: bool
    clock: WallClock | VirtualClock
    book: BenchBook

    def wait(self, seconds: float) -> None:
        """Let so many of the bench's seconds pass."""
        if isinstance(self.clock, VirtualClock):
            self.clock.advance_to(self.clock.now_s() + seconds)
        else:
            time.sleep(seconds / self.clock.speed)


@contextmanager
def hand_bench(spec: LabSpec, *, live: bool, looks: bool = False, person: str = "") -> Iterator[HandBench]:
    """Take a bench, so that nobody else writes to its instruments, and open its lab: its real ports, or its simulators
    in this process. At the end its lines are closed, and it is given back.

    First the bench and then its ports: a run that begins right then is told who has the bench, and none of its ports is
    in use. ``looks``: nothing will be done with it. ``person``: who takes it.

    Raises SpecError for the file, StoreLocked (a run holds the bench), BenchOwes, LinkError for a port that does not
    open.
    """
    envelope = Envelope(spec, None, declare(spec))
    with ExitStack() as stack:
        book = stack.enter_context(taken(spec, live=live, looks=looks, person=person))
        if live:
            clock: WallClock | VirtualClock = WallClock(spec.speed if spec.simulated else 1.0)
            lab = open_lab(spec, fenced(partial(connect_real, folder=spec.folder), book.lease))
        else:
            clock = VirtualClock()
            lab = _simulated(spec, clock, stack)
        stack.callback(lab.close)
        yield HandBench(spec=spec, lab=lab, envelope=envelope, live=live, clock=clock, book=book)


def ask_all(bench: HandBench, name: str | None = None) -> list[Answer]:
    """Identify and read every instrument (or the one called ``name``), setting nothing; failures beside their names.

    An alarm is told once, to whoever asks first: so nobody is asked while a run has the bench, or was killed there and
    is to ask first: ``hand_bench`` refuses that.
    """
    with in_hand(bench) as (book, _):
        ended = take_up(bench.lab, book, looks=True)
        left = {fact.instrument: f"{_whose(fact)}: {fact.failed or 'done'}" for fact in ended}
        for fact in book.state.begun.values():
            left[fact.instrument] = (
                f"{_whose(fact)}: it still runs, or nobody can tell what became of it; the next act by hand stops it. "
                f"{DEAD.format(fact.instrument)}"
            )
        answers = [_asked(bench, station) for one, station in bench.lab.instruments.items() if name in (None, one)]
        for open_yet in book.state.begun.keys() & bench.lab.instruments.keys():
            driver = bench.lab.instruments[open_yet].driver
            for kind, said in ((e.ActTaken, driver.taken), (e.AlarmHeard, driver.alarm)):
                if said:  # told to us, and whoever ends it must know
                    book.record(kind(instrument=open_yet, said=said))
    for answer in answers:
        answer.left = left.get(answer.instrument, "")
    return answers


def _whose(fact: e.ByHand) -> str:
    return f"{fact.action} by {fact.by} was left alone"


def _asked(bench: HandBench, station: Station) -> Answer:
    address = bench.spec.instruments[station.name].port or ""
    answer = Answer(instrument=station.name, kind=station.declaration.kind, address=address)
    try:
        identity = station.port.submit(station.identify_first).result()
        answer.identity = {"model": identity.model, "firmware": identity.firmware, "serial": identity.serial}
        answer.readings = station.port.submit(station.driver.read).result()
    except BenchError as error:
        answer.error = str(error)
    return answer


def read_settings(written: list[str]) -> dict[str, e.Amount]:
    """``rate=10 uL/min`` as settings of an action. Raises SpecError."""
    given: dict[str, str] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise SpecError(f"{one!r}: write settings as name=value, like 'rate=10 uL/min'")
        if name.strip() in given:
            raise SpecError(f"{name.strip()} is given twice, as {given[name.strip()]} and {value.strip()}. Write one")
        given[name.strip()] = value.strip()
    return read_values(given)


def act(
    bench: HandBench, name: str, action: str, settings: Mapping[str, e.Amount], by: str, why: str = ""
) -> e.ByHand:  # fmt: skip
    """Do one action on one instrument, to its end; the fact that says what came of it.

    Raises SpecError (nothing was sent), BenchError, Interrupted.
    """
    begun = wish(bench, name, action, settings, by + (f": {why}" if why else ""))
    with in_hand(bench) as (book, admission):
        return do(bench, book, admission, begun)


def do(bench: HandBench, book: BenchBook, admission: Admission, begun: e.ByHand, *, stop: bool = False) -> e.ByHand:
    """The same on a bench that is in hand. ``stop``: stop the instrument then; one that is at something is left alone.
    Raises as ``act`` does.

    Whatever else is raised, a driver's own mistake too: the bench was made safe, and the act's end is in its book.
    """
    name = begun.instrument
    station = bench.lab.instruments[name]
    with Heeded() as signals:
        with signals.at_once():
            if take_up(bench.lab, book):
                admission.after_others(utc_stamp())
            bench.lab.open()
            if stop and (at_work := station.port.submit(station.driver.at_work).result()):
                return structs.replace(begun, failed=f"{name} was left alone: {at_work}")
            watch = HandWatch(bench.lab, admission, bench.clock, name)
            ends = station.actions[begun.action].stops  # what is broken already is no reason to leave it on
            permit = permitted(begun, admission, None if ends else watch)
            station.limit(bench.envelope.fixed(name))
            try:
                bench.lab.configure(name)
            finally:  # what it changed for good stays changed, whatever became of the rest
                note_changed(book, station)
        admission.tell(hand_step(begun, bench.clock.now_s()))
        under_way = HandAct(
            station, admission, begun, permit, write=book.record, make_safe=lambda why: bench.lab.safe()
        )  # fmt: skip
        watch.told = under_way.tell
        try:
            try:
                with signals.at_once():
                    watch.returned(under_way.call, judged=not ends)
                    while (ended := under_way.turn()) is None:
                        watch.returned(under_way.call, judged=not ends)
                        under_way.tell()  # what was told once, before anybody asks anything else
                        bench.wait(min(max(under_way.due_s - bench.clock.now_s(), 0.0), LOOK_S))
                        if not ends:
                            watch.look()
            except BaseException as error:
                ended = under_way.fail(str(error) if isinstance(error, (BenchError, Interrupted)) else repr(error))
                finish(bench.lab.declared, book, ended)
                if isinstance(error, Interrupted):
                    raise Interrupted(f"{name}.{begun.action}: {ended.failed}") from error
                if not isinstance(error, BenchError):
                    raise
            else:
                finish(bench.lab.declared, book, ended)
        except StoreError as error:  # its end cannot be written down: nothing stays on of which the book does not know
            add_word(error, bench.lab.safe(), LOOK_THERE)
            raise
        if stop:
            station.port.submit(station.driver.stop).result()
    return ended


def note_changed(book: BenchBook, station: Station) -> None:
    """Note, in the bench's journal too, what setting it up has changed for longer than until it is switched off."""
    if said := station.driver.changed():
        book.record(e.NoteTaken(text=f"{station.name} was set up: {said}"))
        LOG.warning("%s was set up: %s", station.name, said)


def wish(
    bench: HandBench, name: str, action: str, settings: Mapping[str, e.Amount], by: str, act: str = ""
) -> e.ByHand:
    """The fact of an act that is to begin, once its settings are inside the limits. Raises SpecError."""
    if outside := bench.envelope.complaints(name, action, settings, unread=False):
        raise SpecError(" ".join(outside))
    act = act or f"hand-{secrets.token_hex(8)}"
    return e.ByHand(act=act, instrument=name, action=action, settings=dict(settings), by=by)


def say_there(lab: LabSpec, verb: str, said: Sequence[str], by: str, why: str) -> str:
    """Note what a stock (``refill``: NAME AMOUNT) or a total (``empty``: NAME [AMOUNT]) of a real bench holds now, as a
    person says; in words. No instrument is asked.

    Raises SpecError for what the lab does not have, StoreLocked, BenchOwes.
    """
    declared = declare(lab)
    wish = e.Requested(id=f"hand-{secrets.token_hex(8)}", request=verb, arguments=list(said), by=by, why=why)
    says = answered(
        lambda: fitting(
            refill(wish) if verb == "refill" else empty(wish), lab, lab.totals,
            lambda name, action: declared[name].actions[action],
        )
    )  # fmt: skip
    if not says.accepted:
        raise SpecError(says.message)
    with taken(lab, live=True, looks=True, person=by) as book:
        book.record(*says.stock, *says.totals)
    for stock in says.stock:
        fill_served(lab, stock.name, stock.amount)
    return says.message


@contextmanager
def in_hand(bench: HandBench) -> Iterator[tuple[BenchBook, Admission]]:
    """The bench's book, and who lets an act begin; at the end the lines are closed."""
    admission = Admission(bench.envelope, bench.clock, bench.book)
    admission.after_others()
    bench.lab.beyond = partial(admission.kept_beyond, bench.spec)
    try:
        yield bench.book, admission
    finally:
        bench.lab.close()  # while the bench is ours still: a goodbye may end what watches over an instrument


@contextmanager
def taken(spec: LabSpec, *, live: bool, looks: bool = False, person: str = "") -> Iterator[BenchBook]:
    """The book of a bench that nobody else has meanwhile, nor its devices under another lab file.

    Raises StoreLocked (a run holds it), BenchOwes.
    """
    at = (spec.name, utc_stamp)
    with ExitStack() as stack:
        book = stack.enter_context(closing(BenchBook.open(spec.folder, *at) if live else BenchBook.memory(*at)))
        if live:
            stack.enter_context(sole(spec))
        stock = {name: e.Amount(one.stock.value, one.stock.unit) for name, one in spec.instruments.items() if one.stock}
        mode = "live" if live else "simulated"
        book.take_lease(BY_HAND, mode, stock, by=BY_HAND, looks=looks, person=person)
        broken: tuple[type[StoreError], ...] = ()
        try:
            yield book
        except StoreError:
            broken = (StoreError,)  # what the store met first says more than what it meets now
            raise
        finally:
            with suppress(*broken):
                book.release_lease(BY_HAND, {})


def permitted(begun: e.ByHand, admission: Admission, watch: HandWatch | None = None) -> Permit:
    """What the gate says of an act, with everything measured that it asks for (``watch``: read it now).

    Raises SpecError: nothing was sent.
    """
    step = PlannedStep(instrument=begun.instrument, action=begun.action, settings=begun.settings)
    try:
        if watch is not None:
            watch.read_all()
        admission.stage([step], None)
        return admission.permit(step, None)
    except (SafetyError, OutOfStock) as error:
        raise SpecError(f"{error} Nothing was sent.") from error


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
