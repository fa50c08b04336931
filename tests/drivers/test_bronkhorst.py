"""Bronkhorst EL-FLOW: the driver on the simulated controller."""

from dataclasses import replace

import pytest

from drivers import bronkhorst_codec as words
from drivers.bronkhorst import ELFlow
from drivers.bronkhorst_codec import Set
from drivers.bronkhorst_controller import LOOK
from drivers.bronkhorst_options import millilitres, millilitres_a_minute
from labloop.bench import (
    Amount,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    LinkTimeout,
    ProtocolError,
    SpecError,
)
from tests.drivers.rigs import Rig

FLOW = {"rate": (100.0, "mL/min")}
HOLD = FLOW | {"time": (60.0, "s")}
DOSE = {"volume": (50.0, "mL"), "rate": (100.0, "mL/min")}
EMPTY = ("counted_ml", 0.0)
NOTHING = {"counted": Amount(0.0, "mL")}


def rig(**more):
    return Rig(ELFlow, **more).ready()


def passed(it):
    """What really went through, in each act that ended."""
    return [entry.amount for entry in it.ledger if entry.phase == "end"]


def settings(it):
    """The parameters that were set since it was asked last, as (process, number)."""
    frames = [one.replace(b"\x10\x10", b"\x10") for one in it.sent]
    it.port.link.traffic.clear()
    return [(one[6], one[7] & 0x1F) for one in frames if one[5] == 1]


SETPOINT, MODE, LIMIT, AT_LIMIT = (1, 1), (1, 4), (104, 3), (104, 5)
UNIT, COUNTER_MODE, RESET = (104, 7), (104, 8), (115, 8)


def test_it_says_who_it_is_and_what_it_reads():
    it = Rig(ELFlow)
    identity = it.driver.open()
    assert (identity.model, identity.serial, identity.firmware) == ("F-201CV-500-AAD-33-V", "M12345678A", "V1.12")
    assert identity.first_reply == "'DMFC'" and settings(it) == []
    it.driver.configure()
    assert {name: (one.value, one.unit) for name, one in it.driver.read().items()} == {
        "flow": (0.0, "mL/min"), "setpoint": (0.0, "mL/min"), "counted": (0.0, "mL"), "mode": ("bus", ""),
        "state": ("ok", ""),
    }  # fmt: skip


def test_a_flow_settles_goes_on_and_is_ended_by_off():
    it = rig()
    amounts = it.begin("flow", **FLOW)
    assert it.finish().readings["flow"].value == pytest.approx(100.0, abs=10.0)
    it.wait(30.0)
    assert it.happened("flow", amounts, {}).state == "done" and it.happened("off", {}, {}).state == "not_begun"
    it.begin("off", "act-2")
    assert it.look().done and it.device.setpoint == 0
    assert it.happened("flow", amounts, {}).state == "not_begun" and it.happened("off", {}, {}).state == "done"
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("flow", "begin"), ("flow", "end")]
    assert passed(it) == [pytest.approx(100.0 * 30.5 / 60.0, rel=0.05)]


def test_a_hold_lasts_its_time_and_the_flow_goes_on():
    it = rig()
    it.begin("hold", **HOLD)
    look = it.finish()
    assert it.clock.now_s() - it.began_s == pytest.approx(60.0, abs=3.0)
    assert look.achieved["time"].value >= 60.0 and look.achieved["flow"].unit == "mL/min"
    assert it.device.setpoint == 6400 and it.driver.read()["flow"].value == pytest.approx(100.0, abs=0.1)


# --- doses ------------------------------------------------------------------------------------------------------------


def test_a_dose_is_counted_and_ended_by_the_controller_itself():
    it = rig()
    it.begin("dose", **DOSE)
    look = it.finish()
    assert look.achieved["volume"] == Amount(50.0, "mL") and look.readings["counted"].value == 50.0
    assert it.clock.now_s() - it.began_s == pytest.approx(30.3, abs=0.5)
    assert passed(it) == [pytest.approx(50.0)] and it.device.setpoint == 0
    assert it.driver.expected("dose", {"volume_ml": 50.0, "rate_ml_min": 100.0}, {}).duration_s == 31.0


