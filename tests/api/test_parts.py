"""A result that arrives in parts: one outcome today, another tomorrow, by ask and tell."""

from typing import Any

import msgspec
import numpy as np
import pytest

import labloop
from labloop.campaign import events as e
from labloop.campaign import view
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.state import CampaignState, fold
from labloop.planner.history import read
from labloop.planner.problem import read_problem
from labloop.runner.told_wishes import tell
from labloop.runner.trial_wishes import right, wrong

GOALS = {"y": {"goal": "maximize"}, "w": {"goal": "minimize", "unit": "g"}}
SPEC: dict[str, Any] = {
    "labloop": 1, "campaign": "parts", "parameters": {"a": {"range": [0, 1]}, "b": {"range": [0, 1]}},
    "outcomes": GOALS, "design": {"initial": {"trials": 4}, "seed": 1},
}  # fmt: skip


def begun(outcomes: dict[str, Any] = GOALS, **more: Any) -> labloop.Campaign:
    return labloop.Campaign(SPEC | {"outcomes": outcomes} | more, planner="inline")


def facts(campaign: labloop.Campaign) -> list[e.Record]:
    return list(campaign._told._journal.records())


def asked(request: str, *arguments: str, why: str = "") -> e.Requested:
    return e.Requested(id="1", request=request, arguments=list(arguments), by="ann", why=why)


def posted(state: CampaignState, fact: e.Fact) -> Any:
    return tell(state, asked("tell", msgspec.json.encode(fact).decode()), 0.0)


def test_one_outcome_today_and_the_other_tomorrow() -> None:
    with begun() as campaign:
        (proposal,) = campaign.ask()
        campaign.tell(proposal.trial, {"y": 3.0})
        trial = campaign.state.trials[1]
        assert (trial.state, trial.owed) == ("awaiting", ("w",)) and campaign.best() == []
        entry = view.trial_entry(campaign.spec, trial)
        assert entry["owed"] == ["w"] and entry["outcomes"]["y"]["value"] == 3.0 and entry["finished"] is None
        before = facts(campaign)
        campaign.tell(1, {"w": (0.5, 0.1)})
        after = facts(campaign)
        assert after[: len(before)] == before and [type(one.event) for one in after[-2:]] == [
            e.PartMeasured,
            e.TrialMeasured,
        ]
        trial = campaign.state.trials[1]
        assert trial.state == "measured" and trial.owed == () and trial.finished is not None
        assert {name: one.value for name, one in trial.outcomes.items()} == {"y": 3.0, "w": 0.5}
        assert campaign.best()[0]["trial"] == 1 and fold(after) == campaign.state  # type: ignore[index]


def test_the_model_learns_from_what_is_there_and_the_trial_is_in_flight_for_the_rest() -> None:
    with begun() as campaign:
        proposals = campaign.ask(6)
        for one in proposals:
            told = {"y": one.settings["a"], "w": one.settings["b"]}
            campaign.tell(one.trial, told if one.trial < 6 else {"y": 7.0})
        problem = read_problem(campaign.spec)
        history = read(campaign.state, problem.encoding, problem.goals)
        assert history.data["y"].trials.tolist() == [1, 2, 3, 4, 5, 6] and history.data["y"].values[-1] == 7.0
        assert history.data["w"].trials.tolist() == [1, 2, 3, 4, 5]
        assert np.array_equal(history.known.pending, problem.encoding.encode([proposals[5].settings]))
        assert (history.begun, history.left_out) == (6, 0)
        (model,) = campaign.ask()
        assert model.source == "model" and model.settings != proposals[5].settings
        based_on = campaign.state.trials[model.trial].proposal.based_on
        campaign.tell(6, {"w": 0.1})
        (after,) = campaign.ask()
        assert campaign.state.trials[after.trial].proposal.based_on > based_on > campaign.state.trials[6].seq


def test_what_is_known_is_told_again_only_where_it_was_marked_as_wrong() -> None:
    with begun() as campaign:
        campaign.ask()
        campaign.tell(1, {"y": 3.0})
        for told in ({"y": 4.0}, {"y": 4.0, "w": 1.0}, {"y": "missing"}):
            with pytest.raises(StateError, match=r"has y = 3.0 already.*request RUN wrong 1 y --why TEXT, then tell"):
                campaign.tell(1, told)
        says = wrong(campaign.state, asked("wrong", "1", "y", why="a slip"))
        assert says.accepted and "it is owed again: labloop tell RUN 1 y=..." in says.message
        campaign._told.memory.record(*says.facts)
        problem = read_problem(campaign.spec)
        history = read(campaign.state, problem.encoding, problem.goals)
        assert not len(history.data["y"].values) and len(history.known.pending) == 1, "it is in flight still"
        campaign.tell(1, {"y": 4.0})
        assert campaign.state.trials[1].outcomes["y"].flag == "" and campaign.state.trials[1].owed == ("w",)
        campaign.tell(1, {"w": 1.0})
        assert campaign.state.trials[1].outcomes["y"].value == 4.0 and not campaign.state.trials[1].withdrawn
        kept = [one.event.outcomes for one in facts(campaign) if isinstance(one.event, e.PartMeasured)]
        assert [one["y"].value for one in kept] == [3.0, 4.0], "both stand in the journal"
        with pytest.raises(StateError, match=r"is measured already.*wrong 1 --why TEXT"):
            campaign.tell(1, {"y": 5.0})


