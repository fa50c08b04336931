"""One campaign for each kind of space and each kind of wish, asked and told until the model proposes."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

import labloop
from labloop.campaign.space import Space

U = {"range": [0, 1]}
ONE = {"y": {"goal": "maximize"}}
SOLVENTS = [{"name": name, "polarity": at} for name, at in (("water", 10.2), ("acetone", 5.1), ("hexane", 0.0))]
Settings = Mapping[str, Any]


def size(settings: Settings) -> float:
    """The sum of the numbers, best near 0.4."""
    return sum(float(value) for value in settings.values() if isinstance(value, int | float))


def hill(settings: Settings) -> float:
    return -((size(settings) - 0.4) ** 2)


def played(
    parameters: Mapping[str, Any], outcomes: Mapping[str, Any] = ONE, *, batch: int = 1, rounds: int = 9,
    constraints: tuple[str, ...] = (), tell: Callable[[labloop.Campaign, Any], None] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every proposal's settings, in the space; the last came from the model."""
    document = {
        "labloop": 1, "campaign": "kind", "parameters": parameters, "outcomes": outcomes,
        "constraints": list(constraints), "design": {"initial": {"trials": 4}, "batch": batch, "seed": 5},
    }  # fmt: skip
    seen, source = [], ""
    with labloop.Campaign(document, planner="inline") as campaign:
        space = Space(campaign.spec)
        for _ in range(rounds):
            for proposal in campaign.ask(batch):
                assert space.contains(proposal.settings) == []
                seen.append(proposal.settings)
                source = proposal.source
                if tell is not None:
                    tell(campaign, proposal)
                else:
                    told = {name: hill(proposal.settings) if not at else size(proposal.settings)
                            for at, name in enumerate(outcomes)}  # fmt: skip
                    campaign.tell(proposal.trial, told)
    assert source == "model"
    return seen


SPACES: dict[str, tuple[dict[str, Any], tuple[str, ...], Callable[[Settings], bool]]] = {
    "continuous": ({"a": U, "b": U}, (), lambda s: 0 <= s["a"] <= 1),
    "integer": ({"n": {"integer": [1, 50]}}, (), lambda s: isinstance(s["n"], int)),
    "stepped": ({"g": {"range": [0, 10], "step": 0.5}, "a": U}, (), lambda s: s["g"] * 2 == int(s["g"] * 2)),
    "log": ({"c": {"range": [1e-6, 1], "scale": "log"}}, (), lambda s: s["c"] >= 1e-6),
    "ordered": ({"o": {"choices": ["low", "mid", "high"], "ordered": True}, "a": U}, (), lambda s: s["o"] != ""),
    "unordered": ({"s": {"choices": ["p", "q", "r"]}, "a": U}, (), lambda s: s["s"] in "pqr"),
    "molecules": ({"m": {"molecules": ["CCO", "CC#N", "CO", "CCC"]}, "a": U}, (), lambda s: "C" in s["m"]),
    "mixture": ({"m": {"mixture": ["A", "B", "C"], "sum": 1}}, (), lambda s: abs(size(s) - 1) < 1e-9),
    "mixture of what is described": (
        {"m": {"mixture": SOLVENTS, "sum": 1, "descriptors": ["polarity"]}}, (), lambda s: abs(size(s) - 1) < 1e-9,
    ),
    "at most k": (
        {"m": {"mixture": ["A", "B", "C", "D"], "sum": 1, "at_most": 2}}, (),
        lambda s: sum(s[name] > 0 for name in "ABCD") <= 2,
    ),
    "a linear inequality": ({"a": U, "b": U}, ("a + b <= 0.5",), lambda s: s["a"] + s["b"] <= 0.5 + 1e-9),
    "a linear equality": ({"a": U, "b": U}, ("a + 2 * b == 1",), lambda s: abs(s["a"] + 2 * s["b"] - 1) < 1e-8),
    "a curved constraint": ({"a": U, "b": U}, ("a * b <= 0.2",), lambda s: s["a"] * s["b"] <= 0.2 + 1e-9),
    "a forbidden combination": (
        {"s": {"choices": ["p", "q"]}, "t": {"choices": ["u", "v"]}, "a": U}, ("not (s == p and t == u)",),
        lambda s: (s["s"], s["t"]) != ("p", "u"),
    ),
    "a condition": (
        {"s": {"choices": ["p", "q"]}, "a": {"range": [0, 1], "active_when": "s == p"}, "b": U}, (),
        lambda s: ("a" in s) == (s["s"] == "p"),
    ),
    "units": ({"T": {"range": ["20 degC", "350 K"], "unit": "degC"}}, (), lambda s: 20 <= s["T"] <= 76.85 + 1e-9),
}  # fmt: skip


@pytest.mark.parametrize("kind", SPACES)
def test_every_kind_of_space(kind: str) -> None:
    parameters, constraints, holds = SPACES[kind]
    seen = played(parameters, constraints=constraints)
    assert all(holds(settings) for settings in seen)
    assert len({tuple(sorted(settings.items())) for settings in seen}) > 3, "not the same again and again"


