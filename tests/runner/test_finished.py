"""What a step that came to its end gave: what its action gives comes first, whatever order the driver says it in."""

import struct

from labloop.bench import Action, Declaration, Progress, Signal
from labloop.campaign import events as e
from labloop.runner.finished import finished

TRACE = Signal(name="trace", unit="A", array=True, axis="s")
CHARGE = Signal(name="charge", unit="A*s")
MEASURE = Action(name="measure", gives=(TRACE, CHARGE))
BEGUN = e.StepStarted(step="1.1", trial=1, phase="trial", stage=0, index=0, instrument="pico", action="measure")
CHARGED = {"limited": e.Reading(value="no"), "charge": e.Reading(value=2.0, unit="A*s")}


def end(look: Progress) -> e.StepFinished:
    declared = Declaration(name="pico", driver=object, options={}, actions={"measure": MEASURE}, signals={}, place="")
    return finished(BEGUN, look, "saved", MEASURE, declared, lambda data: f"blob of {len(data)}", 5.0)


def test_the_reading_that_is_saved_is_the_first_that_the_action_gives() -> None:
    fact = end(Progress(done=True, readings=CHARGED, arrays={"trace": struct.pack("<2d", 1.0, 2.0)}))
    assert list(fact.readings) == ["trace", "charge", "limited"] and fact.save_as == "saved"
    trace = fact.readings["trace"]
    assert (trace.blob, trace.unit, trace.axis) == ("blob of 16", "A", "s")


def test_where_that_was_not_read_nothing_else_is_saved_in_its_place() -> None:
    fact = end(Progress(done=True, readings=CHARGED))
    assert list(fact.readings) == ["charge", "limited"] and fact.save_as == ""
