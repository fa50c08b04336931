"""The driver of New Era pumps on the simulated pump; bytes and evidence have files of their own."""

import pytest

from drivers.new_era import NE1000
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError, SafetyError, SpecError
from tests.drivers.rigs import Rig
from tests.drivers.stands.new_era import SYRINGE


def rig(**more):
    return Rig(NE1000, **more).ready()


def test_open_reads_the_reset_alarm_and_keeps_it_as_evidence():
    raw = Rig(NE1000)
    identity = raw.driver.open()
    assert (identity.model, identity.firmware, identity.first_reply) == ("NE1000", "3.923", "'A?R'")
    assert raw.sent == [b"0VER\r", b"0VER\r"]


def test_configure_sends_only_what_differs_so_that_counters_live_through_a_restart():
    it = rig()
    assert {b"0DIA14.43\r", b"0VOLUL\r", b"0FUNSTP\r"} & set(it.sent) >= {b"0DIA14.43\r", b"0VOLUL\r"}
    it.begin("dispense", rate=(60.0, "uL/min"), time=(10.0, "s"))
    it.finish()
    it.port.link.traffic.clear()
    it.restarted().open()
    it.driver.configure()
    assert not {b"0DIA14.43\r", b"0VOLUL\r", b"0SAF0\r"} & set(it.sent)
    assert it.driver.counters()["infused"] == Amount(10.0, "uL")


def test_a_dispense_by_rate_and_time_delivers_the_volume():
    it = rig()
    it.begin("dispense", rate=(44.53, "uL/min"), time=(20.0, "s"))
    look = it.finish()
    assert look.achieved == {"volume": Amount(14.84, "uL"), "rate": Amount(44.53, "uL/min")}
    assert it.clock.now_s() == pytest.approx(20.0, abs=0.3)
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("dispense", "begin"), ("dispense", "end")]
    assert it.ledger[-1].amount == pytest.approx(14.84, abs=1e-3)
    assert it.sent.count(b"0RUN\r") == 1


def test_a_dispense_by_volume_and_a_withdrawal():
    it = rig(stock="5 mL")
    it.begin("dispense", rate=(1.0, "mL/min"), volume=(0.25, "mL"))
    assert it.finish().achieved["volume"] == Amount(250.0, "uL")
    it.begin("withdraw", rate=(600.0, "uL/min"), volume=(120.0, "uL"))
    assert it.finish().achieved["volume"] == Amount(120.0, "uL")
    assert it.driver.counters()["withdrawn"] == Amount(120.0, "uL")


