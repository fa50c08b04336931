"""What drivers say of what stands there when it is not at rest, was switched off, or may change by itself."""

import pytest

from drivers.alicat import MC
from drivers.atlas import EzoPh
from drivers.bronkhorst import ELFlow
from drivers.cavro import XCalibur
from drivers.grbl import Stage
from drivers.keithley import K2400
from drivers.lakeshore import LS336
from drivers.leco import LecoActor
from drivers.leco_options import read_options
from drivers.spectrometer import Spectrometer
from drivers.spin_coater import SpinCoater
from labloop.bench import SpecError
from tests.drivers.rigs import Rig
from tests.drivers.stand import stand_of

FLOW = {"rate": (100.0, "mL/min")}


def begun(driver, action="", wait_s=5.0, settings=None, **more):
    """A rig on which an action (left out: that of its stand) goes on."""
    it = Rig(driver, **more).ready()
    usual, its = stand_of(driver).act
    it.begin(action or usual, **(settings if action else its))
    it.wait(wait_s)
    it.bench.settle(it.clock.now_s())
    return it


def told(it):
    return {name: one.value for name, one in it.driver.stands().items()}


def switched_off_and_on(it):
    it.device.power_cycle(it.clock.now_s())
    it.wait(5.0)
    it.bench.settle(it.clock.now_s())
    return it


@pytest.mark.parametrize(("driver", "says"), [
    (Stage, {}), (XCalibur, {}), (SpinCoater, {"spindle": True}), (Spectrometer, {"lamp": "on"}), (LecoActor, {}),
], ids=lambda one: getattr(one, "__name__", ""))  # fmt: skip
def test_what_is_on_its_way_does_not_stand_there(driver, says):
    assert told(begun(driver)) == says


def test_a_flow_that_goes_on_stands_there_with_its_valve():
    it = begun(MC, "flow", settings=FLOW)
    assert told(it) == {"rate": 100.0, "gas": "N2", "valve": "free"}
    it.device.receive(b"AHP\r", it.clock.now_s())
    assert told(it)["valve"] == "held"
    it.driver.stop()
    switched_off_and_on(it)
    assert told(it) == {"rate": 0.0, "gas": "N2"}, "held or not, nothing flows"


def test_a_setpoint_stands_there_unless_a_counter_may_end_it():
    assert told(begun(ELFlow, "flow", settings=FLOW)) == {"gas": "Ar", "mode": "bus", "rate": 100.0}
    assert told(begun(ELFlow, "flow", settings=FLOW, watchdog="2 L")) == {"gas": "Ar", "mode": "bus"}
    assert told(begun(ELFlow, "dose", settings={"volume": (100.0, "mL"), **FLOW})) == {"gas": "Ar", "mode": "bus"}


@pytest.mark.parametrize(("mode", "says"), [
    (1, {"mode": "analog input"}), (3, {"mode": "closed"}), (18, {"mode": "bus", "rate": 0.0}), (22, {}),
])  # fmt: skip
def test_a_control_mode_is_told_but_for_the_safe_state_that_it_goes_to_by_itself(mode, says):
    it = Rig(ELFlow).ready()
    it.device.set_mode(mode, it.clock.now_s())
    assert told(it) == {"gas": "Ar", **says}


def test_the_mode_that_a_controller_has_after_each_power_up_is_nobodys_doing():
    it = Rig(ELFlow, simulation={"analog": True}).ready()
    assert told(it) == {"gas": "Ar", "mode": "bus", "rate": 0.0}
    assert told(switched_off_and_on(it)) == {"gas": "Ar"}


def test_a_setpoint_on_a_ramp_is_on_its_way_and_the_ramp_stands_there():
    ramped = {"temperature": (120.0, "K"), "ramp": (5.0, "K/min")}
    it = begun(LS336, "control", wait_s=60.0, settings=ramped)
    assert told(it) == {"ramp": 5.0, "cut-out": 350.0, "heater": True}
    it.driver.stop()
    assert told(it) == {"ramp": 5.0, "cut-out": 350.0, "heater": False}, "it goes on though nothing heats"
    it.wait(3600.0)
    assert told(it)["temperature"] == 120.0


def test_a_position_that_a_reset_took_is_told_of_a_stage_that_cannot_home():
    it = begun(Stage, wait_s=60.0)
    assert told(it)["x"] == -100.0
    assert set(told(switched_off_and_on(it))) == {name for name in told(it) if name.startswith("$")}
    it = begun(Stage, wait_s=60.0, homing=False)
    assert it.driver.stands()["x"].said == ""
    found = switched_off_and_on(it).driver.stands()["x"]
    assert found.value == 0.0 and "it was reset since" in found.said


def test_a_pump_that_was_switched_off_and_on_does_not_know_what_it_holds():
    it = switched_off_and_on(Rig(XCalibur).ready())
    found = it.driver.stands()["content"]
    assert found.value == "not known" and "switched off and on" in found.said and found.counts


def test_a_source_tells_its_level_and_its_limit_by_the_names_of_their_settings():
    it = begun(K2400, "source_current", settings={"current": (1e-3, "A"), "voltage_limit": (5.0, "V")})
    it.driver.stop()
    assert told(it) == {
        "source": "current", "current": 1e-3, "voltage_limit": 5.0, "output": False, "terminals": "front", "wires": "2",
    }  # fmt: skip
    found = switched_off_and_on(it).driver.stands()
    assert found["source"].value == "voltage" and "switched off and on" in found["voltage"].said


def test_what_a_probe_compensates_for_goes_with_the_power_and_is_not_told():
    it = begun(EzoPh, "measure", wait_s=60.0, settings={"temperature": (40.0, "degC")})
    before = told(it)
    assert "temperature" not in before and told(switched_off_and_on(it)) == before


@pytest.mark.parametrize(("wrong", "said"), [
    ({"goal": {"parameter": "setpoint c"}}, "stands.goal.parameter"),
    ({"goal": {"within": 0.1}}, "stands.goal: within and counts are of a number"),
    ({"goal": {"unit": "degC", "within": -0.1}}, "below 0"),
    ({"goal": {"colour": "red"}}, "colour"),
    ({"goal": {"unit": "nm", "counts": "yes"}}, "stands.goal.counts"),
    (["goal"], "stands"),
])  # fmt: skip
def test_an_actors_stands_are_read_or_refused(wrong, said):
    with pytest.raises(SpecError, match=said.replace(".", r"\.")):
        read_options({"stands": wrong})


def test_an_actor_of_which_the_lab_file_says_nothing_is_asked_nothing():
    it = Rig(LecoActor, stands={})
    it.driver.open()
    sent = len(it.sent)
    assert it.driver.stands() == {} and len(it.sent) == sent