def test_one_value_for_the_whole_batch() -> None:
    seen = played({"T": U | {"shared": "batch"}, "a": U}, batch=3, rounds=4)
    batches = [seen[at : at + 3] for at in range(0, len(seen), 3)]
    assert all(len({one["T"] for one in batch}) == 1 and len({one["a"] for one in batch}) == 3 for batch in batches)
    assert len({batch[0]["T"] for batch in batches}) > 1


def test_a_space_edited_in_mid_campaign() -> None:
    document: dict[str, Any] = {
        "labloop": 1, "campaign": "kind", "parameters": {"a": U, "s": {"choices": ["p", "q"]}}, "outcomes": ONE,
        "design": {"initial": {"trials": 4}},
    }  # fmt: skip
    with labloop.Campaign(document, planner="inline") as campaign:
        for proposal in campaign.ask(4):
            campaign.tell(proposal.trial, {"y": hill(proposal.settings)})
        wider = {"a": {"range": [0, 2]}, "s": {"choices": ["p", "q", "r"]}}
        campaign.amend(document | {"parameters": wider})
        (proposal,) = campaign.ask()
        assert proposal.source == "model" and len(campaign.trials()) == 5, "the old data are kept and used"


WISHES: dict[str, dict[str, Any]] = {
    "minimize": {"y": {"goal": "minimize"}},
    "weighted": {"y": {"goal": "maximize", "weight": 2}, "w": {"goal": "minimize", "weight": 1}},
    "desirability": {
        "y": {"goal": "maximize", "desirability": [-0.5, 0], "weight": 2},
        "w": {"goal": {"target": 0.5}, "desirability": {"between": [0, 1], "exponent": [1, 2]}},
    },
    "a front": {"y": {"goal": "maximize"}, "w": {"goal": "minimize"}},
    "a limit": {"y": {"goal": "maximize"}, "w": {"limit": "<= 0.5"}},
    "any name": {"yield": {"goal": "maximize"}, "beta": {"goal": "minimize"}},
}  # fmt: skip


@pytest.mark.parametrize("wish", WISHES)
def test_every_kind_of_wish(wish: str) -> None:
    assert len(played({"N": U, "S": U}, WISHES[wish])) == 9


def test_a_target_is_hit() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        campaign.tell(proposal.trial, {"nm": 500 + 100 * size(proposal.settings)})

    goal = {"target": "530 nm", "tolerance": "2 nm"}
    seen = played({"a": U, "b": U}, {"nm": {"goal": goal, "unit": "nm"}}, tell=tell)
    assert min(abs(size(settings) - 0.3) for settings in seen) < 0.02


def test_what_does_not_pass_is_kept_away_from() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        a = proposal.settings["a"]
        campaign.tell(proposal.trial, {"y": a, "clear": "pass" if a < 0.6 else "fail"})

    seen = played({"a": U}, {"y": {"goal": "maximize"}, "clear": {"goal": "pass"}}, tell=tell, rounds=12)
    assert sum(settings["a"] < 0.65 for settings in seen[-4:]) >= 2


def test_what_is_seen_in_words_is_kept_away_from_where_they_fail() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        a = proposal.settings["a"]
        campaign.tell(proposal.trial, {"y": a, "phase": "clear" if a < 0.3 else "hazy" if a < 0.6 else "gel"})
        entry = campaign.trials().iloc[-1]
        assert entry["phase.word"] in ("clear", "hazy", "gel") and entry["phase"] == (entry["phase.word"] != "gel")

    words = {"clear": "pass", "hazy": "pass", "gel": "fail", "solid": "fail"}
    wishes = {"y": {"goal": "maximize"}, "phase": {"goal": "pass", "words": words}}
    seen = played({"a": U}, wishes, tell=tell, rounds=12)
    assert sum(settings["a"] < 0.65 for settings in seen[-4:]) >= 2 and max(s["a"] for s in seen if s["a"] < 0.6) > 0.5


def test_failed_trials_teach() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        a = proposal.settings["a"]
        campaign.tell(proposal.trial, {"y": a} if a < 0.6 else None, failed="" if a < 0.6 else "clogged")

    seen = [settings["a"] for settings in played({"a": U}, tell=tell, rounds=24)]
    assert max(a for a in seen if a < 0.6) > 0.59, "the edge of what works is closed in on"
    assert len({round(a, 2) for a in seen}) > 16, "and not run into at the same place again and again"


def test_a_result_of_which_a_part_will_not_come() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        w = size(proposal.settings) if proposal.trial % 2 else "missing"
        campaign.tell(proposal.trial, {"y": hill(proposal.settings), "w": w})

    played({"a": U, "b": U}, {"y": {"goal": "maximize"}, "w": {"goal": "minimize"}}, tell=tell)


def test_which_of_two_is_better() -> None:
    def tell(campaign: labloop.Campaign, proposal: Any) -> None:
        if proposal.trial % 2 == 0:
            better, worse = sorted(campaign.state.trials.values(), key=lambda one: -hill(one.settings))[:2]
            one, other = proposal.trial, proposal.trial - 1
            ahead = hill(campaign.state.trials[one].settings) > hill(campaign.state.trials[other].settings)
            campaign.prefer(*((one, other) if ahead else (other, one)))
            if {better.trial, worse.trial} != {one, other}:
                campaign.prefer(better.trial, worse.trial)

    played({"a": U}, {"taste": {"goal": "prefer"}}, batch=2, rounds=5, tell=tell)
