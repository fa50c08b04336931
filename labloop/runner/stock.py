"""Stock counted down by what acts really took, once for each act, also when a crash came between act and count."""

from collections.abc import Mapping

from labloop.bench import drawn
from labloop.campaign import events as e
from labloop.campaign.state import StepState

from .book import BenchBook
from .memory import RunMemory
from .reach import Station


class StockKeeper:
    """Listens to a run's facts and draws from the bench's stock."""

    def __init__(self, book: BenchBook, stations: Mapping[str, Station], memory: RunMemory) -> None:
        self.book = book
        self.stations = stations
        self.memory = memory

    def count(self, record: e.Record) -> None:
        """Draw what the step of this fact took."""
        if isinstance(record.event, e.StepFinished | e.StepFailed):
            self._draw(self.memory.state.steps[record.event.step])

    def catch_up(self) -> None:
        """Draw for every act of this run that was never counted."""
        for step in self.memory.state.steps.values():
            self._draw(step)

    def _draw(self, step: StepState) -> None:
        begun = step.begun
        if not begun.act or begun.instrument not in self.stations:
            return
        held = self.book.left(begun.instrument)
        if held is None:
            return
        action = self.stations[begun.instrument].actions[begun.action]
        # A person who says "done, 0.14 mL" names no achieved value: it is the act's amount.
        achieved = {**step.achieved}
        if action.amount and "amount" in achieved:
            achieved[action.amount] = achieved.pop("amount")
        taken = drawn(action, achieved, held.unit)
        if taken is not None:
            opened = self.memory.state.opened
            self.book.draw(begun.instrument, taken, f"{opened.run_id if opened else ''}/{begun.step}")
