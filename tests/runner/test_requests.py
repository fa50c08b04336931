"""What each wish does, with and without a runner."""

import msgspec
import pytest
from msgspec import structs

from labloop.bench.instrument import Action, Setting
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.spec import lab_from_dict
from labloop.runner.requests import answer, fitting


def records(*facts: e.Fact) -> list[e.Record]:
    return [e.Record(seq=n + 1, at="2026-01-01T00:00:00+00:00", event=fact) for n, fact in enumerate(facts)]


def running(*facts: e.Fact) -> s.CampaignState:
    return s.fold(records(e.RunStarted(), *facts))


def wish(request: str, *arguments: str, why: str = "", by: str = "ann") -> e.Requested:
    return e.Requested(id="r", request=request, arguments=list(arguments), by=by, why=why)


PROPOSAL = e.ProposalMade(trial=1, sample="S1", settings={"x": 1.0}, source="sobol")
STARTED = e.StepStarted(
    step="a", trial=1, phase="trial", stage=0, index=0, instrument="pump", action="dispense", act=True,
    settings={"volume": e.Amount(0.3, "mL")},
)  # fmt: skip
DOUBT = (PROPOSAL, e.TrialStarted(trial=1), STARTED, e.StepInDoubt(step="a", question="was it?"),
         e.TrialInDoubt(trial=1, reason="r"), e.CampaignHalted(reason="r"))  # fmt: skip


def test_what_is_only_told_is_not_taken_up_again() -> None:
    opened = e.CampaignOpened(campaign="c", run_id="r", version="0", mode="told", seed=1, campaign_sha256="0")
    says = answer(s.fold([e.Record(1, "", opened)]), wish("abort"), alive=False, t_s=0.0)
    assert not says.accepted and "asked and told" in says.message and "resume" not in says.message


@pytest.mark.parametrize(
    ("facts", "request_", "effect", "kind"),
    [
        ((), wish("pause"), "pause", e.CampaignPaused),
        ((e.CampaignPaused(reason="r"),), wish("resume"), "resume", e.CampaignResumed),
        ((PROPOSAL,), wish("approve", "1"), "", e.ProposalApproved),
        ((PROPOSAL,), wish("veto", "1", why="no"), "", e.TrialAbandoned),
        ((), wish("note", "the", "lamp", "flickers"), "", e.NoteTaken),
    ],
)
def test_a_wish_becomes_facts(facts: tuple[e.Fact, ...], request_: e.Requested, effect: str, kind: type) -> None:
    given = answer(running(*facts), request_, alive=True, t_s=1.0)
    assert given.accepted and given.effect == effect and isinstance(given.facts[0], kind)


@pytest.mark.parametrize("verb", ["stop", "abort"])
def test_ends_are_effects_of_a_living_runner(verb: str) -> None:
    assert answer(running(), wish(verb), alive=True, t_s=0.0).effect == verb
    assert not answer(running(), wish(verb), alive=False, t_s=0.0).accepted


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (wish("resume"), "not paused"),
        (wish("dance"), "unknown request"),
        (wish("approve"), "which trial"),
        (wish("approve", "9"), "no trial 9"),
        (wish("approve", "1", "2"), "one at a time"),
        (wish("veto", "1", "2"), "one at a time"),
        (wish("note"), "text"),
        (wish("refill", "pump"), "how much"),
        (wish("refill", "pump", "much"), "much"),
        (wish("refill", "pump", "-3 mL"), "no amount"),
        (wish("empty", "vessel", "3"), "with its unit"),
        (wish("resolve", "1"), "done"),
        (wish("resolve", "1", "done"), "no question"),
    ],
)
def test_a_wish_that_makes_no_sense_is_answered(request_: e.Requested, word: str) -> None:
    given = answer(running(), request_, alive=True, t_s=0.0)
    assert not given.accepted and word in given.message and not given.facts


