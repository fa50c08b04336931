"""check: for how many trials a vessel has room, with all that is done beside them."""

from typing import Any

import pytest

from labloop.campaign.spec import read_lab
from labloop.runner.check import check
from labloop.runner.resolved_plan import Plan
from tests.runner.test_check import LAB, campaign, dispense

ML = dispense(rate="1 mL/min", time="60 s")
CONTROL = {"flow": 600, "share": 0.5}


def examined(brought: list[Any], most: str = "10 mL", attempts: int = 20, **more: Any) -> Plan:
    vessel = {"vessel": {"of": "pump_water.dispense", "less": "pump_pva.dispense", "max": most}}
    return check(campaign(brought, totals=vessel, budget={"attempts": attempts}, **more), read_lab(LAB))


@pytest.mark.parametrize(
    ("more", "room", "beside"),
    [
        ({}, 10, ""),
        ({"setup": [ML, ML, ML]}, 7, "setup"),
        ({"each_batch": [ML], "design": {"batch": 2}}, 6, "each_batch"),
        ({"every": [{"trials": 4, "do": [ML]}]}, 8, "every.0"),
        ({"every": [{"trials": 3, "control": CONTROL}]}, 8, "every.0"),
        ({"every": [{"trials": 3, "blank": CONTROL}], "setup": [ML]}, 7, "setup and every.0"),
        ({"remake": 2}, 10, ""),
    ],
)
def test_room_is_reckoned_with_what_comes_beside_the_trials(more: dict[str, Any], room: int, beside: str) -> None:
    plan = examined([ML], **more)
    assert plan.complaints == []
    (warning,) = [one for one in plan.warnings if "totals.vessel" in one]
    said = f"has room for {room} trials at worst{f', beside {beside}' if beside else ''}, and the budget allows"
    assert said in warning


@pytest.mark.parametrize(("most", "teardown"), [("20 mL", []), ("21 mL", [ML])])
def test_nothing_is_said_where_there_is_room_for_all(most: str, teardown: list[Any]) -> None:
    assert not any("vessel" in one for one in examined([ML], most, teardown=teardown).warnings)
    short = examined([ML], "19.5 mL" if not teardown else "20.5 mL", teardown=teardown)
    assert any("totals.vessel" in one for one in short.warnings)


def test_a_setup_and_a_batch_that_leave_no_room_for_one_trial_are_refused() -> None:
    """Each by itself fits; the run halted at its first trial, and again after each resume, whose setup is done anew."""
    (complaint,) = examined([ML], "2.5 mL", setup=[ML], each_batch=[ML]).complaints
    assert "one trial can bring 1 mL" in complaint
    assert "after 2 mL of setup and each_batch, and 2.5 mL is the most" in complaint
    drained = [{"pump_pva.dispense": {"rate": "1 mL/min", "time": "60 s"}}]
    assert examined([ML], "2.5 mL", setup=[ML], each_batch=drained).complaints == []


def test_what_begins_together_is_let_in_together() -> None:
    """What is taken away beside it makes no room for it: the gate refused what check had accepted."""
    drain = {"pump_pva.dispense": {"rate": "3 mL/min", "time": "60 s"}}
    fill = dispense(rate="3 mL/min", time="60 s")
    assert examined([fill, drain, fill], "4 mL", attempts=1).complaints == []
    (complaint,) = examined([fill, {"together": [drain, fill]}], "4 mL", attempts=1).complaints
    assert "one trial can bring 6 mL" in complaint


def test_a_budget_without_end_is_not_reckoned_to_its_end() -> None:
    """A vessel that each trial empties again is full at no trial, however many are allowed."""
    drain = {"pump_pva.dispense": {"rate": "1 mL/min", "time": "60 s"}}
    plan = examined([ML, drain], attempts=100_000_000_000)
    assert plan.complaints == [] and not any("vessel" in one for one in plan.warnings)
