"""What is watched, and what is no longer: after a fault, after a resume, while something waits."""

from pathlib import Path
from typing import Any

import pytest
import reach as reaches
from people import People, wish
from reach import PUMP, ROOT, Reach

from labloop.campaign import events as e
from labloop.campaign import state as s

PROBE = "plausible: {probe: {of: hotplate.temperature, rise: 2 K, within: 1 min}}\n"
STIRRED = (
    "requires: {stirred: {of: [hotplate.heat, hotplate.hold], that: hotplate.speed >= 100 rpm, until: hotplate.off}}\n"
)
BOTH = STIRRED + PROBE


def plate(reach: Reach) -> Any:
    assert reach.bench is not None
    return reach.bench.devices["hotplate"]


def test_a_plate_that_was_stopped_for_its_fault_is_neither_implausible_nor_unstirred(tmp_path: Path) -> None:
    """The trial failed, the next one is begun: heater and stirrer went off together meanwhile."""
    campaign = """
        trial:
          - hotplate.stir: {speed: 300 rpm}
          - hotplate.hold: {temperature: 60 degC, tolerance: 1 K, time: 30 s, reach_by: 3 min}
        cleanup:
          - waste.withdraw: {rate: 100 uL/min, time: 5 min}
        stop_when: {failures_in_a_row: 9}
        budget: {trials: 2, attempts: 2}
    """
    reach = Reach(tmp_path, BOTH, campaign)
    assert reach.run() == 1 and not reach.facts(e.WatchTripped)
    assert [one.fault for one in reach.facts(e.StepFailed)] == ["not_reached", "not_reached"]
    assert len(reach.ledger("waste")) == 2


def test_trials_that_are_shorter_than_a_probe_may_take_hide_no_probe_beside_the_flask(tmp_path: Path) -> None:
    def out(bench: Any, now_s: float) -> None:
        bench.devices["hotplate"].bath.medium_c = lambda at_s: 22.0

    campaign = """
        trial:
          - hotplate.heat: {temperature: 80 degC}
          - pump_a.dispense: {rate: $q, time: 40 s}
            if_interrupted: discard
        budget: {trials: 15}
    """
    reach = Reach(tmp_path, PROBE, campaign, out)
    assert reach.run() == 3
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == "plausible.probe" and tripped.t_s < 90.0 and not plate(reach).heats
    assert plate(reach).bath.plate_c(tripped.t_s) < 35.0


def test_a_furnace_that_falls_back_after_its_hold_is_not_on_its_way_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnace = 'driver: "drivers.eurotherm:E3216", simulator: "simulators.eurotherm:E3216", port: "serial:///dev/f"'
    lab = f"""
        labloop: 1
        root: {ROOT}
        instruments: {{pump_a: {{{PUMP}, address: 0}}, furnace: {{{furnace}}}}}
        plausible: {{probe: {{of: furnace.temperature, rise: 5 K, within: 1 min}}}}
    """
    campaign = """
        trial:
          - furnace.hold: {temperature: 100 degC, tolerance: 3 K, time: 1 min}
          - pump_a.dispense: {rate: $q, time: 5 min}
            if_interrupted: discard
        budget: {trials: 2}
    """
    monkeypatch.setattr(reaches, "LAB", lab)
    assert Reach(tmp_path, "", campaign).run() == 0


@pytest.mark.parametrize("goes_on", ["hold", "heat"])
@pytest.mark.parametrize("rule", ["plausible.probe", "requires.stirred"])
def test_what_the_lab_keeps_is_watched_when_the_run_is_taken_up_again(tmp_path: Path, rule: str, goes_on: str) -> None:
    """A hold that goes on without a runner; a plate that heats since a step that is over."""
    campaign = f"""
        trial:
          - hotplate.stir: {{speed: 300 rpm}}
          - hotplate.{goes_on}: {{temperature: 80 degC{", time: 60 min" if goes_on == "hold" else ""}}}
          - pump_a.dispense: {{rate: 60 uL/min, time: 2 min}}
          - pump_a.dispense: {{rate: 60 uL/min, time: 20 min}}
        budget: {{trials: 1}}
    """
    reach = Reach(tmp_path, f"keep: [hotplate]\n{BOTH}", campaign, People(tmp_path, (100.0, wish("abort", by="ann"))))
    assert reach.run() == 4 and plate(reach).heats
    again_s = reach.clock.now_s()

    def misbehaves(bench: Any, now_s: float) -> None:
        if now_s > again_s + 30.0 and rule == "requires.stirred":
            bench.devices["hotplate"].set_rpm = 0.0
        elif now_s > again_s + 30.0:
            bench.devices["hotplate"].bath.medium_c = lambda at_s: 25.0

    reach.meddle = misbehaves
    reach.run()
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == rule and again_s + 30.0 < tripped.t_s < again_s + 180.0


