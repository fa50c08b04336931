"""Conditions that never hold together, and a word that two steps save under such."""

from typing import Any

import pytest

from labloop.campaign.errors import SpecError
from labloop.campaign.exclusion import exclude
from labloop.campaign.expression import parse_expression
from labloop.campaign.grammar import flat_parameters
from labloop.campaign.spec import spec_from_dict

PARAMETERS: dict[str, Any] = {
    "solvent": {"choices": ["DMF", "NMP", "H2O"]},
    "level": {"choices": [1, 2, 5], "ordered": True},
    "x": {"range": [0, 10], "unit": "mL"},
    "y": {"range": [0, 10], "unit": "mL"},
    "n": {"range": [1, 9], "step": 1},
    "acid": {"range": [0, 1], "active_when": "solvent == DMF"},
    "much": {"range": [0, 1], "active_when": "acid >= 0.5"},
}


def spec_with(*stages: dict[str, Any]) -> Any:
    return spec_from_dict(
        {
            "parameters": PARAMETERS, "trial": [{"meter.read": {}, "save_as": "a"}, *stages],
            "outcomes": {"z": {"goal": "maximize", "from": "a"}},
        }
    )  # fmt: skip


KNOWN = flat_parameters(spec_with().parameters)


@pytest.mark.parametrize(
    ("one", "other", "never"),
    [
        ("solvent == DMF", "solvent == NMP", True),
        ("solvent == DMF", "solvent != DMF", True),
        ("solvent == DMF", "solvent != NMP", False),
        ("solvent == DMF or solvent == NMP", "not (solvent == H2O)", False),
        ("solvent == DMF or solvent == NMP", "solvent == H2O", True),
        ("level <= 2", "level >= 5", True),
        ("level <= 2", "level >= 2", False),
        ("x <= 3 mL", "x > 3 mL", True),
        ("x <= 3 mL", "x >= 3 mL", False),
        ("x <= 3 mL", "x >= 3.001 mL", True),
        ("x < 3001 uL", "x > 3 mL", False),
        ("x > 3 mL and x < 4 mL", "x > 5 mL or x < 3 mL", True),
        ("x > 3 mL and x < 4 mL", "2 * x < 7 mL", False),
        ("x > 10 mL", "x >= 0 mL", True),
        ("n < 4", "n > 3", True),
        ("n <= 4", "n > 3", False),
        ("x <= 3 mL", "solvent == DMF", False),
        ("x <= 3 mL and solvent == DMF", "x <= 3 mL and solvent == NMP", True),
        ("acid >= 0.1", "solvent == NMP", True),
        ("acid >= 0.1", "solvent == DMF", False),
        ("much > 0", "solvent == NMP", True),
        ("much > 0", "acid < 0.5", True),
        ("x + y <= 3 mL", "x + y > 3 mL", False),  # true, and not proved: several numbers at once are not judged
        ("x * x <= 9 mL * mL", "x > 3 mL", False),
    ],
)
def test_conditions_exclude_each_other_or_may_hold_at_once(one: str, other: str, never: bool) -> None:
    assert exclude(parse_expression(one), parse_expression(other), KNOWN) is never
    assert exclude(parse_expression(other), parse_expression(one), KNOWN) is never


def test_too_many_combinations_prove_nothing() -> None:
    wide = flat_parameters(
        spec_from_dict(
            {
                "parameters": {name: {"choices": [f"c{at}" for at in range(70)]} for name in ("a", "b")},
                "outcomes": {"z": {"goal": "maximize"}},
            }
        ).parameters
    )
    one, other = parse_expression("a == c1 and b == c1"), parse_expression("a == c2 and b == c1")
    assert not exclude(one, other, wide)


BARE = {"meter.read": {}, "save_as": "b"}


def test_a_word_is_saved_twice_where_conditions_exclude_each_other() -> None:
    stages = [
        {"scale.read": {}, "save_as": "b", "when": f"solvent == {solvent}"} for solvent in ("DMF", "NMP", "H2O")
    ]
    assert [step.save_as for stage in spec_with(*stages).trial for step in stage.steps] == ["a", "b", "b", "b"]


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (("solvent == DMF", "solvent != NMP"), "`solvent == DMF` and `solvent != NMP` may hold at once. Choose"),
        (("solvent == DMF", ""), r"saved by meter.read already. Choose another word"),
        (("", "solvent == DMF"), r"saved by meter.read already. Choose another word"),
    ],
)
def test_a_word_saved_twice_in_one_trial_is_refused(when: tuple[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said) as refused:
        spec_with(*(BARE | ({"when": one} if one else {}) for one in when))
    assert len(refused.value.complaints) == 1


@pytest.mark.parametrize("parameters", [PARAMETERS | {"x": {"range": [10, 0]}}, 5])
def test_of_a_broken_parameter_nothing_more_is_said(monkeypatch: pytest.MonkeyPatch, parameters: Any) -> None:
    monkeypatch.setitem(globals(), "PARAMETERS", parameters)
    with pytest.raises(SpecError) as refused:
        spec_with(BARE | {"when": "x > 3 mL"}, BARE | {"when": "x > 4 mL"})
    assert len(refused.value.complaints) == 1 and "saved" not in str(refused.value)


def test_a_broken_condition_is_complained_of_alone() -> None:
    with pytest.raises(SpecError) as refused:
        spec_with(BARE | {"when": "solvent == DMSO"}, BARE | {"when": "solvent == NMP"})
    assert len(refused.value.complaints) == 1 and "DMSO" in str(refused.value)
