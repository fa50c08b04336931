"""Append, read back, refuse; on a real file."""

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from labloop.campaign.events import NoteTaken, Record, TrialStarted
from labloop.journal import EventError, Journal, Reader, StoreDamaged, StoreError, StoreLocked, StoreNewer, begun


def rows(path: Path) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT * FROM events").fetchall()


def test_what_is_appended_is_read_back_by_writer_and_reader(path, stamp, facts):
    with Journal.create(path, stamp) as journal:
        first = journal.append(*facts(1))
        second = journal.append(facts(2)[0])
        assert [r.seq for r in first + second] == [1, 2, 3, 4, 5]
        assert len({r.at for r in first}) == 1 and second[0].at > first[0].at
        with Reader(path) as reader:
            assert list(journal.records()) == list(reader.records()) == first + second
            assert list(reader.records(after=4)) == second
            assert reader.last_seq == journal.last_seq == 5
            assert journal.verify() == reader.verify() == 5
    with Journal.open(path, stamp) as journal:
        assert list(journal.records()) == first + second
        assert journal.append(facts(3)[0])[0].seq == 6


def test_an_empty_append_writes_nothing(path, stamp):
    with Journal.create(path, stamp) as journal:
        assert journal.append() == []
        assert journal.last_seq == 0 and list(journal.records()) == []
    with Journal.open(path, stamp) as journal:
        assert journal.verify() == 0


def test_the_columns_serve_other_tools(path, stamp, facts):
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(7))
    found = rows(path)
    assert [(r[2], r[3], r[4]) for r in found] == [
        ("NoteTaken", None, 1), ("TrialStarted", 7, 1), ("StepStarted", 7, 1), ("TrialMeasured", 7, 1),
    ]  # fmt: skip
    with sqlite3.connect(path) as connection:
        assert connection.execute(
            "SELECT body ->> '$.instrument' FROM events WHERE type = 'StepStarted'"
        ).fetchone() == ("pump",)


def test_the_same_facts_and_stamps_give_the_same_rows(tmp_path, facts):
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path in paths:
        with Journal.create(path, lambda: "2026-01-01T00:00:00.000000+00:00") as journal:
            journal.append(*facts(1))
            journal.append(*facts(2))
    assert rows(paths[0]) == rows(paths[1])


def test_memory_keeps_the_same_promises(stamp, facts):
    with Journal.memory(stamp) as journal:
        records = journal.append(*facts(1))
        assert list(journal.records()) == records and journal.verify() == 4
        with pytest.raises(EventError):
            journal.append(TrialStarted(trial=1, t_s=float("nan")))
        assert journal.append(NoteTaken(text="on"))[0].seq == 5


class Interrupted:
    """A connection at which Ctrl-C comes in a statement that begins with ``word``, before or after it is done."""

    def __init__(self, connection, word: str, *, done: bool) -> None:
        self._connection, self._word, self._done = connection, word, done

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, sql, *values):
        if not sql.startswith(self._word):
            return self._connection.execute(sql, *values)
        if self._done:
            self._connection.execute(sql, *values)
        raise KeyboardInterrupt


@pytest.fixture(params=["file", "memory"])
def journal(request, path, stamp):
    with Journal.create(path, stamp) if request.param == "file" else Journal.memory(stamp) as journal:
        journal.append(NoteTaken(text="a"))
        yield journal


@pytest.mark.parametrize(("word", "done"), [("BEGIN", False), ("BEGIN", True), ("UPDATE", True), ("COMMIT", False)])
def test_an_append_interrupted_before_its_commit_is_as_if_it_never_was(journal, word, done):
    journal._connection = Interrupted(journal._connection, word, done=done)
    with pytest.raises(KeyboardInterrupt):
        journal.append(NoteTaken(text="b"), NoteTaken(text="c"))
    journal._connection = getattr(journal._connection, "_connection", None)
    assert [r.seq for r in journal.append(NoteTaken(text="d"))] == [2]
    assert [r.event.text for r in journal.records()] == ["a", "d"]
    assert journal.verify() == 2