def test_a_dose_ends_when_nobody_looks():
    it = rig()
    it.begin("dose", **DOSE)
    it.wait(3600.0)
    it.bench.settle(it.clock.now_s())
    assert passed(it) == [pytest.approx(50.0)] and it.device.leg.at(it.clock.now_s()) == pytest.approx(0.0)


def test_after_a_dose_that_nobody_looked_at_the_old_setpoint_never_flows_again():
    it = rig()
    it.begin("dose", volume=(50.0, "mL"), rate=(400.0, "mL/min"))
    it.wait(3600.0)
    it.bench.settle(it.clock.now_s())
    assert it.device.setpoint == 25600 and it.device.batch
    it.restarted().open()
    it.driver.configure()
    before = it.driver.counters()
    assert it.driver.needs_clear(before)
    it.driver.clear_counters()
    assert not it.driver.needs_clear(it.driver.counters()) and it.device.setpoint == 0
    it.begin("flow", **FLOW)
    it.finish()
    it.driver.stop()
    assert len(passed(it)) == 2 and passed(it)[1] < 5.0


def test_a_dose_right_after_a_flow_is_counted_from_nothing():
    it = rig()
    it.begin("flow", rate=(500.0, "mL/min"))
    it.finish()
    it.wait(60.0)
    it.begin("dose", "act-2", **DOSE)
    assert it.finish().achieved["volume"] == Amount(50.0, "mL")
    assert passed(it)[1] == pytest.approx(50.0, abs=2.0)


def test_the_same_dose_again_writes_nothing_into_the_memory_of_the_limits():
    it = rig()
    it.begin("dose", **DOSE)
    assert settings(it)[-6:] == [SETPOINT, AT_LIMIT, LIMIT, COUNTER_MODE, RESET, SETPOINT]
    it.finish()
    it.port.link.traffic.clear()
    it.begin("dose", "act-2", **DOSE)
    assert settings(it) == [SETPOINT, RESET, SETPOINT]
    assert it.finish().done and passed(it) == [pytest.approx(50.0)] * 2
    it.port.link.traffic.clear()
    it.begin("dose", "act-3", **DOSE | {"volume": (60.0, "mL")})
    assert settings(it) == [SETPOINT, LIMIT, RESET, SETPOINT]


def test_what_became_of_a_dose():
    it = rig()
    amounts = it.begin("dose", **DOSE)
    it.wait(12.0)
    assert it.happened("dose", amounts, NOTHING).state == "running"
    it.restarted().open()
    assert it.happened("dose", amounts, NOTHING).state == "running"
    it.driver.stop()
    it.wait(3.0)
    verdict = it.happened("dose", amounts, NOTHING)
    assert verdict.state == "partial" and verdict.achieved["volume"].value == pytest.approx(20.0, abs=1.0)
    assert verdict.why.startswith("its counter shows") and "of 50 mL" in verdict.why
    rest = {name: (amount.value, amount.unit) for name, amount in verdict.remainder.items()}
    assert rest["rate"] == (100.0, "mL/min")
    assert rest["volume"][0] + verdict.achieved["volume"].value == pytest.approx(50.0)
    it.begin("dose", "act-2", **rest)
    it.finish()
    assert sum(passed(it)) == pytest.approx(50.0, abs=1.0)
    assert it.happened("dose", verdict.remainder, NOTHING).state == "done"


def test_a_dose_that_the_mains_cut_short_is_partial():
    it = rig()
    amounts = it.begin("dose", **DOSE)
    it.wait(12.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match=r"is 0 mL/min where 100 mL/min was sent \(19.\d+ mL of 50 mL\)"):
        it.look()
    it.restarted().open()
    assert it.happened("dose", amounts, NOTHING).state == "partial"


