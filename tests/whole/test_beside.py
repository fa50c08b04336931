"""What goes on beside the trials, and breaks down by a mistake in it: the run ends, and the bench is safe."""

from pathlib import Path
from typing import Any

import pytest
from people import WATCHED, People, wish
from reach import Reach

from labloop.campaign import events as e
from labloop.runner.lookout import Lookout
from labloop.runner.watching import Watcher

HOT = """
    trial:
      - hotplate.heat: {temperature: 40 degC}
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_a.dispense: {rate: 60 uL/min, time: 1 h}
    budget: {trials: 1}
"""


@pytest.mark.parametrize("of, method, what", [
    (Lookout, "end_long_pause", "the look into the inbox"),
    (Watcher, "_end_long_hold", "the watch over the bench"),
])  # fmt: skip
def test_what_breaks_down_ends_the_run_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: type, method: str, what: str
) -> None:
    def defect(*args: Any) -> None:
        if reach.clock is not None and reach.clock.now_s() > 40.0:
            raise KeyError("a mistake")

    monkeypatch.setattr(of, method, defect)
    reach = Reach(tmp_path, WATCHED, HOT, People(tmp_path, (30.0, wish("pause", by="ann"))))
    with pytest.raises(KeyError, match="a mistake"):
        reach.run()
    (safe,) = reach.facts(e.SafeStateReached)
    assert safe.why == f"{what} broke down: KeyError: 'a mistake'"
    assert reach.bench is not None and not reach.bench.devices["hotplate"].heats
    assert reach.clock is not None and reach.clock.now_s() < 70.0
