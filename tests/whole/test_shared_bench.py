"""A live bench that a run has left, and what others may do there, and did: people by hand, and other runs."""

from pathlib import Path

import pytest
from people import WATCHED, People, wish
from reach import Reach
from test_rest import Patient

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import read_lab
from labloop.journal import StoreDamaged, StoreLocked
from labloop.runner import session, wishes
from labloop.runner.book import BenchOwes
from labloop.runner.by_hand import taken
from labloop.runner.sole import sole

CLEANED = """
    trial:
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    cleanup:
      - waste.withdraw: {rate: 300 uL/min, time: 10 s}
    budget: {trials: 1}
"""


@pytest.fixture
def reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reach:
    """A live run that ann pauses, and bob stops. No guard: the ports are in this process."""
    monkeypatch.setattr(session, "_guarding", lambda *_: None)
    deeds = (30.0, wish("pause", by="ann", why="a leak")), (90.0, wish("stop", by="bob"))
    reach = Reach(tmp_path, WATCHED, CLEANED, People(tmp_path, *deeds))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    return reach


def live(reach: Reach, name: str = "run", by: str = "") -> int:
    if (reach.folder / name / "journal.db").exists():
        return reach.run(name, again={"by": by})
    return reach.run(name, virtual=False, live=True, by=by)


def test_a_hold_binds_the_bench_until_its_person_or_force_ends_it(reach: Reach) -> None:
    assert live(reach) == 4 and reach.state().state == s.STOPPED
    lab, run = read_lab(reach.folder / "lab.yaml"), reach.folder / "run"
    with pytest.raises(BenchOwes, match=r"ann \(a leak\) paused"), taken(lab, live=True, person="bob"):
        pass
    with pytest.raises(BenchOwes, match=r"ann \(a leak\) paused"):
        live(reach, "other", by="bob")
    refused = reach.state("other")
    assert (refused.state, refused.exit_code) == (s.STOPPED, 6)
    assert "ann (a leak) paused" in refused.reason, "who looks at it later is told why it has not begun"
    with taken(lab, live=True, person="ann"), pytest.raises(SpecError, match="ann paused it"):
        live(reach, by="bob")
    said = wishes.ask(run, "resume", [], by="bob", why="")
    assert said.accepted is False and "ann paused it (a leak)" in said.message
    assert wishes.ask(run, "resume", ["force"], by="bob", why="").accepted is False
    forced = wishes.ask(run, "resume", ["force"], by="bob", why="ann is ill")
    assert forced.accepted and "no runner lives" in forced.message
    assert reach.facts(e.HoldReleased) == [e.HoldReleased(of="ann", by="bob", why="ann is ill")]
    with taken(lab, live=True, person="bob"):
        pass
    assert reach.state().state == s.STOPPED and live(reach, by="bob") == 0


def test_no_run_begins_where_the_journal_of_the_bench_is_gone(reach: Reach) -> None:
    assert live(reach) == 4
    bench = reach.folder / "bench.db"
    bench.unlink()
    with pytest.raises(StoreDamaged, match=r"bench\.db: .* somebody \(bench\.lease beside it says so\) had it"):
        live(reach, "other", by="bob")
    assert not bench.exists()
    with taken(read_lab(reach.folder / "lab.yaml"), live=True, person="bob"):
        assert bench.exists()


def test_no_run_begins_on_a_device_that_a_run_of_another_lab_file_has(reach: Reach, tmp_path: Path) -> None:
    """A copy of a lab's folder is another bench, with the same instruments on its lines."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lab.yaml").write_text((reach.folder / "lab.yaml").read_text())
    with taken(read_lab(elsewhere / "lab.yaml"), live=True), pytest.raises(StoreLocked, match="in use for another lab"):
        live(reach)
    with sole(read_lab(elsewhere / "lab.yaml")):
        assert reach.run("simulated") == 0
    assert live(reach, "later") == 0


def test_its_person_ends_a_hold_though_no_runner_lives(reach: Reach) -> None:
    assert live(reach) == 4
    ended = wishes.ask(reach.folder / "run", "resume", [], by="ann", why="")
    assert ended.accepted and ended.message.startswith("the pause is over")
    with taken(read_lab(reach.folder / "lab.yaml"), live=True, person="bob"):
        pass
    again = wishes.ask(reach.folder / "run", "resume", [], by="ann", why="")
    assert again.accepted is False and "no runner lives" in again.message


def test_what_another_run_did_where_a_sample_stands_is_asked_about(reach: Reach) -> None:
    assert live(reach) == 4 and reach.state().trials[1].state == s.RUNNING
    assert wishes.ask(reach.folder / "run", "resume", [], by="ann", why="").accepted
    reach.meddle = lambda bench, now_s: None
    assert live(reach, "other") == 0
    before = len(reach.records())
    other = reach.folder / "other"
    did = rf"1 step of pump_a, 1 step of pump_b, 1 step of waste by the run {other}"
    with pytest.raises(SpecError, match=rf"{did}; and the sample of trial 1 stands there.*--as-it-is.*veto 1"):
        live(reach)
    assert not any(isinstance(one.event, e.RunStarted | e.StepStarted) for one in reach.records()[before:])
    assert reach.run(again={"as_it_is": True, "why": "another cell"}) == 0
    (seen,) = reach.facts(e.ByHandSeen)
    assert seen.why == "another cell" and list(seen.acts.values()) == [did]
    assert reach.facts(e.TrialClosed), "it went on to its end"
    assert live(reach, "other") == 0 and reach.facts(e.ByHandSeen, "other")[0].acts, "and the other is told of this one"


def test_a_run_that_did_nothing_there_is_not_asked_about(reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live(reach) == 4
    assert wishes.ask(reach.folder / "run", "resume", [], by="ann", why="").accepted
    reach.meddle = People(reach.folder, (0.0, wish("stop", by="bob")))
    reach.meddle.inbox = reach.folder / "other" / "requests"
    assert live(reach, "other") == 4 and not reach.facts(e.StepStarted, "other")
    reach.meddle = lambda bench, now_s: None
    assert live(reach) == 0 and not reach.facts(e.ByHandSeen)
