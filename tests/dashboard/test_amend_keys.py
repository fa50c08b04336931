"""A campaign amended from the palette: shown first, asked, and done by labloop itself."""

import json
from hashlib import sha256

import pytest

from labloop.campaign import events as e
from labloop.dashboard.source import JOURNAL, user
from labloop.journal import Blobs, Journal

from . import journals
from .conftest import drive, screen_text

SHOWN = (
    0,
    json.dumps(
        {
            "changes": [{"words": "parameters.q_tot.range: [200, 983] -> [300, 600] uL/min (narrowed)"}],
            "words": ["2 of 3 pending proposals leave the space: trials 12, 13 will not be made"],
        }
    ),
)


def amended(app, action: str, *keys: str, line: str = "") -> list[str]:
    """What the screen showed when it asked for a line, and when it asked whether that is meant."""
    shown: list[str] = []

    async def script(pilot):
        getattr(app.screen, f"action_{action}")()
        await pilot.pause()
        shown.append(screen_text(app))
        if line:
            await pilot.press(*line, "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown.append(screen_text(app))
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        await pilot.pause()

    drive(app, script)
    return shown


def test_what_it_would_do_is_shown_before_it_is_done(watch, commands):
    commands.says = SHOWN
    app = watch(journals.running)
    line, asked = amended(app, "amend", *"drier", "enter", line="new.yaml")
    assert "--show > changed.yaml" in " ".join(line.split())
    text = " ".join(asked.split())
    assert "Amend the campaign so?" in text and "[200, 983] -> [300, 600]" in text and "2 of 3 pending" in text
    folder = str(app.run_folder)
    assert commands == [
        ("amend", "--preview", "--json", "--", folder, "new.yaml"),
        ("amend", "--yes", "--why", "drier", "--by", user(), "--", folder, "new.yaml"),
    ]


@pytest.mark.parametrize("line", ["", "new.yaml"])
def test_nothing_is_done_without_a_yes(watch, commands, line):
    commands.says = SHOWN
    amended(watch(journals.running), "amend", "escape", line=line)
    assert [command for command in commands if "--yes" in command] == []


def test_what_speaks_against_it_is_said(watch, commands):
    commands.says = 2, "new.yaml:5:3: parameters.q_tot.unit = mL/min: was uL/min so far, and may not be amended"
    _, said = amended(watch(journals.running), "amend", line="new.yaml")
    assert "not be amended" in said and "AMEND" in said
    assert len(commands) == 1


def test_an_amendment_is_taken_back(watch, commands):
    commands.says = SHOWN
    app = with_an_amendment(watch)
    _, asked = amended(app, "unamend", "enter")
    assert "Take the last amendment back?" in asked
    folder = str(app.run_folder)
    assert commands == [
        ("amend", "--preview", "--json", "--undo", "--", folder),
        ("amend", "--yes", "--by", user(), "--undo", "--", folder),
    ]


def test_the_palette_offers_to_take_back_what_there_is(watch):
    assert {"Amend"} == offered(watch(journals.running)) & {"Amend", "Take an amendment back"}
    assert {"Amend", "Take an amendment back"} <= offered(with_an_amendment(watch))


def with_an_amendment(watch):
    app = watch(journals.asking)
    folder = app.run_folder
    text = (folder / "campaign.yaml").read_bytes()
    change = e.Change(place="title", kind="changed", before="", after="x")
    with Journal.open(folder / JOURNAL) as journal:
        (opened,) = [one.event for one in journal.records() if isinstance(one.event, e.CampaignOpened)]
        journal.append(
            e.Amended(
                before_sha256=sha256(text).hexdigest(), campaign_sha256=Blobs(folder / "blobs").put(text + b"# x\n"),
                changes=[change], files=opened.files, by="ann",
            )
        )  # fmt: skip
    return app


def offered(app) -> set[str]:
    titles: set[str] = set()

    async def script(pilot):
        titles.update(command.title for command in app.get_system_commands(app.screen))

    drive(app, script)
    return titles
