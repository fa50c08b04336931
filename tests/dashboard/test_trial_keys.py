"""Keys that add, edit and correct trials: what is asked of the run, and never more."""

import json

import pytest

from labloop.campaign import events as e
from labloop.dashboard.curve import course_of
from labloop.journal import Journal
from labloop.journal.inbox import user

from . import journals
from .conftest import drive, screen_text
from .story import Story
from .test_keys import asked, press

LIMITED = """\
labloop: 1
campaign: bread
title: Bread that people can pay
parameters:
  sugar: {range: [10, 90], unit: g}
outcomes:
  loss: {goal: minimize, from: told}
  cost: {from: told, limit: <= 60}
budget: {trials: 20}
"""
CLEAR = ("end", "ctrl+u")


def test_e_edits_the_proposal_under_the_cursor(watch):
    app = watch(journals.asking)
    shown = press(app, "down", "e")
    assert "Edit trial 4" in shown and "q_agno3=" in shown


def test_e_sends_what_was_changed(watch):
    app = watch(journals.asking)
    press(app, "down", "e", "end", *" q_tot=500 uL/min", "enter", *"safer", "enter")
    assert asked(app) == [("edit", ["4", "q_tot=500 uL/min"], "safer")]


def test_e_escape_leaves_it(watch):
    app = watch(journals.asking)
    press(app, "e", *"x", "escape")
    assert asked(app) == []


def test_e_is_dead_where_nothing_waits(watch):
    app = watch(journals.running)
    assert "Edit" not in press(app, "e")


def test_t_adds_a_trial(watch):
    app = watch(journals.running)
    press(app, "t", *CLEAR, *"q_agno3=20 q_tot=600 uL/min", "enter", "enter")
    assert asked(app) == [("add", ["q_agno3=20", "q_tot=600 uL/min"], "")]


def test_t_sends_no_empty_line(watch):
    app = watch(journals.running)
    press(app, "t", *CLEAR, "enter", "enter")
    assert asked(app) == []


def test_m_asks_before_it_marks_anything(watch):
    app = watch(journals.finished, "alive")
    shown = press(app, "m")
    assert "wrong?" in shown and "The fact stays" in shown


def test_m_takes_a_reason(watch):
    app = watch(journals.finished, "alive")
    press(app, "m", "enter", *"lamp", "enter")
    ((verb, (number,), why),) = asked(app)
    assert (verb, why) == ("wrong", "lamp") and number.isdecimal()


def test_m_is_dead_on_a_trial_that_runs(watch):
    app = watch(journals.running)
    assert "wrong?" not in press(app, "m")


def in_part(folder):
    """Of the last trial the yield is known, and the cost is owed."""
    story = journals.told(folder)
    known = {"yield": e.Reading(value=52.0, unit="percent")}
    story.say(e.PartMeasured(trial=6, outcomes=known, owed=["cost"], by="jon"))
    return story


def test_m_marks_what_is_known_in_part(watch):
    app = watch(in_part)
    shown = press(app, "m")
    assert "Is what came of trial 6 wrong?" in shown and "It may be told again" in shown


def test_m_on_what_is_marked_takes_it_back(watch):
    app = watch(journals.marked)
    assert "Is trial 6 right after all?" in press(app, "m")


def test_m_on_a_trials_own_page(watch):
    app = watch(journals.marked)
    press(app, "enter", "m", "enter")
    assert asked(app) == [("right", ["6"], "")], "on the trial's own page as well"


def test_the_best_is_found_anew_without_what_is_wrong(watch):
    app = watch(journals.marked)
    before = {}

    async def script(pilot):
        screen = app.screen
        before["leaders"] = [one.trial for one in screen._course.leaders]
        before["done"] = set(screen._course.done)
        before["shown"] = screen_text(app)

    drive(app, script)
    assert "⊘ wrong" in before["shown"] and 6 not in before["done"] and 6 not in before["leaders"]


def limited(folder):
    """The second trial's loss is the least, and its cost breaks a limit."""
    story = Story(folder, mode="told", campaign=LIMITED)
    story.say(e.RunStarted())
    for number, loss, cost in ((1, 1.0, 50.0), (2, 0.5, 90.0)):
        outcomes = {"loss": e.Reading(value=loss), "cost": e.Reading(value=cost)}
        story.say(
            e.ProposalMade(trial=number, sample=f"s{number}", settings={"sugar": 10.0 * number}, source="sobol"),
            e.TrialMeasured(trial=number, outcomes=outcomes, by="ann"),
        )
    return story


def test_the_best_is_found_anew_where_what_broke_a_limit_is_wrong_or_right_after_all(watch):
    app = watch(limited)

    async def script(pilot):
        screen, bests = app.screen, [app.screen._best]
        for fact in (e.ResultWithdrawn, e.ResultRestored):
            for number in (1, 2):
                with Journal.open(app.run_folder / "journal.db") as journal:
                    journal.append(fact(trial=number, outcomes=["cost"], by="ann", why="scales"))
                screen.read_on()
                bests.append(screen._best)
                leaders = course_of(screen.source.spec, screen.source.state).leaders
                assert screen._best == {one.trial for one in leaders}
        assert bests[0] == bests[-1] == {1} and {2} in bests

    drive(app, script)


# --- comparing --------------------------------------------------------------------------------------------------------

PAIR = 0, json.dumps({"pairs": [{"trial": 3, "other": 1, "worth_it": True}]})


def compared(app, *keys: str) -> str:
    shown: list[str] = []

    async def script(pilot):
        await pilot.press("c")
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown.append(screen_text(app))
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        await pilot.pause()

    drive(app, script)
    return shown[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("enter", "enter"), ("3", "over", "1")),
        (("down", "enter", "enter"), ("1", "over", "3")),
        (("down", "down", "enter", "enter"), ("3", "like", "1")),
        (("tab", *"2 over 1", "enter", "enter"), ("2", "over", "1")),
    ],
)
def test_c_asks_which_of_two_is_better(watch, commands, keys, said):
    commands.says = PAIR
    app = watch(journals.tasted, "gone")
    shown = compared(app, *keys)
    assert "Which is better?" in shown and "trial 3  sugar" in shown and "trial 1 is better" in shown
    folder = str(app.run_folder)
    assert commands == [("compare", folder, "--json"), ("prefer", "--by", user(), "--", folder, *said)]


@pytest.mark.parametrize("keys", [("escape",), ("tab", *"2 above 1", "enter"), ("tab", *"x over 1", "enter")])
def test_c_says_nothing_without_an_answer(watch, commands, keys):
    commands.says = PAIR
    app = watch(journals.tasted, "gone")
    compared(app, *keys)
    assert len(commands) == 1


def test_c_says_how_to_go_on_on_the_smallest_screen_too(watch, commands):
    commands.says = PAIR
    app = watch(journals.tasted, "gone")

    async def script(pilot):
        for key in ("c", "enter"):
            await pilot.press(key)
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert "enter: answer" in screen_text(app)
        assert "why?" in screen_text(app)

    drive(app, script)


def test_c_says_why_there_is_nothing_to_compare(watch, commands):
    commands.says = 1, "it cannot be planned"
    assert "it cannot be planned" in compared(watch(journals.tasted, "gone"))


def test_c_is_dead_where_nobody_compares(watch, commands):
    press(watch(journals.running), "c")
    assert commands == []
