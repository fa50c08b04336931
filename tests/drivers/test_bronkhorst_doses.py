"""Bronkhorst EL-FLOW: doses, which the controller counts and ends itself, and the watchdog that such a count is."""

from dataclasses import replace

import pytest

from drivers.bronkhorst import ELFlow
from labloop.bench import (
    Amount,
    InstrumentFault,
    LinkError,
    LinkInterrupted,
    LinkTimeout,
    ProtocolError,
)
from tests.drivers.rigs import Rig

FLOW = {"rate": (100.0, "mL/min")}


DOSE = {"volume": (50.0, "mL"), "rate": (100.0, "mL/min")}
EMPTY = ("counted_ml", 0.0)
NOTHING = {"counted": Amount(0.0, "mL")}


def rig(**more):
    return Rig(ELFlow, **more).ready()


def passed(it):
    """What really went through, in each act that ended."""
    return [entry.amount for entry in it.ledger if entry.phase == "end"]


def named(it):
    """The acts that began, as its ledger names them."""
    return [entry.act for entry in it.ledger if entry.phase == "begin"]


def settings(it):
    """The parameters that were set since it was asked last, as (process, number)."""
    frames = [one.replace(b"\x10\x10", b"\x10") for one in it.sent]
    it.port.link.traffic.clear()
    return [(one[6], one[7] & 0x1F) for one in frames if one[5] == 1]


SETPOINT, MODE, LIMIT, AT_LIMIT = (1, 1), (1, 4), (104, 3), (104, 5)
UNIT, COUNTER_MODE, RESET = (104, 7), (104, 8), (115, 8)


def test_a_dose_is_counted_and_ended_by_the_controller_itself():
    it = rig()
    it.begin("dose", **DOSE)
    look = it.finish()
    assert look.achieved["volume"] == Amount(50.0, "mL") and look.readings["counted"].value == 50.0
    assert it.clock.now_s() - it.began_s == pytest.approx(30.3, abs=0.5)
    assert passed(it) == [pytest.approx(50.0)] and it.device.setpoint == 0
    assert named(it) == ["dose"]
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
    told = it.happened("dose", amounts, NOTHING, "act-0")
    assert told.why == "its counter is at 0 mL, and was never given this volume"
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
    it.device.counted_ml = 0.2  # a valve that was closing when the counter was cleared
    assert it.happened("dose", amounts, NOTHING).state == "not_begun"
    it.device.counted_ml = 6.0
    assert it.happened("dose", amounts, NOTHING).state == "cannot_tell"


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
    it.driver.off()
    it.begin("dose", "act-3", **DOSE)
    it.finish()
    assert named(it) == ["flow", "flow", "dose"]


def test_a_watchdog_in_a_unit_of_its_own_is_simulated_too():
    it = rig(watchdog="0.002 m**3")
    it.begin("flow", rate=(500.0, "mL/min"))
    it.finish()
    assert named(it) == ["flow"]


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


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_a_dose_is_given_once_and_whole(seed):
    it = Rig(ELFlow, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)
    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    amounts = {name: Amount(*value) for name, value in DOSE.items()}
    for n in range(60):
        try:
            it.begin("dose", f"act-{n}", **DOSE)
            break
        except (LinkError, ProtocolError):
            if it.insist(it.happened, "dose", amounts, NOTHING, f"act-{n}").state == "running":
                it.began_s = it.clock.now_s()
                break
    while not (look := it.insist(it.look)).done:
        assert look.readings["flow"].value == pytest.approx(it.device.leg.at(it.clock.now_s()), abs=100.0)
        it.wait(look.again_in_s)
    assert look.achieved["volume"].value == pytest.approx(50.0, abs=0.01)
    assert it.insist(it.happened, "dose", amounts, NOTHING, "act-0").state in ("done", "not_begun")
    it.insist(it.driver.stop)
    assert passed(it)[-1] == pytest.approx(50.0, abs=0.01) and sum(passed(it)[:-1]) < 1.0
    assert it.device.setpoint == 0
