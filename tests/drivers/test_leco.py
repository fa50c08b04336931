"""Any LECO actor: the driver on a simulated evaporator, and on one that remembers."""

import contextlib
import struct

import pytest

from drivers.leco import START, LecoActor
from labloop.bench import (
    Amount,
    InProcessMessageLink,
    InstrumentFault,
    LinkError,
    LinkTimeout,
    Port,
    ProtocolError,
    SpecError,
)
from labloop.simulation.bench import SimulatedBench
from labloop.simulation.clock import VirtualClock
from tests.drivers.rigs import Rig
from tests.drivers.stands.leco import EVAPORATOR, changed


def rig(options=EVAPORATOR, **more):
    return Rig(LecoActor, **more, **options).ready()


def test_it_says_who_it_is_and_what_it_reads():
    it = rig()
    identity = it.driver.open()
    assert (identity.model, identity.serial) == ("EVAPORATOR 3, S/N 0042", "0042")
    said = it.driver.read()
    assert (said["temperature"].value, said["temperature"].unit) == (22.0, "degC")
    assert (said["state"].value, said["shutter"].value) == ("idle", "false")


def test_another_actor_that_took_its_name_is_noticed_before_an_act_and_at_its_end():
    """Its own connection is not ours: no line of ours was lost."""
    it = rig()
    it.device.serial = "0043"
    with pytest.raises(LinkError, match=r"S/N 0043 0043 answers at N1.evaporator where EVAPORATOR 3, S/N 0042 0042"):
        it.begin("deposit", thickness=(30.0, "nm"))
    assert not it.ledger, "nothing was sent"
    it.device.serial = "0042"
    it.begin("heat", temperature=(23.0, "degC"))
    it.wait(60.0)
    it.device.serial = "0043"
    with pytest.raises(LinkError, match="S/N 0043"):
        it.look()
    with pytest.raises(LinkError, match="S/N 0043"):
        it.driver.happened("heat", {"temperature": Amount(23.0, "degC")}, {}, "act")


def test_a_film_is_deposited_and_counted():
    it = rig()
    it.begin("deposit", thickness=(30.0, "nm"))
    assert it.look().achieved["thickness"].value == 0.0
    it.wait(10.0)
    assert it.look().achieved["thickness"] == Amount(5.0, "nm") and not it.look().done
    look = it.finish()
    assert look.achieved["thickness"] == Amount(30.0, "nm")
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("deposit", "begin"), ("deposit", "end")]
    it.begin("deposit", "act-2", thickness=(12.0, "nm"))
    assert it.finish().achieved["thickness"].value == pytest.approx(12.0)


def test_a_substrate_is_heated_until_it_is_warm():
    it = rig()
    it.begin("heat", temperature=(100.0, "degC"))
    assert it.device.heater and not it.look().done
    it.finish()
    assert it.device.temperature_c() == pytest.approx(100.0, abs=1.0)
    it.driver.stop()
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("heat", "begin"), ("heat", "end")]


def test_a_call_may_give_an_array_and_a_parameter():
    it = rig()
    it.begin("deposit", thickness=(20.0, "nm"))
    it.finish()
    it.begin("spectrum", points=(3.0, "count"))
    look = it.finish()
    assert struct.unpack("<3d", look.arrays["transmission"])[0] == pytest.approx(0.3679 * 0.99, abs=0.02)
    assert look.readings["thickness"].value == 20.0


def test_a_parameter_that_is_not_taken_is_a_fault():
    it = rig()
    it.device._turn = lambda setpoint_c, heater: None
    with pytest.raises(InstrumentFault, match=r"setpoint_c is 22.0 where 100.0 was sent") as caught:
        it.begin("heat", temperature=(100.0, "degC"))
    assert caught.value.kind == "setup"
    options = changed("actions.heat.reads_back", False)
    it = rig(options)
    it.device._turn = lambda setpoint_c, heater: None
    it.begin("heat", temperature=(100.0, "degC"))


def test_a_parameter_beyond_every_float_is_not_the_one_that_was_sent():
    it = rig()
    it.device._turn = lambda setpoint_c, heater: setattr(it.device, "setpoint_c", 10**400)
    with pytest.raises(InstrumentFault, match="where 100"):
        it.begin("heat", temperature=(100.0, "degC"))


