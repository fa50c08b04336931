"""Reading a run: in helpings, while it grows, and when it cannot be read."""

import sqlite3
import subprocess
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.campaign.errors import StateError
from labloop.dashboard import DashboardApp, view
from labloop.dashboard.page import Page
from labloop.dashboard.source import JOURNAL, RunSource, runs_below
from labloop.dashboard.table import TrialTable
from labloop.journal import Blobs, Journal, StoreError, inbox

from . import journals
from .conftest import drive, screen_text, settled
from .story import BEGUN, PUMPS


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
    assert set(reading.current) == set(PUMPS[1:])


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
        await pilot.press("p", "s", "r", "a", "l", "2", "o", "d", "enter")
        await pilot.press("q")

    drive(app, script, size=(120, 40))
    assert "Cannot show this run" in shown[0]
    assert "".join(words.split()) in "".join(shown[0].split()), "wherever a long path breaks the lines"
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
    runner = ["alive"]
    app = DashboardApp(run, below=tmp_path, look=lambda folder: runner[0])

    async def script(pilot):
        shown = screen_text(app)
        assert "CANNOT READ ON" in shown and "trial" in shown
        runner[0] = "gone"
        app.screen.read_on()
        await pilot.pause()
        assert "RUNNER GONE" in screen_text(app), "who runs is seen though nothing can be read"
        await pilot.press("2")
        assert "CANNOT READ ON" in screen_text(app), "and that, on every screen"

    drive(app, script, size=(120, 40))


def test_an_empty_journal_waits_for_its_first_fact(run, tmp_path):
    (run / JOURNAL).unlink()
    with Journal.create(run / JOURNAL):
        pass
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        assert "holds no event" in screen_text(app)
        for key in "23456":
            await pilot.press(key)
            await pilot.pause()
            assert app.is_running and isinstance(app.screen, Page)
            assert "Cannot show this run   Its journal holds no event" in screen_text(app), "and why, on each of them"

    drive(app, script)


def test_a_run_that_appears_later_is_shown(run, tmp_path):
    (run / JOURNAL).rename(run / "elsewhere")
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        assert "Cannot show this run" in screen_text(app)
        overview = app.screen
        await pilot.press("2")
        (run / "elsewhere").rename(run / JOURNAL)
        overview.read_on()
        await pilot.pause()
        assert "Trials: 18, by trial" in screen_text(app), "on the page that was open meanwhile, too"
        await pilot.press("escape")
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


def amend(run: Path, before: str, after: str, text: str, undoes: int = 0) -> None:
    opened = source(run)
    opened.poll(10**9)
    assert opened.state.opened is not None
    Blobs(run / "blobs").put(text.encode())
    change = e.Change(place="parameters.q_tot.range", kind="narrowed", before=[200, 983], after=[300, 600])
    with Journal.open(run / JOURNAL) as journal:
        journal.append(
            e.Amended(
                before_sha256=before, campaign_sha256=after, changes=[change], files=opened.state.opened.files,
                by="ann", why="dilute", undoes=undoes,
            )
        )  # fmt: skip


def test_an_amended_campaign_is_what_everything_is_judged_by(run):
    reading = source(run)
    reading.poll(10**9)
    first = (run / "campaign.yaml").read_bytes()
    text = first.decode().replace("[200, 983]", "[300, 600]").replace("goal: minimize", "goal: maximize")
    one, two = (sha256(data).hexdigest() for data in (first, text.encode()))
    amend(run, one, two, text)
    change = reading.poll()
    assert change.amended and change.trials == set(reading.state.trials)
    assert reading.spec is not None and reading.spec.parameters["q_tot"].high == 600
    assert reading.spec.outcomes["spectrum_loss"].goal == "maximize" and reading.trouble == ""
    assert [line.text for line in change.lines] == [
        "amended by ann: parameters.q_tot.range: [200, 983] -> [300, 600] (narrowed) (dilute)"
    ]
    assert "amended" in view.headline(reading.spec, reading.state, "alive", BEGUN).facts
    amend(run, two, one, first.decode(), undoes=reading.state.amended[-1].seq)
    assert reading.poll().amended and reading.spec.parameters["q_tot"].high == 983
    assert "amended" not in view.headline(reading.spec, reading.state, "alive", BEGUN).facts