@pytest.mark.parametrize(
    ("said", "kind", "fault"),
    [
        (("done",), e.StepFinished, None),
        (("done", "0.14", "mL"), e.StepFinished, None),
        (("not-done",), e.StepFailed, "not_done"),
        (("discard",), e.StepFailed, "discarded"),
    ],
)
def test_an_act_in_doubt_is_settled(said: tuple[str, ...], kind: type, fault: str | None) -> None:
    state = running(*DOUBT)
    given = answer(state, wish("resolve", "1.pump", *said), alive=False, t_s=2.0)
    assert given.accepted and isinstance(given.facts[0], kind) and given.facts[0].by == "ann"
    assert getattr(given.facts[0], "fault", None) == fault
    assert isinstance(given.facts[-1], e.TrialResumed)
    for record in records(*given.facts):
        state.apply(e.Record(seq=state.seq + 1, at=record.at, event=record.event))
    assert not state.questions and state.trials[1].state == s.RUNNING


def test_an_amount_is_kept_with_its_unit() -> None:
    given = answer(running(*DOUBT), wish("resolve", "1", "done", "0.14 mL"), alive=False, t_s=2.0)
    assert given.facts[0].achieved == {"amount": e.Amount(0.14, "mL")}


@pytest.mark.parametrize(("mode", "word"), [("live", "--live"), ("virtual", "simulated"), ("told", "no bench")])
def test_nobody_is_sent_to_a_real_bench_by_a_run_that_is_simulated(mode: str, word: str) -> None:
    begun = e.CampaignOpened(campaign="c", run_id="1", version="1", mode=mode, seed=1, campaign_sha256="0")
    state = s.fold(records(begun, e.RunStarted(), e.CampaignStopped(reason="ann", exit_code=4)))
    given = answer(state, wish("act", "pump.dispense", "volume=1 mL"), alive=False, t_s=1.0)
    assert not given.accepted and word in given.message and ("--live" in given.message) == (mode == "live")


def test_what_was_replaced_is_no_stranger_to_the_run() -> None:
    known = e.InstrumentIdentified(instrument="pump", model="m", firmware="", serial="", first_reply="")
    state = running(known, e.InstrumentReplaced(instrument="pump", by="ann"))
    given = answer(state, wish("replaced", "pump"), alive=True, t_s=1.0)
    assert not given.accepted and "already" in given.message


@pytest.mark.parametrize("said", [("perhaps",), ("not-done", "30", "uL"), ("discard", "2")])
def test_nonsense_settles_nothing(said: tuple[str, ...]) -> None:
    """A person who says that 30 uL are not done yet does not mean all of it."""
    given = answer(running(*DOUBT), wish("resolve", "1", *said), alive=False, t_s=2.0)
    assert not given.accepted and " ".join(said[1:] or said) in given.message and not given.facts


TRIPPED = e.WatchTripped(rule="interlocks.door", then="hold", reason="the door is open")
CLEARED = e.WatchCleared(rule="interlocks.door")


def test_a_person_does_not_get_past_an_interlock_that_still_holds() -> None:
    says = answer(running(TRIPPED), wish("resume"), alive=True, t_s=1.0)
    assert not says.accepted and "the door is open" in says.message
    both = answer(running(TRIPPED, e.CampaignPaused(reason="r")), wish("resume"), alive=True, t_s=1.0)
    assert both.accepted and "goes on when interlocks.door lets it" in both.message
    assert [type(fact) for fact in both.facts] == [e.CampaignResumed]


def test_an_interlock_that_is_over_waits_for_a_person_and_does_not_end_their_pause() -> None:
    state = running(TRIPPED, CLEARED)
    assert list(state.held) == ["interlocks.door"]
    says = answer(state, wish("resume"), alive=True, t_s=1.0)
    assert says.accepted and says.facts == [e.WatchCleared(rule="interlocks.door", released=True, by="ann", t_s=1.0)]
    by_itself = running(e.CampaignPaused(reason="r"), TRIPPED, e.WatchCleared(rule="interlocks.door", released=True))
    assert by_itself.held == {} and by_itself.state == s.PAUSED


LUNCH = e.CampaignPaused(reason="lunch", by="ann")
LEAK = e.CampaignPaused(reason="a leak", by="bob")


