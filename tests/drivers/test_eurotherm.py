"""The driver of Eurotherm controllers on the simulated furnace; bytes and programme have files of their own."""

import itertools

import pytest

from drivers.eurotherm import E3216
from labloop.bench import Amount, InstrumentFault, LinkTimeout, SafetyError, SpecError
from tests.drivers.rigs import Rig

# --- the driver, through the remote setpoint --------------------------------------------------------------------------


def rig(**more):
    return Rig(E3216, **{"control": "remote"} | more).ready()


HOLD = {"temperature": (120.0, "degC"), "tolerance": (2.0, "K"), "time": (60.0, "s"), "reach_by": (1.0, "h")}


def test_it_says_who_it_is_and_what_it_reads():
    it = Rig(E3216, control="remote")
    identity = it.driver.open()
    assert (identity.model, identity.firmware) == ("Eurotherm 3200 series, type 3216", "0213")
    assert identity.first_reply.startswith("122: 12822, 107: 531, 516: 0")
    assert {name: (one.value, one.unit) for name, one in it.driver.read().items()} == {
        "temperature": (22.0, "degC"), "setpoint": (20.0, "degC"), "output": (0.0, "%"),
    }  # fmt: skip


def test_frames_are_parted_by_silence():
    it = rig()
    at_s = [one.at_s for one in it.port.traffic if one.kind == "sent"]
    assert len(at_s) > 5 and min(b - a for a, b in itertools.pairwise(at_s)) >= 3.5 * 11 / 9600


def test_a_hold_reaches_its_temperature_keeps_it_and_wears_nothing_out():
    it = rig()
    it.begin("hold", **HOLD)
    looks = 0
    assert it.driver.read()["output"].value == 100.0
    while not (look := it.look()).done:
        assert look.again_in_s <= 2.0 and it.device.live, "written again before the controller falls back"
        looks += 1
        it.wait(look.again_in_s)
    assert looks > 100 and it.device.worn == 0
    assert look.achieved["time"].value >= 60.0 and abs(look.achieved["temperature"].value - 120.0) <= 2.0
    assert look.readings["setpoint"].value == 120.0
    it.wait(10.0)
    it.bench.settle(it.clock.now_s())
    assert it.driver.read()["setpoint"].value == 20.0, "nobody speaks to it: back to SP1"
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("hold", "begin"), ("hold", "end")]


@pytest.mark.parametrize(("decimals", "word"), [(0, 120), (1, 1200), (2, 12000)])
def test_numbers_are_in_units_of_the_last_digit(decimals, word):
    it = rig(simulation={"decimals": decimals})
    it.begin("hold", **HOLD)
    assert it.device.remote_c == 120.0
    assert it.sent[-1][4:6] == word.to_bytes(2, "big")


def test_a_temperature_outside_the_controllers_own_limits_is_refused_and_nothing_sent():
    it = rig()
    sent = len(it.sent)
    with pytest.raises(SafetyError, match=r"1300 degC is outside the controller's own setpoint limits, 0 degC to 1200"):
        it.begin("hold", **HOLD | {"temperature": (1300.0, "degC")})
    assert len(it.sent) == sent


