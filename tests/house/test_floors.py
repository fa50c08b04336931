"""The house's own rules: imports run downhill, files hold one noun, types and style hold, nothing is evaluated."""

import re
import subprocess
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
ROOMS = ("labloop", "drivers", "simulators")
SOURCES = sorted(path for room in ROOMS for path in (HOUSE / room).rglob("*.py"))
# About 400 lines; past that a file has two nouns in it.
LONGEST = 420
# Not used as names of ours: one word, one thing (see the list of words in docs/architecture.md).
VAGUE = re.compile(r"\b(?:class|def) \w*(?:[Mm]anager|[Hh]andler|[Hh]elper|[Uu]tils?)\b")


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=HOUSE, capture_output=True, text=True, check=False)


def test_imports_run_downhill() -> None:
    """The contracts in pyproject.toml: layers, and one door for each heavy library."""
    said = tool("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")
    assert said.returncode == 0, said.stdout + said.stderr


def test_no_files_of_a_room_need_each_other() -> None:
    """Not for a type either: what two files name of each other belongs into a third below both."""
    named = re.compile(r"^ *from \.(\w*) import (.+)$", re.MULTILINE)
    for room in sorted({path.parent for path in SOURCES if "labloop" in path.parts}):
        needs = {
            path.stem: {
                file
                for whence, names in named.findall(path.read_text(encoding="utf-8"))
                for file in ([whence] if whence else re.findall(r"\w+", names))
                if (room / f"{file}.py").exists()
            }
            for path in room.glob("*.py")
            if path.stem != "__init__"
        }
        tuple(TopologicalSorter(needs).static_order())  # CycleError names the files


def test_style() -> None:
    said = tool("-m", "ruff", "check", "--no-cache", ".")
    assert said.returncode == 0, said.stdout


def test_types(mypy: Callable[[], tuple[int, str]]) -> None:
    code, words = mypy()
    assert code == 0, words


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_holds_one_noun(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert not re.search(r"(?<![\w.])(?:eval|exec)\(", text), "expressions are parsed, never evaluated"
    assert not re.search(r"\bimport (?:pickle|shelve|marshal|dill|cloudpickle)\b", text), "facts are never pickled"
    assert not VAGUE.search(text), "a vague name"


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
    left = [str(path) for path in SOURCES if marks.search(path.read_text(encoding="utf-8"))]
    assert left == []


def test_every_room_and_file_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(HOUSE))
        for path in SOURCES
        if path.read_text(encoding="utf-8").strip() and not path.read_text(encoding="utf-8").startswith(('"""', 'r"""'))
    ]
    assert silent == []
