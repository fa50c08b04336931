"""The line of keys: what fits is whole, the way out is always there, and each key can be clicked."""

import pytest

from . import journals
from .conftest import drive, screen_text


def last_line(app) -> str:
    return screen_text(app).splitlines()[-1]


@pytest.mark.parametrize(("word", "shown"), [("Stop", "Stop this run?"), ("? H", "Keys"), ("palette", "Search")])
def test_a_key_is_clicked_anywhere_in_its_word(watch, word, shown):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.click("KeyLine", offset=(last_line(app).index(word) + len(word) - 1, 0))
        await pilot.pause()
        assert shown in screen_text(app)

    drive(app, script)


def test_between_two_keys_there_is_nothing_to_click(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.click("KeyLine", offset=(last_line(app).index("s Stop") - 1, 0))
        await pilot.pause()
        assert len(app.screen_stack) == 2 and not list(app.run_folder.glob("requests/*"))

    drive(app, script)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "/ Filter o Order d Turn ^x ^x Abort esc Back ? Help q Quit ▏^p palette"),
        (40, "/ Filter o Order d Turn … ? Help q Quit"),
    ],
)
def test_no_key_is_cut_and_help_and_quit_are_always_there(watch, width, line):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2")
        await pilot.pause()
        assert " ".join(last_line(app).split()) == line

    drive(app, script, (width, 24))


def test_keys_of_ones_own_stand_there_and_are_what_a_click_presses(watch):
    app = watch(journals.running)
    app.keys = {"stop": "ctrl+s"}

    async def script(pilot):
        await pilot.click("KeyLine", offset=(last_line(app).index("^s Stop"), 0))
        await pilot.pause()
        assert "Stop this run?" in screen_text(app)

    drive(app, script)
