"""A person's pause: how long it may last, who ends it, and what is looked at before anything goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from people import WATCHED, Deed, People, hand, wish
from reach import Reach

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.journal import utc_now
from labloop.runner import session, wishes
from labloop.runner.book import BY_HAND, BenchBook
from labloop.runner.clock import VirtualClock
from labloop.runner.rereading import Rereading

WARM = """
    setup:
      - hotplate.stir: {speed: 300 rpm}
      - hotplate.heat: {temperature: 40 degC}
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 2}
"""


@pytest.mark.parametrize("lab, campaign", [
    ("pause: {hold: 10 min, then: safe}\n", ""),
    ("pause: {hold: 20 min}\n", "    pause: {hold: 10 min}\n"),
    ("", "    pause: {hold: 10 min}\n"),
])  # fmt: skip
def test_a_pause_has_a_limit_and_keeps_what_is_to_be_kept(tmp_path: Path, lab: str, campaign: str) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"keep: [hotplate.stir]\n{WATCHED}{lab}", WARM + campaign, people)
    assert reach.run() == 6
    state = reach.state()
    assert state.state == s.HALTED and state.safe
    assert state.reason == "paused by ann for 10 min (lunch), and nobody said resume"
    (one,) = reach.ledger("pump_a")
    assert one.amount == pytest.approx(300.0, abs=0.1), "what ran when it was paused came to its end"
    assert not reach.ledger("pump_b", "begin")
    rested_s = next(step.ended_t_s for step in state.trials[1].steps)
    assert reach.clock.now_s() == pytest.approx(rested_s + 600.0, abs=5.0)
    assert state.t_s == pytest.approx(reach.clock.now_s(), abs=1e-6), "the end says when it was"
    plate = reach.bench.devices["hotplate"]
    assert not plate.heats and plate.stirs


def test_whoever_takes_it_up_later_is_whom_it_waits_for(tmp_path: Path) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"{WATCHED}pause: {{hold: 10 min}}\n", WARM, people)
    assert reach.run() == 6
    before = len(reach.records())
    for again in ({}, {"by": "bob"}, {"by": "bob", "force": True}):
        with pytest.raises(SpecError, match=r"ann paused it \(lunch\)|need a reason"):
            reach.run(again=again)
    assert len(reach.records()) == before, "nothing was written, and nothing moved"
    reach.time = lambda opened, state, note: VirtualClock(state.t_s + 3600.0)
    assert reach.run(again={"by": "ann"}) == 0
    assert reach.state().unwatched_s == 3600.0, "nobody lived through that hour"
    assert reach.facts(e.HoldReleased) == [e.HoldReleased(of="ann", by="ann")]
    assert len(reach.facts(e.InstrumentConfigured)) == 8, "everything was set up again"


def test_somebody_else_takes_it_up_by_force_and_says_why(tmp_path: Path) -> None:
    people = People(tmp_path, (30.0, wish("pause", by="ann", why="lunch")))
    reach = Reach(tmp_path, f"{WATCHED}pause: {{hold: 10 min}}\n", WARM, people)
    assert reach.run() == 6
    assert reach.run(again={"by": "bob", "force": True, "why": "ann is ill"}) == 0
    assert reach.facts(e.HoldReleased) == [e.HoldReleased(of="ann", by="bob", why="ann is ill")]


def test_a_pause_ends_when_its_person_says_so_and_nobody_else(tmp_path: Path) -> None:
    people = People(
        tmp_path, (30.0, wish("pause", by="ann", why="lunch")), (200.0, wish("resume", by="bob")),
        (300.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, WARM, people)
    assert reach.run() == 0
    assert [one.accepted for one in reach.facts(e.RequestAnswered)] == [True, False, True]
    begun = [one.at_s for one in reach.ledger("pump_b", "begin")]
    assert begun[0] == pytest.approx(301.0, abs=3.0), "after ann's word"


# --- what was moved meanwhile ---------------------------------------------------------------------------------------

LUNCH = (30.0, wish("pause", by="ann", why="lunch")), (300.0, wish("resume", by="ann"))
AT_REST = {
    "pump_a.dispense": "as it was done, 300 uL",
    "hotplate.stir": "as it was done",
    "hotplate.heat": "as it was done",
}


def begun_after(reach: Reach, at_s: float) -> bool:
    """Nothing was begun after the first act, but after ``at_s`` all of it."""
    begun = [one.at_s for name in ("pump_a", "pump_b") for one in reach.ledger(name, "begin")]
    return len(begun) == 4 and sorted(begun)[0] < 30.0 and at_s < sorted(begun)[1] < at_s + 5.0


def test_what_nobody_moved_goes_on_after_every_instrument_was_read_and_configured(tmp_path: Path) -> None:
    reach = Reach(tmp_path, WATCHED, WARM, People(tmp_path, *LUNCH))
    assert reach.run() == 0
    at_rest, resumed = reach.facts(e.SettingsRead)
    assert at_rest.found == AT_REST and 60.0 <= at_rest.t_s < 62.0
    assert resumed.resumed and resumed.found == AT_REST and not resumed.moved
    facts = [one.event for one in reach.records()]
    between = facts[facts.index(at_rest) : facts.index(resumed)]
    configured = [one.instrument for one in between if isinstance(one, e.InstrumentConfigured)]
    assert sorted(configured) == ["hotplate", "pump_a", "pump_b", "waste"]
    assert not any(isinstance(one, e.StepStarted) for one in between) and begun_after(reach, 300.0)


def test_nothing_begins_while_the_instruments_are_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Rereading._found

    async def slowly(self: Rereading, names: Any) -> Any:
        await asyncio.sleep(20.0)
        return await found(self, names)

    monkeypatch.setattr(Rereading, "_found", slowly)
    reach = Reach(tmp_path, WATCHED, WARM, People(tmp_path, *LUNCH))
    assert reach.run() == 0 and begun_after(reach, 320.0)


MOVED = [
    ("hotplate.heat", hand("hotplate", b"OUT_SP_1 60 \r\n"), hand("hotplate", b"OUT_SP_1 40 \r\n")),
    ("hotplate.stir", hand("hotplate", b"STOP_4 \r\n"), hand("hotplate", b"START_4 \r\n")),
    ("pump_a.dispense", hand("pump_a", b"0RUN\r"), None),
]


@pytest.mark.parametrize("name, moved, back", MOVED, ids=[one[0] for one in MOVED])
def test_what_somebody_moved_is_asked(tmp_path: Path, name: str, moved: Deed, back: Deed | None) -> None:
    people = People(
        tmp_path, *LUNCH, (150.0, moved),
        *([] if back is None else [(400.0, back)]),
        (500.0, wish("resume", by="bob")),
        (600.0, wish("resume", "force", by="bob", why="it is meant")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, WARM, people)
    assert reach.run() == 0
    asked = [one.reason for one in reach.facts(e.CampaignPaused)[1:]]
    assert asked and all(name in one and "not as it was when the run was paused" in one for one in asked)
    assert {name for one in reach.facts(e.SettingsRead) for name in one.moved} == {name}
    if back is None:
        assert len(asked) == 2, "said again as long as it is so"
        assert reach.facts(e.MovedAccepted) == [e.MovedAccepted(by="bob", why="it is meant")]
        begun = [one.at_s for one in reach.ledger("pump_b", "begin")]
        assert 600.0 < begun[0] < 605.0
    else:
        assert len(asked) == 1 and not reach.facts(e.MovedAccepted) and begun_after(reach, 500.0)


def test_force_against_a_persons_pause_is_no_word_on_what_was_moved(tmp_path: Path) -> None:
    force = wish("resume", "force", by="bob", why="ann went home")
    people = People(tmp_path, LUNCH[0], (150.0, MOVED[0][1]), (300.0, force))
    reach = Reach(tmp_path, WATCHED + "pause: {hold: 10 min}\n", WARM, people)
    assert reach.run() == 6, "it waits for a word, and not for ever"
    assert "hotplate.heat" in reach.state().reason and not reach.ledger("pump_b", "begin")
    assert reach.facts(e.HoldReleased) and not reach.facts(e.MovedAccepted)


def test_what_cannot_be_set_up_again_is_asked_as_well(tmp_path: Path) -> None:
    """pump_b has done nothing yet, and pumps by itself: nothing of ours is another, but nothing may begin."""
    by_hand = hand("pump_b", b"1RAT60UM\r", b"1VOL0\r", b"1RUN\r")
    people = People(
        tmp_path, *LUNCH, (150.0, by_hand), (400.0, hand("pump_b", b"1STP\r", b"1STP\r")),
        (500.0, wish("resume", by="bob")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, WARM, people)
    assert reach.run() == 0
    (asked,) = [one.reason for one in reach.facts(e.CampaignPaused)[1:]]
    assert "pump_b" in asked and "stop it before it is set up" in asked
    assert not any(300.0 < one.at_s < 500.0 for one in reach.ledger("pump_a", "begin"))


BOTH = """
    trial:
      - together:
          - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
          - pump_b.dispense: {rate: 300 uL/min, time: 35 s}
    budget: {trials: 2}
