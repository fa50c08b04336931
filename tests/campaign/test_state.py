"""The two tables, walked pair by pair, and the fold."""

import msgspec
import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import StateError

CAMPAIGN_STATES = (s.READY, s.RUNNING, s.PAUSED, s.FINISHED, s.STOPPED, s.HALTED)
TRIAL_STATES = (s.PROPOSED, s.RUNNING, s.AWAITING, s.MEASURED, s.FAILED, s.ABANDONED, s.IN_DOUBT)
STEP_STATES = (s.STARTED, s.FINISHED, s.FAILED, s.IN_DOUBT)
CAMPAIGN_FACTS = (
    e.RunStarted(),
    e.CampaignPaused(reason="r"),
    e.CampaignResumed(),
    e.CampaignFinished(reason="r"),
    e.CampaignStopped(reason="r", exit_code=4),
    e.CampaignHalted(reason="r"),
)
TRIAL_FACTS = (
    e.TrialStarted(trial=1),
    e.TrialAwaiting(trial=1),
    e.PartMeasured(trial=1, outcomes={"y": e.Reading(value=1.0)}, owed=["w"]),
    e.TrialMeasured(trial=1, outcomes={}),
    e.TrialFailed(trial=1, reason="r"),
    e.TrialAbandoned(trial=1, reason="r"),
    e.TrialInDoubt(trial=1, reason="r"),
    e.TrialResumed(trial=1),
)
STEP_FACTS = (
    e.StepFinished(step="a"),
    e.StepFailed(step="a", fault="link", reason="r"),
    e.StepInDoubt(step="a", question="q"),
)

# The tables as the contract draws them, written down a second time: {state: {fact: next state}}.
CAMPAIGN = {
    s.READY: {e.RunStarted: s.RUNNING, e.CampaignStopped: s.STOPPED},
    s.RUNNING: {
        e.RunStarted: s.RUNNING,
        e.CampaignPaused: s.PAUSED,
        e.CampaignFinished: s.FINISHED,
        e.CampaignStopped: s.STOPPED,
        e.CampaignHalted: s.HALTED,
    },
    s.PAUSED: {
        e.RunStarted: s.RUNNING,
        e.CampaignPaused: s.PAUSED,
        e.CampaignResumed: s.RUNNING,
        e.CampaignFinished: s.FINISHED,
        e.CampaignStopped: s.STOPPED,
        e.CampaignHalted: s.HALTED,
    },
    s.FINISHED: {e.RunStarted: s.RUNNING},
    s.STOPPED: {e.RunStarted: s.RUNNING},
    s.HALTED: {e.RunStarted: s.RUNNING, e.CampaignStopped: s.STOPPED},
}
ENDS = {e.TrialMeasured: s.MEASURED, e.TrialFailed: s.FAILED, e.TrialAbandoned: s.ABANDONED}
TRIAL = {
    s.PROPOSED: {e.TrialStarted: s.RUNNING, e.TrialAwaiting: s.AWAITING, e.PartMeasured: s.AWAITING, **ENDS},
    s.RUNNING: {e.TrialAwaiting: s.AWAITING, e.PartMeasured: s.AWAITING, e.TrialInDoubt: s.IN_DOUBT, **ENDS},
    s.AWAITING: {e.PartMeasured: s.AWAITING, **ENDS},
    s.IN_DOUBT: {e.TrialResumed: s.RUNNING, **ENDS},
    s.MEASURED: {},
    s.FAILED: {},
    s.ABANDONED: {},
}
STEP_ENDS = {e.StepFinished: s.FINISHED, e.StepFailed: s.FAILED}
STEP = {s.STARTED: {**STEP_ENDS, e.StepInDoubt: s.IN_DOUBT}, s.IN_DOUBT: STEP_ENDS, s.FINISHED: {}, s.FAILED: {}}


def records(*facts: e.Fact, start: int = 1) -> list[e.Record]:
    return [e.Record(seq=start + n, at=f"2026-01-01T00:00:{n:02d}+00:00", event=fact) for n, fact in enumerate(facts)]


def proposal(trial: int = 1, **words: object) -> e.ProposalMade:
    return e.ProposalMade(**{"trial": trial, "sample": f"S{trial}", "settings": {"x": 1.0}, "source": "sobol", **words})


def step(name: str = "a", trial: int | None = 1) -> e.StepStarted:
    return e.StepStarted(step=name, trial=trial, phase="trial", stage=0, index=0, instrument="pump", action="dispense")


