"""What a trial or a phase has set, and a safe state took back, is set again before its acts go on.

What a trial has lost while it went on, without anybody's notice, costs the trial.
"""

from pathlib import Path
from typing import Any

import pytest
from people import WATCHED, People, hand, wish
from reach import Reach
from test_rest import Patient

from drivers.vici import Actuator
from labloop.bench import InstrumentFault
from labloop.campaign import events as e
from labloop.campaign import state as s
from labloop.runner import walk
from labloop.runner.set_again import fallen
from labloop.simulation.bench import SimulatedBench
from simulators.ika import RCT

LAB = """\
  valve:
    driver: "drivers.vici:Actuator"
    simulator: "simulators.vici:Actuator"
    port: "serial:///dev/valve"
    valve: {water: 1, acid: 4, waste: 10}
limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}
safe_state: [{valve.turn: {position: waste}}]
"""
SETS = """
      - valve.turn: {position: acid}
      - hotplate.stir: {speed: 300 rpm}
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
"""
FIRST = "\n      - waste.dispense: {rate: 300 uL/min, time: 1 s}\n"
LAST = "    budget: {trials: 1}\n"
WHERE = {
    "trial": f"    trial:{SETS}{LAST}",
    "setup": f"    setup:{SETS}    trial:{FIRST}{LAST}",
    "cleanup": f"    trial:{FIRST}    cleanup:{SETS}{LAST}",
}


