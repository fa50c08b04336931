"""What figures say, held against what the planner's own functions say and against functions that are known."""

from itertools import pairwise
from math import log
from pathlib import Path

import numpy as np
import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import spec_from_dict
from labloop.planner import figure as f
from labloop.planner import portrait
from labloop.planner.design import sample
from labloop.planner.errors import SurrogateError
from labloop.planner.gp import condition
from labloop.planner.portrait import Portrait
from labloop.planner.problem import read_problem
from labloop.planner.thought import Thought

RANGES = {"a": {"range": [0, 10]}, "b": {"range": [1, 100], "scale": "log"}, "c": {"range": [0, 1]}}
HEIGHT = {"y": {"goal": "maximize", "from": "told"}}
TWO = {**HEIGHT, "z": {"goal": "minimize", "from": "told"}}


def campaign(parameters, outcomes=HEIGHT, **more):
    written = {"labloop": 1, "campaign": "c", "parameters": parameters, "outcomes": outcomes, **more}
    return spec_from_dict(written, Path())


@pytest.fixture
def told(journal):
    """A campaign with ``count`` of its design's points measured by a function: its portrait, and its facts."""

    def tell(spec, measure, count=14):
        problem, facts = read_problem(spec), journal(seed=5)
        encoding = problem.encoding
        points = encoding.rows if encoding.rows is not None else sample(encoding, max(count, 1), 3)
        for point in points[:count]:
            settings = encoding.decode(point)
            facts.measure(settings, **measure(settings))
        return Portrait(spec, problem, facts.state), facts

    return tell


def drawn(picture, kind, **more):
    figure = picture.draw(f.Want(number=1, kind=kind, **more))
    assert f.read_answer(f.pack(figure)) == figure  # it crosses the pipe as it is
    return figure


def hill(settings):
    return {"y": -((settings["a"] - 4.0) ** 2) - (log(settings["b"]) - 2.0) ** 2}


def test_a_slice_goes_through_its_trial_as_the_planner_believes_it(told):
    spec = campaign(RANGES)
    picture, facts = told(spec, hill)
    figure = drawn(picture, "slices", through=3)
    opinion = Thought(spec, facts.state, facts.state.next_trial()).of(facts.state.trials[3].settings)
    assert [one.axis.name for one in figure.body.slices] == ["a", "b", "c"]
    for one in figure.body.slices:
        at = one.axis.at.index(one.axis.here)
        assert one.axis.here == pytest.approx(facts.state.trials[3].settings[one.axis.name], rel=1e-7)
        assert one.curves["y"].mean[at] == pytest.approx(opinion.predicted["y"].mean, rel=1e-4)
        assert one.curves["y"].sd[at] == pytest.approx(opinion.predicted["y"].sd, rel=1e-3)
        assert all(one.inside)
    assert figure.through == 3 and not figure.is_best
    assert figure.measured["y"] == pytest.approx(hill(facts.state.trials[3].settings)["y"])


def test_slices_find_the_top_of_a_hill_and_what_matters(told):
    picture, facts = told(campaign(RANGES), hill, count=30)
    figure = drawn(picture, "slices")
    best = max(facts.state.trials.values(), key=lambda trial: hill(trial.settings)["y"])
    assert (figure.through, figure.is_best) == (best.trial, True)
    tops = {one.axis.name: one.axis.at[int(np.argmax(one.curves["y"].mean))] for one in figure.body.slices}
    assert tops["a"] == pytest.approx(4.0, abs=0.5) and log(tops["b"]) == pytest.approx(2.0, abs=0.25)
    shares = drawn(picture, "importance").body.shares["y"]
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3) and shares["c"] < 0.02
    assert figure.body.shares["y"] == shares


def test_a_map_is_its_slices_at_the_trial(told):
    picture, _ = told(campaign(RANGES), hill)
    slices = {one.axis.name: one for one in drawn(picture, "slices", through=2).body.slices}
    body = drawn(picture, "map", through=2, pair=("a", "b")).body
    assert (body.across.name, body.up.name) == ("a", "b")
    grid = np.array(body.curves["y"].mean).reshape(len(body.up.at), len(body.across.at))
    row = int(np.argmin(np.abs(np.log(body.up.at) - log(body.up.here))))
    along = np.interp(body.across.at, slices["a"].axis.at, slices["a"].curves["y"].mean)
    assert np.max(np.abs(grid[row] - along)) < 0.1 * np.ptp(grid)
    assert [number for number, *_ in body.tried] == list(range(1, 15))


