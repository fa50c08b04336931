"""The driver of Alicat controllers on the simulated valve; its bytes are in test_alicat_codec.py."""

import pytest

from drivers.alicat import MC
from labloop.bench import Amount, InstrumentFault, LinkInterrupted, ProtocolError, SpecError
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(MC, **more).ready()


FLOW = {"rate": (100.0, "mL/min")}
HOLD = FLOW | {"time": (60.0, "s")}


def test_it_says_who_it_is_and_what_it_reads():
    it = Rig(MC)
    identity = it.driver.open()
    assert (identity.model, identity.serial) == ("MC-500SCCM-D", "123456")
    assert identity.firmware.startswith("10v20") and identity.first_reply.startswith("'+044.70")
    assert {name: (one.value, one.unit) for name, one in it.driver.read().items()} == {
        "flow": (0.0, "mL/min"), "setpoint": (0.0, "mL/min"), "pressure": (44.7, "psi"), "temperature": (22.0, "degC"),
        "gas": ("N2", ""), "state": ("ok", ""),
    }  # fmt: skip


def test_a_flow_settles_goes_on_and_is_ended_by_off():
    it = rig()
    amounts = it.begin("flow", **FLOW)
    look = it.finish()
    assert look.readings["flow"].value == pytest.approx(100.0, abs=10.0)
    it.wait(30.0)
    assert it.happened("flow", amounts, {}).state == "done" and it.happened("off", {}, {}).state == "not_begun"
    it.begin("off", "act-2")
    assert it.look().done and it.device.held == "closed" and it.device.setpoint == 0.0
    assert it.happened("flow", amounts, {}).state == "not_begun" and it.happened("off", {}, {}).state == "done"
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("flow", "begin"), ("flow", "end")]
    assert it.ledger[-1].amount == pytest.approx(100.0 * 30.5 / 60.0, rel=0.05)


def test_a_hold_lasts_its_time_and_opens_a_valve_that_was_held():
    it = rig()
    it.driver.stop()
    assert it.device.held == "closed"
    it.begin("hold", **HOLD)
    look = it.finish()
    assert it.clock.now_s() - it.began_s == pytest.approx(60.0, abs=3.0)
    assert look.achieved["time"].value >= 60.0 and look.achieved["flow"].unit == "mL/min"
    assert it.device.held is None and it.device.leg.goal_c == 100.0


def test_the_setpoint_is_there_before_the_valve_is_let_go():
    it = rig()
    it.begin("flow", rate=(400.0, "mL/min"))
    it.driver.stop()
    said = len(it.sent)
    it.begin("flow", "act-2", **FLOW)
    assert [one for one in it.sent[said:] if one != b"A\r"] == [b"AS100.00\r", b"AC\r"]


def test_a_large_controller_counts_in_litres():
    it = rig(full_scale="10 L/min")
    it.begin("flow", rate=(2.5, "L/min"))
    assert b"AS2.5000\r" in it.sent or b"AS2.500\r" in it.sent
    assert it.device.setpoint == 2500.0 and it.finish().readings["flow"].value == pytest.approx(2500.0, abs=200.0)
    limit = next(one for one in it.driver.actions["flow"].settings if one.name == "rate").high
    assert limit == 10_000.0


def test_setpoints_are_not_saved():
    it = rig()
    assert it.device.source == "U" and b"ALSS U\r" in it.sent
    said = len(it.sent)
    it.driver.configure()
    assert b"ALSS U\r" not in it.sent[said:], "only where it differs"


def test_a_controller_that_follows_an_analog_input_is_refused():
    it = Rig(MC)
    it.device.source = "A"
    it.driver.open()
    with pytest.raises(InstrumentFault, match="comes from the analog input") as caught:
        it.driver.configure()
    assert caught.value.kind == "setup"
    it.device.source = "U"
    it.driver.configure()
    it.device.source = "A"
    with pytest.raises(InstrumentFault, match="its setpoint is 0 mL/min where 100 mL/min was sent") as caught:
        it.begin("flow", **FLOW)
    assert caught.value.kind == "setup"


