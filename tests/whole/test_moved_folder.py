"""A run that was halted with a question is answered and taken up from wherever its folder lies now."""

import shutil
from pathlib import Path

import pytest
from people import People
from reach import Reach

from labloop.campaign import state as s
from labloop.runner import wishes

DARK = """
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 1}
"""


@pytest.mark.parametrize("way", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_it_is_answered_and_resumed_there(tmp_path: Path, way: object) -> None:
    mains = lambda box, devices, now_s: devices["pump_a"].power_cycle(now_s)  # noqa: E731
    reach = Reach(tmp_path, "", DARK, People(tmp_path, (30.0, mains)))
    assert reach.run() == 6
    way(tmp_path / "run", tmp_path / "there")  # type: ignore[operator]
    reach.meddle = lambda bench, now_s: None
    said = wishes.ask(tmp_path / "there", "resolve", ["1.pump_a", "done"], by="ann", why="")
    assert said.accepted, said
    assert reach.run("there") == 0
    assert reach.state("there").trials[1].state == s.AWAITING
    assert len(reach.ledger("pump_a", "begin")) == 1
