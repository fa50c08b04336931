"""Runs made by hand, each in a state that a person may find one in (see story)."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labloop.campaign import events as e
from labloop.campaign.events import Amount, Prediction, Reading
from labloop.journal import Journal

from .story import BREAD, CAMPAIGN, DIGEST, PARAMETERS, PUMPS, TOLD, Story


def running(folder: Path, trials: int = 17, mode: str = "simulated") -> Story:
    """A run in the middle of a trial: its pumps dispense. Trial 5 failed, trial 12 was abandoned by the bench."""
    story = Story(folder, mode)
    story.start()
    for number in range(1, trials + 1):
        if number == 5:
            story.propose(number)
            story.say(e.TrialStarted(trial=number, t_s=story.t_s))
            story.finish(story.dispense(number), volume=Amount(27.06, "uL"))
            story.t_s += 20
            story.say(e.TrialFailed(trial=number, reason="no absorbance anywhere in the spectrum", t_s=story.t_s))
            story.clean(number)
        elif number == 12:
            story.propose(number)
            story.say(e.TrialStarted(trial=number, t_s=story.t_s))
            one, *others = story.dispense(number)
            story.t_s += 4
            story.say(e.StepFailed(step=one, fault="link", reason="no reply within 0.5 s to b'0DIS\\r'", t_s=story.t_s))
            story.finish(others, volume=Amount(27.06, "uL"))
            story.say(e.TrialAbandoned(trial=number, reason="pump_agno3 did not answer", again=True, t_s=story.t_s))
            story.clean(number)
        else:
            story.trial(number)
    story.propose(trials + 1)
    story.say(e.TrialStarted(trial=trials + 1, t_s=story.t_s))
    story.dispense(trials + 1)
    story.t_s += 9
    return story


def paused(folder: Path) -> Story:
    """A person paused it between two trials."""
    story = Story(folder)
    story.start()
    for number in range(1, 7):
        story.trial(number)
    story.say(e.NoteTaken(text="new seed solution since trial 4", by="marie"))
    story.say(e.Requested(id="r1", request="pause", by="marie", why="lunch"))
    story.say(e.CampaignPaused(reason="lunch", by="marie"), e.RequestAnswered(id="r1", accepted=True, message="paused"))
    return story


def interlocked(folder: Path) -> Story:
    """An interlock holds it."""
    story = Story(folder)
    story.start()
    story.trial(1)
    story.say(e.WatchTripped(rule="interlocks.door", then="hold", reason="box.door == open"))
    return story


def interlock_over(folder: Path) -> Story:
    """Its condition is not there any more, and a person's word is waited for."""
    story = interlocked(folder)
    story.say(e.WatchCleared(rule="interlocks.door"))
    return story


def asking(folder: Path) -> Story:
    """Two proposals wait for a person's approval."""
    story = Story(folder, campaign=CAMPAIGN + "approval: human\n")
    story.start()
    for number in (1, 2, 3):
        story.trial(number)
    story.propose(4)
    story.propose(5)
    return story


def talkative(folder: Path) -> Story:
    """More lines than the log begins with."""
    story = Story(folder)
    story.start()
    story.say(*(e.NoteTaken(text=f"note {number}", by="ann") for number in range(600)))
    return story


def halted(folder: Path) -> Story:
    """A crash left a pump's act in doubt; nobody can tell whether it happened."""
    story = running(folder, 9, mode="live")
    story.say(
        e.StepInDoubt(
            step=f"step-{story.steps - 1}",
            question="pump_seed answers with a reset alarm: its counter is lost. Did it dispense 27.06 uL?",
            answers={
                "done": "the step counts as done (say how much, if you can tell); trial 10 goes on",
                "not-done": "the step counts as not done; trial 10 is discarded",
                "discard": "whatever it did, the sample goes to waste and the same settings are tried again",
            },
        )
    )
    for step in (f"step-{story.steps - n}" for n in (4, 3, 2, 0)):
        story.say(e.StepFinished(step=step, achieved={"volume": Amount(27.06, "uL")}, t_s=story.t_s, by="recovery"))
    story.say(
        e.TrialInDoubt(trial=10, reason="pump_seed.dispense is in doubt"),
        e.SafeStateReached(why="an act is in doubt"),
        e.CampaignHalted(reason="pump_seed.dispense of trial 10 is in doubt"),
    )
    return story


def finished(folder: Path, trials: int = 40) -> Story:
    """The budget is spent."""
    story = Story(folder)
    story.start()
    for number in range(1, trials + 1):
        story.trial(number)
    story.say(e.SafeStateReached(why="the end"), e.CampaignFinished(reason=f"budget of {trials} trials measured"))
    return story


def begun(folder: Path) -> Story:
    """Opened, and nothing more: no runner has come yet."""
    return Story(folder)


