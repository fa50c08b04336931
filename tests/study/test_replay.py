"""Every proposal made again from the facts it rested on, and held against the journal."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from labloop.api import Campaign
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.study.basis import basis
from labloop.study.replay import CLOSE, DIFFERS, NONE, SAME, replay

SPEC: dict[str, Any] = {
    "labloop": 1,
    "campaign": "hill",
    "parameters": {"x": {"range": [0, 10], "unit": "mL"}, "kind": {"choices": ["a", "b"]}},
    "outcomes": {"height": {"goal": "maximize"}},
    "design": {"initial": {"method": "sobol", "trials": 4}, "seed": 2},
}
NARROW = SPEC | {"parameters": SPEC["parameters"] | {"x": {"range": [2, 10], "unit": "mL"}}}


@pytest.fixture(scope="module")
def records() -> list[e.Record]:
    """One by one, then a batch, a trial that nobody proposed, an amendment, and one more of the model's."""
    with Campaign(SPEC, planner="inline") as campaign:

        def tell(trial: int) -> None:
            campaign.tell(trial, {"height": -((campaign.state.trials[trial].settings["x"] - 6.0) ** 2)})

        for _ in range(5):
            tell(campaign.ask()[0].trial)
        for one in campaign.ask(3):
            tell(one.trial)
        campaign.tell_settings({"x": 1.0, "kind": "a"}, {"height": -25.0})
        campaign.amend(NARROW)
        campaign.ask()
        return list(campaign._told.memory.journal.records())


@pytest.fixture(scope="module")
def specs() -> Callable[..., Any]:
    from labloop.campaign.spec import spec_from_dict

    first, now = spec_from_dict(dict(SPEC)), spec_from_dict(dict(NARROW))
    return lambda state: (now, [first]) if state.amendments else (first, [])


def altered(records: list[e.Record], trial: int, **words: Any) -> list[e.Record]:
    return [
        msgspec.structs.replace(one, event=msgspec.structs.replace(one.event, **words))
        if isinstance(one.event, e.ProposalMade) and one.event.trial == trial
        else one
        for one in records
    ]


def test_every_proposal_is_made_again_to_the_last_bit(records: list[e.Record], specs: Any) -> None:
    found = list(replay(records, specs))
    assert [one.trial for one in found] == [*range(1, 11)]
    assert [one.verdict for one in found] == [SAME] * 8 + [NONE, SAME]
    assert [one.source for one in found] == ["sobol"] * 4 + ["model"] * 4 + ["told", "model"]
    assert [one.trial for one in replay(records, specs, [7, 5])] == [5, 7]


@pytest.mark.parametrize(
    ("words", "verdict", "said"),
    [
        ({"settings": {"x": 9.75, "kind": "a"}}, DIFFERS, "x 9.75 -> "),
        ({"acquisition_value": -1.5}, CLOSE, "score -1.5 -> "),
        ({"predicted": {"height": e.Prediction(1.0, 2.0)}}, CLOSE, "height expected 1.0 -> "),
        ({"runners_up": []}, CLOSE, "runners-up"),
        ({"again_of": 2}, NONE, "trial 2 again"),
        ({"role": "control"}, NONE, "a control"),
        ({"source": "human"}, NONE, "a person's wish"),
        ({"source": "random", "reason": "the planner did not answer: it died"}, NONE, "the planner did not answer"),
    ],
)
def test_what_is_another_is_named(records: list[e.Record], specs: Any, words: Any, verdict: str, said: str) -> None:
    (one,) = replay(altered(records, 8, **words), specs, [8])
    assert one.verdict == verdict and said in one.words


def test_a_point_of_the_design_that_stood_in_for_a_model_is_the_same_again(records: list[e.Record], specs: Any) -> None:
    (by_model,) = replay(altered(records, 2, source="model"), specs, [2])
    assert by_model.verdict == CLOSE and by_model.words == "source model -> sobol"
    (stood_in,) = replay(altered(records, 8, source="sobol", reason="surrogate failed: killed"), specs, [8])
    assert stood_in.verdict == DIFFERS, "the design has another point than the model's"


def test_a_fact_that_came_while_the_planner_thought_is_not_among_those_it_knew(records: list[e.Record]) -> None:
    *_, last = (one for one in records if isinstance(one.event, e.ProposalMade) and one.event.trial == 8)
    told = next(one.seq for one in records if isinstance(one.event, e.TrialMeasured) and one.event.trial == 5)
    state = basis(altered(records, 8, knew=told - 1), _trial(records, 8))
    assert state.trials[5].state == "measured" and last.seq > told
    later = altered(records, 8, knew=told - 1)
    state = basis(later, _trial(later, 8))
    assert state.trials[5].state != "measured" and set(state.trials) == {*range(1, 8)}


def _trial(records: list[e.Record], number: int) -> Any:
    from labloop.campaign.state import fold

    return fold(records).trials[number]


def test_a_trial_that_is_not_there_is_named(records: list[e.Record], specs: Any) -> None:
    with pytest.raises(SpecError, match="there is no trial 99; the last is 10"):
        list(replay(records, specs, [99]))