def test_whose_pause_it_is_ends_it() -> None:
    says = answer(running(LUNCH), wish("resume"), alive=True, t_s=1.0)
    assert says.accepted and says.facts == [e.CampaignResumed(by="ann")]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (wish("resume", by="bob"), ["ann paused it (lunch)", "that is theirs", "--force --why"]),
        (wish("resume", by=""), ["ann paused it (lunch)"]),
        (wish("resume", "force", by="bob"), ["only with a reason"]),
        (wish("resume", "now", by="bob", why="w"), ["takes no 'now'"]),
    ],
)
def test_another_persons_pause_is_not_ended(request_: e.Requested, words: list[str]) -> None:
    says = answer(running(LUNCH, TRIPPED, CLEARED), request_, alive=True, t_s=1.0)
    assert not says.accepted and not says.facts and not says.effect
    for word in words:
        assert word in says.message


def test_another_persons_pause_is_ended_by_force_and_a_reason() -> None:
    state = running(LUNCH)
    says = answer(state, wish("resume", "force", by="bob", why="ann went home"), alive=True, t_s=1.0)
    assert says.accepted and "by force, though ann paused it (lunch)" in says.message
    assert says.facts == [
        e.HoldReleased(of="ann", by="bob", why="ann went home"), e.CampaignResumed(by="bob", why="ann went home")
    ]  # fmt: skip
    after = s.fold(records(e.RunStarted(), LUNCH, *says.facts))
    assert after.state == s.RUNNING and after.holds == {}


def test_whose_pause_it_is_and_whether_what_was_done_by_hand_is_right_are_asked_one_after_the_other() -> None:
    facts = LUNCH, e.ByHandSeen(acts={"h": "waste.dispense by ann"})
    state = running(*facts)
    refused = answer(state, wish("resume", by="bob"), alive=True, t_s=1.0).message
    assert "ann paused it (lunch)" in refused and "asked about after it: done by hand meanwhile: waste" in refused
    first = answer(state, wish("resume", "force", by="bob", why="ann is ill"), alive=True, t_s=1.0)
    assert first.accepted and first.facts == [e.HoldReleased(of="ann", by="bob", why="ann is ill")]
    assert "It stays paused: done by hand meanwhile: waste.dispense" in first.message
    assert first.message.endswith("say so: resume --force --why TEXT")
    after = running(*facts, *first.facts)
    assert after.state == s.PAUSED and not after.holds
    second = answer(after, wish("resume", "force", by="bob", why="only waste"), alive=True, t_s=1.0)
    assert second.facts == [e.MovedAccepted(by="bob", why="only waste"), e.CampaignResumed(by="bob", why="only waste")]


def test_force_does_not_pass_an_interlock_that_still_holds() -> None:
    by_force = wish("resume", "force", by="bob", why="w")
    says = answer(running(TRIPPED), by_force, alive=True, t_s=1.0)
    assert not says.accepted and "the door is open" in says.message
    both = answer(running(TRIPPED, LUNCH), by_force, alive=True, t_s=1.0)
    assert both.accepted and "goes on when interlocks.door lets it" in both.message
    assert not any(isinstance(fact, e.WatchCleared) for fact in both.facts)


MOVED = (
    LUNCH, e.SettingsRead(found={"plate.heat": "as it was done"}), e.CampaignResumed(by="ann"),
    e.SettingsRead(moved={"plate.heat": "it is off"}, resumed=True), e.CampaignPaused(reason="moved"),
)  # fmt: skip


def test_what_was_moved_is_right_as_it_is_only_by_force_and_nobodys_hold() -> None:
    state = running(*MOVED)
    again = answer(state, wish("resume", by="bob"), alive=True, t_s=1.0)
    assert again.facts == [e.CampaignResumed(by="bob")] and state.moved, "it is looked at again"
    said = answer(state, wish("resume", "force", why="w", by="bob"), alive=True, t_s=1.0)
    assert said.facts == [e.MovedAccepted(by="bob", why="w"), e.CampaignResumed(by="bob", why="w")]
    held = running(*MOVED, LUNCH)
    assert held.stood == {"plate.heat": "as it was done"}, "compared with what it was before the first pause"
    only = answer(held, wish("resume", "force", why="w", by="bob"), alive=True, t_s=1.0)
    assert not any(isinstance(fact, e.MovedAccepted) for fact in only.facts)