def test_a_dose_that_was_never_begun():
    it = rig()
    amounts = {name: Amount(*value) for name, value in DOSE.items()}
    assert it.happened("dose", amounts, NOTHING).state == "not_begun"
    it.port.link.interrupt()
    with pytest.raises(LinkInterrupted):
        it.begin("dose", **DOSE)
    it.port.link.resume()
    assert it.happened("dose", amounts, NOTHING).why == "no setpoint was ever sent"
    assert it.happened("dose", amounts, NOTHING, "act-0").why == "its counter is at 0, and was never given this volume"
    for number in (1, 3, 5, 6):  # the answer to so many settings stays out, and the runner dies
        it = rig()
        lose(it, number)
        with pytest.raises(LinkTimeout):
            it.begin("dose", **DOSE)
        it.restarted().open()
        assert it.happened("dose", amounts, NOTHING).state == ("not_begun" if number < 6 else "running"), number
    assert it.device.setpoint == 6400


def lose(it, number):
    """The answer to the ``number``-th setting stays out."""
    real, heard = it.device.receive, []

    def receive(data, now_s):
        out = real(data, now_s)
        heard.extend([1] * (data[5:6] == b"\x01"))
        if len(heard) < number:
            return out
        it.device.receive = real
        return b""

    it.device.receive = receive


def test_a_counter_that_somebody_else_used_tells_nothing():
    it = rig()
    amounts = it.begin("dose", **DOSE)
    it.wait(12.0)
    before = it.driver.counters()
    assert it.happened("dose", amounts, {}).state == it.happened("dose", amounts, before).state == "cannot_tell"
    for name, value in (("limit_ml", 70.0), ("counter_mode", 1), ("new_setpoint", 100), ("counter_unit", "mls")):
        kept = getattr(it.device, name)
        setattr(it.device, name, value)
        it.driver.open()
        verdict = it.happened("dose", amounts, NOTHING)
        assert verdict.state == "cannot_tell" and "counter" in verdict.why, name
        setattr(it.device, name, kept)
    it.driver.open()
    assert it.happened("dose", amounts, NOTHING).state == "running"
    it.driver.stop()
    it.device.limit_ml = 70.0
    assert it.happened("dose", amounts, NOTHING).state == "cannot_tell"
    it.device.counted_ml, it.device.setpoint = 0.0, 3200
    assert it.happened("dose", amounts, NOTHING).state == "cannot_tell"
    it.device.setpoint = 0
    assert it.happened("dose", amounts, NOTHING).state == "not_begun"


def test_a_dose_ends_at_nothing_whatever_setpoint_was_to_follow_before():
    it = rig()
    it.device.new_setpoint = 3200
    it.begin("dose", **DOSE)
    it.wait(600.0)
    it.bench.settle(it.clock.now_s())
    assert passed(it) == [pytest.approx(50.0)]


def test_no_gas_in_front_of_the_valve_is_a_dose_that_is_not_reached():
    it = rig()
    it.begin("dose", **DOSE)
    it.wait(12.0)
    it.device.stall(it.clock.now_s())
    with pytest.raises(InstrumentFault, match=r"after \d\d s there is (19.\d+|20) mL of 50 mL") as caught:
        it.finish()
    assert caught.value.kind == "not_reached"
    assert it.clock.now_s() - it.began_s == pytest.approx(30.0 + 1.25 * 30.0, abs=5.0)


def test_a_counter_that_does_not_begin_anew_begins_no_dose():
    it = rig()
    it.device.may_reset = 0
    it.device.counted_ml = 20.0
    with pytest.raises(InstrumentFault, match="its counter does not begin anew") as caught:
        it.begin("dose", **DOSE)
    assert caught.value.kind == "setup" and it.ledger == []
    it = rig()
    it.begin("dose", **DOSE)
    it.wait(60.0)
    reset = it.device._table[115, 8]
    it.device._table = {**it.device._table, (115, 8): replace(reset, put=lambda value: setattr(it.device, *EMPTY))}
    with pytest.raises(InstrumentFault, match=r"its counter does not begin anew .*: 0.0 mL, batch"):
        it.driver.clear_counters()


