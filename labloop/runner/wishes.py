"""A person's wish brought to a run: through its inbox where a runner lives, else written into its journal here.

Both ways lead through the same pure answer (see requests), so a wish does the same whoever writes it down.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from labloop.bench import Action, Envelope
from labloop.campaign import events as e
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.state import CampaignState, fold
from labloop.journal import Blobs, Journal, Reader, StoreError, StoreLocked, inbox, look, look_at_guard
from labloop.journal.presence import HUNG_AFTER_S, last_runner

from . import emergency
from . import folder as run_files
from .abort_first import INBOX, spoken
from .amending import AMEND, decide
from .answers import Answer, answered
from .book import BenchBook
from .clock import utc_stamp
from .connect import fill_served, fill_simulated
from .kept import kept_spec
from .left import known_safe
from .look import JOURNAL, see
from .memory import saved_by
from .requests import answer, fitting
from .telling import Telling, Written

LOG: Final = logging.getLogger("labloop.run")
OF_SPACE: Final = ("add", "edit")  # what can only be answered by whoever has read the campaign
ANSWER_WITHIN_S: Final = 5.0
# Beyond what any way to the safe state takes on dead lines (bench.lab): then something is wrong with the runner.
SAFE_WITHIN_S: Final = 30.0
LOOK_S: Final = 0.05
OTHERS: Final = 8  # people whose wishes are written before one's own, each within what a lock is tried for (0.25 s)
TAKES_OVER_S: Final = 0.5  # a start that waits for a runner's end looks 100 times a second for it (journal.locks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a wish. ``accepted``: None while the runner has not answered. ``safe``: whether an abort left the
    bench safe, where somebody has said so; None: it is not known."""

    accepted: bool | None
    message: str
    safe: bool | None = None


class NotPosted(StoreError):
    """The inbox took no wish: the runner knows nothing of it."""


def ask(
    folder: Path, request: str, arguments: Sequence[str], *, by: str, why: str, wait_s: float = ANSWER_WITHIN_S,
    now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep, id: str = "",
) -> Reply:  # fmt: skip
    """Bring a wish to the run in ``folder`` and say what came of it. Raises StoreError, StateError, SpecError.

    ``id``: of a wish that was brought there before, which is the same wish and granted once.

    An abort that no runner can answer (it hangs, or is gone and has not given its bench back) is done here, once a
    guard that is at it is through. Nothing that is damaged or changed in the run's folder keeps an abort from the
    bench, but the loss of where the bench is (origin.json).
    """
    until_s = now() + wait_s
    if request == "abort":
        by, why = spoken(by), spoken(why)
    elif (size := inbox.size(request, arguments, by, why)) > inbox.LIMIT:
        raise SpecError(f"{request}: is {size} bytes long, and a wish has {inbox.LIMIT} at the most. Use fewer words")
    was = _look(folder) if request == "abort" else look(folder)
    if request == "abort" and was != "alive" and (done := _abort(folder, by, why)):
        _take_back(folder, id, sleep)
        if _noted(folder, id, done, by, why):
            return done
        was = "alive"  # somebody's start has the run, and is to hear it itself
    posted = id
    try:
        if was == "gone":
            try:
                id = id or inbox.new_id(folder / INBOX)
                wish = e.Requested(id=id, request=request, arguments=list(arguments), by=by, why=why)
                reply = _write_when_free(folder, wish)
                if request == "abort" and known_safe(folder):
                    return replace(reply, message=f"{reply.message}. It left its bench safe", safe=True)
                return reply
            except StoreLocked:
                if look(folder) == "gone":
                    raise
        posted = _post(folder, request, arguments, by, why, id)
        reply = _heard(folder, posted, wait_s, until_s, now, sleep)
        if request != "abort":
            if reply.accepted is None and _is_ours_again(folder, posted):
                return ask(
                    folder, request, arguments, by=by, why=why, wait_s=max(until_s - now(), 0.0), now=now, sleep=sleep,
                    id=posted,
                )  # fmt: skip
            return reply
        if reply.accepted:
            reply = _reached(folder, posted, reply, now, sleep)
        if reply.safe is not None:
            return reply
        if look(folder) == "alive":
            return _unheard(folder, reply)
        unread = reply.message
    except NotPosted:
        raise
    except LabloopError as error:
        if request != "abort":
            raise
        unread = str(error)
    while look(folder) == "alive" and now() < until_s:  # it has the wish, and that it ends can be seen
        sleep(LOOK_S)
    how = look(folder)
    done = _abort(folder, by, why) if how != "alive" else None
    if done is None and how != "gone":
        return Reply(accepted=None, message=f"the runner ({how}) has not ended within {wait_s:g} s; {unread}")
    if done is None:
        what = "no runner lives there" if was == "gone" else "the run has ended"
        safe = known_safe(folder)
        left = "and it left no bench" if safe else "and nobody knows whether the bench is safe"
        done = Reply(accepted=was != "gone", message=f"{what}, {left}; {unread}", safe=safe or None)
    _take_back(folder, posted, sleep)
    if _noted(folder, posted, done, by, why):
        return done
    return ask(folder, request, arguments, by=by, why=why, wait_s=wait_s, now=now, sleep=sleep, id=posted)


