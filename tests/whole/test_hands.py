"""An act by hand while a run is paused: through the run, its gate and its books."""

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from people import WATCHED, Deed, People, hand, wish
from reach import Reach

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import Reader
from labloop.runner.book import BenchBook
from labloop.runner.hands import Hands

RUN = """
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    cleanup:
      - waste.withdraw: {rate: 300 uL/min, time: 10 s}
    budget: {trials: 2}
"""
PAUSE = (30.0, wish("pause", by="ann", why="air in the line"))
ACT = (120.0, wish("act", "waste.dispense", "rate=600 uL/min", "time=20 s", by="ann", why="purge"))
RIGHT = (300.0, wish("resume", "force", by="ann", why="only waste"))


def run(tmp_path: Path, *deeds: tuple[float, Deed], lab: str = WATCHED, campaign: str = RUN) -> Reach:
    return Reach(tmp_path, lab, campaign, People(tmp_path, *deeds))


class KilledError(Exception):
    """What a runner dies of."""


def kill(box: Path, devices: Any, now_s: float) -> None:
    """What is written down by now is what the next start finds."""
    shutil.copytree(box.parent, box.parents[1] / "then")
    raise KilledError


def run_till_killed(reach: Reach) -> None:
    with pytest.raises(KilledError):
        reach.run()
    shutil.rmtree(reach.folder / "run")
    (reach.folder / "then").rename(reach.folder / "run")


def bench(reach: Reach, kind: type) -> list[Any]:
    with closing(Reader(reach.folder / "run" / "bench.db")) as reader:
        return [one.event for one in reader.records() if isinstance(one.event, kind)]


def answers(reach: Reach) -> list[tuple[bool, str]]:
    return [(one.accepted, one.message) for one in reach.facts(e.RequestAnswered)]


def test_it_is_done_through_the_books_and_the_run_asks_whether_all_is_right(tmp_path: Path) -> None:
    reach = run(tmp_path, PAUSE, ACT, (200.0, wish("resume", by="ann")), RIGHT)
    assert reach.run() == 0
    said = answers(reach)
    assert [one for one, _ in said] == [True, True, False, True]
    assert "waste.dispense: it is begun now" in said[1][1]
    assert "done by hand meanwhile: waste.dispense by ann" in said[2][1] and "resume --force --why" in said[2][1]
    begun, ended = bench(reach, e.ByHand)
    run_id = reach.state().opened.run_id
    assert begun.act == ended.act and begun.act.startswith(f"{run_id}/hand-") and begun.by == "ann"
    assert not begun.done and begun.before and ended.done
    assert ended.achieved["volume"].value == pytest.approx(200.0, abs=1.0)
    first, *_ = reach.ledger("waste")
    assert 140.0 <= first.at_s < 145.0 and first.amount == pytest.approx(200.0, abs=1.0)
    (seen,) = reach.facts(e.ByHandSeen)
    assert seen.why == "purge" and seen.by == "ann" and "waste.dispense by ann (volume = 20" in seen.acts[begun.act]
    assert reach.facts(e.MovedAccepted) == [e.MovedAccepted(by="ann", why="only waste")]
    assert not any(30.0 < one.at_s < 300.0 for one in reach.ledger("pump_b", "begin"))
    drawn = [one for one in bench(reach, e.StockDrawn) if one.act == begun.act]
    assert [one.amount.value for one in drawn] == [pytest.approx(0.2, abs=0.002)] and drawn[0].name == "waste"
    assert all(trial.state == s.AWAITING for trial in reach.state().trials.values())
    notes = [one.text for one in reach.facts(e.NoteTaken)]
    assert notes == ["waste.dispense begins by hand; it takes about 20 s"]


def test_it_is_written_down_before_its_first_byte(tmp_path: Path) -> None:
    reach = run(tmp_path, PAUSE, ACT, RIGHT)
    written: list[float] = []

    record = BenchBook.record

    def spying(self: BenchBook, *facts: Any) -> None:
        record(self, *facts)
        if any(isinstance(one, e.ByHand) and not one.done for one in facts):
            written.append(len(reach.sent))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BenchBook, "record", spying)
        assert reach.run() == 0
    (at,) = written
    begins = [n for n, (_, now_s, data) in enumerate(reach.sent) if b"2RUN" in bytes(data) and now_s >= 120.0]
    assert begins and begins[0] >= at