"""


def test_a_pause_that_is_over_before_anything_rests_reads_all_the_same(tmp_path: Path) -> None:
    people = People(tmp_path, LUNCH[0], (40.0, wish("resume", by="ann")))
    reach = Reach(tmp_path, WATCHED, BOTH, people)
    assert reach.run() == 0
    (read,) = reach.facts(e.SettingsRead)
    assert read.resumed and not read.moved and 40.0 <= read.t_s < 42.0
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([300.0, 300.0], abs=0.1)
    late = [one.instrument for one in reach.facts(e.InstrumentConfigured)]
    assert late.count("pump_a") == 2, "configured when it is free, before it begins again"


@pytest.mark.parametrize("resumed_s", [50.0, 300.0], ids=["resumed before it rests", "at rest"])
def test_what_was_moved_while_another_instrument_still_worked_is_asked(tmp_path: Path, resumed_s: float) -> None:
    warm = BOTH.replace("trial:", "setup: [{hotplate.heat: {temperature: 40 degC}}]\n    trial:", 1)
    people = People(
        tmp_path, LUNCH[0], (40.0, hand("hotplate", b"OUT_SP_1 60 \r\n")), (resumed_s, wish("resume", by="ann")),
        (500.0, hand("hotplate", b"OUT_SP_1 40 \r\n")), (600.0, wish("resume", by="ann")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, warm, people)
    assert reach.run() == 0
    (asked,) = [one for one in reach.facts(e.SettingsRead) if one.moved]
    assert list(asked.moved) == ["hotplate.heat"] and asked.t_s < resumed_s + 3.0
    assert sorted(one.at_s for one in reach.ledger("pump_a", "begin"))[1] > 600.0


# --- what was done by hand while the run stood still ----------------------------------------------------------------

CLEANED = WARM.replace(
    "    budget:", "    cleanup:\n      - waste.withdraw: {rate: 300 uL/min, time: 10 s}\n    budget:"
)
ASKED = r"pump_a.dispense by ann.*the sample of trial 1 stands there.*--as-it-is --why.*veto 1 --why"


def stopped(tmp_path: Path, at_s: float = 30.0) -> Reach:
    """A run that was stopped with the sample of trial 1 on the bench; then ann pumps by hand."""
    reach = Reach(tmp_path, WATCHED, CLEANED, People(tmp_path, (at_s, wish("stop", by="ann"))))
    assert reach.run() == 4 and reach.state().trials[1].state == s.RUNNING
    by_hand(tmp_path / "run", "h1")
    return reach


def by_hand(run: Path, act: str) -> None:
    book = BenchBook.open(run, "lab", utc_now)
    book.take_lease(BY_HAND, "simulated", {})
    book.record(e.ByHand(act=act, instrument="pump_a", action="dispense", by="ann"))
    book.record(e.ByHand(act=act, instrument="pump_a", action="dispense", by="ann", done=True))
    book.release_lease(BY_HAND, {})
    book.close()


def test_a_sample_that_may_go_on_after_an_act_by_hand_goes_on_and_is_not_asked_about_twice(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    before = len(reach.records())
    for again in ({}, {"by": "bob", "force": True, "why": "w"}, {"as_it_is": True}):
        with pytest.raises(SpecError, match=f"{ASKED}|need a reason"):
            reach.run(again=again)
    assert len([one for one in reach.records() if isinstance(one.event, e.RunStarted | e.StepStarted)]) == len(
        [one for one in reach.records()[:before] if isinstance(one.event, e.RunStarted | e.StepStarted)]
    )
    people = People(tmp_path, (reach.clock.now_s() + 30.0, wish("stop", by="ann")))
    reach.meddle = people
    assert reach.run(again={"by": "bob", "as_it_is": True, "why": "it was water"}) == 4
    (seen,) = reach.facts(e.ByHandSeen)
    assert (seen.acts, seen.by, seen.why) == ({"h1": "pump_a.dispense by ann"}, "bob", "it was water")
    assert reach.run() == 0, "what is known is not asked again"
    assert len(reach.facts(e.ByHandSeen)) == 1 and reach.state().trials[1].state == s.AWAITING


def test_a_sample_that_was_spoiled_by_hand_is_cleaned_away_and_made_again(tmp_path: Path) -> None:
    reach = stopped(tmp_path)
    with pytest.raises(SpecError, match=ASKED):
        reach.run()
    said = wishes.ask(tmp_path / "run", "veto", ["1"], by="ann", why="I rinsed it")
    assert said.accepted and "cleaned away when the run is resumed" in said.message
    assert reach.run() == 0
    state = reach.state()
    assert state.trials[1].state == s.ABANDONED and state.trials[1].closed and "I rinsed it" in state.trials[1].reason
    assert [step.begun.phase for step in state.trials[1].steps] == ["trial", "cleanup"]
    assert state.trials[2].settings == state.trials[1].settings and state.trials[2].proposal.again_of == 1
    (seen,) = reach.facts(e.ByHandSeen)
    assert seen.why == ""


def test_an_act_by_hand_on_a_bench_without_a_sample_is_written_down_and_not_asked(tmp_path: Path) -> None:
    reach = Reach(tmp_path, WATCHED, CLEANED)
    assert reach.run() == 0
    by_hand(tmp_path / "run", "h1")
    assert reach.run(again={"trials": 1}) == 0
    assert [one.acts for one in reach.facts(e.ByHandSeen)] == [{"h1": "pump_a.dispense by ann"}]
    assert len(reach.facts(e.BudgetExtended)) == 1


KEPT = """
    trial:
      - pump_a.dispense: {rate: 60 uL/min, time: 1 min}
      - hotplate.hold: {temperature: 40 degC, tolerance: 2 K, time: 60 min, reach_by: 30 min}
        if_interrupted: ask
    cleanup:
      - waste.withdraw: {rate: 300 uL/min, time: 10 s}
    budget: {trials: 1}
