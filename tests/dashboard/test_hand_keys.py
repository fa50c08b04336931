"""The keys of acts by hand, and where they are offered."""

from pathlib import Path

import pytest

from labloop.campaign import events as e
from labloop.journal import Journal

from . import journals
from .conftest import drive, screen_text
from .test_keys import asked, press


def test_h_asks_for_an_act_by_hand_of_a_run_at_rest(watch):
    app = watch(journals.at_rest)
    press(app, "h", *"pump_water.dispense rate=1 mL/min time=20 s", "enter", *"purge", "enter")
    assert asked(app) == [("act", ["pump_water.dispense", "rate=1 mL/min", "time=20 s"], "purge")]


def test_h_is_there_on_the_bench_as_well_and_says_what_it_is(watch):
    app = watch(journals.at_rest)
    shown: list[str] = []

    async def script(pilot):
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("h")
        await pilot.pause()
        shown.append(screen_text(app))

    drive(app, script)
    assert "By hand, while it is paused" in shown[0] and "Then a resume needs" in " ".join(shown[0].split())


def made_safe(folder: Path):
    """At rest for so long that the bench was made safe: nobody has its lines any more."""
    story = journals.at_rest(folder)
    story.say(e.SafeStateReached(why="paused by ann for 30 min"))
    return story


@pytest.mark.parametrize(
    "tell", [journals.running, journals.paused, made_safe], ids=["running", "not at rest", "made safe"]
)
def test_h_is_dead_where_the_run_is_not_at_rest(watch, tell):
    app = watch(tell)
    assert "By hand, while" not in press(app, "h")


def test_the_bench_offers_h_only_where_it_does_something(watch):
    app = watch(journals.running, read_only=True)
    shown: list[str] = []

    async def script(pilot):
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("h")
        await pilot.pause()
        shown.append(screen_text(app))

    drive(app, script)
    assert "By hand" not in shown[0] and "Exchanges" in shown[0]


def test_h_goes_from_the_key_line_when_the_bench_is_made_safe(watch):
    app = watch(journals.at_rest)

    async def script(pilot):
        await pilot.press("3")
        await pilot.pause()
        assert "h By hand" in screen_text(app)
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(e.SafeStateReached(why="paused by ann for 30 min"))
        app.screen_stack[-2].read_on()
        await pilot.pause()
        assert "h By hand" not in screen_text(app)

    drive(app, script)


def test_r_after_an_act_by_hand_asks_why_all_is_right(watch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "marie")
    app = watch(journals.done_by_hand)
    press(app, "r", "enter", *"only waste", "enter")
    assert asked(app) == [("resume", ["force"], "only waste")]
