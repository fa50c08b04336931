"""Keys that come together, over a slow line or from quick hands: what is typed for a line is no act, and none is lost
from the middle of what goes to the run."""

import json

import pytest
from textual.events import Key
from textual.widgets import Input

from labloop.dashboard.dialogs import Answer, Wish

from . import journals
from .conftest import drive
from .test_keys import asked

NAMES = {"/": "slash"}


async def at_once(pilot, *keys: str) -> None:
    """All of them before the first is heard."""
    for key in keys:
        pilot.app.post_message(Key(NAMES.get(key, key), "\r" if key == "enter" else key))
    for _ in range(4):
        await pilot.pause()


def lines_of(app) -> list[str]:
    return [line.value for line in app.screen.query(Input)]


@pytest.mark.parametrize(("page", "rests"), [("2", False), ("5", True)])
def test_the_letters_of_a_filter_are_no_acts(watch, monkeypatch, page, rests):
    monkeypatch.setenv("LOGNAME", "marie")  # it is her pause: r would end it at once
    app = watch(journals.paused if rests else journals.running)

    async def script(pilot):
        await pilot.press(page)
        await pilot.pause()
        await at_once(pilot, *("/re/" if rests else "/ps/"))
        assert lines_of(app) == ["re/" if rests else "ps/"]

    drive(app, script)
    assert asked(app) == []


@pytest.mark.parametrize("page", ["2", "5"])
def test_nor_are_they_where_the_page_itself_is_opened_by_the_same_keys(watch, page):
    app = watch(journals.running)

    async def script(pilot):
        await at_once(pilot, page, *"/4qps")
        assert app.is_running and app.screen.query_one(Input).has_focus
        await pilot.press("p")
        assert lines_of(app) == ["p"]

    drive(app, script)
    assert asked(app) == []


def test_of_an_amount_nothing_is_lost_unnoticed(watch):
    app = watch(journals.halted)

    async def script(pilot):
        await pilot.press("a")
        await at_once(pilot, "enter", "1")
        await pilot.press(*"2.5 uL", "enter")
        assert isinstance(app.screen, Answer) and lines_of(app) == [""]
        await pilot.press(*"12.5 uL", "enter")

    drive(app, script)
    assert asked(app) == [("resolve", ["10.pump_seed", "done", "12.5 uL"], "")]


def test_a_reason_typed_ahead_does_not_get_into_the_settings(watch):
    app = watch(journals.at_rest)

    async def script(pilot):
        await pilot.press("h")
        await at_once(pilot, *"pump_water.dispense volume=1", "enter", *"2nd", "enter")
        assert isinstance(app.screen, Wish) and lines_of(app) == ["pump_water.dispense volume=1", "2nd"]
        await pilot.press("shift+tab", "1", "tab", "enter")

    drive(app, script)
    assert asked(app) == [("act", ["pump_water.dispense", "volume=11"], "2nd")]


def test_no_question_comes_up_while_a_filter_is_written(watch, commands):
    commands.says = 0, json.dumps({"changes": [], "words": []})
    app = watch(journals.running)

    async def script(pilot):
        run = app.screen
        await pilot.press("5", "slash")
        run.action_unamend()
        await app.workers.wait_for_complete()
        await pilot.press(*"x", "enter")
        await app.workers.wait_for_complete()

    drive(app, script)
    assert [one[1] for one in commands] == ["--preview"]