def test_an_append_interrupted_after_its_commit_is_kept_and_not_written_twice(journal):
    journal._connection = Interrupted(journal._connection, "COMMIT", done=True)
    batch = [NoteTaken(text="b"), NoteTaken(text="c")]
    with pytest.raises(KeyboardInterrupt):
        journal.append(*batch)
    journal._connection = getattr(journal._connection, "_connection", None)
    assert [(r.seq, r.event) for r in journal.append(*batch)] == [(2, batch[0]), (3, batch[1])]
    assert [r.seq for r in journal.append(*batch)] == [4, 5]
    assert journal.verify() == 5


def test_what_a_failed_append_kept_is_said_before_anything_else_is_written(journal):
    journal._connection = Interrupted(journal._connection, "COMMIT", done=True)
    with pytest.raises(KeyboardInterrupt):
        journal.append(NoteTaken(text="b"))
    journal._connection = getattr(journal._connection, "_connection", None)
    with pytest.raises(StoreError, match=r"kept after all: rows 2 to 2\. Read them first"):
        journal.append(NoteTaken(text="x"))
    assert [r.event.text for r in journal.records(after=1)] == ["b"]
    assert journal.append(NoteTaken(text="x"))[0].seq == 3


def test_reading_between_a_failed_append_and_the_next_does_not_hide_the_failure(journal):
    journal._connection = Interrupted(journal._connection, "COMMIT", done=True)
    with pytest.raises(KeyboardInterrupt):
        journal.append(NoteTaken(text="b"))
    journal._connection = getattr(journal._connection, "_connection", None)
    assert [r.event.text for r in journal.records()] == ["a", "b"]
    assert [r.seq for r in journal.append(NoteTaken(text="b"))] == [2]


def test_a_value_that_json_cannot_keep_is_refused_whole(path, stamp):
    with Journal.create(path, stamp) as journal:
        for wrong in (float("nan"), float("inf")):
            with pytest.raises(EventError, match="NaN"):
                journal.append(NoteTaken(text="before"), TrialStarted(trial=1, t_s=wrong))
        assert journal.last_seq == 0 and list(journal.records()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET body = '{}' WHERE seq = 2",
        "UPDATE events SET seq = 99 WHERE seq = 2",
        "DELETE FROM events WHERE seq = 4",
        "DELETE FROM events",
        "INSERT INTO events VALUES (6, '', 'X', NULL, 1, '{}', x'00')",
        "INSERT INTO events VALUES (3, '', 'X', NULL, 1, '{}', x'00')",
        "INSERT INTO events VALUES (0, '', 'X', NULL, 1, '{}', x'00')",
        "INSERT INTO events VALUES (NULL, '', 'X', NULL, 1, '{}', x'00')",
        "INSERT OR REPLACE INTO events VALUES (4, '', 'X', NULL, 1, '{}', x'00')",
    ],
)
def test_triggers_refuse_what_is_no_append(path, stamp, facts, sql):
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(1))
    before = rows(path)
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match="a journal"):
        connection.execute(sql)
    assert rows(path) == before


def test_a_closed_journal_is_one_whole_file(path, stamp, facts, tmp_path):
    journal = Journal.create(path, stamp)
    records = journal.append(*facts(1))
    assert journal.close() and journal.close()
    copy = tmp_path / "elsewhere" / "journal.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    with Journal.open(copy, stamp) as again:
        assert list(again.records()) == records
    with pytest.raises(StoreError, match="is closed"):
        journal.append(*facts(2))
    with pytest.raises(StoreError, match="is closed"):
        list(journal.records())


