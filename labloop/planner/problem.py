"""A campaign's spec as the planner needs it: columns, linear constraints, goals, and what ``engine:`` forces."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from math import floor, log
from typing import Any, TypeVar

import numpy as np

from labloop.campaign.errors import SpecError
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.models import did_you_mean
from labloop.campaign.objective import Objective
from labloop.campaign.outcomes import PREFER, OutcomeSpec, Target
from labloop.campaign.parameters import Choice, Choices, Mixture, Molecule, Molecules, Parameter, Range
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState
from labloop.campaign.stopping import Stopping

from . import molecules
from .blends import Blended, by_distances, by_numbers
from .column import Column
from .encoding import Array, Encoding, Linear, Settings
from .goals import Goal
from .planner import SAMPLED, Engine, Problem, is_sampled, plan
from .presence import Conditions, Presence, Sparse
from .proposal import Proposal
from .search import Effort

MANY = 2**31
Named = TypeVar("Named", Choice, Molecule)
_WORDS = {
    "kernel": ("matern", "rbf", "additive"),
    "acquisition": SAMPLED,
    "transform": ("auto", "none"),
    "model": ("plain", "saas", "auto"),
}
_FLAGS = ("robust", "drift", "warp")
_MODELS = ("robust", "transform", "drift", "warp", "model")  # each asks for a model other than the plain one
_COUNTS = {"samples": (8, 4096), "raw_samples": (8, 65_536), "restarts": (1, 128), "iterations": (1, 2000)}


def propose(spec: CampaignSpec, state: CampaignState, count: int = 1, first: int | None = None) -> list[Proposal]:
    """``count`` proposals for the trials ``first``, ``first + 1``, ... (default: the next free numbers).

    A pure function of what is given: ``state`` carries the campaign's seed and trials.
    Raises NothingLeftError when no point may be proposed, SpecError for what the planner cannot do (yet).
    """
    return plan(read_problem(spec), state, count, first)


def read_problem(spec: CampaignSpec, former: Sequence[CampaignSpec] = ()) -> Problem:
    """Read the planner's part of a campaign. Raises SpecError for what it cannot do (yet), with the way out.

    former: the campaign as it was before it was amended, oldest first.
    """
    if faults := complaints(spec):
        raise SpecError(*faults)
    space = Space(spec)
    columns = _columns(space, former)
    encoding = Encoding(
        columns,
        tuple(
            Linear(line.coefficients, line.bound, line.sense == "==")
            for line in (*space.linear_constraints(), *space.conditional)
        ),
        table=space.candidates,
        allowed=_allowed(space) if space.nonlinear else None,
        presence=Presence(tuple(_sparse(space)), _conditions(space, columns)),
        blended=tuple(_blended(space)),
        amended=any(_places(one) != _places(spec) for one in former),
        drawn=space.sample if space.conditional else None,
    )
    objective = Objective(spec)
    return Problem(
        encoding=encoding,
        goals=_goals(spec),
        method=spec.design.initial.method,
        initial=spec.design.initial.trials,
        batch=spec.design.batch,
        engine=_engine(spec, space.repeats),
        outlook=Stopping(spec, objective).asks_planner and not objective.pareto,
    )


def _places(spec: CampaignSpec) -> tuple[Any, ...]:
    """What says where trials may lie."""
    return spec.parameters, spec.constraints, spec.candidates


def _columns(space: Space, former: Sequence[CampaignSpec]) -> tuple[Column, ...]:
    """A column each; choices that were retired stay in theirs, so that what was made with them goes on teaching."""
    columns = []
    for name, parameter in space.parameters.items():
        then = [flat_parameters(one.parameters).get(name) for one in former]
        if isinstance(parameter, Choices):
            whole = with_retired(parameter.choices, [one.choices for one in then if isinstance(one, Choices)])
            update: dict[str, Any] = {"choices": whole}
        elif isinstance(parameter, Molecules):
            all_of = with_retired(parameter.molecules, [one.molecules for one in then if isinstance(one, Molecules)])
            update = {"molecules": all_of}
        else:
            columns.append(_column(name, parameter))
            continue
        every = parameter.model_copy(update=update)
        retired = frozenset(at for at, value in enumerate(every.values) if value not in parameter.values)
        if retired and parameter.likely is not None:  # nothing is expected of what nobody may have
            weights = dict(zip(parameter.values, parameter.likely, strict=True))
            least = min(parameter.likely)
            every = every.model_copy(update={"likely": tuple(weights.get(value, least) for value in every.values)})
        columns.append(replace(_column(name, every), retired=retired))
    return tuple(columns)


def with_retired(now: Sequence[Named], former: Sequence[Sequence[Named]]) -> tuple[Named, ...]:
    """What can be chosen now and what could once, each of these behind the one that stood before it then."""
    found = list(now)
    for then in reversed(former):  # as it was last
        for at, one in enumerate(then):
            names = [other[0] for other in found]
            if one[0] not in names:
                before = [then[earlier][0] for earlier in range(at) if then[earlier][0] in names]
                found.insert(names.index(before[-1]) + 1 if before else 0, one)
    return tuple(found)


def _sparse(space: Space) -> Iterator[Sparse]:
    """The mixtures of which not everything may be there, or not in any amount."""
    for mixture in space.mixtures.values():
        least = (mixture.at_least or 0.0) / mixture.sum
        known = space.may_be_there(mixture)
        most = min(mixture.at_most or len(known), floor(1.0 / least + 1e-9) if least else MANY)
        if most < len(known) or least:
            yield Sparse(tuple(map(space.names.index, known)), min(most, len(known)), least)


def _blended(space: Space) -> Iterator[Blended]:
    """The mixtures whose components are described, and by what."""
    for name, mixture in space.mixtures.items():
        columns = tuple(map(space.names.index, mixture.mixture))
        table = np.array(mixture.table, dtype=float)
        blends, words = by_numbers(columns, mixture.descriptors, table), list(mixture.descriptors)
        if mixture.smiles and molecules.is_known():
            named = zip(molecules.unlike(mixture.smiles), ("groups", "properties"), strict=False)
            blends += tuple(by_distances(columns, f"{name}'s {word}", one) for one, word in named)
            words.append("structure")
        elif mixture.smiles:
            words.append("name alone (RDKit is not installed: pip install labloop[chem])")
        if words:
            yield Blended(name, ", ".join(words), blends)


def _conditions(space: Space, columns: tuple[Column, ...]) -> Conditions | None:
    """Which parameters count where."""
    asked = {name: one.active_when for name, one in space.parameters.items() if one.active_when is not None}
    if not asked:
        return None
    spoken = set[str]().union(*(condition.names for condition in asked.values())) & set(space.names)
    parents = tuple(sorted(map(space.names.index, spoken)))
    children = tuple(map(space.names.index, asked))

    def inactive(point: Array) -> list[bool]:
        values = {columns[at].name: columns[at].decode(float(point[at])) for at in parents}
        active = space.active(space.kept(values))
        return [columns[at].name not in active for at in children]

    return Conditions(parents, children, tuple(columns[at].absent for at in children), inactive)


def _column(name: str, parameter: Parameter) -> Column:
    words: dict[str, Any] = {"optional": parameter.active_when is not None, "shared": parameter.shared is not None}
    if isinstance(parameter, Range):
        words["likely"] = _expected(parameter)
        return Column(
            name,
            "real" if parameter.stride is None else "grid",
            parameter.low,
            parameter.high,
            log=parameter.scale == "log",
            step=parameter.stride or 0.0,
            integer=parameter.integer,
            **words,
        )
    words["likely"] = parameter.likely
    if parameter.ordered:
        return Column(name, "ordered", values=parameter.values, **words)
    described, unlike = _described(parameter)
    return Column(name, "label", values=parameter.values, unlike=unlike, described=described, **words)


def _expected(parameter: Range) -> tuple[float, float] | None:
    """Centre and width in the unit cube of where the optimum is expected."""
    if parameter.likely is None:
        return None
    value, within = parameter.likely.value, parameter.likely.within
    if parameter.scale == "log":
        whole = log(parameter.high / parameter.low)
        return log(value / parameter.low) / whole, within / value / whole
    return (value - parameter.low) / (parameter.high - parameter.low), within / (parameter.high - parameter.low)


def _described(parameter: Parameter) -> tuple[str, tuple[Array, ...]]:
    """By what the levels of unordered choices are described, and how unlike that makes them."""
    if isinstance(parameter, Molecules):
        if not molecules.is_known():
            return "name alone (RDKit is not installed: pip install labloop[chem])", ()
        return "structure", molecules.unlike(parameter.smiles)
    if isinstance(parameter, Choices) and parameter.descriptors and len(parameter.values) > 1:
        apart = molecules.distances(np.array(parameter.table, dtype=float))
        return ", ".join(parameter.descriptors), (molecules.scaled(apart),) if apart.any() else ()
    return "", ()


def _goals(spec: CampaignSpec) -> tuple[Goal, ...]:
    pareto = Objective(spec).pareto
    return tuple(_goal(name, outcome, pareto) for name, outcome in spec.outcomes.items())


def _goal(name: str, outcome: OutcomeSpec, pareto: bool) -> Goal:
    goal, limit = outcome.goal, outcome.limit
    target = goal if isinstance(goal, Target) else None
    return Goal(
        outcome=name,
        sense={"maximize": 1, "minimize": -1, PREFER: 1}.get(goal, 0) if isinstance(goal, str) else 0,
        target=target.target if target else None,
        tolerance=target.tolerance if target else 0.0,
        weight=None if pareto else (1.0 if outcome.weight is None else outcome.weight),
        reference=outcome.reference,
        upper=limit.value if limit and limit.sense == "<=" else None,
        lower=limit.value if limit and limit.sense == ">=" else None,
        compared=outcome.prefers,
        shape=outcome.shape,
    )


def _allowed(space: Space) -> Any:
    def allowed(settings: Settings) -> bool:
        return not space.contains(settings)

    return allowed


def complaints(spec: CampaignSpec) -> list[str]:
    """What the planner cannot do, each with its place. It looks at no table of candidates, and imports no torch."""
    space = Space(spec)
    return [*_not_yet(space), *_engine_faults(spec, space), *_molecule_faults(spec)]


def _molecule_faults(spec: CampaignSpec) -> Iterator[str]:
    for name, parameter in spec.parameters.items():
        if isinstance(parameter, Molecules | Mixture) and molecules.is_known():
            try:
                molecules.unlike(parameter.smiles)
            except SpecError as error:
                key = "mixture" if isinstance(parameter, Mixture) else "molecules"
                yield spec.complaint(("parameters", name, key), str(error))


def _not_yet(space: Space) -> list[str]:
    faults = []
    if not space.names:
        faults.append("parameters: there are none, so nothing can be proposed. Write at least one")
    return faults


def _engine_faults(spec: CampaignSpec, space: Space) -> list[str]:
    faults = []
    single, front = SAMPLED
    fits = front if Objective(spec).pareto else single
    known = (*_WORDS, *_FLAGS, *_COUNTS)
    for key, value in spec.engine.items():
        place = ("engine", key)
        if key in _WORDS:
            if value not in _WORDS[key]:
                faults.append(spec.complaint(place, f"must be one of {', '.join(_WORDS[key])}"))
            elif value in SAMPLED and value != fits:
                faults.append(spec.complaint(place, f"is not for these goals. Write {fits}, or leave it out"))
        elif key in _FLAGS:
            if not isinstance(value, bool):
                faults.append(spec.complaint(place, "must be true or false"))
        elif key in _COUNTS:
            low, high = _COUNTS[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                faults.append(spec.complaint(place, f"must be a whole number from {low} to {high}"))
        else:
            faults.append(spec.complaint(place, f"unknown key. {did_you_mean(str(key), known)}"))
    return faults or _model_faults(spec, space)


def _model_faults(spec: CampaignSpec, space: Space) -> list[str]:
    asked = [key for key in _MODELS if spec.engine.get(key, False) not in (False, "none", "plain")]
    asked += ["kernel"] if spec.engine.get("kernel") == "additive" else []
    goals = _goals(spec)
    rules: list[tuple[str, str]] = []  # by key
    if asked and is_sampled(goals, spec.engine.get("acquisition", "")):
        rule = "is not for what BoTorch samples: a forced acquisition, or a front of more than three goals"
        rules.append((asked[0], rule))
    tastes = [goal.outcome for goal in goals if goal.compared]
    if tastes:
        rule = f"is for outcomes that are numbers, and {tastes[0]} is told by comparing"
        rules += [(key, rule) for key in (*asked, *(["acquisition"] if "acquisition" in spec.engine else []))]
        return [spec.complaint(("engine", key), f"{rule}. Leave it out") for key, rule in rules]
    rules += [
        (one, f"does not go together with {other}") for one, other in combinations(asked, 2) if _apart(one, other)
    ]
    if "transform" in asked and not _transformed(goals):
        rules.append(("transform", "is for one outcome to maximize or minimize that has no limit or desirability"))
    if "transform" in asked and Stopping(spec, Objective(spec)).asks_planner:
        rules.append(("transform", "does not go together with regret_below and chance_below"))
    numbers = any(isinstance(one, Range) or one.ordered for one in space.parameters.values())
    if not numbers and spec.engine.get("model") != "auto":
        rules += [(key, "is for parameters that are numbers") for key in ("model", "warp") if key in asked]
    return [spec.complaint(("engine", key), f"{rule}. Leave it out") for key, rule in rules]


def _apart(one: str, other: str) -> bool:
    """Whether only one of two models may be asked for."""
    return "model" in (one, other) or {one, other} in ({"drift", "warp"}, {"drift", "kernel"}, {"warp", "kernel"})


def _transformed(goals: tuple[Goal, ...]) -> str:
    """The outcome that may be seen through a rising function without any wish meaning something else; "": none."""
    wishes = [goal for goal in goals if goal.is_wish]
    free = len(wishes) == 1 and wishes[0].sense != 0 and wishes[0].lower is None and wishes[0].upper is None
    free = free and wishes[0].shape is None
    return wishes[0].outcome if free else ""


def _engine(spec: CampaignSpec, repeats: bool) -> Engine:
    written = spec.engine
    effort = Effort(**{key: written[key] for key in ("raw_samples", "restarts", "iterations") if key in written})
    rest = {key: written[key] for key in ("kernel", "acquisition", "samples", "model", *_FLAGS) if key in written}
    free = written.get("transform") == "auto"
    if written.get("model") == "auto":  # where a transform would change what a wish or a rule means there is none
        free = written.get("transform") != "none" and not Stopping(spec, Objective(spec)).asks_planner
    transform = _transformed(_goals(spec)) if free else ""
    return Engine(effort=effort, repeats=repeats, transform=transform, **rest)
