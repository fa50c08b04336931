"""Lake Shore controllers: the bytes, from captured traces and manuals; and the driver on the simulated cryostat."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.lakeshore import LS336
from drivers.lakeshore_codec import Command, LakeShoreCodec
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError, SpecError
from tests.drivers.rigs import Rig

CAPTURED = "captured from lakeshore 1.10.0 over TCP"
IDENTITY = "LSCI,MODEL336,LSA3361/LSO3362,2.9"

# message, sent, received, answers with the event register last, source
TABLE = [
    ("*IDN?", b"*IDN?;*ESR?\n", f"{IDENTITY};000\r\n".encode(), (IDENTITY, "000"), CAPTURED),
    ("KRDG? A", b"KRDG? A;*ESR?\n", b"+4.2009;000\r\n", ("+4.2009", "000"), CAPTURED),
    ("SETP 1,77.0", b"SETP 1,77.0;*ESR?\n", b"000\r\n", ("000",), CAPTURED),
    ("SETP? 1", b"SETP? 1;*ESR?\n", b"+77.0000;000\r\n", ("+77.0000", "000"), CAPTURED),
    ("RANGE 1,3", b"RANGE 1,3;*ESR?\n", b"000\r\n", ("000",), CAPTURED),
    ("RAMP? 1", b"RAMP? 1;*ESR?\n", b"1,10.5;000\r\n", ("1,10.5", "000"), "335 manual p. 122: format n,nnnn"),
    ("RAMPST? 1", b"RAMPST? 1;*ESR?\n", b"1;000\r\n", ("1", "000"), "335 manual p. 122"),
    ("RDGST? A", b"RDGST? A;*ESR?\n", b"000;000\r\n", ("000", "000"), "350 manual p. 154"),
    ("HTR? 1", b"HTR? 1;*ESR?\n", b"+053.6;128\r\n", ("+053.6", "128"), "331 manual: format +nnn.n"),
    ("KRDG? 0;RDGST? B", b"KRDG? 0;RDGST? B;*ESR?\n", b"+4.2,+4.3,+0.0,+0.0;016;000\r\n",
     ("+4.2,+4.3,+0.0,+0.0", "016", "000"), "several questions in one message"),
    ("KRDG? A", b"KRDG? A;*ESR?\n", b"+004.20E+0;000\r\n", ("+004.20E+0", "000"), "340 manual p. 9-40"),
]  # fmt: skip


def codec(asked):
    made = LakeShoreCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_messages(command, sent, received, reply, source):
    made = LakeShoreCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize(
    "asked, received",
    [
        ("KRDG? A", b"000\r\n"),  # the answer to a command
        ("KRDG? A", b"+4.2009\r\n"),  # no event register
        ("SETP 1,77.0", b"+4.2009;000\r\n"),
        ("*IDN?", b"+4.2009;000\r\n"),
        ("*IDN?", b"KEITHLEY INSTRUMENTS INC.,MODEL 2400;000\r\n"),
        ("RANGE? 1", b"7;000\r\n"),
        ("KRDG? A", b"\xab4.2009;000\r\n"),  # parity noise
        ("KRDG? A", b"9" * 600),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@pytest.mark.parametrize("command", [*(row[0] for row in TABLE), "HTRST? 1;RANGE? 1"])
def test_the_probes_answer_cannot_be_taken_for_the_one_that_is_owed(command):
    made = codec(command)
    probe = made.probe(Command(command))
    received = {"*IDN?": f"{IDENTITY};000\r\n".encode(), "HTRST? 1;RANGE? 1": b"0;3;000\r\n"}[probe.text]
    made.encode(probe)
    assert made.feed(received)
    if command != probe.text:
        with pytest.raises(ProtocolError):
            codec(command).feed(received)


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=200), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\r\n")
        except ProtocolError:
            made.reset()


@given(st.floats(0, 1505).map(lambda value: f"{value:+.4f}"), st.integers(0, 255))
def test_what_a_controller_says_is_what_is_read(text, event):
    assert codec("KRDG? B").feed(f"{text};{event:03d}\r\n".encode()) == (text, f"{event:03d}")


def test_it_wants_fifty_milliseconds_of_silence():
    assert LakeShoreCodec.gap_s == 0.05


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(LS336, **more).ready()


HOLD = {"temperature": (100.0, "K"), "tolerance": (0.5, "K"), "time": (60.0, "s")}


def test_a_hold_reaches_its_temperature_and_keeps_it_for_its_time():
    it = rig()
    it.begin("hold", **HOLD)
    while not (look := it.look()).done:
        it.wait(look.again_in_s)
    assert look.readings["temperature"].value == pytest.approx(100.0, abs=0.5)
    assert look.achieved == {
        "temperature": Amount(pytest.approx(100.0, abs=0.5), "K"),
        "time": Amount(pytest.approx(60.0, abs=5.0), "s"),
    }
    assert it.device.range["1"] == "3", "the heater stays on for what comes next"
    assert [(entry.act, entry.unit) for entry in it.ledger] == [("hold", "K")]


def test_a_ramp_begins_where_it_is_and_not_where_the_last_setpoint_was():
    it = rig()
    it.device.receive(b"SETP 1,300\n", 1.0)
    it.wait(2.0)
    it.begin("hold", **HOLD, ramp=(6.0, "K/min"))
    assert it.device.cryostat.setpoint_k == pytest.approx(77.0, abs=0.5)
    it.wait(60.0)
    look = it.look()
    assert look.readings["setpoint"].value == pytest.approx(83.0, abs=1.0) and not look.done
    it.finish()
    assert it.clock.now_s() - it.began_s > 23.0 / 6.0 * 60.0


def slowly(it, seconds=0.6):
    """Let time pass with each exchange; gives where the setpoint stood before each."""
    exchange, seen = it.driver.exchange, []

    def slow(*args):
        it.wait(seconds)
        it.bench.settle(it.clock.now_s())
        seen.append(it.device.cryostat.setpoint_k)
        return exchange(*args)

    it.driver.exchange = slow
    return seen


@pytest.mark.parametrize("ramp", [{"ramp": (2.0, "K/min")}, {}], ids=["with a ramp", "at once"])
def test_an_older_ramp_ends_where_the_new_one_begins_and_not_at_its_own_end(ramp):
    it = rig(simulation={"start": "14 K"})
    it.begin("control", temperature=(300.0, "K"), ramp=(1.0, "K/min"))
    it.wait(30.0)
    seen = slowly(it)
    it.begin("hold", "act-2", **HOLD | {"temperature": (30.0, "K")}, **ramp)
    it.finish()
    assert max(seen) <= 30.0 and it.device.cryostat.stage_k < 35.0
    assert it.device.cryostat.loop.target_k == 30.0


def test_a_setpoint_that_lost_a_digit_on_its_way_to_a_ramp_is_found_out():
    it = rig()
    do = it.device._do
    it.device._do = lambda text: do(text.replace("SETP 1,100.000", "SETP 1,10.000"))
    it.begin("hold", **HOLD, ramp=(6.0, "K/min"))
    with pytest.raises(InstrumentFault, match=r"moves away from the 100 K that was sent, and is 7\d") as caught:
        it.finish()
    assert caught.value.kind == "setup" and it.clock.now_s() - it.began_s < 30.0


@pytest.mark.parametrize("lost", ["message", "answer"])
@pytest.mark.parametrize("ramp", [{"ramp": (1.0, "K/min")}, {}], ids=["with a ramp", "at once"])
@pytest.mark.parametrize("action", ["hold", "control"])
def test_whatever_is_lost_while_it_is_begun_an_older_ramp_is_not_taken_for_its_own(action, ramp, lost):
    found = set()
    for number in itertools.count():
        it = rig(simulation={"start": "14 K"})
        it.begin("control", temperature=(300.0, "K"), ramp=(1.0, "K/min"))
        it.wait(30.0)
        receive, heard = it.device.receive, []

        def lossy(data, now_s, receive=receive, heard=heard, number=number):
            heard.extend([data] * bool(data))
            hit = data and len(heard) - 1 == number
            answer = b"" if hit and lost == "message" else receive(data, now_s)
            return b"" if hit else answer

        it.device.receive = lossy
        settings = {"temperature": (20.0, "K"), **ramp}
        settings |= {name: HOLD[name] for name in ("tolerance", "time")} if action == "hold" else {}
        amounts = {name: Amount(*value) for name, value in settings.items()}
        try:
            it.begin(action, "act-2", **settings)
        except LinkError:
            verdict = it.happened(action, amounts, {}, "act-2")
            found.add(verdict.state)
            assert verdict.state in ("not_begun", "running", "done"), verdict
            assert verdict.state == "not_begun" or it.device.cryostat.loop.target_k == 20.0, number
            it.begin(action, "act-2", **settings)
            assert it.device.cryostat.loop.target_k == 20.0
        else:
            break
    assert number > 5 and "not_begun" in found and len(found) > (lost == "answer")


def test_another_processs_ramp_is_not_taken_for_a_holds_own():
    it = rig(simulation={"start": "14 K"})
    it.begin("control", temperature=(300.0, "K"), ramp=(1.0, "K/min"))
    it.wait(30.0)
    it.restarted().open()
    at_once = {name: Amount(*value) for name, value in HOLD.items()}
    assert it.happened("hold", at_once, {}, "act-2").state == "cannot_tell"
    assert it.happened("hold", at_once | {"ramp": Amount(2.0, "K/min")}, {}, "act-2").state == "cannot_tell"
    assert it.happened("hold", at_once | {"ramp": Amount(1.0, "K/min")}, {}, "act-2").state == "running"
    assert it.happened("control", {"temperature": Amount(77.0, "K")}, {}, "act-2").state == "not_begun"


def test_a_setpoint_that_acted_at_once_was_begun_though_nothing_came_after_it():
    it = rig()
    it.begin("control", temperature=(77.0, "K"))
    assert it.begin_and_cut_after("SETP 1,100", "hold", "act-2", **HOLD).state == "partial"


def test_cooling_waits_for_the_cold_head():
    it = rig(simulation={"start": "120 K"})
    it.begin("hold", **HOLD | {"temperature": (90.0, "K")})
    assert it.finish().readings["temperature"].value == pytest.approx(90.0, abs=0.5)


def test_a_temperature_that_is_not_reached_in_time_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD, reach_by=(10.0, "s"))
    with pytest.raises(InstrumentFault, match=r"^[\d.]+ K after \d+ s, where 100 K was to be reached") as caught:
        it.finish()
    assert caught.value.kind == "not_reached"


def test_a_broken_heater_says_what_is_wrong_with_it():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(5.0)
    it.device.stall(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="its heater went off by itself: its circuit is open") as caught:
        it.look()
    assert caught.value.kind == "off"


def test_the_cut_out_is_the_instruments_own_and_what_lies_above_it_is_refused_before():
    it = rig(cutoff="110 K")
    assert it.device.limit_k["A"] == 110.0
    it.begin("hold", **HOLD)
    it.finish()
    it.device.receive(b"SETP 1,150\n", it.clock.now_s() + 1.0)
    it.wait(600.0)
    with pytest.raises(InstrumentFault, match="went off by itself: its cut-out, the power") as caught:
        it.look()
    assert caught.value.kind == "off" and it.device.range["1"] == "0"
    assert "at or above its cut-out of 110 K" in LS336.complaint("control", {"temperature_k": 120.0}, it.options)
    assert LS336.complaint("control", {"temperature_k": 109.0}, it.options) == ""
    assert "own cut-out: off above 110 K" in LS336.watchdog(it.options) and LS336.watchdog({"cutoff": 0}) == ""


def test_an_input_without_a_sensor_has_no_temperature():
    it = rig(input="C")
    assert set(it.driver.read()) == {"heater", "setpoint", "input_a", "input_b"}
    with pytest.raises(InstrumentFault, match="input C has no temperature: invalid reading") as caught:
        it.begin("hold", **HOLD, ramp=(6.0, "K/min"))
    assert caught.value.kind == "sensor"


def test_read_tells_of_every_sensor_heater_and_setpoint():
    it = rig()
    found = it.driver.read()
    assert found["temperature"].value == found["input_a"].value == pytest.approx(77.0, abs=0.2)
    assert found["heater"].unit == "percent" and found["setpoint"].value == 0.0


def test_the_loop_is_closed_from_input_to_output_and_only_where_it_differs():
    it = rig(input="B")
    assert it.device.outmode["1"] == "1,2,0"
    before = len(it.sent)
    it.driver.configure()
    assert not any(one.startswith(b"OUTMODE ") for one in it.sent[before:])
    it.begin("control", temperature=(100.0, "K"))
    it.restarted()
    it.device.outmode["1"] = "3,1,0"
    with pytest.raises(InstrumentFault, match="its heater is on in another mode") as caught:
        it.driver.configure()
    assert caught.value.kind == "busy"


def test_control_goes_on_and_tells_afterwards_whether_it_does():
    it = rig()
    amounts = it.begin("control", temperature=(90.0, "K"))
    assert it.look().done and it.happened("control", amounts, {}).state == "done"
    ramped = it.begin("control", "act-2", temperature=(100.0, "K"), ramp=(5.0, "K/min"))
    assert it.happened("control", ramped, {}, "act-2").state == "running"
    it.wait(300.0)
    assert it.happened("control", ramped, {}, "act-2").state == "done"
    assert it.happened("control", amounts, {}).state == "not_begun"
    it.begin("off", "act-3")
    assert it.look().done and it.happened("off", {}, {}, "act-3").state == "done"
    assert it.happened("control", ramped, {}, "act-2").state == "not_begun"


def test_a_hold_that_was_never_started_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("hold", **HOLD)
    it.port.link.resume()
    amounts = {name: Amount(*value) for name, value in HOLD.items()}
    assert it.happened("hold", amounts, {}).state == "not_begun"


def test_a_setpoint_that_somebody_changed_is_a_fault():
    it = rig()
    it.begin("hold", **HOLD)
    it.wait(2.0)
    it.device.receive(b"SETP 1,95\n", it.clock.now_s())
    it.wait(2.0)
    with pytest.raises(InstrumentFault, match="its setpoint is 95 K where 100 K was sent") as caught:
        it.look()
    assert caught.value.kind == "setup"


def test_what_the_controller_refuses_is_a_fault_with_its_register():
    it = rig()
    it.device.set_target = lambda output, value_k: (_ for _ in ()).throw(refusal())
    with pytest.raises(InstrumentFault, match=r"'SETP 1,100.000;.*' was refused \(event register 16\)") as caught:
        it.begin("hold", **HOLD)
    assert caught.value.kind == "refused" and it.device.range["1"] == "0"


def refusal():
    from simulators.lakeshore import NOT_POSSIBLE, _Wrong

    return _Wrong(NOT_POSSIBLE)


def test_a_stop_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("hold", **HOLD)
    it.device.set_range = lambda output, value, at_s=None: None
    with pytest.raises(InstrumentFault, match="its heater is on after it was told to go off") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_another_model_is_refused_with_what_answered():
    it = Rig(LS336)
    it.device._do = lambda text: "LSCI,MODEL350,LSA12/#######,1.4" if text == "*IDN?" else "000"
    with pytest.raises(InstrumentFault, match=r"'LSCI,MODEL350,.*' answers where a Lake Shore 336 was") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"
    identity = Rig(LS336).driver.open()
    assert (identity.model, identity.serial, identity.firmware) == ("LSCI MODEL336", "LSA1234/#######", "2.9")


@pytest.mark.parametrize(
    "options, why",
    [
        ({"input": "E"}, "none of A, B, C, D"),
        ({"output": 3}, "neither 1 nor 2"),
        ({"range": "full"}, "none of low, medium, high"),
        ({"cutoff": "2000 K"}, "outside 0"),
        ({"cutoff": "3 V"}, "V"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, why):
    with pytest.raises(SpecError, match=why):
        LS336.declare(options)


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_a_hold_is_held_and_no_temperature_is_wrong(seed):
    it = Rig(LS336, faults="drop=0.02,flip=0.02,late=0.02,double=0.02,unsolicited=0.02", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    it.insist(lambda: it.begin("hold", **HOLD))
    while not (look := it.insist(it.look)).done:
        assert abs(look.readings["temperature"].value - it.device.cryostat.stage_k) < 2.0
        it.wait(look.again_in_s)
    it.insist(it.driver.stop)
    assert it.device.range["1"] == "0"
