"""The keys of the Model screen, and how it keeps up with a run."""

import asyncio

import pytest
from textual.widgets import Input

from labloop.campaign import events as e
from labloop.campaign.events import Reading
from labloop.dashboard import model_page
from labloop.dashboard.model_page import ModelPage
from labloop.journal import Journal
from labloop.planner.figure import KINDS, Want

from . import journals
from .conftest import drive, screen_text
from .kitchen import kitchen
from .stored import StoredPainter


@pytest.fixture
def wants(monkeypatch):
    """Figures come at once, from the store; what was asked for."""
    asked: list[Want] = []
    monkeypatch.setattr(model_page, "Painter", StoredPainter)
    monkeypatch.setattr(StoredPainter, "wants", asked)
    monkeypatch.setattr(StoredPainter, "late", False)
    return asked


def test_six_opens_it_and_f_goes_through_the_figures(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6")
        for _ in KINDS:
            await pilot.press("f")
        await pilot.press("F")
        assert isinstance(app.screen, ModelPage)
        await pilot.press("escape")
        assert not isinstance(app.screen, ModelPage)

    drive(app, script)
    assert [want.kind for want in wants] == [*KINDS, "slices", "acquisition"]
    assert [want.number for want in wants] == list(range(1, 9))


def test_left_and_right_go_to_other_trials_and_b_back_to_the_best(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6")
        best = app.screen._answer.through
        await pilot.press("left", "left", "right", "b")
        assert [want.through for want in wants] == [None, best - 1, best - 2, best - 1, None]
        await pilot.press("g", *"17", "enter")
        assert wants[-1].through == 17
        await pilot.pause()
        assert "through trial 17" in screen_text(app)
        before = len(wants)
        await pilot.press("g", *"99", "enter")
        assert len(wants) == before  # there is no such trial
        assert not app.screen.query(Input)

    drive(app, script)


def test_the_ends_of_the_run_are_the_ends(watch, wants):
    app = watch(journals.told)

    async def script(pilot):
        await pilot.press("6", *["left"] * 9)
        assert wants[-1].through == 1
        before = len(wants)
        await pilot.press("left")
        assert len(wants) == before
        await pilot.press(*["right"] * 9)
        assert wants[-1].through == 6

    drive(app, script)


def test_x_and_y_choose_the_axes_of_a_map_and_the_wishes_of_a_front(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6", "f")
        body = app.screen._answer.body
        assert (body.across.name, body.up.name) == ("water", "toluene")
        await pilot.press("x")
        assert wants[-1].pair == ("ethanol", "toluene")
        await pilot.press("y")
        assert wants[-1].pair == ("water", "temperature")  # of the stored figure, which is still over those two
        await pilot.press("f", "f", "f")
        asked = len(wants)
        assert "cost" in screen_text(app).splitlines()[4]
        await pilot.press("x")
        assert "yield" in screen_text(app).splitlines()[4] and len(wants) == asked

    drive(app, script)


def test_another_outcome_is_drawn_without_asking(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6")
        assert "yield along each parameter" in screen_text(app)
        await pilot.press("o")
        assert "cost along each parameter" in screen_text(app)
        assert len(wants) == 1

    drive(app, script)


@pytest.mark.parametrize(
    ("tell", "keys", "there"),
    [
        (journals.finished, "6", {"f", "left"}),
        (kitchen, "6", {"f", "left", "o"}),
        (kitchen, "6f", {"f", "left", "o", "x", "u"}),
        (kitchen, "6ff", {"f"}),
        (kitchen, "6fff", {"f", "o"}),
        (kitchen, "6ffff", {"f", "x"}),
        (journals.finished, "6ffff", {"f"}),
        (kitchen, "6F", {"f", "left", "x"}),
    ],
)
def test_the_footer_has_the_keys_that_do_something_and_all_of_them_fit(watch, wants, tell, keys, there):
    app = watch(tell)

    async def script(pilot):
        await pilot.press(*keys)
        await pilot.pause()
        shown = {key for key, one in app.screen.active_bindings.items() if one.binding.show and one.enabled}
        assert shown & {"f", "left", "o", "x", "u"} == there
        last = screen_text(app).splitlines()[-1]
        assert "…" not in last and "^x ^x Abort esc Back ? Help q Quit" in last

    drive(app, script)


def test_a_figure_can_be_clicked(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6")
        at = screen_text(app).splitlines()[2].index("parity")
        await pilot.click(offset=(at + 1, 2))
        assert wants[-1].kind == "parity"

    drive(app, script)


def test_the_palette_names_every_figure(watch, wants):
    app = watch(kitchen)

    async def script(pilot):
        titles = {command.title: command for command in app.get_system_commands(app.screen)}
        assert {f"Model: {kind}" for kind in KINDS} <= titles.keys()
        titles["Model: parity"].callback()
        await pilot.pause()
        assert isinstance(app.screen, ModelPage) and wants[-1].kind == "parity"
        titles["Model: front"].callback()
        await pilot.pause()
        assert wants[-1].kind == "front"

    drive(app, script)


def test_a_new_result_is_asked_for_once_the_last_figure_has_been_seen(watch, wants, monkeypatch):
    app, time = watch(journals.told), [0.0]
    monkeypatch.setattr(model_page, "monotonic", lambda: time[0])

    async def script(pilot):
        await pilot.press("6")
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(
                e.TrialMeasured(
                    trial=6,
                    by="jon",
                    outcomes={"yield": Reading(value=60.0, unit="percent"), "cost": Reading(value=5.0)},
                )
            )
        run = next(screen for screen in app.screen_stack if hasattr(screen, "read_on"))
        run.read_on()
        assert len(wants) == 1  # the figure came just now
        time[0] = 10.0
        run.read_on()
        assert len(wants) == 2
        time[0] = 20.0
        run.read_on()
        assert len(wants) == 2  # nothing is new

    drive(app, script)


def test_an_answer_that_is_no_longer_wanted_is_not_shown(watch, wants, monkeypatch):
    monkeypatch.setattr(StoredPainter, "late", True)
    app = watch(kitchen)

    async def script(pilot):
        await pilot.press("6", "f")
        assert "computing yield over two parameters" in screen_text(app)
        StoredPainter.late = False
        late = app.screen._painter
        late.want(Want(number=1, kind="slices"))
        await pilot.pause()
        assert "computing yield over two parameters" in screen_text(app)
        late.want(Want(number=2, kind="map"))
        await pilot.pause()
        assert "computing" not in screen_text(app)

    drive(app, script)


def test_a_real_process_draws_while_keys_are_answered_and_ends_with_the_screen(watch):
    app = watch(journals.told)

    async def script(pilot):
        await pilot.press("6")
        page = app.screen
        await pilot.press("f")
        for _ in range(3000):
            if not page._waits:
                break
            await asyncio.sleep(0.02)
        await pilot.pause()
        assert "yield over two parameters, through trial 3, of the front" in screen_text(app)
        child = page._painter._child
        await pilot.press("escape")
        await pilot.pause()
        assert child.poll() is not None

    drive(app, script)
