"""Sums that name log scales and grids: constraints are linear in values, whatever columns look like to the model."""

from collections.abc import Callable
from itertools import count
from math import exp, log10
from typing import Any

import numpy as np
import pytest

from labloop.campaign.polytope import Polytope
from labloop.campaign.space import Space
from labloop.planner import design
from labloop.planner.design import sample
from labloop.planner.errors import NothingLeftError
from labloop.planner.problem import propose, read_problem
from labloop.planner.walk import walk

from .test_odd_spaces import played, spec_of

LOG: dict[str, Any] = {"range": [1e-4, 1], "scale": "log"}
REST: dict[str, Any] = {"b": {"range": [0, 10]}, "c": {"range": [0, 10]}}


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ({"a": {"range": [1, 100], "scale": "log"}, "b": {"range": [0, 10]}}, ["a + b == 20"]),
        ({"a": {"range": [1, 100], "scale": "log"}, "b": {"range": [1, 100], "scale": "log"}}, ["a + b == 20"]),
        ({"a": {"range": [1, 100], "scale": "log"}, "b": {"range": [1, 100], "scale": "log"}}, ["a + b <= 2.02"]),
        ({"a": {"range": [1, 100], "scale": "log", "step": 1}, "b": {"range": [0, 10]}}, ["a + b == 20"]),
        ({"a": {"range": [1, 100], "step": 1}, "b": {"range": [0, 10]}}, ["a + b == 20"]),
        ({"a": LOG, **REST, "d": {"range": [1, 50], "scale": "log"}}, ["a + b + c == 10", "d + b >= 5"]),
        (
            {"s": {"choices": ["p", "q"]}, "a": LOG | {"active_when": "s == p"}, **REST},
            ["10 * a + b == 5", "b + c == 10"],
        ),
        (
            {"m": {"mixture": ["A", "B", "C", "D"], "sum": 100}, "d": {"range": [0.812182, 5.01517]}},
            ["0.01 * B + 0.01 * C + 0.2379 * d == 0.957915565170288"],
        ),
        (
            {"a": {"range": [1, 100], "step": 1}, **REST, "m": {"mixture": ["A", "B", "C"], "at_most": 2}},
            ["a + b + 10 * A == 20"],
        ),
    ],
)
def test_log_scales_and_grids_keep_sums(
    journal: Callable[[int], Any], parameters: dict[str, Any], constraints: list[str]
) -> None:
    spec = spec_of(parameters, constraints=constraints, design={"initial": {"trials": 3}})
    played(journal(1), spec, 5, lambda one: sum(value for value in one.values() if not isinstance(value, str)))
    space = Space(spec)
    drawn = space.sample(16, 0)
    assert all(space.contains(one) == [] for one in drawn), "and so does what check looks at"


def test_of_a_log_scale_in_a_sum_small_values_are_tried_as_well() -> None:
    encoding = read_problem(spec_of({"a": LOG, **REST}, constraints=["a + b + c == 10"])).encoding
    decades = np.array([log10(float(encoding.decode(point)["a"])) for point in sample(encoding, 256, 0)])
    shares = np.histogram(decades, bins=[-4, -3, -2, -1, 0])[0] / len(decades)
    assert shares.min() > 0.15 and shares.max() < 0.35, shares


def test_the_best_of_a_sum_with_a_log_scale_is_found(journal: Callable[[int], Any]) -> None:
    spec = spec_of({"a": LOG, **REST}, constraints=["a + b + c == 10"], design={"initial": {"trials": 5}})
    seen = played(journal(1), spec, 20, lambda one: exp(-((log10(one["a"]) + 2.5) ** 2) / 2 - (one["b"] - 3) ** 2 / 9))
    best = min(seen, key=lambda one: abs(log10(one["a"]) + 2.5) / 4 + abs(one["b"] - 3) / 10)
    assert log10(best["a"]) == pytest.approx(-2.5, abs=0.3) and best["b"] == pytest.approx(3, abs=0.5)


def test_a_sum_with_a_log_scale_binds_a_batch(journal: Callable[[int], Any]) -> None:
    spec = spec_of({"a": LOG | {"shared": "batch"}, **REST}, constraints=["a + b + c == 10"], design={"batch": 3})
    batch = [one.settings for one in propose(spec, journal(1).state, 3)]
    assert len({one["a"] for one in batch}) == 1 and all(Space(spec).contains(one) == [] for one in batch)


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e9])
def test_units_change_no_design(unit: float) -> None:
    parameters = {name: {"range": [0, 100 * unit]} for name in "abc"}
    constraints = [f"a + b + c <= {3 * unit!r}", "a - b == 0"]
    encoding = read_problem(spec_of(parameters, constraints=constraints)).encoding
    points = sample(encoding, 64, 0)
    assert 0.004 < points[:, 0].mean() < 0.006 and 0.009 < points[:, 2].mean() < 0.012, points.mean(0)


GRIDS: dict[str, Any] = {name: {"range": [0, 10], "step": 0.1} for name in "abcd"}


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        (GRIDS, ["a + b + 1.00037 * c + 1.000913 * d == 17.123456"]),  # a condition that no point of the grid meets
        ({name: {"range": [0, 10]} for name in "abc"}, ["a + b + c == 10", "a * b * c >= 37"]),  # one in thousands does
    ],
)
def test_where_next_to_no_point_is_inside_an_end_is_put_to_drawing(
    parameters: dict[str, Any], constraints: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding = read_problem(spec_of(parameters, constraints=constraints)).encoding
    blocks = count(1)

    def counted(*given: Any) -> Any:
        assert next(blocks) <= 8
        return walk(*given)

    monkeypatch.setattr(design, "walk", counted)
    monkeypatch.setattr(design, "MOST_DRAWS", 8 * design.POOL)
    try:
        assert 0 < len(sample(encoding, 4000, 0)) < 4000
    except NothingLeftError as error:
        assert "keeps the constraints" in str(error)


def test_grids_alone_meet_a_sum_or_are_not_proposed() -> None:
    fine = {name: {"range": [0, 10], "step": 0.01} for name in "abc"}
    spec = spec_of(fine, constraints=["a + 1.01 * b + 1.003 * c == 17"])
    encoding, space = read_problem(spec).encoding, Space(spec)
    assert all(space.contains(encoding.decode(point)) == [] for point in sample(encoding, 8, 0))


def test_what_check_draws_solves_for_corners_once(monkeypatch: pytest.MonkeyPatch) -> None:
    solved, corners = [], Polytope.corners
    monkeypatch.setattr(Polytope, "corners", lambda *given: solved.append(1) or corners(*given))
    Space(spec_of(GRIDS, constraints=["a + b + 1.1 * c + 1.3 * d == 17"])).sample(16, 0)
    assert len(solved) == 1


def test_a_range_of_next_to_nothing_has_room() -> None:
    tiny = {name: {"range": [0, 1e-13]} for name in "ab"}
    space = Space(spec_of(tiny, constraints=["a + b == 1e-13"]))
    assert all(space.contains(one) == [] for one in space.sample(4, 0))
