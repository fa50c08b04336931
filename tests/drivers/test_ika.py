"""The driver of IKA hotplates on the simulated plate; the bytes have a file of their own."""

import pytest

from drivers.ika import RCT
from labloop.bench import Amount, InstrumentFault, LinkError, LinkTimeout, ProtocolError, SpecError
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(RCT, **more).ready()


HOLD = {"temperature": (40.0, "degC"), "tolerance": (1.0, "K"), "time": (30.0, "s"), "reach_by": (15.0, "min")}


def test_a_hold_reaches_its_temperature_and_keeps_it_for_its_time():
    it = rig()
    it.begin("hold", **HOLD)
    temperatures = []
    while not (look := it.look()).done:
        temperatures.append(look.readings["temperature"].value)
        it.wait(look.again_in_s)
    assert sum(abs(value - 40.0) <= 1.0 for value in temperatures) * 2.0 == pytest.approx(30.0, abs=2.1)
    assert look.achieved["time"] == Amount(pytest.approx(30.0, abs=2.0), "s")
    assert look.readings["plate"].unit == "degC"
    assert it.device.heats, "the heater stays on for what comes next"
    assert [entry.act for entry in it.ledger] == ["hold"]


def test_only_time_without_a_break_counts():
    it = rig()
    it.begin("hold", **HOLD)
    real = it.driver._temperature
    said = iter([40.0, 40.0, 45.0])
    it.driver._temperature = lambda text: next(said, 40.0) if text == "IN_PV_1" else real(text)
    done_at = None
    for elapsed_s in range(0, 100, 10):
        look = it.driver.progress(float(elapsed_s))
        if look.done:
            done_at = elapsed_s
            break
    assert done_at == 60  # reached at 0, broken at 20, reached again at 30


def test_a_temperature_that_is_not_reached_in_time_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD | {"temperature": (150.0, "degC"), "reach_by": (60.0, "s")})
    with pytest.raises(
        InstrumentFault, match=r"degC after \d+ s, where 150 degC was to be reached within 60 s"
    ) as caught:
        it.finish()
    assert caught.value.kind == "not_reached"


def test_a_set_value_that_the_safety_circuit_holds_down_is_found_by_reading_back():
    it = rig()
    it.device._set = lambda channel, value, now_s: None
    it.device.set_c = 50.0
    with pytest.raises(
        InstrumentFault, match="set to 50 degC where 90 degC was sent; its safety circuit stands at 360"
    ):
        it.begin("hold", **HOLD | {"temperature": (90.0, "degC")})
    assert not it.device.heats


def test_firmware_that_forgets_the_set_value_when_the_heater_starts_is_told_again():
    it = rig()
    take, device = it.device._take, it.device

    def forgets(line, now_s):
        answer = take(line, now_s)
        if line.strip() == "START_1" and it.sent.count(b"START_1 \r\n") == 1:
            device.set_c = 0.0
        return answer

    device._take = forgets
    it.begin("hold", **HOLD)
    assert device.set_c == 40.0 and it.sent.count(b"START_1 \r\n") == 1


def test_a_heater_that_goes_off_by_itself_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(10.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="went off by itself") as caught:
        it.look()
    assert caught.value.kind == "off"


def test_heat_goes_on_and_is_done_at_once():
    it = rig()
    before = it.driver.counters()
    amounts = it.begin("heat", temperature=(313.15, "K"))
    assert it.look().done and it.device.set_c == 40.0
    assert it.happened("heat", amounts, before).state == "done"
    it.driver.stop()
    assert it.happened("heat", amounts, before).state == "not_begun"


def test_stir_and_zero_stops_the_stirrer():
    it = rig()
    amounts = it.begin("stir", speed=(300.0, "rpm"))
    assert it.look().done and it.happened("stir", amounts, {}).state == "done"
    it.wait(10.0)
    assert it.driver.read()["speed"].value == 300.0
    amounts = it.begin("stir", "act-2", speed=(0.0, "rpm"))
    assert not it.device.stirs and it.happened("stir", amounts, {}, "act-2").state == "done"


def test_off_switches_both_off():
    it = rig()
    it.begin("hold", **HOLD)
    it.begin("stir", "act-2", speed=(300.0, "rpm"))
    assert it.happened("off", {}, {}, "act-3").state == "not_begun"
    it.begin("off", "act-3")
    assert it.look().done and not it.device.heats and not it.device.stirs
    assert it.happened("off", {}, {}, "act-3").state == "done"


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("hold", **HOLD)
    it.device._stop_heat = lambda now_s: None
    with pytest.raises(InstrumentFault, match="it heats after it was told to stop") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_hold_that_was_never_started_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    amounts = {name: Amount(*value) for name, value in HOLD.items()}
    with pytest.raises(LinkError):
        it.begin("hold", **HOLD)
    it.port.link.resume()
    assert it.happened("hold", amounts, {}).state == "not_begun"


