"""What is loaded when: nothing heavy before it is needed, and never through a side door."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dashboard.journals import finished

HEAVY = {"torch", "botorch", "gpytorch", "pandas", "matplotlib", "textual", "scipy"}
FOR_VERBS = HEAVY | {"pydantic", "numpy", "msgspec", "ruamel", "pint", "serial", "zmq", "rich"}


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh process has loaded after ``code``."""
    ending = "\nimport sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    said = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return set(json.loads(said.stdout.splitlines()[-1]))


def test_import_labloop_loads_nothing_heavy() -> None:
    assert not loaded("import labloop; labloop.__version__; labloop.__all__") & FOR_VERBS


@pytest.mark.parametrize(
    ("arguments", "never"), [(["--help"], FOR_VERBS), (["--version"], FOR_VERBS), (["run", "--help"], HEAVY)]
)
def test_help_loads_nothing_heavy(arguments: list[str], never: set[str]) -> None:
    code = f"""
import sys
sys.argv = ["labloop", *{arguments!r}]
from labloop.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert not loaded(code) & never


def test_what_the_next_shift_is_told_needs_no_dashboard(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", trials=2).close()
    code = f"""
import sys
sys.argv = ["labloop", "status", {str(run)!r}, "--since", "2020-01-01"]
from labloop.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert not loaded(code) & HEAVY


def test_the_public_names_are_given_without_torch() -> None:
    assert not loaded("import labloop; labloop.Campaign; labloop.run") & {"torch", "botorch", "pandas", "textual"}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("labloop.runner.session", {"torch", "pandas", "textual", "matplotlib"}),
        ("labloop.planner", {"torch", "pandas", "serial", "zmq"}),
        ("labloop.planner.service", {"torch", "botorch", "pandas", "serial", "zmq"}),
        ("labloop.campaign.spec", HEAVY),
        ("labloop.journal", HEAVY | {"pydantic", "numpy", "serial", "zmq"}),
        ("labloop.dashboard", {"torch", "pandas", "serial", "zmq"}),
        ("labloop.study.export", {"torch", "matplotlib", "textual", "serial", "zmq"}),
    ],
)
def test_a_room_loads_only_its_own(module: str, never: set[str]) -> None:
    assert not loaded(f"import {module}") & never


def test_help_is_instant() -> None:
    """Under 0.3 s of processor time (of one in twelve: a busy machine is no fault of ours)."""
    code = """
import resource, subprocess, sys
def spent():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
times = []
while len(times) < 12 and min(times, default=1.0) >= 0.3:
    before = spent()
    subprocess.run([sys.executable, "-m", "labloop", "--help"], check=True, stdout=subprocess.DEVNULL)
    times.append(spent() - before)
print(min(times))
"""
    if sys.platform == "win32":
        pytest.skip("no getrusage there")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(said.stdout) < 0.3
