"""Keithley SourceMeters: the driver on the simulated one."""

import math
import struct

import pytest

from drivers import keithley_options as o
from drivers.keithley import K2400
from labloop.bench import Amount, Envelope, InstrumentFault, LinkError, ProtocolError, SpecError
from labloop.campaign.spec import lab_from_dict
from tests.drivers.rigs import Rig
from tests.drivers.stand import FOLDER

RESISTOR = {"device": {"resistance": "1 kohm"}}
DIODE = {"device": {"resistance": "10 Mohm", "saturation_current": "1 nA", "ideality": 1.5, "series": "2 ohm"}}


def rig(**more):
    return Rig(K2400, **more).ready()


def points(data):
    numbers = struct.unpack(f"<{len(data) // 8}d", data)
    half = len(numbers) // 2
    return list(zip(numbers[:half], numbers[half:], strict=True))


@pytest.mark.parametrize("end", ["CR", "CRLF", "LFCR"])
def test_it_is_driven_whatever_ends_its_answers(end):
    it = Rig(K2400, simulation={"terminator": end})
    assert it.driver.open().serial == "1234567"
    it.driver.configure()
    assert it.driver.read()["output"].value == "off"


def test_a_voltage_for_a_time_then_off():
    it = rig()
    it.begin("source_voltage", voltage=(2.0, "V"), current_limit=(10.0, "mA"), time=(20.0, "s"))
    assert it.device.output
    look = it.finish()
    assert not it.device.output
    assert look.readings["current"].value == pytest.approx(2e-3, rel=1e-4) and look.readings["limited"].value == "no"
    assert look.achieved["charge"] == Amount(pytest.approx(2e-3 * 20.0, rel=0.05), "A*s")
    assert [(entry.act, entry.phase, entry.amount) for entry in it.ledger] == [
        ("source_voltage", "begin", 2.0), ("source_voltage", "end", 2.0),
    ]  # fmt: skip
    assert it.ledger[1].at_s - it.ledger[0].at_s == pytest.approx(20.0, abs=2.0)


def test_without_a_time_the_output_stays_on_and_another_level_does_not_interrupt_it():
    it = rig()
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    assert it.finish().done and it.device.output
    it.begin("source_voltage", "act-2", voltage=(2.0, "V"), current_limit=(10.0, "mA"))
    assert it.finish().readings["current"].value == pytest.approx(2e-3, rel=1e-4)
    assert [entry.phase for entry in it.ledger] == ["begin"]
    it.begin("source_current", "act-3", current=(1.0, "mA"), voltage_limit=(5.0, "V"))
    assert it.finish().readings["voltage"].value == pytest.approx(1.0, rel=1e-4)
    assert [entry.phase for entry in it.ledger] == ["begin", "end", "begin"]
    it.begin("off", "act-4")
    assert it.look().done and not it.device.output


def test_a_source_at_its_limit_is_a_fault_and_what_it_measured_is_no_value():
    it = rig()
    it.begin("source_voltage", voltage=(2.0, "V"), current_limit=(1.0, "mA"), time=(20.0, "s"))
    with pytest.raises(InstrumentFault, match=r"stands at its limit of 0\.001 A at .* V and .* A") as caught:
        it.look()
    assert caught.value.kind == "compliance"


def test_a_source_at_its_limit_goes_on_where_that_was_wished_and_says_so():
    it = rig()
    it.begin("source_voltage", voltage=(2.0, "V"), current_limit=(1.0, "mA"), time=(5.0, "s"), if_limited=("go_on", ""))
    look = it.finish()
    assert look.readings["limited"].value == "yes"
    assert look.readings["voltage"].value == pytest.approx(1.0, rel=1e-3), "the voltage that 1 mA makes of 1 kohm"
    assert (look.readings["current"].censored, look.readings["voltage"].censored) == ("above", "")
    it.begin("source_current", current=(-10.0, "mA"), voltage_limit=(1.0, "V"), if_limited=("go_on", ""))
    readings = it.look().readings
    assert (readings["current"].censored, readings["voltage"].censored) == ("", "below")