def test_what_is_told_again_as_it_was_is_believed_again() -> None:
    with begun() as campaign:
        campaign.ask(4)
        rest = {"w": 1.0}
        for at, outcomes in ((1, {"y": 3.0} | rest), (2, rest), (3, {"y": 3.0} | rest), (4, rest)):
            campaign.tell(at, {"y": 3.0})
            says = wrong(campaign.state, asked("wrong", str(at), "y", why="a slip"))
            campaign._told.memory.record(*says.facts)
            (fact,) = campaign._told.telling.of_trial(at, outcomes)
            campaign._told.memory.record(*(posted(campaign.state, fact).facts if at > 2 else [fact]))
        trials = [campaign.state.trials[at] for at in (1, 2, 3, 4)]
        assert [bool(one.outcomes["y"].flag) for one in trials] == [False, True, False, True]
        assert [one.state for one in trials] == ["measured", "awaiting"] * 2, "of 2 and 4 it was not told again"
        assert [one.owed for one in trials] == [(), ("y",)] * 2
        said = [one.event.again for one in facts(campaign) if isinstance(one.event, e.TrialMeasured)]
        assert said == [["y"], ["y"]]


def marked(campaign: labloop.Campaign, *arguments: str) -> None:
    campaign._told.memory.record(*wrong(campaign.state, asked("wrong", *arguments, why="a slip")).facts)


def right_again(campaign: labloop.Campaign, *arguments: str) -> None:
    campaign._told.memory.record(*right(campaign.state, asked("right", *arguments), 0.0).facts)


def test_a_part_that_was_marked_as_wrong_is_owed_again() -> None:
    with begun() as campaign:
        campaign.ask(4)
        for at in (1, 2, 3, 4):
            campaign.tell(at, {"y": 3.0})
            marked(campaign, str(at), "y")
            campaign.tell(at, {"w": 1.0})
            assert (campaign.state.trials[at].state, campaign.state.trials[at].owed) == ("awaiting", ("y",))
        campaign.tell(1, {"y": 4.0})
        campaign.tell(2, {"y": "missing"})
        right_again(campaign, "3")
        rest = campaign._told.telling.of_trial(4, {"y": "missing"})[0]
        campaign._told.memory.record(*posted(campaign.state, rest).facts)
        trials = [campaign.state.trials[at] for at in (1, 2, 3, 4)]
        assert [one.state for one in trials] == ["measured"] * 4
        values = [{name: one.value for name, one in trial.outcomes.items()} for trial in trials]
        assert values == [{"y": 4.0, "w": 1.0}, {"w": 1.0}, {"y": 3.0, "w": 1.0}, {"w": 1.0}]
        assert not any(trial.withdrawn for trial in trials) and fold(facts(campaign)) == campaign.state


def test_the_rest_that_comes_while_a_part_is_marked_as_wrong_does_not_take_it_along() -> None:
    with begun() as campaign:
        campaign.ask()
        campaign.tell(1, {"y": 3.0})
        rest = campaign._told.telling.of_trial(1, {"w": 1.0})[0]
        assert isinstance(rest, e.TrialMeasured)
        marked(campaign, "1", "y")
        campaign._told.memory.record(*posted(campaign.state, rest).facts)
        trial = campaign.state.trials[1]
        assert (trial.state, trial.owed, trial.measured["w"].value) == ("awaiting", ("y",), 1.0)


@pytest.mark.parametrize("rest_told", [False, True])
def test_a_part_that_comes_while_another_is_marked_as_wrong_does_not_settle_it(rest_told: bool) -> None:
    with begun(GOALS | {"k": {"limit": "<= 5"}}) as campaign:
        campaign.ask()
        campaign.tell(1, {"y": 3.0})
        part = campaign._told.telling.of_trial(1, {"w": 1.0})[0]
        assert isinstance(part, e.PartMeasured) and part.owed == ["k"]
        marked(campaign, "1", "y")
        if rest_told:
            campaign.tell(1, {"k": 2.0})
        campaign._told.memory.record(*posted(campaign.state, part).facts)
        trial = campaign.state.trials[1]
        assert trial.state == "awaiting" and set(trial.owed) == ({"y"} if rest_told else {"k", "y"})
        campaign.tell(1, {"y": 4.0, "k": 2.0} if not rest_told else {"y": 4.0})
        assert trial.state == "measured" and trial.measured.keys() == {"y", "w", "k"} and not trial.withdrawn


