"""Reading a run: in helpings, while it grows, and when it cannot be read."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.dashboard import DashboardApp
from labloop.dashboard.source import JOURNAL, RunSource, runs_below
from labloop.journal import Journal

from . import journals
from .conftest import drive, screen_text, settled


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return journals.running(tmp_path / "running").close()


def source(folder: Path) -> RunSource:
    return RunSource(folder, look=lambda folder: "alive")


def test_helpings_add_up_to_the_same_state(run):
    whole, bits = source(run), source(run)
    whole.poll(helping=10**9)
    helpings = 1
    while bits.poll(helping=50).more:
        helpings += 1
    assert helpings > 3
    assert bits.state == whole.state and bits.current == whole.current and list(bits.log) == list(whole.log)


def test_what_is_appended_later_comes_with_the_trials_it_touches(run):
    reading = source(run)
    reading.poll(10**9)
    assert reading.poll().facts == 0
    with Journal.open(run / JOURNAL) as journal:
        journal.append(
            e.StepFinished(step=next(iter(reading.current.values())).begun.step), e.NoteTaken(text="hello", by="jon")
        )
    change = reading.poll()
    assert change.facts == 2 and change.trials == {18}
    assert [line.text for line in change.lines] == ["note by jon: hello"]
    assert set(reading.current) == set(journals.PUMPS[1:])


def test_a_comparison_touches_every_trial_that_was_compared(run):
    reading = source(run)
    reading.poll(10**9)
    with Journal.open(run / JOURNAL) as journal:
        journal.append(e.Preferred(outcome="taste", trial=2, over=1), e.Preferred(outcome="taste", trial=3, over=2))
    reading.poll()
    with Journal.open(run / JOURNAL) as journal:
        journal.append(e.Preferred(outcome="taste", trial=3, over=2))
    assert reading.poll().trials == {1, 2, 3}


def test_the_campaign_is_read_with_the_files_that_the_run_kept(run):
    reading = source(run)
    reading.poll()
    assert reading.spec is not None and reading.trouble == ""
    assert reading.spec.files["target_spectrum.csv"].parent == run / "blobs"


def missing(run: Path) -> None:
    (run / JOURNAL).unlink()


def empty(run: Path) -> None:
    (run / JOURNAL).write_bytes(b"")


def no_journal_at_all(run: Path) -> None:
    (run / JOURNAL).write_text("this is a letter to my grandmother\n" * 400)


def truncated(run: Path) -> None:
    data = (run / JOURNAL).read_bytes()
    (run / JOURNAL).write_bytes(data[: len(data) // 2])


def newer(run: Path) -> None:
    with sqlite3.connect(run / JOURNAL) as connection:
        connection.execute("PRAGMA user_version = 99")


def no_campaign_file(run: Path) -> None:
    (run / "campaign.yaml").unlink()


def broken_campaign_file(run: Path) -> None:
    (run / "campaign.yaml").write_text("labloop: 1\nparametres: {}\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "there is no journal"),
        (empty, "was never begun"),
        (no_journal_at_all, "no journal at all"),
        (truncated, "damaged"),
        (newer, "newer labloop"),
        (no_campaign_file, "campaign.yaml"),
        (broken_campaign_file, "parametres"),
    ],
)
def test_a_run_that_cannot_be_read_is_said_in_the_app(run, tmp_path, spoil, words):
    spoil(run)
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "gone")
    shown: list[str] = []

    async def script(pilot):
        shown.append(screen_text(app))
        await pilot.press("p", "s", "r", "a", "l")
        await pilot.press("q")

    drive(app, script, size=(120, 40))
    assert "Cannot show this run" in shown[0]
    assert words in " ".join(shown[0].split())
    assert app.return_code == 0


def test_damage_in_the_middle_keeps_what_was_read_before(run, tmp_path):
    with sqlite3.connect(run / JOURNAL) as connection:
        trigger = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'events_no_update'").fetchone()[0]
        connection.execute("DROP TRIGGER events_no_update")
        seq = connection.execute("SELECT seq FROM events WHERE seq > 150 AND body LIKE '%81.25%'").fetchone()[0]
        connection.execute("UPDATE events SET body = replace(body, '81.25', '18.25') WHERE seq = ?", (seq,))
        connection.execute(trigger)
    reading = source(run)
    reading.poll(10**9)
    assert reading.state.seq == seq - 1 and f"row {seq}" in reading.trouble
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        shown = screen_text(app)
        assert "CANNOT READ ON" in shown and "trial" in shown

    drive(app, script, size=(120, 40))


def test_an_empty_journal_waits_for_its_first_fact(run, tmp_path):
    (run / JOURNAL).unlink()
    with Journal.create(run / JOURNAL):
        pass
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        assert "holds no event" in screen_text(app)

    drive(app, script)


def test_a_run_that_appears_later_is_shown(run, tmp_path):
    (run / JOURNAL).rename(run / "elsewhere")
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        assert "Cannot show this run" in screen_text(app)
        (run / "elsewhere").rename(run / JOURNAL)
        app.screen.read_on()
        await settled(pilot)
        shown = screen_text(app)
        assert "Cannot show" not in shown and "RUNNING" in shown

    drive(app, script)


def test_runs_below_finds_them_here_and_in_runs_newest_first(tmp_path):
    import os

    for n, name in enumerate(("runs/a", "runs/b", "c")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / JOURNAL).touch()
        os.utime(tmp_path / name / JOURNAL, (n, n))
    assert [run.name for run in runs_below(tmp_path)] == ["c", "b", "a"]


def test_the_dashboard_imports_nothing_heavy():
    code = (
        "import sys, labloop.dashboard.app; "
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'botorch', 'scipy', 'serial', 'zmq') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