def test_a_plate_that_waits_for_another_instrument_is_not_on_its_way_yet(tmp_path: Path) -> None:
    """They begin together, and the pumps' line is out for ten minutes before that."""

    def out(bench: Any, now_s: float) -> None:
        if not gone and reach.sent and reach.sent[-1][2] == b"0RAT\r":
            gone.append(now_s)
            bench.lines["serial:///dev/pumps?baud=19200"].unplugged_until_s = now_s + 600.0

    campaign = """
        trial:
          - together:
              - hotplate.hold: {temperature: 40 degC, tolerance: 1 K, time: 30 s}
              - pump_a.dispense: {rate: $q, time: 30 s}
        budget: {trials: 1}
    """
    gone: list[float] = []
    reach = Reach(tmp_path, f"{PROBE}on_lost: {{retry_for: 2 h}}\n".replace("1 min", "2 min"), campaign, out)
    assert reach.run() == 0 and gone and not reach.facts(e.WatchTripped)
    assert [step.fault for step in reach.state().trials[1].steps if step.state == s.FAILED] == ["not_done"] * 2


def test_what_was_refused_by_hand_has_not_waited_for_the_recipe(tmp_path: Path) -> None:
    """It was wished for without stirring; ten minutes later the recipe stirs, and has its time to come up to speed."""
    campaign = """
        trial:
          - pump_a.dispense: {rate: 60 uL/min, time: 1 min}
          - hotplate.stir: {speed: 1000 rpm}
          - hotplate.heat: {temperature: 40 degC}
        budget: {trials: 1}
    """
    people = People(
        tmp_path,
        (10.0, wish("pause", by="ann", why="to warm it")),
        (120.0, wish("act", "hotplate.heat", "temperature=40 degC", by="ann", why="too cold")),
        (720.0, wish("resume", by="ann")),
    )
    watched = "limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}\n"
    reach = Reach(tmp_path, STIRRED.replace("100 rpm", "900 rpm") + watched, campaign, people)
    assert reach.run() == 0
    assert any("was not begun by hand: hotplate.heat needs" in one.text for one in reach.facts(e.NoteTaken))
    assert [one.act for one in reach.ledger("hotplate", "begin")] == ["stir", "hold"]


def test_a_hold_on_its_way_down_has_the_time_that_it_was_given(tmp_path: Path) -> None:
    """A plate has no cooler: from 100 to 30 degC it takes a quarter of an hour longer than the same way up."""
    campaign = """
        trial:
          - hotplate.hold: {temperature: 100 degC, tolerance: 1 K, time: 30 s}
          - hotplate.hold: {temperature: 30 degC, tolerance: 1 K, time: 30 s, reach_by: 90 min}
        budget: {trials: 1}
    """
    reach = Reach(tmp_path, "", campaign)
    assert reach.run() == 0 and not reach.facts(e.StepFailed)
    high, low = (step.ended_t_s for step in reach.state().trials[1].steps)
    assert low - high > 1300.0


@pytest.mark.parametrize("goes_on", ["hold", "heat"])
def test_what_is_kept_is_watched_while_a_start_waits_for_another_line(tmp_path: Path, goes_on: str) -> None:
    """The pumps' line is out for an hour just before they are configured; the stirrer stands still meanwhile."""
    campaign = f"""
        trial:
          - hotplate.stir: {{speed: 300 rpm}}
          - hotplate.{goes_on}: {{temperature: 80 degC{", time: 60 min" if goes_on == "hold" else ""}}}
          - pump_a.dispense: {{rate: 60 uL/min, time: 2 min}}
          - pump_a.dispense: {{rate: 60 uL/min, time: 20 min}}
        budget: {{trials: 1}}
    """
    lab = f"keep: [hotplate]\non_lost: {{retry_for: 2 h}}\n{STIRRED}"
    reach = Reach(tmp_path, lab, campaign, People(tmp_path, (100.0, wish("abort", by="ann"))))
    assert reach.run() == 4 and plate(reach).heats
    begun, again_s = len(reach.sent), reach.clock.now_s()

    def out(bench: Any, now_s: float) -> None:
        told = [data for line, _, data in reach.sent[begun:] if "plate" in line]
        if told.count(b"STATUS_1 \r\n") > 1 and not gone:  # it said that it heats
            gone.append(now_s)
            bench.lines["serial:///dev/pumps?baud=19200"].unplugged_until_s = now_s + 3600.0
        if gone and now_s > gone[0] + 20.0:
            bench.devices["hotplate"].set_rpm = 0.0

    gone: list[float] = []
    reach.meddle = out
    assert reach.run() == 3 and gone
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == "requires.stirred" and tripped.t_s < again_s + 60.0