def test_a_map_is_over_what_matters_most_unless_it_is_asked_for(told):
    picture, _ = told(campaign({"c": {"range": [0, 1]}, "a": RANGES["a"], "b": RANGES["b"]}), hill, count=25)
    body = drawn(picture, "map").body
    assert (body.across.name, body.up.name) == ("a", "b")
    assert drawn(picture, "map", pair=("c",)).body.across.name == "c"
    with pytest.raises(SurrogateError, match="over two of c, a, b; not over q"):
        picture.draw(f.Want(number=1, kind="map", pair=("q", "a")))


def test_the_acquisition_is_what_the_next_proposal_is_chosen_by(told):
    spec = campaign(RANGES)
    picture, facts = told(spec, hill)
    figure = drawn(picture, "acquisition", through=1, pair=("a", "b"))
    thought = Thought(spec, facts.state, facts.state.next_trial())
    corner = {"a": figure.body.across.at[0], "b": figure.body.up.at[0], "c": facts.state.trials[1].settings["c"]}
    assert figure.body.curves["acquisition"].mean[0] == pytest.approx(thought.of(corner).score, rel=1e-4)
    assert figure.model.endswith("LogEI")


def test_of_one_parameter_there_is_a_slice_where_a_map_was_wanted(told):
    picture, _ = told(campaign({"a": RANGES["a"]}), lambda settings: {"y": settings["a"]})
    assert list(drawn(picture, "map").body.slices[0].curves) == ["y"]
    assert list(drawn(picture, "acquisition").body.slices[0].curves) == ["acquisition"]


def test_a_slice_of_a_mixture_keeps_its_sum_and_says_what_breaks_a_constraint(told):
    mixture = {"mix": {"mixture": ["w", "e", "t"], "sum": 100}}
    spec = campaign(mixture, constraints=["w <= 60"])
    picture, facts = told(spec, lambda settings: {"y": settings["w"] * settings["e"]})
    slices = {one.axis.name: one for one in drawn(picture, "slices", through=1).body.slices}
    assert [at for at, inside in zip(slices["w"].axis.at, slices["w"].inside, strict=True) if inside][-1] <= 60.0
    assert not slices["w"].inside[-1]
    # At the pure end of e nothing is left of w: the model sees the triangle's corner, not a point beyond it.
    thought = Thought(spec, facts.state, facts.state.next_trial())
    pure = thought.of({"w": 0.0, "e": 100.0, "t": 0.0}).predicted["y"].mean
    assert slices["e"].curves["y"].mean[-1] == pytest.approx(pure, rel=1e-3, abs=1.0)


def test_conditions_take_and_bring(told):
    parameters = {
        "solvent": {"choices": ["DMF", "NMP"]},
        "base": {"choices": ["KOH", "NaOH"], "active_when": "solvent == DMF"},
        "dose": {"range": [0, 4], "active_when": "solvent == DMF"},
    }
    spec = campaign(parameters)
    picture, facts = told(spec, lambda settings: {"y": settings.get("dose", 1.0)})
    without = next(trial for trial in facts.state.trials.values() if trial.settings["solvent"] == "NMP")
    slices = {one.axis.name: one for one in drawn(picture, "slices", through=without.trial).body.slices}
    assert slices["dose"].words == f"has no value in trial {without.trial}" and not slices["dose"].curves
    assert slices["solvent"].axis.choices == ["DMF", "NMP"] and all(slices["solvent"].inside)
    thought = Thought(spec, facts.state, facts.state.next_trial())
    brought = thought.of({"solvent": "DMF", "base": "KOH", "dose": 2.0}).predicted["y"].mean
    assert slices["solvent"].curves["y"].mean[0] == pytest.approx(brought, rel=1e-4)


