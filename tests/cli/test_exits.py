"""Exit codes: every error of ours has one on purpose, and a defect says that it is one."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import labloop as package
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.campaign.errors import LabloopError, SpecError, StateError
from labloop.cli import exits
from labloop.cli.app import DEFECT, Door
from labloop.journal.errors import StoreFull
from labloop.runner import session


def every_error() -> list[type[LabloopError]]:
    for module in pkgutil.walk_packages(package.__path__, "labloop."):
        heavy = module.name.startswith("labloop.planner.") and not module.name.endswith(("errors", "process"))
        if not module.name.endswith("__main__") and "dashboard" not in module.name and not heavy:
            importlib.import_module(module.name)
    found: list[type[LabloopError]] = []
    waiting = [LabloopError]
    while waiting:
        kinds = waiting.pop().__subclasses__()
        found += kinds
        waiting += kinds
    return found


def test_every_error_has_a_code_on_purpose() -> None:
    kinds = every_error()
    assert len(kinds) > 12
    for kind in kinds:
        assert any(base.__name__ in exits.CODES for base in kind.__mro__) or kind.__name__ == "NotStarted", kind


@pytest.mark.parametrize(
    ("room", "name", "code"),
    [
        ("labloop.campaign.errors", "SpecError", 2),
        ("labloop.campaign.errors", "UnitError", 2),
        ("labloop.campaign.errors", "StateError", 2),
        ("labloop.bench", "LinkError", 3),
        ("labloop.bench", "InstrumentFault", 3),
        ("labloop.bench", "SafetyError", 3),
        ("labloop.journal", "StoreLocked", 5),
        ("labloop.journal", "StoreNewer", 5),
        ("labloop.journal", "StoreFull", 5),
        ("labloop.runner.book", "BenchOwes", 6),
        ("labloop.planner.errors", "NothingLeftError", 1),
    ],
)
def test_codes(room: str, name: str, code: int) -> None:
    kind = getattr(importlib.import_module(room), name)
    assert exits.code_of(kind("a complaint")) == code


def raising(error: BaseException) -> Any:
    app = typer.Typer(cls=Door, pretty_exceptions_enable=False)

    @app.command("spoil")
    def spoil() -> None:
        raise error

    @app.command("other")
    def other() -> None: ...

    return CliRunner().invoke(app, ["spoil"])


def test_a_complaint_is_said_and_coded() -> None:
    said = raising(SpecError("film.yaml:14:9: too hot", "film.yaml:15:9: too cold"))
    assert (said.exit_code, said.stderr) == (2, "film.yaml:14:9: too hot\nfilm.yaml:15:9: too cold\n")
    assert said.stdout == ""


def test_what_a_file_says_cannot_command_the_terminal() -> None:
    said = raising(StateError("the pump says \x1b[2J\x07"))
    assert "\x1b" not in said.stderr and "\x07" not in said.stderr


def test_an_interrupt_is_130() -> None:
    assert raising(KeyboardInterrupt()).exit_code == 130


def test_a_defect_keeps_its_traceback_and_says_so() -> None:
    said = raising(ZeroDivisionError("oh"))
    assert isinstance(said.exception, ZeroDivisionError)
    assert said.exception.__notes__ == [DEFECT]


def test_an_end_that_the_bench_brought_about_says_whether_it_is_safe() -> None:
    state = s.CampaignState()
    assert exits.meaning(3, state) == "an instrument was lost or refused, nothing has moved"
    begun = e.StepStarted(step="a", phase="setup", stage=0, index=0, instrument="pump", action="dispense", act=True)
    state.apply(e.Record(1, "", begun))
    state.apply(e.Record(2, "", e.SafeStateReached(why="lost", errors=["pump.stop: no answer"])))
    assert exits.meaning(3, state) == "an instrument was lost or refused, and not all of the bench is known to be safe"
    assert exits.meaning(4, state) == "stopped by a person, and not all of the bench is known to be safe"
    assert exits.meaning(6, state).endswith("a person, and not all of the bench is known to be safe")
    state.apply(e.Record(3, "", e.SafeStateReached(why="lost")))
    assert exits.meaning(3, state) == "an instrument was lost or refused, the bench is safe"
    assert exits.meaning(4, state) == "stopped by a person"
    assert exits.meaning(6, state) == "halted: it waits for a person"  # a cleanup was not done: nothing is asked
    state.questions["a"] = state.steps["a"]
    assert exits.meaning(6, state) == "halted: a question waits for a person"


@pytest.mark.parametrize("place", ["an argument", "the folder"])
def test_a_name_that_is_not_text_is_refused_at_the_door(tmp_path: Path, place: str) -> None:
    odd = tmp_path / os.fsdecode(b"r\xff")
    odd.mkdir()
    arguments, here = (["watch", odd], tmp_path) if place == "an argument" else (["watch"], odd)
    said = subprocess.run([sys.executable, "-m", "labloop", *arguments], cwd=here, capture_output=True, check=False)
    assert said.returncode == 2 and b"must be UTF-8" in said.stderr and b"Traceback" not in said.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that takes nothing is there on Linux")
@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_what_is_asked_before_any_verb_ends_in_words_on_a_full_disk(asked: str) -> None:
    with Path("/dev/full").open("w") as full:
        said = subprocess.run([sys.executable, "-m", "labloop", asked], stdout=full, stderr=subprocess.PIPE, text=True)
    assert said.returncode == 2
    assert said.stderr == "the output: No space left on device. Make room there, or name another place\n"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that takes none is there on Linux")
@pytest.mark.parametrize("verb", [("new", "/proc/lab"), ("new-driver", "lamp", "--in", "/proc")])
def test_a_place_where_no_folder_can_be_made_is_refused_in_words(verb: tuple[str, ...], labloop: Any) -> None:
    said = labloop(*verb)
    assert said.code == 2 and "no folder can be made there. Name another place" in said.err


def test_what_an_error_has_to_add_is_said_as_well(labloop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store that failed: whether the bench is safe, which no fact can say then."""

    def full(*words: Any, **more: Any) -> int:
        error = StoreFull("no room. Make some.")
        error.add_note("The bench was made safe.")
        raise error

    monkeypatch.setattr(session, "begin", full)
    said = labloop("run", Path(__file__).parents[2] / "campaigns" / "quickstart.yaml", "--virtual")
    assert said.code == 5 and said.err.splitlines()[-2:] == ["no room. Make some.", "The bench was made safe."]
