"""check: what a campaign takes out of its stocks at worst, in whatever phase."""

from typing import Any

import pytest

from labloop.campaign.spec import read_lab
from labloop.runner.check import check
from tests.runner.test_check import LAB, campaign, dispense

ML = dispense(rate="1 mL/min", time="60 s")
CONTROL = {"flow": 100, "share": 0.5}


@pytest.mark.parametrize(
    ("more", "needed_ml"),
    [
        ({}, 1.0), ({"setup": [ML]}, 2.0), ({"teardown": [ML]}, 2.0), ({"cleanup": [ML]}, 11.0),
        ({"each_batch": [ML], "design": {"batch": 4}}, 4.0),
        ({"every": [{"trials": 3, "do": [ML]}]}, 4.0), ({"every": [{"trials": 3, "control": CONTROL}]}, 1.3),
    ],
)  # fmt: skip
def test_stock_is_counted_in_every_phase(more: dict[str, Any], needed_ml: float) -> None:
    spec = campaign([dispense(rate="100 uL/min", time="60 s")], **more | {"budget": {"attempts": 10}})
    assert check(spec, read_lab(LAB)).stock["pump_water"].needed == pytest.approx(needed_ml)


def test_a_setup_that_leaves_too_little_for_a_trial_is_refused() -> None:
    prime = dispense(rate="10 mL/min", time="59.4 s")  # five times that, of 50 mL
    trial, budget = [dispense(rate="1 mL/min", time="60 s")], {"trials": 1, "attempts": 1}
    (complaint,) = check(campaign(trial, setup=[prime] * 5, budget=budget), read_lab(LAB)).complaints
    assert "one trial can draw 1 mL" in complaint and "after 49.5 mL for setup. Fill in more" in complaint
    assert check(campaign(trial, budget=budget), read_lab(LAB)).complaints == []


def test_for_how_many_trials_it_lasts_is_reckoned_after_the_setup() -> None:
    prime = dispense(rate="10 mL/min", time="58.8 s")
    found = check(campaign([ML], setup=[prime] * 5, budget={"trials": 5, "attempts": 5}), read_lab(LAB))
    assert found.complaints == []
    assert any("pump_water.stock = 50 mL: lasts for 1 trials at worst" in one for one in found.warnings)