def test_a_map_over_what_has_no_value_in_the_trial_does_not_place_it_there(told):
    parameters = {
        "solvent": {"choices": ["DMF", "NMP"]}, "dose": {"range": [0, 4], "active_when": "solvent == DMF"},
        "a": RANGES["a"],
    }  # fmt: skip
    picture, facts = told(campaign(parameters), lambda settings: {"y": settings.get("dose", 1.0) + settings["a"]})
    without = next(trial for trial in facts.state.trials.values() if trial.settings["solvent"] == "NMP")
    body = drawn(picture, "map", through=without.trial, pair=("dose", "a")).body
    assert body.across.here is None and body.up.here == pytest.approx(without.settings["a"])


def test_a_cut_through_a_trial_that_lies_outside_the_narrowed_space_lies_outside(told):
    wide, narrow = campaign(RANGES), campaign({**RANGES, "c": {"range": [0, 0.5]}})
    _, facts = told(wide, hill)
    inside = {}
    for trial in facts.state.trials.values():
        picture = Portrait(narrow, read_problem(narrow, [wide]), facts.state)
        slices = {one.axis.name: one for one in drawn(picture, "slices", through=trial.trial).body.slices}
        inside[trial.settings["c"] <= 0.5] = (any(slices["a"].inside), any(slices["c"].inside))
    assert inside == {True: (True, True), False: (False, True)}


def test_of_a_table_only_its_rows_are_inside(told):
    rows = [{"a": a, "s": s} for a in (0.0, 2.0, 5.0, 10.0) for s in ("p", "q") if (a, s) != (5.0, "q")]
    spec = campaign({"a": RANGES["a"], "s": {"choices": ["p", "q"]}}, candidates=rows)
    picture, _ = told(spec, lambda settings: {"y": settings["a"]}, count=6)
    slices = {one.axis.name: one for one in drawn(picture, "slices", through=2).body.slices}  # (0, q)
    assert slices["a"].axis.at == [0.0, 2.0, 5.0, 10.0]
    assert slices["a"].inside == [True, True, False, True]


def test_parity_is_a_model_that_never_saw_the_trial(told):
    picture, _ = told(campaign(RANGES), hill)
    found = {one.trial: one for one in drawn(picture, "parity").body.foretold["y"]}
    (belief,) = picture._model.beliefs
    (member,) = belief.members
    for row in (0, 7, 13):
        rest = np.delete(np.arange(14), row)
        data = member.data
        seen = type(data)(data.x[rest], data.y[rest], data.known[rest])
        blind = condition(member.kernel, seen, member.parameters)
        # The mean of all counts in both: the closed form leaves out what one trial says of f, not of the constant.
        shifted = seen.y - member.mean
        k = member.kernel.cross(member.theta, data.x[row : row + 1], seen.x)
        mean = member.mean + float((k @ np.linalg.solve(blind.factor @ blind.factor.T, shifted))[0])
        variance = float(blind.posterior(data.x[row : row + 1])[1][0]) + member.noise
        assert found[row + 1].mean == pytest.approx(belief.shift + belief.scale * mean, rel=1e-4, abs=1e-3)
        assert found[row + 1].sd == pytest.approx(belief.scale * variance**0.5, rel=1e-3)


def test_botorch_foretells_what_was_left_out_as_the_other_surrogate_does(told):
    plain, _ = told(campaign(RANGES), hill, count=20)
    sampled, _ = told(campaign(RANGES, engine={"acquisition": "qLogNEI"}), hill, count=20)
    ours, theirs = (drawn(one, "parity").body.foretold["y"] for one in (plain, sampled))
    spread = np.ptp([one.measured for one in ours])
    assert np.max(np.abs([a.mean - b.mean for a, b in zip(ours, theirs, strict=True)])) < 0.05 * spread
    assert [a.sd for a in ours] == pytest.approx([b.sd for b in theirs], rel=0.3)