def test_another_gas_than_the_lab_file_says_is_no_flow_of_it():
    it = rig()
    it.device.gas = "Ar"
    for call in (it.driver.configure, lambda: it.begin("flow", **FLOW)):
        with pytest.raises(InstrumentFault, match="set to Ar, where the lab file says N2") as caught:
            call()
        assert caught.value.kind == "setup"
    assert it.device.setpoint == 0.0
    Rig(MC, full_scale="500 mL/min", gas="Ar").ready()


def test_no_gas_in_front_of_the_valve_is_a_flow_that_is_not_reached():
    it = rig()
    it.device.stall(0.0)
    it.begin("flow", reach_by=(5.0, "s"), **FLOW)
    with pytest.raises(InstrumentFault, match=r"0 mL/min after \d+ s, where 100 mL/min was to be reached") as caught:
        it.finish()
    assert caught.value.kind == "not_reached"


def test_a_flow_beyond_the_range_is_no_value():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(1.0)
    it.device.open_by_hand(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="beyond its range \\(MOV\\)") as caught:
        it.look()
    assert caught.value.kind == "over_range"
    assert it.driver.read()["state"].value == "MOV"


def test_a_valve_that_is_held_by_hand_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(1.0)
    it.device._hold("as it is", it.clock.now_s())
    with pytest.raises(InstrumentFault, match="its valve is held") as caught:
        it.look()
    assert caught.value.kind == "held"


def test_a_setpoint_that_somebody_else_changes_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(1.0)
    it.device._set(50.0, it.clock.now_s())
    it.wait(3.0)
    with pytest.raises(InstrumentFault, match="its setpoint is 50 mL/min where 100 mL/min was sent"):
        it.look()


def test_a_lost_setpoint_is_said_again():
    it = rig()
    answer, lost = it.device._do, []

    def deaf(command, now_s):
        if command.startswith("S1") and not lost:
            lost.append(command)
            return [it.device._frame(now_s)]
        return answer(command, now_s)

    it.device._do = deaf
    it.begin("flow", **FLOW)
    assert lost and it.device.setpoint == 100.0


def test_a_flow_that_jumps_is_asked_again():
    it = rig()
    it.begin("flow", **FLOW)
    it.wait(10.0)
    it.look()
    frame = it.device._frame
    said = iter([frame(11.0).replace("+100.00", "+900.00", 1)] * 2)
    it.device._frame = lambda now_s: next(said, None) or frame(now_s)
    assert it.look().readings["flow"].value == pytest.approx(100.0)
    said = iter([frame(12.0).replace("+100.00", f"+{n}00.00", 1) for n in (9, 1, 9, 1) * 9])
    with pytest.raises(ProtocolError, match="was answered with 900, 100, 900"):
        it.look()


DAMAGED = [(b"+044.70", b"+444.70"), (b"+022.00", b"+922.00"), (b"+000.00     N2", b"+800.00     O2")]


@pytest.mark.parametrize("where", range(3))
@pytest.mark.parametrize(("right", "wrong"), DAMAGED)
def test_of_a_reading_the_middle_of_three_is_believed(where, right, wrong):
    it = rig()
    found, frame = it.driver.read(), it.device._frame
    said = iter(frame(0.0).replace(right.decode(), (wrong if n == where else right).decode()) for n in range(3))
    it.device._frame = lambda now_s: next(said)
    assert it.driver.read() == found
    assert next(said, None) is None


def test_a_gas_that_is_another_each_time_is_none():
    it = rig()
    frame, gases = it.device._frame, iter(("N2", "O2", "F2"))
    it.device._frame = lambda now_s: frame(now_s).replace("N2", next(gases))
    with pytest.raises(ProtocolError, match="its gas and state are different each time"):
        it.driver.read()


def test_what_became_of_a_hold():
    it = rig()
    amounts = it.begin("hold", **HOLD)
    assert it.happened("hold", amounts, {}).state == "running"
    other = amounts | {"rate": Amount(50.0, "mL/min")}
    assert it.happened("hold", other, {}, "act-9").state == "partial"
    it.port.link.interrupt()
    with pytest.raises(LinkInterrupted):
        it.begin("hold", "act-2", **HOLD)
    it.port.link.resume()
    assert it.happened("hold", amounts, {}, "act-2").state == "not_begun"


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("flow", **FLOW)
    it.device._hold = lambda held, now_s: [it.device._frame(now_s)]
    with pytest.raises(InstrumentFault, match="its valve is not held closed") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_one_that_never_said_who_it_is_is_stopped_all_the_same():
    """Its answer was lost, or nobody had time for it: it was stopped, and the guard said that it was not."""
    it = rig()
    it.begin("flow", **FLOW)
    it.finish()
    it.restarted().stop()
    assert it.device.held == "closed"


