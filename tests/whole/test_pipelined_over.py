"""On a line the next trial has the last stage's instruments once this one's settings were asked after, not before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from people import WATCHED
from reach import Reach

from labloop.campaign import state as s
from labloop.runner import walk
from labloop.runner.set_again import fallen

TURNS = """
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 10 s}
      - hotplate.stir: {speed: 300 rpm}
      - pump_b.dispense: {rate: 300 uL/min, time: 30 s}
      - hotplate.stir: {speed: 600 rpm}
    budget: {trials: 3}
"""


def test_the_next_trial_sets_nothing_otherwise_before_this_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    async def slowly(*of: Any) -> list[str]:
        """As over a real line: others have their turns meanwhile."""
        for _ in range(100):
            await asyncio.sleep(0)
        return await fallen(*of)

    monkeypatch.setattr(walk, "fallen", slowly)
    reach = Reach(tmp_path, WATCHED + "samples: pipelined\n", TURNS)
    one = tmp_path / "one.yaml"
    one.write_text(one.read_text().replace("seed: 1}", "seed: 1, batch: 2}"))
    assert reach.run() == 0
    assert [one.state for one in reach.state().trials.values()] == [s.AWAITING] * 3
