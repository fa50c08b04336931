"""Outcomes that pass or fail."""

from typing import Any

import pytest

from labloop.campaign.analysis import SavedReading
from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.outcomes import verdict_of
from labloop.campaign.recipe import outcomes
from labloop.campaign.spec import spec_from_dict
from labloop.campaign.text import reading

SPEC: dict[str, Any] = {
    "parameters": {"x": {"range": [0, 1]}},
    "outcomes": {"y": {"goal": "maximize"}, "clear": {"goal": "pass"}},
}


@pytest.mark.parametrize("written", ["pass", "Passed", " yes", True, "true", 1, 1.0, "1"])
def test_a_pass_however_it_is_said(written: Any) -> None:
    assert verdict_of(written) == 1.0


@pytest.mark.parametrize("written", ["fail", "FAILED", "no", False, 0, 0.0, "0"])
def test_a_fail_however_it_is_said(written: Any) -> None:
    assert verdict_of(written) == 0.0


@pytest.mark.parametrize("written", ["maybe", 0.5, 2, None, float("nan"), "", b"pass"])
def test_what_is_neither_is_refused(written: Any) -> None:
    with pytest.raises(SpecError, match="neither pass nor fail"):
        verdict_of(written)


PHASES = {"clear": "pass", "hazy": "pass", "Gel": "fail", "3": "fail"}


def seen_as(**more: Any) -> dict[str, Any]:
    return {**SPEC, "outcomes": {"y": {"goal": "maximize"}, "phase": {"goal": "pass", "words": PHASES, **more}}}


@pytest.mark.parametrize(
    ("written", "value", "word"),
    [("clear", 1.0, "clear"), (" HAZY ", 1.0, "hazy"), ("gel", 0.0, "Gel"), (3, 0.0, "3"), (3.0, 0.0, "3")],
)
def test_more_words_than_two_pass_or_fail(written: Any, value: float, word: str) -> None:
    assert spec_from_dict(seen_as()).outcomes["phase"].verdict(written) == (value, word)


@pytest.mark.parametrize("written", ["gell", "pass", 1, None])
def test_a_word_that_the_campaign_does_not_have_is_refused(written: Any) -> None:
    with pytest.raises(SpecError, match="is none of its words"):
        spec_from_dict(seen_as()).outcomes["phase"].verdict(written)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"words": {"clear": "pass", "hazy": "pass"}}, "all of them pass, so nothing would be learnt"),
        ({"words": {"clear": "pass", "gel": "bad"}}, "phase.words.gel = bad: must be pass or fail"),
        ({"words": {"gel": "pass", "GEL": "fail"}}, "phase.words.GEL: stands there already"),
        ({"words": {"a\nb": "pass", "gel": "fail"}}, "is no word of 1 to 60 printable characters"),
        ({"words": ["clear", "gel"]}, "must say of each word whether it passes"),
        ({"words": {}}, "must say of each word whether it passes"),
        ({"goal": "maximize"}, "are for goal: pass"),
        ({"goal": ["clear", "gel"]}, "Words that are seen go with goal: pass"),
    ],
)
def test_words_that_say_nothing_are_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        spec_from_dict(seen_as(**more))
    assert says in str(refused.value)


def test_a_word_that_was_read_stays_beside_its_verdict() -> None:
    written = seen_as(**{"from": "seen"}) | {
        "trial": [{"person.do": {"ask": "How does it look?", "read": {"seen": "text"}}}],
    }
    written["outcomes"]["y"]["from"] = "told"
    spec = spec_from_dict(written)
    one = outcomes(spec, {"seen": SavedReading("gel")})["phase"]
    assert (one.value, one.word) == (0.0, "Gel") and reading(one) == "Gel (fail)"
    twice = outcomes(spec, {"seen": [SavedReading("clear"), SavedReading("gel")]})["phase"]
    assert (twice.value, twice.word) == (0.5, "clear, Gel") and reading(twice) == "clear, Gel (0.5)"
    assert spec_from_dict(spec.dump()).outcomes["phase"].words == PHASES


def test_a_trial_that_fails_is_worse_than_any_that_passes() -> None:
    objective = Objective(spec_from_dict(SPEC))
    assert list(objective.goals) == ["y"] and list(objective.limits) == ["clear"] and not objective.pareto
    assert objective.better({"y": 0.1, "clear": 1.0}, {"y": 0.9, "clear": 0.0})
    assert not objective.feasible({"y": 0.9}), "nor is one that nobody judged a good one"


@pytest.mark.parametrize("key", ["unit", "limit", "weight", "detects"])
def test_a_verdict_is_no_number(key: str) -> None:
    more: Any = {"unit": "g", "limit": "<= 1", "weight": 2, "detects": [0, 1]}[key]
    with pytest.raises(SpecError, match=f"clear.{key}.*A trial passes or it does not"):
        spec_from_dict({**SPEC, "outcomes": {"y": {"goal": "maximize"}, "clear": {"goal": "pass", key: more}}})


def test_a_saved_word_is_the_verdict() -> None:
    written = {
        **SPEC,
        "outcomes": {"y": {"goal": "maximize", "from": "told"}, "clear": {"goal": "pass", "from": "seen"}},
        "trial": [{"person.do": {"ask": "Is it clear?", "read": {"seen": "text"}}}],
    }
    spec = spec_from_dict(written)
    assert outcomes(spec, {"seen": SavedReading("fail")})["clear"].value == 0.0
    assert outcomes(spec, {"seen": [SavedReading("pass"), SavedReading("pass"), SavedReading("fail")]})[
        "clear"
    ].value == pytest.approx(2 / 3)
    with pytest.raises(SpecError, match="clear: 'cloudy' is neither pass nor fail"):
        outcomes(spec, {"seen": SavedReading("cloudy")})
