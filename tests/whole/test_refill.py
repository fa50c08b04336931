"""A syringe that is refilled while the run lives: the book says so, and so does what simulates it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from reach import CAMPAIGN, PUMP, ROOT, Away

from labloop.campaign import events as e
from labloop.campaign.spec import read_lab
from labloop.journal import Reader, inbox
from labloop.runner import session
from labloop.runner.benches import served_lab, simulation_plan
from labloop.runner.parts import Parts
from labloop.simulation.serve import Server

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


@contextmanager
def simulated(lab: Path, folder: Path) -> Iterator[Path]:
    """A lab file whose ports are those of simulators that no run began, as `labloop simulate` serves them."""
    refills = folder / "by-hand"
    refills.mkdir()
    plan = simulation_plan(read_lab(lab), speed=60.0)
    plan |= {"addresses": str(folder / "addresses.json"), "transport": "pty", "by_hand": str(refills)}
    server = Server(plan)
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        out = folder / "served.yaml"
        out.write_text(served_lab(read_lab(lab), server.ports, 60.0, refills))
        yield out
    finally:
        server.stop()
        serving.join()


@pytest.mark.parametrize("how", ["virtual", "served", "simulate"])
def test_a_refill_while_the_run_lives_is_in_the_simulated_syringe(tmp_path: Path, how: str) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(dedent(LAB))
    (tmp_path / "one.yaml").write_text(dedent(CAMPAIGN) + dedent(THRICE))
    run = tmp_path / "run"

    def listen(record: e.Record, state: Any) -> None:
        if isinstance(record.event, e.StepStarted) and record.event.trial == 1:
            inbox.post(run / "requests", "pause", by="ann", why="the syringe")
        if isinstance(record.event, e.CampaignPaused):
            inbox.post(run / "requests", "refill", ["pump_a", "2", "mL"], by="ann")
            inbox.post(run / "requests", "resume", by="ann")

    with simulated(lab, tmp_path) if how == "simulate" else nullcontext(lab) as ports:
        begun: dict[str, Any] = {
            "virtual": {"virtual": True}, "served": {"speed": 60.0}, "simulate": {"live": True},
        }[how]  # fmt: skip
        order = session.Order(campaign=tmp_path / "one.yaml", run=run, lab=ports, **begun)
        code = session.begin(order, listen, Parts(planner=lambda spec, folder: Away()))
    with Reader(run / "journal.db") as journal:
        facts = [record.event for record in journal.records()]
    assert [one.accepted for one in facts if isinstance(one, e.RequestAnswered)] == [True, True, True]
    assert not [one for one in facts if isinstance(one, e.StepFailed)], "the simulated syringe ran empty"
    done = [one.achieved["volume"].value for one in facts if isinstance(one, e.StepFinished)]
    assert code == 0 and done == [400.0] * 3
