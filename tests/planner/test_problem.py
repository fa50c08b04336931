"""From a campaign's file to proposals that its own space holds to be legal."""

from pathlib import Path

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.space import Space
from labloop.campaign.spec import read_spec, spec_from_dict
from labloop.planner.problem import propose, read_problem

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
LINE = {"x": {"range": [0, 1]}}
FRONT = {"a": {"goal": "maximize"}, "b": {"goal": "minimize"}}
QUICK = {"raw_samples": 64, "restarts": 2, "iterations": 20, "samples": 16}


def campaign(parameters: dict, outcomes: dict | None = None, **more: object) -> dict:
    return {
        "labloop": 1,
        "campaign": "names",
        "parameters": parameters,
        "outcomes": outcomes or {"E": {"goal": "maximize"}},
        "design": {"initial": {"method": "sobol", "trials": 5}, "seed": 7},
        "engine": QUICK,
        **more,
    }


AWKWARD = {
    "a grid that misses its end": campaign({"yield": {"range": [90, 161], "step": 5}, "x": {"range": [-1, 1]}}),
    "a step of a tenth": campaign(
        {"beta": {"range": [0, 1], "step": 0.1}, "S": {"range": [1e-9, 1e-3], "scale": "log"}}
    ),
    "integers on a log scale": campaign({"N": {"integer": [1, 5000], "scale": "log"}, "x": {"range": [0, 1e6]}}),
    "choices of all kinds": campaign(
        {"s": {"choices": ["a", "b", "c"]}, "o": {"choices": [1, 2, 5, 10], "ordered": True}, "x": {"range": [0, 1]}}
    ),
    "a sum in other units": campaign(
        {"a": {"range": [0, 5], "unit": "mL"}, "b": {"range": [0, 3000], "unit": "uL"}}, constraints=["a + b <= 4 mL"]
    ),
    "a log parameter in a sum": campaign(
        {"a": {"range": [0.01, 10], "scale": "log"}, "b": {"range": [0, 10]}},
        constraints=["a + b <= 3", "a >= 0.1 * b"],
    ),
    "a product": campaign({"a": {"range": [0, 10]}, "b": {"range": [0, 10]}}, constraints=["a * b <= 5"]),
    "a forbidden pair": campaign(
        {"s": {"choices": ["DMF", "THF"]}, "T": {"range": [20, 160], "unit": "degC"}},
        constraints=["s == DMF or T <= 60 degC"],
    ),
    "a mixture": campaign({"m": {"mixture": ["A", "B", "C"], "sum": 1}, "x": {"range": [0, 1]}}),
    "an equality with a grid": campaign(
        {"a": {"range": [0, 10], "step": 1}, "b": {"range": [0, 10]}, "c": {"range": [0, 10]}},
        constraints=["a + b + c == 12"],
    ),
    "a thin slice": campaign({n: {"range": [0, 1]} for n in "abcd"}, constraints=["a + b + c + d >= 3.9"]),
    "one point only": campaign({"s": {"choices": ["a"]}}, candidates={"table": [{"s": "a"}], "repeats": True}),
}


@pytest.mark.parametrize("written", AWKWARD.values(), ids=AWKWARD.keys())
def test_every_proposal_lies_in_the_space(journal, written: dict) -> None:
    spec = spec_from_dict(written)
    space, facts = Space(spec), journal(3)
    sources = set()
    for number in range(9):
        proposal = propose(spec, facts.state)[0]
        assert space.contains(proposal.settings) == []
        sources.add(proposal.source)
        facts.measure(proposal.settings, E=float((number * 7) % 5))
    assert sources == {"sobol", "model"}


def test_the_shipped_quickstart_is_planned(journal) -> None:
    spec = read_spec(CAMPAIGNS / "quickstart.yaml")
    facts = journal(spec.design.seed)
    space = Space(spec)
    for settings in (proposal.settings for proposal in propose(spec, facts.state, 8)):
        assert space.contains(settings) == []
        facts.measure(settings, spectrum_loss=float(settings["q_tsc"]) / 40)
    proposal = propose(spec, facts.state)[0]
    assert proposal.source == "model" and space.contains(proposal.settings) == []


def test_units_of_a_constraint_are_the_parameters_own() -> None:
    problem = read_problem(spec_from_dict(AWKWARD["a sum in other units"]))
    inside = problem.encoding.is_inside(problem.encoding.encode([{"a": 2.0, "b": 1900.0}, {"a": 2.0, "b": 2100.0}]))
    assert inside.tolist() == [True, False]