def _post(folder: Path, request: str, arguments: Sequence[str], by: str, why: str, id: str) -> str:
    """Put a wish into a runner's inbox; its id. Raises NotPosted."""
    try:
        return inbox.post(folder / INBOX, request, list(arguments), by=by, why=why, id=id)
    except StoreError as error:
        runner = last_runner(folder)
        ends = f" To end the run without it: kill {runner.pid}, and it makes the bench safe first." if runner else ""
        raise NotPosted(f"{error} The runner was told nothing.{ends}") from error


def _is_ours_again(folder: Path, id: str) -> bool:
    """Whether a wish is out of the inbox of a runner that has ended, and has not journaled it. Raises StoreError.

    Else it would lie there until the run is taken up again: yesterday's stop would end tomorrow's start. One that has
    started meanwhile may have read it already, and knows it by its id when it is brought again.
    """
    return look(folder) == "gone" and not _journaled(folder, id) and inbox.take_back(folder / INBOX, id)


def _take_back(folder: Path, id: str, sleep: Callable[[float], None]) -> None:
    """Take an abort that was seen to out of the inbox of a runner that has ended: it is none of the next start's.

    A start that had waited for that runner has the run within this time; it is to heed it.
    """
    with suppress(StoreError, OSError):
        if id and (folder / INBOX / f"{id}.json").exists():
            sleep(TAKES_OVER_S)
            if look(folder) == "gone":
                inbox.take_back(folder / INBOX, id)


def _noted(folder: Path, id: str, done: Reply, by: str, why: str) -> bool:
    """Write an abort that was seen to without a runner into the run's journal: a start that was on its way already
    finds it there, and begins nothing (see meanwhile). False: that start has the run by now.

    Where nothing can be written the bench is as safe as it is, and that is what a person is told.
    """
    try:
        wish = e.Requested(id=id or inbox.new_id(folder / INBOX), request="abort", by=by, why=why)
        says = Answer(accepted=bool(done.accepted), message=done.message)
        _write_when_free(folder, wish, says)
    except StoreLocked:
        return _look(folder) != "alive"
    except Exception as error:  # noqa: BLE001 nothing that is damaged there keeps a person from what was done
        LOG.warning("This abort is not written into the run's journal: %s", error)
    return True


def _write_when_free(folder: Path, wish: e.Requested, says: Answer | None = None) -> Reply:
    """Write a wish down, after those of others who are at that. Raises StoreLocked: a runner has the run, too."""
    for _ in range(OTHERS):
        try:
            return _write(folder, wish, says)
        except StoreLocked:
            if look(folder) != "gone":
                raise
    return _write(folder, wish, says)


def _journaled(folder: Path, id: str) -> bool:
    with Reader(folder / JOURNAL) as reader:
        return any(isinstance(one.event, e.Requested) and one.event.id == id for one in reader.records())


def _look(folder: Path) -> str:
    """What of the runner; one that nobody can look at keeps no abort from the bench."""
    try:
        return look(folder)
    except StoreError:
        return "unknown"


