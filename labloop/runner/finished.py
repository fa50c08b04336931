"""What a step that came to its end gave, as a fact: every number with its unit and what is wrong with it."""

from collections.abc import Callable
from dataclasses import replace

from labloop.bench import Action, Declaration, InstrumentFault, Progress, Verdict
from labloop.campaign import events as e
from labloop.campaign.flags import array_flag, believed, no_number, plain_amounts, unit_flag


def finished(
    begun: e.StepStarted, look: Progress, save_as: str, action: Action, declared: Declaration,
    keep: Callable[[bytes], str], t_s: float,
) -> e.StepFinished:  # fmt: skip
    """The readings that the action gives come first, as it declares them: the first is what ``save_as`` keeps.

    ``keep``: what keeps an array's data, by a name. Raises InstrumentFault for an amount that is no number.
    """
    achieved = plain_amounts(look.achieved)
    if doubtful := no_number(achieved):
        raise InstrumentFault(f"{begun.instrument} says that it achieved {doubtful}", kind="no_number")
    units = {name: one.unit for name, one in declared.signals.items()}
    units |= {one.name: one.unit for one in action.gives}
    axes = {one.name: one.axis for one in (*declared.signals.values(), *action.gives)}
    readings = {key: believed(reading, units.get(key)) for key, reading in look.readings.items()}
    for key, data in look.arrays.items():
        name = keep(data)
        said = look.readings.get(key) or e.Reading(unit=units.get(key, ""))
        flag = said.flag or array_flag(data) or (unit_flag(said.unit, units[key]) if said.unit and key in units else "")
        readings[key] = e.Reading(
            unit=said.unit, blob=name, length=len(data) // 8, flag=flag, censored="" if flag else said.censored,
            axis=axes.get(key, ""),
        )  # fmt: skip
    given = {one.name: readings[one.name] for one in action.gives if one.name in readings}
    if action.gives and action.gives[0].name not in given:
        save_as = ""  # what was to be saved was not read: no other reading stands in for it
    return e.StepFinished(step=begun.step, achieved=achieved, readings={**given, **readings}, save_as=save_as, t_s=t_s)


def plainly(verdict: Verdict) -> Verdict:
    """The same with Python's numbers, which a fact can keep."""
    done, rest = plain_amounts(verdict.achieved), plain_amounts(verdict.remainder)
    return replace(verdict, achieved=done, remainder=rest)