def test_a_rate_of_exactly_zero_is_nothing_to_do():
    it = rig()
    said = len(it.sent)
    amounts = it.begin("dispense", rate=(0.0, "uL/min"), time=(20.0, "s"))
    look = it.look()
    assert look.done and look.achieved == {"volume": Amount(0.0, "uL")}
    assert len(it.sent) == said and it.ledger == []
    assert it.happened("dispense", amounts, {}).state == "done"


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"rate": (60.0, "uL/min")}, "give either time or volume"),
        ({"rate": (60.0, "uL/min"), "time": (1, "s"), "volume": (1, "uL")}, "give either time or volume"),
        ({"rate": (0.0, "uL/min"), "volume": (1, "uL")}, "rate = 0 never delivers 1 uL"),
        ({"rate": (0.2, "uL/min"), "time": (1, "s")}, "less than one motor step"),
        ({"rate": (8000.0, "uL/min"), "time": (2, "min")}, "more than the 9999 uL"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_and_nothing_is_sent(settings, complaint):
    it = rig()
    said = len(it.sent)
    with pytest.raises(SafetyError, match=complaint):
        it.begin("dispense", **settings)
    assert len(it.sent) == said


def test_the_syringe_sets_the_limits():
    small = {setting.name: setting for setting in NE1000.declare({"syringe": SYRINGE})["dispense"].settings}
    assert (small["rate"].low, small["rate"].high) == (0.115, 8340.0)
    wide = {"volume": "50 mL", "diameter": "26.7 mm"}
    large = {setting.name: setting for setting in NE1000.declare({"syringe": wide})["dispense"].settings}
    assert large["rate"].low > 3 * small["rate"].low and large["volume"].low > 3 * small["volume"].low


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({}, "a pump needs its syringe"),
        ({"syringe": {"volume": "10 mL", "diameter": "4.7 mm"}}, "would be 576 mm long; one of the two is wrong"),
        ({"syringe": {"volume": "10 mL", "diameter": "80 mm"}}, "outside the pump's 0.1 to 50 mm"),
        ({"syringe": {"volume": "10 s", "diameter": "14 mm"}}, "is a time"),
        ({"syringe": SYRINGE, "address": 100}, "address = 100 is not a whole number from 0 to 99"),
        ({"syringe": SYRINGE, "watchdog": "300 s"}, "not a whole number of seconds up to 255"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(SpecError, match=complaint):
        NE1000.declare(options)


def begun(it, seconds, **settings):
    """An act with the counters before it, and so many seconds later a runner that was started anew."""
    settings = settings or {"rate": (60.0, "uL/min"), "time": (20.0, "s")}
    before = it.driver.counters()
    amounts = it.begin("dispense", **settings)
    it.wait(seconds)
    return amounts, before


def test_a_stall_is_the_instruments_own_word():
    it = rig(stock="5 uL")
    amounts, before = begun(it, 10.0)
    with pytest.raises(InstrumentFault, match=r"stalled.*after about 5 uL of 20 uL") as caught:
        it.look()
    assert caught.value.kind == "stall"
    found = it.happened("dispense", amounts, before)
    assert (found.state, found.achieved) == ("partial", {"volume": Amount(5.0, "uL")})


def test_a_pump_that_somebody_paused_or_stopped_short_says_so():
    for presses, kind in ((1, "paused"), (2, "stopped")):
        it = rig()
        begun(it, 5.0)
        for _ in range(presses):
            it.device.receive(b"0STP\r", it.clock.now_s())
        with pytest.raises(InstrumentFault) as caught:
            it.look()
        assert caught.value.kind == kind


def test_a_paused_program_does_not_go_on_instead_of_ours():
    it = rig()
    begun(it, 5.0)
    it.device.receive(b"0STP\r", it.clock.now_s())
    it.begin("dispense", "act-2", rate=(60.0, "uL/min"), time=(3.0, "s"))
    assert it.finish().achieved["volume"] == Amount(3.0, "uL")


def test_a_pump_that_runs_already_is_left_alone():
    it = rig()
    begun(it, 5.0)
    with pytest.raises(InstrumentFault, match="it infuses already") as caught:
        it.begin("dispense", "act-2", rate=(60.0, "uL/min"), time=(3.0, "s"))
    assert caught.value.kind == "busy"
    it.restarted().open()
    with pytest.raises(InstrumentFault, match="stop it before it is set up"):
        it.driver.configure()


@pytest.mark.parametrize("spoilt", ["_rate", "_volume"])
def test_a_number_that_arrived_damaged_is_found_by_reading_back_and_nothing_is_started(spoilt):
    it = rig()
    take = getattr(it.device, spoilt)
    setattr(it.device, spoilt, lambda rest: take(rest.replace("60.00", "68.00").replace("7.000", "9.000")))
    with pytest.raises(ProtocolError, match=r"(RAT|VOL) reads back as .*; nothing was started"):
        it.begin("dispense", rate=(60.0, "uL/min"), time=(7.0, "s"))
    assert b"0RUN\r" not in it.sent and it.ledger == []


@pytest.mark.parametrize("first", [True, False])
def test_a_power_cycle_in_the_middle_of_an_act_is_a_fault_and_the_pump_is_set_up_again_before_the_next(first):
    it = rig()
    if not first:
        it.begin("dispense", "act-0", rate=(60.0, "uL/min"), time=(3.0, "s"))
        it.finish()
    begun(it, 5.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="switched off and on") as caught:
        it.look()
    assert caught.value.kind == "reset" and "uL" not in str(caught.value)
    it.begin("dispense", "act-2", rate=(60.0, "uL/min"), time=(3.0, "s"))
    assert it.finish().achieved["volume"] == Amount(3.0, "uL")


def test_stop_gets_past_an_alarm_that_eats_the_first_one():
    it = rig()
    begun(it, 5.0)
    it.device.alarm = "T"
    it.driver.stop()
    it.wait(100.0)
    it.bench.settle(it.clock.now_s())
    assert it.ledger[-1].phase == "end" and it.ledger[-1].amount == pytest.approx(5.0, abs=0.1)


def test_an_answer_to_an_earlier_stop_is_none_to_the_question_behind_it():
    """On a slow line: a stop is said again after what makes no sense, and not after what the pump refuses."""
    it = rig()
    begun(it, 5.0)
    hears, late = it.device.receive, [b"\x0200S?NA\x03"]
    it.device.receive = lambda data, now_s: (late.pop() if data == b"0\r" and late else hears(data, now_s))
    with pytest.raises(ProtocolError, match="was answered as an order is"):
        it.driver.stop()
    it.driver.stop()
    assert late == [] and it.ledger[-1].phase == "end"


def test_a_brake_ends_the_motion_before_any_answer():
    it = rig()
    begun(it, 5.0)
    now_s = it.clock.now_s()
    it.driver.brake()
    assert it.clock.now_s() == now_s and it.ledger[-1].phase == "end"


def test_what_is_prepared_begins_with_one_exchange_and_not_before():
    it = rig()
    values = it.driver.resolved("dispense", {"rate": Amount(60.0, "uL/min"), "time": Amount(3.0, "s")})
    it.driver.prepare("dispense", values, "act-1")
    it.wait(10.0)
    it.bench.settle(it.clock.now_s())
    assert it.ledger == [] and b"0RUN\r" not in it.sent
    it.port.link.traffic.clear()
    it.driver.begin("dispense", values, "act-1")
    assert it.sent == [b"0RUN\r"]
    it.began_s = it.clock.now_s()
    assert it.finish().achieved["volume"] == Amount(3.0, "uL")


def test_what_was_prepared_for_one_act_or_before_a_power_cycle_is_not_taken_for_the_next():
    it = rig()
    values = it.driver.resolved("dispense", {"rate": Amount(60.0, "uL/min"), "time": Amount(3.0, "s")})
    it.driver.prepare("dispense", values, "act-1")
    it.begin("dispense", "act-2", rate=(60.0, "uL/min"), time=(4.0, "s"))
    assert it.finish().achieved["volume"] == Amount(4.0, "uL")
    it.driver.prepare("dispense", values, "act-3")
    it.device.power_cycle(it.clock.now_s())
    it.driver.open()
    it.begin("dispense", "act-3", rate=(60.0, "uL/min"), time=(3.0, "s"))
    assert it.finish().achieved["volume"] == Amount(3.0, "uL")


def test_the_wrong_direction_is_found_by_reading_back_and_nothing_is_started():
    it = rig()
    it.device._direction = (lambda take: lambda rest: take(rest.replace("INF", "WDR")))(it.device._direction)
    with pytest.raises(ProtocolError, match="DIR reads back as WDR"):
        it.begin("dispense", rate=(60.0, "uL/min"), time=(7.0, "s"))
    assert b"0RUN\r" not in it.sent and it.ledger == []


@pytest.mark.parametrize("answer", ["?", "?COM"])
def test_a_command_that_arrived_damaged_is_the_lines_fault_not_the_pumps(answer):
    it = rig()
    it.device._do = lambda command, now_s: answer
    with pytest.raises(ProtocolError, match="damaged"):
        it.driver.counters()


def test_the_watchdog_is_the_pumps_own_safe_mode():
    it = rig(watchdog="10 s")
    assert it.driver.watchdog(it.options).startswith("the pump's own watchdog")
    begun(it, 5.0)
    assert not it.look().done
    it.wait(30.0)
    with pytest.raises(InstrumentFault) as caught:
        it.look()
    assert caught.value.kind == "watchdog"
    it.restarted().open()
    it.driver.configure()
    assert it.sent[-1].startswith(b"\x02") or it.sent[-1] == b"0SAF\r"
    it.driver.close()
    assert it.device.watchdog_s == 0 and it.driver.counters()["infused"].value > 0.0, "in basic frames again"


def test_two_pumps_on_one_line():
    other = {"address": 7, "syringe": SYRINGE}
    it = rig(more={"seven": other})
    seven = NE1000(it.port.exchange("seven"), **other)
    assert seven.open().model == "NE1000"
    seven.configure()
    it.begin("dispense", rate=(60.0, "uL/min"), time=(10.0, "s"))
    seven.begin("dispense", {"rate_ul_min": 120.0, "time_s": 10.0}, "act-7")
    assert it.finish().achieved["volume"] == Amount(10.0, "uL")
    assert seven.progress(10.0).achieved["volume"] == Amount(20.0, "uL")


@pytest.mark.parametrize("seed", range(40))
def test_no_fault_of_the_line_makes_a_wrong_amount_or_a_second_act(seed):
    """Every call is tried again as the runner does; what is achieved must be what the device's ledger says."""
    it = Rig(
        NE1000,
        faults="drop=0.04,flip=0.04,late=0.04,double=0.04,unsolicited=0.04",
        seed=seed,
    )

    def insist(call, *args):
        for _ in range(30):
            try:
                return call(*args)
            except (LinkError, ProtocolError):
                continue
            except InstrumentFault as fault:
                if fault.kind not in ("refused", "busy"):
                    raise
        raise AssertionError("no way through in 30 tries")

    insist(it.driver.open)
    insist(it.driver.configure)
    for n in range(3):
        before = insist(it.driver.counters)
        wanted = {"rate": Amount(60.0, "uL/min"), "time": Amount(7.0 + n, "s")}
        acted = len([entry for entry in it.ledger if entry.phase == "begin"])
        values = it.driver.resolved("dispense", wanted)
        for _ in range(30):
            try:
                it.driver.begin("dispense", values, f"act-{n}")
                break
            except (LinkError, ProtocolError, InstrumentFault):
                if insist(it.happened, "dispense", wanted, before, f"act-{n}").state in ("running", "done"):
                    break
        it.wait(30.0)
        found = insist(it.happened, "dispense", wanted, before, f"act-{n}")
        it.bench.settle(it.clock.now_s())
        acts = [entry for entry in it.ledger if entry.phase == "end"]
        assert len([entry for entry in it.ledger if entry.phase == "begin"]) == acted + 1
        assert found.state == "done"
        assert found.achieved["volume"].value == pytest.approx(acts[-1].amount, abs=0.02)
        insist(it.driver.stop)


def test_another_pump_of_the_family_is_meant_only_when_the_lab_file_says_so():
    with pytest.raises(
        InstrumentFault, match=r"'NE4000V3.923' answers where an NE-1000 was expected.*write model: NE-4000"
    ):
        Rig(NE1000, simulation={"model": "NE-4000"}).driver.open()
    assert Rig(NE1000, model="NE-4000").driver.open().model == "NE4000"
    assert Rig(NE1000, simulation={"model": "NE1000X"}).driver.open().model == "NE1000X"
    with pytest.raises(SpecError, match="model = 'Harvard' is no pump of this family"):
        NE1000.declare({"model": "Harvard", "syringe": {"maker": "BD", "volume": "10 mL"}})


def test_a_name_that_was_damaged_on_the_line_is_asked_for_again():
    it = Rig(NE1000)
    usual, spoilt = it.bench.lines[it.port.address].receive, [(b"NE1000", b"NE100")]

    def receive(data, now_s):
        said = usual(data, now_s)
        return said.replace(*spoilt.pop()) if spoilt and b"NE1000" in said else said

    it.bench.lines[it.port.address].receive = receive
    assert it.driver.open().model == "NE1000" and not spoilt


def test_a_pump_without_a_safe_mode_is_driven_without_a_watchdog():
    """The simulator of labmcp-new-era 0.1.2 answers SAF with a question mark; so may an old pump."""
    it = Rig(NE1000)
    usual = it.device._do
    it.device._do = lambda command, now_s: "?" if command.startswith("SAF") else usual(command, now_s)
    it.ready()
    it.begin("dispense", rate=(60.0, "uL/min"), time=(10.0, "s"))
    assert it.finish().achieved["volume"] == Amount(10.0, "uL")
    wanting = Rig(NE1000, watchdog="30 s")
    usual = wanting.device._do
    wanting.device._do = lambda command, now_s: "?" if command.startswith("SAF") else usual(command, now_s)
    with pytest.raises(ProtocolError, match="SAF30 reached it damaged: it does not know this command"):
        wanting.ready()
