"""The driver of Eurotherm controllers, running the controller's own programme on the simulated furnace."""

import pytest
from pymodbus.framer.rtu import FramerRTU

from drivers.eurotherm import E3216
from drivers.eurotherm_modbus import ModbusCodec, Write
from drivers.eurotherm_programme import course
from labloop.bench import Amount, InstrumentFault, LinkInterrupted, ProtocolError
from tests.drivers.rigs import Rig

# 22 to 200 degC at 10 K/min, then half an hour.
TAKES_S = 178.0 / 10.0 * 60.0 + 1800.0
PROGRAM = {"time": (TAKES_S, "s")}


def furnace(**more):
    return Rig(E3216, **more).ready()


def test_the_programme_runs_to_its_end_and_wears_nothing_out():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    hottest_c = 0.0
    while not (look := it.look()).done:
        hottest_c = max(hottest_c, look.readings["temperature"].value)
        it.wait(look.again_in_s)
    assert it.clock.now_s() - it.began_s == pytest.approx(TAKES_S, abs=15.0)
    assert hottest_c == pytest.approx(200.0, abs=1.0) and it.device.worn == 0
    assert [(entry.act, entry.phase) for entry in it.ledger] == [("run_program", "begin"), ("run_program", "end")]


def test_a_programme_is_joined_again_after_a_crash_and_seen_to_its_end():
    it = furnace()
    before = it.driver.counters()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(600.0)
    it.restarted().open()
    assert it.happened("run_program", amounts, before).state == "running"
    it.wait(TAKES_S)
    found = it.happened("run_program", amounts, before)
    assert found.state == "done" and found.achieved["temperature"].value == pytest.approx(200.0, abs=2.0)


def test_an_earlier_programmes_end_is_not_taken_for_the_next_ones():
    it = furnace()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(TAKES_S + 60.0)
    before = it.driver.counters()
    assert it.driver.needs_clear(before)
    assert it.happened("run_program", amounts, before, "act-2").state == "cannot_tell"
    it.driver.clear_counters()
    before = it.driver.counters()
    assert not it.driver.needs_clear(before) and before == {"program_state": Amount(0)}
    assert it.happened("run_program", amounts, before, "act-2").state == "cannot_tell"  # reset: nobody knows why
    it.begin("run_program", "act-2", **PROGRAM)
    assert it.happened("run_program", amounts, before, "act-2").state == "running"


def test_begun_by_hand_on_a_programme_that_has_ended_it_is_reset_first():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    it.wait(TAKES_S + 60.0)
    it.bench.settle(it.clock.now_s())
    it.begin("run_program", "act-2", **PROGRAM)
    assert it.device.program.state == 1 and len(it.ledger) == 3
    reset, run = (ModbusCodec(1).encode(Write(23, state))[0] for state in (0, 1))
    assert it.sent[-2:] == [reset, run]


def test_a_programme_that_was_never_started_is_not_begun():
    it = furnace()
    it.device.program.state = 1
    with pytest.raises(InstrumentFault, match="its programme is running already") as caught:
        it.begin("run_program", **PROGRAM)
    assert caught.value.kind == "busy"
    assert it.happened("run_program", {"time": Amount(TAKES_S, "s")}, {}).state == "not_begun"


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("earlier", [0, 3])
def test_an_answer_that_comes_twice_and_late_shifts_those_behind_it_and_ends_no_programme(at, earlier):
    """A Modbus reply does not say which registers it is of."""
    it = furnace()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(600.0)
    (line,) = it.bench.lines.values()
    usual, asked, held = line.receive, 0, [stale(earlier)]

    def receive(data, now_s):
        nonlocal asked
        asked += bool(data)
        if not data or asked < at or asked > at + 1:
            return usual(data, now_s)
        held.append(usual(data, now_s))
        return held.pop(0)

    line.receive = receive
    assert not it.insist(it.look).done
    assert it.insist(it.happened, "run_program", amounts, {"program_state": Amount(0)}).state == "running"


def stale(value):
    frame = bytes([1, 3, 2, 0, value])
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


@pytest.mark.parametrize("state", [4, 8192, -1])
def test_a_state_that_there_is_none_of_is_no_end(state):
    with pytest.raises(ProtocolError, match="the state of its programme is told as"):
        course(state, 5000.0, 3600.0, {}, {})


def test_a_programme_on_hold_or_reset_by_hand_is_a_fault():
    it = furnace()
    before = it.driver.counters()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(60.0)
    it.device._command(2, it.clock.now_s())
    with pytest.raises(InstrumentFault, match="put on hold") as caught:
        it.look()
    assert caught.value.kind == "paused"
    assert it.happened("run_program", amounts, before).state == "partial"
    it.device._command(0, it.clock.now_s())
    with pytest.raises(InstrumentFault, match="was reset after 60 s") as caught:
        it.look()
    assert caught.value.kind == "stopped"
    assert it.happened("run_program", amounts, before).state == "partial"


def test_a_programme_that_resets_itself_at_its_end_is_done():
    it = furnace()
    it.device.kept[328] = 3
    it.begin("run_program", **PROGRAM)
    it.finish()
    assert it.device.program.state == 0


def test_off_ends_a_programme_that_this_process_began():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    it.wait(60.0)
    it.begin("off", "act-2")
    assert it.look().done and it.device.program.state == 0
    assert it.happened("off", {}, {}, "act-2").state == "done"