def test_goals_are_read_whole() -> None:
    outcomes = {
        "nm": {"goal": {"target": 530, "tolerance": 5}, "weight": 2},
        "cost": {"goal": "minimize", "limit": "<= 12", "weight": 1},
        "purity": {"limit": ">= 0.9"},
    }
    goals = {
        goal.outcome: goal for goal in read_problem(spec_from_dict(campaign({"x": {"range": [0, 1]}}, outcomes))).goals
    }
    assert (goals["nm"].target, goals["nm"].tolerance, goals["nm"].weight) == (530.0, 5.0, 2.0)
    assert (goals["cost"].sense, goals["cost"].upper, goals["cost"].weight) == (-1, 12.0, 1.0)
    assert (goals["purity"].is_wish, goals["purity"].lower) == (False, 0.9)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (campaign({"x": {"range": [0, 1]}}) | {"engine": {"restart": 3}}, "engine.restart.*Did you mean restarts"),
        (campaign({"x": {"range": [0, 1]}}) | {"engine": {"samples": 1}}, "a whole number from 8 to 4096"),
        (campaign(LINE, engine={"acquisition": "LogEI"}), "acquisition.*must be one of qLogNEI, qLogNEHVI"),
        (campaign(LINE, engine={"acquisition": "qLogNEHVI"}), "not for these goals. Write qLogNEI,"),
        (campaign(LINE, FRONT, engine={"acquisition": "qLogNEI"}), "not for these goals. Write qLogNEHVI,"),
        (campaign(LINE, engine={"robust": 1}), "robust.*must be true or false"),
        (campaign(LINE, engine={"robust": True, "acquisition": "qLogNEI"}), "robust.*not for what BoTorch samples"),
        (campaign({"c": {"choices": ["a", "b"]}}, engine={"warp": True}), "warp = true: is for parameters that are"),
        (campaign(LINE, engine={"drift": "yes"}), "drift = yes: must be true or false"),
        (campaign(LINE, engine={"drift": True, "warp": True}), "drift = true: does not go together with warp"),
        (campaign(LINE, engine={"kernel": "additive", "warp": True}), "warp = true: does not go together with kernel"),
        (
            campaign(LINE, engine={"kernel": "additive", "drift": True}),
            "drift = true: does not go together with kernel",
        ),
        (
            campaign(LINE, engine={"kernel": "additive", "model": "auto"}),
            "model = auto: does not go together with kernel",
        ),
        (
            campaign(LINE, engine={"kernel": "additive", "acquisition": "qLogNEI"}),
            "kernel.*not for what BoTorch samples",
        ),
        (campaign(LINE, engine={"model": "sas"}), "model = sas: must be one of plain, saas"),
        (
            campaign({"c": {"choices": ["a", "b"]}}, engine={"model": "saas"}),
            "saas: is for parameters that are numbers",
        ),
        (campaign(LINE, engine={"model": "saas", "drift": True}), "drift = true: does not go together with model"),
        (campaign(LINE, engine={"transform": "log"}), "transform.*must be one of auto, none"),
        (
            campaign(LINE, engine={"model": "auto", "robust": True}),
            "robust = true: does not go together with model",
        ),
        (
            campaign(LINE, FRONT, engine={"transform": "auto"}),
            "transform = auto: is for one outcome to maximize or minimize",
        ),
        (
            campaign(LINE, {"E": {"goal": {"target": 1}}}, engine={"transform": "auto"}),
            "transform = auto: is for one outcome",
        ),
        (
            campaign(LINE, {"E": {"goal": "maximize", "limit": "<= 9"}}, engine={"transform": "auto"}),
            "transform = auto: is for one outcome",
        ),
        (
            campaign(LINE, stop_when={"chance_below": 0.01}, engine={"transform": "auto"}),
            "transform = auto: does not go together with regret_below and chance_below",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_with_its_place(written: dict, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        read_problem(spec_from_dict(written))


@pytest.mark.parametrize(("outcomes", "forced"), [(None, "qLogNEI"), (FRONT, "qLogNEHVI")])
def test_an_acquisition_that_fits_is_forced(outcomes: dict | None, forced: str) -> None:
    assert (
        read_problem(spec_from_dict(campaign(LINE, outcomes, engine={"acquisition": forced}))).engine.acquisition
        == forced
    )
