"""How many trials a run makes before a person has compared them."""

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import spec_from_dict
from labloop.planner.errors import NothingLeftError, PlannerError
from labloop.planner.proposal import Proposal
from labloop.runner.clock import VirtualClock
from labloop.runner.propose import Proposer

SPEC: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 1]}},
    "outcomes": {"taste": {"goal": "prefer"}},
    "design": {"initial": {"method": "sobol", "trials": 3}, "batch": 2},
    "budget": {"trials": 6},
}


def proposer(**more: Any) -> Proposer:
    return Proposer(spec_from_dict({**SPEC, **more}), None, VirtualClock())


def after(made: int, *compared: tuple[int, int], spoilt: bool = False) -> s.CampaignState:
    facts: list[e.Fact] = []
    for number in range(1, made + 1):
        facts += [
            e.ProposalMade(trial=number, sample=f"S{number}", settings={"x": number / 10}, source="sobol"),
            e.TrialAwaiting(trial=number),
        ]
    for number in sorted({number for pair in compared for number in pair}):
        facts.append(e.TrialMeasured(trial=number, outcomes={}))
    facts += [e.Preferred(outcome="taste", trial=a, over=b) for a, b in compared]
    if spoilt:
        facts += [
            e.ProposalMade(trial=made + 1, sample="S", settings={"x": 0.9}, source="sobol"),
            e.TrialAbandoned(trial=made + 1, reason="cable", again=True),
        ]
    return s.fold(e.Record(seq, "", fact) for seq, fact in enumerate(facts, 1))


@pytest.mark.parametrize(
    ("made", "compared", "room"),
    [
        (0, [], 2),  # the first design is made without asking anybody
        (2, [], 2),
        (3, [(1, 2)], 1),
        (3, [(1, 2), (3, 1)], 2),
        (4, [(1, 2), (3, 1)], 1),
    ],
)
def test_no_more_than_a_batch_is_made_that_nobody_has_compared(
    made: int, compared: list[tuple[int, int]], room: int
) -> None:
    state = after(made, *compared)
    assert proposer().why_finished(state) is None and proposer().awaits(state) == ""
    assert proposer().room(state, busy=0) == room


def test_the_budgets_time_is_what_runners_lived_through() -> None:
    state = after(2)
    state.unwatched_s = 3601.0  # a night between two runs, say
    asks = proposer(budget={"trials": 6, "time": "1 h"})
    asks.clock.advance_to(7200.0)
    assert asks.why_finished(state) is None
    asks.clock.advance_to(7201.0)
    assert asks.why_finished(state) == "the budget's time of 1 h 00 min is over"


def test_a_person_is_waited_for_and_it_is_said_for_what() -> None:
    assert proposer().awaits(after(3)) == "3 made trials waited to be compared"
    assert proposer().why_finished(after(3)) is None and proposer().room(after(3), busy=0) == 0
    assert proposer().why_finished(after(6, (1, 2), (1, 3))) == "3 of 6 trials are measured, and 3 to be compared"


def test_what_the_bench_spoiled_is_made_again_first() -> None:
    assert proposer().why_finished(after(3, spoilt=True)) is None
    assert proposer().room(after(3, spoilt=True), busy=0) == 2


def test_approvals_are_waited_for_when_nothing_else_goes_on() -> None:
    asks, state = proposer(outcomes={"y": {"goal": "maximize"}}, approval="human"), after(0)

    def then(fact: e.Fact) -> str:
        state.apply(e.Record(state.seq + 1, "", fact))
        return asks.awaits(state)

    def proposed(trial: int) -> e.ProposalMade:
        return e.ProposalMade(trial=trial, sample="S", settings={"x": 0.5}, source="sobol")

    assert asks.awaits(state) == ""
    assert then(proposed(1)) == "trial 1 waited for approval"
    assert then(proposed(2)) == "trials 1, 2 waited for approval"
    assert then(e.ProposalApproved(trial=1, by="ann")) == ""
    assert then(e.TrialStarted(trial=1)) == ""
    assert then(e.TrialAwaiting(trial=1)) == "trial 2 waited for approval"
    assert proposer(outcomes={"y": {"goal": "maximize"}}).awaits(state) == "", "nobody asks for approval"


def test_numbers_that_are_owed_hold_nothing_up() -> None:
    numbers = proposer(outcomes={"y": {"goal": "maximize"}})
    assert numbers.why_finished(after(4)) is None and numbers.room(after(4), busy=0) == 2


def test_a_trial_that_a_person_adds_while_the_planner_fails_keeps_its_number() -> None:
    state = after(1)
    added = e.ProposalMade(trial=2, sample="S2", settings={"x": 0.5}, source="human")

    class Fails:
        def request(self, count: int, **more: Any) -> "Future[Any]":
            state.apply(e.Record(state.seq + 1, "", added))  # meanwhile
            future: Future[Any] = Future()
            future.set_exception(PlannerError("it died"))
            return future

    made = proposer()
    made.planner = Fails()
    assert asyncio.run(made.propose(state, 1)) == []
    assert state.trials[2].source == "human" and state.next_trial() == 3


