"""Which model is taken is chosen by leave-one-out evidence: what data ask for is found, else the plain one stays."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.planner import evidence
from labloop.planner.belief import ALL_LEARNT, Belief, Memory, plainly
from labloop.planner.encoding import Column, Encoding
from labloop.planner.errors import SurrogateError
from labloop.planner.evidence import FEWEST, MARGIN, choose, even, log_density
from labloop.planner.known import Observations
from labloop.planner.problem import propose, read_problem
from labloop.planner.robust import price
from labloop.planner.surrogate import Surrogate, fit_all, kernels
from labloop.planner.thought import Thought
from labloop.planner.transform import Logarithm

SPACE = Encoding(tuple(Column(name, "real") for name in "abc"))


def told(kind: str, n: int, seed: int = 1) -> Observations:
    """What a kind of data looks like in three dimensions."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 3))
    (matern,) = kernels(SPACE, ["matern"])
    k = matern.cross(np.log([0.5, 0.5, 0.8]), x, x) + 0.01 * np.eye(n)
    y = np.linalg.cholesky(k) @ rng.standard_normal(n)
    if kind == "robust":
        y[[3, 11, 17]] += [6.0, -6.0, 6.0]
    elif kind == "transform":
        y = np.exp(2 * y)
    elif kind == "warp":
        y = np.sin(18 * x[:, 0] ** 5) + 0.02 * rng.standard_normal(n)
    elif kind == "drift":
        y += 4.0 * np.arange(n) / n
    elif kind == "additive":
        y = np.abs(3 * x - 1.3).sum(1) + 0.1 * rng.standard_normal(n)
    elif kind == "rbf":
        y = np.sin(5 * x[:, 0] + 4 * x[:, 1]) * np.cos(3 * x[:, 2]) + 0.01 * rng.standard_normal(n)
    return Observations(x, y, np.zeros(n), np.arange(1, n + 1))


def chosen(data: Observations, memory: Memory | None = None) -> Surrogate:
    return fit_all({"y": data}, SPACE, ["matern"], memory, transformed="y", choosing=True)


@pytest.mark.parametrize("kind", ["plain", "robust", "transform", "warp", "drift", "additive", "rbf"])
def test_what_the_data_ask_for_is_taken_and_told(kind: str) -> None:
    found = chosen(told(kind, 40))
    seen = found.evidence["y"]
    assert seen.taken.split(" + ")[0] == kind
    assert {name for name in seen.ahead if "+" not in name} == {
        "robust",
        "drift",
        "transform",
        "warp",
        "additive",
        "rbf",
    }
    best = max((name for name in seen.ahead if "+" not in name), key=lambda name: seen.ahead[name])
    if kind == "plain":
        assert seen.ahead[best] <= MARGIN
        assert f"; y plain by evidence (nearest is {best}, {seen.ahead[best]:+.1f}); " in found.words
    else:
        assert best == kind
        assert f" ({seen.taken}, taken by evidence: {seen.ahead[seen.taken]:+.1f} over plain); " in found.words


def test_what_goes_together_with_what_is_taken_is_tried_too() -> None:
    data = told("robust", 40)
    both = replace(data, values=data.values + 4.0 * np.arange(40) / 40)
    seen = chosen(both).evidence["y"]
    assert seen.taken == "robust + drift" and seen.ahead["robust + drift"] > seen.ahead["robust"] + MARGIN
    tried = {name for name in seen.ahead if "+" in name}  # drift alone was ahead of robust alone
    assert (
        tried == {"robust + drift", "drift + transform", "drift + rbf"} and seen.ahead["drift"] > seen.ahead["robust"]
    )
    points = np.random.default_rng(9).random((20, 3))
    asked = fit_all({"y": both}, SPACE, ["matern"], robust=True, drifting=True)
    assert np.array_equal(chosen(both).predict(points), asked.predict(points))


def test_what_is_taken_is_the_model_that_one_could_have_asked_for() -> None:
    points = np.random.default_rng(9).random((20, 3))
    robust = fit_all({"y": told("robust", 40)}, SPACE, ["matern"], robust=True)
    assert np.array_equal(chosen(told("robust", 40)).predict(points), robust.predict(points))
    plain = fit_all({"y": told("plain", 40)}, SPACE, ["matern"])
    assert np.array_equal(chosen(told("plain", 40)).predict(points), plain.predict(points))


