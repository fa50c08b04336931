"""What acts have made of the bench: what each setting stands at and since when, what goes on, what rests since when.

A fold over the facts of a run. What a person or another run did in between is not among them: then nobody can say how
long anything has stood, and it counts from the moment this run took the bench. What a person has set by hand since a
run had it is known by the bench's own journal (``left``), and how fast it may be changed is reckoned from there; but
nobody has watched since whether it stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from labloop.campaign import events as e

from .declared import Declaration
from .instrument import Action, Setting
from .rules import ActName

# Faults that say that nothing was sent.
NOTHING_SENT: Final = ("not_done", "safety")
# Faults that are no word of the instrument's own: for any other it was stopped.
NOT_STOPPED: Final = (*NOTHING_SENT, "link", "protocol", "interrupted", "discarded", "lost")


def stopped_for(fact: e.Fact) -> bool:
    """Whether a step ended so that its instrument was stopped, all of it."""
    return isinstance(fact, e.StepFailed) and fact.fault not in NOT_STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """What a setting was set to, when, and by which step; ``before``: what it stood at until then.

    ``over``: its instrument was stopped since, or has fallen back, and is not on its way there any more. ``on_s``:
    since when it has been on its way to what it was set to, this value or those before.
    """

    amount: e.Amount
    since_s: float
    step: str
    action: str = ""
    on_s: float = 0.0
    over: bool = False
    before: "Stood | None" = None


class Standing:
    """Grows by ``apply``; times are the run's own seconds."""

    def __init__(self, declared: Mapping[str, Declaration]) -> None:
        self._declared = declared
        self.settings: dict[tuple[str, str], Stood] = {}
        self.left: dict[tuple[str, str], Stood] = {}
        self.going: dict[str, e.StepStarted] = {}
        self._rests_since_s: dict[ActName, float] = {}
        self._unsure_until_s: float | None = None

    def unsure(self, now_s: float) -> None:
        """Others had the bench until now: nobody knows what they set and did, and when."""
        self.settings.clear()
        self.left.clear()
        self._rests_since_s.clear()
        self._unsure_until_s = now_s

    def leave(self, act: e.ByHand, at_s: float) -> None:
        """What a person has set by hand, and when, before this run (or command) had the bench."""
        if act.failed.startswith("not_begun"):
            return
        declared = self._declared.get(act.instrument)
        action = declared.actions.get(act.action) if declared is not None else None
        if action is None or act.failed or action.stops:
            for key, stood in list(self.left.items()):  # what failed has stopped the bench, but for what is kept
                if key[0] == act.instrument or (act.failed and not self._goes_on(key[0], stood.action)):
                    del self.left[key]
            return
        for name, amount in set_by(action, act.settings).items():
            self.left[act.instrument, name] = Stood(amount=amount, since_s=at_s, step=act.act, action=act.action)

    def stood(self, instrument: str, setting: str) -> Stood | None:
        """What a setting stands at, as far as anybody knows."""
        key = instrument, setting
        return self.settings.get(key) or self.left.get(key)

    def since_s(self, instrument: str, setting: str) -> float | None:
        """Since when a setting has stood as it does; None: it was never set."""
        stood = self.stood(instrument, setting)
        return self._unsure_until_s if stood is None else stood.since_s

    def rests_since_s(self, instrument: str, action: str) -> float | None:
        """Since when an action is over; None: it was never done."""
        return self._rests_since_s.get((instrument, action), self._unsure_until_s)

    def apply(self, fact: e.Fact, now_s: float = 0.0) -> None:
        """Add one fact. ``now_s``: when it became one.

        A step that nobody saw end has ended by then, and a rest is counted from there: from the earliest end, which a
        sample ages from, it would be too short.
        """
        if isinstance(fact, e.StepStarted):
            self._begun(fact)
        elif isinstance(fact, e.StepFinished | e.StepFailed):
            self._ended(fact, now_s)
        elif isinstance(fact, e.SafeStateReached):
            for known in (self.settings, self.left):
                for key in [key for key, stood in known.items() if not self._goes_on(key[0], stood.action)]:
                    del known[key]

    def steers(self, instrument: str, setting: str) -> Stood | None:
        """What an instrument was set to and is on its way to, as far as anybody knows."""
        stood = self.settings.get((instrument, setting))
        return None if stood is None or stood.over else stood

    def stopped(self, instrument: str) -> None:
        """It was stopped: how long its settings have stood counts as before, and nothing is on its way there."""
        for key, stood in self.settings.items():
            if key[0] == instrument:
                self.settings[key] = replace(stood, over=True)

    def _goes_on(self, instrument: str, action: str) -> bool:
        declared = self._declared.get(instrument)
        return declared is not None and declared.goes_on(action)

    def _begun(self, fact: e.StepStarted) -> None:
        declared = self._declared.get(fact.instrument)
        action = declared.actions.get(fact.action) if declared is not None else None
        if action is None:
            return  # a person's step, or an action that the driver had once
        self.going[fact.step] = fact
        if action.stops:
            for known in (self.settings, self.left):
                for key in [key for key in known if key[0] == fact.instrument]:
                    del known[key]
        for name, amount in set_by(action, fact.settings).items():
            key = (fact.instrument, name)
            before = self.settings.get(key)
            on_s = fact.t_s if before is None or before.over else before.on_s
            self.settings[key] = Stood(
                amount=amount, since_s=fact.t_s, step=fact.step, action=fact.action, on_s=on_s,
                before=before and replace(before, before=None),
            )  # fmt: skip

    def _ended(self, fact: e.StepFinished | e.StepFailed, now_s: float) -> None:
        begun = self.going.pop(fact.step, None)
        if begun is None:
            return
        if isinstance(fact, e.StepFailed) and fact.fault in NOTHING_SENT:
            for key, stood in list(self.settings.items()):
                if stood.step == fact.step and stood.before is not None:
                    self.settings[key] = stood.before
                elif stood.step == fact.step:
                    del self.settings[key]
            return
        if stopped_for(fact):
            self.stopped(begun.instrument)
        elif self._declared[begun.instrument].actions[begun.action].falls_back:
            for key, stood in self.settings.items():
                if stood.step == fact.step:
                    self.settings[key] = replace(stood, over=True)
        self._rests_since_s[begun.instrument, begun.action] = max(fact.t_s, now_s)


def set_by(action: Action, asked: Mapping[str, e.Amount]) -> dict[str, e.Amount]:
    """What an act sets, by default too; what it leaves as it was is not there."""
    amounts = {one.name: asked.get(one.name) or _default(one) for one in action.settings}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _default(setting: Setting) -> e.Amount | None:
    return None if setting.default is None else e.Amount(setting.default, setting.unit)
