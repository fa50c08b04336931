"""How long a run has gone on, and still will: one clock, that never goes back."""

from datetime import UTC, datetime, timedelta

import pytest

from labloop.campaign import bench_time, view
from labloop.campaign import events as e
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.campaign.state import CampaignState, fold

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPENED = e.CampaignOpened(campaign="c", run_id="r", version="0", mode="live", seed=1, campaign_sha256="0")
BEGUN = [OPENED, e.RunStarted(), e.ProposalMade(trial=1, sample="S1", settings={"x": 0.1}, source="sobol")]
# The last fact that says when, 60 s after noon; then an hour's pause.
PAUSED = [*BEGUN, e.TrialStarted(trial=1, t_s=60.0), e.CampaignPaused(reason="lunch", by="ann", t_s=70.0)]


def spec(**more: object) -> CampaignSpec:
    return spec_from_dict(
        {
            "parameters": {"x": {"range": [0, 1]}},
            "outcomes": {"y": {"goal": "maximize", "from": "told"}},
            "budget": {"trials": 40},
            **more,
        }
    )


def after(*facts: e.Fact, speed: float = 1.0) -> CampaignState:
    """What facts add up to, each stamped when it says that it was."""

    def at(fact: e.Fact) -> str:
        return (NOON + timedelta(seconds=getattr(fact, "t_s", 0.0) / speed)).isoformat()

    return fold(e.Record(seq, at(fact), fact) for seq, fact in enumerate(facts, 1))


def elapsed_s(
    state: CampaignState, runner: str = "gone", *, after_s: float = 0.0, beat_s: float | None = None
) -> float:
    return bench_time.elapsed_s(state, runner, NOON + timedelta(seconds=after_s), beat_s)


