"""What the model's figures look like. After a change that is meant: --snapshot-update."""

from pathlib import Path

import pytest

from labloop.dashboard import DashboardApp, model_page

from . import journals
from .conftest import drive, settled, still
from .kitchen import kitchen
from .stored import StoredPainter

SIZES = [(80, 24), (160, 48)]
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture(autouse=True)
def stored_figures(monkeypatch):
    monkeypatch.setattr(model_page, "Painter", StoredPainter)
    monkeypatch.setattr(StoredPainter, "late", False)


def after(*keys):
    async def before(pilot):
        await settled(pilot)
        await pilot.press(*keys)
        await still(pilot)

    return before


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "160x48"])
@pytest.mark.parametrize(
    ("tell", "keys"),
    [
        (journals.finished, "6"),
        (kitchen, "6"),
        (kitchen, "6o"),
        (kitchen, "6f"),
        (kitchen, "6fu"),
        (journals.told, "6f"),
        (kitchen, "6ff"),
        (kitchen, "6fff"),
        (kitchen, "6ffff"),
        (kitchen, "6F"),
    ],
    ids=["slices", "mixture", "other-outcome", "map", "sd", "choices", "importance", "parity", "front", "acquisition"],
)
def test_figures(watch, snap_compare, tell, keys, size):
    assert snap_compare(watch(tell), terminal_size=size, run_before=after(*keys))


@pytest.mark.parametrize(
    ("tell", "keys"), [(journals.begun, "6"), (journals.finished, "6ffff")], ids=["empty", "no-front"]
)
def test_why_there_is_no_figure(watch, snap_compare, tell, keys):
    assert snap_compare(watch(tell), terminal_size=(80, 24), run_before=after(*keys))


def test_while_it_is_computed(watch, snap_compare, monkeypatch):
    monkeypatch.setattr(StoredPainter, "late", True)
    monkeypatch.setattr(model_page, "monotonic", lambda: 7.0)
    assert snap_compare(watch(journals.finished), terminal_size=(80, 24), run_before=after("6"))


@pytest.mark.parametrize(
    ("tell", "keys"), [(journals.finished, "6"), (kitchen, "6f"), (kitchen, "6fff")], ids=["slices", "map", "parity"]
)
def test_without_colour(watch, snap_compare, monkeypatch, tell, keys):
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(watch(tell), terminal_size=(80, 24), run_before=after(*keys))


@pytest.mark.parametrize(("name", "keys"), [("model-slices", "6"), ("model-map", "6f")])
def test_the_pictures_in_the_docs_are_what_the_dashboard_shows(watch, request, name, keys):
    drawn: list[str] = []

    async def draw(pilot):
        await pilot.press(*keys)
        await still(pilot)
        assert isinstance(pilot.app, DashboardApp)
        drawn.append(pilot.app.export_screenshot(title="labloop watch runs/finished"))

    drive(watch(journals.finished), draw, size=(120, 36))
    picture = PICTURES / f"{name}.svg"
    if request.config.option.update_snapshots:
        picture.write_text(drawn[0])
    assert picture.read_text() == drawn[0], f"{picture.name} is stale: run pytest tests/dashboard --snapshot-update"
