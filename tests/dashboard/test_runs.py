"""The list of all runs."""

import os
import shutil
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from labloop.dashboard import DashboardApp
from labloop.dashboard.app import watch as open_dashboard
from labloop.dashboard.run_screen import RunScreen
from labloop.dashboard.runs_screen import RunsScreen
from labloop.dashboard.source import runs_below

from . import journals
from .conftest import drawings, drive, screen_text, settled


@pytest.fixture
def listed(tmp_path: Path, written, monkeypatch) -> DashboardApp:
    """Three runs that can be read and two that cannot."""
    for tell in (journals.finished, journals.halted, journals.told):
        told, now = written(tell)
        shutil.copytree(told, tmp_path / "runs" / tell.__name__)
    shutil.copytree(tmp_path / "runs" / "told", tmp_path / "runs" / "torn")
    (tmp_path / "runs" / "torn" / "campaign.yaml").unlink()
    (tmp_path / "runs" / "spoilt").mkdir()
    (tmp_path / "runs" / "spoilt" / "journal.db").write_text("no journal\n" * 1000)
    monkeypatch.chdir(tmp_path)
    return DashboardApp(None, below=tmp_path, now=lambda: now, look=lambda folder: "gone", zone=UTC)


def test_each_run_is_there_with_its_state(listed):
    shown: list[str] = []

    async def script(pilot):
        shown.append(screen_text(listed))

    drive(listed, script, size=(120, 24))
    rows = {line.split()[0]: line for line in shown[0].splitlines() if line.strip()}
    assert "SIMULATED" in rows["finished"] and "finished" in rows["finished"] and "40/40" in rows["finished"]
    assert "LIVE" in rows["halted"] and "halted" in rows["halted"]
    assert "on the front" in rows["told"] and "ASK AND TELL" in rows["told"]
    assert " is damaged or no journal at all" in rows["spoilt"] and "campaign.yaml: there is no such" in rows["torn"]


def test_a_list_that_stands_still_is_not_sent_again_and_again(listed, monkeypatch):
    async def script(pilot):
        drawn = drawings(listed, monkeypatch)
        for _ in range(5):
            listed.screen.tick()
            listed.screen._on_timer_update()
            await pilot.pause()
        assert not drawn

    drive(listed, script)


def test_enter_opens_a_run_and_escape_comes_back(listed):
    async def script(pilot):
        names = [str(row.value).rpartition("/")[2] for row in listed.screen.query_one("DataTable").rows]
        await pilot.press(*["down"] * names.index("halted"), "enter")
        await settled(pilot)
        assert isinstance(listed.screen, RunScreen)
        assert "WAITS FOR YOU" in screen_text(listed)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(listed.screen, RunsScreen)
        await pilot.press("q")

    drive(listed, script)
    assert listed.return_code == 0


def test_no_run_at_all_says_how_to_begin_one(tmp_path):
    app = DashboardApp(None, below=tmp_path)
    shown: list[str] = []

    async def script(pilot):
        shown.append(screen_text(app))

    drive(app, script)
    assert "labloop run" in shown[0]


def test_a_run_that_is_taken_away_while_they_are_listed_is_no_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [folder / "gone" / "journal.db"])
    assert runs_below(tmp_path) == [tmp_path / "gone"]


def test_without_a_terminal_it_says_so(capsys, tmp_path):
    assert open_dashboard(tmp_path) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_a_run_that_cannot_be_read_pushes_no_state_off_the_narrowest_screen(listed):
    shown: list[str] = []

    async def script(pilot):
        shown.append(screen_text(listed))

    drive(listed, script, size=(80, 24))
    rows = {line.split()[0]: line for line in shown[0].splitlines() if line.strip()}
    assert "SIMULATED" in rows["finished"] and "finished" in rows["finished"][10:] and "40/40" in rows["finished"]
    assert "LIVE" in rows["halted"] and "halted" in rows["halted"][10:] and "cannot be read" in rows["spoilt"]


def test_runs_that_live_stand_first_and_say_that_they_wait_and_days_are_told_apart(tmp_path: Path, written) -> None:
    for tell in (journals.finished, journals.asking):
        told, now = written(tell)
        shutil.copytree(told, tmp_path / "runs" / tell.__name__)
    os.utime(tmp_path / "runs" / "asking" / "journal.db", (0, 0))
    lives = {"asking": "alive"}
    next_day = now + timedelta(days=1)
    look = lambda run: lives.get(run.name, "gone")  # noqa: E731
    app = DashboardApp(None, below=tmp_path, now=lambda: next_day, look=look, zone=UTC)
    shown: list[str] = []

    async def script(pilot):
        shown.append(screen_text(app))

    drive(app, script, size=(140, 24))
    lines = shown[0].splitlines()
    heading = next(at for at, line in enumerate(lines) if line.split()[:2] == ["run", "mode"])  # below where they are
    first, second = lines[heading + 1 : heading + 3]
    assert first.split()[0] == "asking" and "waits for you" in first
    assert second.split()[0] == "finished" and "03-02 08:00:" in second
