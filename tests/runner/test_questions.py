"""What a person is asked about an act, and whether each answer says truly what it will do."""

from collections.abc import Mapping

import msgspec
import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.runner import questions

REST = {"volume": e.Amount(3.0, "uL")}


def step(instrument: str, index: int) -> s.StepState:
    begun = e.StepStarted(
        step=f"1.{index}", trial=1, phase="trial", stage=0, index=index, instrument=instrument, action="dispense",
        settings={"volume": e.Amount(10.0, "uL")},
    )  # fmt: skip
    return s.StepState(begun=begun, seq=1, started="")


class Into:
    """Somebody who knows where it goes, and how long the sample may wait."""

    def does(self, begun: e.StepStarted, settings: Mapping[str, e.Amount]) -> str:
        return "push 10 uL into cell A"

    def may_wait(self, begun: e.StepStarted) -> questions.Waits:
        return 20.0, 300.0


def test_a_question_says_what_each_answer_will_do() -> None:
    asked = questions.question(step("a", 0), "The counter was reset.", {}, REST)
    assert "a.dispense (volume = 10 uL) of trial 1" in asked.question and "reset" in asked.question
    assert asked.answers["not-done"] == "a will do the rest now: dispense (volume = 3 uL)"
    assert set(asked.answers) == {"done", "not-done", "discard"}
    in_full = questions.question(step("a", 0), "w", REST, knows=Into())
    assert in_full.answers["not-done"] == (
        "a will do it now, in full: push 10 uL into cell A, on top of volume = 3 uL that it has done; where its sample "
        "has waited for more than 20 s by then, that is cleaned away instead"
    )
    assert "the recipe goes on; where its sample has waited for more than 5 min" in in_full.answers["done"]


def test_a_step_that_belongs_to_no_sample_cannot_be_discarded() -> None:
    begun = msgspec.structs.replace(step("a", 0).begun, trial=None, phase="setup")
    asked = questions.question(s.StepState(begun=begun, seq=1, started=""), "w")
    assert "of setup done" in asked.question and set(asked.answers) == {"done", "not-done"}


def test_a_question_about_a_sample_comes_with_its_trial_in_doubt() -> None:
    state = s.CampaignState()
    for seq, fact in enumerate(
        [e.RunStarted(), e.ProposalMade(trial=1, sample="S1", settings={}, source="sobol"), e.TrialStarted(trial=1),
         step("a", 0).begun, msgspec.structs.replace(step("a", 0).begun, step="setup.1", trial=None, phase="setup")], 1
    ):  # fmt: skip
        state.apply(e.Record(seq, "", fact))
    asked = questions.question(state.steps["1.0"], "w")
    assert questions.with_trial(state, asked) == [
        asked, e.TrialInDoubt(trial=1, reason="an act may or may not have been done")
    ]  # fmt: skip
    loose = questions.question(state.steps["setup.1"], "w")
    assert questions.with_trial(state, loose) == [loose]


@pytest.mark.parametrize(("says", "fact"), [("ask", e.StepInDoubt), ("discard", e.StepFailed), ("again", e.StepFailed)])
def test_what_did_not_begin_beside_what_did_is_asked_about_where_the_recipe_says_so(says: str, fact: type) -> None:
    state = s.CampaignState()
    done = e.StepFinished(step="1.0", achieved={"volume": e.Amount(10.0, "uL")})
    for seq, one in enumerate(
        [e.RunStarted(), e.ProposalMade(trial=1, sample="S1", settings={}, source="sobol"), e.TrialStarted(trial=1),
         step("a", 0).begun, step("b", 1).begun, done], 1
    ):  # fmt: skip
        state.apply(e.Record(seq, "", one))
    not_begun = e.StepFailed(step="1.1", fault="not_done", reason="its counters have not moved", by="instrument")
    (found,) = questions.undone(state, [not_begun], says)
    assert isinstance(found, fact)
    if isinstance(found, e.StepInDoubt):
        assert "a (volume = 10 uL), which did" in found.question and "b will do it now" in found.answers["not-done"]


def test_a_stage_of_which_nothing_moved_is_nobodys_question() -> None:
    state = s.CampaignState()
    for seq, one in enumerate(
        [e.RunStarted(), e.ProposalMade(trial=1, sample="S1", settings={}, source="sobol"), e.TrialStarted(trial=1),
         step("a", 0).begun, step("b", 1).begun], 1
    ):  # fmt: skip
        state.apply(e.Record(seq, "", one))
    facts = [e.StepFailed(step=f"1.{n}", fault="not_done", reason="w", by="instrument") for n in (0, 1)]
    assert questions.undone(state, facts, "ask") == facts