def test_a_sweep_of_a_diode_leaves_out_what_stands_at_the_limit():
    it = rig(simulation=DIODE)
    it.begin("sweep_voltage", start=(-1.0, "V"), stop=(1.0, "V"), step=(50.0, "mV"), current_limit=(1.0, "mA"))
    look = it.finish()
    curve, bounds = points(look.arrays["curve"]), points(look.arrays["bounds"])
    assert len(curve) + len(bounds) == 41 and len(bounds) > 5
    assert all(abs(amps) < 1e-3 for _, amps in curve) and all(abs(amps - 1e-3) < 1e-6 for _, amps in bounds)
    truth = it.device.device
    for volts, amps in curve:
        assert amps == pytest.approx(truth.at_voltage(volts), rel=2e-3, abs=2e-9)
    assert [volts for volts, _ in curve] == pytest.approx([-1.0 + 0.05 * n for n in range(len(curve))], abs=1e-3)
    assert not it.device.output and len(it.ledger) == 2
    assert look.readings["curve"].censored == "above" and look.readings["bounds"].censored == "", "made of a part of it"


def test_a_sweep_that_is_cut_off_on_both_sides_says_nothing():
    it = rig()
    it.begin("sweep_voltage", start=(-1.0, "V"), stop=(1.0, "V"), step=(0.1, "V"), current_limit=(0.5, "mA"))
    assert "current_limit" in it.finish().readings["curve"].flag
    it.begin("sweep_voltage", start=(-1.0, "V"), stop=(1.0, "V"), step=(0.1, "V"), current_limit=(5.0, "mA"))
    look = it.finish()
    assert (look.readings["curve"].flag, look.readings["curve"].censored, list(look.arrays)) == ("", "", ["curve"])


def test_a_sweep_there_and_back_and_one_whose_steps_do_not_divide_it():
    it = rig()
    it.begin(
        "sweep_voltage", start=(0.0, "V"), stop=(1.0, "V"), step=(0.3, "V"), current_limit=(10.0, "mA"),
        way=("there_and_back", ""),
    )  # fmt: skip
    volts = [volts for volts, _ in points(it.finish().arrays["curve"])]
    assert volts == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0], abs=1e-4)


def test_a_sweep_that_settles_takes_its_time():
    it = rig()
    it.begin("sweep_voltage", start=(0.0, "V"), stop=(1.0, "V"), step=(0.5, "V"), current_limit=(10.0, "mA"),
             settle=(2.0, "s"))  # fmt: skip
    it.finish()
    assert it.clock.now_s() - it.began_s >= 3 * 2.0


def test_a_sweep_all_at_the_limit_is_a_fault():
    it = rig(simulation={"device": {"resistance": "1 ohm"}})
    it.begin("sweep_voltage", start=(1.0, "V"), stop=(2.0, "V"), step=(0.5, "V"), current_limit=(1.0, "mA"))
    with pytest.raises(InstrumentFault, match="3 of 3 points stand at the limit") as caught:
        it.finish()
    assert caught.value.kind == "compliance"


@pytest.mark.parametrize("model, amps", [("2400", 1e-4), ("2420", 1e-4)])
def test_a_resistance_is_measured_voltage_over_measured_current(model, amps):
    it = rig(model=model, wires=4, terminals="rear", nplc=0.1)
    it.begin("measure_resistance", current=(amps, "A"), voltage_limit=(2.0, "V"))
    look = it.finish()
    assert look.readings["resistance"].value == pytest.approx(1000.0, rel=1e-3)
    assert look.readings["resistance"].unit == "ohm" and not it.device.output
    assert it.device.set["remote_sense"] is True and it.device.set["terminals"] == "REAR"