def test_what_was_fitted_for_the_evidence_is_not_fitted_again() -> None:
    fits: list[str] = []

    def plain(data: Observations, memory: Memory) -> Belief:
        fits.append("plain")
        return plainly(data, kernels(SPACE, ["matern"]), memory)

    memory: Memory = {}
    first = choose(told("plain", 12), {"plain": plain}, memory)
    assert fits == ["plain"]
    again = choose(told("plain", 12), {"plain": plain}, memory)
    assert fits == ["plain", "plain"], "the evidence is remembered, the belief is not"
    points = np.random.default_rng(9).random((20, 3))
    assert np.array_equal(first.belief.predict(points), again.belief.predict(points))


def test_evidence_is_what_each_measurement_is_foretold_from_the_others() -> None:
    data = told("plain", 12)
    belief = plainly(data, kernels(SPACE, ["matern"]), {})
    gp = belief.members[0]
    k = gp.kernel.cross(gp.theta, gp.x, gp.x) + gp.noise * np.eye(12)
    total = 0.0
    for i in range(12):
        others = np.arange(12) != i
        weights = np.linalg.solve(k[np.ix_(others, others)], k[others, i])
        mean = gp.mean + weights @ (gp.data.y[others] - gp.mean)
        sd = np.sqrt(k[i, i] - weights @ k[others, i])
        total += norm.logpdf(data.values[i], belief.shift + belief.scale * mean, belief.scale * sd)
    assert log_density(belief, data.values) == pytest.approx(total - len(gp.parameters))


def test_a_transforms_slope_counts_and_an_outlier_pays() -> None:
    data = told("transform", 12)
    seen = replace(data, values=np.log(data.values))
    belief = plainly(seen, kernels(SPACE, ["matern"]), {})
    through = replace(belief, transform=Logarithm())
    assert log_density(through, data.values) == pytest.approx(
        log_density(belief, seen.values) - np.log(data.values).sum()
    )
    assert log_density(replace(belief, outliers=(3, 5)), seen.values) == pytest.approx(
        log_density(belief, seen.values) - 2 * price(12)
    )


def test_members_foretell_as_their_mean() -> None:
    data = told("plain", 12)
    one = plainly(data, kernels(SPACE, ["matern"]), {})
    both = plainly(data, kernels(SPACE, ["matern", "matern"]), {})
    assert log_density(both, data.values) == pytest.approx(log_density(one, data.values))


def test_the_unit_of_the_outcome_changes_nothing() -> None:
    data = told("warp", 25)
    large = replace(data, values=data.values * 1e4)
    a, b = (chosen(one).evidence["y"] for one in (data, large))
    assert a.taken == b.taken and a.ahead == pytest.approx(b.ahead, abs=0.05)


def test_of_few_trials_nothing_is_told() -> None:
    found = chosen(told("transform", FEWEST - 1))
    assert (found.evidence["y"].taken, found.evidence["y"].ahead) == ("plain", {})
    assert "; y plain, of too few trials to tell; " in found.words


def test_a_candidate_that_fails_is_left_out_and_named() -> None:
    data = told("plain", 12)
    every = kernels(SPACE, ["matern"])

    def broken(seen: Observations, memory: Memory) -> Belief:
        raise SurrogateError("singular")

    found = choose(data, {"plain": lambda seen, memory: plainly(seen, every, memory), "warp": broken}, {})
    assert found.evidence.taken == "plain" and not found.evidence.ahead and found.belief.words.endswith(", warp failed")
    with pytest.raises(SurrogateError, match="singular"):
        choose(data, {"plain": broken}, {})


def test_of_many_trials_it_is_chosen_where_parameters_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    data, memory = told("robust", ALL_LEARNT + 12), {}
    cold = chosen(data)
    assert cold.evidence["y"].taken == "robust"
    first = chosen(data.of(np.arange(ALL_LEARNT + 9)), memory)
    monkeypatch.setattr(evidence, "log_density", None)  # what was chosen is remembered
    warm = chosen(data, memory)
    assert warm.evidence == first.evidence == cold.evidence
    points = np.random.default_rng(9).random((20, 3))
    assert np.array_equal(warm.predict(points), cold.predict(points))


def test_beliefs_of_one_and_of_three_members_make_teams() -> None:
    one = plainly(told("plain", 12), kernels(SPACE, ["matern"]), {})
    three = replace(one, members=one.members * 3, weights=np.array([0.5, 0.3, 0.2]))
    evened = even([one, three])
    assert [len(belief.members) for belief in evened] == [3, 3]
    assert evened[0].weights == pytest.approx(np.full(3, 1 / 3)) and evened[1].weights.tolist() == [0.5, 0.3, 0.2]


