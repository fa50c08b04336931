"""A run that waits for what only a person can do, on a bench that must not stay hot all night because nobody came."""

from pathlib import Path

import pytest
from people import Deed, People, wish
from reach import Reach
from test_rest import LAB, WARM, Patient, someone
from typer.testing import CliRunner

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.cli.app import app
from labloop.journal import inbox
from labloop.runner import wishes

ASKED = "trial {} waited for approval"


def reach_of(tmp_path: Path, *people: tuple[float, Deed], virtual: bool = False) -> Reach:
    reach = Reach(tmp_path, LAB, f"{WARM}\n    approval: human\n", People(tmp_path, *people))
    if not virtual:
        reach.time = lambda opened, state, note: Patient(state.t_s)
    return reach


def test_it_goes_on_by_itself_once_it_is_approved(tmp_path: Path) -> None:
    reach = reach_of(tmp_path, (30.0, wish("approve", "1", by="ann")), (240.0, wish("approve", "2", by="ann")))
    assert reach.run(virtual=False) == 0
    started = {one.trial: one.t_s for one in reach.facts(e.TrialStarted)}
    assert 30.0 <= started[1] < 60.0 and 240.0 <= started[2] < 280.0
    assert not reach.facts(e.CampaignPaused)


def test_nobody_comes_for_as_long_as_a_pause_may_last_and_the_bench_is_made_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reach = reach_of(tmp_path)
    seen: list[s.CampaignState] = []

    def does() -> None:
        folder = tmp_path / "run"
        seen.append(reach.state())
        assert reach.bench is not None and not reach.bench.devices["hotplate"].heats
        for word, *arguments in (["approve", "1"], ["resume"]):
            assert wishes.ask(folder, word, arguments, by="ann", why="").accepted
        inbox.post(folder / "requests", "stop", [], by="ann")

    with someone(reach, does, monkeypatch):
        assert reach.run(virtual=False) == 4
    (rested,) = seen
    assert rested.state == s.PAUSED and rested.safe
    assert rested.reason == ASKED.format(1)
    assert [one.t_s for one in reach.facts(e.RunStarted)][1] >= 120.0


def test_in_virtual_time_nobody_can_come(tmp_path: Path) -> None:
    reach = reach_of(tmp_path, virtual=True)
    assert reach.run() == 6
    state = reach.state()
    assert state.state == s.HALTED and state.reason == ASKED.format(1)
    said = CliRunner().invoke(app, ["status", str(tmp_path / "run")])
    assert f"waits for approval: labloop request {tmp_path / 'run'} approve 1, or veto, or edit" in said.stdout
    assert wishes.ask(tmp_path / "run", "approve", ["1"], by="ann", why="").accepted
    assert reach.run() == 6
    assert reach.state().trials[1].state == s.AWAITING
    assert reach.state().reason == ASKED.format(2)
