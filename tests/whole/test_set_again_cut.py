"""Setting again what a safe state took back may be cut short, or fail, itself; and `setup`, which is done again before
it, takes none of it away."""

from pathlib import Path
from typing import Any

import pytest
from people import People, wish
from reach import Reach
from test_hands import kill, run_till_killed
from test_rest import Patient
from test_set_again import DOWN, FIRST, HOME, LAB, LAST, STAGE, WHERE, WHOLE

from drivers.grbl import Stage
from drivers.vici import Actuator
from labloop.bench import InstrumentFault
from labloop.campaign import state as s

ACTS = """
      - pump_a.dispense: {rate: 300 uL/min, time: 1 min}
        if_interrupted: remainder
      - pump_b.dispense: {rate: 300 uL/min, time: 1 min}
"""
ACID = "\n      - valve.turn: {position: acid}\n"


def ended(folder: Path, campaign: str, how: str = "stop", lab: str = LAB, at_s: float = 30.0) -> Reach:
    """A run that was ended at ``at_s``."""
    reach = Reach(folder, lab, campaign, People(folder, (at_s, wish(how, by="ann"))))
    reach.time = lambda opened, state, note: Patient(state.t_s)
    assert reach.run(virtual=False) == 4
    reach.meddle = lambda bench, now_s: None
    return reach


def ended_in_it(reach: Reach, how: str) -> None:
    """A resume that is ended as soon as something is set again."""
    said: list[float] = []

    def meddle(bench: Any, now_s: float) -> None:
        if not said and any(one.begun.attempt == 2 for one in reach.state().steps.values()):
            said.append(now_s)
            wish(how, by="ann")(reach.folder / "run" / "requests", None, now_s)

    reach.meddle = meddle
    assert reach.run(virtual=False) == 4
    reach.meddle = lambda bench, now_s: None


@pytest.mark.parametrize(
    ("how", "rest"),
    [("stop", f"each_batch:{ACID}    trial:{ACTS}"), ("abort", f"trial:{FIRST}    teardown:{ACID}{ACTS[1:]}")],
)
def test_what_setup_sets_again_takes_back_nothing_that_was_set_since(tmp_path: Path, how: str, rest: str) -> None:
    reach = ended(tmp_path, f"    setup:{ACID.replace('acid', 'water')}    {rest}{LAST}", how)
    assert reach.run() == 0
    began = [one.at_s for one in reach.ledger("pump_b", "begin")][-1]
    assert [one.amount for one in reach.ledger("valve") if one.at_s <= began][-2:] == [1.0, 4.0]


def test_what_setup_sets_again_and_a_trial_has_switched_off_is_switched_off_again(tmp_path: Path) -> None:
    setup = "\n      - hotplate.heat: {temperature: 40 degC}\n      - hotplate.stir: {speed: 300 rpm}\n"
    trial = "\n      - hotplate.off: {}\n      - hotplate.stir: {speed: 200 rpm}"
    reach = ended(tmp_path, f"    setup:{setup}    trial:{trial}{ACTS}{LAST}")
    stood: list[tuple[bool, float]] = []

    def meddle(bench: Any, now_s: float) -> None:
        if reach.ledger("pump_b", "begin"):
            plate = bench.devices["hotplate"]
            stood.append((plate.heats, plate.set_rpm if plate.stirs else 0.0))

    reach.meddle = meddle
    assert reach.run() == 0
    assert stood[0] == (False, 200.0)


@pytest.mark.parametrize("fails", [False, True])
def test_a_stage_stands_where_all_of_its_moves_bring_it_though_the_first_was_the_last_to_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    reach = ended(tmp_path, f"    setup:{HOME}\n    trial:{WHOLE}{DOWN}{ACTS}{LAST}", lab=STAGE, at_s=60.0)
    begins, left = Stage.begin, [fails]

    def sticks(stage: Stage, action: str, settings: Any, act: str) -> None:
        if action == "move" and left[0]:
            left[0] = False
            raise InstrumentFault("it is stuck", kind="stuck")
        begins(stage, action, settings, act)

    monkeypatch.setattr(Stage, "begin", sticks)
    if not fails:
        ended_in_it(reach, "stop")
    assert reach.run() == 0
    moved = [one for one in reach.state().steps.values() if one.begun.instrument == "stage"]
    assert tuple(moved[-1].achieved[axis].value for axis in "xyz") == pytest.approx((-40.0, -30.0, -5.0))
    assert len(reach.ledger("pump_a")) == 1 and reach.state().trials.keys() == {1}