# --- the watchdog -----------------------------------------------------------------------------------------------------


def test_with_a_watchdog_no_act_lets_more_flow():
    it = rig(watchdog="2 L")
    amounts = it.begin("flow", rate=(500.0, "mL/min"))
    it.finish()
    assert it.happened("flow", amounts, {}).state == "done"
    it.wait(3600.0)
    it.bench.settle(it.clock.now_s())
    assert passed(it) == [pytest.approx(2000.0)]
    assert it.happened("flow", amounts, {}).state == "not_begun"
    it.begin("hold", "act-2", rate=(100.0, "mL/min"), time=(60.0, "s"))
    it.finish()
    assert len(passed(it)) == 1, "the next act begins at nothing"
    it.wait(3600.0)
    with pytest.raises(InstrumentFault, match="it closed by itself, at its counter's limit, after 2000 mL") as caught:
        it.look()
    assert caught.value.kind == "watchdog"


def test_without_a_watchdog_a_limit_of_before_ends_nothing():
    it = rig()
    it.begin("dose", **DOSE)
    it.finish()
    it.begin("flow", "act-2", rate=(500.0, "mL/min"))
    it.finish()
    it.wait(3600.0)
    assert it.driver.read()["flow"].value == pytest.approx(500.0) and it.device.counter_mode == 1


def test_what_the_watchdog_would_end_is_refused_before():
    options = {"full_scale": "500 mL/min", "watchdog": "2 L"}
    hold = {"rate_ml_min": 100.0, "time_s": 1170.0, "reach_by_s": 30.0}
    assert ELFlow.complaint("hold", hold, options) == ""
    assert ELFlow.complaint("hold", hold | {"time_s": 1171.0}, options) == (
        "up to 2001.666667 mL would flow, more than watchdog = 2000 mL"
    )
    dose = {"volume_ml": 2000.0, "rate_ml_min": 100.0}
    assert ELFlow.complaint("dose", dose, options) == "" == ELFlow.complaint("flow", {}, options)
    assert "more than watchdog" in ELFlow.complaint("dose", dose | {"volume_ml": 2001.0}, options)
    slow = {"volume_ml": 20_000.0, "rate_ml_min": 1.0}
    assert "takes longer than a week" in ELFlow.complaint("dose", slow, {"full_scale": "500 mL/min"})
    assert ELFlow.watchdog(options) == "the controller's own counter: it closes after 2000 mL"
    assert ELFlow.watchdog({"full_scale": "500 mL/min"}) == ""


# --- where the setpoint comes from ------------------------------------------------------------------------------------


def test_one_that_follows_its_analog_input_is_taken_over_at_0():
    it = Rig(ELFlow, simulation={"analog": True})
    it.device.setpoint = 16000
    it.driver.open()
    it.driver.configure()
    assert settings(it) == [SETPOINT, MODE, UNIT] and (it.device.mode, it.device.setpoint) == (0, 0)
    it.driver.configure()
    assert settings(it) == [], "only where it differs"
    it.begin("hold", **HOLD)
    it.wait(5.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match=r"its control mode became 1 \(analog input\)") as caught:
        it.look()
    assert caught.value.kind == "setup"
    it.begin("flow", "act-2", **FLOW)
    assert it.finish().readings["flow"].value == pytest.approx(100.0, abs=10.0)


def test_a_flow_that_goes_on_is_not_touched_when_it_is_set_up_again():
    it = rig()
    it.begin("flow", **FLOW)
    it.finish()
    it.restarted().open()
    it.driver.configure()
    assert it.device.setpoint == 6400


@pytest.mark.parametrize(("mode", "word"), [(8, "open"), (2, "slave"), (9, "calibration"), (99, "mode 99")])
def test_one_that_somebody_is_at_is_refused_and_closed_by_a_stop(mode, word):
    it = Rig(ELFlow)
    it.device.set_mode(mode, 0.0)
    it.driver.open()
    with pytest.raises(InstrumentFault, match=rf"its control mode is {mode} \({word}\). Set it to 0") as caught:
        it.driver.configure()
    assert caught.value.kind == "setup" and it.device.mode == mode
    it.driver.stop()
    assert it.device.mode == 3 and not it.device.leg.goal_c
    assert it.happened("off", {}, {}).state == "done"


