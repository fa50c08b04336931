"""The documents behind ``--json``."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from labloop.campaign import events as e
from labloop.campaign import view
from labloop.campaign.bench_time import elapsed_s
from labloop.campaign.events import Amount, Prediction, Reading
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import CampaignState, fold

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PUMP = {"rate": Amount(80.0, "uL/min")}


@pytest.fixture
def spec():
    return spec_from_dict(
        {
            "labloop": 1,
            "campaign": "dots",
            "title": "Brighter dots",
            "parameters": {"rate": {"range": [1, 100], "unit": "uL/min"}},
            "outcomes": {"loss": {"goal": "minimize", "from": "spectrum", "analysis": "mean"}},
            "trial": [
                {"pump.dispense": {"rate": "$rate", "time": "20 s"}},
                {"spectrometer.measure": {"integration": "100 ms", "save_as": "spectrum"}},
            ],
            "cleanup": [{"spectrometer.rinse": {}}],
            "budget": {"trials": 10, "time": "2 h"},
        }
    )


@pytest.fixture
def front_spec():
    return spec_from_dict(
        {
            "labloop": 1,
            "campaign": "two",
            "parameters": {"x": {"range": [0, 1]}},
            "outcomes": {"yield": {"goal": "maximize", "from": "told"}, "cost": {"goal": "minimize", "from": "told"}},
        }
    )


def told(*facts) -> CampaignState:
    """Fold facts, a second apart."""
    return fold(
        e.Record(seq, (NOW - timedelta(hours=1) + timedelta(seconds=seq)).isoformat(), fact)
        for seq, fact in enumerate(facts, 1)
    )


def opened(mode: str = "simulated", speed: float = 60.0) -> e.CampaignOpened:
    return e.CampaignOpened(
        campaign="dots", run_id="r", version="0.1.0", mode=mode, seed=7, speed=speed, campaign_sha256="0" * 64
    )


def proposal(trial: int, **more) -> e.ProposalMade:
    return e.ProposalMade(trial=trial, sample=f"s{trial}", settings={"rate": 10.0 * trial}, source="sobol", **more)


def step(name: str, trial: int | None, **more) -> e.StepStarted:
    known = {"phase": "trial", "stage": 0, "index": 0, "instrument": "pump", "action": "dispense", "settings": PUMP}
    return e.StepStarted(step=name, trial=trial, **{**known, **more})


def a_trial(trial: int, loss: float, end_s: float) -> list[e.Fact]:
    return [
        proposal(trial, predicted={"loss": Prediction(0.4, 0.1)}),
        e.TrialStarted(trial=trial, t_s=end_s - 50),
        step(f"s{trial}", trial, act=True, t_s=end_s - 50),
        e.StepFinished(step=f"s{trial}", achieved={"volume": Amount(26.7, "uL")}, t_s=end_s - 30),
        e.TrialMeasured(trial=trial, outcomes={"loss": Reading(value=loss, sd=0.01)}, t_s=end_s),
        e.TrialClosed(trial=trial, t_s=end_s),
    ]


def test_trials_document_has_what_scripts_rely_on(spec):
    state = told(opened(), e.RunStarted(), *a_trial(1, 0.3, 60))
    document = view.trials_document(spec, state)
    json.dumps(document, allow_nan=False)
    assert document["schema"] == 1
    (trial,) = document["trials"]
    assert trial["trial"] == 1 and trial["sample"] == "s1" and trial["role"] == "candidate"
    assert trial["state"] == "measured" and trial["source"] == "sobol" and trial["settings"] == {"rate": 10.0}
    assert trial["achieved"] == {"pump.dispense": {"volume": {"value": 26.7, "unit": "uL"}}}
    assert trial["outcomes"] == {"loss": {"value": 0.3, "unit": "", "sd": 0.01}}
    assert trial["predicted"] == {"loss": {"mean": 0.4, "sd": 0.1}}
    assert trial["started"] < trial["finished"] and trial["finished"].endswith("+00:00")
    assert trial["duration_s"] == 50
    (only,) = trial["steps"]
    assert only["settings"] == {"rate": {"value": 80.0, "unit": "uL/min"}} and only["state"] == "finished"
    assert only["duration_s"] == 20


def test_an_outcome_without_sd_has_no_key_for_it(spec):
    state = told(opened(), e.RunStarted(), proposal(1), e.TrialMeasured(trial=1, outcomes={"loss": Reading(value=0.5)}))
    assert view.trials_document(spec, state)["trials"][0]["outcomes"] == {"loss": {"value": 0.5, "unit": ""}}


def test_every_attempt_is_there_also_of_trials_that_failed(spec):
    state = told(
        opened(), e.RunStarted(), proposal(1), e.TrialStarted(trial=1),
        step("a", 1), e.StepFailed(step="a", fault="link", reason="no reply", achieved={"volume": Amount(3.0, "uL")}),
        step("b", 1, attempt=2), e.StepFinished(step="b", achieved={"volume": Amount(26.7, "uL")}),
        e.TrialFailed(trial=1, reason="no product"),
    )  # fmt: skip
    (trial,) = view.trials_document(spec, state, with_plan=False)["trials"]
    assert trial["state"] == "failed" and trial["reason"] == "no product"
    assert [(s["state"], s["attempt"], s["fault"]) for s in trial["steps"]] == [
        ("failed", 1, "link"),
        ("finished", 2, ""),
    ]
    # the later attempt of the same step is what was achieved
    assert trial["achieved"] == {"pump.dispense": {"volume": {"value": 26.7, "unit": "uL"}}}


def test_the_same_action_twice_in_a_recipe_is_told_apart(spec):
    state = told(
        opened(), e.RunStarted(), proposal(1), e.TrialStarted(trial=1),
        step("a", 1), e.StepFinished(step="a", achieved={"volume": Amount(1.0, "uL")}),
        step("b", 1, stage=1), e.StepFinished(step="b", achieved={"volume": Amount(2.0, "uL")}),
    )  # fmt: skip
    (trial,) = view.trials_document(spec, state)["trials"]
    assert {name: found["volume"]["value"] for name, found in trial["achieved"].items()} == {
        "pump.dispense": 1.0,
        "pump.dispense#2": 2.0,
    }


def test_steps_not_yet_begun_are_planned_until_the_trial_is_closed(spec):
    begun = [opened(), e.RunStarted(), proposal(1), e.TrialStarted(trial=1), step("a", 1)]

    def steps(*facts):
        (trial,) = view.trials_document(spec, told(*begun, *facts))["trials"]
        return [(s["instrument"], s["action"], s["state"]) for s in trial["steps"]]

    assert steps() == [
        ("pump", "dispense", "started"),
        ("spectrometer", "measure", "planned"),
        ("spectrometer", "rinse", "planned"),
    ]
    failed = (e.StepFinished(step="a"), e.TrialFailed(trial=1, reason="no product"))
    assert steps(*failed) == [("pump", "dispense", "finished"), ("spectrometer", "rinse", "planned")]
    assert steps(*failed, e.TrialClosed(trial=1)) == [("pump", "dispense", "finished")]


def test_status_document_has_what_scripts_rely_on(spec):
    state = told(opened(), e.RunStarted(), *a_trial(1, 0.3, 60), *a_trial(2, 0.2, 130), proposal(3))
    document = view.status_document(spec, state, {"runner": "alive", "guard": None, "elapsed_s": 140.0}, NOW)
    json.dumps(document, allow_nan=False)
    assert document["schema"] == 1 and document["campaign"] == "dots" and document["state"] == "running"
    assert document["runner"] == "alive" and document["guard"] is None and document["simulated"] is True
    assert document["trials"] == {
        "proposed": 1, "running": 0, "awaiting": 0, "measured": 2, "failed": 0, "abandoned": 0, "in_doubt": 0,
    }  # fmt: skip
    assert document["best"] == {
        "trial": 2, "settings": {"rate": 20.0}, "outcomes": {"loss": {"value": 0.2, "unit": "", "sd": 0.01}},
        "desirability": None, "keeps_limits": True, "in_space": True,
    }  # fmt: skip
    assert document["budget_left"] == {"trials": 8, "attempts": 18, "time_s": 7200 - 140}
    assert document["instruments"] == {"pump": "idle"} and document["questions"] == []
    assert document["exit_code"] is None


def test_a_front_is_a_list(front_spec):
    def trial(number, gain, cost):
        outcomes = {"yield": Reading(value=gain), "cost": Reading(value=cost)}
        return [
            e.ProposalMade(trial=number, sample=f"s{number}", settings={"x": 0.1}, source="sobol"),
            e.TrialMeasured(trial=number, outcomes=outcomes, by="jon"),
        ]

    state = told(opened("told"), e.RunStarted(), *trial(1, 50, 2), *trial(2, 70, 4), *trial(3, 60, 5))
    document = view.status_document(front_spec, state, {"runner": "gone"}, NOW)
    assert sorted(one["trial"] for one in document["best"]) == [1, 2]
    assert document["simulated"] is False
    assert document["budget_left"] == {"trials": None, "attempts": None}


def test_nothing_measured_is_no_best(spec, front_spec):
    state = told(opened(), e.RunStarted(), proposal(1))
    assert view.status_document(spec, state, {"runner": "gone"}, NOW)["best"] is None
    assert view.status_document(front_spec, state, {"runner": "gone"}, NOW)["best"] == []


def test_an_extended_budget_counts(spec):
    state = told(opened(), e.RunStarted(), *a_trial(1, 0.3, 60), e.BudgetExtended(trials=5))
    assert view.budget_left(spec, state, 60.0) == {"trials": 14, "attempts": 29, "time_s": 7200 - 60}


@pytest.mark.parametrize(
    ("mode", "speed", "runner", "passed_s"),
    [
        ("live", 1.0, "alive", 3592),
        ("simulated", 60.0, "alive", 60 * 3592),
        ("virtual", 1.0, "alive", 0),
        ("live", 1.0, "gone", 0),
    ],
)
def test_time_goes_on_between_facts_only_while_a_runner_lives(spec, mode, speed, runner, passed_s):
    state = told(
        opened(mode, speed),
        e.RunStarted(),
        proposal(1),
        *a_trial(2, 0.3, 60),
        proposal(3),
        proposal(4),
        e.NoteTaken(text="x"),
    )
    assert state.seq == 12
    assert elapsed_s(state, runner, NOW) == pytest.approx(60 + passed_s)


def test_a_question_names_the_act_and_what_answers_do(spec):
    state = told(
        opened(), e.RunStarted(), proposal(1), e.TrialStarted(trial=1), step("a", 1, act=True),
        e.StepInDoubt(step="a", question="did it?", answers={"done": "goes on", "not-done": "again"}),
        e.TrialInDoubt(trial=1, reason="pump"), e.CampaignHalted(reason="an act is in doubt"),
        e.NoteTaken(text="look at the pump", by="marie"),
    )  # fmt: skip
    document = view.status_document(spec, state, {"runner": "gone"}, NOW)
    assert document["questions"] == [
        {
            "step": "a", "trial": 1, "instrument": "pump", "action": "dispense", "target": "1.pump",
            "question": "did it?",
            "answers": {"done": "goes on", "not-done": "again"},
        }
    ]  # fmt: skip
    assert document["exit_code"] == 6 and document["reason"] == "an act is in doubt"
    assert [(note["text"], note["by"]) for note in document["notes"]] == [("look at the pump", "marie")]
    assert view.trials_document(spec, state)["trials"][0]["steps"][0]["question"] == "did it?"


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (e.CampaignFinished(reason="done"), 0),
        (e.CampaignStopped(reason="by hand", exit_code=4), 4),
        (e.CampaignHalted(reason="?"), 6),
    ],
)
def test_exit_codes(spec, fact, code):
    assert view.exit_code(told(opened(), e.RunStarted(), fact)) == code
