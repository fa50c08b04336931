"""A syringe that is refilled while the run lives: the book says so, and so does what simulates it."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from reach import CAMPAIGN, PUMP, ROOT, Away

from labloop.campaign import events as e
from labloop.journal import Reader, inbox
from labloop.runner import session
from labloop.runner.parts import Parts

LAB = f"""
    labloop: 1
    root: {ROOT}
    instruments:
      pump_a: {{{PUMP}, address: 0, stock: 0.5 mL}}
"""
THRICE = """
    trial:
      - pump_a.dispense: {rate: 1 mL/min, volume: 400 uL}
    budget: {trials: 3, attempts: 3}
"""


@pytest.mark.parametrize("how", ["virtual", "served"])
def test_a_refill_while_the_run_lives_is_in_the_simulated_syringe(tmp_path: Path, how: str) -> None:
    (tmp_path / "lab.yaml").write_text(dedent(LAB))
    (tmp_path / "one.yaml").write_text(dedent(CAMPAIGN) + dedent(THRICE))
    run = tmp_path / "run"

    def listen(record: e.Record, state: Any) -> None:
        if isinstance(record.event, e.StepStarted) and record.event.trial == 1:
            inbox.post(run / "requests", "pause", by="ann", why="the syringe")
        if isinstance(record.event, e.CampaignPaused):
            inbox.post(run / "requests", "refill", ["pump_a", "2", "mL"], by="ann")
            inbox.post(run / "requests", "resume", by="ann")

    order = session.Order(
        campaign=tmp_path / "one.yaml", run=run, **({"virtual": True} if how == "virtual" else {"speed": 60.0})
    )
    code = session.begin(order, listen, Parts(planner=lambda spec, folder: Away()))
    with Reader(run / "journal.db") as journal:
        facts = [record.event for record in journal.records()]
    assert [one.accepted for one in facts if isinstance(one, e.RequestAnswered)] == [True, True, True]
    assert not [one for one in facts if isinstance(one, e.StepFailed)], "the simulated syringe ran empty"
    done = [one.achieved["volume"].value for one in facts if isinstance(one, e.StepFinished)]
    assert code == 0 and done == [400.0] * 3
