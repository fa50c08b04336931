"""Why a point was proposed: made again from the facts before it, and the same as was written down then."""

from pathlib import Path
from typing import Any

import pytest

from labloop.api import Campaign
from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import spec_from_dict
from labloop.planner.thought import Thought
from labloop.study.why import binding, explain

SPEC: dict[str, Any] = {
    "labloop": 1,
    "campaign": "hill",
    "parameters": {
        "x": {"range": [0, 10], "unit": "mL"},
        "idle": {"range": [0, 1]},
        "kind": {"choices": ["a", "b"]},
    },
    "outcomes": {"height": {"goal": "maximize"}},
    "design": {"initial": {"method": "sobol", "trials": 8}, "seed": 2},
}


def height(settings: dict[str, Any]) -> float:
    return -((settings["x"] - 6.0) ** 2) + (3.0 if settings["kind"] == "b" else 0.0)


@pytest.fixture(scope="module")
def campaign() -> Any:
    with Campaign(SPEC, planner="inline") as campaign:
        for _ in range(12):
            (proposal,) = campaign.ask()
            campaign.tell(proposal.trial, {"height": height(proposal.settings)})
        yield campaign


def records(campaign: Campaign) -> list[Any]:
    return list(campaign._told.memory.journal.records())


def test_the_thought_made_again_is_what_was_written_down(campaign: Campaign) -> None:
    for number in (9, 10, 12):
        proposal = campaign.state.trials[number].proposal
        document = explain(campaign.spec, records(campaign), number, {"idle": proposal.settings["idle"]})
        again = document["instead"]["proposed"]
        assert again["acquisition_value"] == pytest.approx(proposal.acquisition_value, abs=1e-9)
        assert again["predicted"]["height"]["mean"] == pytest.approx(proposal.predicted["height"].mean, abs=1e-9)


def test_what_matters_is_found(campaign: Campaign) -> None:
    shares = explain(campaign.spec, records(campaign), 12)["importance"]["height"]
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
    assert next(iter(shares)) == "x" and shares["idle"] < 0.01 < shares["kind"] < shares["x"]


def test_a_proposal_says_what_it_hoped_for_and_what_came_of_it(campaign: Campaign) -> None:
    first, late = (explain(campaign.spec, records(campaign), number) for number in (1, 12))
    assert first["hope"]["kind"] == "sobol" and first["importance"] == {} and first["runners_up"] == []
    assert late["hope"]["kind"] in ("improve", "explore") and 0.0 < late["hope"]["chance"] < 1.0
    entry = late["outcomes"]["height"]
    surprise = (entry["measured"] - entry["expected"]["mean"]) / entry["expected"]["sd"]
    assert entry["surprise_sd"] == pytest.approx(surprise, abs=0.01)
    assert late["runners_up"] and late["runners_up"][0]["acquisition_value"] <= late["acquisition_value"]


def test_a_point_of_the_users_is_weighed(campaign: Campaign) -> None:
    def instead(**settings: Any) -> dict[str, Any]:
        found: dict[str, Any] = explain(campaign.spec, records(campaign), 12, settings)["instead"]
        return found

    poor = instead(x=0.5, kind="a")
    assert poor["acquisition_value"] < poor["proposed"]["acquisition_value"] and "expected gain" in poor["words"]
    assert poor["predicted"]["height"]["mean"] == pytest.approx(height({"x": 0.5, "kind": "a"}), abs=10.0)
    known = campaign.state.trials[3].settings
    assert instead(**known)["measured_as"] == 3
    assert "above the high bound" in instead(x=11)["words"]