def test_a_programme_is_reset_though_the_remote_setpoint_is_refused():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    write = it.device._write
    it.device._write = lambda number, value, now_s: write(9999 if number == 26 else number, value, now_s)
    it.driver.stop()
    assert it.device.program.state == 0
    it.device.remote_c = 500.0
    assert it.happened("off", {}, {}, "act-2").state == "done", "nobody follows the remote setpoint"


def test_a_driver_that_cannot_be_opened_can_reset_the_programme():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    read = it.device._read
    it.device._read = lambda number, now_s: 1 if number == 516 else read(number, now_s)
    with pytest.raises(InstrumentFault, match="not count in degC"):
        it.restarted().open()
    it.driver.stop()
    assert it.device.program.state == 0


def test_a_stop_that_does_not_reset_the_programme_is_not_believed():
    it = furnace()
    it.begin("run_program", **PROGRAM)
    it.device._command = lambda state, now_s: None
    with pytest.raises(InstrumentFault, match="is in state 1 after it was reset") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def left_running(after_s, **more):
    """A programme whose runner is gone after so long; its settings, and what stood there before."""
    it = furnace(**more)
    before = it.driver.counters()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(after_s)
    it.restarted().open()
    return it, amounts, before


def stopped_by_the_guard(it):
    """Who is there, its counters, its stop (twice), its counters again; then a new runner."""
    it.driver.counters()
    it.driver.stop()
    it.driver.stop()
    after = it.driver.counters()
    it.restarted().open()
    return after


@pytest.mark.parametrize(("after_s", "state"), [(600.0, "partial"), (TAKES_S + 60.0, "done")])
def test_a_programme_that_the_guard_stopped_is_what_the_guard_saw(after_s, state):
    it, amounts, before = left_running(after_s)
    after = stopped_by_the_guard(it)
    assert after["program_state"] == Amount(0)
    assert it.happened("run_program", amounts, before).state == "cannot_tell", "the controller has no trace of it"
    assert it.driver.witnessed("run_program", amounts, before, after, "").state == state
    unknown = {"program_state": Amount(3)}
    assert it.driver.witnessed("run_program", amounts, unknown, after, "").state == "cannot_tell"


def test_a_programme_that_was_reset_before_the_guard_came_is_a_question():
    it, amounts, before = left_running(600.0)
    it.driver.counters()
    it.device._command(0, it.clock.now_s())  # it has reset itself, or was reset by hand
    it.driver.stop()
    after = it.driver.counters()
    assert after == {"program_state": Amount(0)}
    assert it.driver.witnessed("run_program", amounts, before, after, "").state == "cannot_tell"


@pytest.mark.parametrize(
    ("seen_s", "after_s", "state", "why"),
    [
        (600.0, 0.0, "partial", "it was stopped"),
        (0.95 * TAKES_S, 0.0, "partial", "ran when it was stopped"),
        (600.0, TAKES_S, "done", "had ended when it was reset"),
        (None, 1.0, "partial", "ran when it was stopped"),
    ],
    ids=["early", "near its end", "seen running, and ended since", "never seen running"],
)
def test_a_programme_that_this_process_stopped_is_what_it_was_right_then(seen_s, after_s, state, why):
    it = furnace()
    before = it.driver.counters()
    amounts = it.begin("run_program", **PROGRAM)
    if seen_s is not None:
        it.wait(seen_s)
        assert not it.look().done
    it.wait(after_s)
    it.driver.stop()
    it.driver.stop()
    found = it.happened("run_program", amounts, before)
    assert found.state == state and why in found.why
    assert it.happened("run_program", amounts, before, "another act").state == "cannot_tell"


def test_a_controller_that_does_not_say_what_it_does_is_reset_all_the_same_and_soon():
    it = furnace()
    before = it.driver.counters()
    amounts = it.begin("run_program", **PROGRAM)
    it.wait(600.0)
    resets, began_s, command, line = [], it.clock.now_s(), it.device._command, it.port.link._line
    it.device._command = lambda state, now_s: [resets.append(now_s - began_s), command(state, now_s)]
    receive = line.receive
    line.receive = lambda data, now_s: receive(b"" if data[1:6] == b"\3\0\x17\0\3" else data, now_s)
    it.driver.stop()
    assert it.device.program.state == 0 and 0.1 < resets[0] < 0.6
    assert it.happened("run_program", amounts, before).state == "cannot_tell"


def test_a_programme_that_is_stopped_while_it_is_told_to_run_was_cut_short():
    """The answer to the word that was broken off comes when it is asked what it does."""
    it = furnace()
    before = it.driver.counters()
    (line,) = it.bench.lines.values()
    hears, run, late = line.receive, ModbusCodec(1).encode(Write(23, 1))[0], []

    def receive(data, now_s):
        said = hears(data, now_s)
        if data == run:
            late.append(said)
            it.port.link.interrupt()
            return b""
        return late.pop() + said if data and late else said

    line.receive = receive
    with pytest.raises(LinkInterrupted):
        it.begin("run_program", **PROGRAM)
    it.port.link.resume()
    it.driver.stop()
    amounts = {"time": Amount(*PROGRAM["time"])}
    assert it.happened("run_program", amounts, before).state == "partial" and late == []


def test_what_was_stopped_says_nothing_of_the_next_programme():
    it, amounts, before = left_running(600.0)
    it.driver.counters()
    it.driver.stop()
    it.begin("run_program", "act-2", **PROGRAM)
    it.device._command(0, it.clock.now_s())
    assert it.driver.counters() == {"program_state": Amount(0)}
    assert it.happened("run_program", amounts, before, "act-2").state == "cannot_tell"
