"""Every key does what the footer says, and nothing else ever reaches the run."""

from pathlib import Path

import pytest
from textual.widgets import Input

from labloop.campaign import events as e
from labloop.dashboard import DashboardApp
from labloop.journal import Journal, StoreError, inbox, presence
from labloop.journal.inbox import user

from . import journals
from .conftest import drive, screen_text


def wishes(app) -> list[inbox.Posted]:
    taken, refused = inbox.take(app.run_folder / "requests")
    assert not refused
    return taken


def asked(app) -> list[tuple[str, list[str], str]]:
    return [(wish.request, wish.arguments, wish.why) for wish in wishes(app)]


def press(app, *keys: str) -> str:
    """Press keys on a settled dashboard; give what the screen shows then."""
    shown: list[str] = []

    async def script(pilot):
        await pilot.press(*keys)
        await pilot.pause()
        if app.is_running:
            shown.append(screen_text(app))

    drive(app, script)
    return shown[0] if shown else ""


def test_p_asks_for_a_pause_in_the_users_name_and_says_so(watch):
    app = watch(journals.running)
    assert "pause: sent; waiting for the runner" in press(app, "p")
    (wish,) = wishes(app)
    assert (wish.request, wish.arguments, wish.by) == ("pause", [], user())


def test_ctrl_c_stops_nothing_and_says_so(watch):
    app = watch(journals.running)
    shown = " ".join(press(app, "ctrl+c", "ctrl+c").split())
    assert "Ctrl-C does nothing here" in shown and app.return_code is None
    assert asked(app) == []


def test_r_asks_to_go_on_after_a_pause(watch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "marie")
    app = watch(journals.paused)
    press(app, "r")
    assert asked(app) == [("resume", [], "")]


@pytest.mark.parametrize(("tell", "words", "wished"), [
    (journals.interlocked, "box.door == open", []),
    (journals.interlock_over, "its condition is over", [("resume", [], "")]),
])  # fmt: skip
def test_an_interlock_that_holds_a_run_is_told_and_r_goes_on_once_it_is_over(watch, tell, words, wished):
    app = watch(tell)
    shown = press(app, "r")
    assert "HELD by interlocks.door" in shown and words in shown
    assert asked(app) == wished


def test_r_asks_first_where_another_person_paused_it(watch):
    app = watch(journals.paused)
    shown = press(app, "r")
    assert "Resume, though marie paused this run?" in shown and "lunch" in shown and asked(app) == []


def test_r_enter_resumes_by_force_and_says_why(watch):
    app = watch(journals.paused)
    press(app, "r", *"she is ill", "enter")
    assert asked(app) == [("resume", ["force"], "she is ill")]


def test_by_force_only_with_a_reason(watch):
    app = watch(journals.paused)
    assert "Resume, though" in press(app, "r", "enter") and asked(app) == []


def test_s_asks_first_and_takes_a_reason(watch):
    app = watch(journals.running)
    assert "Stop this run?" in press(app, "s")
    assert asked(app) == []


def test_s_enter_stops_with_the_reason(watch):
    app = watch(journals.running)
    press(app, "s", *"too warm", "enter")
    assert asked(app) == [("stop", [], "too warm")]


def test_s_escape_leaves_the_run_alone(watch):
    app = watch(journals.running)
    press(app, "s", *"why", "escape")
    assert asked(app) == []


def test_one_ctrl_x_only_warns(watch):
    app = watch(journals.running)
    assert "ctrl+x once more" in press(app, "ctrl+x")
    assert asked(app) == []


@pytest.mark.parametrize("before", [[], ["s", *"halfway through a reason"], ["question_mark"], ["l"], ["enter"]])
def test_ctrl_x_ctrl_x_aborts_from_anywhere_even_out_of_a_field(watch, before):
    app = watch(journals.running)
    press(app, *before, "ctrl+x", "ctrl+x")
    assert asked(app) == [("abort", [], "")]


