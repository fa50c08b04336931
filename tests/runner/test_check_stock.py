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


def test_what_a_batch_fills_is_there_for_its_trials() -> None:
    """It was refused, though each trial finds what it draws."""
    fill = {"pump_water.withdraw": {"rate": "10 mL/min", "time": "59.4 s"}}
    drawn = [dispense(rate="10 mL/min", time="59.4 s")] * 5 + [dispense(rate="1 mL/min", time="60 s")]
    budget = {"trials": 1, "attempts": 1}
    assert check(campaign(drawn, each_batch=[fill], budget=budget), read_lab(LAB)).complaints == []
    (complaint,) = check(campaign([ML], each_batch=drawn, budget=budget), read_lab(LAB)).complaints
    assert "one trial can draw 1 mL" in complaint and "after 50.5 mL for each_batch. Fill in more" in complaint


def test_for_how_many_trials_it_lasts_is_reckoned_after_the_setup() -> None:
    prime = dispense(rate="10 mL/min", time="58.8 s")
    found = check(campaign([ML], setup=[prime] * 5, budget={"trials": 5, "attempts": 5}), read_lab(LAB))
    assert found.complaints == []
    assert any("pump_water.stock = 50 mL: lasts for 1 trials at worst" in one for one in found.warnings)


def test_what_a_trial_draws_up_is_not_there_for_the_setup() -> None:
    """It ended in a traceback where batches take as much as trials draw up."""
    prime, batch = dispense(rate="10 mL/min", time="59.4 s"), {"design": {"batch": 1}, "each_batch": [ML]}
    back = {"pump_water.withdraw": {"rate": "1 mL/min", "time": "60 s"}}
    (complaint,) = check(campaign([back], setup=[prime] * 6, **batch), read_lab(LAB)).complaints
    assert "one trial can draw 0 mL" in complaint and "after 60.4 mL for setup and each_batch" in complaint


def test_nothing_is_said_of_attempts_that_nobody_has_counted() -> None:
    prime = dispense(rate="10 mL/min", time="58.8 s")
    found = check(campaign([ML], teardown=[prime] * 6, budget={"time": "1 h"}), read_lab(LAB))
    assert found.complaints == [] and not any("attempts" in one for one in found.warnings)
