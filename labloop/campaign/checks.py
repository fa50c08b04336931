"""Checks across the parts of a campaign: names that must exist, units that must agree, a space that is not empty.

Each check adds faults (path, sentence, whether about the key). What was cut out as broken is not complained of again.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from . import constraints
from .analysis import ANALYSES
from .complaints import Broken, Fault
from .errors import SpecError
from .exclusion import exclude
from .expression import parse_expression
from .formula import Expression
from .grammar import CampaignSpec
from .models import did_you_mean
from .outcomes import OutcomeSpec
from .parameters import Mixture, Parameter
from .reading import Document, Path_
from .space import Space
from .steps import Stage, Step, Text, expression_fault, steps_of, text_fault
from .units import quote, same_dimension

# No model learns so many from the trials of a lab, and the corners of the space take seconds to find beyond it.
MOST_NAMES = 200
ROWS_NAMED = 3  # enough to see what is wrong with a table of a million rows


def check(spec: CampaignSpec, broken: Broken, document: Document) -> list[Fault]:
    """Every fault that shows only when the parts are seen together."""
    faults: list[Fault] = []
    faults += _required(spec, broken, document)
    names = _names(spec, broken, faults)
    if len(names) > MOST_NAMES:
        rule = f"has {len(names)} settings to choose, and {MOST_NAMES} are the most. Leave out what matters least"
        return [*faults, (("parameters",), rule, False)]
    faults += _conditions(spec, names, broken)
    faults += _recipe(spec, names)
    faults += _saved(spec, names)
    faults += _outcomes(spec, broken)
    faults += _every(spec, names, broken)
    faults += _cost(spec, names, broken)
    faults += constraints.check(spec, names, broken, faults)
    return faults or list(_rows(spec))


def _rows(spec: CampaignSpec) -> Iterator[Fault]:
    """Rows of the candidates hold a value of what counts in them, and of nothing else."""
    space = Space(spec)
    if spec.candidates is None or all(one.active_when is None for one in space.parameters.values()):
        return
    wrong = ((number, space.presence_faults(row)) for number, row in enumerate(spec.candidates.rows, start=1))
    found = list(islice((f"row {number}: {faults[0]}" for number, faults in wrong if faults), ROWS_NAMED))
    if found:
        yield ("candidates",), f"{'; '.join(found)}. Fill in what counts, and leave the other cells empty", False


def _required(spec: CampaignSpec, broken: Broken, document: Document) -> Iterator[Fault]:
    if document.name and "campaign" not in document.value and not broken.touches("campaign"):
        yield ("campaign",), "is missing. Write campaign: a-short-name", False
    for key, what in (("parameters", "q: {range: [1, 10]}"), ("outcomes", "yield: {goal: maximize}")):
        if not getattr(spec, key) and not broken.touches(key):
            yield (key,), f"{'is empty' if key in document.value else 'is missing'}. Write {key}: {{{what}}}", False


def _names(spec: CampaignSpec, broken: Broken, faults: list[Fault]) -> dict[str, Parameter | None]:
    """Every name that settings have; None for one whose parameter is broken."""
    names: dict[str, Parameter | None] = {}
    if ("parameters",) in broken.paths:
        return _AnyName()
    for name, parameter in spec.parameters.items():
        if isinstance(parameter, Mixture):
            for at, component in enumerate(parameter.mixture):
                if component in names or component in spec.parameters:
                    rule = f"{component} is a parameter already. Name the component otherwise"
                    faults.append((("parameters", name, "mixture", at), rule, False))
                names[component] = parameter.component()
        else:
            names[name] = parameter
    for path in broken.paths:
        if path and path[0] == "parameters" and len(path) > 1:
            names[str(path[1])] = None
    for name in spec.outcomes:
        if name in names:
            faults.append((("outcomes", name), "is a parameter already. Name the outcome otherwise", False))
    return names


class _AnyName(dict[str, Parameter | None]):
    """Stands for the names of parameters that could not be read: every name may be one."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        return None