def test_what_comes_in_many_helpings_at_once_is_shown_whole(run, tmp_path, monkeypatch):
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        screen = app.screen
        monkeypatch.setattr(screen.source, "poll", partial(screen.source.poll, 2))
        with Journal.open(run / JOURNAL) as journal:
            for number in (19, 20):
                wished = e.ProposalMade(trial=number, sample=f"s{number}", settings={}, source="human")
                journal.append(wished, e.TrialAbandoned(trial=number, reason=f"no {number}"))
        while screen.read_on():
            pass
        assert screen.query_one(TrialTable)._numbers[-3:] == [18, 19, 20]
        await pilot.pause()
        assert "abandoned: no 19" in screen_text(app) and "abandoned: no 20" in screen_text(app)

    drive(app, script, size=(160, 48))


def test_the_best_trials_are_found_anew_once_another_is_wanted(run, tmp_path):
    first = (run / "campaign.yaml").read_bytes()
    text = first.decode().replace("goal: minimize", "goal: maximize")
    one, two = (sha256(data).hexdigest() for data in (first, text.encode()))
    app = DashboardApp(run, below=tmp_path, look=lambda folder: "alive")

    async def script(pilot):
        measured = [trial for trial in app.screen.source.state.trials.values() if trial.outcomes]
        least, most = (
            choose(measured, key=lambda trial: trial.outcomes["spectrum_loss"].value).trial for choose in (min, max)
        )
        assert app.screen._best == {least}
        amend(run, one, two, text)
        while app.screen.read_on():
            pass
        assert app.screen._best == {most}
        assert "amended by ann" in screen_text(app)

    drive(app, script, size=(160, 48))


def test_lines_that_a_long_log_would_lose_again_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = journals.finished(tmp_path / "run", trials=6).close()
    whole = RunSource(folder)
    whole.poll()
    monkeypatch.setattr("labloop.dashboard.source.LOG_LINES", 20)
    short = RunSource(folder)
    short.poll()
    short.close()
    whole.close()
    assert len(short.log) == 20 < len(whole.log) and list(short.log) == list(whole.log)[-20:]
    assert short.state == whole.state and short.said == whole.said


def test_a_run_that_is_taken_away_is_said_and_read_on_once_it_is_back(run: Path) -> None:
    reading = source(run)
    reading.poll()
    seen = reading.state.seq
    run.rename(run.with_name("elsewhere"))
    reading.poll()
    assert "there is no journal" in reading.trouble and reading.state.seq == seen
    with pytest.raises(StateError, match="no such run any more"):
        reading.post("pause")
    assert not run.exists()
    run.with_name("elsewhere").rename(run)
    with Journal.open(run / JOURNAL) as journal:
        journal.append(e.NoteTaken(text="back", by="ann"))
    assert [line.text for line in reading.poll().lines] == ["note by ann: back"] and reading.trouble == ""


def test_a_wish_that_was_taken_back_is_not_lost_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that nobody had read the first was out of the inbox when the second could not be taken, and was gone."""
    source, take_back = RunSource(tmp_path), inbox.take_back
    first, second = (source.post(request) for request in ("pause", "stop"))

    def not_the_second(folder: Path, id: str) -> bool:
        if id == second.id:
            raise StoreError("a disk that is read-only")
        return take_back(folder, id)

    monkeypatch.setattr(inbox, "take_back", not_the_second)
    source._deserted, heard = True, []
    with pytest.raises(StoreError):
        for sent in source.unheard():
            heard.append(sent)
    assert heard == [first] and [path.stem for path in (tmp_path / "requests").iterdir()] == [second.id]


def test_a_wish_that_a_new_start_may_have_read_is_not_brought_again(tmp_path: Path) -> None:
    """A start between the last look and the taking back had read it: an act by hand would have been done twice."""
    there = ["gone"]
    source = RunSource(tmp_path, look=lambda folder: there[0])
    sent = source.post("act", "pump.dispense")
    source._deserted, there[0] = True, "alive"
    assert list(source.unheard()) == [] and source.sent == [sent]
    assert [path.stem for path in (tmp_path / "requests").iterdir()] == [sent.id]
    there[0] = "gone"
    assert list(source.unheard()) == [sent] and not any((tmp_path / "requests").iterdir())
