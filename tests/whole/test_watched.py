"""What is bound is watched between steps and in them; whatever is broken makes the bench safe and gives its reason."""

from pathlib import Path
from typing import Any

import pytest
from reach import Reach
from test_rest import Patient

from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.journal import Journal, Reader
from labloop.journal.errors import StoreFull

HOT = """
    setup:
      - hotplate.heat: {temperature: 40 degC}
    trial:
      - pump_a.dispense: {rate: $q, time: 10 min}
        if_interrupted: discard
    budget: {trials: 1}
"""


def heater(reach: Reach) -> bool:
    assert reach.bench is not None
    return bool(reach.bench.devices["hotplate"].heats)


def runaway(bench, now_s):
    """The heater's relay sticks: after five minutes the plate goes on getting hotter whatever it is set to."""
    plate = bench.devices["hotplate"]
    if now_s > 300.0 and plate.heats:
        plate.bath.steer(now_s, 200.0)


def test_a_plate_that_was_left_on_is_watched_while_a_pump_runs(tmp_path: Path) -> None:
    lab = "limits: {hotplate: {plate: {max: 60 degC, stale_after: 5 s}}}\n"
    reach = Reach(tmp_path, lab, HOT, runaway)
    assert reach.run() == 3
    tripped = reach.facts(e.WatchTripped)
    assert [one.then for one in tripped] == ["safe"]
    assert "plate reads 60." in tripped[0].reason and "above the lab's limit" in tripped[0].reason
    assert not heater(reach)
    state = reach.state()
    assert state.state == s.STOPPED and "plate reads" in state.reason and state.safe
    plate = reach.bench.devices["hotplate"].bath
    assert plate.hottest_c(0.0, reach.clock.now_s()) < 60.0
    (cut,) = reach.ledger("pump_a")
    assert cut.amount > 0.0 and tripped[0].t_s == pytest.approx(cut.at_s, abs=0.5), "the pump was stopped with the rest"


@pytest.mark.parametrize(("kept", "goes_on"), [("hotplate", True), ("hotplate.heat", True), ("hotplate.stir", False)])
def test_what_keep_lets_go_on_beyond_its_own_limit_is_named_and_no_bench_is_called_safe_then(
    tmp_path: Path, kept: str, goes_on: bool
) -> None:
    lab = f"limits: {{hotplate: {{plate: {{max: 60 degC, stale_after: 5 s}}}}}}\nkeep: [{kept}]\n"
    reach = Reach(tmp_path, lab, HOT, runaway)
    assert reach.run() == 3
    assert heater(reach) is goes_on
    *_, made_safe = reach.facts(e.SafeStateReached)
    assert [("hotplate: plate reads 60." in one, "keep lets it go on" in one) for one in made_safe.errors] == (
        [(True, True)] if goes_on else []
    )
    assert reach.state().safe is not goes_on


def test_a_plate_that_no_trial_has_set_is_held_to_what_the_trials_there_ask_for(tmp_path: Path) -> None:
    for name, when, ends in (("held", "q >= 0 uL/min", 3), ("free", "q > 1 L/min", 0)):
        (tmp_path / name).mkdir()
        lab = f"limits: [hotplate.plate <= 60 degC when {when}]\n"
        reach = Reach(tmp_path / name, lab, HOT, runaway)
        assert reach.run() == ends, when


def test_nobody_disturbs_what_a_step_does(tmp_path: Path) -> None:
    """A hold with a watch beside it takes as long, and a dispense brings as much, as without."""
    trial = """
        trial:
          - pump_a.dispense: {rate: 250 uL/min, time: 2 min}
          - hotplate.hold: {temperature: 40 degC, tolerance: 1 K, time: 90 s, reach_by: 30 min}
        budget: {trials: 2}
    """
    watched = "limits: {hotplate: {plate: {max: 100 degC, rate: 20 K/min, stale_after: 2 s}, speed: {max: 1000 rpm}}}\n"
    times = []
    for name, limits in (("watched", watched), ("alone", "")):
        folder = tmp_path / name
        folder.mkdir()
        reach = Reach(folder, limits, trial)
        assert reach.run() == 0
        assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([500.0, 500.0], abs=0.01)
        steps = [step for trial in reach.state().trials.values() for step in trial.steps]
        assert {step.state for step in steps} == {s.FINISHED}
        times.append([step.ended_t_s - step.begun.t_s for step in steps])
    assert times[0] == pytest.approx(times[1], abs=2.5)


