"""Spaces that are legal and odd: what was once proposed outside them, or not at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.space import Space
from labloop.campaign.spec import spec_from_dict
from labloop.planner import gpu, pool
from labloop.planner.errors import NothingLeftError
from labloop.planner.prior import prior_of
from labloop.planner.problem import propose, read_problem

UNDER: dict[str, Any] = {
    "a": {"choices": ["p", "q"]},
    "b": {"range": [0, 1], "active_when": "a == p"},
    "c": {"range": [0, 1]},
}
SHARED: dict[str, Any] = {"T": {"range": [0, 100], "shared": "batch"}, "x": {"range": [0, 1]}}


def spec_of(parameters: dict[str, Any], **more: Any) -> Any:
    return spec_from_dict({"parameters": parameters, "outcomes": {"y": {"goal": "maximize"}}, **more})


def played(book: Any, spec: Any, trials: int, told: Callable[[dict[str, Any]], float] = lambda one: 0.5) -> list[Any]:
    space, seen = Space(spec), []
    for _ in range(trials):
        settings = propose(spec, book.state)[0].settings
        assert space.contains(settings) == [], settings
        seen.append(settings)
        book.measure(settings, y=told(settings))
    return seen


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ({"m": {"mixture": ["A", "B", "C"], "at_most": 1}}, []),
        ({"m": {"mixture": ["A", "B", "C"], "at_most": 2, "at_least": 1}}, []),
        ({"m": {"mixture": ["A", "B"], "at_most": 1}, "n": {"mixture": ["C", "D"], "at_most": 1}}, []),
        ({"m": {"mixture": ["A", "B", "C"], "at_most": 2}}, ["A + B == 0.5"]),
        ({"m": {"mixture": ["A", "B", "C", "D"], "at_most": 2}}, ["A <= 0"]),
        ({"m": {"mixture": ["A", "B", "C", "D"], "at_most": 3, "at_least": 0.1}}, ["A + B <= 0"]),
        ({"m": {"mixture": ["A", "B", "C"]}, "x": {"range": [1, 5]}}, ["A + B >= 1", "A + B + C <= 1", "x <= 1"]),
        ({"m": {"mixture": [f"C{i}" for i in range(12)], "at_most": 3}}, ["C0 >= 0.2", "C1 >= 0.2", "C2 >= 0.1"]),
        ({"m": {"mixture": [f"C{i}" for i in range(20)], "at_most": 3, "at_least": 0.1}}, ["C0 >= 0.2", "C1 >= 0.2"]),
    ],
)
def test_mixtures_of_which_little_is_allowed(
    journal: Callable[[int], Any], parameters: dict[str, Any], constraints: list[str]
) -> None:
    played(journal(1), spec_of(parameters, constraints=constraints, design={"initial": {"trials": 4}}), 6)


def test_a_mixture_that_nothing_keeps_says_so(journal: Callable[[int], Any]) -> None:
    mixture = {"mixture": ["A", "B", "C", "D"], "at_most": 2}
    spec = spec_of({"m": mixture, "x": {"range": [0, 1]}}, constraints=["A >= 0.2 * x + 0.2", "B >= 0.2"])
    played(journal(1), spec, 2)
    with pytest.raises((NothingLeftError, SpecError), match=r"components|constraints"):
        propose(spec_of({"m": mixture}, constraints=["A >= 0.2", "B >= 0.2", "C >= 0.2"]), journal(1).state)


def test_an_ordered_choice_is_expected_where_it_is_said() -> None:
    encoding = read_problem(
        spec_of({"l": {"choices": [1, 2, 5, 10], "ordered": True, "likely": {2: 1000, 5: 10}}})
    ).encoding
    prior = prior_of(encoding, 10)
    assert prior is not None
    logs = prior.log(encoding.encode([{"l": level} for level in (1, 2, 5, 10)]))
    assert logs == pytest.approx(np.log([0.001, 1.0, 0.01, 0.001]))


def test_what_is_expected_is_rounded_before_it_is_allowed(journal: Callable[[int], Any]) -> None:
    t = {"range": [0, 1000], "likely": {"value": 333.3337, "within": 5}}
    played(journal(1), spec_of({"t": t, "z": {"range": [0, 1]}}, constraints=["t <= 333.3337"]), 2)


def test_a_late_result_does_not_freeze_what_is_shared(journal: Callable[[int], Any]) -> None:
    spec, book = spec_of(SHARED, design={"batch": 3, "initial": {"trials": 30}}), journal(1)
    shared = []
    for round_ in range(4):
        batch = propose(spec, book.state, 3)
        assert len({one.settings["T"] for one in batch}) == 1
        assert [("as in trial" in one.reason) for one in batch] == [False, True, True]
        shared.append(batch[0].settings["T"])
        late = book.propose(batch[0].settings, source="sobol") if round_ == 0 else None
        for one in batch[late is not None :]:
            number = book.propose(one.settings, source="sobol")
            book.put(e.TrialMeasured(trial=number, outcomes={"y": e.Reading(value=0.1)}))
    assert len(set(shared)) == 4


def test_more_than_a_batch_is_several_batches(journal: Callable[[int], Any]) -> None:
    asked = propose(spec_of(SHARED, design={"batch": 2, "initial": {"trials": 30}}), journal(1).state, 5)
    values = [one.settings["T"] for one in asked]
    assert values[0] == values[1] != values[2] == values[3] != values[4]


@pytest.mark.parametrize("seed", range(4))
def test_who_does_not_have_it_shares_nothing(journal: Callable[[int], Any], seed: int) -> None:
    parameters = {**UNDER, "b": {**UNDER["b"], "shared": "batch"}}
    spec = spec_of(parameters, design={"batch": 6, "initial": {"trials": 30}})
    batch = [one.settings for one in propose(spec, journal(seed).state, 6)]
    assert {one["a"] for one in batch} == {"p", "q"}
    assert len({one["b"] for one in batch if "b" in one}) == 1 and all(one.get("b") != 0.5 for one in batch)


def test_rows_say_what_counts_in_them_and_nothing_else(journal: Callable[[int], Any]) -> None:
    rows = [{"a": "p", "b": 0.5, "c": 0.1}, {"a": "q", "b": float("nan"), "c": 0.2}, {"a": "q", "b": None, "c": 0.3}]
    played(journal(1), spec_of(UNDER, candidates=rows), 3)
    with pytest.raises(SpecError, match=r"row 2: b has no value.*row 3: b has a value, and is not active"):
        spec_of(UNDER, candidates=[rows[0], {"a": "p", "b": "", "c": 0.1}, {"a": "q", "b": 0.4, "c": 0.1}])


def test_a_point_without_a_free_number_is_given_once(journal: Callable[[int], Any]) -> None:
    parameters = {"a": {"choices": ["p", "q", "r"]}, "b": UNDER["b"]}
    seen = played(journal(1), spec_of(parameters), 12, lambda one: 1.0 if one["a"] == "q" else 0.0)
    assert sum(one["a"] == "q" for one in seen) == sum(one["a"] == "r" for one in seen) == 1
    only = spec_of(parameters, constraints=["a == q"])
    book = journal(1)
    played(book, only, 1)
    with pytest.raises(NothingLeftError):
        propose(only, book.state)


def test_a_cost_is_one_of_every_trial() -> None:
    with pytest.raises(SpecError, match=r"cost.*b has no value where `a == p` does not hold"):
        spec_of(UNDER, cost="1 + $b", budget={"cost": 10})


def test_outcomes_next_to_nothing_have_an_answer(journal: Callable[[int], Any]) -> None:
    spec = spec_of({"x": {"range": [0, 1]}}, design={"initial": {"trials": 3}})
    played(journal(1), spec, 6, lambda one: 1e-200 * one["x"])


def test_a_gpu_that_fails_is_done_without(
    journal: Callable[[int], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(gpu, "device", lambda: "cuda")
    monkeypatch.setattr(gpu, "pass_over", full)
    monkeypatch.setattr(pool, "GPU_ROWS", 5000)
    rows = [{"x": x} for x in np.linspace(0, 1, 6000).tolist()]
    spec = spec_of({"x": {"range": [0, 1]}}, candidates=rows, design={"initial": {"trials": 3}})
    book = journal(1)
    for row in (rows[10], rows[3000], rows[5000]):
        book.measure(row, y=row["x"])
    assert propose(spec, book.state)[0].source == "model"
    assert "without the GPU: CUDA out of memory" in capsys.readouterr().err


@pytest.mark.parametrize("constraint", ["b + c <= 0.01", "b + c == 0.8", "b - 0.5 * c >= 0.7"])
def test_a_constraint_over_what_may_not_count_binds_where_it_does(
    journal: Callable[[int], Any], constraint: str
) -> None:
    spec = spec_of(UNDER, constraints=[constraint], design={"initial": {"trials": 8}})
    seen = played(journal(1), spec, 14, lambda one: 2.0 + one["c"] if one["a"] == "p" else one["c"])
    assert sum(one["a"] == "p" for one in seen[:8]) >= 1, "the design goes into both branches"
    assert sum(one["a"] == "p" for one in seen[8:]) >= 4, "and the model to the better one"
    assert any(one["c"] > 0.85 for one in seen if one["a"] == "q"), "where it does not bind"


def test_most_branches_may_leave_no_room(journal: Callable[[int], Any]) -> None:
    parameters = {
        "a": {"choices": [*"pqrstuvw"]},
        "b": {"range": [0, 1], "active_when": "not (a == p)"},
        "c": {"range": [0, 1]},
    }
    spec = spec_of(parameters, constraints=["b + c >= 3"], design={"initial": {"trials": 3}})
    assert {one["a"] for one in played(journal(1), spec, 5, lambda one: one["c"])} == {"p"}


def test_a_branch_that_is_all_there_is(journal: Callable[[int], Any]) -> None:
    parameters = {**UNDER, "a": {"choices": ["p"]}}
    for one in played(journal(1), spec_of(parameters, constraints=["b + c == 0.8"]), 4):
        assert one["b"] + one["c"] == pytest.approx(0.8)


NUMBERS: dict[str, Any] = {"range": [0, 100]}
ON_P: dict[str, Any] = {"range": [0, 100], "active_when": "s == p"}


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ({"s": {"choices": ["p"]}, "a": NUMBERS, "b": ON_P, "c": ON_P, "d": ON_P}, ["a + b + c + d <= 2"]),
        ({"s": {"choices": ["p"]}, "a": NUMBERS, "b": ON_P, "c": ON_P}, ["a + b + c == 20", "a == b"]),
        (
            {"x": {"range": [0, 10]}, "b": {"range": [0, 100], "active_when": "x > 9.9"}, "a": NUMBERS},
            ["x >= 9", "a + b + x <= 12", "a + b >= 1"],
        ),
        (
            {
                "x": {"range": [0, 10]}, "w": {"range": [0, 10], "active_when": "x > 5"},
                "b": {"range": [0, 100], "active_when": "w >= 9"}, "a": {"range": [0, 1]},
            },
            ["x + w >= 19.9", "x >= 5.1", "a + b >= 100.5"],
        ),
    ],
)  # fmt: skip
def test_what_check_draws_in_is_proposed_in(
    journal: Callable[[int], Any], parameters: dict[str, Any], constraints: list[str]
) -> None:
    spec = spec_of(parameters, constraints=constraints)
    space = Space(spec)
    drawn = space.sample(16, 0)
    assert all(space.contains(one) == [] for one in drawn) and drawn == space.sample(16, 0)
    assert len({tuple(one.items()) for one in drawn}) == 16, "no point twice: they fill what room there is"
    assert space.contains(propose(spec, journal(3).state)[0].settings) == []


def test_what_check_finds_no_room_in_is_not_proposed_in(journal: Callable[[int], Any]) -> None:
    spec = spec_of({"s": {"choices": ["p"]}, "a": NUMBERS, "b": ON_P}, constraints=["a + b <= 2", "a + b >= 190"])
    with pytest.raises(SpecError, match="too little room"):
        Space(spec).sample(2, 0)
    with pytest.raises(NothingLeftError):
        propose(spec, journal(3).state)


@pytest.mark.parametrize("seed", range(3))
def test_the_last_of_several_on_a_grid_is_the_one_asked_for_alone(journal: Callable[[int], Any], seed: int) -> None:
    parameters = {"a": {"range": [-1.98933, 5.11865], "step": 0.355399}, "b": {"choices": ["p", "q", "r"]}}
    spec, book = spec_of(parameters, design={"initial": {"trials": 3}}), journal(seed)
    for nth, b in ((0, "p"), (3, "q"), (9, "r"), (12, "p")):
        book.measure({"a": float(f"{-1.98933 + nth * 0.355399:.12g}"), "b": b}, y=float(np.sin(nth)))
    asked = propose(spec, book.state, 4)
    for one in asked[:-1]:
        book.propose(one.settings)
    (alone,) = propose(spec, book.state)
    assert (alone.acquisition_value, alone.runners_up) == (asked[-1].acquisition_value, asked[-1].runners_up)
