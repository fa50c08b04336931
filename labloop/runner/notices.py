"""What somebody outside is told of a run, as its facts come: five kinds of notice, made from facts alone.

halted     it ended and waits for a person
waiting    it goes on, and something in it waits for a person: a question, an approval, work by hand, a pause
alarm      an instrument, an interlock, a bench that is not safe, an end that nobody wanted
new_best   a trial is better than all before (or stands on the front)
finished   it ended as it should, or because a person said so
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign import events as e
from labloop.campaign import text, view
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState
from labloop.campaign.targets import About

GRAVEST_FIRST: Final[tuple[About, ...]] = ("alarm", "halted", "waiting", "finished", "new_best")


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to be told."""

    about: About
    title: str
    words: str = ""


class Notices:
    """Hears a run's facts in order, each after ``state`` has it. ``run`` names its folder in commands.

    ``spec``: the campaign that is in force.
    """

    def __init__(self, spec: CampaignSpec, state: CampaignState, run: str) -> None:
        self.spec, self._state, self._run = spec, state, text.in_shell(run)
        self._asked = {step.begun.step for step in view.waiting(state)}

    def of(self, fact: Any) -> list[Notice]:
        """What this fact is to be told of, if anything."""
        return [*self._ends(fact), *self._alarms(fact), *self._waits(fact), *self._better(fact)]

    def _ends(self, fact: Any) -> Iterator[Notice]:
        if isinstance(fact, e.CampaignHalted):
            yield Notice("halted", "HALTED", f"{fact.reason}\nGo on with: labloop resume {self._run}")
        elif isinstance(fact, e.CampaignFinished):
            yield Notice("alarm" if fact.exit_code else "finished", "finished", f"{fact.reason}\n{self._best()}")
        elif isinstance(fact, e.CampaignStopped):
            meant = fact.by or fact.exit_code in (4, 130)
            by = f" by {fact.by}" if fact.by else ""
            yield Notice("finished" if meant else "alarm", f"stopped{by}", f"{fact.reason}\n{self._best()}")

    def _alarms(self, fact: Any) -> Iterator[Notice]:
        if isinstance(fact, e.AlarmHeard):
            yield Notice("alarm", f"alarm of {fact.instrument}", fact.said)
        elif isinstance(fact, e.InstrumentLost):
            yield Notice("alarm", f"{fact.instrument} lost", fact.reason)
        elif isinstance(fact, e.WatchTripped):
            yield Notice("alarm", f"{fact.rule} tripped", f"{fact.reason} ({fact.then})")
        elif isinstance(fact, e.SafeStateReached) and fact.errors:
            yield Notice("alarm", "the bench is NOT safe", "\n".join(fact.errors))

    def _waits(self, fact: Any) -> Iterator[Notice]:
        if isinstance(fact, e.CampaignPaused) and not fact.by:
            yield Notice("waiting", "paused by itself", f"{fact.reason}\nlabloop request {self._run} resume")
        elif isinstance(fact, e.WatchCleared) and not fact.released:
            yield Notice("waiting", f"{fact.rule} is over", f"Go on with: labloop request {self._run} resume")
        elif isinstance(fact, e.SettingsRead) and fact.moved:
            yield Notice("waiting", "something was moved meanwhile", ", ".join(fact.moved))
        elif isinstance(fact, e.ProposalMade) and self.spec.approval == "human" and fact.role == "candidate":
            words = f"{text.settings(fact.settings, {})}\nlabloop request {self._run} approve {fact.trial}"
            yield Notice("waiting", f"trial {fact.trial} waits for approval", words)
        elif isinstance(fact, e.StepInDoubt | e.StepStarted):
            now = {step.begun.step: step for step in view.waiting(self._state)}
            for name in now.keys() - self._asked:
                question, _ = view.question_of(now[name])
                words = f"{question}\nlabloop status {self._run} shows the answers"
                yield Notice("waiting", f"a question ({view.target(now[name])})", words)
            self._asked = set(now)

    def _better(self, fact: Any) -> Iterator[Notice]:
        if isinstance(fact, e.TrialMeasured) and fact.trial in {t.trial for t in self._leaders()}:
            place = "is on the front" if Objective(self.spec).pareto else "is the best"
            found = ", ".join(f"{name} {text.reading(one)}" for name, one in fact.outcomes.items())
            words = f"{found} ({text.settings(self._state.trials[fact.trial].settings, {})})"
            yield Notice("new_best", f"trial {fact.trial} {place} so far", words)

    def _leaders(self) -> list[Any]:
        return view.best_trials(self.spec, self._state)

    def _best(self) -> str:
        found = self._leaders()
        if not found:
            return "nothing was measured"
        outcomes = ", ".join(f"{name} {text.reading(one)}" for name, one in found[0].outcomes.items())
        return f"best: trial {found[0].trial}: {outcomes}" if len(found) == 1 else f"{len(found)} trials on the front"