def test_the_plates_own_watchdog_is_set_by_configure_and_wound_up_by_each_act():
    it = rig(watchdog="60 s")
    assert b"OUT_WD1@60 \r\n" in it.sent
    assert it.driver.watchdog(it.options).startswith("the plate's own watchdog")
    it.begin("hold", **HOLD)
    it.wait(61.0)
    it.bench.settle(it.clock.now_s())
    assert not it.device.heats
    assert RCT.watchdog({}) == ""
    with pytest.raises(SpecError, match="from 20 to 1500"):
        RCT.declare({"watchdog": "5 s"})


def test_another_instrument_on_the_port_is_refused():
    it = Rig(RCT)
    asked = it.device._asked
    it.device._asked = lambda line: "EUROSTAR 60" if line == "IN_NAME" else asked(line)
    with pytest.raises(InstrumentFault, match="'EUROSTAR 60' answers where an IKA RCT was expected") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_firmware_without_status_is_driven_by_its_set_values_alone():
    it = Rig(RCT)
    asked = it.device._asked
    it.device._asked = lambda line: None if line.startswith("STATUS") else asked(line)
    it.ready()
    it.begin("hold", **HOLD)
    assert it.finish().done
    it.driver.stop()
    assert not it.device.heats


def test_a_plate_that_falls_silent_is_not_taken_for_firmware_without_status():
    """Taken for that, its stop would be believed without a look, and it would heat on."""
    it = Rig(RCT)
    do, told = it.device._do, []

    def falls_silent(line, now_s):
        told.append(line)
        return do(line, now_s) if told == ["IN_NAME"] else None

    it.device._do = falls_silent
    it.driver.open()
    for call in (it.driver.at_work, it.driver.configure, it.driver.stop):
        with pytest.raises(LinkTimeout, match="IN_NAME"):
            call()


def test_firmware_without_status_is_stopped_by_the_guard_at_once_and_believed_where_it_hears():
    """Whoever has just opened it has no time to find out; what is said between two answers was heard."""
    it = Rig(RCT)
    silent(it, times=1000)
    it.ready()
    it.begin("heat", temperature=(60.0, "degC"))
    began_s, said, do = it.clock.now_s(), [], it.device._do
    it.device._do = lambda line, now_s: [said.append((line, now_s - began_s)), do(line, now_s)][1]
    guard = it.restarted()
    guard.open()
    guard.stop()
    stops = [at_s for line, at_s in said if line == "STOP_1"]
    assert not it.device.heats and stops[0] < 0.1 and len(stops) == 2 and it.clock.now_s() - began_s < 2.0
    it.device.heats = True
    guard = it.restarted()
    guard.open()
    lost(it, "STOP_1", "STATUS_1")  # it is deaf for a while
    guard.stop()
    assert not it.device.heats


def test_a_stop_is_no_stop_where_nobody_answers_any_more():
    it = Rig(RCT)
    asked = it.device._asked
    it.device._asked = lambda line: None if line.startswith("STATUS") else asked(line)
    it.ready()
    it.begin("hold", **HOLD)
    it.device._do = lambda line, now_s: None
    with pytest.raises(LinkTimeout):
        it.driver.stop()
    assert it.device.heats


def silent(it, *, times):
    """STATUS_1 and STATUS_4 stay unanswered so often."""
    asked, left = it.device._asked, iter(range(times))
    it.device._asked = lambda line: None if line.startswith("STATUS") and next(left, None) is not None else asked(line)


def lost(it, *lines):
    """Each of these lines is lost once, on its way to the plate."""
    do, left = it.device._do, list(lines)

    def deaf(line, now_s):
        if line not in left:
            return do(line, now_s)
        left.remove(line)
        return None

    it.device._do = deaf


def test_a_lost_answer_to_the_first_question_does_not_blind_it():
    it = Rig(RCT)
    silent(it, times=2)
    it.ready()
    amounts = it.begin("heat", temperature=(60.0, "degC"))
    assert it.happened("heat", amounts, {}).state == "done"
    lost(it, "STOP_1")
    it.driver.stop()
    assert not it.device.heats
    assert it.happened("heat", amounts, {}).state == "not_begun"


def test_what_was_silent_at_one_opening_is_asked_at_the_next():
    it = Rig(RCT)
    silent(it, times=3)
    it.ready()
    it.ready()
    amounts = it.begin("heat", temperature=(60.0, "degC"))
    assert it.happened("heat", amounts, {}).state == "done"


def test_where_nobody_can_tell_a_stop_is_said_twice_and_nothing_is_taken_for_done():
    it = Rig(RCT)
    silent(it, times=1000)
    it.ready()
    hold = it.begin("hold", **HOLD)
    assert it.happened("hold", hold, {}).state == "cannot_tell"
    heat = it.begin("heat", "act-2", temperature=(40.0, "degC"))
    stir = it.begin("stir", "act-3", speed=(300.0, "rpm"))
    assert it.happened("heat", heat, {}, "act-2").state == it.happened("stir", stir, {}, "act-3").state == "cannot_tell"
    lost(it, "STOP_1", "STOP_4")
    it.driver.stop()
    assert not it.device.heats and not it.device.stirs
    assert it.happened("off", {}, {}, "act-4").state == "not_begun"


