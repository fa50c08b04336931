"""A dashboard that only looks: no act is offered on any screen, and no key writes anything."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from labloop.campaign.errors import StateError
from labloop.dashboard.source import RunSource

from . import journals
from .conftest import drive, screen_text

ACTS = ("Pause", "Resume", "Stop", "Answer", "Approve", "Veto", "Note", "Refill", "Abort")
KEYS = ("p", "r", "s", "a", "y", "v", "n", "f", "e", "m", "t", "c", "ctrl+x", "ctrl+x")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run but SQLite's shared memory, which a reader of a log makes and takes away."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(("-shm", "-wal"))]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize("story", [journals.paused, journals.asking, journals.halted], ids=lambda one: one.__name__)
def test_no_key_of_any_screen_asks_for_anything(watch, story) -> None:
    app = watch(story, read_only=True)
    before = contents(app.run_folder)

    async def script(pilot: Pilot) -> None:
        for way in ("1", "2", "3", "1 enter"):  # overview, trials, bench, a trial's page
            await pilot.press(*way.split())
            await pilot.pause()
            shown = screen_text(app).splitlines()[-1]
            assert "Quit" in shown and not [word for word in ACTS if word in shown], shown
            await pilot.press(*KEYS)
            await pilot.pause()
            assert not [one for one in app.screen_stack if "dialog" in one.classes], way
        assert not {command.title for command in app.get_system_commands(app.screen)} & set(ACTS)

    drive(app, script, (160, 50))
    assert contents(app.run_folder) == before


def test_what_comes_to_the_inbox_all_the_same_is_refused(watch) -> None:
    folder = watch(journals.running).run_folder
    source = RunSource(folder, read_only=True)
    with pytest.raises(StateError, match="only looks"):
        source.post("abort")
    assert list((folder / "requests").iterdir()) == []


def test_keys_are_pressed_in_the_name_that_was_given(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "lab")  # what everybody at this bench logs in as
    folder = watch(journals.running).run_folder
    for given, by in (("marie", "marie"), ("", "lab")):
        source = RunSource(folder, by=given)
        sent = source.post("pause")
        assert f'"by":"{by}"' in next((folder / "requests").glob(f"*{sent.id}*")).read_text().replace(" ", "")
