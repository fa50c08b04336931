"""The guards' pages in memory that killed runs leave behind: evidence stays, what is nobody's goes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labloop.runner import mark
from labloop.runner.mark import Mark

pytestmark = pytest.mark.skipif(not mark._in_memory(mark.MEMORY), reason="no memory file system")

# A guard that is killed as soon as its lock names its page.
KILLED = """
import os, sys
from pathlib import Path
from labloop.journal import FileLock
from labloop.runner.mark import Mark
for folder in map(Path, sys.argv[1:]):
    lock = FileLock.take(folder / "guard.lock", "its guard")
    page = Mark.set(folder)
    lock.write(**page.note)
    print(page.note["mark"], flush=True)
os._exit(9)
"""


@pytest.fixture
def pages() -> Iterator[list[Path]]:
    """Pages that the test takes away at its end."""
    made: list[Path] = []
    yield made
    for page in made:
        page.unlink(missing_ok=True)


def test_a_page_that_no_run_knows_any_more_goes(tmp_path: Path, pages: list[Path]) -> None:
    runs = [tmp_path / name for name in ("owes", "taken away", "guarded anew", "unreadable")]
    for run in runs:
        run.mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED, *runs], stdout=subprocess.PIPE, text=True, check=False)
    pages += map(Path, killed.stdout.split())
    owes, taken_away, guarded_anew, unreadable = pages
    (runs[1] / "guard.lock").unlink()
    (runs[2] / "guard.lock").write_bytes((runs[0] / "guard.lock").read_bytes())
    (runs[3] / "guard.lock").unlink()
    (runs[3] / "guard.lock").mkdir()
    living = Mark.set(tmp_path / "it lives")
    foreign = mark.MEMORY / f"{mark.PART}{tmp_path.parent.name}-{tmp_path.name}"
    foreign.write_bytes(b"something else")
    assert living is not None
    pages += [Path(living.note["mark"]), foreign]

    mark.sweep({})
    assert [page for page in pages if not page.exists()] == [taken_away, guarded_anew]
    assert mark.untouched(runs[0])
    mark.sweep(living.note)
    assert [page for page in pages if page.exists()] == [owes, unreadable, foreign]
