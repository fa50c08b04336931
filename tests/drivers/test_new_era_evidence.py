"""What a New Era pump's counters and alarms prove of an act, and what they do not."""

import pytest

from drivers.new_era import NE1000
from labloop.bench import Amount, InstrumentFault, LinkError
from tests.drivers.rigs import Rig


def rig(**more):
    return Rig(NE1000, **more).ready()


def begun(it, seconds, **settings):
    """An act with the counters before it, and so many seconds later a runner that was started anew."""
    settings = settings or {"rate": (60.0, "uL/min"), "time": (20.0, "s")}
    before = it.driver.counters()
    amounts = it.begin("dispense", **settings)
    it.wait(seconds)
    return amounts, before


def verdict(it, amounts, before):
    it.restarted().open()
    return it.happened("dispense", amounts, before)


def test_done():
    it = rig()
    found = verdict(it, *begun(it, 30.0))
    assert (found.state, found.achieved) == ("done", {"volume": Amount(20.0, "uL")})


def test_partial_with_the_remainder_that_delivers_the_rest():
    it = rig()
    amounts, before = begun(it, 5.0)
    it.driver.stop()
    found = verdict(it, amounts, before)
    assert (found.state, found.achieved) == ("partial", {"volume": Amount(5.0, "uL")})
    rest = {name: (amount.value, amount.unit) for name, amount in found.remainder.items()}
    it.driver.configure()
    it.begin("dispense", **rest)
    assert it.finish().achieved["volume"] == Amount(15.0, "uL")


def test_not_begun():
    it = rig()
    before = it.driver.counters()
    amounts = {"rate": Amount(60.0, "uL/min"), "time": Amount(20.0, "s")}
    assert verdict(it, amounts, before).state == "not_begun"


def test_a_run_that_was_never_sent_is_not_begun_although_the_line_failed():
    it = rig()
    before = it.driver.counters()
    it.port.link.interrupt()
    amounts = {"rate": Amount(60.0, "uL/min"), "time": Amount(20.0, "s")}
    with pytest.raises(LinkError):
        it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    it.port.link.resume()
    assert it.happened("dispense", amounts, before).state == "not_begun"


def test_a_power_cycle_cannot_be_told_and_the_first_reply_is_the_evidence():
    it = rig()
    amounts, before = begun(it, 5.0)
    it.device.power_cycle(it.clock.now_s())
    identity = it.restarted().open()
    assert "A?R" in identity.first_reply
    found = it.happened("dispense", amounts, before)
    assert found.state == "cannot_tell" and "switched off and on" in found.why


def test_counters_cleared_by_somebody_else_cannot_be_told():
    it = rig()
    amounts, before = begun(it, 30.0)
    amounts, before = begun(it, 5.0)
    it.driver.stop()
    it.driver.clear_counters()
    assert verdict(it, amounts, before).state == "cannot_tell"


def test_a_volume_below_the_counters_resolution_cannot_be_told():
    it = rig()
    begun(it, 70.0, rate=(1800.0, "uL/min"), time=(60.0, "s"))
    amounts, before = begun(it, 30.0, rate=(3.0, "uL/min"), time=(10.0, "s"))
    assert before["resolution"] == Amount(1.0, "uL")
    assert verdict(it, amounts, before).state == "cannot_tell"


def test_counters_are_cleared_before_they_grow_coarse():
    it = rig()
    assert not it.driver.needs_clear(it.driver.counters())
    begun(it, 30.0, rate=(300.0, "uL/min"), time=(20.0, "s"))
    assert it.driver.needs_clear(it.driver.counters())
    it.driver.clear_counters()
    assert it.driver.counters()["infused"] == Amount(0.0, "uL")


def test_what_the_guard_read_decides_when_the_pump_was_switched_off_since():
    it = rig()
    amounts, before = begun(it, 5.0)
    it.driver.stop()
    after = it.driver.counters()
    it.device.power_cycle(it.clock.now_s())
    it.restarted().open()
    assert it.happened("dispense", amounts, before).state == "cannot_tell"
    told = it.driver.witnessed("dispense", amounts, before, after, "'SNE1000V3.923'")
    moved = after["infused"].value - before["infused"].value
    assert told.state == "partial" and told.achieved["volume"].value == pytest.approx(moved)
    assert told.remainder["volume"].value == pytest.approx(20.0 - moved)
    for lost in ({}, {"infused": after["infused"]}):
        assert it.driver.witnessed("dispense", amounts, before, lost, "").state == "cannot_tell"
    assert it.driver.witnessed("dispense", amounts, before, after, "'A?R'").state == "cannot_tell"


def test_a_reset_that_the_guard_was_told_of_is_no_sign_that_nothing_was_done():
    it = rig()
    amounts, before = begun(it, 5.0)
    it.device.power_cycle(it.clock.now_s())
    first = it.restarted().open().first_reply  # the guard's: it eats the alarm
    it.restarted().open()
    it.driver.overheard("'SNE1000V3.923'")
    assert it.happened("dispense", amounts, before).state == "not_begun", "nobody told it of the reset"
    it.driver.overheard(first)
    assert it.happened("dispense", amounts, before).state == "cannot_tell"


def asked_by_somebody(it, of=None):
    """A runner asked who is there and ended before the answer was written down; ``of``: what happens before it asks."""
    if of is not None:
        of(it.clock.now_s())
    it.restarted().open()
    it.restarted().open()
    it.driver.overheard(None)