def test_what_the_actor_refuses_is_a_fault_in_its_own_words():
    it = rig()
    it.begin("deposit", thickness=(30.0, "nm"))
    with pytest.raises(
        InstrumentFault, match=r"deposit at N1.evaporator: Internal error \(-32603\): RuntimeError"
    ) as caught:
        it.begin("deposit", "act-2", thickness=(30.0, "nm"))
    assert caught.value.kind == "refused"


def test_a_word_that_says_it_failed_is_a_fault():
    it = rig()
    it.begin("deposit", thickness=(30.0, "nm"))
    it.device.broken = True
    with pytest.raises(InstrumentFault, match="its state says error") as caught:
        it.finish()
    assert caught.value.kind == "failed"


def test_another_instrument_is_refused_with_what_answered():
    it = Rig(LecoActor, **changed("identity.is", "FURNACE"))
    with pytest.raises(
        InstrumentFault, match="'EVAPORATOR 3, S/N 0042' answers where 'FURNACE' was expected"
    ) as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_an_actor_that_nobody_asks_for_its_name_is_waited_for():
    it = Rig(LecoActor, **changed("identity", {}))
    assert it.driver.open().model == "N1.evaporator"
    it.driver._client.actor = "N1.other"
    with pytest.raises(LinkTimeout, match="Receiver is not in addresses list"):
        it.driver.open()


def test_a_port_that_names_no_actor_is_refused():
    it = rig()
    with pytest.raises(SpecError, match="names no actor"):
        LecoActor(it.port.exchange("it", "zmq+tcp://127.0.0.1:12301"), **EVAPORATOR)
    LecoActor(it.port.exchange("it", "zmq+tcp://127.0.0.1:12301"), actor="N1.evaporator", **EVAPORATOR)


def test_what_became_of_a_film():
    it = rig()
    before = it.driver.counters()
    assert before == {"deposit": Amount(0.0, "nm"), START: Amount("1")}
    wished = {"thickness": Amount(40.0, "nm")}
    assert it.happened("deposit", wished, before).state == "not_begun"
    it.begin("deposit", thickness=(40.0, "nm"))
    it.wait(20.0)
    assert it.happened("deposit", wished, before).state == "running"
    it.driver.stop()
    verdict = it.restarted() and it.driver.open() and it.happened("deposit", wished, before)
    assert (verdict.state, verdict.achieved["thickness"].value) == ("partial", 10.0)
    assert verdict.remainder == {"thickness": Amount(30.0, "nm")}
    it.begin("deposit", "act-2", thickness=(30.0, "nm"))
    it.finish()
    assert it.happened("deposit", wished, before, "act-3").state == "done"
    it.device.deposited_nm = 0.0
    assert it.happened("deposit", wished, {"deposit": Amount(40.0, "nm")}, "act-3").state == "cannot_tell"


def test_an_actor_that_was_started_again_says_nothing_of_what_it_did_before():
    it = rig()
    before, wished = it.driver.counters(), {"thickness": Amount(40.0, "nm")}
    it.begin("deposit", thickness=(40.0, "nm"))
    it.wait(20.0)
    kept = it.look().kept
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    assert it.bench.ledger.entries[-1].amount == 10.0
    verdict = it.happened("deposit", wished, before)
    assert verdict.state == "cannot_tell" and "starts was 1, and is 2" in verdict.why
    it.driver.rejoin("deposit", {"thickness": 40.0}, "act-1", kept, 20.0, 1.0)
    with pytest.raises(InstrumentFault, match="started again since") as caught:
        it.look()
    assert caught.value.kind == "reset"


@pytest.mark.parametrize("where", range(1, 5))
def test_an_actor_that_is_started_again_while_it_is_asked_is_not_told_as_not_begun(where):
    """Between the question which start it is and that for its counter, whose 0 said that nothing was begun."""
    it = rig()
    before, wished = it.driver.counters(), {"thickness": Amount(40.0, "nm")}
    it.begin("deposit", thickness=(40.0, "nm"))
    it.wait(20.0)
    it.restarted().open()
    exchange, asked = it.driver._client._exchange, []

    def cut(*said):
        asked.append(said)
        if len(asked) == where:
            it.device.power_cycle(it.clock.now_s())
        return exchange(*said)

    it.driver._client._exchange = cut
    with contextlib.suppress(InstrumentFault, LinkError):  # it is to be signed in to again
        assert it.happened("deposit", wished, before).state in ("cannot_tell", "running")
    assert len(asked) >= where