"""


def test_a_sample_that_was_spoiled_is_cleaned_away_though_a_kept_step_of_it_goes_on(tmp_path: Path) -> None:
    reach = Reach(tmp_path, f"keep: [hotplate]\n{WATCHED}", KEPT, People(tmp_path, (300.0, wish("abort", by="ann"))))
    assert reach.run() == 4
    held = reach.state().trials[1].steps[1]
    assert held.state == s.STARTED and reach.bench.devices["hotplate"].heats
    by_hand(tmp_path / "run", "h1")
    with pytest.raises(SpecError, match=ASKED):
        reach.run()
    assert wishes.ask(tmp_path / "run", "veto", ["1"], by="ann", why="I rinsed it").accepted
    assert reach.run() == 0
    state = reach.state()
    first, second = state.trials[1], state.trials[2]
    ended = first.steps[1]
    assert (ended.state, ended.fault) == (s.FAILED, "interrupted") and not reach.facts(e.StepRejoined)
    assert [step.begun.phase for step in first.steps] == ["trial", "trial", "cleanup"] and first.closed
    assert second.proposal.again_of == 1 and all(step.state == s.FINISHED for step in second.steps)
    off = [one.at_s for one in reach.ledger("hotplate", "end")]
    assert off and off[0] < second.started_t_s, "it was stopped before anything else was done"


def test_an_act_by_hand_that_lies_before_the_sample_is_not_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that wrote no ByHandSeen left such acts behind; one that came later is asked about, and it alone."""
    reach = Reach(tmp_path, WATCHED, CLEANED, People(tmp_path, (0.0, wish("stop", by="ann"))))
    assert reach.run() == 4 and not reach.state().open_trials
    by_hand(tmp_path / "run", "h1")
    with monkeypatch.context() as older:
        older.setattr(session, "by_others", lambda *_: [])
        for after_s, standing in ((30.0, [1]), (0.0, [1])):
            reach.meddle = People(tmp_path, (reach.clock.now_s() + after_s, wish("stop", by="ann")))
            assert reach.run() == 4 and sorted(reach.state().open_trials) == standing
    book = BenchBook.open(tmp_path / "run", "lab", utc_now)
    (only,) = book.by_hand_since(str((tmp_path / "run").resolve()), set())
    book.close()
    assert (only[0].act, only[1]) == ("h1", 1)
    reach.meddle = People(tmp_path, (reach.clock.now_s(), wish("stop", by="ann")))
    assert reach.run() == 4 and reach.facts(e.ByHandSeen)[0].acts.keys() == {"h1"}
    by_hand(tmp_path / "run", "h2")
    with pytest.raises(SpecError, match=r"on its bench: pump_a.dispense by ann; and the sample of trial 1"):
        reach.run()
    assert reach.run(again={"as_it_is": True, "why": "it was water"}) == 0
    last = reach.facts(e.ByHandSeen)[1]
    assert (last.acts, last.why) == ({"h2": "pump_a.dispense by ann"}, "it was water")