def test_a_brake_closes_the_valve_with_one_command():
    it = rig()
    it.begin("flow", **FLOW)
    said = len(it.sent)
    it.driver.brake()
    assert it.sent[said:] == [b"AHC\r"] and it.device.held == "closed"


def hear(device, answers):
    real = device._do
    device._do = lambda command, now_s: answers[command] if command in answers else real(command, now_s)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"??M4": ["A M04 Model Number M-500SCCM-D"]}, "'M-500SCCM-D' answers where an Alicat MC was expected"),
        ({"": ["A +014.62 +021.89 +000.99 +000.99     N2"]}, "a meter's has no setpoint"),
        ({"??M4": ["A M04 Model Number MC-5SLPM-D"]}, "one with a full scale of 500 mL/min was expected"),
        ({"LS": ["A +000.00 +000.00 17 SCFH"]}, "it counts in SCFH. Set it to SCCM or SLPM"),
    ],
)
def test_another_device_is_refused(answers, said):
    it = Rig(MC)
    hear(it.device, answers)
    with pytest.raises(InstrumentFault, match=said):
        it.driver.open()


OLDER = {"LS": ["?"], "LSS": ["?"], "??M4": ["?"], "??M5": ["?"]}


def test_older_firmware_that_knows_no_ls_and_no_single_lines_is_driven_all_the_same():
    it = Rig(MC, unit="SCCM")
    hear(it.device, OLDER)
    assert it.ready().driver.open().model == "Alicat MC"
    it.begin("flow", **FLOW)
    assert it.device.setpoint == 100.0


@pytest.mark.parametrize("model", ["?", "A M04 Model Number MC-5.0-SLPM-D"])
def test_a_unit_that_nobody_tells_is_not_guessed(model):
    litres = {"full_scale": "5 L/min"}
    it = Rig(MC, **litres)
    hear(it.device, OLDER | {"??M4": [model]})
    with pytest.raises(InstrumentFault, match=r"does not tell what it counts in.*unit: SCCM or unit: SLPM") as caught:
        it.ready()
    assert caught.value.kind == "setup"
    it = Rig(MC, unit="SLPM", **litres)
    hear(it.device, OLDER | {"??M4": [model]})
    it.ready()
    it.begin("flow", rate=(3.0, "mL/min"))
    assert it.device.setpoint == 3.0 and b"AS0.0030\r" in it.sent


def test_a_unit_that_it_tells_otherwise_is_refused():
    it = Rig(MC, unit="SLPM")
    with pytest.raises(InstrumentFault, match="it counts in SCCM, where the lab file says SLPM") as caught:
        it.driver.open()
    assert caught.value.kind == "setup"


def test_two_on_one_line_are_told_apart():
    it = Rig(MC, address="A", more={"other": {"address": "B", "full_scale": "500 mL/min"}}).ready()
    it.begin("flow", **FLOW)
    assert it.bench.devices["other"].setpoint == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"full_scale": "500 mL/min", "address": 1},
        {"full_scale": "500 mL/min", "address": "AB"},
        {"full_scale": 0},
        {"full_scale": "500 mL/min", "unit": "SCFH"},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(SpecError):
        MC.declare(options)


def test_nobody_stops_the_gas_when_this_computer_dies():
    assert MC.watchdog({"full_scale": "500 mL/min"}) == ""
    assert MC.expected("hold", {"rate_ml_min": 5.0, "time_s": 60.0}, {}).duration_s == 63.0


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_a_flow_is_held_and_no_flow_is_wrong(seed):
    it = Rig(MC, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("hold", **HOLD))
    while not (look := it.insist(it.look)).done:
        assert abs(look.readings["flow"].value - it.device.leg.at(it.clock.now_s())) <= 100.0
        it.wait(look.again_in_s)
    assert it.device.setpoint == 100.0
    it.insist(it.driver.stop)
    assert it.device.held == "closed"
