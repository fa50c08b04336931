"""Whose bench is left: what the lease says, and the run's own facts where it says nothing."""

import json
import shutil
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.journal import Journal, Presence, StoreDamaged, look
from labloop.journal.locks import FileLock
from labloop.runner import registry
from labloop.runner.book import BY_HAND, BenchBook
from labloop.runner.clock import utc_stamp
from labloop.runner.emergency import act_now
from labloop.runner.lease import FILE, Lease
from labloop.runner.left import ended_well, known_safe, left_by

OPENED = e.CampaignOpened(
    campaign="c", run_id="1", version="1", mode="live", seed=1, speed=1.0, campaign_sha256="", lab_sha256=""
)
KNOWN = e.InstrumentIdentified(instrument="a", model="box", serial="")
BEGUN = e.StepStarted(step="1", phase="setup", stage=0, index=0, instrument="a", action="on", settings={})
SAFE = e.SafeStateReached(why="the end", errors=[])
NOT_SAFE = e.SafeStateReached(why="the end", errors=["a.stop: it sticks"])


def run_of(folder: Path, *facts: e.Fact) -> Path:
    """A run with these facts that nobody runs, and its lab, which nobody has had."""
    run, lab = folder / "run", folder / "lab"
    lab.mkdir()
    with Presence(run), closing(Journal.create(run / "journal.db")) as journal:
        journal.append(OPENED, e.RunStarted(), *facts)
    (run / "origin.json").write_text(json.dumps({"lab_folder": str(lab)}))
    return run


WELL = {
    "nothing was identified": (),
    "made safe": (KNOWN, BEGUN, SAFE),
    "made safe after all": (KNOWN, NOT_SAFE, SAFE),
}
NOT_WELL = {
    "no end": (KNOWN,),
    "a step": (KNOWN, SAFE, BEGUN),
    "not safe": (KNOWN, BEGUN, NOT_SAFE),
}


@pytest.mark.parametrize("facts", WELL.values(), ids=WELL)
def test_where_a_run_ended_well_a_lease_that_is_gone_and_a_lab_that_was_moved_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: tuple[e.Fact, ...]
) -> None:
    run = run_of(tmp_path, *facts)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for do in (lambda: None, lambda: (tmp_path / "lab").rmdir(), (run / "origin.json").unlink):
        do()
        registry.enter(run)
        assert left_by(run) is None and ended_well(run) and known_safe(run)
        assert act_now(run, "abort") is None and registry.left() == []


@pytest.mark.parametrize("facts", NOT_WELL.values(), ids=NOT_WELL)
def test_where_it_did_not_a_lease_that_is_gone_leaves_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: tuple[e.Fact, ...]
) -> None:
    run = run_of(tmp_path, *facts)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    registry.enter(run)
    with pytest.raises(StoreDamaged, match="is gone"):
        left_by(run)
    assert not known_safe(run) and registry.left() == [run.resolve()]
    Lease.take(tmp_path / "lab", "another", "runner").release()
    assert left_by(run) is None and not known_safe(run), "somebody else has had it since"
    Lease.take(tmp_path / "lab", str(run.resolve()), "guard").release()
    assert left_by(run) is None and known_safe(run), "it was made safe"
    shutil.rmtree(tmp_path / "lab")
    with pytest.raises(SpecError, match="is not here"):
        left_by(run)
    assert registry.left() == [run.resolve()]
    with FileLock.take(run / "guard.lock", "a guard") as lock:
        lock.write(state="acted", unsafe=0)
    assert left_by(run) is None and known_safe(run), "its guard made it safe"
    (run / "journal.db").write_bytes(bytes(4096))
    with pytest.raises(SpecError, match="is not here"):
        left_by(run)


LIVES: dict[str, Callable[[Path], Any]] = {
    "garbled": lambda lock: lock.write_bytes(b"garbled"),
    "gone": lambda lock: lock.unlink(),
}


@pytest.mark.parametrize("spoil", LIVES.values(), ids=LIVES)
def test_of_a_runner_whose_lock_says_nothing_the_lease_says_who_it_is(
    tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    run = run_of(tmp_path, KNOWN)
    lease = Lease.take(tmp_path / "lab", str(run.resolve()), "runner")
    with Presence(run):
        spoil(run / "runner.lock")
        held = left_by(run)
    assert held == lease.holder and held.lives and held.host == socket.gethostname()
    Lease.take(tmp_path / "lab", "another", "runner")
    assert left_by(run) is None


def test_a_runner_whose_lock_nobody_can_read_hangs_when_nothing_is_written_there_any_more(tmp_path: Path) -> None:
    with Presence(tmp_path, now=lambda: 0.0):
        lock = tmp_path / "runner.lock"
        lock.write_bytes(b"garbled")
        assert look(tmp_path, hung_after_s=3600.0) == "alive", "it may be written anew in a moment"
        assert look(tmp_path, hung_after_s=-1.0) == "hung"
    assert look(tmp_path, hung_after_s=-1.0) == "gone"
    assert not (tmp_path / FILE).exists()


def test_a_bench_that_was_not_made_safe_is_left_though_somebody_asked_or_acted_there_by_hand(tmp_path: Path) -> None:
    run, lab = run_of(tmp_path, KNOWN, BEGUN, NOT_SAFE), tmp_path / "lab"
    whose = str(run.resolve())

    def had(by: str, **how: bool) -> None:
        with closing(BenchBook.open(lab, "lab", utc_stamp)) as book:
            book.take_lease(by, "live", {}, looks=how.pop("looks", False))
            book.release_lease(by, {}, **how)

    had(whose, failed=True)
    for looks in (True, False):
        had(BY_HAND, looks=looks)
        held = left_by(run)
        assert held is not None and held.run == whose and not known_safe(run)
    had(whose)
    had(BY_HAND)
    assert left_by(run) is None


def test_of_two_runs_of_one_process_the_one_that_gave_the_bench_back_has_left_none(tmp_path: Path) -> None:
    run, next_run, lab = run_of(tmp_path, KNOWN, BEGUN, SAFE), tmp_path / "next", tmp_path / "lab"
    next_run.mkdir()
    Lease.take(lab, str(run.resolve()), "runner").release()
    lease = Lease.take(lab, str(next_run.resolve()), "runner")
    assert left_by(run) is None
    next_run.rename(tmp_path / "moved")
    assert left_by(run) == lease.holder, "as far as anybody can tell, it is this one, and was moved"
