"""What a run's gate knows again of the bench when it takes it up."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from labloop.bench import Envelope, NotYet, SafetyError
from labloop.campaign import events as e
from labloop.campaign.recipe import PlannedStep
from labloop.campaign.spec import lab_from_dict, spec_from_dict
from labloop.runner.admission import Admission, hand_step
from labloop.runner.book import BY_HAND, BenchBook
from labloop.runner.check import check
from labloop.runner.clock import VirtualClock, utc_stamp

ROOT = Path(__file__).parents[2]
LAB = {
    "labloop": 1,
    "instruments": {"plate": {"driver": "drivers.ika:RCT", "port": "serial:///dev/plate"}},
    "limits": ["plate.temperature <= 60 degC when solvent == DCM"],
}
SPEC = {"parameters": {"solvent": {"choices": ["DCM", "DMF"]}}, "outcomes": {"y": {"goal": "maximize", "from": "told"}}}


@pytest.mark.parametrize("solvent, closed, breach", [("DCM", False, True), ("DMF", False, False), ("DCM", True, False)])
def test_whose_sample_stands_there_is_known_after_a_resume(solvent: str, closed: bool, breach: bool) -> None:
    """No rule but that limit asks for what was done before, and nothing new has begun yet: a hold goes on."""
    begun = e.StepStarted(
        step="1.trial.0.0", phase="trial", stage=0, index=0, instrument="plate", action="hold", settings={}, trial=1
    )
    state: Any = SimpleNamespace(
        trials={1: SimpleNamespace(closed=closed, steps=[])}, steps={begun.step: SimpleNamespace(begun=begun)}
    )
    admission = Admission(Envelope(lab_from_dict(LAB, ROOT), spec_from_dict(SPEC)), VirtualClock())
    admission.wished = lambda trial: {"solvent": solvent}
    admission.catch_up([], state)
    try:
        admission.see("plate", {"temperature": e.Reading(value=90.0, unit="degC")})
    except SafetyError:
        assert breach
    else:
        assert not breach


PUMP: dict[str, Any] = LAB | {
    "instruments": {
        "pump": {
            "driver": "drivers.new_era:NE1000", "port": "serial:///dev/pump",
            "syringe": {"volume": "10 mL", "diameter": "14.43 mm"},
        }
    },
    "limits": ["pump.rate changes by at most 1 mL/min/min"],
}  # fmt: skip


def dispense(rate_ml_min: float) -> PlannedStep:
    settings = {"rate": e.Amount(rate_ml_min, "mL/min"), "volume": e.Amount(50.0, "uL")}
    return PlannedStep(instrument="pump", action="dispense", settings=settings)


@pytest.mark.parametrize(
    "then, waits",
    [("", True), ("failed", False), ("a run had the bench", False), ("a run did it", False)],
    ids=lambda one: str(one),
)
def test_how_fast_a_setting_may_change_is_reckoned_from_what_was_set_by_hand(then: str, waits: bool) -> None:
    """From 1 to 5 mL/min takes 4 min, whoever set what. Where it was stopped since, nothing stands there."""
    with closing(BenchBook.memory("bench", utc_stamp)) as book:
        run = "/run" if then == "a run did it" else ""
        book.take_lease(run or BY_HAND, "live", {})
        began = e.ByHand(act="hand-1", instrument="pump", action="dispense", settings=dispense(1.0).settings, by="ann")
        began = structs.replace(began, run=run)  # whose end has made the bench safe
        book.record(began, structs.replace(began, done=True))
        if then == "failed":
            book.record(structs.replace(began, act="hand-2", failed="interrupted"))
        book.release_lease(run or BY_HAND, {})
        if then == "a run had the bench":
            book.take_lease("/run", "live", {})
            book.release_lease("/run", {})
        book.take_lease(BY_HAND, "live", {})
        admission = Admission(Envelope(lab_from_dict(PUMP, ROOT)), VirtualClock(), book)
        admission.after_others()
        try:
            admission.stage([dispense(5.0)], None)
        except NotYet as early:
            assert waits and 200.0 < early.wait_s <= 240.0
        else:
            assert not waits
        admission.stage([dispense(1.0)], None)


def test_a_rest_is_counted_from_when_a_step_was_found_over() -> None:
    """Its line was away for half an hour: it may have ended at any moment of that, whatever its sample is taken for."""
    lab = PUMP | {"limits": {"pump": {"dispense": {"dwell": "60 s"}}}}
    clock = VirtualClock()
    admission = Admission(Envelope(lab_from_dict(lab, ROOT)), clock)
    wish = dispense(1.0)
    begun = e.StepStarted(
        step="1", phase="trial", stage=0, index=0, instrument="pump", action="dispense", settings=wish.settings
    )
    over = e.StepFinished(step="1", achieved={}, t_s=3.0)
    clock.advance_to(1800.0)
    for seq, fact in enumerate((begun, over), start=1):
        admission.apply(e.Record(seq=seq, at="", event=fact))
    with pytest.raises(NotYet) as early:
        admission.stage([wish], None)
    assert early.value.wait_s == 60.0


GAS: dict[str, Any] = {
    "labloop": 1,
    "instruments": {
        "plate": {"driver": "drivers.ika:RCT", "port": "serial:///dev/plate"},
        "gas": {
            "driver": "drivers.alicat:MC", "port": "serial:///dev/gas", "address": "A", "full_scale": "500 mL/min",
            "gas": "N2",
        },
        "smu": {"driver": "drivers.keithley:K2400", "port": "serial:///dev/smu"},
        **PUMP["instruments"],
    },
    "limits": [
        "plate.temperature <= 60 degC when gas.rate < 50 mL/min",
        "smu.voltage <= 5 V when gas.rate > 200 mL/min",
        "pump.rate changes by at most 1 mL/min/min when gas.rate > 200 mL/min",
    ],
}  # fmt: skip
HEAT = PlannedStep(instrument="plate", action="heat", settings={"temperature": e.Amount(70.0, "degC")})
SWEEP = PlannedStep(
    instrument="smu", action="sweep_voltage",
    settings={
        "start": e.Amount(0.0, "V"), "stop": e.Amount(10.0, "V"), "step": e.Amount(1.0, "V"),
        "current_limit": e.Amount(1.0, "mA"),
    },
)  # fmt: skip


def flow(rate_ml_min: float) -> PlannedStep:
    return PlannedStep(instrument="gas", action="flow", settings={"rate": e.Amount(rate_ml_min, "mL/min")})


def after_steps(facts: list[Any], **lab: Any) -> Admission:
    """The gate after facts of trial 1, some of them steps as they are wished."""
    steps: list[Any] = []
    admission = Admission(Envelope(lab_from_dict(GAS | lab, ROOT)), VirtualClock())
    state: Any = SimpleNamespace(trials={1: SimpleNamespace(closed=False, steps=steps)}, steps={})
    admission.catch_up([], state)
    for seq, fact in enumerate(facts, start=1):
        if isinstance(fact, PlannedStep):
            fact = e.StepStarted(
                step=str(seq), phase="trial", stage=seq, index=0, instrument=fact.instrument, action=fact.action,
                settings=fact.settings, trial=1,
            )  # fmt: skip
            steps.append(SimpleNamespace(begun=fact, seq=seq, fault="", achieved={}))
        elif isinstance(fact, e.StepFailed):
            steps[-1].fault = fact.fault
        elif isinstance(fact, e.ByHand):
            admission.tell(hand_step(fact, 0.0))
            continue
        admission.apply(e.Record(seq=seq, at="", event=fact))
    return admission


OFF = PlannedStep(instrument="gas", action="off", settings={})


def by_hand(step: PlannedStep) -> e.ByHand:
    return e.ByHand(act="h", instrument=step.instrument, action=step.action, settings=step.settings, run="/run")


STOPPED = e.StepFailed(step="1", fault="stall", reason="")
SAFE = e.SafeStateReached(why="stopped")


@pytest.mark.parametrize(
    ("facts", "keep", "let"),
    [
        ([flow(100.0)], [], True), ([flow(100.0), OFF], [], False), ([flow(100.0), STOPPED], [], False),
        ([flow(100.0), SAFE], [], False), ([flow(100.0), SAFE], ["gas"], True),
        ([flow(100.0), by_hand(OFF)], [], False), ([flow(100.0), by_hand(flow(20.0))], ["gas"], False),
        ([flow(20.0), by_hand(flow(100.0))], [], True), ([flow(100.0), by_hand(dispense(1.0))], [], True),
        ([flow(100.0), by_hand(OFF), flow(100.0)], [], True),
        ([flow(100.0), OFF, flow(100.0)], [], True), ([OFF, flow(100.0), OFF], ["gas"], False),
    ],
)  # fmt: skip
def test_what_was_stopped_since_is_not_what_a_limit_goes_by(facts: list[Any], keep: list[str], let: bool) -> None:
    """A plate was heated to 70 degC though its gas was off again: that it had been on in this trial was all that
    counted."""
    admission = after_steps(facts, keep=keep)
    if let:
        admission.stage([HEAT], 1)
    else:
        with pytest.raises(SafetyError, match=r"temperature = 70 degC is above .* when gas.rate < 50 mL/min"):
            admission.stage([HEAT], 1)


@pytest.mark.parametrize(("fault", "let"), [("not_done", True), ("stopped", False)])
def test_what_was_not_begun_by_hand_has_ended_nothing(fault: str, let: bool) -> None:
    """Its line was lost before its first byte: the gas that flowed on was known no more, and its trial was refused."""
    admission = after_steps([flow(100.0), by_hand(flow(20.0))])
    admission.tell(e.StepFailed(step="h", fault=fault, reason="", t_s=0.0))
    if let:
        admission.stage([HEAT], 1)
    else:
        with pytest.raises(SafetyError, match=r"when gas.rate < 50 mL/min"):
            admission.stage([HEAT], 1)


@pytest.mark.parametrize("between", [[], [{"gas.off": {}}]], ids=["it flows", "it is off"])
def test_check_knows_what_a_recipe_has_stopped(between: list[Any]) -> None:
    flows = {"gas.flow": {"rate": "100 mL/min"}}
    recipe = {"labloop": 1, "trial": [flows, *between, {"plate.heat": {"temperature": "70 degC"}}]}
    plan = check(spec_from_dict(SPEC | recipe), lab_from_dict(GAS, ROOT))
    assert [line.startswith("trial[2].plate.heat: plate.heat can be asked for") for line in plan.complaints] == (
        [True] if between else []
    )


@pytest.mark.parametrize(("rate_ml_min", "beyond"), [(20, True), (60, False)])
def test_check_foresees_what_follows_from_other_settings(rate_ml_min: int, beyond: bool) -> None:
    """100 uL, of a rate and a time: the campaign ended at its first trial, refused."""
    flows = {"gas.flow": {"rate": f"{rate_ml_min} mL/min"}}
    recipe = {"labloop": 1, "trial": [flows, {"pump.dispense": {"rate": "1 mL/min", "time": "6 s"}}]}
    lab = GAS | {"limits": ["pump.volume <= 50 uL when gas.rate < 50 mL/min"]}
    complaints = check(spec_from_dict(SPEC | recipe), lab_from_dict(lab, ROOT)).complaints
    assert ["pump.dispense can be asked for volume = 100 uL" in line for line in complaints] == [True] * beyond


@pytest.mark.parametrize(("rate_ml_min", "beyond"), [(20, True), (60, False)])
def test_check_foresees_what_goes_by_another_name_on_the_wire(rate_ml_min: int, beyond: bool) -> None:
    """A sweep has no setting ``voltage``: its campaign was refused at its first trial."""
    sweep = {"start": "0 V", "stop": "10 V", "step": "1 V", "current_limit": "1 mA"}
    recipe = {"labloop": 1, "trial": [{"gas.flow": {"rate": f"{rate_ml_min} mL/min"}}, {"smu.sweep_voltage": sweep}]}
    lab = GAS | {"limits": ["smu.voltage <= 5 V when gas.rate < 50 mL/min"]}
    complaints = check(spec_from_dict(SPEC | recipe), lab_from_dict(lab, ROOT)).complaints
    assert ["smu.sweep_voltage can be asked for voltage = 10 V" in line for line in complaints] == [True] * beyond


def test_check_foresees_what_is_beyond_once_it_is_rounded() -> None:
    """A plate takes tenths: 60.06 degC is 60.1 to it."""
    recipe = [{"gas.flow": {"rate": "20 mL/min"}}, {"plate.heat": {"temperature": "60.06 degC"}}]
    lab = GAS | {"limits": ["plate.temperature <= 60.06 degC when gas.rate < 50 mL/min"]}
    (complaint,) = check(spec_from_dict(SPEC | {"labloop": 1, "trial": recipe}), lab_from_dict(lab, ROOT)).complaints
    assert "plate.heat can be asked for temperature = 60.1 degC" in complaint


def test_check_foresees_what_follows_from_several_settings_where_it_is_worst() -> None:
    """Only near one corner of the space are 0.98 mL given at so little gas, and none of 64 points lay there."""
    space = {
        "r": {"range": [0.1, 1], "unit": "mL/min"}, "t": {"range": [6, 60], "unit": "s"},
        "g": {"range": [40, 200], "unit": "mL/min"},
    }  # fmt: skip
    recipe = [{"gas.flow": {"rate": "$g"}}, {"pump.dispense": {"rate": "$r", "time": "$t"}}]
    spec = spec_from_dict(SPEC | {"labloop": 1, "parameters": SPEC["parameters"] | space, "trial": recipe})
    lab = GAS | {"limits": ["pump.volume <= 0.98 mL when gas.rate < 42 mL/min"]}
    (complaint,) = check(spec, lab_from_dict(lab, ROOT)).complaints
    assert "pump.dispense can be asked for volume = 1000 uL" in complaint


@pytest.mark.parametrize(("fastest_mm_min", "let"), [(1500, True), (500, False)])
def test_what_an_act_sets_by_default_counts_for_the_run_as_for_check(fastest_mm_min: int, let: bool) -> None:
    """A feed of 1000 mm/min, which nobody had written, was known to check, and to no run: it was refused there."""
    stage = {"driver": "drivers.grbl:Stage", "port": "serial:///dev/s", "name": "S", "travel": {"x": ["-9 mm", "0 mm"]}}
    limits = [f"plate.temperature <= 60 degC when stage.feed > {fastest_mm_min} mm/min"]
    lab = {"instruments": GAS["instruments"] | {"stage": stage}, "limits": limits}
    recipe = {"labloop": 1, "trial": [{"stage.move": {"x": "-5 mm"}}, {"plate.heat": {"temperature": "70 degC"}}]}
    assert (check(spec_from_dict(SPEC | recipe), lab_from_dict(GAS | lab, ROOT)).complaints == []) is let
    admission = after_steps(
        [PlannedStep(instrument="stage", action="move", settings={"x": e.Amount(-5.0, "mm")})], **lab
    )  # fmt: skip
    if let:
        admission.stage([HEAT], 1)
    else:
        with pytest.raises(SafetyError, match=r"when stage.feed > 500 mm/min"):
            admission.stage([HEAT], 1)


def test_what_a_trial_has_stopped_is_known_after_a_resume() -> None:
    admission = after_steps([flow(100.0), OFF])
    again = Admission(admission.envelope, VirtualClock())
    begun = [step.begun for step in admission._trials[1].steps] if admission._trials is not None else []
    records = [e.Record(seq=seq, at="", event=fact) for seq, fact in enumerate(begun, start=1)]
    state: Any = SimpleNamespace(trials=admission._trials, steps={})
    again.catch_up(records, state)
    with pytest.raises(SafetyError, match=r"when gas.rate < 50 mL/min"):
        again.stage([HEAT], 1)


def test_a_reading_is_judged_by_what_was_stopped_before_a_resume_too() -> None:
    """No limit on a setting has a condition: what the trial had set once counted after a resume, though it was off."""
    admission = after_steps([flow(100.0), OFF], limits=["plate.plate <= 60 degC when gas.rate < 50 mL/min"])
    again = Admission(admission.envelope, VirtualClock())
    begun = [step.begun for step in admission._trials[1].steps] if admission._trials is not None else []
    records = [e.Record(seq=seq, at="", event=fact) for seq, fact in enumerate(begun, start=1)]
    state: Any = SimpleNamespace(trials=admission._trials, steps={})
    again.catch_up(records, state)
    for one in (admission, again):
        with pytest.raises(SafetyError, match=r"when gas.rate < 50 mL/min"):
            one.see("plate", {"plate": e.Reading(value=90.0, unit="degC")})


def test_what_stops_beside_an_act_counts_too() -> None:
    admission = after_steps([flow(100.0)])
    with pytest.raises(SafetyError, match=r"when gas.rate < 50 mL/min"):
        admission.stage([OFF, HEAT], 1)
    with pytest.raises(SafetyError, match=r"when gas.rate < 50 mL/min"):
        admission.permit_again(HEAT, 1, [OFF, HEAT])


def test_a_limit_binds_a_sweep_beside_what_its_condition_speaks_of() -> None:
    """Of a sweep ``voltage`` is no setting, only what it comes to on the wire."""
    admission = after_steps([flow(100.0)])
    admission.stage([SWEEP], 1)
    with pytest.raises(SafetyError, match="voltage comes to 10 V on the wire"):
        admission.stage([flow(300.0), SWEEP], 1)


def test_a_rate_under_a_condition_binds_beside_what_its_condition_speaks_of() -> None:
    admission = after_steps([flow(100.0), dispense(1.0)])
    admission.stage([dispense(5.0)], 1)
    with pytest.raises(NotYet, match="rate changes by"):
        admission.stage([flow(300.0), dispense(5.0)], 1)


@pytest.mark.parametrize(("keep", "waits"), [([], False), (["gas"], True), (["gas.flow"], True)])
def test_what_is_kept_stands_on_after_an_act_by_hand_that_failed(keep: list[str], waits: bool) -> None:
    """The bench was made safe then, and what is kept went on: how fast it may be changed was forgotten."""
    lab = lab_from_dict(GAS | {"keep": keep, "limits": ["gas.rate changes by at most 10 mL/min/min"]}, ROOT)
    with closing(BenchBook.memory("bench", utc_stamp)) as book:
        book.take_lease(BY_HAND, "live", {})
        for number, (step, failed) in enumerate([(flow(10.0), ""), (dispense(1.0), "interrupted")]):
            act = e.ByHand(
                act=f"hand-{number}", instrument=step.instrument, action=step.action, settings=step.settings, by="ann"
            )  # fmt: skip
            book.record(act, structs.replace(act, done=not failed, failed=failed))
        book.release_lease(BY_HAND, {})
        book.take_lease(BY_HAND, "live", {})
        admission = Admission(Envelope(lab), VirtualClock(), book)
        admission.after_others()
        if waits:
            with pytest.raises(NotYet, match=r"gas\.rate changes by"):
                admission.stage([flow(100.0)], None)
        else:
            admission.stage([flow(100.0)], None)
