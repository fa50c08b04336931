"""A run was moved, or another is begun where one lay: what the bench knows is that run's and no other's."""

from itertools import count
from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.runner.book import BY_HAND, GUARD, BenchBook, BenchOwes

QUESTION = {"7.trial.0.0.1": "Was pump.dispense of trial 7 done?"}


def note(run: str, run_id: str) -> list[e.JournalNoted]:
    return [e.JournalNoted(run=run, run_id=run_id, seq=1, chain="00")]


def killed(book: BenchBook, run: str, run_id: str) -> None:
    """It leaves a question, an act by hand beside it, and is killed the next time."""
    book.take_lease(run, "live", {}, noted=note(run, run_id))
    book.release_lease(run, QUESTION, note(run, run_id), {"ann": "lunch"})
    book.take_lease(BY_HAND, "live", {}, looks=True)
    book.record(e.ByHand(act="h1", instrument="pump", action="dispense", by="ann", done=True))
    book.release_lease(BY_HAND, {})
    book.take_lease(run, "live", {}, noted=note(run, run_id))
    book.record(e.LeaseTaken(epoch=book.state.epoch + 1, run=run, mode=GUARD), *note(run, run_id))
    book.record(e.GuardActed(epoch=book.state.epoch, run=run, why="it was gone"))


@pytest.fixture
def book() -> BenchBook:
    seconds = count()
    return BenchBook.memory("bench", lambda: f"2026-01-01T00:{next(seconds) // 60:02d}:00+00:00")


def test_a_run_that_was_moved_is_the_run_that_it_was(book: BenchBook) -> None:
    killed(book, "runs/a", "0a")
    book.take_lease("runs/moved", "live", {}, noted=note("runs/moved", "0a"))
    assert [one for one, _ in book.state.questions] == ["runs/moved"]
    assert [act.act for act, _ in book.by_hand_since("runs/moved", ())] == ["h1"]
    assert [act.epoch for act in book.guarded("runs/moved", 0)] == [4]
    assert not book.others_since("runs/moved")
    book.release_lease("runs/moved", {})
    assert not book.state.questions


def test_a_run_that_is_begun_where_another_lay_has_nothing_of_it(book: BenchBook) -> None:
    killed(book, "runs/a", "0a")
    book.take_lease("runs/a", "live", {}, noted=note("runs/a", "0b"))
    assert not book.guarded("runs/a", 0) and not book.by_hand_since("runs/a", ()) and not book.others_since("runs/a")
    book.release_lease("runs/a", {}, note("runs/a", "0b"))
    book.take_lease("runs/elsewhere", "live", {}, noted=note("runs/elsewhere", "0a"))
    assert [one for one, _ in book.state.questions] == ["runs/elsewhere"], "nobody has settled it in its place"
    assert [act.epoch for act in book.guarded("runs/elsewhere", 0)] == [4]
    assert [one.run for one in book.others_since("runs/elsewhere")] == ["runs/a"]


def test_what_stays_in_its_place_binds_as_before(book: BenchBook, tmp_path: Path) -> None:
    mine = str(tmp_path)
    (tmp_path / "journal.db").touch()
    killed(book, mine, "0a")
    with pytest.raises(BenchOwes, match="ended without a word"):
        book.take_lease("runs/b", "live", {}, noted=note("runs/b", "0b"))
    book.take_lease(mine, "live", {}, noted=note(mine, "0a"))
    assert [act.epoch for act in book.guarded(mine, 0)] == [4]


@pytest.mark.parametrize("resumed", [True, False])
def test_what_a_run_that_was_moved_has_answered_binds_nobody(book: BenchBook, tmp_path: Path, resumed: bool) -> None:
    """Though another run lies by now where it was asked."""
    then, now, third = (str(tmp_path / name) for name in ("then", "now", "third"))
    for folder in (then, now):
        Path(folder).mkdir()
        (Path(folder) / "journal.db").touch()
    book.take_lease(then, "live", {}, noted=note(then, "0a"))
    book.release_lease(then, QUESTION, note(then, "0a"))
    book.take_lease(then, "live", {}, noted=note(then, "0b"))
    book.release_lease(then, {}, note(then, "0b"))
    if resumed:
        book = BenchBook(book.journal)
        book.take_lease(now, "live", {}, noted=note(now, "0a"))
        with pytest.raises(BenchOwes, match=f"to the run {now}: "):  # where it lies, and not where it lay
            book.release_lease(now, QUESTION, note(now, "0a"))
            BenchBook(book.journal).take_lease(BY_HAND, "live", {})
    book = BenchBook(book.journal)
    book.known_as(now, "0a")
    assert [one for one, _ in book.state.questions] == [now]
    book.record(e.QuestionClosed(run=now, step="7.trial.0.0.1", answer="done", by="ann"))
    for run, noted in ((BY_HAND, []), (third, note(third, "0c"))):
        book = BenchBook(book.journal)
        book.take_lease(run, "live", {}, noted=noted)
        book.release_lease(run, {}, noted)
