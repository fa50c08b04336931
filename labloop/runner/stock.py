"""Stock counted down and totals counted up by what acts really moved, once for each act, also across a crash."""

from collections.abc import Mapping

from labloop.bench import Totals, drawn
from labloop.bench.standing import NOTHING_SENT
from labloop.campaign import events as e
from labloop.campaign.state import FINISHED, IN_DOUBT, STARTED, StepState

from .book import BenchBook
from .memory import RunMemory
from .reach import Station


class StockKeeper:
    """Listens to a run's facts, draws from the bench's stock and adds to its totals."""

    def __init__(self, book: BenchBook, stations: Mapping[str, Station], memory: RunMemory, totals: Totals) -> None:
        self.book = book
        self.stations = stations
        self.memory = memory
        self.totals = totals

    def count(self, record: e.Record) -> None:
        """Draw what the step of this fact took, and count what it brought."""
        if isinstance(record.event, e.StepStarted):
            self._total(self.memory.state.steps[record.event.step])
        if isinstance(record.event, e.StepFinished | e.StepFailed):
            self._draw(self.memory.state.steps[record.event.step])
            self._total(self.memory.state.steps[record.event.step])

    def catch_up(self) -> None:
        """Draw and count for every act of this run that never was."""
        for step in self.memory.state.steps.values():
            self._draw(step)
            self._total(step)

    def _total(self, step: StepState) -> None:
        begun, act = step.begun, self._act(step)
        if not self.totals.concerns(begun.instrument, begun.action) or self.totals.counted(act):
            return
        if step.state in (STARTED, IN_DOUBT):
            self.totals.begin(act, begun.instrument, begun.action, begun.settings)
        elif step.fault in NOTHING_SENT and not step.achieved:
            self.totals.drop(act)
        else:
            self.book.record(self.totals.counting(act, begun, step.achieved, done=step.state == FINISHED))

    def _act(self, step: StepState) -> str:
        opened = self.memory.state.opened
        return f"{opened.run_id if opened else ''}/{step.begun.step}"

    def _draw(self, step: StepState) -> None:
        begun = step.begun
        if not begun.act or begun.instrument not in self.stations:
            return
        held = self.book.left(begun.instrument)
        if held is None:
            return
        action = self.stations[begun.instrument].actions[begun.action]
        # Earlier versions wrote what a person had said ("done, 0.14 mL") beside what the instrument had, as "amount".
        achieved = {**step.achieved}
        if action.amount and "amount" in achieved:
            achieved[action.amount] = achieved.pop("amount")
        taken = drawn(action, achieved, held.unit)
        if taken is not None:
            self.book.draw(begun.instrument, taken, self._act(step))
