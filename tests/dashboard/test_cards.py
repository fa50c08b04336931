"""The cards of the bench."""

import pytest

from labloop.campaign import events as e
from labloop.campaign.spec import lab_from_dict, read_spec
from labloop.campaign.state import CampaignState
from labloop.dashboard.cards import LINES, Card, cards, hear, nothing_said, sparkline
from labloop.dashboard.source import RunSource
from labloop.dashboard.view import InstrumentRow

from . import journals

LAB = {
    "labloop": 1,
    "instruments": {"hotplate": {"driver": "drivers.ika:RCT"}, "box": {"driver": "drivers.box:Box"}},
    "limits": {"hotplate": {"temperature": {"max": "80 degC"}}},
    "interlocks": {"door": {"when": "box.door == open", "then": "hold"}},
}


def cards_of(tmp_path, *facts: e.Fact, said=None) -> dict[str, Card]:
    story = journals.begun(tmp_path / "run")
    state = CampaignState()
    for seq, fact in enumerate(facts, 1):
        state.apply(e.Record(seq=seq, at="2026-03-02T08:00:00+00:00", event=fact))
    spec = read_spec(
        story.folder / "campaign.yaml",
        files={"target_spectrum.csv": story.folder / "blobs" / journals.DIGEST},
        lab=story.folder / "lab.yaml",
    )
    row = InstrumentRow("hotplate", "▶", "hold", "good", "trial 3", "temperature 40 degC")
    found = cards([row], spec, lab_from_dict(LAB), state, said or {}, {"t": "08:00:00"})
    return {card.title: card for card in found}


def words(card: Card) -> list[str]:
    return [line.words for line in card.lines]


def opened() -> list[e.Fact]:
    first = e.CampaignOpened(campaign="c", run_id="r", version="1", mode="live", seed=1, campaign_sha256="0" * 64)
    return [first, e.RunStarted()]


def test_a_card_says_what_it_does_what_it_said_and_what_limits_it(tmp_path):
    said = nothing_said()
    for value in (38.0, 40.0):
        hear(said, "temperature", value, "degC")
    said.alarms.append(("t", "over temperature"))
    card = cards_of(tmp_path, said={"hotplate": said})["hotplate"]
    assert words(card) == [
        "▶ hold  trial 3",
        "  temperature 40 degC",
        "temperature 40 degC  ▁█",
        "limit temperature <= 80 degC",
        "alarm 08:00:00: over temperature",
    ]


def test_an_interlock_is_clear_until_it_holds_the_run(tmp_path):
    clear = cards_of(tmp_path / "clear")["interlocks"]
    assert words(clear) == ["door: box.door == open -> hold", "  clear"] and clear.tone == ""
    tripped = e.WatchTripped(rule="interlocks.door", then="hold", reason="box.door is open")
    held = cards_of(tmp_path / "held", *opened(), tripped)["interlocks"]
    assert words(held)[1] == "HOLDS THE RUN: box.door is open" and held.tone == "bad"
    over = cards_of(tmp_path / "over", *opened(), tripped, e.WatchCleared(rule="interlocks.door"))["interlocks"]
    assert words(over)[1] == "over, but steps wait until a person resumes"


def test_a_limit_that_holds_the_run_stands_on_its_instruments_card(tmp_path):
    tripped = e.WatchTripped(rule="limits.hotplate.temperature", then="hold", reason="81 degC > 80 degC")
    assert "HOLDS THE RUN: 81 degC > 80 degC" in words(cards_of(tmp_path, *opened(), tripped)["hotplate"])


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0], ""),
        ([1, 1, 1], "▁▁▁"),
        ([0, 7], "▁█"),
        ([3, 0, 1.5], "█▁▅"),
        (["open", 1], ""),
        ([True, 1], ""),
    ],
)
def test_sparklines(values, line):
    assert sparkline(values) == line


def test_only_the_last_values_are_kept():
    said = nothing_said()
    for value in range(LINES + 5):
        hear(said, "x", value, "")
    assert said.values["x"] == list(range(5, LINES + 5))


def test_the_source_hears_values_and_alarms(tmp_path):
    story = journals.running(tmp_path / "run", 3)
    story.say(e.AlarmHeard(instrument="pump_pva", said="stall"), e.InstrumentLost(instrument="pump_tsc", reason="gone"))
    source = RunSource(story.close(), story.now, lambda folder: "alive")
    source.poll(10**6)
    source.close()
    assert source.lab is not None and set(source.lab.instruments) >= {"hotplate", "spectrometer"}
    assert source.said["hotplate"].values["temperature"] == [40.2] * 3
    assert [said for _, said in source.said["pump_pva"].alarms] == ["stall"]
    assert [said for _, said in source.said["pump_tsc"].alarms] == ["lost: gone"]