@pytest.mark.parametrize("state", CAMPAIGN_STATES)
@pytest.mark.parametrize("fact", CAMPAIGN_FACTS, ids=lambda fact: type(fact).__name__)
def test_every_pair_of_the_campaign_table(state: str, fact: e.Fact) -> None:
    campaign = s.CampaignState(state=state)
    wanted = CAMPAIGN[state].get(type(fact))
    if wanted is None:
        with pytest.raises(StateError, match=state):
            campaign.apply(records(fact)[0])
    else:
        campaign.apply(records(fact)[0])
        assert campaign.state == wanted


@pytest.mark.parametrize("state", TRIAL_STATES)
@pytest.mark.parametrize("fact", TRIAL_FACTS, ids=lambda fact: type(fact).__name__)
def test_every_pair_of_the_trial_table(state: str, fact: e.Fact) -> None:
    campaign = s.fold(records(proposal()))
    campaign.trials[1].state = state
    wanted = TRIAL[state].get(type(fact))
    if wanted is None:
        with pytest.raises(StateError, match=state):
            campaign.apply(records(fact, start=2)[0])
    else:
        campaign.apply(records(fact, start=2)[0])
        assert campaign.trials[1].state == wanted


@pytest.mark.parametrize("state", STEP_STATES)
@pytest.mark.parametrize("fact", STEP_FACTS, ids=lambda fact: type(fact).__name__)
def test_every_pair_of_the_step_table(state: str, fact: e.Fact) -> None:
    campaign = s.fold(records(proposal(), step()))
    campaign.steps["a"].state = state
    wanted = STEP[state].get(type(fact))
    if wanted is None:
        with pytest.raises(StateError, match=state):
            campaign.apply(records(fact, start=3)[0])
    else:
        campaign.apply(records(fact, start=3)[0])
        assert campaign.steps["a"].state == wanted


def test_the_budget_counts_measured_candidates_that_nobody_told() -> None:
    state = s.fold(
        records(
            proposal(1), e.TrialStarted(trial=1), e.TrialMeasured(trial=1, outcomes={}),
            proposal(2, source="told"), e.TrialMeasured(trial=2, outcomes={}, by="ann"),
            proposal(3, role="control"), e.TrialStarted(trial=3), e.TrialMeasured(trial=3, outcomes={}),
            proposal(4), e.TrialStarted(trial=4), e.TrialFailed(trial=4, reason="stall"),
        )
    )  # fmt: skip
    assert (state.measured, state.attempts) == (1, 2)


def test_failures_in_a_row_end_with_a_measured_trial_and_a_veto_is_none() -> None:
    facts = [proposal(1), e.TrialStarted(trial=1), e.TrialAbandoned(trial=1, reason="cable", again=True)]
    facts += [proposal(2), e.TrialAbandoned(trial=2, reason="vetoed", by="ann")]
    state = s.fold(records(*facts))
    assert state.failures_in_a_row == 1
    more = [proposal(3), e.TrialStarted(trial=3), e.TrialMeasured(trial=3, outcomes={})]
    assert s.fold(records(*more, start=6), state).failures_in_a_row == 0


def test_settings_owed_again_are_owed_until_a_trial_takes_them_up() -> None:
    state = s.fold(records(proposal(1), e.TrialStarted(trial=1), e.TrialAbandoned(trial=1, reason="r", again=True)))
    assert state.owed_again == {1}
    s.fold(records(proposal(2, again_of=1), start=4), state)
    assert state.owed_again == set()


def test_a_trial_that_acted_stays_open_until_it_is_cleaned_up() -> None:
    state = s.fold(
        records(proposal(), e.TrialStarted(trial=1), step(), e.StepFinished(step="a"),
                e.TrialMeasured(trial=1, outcomes={}))
    )  # fmt: skip
    assert state.open_trials == {1} and not state.trials[1].closed
    s.fold(records(e.TrialClosed(trial=1), start=6), state)
    assert state.open_trials == set() and state.trials[1].closed


def test_a_trial_that_never_acted_is_closed_by_its_outcome() -> None:
    state = s.fold(records(proposal(), e.TrialMeasured(trial=1, outcomes={}, by="ann")))
    assert state.open_trials == set()


def test_a_running_trial_cannot_be_closed() -> None:
    with pytest.raises(StateError, match="running"):
        s.fold(records(proposal(), e.TrialStarted(trial=1), e.TrialClosed(trial=1)))


