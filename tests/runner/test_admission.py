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
from labloop.runner.admission import Admission
from labloop.runner.book import BY_HAND, BenchBook
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


PUMP = LAB | {
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