@pytest.mark.parametrize(
    ("change", "said", "kind"),
    [
        (lambda device: device.setpoints_c.__setitem__(0, 500.0), "falls back to SP1 = 500 degC", "setup"),
        (lambda device: device.kept.update({276: 0}), "is not remote. Select remote", "setup"),
        (lambda device: device.kept.update({199: 1}), "is 1. Set it to operating", "setup"),
        (lambda device: device.kept.update({273: 1}), "under manual control", "setup"),
        (lambda device: setattr(device, "broken", True), "sensor is broken", "sensor"),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_heated(change, said, kind):
    it = rig()
    change(it.device)
    for call in (it.driver.configure, lambda: it.begin("hold", **HOLD)):
        with pytest.raises(InstrumentFault, match=said) as caught:
            call()
        assert caught.value.kind == kind
    assert not it.device.live and it.ledger == []


def test_the_other_setpoint_is_looked_at_where_it_is_selected():
    it = Rig(E3216, control="remote")
    it.device.setpoints_c[:] = [500.0, 30.0]
    it.device.kept[15] = 1
    it.ready()
    it.device.setpoints_c[1] = 51.0
    with pytest.raises(
        InstrumentFault, match=r"SP2 = 51 degC .* above the 50 degC of its option fallback. Turn SP2 down"
    ):
        it.driver.configure()
    it.device.setpoints_c[1] = 45.0
    it.driver.configure()
    it.driver.limits = {"temperature": (None, 40.0)}
    with pytest.raises(InstrumentFault, match=r"SP2 = 45 degC .* above the 40 degC that the lab allows. Turn SP2 down"):
        it.driver.configure()


def test_a_sensor_that_breaks_in_a_hold_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(2.0)
    it.device.break_sensor(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="sensor is broken") as caught:
        it.look()
    assert caught.value.kind == "sensor"


def test_what_became_of_a_hold():
    it = rig()
    amounts = it.begin("hold", **HOLD)
    assert it.happened("hold", amounts, {}).state == "running"
    other = amounts | {"temperature": Amount(130.0, "degC")}
    assert it.happened("hold", other, {}, "act-9").state == "partial"
    it.wait(10.0)
    it.restarted().open()
    found = it.happened("hold", amounts, {})
    assert found.state == "partial" and 22.0 < found.achieved["temperature"].value < 30.0


def test_a_hold_that_never_sent_its_setpoint_is_not_begun():
    it = rig()
    it.device.kept[276] = 0
    amounts = {name: Amount(*value) for name, value in HOLD.items()}
    with pytest.raises(InstrumentFault):
        it.begin("hold", **HOLD)
    assert it.happened("hold", amounts, {}).state == "not_begun"


def test_stop_sends_the_lowest_setpoint_and_off_does_the_same():
    it = rig()
    it.begin("hold", **HOLD)
    it.driver.stop()
    assert it.device.remote_c == 0.0 and it.look().done
    assert it.happened("off", {}, {}).state == "done"
    it.begin("hold", "act-2", **HOLD)
    assert it.happened("off", {}, {}).state == "not_begun"
    it.begin("off", "act-3")
    assert it.look().done and it.device.remote_c == 0.0 and it.device.worn == 0


def test_a_driver_that_was_never_opened_can_stop_it():
    it = rig()
    it.begin("hold", **HOLD)
    read = it.device._read
    it.device._read = lambda number, now_s: 150 if number == 112 else read(number, now_s)
    it.restarted().stop()
    assert it.device.remote_c == 15.0, "the controller's own lowest setpoint"


# --- who answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("register", "value", "said"),
    [
        (525, 7, r"122: 12822, 107: 531, 516: 0, 525: 7.*are not those of a Eurotherm 3200"),
        (516, 1, "not count in degC"),
    ],
)
def test_another_controller_is_refused(register, value, said):
    it = Rig(E3216)
    read = it.device._read
    it.device._read = lambda number, now_s: value if number == register else read(number, now_s)
    with pytest.raises(InstrumentFault, match=said):
        it.driver.open()


def test_a_modbus_device_without_those_registers_is_refused():
    it = Rig(E3216)
    read = it.device._read
    it.device._read = lambda number, now_s: read(9999 if number == 122 else number, now_s)
    with pytest.raises(InstrumentFault, match=r"it refuses Read\(address=122, count=1\): it has no such register"):
        it.driver.open()


def test_two_on_one_line_are_told_apart_and_a_third_is_silent():
    it = Rig(E3216, control="remote", address=1, more={"other": {"address": 2, "control": "remote"}}).ready()
    it.begin("hold", **HOLD)
    assert it.device.live and not it.bench.devices["other"].live
    it.driver._codec.unit = 3
    with pytest.raises(LinkTimeout):
        it.driver.read()


@pytest.mark.parametrize(
    "options",
    [
        {"address": 0},
        {"address": 255},
        {"control": "local"},
        {"fallback": "500 degC"},
        {"setpoint_limits": "no"},
        {"control": "program", "setpoint_limits": "set"},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(SpecError):
        E3216.declare(options)


def test_who_makes_it_safe_depends_on_the_way_of_control():
    assert "goes to SP1 or SP2, at most 40 degC" in E3216.watchdog({"fallback": "40 degC"})
    assert E3216.watchdog({"control": "program"}) == ""
    assert set(E3216.declare({})) == {"hold", "off"}
    assert set(E3216.declare({"control": "program"})) == {"run_program", "off"}
    assert E3216.declare({})["off"].stops


def test_the_expected_times():
    values = {"temperature_c": 500.0, "tolerance_k": 1.0, "time_s": 600.0, "reach_by_s": 1800.0}
    assert E3216.expected("hold", values, {}).duration_s == 2400.0
    assert E3216.expected("run_program", {"time_s": 77.0}, {}).duration_s == 77.0


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_a_hold_is_held_and_no_temperature_is_wrong(seed):
    it = Rig(E3216, control="remote", faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("hold", **HOLD))
    while not (look := it.insist(it.look)).done:
        assert abs(look.readings["temperature"].value - it.device.leg.at(it.clock.now_s())) < 2.0
        it.wait(look.again_in_s)
    assert it.device.remote_c == 120.0 and it.device.worn == 0
    it.insist(it.driver.stop)
    assert it.device.remote_c == 0.0