def _reached(
    folder: Path, id: str, reply: Reply, now: Callable[[], float], sleep: Callable[[float], None]
) -> Reply:  # fmt: skip
    """An abort that the runner has granted, and whether the bench is safe, once that is a fact. Raises StoreError."""
    until_s = now() + SAFE_WITHIN_S
    state = CampaignState()
    # By this runner, and since: what could not be done before (by an earlier one, by this one before it rested) says
    # nothing of now. One that ends without trying, with no line in its hands, leaves that to whoever says abort.
    answered = tried = False
    with Reader(folder / JOURNAL) as reader:
        while True:
            how = look(folder)
            for record in reader.records(state.seq):
                state.apply(record)
                fact = record.event
                answered = answered or (isinstance(fact, e.RequestAnswered) and fact.id == id)
                its_own = isinstance(fact, e.SafeStateReached) and not fact.by  # not what a guard did before it
                tried = (tried or (its_own and answered)) and not isinstance(fact, e.RunStarted)
            if state.safe:
                return replace(reply, safe=True)
            if state.unsafe and tried:
                return replace(reply, message=f"the bench is NOT safe: {'; '.join(state.unsafe)}", safe=False)
            if how != "alive" or now() >= until_s:
                return replace(reply, message=f"{reply.message}; that the bench is safe is not written down")
            sleep(LOOK_S)


def _unheard(folder: Path, reply: Reply) -> Reply:
    """An abort that a runner which lives, as far as anybody can see, says nothing to, or nothing of the bench."""
    known = f"Where it hangs, that is known {HUNG_AFTER_S:g} s after its last sign of life:"
    if look_at_guard(folder) == "alive":
        then = "its guard makes the bench safe then, and so does another abort"
    else:
        then = "it has no guard, and another abort makes the bench safe then"
    return replace(reply, message=f"{reply.message}. {known} {then}")


def _abort(folder: Path, by: str, why: str) -> Reply | None:
    """What the guard would do. None: the bench is not left to anybody."""
    done = emergency.act_now(folder, f"abort by {by or 'a person'}" + (f" ({why})" if why else ""))
    return Reply(accepted=True, message=done.words, safe=done.safe) if done else None


def _heard(
    folder: Path, id: str, wait_s: float, until_s: float, now: Callable[[], float], sleep: Callable[[float], None]
) -> Reply:  # fmt: skip
    """The runner's answer, once it is journaled. Raises StoreError."""
    with Reader(folder / JOURNAL) as reader:
        after = 0
        while True:
            how = look(folder)  # before the last look, so that no fact is missed
            for record in reader.records(after):
                after = record.seq
                if isinstance(record.event, e.RequestAnswered) and record.event.id == id:
                    return Reply(accepted=record.event.accepted, message=record.event.message)
            if how == "gone":
                return Reply(accepted=None, message="the runner has ended, and has not answered")
            if now() >= until_s:
                return Reply(accepted=None, message=f"the runner ({how}) has not answered within {wait_s:g} s")
            sleep(LOOK_S)


def tell(
    folder: Path,
    trial: int,
    outcomes: Written | None,
    *,
    failed: str,
    void: str,
    by: str,
    why: str = "",
    wait_s: float = ANSWER_WITHIN_S,
) -> Reply:
    """Bring a trial's result to a living runner. Raises as Telling.of_trial does, StoreError."""
    seen = see(folder)
    blobs = Blobs(folder / "blobs")
    (fact,) = Telling(seen.spec, seen.state, lambda number: saved_by(seen.state.trials[number], blobs)).of_trial(
        trial, outcomes, failed=failed, void=void, by=by
    )
    return ask(folder, "tell", [msgspec.json.encode(fact).decode()], by=by, why=why, wait_s=wait_s)