def test_a_second_writer_is_told_who_has_it(path, stamp):
    import os
    import socket

    with Journal.create(path, stamp), pytest.raises(StoreLocked) as refused:
        Journal.open(path, stamp)
    assert (refused.value.pid, refused.value.host) == (os.getpid(), socket.gethostname())
    assert f"{os.getpid()} on {socket.gethostname()}, which is this one" in str(refused.value)
    Journal.open(path, stamp).close()


def test_a_journal_is_not_begun_twice(path, stamp, facts):
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(1))
    with pytest.raises(StoreError, match=r"is there already. Resume it"):
        Journal.create(path, stamp)
    with Reader(path) as reader:
        assert reader.verify() == 4


def test_a_creation_cut_short_can_be_begun_again(path, stamp):
    path.touch()
    with pytest.raises(StoreError, match="was never begun"):
        Journal.open(path, stamp)
    with pytest.raises(StoreError, match="was never begun"):
        Reader(path)
    Journal.create(path, stamp).close()
    Journal.open(path, stamp).close()


@pytest.mark.parametrize("opener", [Journal.open, Reader])
def test_what_is_no_journal_of_ours_is_refused(path, opener):
    with pytest.raises(StoreError, match="there is no journal"):
        opener(path)
    path.write_bytes(b"not a database at all, " * 100)
    with pytest.raises(StoreDamaged, match="no journal at all"):
        opener(path)
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE samples (name)")
    with pytest.raises(StoreError, match="another program's database"):
        opener(path)


@pytest.mark.parametrize("opener", [Journal.open, Reader])
def test_a_newer_schema_is_refused_and_left_alone(path, stamp, opener):
    Journal.create(path, stamp).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(StoreNewer, match="newer labloop"):
        opener(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


@pytest.mark.parametrize("opener", [Journal.open, Reader])
def test_altered_tables_are_named(path, stamp, opener):
    Journal.create(path, stamp).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER events_no_delete")
    with pytest.raises(StoreDamaged, match="altered: events_no_delete"):
        opener(path)


def test_a_schema_that_never_was_is_named(path, stamp):
    Journal.create(path, stamp).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    with pytest.raises(StoreDamaged, match="altered: schema 0"):
        Reader(path)


def test_threads_append_one_after_the_other(path, stamp):
    with Journal.create(path, stamp) as journal:
        gave: list[Record] = []

        def work(name: str) -> None:
            for n in range(20):
                gave.extend(journal.append(NoteTaken(text=f"{name}{n}"), NoteTaken(text=f"{name}{n}'")))

        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(r.seq for r in gave) == list(range(1, 121))
        assert sorted(gave, key=lambda r: r.seq) == list(journal.records())
        assert journal.verify() == 120


def test_another_programs_write_lock_is_named_and_survived(path, stamp, facts, monkeypatch):
    monkeypatch.setattr("labloop.journal.schema.BUSY_S", 0.05)
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(1))
        shell = sqlite3.connect(path, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another program keeps it locked"):
            journal.append(*facts(2))
        shell.execute("ROLLBACK")
        assert [r.seq for r in journal.append(*facts(2))] == [5, 6, 7, 8]
        shell.close()


def test_appending_while_a_record_is_read_gives_it_too(path, stamp):
    with Journal.create(path, stamp) as journal:
        journal.append(*(NoteTaken(text=str(n)) for n in range(2000)))
        seen = 0
        for record in journal.records():
            seen += 1
            if record.seq == 10:
                journal.append(NoteTaken(text="late"))
        assert seen == 2001


def test_a_journal_is_begun_with_its_first_event(path, stamp, facts):
    assert not begun(path)
    path.touch()
    assert not begun(path), "an empty file, as a creation that was cut short leaves it"
    Journal.create(path, stamp).close()
    assert not begun(path), "tables, and no event"
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(1))
    assert begun(path)
    with pytest.raises(StoreError, match="is there already"):
        Journal.create(path, stamp)
    path.write_bytes(b"nonsense" * 1000)
    assert begun(path), "whoever opens it is told what is wrong"
