"""A campaign's spec as the planner needs it: columns, linear constraints, goals, and what ``engine:`` forces."""

from typing import Any

import numpy as np

from labloop.campaign.errors import SpecError
from labloop.campaign.models import did_you_mean
from labloop.campaign.objective import Objective
from labloop.campaign.outcomes import OutcomeSpec, Target
from labloop.campaign.parameters import Choices, Molecules, Parameter, Range
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState
from labloop.campaign.stopping import Stopping

from . import molecules
from .encoding import Array, Column, Encoding, Linear, Settings
from .goals import Goal
from .planner import SAMPLED, Engine, Problem, plan
from .proposal import Proposal
from .search import Effort

_WORDS = {"kernel": ("matern", "rbf"), "acquisition": SAMPLED}
_COUNTS = {"samples": (8, 4096), "raw_samples": (8, 65_536), "restarts": (1, 128), "iterations": (1, 2000)}


def propose(spec: CampaignSpec, state: CampaignState, count: int = 1, first: int | None = None) -> list[Proposal]:
    """``count`` proposals for the trials ``first``, ``first + 1``, ... (default: the next free numbers).

    A pure function of what is given: ``state`` carries the campaign's seed and trials.
    Raises NothingLeftError when no point may be proposed, SpecError for what the planner cannot do (yet).
    """
    return plan(read_problem(spec), state, count, first)


def read_problem(spec: CampaignSpec) -> Problem:
    """Read the planner's part of a campaign. Raises SpecError for what it cannot do (yet), with the way out."""
    space = Space(spec)
    faults = [*_not_yet(spec, space), *_engine_faults(spec)]
    if faults:
        raise SpecError(*faults)
    encoding = Encoding(
        tuple(_column(name, parameter) for name, parameter in space.parameters.items()),
        tuple(Linear(line.coefficients, line.bound, line.sense == "==") for line in space.linear_constraints()),
        table=space.candidates,
        allowed=_allowed(space) if space.nonlinear else None,
    )
    objective = Objective(spec)
    pareto = objective.pareto
    return Problem(
        encoding=encoding,
        goals=tuple(_goal(name, outcome, pareto) for name, outcome in spec.outcomes.items()),
        method=spec.design.initial.method,
        initial=spec.design.initial.trials,
        engine=_engine(spec.engine, space.repeats),
        outlook=Stopping(spec, objective).asks_planner and not objective.pareto,
    )


def _column(name: str, parameter: Parameter) -> Column:
    if isinstance(parameter, Range):
        return Column(
            name,
            "real" if parameter.stride is None else "grid",
            parameter.low,
            parameter.high,
            log=parameter.scale == "log",
            step=parameter.stride or 0.0,
            integer=parameter.integer,
        )
    if parameter.ordered:
        return Column(name, "ordered", values=parameter.values)
    described, unlike = _described(parameter)
    return Column(name, "label", values=parameter.values, unlike=unlike, described=described)


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


def _goal(name: str, outcome: OutcomeSpec, pareto: bool) -> Goal:
    goal, limit = outcome.goal, outcome.limit
    target = goal if isinstance(goal, Target) else None
    return Goal(
        outcome=name,
        sense={"maximize": 1, "minimize": -1}.get(goal, 0) if isinstance(goal, str) else 0,
        target=target.target if target else None,
        tolerance=target.tolerance if target else 0.0,
        weight=None if pareto else (1.0 if outcome.weight is None else outcome.weight),
        reference=outcome.reference,
        upper=limit.value if limit and limit.sense == "<=" else None,
        lower=limit.value if limit and limit.sense == ">=" else None,
    )


def _allowed(space: Space) -> Any:
    def allowed(settings: Settings) -> bool:
        return not space.contains(settings)

    return allowed


def _not_yet(spec: CampaignSpec, space: Space) -> list[str]:
    faults = []
    if not space.names:
        faults.append("parameters: there are none, so nothing can be proposed. Write at least one")
    for name, parameter in space.parameters.items():
        if parameter.active_when is not None:
            place = ("parameters", name, "active_when")
            faults.append(spec.complaint(place, "is not planned for yet. Part the campaign, one for each condition"))
    for name, mixture in space.mixtures.items():
        for key in ("at_most", "at_least"):
            if getattr(mixture, key) is not None:
                rule = "is not planned for yet. Leave it out, or list the mixtures as candidates"
                faults.append(spec.complaint(("parameters", name, key), rule))
    return faults


def _engine_faults(spec: CampaignSpec) -> list[str]:
    faults = []
    single, front = SAMPLED
    fits = front if Objective(spec).pareto else single
    known = (*_WORDS, *_COUNTS)
    for key, value in spec.engine.items():
        place = ("engine", key)
        if key in _WORDS:
            if value not in _WORDS[key]:
                faults.append(spec.complaint(place, f"must be one of {', '.join(_WORDS[key])}"))
            elif value in SAMPLED and value != fits:
                faults.append(spec.complaint(place, f"is not for these goals. Write {fits}, or leave it out"))
        elif key in _COUNTS:
            low, high = _COUNTS[key]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                faults.append(spec.complaint(place, f"must be a whole number from {low} to {high}"))
        else:
            faults.append(spec.complaint(place, f"unknown key. {did_you_mean(str(key), known)}"))
    return faults


def _engine(written: dict[str, Any], repeats: bool) -> Engine:
    effort = Effort(**{key: written[key] for key in ("raw_samples", "restarts", "iterations") if key in written})
    rest = {key: written[key] for key in ("kernel", "acquisition", "samples") if key in written}
    return Engine(effort=effort, repeats=repeats, **rest)