@pytest.mark.parametrize(
    ("mode", "state"), [(0, "done"), (3, "done"), (12, "done"), (1, "not_begun"), (8, "not_begun")]
)
def test_what_is_off_and_what_is_not(mode, state):
    it = rig()
    it.device.set_mode(mode, 0.0)
    verdict = it.happened("off", {}, {})
    assert verdict.state == state and verdict.why.startswith("its setpoint is 0 mL/min (")


def test_a_valve_that_stays_open_is_a_runaway():
    it = rig()
    it.device.set_mode(8, 0.0)
    hear(it, Set(words.CONTROL_MODE, 3), b"\x00\x00\x04")
    with pytest.raises(InstrumentFault, match=r"is 0 mL/min \(open\) after it was told to close") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_after_such_a_stop_the_valve_is_opened_again_by_the_next_act():
    it = rig()
    it.begin("hold", **HOLD)
    it.device.set_mode(8, it.clock.now_s())
    it.wait(3.0)
    with pytest.raises(InstrumentFault, match="beyond its range") as caught:
        it.look()
    assert caught.value.kind == "over_range"
    it.driver.stop()
    assert it.device.mode == 3
    it.wait(3.0)
    it.begin("hold", "act-2", **HOLD)
    assert it.device.mode == 0 and it.finish().done


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("flow", **FLOW)
    it.finish()
    hear(it, Set(words.SETPOINT, 0), b"\x00\x00\x05")
    with pytest.raises(InstrumentFault, match=r"is 100 mL/min \(bus\) after it was told to close") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_brake_closes_the_valve_with_one_command():
    it = rig()
    it.begin("flow", **FLOW)
    said = len(it.sent)
    it.driver.brake()
    assert it.sent[said:] == [bytes.fromhex("10 02 00 80 05 01 01 21 00 00 10 03")] and it.device.setpoint == 0


# --- what it says -----------------------------------------------------------------------------------------------------


def hear(it, command, *answers):
    """The device answers this with that, once each, and does nothing; the last one goes on."""
    asked, left = words.body_of(command), list(answers)
    real = it.device._answer

    def answer(heard):
        if heard.body != asked:
            return real(heard)
        body = left.pop(0) if len(left) > 1 else left[0]
        return words.framed(heard.number, it.device.address, body) if body is not None else real(heard)

    it.device._answer = answer


def test_no_gas_in_front_of_the_valve_is_a_flow_that_is_not_reached():
    it = rig()
    it.device.stall(0.0)
    it.begin("flow", reach_by=(5.0, "s"), **FLOW)
    with pytest.raises(InstrumentFault, match=r"0 mL/min after \d+ s, where 100 mL/min was to be reached") as caught:
        it.finish()
    assert caught.value.kind == "not_reached"


def test_hardware_that_fails_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.device.alarms = 0x81
    for call in (it.look, lambda: it.begin("hold", "act-2", **HOLD)):
        with pytest.raises(InstrumentFault, match=r"its hardware fails \(error hardware\)") as caught:
            call()
        assert caught.value.kind == "hardware"
    assert it.driver.read()["state"].value == "error hardware"


def test_a_setpoint_that_somebody_else_changes_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(1.0)
    it.device.setpoint = 3200
    with pytest.raises(InstrumentFault, match="its setpoint is 50 mL/min where 100 mL/min was sent") as caught:
        it.look()
    assert caught.value.kind == "setup"


def test_a_flow_backwards_is_less_than_nothing():
    it = rig()
    hear(it, LOOK, look_of(measure=0xFF80))
    assert it.driver.read()["flow"].value == -2.0


