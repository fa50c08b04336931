"""A campaign amended in mid-run: what is another, what may be, what it does to the trials so far, and how it folds."""

import copy
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import amending
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.amendments import files_in_force, text_in_force, texts
from labloop.campaign.errors import StateError
from labloop.campaign.spec import CampaignSpec, spec_from_dict

SPEC: dict[str, Any] = {
    "campaign": "c",
    "parameters": {
        "q": {"range": [200, 900], "unit": "uL/min"},
        "n": {"integer": [1, 5]},
        "solvent": {"choices": ["DMF", "DMSO", "NMP"]},
        "bath": {"choices": [20, 40, 80], "ordered": True, "unit": "degC"},
        "share": {"mixture": ["A", "B"], "sum": 1},
    },
    "constraints": ["q <= 800 uL/min"],
    "outcomes": {
        "y": {"goal": "maximize", "unit": "percent", "weight": 1, "from": "told"},
        "z": {"goal": {"target": "530 nm", "tolerance": "5 nm"}, "unit": "nm", "weight": 2, "from": "told"},
    },
    "design": {"initial": {"trials": 4}, "seed": 3},
    "budget": {"trials": 40},
    "stop_when": {"no_improvement": "20 trials"},
}


def other(*keys: str, now: Any) -> CampaignSpec:
    """The same campaign with another value at one place; ``None``: with nothing there."""
    written = copy.deepcopy(SPEC)
    into = written
    for key in keys[:-1]:
        into = into.setdefault(key, {})
    if now is None:
        del into[keys[-1]]
    else:
        into[keys[-1]] = now
    return spec_from_dict(written)


BEFORE = spec_from_dict(SPEC)


@pytest.mark.parametrize(
    ("keys", "now", "said"),
    [
        (("title",), "Slower", "title:  -> Slower"),
        (("parameters", "q", "range"), [100, 950], "parameters.q.range: [200, 900] -> [100, 950] uL/min (widened)"),
        (("parameters", "q", "range"), ["0.3 mL/min", 900], "[200, 900] -> [300, 900] uL/min (narrowed)"),
        (("parameters", "q", "range"), [100, 500], "[200, 900] -> [100, 500] uL/min (moved)"),
        (("parameters", "q", "step"), 50, "parameters.q.step: nothing -> 50 uL/min"),
        (("parameters", "n", "integer"), [1, 9], "parameters.n.range: [1, 5] -> [1, 9] (widened)"),
        (("parameters", "solvent", "choices"), ["DMF", "NMP"], "parameters.solvent.choices: DMSO is retired"),
        (("parameters", "solvent", "choices"), ["DMF", "DMSO", "NMP", "THF", "water"], "THF, water are added"),
        (("parameters", "bath", "choices"), [20, 40, 60, 80], "parameters.bath.choices: [60] is added"),
        (("parameters", "share", "at_most"), 1, "parameters.share.at_most: nothing -> 1"),
        (("constraints",), [], "constraints: q <= 800 uL/min is retired"),
        (("outcomes", "y", "weight"), 3, "outcomes.y.weight: 1 -> 3"),
        (("outcomes", "y", "limit"), ">= 5", "outcomes.y.limit: nothing -> >= 5 percent"),
        (("outcomes", "y", "goal"), "minimize", "outcomes.y.goal: maximize -> minimize"),
        (("outcomes", "z", "goal"), {"target": "540 nm", "tolerance": 5},
         "outcomes.z.goal: {target: 530, tolerance: 5} -> {target: 540, tolerance: 5} nm"),
        (("budget", "trials"), 60, "budget.trials: 40 -> 60"),
        (("budget", "time"), "1 h", "budget.time: nothing -> 3600 s"),
        (("stop_when", "no_improvement"), None, "stop_when.no_improvement: 20 -> nothing"),
        (("stop_when", "failures_in_a_row"), 5, "stop_when.failures_in_a_row: 3 -> 5"),
        (("engine",), {"warp": True}, "engine.warp: nothing -> yes"),
        (("design", "batch"), 2, "design.batch: 1 -> 2"),
        (("approval",), "human", "approval: nothing -> human"),
    ],
)  # fmt: skip
def test_what_may_be_another_is_said_in_words(keys: tuple[str, ...], now: Any, said: str) -> None:
    after = other(*keys, now=now)
    (change,) = amending.changes(BEFORE, after)
    assert said in amending.sentence(change) and not amending.refusals(BEFORE, after)
    (back,) = amending.changes(after, BEFORE)
    kinds = {"widened": "narrowed", "narrowed": "widened", "added": "retired", "retired": "added"}
    assert back.kind == kinds.get(change.kind, change.kind) and (back.before, back.after) == (
        change.after,
        change.before,
    )


def test_what_is_desirable_may_be_another() -> None:
    desired = {"y": {"between": [40, 90], "exponent": 2}, "z": [500, 560]}
    written = copy.deepcopy(SPEC)
    for name, what in desired.items():
        written["outcomes"][name]["desirability"] = what
    after = spec_from_dict(written)
    said = [amending.sentence(change) for change in amending.changes(BEFORE, after)]
    assert said == [
        "outcomes.y.desirability: nothing -> between 40 and 90, exponent 2 percent",
        "outcomes.z.desirability: nothing -> between 500 and 560 nm",
    ]
    assert amending.refusals(BEFORE, after) == []


