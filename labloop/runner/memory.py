"""What a run remembers: its journal and what it adds up to, its blobs, its inbox, and the bench's own journal."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from labloop.campaign import events as e
from labloop.campaign import recipe
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import CampaignSpec
from labloop.journal import Journal, StoreError, inbox
from labloop.journal.blobs import BlobStore
from labloop.journal.inbox import Posted

from .book import BenchBook

LOG: Final = logging.getLogger("labloop.run")
# What a driver calls the points of its curve that are only bounds and were left out.
LEFT_OUT: Final = "bounds"


class RunMemory:
    """Writes facts, each durable before ``record`` returns, and keeps the state they add up to.

    ``listeners`` are told of every record. ``before_commit`` runs before each commit (a virtual bench saves itself
    there, so that the journal is never ahead of the world it speaks of). ``fill``: what a person filled is filled in
    a simulated bench too. ``on_failed`` is told when the store fails, before anybody else is: what cannot be written
    down must not be done, so the run makes the bench safe and ends. ``now_s``: the run's clock.
    """

    def __init__(
        self,
        journal: Journal,
        blobs: BlobStore,
        state: s.CampaignState,
        inbox: Path | None = None,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self.journal = journal
        self._now_s = now_s
        self.blobs = blobs
        self.state = state
        self.inbox = inbox
        self._posted: dict[str, Posted] = {}  # by id: what lies in the inbox and was read already
        self.book: BenchBook | None = None
        self.asked_after = False  # whether this start has asked what became of what an earlier one had begun
        self.left_to_guard = False  # the bench is not given back: its guard makes it safe when this process is gone
        self.before_commit: Callable[[], None] = lambda: None
        self.fill: Callable[[str, e.Amount], None] = lambda name, amount: None
        self.listeners: list[Callable[[e.Record], None]] = []
        self.on_failed: Callable[[StoreError], None] = lambda error: None

    def record(self, *facts: Any) -> None:
        """Commit ``facts`` in one transaction. Raises StoreError, and then nothing of them is in the journal."""
        if not facts:
            return
        with self.store():
            self.before_commit()
            for record in self.journal.append_surely(*(self._timed(fact) for fact in facts)):
                self.state.apply(record)
                for listener in self.listeners:
                    listener(record)

    def _timed(self, fact: Any) -> Any:
        """The same fact, with the run's time where it says none."""
        if self._now_s is None or not isinstance(fact, e.Timed) or fact.t_s:
            return fact
        return structs.replace(fact, t_s=round(self._now_s(), 6))

    def keep(self, data: bytes) -> str:
        """Keep an array as a blob, durable before this returns; its SHA-256. Raises StoreError."""
        with self.store():
            return self.blobs.put(data)

    def inbox_stamp(self) -> int:
        """When the inbox last changed, by its folder's stamp (0: there is none)."""
        try:
            return self.inbox.stat().st_mtime_ns if self.inbox is not None else 0
        except OSError:
            return 0

    def requests(self) -> list[e.Requested]:
        """What lies in the inbox, oldest first; a file that makes no sense is put aside and noted in the log."""
        if self.inbox is None:
            return []
        with self.store():
            posted, refused = inbox.take(self.inbox, read=self._posted)
        for file in refused:
            LOG.warning("a request was put aside: %s: %s", file.name, file.reason)
        return [
            e.Requested(id=wish.id, request=wish.request, arguments=wish.arguments, by=wish.by, why=wish.why)
            for wish in posted
        ]

    def request_done(self, request: str) -> None:
        """The request is in the journal: its file may go."""
        if self.inbox is not None:
            with self.store():
                inbox.done(self.inbox, request)

    def bench_record(self, *facts: e.StockSet | e.TotalSet) -> None:
        """Commit facts of the bench, which outlive the run; what a wish said of it only once."""
        if self.book is None:
            return
        granted = self.book.state.granted
        if new := [fact for fact in facts if fact.wish not in granted]:
            for fact in new:
                if isinstance(fact, e.StockSet):
                    self.fill(fact.name, fact.amount)
            with self.store():
                self.book.record(*new)

    def harvest(self, spec: CampaignSpec, number: int, t_s: float) -> e.Fact:
        """The fact that a trial whose recipe is done has come to: measured, awaiting, or abandoned with the reason."""
        told = [name for name, outcome in spec.outcomes.items() if outcome.told]
        if len(told) == len(spec.outcomes):
            return e.TrialAwaiting(trial=number)
        try:
            outcomes = recipe.outcomes(spec, self.saved(number))
        except SpecError as error:  # a reading that makes no outcome (not a number, wrong length): the bench's fault
            return e.TrialAbandoned(trial=number, reason=str(error), again=True, t_s=t_s)
        owed = [name for name in told if not spec.outcomes[name].prefers]
        if owed:
            return e.PartMeasured(trial=number, outcomes=outcomes, owed=owed, t_s=t_s)
        if told:
            return e.TrialAwaiting(trial=number)
        return e.TrialMeasured(trial=number, outcomes=outcomes, t_s=t_s)

    @property
    def bench_book(self) -> BenchBook:
        """The journal of the bench that this run has."""
        assert self.book is not None
        return self.book

    @contextmanager
    def store(self) -> Iterator[None]:
        """What is written within: whoever must know is told first when that fails. Raises StoreError."""
        try:
            yield
        except StoreError as error:
            self.on_failed(error)
            raise

    def saved(self, number: int) -> dict[str, recipe.SavedReading | Sequence[recipe.SavedReading]]:
        """What the steps of a trial have saved so far."""
        return saved_by(self.state.trials[number], self.blobs)


def saved_by(trial: s.TrialState, blobs: BlobStore) -> dict[str, recipe.SavedReading | Sequence[recipe.SavedReading]]:
    """What the steps of a trial have saved so far, arrays with their bytes, by the name that the recipe gave it."""
    saved: dict[str, list[recipe.SavedReading]] = {}  # more than one where the sample was measured again
    for step in trial.steps:
        if step.begun.phase != "trial" or not step.readings:
            continue
        asked = step.begun.instrument == e.PERSON
        named = step.readings if asked else {step.save_as: next(iter(step.readings.values()))}
        left_out = step.readings.get(LEFT_OUT)
        for name, reading in named.items():
            array = blobs.get(reading.blob) if reading.blob else None
            bounds = blobs.get(left_out.blob) if array and left_out is not None and left_out.blob else None
            saved.setdefault(name, []).append(
                recipe.SavedReading(
                    value=reading.value,
                    unit=reading.unit,
                    sd=reading.sd,
                    array=array,
                    censored=reading.censored,
                    flag=reading.flag,
                    axis=reading.axis,
                    bounds=bounds,
                )
            )
    saved.pop("", None)
    return {**saved}
