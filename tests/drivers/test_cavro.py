"""The driver of Cavro pumps on the simulated pump; its bytes are in test_cavro_codec.py."""


import pytest

from drivers.cavro import MARK, XCalibur
from labloop.bench import (
    Amount,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    Progress,
    ProtocolError,
    SafetyError,
    SpecError,
)
from tests.drivers.rigs import Rig
from tests.drivers.stands.cavro import STANDS


def rig(**more):
    return Rig(XCalibur, **more).ready()


NEW = {"simulation": {"after": ""}}
DISPENSE = {"volume": (250.0, "uL"), "rate": (1000.0, "uL/min"), "port": ("cell", "")}


def test_it_says_who_it_is_and_what_it_reads():
    it = Rig(XCalibur)
    assert it.driver.open().firmware == "30046219 Rev G"
    found = it.driver.read()
    assert (found["content"].value, found["content"].unit, found["port"].value) == (500.0, "uL", "waste")
    it.device.port = 7
    assert it.driver.read()["port"].value == "7"
    report, said = it.device._report, iter(("8",))
    it.device._report = lambda text: next(said, "7") if text == "?6" else report(text)
    assert it.driver.read()["port"].value == "7"


def test_the_settings_have_the_limits_of_syringe_and_ports():
    it = Rig(XCalibur)
    volume, rate, port = it.driver.actions["dispense"].settings
    assert (volume.low, volume.high, volume.resolution) == (pytest.approx(1 / 24), 1000.0, pytest.approx(1 / 24))
    assert (rate.low, rate.high) == pytest.approx((500.0, 58_000.0)) and port.choices == ("water", "cell", "waste")


