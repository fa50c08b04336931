"""Why this point? What a proposal was made of, and why it was not another one.

The facts say what was expected and what was measured; the model is made again from the facts before the proposal (see
labloop.planner.thought), so nothing here was thought up afterwards.

    improve       more than half of the expected improvement comes from the expected value itself
    explore       most of it comes from not knowing
    feasibility   nothing was known yet that keeps the limits
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from scipy.stats import norm, qmc

from labloop.campaign import events as e
from labloop.campaign import view
from labloop.campaign.amending import account
from labloop.campaign.errors import LabloopError, SpecError
from labloop.campaign.models import did_you_mean
from labloop.campaign.objective import Objective
from labloop.campaign.outcomes import Target
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import MEASURED, CampaignState, TrialState, fold
from labloop.planner.thought import Opinion, Thought

from .basis import basis

# A point lies on a bound or a constraint when no more than this part of its range is between them.
NEAR: Final = 1e-3
DRAWS: Final = 1024  # quasi-random ones: a chance is right to 0.01 (test_why)
SOURCES: Final[Mapping[str, str]] = {
    "sobol": "the first design (sobol): it spreads over the space before there is a model",
    "lhs": "the first design (lhs): it spreads over the space before there is a model",
    "random": "by chance",
    "human": "a person's wish",
    "told": "told: nobody proposed it",
}


def explain(
    spec: CampaignSpec, records: Iterable[e.Record], number: int, instead: Mapping[str, Any] | None = None,
    former: Sequence[CampaignSpec] = (),
) -> dict[str, Any]:  # fmt: skip
    """Why trial ``number`` was proposed; ``instead``: settings of the user's, weighed as the planner would have then.

    spec: the campaign as it was then; former: as it was before, where it had been amended. ``instead`` may leave
    parameters out: they are the trial's own. Raises SpecError for a trial that is not there, or settings that the space
    does not hold.
    """
    records = list(records)
    state = fold(records)
    trial = state.trials.get(number)
    if trial is None:
        raise SpecError(f"there is no trial {number}; the last is {max(state.trials, default=0)}")
    before = basis(records, trial)
    proposal = trial.proposal
    before.outliers = frozenset(proposal.outliers)  # what this proposal's own model made of what it knew
    document: dict[str, Any] = {
        "schema": 1, "trial": number, "settings": dict(trial.settings), "source": proposal.source,
        "role": proposal.role, "reason": proposal.reason, "model": proposal.model, "seed": proposal.seed,
        "evidence": view.evidence(proposal),
        "acquisition": proposal.acquisition, "acquisition_value": proposal.acquisition_value,
        "hope": _hope(spec, before, proposal), "binding": binding(spec, trial.settings),
        "outcomes": _outcomes(spec, trial), "outlier": number in state.outliers,
        "desirability": _desirability(spec, trial),
        "importance": {}, "instead": None,
        "amended": [f"{one.at[:19]} {account(one.fact)}" for one in before.amended],
        "runners_up": [
            {
                "settings": dict(one.settings), "acquisition_value": one.acquisition,
                "predicted": _predicted(one.predicted),
            }
            for one in proposal.runners_up
        ],
    }  # fmt: skip
    if proposal.source == "model" or instead is not None:
        try:
            thought = Thought(spec, before, number, former)
        except LabloopError as error:
            document["no_model"] = str(error)
        else:
            document["importance"] = thought.importance()
            if proposal.source == "model" and _taste(spec):
                document["hope"] = _kind(spec, before, proposal.predicted, thought, trial.settings)
            if instead is not None:
                document["instead"] = _weighed(spec, before, thought, trial, instead)
    if instead is not None and document["instead"] is None:
        raise SpecError(f"trial {number}: {document['no_model']}; so no point can be weighed against it")
    return document


def binding(spec: CampaignSpec, settings: Mapping[str, e.Value]) -> list[str]:
    """Which bounds and constraints a point lies on, in words."""
    space = Space(spec)
    found = []
    for name, parameter in space.parameters.items():
        low, high = getattr(parameter, "low", None), getattr(parameter, "high", None)
        value = settings.get(name)
        if low is None or high is None or isinstance(value, str) or value is None or high <= low:
            continue
        unit = f" {parameter.unit}".rstrip()
        is_log = getattr(parameter, "scale", "") == "log"
        if is_log and value <= 0:  # a control may lie anywhere
            continue
        for which, bound in (("lowest", low), ("highest", high)):
            between = math.log(value / bound) / math.log(high / low) if is_log else (value - bound) / (high - low)
            if abs(between) <= NEAR:
                found.append(f"{name} at its {which}, {bound:g}{unit}")
    for line in space.linear_constraints():
        if not all(name in settings for name in line.coefficients):
            continue
        terms = {name: factor * float(settings[name]) for name, factor in line.coefficients.items()}
        reach = max([abs(line.bound), *map(abs, terms.values())])
        if abs(math.fsum(terms.values()) - line.bound) <= NEAR * reach and line.sense != "==":
            found.append(line.text)
    return found


def _weighed(
    spec: CampaignSpec, before: CampaignState, thought: Thought, trial: TrialState, instead: Mapping[str, Any]
) -> dict[str, Any]:
    """The user's point beside the one that was proposed, both under the same model and score."""
    space = Space(spec)
    settings = dict(trial.settings)
    complaints = []
    for name, written in instead.items():
        try:
            if name not in space.parameters:
                raise SpecError(f"is no parameter. {did_you_mean(name, space.names)}")
            settings[name] = space.parameters[name].read(written)
        except SpecError as error:
            complaints.append(f"{name} = {written}: {error}")
    if complaints:
        raise SpecError(*complaints)
    settings = space.kept(settings)
    if lacking := [name for name in space.active(settings) if name not in settings]:
        raise SpecError(f"{', '.join(lacking)} has no value there. Add {' '.join(f'{name}=...' for name in lacking)}")
    here, there = thought.of(trial.settings), thought.of(settings)
    tried = [known.trial for known in before.trials.values() if known.settings == settings and known.state == MEASURED]
    return {
        "settings": settings, "outside": space.contains(settings), "measured_as": tried[0] if tried else None,
        "predicted": _predicted(there.predicted), "acquisition_value": there.score,
        "proposed": {"predicted": _predicted(here.predicted), "acquisition_value": here.score},
        "hope": _kind(spec, before, there.predicted, thought, settings),
        "words": _compared(space.contains(settings), tried, here, there, thought.hope),
    }  # fmt: skip