def test_of_a_part_that_was_marked_as_wrong_it_is_said_alone_that_it_will_not_come() -> None:
    with begun(GOALS | {"k": {"limit": "<= 5"}}) as campaign:
        campaign.ask()
        campaign.tell(1, {"y": 3.0})
        marked(campaign, "1", "y")
        part = campaign._told.telling.of_trial(1, {"y": "missing"})[0]
        campaign._told.memory.record(*posted(campaign.state, part).facts)
        assert campaign.state.trials[1].owed == ("w", "k")


def test_a_part_told_again_as_it_was_beside_the_rest_told_meanwhile_is_believed_again() -> None:
    with begun() as campaign:
        campaign.ask()
        campaign.tell(1, {"y": 3.0})
        campaign._told.memory.record(*wrong(campaign.state, asked("wrong", "1", "y", why="a slip")).facts)
        part, rest = (campaign._told.telling.of_trial(1, one)[0] for one in ({"y": 3.0}, {"w": 2.0}))
        assert isinstance(part, e.PartMeasured) and isinstance(rest, e.PartMeasured)
        campaign._told.memory.record(e.PartMeasured(trial=1, outcomes={"w": e.Reading(value=2.0)}, owed=["y"]))
        (fact,) = posted(campaign.state, part).facts
        assert isinstance(fact, e.TrialMeasured) and fact.again == ["y"]
        campaign._told.memory.record(fact)
        assert campaign.state.trials[1].state == "measured" and not campaign.state.trials[1].withdrawn
        assert b"again" not in msgspec.json.encode(e.TrialMeasured(trial=1, outcomes={}))


def test_what_will_not_come_is_not_waited_for() -> None:
    with begun(GOALS | {"k": {"limit": "<= 5"}}) as campaign:
        campaign.ask(3)
        campaign.tell(1, {"y": 3.0, "k": "missing"})
        assert campaign.state.trials[1].owed == ("w",)
        campaign.tell(1, {"w": 1.0})
        assert campaign.state.trials[1].state == "measured" and set(campaign.state.trials[1].outcomes) == {"y", "w"}
        campaign.tell(2, {"k": "missing"})
        campaign.tell(2, {"y": "missing"})
        assert campaign.state.trials[2].owed == ("w",)
        with pytest.raises(SpecError, match="nothing is left to learn from"):
            campaign.tell(2, {"w": "missing"})
        campaign.tell(2, void="the sample was lost")
        campaign.tell(3, {"y": 1.0})
        campaign.tell(3, failed="it set before w was measured")
        assert [campaign.state.trials[at].state for at in (2, 3)] == ["abandoned", "failed"]
        assert campaign.state.trials[3].owed == () and campaign.best()[0]["trial"] == 1  # type: ignore[index]


def test_two_who_tell_a_part_each_at_once_measure_the_trial() -> None:
    with begun() as campaign:
        campaign.ask()
        mine, theirs = (campaign._told.telling.of_trial(1, one)[0] for one in ({"y": 1.0}, {"w": 2.0}))
        other = campaign._told.telling.of_trial(1, {"y": 9.0})[0]
        campaign._told.memory.record(*posted(campaign.state, mine).facts)
        assert "y of trial 1 was told meanwhile" in posted(campaign.state, other).message
        campaign._told.memory.record(*posted(campaign.state, theirs).facts)
        trial = campaign.state.trials[1]
        assert trial.state == "measured" and {name: one.value for name, one in trial.measured.items()} == {
            "y": 1.0,
            "w": 2.0,
        }


def test_of_a_trial_that_the_bench_has_still_to_make_all_is_told_or_nothing() -> None:
    with begun() as campaign:
        campaign.ask()
        assert campaign.state.opened is not None
        campaign.state.opened = e.CampaignOpened(
            campaign="parts", run_id="r", version="0", mode="simulated", seed=1, campaign_sha256=""
        )
        with pytest.raises(SpecError, match=r"w missing\. Tell every outcome at once"):
            campaign.tell(1, {"y": 1.0})
        part = e.PartMeasured(trial=1, outcomes={"y": e.Reading(value=1.0)}, owed=["w"])
        assert "is still to be made" in posted(campaign.state, part).message
