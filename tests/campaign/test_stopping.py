"""When to stop, and what was seen then."""

from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign import view
from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.spending import Spending
from labloop.campaign.stopping import Stopping
from tests.campaign.test_objective import trials

ONE = {"y": {"goal": "maximize", "unit": "nm"}}
FRONT = {"a": {"goal": "maximize"}, "b": {"goal": "maximize"}}


def stopping(outcomes: dict[str, Any], stop_when: dict[str, Any] | None = None) -> Stopping:
    spec = spec_from_dict(
        {"parameters": {"x": {"range": [0, 1]}}, "outcomes": outcomes, "stop_when": stop_when or {}}
    )
    return Stopping(spec, Objective(spec))


def test_it_stops_when_nothing_improves() -> None:
    rule = stopping(ONE, {"no_improvement": "3 trials"})
    assert rule.reason(trials(1.0, 5.0, 2.0, 3.0)) is None
    reason = rule.reason(trials(1.0, 5.0, 2.0, 3.0, 5.0))
    assert reason == "no improvement in 3 trials (asked for: 3); best so far is trial 2"
    assert rule.reason(trials(1.0, 5.0, 2.0, 3.0, 6.0)) is None
    assert rule.reason(trials(1.0, 0.0, 0.0, 2.0, 0.0, 0.0)) is None  # the count begins anew at each improvement
    assert stopping(ONE).reason(trials(*[1.0] * 50)) is None


def believing(outliers: list[int], *values: float) -> s.CampaignState:
    """Trials with these outcomes; the model took some for outliers when it proposed the last."""
    facts: list[e.Fact] = []
    for number, y in enumerate(values, 1):
        facts += [
            e.ProposalMade(trial=number, sample="S", settings={"x": 0.5}, source="model", outliers=outliers),
            e.TrialMeasured(trial=number, outcomes={"y": e.Reading(value=y, unit="nm")}),
        ]
    return s.fold(e.Record(seq, "", fact) for seq, fact in enumerate(facts, 1))


def test_what_the_model_takes_for_an_outlier_is_neither_the_best_nor_what_has_to_be_beaten() -> None:
    rule = stopping(ONE, {"no_improvement": "3 trials"})
    spec, values = spec_from_dict({"parameters": {"x": {"range": [0, 1]}}, "outcomes": ONE}), (99.0, 3.0, 4.0, 5.0)
    assert rule.reason(believing([], *values)) is not None and rule.reason(believing([1], *values)) is None
    assert [one.trial for one in view.best_trials(spec, believing([], *values))] == [1]
    assert [one.trial for one in view.best_trials(spec, believing([1], *values))] == [4]
    assert [one.trial for one in view.best_trials(spec, believing([1], 99.0))] == [1], "there is no other"


def test_after_an_amendment_the_count_begins_anew_with_the_best_that_the_space_holds() -> None:
    def state(*values: tuple[float, float], amended: int | None = None, place: str = "parameters.x.range") -> Any:
        facts: list[e.Fact] = [
            e.CampaignOpened(campaign="c", run_id="r", version="0", mode="told", seed=1, campaign_sha256="a")
        ]
        for number, (x, y) in enumerate(values, 1):
            if number == amended:
                changes = [e.Change(place=place, kind="changed")]
                facts.append(e.Amended(before_sha256="a", campaign_sha256="b", changes=changes))
            settings: dict[str, e.Value] = {"x": x}
            facts += [
                e.ProposalMade(trial=number, sample="S", settings=settings, source="sobol"),
                e.TrialMeasured(trial=number, outcomes={"y": e.Reading(value=y, unit="nm")}),
            ]
        return s.fold(e.Record(seq, "", fact) for seq, fact in enumerate(facts, 1))

    rule = stopping(ONE, {"no_improvement": "3 trials"})
    flat = [(0.5, 5.0), (0.1, 1.0), (0.2, 1.0), (0.3, 1.0)]
    assert "3 trials" in (rule.reason(state(*flat)) or "")
    assert rule.reason(state(*flat, amended=4)) is None, "one trial since"
    assert rule.reason(state(*flat, amended=4, place="budget.trials")) is not None, "the aim is the same"
    assert rule.reason(state(*flat, (0.4, 1.0), (0.6, 1.0), amended=4)) == (
        "no improvement in 3 trials (asked for: 3); best so far is trial 1"
    )
    gone = [(7.0, 5.0), (0.1, 1.0), (0.2, 1.0), (0.3, 2.0), (0.4, 1.0), (0.6, 1.0)]
    assert rule.reason(state(*gone, amended=4)) is None, "trial 4 is better than all that may still be made"


def test_a_front_that_still_grows_goes_on() -> None:
    rule = stopping(FRONT, {"no_improvement": 2})
    grows = [{"a": float(i), "b": float(-i)} for i in range(6)]
    assert rule.reason(trials(*grows)) is None
    assert rule.reason(trials(*grows, {"a": 0.0, "b": -3.0}, {"a": 5.0, "b": -5.0})) is not None


