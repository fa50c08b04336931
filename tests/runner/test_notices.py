"""What somebody outside is told of each fact, and of which nothing."""

from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.campaign.state import CampaignState
from labloop.runner.notices import Notices

CAMPAIGN: dict[str, Any] = {
    "labloop": 1, "campaign": "cake", "parameters": {"x": {"range": [0, 10]}},
    "outcomes": {"loss": {"goal": "minimize", "from": "told"}},
}  # fmt: skip
QUESTION = "pump_a answers with a reset alarm. Did it dispense 1 mL?"


def spec_of(**more: Any) -> CampaignSpec:
    return spec_from_dict({**CAMPAIGN, **more})


class Run:
    """Facts one after the other, and what is told of each."""

    def __init__(self, spec: CampaignSpec) -> None:
        self.state = CampaignState()
        self.notices = Notices(spec, self.state, "runs/my cake")
        self.seq = 0
        opened = e.CampaignOpened(
            campaign="cake", run_id="r", version="1", mode="live", seed=0, campaign_sha256=""
        )  # fmt: skip
        self.say(opened, e.RunStarted())

    def say(self, *facts: Any) -> list[tuple[str, str, str]]:
        found = []
        for fact in facts:
            self.seq += 1
            self.state.apply(e.Record(self.seq, "2026-03-02T08:00:00+00:00", fact))
            found += [(one.about, one.title, one.words) for one in self.notices.of(fact)]
        return found

    def propose(self, trial: int, x: float) -> list[tuple[str, str, str]]:
        return self.say(e.ProposalMade(trial=trial, sample=f"s{trial}", settings={"x": x}, source="sobol"))

    def measure(self, trial: int, loss: float, **more: float) -> list[tuple[str, str, str]]:
        outcomes = {name: e.Reading(value=value) for name, value in {"loss": loss, **more}.items()}
        return self.say(e.TrialStarted(trial=trial), e.TrialMeasured(trial=trial, outcomes=outcomes))


@pytest.fixture
def run() -> Run:
    return Run(spec_of())


@pytest.mark.parametrize("fact, about, title, words", [
    (e.CampaignHalted(reason="a question"), "halted", "HALTED",
     "a question\nGo on with: labloop resume 'runs/my cake'"),
    (e.CampaignFinished(reason="all done"), "finished", "finished", "all done\nnothing was measured"),
    (e.CampaignFinished(reason="all done", exit_code=3), "alarm", "finished", "all done\nnothing was measured"),
    (e.CampaignStopped(reason="lunch", exit_code=4, by="ann"), "finished", "stopped by ann",
     "lunch\nnothing was measured"),
    (e.CampaignStopped(reason="SIGTERM", exit_code=4), "finished", "stopped", "SIGTERM\nnothing was measured"),
    (e.CampaignStopped(reason="no cable", exit_code=3), "alarm", "stopped", "no cable\nnothing was measured"),
    (e.AlarmHeard(instrument="pump_a", said="stalled"), "alarm", "alarm of pump_a", "stalled"),
    (e.InstrumentLost(instrument="pump_a", reason="no reply"), "alarm", "pump_a lost", "no reply"),
    (e.WatchTripped(rule="interlocks.door", then="hold", reason="door open"), "alarm", "interlocks.door tripped",
     "door open (hold)"),
    (e.WatchCleared(rule="interlocks.door"), "waiting", "interlocks.door is over",
     "Go on with: labloop request 'runs/my cake' resume"),
    (e.SafeStateReached(why="x", errors=["a: silent", "b: hot"]), "alarm", "the bench is NOT safe",
     "a: silent\nb: hot"),
    (e.CampaignPaused(reason="hotplate is away"), "waiting", "paused by itself",
     "hotplate is away\nlabloop request 'runs/my cake' resume"),
])  # fmt: skip
def test_told(run: Run, fact: Any, about: str, title: str, words: str) -> None:
    assert run.say(fact) == [(about, title, words)]


@pytest.mark.parametrize("fact", [
    e.CampaignPaused(reason="lunch", by="ann"), e.SafeStateReached(why="the end"), e.NoteTaken(text="hello"),
    e.PhaseFinished(phase="setup", number=1), e.WatchCleared(rule="interlocks.door", released=True),
])  # fmt: skip
def test_not_told(run: Run, fact: Any) -> None:
    assert run.say(fact) == []


def test_a_new_best_and_no_other_measurement(run: Run) -> None:
    run.propose(1, 3.0)
    assert run.measure(1, 0.5) == [("new_best", "trial 1 is the best so far", "loss 0.5 (x 3)")]
    run.propose(2, 4.0)
    assert run.measure(2, 0.6) == []
    run.propose(3, 5.0)
    assert run.measure(3, 0.4)[0][1] == "trial 3 is the best so far"
    assert run.say(e.CampaignFinished(reason="done"))[0][2] == "done\nbest: trial 3: loss 0.4"


def test_of_two_goals_the_front() -> None:
    outcomes = {name: {"goal": "minimize", "from": "told"} for name in ("loss", "cost")}
    run = Run(spec_of(outcomes=outcomes))
    for trial, cost in ((1, 5.0), (2, 4.0)):
        run.propose(trial, 3.0)
        assert run.measure(trial, float(trial), cost=cost)[0][1] == f"trial {trial} is on the front so far"
    assert run.say(e.CampaignFinished(reason="done"))[0][2] == "done\n2 trials on the front"


def test_a_proposal_only_where_a_person_approves(run: Run) -> None:
    assert run.propose(1, 3.0) == []
    asking = Run(spec_of(approval="human"))
    assert asking.propose(1, 3.0) == [
        ("waiting", "trial 1 waits for approval", "x 3\nlabloop request 'runs/my cake' approve 1")
    ]


def test_each_question_once(run: Run) -> None:
    run.propose(1, 3.0)
    run.say(e.TrialStarted(trial=1))
    begun = {"trial": 1, "phase": "trial", "stage": 0, "action": "dispense", "settings": {}}
    for index, pump in enumerate(("pump_a", "pump_b")):
        step = f"step-{index}"
        assert run.say(e.StepStarted(step=step, index=index, instrument=pump, **begun)) == []
        asked = run.say(e.StepInDoubt(step=step, question=QUESTION, answers={"done": "it counts"}))
        words = f"{QUESTION}\nlabloop status 'runs/my cake' shows the answers"
        assert asked == [("waiting", f"a question (1.{pump})", words)]


def test_work_for_a_person(run: Run) -> None:
    run.propose(1, 3.0)
    run.say(e.TrialStarted(trial=1))
    settings = {"ask": e.Amount("Weigh in the powder", "")}
    told = run.say(
        e.StepStarted(step="s", trial=1, phase="trial", stage=0, index=0, instrument="person", action="do",
                      settings=settings)
    )  # fmt: skip
    assert told[0][:2] == ("waiting", "a question (1.person)") and "Weigh in the powder" in told[0][2]
