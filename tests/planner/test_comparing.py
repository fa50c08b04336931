"""Which pair a person is asked about."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.tastes import Duels, mode
from labloop.planner.comparing import Pair, _pairs, _rank, worth_comparing
from labloop.planner.preference import fit, shorter
from labloop.planner.problem import read_problem
from labloop.planner.surrogate import kernels

SPEC: dict[str, Any] = {"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"taste": {"goal": "prefer"}}}


def made(journal: Any, *xs: float) -> Any:
    facts = journal(0)
    for x in xs:
        facts.measure({"x": x})
    return facts


def pairs(facts: Any, count: int = 1) -> list[tuple[int, int]]:
    return [(one.trial, one.other) for one in worth_comparing(spec_from_dict(SPEC), facts.state, count)]


def test_before_any_comparison_the_most_unlike_come_first(journal: Any) -> None:
    facts = made(journal, 0.4, 0.1, 0.9, 0.5)
    (pair,) = worth_comparing(spec_from_dict(SPEC), facts.state)
    assert (pair.trial, pair.other) == (2, 3)
    assert pair.chance == pytest.approx(0.5) and pair.is_worth_it and pair.compared == 0
    assert len(pairs(facts, 99)) == 6


def test_a_new_trial_is_held_against_the_best_rather_than_the_worst(journal: Any) -> None:
    facts = made(journal, 0.1, 0.4, 0.7, 1.0)
    for better, worse in ((1, 2), (2, 3), (1, 3)):
        facts.put(e.Preferred(outcome="taste", trial=better, over=worse))
    assert pairs(facts) == [(1, 4)]


def test_what_was_asked_already_comes_after_what_was_not_and_what_is_not_worth_it_last() -> None:
    words = [(1, 0.3, 1), (2, 0.1, 0), (3, 0.01, 0), (4, 0.4, 2), (5, 0.2, 0)]
    pairs = [Pair(trial=at, other=9, chance=0.5, gain=gain, compared=asked) for at, gain, asked in words]
    assert [pair.trial for pair in sorted(pairs, key=_rank)] == [5, 2, 4, 1, 3]


def test_what_is_worth_it_is_asked_again_before_what_is_not(journal: Any) -> None:
    facts = made(journal, 0.0, 0.3, 1.0)
    facts.put(e.Preferred(outcome="taste", trial=1, over=2))
    facts.put(e.Preferred(outcome="taste", trial=2, over=1))
    for _ in range(30):
        facts.put(e.Preferred(outcome="taste", trial=1, over=3))
    found = worth_comparing(spec_from_dict(SPEC), facts.state, 3)
    assert (found[0].trial, found[0].other, found[0].compared) == (1, 2, 2) and not found[1].is_worth_it


def test_the_gain_is_in_units_of_what_can_be_told_apart(journal: Any) -> None:
    facts = made(journal, 0.0, 1.0)
    facts.put(e.Preferred(outcome="taste", trial=1, over=2))
    (pair,) = worth_comparing(spec_from_dict(SPEC), facts.state)
    x, duels = np.array([[0.0], [1.0]]), Duels.of([(0, 1, False)])
    (kernel,) = kernels(read_problem(spec_from_dict(SPEC)).encoding, ["matern"])
    gp = fit(shorter(kernel), x, duels)
    prior = kernel.cross(gp.theta, x, x) / gp.noise
    found = mode(prior, duels)
    drawn = multivariate_normal(found.utility, np.linalg.inv(np.linalg.inv(prior) + found.information), seed=1)
    assert pair.gain == pytest.approx(drawn.rvs(400_000).max(1).mean() - found.utility[0], abs=0.02)


def test_where_the_best_is_clear_no_pair_is_worth_it(journal: Any) -> None:
    facts = made(journal, 0.0, 1.0)
    for _ in range(30):
        facts.put(e.Preferred(outcome="taste", trial=1, over=2))
    (pair,) = worth_comparing(spec_from_dict(SPEC), facts.state)
    assert not pair.is_worth_it and pair.chance > 0.95


def test_the_gain_is_the_expected_best_of_both() -> None:
    mean, covariance = np.array([0.2, 0.5, 0.9]), np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 0.2]])
    drawn = multivariate_normal(mean, covariance, seed=1).rvs(400_000)
    for pair in _pairs([0, 1, 2], mean, covariance, []):
        both = drawn[:, [pair.trial, pair.other]]
        assert pair.gain == pytest.approx(both.max(1).mean() - 0.9, abs=5e-3)
        assert pair.chance == pytest.approx((both[:, 0] > both[:, 1]).mean(), abs=5e-3)


def test_failed_trials_and_controls_are_not_asked_about(journal: Any) -> None:
    facts = made(journal, 0.1, 0.9)
    facts.fail({"x": 0.5})
    facts.put(e.ProposalMade(trial=4, sample="s4", settings={"x": 0.2}, source="told", role="control"))
    facts.put(e.TrialMeasured(trial=4, outcomes={}))
    assert pairs(facts, 9) == [(1, 2)]
    assert pairs(made(journal, 0.5)) == []


def test_a_campaign_of_numbers_compares_nothing(journal: Any) -> None:
    spec = spec_from_dict({**SPEC, "outcomes": {"y": {"goal": "maximize"}}})
    with pytest.raises(SpecError, match="no outcome of this campaign has goal: prefer"):
        worth_comparing(spec, made(journal, 0.1, 0.9).state)


def test_what_breaks_a_limit_is_not_asked_about_while_there_are_two_others(journal: Any) -> None:
    spec = spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer"}, "cost": {"limit": "<= 3"}}})
    facts = journal(0)
    for x, cost in ((0.1, 2.0), (0.9, 5.0)):
        facts.measure({"x": x}, cost=cost)
    assert [(one.trial, one.other) for one in worth_comparing(spec, facts.state, 9)] == [(1, 2)]
    facts.measure({"x": 0.4}, cost=1.0)
    assert [(one.trial, one.other) for one in worth_comparing(spec, facts.state, 9)] == [(1, 3)]
    facts.measure({"x": 0.6})  # its cost is not known yet
    assert len(worth_comparing(spec, facts.state, 9)) == 3