def _compared(outside: list[str], tried: list[int], here: Opinion, there: Opinion, hope: str) -> str:
    if outside:
        return f"it is not in the space: {'; '.join(outside)}"
    if tried:
        return f"it was measured already, as trial {tried[0]}"
    lead = here.score - there.score
    if lead <= 0.0:
        return "it was as good by the score; the search did not come by it"
    return f"its {hope} was {math.exp(-min(lead, 50.0)):.2g} of that of the point that was taken"


def _hope(spec: CampaignSpec, before: CampaignState, proposal: e.ProposalMade) -> dict[str, Any]:
    """What a proposal hoped for: kind, words, and where one number orders trials the chance to be better."""
    if proposal.source != "model":
        again = f"settings of trial {proposal.again_of} again, which the bench spoiled" if proposal.again_of else ""
        return {"kind": proposal.source, "words": again or SOURCES.get(proposal.source, proposal.reason)}
    return _kind(spec, before, proposal.predicted)


def _kind(
    spec: CampaignSpec,
    before: CampaignState,
    predicted: Mapping[str, e.Prediction],
    thought: Thought | None = None,
    settings: Mapping[str, e.Value] | None = None,
) -> dict[str, Any]:
    objective = Objective(spec)
    found = objective.best(before.believed) or objective.best(before.trials.values())
    known = found if isinstance(found, list) else [found] if found is not None else []
    if objective.limits and not any(objective.feasible(one) for one in known):
        return {"kind": "feasibility", "words": "nothing was known yet that keeps every limit; this might"}
    expected = {name: e.Reading(value=one.mean) for name, one in predicted.items()}
    if objective.pareto:
        if not any(objective.better(one, expected) for one in known):
            return {"kind": "improve", "words": "it was expected to lie on the front"}
        return {"kind": "explore", "words": "it was expected to lie behind the front, and might lie before it"}
    hoped, best = objective.score(expected), objective.score(known[0]) if known else None
    if known and _taste(spec):  # what comparisons say of trials is held against what the model said of them
        if thought is None or settings is None:
            return {"kind": "explore", "words": "there was no model of what is liked"}
        known, best = [_most_liked(objective, before, thought, _taste(spec))], 0.0
        ahead = thought.ahead(settings, known[0].settings, _taste(spec))  # only differences are known
        predicted, hoped = {**predicted, _taste(spec): ahead}, ahead.mean
        expected |= {_taste(spec): e.Reading(value=ahead.mean)}
    if hoped is None or best is None:
        return {"kind": "explore", "words": "nothing was measured yet to improve on"}
    if not objective.shapes and all(isinstance(one.goal, Target) for one in objective.goals.values()) and not any(
        objective.utilities(known[0]) or ()
    ):
        drawn = _draws(predicted)
        within = fmean(not any(objective.utilities(one) or ()) and objective.feasible(one) for one in drawn)
        words = (
            f"nothing can be better than within the tolerance, where trial {known[0].trial} is already; "
            f"this is as good with a chance of {within:.0%}"
        )
        return {"kind": "explore", "words": words, "chance": 0.0}
    if objective.shapes and best >= 1.0:
        words = f"nothing can be better than a desirability of 1, which trial {known[0].trial} has already"
        return {"kind": "explore", "words": words, "chance": 0.0}
    gains = [_gain(objective, drawn, best) for drawn in _draws(predicted)]
    by_mean, whole = _gain(objective, expected, best), fmean(gains)
    kind = "improve" if whole > 0.0 and by_mean >= 0.5 * whole else "explore"
    chance = fmean(gain > 0.0 for gain in gains)
    words = (
        "it was expected to be better than the best so far"
        if kind == "improve"
        else "what is not known there might be better than the best so far"
    )
    return {"kind": kind, "words": f"{words} (trial {known[0].trial}); chance {chance:.0%}", "chance": round(chance, 3)}