@pytest.mark.parametrize("says", ["discard", "ask"])
def test_a_sample_is_not_lost_because_setting_again_was_cut_short(tmp_path: Path, says: str) -> None:
    """What the stage says is said of the stage, and that was done."""
    together = f"""
      - together:
          - valve.turn: {{position: acid}}
          - pump_b.dispense: {{rate: 300 uL/min, time: 1 s}}
        if_interrupted: {says}
        start_within: 1 min"""
    reach = ended(tmp_path, f"    trial:{FIRST}{together[1:]}{ACTS}{LAST}")
    assert reach.clock is not None
    reach.clock.advance_to(200.0)
    ended_in_it(reach, "abort")
    assert reach.run() == 0
    (trial,) = reach.state().trials.values()
    assert trial.state == s.AWAITING and [len(reach.ledger(name)) for name in ("pump_a", "pump_b")] == [1, 2]


@pytest.mark.parametrize("phase", ["setup", "cleanup"])
def test_what_waited_too_long_in_a_phase_without_a_sample_keeps_no_run_from_going_on(
    tmp_path: Path, phase: str
) -> None:  # fmt: skip
    late = ACTS.rstrip() + "\n        start_within: 1 min\n"
    phases = [f"    trial:{FIRST}", f"    {phase}:{late}"]
    reach = ended(tmp_path, "".join(reversed(phases) if phase == "setup" else phases) + LAST)
    assert reach.clock is not None
    reach.clock.advance_to(1000.0)
    assert reach.run() == 0
    assert [len(reach.ledger(name)) for name in ("pump_a", "pump_b")] == [1, 1]


@pytest.mark.parametrize(("phase", "code"), [("setup", 3), ("cleanup", 6)])
def test_what_cannot_be_set_again_ends_a_phase_without_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, code: int
) -> None:
    """It was tried for ever, and without a pause, on a bench that stood half set up."""
    reach = ended(tmp_path, WHERE[phase])
    begins, tries = Actuator.begin, list[str]()

    def sticks(valve: Actuator, action: str, settings: Any, act: str) -> None:
        if action == "turn":
            tries.append(act)
            assert len(tries) < 20
            raise InstrumentFault("it is stuck", kind="stuck")
        begins(valve, action, settings, act)

    with monkeypatch.context() as patch:
        patch.setattr(Actuator, "begin", sticks)
        assert reach.run() == code and "it is stuck" in reach.state().reason
    assert len(tries) <= 4
    assert reach.run() == 0
    assert len(reach.ledger("pump_a")) == 1


def test_what_was_lost_while_a_kept_act_came_to_its_end_is_asked_after(tmp_path: Path) -> None:
    furnace = """\
  furnace: {driver: "drivers.eurotherm:E3216", simulator: "simulators.eurotherm:E3216", control: program,
            port: "serial:///dev/furnace"}
keep: [furnace, hotplate]
"""
    acts = "\n      - hotplate.stir: {speed: 300 rpm}\n      - furnace.run_program: {time: 4 h}\n"
    lab = LAB.replace("limits:", f"{furnace}limits:", 1)
    reach = ended(tmp_path, f"    trial:{acts}{LAST}", "abort", lab, at_s=600.0)
    cut: list[float] = []

    def meddle(bench: Any, now_s: float) -> None:
        if now_s >= 2000.0 and not cut:
            cut.append(now_s)
            bench.devices["hotplate"].power_cycle(now_s)

    reach.meddle = meddle
    reach.run()
    assert reach.state().trials[1].state == s.ABANDONED
    assert len(reach.ledger("furnace", "begin")) == 2


def killed(tmp_path: Path) -> Reach:
    """A run whose runner was killed, and nobody wrote down that anything was made safe."""
    setup = "\n      - hotplate.stir: {speed: 300 rpm}\n"
    reach = Reach(tmp_path, LAB, f"    setup:{setup}    trial:{ACTS}    budget: {{trials: 2}}\n", People(
        tmp_path, (30.0, kill)
    ))  # fmt: skip
    run_till_killed(reach)
    reach.meddle = lambda bench, now_s: None
    return reach


def test_what_setup_set_and_a_power_cut_ended_while_nobody_ran_is_set_again(tmp_path: Path) -> None:
    reach = killed(tmp_path)
    assert reach.bench is not None and not reach.bench.devices["hotplate"].stirs
    assert reach.run() == 0
    begins = [one.at_s for one in reach.bench.ledger.entries if one.act == "stir" and one.phase == "begin"]
    assert len(begins) == 2 and begins[1] < reach.ledger("pump_b", "begin")[0].at_s
    assert len([one for one in reach.state().loose_steps if one.state == s.FINISHED]) == 2


def test_what_an_earlier_runner_set_up_is_asked_after_with_each_trial(tmp_path: Path) -> None:
    reach = killed(tmp_path)
    assert reach.bench is not None
    plate, cut = reach.bench.devices["hotplate"], list[float]()
    plate.receive(b"START_4 \r\n", reach.clock.now_s() if reach.clock else 0.0)

    def meddle(bench: Any, now_s: float) -> None:
        if reach.ledger("pump_b") and not cut:  # in the second trial's time, or right before
            cut.append(now_s)
            plate.power_cycle(now_s)

    reach.meddle = meddle
    assert reach.run() == 6
    assert "hotplate.stir" in reach.state().reason
