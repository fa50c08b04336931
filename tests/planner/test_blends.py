"""Mixtures of described components: like components tell of each other, in shares, by numbers and by structure."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.planner import molecules, pool, torch_models
from labloop.planner.acquisition import build
from labloop.planner.belief import Belief
from labloop.planner.blends import by_distances, by_numbers
from labloop.planner.encoding import Encoding
from labloop.planner.goals import Goal
from labloop.planner.known import Known, Observations
from labloop.planner.problem import propose, read_problem
from labloop.planner.surrogate import fit_all, kernels

NAMES = ("A", "B", "C", "A2", "C2")
POLARITY = dict(zip(NAMES, (0.0, 4.0, 10.0, 0.0, 10.0), strict=True))  # A2 is like A, C2 like C
DESCRIBED = [{"name": name, "polarity": value} for name, value in POLARITY.items()]
SMILES = dict(zip(NAMES, ("CCO", "CC#N", "CCCCCC", "CCO", "CCCCCC"), strict=True))


def campaign(mixture: object, **more: object) -> dict:
    blend = {"mixture": mixture, **more}
    if isinstance(mixture, list) and isinstance(mixture[0], dict) and "polarity" in mixture[0]:
        blend["descriptors"] = ["polarity"]
    return {"parameters": {"blend": blend, "t": {"range": [0, 1]}}, "outcomes": {"y": {"goal": "maximize"}}}


def space(mixture: object, **more: object) -> Encoding:
    return read_problem(spec_from_dict(campaign(mixture, **more))).encoding


def told(encoding: Encoding, n: int = 25) -> dict[str, Observations]:
    """Mixtures of A, B and C alone: y is their polarity, bent."""
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(3), n)
    points = np.column_stack([shares, np.zeros((n, 2)), rng.random(n)])
    z = shares @ [0.0, 0.4, 1.0]
    y = np.sin(4 * z) + 0.01 * rng.standard_normal(n)
    return {"y": Observations(points[:, : encoding.dimension], y, np.zeros(n), np.arange(1, n + 1))}


# Of what was never in a mixture: that it is like A, or C, is all there is to know.
SWAPPED = np.array([[0, 0.3, 0, 0.7, 0, 0.5], [0, 0.2, 0, 0, 0.8, 0.5], [0, 0, 0, 0.5, 0.5, 0.5]])
SAME = np.array([[0.7, 0.3, 0, 0, 0, 0.5], [0, 0.2, 0.8, 0, 0, 0.5], [0.5, 0, 0.5, 0, 0, 0.5]])


@pytest.mark.parametrize("how", ["numbers", "structure"])
def test_a_component_that_was_never_used_is_foretold_from_its_like(how: str) -> None:
    written = DESCRIBED if how == "numbers" else [{"name": name, "smiles": text} for name, text in SMILES.items()]
    described, plain = space(written), space(list(NAMES))
    by_likeness = fit_all(told(described), described, ["matern"])
    mean, sd = by_likeness.predict(SWAPPED)
    wanted = by_likeness.predict(SAME)[0]
    assert np.abs(mean - wanted).max() < 0.15 and sd.max() < 0.35
    bare, bare_sd = fit_all(told(plain), plain, ["matern"]).predict(SWAPPED)
    assert np.abs(bare - wanted).max() > 0.6 and bare_sd.max() > 2 * sd.max()
    assert f"; blend by {'polarity' if how == 'numbers' else 'structure'}; " in by_likeness.words


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
def test_botorch_believes_the_same(kernel: str) -> None:
    encoding = space([{**one, "smiles": SMILES[one["name"]]} for one in DESCRIBED])
    ours = fit_all(told(encoding), encoding, [kernel]).predict(SWAPPED)
    theirs = torch_models.fit(told(encoding), encoding, kernel).predict(SWAPPED)
    assert ours[0] == pytest.approx(theirs[0], abs=0.02) and ours[1] == pytest.approx(theirs[1], abs=0.02)


def test_distances_of_blends_are_those_of_what_they_are_like() -> None:
    rng = np.random.default_rng(0)
    table, shares = rng.random((6, 3)), rng.dirichlet(np.ones(6), 4)
    squares = ((table[:, None] - table[None]) ** 2).sum(2)
    found = by_distances(tuple(range(6)), "structure", squares)
    assert found.width == 3

    def apart(like: np.ndarray) -> np.ndarray:
        return np.linalg.norm(like[:, None] - like[None], axis=2)

    assert apart(found.of(shares)) == pytest.approx(apart(shares @ table))


def test_numbers_are_scaled_over_the_components_and_one_that_is_the_same_for_all_is_left_out() -> None:
    table = np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    (one,) = by_numbers((4, 0, 2), ("x", "constant"), table)
    assert (one.columns, one.words) == ((4, 0, 2), "x")
    assert one.weights.tolist() == [[0.0], [1.0], [0.5]]
    assert one.of(np.array([[0.5, 9.0, 0.5, 9.0, 0.0]])).tolist() == [[0.75]]


def test_a_shares_own_lengthscale_is_longer_where_it_is_described() -> None:
    plain, described = (kernels(space(one), ["matern"])[0] for one in (list(NAMES), DESCRIBED))
    assert len(described.start) == len(plain.start) + 1
    extra = described.number_prior.mode - described.number_prior.mode[-1]
    assert np.all(extra[:5] > 0.0) and extra[5:] == pytest.approx(0.0)


@pytest.mark.parametrize("asked", [{"warp": True}, {"few": True}, {"drifting": True}, {"robust": True}], ids=str)
def test_other_models_are_of_blends_too(asked: dict[str, bool]) -> None:
    encoding = space(DESCRIBED)
    surrogate = fit_all(told(encoding), encoding, ["matern"], **asked)
    belief: Belief = surrogate.beliefs[0]
    assert np.abs(surrogate.predict(SWAPPED)[0] - surrogate.predict(SAME)[0]).max() < 0.3
    step = 1e-6
    member, point = belief.members[-1], np.array([[0.3, 0.2, 0.25, 0.1, 0.15, 0.4]])
    slope = member.watched(point)[1](np.ones(1), np.zeros(1), np.zeros((1, 0)))[0]
    for column in range(6):
        ahead, behind = point.copy(), point.copy()
        ahead[0, column] += step
        behind[0, column] -= step
        change = (member.posterior(ahead)[0] - member.posterior(behind)[0]) / (2 * step)
        assert slope[column] == pytest.approx(change[0], abs=1e-4)
    if "few" in asked:
        assert belief.words.startswith("by polarity of ")


def test_a_taste_is_of_blends_too() -> None:
    encoding = space(DESCRIBED)
    seen = told(encoding)["y"]
    order = np.argsort(-seen.values)
    compared = tuple((int(better), int(worse), False) for better, worse in pairwise(order))
    surrogate = fit_all({"y": replace(seen, compared=compared)}, encoding, ["matern"])
    swapped, same = surrogate.predict(SWAPPED)[0], surrogate.predict(SAME)[0]
    assert np.abs(swapped - same).max() < 0.25 * np.ptp(surrogate.predict(seen.points)[0])


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
def test_the_best_of_a_large_table_is_found_by_scoring_every_row(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = space([{**one, "smiles": SMILES[one["name"]]} for one in DESCRIBED])
    data = told(encoding)
    rows = np.column_stack(
        [np.random.default_rng(5).dirichlet(np.ones(5), 3000), np.random.default_rng(6).random(3000)]
    )
    x, none = data["y"].points, np.empty((0, 6))
    score = build(fit_all(data, encoding, [kernel]), (Goal("y", 1),), Known(x, none, x, none), encoding, 0)
    assert all(map(pool.is_bounded, score.teams))
    monkeypatch.setattr(pool, "SMALL", 100)
    assert np.all(pool._bounds(score, rows) >= score.of_rows(rows))
    assert pool.top(score, rows, 3)[0].tolist() == np.argsort(-score.of_rows(rows), kind="stable")[:3].tolist()


def test_without_rdkit_components_are_names_and_the_model_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molecules, "is_known", lambda: False)
    encoding = space([{"name": name, "smiles": text} for name, text in SMILES.items()])
    words = fit_all(told(encoding), encoding, ["matern"]).words
    assert "; blend by name alone (RDKit is not installed: pip install labloop[chem]); " in words


def test_no_smiles_is_refused() -> None:
    with pytest.raises(SpecError, match=r"C1CC: RDKit cannot read this SMILES. Correct it"):
        space([{"name": "A", "smiles": "CO"}, {"name": "B", "smiles": "C1CC"}])


@pytest.mark.parametrize("engine", [{}, {"acquisition": "qLogNEI", "samples": 16, "raw_samples": 32, "restarts": 2}])
def test_a_campaign_keeps_its_sum_and_few_components_and_finds_the_unused_twin(
    engine: dict[str, object], journal: Callable
) -> None:
    """The best polarity is C's alone; there may be little of C, and C2 was never tried."""
    spec = spec_from_dict(
        campaign(DESCRIBED, sum=100, unit="percent", at_most=2, at_least=5)
        | {
            "constraints": ["C <= 10 percent"],
            "engine": engine,
            "design": {"initial": {"method": "sobol", "trials": 5}},
        }
    )
    facts = journal(5)
    shares = np.array([[100, 0, 0], [50, 50, 0], [0, 100, 0], [30, 70, 0], [50, 0, 50], [0, 60, 40], [0, 30, 70]])
    for at, (a, b, c) in enumerate(shares):
        settings = {"A": float(a), "B": float(b), "C": float(c), "A2": 0.0, "C2": 0.0, "t": at / 6}
        facts.measure(settings, y=float(0.4 * b + c) / 100.0)
    proposal = propose(spec, facts.state)[0]
    mixed = {name: proposal.settings[name] for name in NAMES}
    assert proposal.source == "model" and sum(mixed.values()) == pytest.approx(100.0)
    there = [amount for amount in mixed.values() if amount > 1e-4]
    assert len(there) <= 2 and min(there) >= 5.0 - 1e-6 and mixed["C"] <= 10.0
    assert mixed["C2"] > 60.0
    assert "blend by polarity" in proposal.model
