"""Lab time across stops: by the machine's own count, by the date where that is all there is, and else not at all."""

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.recipe import PlannedStage, PlannedStep
from labloop.runner.clock import Moment, VirtualClock, WallClock, moment
from labloop.runner.parts import lab_clock, unwatched_s
from labloop.runner.schedule import next_stage
from labloop.runner.walk import Walk

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEFT = {"boot": "one", "up_s": 1000.0, "t_s": 130.0}


def opened(mode: str = "live", speed: float = 1.0) -> e.CampaignOpened:
    return e.CampaignOpened(
        campaign="c", run_id="r", version="0", mode=mode, seed=1, speed=speed, campaign_sha256="",
    )  # fmt: skip


def state_at(*facts: tuple[float, e.Fact]) -> s.CampaignState:
    """What facts add up to, each so many seconds after noon."""
    state = s.CampaignState()
    for seq, (after_s, fact) in enumerate(facts, 1):
        state.apply(e.Record(seq, (NOON + timedelta(seconds=after_s)).isoformat(), fact))
    return state


RUN = state_at((0.0, opened()), (0.0, e.RunStarted(t_s=0.0)), (100.0, e.RunStarted(t_s=100.0)))


def now(boot: str, up_s: float, after_noon_s: float) -> Moment:
    return Moment(boot=boot, up_s=up_s, at=NOON + timedelta(seconds=after_noon_s))


@pytest.mark.parametrize("clock_set_by_s", [0.0, 86_400.0, -86_400.0])
def test_a_computer_clock_that_was_set_changes_nothing_while_the_machine_stays_on(clock_set_by_s: float) -> None:
    here = now("one", 1600.0, 730.0 + clock_set_by_s)
    clock = lab_clock(opened(), RUN, LEFT, lambda: here)
    assert clock.now_s() == pytest.approx(730.0, abs=0.5)
    assert clock.unknown_before_s == -math.inf


def test_a_faster_run_ages_faster_while_nobody_runs_it() -> None:
    clock = lab_clock(opened(speed=60.0), RUN, LEFT, lambda: now("one", 1010.0, 0.0))
    assert clock.now_s() == pytest.approx(730.0, abs=30.0)


def test_after_a_new_start_of_the_machine_the_date_counts() -> None:
    clock = lab_clock(opened(), RUN, LEFT, lambda: now("two", 20.0, 3700.0))
    assert clock.now_s() == pytest.approx(3700.0, abs=0.5)


def test_a_wish_that_was_written_while_nobody_ran_makes_no_sample_fresher() -> None:
    later = state_at(
        (0.0, opened()), (0.0, e.RunStarted(t_s=0.0)), (100.0, e.RunStarted(t_s=100.0)),
        (3600.0, e.NoteTaken(text="after lunch")), (3600.0, e.RunStarted(t_s=90.0)),
    )  # fmt: skip
    assert later.t_s == 100.0 and later.t_at == (NOON + timedelta(seconds=100.0)).isoformat()
    clock = lab_clock(opened(), later, {}, lambda: now("two", 20.0, 3700.0))
    assert clock.now_s() == pytest.approx(3700.0, abs=0.5)


def test_a_date_before_the_last_fact_says_nothing_of_how_long_it_was() -> None:
    clock = lab_clock(opened(), RUN, {}, lambda: now("two", 20.0, -3600.0))
    assert clock.now_s() == pytest.approx(100.0, abs=0.5) and clock.unknown_before_s == 100.0


def test_a_heartbeat_says_more_than_the_facts() -> None:
    """What was shown of a runner that has died is not taken back by the next one, whatever the date says."""
    back = lab_clock(opened(), RUN, LEFT, lambda: now("two", 20.0, -3600.0))
    assert back.now_s() == pytest.approx(130.0, abs=0.5) and back.unknown_before_s == 130.0
    later = lab_clock(opened(), RUN, LEFT, lambda: now("one", 1600.0, 730.0))
    assert unwatched_s(later, RUN, LEFT) == pytest.approx(600.0, abs=0.5)
    assert unwatched_s(later, state_at((0.0, opened())), {}) == 0.0, "the first start has none before it"


def test_a_virtual_clock_goes_on_where_it_was() -> None:
    clock = lab_clock(opened("virtual"), RUN, LEFT, lambda: now("two", 20.0, 3700.0))
    assert isinstance(clock, VirtualClock) and clock.now_s() == 100.0


def test_sleep_counts_and_the_note_says_where_the_lab_stands() -> None:
    up = iter([1000.0, 1000.0 + 8 * 3600.0])
    assert WallClock(2.0, 5.0, up=lambda: next(up)).now_s() == pytest.approx(5.0 + 16 * 3600.0)
    clock = WallClock(1.0, 500.0)
    note, here = clock.note(), moment()
    assert note["boot"] == here.boot and note["t_s"] == pytest.approx(500.0, abs=0.5)
    assert 0.0 <= here.up_s - note["up_s"] < 10.0


@pytest.mark.parametrize(
    ("made_s", "now_s", "unknown_before_s", "why"),
    [
        (100.0, 130.0, -math.inf, ""),
        (100.0, 200.0, -math.inf, "the sample waited 100 s for b; start_within is 60 s"),
        (100.0, 130.0, 100.0, "is not known: this computer's clock was set back"),
        (100.0, 130.0, 90.0, ""),
    ],
)
def test_how_old_a_sample_may_be(made_s: float, now_s: float, unknown_before_s: float, why: str) -> None:
    stages = [
        PlannedStage(steps=(PlannedStep(instrument=name, action="do"),), start_within_s=within_s)
        for name, within_s in (("a", None), ("b", 60.0))
    ]
    begun = e.StepStarted(step="a", trial=1, phase="trial", stage=0, index=0, instrument="a", action="do")
    state = state_at(
        (0.0, opened()), (0.0, e.RunStarted()),
        (0.0, e.ProposalMade(trial=1, sample="S1", settings={}, source="sobol")), (0.0, e.TrialStarted(trial=1)),
        (0.0, begun), (made_s, e.StepFinished(step="a", t_s=made_s)),
    )  # fmt: skip
    clock = WallClock(start_s=now_s, unknown_before_s=unknown_before_s)
    hand = SimpleNamespace(clock=clock, memory=SimpleNamespace(state=state))
    walk = Walk(hand=hand, stages=stages, phase="trial", gate=None, trial=1)  # type: ignore[arg-type]
    ahead = next_stage(stages, walk.steps(), "trial")
    assert ahead is not None
    stale = walk._stale(ahead)
    assert why in stale and bool(stale) == bool(why)