def look_of(measure=0, setpoint=0, counted="00000000"):
    return bytes.fromhex(f"02 81 a0{measure:04x} a1{setpoint:04x} 8400 1400 68 41{counted}")


def test_a_look_that_is_not_said_twice_is_not_believed():
    it = rig()
    hear(it, LOOK, look_of(), look_of(measure=20000), look_of(), look_of())
    assert it.driver.read()["flow"].value == 0.0
    it = rig()
    hear(it, LOOK, look_of(), look_of(counted="44000000"), look_of(), look_of())
    assert it.driver.read()["counted"].value == 0.0
    it = rig()
    hear(it, LOOK, *[look_of(setpoint=n) for n in (1, 0, 1, 0, 1, 0)])
    with pytest.raises(ProtocolError, match="it says something else each time"):
        it.driver.read()


def test_a_setting_that_was_lost_is_sent_again_and_one_that_does_not_take_is_a_fault():
    it = rig()
    hear(it, Set(words.SETPOINT, 6400), b"\x00\x00\x05", None)
    it.begin("flow", **FLOW)
    assert it.device.setpoint == 6400
    hear(it, Set(words.SETPOINT, 3200), b"\x00\x00\x05")
    with pytest.raises(InstrumentFault, match="its setpoint is 6400 where 3200 was sent") as caught:
        it.begin("flow", "act-2", rate=(50.0, "mL/min"))
    assert caught.value.kind == "setup"


def test_a_refusal_is_believed_when_it_is_said_twice():
    it = rig()
    hear(it, LOOK, b"\x00\x04\x05", None)
    assert it.driver.read()["flow"].value == 0.0
    hear(it, LOOK, b"\x00\x04\x05")
    with pytest.raises(InstrumentFault, match=r"it refuses measure, setpoint, .*: it has no such parameter") as caught:
        it.driver.read()
    assert caught.value.kind == "refused"
    it = rig()
    hear(it, Set(words.RESET, 3), b"\x00\x0d\x05")
    with pytest.raises(InstrumentFault, match="it refuses reset: the parameter can only be read"):
        it.begin("flow", **FLOW)


# --- which one it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"texts": {"device": "DMFM", "model": "F-111B", "serial": "M1", "customer": "", "firmware": "V1"}},
         "identity", r"'DMFM F-111B' answers where a mass flow controller \(DMFC\) was expected"),
        ({"capacity": 100.0}, "identity", "one with a full scale of 100 mL/min answers where one of 500 mL/min"),
        ({"unit": "ln/min"}, "identity", "one with a full scale of 500000 mL/min"),
        ({"unit": "mls/min"}, "setup", "it counts in mls/min, which is no normal volume of gas a minute"),
        ({"unit": "g/h"}, "setup", "it counts in g/h"),
        ({"gas": "N2"}, "setup", "it is set to N2, where the lab file says Ar"),
    ],
)  # fmt: skip
def test_another_device_is_refused(change, kind, said):
    it = Rig(ELFlow)
    for name, value in change.items():
        setattr(it.device, name, value)
    with pytest.raises(InstrumentFault, match=said) as caught:
        it.driver.open()
    assert caught.value.kind == kind


def test_a_large_controller_of_standard_litres():
    it = rig(full_scale="10 L/min", reference="standard")
    assert it.device.unit == "ls/min" and it.device.counter_unit == "mls"
    it.begin("dose", volume=(1.5, "L"), rate=(2.5, "L/min"))
    assert it.device.setpoint == 8000
    assert it.finish().achieved["volume"] == Amount(1500.0, "mL") and passed(it) == [pytest.approx(1500.0)]
    rate = next(one for one in it.driver.actions["flow"].settings if one.name == "rate")
    assert (rate.high, rate.resolution) == (10_000.0, 0.3125)


