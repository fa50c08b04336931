"""What was set earlier in a trial or in a phase, and a safe state took back, is set again before the rest is done.

Whatever made the bench safe (a stop, an abort, the guard, a pause that had its time), stirrers, heaters and gases are
off since, and a valve stands where the lab's list has turned it. Acts go on from where they are, and rely on what was
set before them. So a start that takes them up asks each instrument, read-only, what of that stands still, and what does
not is set again, in the order of the recipe.

Only what may be repeated and sets something: no amount, no measurement. A hold that is over was done to the sample, and
so was a rinse: neither is done to it twice. In a phase without a sample (a warm-up, a homing) they are done again. What
a later step of the same walk has set otherwise, or ended, is not set again either. What it has ended (a plate that it
has switched off) and setup, which is done again before it, has set since, is ended again.

What ends while the run goes on (a stirrer's mains, a gas turned off at the instrument) nobody may have noticed, and the
sample has stood without it for as long. So before a trial counts as done the same is asked once more, and one whose
settings do not stand is abandoned and tried again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from labloop.bench import Action, InstrumentFault
from labloop.campaign.errors import SpecError
from labloop.campaign.state import FINISHED, StepState

from .recovery import place
from .step import StepHand

STANDS: Final = ("done", "running")  # verdicts of a driver
CANNOT_TELL: Final = "cannot_tell"  # set once more, a value is what it was to be; a homing is not done for nothing


async def taken_back(
    hand: StepHand, all_steps: Iterable[StepState], steps: Iterable[StepState], left: Iterable[str],
    set_up: Mapping[str, int],
) -> list[StepState]:  # fmt: skip
    """Those of a walk's ``steps`` that are to be set again, in their order.

    ``all_steps``: with those by which what they have set may be over. ``left``: instruments that are left alone.
    ``set_up``: where setup has done something, and in which fact at last. Raises InstrumentGone, LinkInterrupted.
    """
    alone, mine, again = set(left), {id(step) for step in steps}, []
    off: set[str] = set()  # what is ended again, with all that was set there since it was
    anew: set[tuple[str, str]] = set()  # what is set again by then, and not for the last time
    for step in relied_on(hand, all_steps):
        begun = step.begun
        if begun.instrument in alone or id(step) not in mine:
            continue
        action = _action(hand, step)
        if action.stops:
            if set_up.get(begun.instrument, 0) > step.seq:
                again.append(step)
                off.add(begun.instrument)
            continue
        places = {(begun.instrument, name) for name in _stand(action, step)}
        if begun.instrument in off or not anew.isdisjoint(places) or await _is_undone(hand, step):
            again.append(step)
            anew |= places
    return again


async def fallen(hand: StepHand, steps: Iterable[StepState], left: Iterable[str]) -> list[str]:
    """What a trial's ``steps`` have set and does not stand any more, in words; not what a person has found right since.

    Of each action the last act: of an earlier one (a stage that has moved on) no instrument tells. ``left`` and Raises:
    see ``taken_back``.
    """
    alone, gone = set(left), []
    last = {(step.begun.instrument, step.begun.action): step for step in relied_on(hand, steps)}
    for (instrument, action), step in last.items():
        if instrument not in alone and not _action(hand, step).stops and step.seq > hand.memory.state.accepted_seq:
            state, why = await _said(hand, step)
            gone += [] if state in (*STANDS, CANNOT_TELL) else [f"{instrument}.{action} ({why})"]
    return gone


async def _is_undone(hand: StepHand, step: StepState) -> bool:
    state, _ = await _said(hand, step)
    return state not in STANDS and (bool(step.begun.settings) or state != CANNOT_TELL)


async def _said(hand: StepHand, step: StepState) -> tuple[str, str]:
    """What its instrument says of it: a verdict's state ("fault": it fails), and why."""
    begun = step.begun
    driver = hand.stations[begun.instrument].driver
    try:
        verdict = await hand.reach.named(
            begun.instrument, driver.happened, begun.action, begun.settings, begun.before, hand.act_name(begun.step)
        )
    except InstrumentFault as fault:
        return "fault", str(fault)
    except SpecError as error:  # its settings were renamed since: this code cannot tell, and leaves it
        return STANDS[0], str(error)
    return verdict.state, verdict.why


def relied_on(hand: StepHand, steps: Iterable[StepState]) -> list[StepState]:
    """What set something (of a place, one axis of it), or ended all at its instrument, that later ones of these have
    neither set otherwise nor ended."""
    kept: list[tuple[StepState, set[str]]] = []
    for step in _in_order(steps):
        begun = step.begun
        if begun.instrument not in hand.stations:
            continue
        action = hand.stations[begun.instrument].actions.get(begun.action)
        if action is None:  # it is gone with the code that knew it
            continue
        sets = _stand(action, step)
        kept = [
            (one, names - sets if one.begun.instrument == begun.instrument else names)
            for one, names in kept
            if not _is_over(one, names - sets, _action(hand, one), step, action)
        ]
        if _sets(hand, step, action) or (action.stops and action.repeatable):
            kept.append((step, sets))
    return [step for step, _ in kept]


def _in_order(steps: Iterable[StepState]) -> Iterable[StepState]:
    """Those that came to their end, each once, where it was done first: what is set again comes no later for it."""
    return {place(step.begun): step for step in steps if step.state == FINISHED}.values()


def _action(hand: StepHand, step: StepState) -> Action:
    return hand.stations[step.begun.instrument].actions[step.begun.action]


def _stand(action: Action, step: StepState) -> set[str]:
    """What stands from there on: not the way there (a feed), which has a default; what a homing says is where it is."""
    ways = {setting.name for setting in action.settings if setting.default is not None}
    given = step.begun.settings.keys()
    return set(given - ways or given or step.achieved)


def _sets(hand: StepHand, step: StepState, action: Action) -> bool:
    reads = {signal.name for signal in hand.stations[step.begun.instrument].driver.signals}
    measures = any(signal.name not in reads for signal in action.gives)
    alone = step.begun.trial is None
    lasts = (action.act and action.repeatable and (alone or bool(step.begun.settings))) or (action.holds and alone)
    return bool(action.evidence and lasts) and not (action.amount or action.stops or measures)


def _is_over(step: StepState, left: set[str], set_by: Action, later: StepState, action: Action) -> bool:
    """Whether a ``later`` step, which is such an ``action``, leaves nothing of what a step has set (or not enough to be
    set alone), but what is ``left``."""
    then, now = step.begun, later.begun
    if then.instrument != now.instrument:
        return False
    if action.stops or (then.action == now.action and not (then.settings and now.settings)):
        return True
    needed = {setting.name for setting in set_by.settings if setting.required}
    return bool(then.settings) and (not left or not needed <= left)
