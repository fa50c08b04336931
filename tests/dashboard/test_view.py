"""What the screens will say, in words."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.events import Amount
from labloop.campaign.objective import Objective
from labloop.campaign.outcomes import Limit
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import fold
from labloop.campaign.words import line
from labloop.dashboard import doing, view
from labloop.dashboard.curve import MOST_POINTS, Course, course_of, curve
from labloop.dashboard.plot import nice_ticks
from labloop.dashboard.source import RunSource
from labloop.journal import locks, presence

from . import journals
from .story import PUMPS


@pytest.fixture
def read(written):
    """Give (spec, state, now, source) of a story."""

    def read(tell):
        folder, now = written(tell)
        source = RunSource(folder, look=lambda folder: "alive")
        source.poll(10**9)
        source.close()
        assert source.spec is not None
        return source.spec, source.state, now, source

    return read


def test_headline_says_mode_and_state(read):
    spec, state, now, _ = read(journals.running)
    head = view.headline(spec, state, "alive", now)
    assert (head.mode, head.state) == ("SIMULATED", "RUNNING")
    assert head.facts == ("15 of 40 trials", "bench time 15 min, about 24 min left"), "one clock for both"
    later = view.headline(spec, state, "alive", now, beat_s=86_400.0)
    assert later.facts[1].startswith("bench time 1 d 0 h, ")
    spec, state, now, _ = read(journals.halted)
    assert view.headline(spec, state, "gone", now).mode == "LIVE"


@pytest.mark.parametrize(("runner", "word"), [("gone", "RUNNER GONE"), ("hung", "RUNNER HUNG")])
def test_a_dead_runner_outranks_what_the_facts_say(read, runner, word):
    spec, state, now, _ = read(journals.running)
    head = view.headline(spec, state, runner, now)
    assert head.state == word and not any("left" in fact for fact in head.facts)


def test_a_dead_runner_of_a_run_that_ended_is_nothing_to_shout_about(read):
    spec, state, now, _ = read(journals.finished)
    assert view.headline(spec, state, "gone", now).state == "FINISHED"
    assert [notice.tone for notice in view.notices(spec, state, "gone", "runs/x")] == ["good"]


@pytest.mark.parametrize(("unsafe", "words"), [
    (None, "No fact says that the bench is safe: look."), (0, "Its guard has made the bench safe."),
    (1, "Its guard could NOT make all safe: look."),
])  # fmt: skip
def test_what_its_guard_did_in_a_dead_runners_place_is_said(written, tmp_path, unsafe, words):
    told, _ = written(journals.running)
    folder = shutil.copytree(told, tmp_path / "run")
    if unsafe is not None:
        with locks.FileLock.take(folder / presence.GUARD_LOCK, "its guard") as lock:
            lock.write(state=presence.ACTED, unsafe=unsafe)
    source = RunSource(folder, look=lambda folder: "gone")
    source.poll(10**9)
    source.close()
    first, *_ = view.notices(source.spec, source.state, "gone", "runs/x", source.not_safe)
    assert first.title == f"Its process is gone. {words}"
    source.state.apply(e.Record(source.state.seq + 1, "", e.SafeStateReached(why="end", errors=["a.stop: silent"])))
    told = [one.title for one in view.notices(source.spec, source.state, "gone", "runs/x", source.not_safe)]
    assert ("LOOK AT THE BENCH: not all of it was made safe" in told) == (unsafe != 0), "what a runner could not do"


def test_the_most_urgent_notice_comes_first(read):
    spec, state, _, _ = read(journals.running)
    first, *_ = view.notices(spec, state, "gone", "runs/x")
    assert "process is gone" in first.title and first.lines == ("Go on: labloop resume runs/x",)
    spec, state, _, _ = read(journals.halted)
    (question,) = view.notices(spec, state, "gone", "runs/x")
    assert question.title == "WAITS FOR YOU: trial 10, pump_seed.dispense"
    assert "labloop request runs/x resolve 10.pump_seed done|not-done|discard" in question.lines[-1]
    assert [words.partition(":")[0] for words in question.more] == ["done", "not-done", "discard"]


@pytest.mark.parametrize(
    ("facts", "titles"),
    [
        ((), ["WAITS FOR YOU: may trial 4 run?", "WAITS FOR YOU: may trial 5 run?"]),
        (
            (e.CampaignHalted(reason="trials 4, 5 waited for approval"),),
            [
                "WAITS FOR YOU: may trial 4 run?", "WAITS FOR YOU: may trial 5 run?",
                "HALTED: trials 4, 5 waited for approval",
            ],
        ),
        (
            (
                e.CampaignPaused(reason="trials 4, 5 waited for approval"), e.SafeStateReached(why="30 min"),
                e.ProposalApproved(trial=4, by="ann"), e.ProposalApproved(trial=5, by="ann"),
            ),
            ["PAUSED, and made safe: trials 4, 5 waited for approval"],
        ),
        ((e.CampaignStopped(reason="stop by ann", exit_code=4),), ["STOPPED: stop by ann"]),
    ],
    ids=["running", "halted", "approved meanwhile", "stopped"],
)  # fmt: skip
def test_what_waits_for_approval_is_asked_for_where_the_run_can_go_on(read, facts, titles):
    spec, state, _, _ = read(journals.asking)
    for fact in facts:
        state.apply(e.Record(seq=state.seq + 1, at="2026-03-02T09:00:00+00:00", event=fact))
    assert [one.title for one in view.notices(spec, state, "alive", "runs/x")] == titles
    assert view.waits_for_person(spec, state) is ("WAITS" in titles[0])
    said = view.headline(spec, state, "alive", datetime(2026, 3, 2, 9, tzinfo=UTC)).facts
    assert ("bench made safe" in said) is ("made safe" in titles[0])


def test_a_pause_that_has_had_its_time_says_that_the_bench_is_safe(read):
    spec, state, _, _ = read(journals.paused)
    state.safe = False
    assert [one.title for one in view.notices(spec, state, "alive", "runs/x")] == ["PAUSED: lunch"]
    state.safe = True
    (notice,) = view.notices(spec, state, "alive", "runs/x")
    assert notice.title == "PAUSED, and made safe: lunch"
    assert notice.lines == ("held by marie; r sets up again and goes on",)


def test_what_is_asked_and_told_is_not_ready_once_it_has_begun(read):
    spec, state, now, _ = read(journals.told)
    state.state = s.READY
    assert view.headline(spec, state, "gone", now).state == "OPEN"
    state.trials.clear()
    assert view.headline(spec, state, "gone", now).state == "READY"


def test_owed_results_name_the_verb(read):
    spec, state, _, _ = read(journals.told)
    (owed,) = view.notices(spec, state, "gone", "runs/x")
    assert owed.lines == ("labloop tell runs/x 6 yield=VALUE cost=VALUE",)


def test_instruments_say_what_they_do_and_for_which_trial(read):
    spec, state, _, source = read(journals.running)
    rows = doing.instrument_rows(doing.instrument_names(spec), state, source.current, "alive", source.now())
    assert [row.name for row in rows] == [*PUMPS, "hotplate", "spectrometer"]
    assert (rows[0].state, rows[0].where, rows[0].doing) == ("dispense", "trial 18", "rate 81.2 uL/min, time 20 s")
    assert rows[5].state == "idle"


def test_an_instrument_says_how_long_its_step_will_take(read):
    spec, state, _, source = read(journals.running)
    step = source.current["pump_agno3"]
    current = {**source.current, "pump_agno3": replace(step, begun=replace(step.begun, expected_s=20.0))}
    rows = doing.instrument_rows(doing.instrument_names(spec), state, current, "alive", source.now())
    assert rows[0].doing == "about 20 s; rate 81.2 uL/min, time 20 s"


def test_nobody_knows_what_instruments_do_without_a_runner(read):
    spec, state, _, source = read(journals.running)
    rows = doing.instrument_rows(doing.instrument_names(spec), state, source.current, "gone", source.now())
    assert (rows[0].state, rows[0].tone, rows[0].mark) == ("last dispense", "warn", "?")


def test_a_row_of_the_table(read):
    spec, state, _, _ = read(journals.running)
    outcomes, parameters = list(spec.outcomes), list(view.units(spec))
    cells = view.trial_cells(state.trials[16], outcomes, parameters, best=True)
    headings = [name for name, _ in view.trial_columns(outcomes, parameters)]
    row = dict(zip(headings, cells, strict=True))
    assert row["trial"] == "16★" and row["state"] == "● measured" and row["from"] == "model"
    hoped = state.trials[16].proposal.predicted["spectrum_loss"]
    value = state.trials[16].outcomes["spectrum_loss"].value
    assert row["off by"] == f"{(value - hoped.mean) / hoped.sd:+.1f} sd"
    assert view.trial_cells(state.trials[5], outcomes, parameters, best=False)[1] == "✗ failed"


def test_the_best_so_far_never_gets_worse_and_ends_at_the_best(read):
    spec, state, _, _ = read(journals.finished)
    points = curve(spec, state, "spectrum_loss", course_of(spec, state))
    values = [y for _, y in points.best]
    assert values == sorted(values, reverse=True)
    assert values[-1] == min(t.outcomes["spectrum_loss"].value for t in state.trials.values())
    assert {x for x, _ in points.first} == set(range(1, 9)) and {x for x, _ in points.model} == set(range(9, 41))


def test_the_band_of_a_proposal_that_still_runs_is_there_and_that_of_an_abandoned_one_is_not(read):
    spec, state, _, _ = read(journals.running)
    trials = [x for x, *_ in curve(spec, state, "spectrum_loss", course_of(spec, state)).bands]
    assert trials[-1] == 18 and 12 not in trials


def test_a_wild_band_does_not_flatten_what_was_measured(read):
    spec, state, _, _ = read(journals.running)
    points = curve(spec, state, "spectrum_loss", course_of(spec, state))
    points.bands.append((19.0, -1e6, 0.0, 1e6))
    low, high = points.limits()
    assert -1 < low < 0.18 and 0.8 < high < 2


def test_a_best_that_breaks_its_limit_says_so(read):
    spec, state, _, _ = read(journals.finished)
    title, leads = curve(spec, state, "spectrum_loss", course_of(spec, state)).title, view.leaders(spec, state)
    assert "breaks" not in title + leads
    limit = {"limit": Limit(sense="<=", value=0.001)}
    hard = spec.model_copy(update={"outcomes": {n: one.model_copy(update=limit) for n, one in spec.outcomes.items()}})
    broken = curve(hard, state, "spectrum_loss", course_of(hard, state)).title
    assert broken == title.replace(")", ", breaks a limit)")
    assert view.leaders(hard, state) == f"{leads} · breaks a limit"


def test_a_front_is_a_picture_of_two_outcomes(read):
    spec, state, _, _ = read(journals.told)
    points = curve(spec, state, "yield", course_of(spec, state))
    assert points.front and len(points.best) == 4 and [p for p in points.model] == [(29.0, 3.3)]
    assert not curve(spec, state, "cost", course_of(spec, state)).front


@pytest.mark.parametrize("tell", [journals.finished, journals.running, journals.told])
@pytest.mark.parametrize("order", ["one by one", "late results first"])
def test_the_course_kept_up_leads_to_the_objectives_own_best(read, tell, order):
    spec, state, _, _ = read(tell)
    course = Course(spec)
    numbers = sorted(state.trials, reverse=order != "one by one")
    for number in numbers:
        course.update([state.trials[number]])
    best = Objective(spec).best(state.trials.values())
    assert course.leaders == (best if isinstance(best, list) else [best])
    assert course.best == course_of(spec, state).best


@pytest.mark.parametrize(
    ("low", "high", "count", "ticks"),
    [
        (0.07, 0.9, 5, [0.2, 0.4, 0.6, 0.8]),
        (1, 18, 4, [5, 10, 15]),
        (3, 3, 4, [3]),
        (-1, 1, 2, [-1, 0, 1]),
        (0.2, 0.88, 3, [0.25, 0.5, 0.75]),
        (404, 650, 2, [500, 600]),
        (-41, 45, 2, [-25, 0, 25]),
    ],
)
def test_ticks_are_round(low, high, count, ticks):
    assert nice_ticks(low, high, count) == pytest.approx(ticks)


def test_ten_thousand_points_are_thinned_and_keep_their_ends():
    from labloop.dashboard.curve import _thin

    points = [(float(n), float(n)) for n in range(10_001)]
    kept = _thin(points)
    assert len(kept) <= MOST_POINTS + 1 and kept[0] == points[0] and kept[-1] == points[-1]


def test_every_fact_has_words_or_is_left_out_on_purpose(read):
    _, state, now, source = read(journals.hostile)
    said = [one.text for one in source.log]
    assert not any("\x1b" in words or "\x07" in words for words in said)
    at = (now + timedelta(seconds=1)).isoformat()
    quiet = e.StepFinished(step="step-1", achieved={"volume": Amount(1.0, "uL")})
    assert line(e.Record(10**6, at, quiet), state) is None
    refused = e.RequestAnswered(id="x", accepted=False, message="it is finished")
    found = line(e.Record(10**6, at, refused), state)
    assert found is not None and found.text == "refused: it is finished"


TASTE = {"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"taste": {"goal": "prefer"}}}


def of_taste(*facts):
    made = [e.ProposalMade(trial=n, sample=f"S{n}", settings={"x": n / 9}, source="sobol") for n in (1, 2)]
    made += [e.TrialAwaiting(trial=n) for n in (1, 2)]
    return [e.Record(seq, "2026-01-01T00:00:00+00:00", fact) for seq, fact in enumerate([*made, *facts], 1)]


def test_what_is_to_be_compared_is_not_asked_for_as_a_value():
    (notice,) = view.notices(spec_from_dict(TASTE), fold(of_taste()), "alive", "runs/x")
    assert notice.title == "Results owed for trials 1, 2"
    assert notice.lines == ("labloop compare runs/x says which two to compare",)


def test_a_comparison_is_a_line_of_the_log():
    measured = [e.TrialMeasured(trial=n, outcomes={}) for n in (1, 2)]
    better = e.Preferred(outcome="taste", trial=2, over=1, by="anna", why="crumb")
    records = of_taste(*measured, better, e.Preferred(outcome="taste", trial=1, over=2, tie=True))
    state = fold(records)
    said = [line(record, state).text for record in records[-3:]]
    assert said == [
        "trial 2 measured", "taste: trial 2 preferred over trial 1 by anna: crumb",
        "taste: trial 1 as good as trial 2",
    ]  # fmt: skip


def test_what_is_said_of_one_trial_may_make_another_the_best():
    spec = spec_from_dict(TASTE)
    measured = [e.TrialMeasured(trial=n, outcomes={}) for n in (1, 2)]
    records = of_taste(*measured, e.Preferred(outcome="taste", trial=1, over=2))
    state = fold(records)
    course = course_of(spec, state)
    assert [trial.trial for trial in course.leaders] == [1]
    for seq in (90, 91):
        state.apply(e.Record(seq, "", e.Preferred(outcome="taste", trial=2, over=1)))
    course.update([state.trials[2]])
    assert [trial.trial for trial in course.leaders] == [2] and len(course.best) == 2