def test_a_counter_in_something_else_is_no_volume_until_it_is_set_up():
    it = Rig(ELFlow)
    it.device.counter_unit = "mls"
    it.driver.open()
    with pytest.raises(InstrumentFault, match="does not count in a volume of the lab file's reference") as caught:
        it.driver.counters()
    assert caught.value.kind == "setup"
    with pytest.raises(InstrumentFault, match="its counter counts in 'mls'; open it again"):
        it.begin("dose", **DOSE)
    it.driver.configure()
    assert it.driver.counters() == NOTHING


@pytest.mark.parametrize(
    ("unit", "reference", "factor"),
    [
        ("mln", "normal", 1.0), ("ln", "normal", 1e3), ("uln", "normal", 1e-3), ("m3n", "normal", 1e6),
        ("cm3s", "standard", 1.0), ("ccn", "normal", 1.0), ("mm3n", "normal", 1e-3), ("mls", "normal", None),
        ("ml", "normal", None), ("g", "normal", None), ("", "normal", None),
    ],
)  # fmt: skip
def test_units_of_volume(unit, reference, factor):
    assert millilitres(unit, reference) == factor


@pytest.mark.parametrize(
    ("unit", "reference", "factor"),
    [
        ("mln/min", "normal", 1.0), ("ln/h", "normal", 1e3 / 60.0), ("mls/s", "standard", 60.0), ("slm", "normal", 1e3),
        ("sccm", "normal", 1.0), ("sccm", "standard", None), ("cm3n/m", "normal", 1.0), ("kg/h", "normal", None),
        ("mln", "normal", None), ("mln/d", "normal", None),
    ],
)  # fmt: skip
def test_units_of_flow(unit, reference, factor):
    assert millilitres_a_minute(unit, reference) == (pytest.approx(factor) if factor else None)


def test_two_on_one_line_are_told_apart_by_their_nodes():
    it = Rig(ELFlow, node=5, more={"other": {"node": 6, "full_scale": "500 mL/min"}}).ready()
    it.begin("flow", **FLOW)
    assert it.device.setpoint == 6400 and it.bench.devices["other"].setpoint == 0
    assert all(one.replace(b"\x10\x10", b"\x10")[3] == 5 for one in it.sent)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"full_scale": "500 mL/min", "reference": "20 degC"},
        {"full_scale": "500 mL/min", "node": 0},
        {"full_scale": "500 mL/min", "node": 129},
        {"full_scale": "500 mL/min", "node": True},
        {"full_scale": "500 mL/min", "watchdog": "60 s"},
        {"full_scale": "500 mL/min", "watchdog": "11 m**3"},
        {"full_scale": 0},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(SpecError):
        ELFlow.declare(options)


def test_before_it_was_opened_nothing_is_known_of_its_range():
    with pytest.raises(ProtocolError, match="it was never opened"):
        Rig(ELFlow).driver.read()


# --- a bad line -------------------------------------------------------------------------------------------------------


def insist(call, *args):
    for _ in range(60):
        try:
            return call(*args)
        except (LinkError, ProtocolError):
            continue
    raise AssertionError("no way through in 60 tries")


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_a_dose_is_given_once_and_whole(seed):
    it = Rig(ELFlow, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)
    insist(it.driver.open)
    insist(it.driver.configure)
    amounts = {name: Amount(*value) for name, value in DOSE.items()}
    for n in range(60):
        try:
            it.begin("dose", f"act-{n}", **DOSE)
            break
        except (LinkError, ProtocolError):
            if insist(it.happened, "dose", amounts, NOTHING, f"act-{n}").state == "running":
                it.began_s = it.clock.now_s()
                break
    while not (look := insist(it.look)).done:
        assert look.readings["flow"].value == pytest.approx(it.device.leg.at(it.clock.now_s()), abs=100.0)
        it.wait(look.again_in_s)
    assert look.achieved["volume"].value == pytest.approx(50.0, abs=0.01)
    assert insist(it.happened, "dose", amounts, NOTHING, "act-0").state in ("done", "not_begun")
    insist(it.driver.stop)
    assert passed(it)[-1] == pytest.approx(50.0, abs=0.01) and sum(passed(it)[:-1]) < 1.0
    assert it.device.setpoint == 0