def test_a_question_stands_until_the_step_is_settled() -> None:
    state = s.fold(records(proposal(), step(), e.StepInDoubt(step="a", question="was it?")))
    assert list(state.questions) == ["a"]
    s.fold(records(e.StepFinished(step="a", by="ann"), start=4), state)
    assert not state.questions and state.steps["a"].by == "ann"


@pytest.mark.parametrize(
    "facts",
    [
        (e.TrialStarted(trial=7),),
        (proposal(), proposal()),
        (e.StepFinished(step="nowhere"),),
        (proposal(), step(), step()),
    ],
)
def test_facts_that_speak_of_what_is_not_there_are_refused(facts: tuple[e.Fact, ...]) -> None:
    with pytest.raises(StateError, match="fact"):
        s.fold(records(*facts))


def test_facts_out_of_order_are_refused() -> None:
    state = s.fold(records(proposal()))
    with pytest.raises(StateError, match="out of order"):
        state.apply(e.Record(seq=1, at="", event=e.NoteTaken(text="x")))


def test_setup_is_owed_again_after_a_safe_state() -> None:
    state = s.fold(records(e.PhaseFinished(phase="setup", number=1)))
    assert state.phases == {"setup": 1}
    s.fold(records(e.SafeStateReached(why="stop"), start=2), state)
    assert state.phases == {} and state.passes == {"setup": 1} and state.safe


def test_a_bench_on_which_something_did_not_stop_is_not_safe() -> None:
    assert not s.fold(records(e.SafeStateReached(why="stop", errors=["hotplate.stop: no answer"]))).safe
    unsafe = e.SafeStateReached(why="stop", errors=["hotplate.stop: no answer"])
    begun = e.StepStarted(step="a", phase="setup", stage=0, index=0, instrument="pump", action="dispense", act=True)
    assert s.fold(records(unsafe)).unsafe == unsafe.errors
    assert s.fold(records(unsafe, begun)).unsafe == s.fold(records(unsafe, e.SafeStateReached(why="stop"))).unsafe == []


def test_what_was_left_standing_is_compared_once_and_a_journal_that_never_noted_it_has_nothing_to_compare() -> None:
    left = e.SettingsLeft(stands={"plate": {"temperature": e.Stand(value=40.0, unit="degC")}})
    found = {"plate": e.Witness(state="stopped", stands={"heater": e.Stand(value=False)})}
    guard = e.SafeStateReached(why="gone", by="guard", epoch=2, found=found)
    again = e.RunStarted(resumed=True)
    assert s.fold(records(e.RunStarted(), e.SafeStateReached(why="stop"), again)).may_begin
    noted = s.fold(records(e.RunStarted(), left, again))
    assert noted.left == left.stands and not noted.may_begin
    after = s.fold(records(e.RunStarted(), left, again, e.SettingsRead(resumed=True)))
    assert after.left is None and after.may_begin
    asked = e.SettingsRead(resumed=True, moved={"plate.temperature": "stood at 40 degC, stands at 60 degC"})
    assert s.fold(records(e.RunStarted(), left, again, asked)).left == left.stands
    assert s.fold(records(e.RunStarted(), left, again, asked, e.MovedAccepted(by="ann"))).left is None
    accepted = s.fold(records(e.RunStarted(), left, again, asked, e.MovedAccepted(by="ann")))
    assert accepted.stood is None, "it is still to be read at rest"
    by_guard = s.fold(records(e.RunStarted(), again, guard))
    assert by_guard.left == {"plate": {"heater": e.Stand(value=False)}} and not by_guard.may_begin
    assert s.fold(records(e.RunStarted(), left, again, guard)).left == left.stands, "it was not compared yet"


@pytest.mark.parametrize("accepted, counts", [(True, []), (False, ["infused"]), (None, ["infused"])])
def test_only_a_refill_that_was_granted_leaves_a_counter_out_of_what_is_compared(
    accepted: bool | None, counts: list[str]
) -> None:
    infused = e.Stand(value=100.0, unit="uL", counts=True)
    left = e.SettingsLeft(stands={name: {"infused": infused} for name in ("pump", "other")})
    wish = e.Requested(id="w", request="refill", arguments=["pump", "50 mL"], by="ann")
    said = [] if accepted is None else [e.RequestAnswered(id="w", accepted=accepted)]
    state = s.fold(records(e.RunStarted(), left, wish, *said))
    assert state.left is not None and [list(one) for one in state.left.values()] == [counts, ["infused"]]


