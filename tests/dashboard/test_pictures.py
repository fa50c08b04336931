"""What the screens look like, as pictures of runs made by hand. After a change that is meant: --snapshot-update."""

from pathlib import Path

import pytest

from labloop.dashboard import DashboardApp

from . import journals
from .conftest import drive, settled, still

SIZES = [(80, 24), (160, 48)]
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "dashboard.svg"


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x48"])
@pytest.mark.parametrize(
    ("tell", "runner"),
    [
        (journals.running, "alive"),
        (journals.running, "gone"),
        (journals.paused, "alive"),
        (journals.halted, "gone"),
        (journals.asking, "alive"),
        (journals.finished, "gone"),
        (journals.begun, "gone"),
        (journals.told, "gone"),
        (journals.hostile, "alive"),
    ],
    ids=["running", "runner-gone", "paused", "halted", "asking", "finished", "begun", "told", "hostile"],
)
def test_overview(watch, snap_compare, tell, runner, size):
    assert snap_compare(watch(tell, runner), terminal_size=size, run_before=settled)


@pytest.mark.parametrize(
    ("tell", "keys"),
    [
        (journals.running, ["enter"]),
        (journals.running, ["end", "up", "up", "up", "up", "enter"]),
        (journals.running, ["l"]),
        (journals.running, ["question_mark"]),
        (journals.running, ["s"]),
        (journals.asking, ["v"]),
        (journals.running, ["f"]),
        (journals.halted, ["a"]),
        (journals.running, ["right", "right", "right"]),
        (journals.asking, ["e"]),
        (journals.at_rest, ["3"]),
        (journals.at_rest, ["h"]),
        (journals.marked, ["enter"]),
        (journals.marked, []),
    ],
    ids=[
        "trial",
        "failed-trial",
        "log",
        "help",
        "stop",
        "veto",
        "refill",
        "answer",
        "more-columns",
        "edit",
        "stock",
        "by-hand",
        "marked-trial",
        "marked",
    ],
)
def test_other_screens_at_80x24(watch, snap_compare, tell, keys):
    async def before(pilot):
        await settled(pilot)
        await pilot.press(*keys)
        await still(pilot)

    assert snap_compare(watch(tell), terminal_size=(80, 24), run_before=before)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x48"])
@pytest.mark.parametrize(
    "keys",
    [
        ["4"],
        ["4", "plus"],
        ["3"],
        ["down", "enter", "end"],
        ["2", "o"],
        ["2", "slash", *"model"],
        ["5", "slash", *"measured"],
    ],
    ids=["timeline", "timeline-10-min", "bench", "trial", "trials", "trials-filtered", "log-filtered"],
)
def test_screens(watch, snap_compare, keys, size):
    async def before(pilot):
        await settled(pilot)
        await pilot.press(*keys)
        await still(pilot)

    assert snap_compare(watch(journals.running), terminal_size=size, run_before=before)


def test_what_may_be_amended(watch, snap_compare):
    async def before(pilot):
        await settled(pilot)
        pilot.app.screen.action_amend()
        await still(pilot)

    assert snap_compare(watch(journals.told), terminal_size=(80, 24), run_before=before)


def test_without_colour(watch, snap_compare, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(watch(journals.running, "gone"), terminal_size=(80, 24), run_before=settled)


def test_the_picture_in_the_readme_is_what_the_dashboard_shows(watch, request):
    drawn: list[str] = []

    async def draw(pilot):
        app = pilot.app
        assert isinstance(app, DashboardApp)
        drawn.append(app.export_screenshot(title="labloop watch runs/running"))

    drive(watch(journals.running), draw, size=(120, 36))
    if request.config.option.update_snapshots:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(drawn[0])
    assert PICTURE.read_text() == drawn[0], (
        "docs/pictures/dashboard.svg is stale: run pytest tests/dashboard --snapshot-update"
    )
