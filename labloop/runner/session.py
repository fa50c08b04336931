"""One run put together: the only file that knows mind, memory and hands at once.

begin:  read the files, check them, make the run's folder, write the first fact, run
resume: read the folder, fold the facts, take clock, bench and planner up where they were, run

Whatever happens, what was opened is closed in reverse order, and the exit code says how it ended.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from labloop import __version__
from labloop.bench import BenchError, Envelope, Lab, open_lab
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.holds import others_hold, released
from labloop.campaign.spec import CampaignSpec, LabSpec
from labloop.campaign.text import in_shell
from labloop.journal import Blobs, Journal, Presence, StoreError, begun

from . import folder as run_files
from .amending import Amender
from .book import BenchBook
from .clock import Clock, WallClock
from .folder import Order, RunFolder, run_folder
from .guarding import Guarding
from .kept import former_specs, kept_spec, refuse_other_code
from .lease import FILE, fenced
from .left import unsafe
from .left_by_hand import take_up
from .look import BENCH, JOURNAL
from .loop import Loop
from .mark import untouched
from .meanwhile import by_others, refuse_stopped, still_left, told_if_refused
from .memory import RunMemory
from .notes import note_of, refuse_cut, refuse_lost, refuse_other
from .notifying import Notifying
from .parts import USUAL, Parts, unwatched_s
from .propose import Proposer
from .rest import Rest
from .seen_log import SEEN, SeenLog
from .signals import ending
from .sole import sole
from .sources import sources
from .step import StepHand
from .stock import StockKeeper
from .wire_log import WIRE, WireLog

__all__ = ["Order", "begin", "resume", "run_folder"]

Listener = Callable[[e.Record, s.CampaignState], None]
LOG: Final = logging.getLogger("labloop.run")
# What a dead runner leaves behind (its lock, a port that the kernel is still closing) is gone within this.
WAIT_S: Final = 10.0


def begin(
    order: Order, listen: Listener = lambda record, state: None, parts: Parts = USUAL, by: str = "", seen: int = 0
) -> int:  # fmt: skip
    """Run a campaign; in a folder that holds it already, resume it (``seen``: see there). Gives the exit code.

    Raises SpecError (nothing moved), StoreError, BenchOwes.
    """
    path = run_folder(order)
    if begun(path / "journal.db"):
        run_files.refuse_other(path, order)
        return resume(path, listen=listen, by=by, parts=parts, seen=seen)
    folder, spec, lab_spec, opened = run_files.create(order)
    return _run(folder, spec, lab_spec, listen, parts, opened=opened, trials=order.trials)


def resume(
    path: Path,
    trials: int | None = None,
    listen: Listener = lambda record, state: None,
    by: str = "",
    why: str = "",
    parts: Parts = USUAL,
    new_code: bool = False,
    force: bool = False,
    as_it_is: bool = False,
    seen: int = 0,
) -> int:
    """Go on with the run in ``path`` after any stop, crash, halt or end of budget. ``trials``: so many more.

    new_code: a person accepts that the drivers' code was changed. force: though another person paused it. as_it_is:
    a sample that stood on the bench while something was done by hand there may go on. The last two say ``why``. seen:
    how far the journal had come when a person said so (0: as far as now); who said stop since is not gainsaid.

    Raises StoreError, SpecError (a file or the code is another than when the run began, another person's pause, a
    sample that is to be asked about), StateError (nothing to resume), BenchOwes.
    """
    if (force or as_it_is) and not why:
        raise SpecError("--force and --as-it-is need a reason: --why TEXT")
    seen = seen or run_files.rows(path)
    folder, spec, lab_spec = run_files.read(path)
    more = e.BudgetExtended(trials=trials, by=by, why=why) if trials else None
    accept = e.RunStarted(by=by, why=why) if new_code else None
    return _run(
        folder, spec, lab_spec, listen, parts, more=more, accept=accept, by=by, force=why * force,
        kept=why * as_it_is, seen=seen,
    )  # fmt: skip


def _run(
    folder: RunFolder,
    spec: CampaignSpec,
    lab_spec: LabSpec,
    listen: Listener,
    parts: Parts,
    *,
    opened: e.CampaignOpened | None = None,
    trials: int | None = None,
    more: e.BudgetExtended | None = None,
    accept: e.RunStarted | None = None,
    by: str = "",
    force: str = "",
    kept: str = "",
    seen: int = 0,
) -> int:
    with ExitStack() as stack:
        presence = stack.enter_context(Presence(folder.path, wait_s=0.0 if opened else WAIT_S))
        stamp = _Stamp()
        if opened:
            journal = stack.enter_context(Journal.create(folder.path / "journal.db", stamp))
        else:
            journal = stack.enter_context(Journal.open(folder.path / "journal.db", stamp, wait_s=WAIT_S))
        stack.enter_context(_logged(folder.path / "log.jsonl"))
        state = s.fold(journal.records())
        if 0 < seen < state.seq:  # another runner had it while this one waited, and may have amended it
            refuse_stopped(folder.path, journal.records(seen))
            folder, spec, lab_spec = run_files.read(folder.path)
        facts = opened or state.opened
        if facts is None:
            raise StateError(f"{folder.path}: the journal holds no campaign; begin again in another folder")
        started = _started(folder, lab_spec, state, facts, accept)
        first: list[e.Fact] = [*_unheld(folder.path, state, by, force), *([more] if more else [])]
        clock = parts.clock(facts, state, presence.former)
        stamp.clock = clock
        started = msgspec.structs.replace(started, unwatched_s=unwatched_s(clock, state, presence.former))
        memory = RunMemory(
            journal, Blobs(folder.path / "blobs"), state, inbox=folder.path / "requests", now_s=clock.now_s
        )  # fmt: skip
        if isinstance(clock, WallClock):
            presence.also = lambda: {**clock.note(), "elapsed_s": clock.now_s() - state.unwatched_s}
        memory.listeners.append(lambda record: listen(record, memory.state))
        if opened:
            asked = []
            if trials is not None and trials != spec.budget.trials:
                asked = [e.BudgetExtended(trials=trials - (spec.budget.trials or 0), why=f"--trials {trials}")]
            memory.record(opened, *asked)  # in one commit: a crash in between would run another budget than was asked
        notifying = Notifying(folder.path, lab_spec, facts.mode)
        stack.callback(notifying.close)
        notifying.start(after=state.seq)
        spared = untouched(folder.path)  # now: the next guard has a mark of its own
        guarding = _guarding(folder, facts, memory)
        if guarding is not None:
            guarding.start()
            stack.callback(lambda: guarding.close(acts=memory.left_to_guard))
        planner = parts.planner(run_files.portable(spec), folder.path)
        stack.callback(planner.close)
        planner.send_facts(list(journal.records()))
        memory.listeners.append(lambda record: planner.send_facts([record]))
        with told_if_refused(memory):
            book = stack.enter_context(_lease(folder, lab_spec, facts, stamp, memory, by, spared))
        memory.book = book
        accepted = _accepted(state, by, force, kept)
        first += accepted  # with it nothing is compared any more
        first += [] if accepted else still_left(
            book, folder.name, journal.records(), state, round(clock.now_s(), 6)
        )  # fmt: skip
        first += by_others(book, folder.name, folder.path, journal.records(), state, by, kept, bool(accepted))
        try:
            return _drive(
                stack, folder, spec, lab_spec, facts, started, first, clock, memory, planner, presence, book, guarding,
                parts,
            )  # fmt: skip
        except BenchError as error:  # a port that is not there, or is somebody else's: nothing has moved
            memory.record(e.CampaignStopped(reason=str(error), exit_code=3))
            return 3
        except StoreError:
            LOG.exception("the store failed")
            raise


def _drive(
    stack: ExitStack, folder: RunFolder, spec: CampaignSpec, lab_spec: LabSpec, opened: e.CampaignOpened,
    started: e.RunStarted, first: Sequence[e.Fact], clock: Clock, memory: RunMemory, planner: Any,
    presence: Presence, book: BenchBook, guarding: Guarding | None, parts: Parts,
) -> int:  # fmt: skip
    gap_s = clock.now_s() - memory.state.t_s if clock.virtual else (presence.idle_s or 0.0) * clock.speed
    acted = book.guarded(folder.name, memory.state.guard_epoch)
    memory.record(*first, msgspec.structs.replace(started, t_s=round(clock.now_s(), 6)), *acted)
    bench = stack.enter_context(parts.bench(folder, lab_spec, opened, clock))
    memory.before_commit, memory.fill = bench.save, bench.fill
    envelope = Envelope(lab_spec, spec)
    # What an instrument holds by itself is set up once, for the bench; a campaign's narrower wish is the envelope's.
    bench_alone = Envelope(lab_spec, None, envelope.declared)

    def tick(*logs: WireLog | SeenLog) -> None:
        presence.beat(instruments=memory.state.instruments)
        if guarding is not None:
            guarding.look()
        for log in logs:
            log.look()

    async def asked() -> None:
        memory.asked_after = True
        await asyncio.sleep(0)  # what went on by itself is under control first
        planner.start()  # warming up takes the processor for seconds
        if guarding is not None:
            await guarding.ready()

    async def main(lab: Lab, gap_s: float, *logs: WireLog | SeenLog) -> tuple[int, bool, Callable[[], None]]:
        hand = StepHand(
            lab.instruments, envelope, memory, clock, spec.teaches, book, lab_spec.on_lost, lab.on_line
        )  # fmt: skip
        for name, station in lab.instruments.items():
            station.limit(bench_alone.fixed(name))
        hand.admission.catch_up(memory.journal.records(), memory.state)
        hand.admission.seen = seen.hear
        lab.beyond = partial(hand.admission.kept_beyond, lab_spec)
        memory.listeners.append(hand.admission.apply)
        keeper = StockKeeper(book, lab.instruments, memory, hand.admission.totals)
        keeper.catch_up()
        memory.listeners.append(keeper.count)
        now = kept_spec(folder.path, memory.state) if memory.state.amendments else spec
        proposer = Proposer(now, planner, clock, former_specs(folder.path, memory.state))
        loop = Loop(
            spec=now, pipelined=lab_spec.pipelined, lab=lab, hand=hand, memory=memory, proposer=proposer,
            tick=lambda: tick(*logs),
            gap_s=gap_s, opened=asked, run=folder.name,
        )  # fmt: skip
        loop.lookout.amender = Amender(
            memory, folder.path, lab_spec, clock.now_s, loop.amend, at_once=clock.virtual
        )  # fmt: skip
        with _signals(loop):
            return await loop.run(), loop.rests, loop.lookout.last_words

    async def rest() -> int | None:
        now = kept_spec(folder.path, memory.state) if memory.state.amendments else spec
        resting = Rest(now, lab_spec, envelope.action, memory, clock.now_s, tick)
        resting.lookout.amender = Amender(memory, folder.path, lab_spec, clock.now_s, resting.amend)
        with _signals(resting):
            return await resting.run()

    listeners, seen = list(memory.listeners), SeenLog(folder.path / SEEN)
    while True:
        lab = open_lab(lab_spec, fenced(bench.connect, book.lease))
        with ExitStack() as until_rest:
            until_rest.callback(_let_go, lab, memory)
            take_up(lab, book)  # what was done by hand when an earlier runner was killed
            logs = () if clock.virtual else (WireLog(folder.path / WIRE, lab), seen)
            for log in logs:
                until_rest.callback(log.write)
            code, rests, last_words = clock.run(main(lab, gap_s, *logs))
        if rests and memory.left_to_guard:  # it acts when this process is gone
            memory.record(e.CampaignStopped(reason=f"it cannot rest: {lab.hanging[0]}", exit_code=3))
            code, rests = 3, False
        if not rests:
            last_words()  # lines that do not answer take their time to be closed as well
            return code
        memory.listeners, memory.on_failed = list(listeners), lambda error: None
        since_s = clock.now_s()
        ended = clock.run(rest())
        if ended is not None:
            return ended
        gap_s = clock.now_s() - since_s
        memory.record(e.RunStarted(resumed=True, rested=True, t_s=round(clock.now_s(), 6)))


def _let_go(lab: Lab, memory: RunMemory) -> None:
    """Close the lab. Where a driver does not return and was not stopped, the bench is left to the guard.

    Its line is free once this process has ended; until then nobody could make it safe.
    """
    lab.close()
    memory.left_to_guard = bool(lab.hanging) and unsafe(memory.state)
    for why in lab.hanging:
        LOG.error("%s", why)
        memory.record(e.NoteTaken(text=f"{why}{'; its guard makes the bench safe' if memory.left_to_guard else ''}"))


def _started(
    folder: RunFolder, lab_spec: LabSpec, state: s.CampaignState, opened: e.CampaignOpened, accept: e.RunStarted | None
) -> e.RunStarted:
    """The fact that this runner takes the run up. Raises SpecError for changed code that nobody has accepted."""
    again, version, code = bool(state.runs), "", {}
    if state.opened and state.code:
        version = "" if opened.version == __version__ else __version__
        now = sources(lab_spec, simulators=opened.mode != "live")
        if accept is None:
            refuse_other_code(folder.path, state.code, now)
        else:
            blobs = Blobs(folder.path / "blobs")
            code = {name: blobs.put(data) for name, data in now.items()}
            code = {} if code == state.code else code
    by, why = (accept.by, accept.why) if accept and code else ("", "")
    return e.RunStarted(resumed=again, version=version, code=code, by=by, why=why)


def _unheld(path: Path, state: s.CampaignState, by: str, force: str) -> list[e.HoldReleased]:
    """The holds that end here. Raises SpecError for another person's, unless by force with a reason (``force``)."""
    others = others_hold(state, by)
    if others and not force:
        raise SpecError(
            f"{others}, and has not said resume since: that is theirs to say. If they cannot: `labloop resume "
            f"{in_shell(path)} --force --why TEXT`"
        )
    return released(state, by, force)


