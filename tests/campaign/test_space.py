"""The space: what is inside, the unit cube and back, uniform draws."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labloop.campaign.errors import SpecError
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec, read_spec, spec_from_dict

OUTCOMES = {"y": {"goal": "maximize"}}
MIXED: dict[str, Any] = {
    "t": {"range": [1, 60], "unit": "min", "scale": "log"},
    "T": {"range": [90, 160], "unit": "degC", "step": 20},
    "n": {"integer": [1, 12]},
    "solvent": {"choices": ["DMF", "DMSO", "water"]},
    "loading": {"choices": [1, 2, 5, 10], "ordered": True},
    "dry": {"choices": [True, False]},
    "acid": {"molecules": ["CC(=O)O", "O=S(=O)(O)O"]},
    "p": {"range": [1, 10], "unit": "bar", "active_when": "solvent == DMF"},
}


def space_of(parameters: dict[str, Any], folder: Path | str = ".", **more: Any) -> Space:
    return Space(spec_from_dict({"parameters": parameters, "outcomes": OUTCOMES, **more}, folder))


def test_linear_constraints_are_in_declared_units(folder: Path) -> None:
    (line,) = Space(read_spec(folder / "campaign.yaml")).linear_constraints()
    assert (line.coefficients, line.bound, line.sense) == ({"q_agno3": 1.0, "q_pva": 1.0}, 70.0, "<=")


@pytest.mark.parametrize(
    ("constraint", "coefficients", "bound", "sense"),
    [
        ("a + 2 * b <= 95 percent", {"a": 1, "b": 2}, 95, "<="),
        ("a >= b + 3 percent", {"a": -1, "b": 1}, -3, "<="),
        ("(a - b) / 2 == 0.1", {"a": 0.5, "b": -0.5}, 10, "=="),
        ("T <= 350 K", {"T": 1}, 76.85, "<="),
        ("T - 20 degC <= 30 K", {"T": 1}, 50, "<="),
        ("v * 2 <= 1 mL", {"v": 2}, 1000, "<="),
        ("-v >= -0.5 mL", {"v": 1}, 500, "<="),
        ("v + w <= 1 mL", {"v": 1, "w": 1000}, 1000, "<="),
        ("v <= 500", {"v": 1}, 500, "<="),
        ("80 percent >= a + b", {"a": 1, "b": 1}, 80, "<="),
        ("T <= 176 degF", {"T": 1}, 80, "<="),
        ("T - U <= 30 K", {"T": 1, "U": -1}, 30, "<="),
        ("T >= U + 5 K", {"T": -1, "U": 1}, -5, "<="),
        ("F - T <= 10 K", {"F": 5 / 9, "T": -1}, 10 + 32 * 5 / 9, "<="),
        ("-(a - 2 * (b - a)) / 4 >= -10 percent", {"a": 0.75, "b": -0.5}, 10, "<="),
        ("2 * a + 1e15 percent <= 1e15 percent + 2 * b", {"a": 2, "b": -2}, 0, "<="),
        ("v * (300 percent + 20 percent) <= 1 mL + 2 * v", {"v": 1.2}, 1000, "<="),
    ],
)
def test_a_linear_constraint_is_read_off_the_tree(
    constraint: str, coefficients: dict[str, float], bound: float, sense: str
) -> None:
    parameters = {
        "a": {"range": [0, 60], "unit": "percent"}, "b": {"range": [0, 60], "unit": "percent"},
        "T": {"range": [0, 90], "unit": "degC"}, "U": {"range": [0, 90], "unit": "degC"},
        "F": {"range": [0, 200], "unit": "degF"}, "v": {"range": [0, 900], "unit": "uL"},
        "w": {"range": [0, 2], "unit": "mL"},
    }  # fmt: skip
    if "0.1" in constraint:
        constraint = constraint.replace("0.1", "10 percent")
    (line,) = space_of(parameters, constraints=[constraint]).linear_constraints()
    assert dict(line.coefficients) == pytest.approx(coefficients)
    assert line.bound == pytest.approx(bound)
    assert line.sense == sense


@pytest.mark.parametrize("text", ["a * b <= 0.2", "not (s == x and a > 40 percent)", "a ** 2 <= 0.5", "b / a <= 5"])
def test_other_constraints_are_kept_and_asked(text: str) -> None:
    space = space_of(
        {"a": {"range": [1, 60], "unit": "percent"}, "b": {"range": [0, 60], "unit": "percent"},
         "s": {"choices": ["x", "y"]}}, constraints=[text],
    )  # fmt: skip
    assert space.linear_constraints() == [] and len(space.nonlinear) == 1
    assert space.contains({"a": 10, "b": 10, "s": "x"}) == []
    if "s ==" in text:
        assert space.contains({"a": 50, "b": 10, "s": "x"}) == [f"{space.nonlinear[0]} does not hold"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"t": 0.5}, "t: 0.5 min is below the low bound of 1 min"),
        ({"t": 61.0}, "t: 61 min is above the high bound of 60 min"),
        ({"t": float("nan")}, "t: nan is not a number"),
        ({"t": "DMF"}, "t: 'DMF' is not a number"),
        ({"T": 100}, "not a whole number of steps of 20 from 90"),
        ({"n": 1.5}, "not a whole number of steps of 1 from 1"),
        ({"solvent": "DFM"}, "solvent: 'DFM' is none of the choices. Did you mean DMF?"),
        ({"loading": 3}, "loading: 3 is none of the choices"),
        ({"solvent": "DMSO"}, "p has a value, and is not active here (solvent == DMF)"),
        ({"x": 1}, "x is no parameter"),
        ({"p": None}, "p has no value"),
    ],
)
def test_what_is_outside_says_why(change: dict[str, Any], word: str) -> None:
    inside = {"t": 5.0, "T": 110.0, "n": 3, "solvent": "DMF", "loading": 5, "dry": True, "acid": "CC(=O)O", "p": 2.0}
    space = space_of(MIXED)
    assert space.contains(inside) == []
    changed = {name: value for name, value in {**inside, **change}.items() if value is not None}
    found = space.contains(changed)
    assert any(word in sentence for sentence in found), found


def test_the_cube_and_back() -> None:
    space = space_of(MIXED)
    settings = {"t": 60**0.5, "T": 130.0, "n": 12, "solvent": "water", "loading": 2, "dry": False, "acid": "CC(=O)O"}
    point = space.encode(settings)
    assert point == pytest.approx([0.5, 40 / 70, 1.0, 2.0, 1 / 3, 1.0, 0.0, 0.5])
    assert space.decode(point) == {**settings, "t": pytest.approx(60**0.5)}
    assert isinstance(space.decode(point)["n"], int)
    assert space.decode([1.0] * 8)["T"] == 150.0  # the grid's last point, not the bound


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_every_point_of_the_cube_is_inside(point: list[float]) -> None:
    space = SPACE
    assert space.contains(space.decode([u * 2 if i in (3,) else u for i, u in enumerate(point)])) == []


SPACE = space_of(MIXED)


def test_draws_are_inside_seeded_and_uniform(folder: Path) -> None:
    space = Space(read_spec(folder / "campaign.yaml"))
    points = space.sample(2000, 3)
    assert points == space.sample(2000, 3) != space.sample(2000, 4)
    assert all(not space.contains(point) for point in points[:200])
    flows = np.array([point["q_tot"] for point in points], dtype=float)
    assert abs(flows.mean() - 591.5) < 15 and abs(np.quantile(flows, 0.25) - 395.75) < 25


def test_draws_on_a_simplex_are_uniform() -> None:
    parameters = {name: {"range": [0, 1]} for name in "abc"}
    points = space_of(parameters, constraints=["a + b + c == 1"]).sample(600, 1)
    values = np.array([[point[name] for name in "abc"] for point in points], dtype=float)
    assert np.allclose(values.sum(axis=1), 1)
    assert np.allclose(values.mean(axis=0), 1 / 3, atol=0.03)
    assert np.allclose((values < 0.5).mean(axis=0), 0.75, atol=0.06)  # of a uniform simplex


def test_draws_in_a_thin_slice_are_found() -> None:
    parameters = {f"x{i}": {"range": [0, 1]} for i in range(8)}
    space = space_of(parameters, constraints=[" + ".join(parameters) + " <= 0.5"])
    points = space.sample(50, 1)
    assert len(points) == 50 and all(not space.contains(point) for point in points)


def test_a_mixture_keeps_its_sum_and_its_count() -> None:
    space = space_of(
        {"m": {"mixture": ["A", "B", "C", "D"], "sum": 100, "unit": "percent", "at_most": 2, "at_least": 5}}
    )
    assert space.names == ("A", "B", "C", "D")
    points = space.sample(200, 1)
    for point in points:
        present = [value for value in point.values() if float(value) > 0]
        assert sum(map(float, present)) == pytest.approx(100) and 1 <= len(present) <= 2 and min(present) >= 5
    assert {name for point in points for name, value in point.items() if float(value) > 0} == {"A", "B", "C", "D"}
    assert "3 components above zero" in space.contains({"A": 30.0, "B": 30.0, "C": 40.0, "D": 0.0})[0]
    assert "less than 5" in space.contains({"A": 98.0, "B": 2.0, "C": 0.0, "D": 0.0})[0]
    assert "is broken by" in space.contains({"A": 50.0, "B": 40.0, "C": 0.0, "D": 0.0})[0]
    assert space.contains(space.round({"A": 50.0, "B": 40.0, "C": 0.0, "D": 0.0})) == []


@pytest.mark.parametrize(
    ("mixture", "constraint", "there"),
    [
        ({"at_most": 2}, "A <= 0", "BCD"),
        ({"at_most": 3}, "A + B == 0", "CD"),
        ({"at_most": 2, "at_least": 0.1}, "A + B <= 0", "CD"),
        ({}, "A + B >= 1", "AB"),
        ({}, "2 * A + B + C >= 1", "ABCD"),
        ({}, "A + B + C + D <= 1", "ABCD"),
    ],
)
def test_a_constraint_that_only_zero_keeps_leaves_the_others_their_room(
    mixture: dict[str, Any], constraint: str, there: str
) -> None:
    space = space_of({"m": {"mixture": ["A", "B", "C", "D"], **mixture}}, constraints=[constraint])
    points = space.sample(40, 1)
    assert all(space.contains(point) == [] for point in points)
    assert {name for point in points for name, value in point.items() if value} == set(there)
    assert any(0.2 < float(point[there[0]]) < 0.8 for point in points), "not only corners"
    assert all(set(one["m"]) <= set(there) for one in space.supports())
    if len(there) < 4:
        broken = {"A": 0.5, "B": 0.0, "C": 0.5, "D": 0.0}
        assert f"{constraint} is broken by 0.5" in space.contains(broken)


def test_rows_are_given_back_as_they_stand(folder: Path) -> None:
    spec = spec_from_dict(
        {"parameters": {"q_agno3": {"range": [4, 43]}, "q_pva": {"range": [10, 40]}, "q_tot": {"range": [200, 983]}},
         "outcomes": OUTCOMES, "candidates": "rows.csv", "constraints": ["q_agno3 <= 15"]}, folder,
    )  # fmt: skip
    space = Space(spec)
    assert space.candidates == [
        {"q_agno3": 13.10132159, "q_pva": 32.99559471, "q_tot": 227},
        {"q_agno3": 6.672672673, "q_pva": 39, "q_tot": 333},
    ]
    assert type(space.candidates[1]["q_pva"]) is int
    drawn = space.sample(2, 1)
    assert sorted(drawn, key=str) == sorted(space.candidates, key=str)
    assert not space.repeats


def test_candidates_from_python() -> None:
    import pandas

    rows = [{"x": 1, "s": "a"}, {"x": 2.5, "s": "b"}]
    parameters = {"x": {"range": [0, 3]}, "s": {"choices": ["a", "b"]}}
    for given_rows in (rows, pandas.DataFrame(rows)):
        assert space_of(parameters, candidates=given_rows).candidates == rows
    assert space_of(parameters, candidates={"table": rows, "repeats": True}).repeats


def test_a_space_without_room_says_so() -> None:
    space = space_of({"a": {"range": [0, 1]}, "b": {"range": [0, 1]}}, constraints=["a * b >= 2"])
    with pytest.raises(SpecError, match="too little room"):
        space.sample(1, 1)


@pytest.mark.parametrize("rule", ["x + n == 10", "x * n == 10"])
def test_an_equality_that_a_choice_is_in_says_how_to_write_it(rule: str) -> None:
    """The space was said to have too little room, and loosening a constraint was said to help."""
    choices = {"n": {"choices": [1, 2, 5]}, "x": {"range": [0, 10]}}
    with pytest.raises(SpecError, match=r"is no sum of numbers alone.* Give a choice in it as a number") as wrong:
        space_of(choices, constraints=[rule]).sample(1, 1)
    assert rule in str(wrong.value)
    assert space_of(choices | {"n": {"integer": [1, 5]}}, constraints=["x + n == 10"]).sample(1, 1)


def test_any_word_is_a_name() -> None:
    names = ["yield", "beta", "N", "lambda", "E", "S", "I", "min", "and", "class", "größe", "mol_percent"]
    spec: CampaignSpec = spec_from_dict(
        {"parameters": {name: {"range": [0, 1]} for name in names}, "outcomes": {"gamma": {"goal": "minimize"}},
         "constraints": [" + ".join(f"${name}" for name in names) + " <= 3"]}
    )  # fmt: skip
    (line,) = Space(spec).linear_constraints()
    assert set(line.coefficients) == set(names)


def test_a_campaign_goes_through_json_to_another_process(folder: Path) -> None:
    import json

    spec = read_spec(folder / "campaign.yaml")
    again = spec_from_dict(json.loads(json.dumps(spec.dump())), "/")
    assert again.parameters == spec.parameters and again.constraints == spec.constraints
    assert again.trial == spec.trial and again.outcomes["spectrum_loss"].goal == "minimize"
    assert again.target_of("spectrum_loss") == spec.target_of("spectrum_loss")


YES_OR_NO: dict[str, Any] = {
    "stirred": {"choices": [True, False]},
    "x": {"range": [0, 1]},
    "rate": {"range": [1, 9], "active_when": "stirred == true"},
}


def test_yes_and_no_are_true_and_false_in_conditions() -> None:
    space = space_of(YES_OR_NO, constraints=["not (stirred == false and x > 0.5)"])
    assert space.contains({"stirred": True, "x": 0.9, "rate": 2.0}) == []
    assert space.contains({"stirred": False, "x": 0.4}) == []
    assert space.contains({"stirred": False, "x": 0.9}) and space.contains({"stirred": True, "x": 0.9})
    stirred = space.parameters["stirred"]
    assert [stirred.read(raw) for raw in ("true", "True", True, "false")] == [True, True, True, False]
    with pytest.raises(SpecError, match="'yes' is none of the choices"):
        stirred.read("yes")


def test_true_and_false_with_capitals_mean_the_same() -> None:
    """Campaigns say so that were begun when only this was taken: their runs must be read."""
    parameters = YES_OR_NO | {"rate": {"range": [1, 9], "active_when": "stirred == True"}}
    space = space_of(parameters, constraints=["not (stirred == False and x > 0.5)"])
    assert space.contains({"stirred": True, "x": 0.9, "rate": 2.0}) == []
    assert space.contains({"stirred": False, "x": 0.4}) == []
    assert space.contains({"stirred": False, "x": 0.9}) and space.contains({"stirred": True, "x": 0.9})
    assert all(space.contains(one) == [] for one in space.sample(32, 0))
    with pytest.raises(SpecError, match="TRUE is neither a parameter nor a choice"):
        space_of(YES_OR_NO, constraints=["stirred == TRUE"])


@pytest.mark.parametrize(
    ("parameters", "constraints", "is_empty"),
    [
        ({"cells": {"range": [1e8, 1e10]}, "x": {"range": [0, 1]}}, ["cells / 1e10 - x == 0", "x >= 0.5"], False),
        ({"cells": {"range": [1e8, 1e10]}, "x": {"range": [0, 1]}}, ["cells - 1e10 * x == 0", "x <= 0.001"], True),
        ({"a": {"range": [1e-12, 1e-10]}, "b": {"range": [0, 1e-10]}}, ["a + b <= 1e-11", "b >= 9e-12"], False),
        ({"a": {"range": [1e-12, 1e-10]}, "b": {"range": [0, 1e-10]}}, ["a + b <= 1e-11", "b >= 9.1e-12"], True),
    ],
)
def test_units_decide_nothing_about_what_is_left(
    parameters: dict[str, Any], constraints: list[str], is_empty: bool
) -> None:
    if is_empty:
        with pytest.raises(SpecError, match="leave no point that keeps them all"):
            space_of(parameters, constraints=constraints)
        return
    space = space_of(parameters, constraints=constraints)
    assert all(space.contains(one) == [] for one in space.sample(8, 0))


def test_a_step_may_be_the_whole_range() -> None:
    space = space_of({"x": {"range": [0.1, 0.3], "step": 0.2}})
    assert {one["x"] for one in space.sample(32, 0)} == {0.1, 0.3}
    with pytest.raises(SpecError, match="wider than the whole range"):
        space_of({"x": {"range": [0.1, 0.3], "step": 0.21}})