class Amends:
    """A planner that is told of an amendment while it thinks; ``fails``: and then has no answer."""

    def __init__(self, state: s.CampaignState, fails: Exception | None = None) -> None:
        self.state, self.fails = state, fails
        self.told: list[Any] = []

    def amend(self, spec: Any, former: Any) -> None:
        self.told.append((spec, former))

    def request(self, count: int, *, based_on: int, first: int) -> "Future[Any]":
        change = e.Change(place="parameters.x.range", kind="narrowed")
        fact = e.Amended(before_sha256="", campaign_sha256="b", changes=[change])
        self.state.apply(e.Record(self.state.seq + 1, "", fact))
        future: Future[Any] = Future()
        if self.fails is not None:
            future.set_exception(self.fails)
        else:
            future.set_result([Proposal(trial=first, settings={"x": 0.9}, source="model", seed=1, reason="")])
        return future


NUMBER = {"outcomes": {"y": {"goal": "maximize", "from": "told"}}}


@pytest.mark.parametrize("fails", [None, PlannerError("it died"), NothingLeftError("all is measured")])
def test_what_was_thought_of_another_space_is_thought_of_again(fails: Exception | None) -> None:
    state = after(0)
    one = proposer(**NUMBER)
    one.planner = Amends(state, fails)
    assert asyncio.run(one.propose(state, 1)) == [] and one.nothing_left is None


def test_an_amended_campaign_is_followed_and_the_planner_told() -> None:
    one = proposer(**NUMBER)
    one.planner = planner = Amends(after(0))
    one.nothing_left = "all is measured"
    one.amend(spec_from_dict({**SPEC, **NUMBER, "parameters": {"x": {"range": [0, 0.5]}}, "budget": {"trials": 9}}))
    assert one.nothing_left is None and one.room(after(0), 0) == 2 and one.spec.budget.trials == 9
    ((now, former),) = planner.told
    assert now["parameters"]["x"]["range"] == [0, 0.5] and [one["budget"]["trials"] for one in former] == [6]
    one.amend(spec_from_dict({**SPEC, **NUMBER}))
    assert len(planner.told[-1][1]) == 2, "all that was in force before"


@pytest.mark.parametrize(("high", "repeats"), [(1.0, [1, 2]), (0.15, [1])])
def test_what_left_the_space_is_not_made_again_to_learn_the_noise(high: float, repeats: list[int]) -> None:
    one = proposer(**NUMBER, remake=2)
    one.planner = Amends(after(0))
    state = after(2)
    for trial in (1, 2):
        state.apply(e.Record(state.seq + 1, "", e.TrialMeasured(trial=trial, outcomes={"y": e.Reading(value=1.0)})))
    one.amend(spec_from_dict({**SPEC, **NUMBER, "remake": 2, "parameters": {"x": {"range": [0, high]}}}))
    change = e.Change(place="parameters.x.range", kind="narrowed")
    state.apply(
        e.Record(state.seq + 1, "", e.Amended(before_sha256="", campaign_sha256="b", changes=[change]))
    )  # fmt: skip
    assert [fact.repeat_of for fact in asyncio.run(one.propose(state, 2))] == repeats


def begun(*ends: str) -> s.CampaignState:
    """Candidates that were begun and ended so: ``measured``, or ``spoilt`` by the bench."""
    facts: list[e.Fact] = []
    for number, end in enumerate(ends, 1):
        facts += [
            e.ProposalMade(trial=number, sample=f"S{number}", settings={"x": number / 10}, source="sobol"),
            e.TrialStarted(trial=number),
            e.TrialMeasured(trial=number, outcomes={"y": e.Reading(value=1.0)})
            if end == "measured"
            else e.TrialAbandoned(trial=number, reason="cable", again=True),
        ]
    return s.fold(e.Record(seq, "", fact) for seq, fact in enumerate(facts, 1))


@pytest.mark.parametrize("budget", [{"attempts": 3}, {"attempts": 9, "trials": 2}])
def test_the_last_trials_are_made_again_beside_the_budgets_and_nothing_else_is(budget: dict[str, int]) -> None:
    one = proposer(**NUMBER, remake=2, budget=budget)
    state = begun("measured", "spoilt", "measured")
    assert one.why_finished(state) is None
    assert one.room(state, busy=0) == 2
    made = asyncio.run(one.propose(state, 2))
    assert [(fact.role, fact.repeat_of) for fact in made] == [("repeat", 1), ("repeat", 3)]
    for fact in made:
        state.apply(e.Record(state.seq + 1, "", fact))
    assert one.room(state, busy=2) == 0
    for fact in made:
        ended = e.TrialMeasured(trial=fact.trial, outcomes={"y": e.Reading(value=1.0)})
        state.apply(e.Record(state.seq + 1, "", ended))
    assert one.why_finished(state) is not None


def test_what_the_bench_spoilt_takes_the_attempts_that_are_left_and_repeats_come_with_it() -> None:
    one = proposer(**NUMBER, remake=2, budget={"attempts": 4})
    state = begun("spoilt", "measured", "spoilt")
    made = asyncio.run(one.propose(state, one.room(state, busy=0)))
    assert [(fact.again_of, fact.repeat_of) for fact in made] == [(1, None)]
    for fact in (*made, e.TrialStarted(trial=4)):
        state.apply(e.Record(state.seq + 1, "", fact))
    made = asyncio.run(one.propose(state, one.room(state, busy=1)))
    assert [(fact.again_of, fact.repeat_of) for fact in made] == [(None, 2)]