def test_a_stirrer_that_did_not_hear_that_it_is_to_stop_is_told_again():
    it = rig()
    it.begin("stir", speed=(300.0, "rpm"))
    lost(it, "STOP_4")
    it.begin("stir", "act-2", speed=(0.0, "rpm"))
    assert not it.device.stirs


def test_a_set_value_that_acted_at_once_was_begun_though_nothing_came_after_it():
    it = rig()
    it.begin("heat", temperature=(60.0, "degC"))
    assert it.driver.at_work() == "it heats"
    assert it.begin_and_cut_after("OUT_SP_1 40.0", "hold", "act-2", **HOLD).state == "partial"


def test_a_lost_digit_is_asked_again():
    it = rig()
    it.begin("hold", **HOLD)
    it.finish()
    said = [9.4, 9.4, 39.4, 39.5, 39.4, 39.4]
    it.driver._number = lambda text: said.pop(0)
    assert it.driver._temperature("IN_PV_1") == 39.4 and not said
    said = [9.4, 39.4] * 5
    with pytest.raises(ProtocolError, match=r"IN_PV_1 was answered with 9.4, 39.4, 9.4"):
        it.driver._temperature("IN_PV_1")


@pytest.mark.parametrize("seed", range(10))
def test_on_a_bad_line_a_hold_is_held_and_no_temperature_is_wrong(seed):
    it = Rig(RCT, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("hold", **HOLD))
    while not (look := it.insist(it.look)).done:
        truth = it.device.bath.medium_c(it.clock.now_s())
        assert abs(look.readings["temperature"].value - truth) < 2.5
        it.wait(look.again_in_s)
    assert it.device.set_c == 40.0
    it.insist(it.driver.stop)
    assert not it.device.heats


def test_the_watchdog_wants_its_own_command_again_and_a_pulse_is_that():
    it = rig(watchdog="60 s")
    it.begin("heat", temperature=(60.0, "degC"))
    for _ in range(10):
        it.wait(30.0)
        it.driver.pulse()
        it.driver.read()
    assert it.device.heats and RCT.silence_s(it.options) == 60.0
    for _ in range(3):
        it.wait(25.0)
        it.driver.read()
    assert not it.device.heats, "questions wind nothing up"


def test_safe_values_are_set_before_the_watchdog_that_falls_to_them():
    it = rig(watchdog="60 s", safe_temperature="30 degC", safe_speed="100 rpm")
    assert [one for one in it.sent if b"@" in one] == [
        b"OUT_SP_12@30 \r\n", b"OUT_SP_42@100 \r\n", b"OUT_WD2@60 \r\n"
    ]  # fmt: skip
    assert RCT.standing(it.options)["temperature"] == Amount(30.0, "degC")
    it.begin("heat", temperature=(60.0, "degC"))
    it.wait(61.0)
    it.bench.settle(it.clock.now_s())
    assert it.device.heats and it.device.set_c == 30.0
    with pytest.raises(SpecError, match="Add watchdog"):
        RCT.declare({"safe_temperature": "30 degC"})


def test_it_says_goodbye_to_its_watchdog_only_when_it_is_off():
    it = rig(watchdog="60 s")
    it.begin("heat", temperature=(60.0, "degC"))
    it.driver.close()
    assert it.device.watchdog == 1
    it.driver.stop()
    it.driver.close()
    assert it.device.watchdog == 0


def test_what_is_kept_goes_on():
    it = rig()
    it.begin("stir", speed=(300.0, "rpm"))
    it.begin("heat", temperature=(60.0, "degC"))
    it.driver.stop_except(frozenset({"stir"}))
    assert it.device.stirs and not it.device.heats
    it.begin("heat", temperature=(60.0, "degC"))
    it.driver.stop_except(frozenset({"hold"}))
    assert it.device.heats and not it.device.stirs


def test_a_plate_that_answers_late_is_not_taken_for_firmware_without_status():
    """Through a slow device server; its lost stop would be believed."""
    it = Rig(RCT)
    (line,) = it.bench.lines.values()
    receive = line.receive

    def late(data, now_s):
        if not data:
            return receive(data, now_s)
        if answer := receive(data, now_s):
            line._later.append((now_s + 0.45, answer))
        return b""

    line.receive = late
    it.ready()
    it.begin("heat", temperature=(60.0, "degC"))
    lost(it, "STOP_1", "STOP_1")
    with pytest.raises(InstrumentFault, match="it heats after it was told to stop"):
        it.driver.stop()


@pytest.mark.parametrize("names", [1, 2])
def test_one_name_may_be_lost_while_firmware_without_status_is_asked(names):
    it = Rig(RCT)
    silent(it, times=9)
    asked, told = it.device._asked, iter([True] + [False] * names)
    it.device._asked = lambda line: None if line == "IN_NAME" and not next(told, True) else asked(line)
    if names == 1:
        it.ready()
        assert it.driver.at_work() == "", "what it does not say it is not asked"
    else:
        with pytest.raises(LinkTimeout, match="IN_NAME"):
            it.ready()
