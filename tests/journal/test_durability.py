"""Killed at any moment, cut at any byte, flipped at any bit, no room: the history is exact, or the damage is named."""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from labloop.campaign.events import NoteTaken
from labloop.journal import Journal, Reader, StoreDamaged, StoreError, StoreLocked, chain

WRITER = """
import sys
from pathlib import Path
from labloop.campaign.events import NoteTaken
from labloop.journal import Journal
path = Path(sys.argv[1])
with (Journal.open(path) if path.exists() else Journal.create(path)) as journal:
    n = sum(1 for _ in journal.records())
    while True:
        records = journal.append(*(NoteTaken(text=f"{n + i} " + "x" * 300) for i in range(1 + n % 3)))
        n += len(records)
        print(n, flush=True)
"""


def texts(path: Path) -> list[str]:
    with Journal.open(path) as journal:
        return [record.event.text for record in journal.records()]


def test_nothing_acknowledged_is_lost_to_kill_9(path):
    chance = random.Random(5)
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(chance.randrange(1, 120)):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            acknowledged = int(line) if line.endswith("\n") else acknowledged
        writer.wait()
        with Reader(path) as reader:
            seen = [record.event.text.split()[0] for record in reader.records()]
        assert seen == [str(n) for n in range(len(seen))] and 0 <= len(seen) - acknowledged <= 3
        assert [text.split()[0] for text in texts(path)] == seen  # the lock was free at once


def test_a_stopped_writer_still_holds_its_lock_and_a_killed_one_frees_it(path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreLocked) as refused:
        Journal.open(path)
    assert refused.value.pid == writer.pid and str(writer.pid) in str(refused.value)
    with Reader(path) as reader:
        assert reader.verify() >= 1
    writer.kill()
    Journal.open(path, wait_s=10).close()
    writer.wait()
    writer.stdout.close()


def test_a_log_cut_at_any_byte_leaves_an_exact_prefix(path, tmp_path, stamp):
    Journal.create(path, stamp).close()
    log, sizes = path.with_name("journal.db-wal"), [0]
    with Journal.open(path, stamp) as journal:
        for n in range(25):
            journal.append(*(NoteTaken(text=f"{n}.{i}" + "x" * 200) for i in range(1 + n % 2)))
            sizes.append(log.stat().st_size)
        whole = [record.event for record in journal.records()]
        main, data = path.read_bytes(), log.read_bytes()
    counts = [sum(1 + n % 2 for n in range(batches)) for batches in range(26)]
    chance = random.Random(3)
    cuts = sorted({*sizes, *(size - 1 for size in sizes[1:]), *(chance.randrange(len(data)) for _ in range(120))})
    copy = tmp_path / "cut" / "journal.db"
    copy.parent.mkdir()
    for cut in cuts:
        for old in copy.parent.iterdir():
            old.unlink()
        copy.write_bytes(main)
        copy.with_name("journal.db-wal").write_bytes(data[:cut])
        with Journal.open(copy, stamp) as journal:
            events = [record.event for record in journal.records()]
        batches = max(n for n, size in enumerate(sizes) if size <= cut)
        assert events == whole[: counts[batches]], f"cut at {cut}"


@pytest.fixture
def finished(path, stamp):
    with Journal.create(path, stamp) as journal:
        journal.append(*(NoteTaken(text=f"row {n} of the old history") for n in range(1, 301)))
    return path


def flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def test_a_flipped_bit_in_a_row_is_found_and_the_row_is_named(finished, stamp):
    data = finished.read_bytes()
    for n in (1, 2, 57, 120, 299, 300):
        offset = data.index(b"row %d of" % n) + 12
        flip(finished, offset, 0)
        for opener in (Journal.open, Reader):
            with pytest.raises(StoreDamaged, match=f"row {n} is not what was written there") as found:
                opener(finished).verify()
            assert found.value.seq == n
        with Reader(finished) as reader:
            given = []
            with pytest.raises(StoreDamaged, match=f"Rows 1 to {n - 1} are sound" if n > 1 else "No row before"):
                given.extend(record.seq for record in reader.records())
        flip(finished, offset, 0)
    with Reader(finished) as reader:
        assert reader.verify() == 300


def test_no_flipped_bit_anywhere_gives_a_wrong_row(finished, tmp_path):
    with Reader(finished) as reader:
        whole = list(reader.records())
    size, chance, found = finished.stat().st_size, random.Random(17), 0
    offsets = [*range(100), *(chance.randrange(size) for _ in range(400))]
    for offset in offsets:
        bit = chance.randrange(8)
        flip(finished, offset, bit)
        try:
            with Reader(finished) as reader:
                assert list(reader.records()) == whole, f"bit {bit} of byte {offset}"
        except StoreError:
            found += 1
        flip(finished, offset, bit)
    assert found > 150


