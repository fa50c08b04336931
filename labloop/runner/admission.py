"""Who may begin what now: the gate of the bench as a run sees it.

It knows what the run's facts and the bench's have made of the bench (see bench.standing, bench.totals), what the trial
wished and what was achieved in it, and what is measured at this moment; and asks the gate with all of that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from labloop.bench import Envelope, Gate, NoRoom, Permit, Standing, Totals, Watch, Wish, drawn
from labloop.bench.declared import EVERYTHING, kept_of
from labloop.bench.gate import Wished as Wished
from labloop.bench.gate import meaning
from labloop.bench.standing import NOTHING_SENT, set_by, stopped_for
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.lab_spec import LabSpec

from .book import BenchBook
from .clock import Clock


class OutOfStock(Exception):
    """An act wants more than the bench holds, or has room for: a person must see to it before anything starts."""


class Admission:
    """The gate of one run. ``wished``: a trial's settings as quantities and words. ``seen``: told of every reading."""

    def __init__(self, envelope: Envelope, clock: Clock, book: BenchBook | None = None) -> None:
        self.envelope = envelope
        self.clock = clock
        self.book = book
        self.totals = Totals(envelope.rules.totals, envelope.declared)
        self.standing = Standing(envelope.declared)
        self.gate = Gate(envelope, self.standing, self.totals)
        self.watch = Watch(envelope, self.standing, clock.now_s(), clock.speed)
        self.wished: Callable[[int | None], Mapping[str, Any]] = lambda trial: {}
        self.seen: Callable[[str, Mapping[str, e.Reading]], None] = lambda instrument, readings: None
        self._trials: Mapping[int, s.TrialState] | None = None  # None: no run, so nobody knows what stands there
        self._on: dict[str, int | None] = {}  # instrument -> the trial that it last worked for
        self._safe_seq = 0  # the fact by which the bench was made safe last
        self._stopped_seq: dict[str, int] = {}  # instrument -> the fact by which it was stopped last, all of it
        self._seq = 0  # the last fact
        self._by_hand: dict[str, int] = {}  # acts of people -> by which fact their instrument had been stopped before
        if book is not None:
            book.follow(self.totals.apply)

    def catch_up(self, records: Iterable[e.Record], state: s.CampaignState) -> None:
        """Take in what the run's facts say so far; others may have had the bench since."""
        self._trials = state.trials
        self._on = {step.begun.instrument: step.begun.trial for step in state.steps.values()}
        if self.envelope.remembers:
            unseen: list[e.ByHandSeen] = []
            for record in records:
                if isinstance(record.event, e.StepStarted) and unseen:
                    self._after_hands(unseen, record.event.t_s)
                    unseen = []
                self._take_in(record)
                if isinstance(record.event, e.ByHandSeen) and record.event.t_s:
                    self._after_hands([record.event], record.event.t_s)
                elif isinstance(record.event, e.ByHandSeen):
                    unseen.append(record.event)
            self._after_hands(unseen, self.clock.now_s())
        self.after_others()

    def _after_hands(self, seen: Iterable[e.ByHandSeen], t_s: float) -> None:
        """What the run did itself for a person, as of its own steps: the bench's journal has the acts, not the run's.

        ``t_s``: when it was over; at the latest, where its runner was killed.
        """
        names = [name for one in seen for name in one.acts]
        acts = self.book.acts_by_hand() if names and self.book is not None else {}
        for act in (acts.get(name) for name in names):
            if act is None or not act.failed.startswith("not_begun"):
                touched = self.envelope.declared if act is None else [act.instrument]  # in another run, anywhere
                self._stopped_seq.update(dict.fromkeys(touched, self._seq + 1))
        for act in [acts[name] for name in names if name in acts and acts[name].run]:
            fault = "not_done" if act.failed.startswith("not_begun") else "stopped"
            over = (
                e.StepFinished(step=act.act, achieved=dict(act.achieved), t_s=t_s) if act.done
                else e.StepFailed(step=act.act, fault=fault, reason=act.failed, t_s=t_s)
            )  # fmt: skip
            for fact in (hand_step(act, t_s), over):
                self.tell(fact)

    def tell(self, fact: e.StepStarted | e.StepFinished | e.StepFailed | e.SafeStateReached) -> None:
        """Let the gate and the watch know what is no fact of the run: of an act by hand, as of a step of its own."""
        if isinstance(fact, e.StepStarted):  # what a trial had set there a person has set otherwise, or ended
            self._by_hand[fact.step] = self._stopped_seq.get(fact.instrument, 0)
            self._stopped_seq[fact.instrument] = self._seq + 1
        elif isinstance(fact, e.StepFailed) and fact.fault in NOTHING_SENT and fact.step in self.standing.going:
            self._stopped_seq[self.standing.going[fact.step].instrument] = self._by_hand.get(fact.step, 0)
        self.standing.apply(fact)
        self.watch.apply(fact)

    def stopped(self, instrument: str) -> None:
        """Somebody stopped an instrument, all of it, beside any act."""
        self.standing.stopped(instrument)
        self.watch.stopped(instrument)

    def after_others(self, stopped_at: str = "") -> None:
        """What somebody else set on the bench, and when, nobody knows: it counts from when they gave it back, or from
        when what they had left running was stopped (``stopped_at``)."""
        if self.book is not None and (until := stopped_at or self.book.others_until):
            self.standing.unsure(self._then_s(until))
            for act, at in self.book.left_by_hand():
                self.standing.leave(act, self._then_s(at))

    def _then_s(self, at: str) -> float:
        """A time stamp by the run's clock; one that is still to come is now."""
        gone_s = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
        return self.clock.now_s() - max(gone_s, 0.0) * self.clock.speed

    def apply(self, record: e.Record) -> None:
        """Add one fact of the run, which has become one just now."""
        self._take_in(record, self.clock.now_s())

    def _take_in(self, record: e.Record, now_s: float = 0.0) -> None:
        match record.event:
            case e.StepStarted(instrument=name, action=action, trial=trial):
                self._on[name] = trial
                declared = self.envelope.declared.get(name)
                if declared is not None and action in declared.actions and declared.actions[action].stops:
                    self._stopped_seq[name] = record.seq
            case e.StepFailed(step=step) as fact if stopped_for(fact) and step in self.standing.going:
                self._stopped_seq[self.standing.going[step].instrument] = record.seq
            case e.SafeStateReached():
                self._safe_seq = record.seq
        self._seq = record.seq
        self.standing.apply(record.event, now_s)
        self.watch.apply(record.event)

    # --- what is known --------------------------------------------------------------------------------------------

    def values(self, trial: int | None) -> dict[str, Any]:
        """What conditions are judged by: the trial's settings, what was achieved in it, and what is measured now."""
        found: dict[str, Any] = dict(self.wished(trial))
        for step in self._trials[trial].steps if trial is not None and self._trials is not None else ():
            if step.fault not in NOTHING_SENT:
                over = self._over(step)
                for name, amount in {**step.begun.settings, **self._set_by(step), **step.achieved}.items():
                    if name not in over:
                        found[f"{step.begun.instrument}.{name}"] = meaning(amount)
        for (instrument, name), stood in self.standing.settings.items():
            if trial is not None and stood.step in self._by_hand and not stood.over:
                found[f"{instrument}.{name}"] = meaning(stood.amount)
        return {**found, **self.watch.sight(self.clock.now_s())}

    def _set_by(self, step: s.StepState) -> Mapping[str, e.Amount]:
        declared = self.envelope.declared.get(step.begun.instrument)
        action = declared.actions.get(step.begun.action) if declared is not None else None
        return {} if action is None else set_by(action, step.begun.settings)

    def _over(self, step: s.StepState) -> frozenset[str]:
        """The settings of a step that stand no more: its instrument was stopped since, or a person was at it."""
        declared = self.envelope.declared.get(step.begun.instrument)
        if declared is None:
            return frozenset()
        safe_seq = 0 if declared.goes_on(step.begun.action) else self._safe_seq
        since = max(safe_seq, self._stopped_seq.get(step.begun.instrument, 0))
        return declared.lasting if step.seq < since else frozenset()

    def beyond(self, begun: e.StepStarted, rest: Mapping[str, e.Amount]) -> str:
        """Why the rest of an act is none that may be done, in words ("": it may): too little for a valve, say."""
        where = begun.instrument, begun.action
        complaints = self.envelope.complaints(*where, rest, self.values(begun.trial), unread=False)
        return complaints[0].partition(". ")[0] if complaints else ""

    def on(self, instrument: str) -> list[dict[str, Any] | None]:
        """The same for each trial whose sample an instrument may concern; None: nothing stands there.

        That is the trial that it worked for last, until that is over; where it was set up for no trial in particular,
        or left alone, every one that something was begun for.
        """
        if self._trials is None:
            return [self.values(None)]
        trial = self._on.get(instrument)
        if trial is not None:
            return [None if self._trials[trial].closed else self.values(trial)]
        there = [number for number, one in self._trials.items() if one.steps and not one.closed]
        return [self.values(number) for number in there] or [None]

    def see(self, instrument: str, readings: Mapping[str, e.Reading]) -> None:
        """Take in what was read, by a step or between steps. Raises SafetyError when it breaks a limit."""
        self.seen(instrument, readings)
        first, *others = self.on(instrument)
        self.watch.see(instrument, readings, self.clock.now_s(), first)
        for values in others:
            self.envelope.check_reading(instrument, readings, values or {}, unknown=True)

    def kept_beyond(self, lab: LabSpec) -> list[str]:
        """What ``keep`` lets go on though a reading of its own is beyond its limit: such a bench is not safe."""
        found = []
        for name, actions in kept_of(lab).items():
            one = self.envelope.declared[name]
            units = {setting.unit for word in actions & one.actions.keys() for setting in one.actions[word].settings}
            moved = [signal.name for signal in one.signals.values() if actions == EVERYTHING or signal.unit in units]
            if why := self.watch.beyond(name, moved):
                found.append(f"{name}: {why}, and keep lets it go on: only a person stops it")
        return found

    # --- what may begin -------------------------------------------------------------------------------------------

    def asks(self, steps: Iterable[Wished]) -> set[str]:
        """The instruments that must be read first."""
        return {name for step in steps for name in self.gate.asks(_wish(step))}

    def stage(self, steps: Sequence[Wished], trial: int | None) -> None:
        """Say nothing when all of ``steps`` may begin together now.

        Raises SafetyError, NotYet, OutOfStock.
        """
        wishes = [_wish(step) for step in steps]
        try:
            self.gate.admit(wishes, self.values(trial), self.clock.now_s())
        except NoRoom as error:
            name = str(error).partition(" ")[0].partition(".")[2]
            raise OutOfStock(f"{error} Empty it, {self._say(f'empty {name}')}") from error
        for wish in wishes:
            self._check_stock(wish)

    def too_early(self, step: Wished) -> None:
        """Say why an act by hand cannot begin now: nobody waits for it. Raises SafetyError, if it cannot."""
        try:
            self.stage([step], None)
        finally:
            self.gate.waits_no_longer(_wish(step))

    def permit(self, step: Wished, trial: int | None, beside: Sequence[Wished] = ()) -> Permit:
        """The permit for one step; ``beside``: what begins together with it. Raises SafetyError."""
        wishes = [_wish(one) for one in beside]
        return self.gate.permit(_wish(step), self.values(trial), self.clock.now_s(), wishes)

    def permit_again(self, step: Wished, trial: int | None, beside: Sequence[Wished] = ()) -> Permit:
        """A new permit for a step that has one, and has not begun. Raises SafetyError."""
        wishes = [_wish(one) for one in beside]
        return self.gate.permit_again(_wish(step), self.values(trial), self.clock.now_s(), wishes)

    def _check_stock(self, wish: Wish) -> None:
        action = self.envelope.action(wish.instrument, wish.action)
        held = self.book.left(wish.instrument) if self.book is not None and action.amount else None
        if self.book is None or held is None:
            return
        resolved = self.envelope.resolve(wish.instrument, wish.action, wish.settings)
        expected = self.envelope.declared[wish.instrument].expected(wish.action, resolved)
        wanted = drawn(action, expected.achieved, held.unit)
        missing = self.book.missing(wish.instrument, wanted) if wanted else ""
        if missing:
            raise OutOfStock(f"{missing}. Refill it, {self._say(f'refill {wish.instrument} AMOUNT')}")

    def _say(self, what: str) -> str:
        if self._trials is None:  # no run
            return f"and say so: `labloop instruments LAB {what}`."
        return f"say so with `labloop request RUN {what}`, and resume."


def hand_step(act: e.ByHand, t_s: float) -> e.StepStarted:
    """An act by hand that begins, as the step that it would be."""
    return e.StepStarted(
        step=act.act, phase="by hand", stage=0, index=0, instrument=act.instrument, action=act.action,
        settings=dict(act.settings), t_s=t_s,
    )  # fmt: skip


def _wish(step: Wished) -> Wish:
    return Wish(instrument=step.instrument, action=step.action, settings=step.settings)
