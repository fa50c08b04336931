"""Mixtures of a few components and parameters under conditions: nothing that does not count is ever proposed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labloop.campaign.space import Space
from labloop.campaign.spec import spec_from_dict
from labloop.planner.presence import Conditions, Sparse
from labloop.planner.problem import propose, read_problem

BLEND = {"mixture": ["A", "B", "C", "D", "E"], "sum": 100, "unit": "percent", "at_most": 3, "at_least": 5}
SOLVENT = {"choices": ["DMF", "DMSO", "NMP"]}
UNDER_DMF: dict[str, Any] = {
    "solvent": SOLVENT,
    "p": {"range": [1, 10], "unit": "bar", "active_when": "solvent == DMF"},
    "catalyst": {"choices": ["none", "Pd", "Ni"], "active_when": "solvent == DMF"},
    "load": {"integer": [1, 9], "active_when": "catalyst == Pd"},
    "T": {"range": [0, 1]},
}
NUMBERS: dict[str, Any] = {
    "mode": {"choices": ["slow", "fast"]},
    "n": {"integer": [1, 4], "active_when": "mode == fast"},
    "w": {"choices": [1, 2, 5], "ordered": True, "active_when": "mode == slow"},
}


def blended(settings: dict[str, Any]) -> float:
    a, b, c = (float(settings[name]) / 100 for name in "ABC")
    return 4 * b * c - a - 0.05 * sum(float(settings[name]) > 0 for name in "ABCDE")


def reacted(settings: dict[str, Any]) -> float:
    if settings["solvent"] != "DMF":
        return {"DMSO": 0.6, "NMP": 0.2}[settings["solvent"]] + 0.3 * settings["T"]
    return 1.0 - ((settings["p"] - 7.0) / 5.0) ** 2 + (0.1 * settings["load"] if settings["catalyst"] == "Pd" else 0.0)


@pytest.fixture
def play(journal: Callable[[int], Any]) -> Callable[..., list[dict[str, Any]]]:
    """A campaign by hand: what was proposed, each of which the space must hold."""

    def go(parameters: dict[str, Any], told: Callable[[dict[str, Any]], float], trials: int, **more: Any) -> Any:
        spec = spec_from_dict({"parameters": parameters, "outcomes": {"y": {"goal": "maximize"}}, **more})
        book, space, seen = journal(7), Space(spec), []
        for _ in range(trials):
            proposal = propose(spec, book.state)[0]
            assert space.contains(proposal.settings) == [], proposal
            assert not proposal.reason.startswith("surrogate failed"), proposal.reason
            seen.append(proposal.settings)
            book.measure(proposal.settings, y=told(proposal.settings))
        return seen

    return go


def test_a_sparse_mixture_is_searched_by_what_is_in_it(play: Callable[..., list[dict[str, Any]]]) -> None:
    seen = play({"blend": BLEND, "T": {"range": [20, 90]}}, blended, 22)
    best = max(seen, key=blended)
    assert {name for name in "ABCDE" if best[name] > 0} == {"B", "C"}, "two components, where three are allowed"
    assert best["B"] == pytest.approx(50.0, abs=6.0)
    counts = {sum(one[name] > 0 for name in "ABCDE") for one in seen}
    assert counts == {1, 2, 3}


def test_a_semicontinuous_mixture_has_enough_of_what_it_has(play: Callable[..., list[dict[str, Any]]]) -> None:
    mixture = {"mixture": ["A", "B", "C", "D", "E"], "sum": 100, "at_least": 30}
    for one in play({"blend": mixture}, blended, 14, constraints=["A <= 40"]):
        assert all(one[name] == 0 or one[name] >= 30 for name in "ABCDE") and one["A"] <= 40


@pytest.mark.parametrize("engine", [{}, {"acquisition": "qLogNEI", "samples": 16, "restarts": 2, "raw_samples": 32}])
def test_a_parameter_under_a_condition_has_a_value_where_it_holds(
    play: Callable[..., list[dict[str, Any]]], engine: dict[str, Any]
) -> None:
    seen = play(UNDER_DMF, reacted, 8 if engine else 30, engine=engine, design={"initial": {"trials": 6}})
    for one in seen:
        assert ("p" in one) == ("catalyst" in one) == (one["solvent"] == "DMF")
        assert ("load" in one) == (one.get("catalyst") == "Pd"), "nor what hangs on it in turn"
    assert len({one["solvent"] for one in seen}) == 3
    if not engine:
        assert max(map(reacted, seen)) > 1.8


def test_what_does_not_count_makes_no_points_of_its_own(play: Callable[..., list[dict[str, Any]]]) -> None:
    """4 fast ones and 3 slow ones: a discrete space of 7 points, each given once."""
    seen = play(NUMBERS, lambda one: float(one.get("n", one.get("w", 0))), 7)
    assert len({tuple(sorted(one.items())) for one in seen}) == 7


def test_rows_of_a_table_have_empty_cells(play: Callable[..., list[dict[str, Any]]]) -> None:
    rows = [{"mode": "fast", "n": n} for n in (1, 2, 3, 4)] + [{"mode": "slow", "w": w, "n": ""} for w in (1, 2, 5)]
    seen = play(NUMBERS, lambda one: float(one.get("n", one.get("w", 0))), 7, candidates=rows)
    assert len({tuple(sorted(one.items())) for one in seen}) == 7


def test_points_and_settings_say_the_same() -> None:
    encoding = read_problem(spec_from_dict({"parameters": UNDER_DMF, "outcomes": {"y": {"goal": "maximize"}}})).encoding
    for settings in (
        {"solvent": "DMSO", "T": 0.25},
        {"solvent": "DMF", "p": 2.0, "catalyst": "Ni", "T": 0.5},
        {"solvent": "DMF", "p": 2.0, "catalyst": "Pd", "load": 3, "T": 0.5},
    ):
        assert encoding.decode(encoding.encode([settings])[0]) == settings
    with pytest.raises(KeyError, match="load"):
        encoding.encode([{"solvent": "DMF", "p": 2.0, "catalyst": "Pd", "T": 0.5}])
    with pytest.raises(KeyError, match="T"):
        encoding.encode([{"solvent": "DMSO"}])


def test_neighbours_of_a_sparse_mixture_are_one_component_away() -> None:
    sparse = Sparse((0, 1, 2, 3), 2, 0.1)
    near = np.array(sparse.neighbours(np.array([0.7, 0.3, 0.0, 0.0, 9.0])))
    assert near.tolist() == [
        pytest.approx(one)
        for one in (
            [0.0, 0.3, 0.7, 0.0, 9.0], [0.7, 0.0, 0.3, 0.0, 9.0], [0.0, 0.3, 0.0, 0.7, 9.0], [0.7, 0.0, 0.0, 0.3, 9.0],
            [0.0, 1.0, 0.0, 0.0, 9.0], [1.0, 0.0, 0.0, 0.0, 9.0],
        )
    ]  # fmt: skip
    assert sparse.keeps(near).all()


@pytest.mark.parametrize(
    ("point", "settled"),
    [
        ([0.5, 0.3, 0.2, 0.0], [0.5, 0.3, 0.0, 0.0]),
        ([0.9, 0.06, 0.04, 0.0], [0.9, 0.1, 0.0, 0.0]),
        ([0.96, 0.04, 0.0, 0.0], [0.96, 0.0, 0.0, 0.0]),
        ([0.01, 0.02, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]),
    ],
)
def test_a_settled_point_has_few_components_and_enough_of_each(point: list[float], settled: list[float]) -> None:
    sparse = Sparse((0, 1, 2, 3), 2, 0.1)
    assert sparse.settled(np.array([point]))[0].tolist() == settled
    assert sparse.keeps(np.array([settled]))[0]


def test_what_counts_at_many_points_is_what_counts_at_each() -> None:
    conditions = Conditions((0, 2), (1, 3), (0.0, 0.5), lambda point: [point[0] > 0.4, point[0] + point[2] > 1.0])
    points = np.round(np.random.default_rng(0).random((300, 4)), 1)
    out = conditions.out(points)
    assert out.tolist() == [conditions.out(point[None, :])[0].tolist() for point in points]
    assert out.sum(0).tolist() == [0, (points[:, 0] > 0.4).sum(), 0, (points[:, 0] + points[:, 2] > 1.0).sum()]
