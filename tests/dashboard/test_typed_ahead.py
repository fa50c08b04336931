"""Keys that come together, over a slow line or from quick hands: what is typed for a line is no act, and none is lost
from the middle of what goes to the run."""

import json
import threading

import pytest
from textual.events import Key
from textual.widgets import Input

from labloop.dashboard import amend_acts, trial_acts
from labloop.dashboard.asking import Waiting
from labloop.dashboard.dialogs import Answer, Compare, Confirm, Line, Pick, Wish, Words
from labloop.dashboard.help import Help

from . import journals
from .conftest import PATIENCE_S, drive, screen_text
from .test_keys import asked
from .test_trial_keys import PAIR

NAMES = {"/": "slash"}
WIPE = ("backspace",) * len("19.5")


async def at_once(pilot, *keys: str) -> None:
    """All of them before the first is heard."""
    for key in keys:
        character = "\r" if key == "enter" else key if len(key) == 1 else None
        pilot.app.post_message(Key(NAMES.get(key, key), character))
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


@pytest.mark.parametrize(("keys", "line"), [
    ((*WIPE, *"12"), "q_tot=12"),
    ((*WIPE, "1", "left", "2", "end", "0"), "q_tot=210"),
    (("home", "delete", *"Q", "end", "0"), "Q_tot=19.50"),
])  # fmt: skip
def test_what_is_wiped_and_written_anew_is_heard_in_that_order(watch, keys, line):
    app = watch(journals.asking)

    async def script(pilot):
        await pilot.press("e")
        app.screen.query(Input).first().value = "q_tot=19.5"
        await pilot.pause()
        await at_once(pilot, *keys, "enter", *"slowly", "backspace", "backspace", *"er")
        assert lines_of(app) == [line, "slower"]

    drive(app, script)


@pytest.mark.parametrize(("keys", "line"), [
    (("1", "left", "2"), "21"), (("1", "2", "home", "delete"), "2"), (("1", "ctrl+u", "x"), "x"),
    (("1", "2", "shift+left", "3"), "13"),
])  # fmt: skip
def test_what_edits_what_was_typed_ahead_is_heard_in_that_order_too(watch, keys, line):
    app = watch(journals.running)

    async def script(pilot):
        await at_once(pilot, "n", *keys, "end", "!")
        assert lines_of(app) == [line + "!"]

    drive(app, script)


def test_a_line_that_is_begun_is_wiped_by_the_keys_behind_the_one_that_asks(watch):
    app = watch(journals.asking)

    async def script(pilot):
        await at_once(pilot, "e", "ctrl+u", "x")
        assert lines_of(app)[0] == "x"

    drive(app, script)


def test_two_enters_in_one_packet_answer_once_and_take_nothing_from_below_the_question(watch):
    app = watch(journals.running)

    async def script(pilot):
        run = app.screen
        await pilot.press("s")
        line = app.screen.query_one(Input)
        for _ in range(2):
            line.post_message(Input.Submitted(line, ""))
        await pilot.pause()
        assert app.screen is run and app.check_action("abort", ())

    drive(app, script)
    assert asked(app) == [("stop", [], "")]


def test_nothing_that_lies_on_top_is_left_twice(watch):
    app = watch(journals.running)
    answers = {"done": "it was done"}
    questions = (
        Confirm("", "", ""), Line("", "", ""), Answer("", "", answers), Pick("", [("a", "b")]), Wish("", "", "", ""),
        Compare({1: "a", 2: "b"}, True), Words("", ""), Help({}), Waiting("", ""),
    )  # fmt: skip

    async def script(pilot):
        run = app.screen
        await pilot.press("3")
        page = app.screen
        page.action_back()
        page.action_back()
        assert app.screen is run and page is not run
        for question in questions:
            await app.push_screen(question)
            for _ in range(2):
                question.dismiss(None)
            assert app.screen is run, type(question)

    drive(app, script)


ACTS = "pasrn1q"  # letters that are acts on the screen below


@pytest.mark.parametrize(("tell", "key", "behind"), [
    ("running", "n", ""), ("running", "s", ""), ("asking", "v", ""), ("at_rest", "h", ""), ("asking", "t", None),
])  # fmt: skip
def test_what_is_typed_before_a_question_is_there_comes_into_its_line_and_is_no_act(watch, tell, key, behind):
    app = watch(getattr(journals, tell))

    async def script(pilot):
        await at_once(pilot, key, *ACTS, "enter", *"xz", "backspace", "y")
        line, *_ = lines_of(app)
        assert line.endswith(ACTS + "xy") and (behind is None or line == ACTS + "xy")
        assert app.is_running

    drive(app, script)
    assert asked(app) == [], "an enter that came ahead is no answer"


def test_letters_stand_in_their_order_wherever_they_were_heard_first(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("n")
        dialog = app.screen
        for key in "ace":  # those behind them were heard by the line already
            await pilot.press(key)
        for key in "xyz":
            dialog.take(Key(key, key))
        await pilot.press("f", "enter")

    drive(app, script)
    assert asked(app) == [("note", ["xyzacef"], "")]


def held_back(monkeypatch, module) -> threading.Event:
    """Labloop's command line answers what ``module`` asks once this is set."""
    go_on, labloop = threading.Event(), module.labloop

    def slow(*arguments):
        assert go_on.wait(PATIENCE_S)
        return labloop(*arguments)

    monkeypatch.setattr(module, "labloop", slow)
    return go_on


def test_what_is_typed_while_a_question_is_worked_out_is_its_reason_and_no_act(watch, commands, monkeypatch):
    commands.says = 0, json.dumps({"changes": [], "words": []})
    app = watch(journals.running)
    go_on = held_back(monkeypatch, amend_acts)

    async def script(pilot):
        app.screen.action_unamend()
        await at_once(pilot, *ACTS, "z", "backspace", "enter")
        assert isinstance(app.screen, Waiting) and ACTS in screen_text(app)
        go_on.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert lines_of(app) == [ACTS]
        await pilot.press("enter")
        await app.workers.wait_for_complete()

    drive(app, script)
    assert asked(app) == []
    assert [one[1:4] for one in commands] == [("--preview", "--json", "--undo"), ("--yes", "--why", ACTS)]


def test_so_it_is_while_two_trials_are_chosen_to_be_compared(watch, commands, monkeypatch):
    commands.says = PAIR
    app = watch(journals.tasted, "gone")
    go_on = held_back(monkeypatch, trial_acts)

    async def script(pilot):
        app.screen.action_compare()
        await at_once(pilot, *"softer")
        go_on.set()
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter", *" s", "enter")
        await app.workers.wait_for_complete()

    drive(app, script)
    assert commands[-1][:3] == ("prefer", "--why", "softer s")


def test_who_left_is_not_asked(watch, commands):
    commands.says = 0, json.dumps({"changes": [], "words": []})
    app = watch(journals.running)

    async def script(pilot):
        run = app.screen
        waiting = Waiting("AMEND", "...")
        await app.push_screen(waiting)
        await pilot.press("escape")
        run._show(("--undo",), waiting, {"changes": [], "words": []})
        run._refused(waiting, "no")
        await pilot.pause()
        assert app.screen is run

    drive(app, script)
