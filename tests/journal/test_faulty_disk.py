"""Every write, truncation and sync fails once, or the power goes at any of them: nothing acknowledged is lost."""

import contextlib
import os
import sqlite3
import tempfile
from functools import partial
from pathlib import Path
from random import Random

import pytest

from labloop.campaign.events import NoteTaken
from labloop.journal import Journal, StoreDamaged, StoreError, StoreFull

from .faulty_disk import FaultyDisk, image, lay_out, library

pytestmark = pytest.mark.skipif(library() is None, reason="this Python's SQLite hides its functions")

SCRIPT = [[NoteTaken(text=f"{n}.{part} " + "x" * 700) for part in range(1 + n % 3)] for n in range(9)]
WHOLE = [event for batch in SCRIPT for event in batch]


@pytest.fixture
def folder(tmp_path):
    """Give a folder in memory where there is one: here the power fails by what the log says, not by the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def disk():
    disk = FaultyDisk()
    disk.install()
    yield disk
    disk.remove()


def until_it_works(do, errors: list[StoreError]):
    for _ in range(4):
        try:
            return do()
        except StoreError as error:
            errors.append(error)
    raise AssertionError(f"still fails: {errors[-1]}")


def play(path: Path, stamp, errors: list[StoreError], acked: list[int] | None = None, log=None) -> None:
    """Create, append all of SCRIPT (opening anew half-way), close; try again what is refused."""
    journal = until_it_works(lambda: Journal.create(path, stamp), errors)
    for number, batch in enumerate(SCRIPT):
        if acked is not None:
            acked.append(len(log))
        if number == 5:
            journal.close()
            journal = until_it_works(lambda: Journal.open(path, stamp), errors)
        records = until_it_works(partial(journal.append, *batch), errors)
        assert [record.event for record in records] == batch
    if acked is not None:
        acked.append(len(log))
    journal.close()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("refused", sqlite3.SQLITE_FULL),
        ("refused", sqlite3.SQLITE_IOERR_WRITE),
        ("torn", sqlite3.SQLITE_IOERR_WRITE),
        ("done", sqlite3.SQLITE_IOERR_WRITE),
    ],
)
def test_each_deed_fails_once(disk, folder, stamp, how, code):
    disk.how, disk.code = how, code
    refusals = 0
    for k in range(1000):
        path = folder / f"{k}.db"
        disk.count, disk.failed, disk.fail_at = 0, 0, range(k, k + 1)
        errors: list[StoreError] = []
        play(path, stamp, errors)
        disk.fail_at = None
        assert not any(isinstance(error, StoreDamaged) for error in errors)
        with Journal.open(path, stamp) as journal:
            assert [record.event for record in journal.records()] == WHOLE, f"deed {k}"
            assert journal.verify() == len(WHOLE)
        refusals += len(errors)
        if not disk.failed:
            break
    assert k > 40 and refusals > 20


def test_a_disk_that_stays_full_loses_nothing_and_goes_on_when_there_is_room(disk, folder, stamp):
    for k in range(20, 60, 3):
        path = folder / f"{k}.db"
        disk.fail_at, disk.count = None, 0
        journal = Journal.create(path, stamp)
        disk.fail_at, disk.kinds = range(k, 10**9), {"write"}
        kept = []
        with contextlib.suppress(StoreFull):
            for batch in SCRIPT * 3:
                journal.append(*batch)
                kept.append(batch)
        assert len(kept) < len(SCRIPT * 3)
        for _ in range(3):
            with pytest.raises(StoreFull, match="Make room"):
                journal.append(NoteTaken(text="again"))
        disk.fail_at = None
        journal.append(NoteTaken(text="again"))
        assert [r.event for r in journal.records()] == [e for batch in kept for e in batch] + [NoteTaken(text="again")]
        journal.close()


def test_power_goes_at_every_deed(disk, folder, stamp):
    path = folder / "journal.db"
    acked: list[int] = []
    play(path, stamp, [], acked, disk.log)
    log, sizes = list(disk.log), [sum(map(len, SCRIPT[:n])) for n in range(len(SCRIPT) + 1)]
    disk.remove()
    chance = Random(11)
    lost = set()
    try:
        for cut in range(len(log) + 1):
            for turn, (kept, torn) in enumerate([(0.0, 0.0), (1.0, 0.0), (0.4, 0.3), (0.8, 0.2)]):
                left = folder / f"{cut}.{turn}"
                left.mkdir()
                lay_out(image(log[:cut], chance, kept, torn), left)
                known = sum(1 for at in acked if at <= cut)  # create, then each batch
                if known == 0 and not (left / "journal.db").exists():
                    continue
                try:
                    with Journal.open(left / "journal.db", stamp) as journal:
                        events = [record.event for record in journal.records()]
                        assert journal.verify() == len(events)
                except StoreError:
                    assert known == 0, f"cut {cut}"
                    continue
                assert events == WHOLE[: len(events)] and len(events) in sizes
                assert len(events) >= sizes[max(known - 1, 0)], f"cut {cut}: {known} acknowledged"
                lost.add(len(events) - sizes[max(known - 1, 0)])
    finally:
        disk.install()
    assert len(lost) > 1  # some unacknowledged batches were there, others were not: the cuts did cut


@pytest.mark.parametrize("how", ["refused", "torn", "done"])
def test_a_disk_that_hiccups_once_at_any_deed_refuses_nothing(disk, folder, stamp, how):
    disk.how, disk.code = how, sqlite3.SQLITE_IOERR_WRITE
    journal = Journal.create(folder / "journal.db", stamp)
    began, hiccups = disk.count, 0
    for k in range(200):
        disk.fail_at = range(disk.count + k % 12, disk.count + k % 12 + 1)
        before = disk.failed
        (record,) = journal.append_surely(NoteTaken(text=f"{k} " + "x" * 700))
        assert record.event.text.startswith(f"{k} ")
        hiccups += disk.failed > before
    disk.fail_at = None
    assert hiccups > 20 and disk.count > began
    assert [record.event.text.split()[0] for record in journal.records()] == [str(k) for k in range(200)]
    assert journal.verify() == 200
    journal.close()


def test_a_disk_that_stays_full_is_said_to_be_full(disk, folder, stamp):
    journal = Journal.create(folder / "journal.db", stamp)
    disk.fail_at, disk.kinds = range(disk.count, 10**9), {"write"}
    with pytest.raises(StoreFull, match="Make room"):
        journal.append_surely(NoteTaken(text="x"))
    disk.fail_at = None
    journal.close()