def told(folder: Path) -> Story:
    """People do the work; two goals, so there is a front; one result is owed."""
    story = Story(folder, mode="told", campaign=TOLD)
    story.say(e.RunStarted())
    for number, (solvent, temperature, gain, cost) in enumerate(
        (
            ("DMF", 90, 31.0, 2.1),
            ("NMP", 120, 55.0, 4.0),
            ("DMSO", 105, 48.5, 2.9),
            ("DMF", 160, 71.0, 6.2),
            ("NMP", 95, 29.0, 3.3),
        ),
        1,
    ):
        story.say(
            e.ProposalMade(
                trial=number, sample=f"s{number}", settings={"temperature": temperature, "solvent": solvent},
                source="sobol" if number < 4 else "model",
            )
        )  # fmt: skip
        story.say(
            e.TrialMeasured(
                trial=number, by="jon",
                outcomes={"yield": Reading(value=gain, unit="percent", sd=1.5), "cost": Reading(value=cost)},
            )
        )  # fmt: skip
    story.say(e.ProposalMade(trial=6, sample="s6", settings={"temperature": 140, "solvent": "DMSO"}, source="model"))
    return story


def hostile(folder: Path) -> Story:
    """An instrument writes markup and escape sequences."""
    story = running(folder, 3)
    nasty = "[red]boo[/red] [@click=app.quit]x[/] \x1b[2J\x1b]0;owned\x07 [/]"
    story.say(
        e.StepFailed(step=f"step-{story.steps}", fault="protocol", reason=nasty, t_s=story.t_s),
        e.NoteTaken(text=nasty, by="[bold]mallory"),
        e.InstrumentLost(instrument="pump_water", reason=nasty),
        e.CampaignPaused(reason=nasty),
    )
    return story


def facts_of(count: int) -> Iterator[Any]:
    """A long run's facts without steps, for speed."""
    noise = random.Random(1)
    yield e.CampaignOpened(
        campaign="silver-nanoparticles", run_id="run-1", version="0.1.0", mode="simulated", seed=7,
        campaign_sha256="0" * 64, files={"target_spectrum.csv": DIGEST},
    )  # fmt: skip
    yield e.RunStarted()
    for trial in range(1, count + 1):
        settings = {name: low for name, (low, _) in PARAMETERS.items()}
        yield e.ProposalMade(
            trial=trial,
            sample=f"s{trial}",
            settings=settings,
            source="model",
            predicted={"spectrum_loss": Prediction(0.3, 0.1)},
        )
        yield e.TrialStarted(trial=trial, t_s=trial * 60.0)
        yield e.TrialMeasured(
            trial=trial, outcomes={"spectrum_loss": Reading(value=noise.random())}, t_s=trial * 60.0 + 50
        )


def marked(folder: Path) -> Story:
    """The last of six trials was marked as wrong."""
    story = Story(folder)
    story.start()
    for number in range(1, 7):
        story.trial(number)
    story.say(e.ResultWithdrawn(trial=6, by="marie", why="the lamp was off"))
    return story


def tasted(folder: Path) -> Story:
    """Three breads that people compare."""
    story = Story(folder, mode="told", campaign=BREAD)
    story.say(e.RunStarted())
    for number, sugar in ((1, 20.0), (2, 45.0), (3, 80.0)):
        story.say(
            e.ProposalMade(trial=number, sample=f"S{number}", settings={"sugar": sugar}, source="sobol"),
            e.TrialMeasured(trial=number, outcomes={}, by="marie"),
        )
    story.say(e.Preferred(outcome="taste", trial=2, over=1, by="marie"))
    return story


def at_rest(folder: Path) -> Story:
    """A person paused it, and what stands there was read; its bench says what is left."""
    story = paused(folder)
    story.say(e.SettingsRead(found={"hotplate.hold": "as it was done"}, t_s=story.t_s))
    _stock(folder)
    return story


def done_by_hand(folder: Path) -> Story:
    """Then something was done by hand."""
    story = at_rest(folder)
    story.say(
        e.ByHandSeen(acts={"r/hand-1": "pump_water.dispense by marie (volume = 330 uL)"}, by="marie", why="purge")
    )
    return story


def _stock(folder: Path) -> None:
    """What the pumps hold: plenty of one, little of another, nothing of a third; and one that is used by hand now."""
    at = (f"2026-03-02T08:00:{second:02d}+00:00" for second in range(60))
    with Journal.create(folder / "bench.db", lambda: next(at)) as bench:
        amounts = zip(PUMPS, (9.1, 2.0, 0.01, 8.0, 40.0), (0.05, 0.1, 0.05, 0.05, 0.2), strict=True)
        for index, (pump, holds, each) in enumerate(amounts):
            bench.append(e.StockSet(name=pump, amount=Amount(holds + 6 * each, "mL")))
            for trial in range(1, 7):
                act = f"r/{trial}.trial.0.{index}.1"
                bench.append(e.StockDrawn(name=pump, amount=Amount(each * 1000, "uL"), act=act))
        bench.append(e.ByHand(act="r/hand-2", instrument="pump_water", action="dispense", by="marie", run="r"))
