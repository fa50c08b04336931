"""A campaign amended from the palette: shown first, asked, and done by labloop itself."""

import json
from collections.abc import Awaitable, Callable
from hashlib import sha256

from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from labloop.campaign import events as e
from labloop.campaign.amending import changes
from labloop.campaign.reading import read_text
from labloop.campaign.spec import spec_from_dict
from labloop.dashboard.amendable import places
from labloop.dashboard.source import JOURNAL
from labloop.journal import Blobs, Journal
from labloop.journal.inbox import user
from labloop.runner.rewriting import rewritten

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


def amended(app, action: str, *keys: str) -> list[str]:
    """What the screen showed when it asked whether that is meant."""
    shown: list[str] = []

    async def script(pilot):
        getattr(app.screen, f"action_{action}")()
        await app.workers.wait_for_complete()
        await pilot.pause()
        shown.append(screen_text(app))
        await pilot.press(*keys)
        await app.workers.wait_for_complete()
        await pilot.pause()

    drive(app, script)
    return shown


def typed(place: str, line: str) -> Callable[[Pilot], Awaitable[None]]:
    """Choose a place by its name, as far as it is written, and write ``line`` instead of what stands there."""

    async def script(pilot):
        pilot.app.screen.action_amend()
        await pilot.pause()
        chosen = pilot.app.screen.query_one(OptionList)
        texts = [str(option.prompt) for option in chosen.options]
        chosen.highlighted = next(number for number, text in enumerate(texts) if text.startswith(place))
        await pilot.press("enter")
        await pilot.pause()
        pilot.app.screen.query_one(Input).value = line
        await pilot.press("enter")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()

    return script


def test_what_a_typed_range_would_do_is_shown_before_it_is_done(watch, commands):
    commands.says = SHOWN
    app = watch(journals.running)
    shown: list[str] = []

    async def script(pilot):
        await typed("parameters.q_tot.range", "300 to 600 uL/min")(pilot)
        shown.append(" ".join(screen_text(app).split()))
        await pilot.press(*"drier", "enter")
        await app.workers.wait_for_complete()

    drive(app, script)
    assert "Amend the campaign so?" in shown[0] and "[200, 983] -> [300, 600]" in shown[0] and "2 of 3" in shown[0]
    what, folder = ("--set", "parameters.q_tot.range=300 to 600 uL/min"), str(app.run_folder)
    assert commands == [
        ("amend", "--preview", "--json", *what, "--", folder),
        ("amend", "--yes", "--why", "drier", "--by", user(), *what, "--", folder),
    ]


def test_what_is_typed_is_looked_at_and_nothing_done_without_a_yes(watch, commands):
    commands.says = SHOWN
    app = watch(journals.running)
    folder = str(app.run_folder)

    async def script(pilot):
        for place, line, asked in (
            ("budget.trials", "60", ["--set", "budget.trials=60", "--", folder]),
            ("outcomes.spectrum_loss.limit", "<= 2", ["--set", "outcomes.spectrum_loss.limit=<= 2", "--", folder]),
            ("budget.trials", "", ["--set", "budget.trials=", "--", folder]),
            ("anything else", "new.yaml", ["--", folder, "new.yaml"]),
        ):
            commands.clear()
            await typed(place, line)(pilot)
            await pilot.press("escape")
            assert commands == [("amend", "--preview", "--json", *asked)]
        commands.clear()
        for place, line in (("budget.trials", "40"), ("budget.time", "")):  # as it stands; nothing where nothing is
            await typed(place, line)(pilot)
        assert commands == []

    drive(app, script)


def test_what_speaks_against_it_is_said(watch, commands):
    commands.says = 2, "new.yaml:5:3: parameters.q_tot.unit = mL/min: was uL/min so far, and may not be amended"
    app = watch(journals.running)
    said: list[str] = []

    async def script(pilot):
        await typed("anything else", "new.yaml")(pilot)
        said.append(screen_text(app))

    drive(app, script)
    assert "not be amended" in said[0] and "AMEND" in said[0]
    assert len(commands) == 1


