"""A space that is another in mid-campaign: old data stay in use, and only the new space is proposed from."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labloop.campaign.parameters import Choice
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.planner.history import read
from labloop.planner.inline import InlinePlanner
from labloop.planner.planner import Problem, plan
from labloop.planner.problem import read_problem, with_retired
from labloop.planner.process import PlannerProcess
from labloop.planner.service import serve
from labloop.planner.thought import Thought
from labloop.planner.wire import Answer, Ask, Open, pack, pack_records, read_for_runner

SOLVENTS = [{"name": "DMF", "dipole": 3.8}, {"name": "DMSO", "dipole": 4.0}, {"name": "hexane", "dipole": 0.1}]
BEFORE: dict[str, Any] = {
    "parameters": {
        "q": {"range": [0, 10]},
        "solvent": {"choices": SOLVENTS, "descriptors": ["dipole"]},
        "stage": {"choices": [1, 2, 5, 10], "ordered": True},
    },
    "outcomes": {"y": {"goal": "maximize"}},
    "design": {"initial": {"trials": 4}, "seed": 5},
}


def other(**parameters: Any) -> CampaignSpec:
    return spec_from_dict({**BEFORE, "parameters": {**BEFORE["parameters"], **parameters}})


NOW = spec_from_dict(BEFORE)
NARROW = other(q={"range": [2, 5]})
WITHOUT = other(
    solvent={"choices": SOLVENTS[:2], "descriptors": ["dipole"]}, stage={"choices": [1, 5, 10], "ordered": True}
)


def worth(q: float, solvent: str, stage: int) -> float:
    return -((q - 9.0) ** 2) - (3.0 if solvent == "DMF" else 0.0) + 0.1 * stage


@pytest.fixture
def told(journal: Any) -> Any:
    """Twelve trials all over the old space; what is best lies at q = 9."""
    facts = journal(5)
    rng = np.random.default_rng(1)
    for at in range(12):
        q = float(np.round(rng.uniform(0, 10), 3)) if at else 9.0
        settings = {"q": q, "solvent": ["DMF", "DMSO", "hexane"][at % 3], "stage": [1, 2, 5, 10][at % 4]}
        facts.measure(settings, y=worth(**settings))
    return facts


def test_what_was_measured_outside_a_narrowed_range_teaches_on(told: Any) -> None:
    problem = read_problem(NARROW, [NOW])
    history = read(told.state, problem.encoding, problem.goals)
    assert history.left_out == 0 and len(history.known.observed) == 12
    inside = [2 <= trial.settings["q"] <= 5 for trial in told.state.trials.values()]
    assert history.known.reachable is not None and history.known.reachable.tolist() == inside and any(inside)
    assert len(history.known.rivals) == sum(inside)
    first, second = plan(problem, told.state, 2)
    assert first.source == "model" and all(2 <= one.settings["q"] <= 5 for one in (first, second))
    assert first.settings["q"] > 4.5, "what was seen at 9 says where to go"
    assert "12 trials" in first.model and "left out" not in first.model


def test_a_point_need_be_better_only_than_what_may_still_be_made(told: Any) -> None:
    """Against a best of old that nobody may make any more, nothing would be worth a trial."""
    (fair,) = plan(read_problem(NARROW, [NOW]), told.state, 1)
    (unfair,) = plan(read_problem(NARROW), told.state, 1)
    assert fair.acquisition_value is not None and unfair.acquisition_value is not None
    assert fair.acquisition_value > unfair.acquisition_value + 2.0
    best = max(worth(**t.settings) for t in told.state.trials.values() if 2 <= t.settings["q"] <= 5)
    assert f"best so far believed {best:.2g}"[:24] in fair.reason


def test_where_nothing_old_lies_in_the_new_space_all_of_it_counts(told: Any) -> None:
    problem = read_problem(other(q={"range": [9.91, 9.92]}), [NOW])
    assert len(read(told.state, problem.encoding, problem.goals).known.rivals) == 12


def test_a_retired_choice_teaches_on_and_is_proposed_no_more(told: Any) -> None:
    problem = read_problem(WITHOUT, [NOW])
    solvent, stage = problem.encoding.columns[1:]
    assert solvent.values == ("DMF", "DMSO", "hexane") and solvent.retired == {2}
    assert stage.values == (1, 2, 5, 10) and stage.retired == {1}, "where it stood between the others"
    assert solvent.unlike[0].shape == (3, 3)
    history = read(told.state, problem.encoding, problem.goals)
    assert history.left_out == 0 and len(history.known.observed) == 12
    for one in plan(problem, told.state, 8):
        assert one.settings["solvent"] in ("DMF", "DMSO") and one.settings["stage"] in (1, 5, 10)
    alone = read_problem(WITHOUT)
    assert read(told.state, alone.encoding, alone.goals).left_out > 0, "which is what the former campaigns are for"


@pytest.mark.parametrize("method", ["sobol", "lhs", "random"])
def test_a_design_goes_on_with_equal_shares_of_what_is_left(journal: Any, method: str) -> None:
    design = {"initial": {"trials": 60, "method": method}, "seed": 5}
    now, former = (
        spec_from_dict(
            {**BEFORE, "design": design, "parameters": {**BEFORE["parameters"], "solvent": {"choices": choices}}}
        )
        for choices in (["DMSO", "hexane"], ["DMF", "DMSO", "hexane"])
    )
    points = plan(read_problem(now, [former]), journal(5).state, 60)
    drawn = [one.settings["solvent"] for one in points]
    assert set(drawn) == {"DMSO", "hexane"} and 20 <= drawn.count("DMSO") <= 40


def test_a_small_space_is_counted_without_what_was_retired(journal: Any) -> None:
    parameters = {"a": {"choices": ["x", "y", "z"]}, "b": {"choices": [1, 2]}}
    wanted = {"outcomes": {"y": {"goal": "maximize"}}, "design": {"initial": {"trials": 2}}}
    before = spec_from_dict({"parameters": parameters, **wanted})
    now = spec_from_dict({"parameters": {**parameters, "a": {"choices": ["x", "z"]}}, **wanted})
    facts = journal(0)
    for at, (a, b) in enumerate([("x", 1), ("y", 2), ("z", 1)]):
        facts.measure({"a": a, "b": b}, y=float(at))
    problem = read_problem(now, [before])
    assert problem.encoding.size == 4 and len(problem.encoding.grid()) == 4
    rest = {(one.settings["a"], one.settings["b"]) for one in plan(problem, facts.state, 4)}
    assert rest == {("x", 2), ("z", 2)}, "each that is left once, and no more"


def test_added_choices_and_widened_ranges_are_proposed(told: Any) -> None:
    problem = read_problem(other(q={"range": [0, 20]}, stage={"choices": [1, 2, 5, 10, 40], "ordered": True}), [NOW])
    found = plan(problem, told.state, 6)
    assert any(one.settings["q"] > 10 for one in found) and any(one.settings["stage"] == 40 for one in found)


def test_an_amendment_that_was_taken_back_leaves_no_trace(told: Any) -> None:
    never, back = (plan(read_problem(NOW, former), told.state, 2) for former in ([], [WITHOUT, NARROW]))
    assert never == back


def test_a_budget_alone_is_no_other_space(told: Any) -> None:
    assert not read_problem(NOW, [spec_from_dict({**BEFORE, "budget": {"trials": 9}})]).encoding.amended
    assert read_problem(NOW, [NARROW]).encoding.amended


@pytest.mark.parametrize(
    ("now", "former", "found"),
    [
        ("ac", ["abc"], "abc"),
        ("c", ["abc"], "abc"),
        ("xa", ["ab", "abc"], "xabc"),
        ("ab", ["ab"], "ab"),
        ("b", ["ab", "cb"], "acb"),
    ],
)
def test_what_was_retired_stands_where_it_stood(now: str, former: list[str], found: str) -> None:
    chosen = with_retired([Choice(one) for one in now], [[Choice(one) for one in then] for then in former])
    assert "".join(str(one.value) for one in chosen) == found


@pytest.mark.parametrize("engine", [{"warp": True}, {"model": "saas"}, {"transform": "auto"}, {"drift": True}])
def test_every_model_takes_data_from_outside(told: Any, engine: dict[str, Any]) -> None:
    wanted = {key: value for key, value in BEFORE.items() if key != "parameters"} | {"engine": engine}
    before = spec_from_dict({"parameters": BEFORE["parameters"], **wanted})
    now = spec_from_dict({"parameters": {**BEFORE["parameters"], "q": {"range": [4, 5]}}, **wanted})
    (one,) = plan(read_problem(now, [before]), told.state, 1)
    assert one.source == "model" and 4 <= one.settings["q"] <= 5
    assert all(math.isfinite(hope.mean) and math.isfinite(hope.sd) for hope in one.predicted.values())


def test_why_looks_back_with_what_was_known_then(told: Any) -> None:
    thought = Thought(WITHOUT, told.state, 13, [NOW])
    assert set(thought.importance()["y"]) == {"q", "solvent", "stage"}
    problem: Problem = read_problem(WITHOUT, [NOW])
    (one,) = plan(problem, told.state, 1)
    assert thought.of(one.settings).score == pytest.approx(one.acquisition_value)


def test_a_planner_is_told_in_the_order_of_the_facts(told: Any, tmp_path: Path) -> None:
    """In its process, in this one, and begun anew: the same answers to the last bit."""
    now, before = WITHOUT.dump(), NOW.dump()
    inline = InlinePlanner(NOW)
    inline.send_facts(told.records)
    old = inline.request(1).result()
    inline.amend(now, [before])
    new = inline.request(1).result()
    assert old == plan(read_problem(NOW), told.state, 1)
    assert new == plan(read_problem(WITHOUT, [NOW]), told.state, 1)

    lines = [
        pack(Open(spec=before, folder=str(tmp_path))), pack_records(told.records), pack(Ask(request=1, count=1)),
        pack(Open(spec=now, folder=str(tmp_path), former=[before])), pack(Ask(request=2, count=1)),
    ]  # fmt: skip
    said: list[bytes] = []
    with pytest.raises(IndexError):
        serve(lambda: lines.pop(0), said.append)
    answers = [one for one in map(read_for_runner, said) if isinstance(one, Answer)]
    assert [one.proposals for one in answers] == [old, new]


def test_a_planner_that_died_knows_both_campaigns_again(told: Any, tmp_path: Path) -> None:
    planner = PlannerProcess(NOW.dump(), tmp_path)
    try:
        planner.start()
        planner.send_facts(told.records)
        old = planner.request(1).result(120)
        planner.amend(WITHOUT.dump(), [NOW.dump()])
        assert planner.pid is not None
        os.kill(planner.pid, signal.SIGKILL)
        new = planner.request(1).result(120)
    finally:
        planner.close()
    assert old == plan(read_problem(NOW), told.state, 1)
    assert new == plan(read_problem(WITHOUT, [NOW]), told.state, 1)
