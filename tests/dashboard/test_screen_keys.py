"""Keys that go from screen to screen, and through what they show."""


import pytest
from textual.events import Key
from textual.widgets import Input

from labloop.campaign import events as e
from labloop.dashboard import model_page, timeline_page
from labloop.dashboard.bench_page import BenchPage
from labloop.dashboard.log_lines import LogLines
from labloop.dashboard.log_page import LogPage
from labloop.dashboard.model_page import ModelPage
from labloop.dashboard.run_screen import RunScreen
from labloop.dashboard.table import TrialTable
from labloop.dashboard.timeline_page import TimelinePage
from labloop.dashboard.trial_page import TrialPage
from labloop.dashboard.trials_page import TrialsPage
from labloop.journal import Journal
from labloop.planner.figure import KINDS

from . import journals
from .conftest import drawings, drive, screen_text, still
from .stored import StoredPainter
from .test_keys import asked


def test_enter_opens_the_trial_under_the_cursor_and_escape_leaves_it(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("down", "down", "enter")
        assert isinstance(app.screen, TrialPage)
        await pilot.pause()
        shown = screen_text(app)
        assert "Trial 16" in shown and "spectrum_loss" in shown and "pump_agno3.dispense" in shown
        await pilot.press("left")
        await pilot.pause()
        assert "Trial 15" in screen_text(app)
        await pilot.press("right", "right")
        await pilot.pause()
        assert "Trial 17" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)

    drive(app, script)


def test_arrows_move_in_the_table(watch):
    app = watch(journals.running)

    async def script(pilot):
        table = app.screen.query_one(TrialTable)
        places = []
        for key in ("down", "down", "up", "end", "home", "pagedown", "pageup"):
            await pilot.press(key)
            places.append(table.trial)
            await pilot.pause()
            paper = table.get_component_rich_style("trials--cursor", partial=True).bgcolor
            drawn = [part for strip in app.screen._compositor.render_strips() for part in strip]
            lit = [part.text for part in drawn if part.style and part.style.bgcolor == paper and part.text.strip()]
            assert [int(row.split()[0].rstrip("★")) for row in lit] == [table.trial]  # one line, wherever it was before
        assert places == [17, 16, 17, 1, 18, 18 - 4, 18]

    drive(app, script)


def test_news_that_come_while_the_dashboard_is_taken_apart_are_left(watch):
    app = watch(journals.running)

    async def script(pilot):
        first = app.screen
        await pilot.press("5")
        app._running = False  # as _shutdown() begins; before that no news may come to a page without its lines
        await app.screen.query(LogLines).remove()
        first.tick()
        app._running = True

    drive(app, script)


def test_l_opens_the_log_and_escape_leaves_it(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("l")
        await pilot.pause()
        assert isinstance(app.screen, LogPage)
        assert "trial 17 measured" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)

    drive(app, script)


def test_digits_go_from_screen_to_screen_and_never_pile_them_up(watch):
    app = watch(journals.running)

    async def script(pilot):
        for key, kind in (
            ("2", TrialsPage),
            ("3", BenchPage),
            ("4", TimelinePage),
            ("5", LogPage),
            ("4", TimelinePage),
            ("1", RunScreen),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, kind)
            assert len(app.screen_stack) <= 3

    drive(app, script)


@pytest.mark.parametrize(
    ("key", "most"), [("2", 0), ("4", 0), ("6", 0), ("n", 1)], ids=["screen", "timeline", "model", "question"]
)
def test_a_still_screen_is_not_drawn_again_and_again_for_what_lies_below_it(watch, monkeypatch, key, most):
    app = watch(journals.finished, runner="gone")
    monkeypatch.setattr(timeline_page, "REDRAW_S", 0.0)
    monkeypatch.setattr(model_page, "Painter", StoredPainter)

    async def script(pilot):
        overview = app.screen
        await pilot.press(key)
        await still(pilot)
        drawn = drawings(app, monkeypatch)
        overview.refresh()  # as something below does now and then
        for _ in range(5):
            overview.read_on()
            if isinstance(app.screen, ModelPage):
                app.screen._say()  # as it does each second
            overview._on_timer_update()  # Textual's own, 60 times a second at most
            app.screen._on_timer_update()
            await pilot.pause()
        assert len(drawn) <= most
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is overview and len(drawn) > most, "it is drawn when it is on top again"

    drive(app, script)