def ended(tmp_path: Path, campaign: str, lab: str = LAB) -> Reach:
    """A run that was stopped while pump_a was at work."""
    reach = Reach(tmp_path, lab, campaign, People(tmp_path, (30.0, wish("stop", by="ann"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)  # an abort is heard at once
    assert reach.run(virtual=False) == 4
    assert not reach.ledger("pump_b", "begin")
    reach.meddle = lambda bench, now_s: None
    return reach


@pytest.mark.parametrize("where", WHERE)
def test_it_is_set_again_where_its_acts_go_on(tmp_path: Path, where: str) -> None:
    reach = ended(tmp_path, WHERE[where])
    assert reach.run() == 0
    (began,) = [one.at_s for one in reach.ledger("pump_b", "begin")]
    turned = [one for one in reach.ledger("valve") if one.at_s <= began]
    assert turned[-1].amount == 4.0, "it is at the acid again, and not where the lab's list has turned it"
    stirs = [(one.at_s, one.phase) for one in reach.bench.ledger.entries if one.act == "stir"]
    assert max(one for one in stirs if one[0] <= began)[1] == "begin"
    assert [one.amount for one in reach.ledger("pump_a")] == pytest.approx([300.0], abs=0.1)
    assert all(one.state == s.FINISHED for one in reach.state().steps.values())


def test_what_stands_still_is_not_set_again(tmp_path: Path) -> None:
    reach = ended(tmp_path, WHERE["trial"], lab=LAB.partition("safe_state")[0])
    assert reach.run() == 0
    assert len(reach.ledger("valve")) == 1 and len(reach.ledger("hotplate", "begin")) == 2


def test_what_others_may_have_by_now_is_not_set_again(tmp_path: Path) -> None:
    reach = ended(tmp_path, WHERE["trial"], lab=f"{LAB}samples: pipelined\n")
    assert reach.run() == 0
    assert len([one for one in reach.state().steps.values() if one.begun.instrument == "valve"]) == 1


@pytest.mark.parametrize(("at_s", "turns"), [(659.0, 1), (660.0, 1), (670.0, 0)])
def test_a_sample_is_no_younger_for_it(tmp_path: Path, at_s: float, turns: int) -> None:
    """It was ready at 60.4 s, and the valve takes half a second to turn again."""
    late = WHERE["trial"].replace("time: 1 min}\n    budget", "time: 1 min}\n        start_within: 10 min\n    budget")
    reach = ended(tmp_path, late)
    assert reach.clock is not None
    reach.clock.advance_to(at_s)
    assert reach.run() == 0
    trials, begun = reach.state().trials, [one.at_s for one in reach.ledger("pump_b", "begin")]
    again = [one for one in trials[1].steps if one.begun.instrument == "valve" and one.begun.attempt == 2]
    assert len(again) == turns
    in_time = at_s == 659.0
    assert (trials[1].state == s.AWAITING) == in_time and (begun[0] < 660.4) == in_time


KEPT = """
  - valve.turn: {position: acid}
  - furnace.run_program: {time: 4 h}
  - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
"""


def kept(tmp_path: Path) -> Reach:
    """A run that was aborted while its furnace was at work, which goes on."""
    furnace = """\
  furnace: {driver: "drivers.eurotherm:E3216", simulator: "simulators.eurotherm:E3216", control: program,
            port: "serial:///dev/furnace"}
keep: [furnace]
"""
    lab = LAB.replace("limits:", f"{furnace}limits:", 1)
    campaign = f"    trial:{KEPT.replace(chr(10), chr(10) + '    ')}\n{LAST}"
    reach = Reach(tmp_path, lab, campaign, People(tmp_path, (600.0, wish("abort", by="ann"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    assert reach.run(virtual=False) == 4
    reach.meddle = lambda bench, now_s: None
    return reach


def test_it_is_set_again_while_what_is_kept_goes_on(tmp_path: Path) -> None:
    """A gas that the guard has shut off is on again long before the furnace has come to its end."""
    reach = kept(tmp_path)
    assert reach.run() == 0
    (furnace_ends,) = [one.at_s for one in reach.ledger("furnace")]
    assert [one.amount for one in reach.ledger("valve")][:3] == [4.0, 10.0, 4.0]
    assert reach.ledger("valve")[2].at_s < 700.0 < furnace_ends
    assert len(reach.ledger("furnace", "begin")) == 1


@pytest.mark.parametrize(("fails", "tries", "ends"), [(1, 2, s.AWAITING), (9, 3, s.ABANDONED)])
def test_what_failed_is_set_again_beside_what_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int, tries: int, ends: str
) -> None:
    """A sample that was without its gas until the furnace had come to its end was a good one."""
    reach = kept(tmp_path)
    begins, left = Actuator.begin, [fails]

    def sticks(valve: Actuator, action: str, settings: Any, act: str) -> None:
        if action == "turn" and left and left[0]:
            left[0] -= 1
            raise InstrumentFault("it is stuck", kind="stuck")
        begins(valve, action, settings, act)

    monkeypatch.setattr(Actuator, "begin", sticks)
    reach.run()
    (furnace_ends,) = [one.at_s for one in reach.ledger("furnace")]
    trial = reach.state().trials[1]
    tried = [one for one in trial.steps if one.begun.instrument == "valve"][1:]
    assert len(tried) == tries and all(one.begun.t_s < 700.0 < furnace_ends for one in tried)
    assert trial.state == ends


def test_what_failed_in_a_cleanup_is_done_again_after_it(tmp_path: Path) -> None:
    stall = lambda box, devices, now_s: devices["pump_a"].stall(now_s)  # noqa: E731
    reach = Reach(tmp_path, LAB, WHERE["cleanup"], People(tmp_path, (30.0, stall)))
    assert reach.run() == 6
    reach.meddle = lambda bench, now_s: None
    assert reach.run() in (0, 6)
    (began,) = [one.at_s for one in reach.ledger("pump_b", "begin")]
    assert [one.amount for one in reach.ledger("valve") if one.at_s <= began] == [4.0, 10.0, 4.0]


BATCH = """
    each_batch:
      - hotplate.stir: {speed: 300 rpm}
      - valve.turn: {position: water}
    trial:
      - valve.turn: {position: acid}
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
    budget: {trials: 2}
"""


def test_what_was_set_for_a_batch_is_set_again_for_the_rest_of_it(tmp_path: Path) -> None:
    reach = Reach(tmp_path, LAB, BATCH, People(tmp_path, (30.0, wish("stop", by="ann"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    one = tmp_path / "one.yaml"
    one.write_text(one.read_text().replace("seed: 1}", "seed: 1, batch: 2}"))
    assert reach.run(virtual=False) == 4
    reach.meddle = lambda bench, now_s: None
    assert reach.run() == 0
    (first, _) = [one.at_s for one in reach.ledger("pump_b", "begin")]
    stirs = [(one.at_s, one.phase) for one in reach.bench.ledger.entries if one.act == "stir" and one.at_s <= first]
    assert [phase for _, phase in stirs] == ["begin", "end", "begin"]
    turned = [one.amount for one in reach.ledger("valve") if one.at_s <= first]
    assert turned == [4.0, 10.0, 4.0], "the trial has set the valve otherwise since"
    assert reach.state().passes["each_batch"] == 1


STAGE = """\
  stage:
    driver: "drivers.grbl:Stage"
    simulator: "simulators.grbl:Grbl"
    port: "serial:///dev/stage?baud=115200"
    name: STAGE
    travel: {x: [-200 mm, 0 mm], y: [-200 mm, 0 mm], z: [-50 mm, 0 mm]}
    simulation: {homed: true}
limits: {hotplate: {plate: {max: 100 degC, stale_after: 5 s}}}
"""
HOME = "\n      - stage.home: {}"
OVER = "\n      - stage.move: {x: -40 mm, y: -30 mm, feed: 900 mm/min}"
DOWN = "\n      - stage.move: {z: -5 mm, feed: 100 mm/min}"
WHOLE = OVER.replace("feed", "z: -3 mm, feed")


@pytest.mark.parametrize(
    ("setup", "moves", "stands", "again"),
    [
        (HOME, OVER + DOWN, (-40.0, -30.0, -5.0), 2),  # it went down where it had homed
        (HOME, WHOLE + DOWN, (-40.0, -30.0, -5.0), 2),
        ("", OVER + HOME, (-1.0, -1.0, -1.0), 0),
    ],
)
def test_a_stage_stands_again_where_all_of_its_moves_had_brought_it(
    tmp_path: Path, setup: str, moves: str, stands: tuple[float, ...], again: int
) -> None:
    homes = f"    setup:{setup}\n" if setup else ""
    acts = SETS.partition("rpm}")[2]
    stop = People(tmp_path, (60.0, wish("stop", by="ann")))
    reach = Reach(tmp_path, STAGE, f"{homes}    trial:{moves}{acts}{LAST}", stop)
    reach.time = lambda opened, state, note: Patient(state.t_s)
    assert reach.run(virtual=False) == 4 and not reach.ledger("pump_b", "begin")
    reach.meddle = lambda bench, now_s: None
    assert reach.run() == 0
    moved = [one for one in reach.state().steps.values() if one.begun.instrument == "stage"]
    assert tuple(moved[-1].achieved[axis].value for axis in "xyz") == pytest.approx(stands)
    assert len([one for one in moved if one.begun.attempt == 2]) == again


STIRS = f"""
    trial:
      - hotplate.stir: {{speed: 300 rpm}}
      - pump_a.dispense: {{rate: 300 uL/min, time: 1 min}}
      - pump_b.dispense: {{rate: 300 uL/min, time: 1 min}}
{LAST}"""


def test_a_trial_that_lost_what_it_has_set_is_made_again_though_nobody_noticed(tmp_path: Path) -> None:
    cut: list[float] = []

    def meddle(bench: SimulatedBench, now_s: float) -> None:
        if now_s >= 30.0 and not cut:
            cut.append(now_s)
            bench.devices["hotplate"].power_cycle(now_s)

    reach = Reach(tmp_path, WATCHED, STIRS, meddle)
    assert reach.run() == 0
    first, second = reach.state().trials.values()
    assert first.state == s.ABANDONED and first.reason == (
        "not as it was set in this trial: hotplate.stir (it is not set to 300 rpm)"
    )
    assert second.state == s.AWAITING and second.settings == first.settings


def test_a_valve_that_somebody_turns_in_the_middle_of_a_trial_costs_it(tmp_path: Path) -> None:
    turned: list[float] = []

    def meddle(bench: SimulatedBench, now_s: float) -> None:
        if now_s >= 30.0 and not turned:
            turned.append(now_s)
            bench.devices["valve"].place = 1

    reach = Reach(tmp_path, LAB, WHERE["trial"], meddle)
    assert reach.run() == 0
    first, second = reach.state().trials.values()
    assert first.state == s.ABANDONED and first.reason == (
        "not as it was set in this trial: valve.turn (it had come to acid, and stands at water since)"
    )
    assert second.state == s.AWAITING and second.settings == first.settings


def test_what_a_person_has_found_right_as_it_is_spoils_no_trial(tmp_path: Path) -> None:
    people = People(
        tmp_path, (30.0, wish("pause", by="ann")), (150.0, hand("hotplate", b"STOP_4 \r\n")),
        (300.0, wish("resume", by="ann")), (400.0, wish("resume", "force", by="ann", why="it splashed")),
    )  # fmt: skip
    reach = Reach(tmp_path, WATCHED, STIRS, people)
    assert reach.run() == 0
    (trial,) = reach.state().trials.values()
    assert trial.state == s.AWAITING and reach.facts(e.MovedAccepted)


def test_a_plate_that_does_not_say_whether_it_stirs_costs_no_trial(tmp_path: Path, monkeypatch: Any) -> None:
    asked = RCT._asked
    monkeypatch.setattr(RCT, "_asked", lambda plate, line: None if line.startswith("STATUS") else asked(plate, line))
    more = "      - hotplate.heat: {temperature: 40 degC}\n      - hotplate.stir: {speed: 0 rpm}\n"
    reach = Reach(tmp_path, WATCHED, STIRS.replace(LAST, more + LAST))
    assert reach.run() == 0
    (trial,) = reach.state().trials.values()
    assert trial.state == s.AWAITING


def test_an_abort_that_comes_just_when_it_is_asked_spoils_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    async def stopped_first(hand: Any, *of: Any) -> list[str]:
        wish("abort", by="ann")(tmp_path / "run" / "requests", None, 0.0)
        await hand.made_safe.wait()
        return await fallen(hand, *of)

    monkeypatch.setattr(walk, "fallen", stopped_first)
    reach = Reach(tmp_path, WATCHED, STIRS)
    reach.time = lambda opened, state, note: Patient(state.t_s)  # an abort is heard at once
    assert reach.run(virtual=False) == 4
    (trial,) = reach.state().trials.values()
    assert trial.state == s.AWAITING