def _accepted(state: s.CampaignState, by: str, force: str, kept: str) -> list[e.MovedAccepted]:
    """A person's word on what was moved, and asked about, or done by hand, in a pause in which the run ended."""
    why = kept or ("" if others_hold(state, by) else force)
    return [e.MovedAccepted(by=by, why=why)] if (state.moved or state.by_hand) and why else []


def _guarding(folder: RunFolder, opened: e.CampaignOpened, memory: RunMemory) -> Guarding | None:
    """A live run has a guard; simulators make nothing unsafe."""
    return Guarding(folder.path, memory) if opened.mode == "live" else None


class _Stamp:
    """Stamps rows by the run's clock, which is known only after the first rows were read."""

    clock: Clock | None = None

    def __call__(self) -> str:
        return self.clock.stamp() if self.clock else WallClock().stamp()


@contextmanager
def _lease(
    folder: RunFolder, lab_spec: LabSpec, opened: e.CampaignOpened, stamp: Callable[[], str], memory: RunMemory,
    by: str, spared: bool,
) -> Iterator[BenchBook]:  # fmt: skip
    """Hold the bench for this run; what the run leaves in doubt, and who has paused it, keep their claim on it."""
    where = lab_spec.folder if opened.mode == "live" else folder.path
    if memory.state.runs:
        refuse_lost(where / BENCH, opened.mode == "live")
    elif opened.mode == "live" and (where / FILE).exists():
        refuse_lost(where / BENCH, True, f"somebody ({FILE} beside it says so)")
    wait_s = WAIT_S if memory.state.runs else 0.0
    book = BenchBook.open(where, lab_spec.name, stamp, wait_s=wait_s)
    with closing(book), sole(lab_spec, wait_s) if opened.mode == "live" else nullcontext():
        stock = {
            name: e.Amount(instrument.stock.value, instrument.stock.unit)
            for name, instrument in lab_spec.instruments.items()
            if instrument.stock is not None
        }
        if memory.state.runs:  # what it does not know any more it would do again
            refuse_cut(folder.path / JOURNAL, opened.run_id, book.state.noted, memory.journal, where / BENCH)
            if opened.mode != "live":
                began = next(memory.journal.records()).at
                refuse_other(folder.path / JOURNAL, opened, began, book.state.noted, where / BENCH)
        noted = [note_of(folder.name, opened, memory.journal)]
        # Refused, it is not ours to give back.
        book.take_lease(folder.name, opened.mode, stock, noted=noted, person=by, untouched=spared)
        failed = False
        try:
            yield book
        except StoreError:
            failed = True
            raise
        finally:
            held = {who: pause.reason for who, pause in memory.state.holds.items()}
            asked = {name: step.question for name, step in memory.state.questions.items()}
            try:
                noted = [note_of(folder.name, opened, memory.journal)]
            except StoreError:
                LOG.exception("how far the journal has come is not noted in the bench's")
                noted = []
            if not memory.left_to_guard:  # else: of a process that is gone and has not given it back, it takes it over
                unasked = bool(memory.state.running) and not memory.asked_after  # a port was away, say
                try:
                    book.release_lease(folder.name, asked, noted, held, failed=unsafe(memory.state), unasked=unasked)
                except StoreError:
                    if not failed:
                        raise
                    LOG.exception("that the bench was given back is not noted")  # what failed first says more


@contextmanager
def _signals(loop: Loop | Rest) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end the run at the next exchange; a second one at once."""
    running = asyncio.get_running_loop()
    taken = []
    for number in ending():
        try:
            running.add_signal_handler(number, loop.interrupted, number.name)
            taken.append(number)
        except (ValueError, RuntimeError, NotImplementedError):  # not the main thread (a notebook), or Windows
            LOG.info("no handler for %s here", number)
    try:
        yield
    finally:
        for number in taken:
            running.remove_signal_handler(number)


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Warnings and defects of this process go into the run's log.jsonl, one JSON object a line."""
    handler = run_files.JsonLines(path)
    root = logging.getLogger("labloop")
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