def test_limits_are_those_of_the_model_and_go_together():
    def high(options, action, name):
        return next(one.high for one in K2400.declare(options)[action].settings if one.name == name)

    assert high({}, "source_voltage", "voltage") == 210.0 and high({"model": "2410"}, "sweep_voltage", "stop") == 1100.0
    assert high({"model": "2401"}, "source_current", "voltage_limit") == 21.0
    assert high({"model": "2425"}, "source_voltage", "current_limit") == 3.15
    values = {"voltage_v": 100.0, "limit_a": 0.5, "if_limited": "fault"}
    assert "above 21 V a 2400 gives no more than 0.105 A" in K2400.complaint("source_voltage", values, {})
    assert K2400.complaint("source_voltage", values | {"limit_a": 0.1}, {}) == ""
    sweep = {"start_v": 0.0, "stop_v": 1.0, "step_v": 1e-5, "limit_a": 0.1, "settle_s": 0.0, "way": "there"}
    assert "100001 points" in K2400.complaint("sweep_voltage", sweep, {})
    assert "two different voltages" in K2400.complaint("sweep_voltage", sweep | {"stop_v": 0.0}, {})
    endless = sweep | {"start_v": -200.0, "stop_v": 200.0, "step_v": 1e-12}
    assert "400000000000001 points" in K2400.complaint("sweep_voltage", endless, {}), "counted, and not made"


@pytest.mark.parametrize("way", ["there", "there_and_back"])
@pytest.mark.parametrize("sweep", [(0.0, 1.0, 0.25), (1.0, -1.0, 0.3), (0.0, 1e-3, 1.0)])
def test_the_points_of_a_sweep_are_counted_as_they_are_made(sweep, way):
    assert o.points(*sweep, way) == len(o.levels(*sweep, way))


