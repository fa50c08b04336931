"""One value for a whole batch: what is in flight together has in common what the campaign says it shares."""

from collections.abc import Callable
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import spec_from_dict
from labloop.planner.problem import propose
from labloop.planner.together import companions

PARAMETERS: dict[str, Any] = {
    "T": {"range": [20, 90], "unit": "degC", "shared": "batch"},
    "gas": {"choices": ["N2", "Ar"], "shared": "batch"},
    "x": {"range": [0, 1]},
}


def spec_of(parameters: dict[str, Any] = PARAMETERS, **more: Any) -> Any:
    return spec_from_dict(
        {"parameters": parameters, "outcomes": {"y": {"goal": "maximize"}}, "design": {"batch": 4}, **more}
    )


def common(settings: dict[str, Any]) -> tuple[Any, ...]:
    return settings["T"], settings["gas"]


@pytest.mark.parametrize("constraints", [[], ["T + 10 K * x <= 40 degC"]])
def test_a_batch_has_in_common_what_it_shares(journal: Callable[[int], Any], constraints: list[str]) -> None:
    spec, book = spec_of(constraints=constraints), journal(2)
    batches = []
    for _ in range(4):
        batch = [proposal.settings for proposal in propose(spec, book.state, 4)]
        assert len({common(one) for one in batch}) == 1
        batches.append(common(batch[0]))
        for one in batch:
            book.measure(one, y=one["x"] - abs(one["T"] - 50) / 50)
    assert len(set(batches)) > 2, "and batches differ"


def test_who_joins_trials_in_flight_shares_with_them_until_the_batch_is_full(journal: Callable[[int], Any]) -> None:
    spec, book = spec_of(), journal(2)
    asked = []
    for _ in range(5):
        asked.append(propose(spec, book.state)[0].settings)
        book.propose(asked[-1], source="sobol")
    assert len({common(one) for one in asked[:4]}) == 1 and common(asked[4]) != common(asked[0])


def test_of_a_table_a_batch_takes_what_shares_and_may_be_short(journal: Callable[[int], Any]) -> None:
    rows = [{"T": 20 + 10 * (n % 3), "gas": "Ar", "x": n / 10} for n in range(9)]
    spec, book, seen = spec_of(candidates=rows), journal(2), []
    while len(seen) < 9:
        batch = [proposal.settings for proposal in propose(spec, book.state, 4)]
        assert len(batch) == 3 and len({common(one) for one in batch}) == 1, "there are three rows of each temperature"
        seen += batch
        for one in batch:
            book.measure(one, y=one["x"])
    assert len({one["x"] for one in seen}) == 9


def test_a_batch_that_has_by_chance_what_the_one_before_it_had_is_a_batch_of_its_own(
    journal: Callable[[int], Any],
) -> None:
    spec, book = spec_of({**PARAMETERS, "T": {"range": [20, 90], "step": 70, "shared": "batch"}}), journal(2)
    for x in (0.1, 0.2):  # the first batch was no longer
        first = book.propose({"T": 20.0, "gas": "Ar", "x": x}, source="sobol")
        book.put(e.TrialMeasured(trial=first, outcomes={"y": e.Reading(value=x)}))
    for x in (0.3, 0.4, 0.5):
        book.propose({"T": 20.0, "gas": "Ar", "x": x}, source="sobol")
    assert list(companions(book.state, 6, ("T", "gas"), 4)) == [3, 4, 5]
    assert common(propose(spec, book.state)[0].settings) == (20.0, "Ar")
    book.propose({"T": 20.0, "gas": "Ar", "x": 0.6}, source="sobol")
    assert companions(book.state, 7, ("T", "gas"), 4) == {}


def test_each_of_a_batch_is_proposed_again_alone(journal: Callable[[int], Any]) -> None:
    spec, book = spec_of({**PARAMETERS, "T": {"range": [20, 90], "step": 70, "shared": "batch"}}), journal(2)
    for _ in range(6):
        last = book.state.seq
        asked = propose(spec, book.state, 4)
        for one in asked:
            (again,) = propose(spec, book.state, 1, one.trial)
            assert again.settings == one.settings
            book.put(
                e.ProposalMade(
                    trial=one.trial, sample=f"s{one.trial}", settings=one.settings, source=one.source, knew=last
                )
            )
        for one in asked[: 2 + book.state.next_trial() % 3]:
            y = one.settings["x"] - abs(one.settings["T"] - 50) / 50
            book.put(e.TrialMeasured(trial=one.trial, outcomes={"y": e.Reading(value=y)}))


@pytest.mark.parametrize("seed", range(4))
def test_no_two_of_a_batch_are_the_same_before_there_is_a_model(journal: Callable[[int], Any], seed: int) -> None:
    parameters = {"T": {"range": [0, 1], "step": 0.1, "shared": "batch"}, "x": {"range": [0, 1]}}
    spec = spec_of(parameters, constraints=["x + T <= 1"], design={"batch": 4, "initial": {"trials": 24}})
    asked = [tuple(one.settings.values()) for one in propose(spec, journal(seed).state, 24)]
    assert len(set(asked)) == 24, "what is held lets other points of the same sequence in"
