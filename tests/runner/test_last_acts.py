"""What was done last at each instrument: the same as all of its steps tell, and no more kept than may still count."""

import random

import pytest

from labloop.bench import Action
from labloop.campaign import events as e
from labloop.campaign.state import FAILED, FINISHED, StepState
from labloop.runner.last_acts import LastActs

ACTIONS = {
    "heat": Action(name="heat", act=True, evidence="it reads back what is set"),
    "stir": Action(name="stir", act=True, evidence="it reads back what is set"),
    "weigh": Action(name="weigh"),
    "off": Action(name="off", act=True, evidence="it says so", stops=True),
}
STARTED, IN_DOUBT = "started", "in_doubt"


def step(number: int, action: str, state: str) -> StepState:
    settings = {"off": {}, "heat": {"temperature": e.Amount(1.0 * number, "degC")}}.get(
        action, {"speed": e.Amount(1.0, "rpm")}
    )
    begun = e.StepStarted(
        step=f"s{number}", phase="trial", stage=0, index=0, instrument="it", action=action, settings=settings,
    )  # fmt: skip
    return StepState(begun, number, "", state=state)


def of_all(steps: list[StepState]) -> list[str]:
    """The same by the rule itself, from every step there ever was."""
    acts: dict[str, str] = {}
    for one in steps:
        action = ACTIONS.get(one.begun.action)
        if one.state != FINISHED or action is None:
            continue
        if action.stops:
            acts.clear()
        acts.pop(action.name, None)
        if action.act:
            acts[action.name] = one.begun.step
    return [*acts.values()]


@pytest.mark.parametrize("seed", range(20))
def test_what_stands_is_what_all_steps_tell(seed: int) -> None:
    draw, last, steps = random.Random(seed), LastActs([]), []
    for number in range(60):
        steps.append(step(number, draw.choice([*ACTIONS, "gone"]), draw.choice([STARTED, FINISHED, FINISHED, FAILED])))
        last.begin(steps[-1])
        for one in steps[-4:]:  # what runs ends later, in any order
            if one.state in (STARTED, IN_DOUBT) and draw.random() < 0.4:
                one.state = draw.choice([FINISHED, FAILED, IN_DOUBT])
        if draw.random() < 0.5:
            assert [one.begun.step for one in last.standing("it", ACTIONS.get)] == of_all(steps)


def test_what_is_over_and_done_with_is_not_gone_through_again() -> None:
    asked: list[str] = []

    def known(name: str) -> Action | None:
        asked.append(name)
        return ACTIONS.get(name)

    last = LastActs([step(number, "weigh", FINISHED) for number in range(1000)] + [step(1000, "stir", FINISHED)])
    for number in range(1001, 2001):
        last.begin(step(number, "heat", FINISHED))
        assert len(last.standing("it", known)) == 2
    assert len(asked) < 1001 + 1000 * 4


def test_a_setting_that_is_set_again_is_said() -> None:
    first, other, again = step(0, "heat", FINISHED), step(1, "stir", FINISHED), step(2, "heat", FAILED)
    last = LastActs([first, other])
    assert not last.is_set_since(first) and not last.is_set_since(other)
    last.begin(again)
    assert last.is_set_since(first) and not last.is_set_since(other) and not last.is_set_since(again)
