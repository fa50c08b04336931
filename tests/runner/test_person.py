"""A person is asked, waited for, and asked again after the run's end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.view import question_of, target
from labloop.runner.clock import VirtualClock
from labloop.runner.person import PersonHand
from labloop.runner.requests import answer

STEP = e.StepStarted(
    step="a", trial=1, phase="trial", stage=0, index=0, instrument="person", action="do",
    settings={"ask": e.Amount("Weigh it"), "read.mass": e.Amount("g"), "simulated.mass": e.Amount(1.2, "g"),
              "reach_by": e.Amount(2.0, "h")},
)  # fmt: skip


class Memory:
    """A journal that only adds up."""

    def __init__(self, mode: str) -> None:
        self.state = s.CampaignState()
        self.record(
            e.CampaignOpened(campaign="c", run_id="r", version="0", mode=mode, seed=1, campaign_sha256=""),
            e.RunStarted(), e.ProposalMade(trial=1, sample="S1", settings={}, source="sobol"), e.TrialStarted(trial=1),
        )  # fmt: skip

    def record(self, *facts: e.Fact) -> None:
        for fact in facts:
            self.state.apply(e.Record(seq=self.state.seq + 1, at="2026-01-01T00:00:00+00:00", event=fact))


def asked(mode: str, meanwhile: Callable[[PersonHand, Memory], Coroutine[Any, Any, None]] | None = None) -> Any:
    """Ask, with ``meanwhile`` beside it; (what became of the step, lab seconds that it took)."""
    clock = VirtualClock()
    memory = Memory(mode)

    async def main() -> s.StepState:
        hand = PersonHand(memory, clock)
        beside = asyncio.ensure_future(meanwhile(hand, memory)) if meanwhile else None
        await hand.run(STEP)
        if beside:
            await beside
        return memory.state.steps["a"]

    return clock.run(main()), clock.now_s(), memory


def test_an_answer_ends_the_wait() -> None:
    async def say(hand: PersonHand, memory: Memory) -> None:
        await asyncio.sleep(600.0)
        step = memory.state.asked["a"]
        assert target(step) == "1.person"
        assert "done mass=VALUE" in question_of(step)[1]
        wish = e.Requested(id="w", request="resolve", arguments=["1.person", "done", "mass=0.52 g"], by="ann")
        memory.record(*answer(memory.state, wish, alive=True, t_s=600.0).facts)

    step, took_s, memory = asked("live", say)
    assert step.state == s.FINISHED and step.by == "ann" and step.readings["mass"].value == 0.52
    assert took_s == pytest.approx(600.0, abs=1.0) and not memory.state.asked


def test_nobody_is_waited_for_longer_than_said() -> None:
    step, took_s, _ = asked("live")
    assert step.state == s.FAILED and step.fault == "not_reached" and "2 h" in step.reason
    assert took_s == pytest.approx(7200.0, abs=1.0)


@pytest.mark.parametrize("mode", ["live", "virtual"])
def test_the_end_of_the_run_cuts_the_question_short(mode: str) -> None:
    async def leave(hand: PersonHand, memory: Memory) -> None:
        await asyncio.sleep(30.0)
        hand.leave.set()

    step, took_s, _ = asked(mode, leave)
    assert step.state == s.FAILED and step.fault == "interrupted" and took_s < 31.0


def test_a_simulated_person_answers_after_a_minute() -> None:
    step, took_s, _ = asked("virtual")
    assert step.readings["mass"] == e.Reading(value=1.2, unit="g") and took_s == pytest.approx(60.0)


def test_a_wrong_answer_is_refused_and_the_question_stays() -> None:
    memory = Memory("live")
    memory.record(
        e.StepStarted(step="a", phase="each_batch", stage=0, index=0, instrument="person", action="do",
                      settings=dict(STEP.settings))
    )  # fmt: skip
    wish = e.Requested(id="w", request="resolve", arguments=["each_batch.person", "done"])
    said = answer(memory.state, wish, alive=False, t_s=0.0)
    assert not said.accepted and "mass is missing" in said.message and not said.facts