def test_an_overview_that_stands_still_is_not_sent_again_while_a_request_waits(watch, monkeypatch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("p")
        await still(pilot)
        assert "pause: sent; waiting for the runner" in screen_text(app)
        drawn = drawings(app, monkeypatch)
        for _ in range(5):
            app.screen.read_on()
            app.screen._on_timer_update()
            await pilot.pause()
        assert not drawn

    drive(app, script)


def test_the_names_of_the_screens_can_be_clicked(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2")
        await pilot.pause()
        at = screen_text(app).splitlines()[-2].index("4 Timeline")
        await pilot.click("#screens", offset=(at + 3, 0))
        await pilot.pause()
        assert isinstance(app.screen, TimelinePage)

    drive(app, script)


def test_a_digit_leaves_no_question_behind(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("s", "4")
        assert app.screen.query_one(Input).value == "4"
        await pilot.press("ctrl+p")
        assert app.screen.query_one(Input).value == "4"

    drive(app, script)


def test_the_palette_offers_what_can_be_done_now_by_name(watch):
    app = watch(journals.running)

    async def script(pilot):
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert "Pause" in titles and "Resume" not in titles and "Timeline" in titles
        await pilot.press("ctrl+p", *"pause")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("4", "ctrl+p", *"keys")
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause()
        assert "Keys of this screen" in screen_text(app)

    drive(app, script)
    assert asked(app) == [("pause", [], "")]


def test_read_only_offers_no_act_in_the_palette_either(watch):
    app = watch(journals.running, read_only=True)

    async def script(pilot):
        titles = {command.title for command in app.get_system_commands(app.screen)}
        screens = {"Overview", "Trials", "Bench", "Timeline", "Log", "Model", "Exchanges"}
        assert titles == {*screens, *(f"Model: {kind}" for kind in KINDS), "Keys", "Quit"}

    drive(app, script)


def test_the_timeline_goes_back_and_follows_again(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("4")
        await pilot.pause()
        assert "the last 1 h" in screen_text(app)
        await pilot.press("plus", "left")
        await pilot.pause()
        assert "until 5 min 00 s ago: 10 min" in screen_text(app)
        await pilot.press("end", "minus")
        await pilot.pause()
        assert "the last 1 h" in screen_text(app)
        await pilot.press("left")
        await pilot.pause()
        assert "the last 1 h" in screen_text(app), "it is younger than half an hour: there is nothing before"
        await pilot.press("question_mark")
        await pilot.pause()
        shown = screen_text(app)
        assert "← →       " in shown and "+ -       " in shown, "each key once"

    drive(app, script)


def test_trials_are_filtered_letter_by_letter_and_escape_wipes_the_filter_first(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2", "slash", *"failed")
        await pilot.pause()
        shown = screen_text(app)
        assert "Trials: 1 of 18" in shown and "✗ failed" in shown and "● measured" not in shown
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert isinstance(app.screen, TrialPage) and "Trial 5" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, TrialsPage)
        await pilot.press("escape")
        await pilot.pause()
        assert "Trials: 18, by trial, falling" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)

    drive(app, script)


def test_trials_are_put_in_order_and_turned(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2", "o", "home")
        await pilot.pause()
        assert "by spectrum_loss, rising" in screen_text(app)
        assert app.screen.query_one(TrialTable).trial == 16
        await pilot.press("d", "home")
        await pilot.pause()
        assert "by spectrum_loss, falling" in screen_text(app)
        assert app.screen.query_one(TrialTable).trial == 3
        await pilot.press("O")
        await pilot.pause()
        assert "by trial, falling" in screen_text(app)

    drive(app, script)


def test_a_filter_that_nothing_meets_shows_nothing_and_opens_nothing(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2", "slash", *"xyzzy", "enter", "down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, TrialsPage) and "Trials: 0 of 18" in screen_text(app)

    drive(app, script)


def test_w_asks_another_process_why_and_shows_what_it_says(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("end", "enter", "w")
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown = screen_text(app)
        assert "Why trial 1?" in shown and "first design (sobol)" in shown
        await pilot.press("escape")
        assert isinstance(app.screen, TrialPage)

    drive(app, script, (120, 40))
    assert asked(app) == []


@pytest.mark.parametrize("key", ["2", "3", "4", "5"])
def test_news_and_keys_that_come_while_a_screen_is_being_made_are_no_error(watch, key):
    app = watch(journals.running)

    async def script(pilot):
        run = app.screen
        name = {"2": "trials", "3": "bench", "4": "timeline", "5": "log"}[key]
        run.go(name)  # pushed, and none of its parts is there yet
        page = app.screen
        assert not page.ready and page.check_action("zoom", (1,)) is None
        run.read_on()
        run.trial_in_hand()
        await pilot.pause()
        assert page.ready and app.screen is page

    drive(app, script)


@pytest.mark.parametrize("way", ["2", "3", "4", "5", "3 x", "1 enter"])
def test_what_is_asked_of_the_run_is_asked_on_every_screen_and_its_keys_are_told_there(watch, way):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press(*way.split())
        await pilot.pause()
        assert "? Help" in screen_text(app).splitlines()[-1] and "^x ^x Abort" in screen_text(app).splitlines()[-1]
        await pilot.press("p", "question_mark")
        await pilot.pause()
        shown = screen_text(app)
        assert "pause: no new step starts" in shown
        assert ("Keys of this screen" in shown) == (way != "3 x"), "the exchanges have no key of their own"
        await pilot.press("escape", "s")
        await pilot.pause()
        assert "Stop this run?" in screen_text(app)

    drive(app, script, (80, 40))
    assert asked(app) == [("pause", [], "")]


def test_that_it_waits_for_a_person_is_seen_on_every_screen(watch):
    for story, waits in ((journals.asking, True), (journals.running, False)):
        app = watch(story)

        async def script(pilot, app=app, waits=waits):
            await pilot.press("3")
            await pilot.pause()
            line = screen_text(app).splitlines()[1]
            assert ("WAITS FOR YOU" in line) == waits and "…" not in line, "what does not fit is left out whole"

        drive(app, script)


@pytest.mark.parametrize("keys", ["2q", "5q", "3xq"])
def test_keys_that_come_together_are_all_heard(watch, keys):
    app = watch(journals.running)

    async def script(pilot):
        for key in keys:
            app.post_message(Key(key, key))
        for _ in range(200):
            if app.return_code is not None:
                break
            await pilot.pause()
        assert app.return_code == 0

    drive(app, script)


def test_a_comparison_with_what_is_no_column_is_said(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("2", "slash")
        await pilot.pause()
        assert "spectrum_loss<0.3" in screen_text(app)
        await pilot.press(*"loss<0.3")
        await pilot.pause()
        assert "Trials: 0 of 18 (no column is called loss)" in screen_text(app)

    drive(app, script)


def test_what_is_done_by_hand_is_seen_beside_the_runs_own_steps(watch):
    app = watch(journals.at_rest)

    async def script(pilot):
        assert "▶ pump_water    dispense by hand  marie" in screen_text(app)
        with Journal.open(app.run_folder / "bench.db") as bench:
            begun = app.screen.source.bench.state.begun["pump_water"]
            bench.append(e.ByHand(act=begun.act, instrument="pump_water", action="dispense", done=True))
        app.screen.read_on()
        await pilot.pause()
        assert "○ pump_water    idle" in screen_text(app)

    drive(app, script, (120, 40))
