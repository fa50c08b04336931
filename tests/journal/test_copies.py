"""A journal whose files are copied while it is written: a copy holds an exact beginning of it, or is refused."""

import shutil
import threading

import pytest

from labloop.campaign.events import NoteTaken
from labloop.journal import Journal, Reader, StoreError


@pytest.mark.parametrize("order", [("", "-wal"), ("-wal", "")], ids=["file first", "log first"])
def test_files_copied_in_mid_write(path, tmp_path, stamp, order):
    ended = threading.Event()
    written = 0

    def write():
        nonlocal written
        with Journal.create(path, stamp) as journal:
            while not ended.is_set() or written < 300:
                journal.append(*(NoteTaken(text=f"{written + n} " + "x" * 900) for n in range(3)))
                written += 3
                if written % 60 == 0:  # the log is written over into the file, and begun anew
                    journal._fold_log()

    writer = threading.Thread(target=write)
    writer.start()
    lengths, refused = [], 0
    while written < 60 and writer.is_alive():
        pass
    for number in range(60):
        copy = tmp_path / f"copy-{number}"
        copy.mkdir()
        for part in order:
            if path.with_name(path.name + part).exists():
                shutil.copy(path.with_name(path.name + part), copy / f"journal.db{part}")
        try:
            with Journal.open(copy / "journal.db", stamp) as journal:
                texts = [record.event.text.split()[0] for record in journal.records()]
        except StoreError:
            refused += 1
            continue
        # Of the last transaction it may hold a part: its pages were written one by one while the file was read.
        assert texts == [str(n) for n in range(len(texts))]
        lengths.append(len(texts))
    ended.set()
    writer.join()
    assert lengths and max(lengths) > 0
    with Reader(path) as reader:
        assert reader.verify() == written