def test_a_volume_is_dispensed_to_its_port_and_drawn_up_from_another():
    it = rig()
    it.begin("dispense", **DISPENSE)
    assert it.device.running[0].text == "I4"
    look = it.finish()
    assert look.achieved["volume"] == Amount(250.0, "uL") and it.device.plunger == 6000.0 and it.device.port == 4
    assert it.clock.now_s() - it.began_s == pytest.approx(15.0 + 0.3, abs=0.7)
    it.begin("aspirate", "act-2", volume=(0.5, "mL"), rate=(10.0, "mL/min"), port=("water", ""))
    it.finish()
    assert it.device.plunger == 18_000.0 and it.device.port == 1
    assert [(entry.act, entry.amount) for entry in it.ledger if entry.phase == "end"] == [
        ("dispense", 250.0), ("aspirate", 500.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("rate_ul_min", "speeds"), [(1000.0, "V5800v100V100"), (30_000.0, "V5800v900V3000")])
def test_speeds_are_set_so_that_none_is_refused(rate_ul_min, speeds):
    it = rig()
    it.begin("dispense", **DISPENSE | {"rate": (rate_ul_min, "uL/min")})
    assert f"/1{speeds}I4A6000R\r".encode() in it.sent


def test_nothing_is_done_for_no_volume():
    it = rig()
    it.begin("dispense", "act-1", **DISPENSE)
    it.finish()
    said = len(it.sent)
    amounts = it.begin("dispense", "act-9", **DISPENSE | {"volume": (0.0, "uL")})
    assert len(it.sent) == said and it.look() == Progress(done=True, achieved={"volume": Amount(0.0, "uL")})
    assert it.happened("dispense", amounts, {}, "act-9").state == "done"


@pytest.mark.parametrize(
    ("action", "volume_ul", "said"),
    [
        ("dispense", 600.0, "holds 500 uL of 1000 uL: 600 uL do not fit"),
        ("aspirate", 500.1, "500.1 uL more do not fit"),
    ],
)
def test_what_does_not_fit_into_the_syringe_is_refused_and_nothing_sent(action, volume_ul, said):
    it = rig()
    with pytest.raises(SafetyError, match=f"{said}; nothing was sent"):
        it.begin(action, **DISPENSE | {"volume": (volume_ul, "uL")})
    assert not it.device.running and it.ledger == []


def test_what_was_refused_has_not_begun_whatever_was_done_before():
    it = rig()
    it.begin("dispense", "act-1", **DISPENSE)
    it.finish()
    before = it.driver.counters()
    too_much = {"volume": (900.0, "uL")}
    with pytest.raises(SafetyError):
        it.begin("dispense", "act-2", **DISPENSE | too_much)
    amounts = {name: Amount(*value) for name, value in (DISPENSE | too_much).items()}
    verdict = it.happened("dispense", amounts, before, "act-2")
    assert (verdict.state, verdict.why) == ("not_begun", "it was never told to move")
    it.device.receive(b"/1M9000R\r", it.clock.now_s())
    with pytest.raises(InstrumentFault, match="it moves already"):
        it.begin("initialize", "act-3")
    assert it.happened("initialize", {}, before, "act-3").state == "not_begun"


def test_a_pump_that_was_not_initialized_says_so_and_is_initialized_by_an_action():
    it = Rig(XCalibur, **NEW).ready()
    it.device.plunger = 12_000.0
    with pytest.raises(InstrumentFault, match=r"not initialized since it was switched on. Run its action") as caught:
        it.begin("dispense", **DISPENSE)
    assert caught.value.kind == "not_initialized" and it.driver.counters() == {}
    it.begin("initialize", "act-2")
    assert f"/1N1K{MARK}Z1,1,9R\r".encode() in it.sent
    it.finish()
    assert it.device.initialized and it.device.plunger == 0.0 and it.device.port == 9
    assert it.ledger[-1].act == "initialize" and it.ledger[-1].amount == 500.0
    it.begin("aspirate", "act-3", **DISPENSE)
    assert it.finish().done


@pytest.mark.parametrize(("syringe", "force"), [("5 mL", 0), ("1 mL", 1), ("100 uL", 2)])
def test_a_thin_syringe_is_driven_gently_to_its_end(syringe, force):
    it = Rig(XCalibur, syringe=syringe, **NEW).ready()
    it.begin("initialize")
    assert f"/1N1K{MARK}Z{force},1,9R\r".encode() in it.sent


def test_an_initialization_that_fails_is_a_fault():
    it = Rig(XCalibur, **NEW).ready()
    it.begin("initialize")
    it.wait(20.0)
    it.bench.settle(it.clock.now_s())
    it.device.error = 1
    with pytest.raises(InstrumentFault, match="its initialization failed") as caught:
        it.look()
    assert caught.value.kind == "not_initialized"


def test_an_act_that_never_went_out_is_not_begun():
    it = rig()
    before = it.driver.counters()
    amounts = {name: Amount(*value) for name, value in DISPENSE.items()}
    it.port.link.interrupt()
    with pytest.raises(LinkInterrupted):
        it.begin("dispense", **DISPENSE)
    it.port.link.resume()
    assert it.happened("dispense", amounts, before).state == "not_begun"
    assert it.restarted().happened("dispense", amounts, before, "act-1").state == "not_begun"


def test_a_pump_that_moves_is_busy():
    it = rig()
    it.begin("dispense", **DISPENSE)
    for action, settings in (("dispense", DISPENSE), ("initialize", {})):
        with pytest.raises(InstrumentFault, match="it moves already") as caught:
            it.begin(action, "act-2", **settings)
        assert caught.value.kind == "busy"


def test_a_refused_number_shows_at_the_next_question():
    it = rig()
    it.device._set = lambda op: (_ for _ in ()).throw(AssertionError)
    from simulators.cavro_program import Wrong

    def refuse(op):
        raise Wrong(3)

    it.device._set = refuse
    with pytest.raises(InstrumentFault, match=r"a number is out of its range \(error 3\)") as caught:
        it.begin("dispense", **DISPENSE)
    assert caught.value.kind == "refused"


def test_a_valve_that_turns_is_let_turn_and_a_plunger_that_goes_on_is_a_runaway():
    it = rig()
    it.begin("dispense", **DISPENSE)
    it.driver.stop()  # the valve is on its way
    assert it.device.plunger == 12_000.0
    it.wait(20.0)
    it.bench.settle(it.clock.now_s())
    assert it.device.plunger == 12_000.0 and it.device.port == 4
    it.begin("dispense", "act-2", **DISPENSE)
    it.wait(2.0)
    it.device._terminate = lambda now_s: it.clock.advance_to(now_s + 0.5)
    real = it.device._report
    it.device._report = lambda text: (it.clock.advance_to(it.clock.now_s() + 0.1), real(text))[1]
    with pytest.raises(InstrumentFault, match="goes on after it was told to stop") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_stop_that_was_not_heeded_is_said_again():
    it = rig()
    it.begin("dispense", **DISPENSE)
    it.wait(2.0)
    it.bench.settle(it.clock.now_s())
    terminate, report, heard = it.device._terminate, it.device._report, []

    def once_deaf(now_s):
        heard.append(now_s)
        if len(heard) > 1:
            terminate(now_s)

    it.device._terminate = once_deaf
    it.device._report = lambda text: (it.clock.advance_to(it.clock.now_s() + 0.1), report(text))[1]
    it.driver.stop()
    assert len(heard) == 2 and it.device.moving is None


def test_a_brake_stops_the_plunger_with_one_command():
    it = rig()
    it.begin("dispense", **DISPENSE)
    it.wait(5.0)
    said = len(it.sent)
    it.driver.brake()
    assert it.sent[said:] == [b"/1T\r"] and it.device.moving is None


def test_two_on_one_line_are_told_apart():
    other = {**STANDS["XCalibur"].options, "address": 3, "after": "N1K97Z1,1,9A12000"}
    it = Rig(XCalibur, more={"other": other}).ready()
    it.begin("dispense", **DISPENSE)
    assert it.device.running and not it.bench.devices["other"].running


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": 15},
        {"syringe": "1 uL"},
        {"valve": {"water": 13}},
        {"valve": {}},
        {"initialize": {"from": "water"}},
        {"initialize": {"from": "water", "to": "moon"}},
    ],
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(SpecError):
        XCalibur.declare({**STANDS["XCalibur"].options, **wrong})


