"""Bronkhorst EL-FLOW: the driver on the simulated controller; doses are in test_bronkhorst_doses.py."""

from itertools import accumulate
from struct import pack

import pytest

from drivers import bronkhorst_codec as words
from drivers.bronkhorst import ELFlow
from drivers.bronkhorst_codec import Set
from drivers.bronkhorst_controller import LOOK
from drivers.bronkhorst_options import millilitres, millilitres_a_minute
from labloop.bench import (
    Amount,
    InstrumentFault,
    ProtocolError,
    SpecError,
)
from tests.drivers.rigs import Rig

FLOW = {"rate": (100.0, "mL/min")}
HOLD = FLOW | {"time": (60.0, "s")}
DOSE = {"volume": (50.0, "mL"), "rate": (100.0, "mL/min")}
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


@pytest.mark.parametrize("mode", [0, 8])
def test_one_that_never_said_who_it_is_is_stopped_all_the_same(mode):
    """Its answer was lost, or nobody had time for it: what another line steers flowed on after the guard's stop."""
    it = rig()
    it.begin("flow", **FLOW)
    it.finish()
    it.device.set_mode(mode, it.clock.now_s())
    it.restarted().stop()
    it.wait(3.0)
    assert it.device.mode in (0, 3) and not it.device.leg.goal_c and it.ledger[-1].phase == "end"
    it.restarted()
    it.device.set_mode(8, it.clock.now_s())
    hear(it, Set(words.CONTROL_MODE, 3), b"\x00\x00\x04")
    with pytest.raises(InstrumentFault, match=r"is 0 % \(open\) after it was told to close"):
        it.driver.stop()


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


def test_a_look_that_others_do_not_confirm_is_not_believed():
    it = rig()
    hear(it, LOOK, look_of(), look_of(measure=20000), look_of(), look_of())
    assert it.driver.read()["flow"].value == 0.0
    it = rig()
    hear(it, LOOK, look_of(), look_of(measure=2048), look_of(measure=2048), look_of())
    assert it.driver.read()["flow"].value == 0.0
    it = rig()
    hear(it, LOOK, *[look_of(measure=1000 * n) for n in (1, 2, 3, 4, 5, 6, 6, 7)])
    assert it.driver.read()["flow"].value == 93.75, "of a flow that changes, the middle one of the last"
    it = rig()
    hear(it, LOOK, look_of(), look_of(counted="44000000"), look_of(), look_of())
    assert it.driver.read()["counted"].value == 0.0
    it = rig()
    hear(it, LOOK, *[look_of(setpoint=n) for n in (1, 0, 1, 0, 1, 0, 1, 0)])
    with pytest.raises(ProtocolError, match="it says something else each time"):
        it.driver.read()


@pytest.mark.parametrize(
    ("spacings_s", "believed"),
    [
        ([0.03] * 7, True),
        ([1.2] * 7, True),  # a bench that runs sixty times as fast, on a machine that is busy
        ([1.2, 1.3, 4.0, 1.2, 1.2, 1.3, 5.0], True),
        ([0.03] * 6 + [1.2], False),
        ([1.2] * 6 + [20.0], False),
        ([1.2] * 6 + [-1.2], False),
    ],
)
def test_a_counter_grows_by_what_flows_from_look_to_look(spacings_s, believed):
    """Where time runs fast, that is more than what flows in a second; one that leaps is not believed."""
    it = rig()
    counted = [0.0, *accumulate(second * 100.0 / 60.0 for second in spacings_s)]
    ramp = [0] * 8 if believed else [20 * (n % 2) for n in range(8)]  # of a flow that changes it is the last that count
    heard = [
        look_of(measure=6400 + more, counted=pack(">f", one).hex()) for more, one in zip(ramp, counted, strict=True)
    ]
    hear(it, LOOK, *heard)
    if believed:
        looked = it.driver.read()["counted"].value
        assert looked == pytest.approx(counted[2] if spacings_s[0] < 1.0 else counted[-1])
    else:
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