def test_a_sample_is_vetoed_only_where_no_runner_lives_and_nothing_is_in_doubt() -> None:
    stands = (
        PROPOSAL,
        e.TrialStarted(trial=1),
        STARTED,
        e.StepFinished(step="a"),
        e.CampaignStopped(reason="r", exit_code=4),
    )
    said = answer(running(*stands), wish("veto", "1", why="spoiled"), alive=False, t_s=2.0)
    assert said.accepted and said.facts == [
        e.TrialAbandoned(trial=1, reason="vetoed: spoiled", by="ann", again=True, t_s=2.0)
    ]
    assert not answer(running(*stands), wish("veto", "1"), alive=True, t_s=2.0).accepted
    assert answer(running(*stands[:3]), wish("veto", "1"), alive=False, t_s=2.0).accepted, (
        "the start asks after its act"
    )
    assert not answer(running(*DOUBT), wish("veto", "1"), alive=False, t_s=2.0).accepted


def test_two_people_hold_it_and_it_goes_on_when_both_have_let_go() -> None:
    second = answer(running(LUNCH), wish("pause", why="a leak", by="bob"), alive=True, t_s=1.0)
    assert second.accepted and second.facts == [LEAK]
    assert not answer(running(LUNCH), wish("pause"), alive=True, t_s=1.0).accepted, "once is enough"
    state = running(LUNCH, LEAK)
    first = answer(state, wish("resume"), alive=True, t_s=1.0)
    assert first.accepted and first.effect == "" and "bob paused it (a leak): it stays paused" in first.message
    assert first.facts == [e.HoldReleased(of="ann", by="ann")]
    left = running(LUNCH, LEAK, *first.facts)
    assert left.state == s.PAUSED
    last = answer(left, wish("resume", by="bob"), alive=True, t_s=1.0)
    assert last.facts == [e.CampaignResumed(by="bob")]


@pytest.mark.parametrize(
    ("arguments", "amount"), [(("vessel",), e.Amount(0.0, "mL")), (("vessel", "3", "mL"), e.Amount(3.0, "mL"))]
)
def test_a_vessel_is_emptied(arguments: tuple[str, ...], amount: e.Amount) -> None:
    says = answer(running(), wish("empty", *arguments), alive=False, t_s=1.0)
    assert says.accepted and says.totals == [e.TotalSet(name="vessel", amount=amount, by="ann", wish="r")]


@pytest.mark.parametrize("arguments", [(), ("vessel", "-3", "mL"), ("vessel", "much")])
def test_an_emptying_that_makes_no_sense(arguments: tuple[str, ...]) -> None:
    assert not answer(running(), wish("empty", *arguments), alive=False, t_s=1.0).accepted


LAB = lab_from_dict({
    "instruments": {"pump": {"driver": "a:B", "port": "sim:", "stock": "10 mL"}},
    "totals": {"vessel": {"of": ["pump.dispense"], "max": "20 mL"}},
})  # fmt: skip