def test_two_ctrl_x_far_apart_do_not_abort(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("ctrl+x")
        app.disarm()  # what the timer does
        await pilot.press("ctrl+x")

    drive(app, script)
    assert asked(app) == []


def test_what_a_runner_that_has_ended_did_not_read_is_brought_to_labloop_itself(watch, commands):
    """It came after the runner's last look: it lay there, and was the next start's."""
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("ctrl+x", "ctrl+x")
        assert asked(app) == [("abort", [], "")]
        source = app.screen.source
        source._look = lambda folder: "gone"
        app.screen.read_on()
        assert asked(app) == [("abort", [], "")] and not commands, "its last facts may not be read yet"
        app.screen.read_on()
        await app.workers.wait_for_complete()
        app.screen.read_on()

        assert commands == [("request", "--by", user(), "--", str(source.folder), "abort")]

    drive(app, script)
    assert asked(app) == []


def test_abort_where_no_runner_answers_is_done_by_a_process_of_its_own(watch):
    """In this story nobody holds the bench any more, and it says so."""
    app = watch(journals.running, "gone")
    said: list[str] = []

    async def script(pilot):
        await pilot.press("ctrl+x", "ctrl+x")
        await pilot.pause()
        said.append(screen_text(app))
        await app.workers.wait_for_complete()
        said.extend(one.message for one in app._notifications)  # on the screen a path's length moves the line ends

    drive(app, script, (120, 40))
    assert "No runner answers here" in said[0]
    assert "no runner lives" in said[-1]
    assert asked(app) == []


@pytest.mark.parametrize("seen", [True, False])
def test_abort_of_a_run_that_is_not_there_makes_no_folder_for_it(tmp_path, monkeypatch, seen):
    heard: list[tuple[str, ...]] = []

    def labloop(*arguments: str) -> tuple[int, str]:
        heard.append(arguments)
        return 2, "there is no such run"

    def look(folder: Path) -> str:
        if not seen:
            raise StoreError("the lock cannot be looked at")
        return presence.look(folder)

    monkeypatch.setattr("labloop.dashboard.app.labloop", labloop)
    app = DashboardApp(tmp_path / "nowhere", by="ann", below=tmp_path, look=look)

    async def script(pilot):
        await pilot.press("ctrl+x", "ctrl+x")
        await app.workers.wait_for_complete()

    drive(app, script)
    assert heard == [("abort", str(tmp_path / "nowhere"), "--by", "ann")] and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("key", ["p", "r", "s", "a"])
def test_keys_that_can_do_nothing_do_nothing(watch, key):
    app = watch(journals.finished, "gone")
    press(app, key)
    assert asked(app) == [] and len(app.screen_stack) == 0


@pytest.mark.parametrize("key", ["p", "s", "n", "f", "ctrl+x"])
def test_read_only_posts_nothing_and_offers_nothing(watch, key):
    app = watch(journals.running, read_only=True)
    shown = press(app, key, key)
    assert asked(app) == []
    assert "Pause" not in shown and "Abort" not in shown and "Quit" in shown


def test_a_answers_an_act_in_doubt(watch):
    app = watch(journals.halted)
    press(app, "a", "down", "enter")
    assert asked(app) == [("resolve", ["10.pump_seed", "not-done"], "")]


def test_a_done_takes_the_amount(watch):
    app = watch(journals.halted)
    press(app, "a", "enter", *"12.5 uL", "enter")
    assert asked(app) == [("resolve", ["10.pump_seed", "done", "12.5 uL"], "")]


def test_where_no_runner_lives_labloop_itself_writes_it_down(watch, commands):
    commands.says = 0, "resolve: accepted: 10.pump_seed: not-done"
    app = watch(journals.halted, "gone")
    shown: list[str] = []

    async def script(pilot):
        await pilot.press("a", "down", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown.append(screen_text(app))

    drive(app, script)
    assert asked(app) == [], "nobody would read it before the run is resumed"
    folder = str(app.run_folder)
    assert commands == [("request", "--by", user(), "--", folder, "resolve", "10.pump_seed", "not-done")]
    assert "resolve 10.pump_seed not-done: done: 10.pump_seed: not-done" in shown[0]


def test_a_escape_leaves_the_question_open(watch):
    app = watch(journals.halted, "gone")
    press(app, "a", "escape")
    assert asked(app) == []


def test_y_shows_what_would_be_done_and_enter_approves_it(watch):
    app = watch(journals.asking)
    shown = press(app, "y")
    assert "Let trial 5 run?" in shown and "q_agno3" in shown and asked(app) == []


def test_y_enter_approves_it(watch):
    app = watch(journals.asking)
    press(app, "down", "y", "enter")
    assert asked(app) == [("approve", ["4"], "")]


def test_v_drops_a_proposal_with_a_reason_and_never_without(watch):
    app = watch(journals.asking)
    press(app, "v", "enter", *"too hot", "enter")
    assert asked(app) == [("veto", ["5"], "too hot")]


def test_v_escape_leaves_the_proposal(watch):
    app = watch(journals.asking)
    press(app, "v", *"why", "escape")
    assert asked(app) == []


def test_v_means_the_proposal_under_the_cursor(watch):
    app = watch(journals.asking)
    assert "Drop trial 4?" in press(app, "down", "v")


def test_y_is_dead_where_nobody_has_to_approve_and_v_where_nothing_waits(watch):
    app = watch(journals.running)
    press(app, "y", "v")
    assert asked(app) == []


def test_no_proposal_is_asked_about_where_the_run_is_over(watch):
    def stopped(folder):
        story = journals.asking(folder)
        story.say(e.CampaignStopped(reason="stop by ann", exit_code=4))
        return story

    shown = press(watch(stopped, "gone"), "v", "e", "y")
    assert "Approve" not in shown and "Drop" not in shown and "Edit" not in shown


def test_a_proposal_that_waits_for_approval_is_said_on_top(watch):
    shown = press(watch(journals.asking))
    assert "WAITS FOR YOU: may trial 4 run?" in shown and "y approves" in shown
    assert "y Approve" in shown.splitlines()[-1]


def test_n_takes_a_note(watch):
    app = watch(journals.running)
    press(app, "n", "enter", *"new seeds", "enter")
    assert asked(app) == [("note", ["new seeds"], "")]


def test_f_says_what_a_stock_holds_now(watch):
    app = watch(journals.running)
    press(app, "f", *"pump_water 50 mL", "enter")
    assert asked(app) == [("refill", ["pump_water", "50 mL"], "")]


@pytest.mark.parametrize(
    ("keys", "command"), [(("n", *"hello", "enter"), ("note", "hello")), (("f", *"x 1 mL", "enter"), None)]
)
def test_where_people_do_the_work_no_inbox_is_written_to(watch, commands, keys, command):
    app = watch(journals.told, "gone")
    press(app, *keys)
    assert asked(app) == []
    assert [one[5:] for one in commands] == ([command] if command else [])


def test_q_quits_and_touches_nothing(watch):
    app = watch(journals.running)
    before = (app.run_folder / "journal.db").read_bytes()
    press(app, "q")
    assert app.return_code == 0 and asked(app) == []
    assert (app.run_folder / "journal.db").read_bytes() == before


def test_q_in_a_field_is_a_letter(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("s", "q")
        assert app.screen.query_one(Input).value == "q"

    drive(app, script)


def test_o_plots_another_outcome(watch):
    app = watch(journals.told, "gone")
    assert "cost · best" in press(app, "o")


def test_what_the_runner_answers_is_shown(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("p")
        (wish,) = wishes(app)
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(
                e.Requested(id=wish.id, request="pause", by=wish.by),
                e.CampaignPaused(reason="asked", by=wish.by),
                e.RequestAnswered(id=wish.id, accepted=True, message="no new step starts"),
            )
        app.screen.read_on()
        await pilot.pause()
        shown = screen_text(app)
        assert "pause: done: no new step starts" in shown and "PAUSED: asked" in shown
        await pilot.press("n")
        app.screen_stack[1].read_on()
        await pilot.pause()
        assert screen_text(app).count("pause: done") == 1, "it is not told again on top of a question"

    drive(app, script)


def test_a_request_that_cannot_be_posted_says_why(watch, tmp_path: Path):
    app = watch(journals.running)
    requests = app.run_folder / "requests"
    requests.rmdir()
    requests.write_text("in the way")
    assert "Not sent" in press(app, "p")
