"""The driver of JULABO circulators on the simulated bath; its bytes are in test_julabo_codec.py."""

import itertools

import pytest

from drivers.julabo import Circulator
from labloop.bench import Amount, InstrumentFault, LinkError, LinkInterrupted, SpecError
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(Circulator, **more).ready()


HOLD = {"temperature": (40.0, "degC"), "tolerance": (1.0, "K"), "time": (30.0, "s"), "reach_by": (30.0, "min")}


def hear(device, answer):
    """Let the device answer some questions otherwise: ``answer(question)`` or None."""
    asked = device._asked
    device._asked = lambda name, now_s: said if (said := answer(name)) is not None else asked(name, now_s)


def test_it_says_who_it_is_and_what_it_reads():
    it = Rig(Circulator, power="in_pv_01")
    identity = it.driver.open()
    assert (identity.model, identity.firmware) == ("JULABO HIGHTECH FL HL/SL", "4.0")
    assert identity.first_reply == "'JULABO HIGHTECH FL HL/SL VERSION 4.0'"
    assert {name: (one.value, one.unit) for name, one in it.driver.read().items()} == {
        "temperature": (22.0, "degC"), "power": (0.0, "%"),
    }  # fmt: skip


def test_a_quarter_of_a_second_lies_between_any_two_commands():
    it = rig()
    it.begin("hold", **HOLD)
    it.look()
    it.driver.stop()
    at_s = [one.at_s for one in it.port.traffic if one.kind == "sent"]
    assert len(at_s) > 10
    assert min(b - a for a, b in itertools.pairwise(at_s)) >= 0.25 - 1e-9


def test_a_hold_reaches_its_temperature_and_keeps_it_for_its_time():
    it = rig()
    it.begin("hold", **HOLD)
    kept_from = None
    while not (look := it.look()).done:
        if abs(look.readings["temperature"].value - 40.0) <= 1.0 and kept_from is None:
            kept_from = it.clock.now_s()
        it.wait(look.again_in_s)
    assert it.clock.now_s() - kept_from == pytest.approx(30.0, abs=7.0)
    assert look.achieved["time"].value >= 30.0 and abs(look.achieved["temperature"].value - 40.0) <= 1.0
    assert it.device.started, "it goes on for what comes next"
    assert [entry.act for entry in it.ledger] == ["hold"]


def test_a_temperature_that_is_not_reached_in_time_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD | {"temperature": (150.0, "degC"), "reach_by": (60.0, "s")})
    with pytest.raises(InstrumentFault, match=r"degC after \d+ s, where 150 degC was to be reached") as caught:
        it.finish()
    assert caught.value.kind == "not_reached"


@pytest.mark.parametrize(("temperature_c", "said"), [(-80.0, "-10 VALUE TOO SMALL"), (300.0, "-11 VALUE TOO LARGE")])
def test_a_temperature_that_it_refuses_is_found_by_reading_back(temperature_c, said):
    it = rig()
    with pytest.raises(InstrumentFault, match=f"set to 24 degC where {temperature_c:g} degC was sent.*'{said}'") as no:
        it.begin("control", temperature=(temperature_c, "degC"))
    assert no.value.kind == "setup" and not it.device.started


def test_a_temperature_beyond_its_warning_limits_is_stored_all_the_same():
    """Forte HT30 manual p. 63: -13 is a warning, the value is stored."""
    it = rig()
    it.begin("hold", **HOLD | {"temperature": (155.0, "degC")})
    assert it.device.wrong == -13
    assert not it.look().done


def test_a_lost_command_is_said_again():
    it = rig()
    do, lost = it.device._do, []

    def deaf(line, now_s):
        name = line.partition(" ")[0]
        if name.startswith("out_") and name not in lost:
            lost.append(name)
            return None
        return do(line, now_s)

    it.device._do = deaf
    it.begin("control", temperature=(40.0, "degC"))
    assert it.device.started and it.device.working[0] == 40.0
    lost.clear()
    it.driver.stop()
    assert not it.device.started


def test_a_model_with_one_decimal_is_believed():
    it = rig()
    hear(it.device, lambda name: "40.5" if name == "in_sp_00" else None)
    it.begin("control", temperature=(40.46, "degC"))
    assert it.device.working[0] == 40.46