@pytest.mark.parametrize(
    "end",
    [
        e.CampaignStopped(reason="r", exit_code=4, t_s=3670.0),
        e.CampaignHalted(reason="r", t_s=3670.0),
        e.CampaignFinished(reason="r", t_s=3670.0),
        e.SafeStateReached(why="rest", t_s=3670.0),
        e.CampaignResumed(by="ann", t_s=3670.0),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_after_a_long_pause_the_end_is_no_earlier_than_what_was_shown_before_it(end: e.Fact) -> None:
    shown_s = elapsed_s(after(*PAUSED), "alive", after_s=3669.0)
    assert shown_s == 3669.0 and elapsed_s(after(*PAUSED, end), after_s=9999.0) == 3670.0


def test_what_a_dead_runner_had_counted_stays() -> None:
    state = after(*PAUSED)
    for runner in ("alive", "hung", "gone"):
        assert elapsed_s(state, runner, after_s=99999.0, beat_s=3500.0) == 3500.0


def test_time_that_no_runner_lived_through_is_not_the_runs() -> None:
    stopped = [*PAUSED, e.CampaignStopped(reason="r", exit_code=4, t_s=3670.0)]
    again = after(*stopped, e.RunStarted(resumed=True, t_s=90_070.0, unwatched_s=86_400.0))
    assert elapsed_s(again) == 3670.0
    later = after(*stopped, e.RunStarted(resumed=True, t_s=90_070.0, unwatched_s=86_400.0), PAUSED[-1])
    assert elapsed_s(later, "alive", after_s=90_100.0) == 3700.0


def test_an_older_journal_says_what_it_knows() -> None:
    state = after(*PAUSED, e.CampaignStopped(reason="r", exit_code=4))
    assert elapsed_s(state) == 70.0


def trials(count: int, lunch_after: int = 0, each_s: float = 120.0) -> list[e.Fact]:
    facts, t_s = list[e.Fact](), 0.0
    for number in range(1, count + 1):
        t_s += 3600.0 if number == lunch_after + 1 and lunch_after else 0.0
        facts += [
            e.ProposalMade(trial=number, sample=f"S{number}", settings={"x": 0.1}, source="sobol"),
            e.TrialStarted(trial=number, t_s=t_s),
            e.TrialMeasured(trial=number, outcomes={}, t_s=t_s + each_s),
        ]
        t_s += each_s
    return facts


@pytest.mark.parametrize("speed", [1.0, 60.0])
def test_eta_is_the_median_gap_in_bench_time_and_forgets_a_lunch_break(speed: float) -> None:
    opened = e.CampaignOpened(
        campaign="c", run_id="r", version="0", mode="simulated", seed=1, campaign_sha256="0", speed=speed
    )
    state = after(opened, e.RunStarted(), *trials(7, lunch_after=4), speed=speed)
    assert bench_time.eta_s(spec(), state, 4440.0) == 33 * 120.0


def test_eta_leaves_out_what_nobody_lived_through_between_trials_and_in_them() -> None:
    night_s = 49_380.0
    first = [BEGUN[-1], e.TrialStarted(trial=1, t_s=0.0), e.TrialMeasured(trial=1, outcomes={}, t_s=600.0)]
    again = e.RunStarted(resumed=True, t_s=600.0 + night_s, unwatched_s=night_s)
    second = e.ProposalMade(trial=2, sample="S2", settings={"x": 0.1}, source="sobol")
    begun, measured = (e.TrialStarted(trial=2, t_s=600.0), e.TrialMeasured(trial=2, outcomes={}, t_s=1200.0 + night_s))
    between = after(
        OPENED, e.RunStarted(), *first, again, second, e.TrialStarted(trial=2, t_s=600.0 + night_s), measured
    )
    assert bench_time.eta_s(spec(), between, 1200.0) == 38 * 600.0
    inside = after(OPENED, e.RunStarted(), *first, second, begun, again, measured)
    assert bench_time.eta_s(spec(), inside, 1200.0) == 38 * 600.0
    assert view.duration_s(inside.trials[2]) == 600.0, "a trial's own time neither"
    alone = after(OPENED, e.RunStarted(), second, begun, again, measured)
    assert bench_time.eta_s(spec(), alone, 600.0) == 39 * 600.0, "of one trial: from its start to its end"


def test_eta_leaves_out_pauses_between_trials_and_in_them_and_those_a_stop_ended() -> None:
    def trial(number: int, t_s: float, *between: e.Fact, end_s: float) -> list[e.Fact]:
        proposed = e.ProposalMade(trial=number, sample=f"S{number}", settings={"x": 0.1}, source="sobol")
        begun = e.TrialStarted(trial=number, t_s=t_s)
        return [proposed, begun, *between, e.TrialMeasured(trial=number, outcomes={}, t_s=end_s)]

    def paused(from_s: float, to_s: float) -> list[e.Fact]:
        again = e.SettingsRead(found={}, resumed=True)
        return [e.CampaignPaused(reason="r", by="ann", t_s=from_s), again, e.CampaignResumed(t_s=to_s)]

    first = trial(1, 0.0, end_s=600.0)
    between = after(OPENED, e.RunStarted(), *first, *paused(600.0, 9600.0), *trial(2, 9600.0, end_s=10_200.0))
    assert bench_time.eta_s(spec(), between, 10_200.0) == 38 * 600.0
    inside = after(OPENED, e.RunStarted(), *trial(1, 0.0, *paused(100.0, 9100.0), end_s=9600.0))
    assert bench_time.eta_s(spec(), inside, 9600.0) == 39 * 600.0
    assert view.duration_s(inside.trials[1]) == 9600.0, "a sample ages in a pause"
    stopped = [e.CampaignPaused(reason="r", t_s=600.0), e.CampaignStopped(reason="r", exit_code=4, t_s=3600.0)]
    again = e.RunStarted(resumed=True, t_s=90_000.0, unwatched_s=86_400.0)
    resumed = after(OPENED, e.RunStarted(), *first, *stopped, again, *trial(2, 90_000.0, end_s=90_600.0))
    assert bench_time.eta_s(spec(), resumed, 4200.0) == 38 * 600.0


def test_eta_follows_trials_that_grow_longer() -> None:
    facts = [*trials(20), *(fact for fact in trials(45, each_s=600.0) if getattr(fact, "trial", 0) > 20)]
    assert bench_time.eta_s(spec(budget={"trials": 50}), after(OPENED, e.RunStarted(), *facts), 0.0) == 5 * 600.0


def test_nobody_can_say_an_eta_before_the_first_result() -> None:
    assert bench_time.eta_s(spec(), after(*BEGUN), 60.0) is None
    assert bench_time.eta_s(spec(budget={"time": "2 h"}), after(*BEGUN), 60.0) == 7140.0, "but for the budget's time"


def test_a_campaign_that_is_only_told_has_no_bench_time() -> None:
    opened = e.CampaignOpened(campaign="c", run_id="r", version="0", mode="told", seed=1, campaign_sha256="0")
    document = view.status_document(spec(budget={"time": "2 h"}), after(opened), {"runner": "gone"}, NOON)
    assert "time_s" not in document["budget_left"] and document["eta_s"] is None
    assert bench_time.eta_s(spec(budget={"time": "2 h"}), after(opened), 0.0) is None


def test_no_more_is_left_than_the_budget_has_time() -> None:
    state, limited = after(OPENED, e.RunStarted(), *trials(7)), spec(budget={"trials": 40, "time": "30 min"})
    assert bench_time.eta_s(limited, state, 900.0) == 900.0


def test_status_says_one_time_everywhere() -> None:
    limited = spec(budget={"trials": 40, "time": "2 h", "cost": 50}, cost="3 * $x")
    state = after(OPENED, e.RunStarted(), *trials(2))
    document = view.status_document(limited, state, {"runner": "alive", "elapsed_s": 1000.0}, NOON)
    assert document["elapsed_s"] == 1000.0 and document["eta_s"] == 38 * 120.0 and document["speed"] == 1.0
    assert document["budget_left"] == {"trials": 38, "attempts": 78, "time_s": 6200.0, "cost": pytest.approx(49.4)}
    assert view.status_document(limited, state, {"runner": "gone", "elapsed_s": 1000.0}, NOON)["eta_s"] is None
