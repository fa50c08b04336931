"""Files that are whole: and who may read them."""

import errno
import os
import stat
import sys
from pathlib import Path

import pytest

from labloop.journal import StoreError
from labloop.journal.files import private_folder, write_whole


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_what_is_shared_is_for_whom_the_umask_lets_and_the_rest_for_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "ours", b"1", shared=True)
        write_whole(tmp_path / "mine", b"2")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ours": 0o640, "mine": 0o600}


def test_a_folder_on_a_disk_that_is_read_only_says_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    way_out = "Mount it so that it can be written again, then go on with `labloop resume`"
    monkeypatch.setattr(Path, "chmod", refuses)
    with pytest.raises(StoreError, match=rf"cannot write in this folder: Read-only file system\. {way_out}"):
        private_folder(tmp_path)
    monkeypatch.setattr(Path, "mkdir", refuses)
    with pytest.raises(StoreError, match=rf"cannot make this folder: Read-only file system\. {way_out}"):
        private_folder(tmp_path / "new")