@pytest.mark.parametrize(
    ("keys", "now", "said"),
    [
        (("campaign",), "d", "campaign = d: was c so far, and may not be amended"),
        (("parameters", "q", "unit"), "uL/h", "parameters.q.unit = uL/h: was uL/min so far"),
        (("parameters", "q", "scale"), "log", "parameters.q.scale = log: was linear so far"),
        (("parameters", "q", "shared"), "batch", "parameters.q.shared"),
        (("parameters", "n"), {"choices": [1, 2]}, "parameters.n = {choices: [1, 2]}: was range so far"),
        (("parameters", "k"), {"range": [0, 1]}, "parameters.k: is new"),
        (("parameters", "n"), None, "parameters.n: was taken out"),
        (("parameters", "bath", "ordered"), False, "parameters.bath.ordered = false: was yes so far"),
        (("parameters", "share", "sum"), 2, "parameters.share.sum = 2: was 1 so far"),
        (("parameters", "share", "mixture"), ["A", "B", "C"], "parameters.share.mixture"),
        (("outcomes", "y", "unit"), "", "outcomes.y.unit"),
        (("outcomes", "z"), None, "outcomes.z: was taken out"),
        (("outcomes", "w"), {"limit": "<= 3", "from": "told"}, "outcomes.w: is new"),
        (("design", "seed"), 4, "design.seed = 4: was 3 so far"),
        (("remake",), 3, "remake = 3: was 1 so far"),
        (("pause",), {"hold": "5 min"}, "pause.hold"),
        (("totals",), {"bottle": {"of": "pump.dispense", "max": "20 mL"}}, "totals.bottle"),
        (("every",), [{"trials": 5, "control": {"q": 300, "n": 1, "solvent": "DMF", "bath": 20, "A": 1, "B": 0}}],
         "every"),
    ],
)  # fmt: skip
def test_what_may_not_is_named_with_why_and_the_way_out(keys: tuple[str, ...], now: Any, said: str) -> None:
    complaints = amending.refusals(BEFORE, other(*keys, now=now))
    assert complaints and complaints[0].startswith(said)
    assert "may not be amended: it " in complaints[0] and complaints[0].endswith(amending.NEW_RUN)


def test_a_recipe_may_not_be_amended_and_the_place_is_named(tmp_path: Path) -> None:
    from labloop.campaign.spec import read_spec_text

    text = "campaign: c\nparameters: {x: {range: [0, 9], unit: mL}}\noutcomes: {y: {goal: maximize, from: told}}\n"
    text += "trial:\n  - pump.dispense: {volume: %s}\n"
    before, same, after = (read_spec_text(text % volume, "f.yaml", tmp_path) for volume in ("$x", "$x ", "2 * $x"))
    assert not amending.changes(before, same)
    (complaint,) = amending.refusals(before, after)
    assert complaint.startswith("f.yaml:4:1: trial") and "is another now, and may not be amended" in complaint


def test_a_number_that_is_written_otherwise_is_the_same() -> None:
    assert not amending.changes(BEFORE, other("parameters", "q", "range", now=["0.2 mL/min", "0.9 mL/min"]))
    assert not amending.changes(BEFORE, other("budget", now={"trials": "40 trials"}))
    assert not amending.changes(BEFORE, other("constraints", now=["q<=800 uL/min"]))


def test_a_passing_outcome_cannot_become_a_number() -> None:
    written = copy.deepcopy(SPEC)
    written["outcomes"] = {"y": {"goal": "maximize"}, "ok": {"limit": ">= 1"}}
    before = spec_from_dict(written)
    written["outcomes"] = {"y": {"goal": "maximize"}, "ok": {"goal": "pass"}}
    assert "another kind of outcome" in amending.refusals(before, spec_from_dict(written))[0]


def test_a_long_list_is_cut() -> None:
    many = [f"s{number}" for number in range(40)]
    (change,) = amending.changes(BEFORE, other("parameters", "solvent", "choices", now=["DMF", "DMSO", "NMP", *many]))
    assert len(change.after) == amending.MOST_NAMED + 1 and change.after[-1] == "... and 20 more"


# --- what it does to the trials ---------------------------------------------------------------------------------------


def settings(q: float, solvent: str = "DMF") -> dict[str, Any]:
    return {"q": q, "n": 1, "solvent": solvent, "bath": 20, "A": 1.0, "B": 0.0}


def proposed(trial: int, q: float, **more: Any) -> e.ProposalMade:
    return e.ProposalMade(trial=trial, sample=f"S{trial}", settings=settings(q, **more), source="sobol")


OPENED = e.CampaignOpened(
    campaign="c", run_id="r", version="0", mode="virtual", seed=3, campaign_sha256="one", files={"a.csv": "f1"}
)


