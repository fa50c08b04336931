"""A trial more, another in a proposal's place, a result marked as wrong: what each wish becomes."""

from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.runner.answers import named_values
from labloop.runner.requests import Answer, answer

SPEC: dict[str, Any] = {
    "parameters": {
        "q": {"range": [10, 40], "unit": "uL/min"},
        "solvent": {"choices": ["DMF", "NMP"]},
        "ratio": {"range": [0, 1], "active_when": "solvent == NMP"},
    },
    "constraints": ["q <= 35 uL/min"],
    "outcomes": {"y": {"goal": "maximize"}},
}
CONTROL = e.ProposalMade(trial=1, sample="S1", settings={"q": 12.0, "solvent": "DMF"}, source="human", role="control")
MODEL = e.ProposalMade(trial=2, sample="S2", settings={"q": 20.0, "solvent": "NMP", "ratio": 0.5}, source="model")


def spec(**more: Any) -> CampaignSpec:
    return spec_from_dict({**SPEC, **more})


def state(*facts: e.Fact) -> s.CampaignState:
    told = [e.RunStarted(), CONTROL, MODEL, *facts]
    return s.fold(e.Record(seq=n + 1, at="2026-01-01T00:00:00+00:00", event=fact) for n, fact in enumerate(told))


@pytest.mark.parametrize("verb", ["approve", "veto", "wrong", "right", "edit"])
def test_a_number_without_end_is_refused(verb: str) -> None:
    answered = ask(f"{verb} {'9' * 5000}")
    assert not answered.accepted and answered.message.startswith("which trial?")


def ask(request: str, *facts: e.Fact, why: str = "", spec: CampaignSpec | None = None) -> Answer:
    verb, *arguments = request.split(" ")
    wish = e.Requested(id="r", request=verb, arguments=arguments, by="ann", why=why)
    return answer(state(*facts), wish, alive=True, t_s=9.0, spec=spec or spec_from_dict(SPEC))


def after(given: Answer) -> s.CampaignState:
    """The facts of an answer are ones that the fold takes."""
    assert given.accepted, given.message
    return state(*given.facts)


def test_a_trial_by_hand_is_a_proposal_of_a_persons() -> None:
    given = ask("add q=0.03 mL/min solvent=DMF", why="near the edge")
    (made,) = given.facts
    assert made == e.ProposalMade(
        trial=3, sample="S3", settings={"q": pytest.approx(30.0), "solvent": "DMF"}, source="human", based_on=0,
        reason="added by ann: near the edge",
    )  # fmt: skip
    assert given.message == "trial 3: q 30 uL/min, solvent DMF" and after(given).trials[3].state == s.PROPOSED


def test_where_people_approve_whoever_adds_it_has_approved_it() -> None:
    _, approved = ask("add q=30 solvent=DMF", spec=spec(approval="human")).facts
    assert approved == e.ProposalApproved(trial=3, by="ann")


def test_an_edited_proposal_is_dropped_and_another_stands_in_its_place() -> None:
    given = ask("edit 2 q=25", why="cheaper")
    ended = after(given)
    assert ended.trials[2].state == s.ABANDONED and ended.trials[2].told_by == "ann"
    assert ended.trials[2].reason == "edited: cheaper; it is trial 3 now" and not ended.trials[2].again
    assert ended.trials[3].settings == {"q": 25.0, "solvent": "NMP", "ratio": 0.5}
    assert ended.trials[3].source == "human" and ended.failures_in_a_row == 0


def test_what_does_not_count_under_another_choice_goes_with_it() -> None:
    assert after(ask("edit 2 solvent=DMF")).trials[3].settings == {"q": 20.0, "solvent": "DMF"}


@pytest.mark.parametrize(
    ("request_", "facts", "word"),
    [
        ("add", (), "add NAME=VALUE"),
        ("add q=20", (), "solvent is missing"),
        ("add q=90 solvent=DMF", (), "q"),
        ("add q=36 solvent=DMF", (), "q <= 35 uL/min is broken"),
        ("add q=20 solvent=DMF ratio=0.5", (), "ratio has a value, and is not active"),
        ("add q=20 solvent=water", (), "water"),
        ("add q=20 solvnt=DMF", (), "solvent"),
        ("add q=20 q=21", (), "given twice"),
        ("add q", (), "name=value"),
        ("edit 2", (), "edit TRIAL"),
        ("edit 2 q=20", (), "already"),
        ("edit 2 solvent=DMF ratio=0.1", (), "ratio"),
        ("edit 2 x=1", (), "x is no parameter"),
        ("edit 1 q=20", (), "is a control"),
        ("edit 7 q=20", (), "no trial 7"),
        ("edit 2 q=25", (e.TrialStarted(trial=2),), "trial 2 is running"),
        ("wrong", (), "which trial"),
        ("wrong 2", (), "trial 2 is proposed"),
        ("right 2", (), "not marked"),
    ],
)
def test_what_cannot_be_tried_is_refused_with_the_way_out(request_: str, facts: tuple[e.Fact, ...], word: str) -> None:
    given = ask(request_, *facts, why="w")
    assert not given.accepted and word in given.message and not given.facts


