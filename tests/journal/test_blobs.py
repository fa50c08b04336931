"""Bytes by their hash: whole, once, and found when damaged."""

import errno
import os
from hashlib import sha256

import pytest

from labloop.journal import Blobs, MemoryBlobs, StoreDamaged, StoreError, StoreFull, files


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path):
    return Blobs(tmp_path / "blobs") if request.param == "folder" else MemoryBlobs()


@pytest.mark.parametrize("data", [b"", b"a spectrum", bytes(range(256)) * 4096])
def test_what_is_put_is_given_back(blobs, data):
    sha = blobs.put(data)
    assert sha == sha256(data).hexdigest() == blobs.put(data)
    assert blobs.get(sha) == data


@pytest.mark.parametrize("name", ["", "../journal.db", "A" * 64, "0" * 63, "0" * 65, "/etc/passwd", "0" * 64 + "\n"])
def test_a_name_is_a_hash_and_nothing_else(blobs, name):
    with pytest.raises(StoreError, match="names no blob"):
        blobs.get(name)


def test_a_missing_blob_is_named(blobs):
    with pytest.raises(StoreError, match="f" * 64):
        blobs.get("f" * 64)


def test_the_folder_is_private_and_holds_nothing_else(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    names = {blobs.put(b"%d" % n) for n in range(5)}
    assert {path.name for path in blobs.folder.iterdir()} == names
    assert blobs.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("harm", [b"", b"a spectruM", b"a spectrum and more"])
def test_a_damaged_blob_is_named_and_healed_by_putting_it_again(tmp_path, harm):
    blobs = Blobs(tmp_path / "blobs")
    sha = blobs.put(b"a spectrum")
    (blobs.folder / sha).write_bytes(harm)
    with pytest.raises(StoreDamaged, match=f"{sha}: this blob is damaged: {len(harm)} bytes"):
        blobs.get(sha)
    blobs.put(b"a spectrum")
    assert blobs.get(sha) == b"a spectrum"


def test_it_is_synced_under_another_name_before_it_gets_its_own(tmp_path, monkeypatch):
    blobs, did = Blobs(tmp_path / "blobs"), []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        did.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def note_replace(old, new):
        did.append("name")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    blobs.put(b"x")
    assert did == ["file", "name", "folder"]
    blobs.put(b"x")
    assert len(did) == 3


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_half_blob(tmp_path, monkeypatch, call):
    blobs = Blobs(tmp_path / "blobs")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StoreFull, match="Make room"):
            blobs.put(b"x")
    assert list(blobs.folder.iterdir()) == []
    blobs.get(blobs.put(b"x"))


def test_what_a_crash_left_half_written_is_swept(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    sha = blobs.put(b"x")
    (blobs.folder / f"{files.PART}abc").write_bytes(b"hal")
    blobs.sweep()
    assert [path.name for path in blobs.folder.iterdir()] == [sha]
    Blobs(tmp_path / "none yet").sweep()
