"""What the facts of a bench add up to: who has it, what its stock holds, what is open there."""

import math
import re
from dataclasses import dataclass, field
from typing import Final

from . import events as e
from .units import convert

# Who holds the bench when nobody's run does.
BY_HAND: Final = "by hand"
GUARD: Final = "guard"  # the mode of a lease that the guard took
# Trials that say how much one takes: enough to even a recipe out whose amounts follow the settings, few enough to
# follow where the search goes.
LATEST: Final = 10
_TRIAL: Final = re.compile(r"[^/]*/\d+(?=\.)")  # of an act: run's id/trial.phase.stage.index.attempt


@dataclass(slots=True)
class BenchState:
    """What the bench's facts add up to."""

    epoch: int = 0
    leased_to: str = ""
    had_by: str = ""  # who held the bench last, now or before
    left_at: str = ""  # when it was given back last, or taken from who did not give it back
    stock: dict[str, e.Amount] = field(default_factory=dict)
    refilled: dict[str, int] = field(default_factory=dict)  # by instrument: under which epoch a person said so last
    drawn: set[str] = field(default_factory=set)
    # By instrument: what the latest trials took out of its stock, {run's id/trial: in the stock's unit}, oldest first.
    took: dict[str, dict[str, float]] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)  # wishes that said what a stock or a total holds
    contents: dict[str, str] = field(default_factory=dict)
    questions: dict[tuple[str, str], str] = field(default_factory=dict)  # (run, step) -> question
    holds: dict[str, dict[str, str]] = field(default_factory=dict)  # run -> who paused it, and why
    begun: dict[str, e.ByHand] = field(default_factory=dict)  # by instrument: by hand, and no end of it is known
    heard: dict[str, list[str | None]] = field(default_factory=dict)  # by instrument: who asked after that, was told
    noted: list[tuple[str, e.JournalNoted]] = field(default_factory=list)  # when, and what
    guard_acts: list[tuple[str, e.GuardActed]] = field(default_factory=list)  # when, and what
    guard_began: dict[int, tuple[str, str]] = field(default_factory=dict)  # by epoch: when, for whom; and no end of it
    unsaid: str = ""  # the mode of the last lease, until it is said how that ended
    silent: dict[int, tuple[str, str]] = field(default_factory=dict)  # by the epoch that came next: when, after whom

    def lasts(self, name: str) -> int | None:
        """For how many more trials like the latest ones a stock is enough; None: no trial has taken any of it yet."""
        took = self.took.get(name)
        if not took or name not in self.stock:
            return None
        each = sum(took.values()) / len(took)
        return max(math.floor(float(self.stock[name].value) / each + 1e-9), 0) if each > 0 else None

    def _took(self, name: str, act: str, taken: float) -> None:
        trial = _TRIAL.match(act)
        if trial is None:  # by hand, or in a phase that belongs to no trial
            return
        took = self.took.setdefault(name, {})
        took[trial[0]] = took.get(trial[0], 0.0) + taken
        while len(took) > LATEST:
            del took[next(iter(took))]

    def apply(self, record: e.Record) -> None:
        """Add one fact of the bench."""
        if isinstance(record.event, e.StockSet | e.TotalSet) and record.event.wish:
            self.granted.add(record.event.wish)
        match record.event:
            case e.LeaseTaken(epoch=epoch, run=run, mode=mode, untouched=untouched):
                # Somebody took the bench and could write nothing; or a guard may have asked, and could not say so.
                proven = untouched and run == self.had_by and self.unsaid == "live"
                if epoch > self.epoch + 1 or (self.unsaid in ("live", GUARD) and mode != GUARD and not proven):
                    self.silent[epoch] = record.at, self.had_by
                if self.leased_to:  # whoever had it went without a word: until now, for all that anybody knows
                    self.left_at = record.at
                self.unsaid = mode
                self.epoch, self.leased_to, self.had_by = epoch, run, run
                if run != BY_HAND:  # what an older version let pass: after others nobody can be asked any more
                    self.begun = {name: fact for name, fact in self.begun.items() if fact.run == run}
                self.holds.pop(run, None)  # whose word it waits for is the run's own to ask
                if mode == GUARD:
                    self.guard_began[epoch] = record.at, run
            case e.LeaseReleased(unasked=unasked):
                self.leased_to = self.leased_to if unasked else ""
                self.left_at, self.unsaid = record.at, ""
            case e.JournalNoted():
                self.noted.append((record.at, record.event))
            case e.GuardActed():
                self.unsaid = ""
                self.guard_acts.append((record.at, record.event))
                self.guard_began.pop(record.event.epoch, None)
            case e.StockSet(name=name, amount=amount, wish=wish):
                self.stock[name] = amount
                if wish:
                    self.refilled[name] = self.epoch
            case e.StockDrawn(name=name, amount=amount, act=act):
                if act not in self.drawn and name in self.stock:
                    self.drawn.add(act)
                    held = self.stock[name]
                    taken = convert(float(amount.value), amount.unit, held.unit)
                    self.stock[name] = e.Amount(float(held.value) - taken, held.unit)
                    self._took(name, act, taken)
            case e.ByHand(instrument=name):
                self.heard.pop(name, None)
                self.begun.pop(name, None)
                if not (record.event.done or record.event.failed):
                    self.begun[name] = record.event
            case e.InstrumentAsked(instrument=name):
                self.heard.setdefault(name, []).append(None)
            case e.AlarmHeard(instrument=name, said=said) | e.ActTaken(instrument=name, said=said):
                self.heard.setdefault(name, []).append(said)
            case e.InstrumentIdentified(instrument=name, first_reply=said):
                self.heard[name] = [*self.heard.get(name, ())[:-1], said]
            case e.HoldsKept(run=run, holds=holds):
                self.holds[run] = dict(holds)
            case e.ContentsChanged(place=place, sample=sample):
                self.contents[place] = sample
            case e.QuestionOpened(run=run, step=step, question=question):
                self.questions[run, step] = question
            case e.QuestionClosed(run=run, step=step):
                self.questions.pop((run, step), None)