def campaign(**engine: object) -> dict:
    return {
        "parameters": {name: {"range": [0, 1]} for name in "abc"},
        "outcomes": {"y": {"goal": "maximize"}},
        "engine": engine,
    }


def test_a_campaign_records_what_was_taken_and_a_replay_takes_the_same(journal: Callable) -> None:
    facts = journal(3)
    data = told("robust", 24)
    for x, y in zip(data.points, data.values, strict=True):
        facts.measure(dict(zip("abc", map(float, x), strict=True)), y=float(y))
    first, again = (propose(spec_from_dict(campaign(model="auto")), facts.state)[0] for _ in range(2))
    assert first == again
    assert first.evidence["y"].taken == "robust" and "y has outliers: 4, 12, 18 (robust, taken" in first.model
    assert propose(spec_from_dict(campaign()), facts.state)[0].evidence == {}


def test_two_outcomes_have_models_of_their_own(journal: Callable) -> None:
    facts = journal(3)
    plain, wrong = told("plain", 30), told("robust", 30)
    for x, y, z in zip(plain.points, plain.values, wrong.values, strict=True):
        facts.measure(dict(zip("abc", map(float, x), strict=True)), y=float(y), z=float(z))
    spec = campaign(model="auto") | {"outcomes": {"y": {"goal": "maximize"}, "z": {"goal": "minimize"}}}
    proposal = propose(spec_from_dict(spec), facts.state)[0]
    assert proposal.source == "model"
    assert {name: one.taken for name, one in proposal.evidence.items()} == {"y": "plain", "z": "robust"}
    assert all("transform" not in one.ahead for one in proposal.evidence.values())


@pytest.mark.parametrize(
    ("engine", "more", "transform"),
    [
        ({}, {}, "y"),
        ({"transform": "none"}, {}, ""),
        ({}, {"stop_when": {"chance_below": 0.01}}, ""),
        ({}, {"outcomes": {"y": {"goal": "maximize", "limit": "<= 3"}}}, ""),
    ],
    ids=str,
)
def test_a_transform_is_tried_where_it_may_be(engine: dict, more: dict, transform: str) -> None:
    assert read_problem(spec_from_dict(campaign(model="auto", **engine) | more)).engine.transform == transform


def test_a_kernel_that_is_given_is_not_chosen_among() -> None:
    data = {"y": told("rbf", 40)}
    given = fit_all(data, SPACE, ["matern"], choosing=True, shaped=True).evidence["y"]
    assert {"additive", "rbf"}.isdisjoint(given.ahead) and "warp" in given.ahead
    line = Encoding(SPACE.columns[:1])
    alone = replace(data["y"], points=data["y"].points[:, :1])
    seen = fit_all({"y": alone}, line, ["matern"], choosing=True).evidence["y"]
    assert "rbf" in seen.ahead and "additive" not in seen.ahead  # of one parameter there is nothing to add up


def test_a_campaign_may_ask_for_effects_that_add_up(journal: Callable) -> None:
    facts = journal(3)
    levels, rng = {"ligand": "ABCDEFGH", "base": "uvwxyz"}, np.random.default_rng(0)
    worth = {one: float(w) for one, w in zip("ABCDEFGHuvwxyz", rng.permutation(14), strict=True)}
    every = [(one, other) for one in levels["ligand"] for other in levels["base"]]
    tried = [every[at] for at in rng.permutation(48)[:22]]
    for one, other in tried:
        facts.measure({"ligand": one, "base": other}, y=worth[one] + worth[other])
    errors = []
    for engine in ({"kernel": "additive"}, {}):
        spec = campaign(**engine) | {"parameters": {name: {"choices": list(of)} for name, of in levels.items()}}
        thought = Thought(spec_from_dict(spec), facts.state, 23)
        found = propose(spec_from_dict(spec), facts.state)[0]
        assert found.source == "model" and ("half by effects that add up" in found.model) == bool(engine)
        left = [pair for pair in every if pair not in tried]
        mean = [thought.of({"ligand": a, "base": b}).predicted["y"].mean for a, b in left]
        errors.append(np.sqrt(np.mean([(m - worth[a] - worth[b]) ** 2 for m, (a, b) in zip(mean, left, strict=True)])))
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("beside", [{"robust": True}, {"warp": True}, {"drift": True}, {"acquisition": "qLogNEI"}])
def test_what_does_not_go_together_is_refused(beside: dict) -> None:
    with pytest.raises(SpecError, match=r"does not go together with model|is not for what BoTorch samples"):
        read_problem(spec_from_dict(campaign(model="auto", **beside)))