def _conditions(spec: CampaignSpec, names: Mapping[str, Parameter | None], broken: Broken) -> Iterator[Fault]:
    for name, parameter in spec.parameters.items():
        if parameter.active_when is not None:
            path: Path_ = ("parameters", name, "active_when")
            fault = constraints.condition_fault(parameter.active_when, names)
            if fault is None and name in parameter.active_when.names:
                fault = f"{name} cannot depend on itself. Name another parameter"
            if fault is None:
                fault = constraints.truth_fault(parameter.active_when, names)
            if fault:
                yield path, fault, False
    for limit in spec.limits:
        if limit.when is not None:
            fault = constraints.condition_fault(limit.when, names, readings=True)
            if fault:
                yield limit.path, fault, False


def _recipe(spec: CampaignSpec, names: Mapping[str, Parameter | None]) -> Iterator[Fault]:
    for phase, with_settings in (("setup", 0), ("each_batch", 0), ("trial", 1), ("cleanup", 1), ("teardown", 0)):
        yield from stage_faults(
            spec.steps_of(phase), names if with_settings else {}, phase if not with_settings else ""
        )
    for index in range(len(spec.every)):
        yield from stage_faults(spec.steps_of(f"every.{index}"), {}, "every")


def stage_faults(stages: tuple[Stage, ...], names: Mapping[str, Parameter | None], phase: str = "") -> Iterator[Fault]:
    """What is wrong with the names in steps; ``phase``: one that belongs to no trial, so that it has no settings."""
    for stage in stages:
        if stage.when is not None:
            fault = constraints.condition_fault(stage.when, names) or constraints.truth_fault(stage.when, names)
            if fault:
                yield (*stage.path, "when"), fault, False
        for step in stage.steps:
            for key, setting in step.settings.items():
                fault = _setting_fault(setting, names)
                if fault and phase and not names:
                    fault = f"{fault.split('. ')[0]}: {phase} belongs to no trial. Write a number"
                if fault is None and isinstance(setting, Expression):
                    fault = constraints.value_fault(setting, names)
                if fault:
                    yield step.path_of(key), fault, False


def _setting_fault(setting: Any, names: Mapping[str, Parameter | None]) -> str | None:
    if isinstance(setting, Text):
        return text_fault(setting, names)
    return expression_fault(setting, names) if isinstance(setting, Expression) else None


def _cost(spec: CampaignSpec, names: Mapping[str, Parameter | None], broken: Broken) -> Iterator[Fault]:
    if spec.cost is None:
        if spec.budget.cost is not None and not broken.touches("cost"):
            yield ("budget", "cost"), "needs to know what a trial costs. Write cost: 2 + 0.1 * $x, or cost: 1", False
        return
    fault = expression_fault(spec.cost, names)
    for name in sorted(spec.cost.names):
        parameter = names.get(name)
        if fault is None and parameter is not None and parameter.active_when is not None:
            fault = f"{name} has no value where `{parameter.active_when}` does not hold, and every trial has a cost"
            fault += ". Write the cost without it"
    if fault:
        yield ("cost",), fault, False


def _saved(spec: CampaignSpec, names: Mapping[str, Parameter | None]) -> Iterator[Fault]:
    """A word is saved once in a trial: by one step, or by several whose conditions exclude each other."""
    seen: dict[str, list[tuple[Stage, Step]]] = {}
    for stage in spec.trial:
        for step in stage.steps:
            for word, path in step.saves.items():
                for earlier, by in seen.get(word, ()):
                    rule = _saved_twice(earlier, stage, names)
                    if rule:
                        yield path, f"is saved by {by.name} already{rule}", False
                        break
                seen.setdefault(word, []).append((stage, step))


def _saved_twice(earlier: Stage, stage: Stage, names: Mapping[str, Parameter | None]) -> str:
    """What is wrong with both saving the same word; "": nothing is."""
    if earlier is stage or earlier.when is None or stage.when is None:
        return ". Choose another word for one of the two"
    if any(name in names and names[name] is None for name in earlier.when.names | stage.when.names):
        return ""  # of a broken parameter nothing more is said
    if exclude(earlier.when, stage.when, {name: one for name, one in names.items() if one is not None}):
        return ""
    return (
        f", and `{earlier.when}` and `{stage.when}` may hold at once. Choose another word for one of the two, or "
        "conditions that exclude each other"
    )


