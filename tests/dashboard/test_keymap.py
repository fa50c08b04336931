"""Keys of one's own: what they do then, and what is refused, with the place and a way out."""

import re
from pathlib import Path

import pytest
from textual.pilot import Pilot

from labloop.campaign.errors import SpecError
from labloop.dashboard.keymap import bindings_of, place_of_keys, read_keys, screens
from labloop.journal import inbox

from . import journals
from .conftest import drive, screen_text


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABLOOP_KEYS", str(tmp_path / "keys.yaml"))
    return tmp_path / "keys.yaml"


def test_another_key_does_it_and_the_old_one_does_not(watch, file: Path) -> None:
    file.write_text("pause: P\nstop: p\nhelp: ['?', f1]\n")
    app = watch(journals.running)
    app.keys = read_keys()
    assert app.keys == {"pause": "P", "stop": "p", "help": "question_mark,f1"}

    async def script(pilot: Pilot) -> None:
        assert "P Pause" in screen_text(app) and "p Stop" in screen_text(app)
        await pilot.press("p")
        await pilot.pause()
        assert "Stop this run?" in screen_text(app)
        await pilot.press("escape", "P")
        await pilot.pause()
        await pilot.press("f1")
        await pilot.pause()
        assert "Your own keys: pause P, stop p, help question_mark or f1" in " ".join(screen_text(app).split())

    drive(app, script, (120, 40))
    wishes, _ = inbox.take(app.run_folder / "requests")
    assert [wish.request for wish in wishes] == ["pause"]


def test_keys_of_ones_own_count_on_every_screen_and_its_help_names_them(watch, file: Path) -> None:
    file.write_text("veto: V\nfilter: F\n")
    app = watch(journals.asking)
    app.keys = read_keys()

    async def script(pilot: Pilot) -> None:
        await pilot.press("2", "question_mark")
        await pilot.pause()
        assert re.search(r"F +Filter", screen_text(app))
        await pilot.press("escape", "v")
        await pilot.pause()
        assert "Drop trial" not in screen_text(app)
        await pilot.press("V")
        await pilot.pause()
        assert "Drop trial" in screen_text(app)

    drive(app, script, (120, 40))


@pytest.mark.parametrize("written, where, words", [
    ("pauze: P", "1:1", "no key has this name. Did you mean pause?"),
    ("abort: a", "1:1", "abort is ctrl+x twice on every bench"),
    ("abort: escape", "1:1", "abort is ctrl+x twice on every bench"),
    ("stop: p", "1:7", "p is the key of pause. Give one of them another key"),
    ("stop: P\npause: P", "1:7", "P is the key of pause"),
    ("order: slash", "1:8", "slash is the key of filter"),
    ("pause: escape", "1:8", "stays as it is. Take another key"),
    ("pause: enter", "1:8", "stays as it is"),
    ("pause: 3", "1:8", "stays as it is"),
    ("pause: l", "1:8", "stays as it is"),
    ("pause: ctrl+c", "1:8", "stays as it is"),
    ("pause: ctrl+x", "1:8", "ctrl+x aborts, twice and from anywhere"),
    ("pause: PP", "1:8", "is no key. Write a letter"),
    ("pause: f99", "1:8", "is no key"),
    ("pause: []", "1:8", "names no key"),
    ("pause: {}", "1:8", "is no key"),
    ("- pause", "1:1", ""),
])  # fmt: skip
def test_what_is_refused(file: Path, written: str, where: str, words: str) -> None:
    file.write_text(written + "\n")
    with pytest.raises(SpecError) as refused:
        read_keys()
    assert str(refused.value).startswith(f"{file}:{where}: ") and words in str(refused.value)


def test_two_may_change_places(file: Path) -> None:
    file.write_text("pause: r\nresume: p\n")
    assert read_keys() == {"pause": "r", "resume": "p"}


def test_a_file_that_is_named_must_be_there_and_the_usual_one_need_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_keys()
    monkeypatch.delenv("LABLOOP_KEYS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(file.parent / "config"))
    assert read_keys() == {} and place_of_keys().name == "keys.yaml"


def test_every_act_has_a_name_and_none_has_two_keys_of_one_screen() -> None:
    for screen in screens():
        keys = [key for one in {one.action: one for one in bindings_of(screen)}.values() for key in one.key.split(",")]
        assert len(keys) == len(set(keys)), screen


def test_the_page_names_every_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    names = {binding.id for screen in screens() for binding in bindings_of(screen) if binding.id}
    listed = page[page.index("The names are ") :].partition(".\n")[0]
    assert set(re.findall(r"`([\w-]+)`", listed)) == names
