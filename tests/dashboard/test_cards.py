"""The cards of the bench."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from labloop.campaign import events as e
from labloop.campaign.bench_state import BenchState
from labloop.campaign.spec import lab_from_dict, read_spec, spec_from_dict
from labloop.campaign.state import CampaignState
from labloop.dashboard.cards import LINES, Card, Line, cards, hear, nothing_said, sparkline, stock_line
from labloop.dashboard.doing import InstrumentRow
from labloop.dashboard.seen import Seen
from labloop.dashboard.source import RunSource
from labloop.journal import Journal

from . import journals
from .story import DIGEST

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LAB = {
    "labloop": 1,
    "instruments": {"hotplate": {"driver": "drivers.ika:RCT"}, "box": {"driver": "drivers.box:Box"}},
    "limits": {"hotplate": {"temperature": {"max": "80 degC"}}},
    "interlocks": {"door": {"when": "box.door == open", "then": "hold"}},
}


def cards_of(tmp_path, *facts: e.Fact, said=None, seen=None) -> dict[str, Card]:
    story = journals.begun(tmp_path / "run")
    state = CampaignState()
    for seq, fact in enumerate(facts, 1):
        state.apply(e.Record(seq=seq, at="2026-03-02T08:00:00+00:00", event=fact))
    spec = read_spec(
        story.folder / "campaign.yaml",
        files={"target_spectrum.csv": story.folder / "blobs" / DIGEST},
        lab=story.folder / "lab.yaml",
    )
    row = InstrumentRow("hotplate", "▶", "hold", "good", "trial 3", "temperature 40 degC")
    found = cards([row], spec, lab_from_dict(LAB), state, said or {}, {"t": "08:00:00"}, BenchState(), seen or {}, NOW)
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
        ([1, math.nan, -math.inf, 2, 10**400], "▁█"),
        ([math.nan, 1.0], ""),
        ([-1.7e308, 1.7e308], "▁█"),
    ],
)
def test_sparklines(values, line):
    assert sparkline(values) == line


def test_only_the_last_values_are_kept():
    said = nothing_said()
    for value in range(LINES + 5):
        hear(said, "x", value, "")
    assert said.values["x"] == list(range(5, LINES + 5))


def test_what_is_read_during_a_step_stands_in_the_place_of_what_the_last_one_achieved(tmp_path):
    said = nothing_said()
    hear(said, "temperature", 40.2, "degC")
    hear(said, "volume", 3.0, "mL")
    warm = Seen(58.61, "degC", NOW, (57.0, 58.0, 58.61))
    old = Seen(90.0, "degC", NOW - timedelta(minutes=3), (90.0,))
    card = cards_of(tmp_path, said={"hotplate": said}, seen={"hotplate": {"temperature": warm, "plate": old}})[
        "hotplate"
    ]
    assert words(card)[2:5] == ["temperature 58.61 degC now  ▁▅█", "plate 90 degC 3 min 00 s ago", "volume 3 mL"]


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


# --- stock ------------------------------------------------------------------------------------------------------------


def drawn(*facts: e.Fact) -> BenchState:
    state = BenchState()
    for seq, fact in enumerate(facts, 1):
        state.apply(e.Record(seq=seq, at="2026-03-02T08:00:00+00:00", event=fact))
    return state


def draw(act: str, amount: float, unit: str = "uL") -> e.StockDrawn:
    return e.StockDrawn(name="pump", amount=e.Amount(amount, unit), act=act)


FILLED = e.StockSet(name="pump", amount=e.Amount(2.0, "mL"))
STOCKED = lab_from_dict({"labloop": 1, "instruments": {"pump": {"driver": "drivers.x:X", "stock": "2 mL"}}})


def stock(bench: BenchState, trials: int | None = 40) -> Line | None:
    spec = spec_from_dict(
        {"parameters": {"x": {"range": [0, 1]}}, "outcomes": {"y": {"goal": "maximize"}},
         "budget": {"trials": trials}}
    )  # fmt: skip
    return stock_line("pump", spec, STOCKED, CampaignState(), bench)


def test_what_is_left_of_a_stock_and_for_how_many_trials(tmp_path):
    assert stock(drawn()) is None
    assert stock(drawn(FILLED)) == Line("stock 2 of 2 mL")
    acts = [draw("r/1.trial.0.0.1", 100.0), draw("r/1.trial.1.0.1", 0.1, "mL"), draw("r/2.trial.0.0.1", 200.0)]
    assert stock(drawn(FILLED, *acts)) == Line("stock 1.6 of 2 mL: ~8 trials", "warn")
    assert stock(drawn(FILLED, *acts), trials=8) == Line("stock 1.6 of 2 mL: ~8 trials")
    by_hand = drawn(FILLED, *acts, draw("hand-7", 1000.0), draw("r/setup-1.setup.0.0.1", 450.0))
    assert stock(by_hand) == Line("stock 0.15 of 2 mL: NONE left for a trial", "bad"), "these are no trials"
    more = e.StockSet(name="pump", amount=e.Amount(5.0, "mL"))
    assert stock(drawn(FILLED, *acts, more), trials=9) == Line("stock 5 mL: ~25 trials")


def test_a_stock_lasts_by_what_the_latest_trials_took():
    early = [draw(f"r/{n}.trial.0.0.1", 100.0) for n in range(1, 6)]
    late = [draw(f"r/{n}.trial.0.0.1", 10.0) for n in range(6, 16)]
    assert drawn(FILLED, *early, *late).lasts("pump") == 140


def test_the_bench_beside_a_run_is_followed(tmp_path):
    story = journals.running(tmp_path / "run")
    story.close()
    with Journal.create(story.folder / "bench.db") as bench:
        bench.append(e.StockSet(name="pump_water", amount=e.Amount(40.0, "mL")))
        source = RunSource(story.folder, now=story.now, look=lambda folder: "alive")
        while source.poll().more:
            pass
        assert source.bench.state.stock["pump_water"].value == 40.0
        bench.append(e.StockDrawn(name="pump_water", amount=e.Amount(500.0, "uL"), act="r/1.trial.0.0.1"))
        source.poll()
        assert source.bench.state.stock["pump_water"].value == 39.5
    source.close()


def test_a_bench_that_cannot_be_read_is_no_trouble(tmp_path):
    story = journals.running(tmp_path / "run")
    story.close()
    (story.folder / "bench.db").write_bytes(b"no database" * 100)
    source = RunSource(story.folder, now=story.now, look=lambda folder: "alive")
    while source.poll().more:
        pass
    assert not source.trouble and source.state.trials and not source.bench.state.stock
    source.close()