def test_where_nothing_tells_one_start_from_another_a_counter_at_zero_says_nothing():
    it = rig(changed("starts", {}))
    before, wished = it.driver.counters(), {"thickness": Amount(40.0, "nm")}
    assert before == {"deposit": Amount(0.0, "nm")}
    it.begin("deposit", thickness=(40.0, "nm"))
    it.wait(20.0)
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    verdict = it.happened("deposit", wished, before)
    assert verdict.state == "cannot_tell" and "deposited_nm stands at 0 as it did before" in verdict.why
    it.device.deposited_nm = 7.0
    before = it.driver.counters()
    assert it.happened("deposit", wished, before, "act-2").state == "not_begun", "that was not started again"
    it.driver.rejoin("deposit", {"thickness": 40.0}, "act-2", before, 20.0, 1.0)
    it.device.deposited_nm = 0.0
    with pytest.raises(InstrumentFault, match="deposited_nm has gone back"):
        it.look()


def test_a_film_is_watched_on_after_a_crash():
    it = rig()
    it.device.deposited_nm = 7.0
    it.begin("deposit", thickness=(40.0, "nm"))
    it.wait(20.0)
    kept = it.look().kept
    assert kept == {"counted": Amount(7.0, "nm"), START: Amount("1")}
    before = {"deposit": Amount(7.0, "nm")}  # what is known when nobody looked even once
    all_of_it = {"thickness": Amount(40.0, "nm")}
    for known, achieved in ((kept, all_of_it), (before, all_of_it), ({}, {})):
        it.restarted().open()
        it.driver.rejoin("deposit", {"thickness": 40.0}, "act-1", known, 20.0, 1.0)
        assert it.finish().achieved == achieved


def test_what_became_of_heating():
    it = rig()
    wished = {"temperature": Amount(80.0, "degC")}
    assert it.happened("heat", wished, {}).state == "not_begun"
    it.begin("heat", temperature=(80.0, "degC"))
    it.restarted().open()
    assert it.happened("heat", wished, {}).state == "running"
    it.wait(600.0)
    assert it.happened("heat", wished, {}).state == "done"
    it.driver.stop()
    verdict = it.happened("heat", wished, {})
    assert verdict.state == "not_begun" and "heater is false where true was sent" in verdict.why


def test_of_a_plain_call_nobody_can_tell():
    options = changed(
        "actions.deposit", {"call": "deposit", "act": True, "settings": EVAPORATOR["actions"]["deposit"]["settings"]}
    )
    it = rig(options)
    wished = {"thickness": Amount(10.0, "nm")}
    assert LecoActor.declare(options)["deposit"].evidence == ""
    it.begin("deposit", thickness=(10.0, "nm"))
    assert it.look().done and it.happened("deposit", wished, {}).state == "cannot_tell"
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("deposit", "act-2", thickness=(10.0, "nm"))
    it.port.link.resume()
    assert it.happened("deposit", wished, {}, "act-3").state == "cannot_tell"


def test_a_stop_that_is_not_taken_is_not_believed():
    it = rig()
    it.begin("heat", temperature=(100.0, "degC"))
    it.device._turn = lambda setpoint_c, heater: None
    with pytest.raises(InstrumentFault, match="after its stop heater is true where false was sent") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_a_coordinator_that_has_forgotten_us_is_signed_in_to_again():
    it = rig()
    it.device.coordinator.forget()
    assert it.driver.read()["state"].value == "idle"


@pytest.mark.parametrize(
    "value, why",
    [(None, "where a number was due"), ("hot", "where a number was due"), (True, "where a number was due")],
)
def test_a_number_that_is_none_is_refused(value, why):
    it = rig()
    values = it.device._values
    it.device._values = lambda: values() | {"temperature_c": value}
    with pytest.raises(ProtocolError, match=why):
        it.driver.read()


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_no_film_is_deposited_twice(seed):
    it = Rig(LecoActor, faults="drop=0.05,late=0.05,double=0.05,unsolicited=0.05", seed=seed, **EVAPORATOR)

    it.insist(it.driver.open)
    before = it.insist(it.driver.counters)
    wished = {"thickness": Amount(25.0, "nm")}
    try:
        it.begin("deposit", thickness=(25.0, "nm"))
    except (LinkError, ProtocolError):
        if it.insist(lambda: it.happened("deposit", wished, before)).state == "not_begun":
            it.insist(lambda: it.begin("deposit", thickness=(25.0, "nm")))
    it.wait(120.0)
    assert it.insist(lambda: it.happened("deposit", wished, before)).state == "done"
    assert it.device.deposited_nm == 25.0