def _outcomes(spec: CampaignSpec, broken: Broken) -> Iterator[Fault]:
    saved = {word for step in steps_of(spec.trial) for word in step.saves}
    goals = [name for name, outcome in spec.outcomes.items() if outcome.is_wish]
    if spec.outcomes and not goals and not broken.touches("outcomes"):
        yield ("outcomes",), "none has a goal. Give one of them goal: minimize or maximize", False
    tastes = [name for name in goals if spec.outcomes[name].prefers]
    if tastes and len(goals) > 1 and not broken.touches("outcomes"):
        other = next(name for name in goals if name != tastes[0])
        rule = f"is told by comparing, and {other} has a goal of its own. Give {other} a limit instead, or take one out"
        yield ("outcomes", tastes[0]), rule, False
    weighed = [name for name in goals if spec.outcomes[name].weight is not None]
    desired = [name for name in goals if spec.outcomes[name].desirability is not None]
    if desired and len(desired) < len(goals) and not broken.touches("outcomes"):
        bare = next(name for name in goals if name not in desired)
        rule = f"has no desirability, and {desired[0]} has one. Give every goal one, or none"
        yield ("outcomes", bare), rule, False
    if weighed and len(weighed) < len(goals) and not desired and not broken.touches("outcomes"):
        bare = next(name for name in goals if name not in weighed)
        rule = f"has no weight, and {weighed[0]} has one. Weigh every goal, or none for a Pareto front"
        yield ("outcomes", bare), rule, False
    for name, outcome in spec.outcomes.items():
        here: Path_ = ("outcomes", name)
        if not outcome.sources and spec.trial:
            yield here, "from is missing. Write from: READING (a step's save_as), or from: told", False
        if not outcome.told and not broken.touches("trial"):
            for at, source in enumerate(outcome.sources):
                if source not in saved:
                    way_out = did_you_mean(source, sorted(saved)) if saved else "Add save_as to the step that reads it"
                    path: Path_ = (*here, "from", at) if len(outcome.sources) > 1 else (*here, "from")
                    yield path, f"no step of trial saves {quote(source)}. {way_out}", False
        if not outcome.told:
            yield from _analysis(spec, here, outcome)


def _analysis(spec: CampaignSpec, here: Path_, outcome: OutcomeSpec) -> Iterator[Fault]:
    analysis = ANALYSES.get(outcome.analysis)
    path = (*here, "analysis")
    if analysis is None:
        names = set(outcome.sources)
        try:
            formula = parse_expression(outcome.analysis)
        except SpecError:
            formula = None
        if formula is None or not formula.parts or not formula.names <= names:
            yield path, f"is no analysis. {did_you_mean(outcome.analysis, [*ANALYSES, *sorted(names)])}", False
        return
    if analysis.readings == 1 and len(outcome.sources) > 1:
        rule = (
            f"{outcome.analysis} takes one reading, and from names {len(outcome.sources)}. Use mean, or an expression"
        )
        yield (*here, "from"), rule, False
    if analysis.needs_target and outcome.target is None:
        yield here, f"target is missing: {outcome.analysis} compares with it. Write target: FILE.csv", False
    if not analysis.needs_target and outcome.target is not None:
        yield (
            (*here, "target"),
            f"{outcome.analysis} has no use for a target. Take it out, or use distance_to_target",
            False,
        )
    if outcome.unit and not _gives(outcome, outcome.unit):
        rule = f"{outcome.analysis} gives a pure number"
        yield (*here, "unit"), f"{rule}, which is not in {outcome.unit}. Correct the unit, or leave it out", False


def _gives(outcome: OutcomeSpec, unit: str) -> bool:
    return outcome.analysis != "distance_to_target" or same_dimension("", unit)


def _every(spec: CampaignSpec, names: Mapping[str, Parameter | None], broken: Broken) -> Iterator[Fault]:
    for index, every in enumerate(spec.every):
        for key, settings in (("control", every.control), ("blank", every.blank)):
            if not settings:
                continue
            here: Path_ = ("every", index, key)
            for name, raw in list(settings.items()):
                parameter = names.get(name)
                if name not in names:
                    yield (*here, name), f"is no parameter. {did_you_mean(name, names)}", True
                elif parameter is not None:
                    try:
                        settings[name] = parameter.read(raw)
                    except SpecError as error:
                        yield (*here, name), str(error), False
            missing = [
                name for name, parameter in names.items()
                if name not in settings and (parameter is None or parameter.active_when is None)
            ]  # fmt: skip
            if missing:
                yield here, f"has no value for {', '.join(missing[:8])}. Give every parameter one", False
