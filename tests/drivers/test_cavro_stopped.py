"""What became of a Cavro pump's move that was stalled, stopped, or ended by a power cut."""

from contextlib import suppress

import pytest

from drivers.cavro import XCalibur
from labloop.bench import (
    Amount,
    InstrumentFault,
    ProtocolError,
)
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(XCalibur, **more).ready()


DISPENSE = {"volume": (250.0, "uL"), "rate": (1000.0, "uL/min"), "port": ("cell", "")}


def test_a_blocked_plunger_is_a_stall_and_wants_to_be_initialized():
    it = rig()
    before = it.driver.counters()
    amounts = it.begin("dispense", **DISPENSE)
    it.wait(5.0)
    it.device.stall(it.clock.now_s())
    with pytest.raises(
        InstrumentFault, match=r"the plunger was blocked. Run its action initialize \(error 9, after 78"
    ) as caught:
        it.look()
    assert caught.value.kind == "stall"
    found = it.happened("dispense", amounts, before)
    assert found.state == "partial" and found.achieved["volume"].value == pytest.approx(78.3, abs=1.0)
    with pytest.raises(InstrumentFault, match="the plunger was blocked"):
        it.begin("dispense", "act-2", **DISPENSE)
    it.begin("initialize", "act-3")
    it.finish()
    assert it.driver.read()["content"].value == 0.0


def test_a_move_that_is_cut_short_is_told_by_place_and_its_rest_can_be_delivered():
    it = rig()
    before = it.driver.counters()
    amounts = it.begin("dispense", **DISPENSE)
    it.wait(5.3)
    it.driver.stop()
    with pytest.raises(InstrumentFault, match=r"it stopped after 83\.\d+ uL of 250 uL") as caught:
        it.look()
    assert caught.value.kind == "stopped"
    it.restarted().open()
    found = it.happened("dispense", amounts, before)
    assert found.state == "partial" and found.achieved["volume"].value == pytest.approx(83.3, abs=0.5)
    assert found.remainder["port"] == Amount("cell") and found.remainder["rate"].value == 1000.0
    it.driver.begin("dispense", it.driver.resolved("dispense", found.remainder), "act-2")
    it.began_s = it.clock.now_s()
    it.finish()
    assert it.device.plunger == 6000.0
    assert sum(entry.amount for entry in it.ledger if entry.phase == "end") == pytest.approx(250.0)


def test_what_a_stop_left_in_the_buffer_is_never_run():
    """XLP 6000 manual p. 3-42."""
    it = rig()
    it.begin("dispense", **DISPENSE)
    it.wait(5.0)
    it.driver.stop()
    assert it.device.buffer
    place = it.device.plunger
    it.driver.stop()
    it.driver.read()
    it.wait(60.0)
    it.bench.settle(it.clock.now_s())
    assert it.device.plunger == place


def test_what_became_of_a_move():
    it = rig()
    before = it.driver.counters()
    assert before == {"content": Amount(500.0, "uL")}
    amounts = it.begin("dispense", **DISPENSE)
    it.restarted().open()
    it.wait(3.0)
    assert it.happened("dispense", amounts, before).state == "running"
    it.wait(20.0)
    found = it.happened("dispense", amounts, before)
    assert found.state == "done" and found.achieved["volume"] == Amount(250.0, "uL")
    other = amounts | {"volume": Amount(100.0, "uL")}
    assert it.happened("dispense", other, before).state == "cannot_tell"
    assert it.happened("aspirate", amounts, before).state == "cannot_tell"
    assert it.happened("dispense", amounts, {}).state == "cannot_tell"


@pytest.mark.parametrize("action", ["aspirate", "dispense"])
@pytest.mark.parametrize(("damaged", "seen_ul"), [("10", 0.0), ("23900", 250.0)])
def test_a_place_in_passing_that_the_line_spoilt_says_nothing_against_a_move_that_runs(action, damaged, seen_ul):
    it = rig()
    before = it.driver.counters()
    amounts = it.begin(action, **DISPENSE)
    it.wait(5.0)
    report, said = it.device._report, iter((damaged,))
    it.device._report = lambda text: next(said, report(text)) if text == "?" else report(text)
    found = it.happened(action, amounts, before)
    assert found.state == "running"
    assert found.achieved["volume"].value == (seen_ul if action == "aspirate" else 250.0 - seen_ul)


def test_after_a_power_cut_nobody_can_tell():
    it = rig()
    before = it.driver.counters()
    amounts = it.begin("dispense", **DISPENSE)
    it.wait(5.0)
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    found = it.happened("dispense", amounts, before)
    assert found.state == "cannot_tell" and "switched off and on" in found.why
    assert it.driver.counters() == {}


def test_a_power_cut_between_two_questions_is_no_empty_syringe():
    """Each question in turn is the last before the cut; at 0, as after it, a dispense would look done, or not fit."""
    for action in ("dispense", "happened", "counters"):
        for last in range(1, 9):
            it = rig()
            before = it.driver.counters()
            amounts = {name: Amount(*value) for name, value in DISPENSE.items()}
            it.restarted().open()
            usual, asked = it.driver._ask, []

            def cut(text: str, it=it, usual=usual, asked=asked, last=last):
                asked.append(text)
                said = usual(text)
                if len(asked) == last:
                    it.device.power_cycle(it.clock.now_s())
                return said

            it.driver._ask = cut
            if action == "counters":
                assert it.driver.counters() in ({}, before)
            elif action == "happened":
                assert it.happened("dispense", amounts, before).state in ("cannot_tell", "not_begun")
            else:
                with suppress(InstrumentFault, ProtocolError):
                    it.begin("dispense", **DISPENSE)


@pytest.mark.parametrize("volume_ul", [250.0, 500.0])  # 500 uL empty it: the pump says 0, as after a power-up
def test_a_power_cut_in_the_middle_of_an_act_says_nothing_of_how_far_it_came(volume_ul):
    it = rig()
    it.begin("dispense", **{**DISPENSE, "volume": (volume_ul, "uL")})
    it.wait(5.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it was switched off and on while it moved") as caught:
        it.finish()
    assert caught.value.kind == "reset" and "uL" not in str(caught.value)


def test_a_power_cut_in_the_middle_of_an_initialization_is_no_initialization():
    it = rig()
    it.begin("initialize")
    it.wait(1.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it was switched off and on while it moved") as caught:
        it.finish()
    assert caught.value.kind == "reset"
