"""mypy takes half a minute to look through the house: it begins when the session does, beside its tests."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

HOUSE: Final = Path(__file__).parents[2]
# On no more of the computer than the tests leave.
MYPY: Final = """
import os, runpy, sys
getattr(os, "nice", int)(19)
sys.argv = ["mypy"]
runpy.run_module("mypy", run_name="__main__")
"""
BEGUN: Final = pytest.StashKey[subprocess.Popen[str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin it where its test is to come. Of several processes that share the tests, the one that comes to it does."""
    wanted = any(item.name == "test_types" for item in session.items)
    if wanted and not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        session.config.stash[BEGUN] = begin()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End it where nobody waits for it any more."""
    mypy = session.config.stash.get(BEGUN, None)
    if mypy is not None and mypy.poll() is None:
        mypy.kill()
        mypy.communicate()


def begin() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MYPY], cwd=HOUSE, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture
def mypy(pytestconfig: pytest.Config) -> Callable[[], tuple[int, str]]:
    """How it ended, and what it said."""

    def said() -> tuple[int, str]:
        running = pytestconfig.stash.get(BEGUN, None) or begin()
        words, _ = running.communicate()
        return running.returncode, words

    return said