@pytest.mark.parametrize(
    "options, why",
    [
        ({"model": "2450"}, "none of 2400"),
        ({"terminals": "left"}, "neither front nor rear"),
        ({"wires": 3}, "neither 2 nor 4"),
        ({"nplc": 100}, "0.01 to 10"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, why):
    with pytest.raises(SpecError, match=why):
        K2400.declare(options)


def test_another_model_is_refused_with_what_answered():
    it = Rig(K2400, simulation={"model": "2410"})
    with pytest.raises(
        InstrumentFault, match=r"MODEL 2410,1234567.* answers where a 2400 was expected.*model: 2410"
    ) as caught:
        it.driver.open()
    assert caught.value.kind == "identity"
    assert Rig(K2400, model="2410").driver.open().serial == "1234567"


def test_read_tells_of_an_output_that_is_off_without_waiting_for_a_reading():
    it = rig()
    nothing = {"output": "off", "voltage": 0.0, "current": 0.0}
    assert {name: one.value for name, one in it.driver.read().items()} == nothing
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    assert it.driver.read()["current"].value == pytest.approx(1e-3, rel=1e-3)


def test_nothing_goes_on_when_the_limit_does_not_read_back():
    it = rig()
    put = it.device._do
    it.device._do = lambda unit: None if unit.header == ":SENS:CURR:PROT" and not unit.asks else put(unit)
    with pytest.raises(
        ProtocolError, match=r"PROT\? reads back as 0.000105 where 0.01 was sent; nothing was switched on"
    ):
        it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    assert not it.device.output and it.ledger == []


def test_a_blocked_output_says_what_the_instrument_says():
    it = rig()
    it.device.switch = lambda on: it.device.errors.add(802) if on else None
    with pytest.raises(InstrumentFault, match=r"does not go on.*OUTPUT blocked by output enable") as caught:
        it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    assert caught.value.kind == "refused"


def test_an_output_that_somebody_switched_off_is_a_fault():
    it = rig()
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"), time=(60.0, "s"))
    it.device.switch(False)
    with pytest.raises(InstrumentFault, match="switched off by somebody else") as caught:
        it.look()
    assert caught.value.kind == "off"


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    it.device.switch = lambda on: None
    with pytest.raises(InstrumentFault, match="its output is on after it was told to go off") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_stop_gets_in_while_the_instrument_measures():
    it = rig(nplc=10)
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    it.device.receive(b":TRIG:COUN 1000\n:INIT\n", it.clock.now_s())
    before_s = it.clock.now_s()
    it.driver.stop()
    assert not it.device.output and it.clock.now_s() - before_s < 2.0


def test_power_that_went_and_came_is_seen_and_the_settings_are_sent_again():
    it = rig(wires=4)
    it.device.power_cycle(it.clock.now_s())
    it.begin("source_voltage", voltage=(1.0, "V"), current_limit=(10.0, "mA"))
    assert it.device.set["remote_sense"] is True and it.device.set["functions"] == ("VOLT", "CURR")


SWEEP = {"start": (0.0, "V"), "stop": (1.0, "V"), "step": (0.1, "V"), "current_limit": (10.0, "mA")}


def test_what_became_of_an_act():
    it = rig()
    amounts = {name: Amount(*value) for name, value in SWEEP.items()}
    assert it.happened("sweep_voltage", amounts, {}).state == "not_begun"
    it.begin("sweep_voltage", **SWEEP)
    assert it.happened("sweep_voltage", amounts, {}).state == "running"
    it.look()
    it.restarted().open()
    assert it.happened("sweep_voltage", amounts, {}).state == "partial", "nobody steps it any more"
    assert it.happened("sweep_voltage", amounts, {}, "act-2").state == "not_begun"
    assert it.happened("off", {}, {}).state == "not_begun"
    it.device.power_cycle(it.clock.now_s())
    assert it.happened("sweep_voltage", amounts, {}).state == "cannot_tell"
    assert it.happened("off", {}, {}).state == "done"


def test_an_act_that_did_not_get_out_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("sweep_voltage", **SWEEP)
    it.port.link.resume()
    assert it.happened("sweep_voltage", {}, {}).state == "not_begun"


def test_a_line_that_fails_at_the_end_costs_no_reading():
    it = rig()
    it.begin("measure_resistance", current=(1.0, "mA"), voltage_limit=(2.0, "V"))
    it.device.receive, whole = (
        (lambda data, now_s: b"" if b"OUTP OFF" in data else whole(data, now_s)),
        it.device.receive,
    )
    with pytest.raises(InstrumentFault, match="its output is on"):
        it.look()
    it.device.receive = whole
    assert it.look().readings["resistance"].value == pytest.approx(1000.0, rel=1e-3) and not it.device.output


def test_it_beeps_to_be_seen_and_forgets_what_it_measured_before():
    it = rig()
    it.begin("measure_resistance", current=(1.0, "mA"), voltage_limit=(2.0, "V"))
    it.finish()
    name, _ = it.driver.nudge({})
    it.begin(name, "act-2")
    assert b":SYST:BEEP 880,0.5\n" in it.sent and it.look().readings == {} and it.driver.at_work() == ""
    it.begin("source_voltage", "act-3", voltage=(1.0, "V"), current_limit=(10.0, "mA"), time=(20.0, "s"))
    assert it.driver.at_work() == "its output is on"


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_no_point_of_a_sweep_is_wrong(seed):
    it = Rig(K2400, faults="drop=0.02,flip=0.02,late=0.02,double=0.02,unsolicited=0.02", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("sweep_voltage", **SWEEP))
    while not (look := it.insist(it.look)).done:
        pass
    found = points(look.arrays["curve"])
    assert len(found) == 11
    for n, (volts, amps) in enumerate(found):
        assert math.isclose(volts, 0.1 * n, abs_tol=1e-3) and math.isclose(amps, 1e-4 * n, abs_tol=1e-6)
    assert not it.device.output


@pytest.mark.parametrize(
    "limit, action, settings, said",
    [
        ({"voltage": {"max": 5}}, "source_current", {"current": "1 mA", "voltage_limit": "20 V"}, "to 20 V"),
        ({"voltage": {"min": -5}}, "measure_resistance", {"current": "-1 mA", "voltage_limit": "20 V"}, "to -20 V"),
        ({"current": {"max": 0.01}}, "source_voltage", {"voltage": "1 V", "current_limit": "0.1 A"}, "to 0.1 A"),
        ({"voltage": {"max": 5}}, "source_current", {"current": "-1 mA", "voltage_limit": "20 V"}, ""),
        ({"current": {"max": 0.01}}, "source_voltage", {"voltage": "1 V", "current_limit": "10 mA"}, ""),
    ],
)
def test_what_its_own_limit_lets_through_keeps_the_labs(limit, action, settings, said):
    lab = {
        "labloop": 1,
        "instruments": {"it": {"driver": "drivers.keithley:K2400", "port": "serial:///dev/smu"}},
        "limits": {"it": limit},
    }
    wanted = {name: Amount(float(value.split()[0]), value.split()[1]) for name, value in settings.items()}
    complaints = Envelope(lab_from_dict(lab, FOLDER.parent)).complaints("it", action, wanted)
    assert [said in one for one in complaints] == [True] * bool(said)