MEASURED = e.TrialMeasured(trial=2, outcomes={"y": e.Reading(value=1.0)})


def test_a_result_is_marked_as_wrong_once_and_only_with_a_reason() -> None:
    assert "only with a reason" in ask("wrong 2", MEASURED).message
    given = ask("wrong 2", MEASURED, why="the lamp was off")
    (fact,) = given.facts
    assert fact == e.ResultWithdrawn(trial=2, by="ann", why="the lamp was off") and "kept" in given.message
    assert "already" in ask("wrong 2", MEASURED, fact, why="again").message
    assert "z was not measured" in ask("wrong 2 z", MEASURED, why="w").message
    (back,) = ask("right 2", MEASURED, fact, why="it was on").facts
    assert back == e.ResultRestored(trial=2, by="ann", why="it was on")


def test_only_what_is_named_is_right_after_all_and_the_answer_says_what_stays() -> None:
    whole = e.ResultWithdrawn(trial=2, by="bob", why="lamp")
    cost = e.ResultWithdrawn(trial=2, outcomes=["y"], by="ann", why="scale")
    both = MEASURED, cost, whole
    given = ask("right 2", *both)
    assert given.facts[0] == e.ResultRestored(trial=2, outcomes=[""], by="ann") and "wrong still: y" in given.message
    given = ask("right 2 y", *both)
    assert given.facts[0].outcomes == ["y"] and "y of trial 2 counts again" in given.message
    assert "z of trial 2 is not marked as wrong; marked: y" in ask("right 2 z", MEASURED, cost).message
    assert ask("right 2", MEASURED, cost).facts[0].outcomes == ["y"]


def test_a_failure_may_be_wrong_as_well() -> None:
    failed = e.TrialFailed(trial=2, reason="clogged")
    assert ask("wrong 2", failed, why="it was the cable").accepted
    assert "y was not measured" in ask("wrong 2 y", failed, why="w").message


def test_a_row_that_nobody_can_make_is_no_trial(tmp_path: Any) -> None:
    (tmp_path / "rows.csv").write_text("q,solvent\n20,DMF\n30,NMP\n")
    rows = {
        "parameters": {"q": {"range": [10, 40], "unit": "uL/min"}, "solvent": {"choices": ["DMF", "NMP"]}},
        "outcomes": {"y": {"goal": "maximize"}}, "candidates": "rows.csv",
    }  # fmt: skip
    of_rows = spec_from_dict(rows, tmp_path)
    assert ask("add q=30 solvent=NMP", spec=of_rows).accepted
    assert "no row of the candidates" in ask("add q=30 solvent=DMF", spec=of_rows).message


def test_trials_of_one_batch_share_what_they_share() -> None:
    shared = spec_from_dict(
        {
            "parameters": {"q": {"range": [10, 40], "shared": "batch"}, "x": {"range": [0, 1]}},
            "outcomes": {"y": {"goal": "maximize"}}, "design": {"batch": 2},
        }
    )  # fmt: skip
    first = e.ProposalMade(trial=3, sample="S3", settings={"q": 20.0, "x": 0.1}, source="model")
    gone = (e.TrialAbandoned(trial=1, reason="r"), e.TrialAbandoned(trial=2, reason="r"))
    assert "share q, and trial 3 has 20" in ask("add q=30 x=0.2", *gone, first, spec=shared).message
    assert ask("add q=20 x=0.2", *gone, first, spec=shared).accepted
    assert ask("edit 3 q=30", *gone, first, spec=shared).accepted, "it is the only one"


def test_a_value_may_have_blanks() -> None:
    assert named_values(["rate=10", "uL/min", "time=20 s"]) == {"rate": "10 uL/min", "time": "20 s"}