CAKE = """\
labloop: 1
campaign: cake
parameters:
  sugar: {range: [10, 0.09 kg], unit: g, step: 5, likely: {value: 0.03 kg, within: 10}}
  eggs: {range: [1, 4], integer: true}
  layers: {integer: [1, 12]}
  feed: {range: [0, 1], unit: 1/min}
  flow: {range: [0.5 1/min, 2], unit: 1/min}
  flour: {choices: [wheat, rye, 7], likely: {wheat: 3, 7: 2}}
  salt: {choices: ['[BMIM][BF4]', '007', "it's, -1", '-OH', '[a'], likely: ["it's, -1", '007']}
  shift: {choices: [-2, -1]}
  fat: {mixture: [butter, oil, lard], sum: 40, at_most: 2}
  spice: {choices: [{name: clove, heat: 3}, {name: mint, heat: 0}], descriptors: [heat]}
constraints: [sugar <= 20 g * eggs, butter   <= 30]
outcomes:
  height: {goal: maximize, unit: mm, from: told, weight: 2, limit: ">= 12", reference: 3}
  brown: {goal: {target: 5, tolerance: 1}, from: told, weight: 1}
  burnt: {limit: "<= 3", from: told}
budget: {trials: 30, time: 2 d}
"""


def test_what_may_be_typed_is_offered_as_it_stands_now(tmp_path):
    found = places(spec_from_dict(yaml_of(CAKE), folder=tmp_path))
    assert [(one.place, one.now) for one in found] == [
        ("parameters.sugar.range", "10 g to 0.09 kg"),
        ("parameters.eggs.range", "1 to 4"),
        ("parameters.layers.integer", "1 to 12"),
        ("parameters.feed.range", "0 to 1"),
        ("parameters.flow.range", "0.5 1/min to 2 1/min"),
        ("parameters.flour.choices", "wheat, rye, 7"),
        ("parameters.salt.choices", "[BMIM][BF4], 007, 'it''s, -1', '-OH', '[a'"),
        ("parameters.shift.choices", "-2, -1"),
        ("constraints", "sugar <= 20 g * eggs; butter   <= 30"),
        ("outcomes.height.goal", "maximize"),
        ("outcomes.height.weight", "2"),
        ("outcomes.height.reference", "3"),
        ("outcomes.height.limit", ">= 12"),
        ("outcomes.brown.weight", "1"),
        ("outcomes.brown.reference", ""),
        ("outcomes.brown.limit", ""),
        ("outcomes.burnt.limit", "<= 3"),
        ("budget.trials", "30"),
        ("budget.attempts", ""),
        ("budget.time", "2 d"),
        ("budget.cost", ""),
        ("parameters.sugar.step", "5"),
        ("parameters.sugar.likely", "0.03 kg within 10"),
        ("parameters.eggs.step", ""),
        ("parameters.eggs.likely", ""),
        ("parameters.layers.step", ""),
        ("parameters.layers.likely", ""),
        ("parameters.feed.step", ""),
        ("parameters.feed.likely", ""),
        ("parameters.flow.step", ""),
        ("parameters.flow.likely", ""),
        ("parameters.flour.likely", '{"wheat": 3, "7": 2}'),
        ("parameters.salt.likely", "'it''s, -1', 007"),
        ("parameters.shift.likely", ""),
        ("parameters.fat.at_most", "2"),
        ("parameters.spice.likely", ""),
    ]


def test_what_is_offered_means_what_stands_there(tmp_path):
    spec = spec_from_dict(yaml_of(CAKE), folder=tmp_path)
    again = rewritten(CAKE, [f"{one.place}={one.now}" for one in places(spec) if one.now])
    assert changes(spec, spec_from_dict(yaml_of(again), folder=tmp_path)) == []


def test_constraints_that_all_begin_with_a_sign_are_shown_as_all_that_are_to_hold(tmp_path):
    signed = CAKE.replace("[sugar <= 20 g * eggs, butter   <= 30]", "[-sugar <= -20 g, '- eggs >= -3.5']")
    spec = spec_from_dict(yaml_of(signed), folder=tmp_path)
    (now,) = [one.now for one in places(spec) if one.place == "constraints"]
    assert now == "[-sugar <= -20 g, '- eggs >= -3.5']"
    again = rewritten(signed, [f"constraints={now}"])
    assert changes(spec, spec_from_dict(yaml_of(again), folder=tmp_path)) == []


def yaml_of(text: str) -> dict:
    return read_text(text, "cake.yaml").value


def test_an_amendment_is_taken_back(watch, commands):
    commands.says = SHOWN
    app = with_an_amendment(watch)
    (asked,) = amended(app, "unamend", "enter")
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
