"""What the rules of several acts come to, told before anything moves: vessels that overflow, order that is not kept.

The recipe is walked once as it stands, at settings of the space: what each act will move adds up in the totals, and
what each sets stands until it is set anew or stopped; a limit with a condition on that is held against what comes
after. Only what is certain is complained about: a reading that no action of the bench sets (a door, say) is left to the
moment of the act, and what a person may have set is a warning.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from labloop.bench.bounds import DIGITS, SLACK, Bound
from labloop.bench.declared import Declaration
from labloop.bench.gate import after
from labloop.bench.instrument import Signal
from labloop.bench.lab import safe_state_of
from labloop.bench.rules import RequirementRule, TotalRule
from labloop.bench.safety import Envelope
from labloop.bench.totals import Totals
from labloop.campaign import asking, recipe
from labloop.campaign.analysis import ANALYSES, NM, area_unit
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.events import PERSON, Amount, Value
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.outcomes import OutcomeSpec
from labloop.campaign.rules import TABLES, readings_in
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.steps import steps_of
from labloop.campaign.text import quantity, settings
from labloop.campaign.units import Quantity, same_dimension

from .schedule import planned

Settings = Mapping[str, Value]
OF_A_TRIAL: Final = ("trial", "cleanup")
ALONE: Final = ("setup", "each_batch", "teardown")
FORESEEN: Final = 10_000  # samples: what lies beyond months of work is reckoned by nobody
Meant = Callable[[Settings], Mapping[str, Any]]


def unit_of_amounts(declaration: Declaration) -> str:
    """The unit in which an instrument's acts take something away ("": they do not)."""
    return next(
        (
            setting.unit
            for action in declaration.actions.values()
            for setting in action.settings
            if action.amount and setting.name == action.amount
        ),
        "",
    )


def unfit(outcome: OutcomeSpec, source: str, given: Sequence[Signal]) -> Iterator[tuple[str, str]]:
    """What an outcome wants of what is saved as ``source`` and cannot have: the key that says so, and why."""
    analysis = ANALYSES.get(outcome.analysis)
    if analysis is not None and analysis.curve and not all(one.array for one in given):
        yield "analysis", f"{outcome.analysis} needs a curve, and {source} is a single value. Take the analysis value"
        return
    for one in (one for one in given if one.array):
        window = outcome.window.unit if outcome.window is not None else ""
        if window and one.axis and not same_dimension(window, one.axis):
            yield "window", f"is in {window}, and the axis of {source} is in {one.axis}. Write it in that unit"
        units = {"peak_position": one.axis or NM, "area": area_unit(one.unit, one.axis)}
        gives = units.get(outcome.analysis)
        if outcome.unit and gives is not None and not same_dimension(gives, outcome.unit):
            of = f"{outcome.analysis} of {source} gives {gives or 'a pure number'}"
            yield "unit", f"{of}, which is not in {outcome.unit}. Correct the unit, or leave it out"