ACTIONS = {
    "dispense": Action(name="dispense", act=True, amount="volume", settings=(
        Setting(name="rate", argument="rate_ul_min", unit="uL/min"),
        Setting(name="volume", argument="volume_ul", unit="uL"),
    )),
    "turn": Action(name="turn", act=True, settings=(Setting(name="angle", argument="angle_deg", unit="deg"),)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("refill", "pump", "40", "kg"), "40 kg is no stock of pump: write it in mL"),
        (("refill", "pmp", "40", "mL"), "did you mean 'pump'"),
        (("refill", "pump", "5", "mL"), ""),
        (("empty", "vesel"), "did you mean 'vessel'"),
        (("empty", "vessel", "3", "kg"), "kg"),
        (("empty", "vessel"), ""),
        (("resolve", "1.pump", "done"), ""),
        (("resolve", "1.pump", "done", "0.14", "mL"), ""),
        (("resolve", "1.pump", "done", "0 uL"), ""),
        (("resolve", "1.pump", "done", "0.14"), "'0.14' is no amount: give a number that is not negative, with its un"),
        (("resolve", "1.pump", "done", "-5", "mL"), "'-5 mL' is no amount: give a number that is not negative"),
        (("resolve", "1.pump", "done", "5", "K"), "5 K is no amount of pump.dispense: write it in uL"),
        (("resolve", "1.pump", "done", "5", "uL/min"), "5 uL/min is no amount of pump.dispense: write it in uL"),
    ],
)
def test_what_is_said_of_a_bench_must_fit_it(arguments: tuple[str, ...], word: str) -> None:
    given = answer(running(*DOUBT), wish(*arguments), alive=True, t_s=1.0)
    says = fitting(given, LAB, LAB.totals, lambda instrument, action: ACTIONS[action])
    assert says.accepted == (not word) and word in says.message
    assert says.accepted or not (says.facts or says.stock or says.totals)


def test_what_a_person_says_it_was_stands_for_what_its_instrument_said() -> None:
    doubt = e.StepInDoubt(step="a", question="was it?", achieved={"volume": e.Amount(13.3, "uL")})
    state = running(PROPOSAL, e.TrialStarted(trial=1), STARTED, doubt)
    given = answer(state, wish("resolve", "1.pump", "done", "0.14 mL"), alive=True, t_s=1.0)
    (settled, *_) = fitting(given, LAB, LAB.totals, lambda instrument, action: ACTIONS[action]).facts
    assert isinstance(settled, e.StepFinished) and settled.achieved == {"volume": e.Amount(140.0, "uL")}


def test_an_act_that_no_amount_counts_is_done_or_it_is_not() -> None:
    turned = structs.replace(STARTED, action="turn", settings={})
    state = running(PROPOSAL, e.TrialStarted(trial=1), turned, e.StepInDoubt(step="a", question="was it?"))
    given = answer(state, wish("resolve", "1.pump", "done", "5 mL"), alive=True, t_s=1.0)
    says = fitting(given, LAB, LAB.totals, lambda instrument, action: ACTIONS[action])
    assert not says.accepted and "pump.turn is not counted by an amount: say done" in says.message


MADE = (PROPOSAL, e.TrialAwaiting(trial=1), structs.replace(PROPOSAL, trial=2),
        e.TrialMeasured(trial=2, outcomes={}))  # fmt: skip


def posted(*facts: e.Fact) -> e.Requested:
    return wish("prefer", *(msgspec.json.encode(fact).decode() for fact in facts))


def test_a_comparison_measures_what_was_open_and_is_dated_by_the_runner() -> None:
    compared = e.Preferred(outcome="taste", trial=1, over=2)
    given = answer(running(*MADE), posted(e.TrialMeasured(trial=1, outcomes={}), compared), alive=True, t_s=7.0)
    assert given.accepted and [type(fact) for fact in given.facts] == [e.TrialMeasured, e.Preferred]
    assert all((getattr(fact, "t_s", None), getattr(fact, "by", None)) == (7.0, "ann") for fact in given.facts)


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (wish("prefer"), "that is no comparison"),
        (wish("prefer", "{"), "that is no comparison"),
        (posted(e.TrialMeasured(trial=1, outcomes={})), "a preference comes last"),
        (posted(e.Preferred(outcome="taste", trial=9, over=2)), "there is no trial 9"),
        (posted(e.Preferred(outcome="taste", trial=1, over=2)), "trial 1 is awaiting, and cannot be compared"),
        (posted(e.Preferred(outcome="taste", trial=2, over=2)), "no better than itself"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_answered(request_: e.Requested, word: str) -> None:
    given = answer(running(*MADE), request_, alive=True, t_s=0.0)
    assert not given.accepted and word in given.message and not given.facts
