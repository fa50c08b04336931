"""One campaign with every kind of parameter, phase and repeat, on the shipped bench in virtual time."""

from collections import Counter
from pathlib import Path

from campaigns import ROOT, go, records
from labloop.campaign import state as s
from labloop.campaign.spec import read_lab, read_spec
from labloop.runner.check import check

CAMPAIGN = """
labloop: 1
campaign: everything
lab: {lab}
parameters:
  yield: {{range: [5, 40], unit: percent}}
  N: {{integer: [1, 9]}}
  q: {{range: [200, 900], unit: uL/min, scale: log}}
  T: {{choices: [38, 40, 42], ordered: true, unit: degC}}
  mode: {{choices: [short, long]}}
  s: {{range: [1, 19], step: 0.5, unit: percent}}
constraints:
  - yield + s <= 50 percent
outcomes:
  spectrum_loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {target}}}
  lambda: {{goal: maximize, from: spectrum, analysis: peak_position, unit: nm}}
setup:
  - spectrometer.rinse: {{}}
trial:
  - together:
      - pump_agno3.dispense: {{rate: $q * $yield, time: 20 s}}
      - pump_tsc.dispense:   {{rate: $q * $N * 1 percent, time: 20 s}}
      - pump_seed.dispense:  {{rate: $q * $s, time: 20 s}}
      - pump_water.dispense: {{rate: $q * (100 percent - $yield - $s - $N * 1 percent), time: 20 s}}
  - hotplate.hold: {{temperature: $T, tolerance: 1 K, time: 30 s, reach_by: 15 min}}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
cleanup:
  - spectrometer.rinse: {{}}
every:
  - {{trials: 2, do: [{{spectrometer.rinse: {{}}}}]}}
  - {{trials: 2, control: {{yield: 20, N: 3, q: 400, T: 40, mode: short, s: 5}}}}
teardown:
  - hotplate.off: {{}}
remeasure: 2
remake: 2
design: {{initial: {{method: lhs, trials: 3}}, batch: 2, seed: 3}}
budget: {{trials: 4}}
"""


def test_every_kind_of_parameter_phase_and_repeat(tmp_path: Path) -> None:
    campaign = tmp_path / "everything.yaml"
    lab, target = ROOT / "campaigns" / "lab.yaml", ROOT / "campaigns" / "target_spectrum.csv"
    campaign.write_text(CAMPAIGN.format(lab=lab, target=target))
    run = tmp_path / "run"
    assert go(run, 4, virtual=True, campaign=campaign) == 0
    state = s.fold(records(run))
    assert state.measured == 4 and not state.open_trials
    roles = Counter(trial.role for trial in state.trials.values())
    assert roles == {"candidate": 4, "repeat": 4, "control": 2}
    assert state.passes == {"setup": 1, "every.0": 2, "teardown": 1}
    assert any(trial.source == "model" for trial in state.trials.values())
    for trial in state.trials.values():
        assert trial.state == s.MEASURED and trial.outcomes.keys() == {"spectrum_loss", "lambda"}
        assert trial.outcomes["lambda"].sd is not None, "the sample was measured twice"
        assert float(trial.settings["yield"]) + float(trial.settings["s"]) <= 50 + 1e-9
        assert trial.settings["T"] in (38, 40, 42) and trial.settings["mode"] in ("short", "long")
        assert float(trial.settings["s"]) % 0.5 == 0 and float(trial.settings["N"]) % 1 == 0
    for repeat in (trial for trial in state.trials.values() if trial.role == "repeat"):
        assert repeat.settings == state.trials[repeat.proposal.repeat_of or 0].settings
        assert repeat.sample != state.trials[repeat.proposal.repeat_of or 0].sample


FEW = """
labloop: 1
campaign: few
lab: {lab}
parameters:
  q: {{range: [200, 900], unit: uL/min}}
candidates: [{{q: 300}}, {{q: 400}}, {{q: 500}}]
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {target}}}
trial:
  - pump_agno3.dispense: {{rate: $q, time: 20 s}}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
cleanup:
  - spectrometer.rinse: {{}}
design: {{initial: {{method: random, trials: 2}}, seed: 1}}
budget: {{trials: 9}}
"""


def test_a_list_of_candidates_that_is_used_up_finishes_the_campaign(tmp_path: Path) -> None:
    campaign = tmp_path / "few.yaml"
    lab, target = ROOT / "campaigns" / "lab.yaml", ROOT / "campaigns" / "target_spectrum.csv"
    campaign.write_text(FEW.format(lab=lab, target=target))
    run = tmp_path / "run"
    assert go(run, 9, virtual=True, campaign=campaign) == 0
    state = s.fold(records(run))
    assert sorted(trial.settings["q"] for trial in state.trials.values()) == [300, 400, 500]
    assert state.state == s.FINISHED and "candidates" in state.reason


ASKED = """
labloop: 1
campaign: weighed
lab: {lab}
parameters:
  q: {{range: [100, 900], unit: uL/min}}
outcomes:
  mass: {{goal: maximize, from: mass, unit: mg}}
each_batch:
  - person.do: {{ask: Load a substrate, read: {{plate: barcode}}}}
trial:
  - pump_water.dispense: {{rate: $q, time: 10 s}}
  - person.do: {{ask: "Weigh what $q gave", read: {{mass: g}}, simulated: {{mass: 1.2 g}}, reach_by: 2 h}}
cleanup:
  - spectrometer.rinse: {{}}
design: {{initial: {{method: sobol, trials: 2}}, seed: 1}}
budget: {{trials: 2}}
"""