def folded(*facts: e.Fact) -> s.CampaignState:
    return s.fold(e.Record(seq, f"at {seq}", fact) for seq, fact in enumerate((OPENED, e.RunStarted(), *facts), 1))


def amended(before: str, after: str, *places: str, **more: Any) -> e.Amended:
    changes = [e.Change(place=place, kind="changed") for place in places or ("title",)]
    return e.Amended(before_sha256=before, campaign_sha256=after, changes=changes, by="ann", **more)


def test_effects_name_what_leaves_what_stays_and_what_goes_on() -> None:
    state = folded(
        proposed(1, 300), e.TrialStarted(trial=1), e.TrialMeasured(trial=1, outcomes={}),
        proposed(2, 700), e.TrialStarted(trial=2), e.TrialFailed(trial=2, reason="clogged"),
        proposed(3, 750), e.TrialStarted(trial=3),
        proposed(4, 310), proposed(5, 720), proposed(6, 310, solvent="NMP"),
        proposed(7, 710), e.TrialStarted(trial=7), e.TrialAbandoned(trial=7, reason="cable", again=True),
        e.ProposalMade(trial=8, sample="S8", settings=settings(790), source="human", role="control"),
    )  # fmt: skip
    narrowed = other("parameters", "q", "range", now=[200, 600])
    found = amending.effects(narrowed, state)
    assert found == amending.Effects(
        pending=(4, 5, 6, 7), leaves=(5, 7), running=(3,), measured=(1, 2), outside=(2,)
    )  # fmt: skip
    assert amending.effects(other("parameters", "solvent", "choices", now=["DMF"]), state).leaves == (6,)
    assert amending.effects(other("constraints", now=["q <= 705 uL/min"]), state).leaves == (5, 7)


def test_a_row_that_was_taken_out_of_the_candidates_is_outside() -> None:
    rows = [settings(300), settings(400)]
    held = amending.Holding(spec_from_dict({**SPEC, "candidates": rows}))
    assert held(settings(400)) and not held(settings(500))


# --- how it folds -----------------------------------------------------------------------------------------------------


def test_texts_follow_one_another_and_back() -> None:
    state = folded(amended("one", "two", files={"a.csv": "f2"}), amended("two", "three"))
    assert text_in_force(state) == "three" and files_in_force(state) == {}
    state = folded(
        amended("one", "two", files={"a.csv": "f2"}), amended("two", "three"),
        amended("three", "two", undoes=4), amended("two", "one", undoes=3),
    )  # fmt: skip
    assert text_in_force(state) == "one" and files_in_force(state) == {"a.csv": "f1"}
    assert [one.seq for one in state.amendments] == [3, 4, 5, 6] and not state.amended
    assert [sha for sha, _ in texts(state)] == ["two", "three", "one"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([amended("two", "three")], "not in force"),
        ([amended("one", "two"), amended("two", "one", undoes=9)], "not the last amendment"),
        ([amended("one", "one", undoes=2)], "not the last amendment"),
        ([amended("one", "two"), amended("two", "three"), amended("three", "one", undoes=4)], "the text before it"),
    ],
)
def test_a_journal_cannot_amend_what_is_not_there(facts: list[e.Fact], said: str) -> None:
    with pytest.raises(StateError, match=said):
        folded(*facts)


@pytest.mark.parametrize(
    ("facts", "added"),
    [
        ([amended("one", "two")], 20),
        ([amended("one", "two", "budget.trials")], 0),  # it says how many in all
        ([amended("one", "two", "budget.trials"), e.BudgetExtended(trials=5)], 5),
        ([amended("one", "two", "budget.trials"), e.BudgetExtended(trials=5), amended("two", "one", undoes=4)], 25),
    ],
)
def test_a_budget_that_is_amended_is_the_whole_budget(facts: list[e.Fact], added: int) -> None:
    assert folded(e.BudgetExtended(trials=20), *facts).extended_trials == added


def test_what_leaves_is_not_tried_again_and_trials_know_which_text_they_are_of() -> None:
    spoilt = [proposed(1, 700), e.TrialStarted(trial=1), e.TrialAbandoned(trial=1, reason="cable", again=True)]
    state = folded(*spoilt, amended("one", "two", leaves=[1]), proposed(2, 300))
    assert state.owed_again == set() and folded(*spoilt).owed_again == {1}
    assert [state.trials[n].amended for n in (1, 2)] == [0, 6]


def test_a_unit_stands_after_what_was_a_number() -> None:
    taken_back = e.Change(place="budget.time", kind="changed", before=3600, unit="s")
    assert amending.sentence(taken_back) == "budget.time: 3600 s -> nothing"


def test_a_fact_reads_in_one_line() -> None:
    fact = e.Amended(
        before_sha256="a", campaign_sha256="b", by="ann", why="too hot",
        changes=amending.changes(BEFORE, other("parameters", "q", "range", now=[200, 600])),
    )  # fmt: skip
    assert amending.account(fact) == (
        "amended by ann: parameters.q.range: [200, 900] -> [200, 600] uL/min (narrowed) (too hot)"
    )
