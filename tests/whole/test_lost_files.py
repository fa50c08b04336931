"""Files of a run that are gone or spoiled: it goes on where nothing was forgotten by that, else it says what."""

import json
from pathlib import Path
from typing import Any

import pytest

from campaigns import QUICKSTART, records
from labloop.campaign.errors import SpecError
from labloop.journal import StoreDamaged, StoreError
from labloop.planner.inline import InlinePlanner
from labloop.runner import session
from labloop.runner.notes import refuse_lost
from labloop.runner.parts import Parts

PARTS = Parts(planner=lambda spec, path: InlinePlanner(spec, path))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lost") / "run"
    assert session.begin(session.Order(campaign=QUICKSTART, run=path, virtual=True, trials=1), parts=PARTS) == 0
    return path


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "empty"])
def test_a_run_does_not_go_on_with_a_bench_that_has_forgotten_what_stands_on_it(run: Path, left: bytes | None) -> None:
    bench, before = run / "bench.db", (run / "bench.db").read_bytes()
    began = len(records(run))
    bench.unlink()
    if left is not None:
        bench.write_bytes(left)
    try:
        with pytest.raises(StoreDamaged, match=r"bench\.db: the journal of the bench is not there.*begin a new run"):
            session.resume(run, trials=1, parts=PARTS)
        with pytest.raises(StoreDamaged, match=r"`labloop instruments LAB --live` begins a new one"):
            refuse_lost(bench, live=True)
        assert len(records(run)) == began and not (bench.exists() and bench.read_bytes())
    finally:
        bench.write_bytes(before)


def test_a_run_does_not_go_on_with_the_journal_of_another(run: Path, tmp_path: Path) -> None:
    order = session.Order(campaign=QUICKSTART, run=tmp_path / "other", virtual=True, trials=1, seed=8)
    assert session.begin(order, parts=PARTS) == 0
    journal, before = run / "journal.db", (run / "journal.db").read_bytes()
    journal.write_bytes((tmp_path / "other" / "journal.db").read_bytes())
    try:
        with pytest.raises(StoreDamaged, match=r"is the journal of the run .*it was replaced as a whole"):
            session.resume(run, trials=1, parts=PARTS)
    finally:
        journal.write_bytes(before)


@pytest.mark.parametrize("text", ["", "xx", "[]", '{"at_s": 1}'])
def test_a_simulated_world_that_cannot_be_read_is_named(run: Path, text: str) -> None:
    world = run / "simulators" / "world.json"
    before = world.read_text()
    world.write_text(text)
    try:
        with pytest.raises(StoreDamaged, match=r"world\.json: does not say any more how the simulated bench stood"):
            session.resume(run, trials=1, parts=PARTS)
    finally:
        world.write_text(before)


def test_a_plug_that_is_out_when_a_virtual_run_ends_is_in_again_when_it_is_taken_up(run: Path) -> None:
    kept = run / "simulators" / "world.json"
    world = json.loads(kept.read_text())
    for line in world["lines"].values():
        line["unplugged_until_s"] = world["at_s"] + 2.0
    kept.write_text(json.dumps(world))
    assert session.resume(run, trials=1, parts=PARTS) == 0


def test_what_goes_on_needs_neither_log_nor_heartbeat(run: Path) -> None:
    (run / "runner.json").write_bytes(b"\xff\x00")
    (run / "log.jsonl").write_bytes(b"\xff\x00\n{")
    (run / "bench.lease").write_text("nobody")
    assert session.resume(run, trials=1, parts=PARTS) == 0
    (run / "origin.json").write_text("{")
    with pytest.raises(SpecError, match=r"origin\.json: does not say where the lab's folder lies"):
        session.resume(run, trials=1, parts=PARTS)


@pytest.mark.parametrize("name", ["bench.db", "journal.db"])
def test_a_run_whose_journal_is_deleted_while_it_lives_ends_at_once(tmp_path: Path, name: str) -> None:
    class Planner(InlinePlanner):
        def request(self, *args: Any, **kwargs: Any) -> Any:
            if self._state.trials:
                (tmp_path / "run" / name).unlink(missing_ok=True)
            return super().request(*args, **kwargs)

    order = session.Order(campaign=QUICKSTART, run=tmp_path / "run", virtual=True, trials=3)
    with pytest.raises(StoreError, match=rf"(?s){name}: was deleted.*The bench was made safe"):
        session.begin(order, parts=Parts(planner=Planner))
