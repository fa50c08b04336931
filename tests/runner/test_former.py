"""The guard before this one: waited for while it acts, ended where it hangs, named where it does not end."""

import os
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import BenchError
from labloop.journal import FileLock, StoreLocked, presence
from labloop.runner.former import WATCHING, in_place_of_former
from labloop.runner.guard import ACTING
from labloop.runner.guarding import Guarding
from tests.runner.watched_bench import WITHIN_S

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys, pidfd, flock")


def test_a_guard_that_hangs_after_its_runner_is_ended_by_the_next(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    it = bench()
    os.kill(it.guard, signal.SIGSTOP)
    it.runner.kill()
    it.runner.wait(WITHIN_S)
    monkeypatch.setattr(presence, "HUNG_AFTER_S", 0.5)
    said: list[str] = []
    with in_place_of_former(it.run, said.append, wait_s=WITHIN_S):
        it.gone(it.guard)
    assert len(said) == 1
    assert said[0].startswith(f"ends an earlier guard (process {it.guard}), whose heart")
    assert it.device.heard == [], "the next start has the bench, and asks first"


def test_one_that_acts_or_lives_is_waited_for_and_not_ended(tmp_path: Path) -> None:
    with FileLock.take(tmp_path / presence.GUARD_LOCK, "its guard") as former:
        for note in ({"state": ACTING}, {"state": WATCHING, "beat_s": 1e12}, {"state": WATCHING}):
            former.write(**note)
            with pytest.raises(StoreLocked):
                in_place_of_former(tmp_path, pytest.fail, wait_s=0.0)


def test_one_that_does_not_end_is_named_with_the_way_out(tmp_path: Path) -> None:
    guarding = Guarding(tmp_path, SimpleNamespace())  # type: ignore[arg-type]
    guarding._guard = SimpleNamespace(poll=lambda: None, pid=0)  # type: ignore[assignment]
    guarding._began_s = -1e12
    with FileLock.take(tmp_path / presence.GUARD_LOCK, "its guard") as former:
        former.write(state=ACTING)
        way_out = re.escape(f"(process {os.getpid()}) does not come to its end")
        with pytest.raises(BenchError, match=f"{way_out}.*kill -9 {os.getpid()}.*labloop resume"):
            guarding.look()