@pytest.mark.parametrize("missing", ["syringe", "valve", "initialize"])
def test_options_that_must_be(missing):
    with pytest.raises(SpecError, match=f"{missing}"):
        XCalibur.declare({name: value for name, value in STANDS["XCalibur"].options.items() if name != missing})


def test_expected_times_and_who_stops_it():
    options = STANDS["XCalibur"].options
    values = {"volume_ul": 250.0, "rate_ul_min": 1000.0, "port": "cell"}
    assert XCalibur.expected("dispense", values, options).duration_s == 16.0
    assert XCalibur.expected("initialize", {}, options).duration_s == 10.0
    assert "it stops at the end of the volume" in XCalibur.watchdog(options)


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_every_volume_is_moved_once_and_told_right(seed):
    it = Rig(XCalibur, faults="drop=0.04,flip=0.04,late=0.04,double=0.04,unsolicited=0.04", seed=seed)

    it.insist(it.driver.open)
    for n, action in enumerate(("dispense", "aspirate", "dispense")):
        before = it.insist(it.driver.counters)
        settings = {name: Amount(*value) for name, value in DISPENSE.items()}
        act = f"act-{n}"
        while True:
            try:
                it.begin(action, act, **DISPENSE)
                break
            except (LinkError, ProtocolError):
                state = it.insist(it.happened, action, settings, before, act).state
                assert state in ("not_begun", "running", "done")
                if state != "not_begun":
                    break
        while it.insist(it.happened, action, settings, before, act).state != "done":
            it.wait(2.0)
    assert it.device.plunger == 6000.0
    assert [entry.amount for entry in it.ledger if entry.phase == "end"] == [250.0, 250.0, 250.0]