@pytest.mark.parametrize(
    ("deeds", "word"),
    [
        (((20.0, ACT[1]),), "the run is running"),
        ((PAUSE, (40.0, ACT[1])), "the run is not at rest yet"),
        ((PAUSE, (120.0, wish("act", "waste", by="ann"))), "act INSTRUMENT.ACTION"),
        ((PAUSE, (120.0, wish("act", "pump.dispense", "rate=1 mL/min", by="ann"))), "no instrument 'pump'"),
        ((PAUSE, (120.0, wish("act", "waste.dispens", "rate=1 mL/min", by="ann"))), "dispense"),
        ((PAUSE, (120.0, wish("act", "waste.dispense", "rate=999 L/min", "time=20 s", by="ann"))), "rate"),
        ((PAUSE, (120.0, wish("act", "hotplate.heat", "temperature=200 degC", by="ann"))), "temperature"),
        ((PAUSE, (120.0, wish("act", "waste.dispense", "rate", by="ann"))), "name=value"),
        ((PAUSE, ACT, (125.0, ACT[1])), "waste.dispense is under way by hand"),
        ((PAUSE, ACT, (125.0, wish("resume", by="ann"))), "waste.dispense is done by hand: say resume when it is over"),
    ],
)
def test_what_may_not_be_done_is_refused_and_nothing_is_sent(tmp_path: Path, deeds: Any, word: str) -> None:
    lab = WATCHED.replace("{plate:", "{temperature: {max: 80 degC}, plate:")
    reach = run(tmp_path, *deeds, RIGHT, (400.0, wish("resume", "force", by="ann", why="w")), lab=lab)
    assert reach.run() == 0
    refused = [message for accepted, message in answers(reach) if not accepted]
    assert refused and word in refused[0], answers(reach)
    assert len([one for one in bench(reach, e.ByHand) if not one.done]) == (1 if ACT in deeds else 0)


def test_what_the_stock_does_not_hold_is_not_begun_and_said(tmp_path: Path) -> None:
    much = wish("act", "waste.dispense", "rate=1200 uL/min", "time=60 s", by="ann")
    reach = run(tmp_path, PAUSE, (120.0, much), (300.0, wish("resume", by="ann")))
    assert reach.run() == 0
    (note,) = [one.text for one in reach.facts(e.NoteTaken)]
    assert note.startswith("waste.dispense was not begun by hand: waste holds 1 mL") and not bench(reach, e.ByHand)


def test_what_is_too_early_says_why(tmp_path: Path) -> None:
    again = (150.0, wish("act", "waste.dispense", "rate=600 uL/min", "time=20 s", by="ann"))
    reach = run(
        tmp_path, PAUSE, ACT, again, RIGHT, lab=WATCHED.replace("}}}", "}}, waste: {dispense: {dwell: 2 min}}}")
    )
    assert reach.run() == 0
    (said,) = [one.text for one in reach.facts(e.NoteTaken) if "not begun" in one.text]
    assert "waste.dispense rests for 120 s" in said and "s more." in said
    assert len(reach.ledger("waste")) == 3  # by hand once, and two clean-ups


def test_an_abort_breaks_it_off_and_what_was_done_is_known(tmp_path: Path) -> None:
    reach = run(tmp_path, PAUSE, ACT, (130.0, wish("abort", by="ann")))
    assert reach.run() == 4
    _, ended = bench(reach, e.ByHand)
    assert ended.failed and not ended.done
    (moved,) = reach.ledger("waste")
    assert 50.0 < moved.amount < 150.0 and ended.achieved["volume"].value == pytest.approx(moved.amount, abs=2.0)
    (drawn,) = bench(reach, e.StockDrawn)[-1:]
    assert drawn.act == ended.act and drawn.amount.value == pytest.approx(moved.amount / 1000, abs=0.003)
    assert reach.state().state == s.STOPPED and reach.state().safe
    (seen,) = reach.facts(e.ByHandSeen)
    assert "not to its end" in seen.acts[ended.act]


def test_a_stop_lets_it_come_to_its_end(tmp_path: Path) -> None:
    reach = run(tmp_path, PAUSE, ACT, (125.0, wish("stop", by="ann")))
    assert reach.run() == 4
    _, ended = bench(reach, e.ByHand)
    assert ended.done and reach.ledger("waste")[0].amount == pytest.approx(200.0, abs=1.0)


def test_what_leaves_a_limit_meanwhile_makes_the_bench_safe(tmp_path: Path) -> None:
    lab = "limits: {hotplate: {plate: {max: 60 degC, stale_after: 5 s}}}\n"
    warm = (120.0, wish("act", "hotplate.heat", "temperature=55 degC", by="ann"))
    hot = hand("hotplate", b"OUT_SP_1 150 \r\n", b"START_1 \r\n")
    reach = run(tmp_path, PAUSE, warm, (140.0, ACT[1]), (145.0, hot), lab=lab)
    assert reach.run() == 3
    assert reach.state().safe and not reach.bench.devices["hotplate"].heats


def test_a_stall_is_said_and_the_run_stays_paused(tmp_path: Path) -> None:
    stall = lambda box, devices, now_s: devices["waste"].stall(now_s)  # noqa: E731
    reach = run(tmp_path, PAUSE, ACT, (130.0, stall), RIGHT)
    assert reach.run() == 0
    _, ended = bench(reach, e.ByHand)
    assert not ended.done and "stall" in ended.failed.lower()
    assert reach.state().state == s.FINISHED


