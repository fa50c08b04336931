"""What befalls a stage on the simulated GRBL controller: limit switches, silence, other hands, resets, power cuts."""

import pytest

from drivers.grbl import Stage
from labloop.bench import InstrumentFault, LinkTimeout
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(Stage, **more).ready()


def move(it, act="act-1", feed=(600.0, "mm/min"), **axes):
    return it.begin("move", act, feed=feed, **{axis: (value, "mm") for axis, value in axes.items()})


def test_a_limit_switch_is_found_by_the_silence_and_named():
    it = rig()
    move(it, x=-100.0)
    it.wait(1.0)
    it.device.stall(it.clock.now_s())
    assert not it.look().done and not it.look().done
    with pytest.raises(InstrumentFault, match="as after a limit switch closed; it was reset") as caught:
        it.look()
    assert caught.value.kind == "limit" and not it.device.critical


def test_a_line_that_stays_silent_is_a_lost_line_and_no_limit():
    it = rig()
    move(it, x=-100.0)
    it.device.receive = lambda data, now_s: b""
    assert not it.look().done and not it.look().done
    with pytest.raises(LinkTimeout):
        it.look()


@pytest.mark.parametrize(
    "befalls, kind",
    [(b"!", "paused"), (b"\x18", "reset"), (b"\x85", "stopped")],
)
def test_what_somebody_else_does_to_it_is_told(befalls, kind):
    it = rig()
    if kind == "paused":
        it.device.receive(b"G1X-50F600\n", it.clock.now_s())
        it.driver._target = {"x": -50.0}
        it.began_s = it.clock.now_s()
    else:
        move(it, x=-100.0)
    it.wait(1.0)
    it.device.receive(befalls, it.clock.now_s())
    it.wait(1.0)
    with pytest.raises(InstrumentFault) as caught:
        it.look()
    assert caught.value.kind == {"reset": "alarm"}.get(kind, kind)


def test_a_reset_at_rest_is_not_taken_for_a_stop():
    it = Rig(Stage, homing=False).ready()
    move(it, x=-100.0)
    it.wait(1.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it was reset") as caught:
        it.look()
    assert caught.value.kind == "reset"


@pytest.mark.parametrize("moves", [True, False])
def test_a_stage_that_does_not_home_is_not_moved_once_it_was_reset(moves):
    """It says that it stands at 0 then, wherever that is: a move to 0 looks done, and any other goes astray."""
    it = Rig(Stage, homing=False).ready()
    move(it, x=-50.0)
    it.finish()
    if moves:
        move(it, "act-2", x=0.0)
        it.wait(1.0)
    it.device.power_cycle(it.clock.now_s())
    moved = len(it.ledger)
    with pytest.raises(InstrumentFault, match="Bring it to its 0") as caught:
        it.finish() if moves else move(it, "act-2", x=-20.0)
    assert caught.value.kind == ("reset" if moves else "not_homed")
    with pytest.raises(InstrumentFault, match="it was reset"):
        move(it, "act-3", x=-20.0)
    assert len(it.ledger) == moved
    it.restarted().open()  # whoever begins anew has been asked about it
    move(it, "act-4", x=-20.0)
    assert it.finish().achieved["x"].value == -20.0


def test_a_stage_without_power_that_was_told_to_stop_is_not_moved_when_it_is_back():
    """Its stop, which nobody heard, was a reset: the mark that is gone then was not taken by that."""
    it = Rig(Stage, homing=False).ready()
    move(it, x=-50.0)
    it.wait(1.0)
    receive = it.device.receive
    it.device.receive = lambda data, now_s: b""
    with pytest.raises(LinkTimeout):
        it.driver.stop()
    it.device.power_cycle(it.clock.now_s())
    it.device.receive = receive
    moved = len(it.ledger)
    with pytest.raises(InstrumentFault, match="Bring it to its 0"):
        move(it, "act-2", x=-20.0)
    assert len(it.ledger) == moved
