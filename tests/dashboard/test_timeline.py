"""Lanes, bars and cells of the timeline."""

import pytest

from labloop.campaign import events as e
from labloop.campaign.state import CampaignState
from labloop.dashboard import timeline
from labloop.dashboard.timeline import Bar, Lane


def folded(*facts: e.Fact) -> CampaignState:
    state = CampaignState()
    opened = e.CampaignOpened(
        campaign="c", run_id="r", version="1", mode="simulated", seed=1, campaign_sha256="0" * 64
    )  # fmt: skip
    for seq, fact in enumerate((opened, e.RunStarted(), *fact_of_trial(), *facts), 1):
        state.apply(e.Record(seq=seq, at="2026-03-02T08:00:00+00:00", event=fact))
    return state


def fact_of_trial() -> list[e.Fact]:
    return [e.ProposalMade(trial=1, sample="s1", settings={}, source="sobol"), e.TrialStarted(trial=1)]


def begun(step: str, t_s: float, instrument: str = "pump", phase: str = "trial") -> e.StepStarted:
    return e.StepStarted(
        step=step, trial=1, phase=phase, stage=0, index=0, instrument=instrument, action="go", t_s=t_s
    )  # fmt: skip


def test_a_step_in_hand_lasts_until_now_and_a_failed_one_says_so():
    state = folded(
        begun("a", 10), e.StepFailed(step="a", fault="link", reason="?", t_s=20),
        begun("b", 30), e.StepFinished(step="b", t_s=40), begun("c", 50),
    )  # fmt: skip
    (lane,) = timeline.lanes([], state, 0, 100, 60)
    assert [(bar.start_s, bar.end_s, bar.mark) for bar in lane.bars] == [(10, 20, "✗"), (30, 40, "█"), (50, 60, "▒")]
    assert lane.busy == pytest.approx(30 / 60)


def test_only_what_touches_the_window_is_in_it_and_every_named_instrument_has_a_lane():
    state = folded(begun("a", 10), e.StepFinished(step="a", t_s=20), begun("b", 90))
    lanes = timeline.lanes(["oven", "pump"], state, 15, 80, 100)
    assert [(lane.name, len(lane.bars)) for lane in lanes] == [("oven", 0), ("pump", 1)]
    assert timeline.lanes(["pump"], state, 21, 80, 100)[0].bars == ()


def test_what_two_overlapping_steps_cover_counts_once():
    bars = [begun("a", 0), begun("b", 5), e.StepFinished(step="a", t_s=10), e.StepFinished(step="b", t_s=20)]
    (lane,) = timeline.lanes([], folded(*bars), 0, 40, 40)
    assert lane.busy == pytest.approx(0.5)


def test_other_phases_look_otherwise():
    state = folded(begun("a", 0, phase="cleanup"), e.StepFinished(step="a", t_s=10))
    (lane,) = timeline.lanes([], state, 0, 40, 40)
    assert (lane.bars[0].mark, lane.bars[0].label) == ("░", "")


def text_of(*bars: Bar, width: int = 20) -> str:
    return "".join(character for character, _ in timeline.cells(Lane("pump", bars, 0.0), 0, 100, width))


def test_a_bar_carries_its_trial_where_there_is_room():
    assert text_of(Bar(0, 25, "█", "good", "12"), Bar(50, 60, "█", "good", "13")) == "█12██     ██        "


def test_the_shortest_step_still_has_a_cell_and_a_fault_is_never_drawn_over():
    assert text_of(Bar(51, 51.1, "✗", "bad", "3"), Bar(50, 54, "█", "good", "4")).strip() == "✗"


def test_a_bar_that_begins_before_and_ends_after_the_window_fills_it():
    assert text_of(Bar(-50, 500, "▒", "", ""), width=10) == "▒" * 10


def test_the_axis_counts_back_from_now():
    assert timeline.ticks(0, 3600, 3600, 80) == [
        (0, "-60 min"), (20, "-45 min"), (40, "-30 min"), (60, "-15 min"), (77, "now"),
    ]  # fmt: skip
    assert timeline.ticks(0, 86400, 86400, 80)[1] == (20, "-18 h")


def test_words_of_the_axis_never_run_into_each_other():
    assert timeline.ticks(0, 600, 1200, 60) == [(0, "-20 min"), (15, "-17.5 min"), (30, "-15 min"), (53, "-10 min")]