TAMPERED = [
    ("UPDATE events SET body = replace(body, 'row 40 ', 'row 41 ') WHERE seq = 40", 40, "is not what was written"),
    ("UPDATE events SET at = replace(at, '2026', '2025') WHERE seq = 200", 200, "is not what was written"),
    ("UPDATE events SET type = 'TrialFailed' WHERE seq = 3", 3, "is not what was written"),
    ("UPDATE events SET trial = 7 WHERE seq = 3", 3, "is not what was written"),
    ("UPDATE events SET format = 0 WHERE seq = 3", 3, "is not what was written"),
    ("UPDATE events SET trial = 'x' WHERE seq = 9", 9, "is not what was written"),
    ("UPDATE events SET body = 12 WHERE seq = 9", 9, "is not what was written"),
    ("DELETE FROM events WHERE seq = 1", 1, r"is missing \(row 2 stands in its place\)"),
    ("DELETE FROM events WHERE seq = 77", 77, r"is missing \(row 78 stands in its place\)"),
    ("DELETE FROM events WHERE seq = 300", 300, "is missing, with all to row 300"),
    ("DELETE FROM events WHERE seq > 290", 291, "is missing, with all to row 300"),
    ("DELETE FROM events", 1, "is missing, with all to row 300"),
    (
        "UPDATE events SET seq = 999 WHERE seq = 20; UPDATE events SET seq = 20 WHERE seq = 30;"
        " UPDATE events SET seq = 30 WHERE seq = 999",
        20,
        "moved from another place",
    ),
    (
        "DELETE FROM events WHERE seq = 50; UPDATE events SET seq = -seq WHERE seq > 50;"
        " UPDATE events SET seq = -seq - 1 WHERE seq < 0",
        50,
        "moved from another place",
    ),
    ("UPDATE head SET chain = zeroblob(32)", 300, "does not agree with the head"),
    ("UPDATE head SET seq = 299", 299, "does not agree with the head"),
    ("DELETE FROM head", None, "the head"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "seq", "said"), TAMPERED, ids=[sql[:50] for sql, *_ in TAMPERED])
