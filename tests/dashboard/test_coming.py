"""What comes next on each instrument, and when."""

from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import CampaignState
from labloop.dashboard.coming import coming, durations
from labloop.dashboard.timeline import cells, lanes, ticks

SPEC: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 1]}},
    "outcomes": {"y": {"goal": "maximize", "from": "told"}},
    "trial": [
        {"together": [{"pump.go": {}}, {"plate.go": {}}]},
        {"probe.measure": {}, "save_as": "r"},
    ],
    "cleanup": [{"pump.rinse": {}}],
    "budget": {"trials": 3},
}


def campaign(trials: int = 3) -> Any:
    return spec_from_dict({**SPEC, "budget": {"trials": trials}})


def steps(trial: int, t_s: float, *until: float, expected: float = 0.0) -> list[e.Fact]:
    """The steps of a trial, begun one stage after the other; ``until``: when each ended."""
    places = [("trial", 0, 0, "pump", "go"), ("trial", 0, 1, "plate", "go"), ("trial", 1, 0, "probe", "measure"),
              ("cleanup", 0, 0, "pump", "rinse")]  # fmt: skip
    facts: list[e.Fact] = []
    for number, (phase, stage, index, name, action) in enumerate(places[: max(len(until), 1)]):
        step = f"{trial}.{number}"
        facts.append(
            e.StepStarted(
                step=step, trial=trial, phase=phase, stage=stage, index=index, instrument=name, action=action, t_s=t_s,
                expected_s=expected,
            )
        )  # fmt: skip
        if number < len(until):
            facts.append(e.StepFinished(step=step, t_s=until[number]))
            if (stage, index) != (0, 0) or phase == "cleanup":
                t_s = until[number]
    return facts


def state(*facts: e.Fact) -> CampaignState:
    opened = e.CampaignOpened(campaign="c", run_id="r", version="1", mode="simulated", seed=1, campaign_sha256="0")
    found = CampaignState()
    for seq, fact in enumerate((opened, e.RunStarted(), *facts), 1):
        found.apply(e.Record(seq=seq, at="2026-03-02T08:00:00+00:00", event=fact))
    return found


def begun(trial: int) -> list[e.Fact]:
    return [
        e.ProposalMade(trial=trial, sample=f"S{trial}", settings={"x": 0.5}, source="sobol"),
        e.TrialStarted(trial=trial),
    ]


def done(trial: int) -> list[e.Fact]:
    return [e.TrialMeasured(trial=trial, outcomes={"y": e.Reading(value=1.0)}), e.TrialClosed(trial=trial)]


FIRST = [*begun(1), *steps(1, 0.0, 20.0, 30.0, 40.0, 45.0), *done(1)]


def spans(found: dict[str, Any], name: str) -> list[tuple[float, float, str]]:
    return [(bar.start_s, bar.end_s, bar.label) for bar in found[name]]


def test_what_is_left_of_a_trial_and_then_others_like_it_until_the_budget_is_spent():
    second = [*begun(2), *steps(2, 50.0, 70.0, expected=20.0)]
    found = coming(campaign(), state(*FIRST, *second), 70.0, 1000.0)
    assert spans(found, "plate") == [(70.0, 100.0, "2"), (115.0, 145.0, "3")]
    assert spans(found, "probe") == [(100.0, 110.0, "2"), (145.0, 155.0, "3")]
    assert spans(found, "pump") == [(110.0, 115.0, ""), (115.0, 135.0, "3"), (155.0, 160.0, "")]
    assert [bar.mark for bar in found["pump"]] == ["┄", "─", "┄"]


def test_a_step_in_hand_lasts_as_long_as_it_did_lately():
    second = [*begun(2), *steps(2, 50.0)]
    found = coming(campaign(2), state(*FIRST, *second), 60.0, 1000.0)
    assert spans(found, "pump")[0] == (60.0, 70.0, "")
    assert spans(coming(campaign(2), state(*FIRST, *second), 99.0, 1000.0), "pump")[0] == (99.0, 99.0, "")


def test_before_anything_ended_it_is_what_drivers_say():
    assert durations(state(*begun(1), *steps(1, 0.0, expected=25.0))) == {("trial", 0, 0, "pump", "go"): 25.0}
    assert durations(state(*FIRST))["trial", 0, 1, "plate", "go"] == 30.0


def test_pipelined_trials_overlap_where_instruments_are_free():
    rinsed = spec_from_dict({**SPEC, "cleanup": [{"probe.rinse": {}}]})
    pipelined = coming(rinsed, state(*FIRST), 50.0, 1000.0, pipelined=True)
    assert spans(pipelined, "plate") == [(50.0, 80.0, "2"), (80.0, 110.0, "3")]
    assert spans(pipelined, "probe")[0] == (80.0, 90.0, "2")
    alone = coming(rinsed, state(*FIRST), 50.0, 1000.0)
    assert spans(alone, "plate") == [(50.0, 80.0, "2"), (90.0, 120.0, "3")]


def test_nothing_is_shown_beyond_the_window_nor_where_nothing_goes_on():
    found = coming(campaign(100), state(*FIRST), 50.0, 200.0)
    assert all(bar.start_s < 200.0 for bars in found.values() for bar in bars) and len(found["plate"]) == 4
    assert coming(campaign(), state(*FIRST, e.CampaignFinished(reason="r")), 50.0, 200.0) == {}


def test_what_is_to_come_is_drawn_behind_a_mark_of_now_and_makes_nobody_busy():
    ahead = coming(campaign(2), state(*FIRST), 50.0, 100.0)
    (pump, *_) = lanes(["pump"], state(*FIRST), 0.0, 100.0, 50.0, ahead)
    assert pump.busy == pytest.approx(0.5)
    drawn = "".join(character for character, _ in cells(pump, 0.0, 100.0, 20, 50.0))
    assert drawn[10] == "│" and "─" in drawn[11:] and "─" not in drawn[:10]


def test_ticks_say_how_long_after_now():
    found = [words for _, words in ticks(-600.0, 200.0, 0.0, 60)]
    assert found == ["-10 min", "-6.67 min", "-3.33 min", "now", "+3.33 min"]
    assert ticks(0.0, 8 * 3600.0, 0.0, 60)[-1][1] == "+8 h"