def runs(spec: CampaignSpec, attempts: int) -> dict[str, int]:
    """How often each phase comes in so many attempts, with repeats, controls and blanks; setup and teardown once."""
    every = {f"every.{at}": attempts // one.trials for at, one in enumerate(spec.every)}
    trials = attempts * spec.remake + sum(every[f"every.{at}"] for at, one in enumerate(spec.every) if not one.do)
    batches = math.ceil(attempts / spec.design.batch)
    return {"setup": 1, "each_batch": batches, **dict.fromkeys(OF_A_TRIAL, trials), **every, "teardown": 1}


def not_kept(lab: LabSpec, declared: Mapping[str, Declaration]) -> Iterator[str]:
    """What ``keep`` names and the instrument's own watchdog ends all the same, once no run speaks to it."""
    for at, name in enumerate(lab.keep):
        one = declared.get(name.partition(".")[0])
        if one is not None and one.silence_s > 0.0:
            yield (
                f"{lab.place(('keep', at))}: {name} is kept, and {one.watchdog}: it goes on for so long after a "
                "run has ended, and no longer. Take its watchdog out if that is not meant"
            )


def able(spec: CampaignSpec, lab: LabSpec, declared: Mapping[str, Declaration], points: Sequence[Settings]) -> bool:
    """Whether every instrument could do its steps at these points, whatever lab and campaign allow.

    Then its driver can tell how long they take and what they move.
    """
    own = Envelope(lab.model_copy(update={"limits_written": (), **{table: {} for table in TABLES}}), None, declared)
    alone = (*ALONE, *(f"every.{at}" for at in range(len(spec.every))))
    walks: list[tuple[str, Settings]] = [*((phase, {}) for phase in alone), *itertools.product(OF_A_TRIAL, points)]
    try:
        for phase, point in walks:
            for stage in recipe.stages(spec, phase, point):
                for step in stage.steps:
                    if step.instrument == PERSON:
                        asking.asking(step.settings)
                    elif own.complaints(step.instrument, step.action, step.settings):
                        return False
    except LabloopError:  # who examines the steps has said why
        return False
    return True


def unsafe(lab: LabSpec, envelope: Envelope, spec: CampaignSpec) -> list[str]:
    """Of the lab's list for the safe state: what cannot be done, or leaves a limit, the campaign's too; and what it
    brings to a total, which nobody counts then."""
    try:
        safe_state_of(lab, envelope.declared, spec)
    except SpecError as error:
        return list(error.complaints)
    return [
        lab.complaint(
            step.path,
            f"{rule.name} counts {step.name} ({rule.place}), and nobody counts what the safe state does, as often as "
            "it is reached. Take it out of one of the two, and leave room for it",
        )
        for step in steps_of(lab.safe_state)
        for rule in envelope.rules.totals
        if (step.instrument, step.action) in rule.of
    ]


def overflow(
    spec: CampaignSpec, envelope: Envelope, points: Sequence[Settings], attempts: int | None
) -> tuple[list[str], list[str]]:
    """Complaints and warnings about totals: what one trial, and each phase that is no trial's, brings at worst, and how
    many trials there is room for."""
    complaints: list[str] = []
    warnings: list[str] = []
    totals = Totals(envelope.rules.totals, envelope.declared)
    others = [phase for phase in runs(spec, 1) if phase not in OF_A_TRIAL]
    for rule in totals.rules:
        brought = {phase: _brought(rule, totals, spec, [phase], {}) for phase in others}
        for phase in others:
            brings, _ = _filled(rule, brought[phase])
            if rule.is_full(brings):
                complaints.append(
                    f"{rule.place}: {rule.name}: {phase} brings {quantity(brings, rule.unit)}, and "
                    f"{quantity(rule.most, rule.unit)} is the most. Lower the amounts, or empty it in between"
                )
        trials = [_brought(rule, totals, spec, OF_A_TRIAL, point) for point in points]
        (most, _), at = max((_filled(rule, one), n) for n, one in enumerate(trials))
        where = f" (at {settings(points[at])})" if points[at] else ""
        first = [*brought["setup"], *brought["each_batch"]]
        full, there = _filled(rule, first)
        if not rule.is_full(full) and rule.is_full(_filled(rule, [*first, *trials[at]])[0]):
            of = " and ".join(phase for phase in ("setup", "each_batch") if _brings(brought[phase]))
            after = f", after {quantity(there, rule.unit)} of {of}" if there > 0.0 else ""
            complaints.append(
                f"{rule.place}: {rule.name}: one trial can bring {quantity(most, rule.unit)}{where}{after}, and "
                f"{quantity(rule.most, rule.unit)} is the most. Lower the amounts, or empty it in between"
            )
        elif attempts is not None and not rule.is_full(full):
            controls = {
                f"every.{at}": _brought(rule, totals, spec, OF_A_TRIAL, one.control or one.blank)
                for at, one in enumerate(spec.every) if not one.do
            }  # fmt: skip
            room, beside = _room(rule, spec, attempts, trials[at], brought | controls)
            if room is not None:
                made = attempts * spec.remake
                warnings.append(
                    f"{rule.place}: {rule.name} = {quantity(rule.most, rule.unit)}: has room for {room} trials at worst"
                    f"{f', beside {beside}' if beside else ''}, and the budget allows {made} "
                    f"{'samples' if spec.remake > 1 else 'attempts'}; then a person must empty it"
                )
    return complaints, warnings


# What each act of a stage changes in a total, and whether it empties it before that.
_Brought = list[list[tuple[float, bool]]]


def _brought(
    rule: TotalRule, totals: Totals, spec: CampaignSpec, phases: Iterable[str], point: Settings
) -> _Brought:  # fmt: skip
    """What the stages of ``phases`` change in a total."""
    stages = [stage for phase in phases for stage in planned(spec, phase, point)]
    acts = [[(step.instrument, step.action, step.settings) for step in stage.steps] for stage in stages]
    return [[(totals.change(rule, *act), act[:2] in rule.until) for act in stage] for stage in acts]


def _filled(rule: TotalRule, stages: _Brought, held: float = 0.0) -> tuple[float, float]:
    """The most that a total comes to during ``stages`` that find ``held`` in it, and what is left there afterwards.

    What begins together is let in together: all that comes to it, whatever is taken away meanwhile.
    """
    most = held
    for stage in stages:
        if (more := sum(max(0.0, change) for change, _ in stage)) > 0.0:
            most = max(most, held + more)
        for change, empties in stage:
            held = max(0.0, (0.0 if empties else held) + change)
    return most, held


def _brings(stages: _Brought) -> bool:
    return any(change > 0.0 for stage in stages for change, _ in stage)


def _room(
    rule: TotalRule, spec: CampaignSpec, attempts: int, trial: _Brought, brought: Mapping[str, _Brought]
) -> tuple[int | None, str]:
    """How many samples of candidates there is room for in so many attempts (None: for all, or for FORESEEN), and
    beside what.

    ``brought``: by each other phase, and by a control's or blank's trial; all is done as often as ``runs`` says.
    """
    held, room = 0.0, 0

    def fits(stages: _Brought) -> bool:
        nonlocal held
        most, held = _filled(rule, stages, held)
        return not rule.is_full(most)

    def all_fits() -> bool:
        nonlocal room
        if not fits(brought["setup"]):
            return False
        for made in range(attempts):
            if made % spec.design.batch == 0 and not fits(brought["each_batch"]):
                return False
            for _ in range(spec.remake):
                if room == FORESEEN:
                    return True
                if not fits(trial):
                    return False
                room += 1
            due = [at for at, one in enumerate(spec.every) if (made + 1) % one.trials == 0]
            if not all(fits(brought[f"every.{at}"]) for at in due):
                return False
        return fits(brought["teardown"])

    if all_fits():
        return None, ""
    return room, " and ".join(phase for phase, one in brought.items() if _brings(one))


def disorder(spec: CampaignSpec, envelope: Envelope, point: Settings) -> Iterator[tuple[bool, str]]:
    """Acts whose requirement the recipe does not bring about, by what the steps before them have set.

    True: it undoes it; False: no step sets it, and somebody else must.
    """
    stands: dict[str, Any] = {}
    for phase in ("setup", "each_batch", "trial", "cleanup"):
        for stage in recipe.stages(spec, phase, point if phase in OF_A_TRIAL else {}):
            for step in stage.steps:
                for rule in envelope.rules.needs(step.instrument, step.action):
                    certain, why = _missing(rule, envelope, stands)
                    if why:
                        name = f"{step.instrument}.{step.action}"
                        yield certain, f"{step.place}: {name} needs {rule.that} ({rule.place}), and {why}"
            for step in stage.steps:
                if step.instrument != PERSON:
                    _set(envelope, stands, step)


def conditional(
    spec: CampaignSpec, envelope: Envelope, points: Sequence[Settings], meant: Meant
) -> Iterator[str]:  # fmt: skip
    """Settings beyond a limit whose condition speaks of what an act before them has set, or will have achieved.

    ``meant``: settings of the space as conditions read them. What no act before has set cannot be judged, and the limit
    holds then, as it does when the act begins; a condition on what is measured is left to that moment.
    """
    asked = (
        one for name, of in envelope.declared.items() for act in of.actions.values()
        for one in envelope.conditions(name, (setting.name for setting in act.settings))
    )  # fmt: skip
    if not any(readings_in(one) for one in asked):
        return
    told: set[tuple[str, str]] = set()
    for phase in (*ALONE, *(f"every.{at}" for at in range(len(spec.every)))):
        for stage in recipe.stages(spec, phase, {}):
            yield from _told(envelope, stage, {}, {}, told)
    for point in points:
        seen = dict(meant(point))
        for phase in OF_A_TRIAL:
            for stage in recipe.stages(spec, phase, point):
                yield from _told(envelope, stage, seen, point, told)
                seen = _after(envelope, stage, seen)


def _told(
    envelope: Envelope, stage: recipe.PlannedStage, seen: Mapping[str, Any], point: Settings, told: set[tuple[str, str]]
) -> Iterator[str]:
    """What of a stage is beyond such a limit, before or after the others of it have begun, each once."""
    there = _after(envelope, stage, seen)
    for step in stage.steps:
        found = (*_beyond(envelope, step, seen), *_beyond(envelope, step, there)) if step.instrument != PERSON else ()
        for amount, rule in found:
            if (step.place, rule) not in told:
                told.add((step.place, rule))
                where = f" (at {settings(point)})" if point else ""
                yield f"{step.place}: {step.instrument}.{step.action} can be asked for {amount}{where}, {rule}"


def _after(envelope: Envelope, stage: recipe.PlannedStage, seen: Mapping[str, Any]) -> dict[str, Any]:
    """What was ``seen``, after what its acts set, will have achieved, and stop."""
    return after(envelope, seen, (step for step in stage.steps if step.instrument != PERSON))


def _beyond(envelope: Envelope, step: recipe.PlannedStep, seen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of an act's settings, or of what follows from them, is beyond a limit of that kind: how much, and which."""
    resolved = envelope.resolve(step.instrument, step.action, step.settings)
    sent = envelope.declared[step.instrument].sent(step.action, resolved)
    known = {one.name: one for one in envelope.action(step.instrument, step.action).settings}
    others = envelope.declared[step.instrument].actions.values()
    zero = {one.name for action in others for one in action.settings if one.zero}
    for name in [*known, *(one for one in sent if one not in known)]:
        levels = [(float(level), DIGITS) for level in sent.get(name, ())]
        value = resolved.get(known[name].argument) if name in known else None  # what is left out as well
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            levels.insert(0, (float(value), SLACK))
        bounds = envelope.bounds(step.instrument, step.action, name) if levels else ()
        for bound, (value, slack) in itertools.product(bounds, levels):
            if not acts_of(envelope, bound) or (value == 0.0 and name in zero):
                continue
            if bound.broken_by(value, slack) and bound.holds(seen):
                change = "Lower" if bound.sign == "<=" else "Raise"
                amount = f"{name} = {quantity(value, bound.unit, 6)}"
                yield amount, f"{bound}. {change} it, change the order, or {bound.way_out}"


def acts_of(envelope: Envelope, bound: Bound) -> frozenset[str]:
    """What acts have set or achieved, of which a bound's condition speaks; none where it speaks of a measurement."""
    names = readings_in(bound.when) if bound.when is not None else frozenset()
    return frozenset() if any(_measured(envelope, name) for name in names) else names


def _measured(envelope: Envelope, full: str) -> bool:
    instrument, _, name = full.partition(".")
    return name in envelope.declared[instrument].signals


def _set(envelope: Envelope, stands: dict[str, Any], step: recipe.PlannedStep) -> None:
    action = envelope.action(step.instrument, step.action)
    if action.stops:
        for name in [name for name in stands if name.startswith(f"{step.instrument}.")]:
            del stands[name]
    for setting in action.settings:
        amount = step.settings.get(setting.name)
        if amount is not None:
            stands[f"{step.instrument}.{setting.name}"] = _meaning(amount, setting.unit)


def _meaning(amount: Amount, unit: str) -> Any:
    value = amount.value
    return value if isinstance(value, (str, bool)) else Quantity(float(value), amount.unit or unit)


def _missing(rule: RequirementRule, envelope: Envelope, stands: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a requirement is certainly not there, and why; empty: it is, or nobody can know yet."""
    for full in sorted(readings_in(rule.that)):
        instrument, _, word = full.partition(".")
        able = [
            action.name
            for action in envelope.declared[instrument].actions.values()
            if any(one.name == word for one in action.settings)
        ]
        if not able:
            return False, ""
        if full not in stands:
            return False, f"no step before it sets {full}. Put {instrument}.{able[0]} before it"
    try:
        kept = bool(rule.that.evaluate(stands))
    except SpecError:
        return False, ""
    said = ", ".join(f"{name} is set to {stands[name]}" for name in sorted(readings_in(rule.that)))
    return not kept, "" if kept else f"{said} then. Change it, or the order"