def test_what_the_run_wiped_itself_while_it_was_paused_is_not_compared_with_what_was_counted_before() -> None:
    counted = {name: {"infused": e.Stand(value=300.0, unit="uL", counts=True)} for name in ("pump", "other")}
    paused = e.CampaignPaused(reason="lunch"), e.SettingsRead(counted=counted), e.CountersCleared(instrument="pump")
    state = s.fold(records(e.RunStarted(), *paused))
    assert list(state.counted) == ["other"]


def test_where_a_valve_stood_when_it_turned_on_for_a_runner_that_was_killed_is_not_what_was_left() -> None:
    turn = e.StepStarted(
        step="a", phase="trial", stage=0, index=0, instrument="valve", action="turn", settings={"to": e.Amount("acid")}
    )  # fmt: skip
    stands = {"to": e.Stand(value="water"), "from": e.Stand(value="water"), "rate": e.Stand(value=0.0)}
    witness = e.Witness(state="stopped", stands=stands)
    guard = e.SafeStateReached(why="gone", by="guard", epoch=2, found={"valve": witness, "other": witness})
    after = s.fold(records(e.RunStarted(), turn, guard)).left
    assert after == {"valve": {name: one for name, one in stands.items() if name != "to"}, "other": stands}
    over = s.fold(records(e.RunStarted(), turn, e.StepFinished(step="a"), guard)).left
    assert over == {"valve": stands, "other": stands}


def test_of_several_guards_the_first_that_saw_it_stand_still_tells_what_became_of_the_act() -> None:
    """A pump that was seen to stand at 50 uL and switched off and on after that tells the next guard nothing."""

    def seen(state: str, infused: float | None, said: str = "") -> e.SafeStateReached:
        after = {} if infused is None else {"infused": e.Amount(infused, "uL")}
        witness = e.Witness(state=state, first_reply=said, after=after)
        return e.SafeStateReached(why="gone", by="guard", found={"p": witness})

    def counts(*facts: e.Fact) -> tuple[float | None, str]:
        one = s.fold(records(e.RunStarted(), turn, *facts)).witnesses["p"]
        return (float(one.after["infused"].value) if one.tells else None), one.first_reply

    turn = e.StepStarted(step="a", phase="trial", stage=0, index=0, instrument="p", action="dispense", settings={})
    first, again = seen("stopped", 50.0), seen("stopped", 0.0, "A?R")
    assert counts(first, again) == (50.0, "")
    assert counts(first, seen("not reached", None)) == (50.0, "")
    assert counts(seen("not stopped", 50.0), seen("stopped", 80.0)) == (80.0, ""), "it went on after the first"
    assert counts(seen("not stopped", 50.0), seen("not stopped", 80.0))[0] is None
    assert counts(seen("stopped", None, "A?R"), seen("stopped", 0.0)) == (0.0, "A?R"), "told once, to the first"
    assert counts(first, e.StepRejoined(step="a"), again) == (0.0, "A?R"), "another death"
    assert not s.fold(records(e.RunStarted(), first, turn)).witnesses


def test_lab_time_is_the_latest_that_any_fact_tells() -> None:
    state = s.fold(records(e.RunStarted(t_s=5.0), proposal(), e.TrialStarted(trial=1, t_s=9.5), e.NoteTaken(text="n")))
    assert state.t_s == 9.5


def test_a_fact_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"NoteTaken","text":"x","colour":"red"}', type=e.Event)


def test_a_hold_lasts_until_its_own_person_says_so_whatever_becomes_of_the_run() -> None:
    ann, bob = e.CampaignPaused(reason="lunch", by="ann"), e.CampaignPaused(reason="a leak", by="bob")
    state = s.fold(records(e.RunStarted(), ann, bob))
    assert list(state.holds) == ["ann", "bob"] and state.reason == "a leak"
    s.fold(records(e.HoldReleased(of="bob", by="bob"), start=4), state)
    assert list(state.holds) == ["ann"] and (state.state, state.reason) == (s.PAUSED, "lunch")
    s.fold(records(e.CampaignHalted(reason="paused too long"), start=5), state)
    assert list(state.holds) == ["ann"] and state.reason == "paused too long"
    s.fold(records(e.HoldReleased(of="ann", by="bob", why="she is away"), e.RunStarted(resumed=True), start=6), state)
    assert state.holds == {} and state.state == s.RUNNING
    assert s.fold(records(e.RunStarted(), ann, e.CampaignResumed(by="ann"))).holds == {}
    assert s.fold(records(e.RunStarted(), e.CampaignPaused(reason="it is lost"))).holds == {}, "labloop's own"
