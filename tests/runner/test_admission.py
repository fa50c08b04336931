"""What a run's gate knows again of the bench when it takes it up."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labloop.bench import Envelope, SafetyError
from labloop.campaign import events as e
from labloop.campaign.spec import lab_from_dict, spec_from_dict
from labloop.runner.admission import Admission
from labloop.runner.clock import VirtualClock

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
