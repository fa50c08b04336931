"""Eyes beside a living writer."""

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from labloop.campaign.events import NoteTaken
from labloop.journal import Journal, Reader, StoreError, StoreFull, StoreLocked, schema


def test_a_reader_sees_each_commit_at_once(path, stamp, facts):
    with Journal.create(path, stamp) as journal, Reader(path) as reader:
        assert reader.changed() and not reader.changed()
        last = 0
        for n in range(1, 30):
            records = journal.append(*facts(n))
            assert reader.changed() and not reader.changed()
            assert list(reader.records(after=last)) == records
            last = records[-1].seq
        assert list(reader.records(after=last)) == []


def test_a_reader_in_the_middle_never_keeps_the_log_from_being_wound_back(path, stamp):
    with Journal.create(path, stamp) as journal:
        journal.append(*(NoteTaken(text="x" * 500) for _ in range(3000)))
        with Reader(path) as reader:
            records = reader.records()
            next(records)  # stands there for hours
            log = path.with_name("journal.db-wal")
            for _ in range(60):
                journal.append(*(NoteTaken(text="y" * 500) for _ in range(100)))
            assert log.stat().st_size < 6_000_000
            assert journal._fold_log() and log.stat().st_size == 0
            assert sum(1 for _ in records) == 3000 + 6000 - 1


def test_a_foreign_reader_that_keeps_its_snapshot_stops_nothing(path, stamp, facts, monkeypatch):
    monkeypatch.setattr("labloop.journal.schema.BUSY_S", 0.05)
    journal = Journal.create(path, stamp)
    journal.append(*facts(1))
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN")
    assert shell.execute("SELECT count(*) FROM events").fetchone() == (4,)
    for n in range(2, 50):
        journal.append(*facts(n))
    assert shell.execute("SELECT count(*) FROM events").fetchone() == (4,)
    assert journal.close() is False
    shell.close()
    with Journal.open(path, stamp) as journal:
        assert journal.verify() == 49 * 4


def test_a_reader_writes_nothing(path, stamp, facts):
    with Journal.create(path, stamp) as journal:
        journal.append(*facts(1))
    with Reader(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("UPDATE head SET seq = 0")


def test_a_journal_that_a_killed_writer_left_is_read_with_its_log(path, stamp, facts, tmp_path):
    with Journal.create(path, stamp) as journal:
        records = journal.append(*facts(1))
        left = tmp_path / "left"
        left.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(path.with_name(name), left / name)
    with Reader(left / "journal.db") as reader:
        assert list(reader.records()) == records
    with Journal.open(left / "journal.db", stamp) as journal:
        assert list(journal.records()) == records


def test_a_shorter_journal_in_its_place_is_noticed(path, stamp, facts):
    with Journal.create(path, stamp) as journal, Reader(path) as reader:
        journal.append(*facts(1))
        with pytest.raises(StoreError, match="ends at row 4, but row 9"):
            list(reader.records(after=9))


def test_a_closed_reader_says_so(path, stamp):
    Journal.create(path, stamp).close()
    reader = Reader(path)
    reader.close()
    reader.close()
    with pytest.raises(StoreError, match="closed"):
        reader.changed()


def without_rights(folder: Path, do) -> str:
    """Do it in a child that may not write ``folder``; give what it says."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            said = str(do())
        except BaseException as error:  # noqa: BLE001  whatever it was, the parent must hear of it
            said = f"{type(error).__name__}: {error}"
        os.write(writable, said.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def for_all(folder: Path) -> bool:
    """Whether everybody may enter it."""
    return all(one.is_dir() and one.stat().st_mode & 0o001 for one in (folder, *folder.parents))


@pytest.fixture
def archive(stamp, facts):
    # tmp_path lies in a folder that only its owner may enter, and a TMPDIR may.
    places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp") if for_all(Path(place))]
    folder = Path(tempfile.mkdtemp(dir=next(iter(places), None)))
    with Journal.create(folder / "journal.db", stamp) as journal:
        journal.append(*facts(1))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_can_be_read(archive):
    assert without_rights(archive, lambda: Reader(archive / "journal.db").verify()) == "4"


def test_what_stands_still_is_read_from_a_full_disk_too(archive, monkeypatch):
    opened = schema._open

    class Full:
        """SQLite has no room there for the memory that it shares with a writer."""

        def execute(self, sql):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
            raise error

        def close(self): ...

    monkeypatch.setattr(schema, "_open", lambda uri: opened(uri) if "immutable" in uri else Full())
    assert Reader(archive / "journal.db").verify() == 4
    (archive / "journal.db-wal").write_bytes(b"something waits to be read")
    with pytest.raises(StoreFull):
        Reader(archive / "journal.db")


def test_a_read_only_folder_cannot_be_written_and_that_is_said(archive, stamp):
    said = without_rights(archive, lambda: Journal.open(archive / "journal.db", stamp))
    assert said.startswith("StoreError") and "Give yourself the right" in said
    (archive / "journal.db.lock").chmod(0o666)
    said = without_rights(archive, lambda: Journal.open(archive / "journal.db", stamp))
    assert said.startswith("StoreError") and "journal.db: cannot be opened" in said
    said = without_rights(archive, lambda: Journal.create(archive / "other.db", stamp))
    assert said.startswith("StoreError") and "other.db.lock" in said


def test_the_errors_are_told_apart():
    assert issubclass(StoreFull, StoreError) and issubclass(StoreLocked, StoreError)
