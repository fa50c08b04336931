"""Files that are whole: and who may read them."""

import os
import stat
import sys
from pathlib import Path

import pytest

from labloop.journal.files import write_whole


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
