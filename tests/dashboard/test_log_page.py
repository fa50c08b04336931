"""The log: followed, read further up, filtered, and folded as wide as there is room."""

from datetime import UTC, datetime, timedelta

from textual.widgets import Input

from labloop.campaign import events as e
from labloop.dashboard import log_lines
from labloop.dashboard.run_screen import RunScreen
from labloop.journal import Journal

from . import journals
from .conftest import drive, screen_text


def test_the_log_is_filtered_and_new_lines_must_fit_too(watch):
    app = watch(journals.running)

    async def script(pilot):
        await pilot.press("5", "slash", *"ABANDONED trial")
        await pilot.pause()
        shown = screen_text(app)
        assert "trial 12 abandoned" in shown and "trial 17 measured" not in shown
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(e.NoteTaken(text="lunch", by="ann"), e.NoteTaken(text="trial 3 abandoned?", by="ann"))
        app.screen_stack[1].read_on()
        await pilot.pause()
        shown = screen_text(app)
        assert "trial 3 abandoned?" in shown and "lunch" not in shown
        await pilot.press("escape")
        await pilot.pause()
        assert "lunch" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)

    drive(app, script)


def test_the_log_begins_at_its_end_and_home_is_its_beginning(watch):
    app = watch(journals.talkative)

    async def script(pilot):
        await pilot.press("5")
        await pilot.pause()
        assert "note 599" in screen_text(app)
        await pilot.press("home")
        await pilot.pause()
        assert "campaign silver-nanoparticles opened" in screen_text(app) and "note 599" not in screen_text(app)
        await pilot.press("end", "slash", *"silver")
        await pilot.pause()
        assert "campaign silver-nanoparticles opened" in screen_text(app)

    drive(app, script)


def test_who_reads_further_up_in_the_log_stays_there_and_who_is_at_its_end_follows(watch):
    app = watch(journals.talkative)

    async def script(pilot):
        async def said(words):
            with Journal.open(app.run_folder / "journal.db") as journal:
                journal.append(e.NoteTaken(text=words, by="ann"))
            app.screen_stack[1].read_on()
            await pilot.pause()
            return screen_text(app)

        await pilot.press("5")
        await pilot.pause()
        assert "to be read" in await said("to be read")
        await pilot.press("up", "up", "up")
        await pilot.pause()
        before = [row[:60] for row in screen_text(app).splitlines() if "note by" in row]  # without the bar beside it
        assert [row[:60] for row in (await said("not yet")).splitlines() if "note by" in row] == before
        await pilot.press("end")
        await pilot.pause()
        assert "not yet" in screen_text(app) and "and now" in await said("and now")

    drive(app, script)


def test_the_log_is_folded_anew_when_the_screen_gets_narrower(watch):
    app = watch(journals.talkative)
    words = " ".join(f"word{number}" for number in range(30))

    async def script(pilot):
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(e.NoteTaken(text=words, by="ann"))
        app.screen_stack[1].read_on()
        await pilot.press("5")
        for width in (160, 61, 100):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            rows = [row for row in screen_text(app).splitlines() if "word" in row]
            assert all(len(row.rstrip(" │")) <= width - 2 for row in rows)
            assert [one for row in rows for one in row.split() if one.startswith("word")] == words.split()

    drive(app, script)


def test_at_midnight_the_log_is_folded_beside_its_dates_and_no_word_is_lost(watch):
    app = watch(journals.talkative)
    words = [f"word{number}" for number in range(30)]

    async def script(pilot):
        run = app.screen_stack[-1]
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(e.NoteTaken(text=" ".join(words), by="ann"))
        run.read_on()
        today = datetime.fromisoformat(run.source.log[-1].at)
        run.source.now = lambda: today
        await pilot.press("5")
        for now, dates in ((today + timedelta(days=1), True), (today, False)):
            run.source.now = lambda now=now: now
            app.screen.lines.refresh()  # drawn before it is known that it is another day
            await pilot.pause()
            assert [one for one in screen_text(app).split() if one.startswith("word")] == words
            run.read_on()
            await pilot.pause()
            shown = screen_text(app)
            assert [one for one in shown.split() if one.startswith("word")] == words
            (first,) = [row for row in shown.splitlines() if "word0 " in row]
            assert (today.astimezone(UTC).strftime("%m-%d ") in first) is dates

    drive(app, script, (60, 24))


def test_a_log_without_news_is_not_drawn_again(watch):
    app = watch(journals.talkative)

    async def script(pilot):
        await pilot.press("5")
        await pilot.pause()
        lines, drawn = app.screen.lines, []
        draw = lines.render_line
        lines.render_line = lambda y: drawn.append(y) or draw(y)
        lines.write([])
        await pilot.pause()
        assert drawn == []
        lines.refresh()
        await pilot.pause()
        assert drawn

    drive(app, script)


def test_the_newest_lines_stay_in_sight_when_the_log_gets_lower(watch):
    app = watch(journals.talkative)

    async def script(pilot):
        await pilot.press("5")
        for height in (24, 16, 30):
            await pilot.resize_terminal(100, height)
            await pilot.pause()
            assert "note 599" in screen_text(app)
        await pilot.press("slash")
        await pilot.pause()
        assert "note 599" in screen_text(app)

    drive(app, script)


def test_of_a_long_line_above_the_last_ones_the_beginning_is_shown(watch):
    app = watch(journals.running)

    async def script(pilot):
        with Journal.open(app.run_folder / "journal.db") as journal:
            journal.append(e.NoteTaken(text="begins" + " and goes on" * 30), e.NoteTaken(text="ends"))
        app.screen.read_on()
        await pilot.pause()
        lines = screen_text(app).splitlines()
        assert [("begins" in line, "…" in line, "ends" in line) for line in lines[-4:-1]] == [
            (True, False, False), (False, True, False), (False, False, True),
        ]  # fmt: skip

    drive(app, script)


def test_end_follows_the_log_and_moves_in_the_words_of_its_filter(watch):
    app = watch(journals.talkative)

    async def script(pilot):
        await pilot.press("5", "home")
        await pilot.pause()
        assert "note 599" not in screen_text(app) and "end Follow" in screen_text(app).splitlines()[-1]
        await pilot.press("end")
        await pilot.pause()
        assert "note 599" in screen_text(app)
        await pilot.press("slash", "4", "home", "1", "end", "2")
        assert app.screen.query_one(Input).value == "142"

    drive(app, script)


def test_the_oldest_lines_go_and_what_is_read_stays_where_it_is(watch, monkeypatch):
    monkeypatch.setattr(log_lines, "MOST", 700)
    monkeypatch.setattr(log_lines, "FEWEST", 300)
    app = watch(journals.talkative)

    async def script(pilot):
        def notes():
            return [row[:60] for row in screen_text(app).splitlines() if "note by" in row]  # without the bar beside it

        async def said(count):
            with Journal.open(app.run_folder / "journal.db") as journal:
                journal.append(*(e.NoteTaken(text=f"more {number}", by="ann") for number in range(count)))
            app.screen_stack[1].read_on()
            await pilot.pause()
            return notes()

        await pilot.press("5", *["pageup"] * 3)
        await pilot.pause()
        read = notes()
        assert len(read) > 10 and await said(110) == read
        await pilot.press("home")
        await pilot.pause()
        assert "campaign silver-nanoparticles opened" not in screen_text(app)
        await pilot.press("end")
        await pilot.pause()
        assert "more 499" in (await said(500))[-1]

    drive(app, script)