# --- an actor that remembers ------------------------------------------------------------------------------------------

PORT = "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"
SPECTROMETER = {
    "remembers": True,
    "identity": {"parameter": "model", "is": "Z0", "serial": "serial_number"},
    "readings": {"waste": {"parameter": "waste_ml", "unit": "mL"}},
    "actions": {
        "measure": {
            "call": "measure",
            "settings": {"integration": {"argument": "integration_time_ms", "unit": "ms", "from": 1, "to": 10000}},
            "gives": {
                "spectrum": {"call": "spectrum", "array": True},
                "length": {"result": "length", "unit": "count"},
            },
        },
        "rinse": {"call": "rinse", "act": True},
    },
    "stop": {"call": "stop"},
}


@pytest.fixture
def spectrometer():
    clock = VirtualClock()
    plan = {"instruments": {"it": {"simulator": "simulators.spectrometer:Spectrometer", "port": PORT}}}
    bench = SimulatedBench(plan, clock)
    port = Port(InProcessMessageLink(PORT, bench.lines[PORT], clock), inline=True)
    driver = LecoActor(port.exchange("it", PORT), **SPECTROMETER)
    driver.open()
    return driver, clock, bench


def test_what_an_actor_remembers_is_never_in_doubt(spectrometer):
    driver, clock, bench = spectrometer
    assert driver.open().serial == "Z0-0001"
    driver.begin("measure", {"integration": 100.0}, "act-1")
    assert not driver.progress(0.0).done
    clock.advance_to(clock.now_s() + 1.0)
    look = driver.progress(1.0)
    assert look.done and look.readings["length"].value == len(look.arrays["spectrum"]) == 301 * 16
    driver.begin("rinse", {}, "act-2")
    driver.begin("rinse", {}, "act-2")  # the same id: answered, not done again
    assert driver.happened("rinse", {}, {}, "act-2").state == "running"
    clock.advance_to(clock.now_s() + 5.0)
    driver.stop()
    assert driver.happened("rinse", {}, {}, "act-2").state == "partial"
    with pytest.raises(InstrumentFault, match="its rinse is stopped"):
        driver.progress(5.0)
    assert driver.happened("rinse", {}, {}, "act-3").state == "not_begun"
    assert [entry.phase for entry in bench.ledger.entries if entry.act == "rinse"] == ["begin", "end"]
    assert driver.happened("measure", {"integration": Amount(100.0, "ms")}, {}, "act-1").state == "done"


def test_what_an_actor_that_remembers_has_counted_is_asked_of_its_reports_alone(spectrometer):
    _, clock, bench = spectrometer
    measure = SPECTROMETER["actions"]["measure"] | {"counts": {"parameter": "length", "setting": "integration"}}
    port = Port(InProcessMessageLink(PORT, bench.lines[PORT], clock), inline=True)
    counting = LecoActor(port.exchange("it", PORT), **SPECTROMETER | {"actions": {"measure": measure}})
    counting.open()
    assert counting.counters() == {}, "it has no parameter of that name"
    counting.begin("measure", {"integration": 100.0}, "act-1")
    clock.advance_to(clock.now_s() + 1.0)
    assert counting.progress(1.0).achieved["integration"].value == 301 * 16


def test_a_line_that_came_back_as_another_is_signed_in_under_another_name():
    it = rig()
    it.driver.open()
    (component,) = it.device.coordinator._components.values()
    component.peer = b"the line that was cut"
    assert it.driver.read()["state"].value == "idle"
    assert len(it.device.coordinator._components) == 2


def test_what_an_actor_does_not_know_since_its_start_is_in_doubt(spectrometer):
    _, _, bench = spectrometer
    port = Port(InProcessMessageLink(PORT, bench.lines[PORT], VirtualClock()), inline=True)
    driver = LecoActor(port.exchange("it", PORT), **SPECTROMETER, starts={"parameter": "firmware"})
    driver.open()
    now = driver.counters()
    assert driver.happened("rinse", {}, now, "act-9").state == "not_begun"
    verdict = driver.happened("rinse", {}, now | {START: Amount("another")}, "act-9")
    assert verdict.state == "cannot_tell" and "started again since" in verdict.why
