"""Trials that people compare: the grammar, the facts, and what they add up to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_ndtr

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError, StateError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.state import CampaignState, fold
from labloop.campaign.tastes import SPREAD, Duels, _apart, mode
from labloop.journal.codec import CODEC

SPEC: dict[str, Any] = {"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"taste": {"goal": "prefer"}}}
X: list[dict[str, e.Value]] = [{"x": 0.1}, {"x": 0.2}, {"x": 0.3}, {"x": 0.4}]


def state_of(*comparisons: tuple[int, int, bool], settings: Sequence[dict[str, e.Value]] = X) -> CampaignState:
    facts: list[e.Fact] = []
    for number, one in enumerate(settings, 1):
        facts += [
            e.ProposalMade(trial=number, sample=f"S{number}", settings=one, source="sobol"),
            e.TrialMeasured(trial=number, outcomes={"cost": e.Reading(value=float(number))}),
        ]
    facts += [e.Preferred(outcome="taste", trial=a, over=b, tie=tie) for a, b, tie in comparisons]
    return fold(e.Record(seq, "2026-01-01T00:00:00+00:00", fact) for seq, fact in enumerate(facts, 1))


def taste(state: CampaignState, trial: int) -> float:
    value = state.trials[trial].outcomes["taste"].value
    assert isinstance(value, float)
    return value


def test_a_taste_is_the_only_goal_and_is_told() -> None:
    spec = spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer"}, "cost": {"limit": "<= 3"}}})
    assert spec.outcomes["taste"].prefers and spec.outcomes["taste"].is_wish and spec.outcomes["taste"].told
    assert list(Objective(spec).goals) == ["taste"]
    with pytest.raises(SpecError, match=r"outcomes.taste.*: is told by comparing, and y has a goal of its own"):
        spec_from_dict({**SPEC, "outcomes": {"y": {"goal": "maximize"}, "taste": {"goal": "prefer"}}})
    with pytest.raises(SpecError, match=r"no reading says what a person prefers. Write from: told"):
        spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer", "from": "camera"}}})
    with pytest.raises(SpecError, match=r"Did you mean prefer\?"):
        spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "preference"}}})


@pytest.mark.parametrize(("key", "value"), [("unit", "g"), ("limit", "<= 1"), ("weight", 2), ("analysis", "value")])
def test_a_taste_is_no_number(key: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"outcomes.taste.{key}.*Trials are compared here: leave it out"):
        spec_from_dict({**SPEC, "outcomes": {"taste": {"goal": "prefer", key: value}}})


def test_the_utilities_are_those_of_highest_posterior() -> None:
    compared = [(0, 1, False), (1, 2, False), (0, 2, False), (2, 1, False), (3, 0, True)]
    found = mode(SPREAD**2 * np.eye(4), Duels.of(compared))

    def against(u: Any) -> float:
        total = 0.5 * float(u @ u) / SPREAD**2
        for a, b, tie in compared:
            z = (u[a] - u[b]) / np.sqrt(2.0)
            total -= 0.5 * (log_ndtr(z) + log_ndtr(-z)) if tie else log_ndtr(z)
        return float(total)

    sought = minimize(against, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    assert found.utility == pytest.approx(sought.x, abs=1e-6)
    assert found.height == pytest.approx(-sought.fun, abs=1e-9)


def test_derivatives_are_those_of_the_likelihood() -> None:
    duels = Duels.of([(0, 1, False), (1, 2, True), (0, 2, False)])
    u, step = np.array([0.3, -0.4, 1.1]), 1e-5
    _, _, curve, third = duels.likelihood(u)
    information = duels.information(curve, 3)
    for at in range(3):
        d = step * np.eye(3)[at]
        above, below = duels.likelihood(u + d), duels.likelihood(u - d)
        assert duels.gathered(duels.likelihood(u)[1], 3)[at] == pytest.approx((above[0] - below[0]) / (2 * step))
        slopes = [duels.gathered(one[1], 3) for one in (above, below)]
        assert -information[at] == pytest.approx((slopes[0] - slopes[1]) / (2 * step), abs=1e-8)
        signs = (duels.won == at).astype(float) - (duels.lost == at)
        assert third * signs == pytest.approx((above[2] - below[2]) / (2 * step), abs=1e-8)


def test_the_best_is_the_one_that_wins_whoever_is_beaten_by_it() -> None:
    state = state_of((1, 2, False), (2, 3, False), (4, 3, False))
    assert taste(state, 1) > taste(state, 2) > taste(state, 3)
    assert Objective(spec_from_dict(SPEC)).best(state.trials.values()).trial == 1
    assert taste(state, 4) < taste(state, 1), "who beat only the weakest is not the best"
    sd = state.trials[1].outcomes["taste"].sd
    assert sd is not None and 0 < sd < SPREAD
    assert state.trials[1].outcomes["cost"].value == 1.0


def test_what_is_said_both_ways_and_a_tie_make_equals() -> None:
    contradicted = state_of((1, 2, False), (2, 1, False))
    assert taste(contradicted, 1) == pytest.approx(taste(contradicted, 2), abs=1e-9)
    gaps = []
    for last in ((2, 3, False), (2, 3, True), (3, 2, False)):
        state = state_of((1, 2, False), last)
        gaps.append(taste(state, 2) - taste(state, 3))
    assert gaps[0] > gaps[1] > gaps[2]
    assert "taste" not in state.trials[4].outcomes, "it was compared with nothing"


def test_what_is_alike_is_worth_alike_and_a_win_by_chance_is_none() -> None:
    settings: list[dict[str, e.Value]] = [
        {"x": 0.0, "c": "a"}, {"x": 0.02, "c": "a"}, {"x": 1.0, "c": "a"}, {"x": 0.98, "c": "a"}, {"x": 0.5, "c": "b"},
    ]  # fmt: skip
    told = [(3, 1, False), (3, 2, False), (4, 1, False), (3, 1, False), (4, 5, False), (2, 4, False)]
    state = state_of(*told, settings=settings)
    assert taste(state, 4) > taste(state, 2) + 0.5, "2 won against 4, and all else that is like it loses"
    assert sum(taste(state, number) for number in range(1, 6)) == pytest.approx(0.0, abs=1e-9)


def test_how_far_settings_reach_is_chosen_by_evidence() -> None:
    """Two hills in one range: only neighbours teach. Every second is liked: settings tell nothing at once so near."""
    hills: list[dict[str, e.Value]] = [{"x": at / 11} for at in range(12)]
    high = {4, 5, 6, 10, 11, 12}
    near = [(a, b) for a in range(1, 13) for b in range(a + 1, min(a + 4, 13)) if (a in high) != (b in high)]
    state = state_of(*((a, b, False) if a in high else (b, a, False) for a, b in near), settings=hills)
    assert taste(state, 5) > 1.0 > -1.0 > taste(state, 8)
    every: list[dict[str, e.Value]] = [{"x": at / 9} for at in range(10)]
    told = [(at, at + 1, False) if at % 2 else (at + 1, at, False) for at in range(1, 10)] * 3
    state = state_of(*told, settings=every)
    assert all(taste(state, at) > 0.3 for at in (1, 3, 5, 7, 9))
    assert all(taste(state, at) < -0.3 for at in (2, 4, 6, 8, 10))


def test_settings_are_apart_by_shares_of_what_was_compared_and_by_words() -> None:
    apart = _apart([{"x": 1.0, "c": "a"}, {"x": 3.0, "c": "b"}, {"x": 2.0}])
    assert apart[0].tolist() == [0.0, 1.0, (0.25 + 1.0) / 2] and apart[1, 2] == (0.25 + 1.0) / 2
    assert _apart([{"x": 5}, {"x": 5}]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_sd_is_that_of_what_a_trial_is_above_the_mean() -> None:
    state = state_of(*[(1, 2, False), (2, 1, False)] * 200)
    assert state.trials[1].outcomes["taste"].sd == pytest.approx(state.trials[2].outcomes["taste"].sd)
    assert (state.trials[1].outcomes["taste"].sd or 9.0) < 0.1, "however good both may be"


def test_many_wins_are_no_infinity() -> None:
    state = state_of(*[(1, 2, False)] * 300)
    assert np.isfinite(taste(state, 1)) and taste(state, 1) > 2.0


def test_a_comparison_teaches_and_equal_facts_give_an_equal_state() -> None:
    state, same = state_of((1, 2, False)), state_of((1, 2, False))
    assert state.last_result == state.seq
    before = taste(state, 1)
    assert state == same and state != state_of((2, 1, False))
    state.apply(e.Record(90, "", e.Preferred(outcome="taste", trial=1, over=3)))
    assert taste(state, 1) > before


@pytest.mark.parametrize(
    ("trial", "over", "word"),
    [(9, 1, "trial 9, which was never proposed"), (1, 1, "with itself"), (5, 1, "trial 5 is proposed and cannot")],
)
def test_what_cannot_be_is_no_fact(trial: int, over: int, word: str) -> None:
    state = state_of()
    state.apply(e.Record(90, "", e.ProposalMade(trial=5, sample="S5", settings={"x": 0.5}, source="sobol")))
    with pytest.raises(StateError, match=word):
        state.apply(e.Record(91, "", e.Preferred(outcome="taste", trial=trial, over=over)))


def test_a_comparison_by_another_outcome_is_no_fact() -> None:
    state = state_of((1, 2, False))
    with pytest.raises(StateError, match="compared by taste already"):
        state.apply(e.Record(91, "", e.Preferred(outcome="smell", trial=1, over=2)))


def test_who_was_compared_only_with_what_was_wrong_was_compared_with_nothing() -> None:
    state = state_of((1, 2, False), (4, 3, False))
    tastes = state.tastes
    tastes.leave_out(4, out=True)
    assert [tastes.count(trial) for trial in (1, 2, 3, 4)] == [1, 1, 0, 0]
    assert tastes.of(3) == tastes.of(4) == {}
    assert tastes.of(1) == state_of((1, 2, False)).tastes.of(1), "and it moves nobody"
    tastes.leave_out(4, out=False)
    assert tastes.count(4) == 1 and tastes.of(3)


def test_the_fact_is_read_back_as_it_was_written() -> None:
    fact = e.Preferred(outcome="taste", trial=7, over=3, tie=True, by="anna", why="crumb", t_s=4.0)
    assert CODEC.decode(CODEC.encode(fact), CODEC.format) == fact