@pytest.mark.parametrize(
    ("number", "instead", "said"),
    [
        (99, None, "there is no trial 99; the last is 12"),
        (12, {"y": 1}, "y = 1: is no parameter"),
        (12, {"kind": "c"}, "kind = c"),
        (1, {"x": 3}, "no model"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    campaign: Campaign, number: int, instead: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        explain(campaign.spec, records(campaign), number, instead)


def test_bounds_and_constraints_that_a_point_lies_on_are_named() -> None:
    spec = spec_from_dict({**SPEC, "constraints": ["x + idle <= 8 mL"]} | {
        "parameters": {"x": {"range": [0, 10], "unit": "mL"}, "idle": {"range": [0, 5], "unit": "mL"}}
    })  # fmt: skip
    assert binding(spec, {"x": 3.0, "idle": 5.0}) == ["idle at its highest, 5 mL", "x + idle <= 8 mL"]
    assert binding(spec, {"x": 3.0, "idle": 2.0}) == []


def test_of_a_log_scale_what_is_several_times_its_lowest_is_not_there() -> None:
    outcomes = {"y": {"goal": "maximize", "from": "told"}}
    spec = spec_from_dict({"parameters": {"x": {"range": [1e-4, 1], "scale": "log"}}, "outcomes": outcomes})
    assert binding(spec, {"x": 5e-4}) == [] and binding(spec, {"x": 0.9}) == []
    assert binding(spec, {"x": 1e-4}) == ["x at its lowest, 0.0001"]
    assert binding(spec, {"x": 1.0}) == ["x at its highest, 1"] and binding(spec, {"x": 0.0}) == []


def test_before_anything_was_hoped_for_limits_come_first() -> None:
    limited = {**SPEC, "outcomes": {"height": {"goal": "maximize", "limit": "<= -1000"}}}
    with Campaign(limited, planner="inline") as campaign:
        for _ in range(9):
            (proposal,) = campaign.ask()
            campaign.tell(proposal.trial, {"height": height(proposal.settings)})
        assert explain(campaign.spec, records(campaign), 9)["hope"]["kind"] == "feasibility"


WISHES: dict[str, Any] = {
    "more": {"y": {"goal": "maximize"}},
    "target": {"y": {"goal": {"target": 5, "tolerance": 1}}},
    "limit": {"y": {"goal": "maximize"}, "z": {"limit": "<= 0"}},
}


@pytest.mark.parametrize(
    ("wish", "best", "predicted", "kind", "chance"),
    [
        ("more", {"y": 1.0}, {"y": (2.0, 1.0)}, "improve", 0.841),
        ("more", {"y": 1.0}, {"y": (0.0, 2.0)}, "explore", 0.309),
        ("target", {"y": 8.0}, {"y": (5.0, 4.0)}, "improve", 0.547),  # between 2 and 8, not anywhere below 8
        ("target", {"y": 8.0}, {"y": (9.0, 1.0)}, "explore", 0.159),
        ("limit", {"y": 1.0, "z": -1.0}, {"y": (2.0, 1.0), "z": (0.0, 1.0)}, "improve", 0.841 / 2),
    ],
)
def test_the_chance_is_that_of_being_better(
    wish: str, best: dict[str, float], predicted: dict[str, tuple[float, float]], kind: str, chance: float
) -> None:
    hope = hoped(WISHES[wish], best, predicted)
    assert hope["kind"] == kind and hope["chance"] == pytest.approx(chance, abs=0.01)


def test_nothing_is_better_than_within_the_tolerance() -> None:
    hope = hoped(WISHES["target"], {"y": 4.5}, {"y": (5.0, 0.1)})
    assert hope["chance"] == 0.0
    assert hope["words"] == (
        "nothing can be better than within the tolerance, where trial 1 is already; "
        "this is as good with a chance of 100%"
    )


def hoped(outcomes: dict[str, Any], best: dict[str, float], predicted: dict[str, tuple[float, float]]) -> Any:
    """What a proposal hoped for that expected ``predicted`` (mean, sd) when one trial had given ``best``."""
    spec = spec_from_dict({**SPEC, "parameters": {"x": {"range": [0, 1]}}, "outcomes": outcomes})
    expected = {name: e.Prediction(mean, sd) for name, (mean, sd) in predicted.items()}
    facts = [
        e.CampaignOpened(campaign="hill", run_id="", version="", mode="told", seed=2, campaign_sha256=""),
        e.ProposalMade(trial=1, sample="S1", settings={"x": 0.1}, source="told"),
        e.TrialMeasured(trial=1, outcomes={name: e.Reading(value=one) for name, one in best.items()}, by="ann"),
        e.ProposalMade(trial=2, sample="S2", settings={"x": 0.6}, source="model", predicted=expected),
    ]
    at = "2026-01-01T00:00:00+00:00"
    return explain(spec, [e.Record(seq=seq, at=at, event=fact) for seq, fact in enumerate(facts, 1)], 2)["hope"]


def test_there_is_no_thought_without_data(tmp_path: Path) -> None:
    with Campaign(SPEC, planner="inline") as campaign, pytest.raises(Exception, match="nothing was measured yet"):
        Thought(campaign.spec, campaign.state, 1)