def test_a_front_is_what_no_other_beats_and_its_volume_only_grows(told):
    picture, facts = told(
        campaign(RANGES, TWO), lambda settings: {"y": settings["a"], "z": settings["a"] ** 2 + 5 * settings["c"]}
    )
    body = drawn(picture, "front").body
    ys, zs = body.values
    beaten = [
        any(ys[j] >= ys[i] and zs[j] <= zs[i] and (ys[j], zs[j]) != (ys[i], zs[i]) for j in range(len(ys)))
        for i in range(len(ys))
    ]
    assert body.first == [not one for one in beaten]
    volumes = [volume for _, volume in body.course]
    assert volumes == sorted(volumes) and [trial for trial, _ in body.course] == sorted(facts.state.trials)
    corner_y, corner_z = body.reference
    steps, floor = 0.0, corner_z
    for y, z in sorted(((y, z) for y, z, first in zip(ys, zs, body.first, strict=True) if first), reverse=True):
        assert y > corner_y and z < corner_z
        steps, floor = steps + (y - corner_y) * max(floor - z, 0.0), min(floor, z)
    assert volumes[-1] == pytest.approx(steps, rel=1e-5)


def test_of_many_trials_a_figure_rests_on_some_and_says_so(told, monkeypatch):
    monkeypatch.setattr(portrait, "MOST_TRIALS", 20)
    monkeypatch.setattr(portrait, "BEST_KEPT", 4)
    picture, facts = told(campaign(RANGES), hill, count=60)
    figure = drawn(picture, "parity")
    assert (figure.trials, figure.known) == (20, 60)
    best = sorted(facts.state.trials.values(), key=lambda trial: -hill(trial.settings)["y"])[:4]
    shown = {one.trial for one in figure.body.foretold["y"]}
    assert {trial.trial for trial in best} <= shown and len(shown) == 20
    assert max(shown) - min(shown) > 50


def test_of_many_trials_in_a_narrowed_space_only_those_inside_are_to_be_beaten(told, monkeypatch):
    monkeypatch.setattr(portrait, "MOST_TRIALS", 12)
    monkeypatch.setattr(portrait, "BEST_KEPT", 4)
    wide, narrow = campaign(RANGES), campaign({**RANGES, "c": {"range": [0, 0.5]}})
    _, facts = told(wide, hill, count=30)
    picture = Portrait(narrow, read_problem(narrow, [wide]), facts.state)
    known = picture._history.known
    assert len(known.observed) == 12 and known.reachable is not None
    assert known.reachable.tolist() == (known.observed[:, 2] <= 1.0).tolist() and 0 < len(known.rivals) < 12


def test_where_there_is_no_figure_words_say_why(told, journal):
    spec = campaign(RANGES)
    nothing, _ = told(spec, hill, count=0)
    with pytest.raises(SurrogateError, match="No trial is measured yet; a model needs 2"):
        nothing.draw(f.Want(number=1, kind="slices"))
    with pytest.raises(SurrogateError, match="orders trials by one number, so there is no front"):
        nothing.draw(f.Want(number=1, kind="front"))
    picture, _ = told(spec, hill, count=3)
    with pytest.raises(SurrogateError, match="There is no trial 9; the last is 3"):
        picture.draw(f.Want(number=1, kind="map", through=9))
    facts = journal(seed=1)
    for a in (1.0, 2.0):
        facts.measure({"a": a, "b": 2.0, "c": 0.5}, y=a)
    with pytest.raises(SurrogateError, match="Nothing is known yet of z"):
        Portrait(campaign(RANGES, TWO), read_problem(campaign(RANGES, TWO)), facts.state).draw(
            f.Want(number=1, kind="importance")
        )


def test_what_people_compare_has_slices_and_no_parity(told):
    spec = campaign({"a": RANGES["a"]}, {"taste": {"goal": "prefer", "from": "told"}})
    _, facts = told(spec, lambda settings: {}, count=6)
    ranked = sorted(facts.state.trials.values(), key=lambda trial: abs(trial.settings["a"] - 4.0))
    for better, worse in pairwise(ranked):
        facts.put(e.Preferred(outcome="taste", trial=better.trial, over=worse.trial, by="x"))
    picture = Portrait(spec, read_problem(spec), facts.state)
    (along_a,) = drawn(picture, "slices").body.slices
    top = along_a.axis.at[int(np.argmax(along_a.curves["taste"].mean))]
    assert top == pytest.approx(ranked[0].settings["a"], abs=2.0)
    assert drawn(picture, "slices").measured == {}
    assert "people compare it" in drawn(picture, "parity").body.words["taste"]
