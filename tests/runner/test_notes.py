"""A run's journal that was cut short or replaced: it agrees with itself, and not with what the bench noted."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labloop.campaign import events as e
from labloop.journal import Journal, Reader, StoreDamaged
from labloop.journal.schema import TABLES
from labloop.runner.book import BenchBook
from labloop.runner.notes import Noted, hold_against, note_of


def at(hour: int) -> Callable[[], str]:
    return lambda: f"2026-01-01T{hour:02d}:00:00+00:00"


def opened(run_id: str = "0123", mode: str = "live") -> e.CampaignOpened:
    return e.CampaignOpened(campaign="c", run_id=run_id, version="1", mode=mode, seed=1, campaign_sha256="0")


def begin(folder: Path, lab: Path, rows: Sequence[str], hour: int = 1, run_id: str = "0123") -> None:
    """A run of so many notes on the bench in ``lab``, which was given back at its end."""
    folder.mkdir()
    lab.mkdir(exist_ok=True)
    (folder / "origin.json").write_text(json.dumps({"lab_folder": str(lab)}))
    fact = opened(run_id)
    with Journal.create(folder / "journal.db", at(hour)) as journal:
        journal.append(fact)
        with closing(BenchBook.open(lab, "bench", at(hour + 1))) as book:
            book.take_lease(str(folder), "live", {}, noted=[note_of(str(folder), fact, journal)])
            for text in rows:
                journal.append(e.NoteTaken(text=text))
            book.release_lease(str(folder), {}, [note_of(str(folder), fact, journal)])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    begin(tmp_path / "run", tmp_path / "lab", ["one", "two", "three"])
    return tmp_path / "run"


def cut(path: Path, seq: int) -> None:
    """Take away every row after ``seq``, so that nothing in the file says that there were any."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER events_no_delete")
        connection.execute("DELETE FROM events WHERE seq > ?", (seq,))
        connection.execute("UPDATE head SET seq = ?, chain = (SELECT chain FROM events WHERE seq = ?)", (seq, seq))
        connection.execute(next(sql for sql in TABLES if "events_no_delete" in sql))


def sound(path: Path) -> int:
    with Reader(path) as reader:
        return reader.verify()


def test_a_whole_journal_is_what_was_noted(run: Path, tmp_path: Path) -> None:
    bench = str(tmp_path / "lab" / "bench.db")
    assert hold_against(run) == Noted(rows=4, later=0, at="2026-01-01T02:00:00+00:00", bench=bench)
    with Journal.open(run / "journal.db", at(5)) as journal:
        journal.append(e.NoteTaken(text="when nobody ran"))
    assert hold_against(run) == Noted(rows=4, later=1, at="2026-01-01T02:00:00+00:00", bench=bench)


def test_wherever_the_folder_is_moved_to(run: Path, tmp_path: Path) -> None:
    assert hold_against(run.rename(tmp_path / "archive")).rows == 4


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_an_end_that_was_cut_off_cleanly_is_noticed(run: Path, seq: int) -> None:
    cut(run / "journal.db", seq)
    assert sound(run / "journal.db") == seq, "the chain alone cannot tell"
    with pytest.raises(
        StoreDamaged, match=rf"run/journal\.db: ends at row {seq}, and .*bench\.db noted its row 4"
    ) as it:
        hold_against(run)
    assert it.value.seq == 4


def test_a_journal_that_was_cut_and_went_on_is_another(run: Path) -> None:
    cut(run / "journal.db", 3)
    with Journal.open(run / "journal.db", at(5)) as journal:
        journal.append(e.NoteTaken(text="three"), e.NoteTaken(text="four"))
    assert sound(run / "journal.db") == 5
    with pytest.raises(StoreDamaged, match=r"its row 4 is another than .*bench\.db noted at 2026-01-01T02:00:00"):
        hold_against(run)


def replaced(run: Path, by: Path) -> None:
    for file in run.glob("journal.db*"):
        file.unlink()
    shutil.copy(by / "journal.db", run / "journal.db")


def test_a_forged_journal_of_the_same_run_is_another(run: Path, tmp_path: Path) -> None:
    begin(tmp_path / "forged", tmp_path / "elsewhere", ["one", "better", "best", "more"])
    replaced(run, tmp_path / "forged")
    assert sound(run / "journal.db") == 5
    with pytest.raises(StoreDamaged, match="its row 4 is another than"):
        hold_against(run)


@pytest.mark.parametrize("lab", ["lab", "elsewhere"])
def test_the_journal_of_an_earlier_run_in_its_place_is_named(run: Path, tmp_path: Path, lab: str) -> None:
    begin(tmp_path / "other", tmp_path / lab, ["one"], hour=0, run_id="4567")
    replaced(run, tmp_path / "other")
    with pytest.raises(StoreDamaged, match=r"is the journal of the run 4567 \(c\).*row 4 of the run 0123"):
        hold_against(run)


def test_a_new_run_in_the_folder_of_one_that_was_deleted_is_no_stranger(run: Path, tmp_path: Path) -> None:
    shutil.rmtree(run)
    begin(run, tmp_path / "lab", ["anew"], hour=6, run_id="4567")
    assert hold_against(run).rows == 2
    shutil.rmtree(run)
    begin(run, tmp_path / "elsewhere", [], hour=9, run_id="89ab")
    (run / "origin.json").write_text(json.dumps({"lab_folder": str(tmp_path / "lab")}))
    assert "bench.db has noted nothing of this run" in hold_against(run).why


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda run, lab: shutil.rmtree(lab), "not at hand.*the lab's folder .* is not here"),
        (lambda run, lab: (run / "origin.json").unlink(), "not at hand.*does not say where the lab's folder lies"),
        (lambda run, lab: [one.unlink() for one in lab.glob("bench.db*")], r"not at hand: there is no .*bench\.db"),
    ],
)
def test_without_a_bench_journal_it_says_so(run: Path, tmp_path: Path, spoil: Callable[..., Any], why: str) -> None:
    spoil(run, tmp_path / "lab")
    noted = hold_against(run)
    assert noted.rows == 0
    assert re.search(why, noted.why)


def test_what_is_told_has_no_bench(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "journal.db") as journal:
        journal.append(opened(mode="told"))
    assert "has no bench" in hold_against(tmp_path).why


def test_of_a_simulated_run_any_other_note_is_a_strangers(tmp_path: Path) -> None:
    """Its bench lies in its own folder, which may have been moved."""
    run = tmp_path / "run"
    run.mkdir()
    fact = opened(mode="virtual")
    with Journal.create(run / "journal.db", at(1)) as journal:
        journal.append(fact)
        with closing(BenchBook.open(run, "bench", at(2))) as book:
            book.take_lease("/once/here", "virtual", {}, noted=[note_of("/once/here", fact, journal)])
    assert hold_against(run).rows == 1
    (run / "journal.db").unlink()
    with Journal.create(run / "journal.db", at(1)) as journal:
        journal.append(opened("4567", mode="virtual"))
    with pytest.raises(StoreDamaged, match="row 1 of the run 0123: it was replaced as a whole"):
        hold_against(run)