@pytest.mark.parametrize("rate, code", [("4 K/min", 3), ("6 K/min", 0)])
def test_a_plate_that_changes_too_fast_is_made_safe(tmp_path: Path, rate: str, code: int) -> None:
    reach = Reach(tmp_path, f"limits: {{hotplate: {{plate: {{rate: {rate}}}}}}}\n", HOT)  # it warms by 5 K/min
    assert reach.run() == code
    assert bool(reach.facts(e.WatchTripped)) == (code == 3)


def test_a_reading_that_stays_out_is_a_breach(tmp_path: Path) -> None:
    def silent(bench, now_s):
        if now_s > 200.0:
            bench.devices["hotplate"].receive = lambda data, now_s: b""

    reach = Reach(tmp_path, "limits: {hotplate: {plate: {max: 60 degC, stale_after: 5 s}}}\n", HOT, silent)
    assert reach.run() == 3
    (tripped,) = reach.facts(e.WatchTripped)
    assert "no fresh reading of plate for" in tripped.reason and "no whole answer" in tripped.reason
    assert 202.0 < tripped.t_s < 208.0
    (safe,) = reach.facts(e.SafeStateReached)
    assert any("hotplate" in error for error in safe.errors), "what did not stop is named"


@pytest.mark.parametrize(("stands_s", "code"), [(7.0, 0), (12.0, 3)])
def test_a_runner_that_stood_still_asks_before_it_judges_and_not_where_it_stood_for_as_long_as_one_that_hangs(
    tmp_path: Path, stands_s: float, code: int
) -> None:
    """A write that a busy disk took its time for: nobody could ask meanwhile. A computer that slept is another."""

    def stands(bench: Any, now_s: float) -> None:
        if now_s > 200.0 and not stood:
            stood.append(now_s)
            bench.clock.advance_to(now_s + stands_s)

    stood: list[float] = []
    reach = Reach(tmp_path, "limits: {hotplate: {plate: {max: 60 degC, stale_after: 5 s}}}\n", HOT, stands)
    reach.time = lambda opened, state, note: Patient(state.t_s)
    assert reach.run(virtual=False) == code and stood
    assert bool(reach.facts(e.WatchTripped)) == (code == 3)


def test_a_probe_beside_the_flask_is_noticed(tmp_path: Path) -> None:
    def out(bench, now_s):
        bench.devices["hotplate"].bath.medium_c = lambda at_s: 22.0

    rule = "plausible: {probe: {of: hotplate.temperature, rise: 2 K, within: 2 min}}\n"
    reach = Reach(tmp_path, rule, HOT, out)
    assert reach.run() == 3
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == "plausible.probe" and "rose by 0 K in 1" in tripped.reason
    assert 120.0 < tripped.t_s < 200.0 and not heater(reach)


def test_a_probe_that_cannot_be_read_on_a_good_line_is_noticed(tmp_path: Path) -> None:
    """It answers everything else: nothing is lost, and no limit or interlock speaks of it."""

    def broken(bench, now_s):
        plate = bench.devices["hotplate"]
        if now_s > 200.0 and not spoilt:
            usual = plate.receive
            plate.receive = lambda data, now_s: b"ERROR \r\n" if b"IN_PV_1" in data else usual(data, now_s)
            spoilt.append(now_s)

    spoilt: list[float] = []
    rule = "plausible: {probe: {of: hotplate.temperature, rise: 2 K, within: 2 min}}\n"
    reach = Reach(tmp_path, rule, HOT, broken)
    assert reach.run() == 3 and spoilt and not reach.facts(e.InstrumentLost)
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == "plausible.probe" and "no fresh reading of temperature for 12" in tripped.reason
    assert "It says: hotplate" in tripped.reason and tripped.t_s < 330.0 and not heater(reach)


def test_a_probe_in_the_flask_is_believed(tmp_path: Path) -> None:
    rule = "plausible: {probe: {of: hotplate.temperature, rise: 2 K, within: 2 min}}\n"
    assert Reach(tmp_path, rule, HOT).run() == 0


STIRRED = """
    requires: {stirred: {of: [hotplate.heat, hotplate.hold], that: hotplate.speed >= 100 rpm, until: hotplate.off}}
"""


def test_heating_without_stirring_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    def stuck(bench, now_s):
        if now_s > 3.0:
            bench.devices["hotplate"].set_rpm = 0.0

    before = "- hotplate.stir: {speed: 300 rpm}\n      - pump_b.dispense: {rate: 60 uL/min, time: 10 s}\n      "
    reach = Reach(tmp_path, STIRRED, HOT.replace("- hotplate.heat", before + "- hotplate.heat"), stuck)
    assert reach.run() == 3
    reason = reach.state().reason
    assert "hotplate.heat needs hotplate.speed >= 100 rpm" in reason and "hotplate.speed is 0 rpm, 30 s long" in reason
    assert not any(b"START_1" in data for _, _, data in reach.sent)


