"""The tools that look through the whole house take half a minute: they begin when the session does, beside tests."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

HOUSE: Final = Path(__file__).parents[2]
# On no more than what the tests leave of the computer.
MEANWHILE: Final = "import os, runpy, sys; getattr(os, 'nice', int)(19); "
TOOLS: Final = {
    "test_types": "sys.argv = ['mypy']; runpy.run_module('mypy', run_name='__main__')",
    "test_imports_run_downhill": "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))",
}
BEGUN: Final = pytest.StashKey[dict[str, subprocess.Popen[str]]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin those whose test is among those to come. Of several processes that share them each begins its own later."""
    begun = session.config.stash.setdefault(BEGUN, {})
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        begun.update({item.name: begin(item.name) for item in session.items if item.name in TOOLS})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End those that nobody waits for any more."""
    for tool in session.config.stash.get(BEGUN, {}).values():
        if tool.poll() is None:
            tool.kill()
            tool.communicate()


def begin(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MEANWHILE + TOOLS[name]], cwd=HOUSE, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture
def tool_said(request: pytest.FixtureRequest) -> Callable[[], tuple[int, str]]:
    """How the tool of this test ended, and what it said."""

    def said() -> tuple[int, str]:
        tool = request.config.stash[BEGUN].pop(request.node.name, None) or begin(request.node.name)
        words, _ = tool.communicate()
        return tool.returncode, words

    return said
