"""A lab's instruments as actors of LECO: what `labloop serve` offers, under the same limits as anything by hand.

Each instrument is an actor of its own name:

    get_parameters [name, ...]    every reading it declares, in its declared unit; and of what is said of it: kind,
                                  identity, signals {name: unit}, actions {name: {settings, ...}}, state ("idle" or the
                                  action's name), act (its id, or null)
    call_action ACTION {setting: value, ..., act: id}    begins it and answers at once with a REPORT; a value is a
                                  number in the declared unit, a quantity ("10 mL") or a word
    call_action last_act {act}    the REPORT of that act, or of the last one; null when there is none
    call_action stop              stops it, always
    call_action array.NAME {act}  an array that an act gave: {"length", "sha256"} and a frame, float64 little-endian

    REPORT  {"act", "action", "state": "running" | "done" | "stopped" | "unknown", "elapsed_s", "duration_s",
             "result": null | {achieved and read values by name, "units": {name: unit}}, "why": what went wrong}

An id is 32 lower-case hex digits, the asker's or made here. One that was begun is answered with its report (by its
instrument; any other refuses it) and never done again, also after the service was begun anew: the bench's book
remembers. An act that was under way when its service was killed is asked about before anything else is done; "unknown"
is what nobody can tell.

What is measured and decides about an act is read once more right before it, and the report waits for that.

While an act runs, its instrument is asked for nothing but what is bound: readings are those that it gave last. The
rules of the lab file are kept as in a run, between acts too; what breaks one, or an act that fails, takes the whole
bench to its safe state, and so does the end of the service.
"""

from typing import Final

from msgspec import structs

from labloop.bench.leco_node import Method
from labloop.campaign import events as e

from .admission import Admission
from .book import BenchBook
from .by_hand import HandBench, note_changed
from .clock import utc_stamp
from .left_by_hand import take_up
from .served_instrument import ServedInstrument, by_leco
from .served_watch import ServedWatch

# How long a message waits at most for an act to be looked at, in real seconds.
WAITS_S: Final = 0.05


class ServedBench:
    """Every instrument of a bench as an actor. Raises BenchError when one is not there, StoreError."""

    def __init__(
        self, bench: HandBench, book: BenchBook, admission: Admission, *, read_only: bool = False
    ) -> None:  # fmt: skip
        if take_up(bench.lab, book, looks=read_only):
            admission.after_others(utc_stamp())
        bench.lab.open()
        self._bench, self._book, self._admission = bench, book, admission
        self._watch = ServedWatch(bench.lab, admission, lambda name: self.instruments[name].rests())
        self.instruments = {
            name: ServedInstrument(
                bench, book, admission, self._watch, station, did=self._did, safe=self._make_safe, read_only=read_only
            )
            for name, station in bench.lab.instruments.items()
        }
        if not read_only:
            self._remember()
            for name, station in bench.lab.instruments.items():
                station.limit(bench.envelope.fixed(name))
            try:
                bench.lab.configure()
            finally:  # what was changed for good stays changed, whatever became of the others
                for station in bench.lab.instruments.values():
                    note_changed(book, station)
        self._watch.begin()

    @property
    def actors(self) -> dict[str, dict[str, Method]]:
        """The methods of each instrument, by its name."""
        return {name: one.methods for name, one in self.instruments.items()}

    def wait_s(self) -> float:
        """How long nothing has to be looked after, in real seconds."""
        due_s = min((one.due_s for one in self.instruments.values()), default=float("inf"))
        return min(max((due_s - self._bench.clock.now_s()) / self._bench.clock.speed, 0.002), WAITS_S)

    def turn(self) -> None:
        """Go on with every act, and with the watch. A rule that is broken takes the bench to its safe state."""
        for one in self.instruments.values():
            one.turn()
        if why := self._watch.turn():
            self.end(why)

    def holds(self) -> bool:
        """Whether the bench is still ours."""
        return self._book.lease is None or self._book.lease.holds()

    def end(self, why: str) -> list[str]:
        """Break off every act, and bring the bench to its safe state; what went wrong, in words."""
        return self._make_safe(why, "")

    def _did(self, act: str) -> str:
        return next((did for one in self.instruments.values() if (did := one.did(act))), "")

    def _make_safe(self, why: str, knows: str) -> list[str]:
        """The same, but for the act of the instrument that ``knows``."""
        errors = self._bench.lab.safe()
        self._admission.tell(e.SafeStateReached(why=why, errors=list(errors)))
        for name, one in self.instruments.items():
            if name != knows:
                one.end("; ".join([why, *errors]))
        return errors

    def _remember(self) -> None:
        """Take in the acts of earlier services, each as it ended."""
        begun: dict[str, e.ByHand] = {}
        for fact in by_leco(self._book):
            if fact.instrument in self.instruments:
                begun.pop(fact.act, None)
                if fact.done or fact.failed:
                    self.instruments[fact.instrument].remember(fact)
                else:
                    begun[fact.act] = fact
        for fact in begun.values():  # an older version's: others had the bench before anybody asked
            untold = structs.replace(fact, failed="cannot_tell: nobody asked in time")
            self.instruments[fact.instrument].remember(untold)