def test_a_run_that_was_killed_meanwhile_asks_what_became_of_it(tmp_path: Path) -> None:
    """What it had written down by then is put back; the pump stood still at once."""
    reach = run(tmp_path, PAUSE, ACT, (130.0, kill))
    run_till_killed(reach)
    (begun,) = bench(reach, e.ByHand)
    assert not reach.facts(e.ByHandSeen) and reach.state().state == s.PAUSED
    reach.meddle = lambda bench, now_s: None
    assert reach.run(again={"by": "ann", "as_it_is": True, "why": "only waste"}) == 0
    _, ended = bench(reach, e.ByHand)
    moved = reach.ledger("waste")[0].amount
    assert ended.act == begun.act and ended.failed.startswith("partial") and 50.0 < moved < 150.0
    assert ended.achieved["volume"].value == pytest.approx(moved, abs=2.0)
    assert [one.acts.keys() for one in reach.facts(e.ByHandSeen)] == [{begun.act}]
    drawn = [one for one in bench(reach, e.StockDrawn) if one.act == begun.act]
    assert [one.amount.value for one in drawn] == [pytest.approx(moved / 1000, abs=0.003)]


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_what_it_did_by_hand_rests_as_long_as_its_own_acts_after_the_run_was_taken_up_again(
    tmp_path: Path, way: str
) -> None:
    lab = f"limits: {{waste: {{dispense: {{dwell: 20 min}}}}, {WATCHED.removeprefix('limits: {')}"
    campaign = RUN.replace("trial:", "trial:\n      - waste.dispense: {rate: 600 uL/min, time: 1 s}", 1)
    campaign = campaign.replace("trials: 2", "trials: 1").replace("pump_b.dispense", "waste.dispense")
    begins = (1.5, wish("pause", by="ann", why="air in the line"))  # the trial's own waste.dispense is over by then
    act = (1400.0, wish("act", "waste.dispense", "rate=600 uL/min", "time=20 s", by="ann", why="purge"))
    end = (1500.0, wish("stop", by="ann")) if way == "stopped" else (1410.0, kill)
    hold = "pause: {hold: 2 h}\n"
    reach = run(tmp_path, begins, act, end, lab=lab + hold, campaign=campaign)
    if way == "stopped":
        assert reach.run() == 4
    else:
        run_till_killed(reach)
    reach.meddle = lambda bench, now_s: None
    resumed_s = reach.clock.now_s()
    assert reach.run(again={"by": "ann", "as_it_is": True, "why": "only waste"}) == 0
    ended_s = next(one.at_s for one in reach.ledger("waste") if one.at_s > 1400.0)
    assert ended_s <= resumed_s
    after_s = next(one.at_s for one in reach.ledger("waste", "begin") if one.at_s >= resumed_s)
    assert after_s >= ended_s + 1200.0


def test_nothing_is_taken_on_before_anybody_is_there_who_does_it() -> None:
    """A run waits at its end for what is done by hand."""
    act = e.ByHand(act="h1", instrument="waste", action="dispense", settings={}, by="ann")
    hands = Hands(None, None, None, "run", lambda kind, reason, exit_code: None)  # type: ignore[arg-type]
    assert "the start still reads what stands there" in hands.ask(act, "") and not hands.busy
    asyncio.run(hands.rests())


@pytest.mark.parametrize(("does", "done"), [("hotplate.off", True), ("hotplate.stir", False)])
def test_what_is_too_hot_is_switched_off_by_hand_though_an_interlock_holds_the_run(
    tmp_path: Path, does: str, done: bool
) -> None:
    rule = "interlocks: {hot: {when: hotplate.temperature > 30 degC, then: hold, stale_after: 5 s}}\n"
    campaign = """
        setup: [{hotplate.heat: {temperature: 60 degC}}]
        trial: [{pump_a.dispense: {rate: 60 uL/min, time: 2 min}}, {pump_b.dispense: {rate: 60 uL/min, time: 2 min}}]
        budget: {trials: 2}
    """
    settings = () if done else ("speed=300 rpm",)
    act = wish("act", does, *settings, by="ann", why="too hot")
    reach = run(tmp_path, (160.0, wish("pause", by="ann")), (300.0, act), lab=WATCHED + rule, campaign=campaign)
    assert reach.run() == 6 and reach.facts(e.WatchTripped)
    (answer,) = [one for one in answers(reach) if "hot" in one[1] and one[1] != "paused: no new step starts"]
    assert answer[0] == done and (done or "interlocks.hot holds the run" in answer[1])
    ended = [one.at_s for one in reach.ledger("hotplate") if one.act == "hold"]
    assert (ended[0] < 310.0) == done