@pytest.mark.parametrize("switched_off", [False, True])
def test_an_answer_that_nobody_wrote_down_matters_only_where_the_counters_show_nothing(switched_off):
    it = rig()
    amounts, before = begun(it, 0.0)
    it.driver.stop()
    asked_by_somebody(it, it.device.power_cycle if switched_off else None)
    found = it.happened("dispense", amounts, before)
    assert found.state == "cannot_tell" and "nobody knows" in found.why
    it = rig()
    begun(it, 30.0)  # what was moved before stands in the counters, unless they were lost
    amounts, before = begun(it, 0.0)
    it.driver.stop()
    asked_by_somebody(it, it.device.power_cycle if switched_off else None)
    found = it.happened("dispense", amounts, before)
    assert found.state == ("cannot_tell" if switched_off else "not_begun")


@pytest.mark.parametrize("switched_off", [False, True])
def test_that_it_was_told_to_run_is_evidence_where_its_counters_begin_at_nothing(switched_off):
    it = rig()
    assert it.driver.taken == ""
    amounts, before = begun(it, 5.0)
    taken = it.driver.taken
    assert taken
    if switched_off:
        it.device.power_cycle(it.clock.now_s())
        it.driver.counters()  # its runner is told of it, and ends before that is written down
    it.restarted().open()
    it.driver.overheard(taken)
    found = it.happened("dispense", amounts, before)
    assert found.state == ("cannot_tell" if switched_off else "running")


def test_that_it_was_told_to_run_is_said_of_the_act_that_runs_alone():
    it = rig()
    begun(it, 30.0)
    assert it.driver.taken, "nobody has looked yet"
    assert it.finish().done and it.driver.taken == ""
    begun(it, 1.0)
    assert it.driver.taken == "", "what was moved before stands in the counters"


def deaf(it, word):
    """The answer to the next ``word`` is lost on the line."""
    hears = it.device.receive

    def once(data, now_s):
        said = hears(data, now_s)
        if word not in data:
            return said
        it.device.receive = hears
        return b""

    it.device.receive = once


@pytest.mark.parametrize("eaten_by", ["a brake", "a stop", "a question", "a probe of the line"])
def test_a_reset_whose_alarm_was_lost_is_no_sign_that_nothing_was_done(eaten_by):
    it = rig()
    before, amounts = it.driver.counters(), {"rate": Amount(60.0, "uL/min"), "time": Amount(20.0, "s")}
    if eaten_by == "a probe of the line":  # RUN arrives, its answer does not: the link asks VER before anything else
        deaf(it, b"RUN")
        with pytest.raises(LinkError):
            it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    else:
        it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    it.wait(5.0)
    it.device.power_cycle(it.clock.now_s())
    if eaten_by == "a brake":
        it.driver.brake()
    elif eaten_by == "a stop":
        deaf(it, b"STP")
        it.driver.stop()
    elif eaten_by == "a question":
        deaf(it, b"DIS")
        with pytest.raises(LinkError):
            it.driver.counters()
    assert it.ledger[-1].amount > 4.0
    assert it.happened("dispense", amounts, before).state == "cannot_tell"


@pytest.mark.parametrize("word", ["the whole answer", "no answer"])
def test_a_brake_is_heard_in_passing(word):
    """Else every stop of a first act would end in a question: its counters stood at 0 before it."""
    it = rig()
    before, amounts = it.driver.counters(), {"rate": Amount(60.0, "uL/min"), "time": Amount(20.0, "s")}
    it.begin("dispense", rate=(60.0, "uL/min"), time=(20.0, "s"))
    it.device.power_cycle(it.clock.now_s())  # before anything moved, and heard of
    it.driver.counters()
    it.restarted().open()
    if word == "no answer":
        deaf(it, b"STP")
    it.driver.brake()
    it.driver.stop()
    state = it.happened("dispense", amounts, before).state
    assert state == ("not_begun" if word == "the whole answer" else "cannot_tell")


def test_an_alarm_that_spoils_the_evidence_is_said_until_the_pump_is_set_up_again():
    it = rig()
    assert it.driver.alarm == ""
    it.device.power_cycle(it.clock.now_s())
    it.driver.open()
    assert it.driver.alarm == "A?R"
    it.driver.configure()
    assert it.driver.alarm == ""


def test_an_act_that_was_only_prepared_is_not_begun():
    it = rig()
    before = it.driver.counters()
    amounts = {"rate": Amount(60.0, "uL/min"), "time": Amount(3.0, "s")}
    it.driver.prepare("dispense", it.driver.resolved("dispense", amounts), "act-1")
    it.device.power_cycle(it.clock.now_s())  # the counters prove nothing any more
    assert it.happened("dispense", amounts, before).state == "not_begun"


@pytest.mark.parametrize("happens", ["power_cycle", "alarm", "refused"])
def test_a_run_that_the_pump_refused_is_not_begun_although_its_counters_may_be_lost(happens):
    it = rig()
    before = it.driver.counters()
    amounts = {"rate": Amount(60.0, "uL/min"), "time": Amount(3.0, "s")}
    values = it.driver.resolved("dispense", amounts)
    it.driver.prepare("dispense", values, "act-1")
    if happens == "power_cycle":
        it.device.power_cycle(it.clock.now_s())
    elif happens == "alarm":
        it.device.alarm = "T"
    else:
        it.device.receive(b"0RAT0UM\r", it.clock.now_s())  # somebody at its keys: RUN is answered with ?NA
    with pytest.raises(InstrumentFault):
        it.driver.begin("dispense", values, "act-1")
    found = it.happened("dispense", amounts, before)
    assert found.state == "not_begun" and "refused" in found.why and it.ledger == []