def test_an_alarm_in_the_middle_of_a_hold_is_a_fault_with_its_name():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(10.0)
    it.device.leak(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it says '-01 LOW LEVEL ALARM'") as caught:
        it.look()
    assert caught.value.kind == "low_level"
    with pytest.raises(InstrumentFault, match="LOW LEVEL"):
        it.begin("control", "act-2", temperature=(30.0, "degC"))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("-05 WORKING SENSOR ALARM", "sensor"),
        ("-14 TEMPERATURE/LEVEL ALARM", "over_temperature"),
        ("-07 I2C-BUS ERROR", "alarm"),
        ("01 MANUAL START", "setup"),
        ("00 MANUAL START", "setup"),
        ("-03 EXCESS TEMPERATURE WARNING", None),
        ("00 REMOTE START", None),
        ("Hello from the simulated Julabo", None),
    ],
)
def test_what_a_status_means(said, kind):
    it = rig()
    hear(it.device, lambda name: said if name == "status" else None)
    if kind is None:
        it.driver.configure()
    else:
        with pytest.raises(InstrumentFault) as caught:
            it.driver.configure()
        assert caught.value.kind == kind and repr(said) in str(caught.value)


def test_a_circulator_that_counts_in_fahrenheit_is_refused():
    """SL-26 manual p. 82: what is sent is taken in the unit that is displayed."""
    it = Rig(Circulator, simulation={"unit": "degF"})
    with pytest.raises(InstrumentFault, match=r"counts in degF .* Set its unit to degC") as caught:
        it.ready()
    assert caught.value.kind == "setup" and it.ledger == []


def test_a_circulator_that_controls_to_another_working_temperature_is_refused():
    it = Rig(Circulator)
    it.device.chosen = 1
    with pytest.raises(InstrumentFault, match=r"working temperature 2 \(in_mode_01 is 1\), where") as caught:
        it.ready()
    assert caught.value.kind == "setup"


def test_a_unit_that_is_changed_by_hand_in_the_middle_of_a_hold_is_noticed():
    it = rig()
    it.begin("hold", **HOLD)
    it.look()
    it.device.fahrenheit = True
    for ask in (it.look, it.driver.read):
        with pytest.raises(InstrumentFault, match=r"counts in degF .* Set its unit to degC") as caught:
            ask()
        assert caught.value.kind == "setup"
    it.device.fahrenheit = False
    assert it.driver.read()["temperature"].unit == "degC"


def test_another_temperature_that_is_set_by_hand_in_the_middle_of_a_hold_is_noticed():
    it = rig()
    it.begin("hold", **HOLD)
    it.look()
    it.device.working[0] = 55.0
    with pytest.raises(InstrumentFault, match="it was set to 55 degC by hand, where 40 degC was sent") as caught:
        it.look()
    assert caught.value.kind == "setup"


@pytest.mark.parametrize("question", ["in_sp_06", "in_mode_01"])
def test_a_lost_answer_does_not_hide_what_is_wrong(question):
    it = Rig(Circulator, simulation={"unit": "degF"} if question == "in_sp_06" else {})
    it.device.chosen = int(question == "in_mode_01")
    asked, left = it.device._asked, [question]
    it.device._asked = lambda name, now_s: None if name in left and not left.remove(name) else asked(name, now_s)
    with pytest.raises(InstrumentFault):
        it.ready()
    assert not left


def test_models_that_do_not_know_those_questions_are_driven_all_the_same():
    """FL601 manual p. 40: neither is in its list; to others in_sp_06 is a temperature."""
    it = Rig(Circulator)
    asked = it.device._asked
    it.device._asked = lambda name, now_s: None if name in ("in_sp_06", "in_mode_01") else asked(name, now_s)
    it.ready()
    it.begin("hold", **HOLD)
    assert it.finish().done
    other = Rig(Circulator)
    hear(other.device, lambda name: "14.55" if name == "in_sp_06" else None)
    other.ready()


def test_a_refusal_of_an_earlier_command_does_not_hide_what_is_wrong():
    it = Rig(Circulator, simulation={"remote": False})
    it.device.wrong = -9
    with pytest.raises(InstrumentFault, match="under manual control") as caught:
        it.ready()
    assert caught.value.kind == "setup"