def test_what_an_act_needs_may_be_on_its_way(tmp_path: Path) -> None:
    campaign = HOT.replace("- hotplate.heat", "- hotplate.stir: {speed: 1000 rpm}\n      - hotplate.heat")
    reach = Reach(tmp_path, STIRRED.replace("100 rpm", "900 rpm"), campaign)  # it takes five seconds
    assert reach.run() == 0
    (heated,) = reach.ledger("hotplate", "begin")[1:]
    assert heated.act == "hold" and 4.5 <= heated.at_s < 8.0


def test_a_stirrer_that_stops_while_the_plate_is_hot_ends_the_run(tmp_path: Path) -> None:
    def stuck(bench, now_s):
        if now_s > 100.0:
            bench.devices["hotplate"].set_rpm = 0.0

    campaign = HOT.replace("- hotplate.heat", "- hotplate.stir: {speed: 300 rpm}\n      - hotplate.heat")
    reach = Reach(tmp_path, STIRRED, campaign, stuck)
    assert reach.run() == 3
    (tripped,) = reach.facts(e.WatchTripped)
    assert tripped.rule == "requires.stirred" and "hotplate.heat" in tripped.reason and 100.0 < tripped.t_s < 110.0
    assert not heater(reach)


def test_an_interlock_holds_the_run_and_lets_go_by_itself(tmp_path: Path) -> None:
    def warm(bench, now_s):
        bench.devices["hotplate"].bath.medium_c = lambda at_s: 90.0 if 100.0 < at_s < 700.0 else 22.0

    rule = "interlocks: {hot: {when: hotplate.temperature > 50 degC, then: hold, resume: true, stale_after: 5 s}}\n"
    trial = "trial: [{pump_a.dispense: {rate: $q, time: 60 s}}]\nbudget: {trials: 4}\n"
    reach = Reach(tmp_path, rule, trial, warm)
    assert reach.run() == 0
    (tripped,), (cleared,) = reach.facts(e.WatchTripped), reach.facts(e.WatchCleared)
    assert (tripped.rule, tripped.then, cleared.released) == ("interlocks.hot", "hold", True)
    assert 100.0 < tripped.t_s < 106.0 and 700.0 < cleared.t_s < 706.0
    begun = [step.begun.t_s for step in reach.state().steps.values()]
    assert not any(tripped.t_s < at_s < cleared.t_s for at_s in begun) and max(begun) > 700.0
    assert len(reach.ledger("pump_a")) == 4


def test_an_interlock_that_holds_too_long_makes_the_bench_safe_and_waits(tmp_path: Path) -> None:
    rule = "interlocks: {hot: {when: hotplate.temperature < 50 degC, then: hold}}\n"
    trial = (
        "trial: [{pump_a.dispense: {rate: $q, time: 60 s}}]\nbudget: {trials: 4}\npause: {hold: 90 s, then: safe}\n"
    )
    reach = Reach(tmp_path, rule, trial)
    assert reach.run() == 6
    assert "interlocks.hot has held the run for 1 min 30 s" in reach.state().reason
    assert not reach.ledger("pump_a", "begin") and 90.0 < reach.clock.now_s() < 190.0


@pytest.mark.parametrize("then, code, state", [("safe", 3, s.STOPPED), ("halt", 6, s.HALTED)])
def test_an_interlock_ends_the_run(tmp_path: Path, then: str, code: int, state: str) -> None:
    rule = f"interlocks: {{hot: {{when: hotplate.temperature > 30 degC, then: {then}, after: 20 s}}}}\n"
    reach = Reach(tmp_path, rule, HOT)
    assert reach.run() == code
    assert reach.state().state == state and not heater(reach)


TWO = """
trial:
  - pump_a.dispense: {rate: 300 uL/min, time: 2 min}
  - pump_b.dispense: {rate: 300 uL/min, time: 2 min}
budget: {trials: 3}
"""
VESSEL = "totals: {vessel: {of: [pump_a.dispense, pump_b.dispense], less: waste.withdraw, max: 3 mL}}\n"


def test_a_vessel_is_never_filled_beyond_what_it_holds(tmp_path: Path) -> None:
    reach = Reach(tmp_path, VESSEL, TWO)
    assert reach.run() == 6
    moved = sum(one.amount for name in ("pump_a", "pump_b") for one in reach.ledger(name))
    assert moved == pytest.approx(3000.0, abs=0.1), "five acts of 600 uL, and not a sixth"
    reason = reach.state().reason
    assert "totals.vessel holds 3 mL, 0.6 mL would come to it, and 3 mL is the most" in reason
    assert "labloop request RUN empty vessel" in reason
    assert reach.run() == 6 and reach.run() == 6, "a resume does not forget what stands there"
    assert sum(one.amount for name in ("pump_a", "pump_b") for one in reach.ledger(name)) == moved