def test_a_person_is_an_instrument(tmp_path: Path) -> None:
    campaign, run = tmp_path / "weighed.yaml", tmp_path / "run"
    campaign.write_text(ASKED.format(lab=ROOT / "campaigns" / "lab.yaml"))
    assert go(run, 2, virtual=True, campaign=campaign) == 0
    state = s.fold(records(run))
    assert state.measured == 2 and not state.asked and "person" not in state.instruments
    assert {trial.outcomes["mass"].value for trial in state.trials.values()} == {1200.0}
    asked = [step for step in state.steps.values() if step.begun.instrument == "person"]
    assert len(asked) == 4 and "uL/min gave" in str(asked[1].begun.settings["ask"].value)


STOPS = """
labloop: 1
campaign: stops
lab: {lab}
parameters:
  q: {{range: [100, 900], unit: uL/min}}
outcomes:
  mass: {{goal: maximize, from: mass, unit: g}}
trial:
  - pump_water.dispense: {{rate: $q, time: 10 s}}
  - person.do: {{ask: Weigh it, read: {{mass: g}}, simulated: {{mass: 1.2 g}}}}
design: {{initial: {{method: sobol, trials: 3}}, seed: 1}}
cost: 1 + $q / 100
"""


def test_a_campaign_stops_by_what_the_planner_sees_and_by_what_it_costs(tmp_path: Path) -> None:
    lab = ROOT / "campaigns" / "lab.yaml"
    seen, spent = tmp_path / "seen.yaml", tmp_path / "spent.yaml"
    seen.write_text(STOPS.format(lab=lab) + "budget: {trials: 30}\nstop_when: {regret_below: 0.05 }\n")
    spent.write_text(STOPS.format(lab=lab) + "budget: {trials: 30, cost: 20}\n")
    assert go(tmp_path / "a", 30, virtual=True, campaign=seen) == 0
    state = s.fold(records(tmp_path / "a"))
    assert state.measured < 30 and "can still be gained" in state.reason
    assert go(tmp_path / "b", 30, virtual=True, campaign=spent) == 0
    state = s.fold(records(tmp_path / "b"))
    costs = [1 + float(trial.settings["q"]) / 100 for trial in state.trials.values()]
    assert "of the budget's cost of 20 are spent" in state.reason
    assert sum(costs) >= 20 > sum(costs[:-1])


def test_ten_kinds_of_instrument_several_on_shared_lines(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert go(run, 2, virtual=True, campaign=ROOT / "campaigns" / "many-instruments.yaml") == 0
    state = s.fold(records(run))
    assert state.measured == 2 and not state.questions
    assert len({identity.model for identity in state.identities.values()}) >= 10
    acted = {step.begun.instrument for step in state.steps.values() if step.state == s.FINISHED}
    assert acted >= {
        "pump_agno3", "nitrogen", "argon", "quench", "jacket", "hotplate", "balance", "ph", "smu", "spectrometer",
    }  # fmt: skip


UNDER = """
labloop: 1
campaign: under
lab: {lab}
parameters:
  mode: {{choices: [slow, fast]}}
  q: {{range: [200, 900], unit: uL/min, active_when: mode == fast, likely: {{value: 700, within: 100}}}}
  T: {{range: [38, 42], unit: degC, shared: batch}}
  blend: {{mixture: [A, B, C], sum: 100, unit: percent, at_most: 2, at_least: 10}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {target}}}
trial:
  - pump_water.dispense: {{rate: 300 uL/min, time: 20 s}}
  - pump_seed.dispense: {{rate: $q, time: 20 s}}
    when: mode == fast
  - pump_tsc.dispense: {{rate: 500 uL/min * $A, time: 20 s}}
    when: A > 0
  - hotplate.hold: {{temperature: $T, tolerance: 1 K, time: 30 s, reach_by: 15 min}}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
cleanup:
  - spectrometer.rinse: {{}}
design: {{initial: {{trials: 4}}, batch: 2}}
budget: {{trials: 7}}
"""


def test_what_does_not_count_is_neither_proposed_nor_done(tmp_path: Path) -> None:
    campaign = tmp_path / "under.yaml"
    lab, target = ROOT / "campaigns" / "lab.yaml", ROOT / "campaigns" / "target_spectrum.csv"
    campaign.write_text(UNDER.format(lab=lab, target=target))
    run = tmp_path / "run"
    assert go(run, 7, virtual=True, campaign=campaign) == 0
    state = s.fold(records(run))
    done = {
        number: {(step.begun.instrument, step.begun.action) for step in trial.steps}
        for number, trial in state.trials.items()
    }
    for number, trial in state.trials.items():
        assert ("q" in trial.settings) == (trial.settings["mode"] == "fast")
        assert (("pump_seed", "dispense") in done[number]) == (trial.settings["mode"] == "fast")
        assert (("pump_tsc", "dispense") in done[number]) == (float(trial.settings["A"]) > 0)
        there = [float(trial.settings[name]) for name in "ABC" if float(trial.settings[name]) > 0]
        assert len(there) <= 2 and min(there) >= 10 and abs(sum(there) - 100) < 1e-9
    assert {trial.settings["mode"] for trial in state.trials.values()} == {"slow", "fast"}
    shared = [trial.settings["T"] for _, trial in sorted(state.trials.items())]
    assert shared[0::2][:3] == shared[1::2] and len(set(shared)) == 4, "two by two"


def test_a_step_without_its_condition_is_refused_with_the_way_out(tmp_path: Path) -> None:
    campaign = tmp_path / "under.yaml"
    lab, target = ROOT / "campaigns" / "lab.yaml", ROOT / "campaigns" / "target_spectrum.csv"
    campaign.write_text(UNDER.format(lab=lab, target=target).replace("    when: mode == fast\n", ""))
    plan = check(read_spec(campaign), read_lab(lab))
    assert [one for one in plan.complaints if "q has no value where `mode == fast` does not hold" in one]