def test_what_was_altered_dropped_or_reordered_is_named(finished, stamp, sql, seq, said, monkeypatch):
    with contextlib.closing(sqlite3.connect(finished, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(sql)
        for _, trigger in triggers:
            connection.execute(trigger)
    for check in (lambda: Journal.open(finished, stamp), lambda: Reader(finished).verify()):
        with pytest.raises(StoreDamaged, match=said) as found:
            check()
        assert found.value.seq == seq
    for at_once in (1, 7, chain.AT_ONCE):
        monkeypatch.setattr(chain, "AT_ONCE", at_once)
        given = []
        with Reader(finished) as reader, pytest.raises(StoreDamaged, match=said):
            given.extend(record.seq for record in reader.records())
        assert given == list(range(1, seq or 1))  # what stands before it, and no more


def test_a_truncated_main_file_is_refused(finished, stamp):
    whole = finished.read_bytes()
    for size in (1, 50, 100, 4096, 4097, 8192, len(whole) - 4096, len(whole) - 1):
        finished.write_bytes(whole[:size])
        for opener in (Journal.open, Reader):
            with pytest.raises(StoreError):
                opener(finished).verify()


def test_a_damaged_index_is_found_by_verify_though_rows_are_sound(finished):
    with contextlib.closing(sqlite3.connect(finished)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_type'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    flip(finished, finished.read_bytes().index(b"NoteTaken", (page - 1) * size), 1)
    with Reader(finished) as reader:
        assert sum(1 for _ in reader.records()) == 300
        with pytest.raises(StoreDamaged, match="events_type"):
            reader.verify()


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from labloop.campaign.events import NoteTaken
from labloop.journal import Journal, StoreDamaged, StoreError
folder, hard = Path(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
outcomes = []
for room in range(0, 40000, 1777):
    path = folder / f"{room}.db"
    journal = Journal.create(path)
    kept = [journal.append(NoteTaken(text=f"{n} " + "x" * 900))[0].event.text for n in range(5)]
    log = path.with_name(path.name + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + room, hard))
    refused = None
    for n in range(60):
        try:
            kept.append(journal.append(NoteTaken(text=f"more {n} " + "x" * 900))[0].event.text)
        except StoreError as error:
            refused = type(error).__name__
            break
    again = None
    try:
        journal.append(NoteTaken(text="more again " + "x" * 9000))
    except StoreError as error:
        again = type(error).__name__
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    if again is not None:
        kept.append(journal.append(NoteTaken(text="room"))[0].event.text)
    else:
        kept.append("more again " + "x" * 9000)
    journal.close()
    with Journal.open(path) as journal:
        same = [record.event.text for record in journal.records()] == kept
        journal.verify()
    outcomes.append([room, refused, same])
print(json.dumps(outcomes))
"""


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 20
    for room, refused, same in outcomes:
        assert refused == "StoreFull" and same, room


def test_two_processes_never_both_write(path, stamp):
    with Journal.create(path, stamp) as journal:
        command = f"from pathlib import Path; from labloop.journal import Journal; Journal.open(Path({str(path)!r}))"
        other = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert f"StoreLocked: {path}: its writer's lock is held by process {os.getpid()}" in other.stderr
        journal.append(NoteTaken(text="still mine"))


def test_a_lock_whose_file_was_deleted_stops_the_writer_before_a_second_one_harms(path, stamp):
    journal = Journal.create(path, stamp)
    journal.append(NoteTaken(text="a"))
    path.with_name("journal.db.lock").unlink()
    with Journal.open(path, stamp) as second:
        second.append(NoteTaken(text="b"))
        with pytest.raises(StoreLocked, match="this lock is lost"):
            journal.append(NoteTaken(text="c"))
    journal.close()
    assert texts(path) == ["a", "b"]


def test_a_journal_whose_file_was_deleted_says_so_and_goes_on_when_it_is_put_back(path, stamp):
    journal = Journal.create(path, stamp)
    journal.append(NoteTaken(text="a"))
    path.rename(path.with_name("away.db"))
    for append in (journal.append, journal.append_surely):
        with pytest.raises(StoreError, match="was deleted, or another file was put in its place"):
            append(NoteTaken(text="into nothing"))
    path.with_name("away.db").rename(path)
    journal.append_surely(NoteTaken(text="b"))
    journal.close()
    assert texts(path) == ["a", "b"]


def test_a_journal_in_whose_place_an_older_one_was_put_is_not_written(path, stamp):
    with Journal.create(path, stamp) as journal:
        journal.append(NoteTaken(text="a"))
    older = path.with_name("older.db")
    shutil.copy(path, older)
    journal = Journal.open(path, stamp)
    journal.append(NoteTaken(text="b"))
    path.with_name("journal.db-wal").unlink()
    older.replace(path)
    with pytest.raises(StoreError, match="another file was put in its place"):
        journal.append_surely(NoteTaken(text="c"))
    journal.close()
    assert texts(path) == ["a"]


@pytest.mark.parametrize("beside", ["", "-shm"])
def test_a_log_that_was_deleted_takes_nothing_with_it(path, stamp, beside):
    """Whoever tidied up beside a running journal took all since the last checkpoint, once its process was killed."""
    journal = Journal.create(path, stamp)
    journal.append(NoteTaken(text="a"))
    for name in filter(None, ("-wal", beside)):
        path.with_name(path.name + name).unlink()
    with pytest.raises(StoreError, match="-wal: was deleted"):
        journal.append(NoteTaken(text="not yet"))
    journal.append(NoteTaken(text="b"))
    path.with_name("journal.db-wal").unlink()
    journal.append_surely(NoteTaken(text="c"))
    killed = path.parent / "killed"
    killed.mkdir()
    for there in path.parent.glob("journal.db*"):
        shutil.copy(there, killed)
    assert texts(killed / path.name) == ["a", "b", "c"]
    journal.close()
    assert texts(path) == ["a", "b", "c"]


def test_who_reads_along_goes_on_in_the_log_that_its_writer_begins_anew(path, stamp):
    """A dashboard went on to show what stood there when the log was deleted."""
    journal = Journal.create(path, stamp)
    journal.append(NoteTaken(text="a"))
    command = """
import sys
from pathlib import Path
from labloop.journal import Reader
reader = Reader(Path(sys.argv[1]))
for _ in sys.stdin:
    print(reader.changed(), *(record.event.text for record in reader.records()), flush=True)
"""
    other = subprocess.Popen(
        [sys.executable, "-c", command, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def seen():
        print(file=other.stdin, flush=True)
        return other.stdout.readline().split()

    with other:
        assert seen() == ["True", "a"]
        path.with_name("journal.db-wal").unlink()
        assert seen() == ["False", "a"]
        journal.append_surely(NoteTaken(text="b"))
        assert seen() == ["True", "a", "b"]
        journal.append(NoteTaken(text="c"))
        journal.close()
        assert seen() == ["True", "a", "b", "c"]
        other.stdin.close()


def test_a_journal_that_some_tool_left_without_a_log_is_written_on(path, stamp):
    with Journal.create(path, stamp) as journal:
        journal.append(NoteTaken(text="a"))
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    other.close()
    journal = Journal.open(path, stamp)
    journal.append(NoteTaken(text="b"))
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.close()
    journal.append(NoteTaken(text="c"))
    path.with_name("journal.db-wal").unlink()
    with pytest.raises(StoreError, match="-wal: was deleted"):
        journal.append(NoteTaken(text="d"))
    journal.close()
    assert texts(path) == ["a", "b", "c"]


def test_a_copied_folder_goes_on_elsewhere(finished, tmp_path, stamp):
    shutil.copytree(finished.parent, tmp_path / "copied", ignore=shutil.ignore_patterns("copied"))
    with Journal.open(tmp_path / "copied" / "journal.db", stamp) as journal:
        assert journal.append(NoteTaken(text="on"))[0].seq == 301