def test_a_power_cut_in_a_hold_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(10.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it was stopped") as caught:
        it.look()
    assert caught.value.kind == "off"


def test_control_goes_on_and_off_ends_it():
    it = rig()
    amounts = it.begin("control", temperature=(313.15, "K"))
    assert it.look().done and it.device.working[0] == 40.0
    assert it.happened("control", amounts, {}).state == "done"
    assert it.happened("off", {}, {}).state == "not_begun"
    it.begin("off", "act-2")
    assert it.look().done and not it.device.started
    assert it.happened("control", amounts, {}).state == "not_begun"
    assert it.happened("off", {}, {}, "act-2").state == "done"


def test_another_temperature_than_asked_for_is_another_act():
    it = rig()
    it.begin("control", temperature=(40.0, "degC"))
    other = {"temperature": Amount(50.0, "degC")}
    assert it.happened("control", other, {}).state == "not_begun"
    hold = {name: Amount(*value) for name, value in (HOLD | {"temperature": (50.0, "degC")}).items()}
    found = it.happened("hold", hold, {}, "act-9")
    assert found.state == "partial" and found.achieved["temperature"].unit == "degC"


def test_a_hold_that_was_never_started_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkInterrupted):
        it.begin("hold", **HOLD)
    it.port.link.resume()
    amounts = {name: Amount(*value) for name, value in HOLD.items()}
    assert it.happened("hold", amounts, {}).state == "not_begun"


def test_a_working_temperature_that_acted_at_once_was_begun_though_nothing_came_after_it():
    it = rig()
    it.begin("control", temperature=(60.0, "degC"))
    assert it.begin_and_cut_after("OUT_SP_00 40.00", "hold", "act-2", **HOLD).state == "partial"


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("hold", **HOLD)
    it.device.remote = False
    with pytest.raises(InstrumentFault, match="it goes on after it was told to stop; it says '-09") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_brake_is_one_command_that_stops_it():
    it = rig()
    it.begin("hold", **HOLD)
    said = len(it.sent)
    it.driver.brake()
    assert it.sent[said:] == [b"OUT_MODE_05 0\r"] and not it.device.started


def test_the_first_question_may_stay_unanswered_and_the_second_may_not():
    it = Rig(Circulator)
    take = it.device._take
    it.device._take = lambda line, now_s: b"" if len(it.sent) == 1 else take(line, now_s)
    assert it.driver.open().firmware == "4.0"
    it.device._take = lambda line, now_s: b""
    with pytest.raises(LinkError, match="no whole answer to"):
        it.restarted().open()


def test_another_instrument_on_the_port_is_refused():
    it = Rig(Circulator)
    hear(it.device, lambda name: "LAUDA ECO" if name == "version" else None)
    with pytest.raises(InstrumentFault, match="'LAUDA ECO' answers where a JULABO circulator was expected") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_two_circulators_on_one_line_are_told_apart():
    it = Rig(Circulator, address=1, more={"other": {"address": 2}}).ready()
    it.begin("control", temperature=(40.0, "degC"))
    assert it.device.started and not it.bench.devices["other"].started
    assert it.sent[-1] == b"A001_IN_MODE_05\r"


@pytest.mark.parametrize(
    "options",
    [
        {"address": 0},
        {"address": 128},
        {"address": "A"},
        {"power": "in_pv_00"},
        {"power": "in_pv_01", "external": "in_pv_01"},
    ],
)
def test_options_that_cannot_be(options):
    with pytest.raises(SpecError):
        Circulator.declare(options)


def test_the_other_order_of_questions():
    it = rig(power="in_pv_02", external="in_pv_01")
    hear(it.device, lambda name: {"in_pv_01": "26.00", "in_pv_02": "5.0"}.get(name))
    found = it.driver.read()
    assert (found["power"].value, found["external"].value) == (5.0, 26.0)


def test_nobody_stops_it_when_this_computer_dies():
    assert Circulator.watchdog({}) == ""


def test_the_expected_time_is_bounded_by_what_reaching_may_take():
    values = {"temperature_c": 80.0, "tolerance_k": 1.0, "time_s": 600.0, "reach_by_s": 1800.0}
    assert Circulator.expected("hold", values, {}).duration_s == 2400.0
    assert Circulator.expected("hold", values | {"temperature_c": 25.0}, {}).duration_s == 1100.0


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_a_hold_is_held_and_no_temperature_is_wrong(seed):
    it = Rig(Circulator, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("hold", **HOLD))
    while not (look := it.insist(it.look)).done:
        truth_c = it.device.leg.at(it.clock.now_s())
        assert abs(look.readings["temperature"].value - truth_c) < 2.5
        it.wait(look.again_in_s)
    assert it.device.working[0] == 40.0
    it.insist(it.driver.stop)
    assert not it.device.started