def _taste(spec: CampaignSpec) -> str:
    """The outcome by which trials are compared; "": none."""
    return next((name for name, one in spec.outcomes.items() if one.prefers), "")


def _most_liked(objective: Objective, before: CampaignState, thought: Thought, outcome: str) -> TrialState:
    """The trial that the model took for the best, of the one or more that were compared."""
    trials = objective.measured(before.trials.values())
    trials = [trial for trial in trials if objective.feasible(trial)] or trials
    return max(trials, key=lambda trial: thought.of(trial.settings).predicted[outcome].mean)


def _gain(objective: Objective, outcomes: Mapping[str, Any], best: float) -> float:
    """By how much the score is above the best; 0 where it is not, or a limit is broken."""
    score = objective.score(outcomes)
    return max(score - best, 0.0) if score is not None and objective.feasible(outcomes) else 0.0


def _draws(predicted: Mapping[str, e.Prediction]) -> list[dict[str, float]]:
    """What might come out, as the model believes it, outcomes taken as independent."""
    normal = norm.ppf(qmc.Sobol(len(predicted), seed=0).random(DRAWS))
    return [
        {name: one.mean + one.sd * z for (name, one), z in zip(predicted.items(), row, strict=True)} for row in normal
    ]


def _outcomes(spec: CampaignSpec, trial: TrialState) -> dict[str, Any]:
    """{outcome: unit, expected, measured, and by how many sd they differ}."""
    measured = view.outcomes(trial)
    found: dict[str, Any] = {}
    for name, outcome in spec.outcomes.items():
        hoped = trial.proposal.predicted.get(name)
        entry: dict[str, Any] = {
            "unit": outcome.unit, "believed": outcome.prefers, "expected": None, "measured": None, "surprise_sd": None,
            "censored": "", "flag": "",
        }  # fmt: skip
        if hoped is not None:
            entry["expected"] = {"mean": hoped.mean, "sd": hoped.sd}
        if name in measured:
            entry["measured"] = measured[name]["value"]
            entry |= {what: measured[name].get(what, "") for what in ("censored", "flag")}
            # else two beliefs, which are no surprise; or no value that could be one
            known = not (outcome.prefers or entry["censored"] or entry["flag"])
            if known and hoped is not None and hoped.sd > 0.0 and isinstance(entry["measured"], (int, float)):
                entry["surprise_sd"] = round((entry["measured"] - hoped.mean) / hoped.sd, 2)
        found[name] = entry
    return found


def _desirability(spec: CampaignSpec, trial: TrialState) -> dict[str, Any] | None:
    """How desirable what came is, and what was expected, overall and by outcome; None where that is not said.

    Expected is the mean over what might have come out, as the model believed it.
    """
    objective = Objective(spec)
    if not objective.shapes:
        return None
    predicted = trial.proposal.predicted
    expected = None
    if objective.goals.keys() <= predicted.keys():
        drawn = [one for one in map(objective.desirability, _draws(predicted)) if one is not None]
        each = {name: fmean(one[1][name] for one in drawn) for name in objective.goals}
        expected = {"overall": fmean(one[0] for one in drawn), "each": each}
    return {"expected": expected, "measured": view.desirability(objective, trial)}


def _predicted(predicted: Mapping[str, e.Prediction]) -> dict[str, Any]:
    return {name: {"mean": one.mean, "sd": one.sd} for name, one in predicted.items()}
