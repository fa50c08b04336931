"""What was set earlier in a trial or in a phase, and a safe state took back, is set again before the rest is done.

Whatever made the bench safe (a stop, an abort, the guard, a pause that had its time), stirrers, heaters and gases are
off since, and a valve stands where the lab's list has turned it. Acts go on from where they are, and rely on what was
set before them. So a start that takes them up asks each instrument, read-only, what of that stands still, and what does
not is set again, in the order of the recipe.

Only what may be repeated and sets something: no amount, no measurement. A hold that is over was done to the sample, and
so was a rinse: neither is done to it twice. In a phase without a sample (a warm-up, a homing) they are done again. What
a later step of the same walk has set otherwise, or ended, is not set again either.
"""

from collections.abc import Iterable
from typing import Final

from labloop.bench import Action, InstrumentFault
from labloop.campaign.errors import SpecError
from labloop.campaign.state import FINISHED, StepState

from .step import StepHand

STANDS: Final = ("done", "running")  # verdicts of a driver
CANNOT_TELL: Final = "cannot_tell"  # set once more, a value is what it was to be; a homing is not done for nothing


async def taken_back(
    hand: StepHand, all_steps: Iterable[StepState], steps: Iterable[StepState], left: Iterable[str]
) -> list[StepState]:
    """Those of a walk's ``steps`` that are to be set again, in their order.

    ``all_steps``: with those by which what they have set may be over. ``left``: instruments that are left alone.
    Raises InstrumentGone, LinkInterrupted.
    """
    alone, mine, again = set(left), {id(step) for step in steps}, []
    for step in relied_on(hand, all_steps):
        begun = step.begun
        if begun.instrument in alone or id(step) not in mine:
            continue
        driver = hand.stations[begun.instrument].driver
        try:
            verdict = await hand.reach.named(
                begun.instrument, driver.happened, begun.action, begun.settings, begun.before, hand.act_name(begun.step)
            )
        except InstrumentFault:
            again.append(step)
            continue
        except SpecError:  # its settings were renamed since: this code cannot tell
            continue
        if verdict.state not in STANDS and (begun.settings or verdict.state != CANNOT_TELL):
            again.append(step)
    return again


def relied_on(hand: StepHand, steps: Iterable[StepState]) -> list[StepState]:
    """What set something that later ones of these have neither set otherwise nor ended."""
    kept: list[StepState] = []
    for step in steps:
        begun = step.begun
        if step.state != FINISHED or begun.instrument not in hand.stations:
            continue
        action = hand.stations[begun.instrument].actions.get(begun.action)
        if action is None:  # it is gone with the code that knew it
            continue
        kept = [one for one in kept if not _is_over(one, step, action)]
        if _sets(hand, step, action):
            kept.append(step)
    return kept


def _sets(hand: StepHand, step: StepState, action: Action) -> bool:
    reads = {signal.name for signal in hand.stations[step.begun.instrument].driver.signals}
    measures = any(signal.name not in reads for signal in action.gives)
    alone = step.begun.trial is None
    lasts = (action.act and action.repeatable and (alone or bool(step.begun.settings))) or (action.holds and alone)
    return bool(action.evidence and lasts) and not (action.amount or action.stops or measures)


def _is_over(step: StepState, later: StepState, action: Action) -> bool:
    """Whether a ``later`` step, which is such an ``action``, leaves nothing of what a step has set."""
    then, now = step.begun, later.begun
    if then.instrument != now.instrument:
        return False
    same = then.action == now.action and not (then.settings and now.settings)
    return action.stops or same or not then.settings.keys().isdisjoint(now.settings)
