"""What a person is asked about an act, and what each answer will do: how much, where to, and how long it may wait."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from labloop.bench import Action
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.text import duration

Waits = tuple[float | None, float | None]  # how long a sample may wait for the stage of an act, and for the next one


class Knows(Protocol):
    """What is known of an act beyond its facts."""

    def does(self, begun: e.StepStarted, settings: Mapping[str, e.Amount]) -> str: ...
    def may_wait(self, begun: e.StepStarted) -> Waits: ...


class Plain:
    """Nothing but the facts."""

    def does(self, begun: e.StepStarted, settings: Mapping[str, e.Amount]) -> str:
        """An action with its settings, in words."""
        return f"{begun.action} ({amounts_text(settings)})"

    def may_wait(self, begun: e.StepStarted) -> Waits:
        """Nobody said."""
        return None, None


PLAIN: Final = Plain()


class Knowledge:
    """What a run knows of its acts: drivers say how much, the lab's totals where to, the recipe until when."""

    def __init__(
        self, action: Callable[[str, str], Action], stations: Mapping[str, Any], envelope: Any, totals: Any
    ) -> None:
        self.recipe: Callable[[e.StepStarted], Waits] = PLAIN.may_wait
        self._action = action
        self._stations = stations
        self._envelope = envelope
        self._totals = totals

    def does(self, begun: e.StepStarted, settings: Mapping[str, e.Amount]) -> str:
        """What an action with these settings will do to matter, in words."""
        name, action = begun.instrument, self._action(begun.instrument, begun.action)
        resolved = self._envelope.resolve(name, begun.action, settings)
        achieved = self._stations[name].declaration.expected(begun.action, resolved).achieved
        amount = achieved.get(action.amount) if action.amount else None
        much = f" {amount_text(amount)}" if amount is not None else ""
        into = [rule.name.partition(".")[2] for rule in self._totals.rules if (name, begun.action) in rule.of]
        where = f" into {' and '.join(sorted(into))}" if into else ""
        return f"{begun.action}{much}{where} ({amounts_text(settings)})"

    def may_wait(self, begun: e.StepStarted) -> Waits:
        """What the recipe says."""
        return self.recipe(begun)


def undone(state: s.CampaignState, facts: Sequence[e.StepFailed], says: str, knows: Knows = PLAIN) -> list[e.Fact]:
    """What becomes of the steps of a stage that were not begun: a question where others were and the recipe says ask.

    ``facts``: what the instruments said of them. One that nothing was asked about is simply done later.
    """
    steps = [state.steps[fact.step] for fact in facts]
    if says != "ask" or not steps:
        return list(facts)
    begun = steps[0].begun
    others = state.trials[begun.trial].steps if begun.trial is not None else state.loose_steps
    moved = [
        f"{other.begun.instrument} ({amounts_text(other.achieved)})"
        for other in others
        if (other.begun.phase, other.begun.number, other.begun.stage) == (begun.phase, begun.number, begun.stage)
        and (other.state == s.FINISHED or other.achieved)
    ]
    if not moved:
        return list(facts)
    why = f"and it was to begin together with {', '.join(moved)}, which did"
    return [
        question(step, f"It did not begin ({fact.reason}), {why}.", knows=knows)
        for step, fact in zip(steps, facts, strict=True)
    ]


def question(
    step: s.StepState,
    why: str,
    achieved: Mapping[str, e.Amount] = MappingProxyType({}),
    remainder: Mapping[str, e.Amount] = MappingProxyType({}),
    knows: Knows = PLAIN,
) -> e.StepInDoubt:
    """What a person must answer about an act, and what each answer will do."""
    begun = step.begun
    whose = f"trial {begun.trial}" if begun.trial is not None else begun.phase
    known = f", on top of {amounts_text(achieved)} that it has done" if achieved and not remainder else ""
    here_s, next_s = knows.may_wait(begun)
    if remainder:
        again = f"{begun.instrument} will do the rest now: {knows.does(begun, remainder)}"
    else:
        again = f"{begun.instrument} will do it now, in full: {knows.does(begun, begun.settings)}{known}"
    late = "; where its sample has waited for more than {} by then, that is cleaned away instead"
    answers = {
        "done": "it counts as done (say how much, if it was another amount), and when all that began with it is done "
        "the recipe goes on" + ("" if next_s is None else late.format(duration(next_s))),
        "not-done": again + ("" if here_s is None else late.format(duration(here_s))),
    }
    if begun.phase == "trial":
        answers["discard"] = "the sample is cleaned away, and the same settings are tried again as a new trial"
    return e.StepInDoubt(
        step=begun.step,
        question=f"Was {begun.instrument}.{begun.action} ({amounts_text(begun.settings)}) of {whose} done? {why}",
        answers=answers,
        achieved=dict(achieved),
        remainder=dict(remainder),
    )


def with_trial(state: s.CampaignState, fact: e.Fact) -> list[e.Fact]:
    """A fact, and with a question about a trial's sample that the trial is in doubt: both in one commit."""
    if not isinstance(fact, e.StepInDoubt):
        return [fact]
    begun = state.steps[fact.step].begun
    if begun.trial is None or state.trials[begun.trial].state != s.RUNNING:
        return [fact]
    return [fact, e.TrialInDoubt(trial=begun.trial, reason="an act may or may not have been done")]


def amounts_text(settings: Mapping[str, e.Amount]) -> str:
    """Settings in words."""
    return ", ".join(f"{name} = {amount_text(amount)}" for name, amount in settings.items()) or "no settings"


def amount_text(amount: e.Amount) -> str:
    """An amount in words: ``66.3 uL``."""
    number = f"{amount.value:.6g}" if isinstance(amount.value, float) else str(amount.value)
    return f"{number} {amount.unit}".strip()