def test_what_an_act_achieved_counts_and_what_takes_out_makes_room(tmp_path: Path) -> None:
    def stalls(bench, now_s):
        pump = bench.devices["pump_a"]
        if now_s > 60.0 and pump.drive.moves and not stalled:
            stalled.append(pump.stall(now_s))

    stalled: list[None] = []

    campaign = (
        TWO + "\nstop_when: {failures_in_a_row: 9}\ncleanup: [{waste.withdraw: {rate: 600 uL/min, time: 2 min}}]\n"
    )
    campaign = campaign.replace("budget: {trials: 3}", "budget: {trials: 4, attempts: 9}")
    reach = Reach(tmp_path, VESSEL.replace("3 mL", "1.3 mL"), campaign, stalls)
    assert reach.run() == 0
    counted = [r.event for r in bench_records(reach) if isinstance(r.event, e.ActCounted)]
    acts = sorted(
        (one for name in ("pump_a", "pump_b", "waste") for one in reach.ledger(name)), key=lambda one: one.at_s
    )
    assert [(one.instrument, float(one.amount.value)) for one in counted] == [
        (one.instrument, pytest.approx(one.amount, abs=0.5)) for one in acts
    ]
    assert acts[0].amount < 400.0, "the one that stalled"
    stands, most = 0.0, 0.0
    for one in acts:
        stands = max(0.0, stands + (one.amount if one.act == "dispense" else -one.amount))
        most = max(most, stands)
    assert 1199.0 < most < 1300.0 and len(acts) > 9, "three times as much went in as it holds"


def test_what_a_setting_rests_is_waited_for(tmp_path: Path) -> None:
    lab = "limits: {pump_a: {dispense: {dwell: 90 s}}}\n"
    reach = Reach(tmp_path, lab, "trial: [{pump_a.dispense: {rate: $q, time: 30 s}}]\nbudget: {trials: 3}\n")
    assert reach.run() == 0
    begins, ends = reach.ledger("pump_a", "begin"), reach.ledger("pump_a")
    rests = [after.at_s - before.at_s for before, after in zip(ends, begins[1:], strict=False)]
    assert len(rests) == 2 and all(90.0 <= rest < 92.0 for rest in rests)


def test_what_is_forgiven_may_be_too_early_and_is_done_in_its_time(tmp_path: Path) -> None:
    """A setup that failed in an earlier run is done again, and its instrument rests for a while before."""

    def stalls(bench, now_s):
        pump = bench.devices["pump_a"]
        if now_s > 10.0 and pump.drive.moves and not stalled:
            stalled.append(pump.stall(now_s))

    stalled: list[None] = []
    lab = "limits: {pump_a: {dispense: {dwell: 90 s}}}\n"
    campaign = """
        setup: [{pump_a.dispense: {rate: 60 uL/min, time: 30 s}}]
        trial: [{pump_b.dispense: {rate: $q, time: 30 s}}]
        budget: {trials: 1}
    """
    reach = Reach(tmp_path, lab, campaign, stalls)
    assert reach.run() == 3 and stalled and "setup" in reach.state().reason
    failed_s = reach.clock.now_s()
    assert reach.run() == 0
    assert len(reach.ledger("pump_a", "begin")) == 2 and reach.ledger("pump_a", "begin")[1].at_s > failed_s + 80.0


def bench_records(reach: Reach) -> list[e.Record]:
    with Reader(reach.folder / "run" / "bench.db") as reader:
        return list(reader.records())


@pytest.mark.parametrize("answers", [True, False])
def test_where_nothing_can_be_written_down_the_error_says_whether_the_bench_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    def full(journal: Journal, *facts: Any) -> Any:
        if reach.clock is not None and reach.clock.now_s() > 100.0:
            raise StoreFull("no room")
        return usual(journal, *facts)

    def silent(bench: Any, now_s: float) -> None:
        if now_s > 100.0 and not answers:
            bench.devices["hotplate"].receive = lambda data, now_s: b""

    usual = Journal.append_surely
    monkeypatch.setattr(Journal, "append_surely", full)
    reach = Reach(tmp_path, "", HOT, silent)
    with pytest.raises(StoreFull) as raised:
        reach.run()
    assert heater(reach) is not answers
    (said,) = raised.value.__notes__
    assert said == "The bench was made safe." if answers else said.startswith("The bench is NOT known to be safe: hotp")