def prefer(
    folder: Path, trial: int, over: int, *, tie: bool, by: str, why: str = "", wait_s: float = ANSWER_WITHIN_S
) -> Reply:
    """Bring a comparison to a living runner. Raises as Telling.of_comparison does, StoreError."""
    seen = see(folder)
    blobs = Blobs(folder / "blobs")
    facts = Telling(seen.spec, seen.state, lambda number: saved_by(seen.state.trials[number], blobs)).of_comparison(
        trial, over, tie=tie, by=by, why=why
    )
    return ask(folder, "prefer", [msgspec.json.encode(fact).decode() for fact in facts], by=by, why=why, wait_s=wait_s)


def _write(folder: Path, wish: e.Requested, says: Answer | None = None) -> Reply:
    """Answer a wish in the journal; with ``says``, where that was found out already. Raises StoreError."""
    with Journal.open(folder / JOURNAL) as journal:
        state = fold(journal.records())
        if state.requests.get(wish.id) is not None:  # by a runner that came and went since it was posted
            answers = (one.event for one in journal.records() if isinstance(one.event, e.RequestAnswered))
            said = next(one for one in answers if one.id == wish.id)
            return Reply(accepted=said.accepted, message=said.message)
        if says is not None:
            pass
        elif wish.request == AMEND:
            says = decide(folder, state, wish)
        else:
            spec = kept_spec(folder, state) if wish.request in OF_SPACE else None
            says = answered(lambda: answer(state, wish, alive=False, t_s=state.t_s, spec=spec))
        lab = None
        released = says.effect == "released" and state.mode == "live"  # else nobody but this run asks its bench
        if says.accepted and (says.stock or says.totals or says.effect == "resolved" or released):
            says, lab = _with_bench(folder, state, says)
        first = says.stock or says.totals or released
        if lab is not None and first:  # first: what is answered is true
            _tell_bench(folder, state, lab, wish, says)
        new = [wish] if wish.id not in state.requests else []
        journal.append(*new, *says.facts, e.RequestAnswered(id=wish.id, accepted=says.accepted, message=says.message))
        if lab is not None and not first:  # last: the bench owes the answer until the run has it
            _tell_bench(folder, state, lab, wish, says)
    return Reply(accepted=says.accepted, message=says.message)


def _with_bench(folder: Path, state: CampaignState, says: Answer) -> tuple[Answer, LabSpec | None]:
    """The answer, once the run's bench has been looked at: what it speaks of must be there."""
    if state.mode == "told":
        return Answer(accepted=False, message="this campaign has no bench, its hands are a person's"), None
    _, spec, lab = run_files.read(folder)

    def action(instrument: str, name: str) -> Action:
        return Envelope(lab, spec).action(instrument, name)

    return answered(lambda: fitting(says, lab, {**lab.totals, **spec.totals}, action)), lab


def _tell_bench(folder: Path, state: CampaignState, lab: LabSpec, wish: e.Requested, says: Answer) -> None:
    """What outlives the run goes into the bench's own journal; a simulated bench is filled in its own folder."""
    live = state.mode == "live"
    book = BenchBook.open(lab.folder if live else folder, lab.name, utc_stamp)
    try:
        if state.opened is not None:
            book.known_as(str(folder.resolve()), state.opened.run_id)
        settled = {fact.step for fact in says.facts if isinstance(fact, e.StepFinished | e.StepFailed)}
        closed = [
            e.QuestionClosed(run=run, step=step, answer=wish.arguments[1], by=wish.by)
            for run, step in book.state.questions
            if step in settled and Path(run) == folder.resolve()
        ]
        run = str(folder.resolve())
        kept = book.state.holds.get(run, {})
        left = kept.keys() - {fact.of for fact in says.facts if isinstance(fact, e.HoldReleased)}
        holds = [e.HoldsKept(run=run, holds={who: kept[who] for who in sorted(left)})] if left != kept.keys() else []
        # What a runner that was killed before it answered has said of stock and totals already is said once.
        stocks = [one for one in says.stock if one.wish not in book.state.granted]
        totals = [one for one in says.totals if one.wish not in book.state.granted]
        facts = [*closed, *holds, *stocks, *totals]
        if facts:
            book.record(*facts)
    finally:
        book.close()
    for stock in stocks:
        if live:
            fill_served(lab, stock.name, stock.amount)
        else:
            fill_simulated(folder, stock.name, stock.amount)
