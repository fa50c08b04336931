"""The bench's own memory: what outlives runs. Stock, questions that a run still owes, and the lease.

``bench.db`` lies in the lab's folder (of a simulated run: in the run's), is the same kind of journal as a run's, and is
locked by the one controller the bench has. Its facts add up in campaign.bench_state as a run's do in campaign.state.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from labloop import __version__
from labloop.campaign import events as e
from labloop.campaign.bench_state import BY_HAND as BY_HAND
from labloop.campaign.bench_state import GUARD as GUARD
from labloop.campaign.bench_state import BenchState
from labloop.campaign.errors import LabloopError
from labloop.campaign.text import in_shell
from labloop.campaign.units import convert
from labloop.journal import Journal, StoreLocked, begun

from .lease import Lease
from .lineage import apart, as_they_lie

DEAD: Final = (
    "If {0} never answers again, say what became of it: `labloop instruments LAB resolve {0} done [AMOUNT]|not-done "
    "--why TEXT`"
)
NO_END: Final = "the guard began to make the bench safe, and ended without saying how far it came"
NO_WORD: Final = (
    "whether the guard made the bench safe, and what it was told then, is not known: the bench's journal has no word "
    "of it (the guard was killed as well, the power went, or the disk took nothing)"
)


class BenchOwes(LabloopError):
    """Another run left an act in doubt on this bench, or was paused by somebody else: it is that run's until then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Another ``run`` had the bench, under ``epoch``. ``had``: how often the one that asks had taken it before.

    ``rows``: how far the other's journal had come when it took the bench, and when it gave it back.
    """

    run: str
    epoch: int
    had: int
    rows: list[int] = field(default_factory=list)


class BenchBook:
    """The open journal of one bench, and its state. Holding it is holding the bench."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.lease: Lease | None = None
        self.state = BenchState()
        self._here: list[e.JournalNoted] = []  # where runs lie, the latest last: their facts are read under that
        self.followers: list[Callable[[Any], None]] = []
        # When somebody else gave the bench back last, between this lease and the run's last one ("": nobody had it).
        self.others_until = ""
        self._read()
        self._here = [note for _, note in self.state.noted]
        if apart(self._here):
            self._read()

    @classmethod
    def open(cls, folder: Path, name: str, at_fn: Callable[[], str], wait_s: float = 0.0) -> "BenchBook":
        """Open or begin ``bench.db`` in ``folder``.

        Raises StoreLocked, naming the controller that has the bench; StoreError.
        """
        path = folder / "bench.db"
        try:
            if begun(path):
                return cls(Journal.open(path, at_fn, wait_s=wait_s))
            journal = Journal.create(path, at_fn, wait_s=wait_s)
        except StoreLocked as error:
            raise StoreLocked(
                f"the bench {name!r} has a controller already: {error}", pid=error.pid, host=error.host
            ) from error
        try:
            journal.append_surely(e.BenchOpened(name=name, version=__version__))
            return cls(journal)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def memory(cls, name: str, at_fn: Callable[[], str]) -> "BenchBook":
        """A bench that ends with this process."""
        journal = Journal.memory(at_fn)
        journal.append(e.BenchOpened(name=name, version=__version__))
        return cls(journal)

    def record(self, *facts: Any) -> None:
        """Commit facts of the bench."""
        for record in self.journal.append_surely(*facts):
            self.state.apply(record)
            for follower in self.followers:
                follower(record.event)

    def known_as(self, run: str, run_id: str) -> None:
        """Read the facts of a run under the folder in which it lies now, and of another that lay there under none."""
        self._here.append(e.JournalNoted(run=run, run_id=run_id, seq=0, chain=""))
        if apart(self._here):
            self._read()

    def _read(self) -> None:
        self.state = BenchState()
        for record in self._records():
            self.state.apply(record)

    def _records(self) -> Iterable[e.Record]:
        records = self.journal.records()
        return as_they_lie(list(records), self._here) if apart(self._here) else records

    def follow(self, follower: Callable[[Any], None]) -> None:
        """Tell ``follower`` every fact of this bench: those that are there now, and each that comes."""
        for record in self.journal.records():
            follower(record.event)
        self.followers.append(follower)

    def take_lease(
        self, run: str, mode: str, stock: Mapping[str, e.Amount], by: str = "runner", *, looks: bool = False,
        noted: Sequence[e.JournalNoted] = (), person: str = "", untouched: bool = False,
    ) -> None:  # fmt: skip
        """Make the bench this run's, and put down what the lab file says of stock that nobody has counted yet.

        From here on nobody else may write to its instruments (see lease). ``looks``: to ask them and do nothing, which
        is no harm to a question that is open: they were asked about it. ``noted``: how far the run's journal has come.
        ``person``: who takes it. ``untouched``: the run's last guard is gone and has done nothing (see mark).

        Raises BenchOwes while another run's question is open, a run was killed here and never taken up again, somebody
        else has paused another run and not said resume, or nobody has asked what became of an act by hand that was
        killed (see left_by_hand).
        """
        for note in noted:
            self.known_as(run, note.run_id)
        if self.state.leased_to not in ("", run) and (Path(self.state.leased_to) / "journal.db").exists():
            raise BenchOwes(
                f"the run {self.state.leased_to} had this bench and ended without a word: what it had begun was never "
                f"asked after. Take it up first: `labloop resume {in_shell(self.state.leased_to)}`. Where an "
                "instrument of it is gone for good: move its folder elsewhere, and it binds nobody any more."
            )
        if run != BY_HAND and (others_begun := [one for one in self.state.begun.values() if one.run != run]):
            left = others_begun[0]
            raise BenchOwes(
                f"{left.instrument}.{left.action}, begun by hand ({left.by}), ended without a word, and nobody has"
                " asked what became of it. `labloop instruments LAB --live` asks. What runs then, or may run, ends by"
                f" itself (ask again), or is stopped by the next act by hand. {DEAD.format(left.instrument)}."
            )
        others = {
            (name, step): text
            for (name, step), text in self.state.questions.items()
            if name != run and (Path(name) / "journal.db").exists()  # else nobody is left who could be asked
        }
        if others and not looks:
            (name, step), text = next(iter(others.items()))
            owing = in_shell(name)
            raise BenchOwes(
                f"this bench still owes an answer to the run {name}: {text} "
                f"Settle it with `labloop request {owing} resolve {step.split('.')[0]} done|not-done|discard`, "
                f"then `labloop resume {owing}`."
            )
        if not looks:
            self._refuse_holds(run, person)
        others_had_it = self.state.had_by and (self.state.had_by != run or run == BY_HAND)
        epoch = self.state.epoch + 1
        if self.journal.path is not None:
            locked = self.journal.is_locked
            self.lease = Lease.take(self.journal.path.parent, run, by, at_least=epoch, locked=locked)
            epoch = self.lease.epoch
        facts: list[e.Fact] = [e.LeaseTaken(epoch=epoch, run=run, mode=mode, untouched=untouched), *noted]
        facts += [
            e.StockSet(name=name, amount=amount, by="lab file")
            for name, amount in stock.items()
            if name not in self.state.stock
        ]
        self.record(*facts)
        if others_had_it:
            self.others_until = self.state.left_at

    def _refuse_holds(self, run: str, person: str) -> None:
        for name, holds in self.state.holds.items():
            others = " and ".join(f"{who} ({why})" for who, why in holds.items() if who != person)
            if others and name != run and (Path(name) / "journal.db").exists():
                ends = f"labloop request {in_shell(name)} resume"
                raise BenchOwes(
                    f"{others} paused the run {name}, and has not said resume since: nobody else moves anything on "
                    f"this bench. That is theirs to end: `{ends}`. If they cannot: `{ends} --force --why TEXT`."
                )

    def release_lease(
        self, run: str, questions: Mapping[str, str], noted: Sequence[e.JournalNoted] = (),
        holds: Mapping[str, str] = MappingProxyType({}), *, failed: bool = False, unasked: bool = False,
    ) -> None:  # fmt: skip
        """Give the bench back; what the run left in doubt ({step: question}) keeps its claim, and so do its ``holds``.

        ``failed``: it is not known to be safe, so that the next abort tries to make it so (see lease). Of a bench that
        was left so, what is asked or done by hand makes no safe one.

        ``unasked``: nobody has asked yet what became of what the run had begun, so that it keeps its claim as one that
        was killed does. ``noted``: how far the run's journal has come. ``holds``: who has paused the run, and why.
        A bench that somebody else has taken meanwhile is not ours to give back. Raises StoreError.
        """
        if self.lease is not None and not self.lease.holds():
            return
        known = {step for name, step in self.state.questions if name == run}
        facts: list[e.Fact] = [
            e.QuestionOpened(run=run, step=step, question=text) for step, text in questions.items() if step not in known
        ]
        facts += [e.QuestionClosed(run=run, step=step, answer="settled") for step in sorted(known - questions.keys())]
        facts += [e.HoldsKept(run=run, holds=dict(holds))] if holds else []
        try:
            owes = run if questions else ""
            self.record(*facts, *noted, e.LeaseReleased(epoch=self.state.epoch, owes=owes, unasked=unasked))
        finally:
            if self.lease is not None:
                self.lease.release(failed=failed, as_found=run == BY_HAND)

    def guarded(self, run: str, known: int) -> list[e.SafeStateReached]:
        """What the guard did for ``run`` that it does not know yet; ``known``: the last epoch it knows of.

        What it did without a word is told as well, once: who had the bench then may have been told an alarm. What it
        noted of a counter is left out where a person has said since that they filled its stock.
        """
        acts = [
            e.SafeStateReached(
                why=act.why, errors=list(act.errors), by="guard", at=at, epoch=act.epoch, found=self._found(act)
            )
            for at, act in self.state.guard_acts
            if act.run == run
        ]
        began = [(epoch, at, NO_END) for epoch, (at, whose) in self.state.guard_began.items() if whose == run]
        silent = [(epoch, at, NO_WORD) for epoch, (at, whose) in self.state.silent.items() if whose == run][-1:]
        acts += [
            e.SafeStateReached(why="its runner was gone", errors=[why], by="guard", at=at, epoch=epoch)
            for epoch, at, why in began + silent
        ]
        return sorted((act for act in acts if act.epoch > known), key=lambda act: act.epoch)

    def _found(self, act: e.GuardActed) -> dict[str, e.Witness]:
        refilled = {name for name, epoch in self.state.refilled.items() if epoch >= act.epoch}
        return {name: _refilled(one) if name in refilled else one for name, one in act.found.items()}

    def by_hand_since(self, run: str, known: Container[str]) -> list[tuple[e.ByHand, int]]:
        """The acts by hand after ``run`` had this bench first, but for those that it knows of.

        Each with how often the run had taken the bench before.
        """
        acts: dict[str, tuple[e.ByHand, int]] = {}
        had = 0
        for record in self._records():
            fact = record.event
            had += isinstance(fact, e.LeaseTaken) and fact.run == run and fact.mode != GUARD
            if had and isinstance(fact, e.ByHand) and fact.act not in known:
                acts[fact.act] = fact, acts[fact.act][1] if fact.act in acts else had
        return list(acts.values())

    def left_by_hand(self) -> list[tuple[e.ByHand, str]]:
        """What people have done since a run had this bench last, or a guard: each act that is over, and when it was.

        Not what a run did for them in a pause: its end has stopped that.
        """
        acts: list[tuple[e.ByHand, str]] = []
        for record in self._records():
            fact = record.event
            if isinstance(fact, e.LeaseTaken) and fact.run != BY_HAND and fact.epoch != self.state.epoch:
                acts.clear()
            elif isinstance(fact, e.ByHand) and (fact.done or fact.failed) and not fact.run:
                acts.append((fact, record.at))
        return acts

    def acts_by_hand(self) -> dict[str, e.ByHand]:
        """Every act by hand, by whomever, as its last fact has it."""
        facts = (record.event for record in self.journal.records())
        return {fact.act: fact for fact in facts if isinstance(fact, e.ByHand)}

    def others_since(self, run: str) -> list[Others]:
        """The other runs that had this bench after ``run`` had it first, each time that one took it."""
        others: list[Others] = []
        had = 0
        here = False
        for record in self._records():
            fact = record.event
            if isinstance(fact, e.LeaseTaken) and fact.mode != GUARD:
                had += fact.run == run
                here = had > 0 and fact.run not in (run, BY_HAND)
                if here:
                    others.append(Others(run=fact.run, epoch=fact.epoch, had=had))
            elif isinstance(fact, e.JournalNoted) and here:
                others[-1].rows.append(fact.seq)
        return others

    def left(self, name: str) -> e.Amount | None:
        """What is left of a stock; None: nobody keeps count of it."""
        return self.state.stock.get(name)

    def missing(self, name: str, wanted: e.Amount) -> str:
        """Why ``wanted`` cannot be drawn from ``name``; empty when it can."""
        held = self.left(name)
        if held is None:
            return ""
        short = convert(float(wanted.value), wanted.unit, held.unit) - float(held.value)
        if short <= 1e-9:
            return ""
        return (
            f"{name} holds {float(held.value):.4g} {held.unit}, and {float(wanted.value):.4g} {wanted.unit} is wanted"
        )

    def draw(self, name: str, amount: e.Amount, act: str) -> None:
        """Count down what an act really took, once for each act."""
        if facts := self.drawing(name, amount, act):
            self.record(*facts)

    def drawing(self, name: str, amount: e.Amount, act: str) -> list[e.StockDrawn]:
        """The fact that an act took so much; none, where it is counted already, or nobody keeps count."""
        if self.left(name) is None or act in self.state.drawn or float(amount.value) <= 0:
            return []
        return [e.StockDrawn(name=name, amount=amount, act=act)]

    def close(self) -> None:
        """Let go of the bench."""
        if self.lease is not None:
            self.lease.close()
        self.journal.close()


def _refilled(one: e.Witness) -> e.Witness:
    """What the guard saw there, but for what is another since its stock was filled by hand."""
    return msgspec.structs.replace(one, stands={where: was for where, was in one.stands.items() if not was.counts})