def test_a_front_whose_hypervolume_stands_still_stops() -> None:
    rule = stopping(FRONT, {"plateau": {"trials": 2, "gain": "5 percent"}})
    first = [{"a": 0.0, "b": 0.0}, {"a": 4.0, "b": 1.0}, {"a": 1.0, "b": 4.0}]
    assert rule.reason(trials(*first)) is None, "two of three grew it"
    small = [{"a": 4.0, "b": 1.05}, {"a": 1.0, "b": 4.01}]
    said = rule.reason(trials(*first, *small))
    assert said is not None and "grew by" in said and "last 2 trials (asked for: 5.00%)" in said
    assert rule.reason(trials(*first, small[0], {"a": 3.0, "b": 3.0})) is None


def test_the_planners_outlook_stops() -> None:
    rule = stopping(ONE, {"regret_below": 0.5, "chance_below": "1 percent"})
    assert rule.asks_planner and not stopping(ONE, {"no_improvement": 3}).asks_planner
    some = trials(1.0, 5.0)
    assert rule.reason(some) is None and rule.reason(some, {"regret_bound": 0.6, "best_chance": 0.3}) is None
    said = rule.reason(some, {"regret_bound": 0.4, "best_chance": 0.3})
    assert said == (
        "at most 0.4 nm can still be gained, by the model (asked for: below 0.5 nm); best so far is trial 2"
    )
    said = rule.reason(some, {"regret_bound": 0.6, "best_chance": 0.002})
    assert said is not None and "above 0.20%" in said


def test_the_planners_outlook_stops_nothing_that_never_kept_its_limit() -> None:
    rule = stopping({"y": {"goal": "maximize"}, "z": {"limit": "<= 2"}}, {"regret_below": 0.5, "chance_below": 0.05})
    nothing_left = {"regret_bound": 0.1, "best_chance": 0.001}
    broken = [{"y": 1.0, "z": 3.0}, {"y": 2.0, "z": 4.0}]
    assert rule.reason(trials(*broken), nothing_left) is None
    assert rule.reason(trials(*broken, {"y": 0.0, "z": 1.0}), nothing_left) is not None


def test_rules_can_be_asked_to_hold_together() -> None:
    rule = stopping(ONE, {"all": {"no_improvement": 2, "chance_below": 0.05}})
    flat = trials(5.0, 1.0, 2.0)
    assert rule.asks_planner
    assert rule.reason(flat, {"best_chance": 0.5}) is None
    assert rule.reason(trials(5.0, 1.0), {"best_chance": 0.01}) is None
    said = rule.reason(flat, {"best_chance": 0.01})
    assert said is not None and "no improvement in 2" in said and "; and nowhere left" in said


@pytest.mark.parametrize(
    ("stop_when", "word"),
    [
        ({"regret_below": 0}, "above 0"),
        ({"chance_below": 5}, "between 0 and 1"),
        ({"chance_below": "5 nm"}, "chance_below"),
        ({"plateau": {"gain": 0.1}}, "trials"),
        ({"all": {"no_improvement": 3}}, "two rules or more"),
        ({"no_improvment": 3}, "no_improvement"),
    ],
)
def test_rules_that_make_no_sense_are_refused(stop_when: dict[str, Any], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        stopping(ONE, stop_when)


def costed(**words: Any) -> Any:
    return spec_from_dict({"parameters": {"x": {"range": [0, 1]}}, "outcomes": ONE, **words})


def test_what_a_trial_costs() -> None:
    assert Spending(costed(cost="2 + 10 * $x", budget={"cost": 50})).of({"x": 0.3}) == pytest.approx(5.0)
    assert Spending(costed()).of({"x": 0.3}) == 0.0
    with pytest.raises(SpecError, match="not negative"):
        Spending(costed(cost="$x - 5")).of({"x": 0.3})


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ({"budget": {"cost": 50}}, "needs to know what a trial costs"),
        ({"cost": "$z * 2"}, "z is no parameter"),
        ({"cost": "2 +"}, "cost"),
    ],
)
def test_a_cost_that_makes_no_sense_is_refused(words: dict[str, Any], word: str) -> None:
    with pytest.raises(SpecError, match=word):
        costed(**words)


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "2025-12-31T00:00:00"], ids=["one instant", "a clock set back"])
def test_what_ended_last_is_what_was_recorded_last(at: str) -> None:
    rule = stopping(ONE, {"no_improvement": 1})
    state = s.CampaignState()
    for number in (1, 2):
        state.apply(e.Record(number, at, e.ProposalMade(trial=number, sample="S", settings={}, source="sobol")))
    for seq, (number, value, when) in enumerate([(2, 5.0, "2026-01-01T00:00:00"), (1, 1.0, at)], start=3):
        state.apply(e.Record(seq, when, e.TrialMeasured(trial=number, outcomes={"y": e.Reading(value=value)})))
    assert rule.reason(state) == "no improvement in 1 trials (asked for: 1); best so far is trial 2"
