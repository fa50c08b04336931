"""A start that fails before it has asked anybody leaves the bench to the run whose acts are still to be asked after."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from people import People
from reach import Reach
from test_hands import RUN, kill, run_till_killed

from labloop.bench import LinkError
from labloop.campaign import events as e
from labloop.journal import Reader
from labloop.runner import session


def released(reach: Reach) -> list[bool]:
    with closing(Reader(reach.folder / "run" / "bench.db")) as bench:
        return [one.event.unasked for one in bench.records() if isinstance(one.event, e.LeaseReleased)]


def test_a_port_that_is_away_at_the_start_frees_no_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach = Reach(tmp_path, "", RUN.replace("time: 1 min}", "time: 1 min}\n        if_interrupted: discard", 1),
                  People(tmp_path, (30.0, kill)))  # fmt: skip
    run_till_killed(reach)
    reach.meddle = lambda bench, now_s: None

    def away(*lab: Any) -> Any:
        raise LinkError("there is no such port")

    with monkeypatch.context() as patch:
        patch.setattr(session, "open_lab", away)
        assert reach.run() == 3
    assert released(reach)[-1] is True
    assert reach.run() == 0
    assert released(reach)[-1] is False
