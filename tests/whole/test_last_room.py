"""Two trials beside each other, and room for one of their acts: a vessel is never filled beyond its most, and a person
is asked to empty it."""

from pathlib import Path

import pytest
from reach import Reach

from labloop.campaign import state as s

LAB = """
    totals: {vessel: {of: [pump_a.dispense, pump_b.dispense, waste.dispense], max: MOST uL}}
    samples: pipelined
"""
ONE = "  - waste.dispense: {rate: 1 mL/min, volume: 40 uL}"
TWO = """  - together:
      - pump_a.dispense: {rate: 1 mL/min, volume: 40 uL}
      - pump_b.dispense: {rate: 1 mL/min, volume: 40 uL}
    if_interrupted: discard"""


@pytest.mark.parametrize(("first", "then", "most"), [(ONE, TWO, 150), (TWO, ONE, 170), (TWO, ONE, 190)])
def test_two_stages_that_were_let_in_at_once_share_the_last_room(
    tmp_path: Path, first: str, then: str, most: int
) -> None:
    trial = f"trial:\n{first}\n{then}\ndesign: {{initial: {{method: sobol, trials: 20}}, seed: 1, batch: 2}}\n"
    reach = Reach(tmp_path, LAB.replace("MOST", str(most)), "")
    text = (tmp_path / "one.yaml").read_text().partition("design:")[0]
    (tmp_path / "one.yaml").write_text(f"{text}{trial}budget: {{trials: 3}}\n")
    assert reach.run() == 6
    moved = [one.amount for name in ("pump_a", "pump_b", "waste") for one in reach.ledger(name)]
    assert sum(moved) <= most
    state = reach.state()
    assert state.state == s.HALTED and "Empty it, say so with `labloop request RUN empty vessel`" in state.reason
