"""New Era pumps: the bytes, from the manual and from captured traces; and the driver on the simulated pump."""

import binascii
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.new_era import NE1000
from drivers.new_era_codec import UL_MIN, Command, NewEraCodec, Reply, number, rate, volumes
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError, SafetyError, SpecError
from tests.drivers.rigs import Rig
from tests.drivers.stands.new_era import SYRINGE

CAPTURED = "captured from NESP-Lib 2.0.0 on a pty"
MANUAL = "manual 1200-01, section 10"

# command, sent, received, reply, source; pump 0, basic frames
TABLE = [
    ("VER", b"0VER\r", b"\x0200SNE1000V3.923\x03", Reply("S", "NE1000V3.923"), CAPTURED),
    ("DIA14.43", b"0DIA14.43\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("DIRINF", b"0DIRINF\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VOLUL", b"0VOLUL\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VOL1000", b"0VOL1000\r", b"\x0200S\x03", Reply("S"), CAPTURED),
    ("RAT20MM", b"0RAT20MM\r", b"\x0200S\x03", Reply("S"), MANUAL),
    ("RAT20UM", b"0RAT20UM\r", b"\x0200I?NA\x03", Reply("I", error="NA"), MANUAL),
    ("RUN", b"0RUN\r", b"\x0200I\x03", Reply("I"), CAPTURED),
    ("", b"0\r", b"\x0200I\x03", Reply("I"), CAPTURED),
    ("DIS", b"0DIS\r", b"\x0200II501.4W0.000UL\x03", Reply("I", "I501.4W0.000UL"), CAPTURED),
    ("STP", b"0STP\r", b"\x0200P\x03", Reply("P"), MANUAL),
    ("CLDINF", b"0CLDINF\r", b"\x0200S\x03", Reply("S"), MANUAL),
    ("", b"0\r", b"\x0200A?R\x03", Reply("S", alarm="R"), MANUAL),
    ("DIS", b"0DIS\r", b"\x0200A?S\x03", Reply("S", alarm="S"), MANUAL),
    ("XYZ", b"0XYZ\r", b"\x0200S?\x03", Reply("S", error=""), MANUAL),
    ("RAT9999MM", b"0RAT9999MM\r", b"\x0200S?OOR\x03", Reply("S", error="OOR"), MANUAL),
]
# Frames with length and CRC-CCITT; the first is NESP-Lib's very first, the second computed in the same way.
SAFE_TABLE = [
    ("SAF0", bytes.fromhex("02093053414630 59ad 03"), b"\x0200S\x03", Reply("S"), CAPTURED),
    ("VER", bytes.fromhex("02083056455248 09 03"), bytes.fromhex("0207303053aaa603"), None, MANUAL),
]


def codec(asked="", safe=False, address=0):
    made = NewEraCodec(address)
    made.safe = safe
    made.encode(Command(asked))
    return made


def safe_frame(text):
    return b"\x02" + bytes([len(text) + 4]) + text + binascii.crc_hqx(text, 0).to_bytes(2, "big") + b"\x03"


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_basic_frames(command, sent, received, reply, source):
    made = NewEraCodec(0)
    assert made.encode(Command(command)) == [sent]
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", SAFE_TABLE)
def test_safe_frames(command, sent, received, reply, source):
    made = NewEraCodec(0)
    made.safe = True
    assert made.encode(Command(command)) == [sent]
    made.safe = False  # after SAF0 the pump answers in basic frames
    if reply is not None:
        assert made.feed(received) == reply


def test_safe_answers_one_byte_at_a_time():
    made = codec("DIS", safe=True)
    frame = safe_frame(b"00SI1.000W0.000UL")
    for byte in frame[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(frame[-1:]) == Reply("S", "I1.000W0.000UL")
    assert codec("").feed(bytes.fromhex("0207303053aaa603")) == Reply("S")


@pytest.mark.parametrize(
    "asked, safe, received",
    [
        ("DIS", False, b"\x0200S\x03"),  # the answer to something else
        ("DIS", False, b"\x0200SI1.0\x03"),  # half of one
        ("RUN", False, b"\x0200SI1.000W0.000UL\x03"),
        ("", False, b"noise"),
        ("", False, b"\x02xyz\x03"),
        ("", False, b"\x02" + b"0" * 100),
        ("", True, b"\x0200S\x03"),  # without a checksum in safe mode
        ("", True, safe_frame(b"00S")[:-3] + b"\x00\x00\x03"),
        ("", False, b"\x02\x03\x00"),
    ],
)
def test_what_makes_no_sense_is_refused(asked, safe, received):
    with pytest.raises(ProtocolError):
        codec(asked, safe).feed(received)


def test_the_answers_of_other_pumps_are_passed_over():
    made = codec("", address=3)
    assert made.feed(b"\x0202S\x03\x0200A?S\x03") is None
    assert made.feed(b"\x0203I\x03") == Reply("I")


@given(st.lists(st.binary(max_size=40), max_size=10), st.booleans(), st.sampled_from(["", "DIS", "VER", "RUN"]))
def test_random_bytes_raise_nothing_but_protocol_errors(pieces, safe, asked):
    made = codec(asked, safe)
    for piece in pieces:
        try:
            made.feed(b"\x02" + piece)
        except ProtocolError:
            made.reset()


@given(
    st.integers(0, 99),
    st.sampled_from("IWSPTUX"),
    st.floats(0, 9999).map(number),
    st.floats(0, 9999).map(number),
    st.sampled_from(["UL", "ML"]),
    st.booleans(),
)
def test_what_a_pump_says_is_what_is_read(address, status, infused, withdrawn, unit, safe):
    data = f"I{infused}W{withdrawn}{unit}"
    text = f"{address:02d}{status}{data}".encode()
    made = codec("DIS", safe, address)
    assert made.feed(safe_frame(text) if safe else b"\x02" + text + b"\x03") == Reply(status, data)
    said = volumes(data)
    factor = 1000.0 if unit == "ML" else 1.0
    assert (said.infused, said.withdrawn) == (float(infused) * factor, float(withdrawn) * factor)


@pytest.mark.parametrize(
    "value, text", [(14.43, "14.43"), (1000, "1000"), (0.3333, "0.333"), (9.9996, "10.00"), (0, "0.000")]
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


@given(st.floats(0.01, 900_000.0))
def test_a_rate_is_said_as_well_as_four_digits_can(rate_ul_min):
    text, unit = rate(rate_ul_min)
    assert len(text.replace(".", "")) <= 4
    assert math.isclose(float(text) * UL_MIN[unit], rate_ul_min, rel_tol=6e-3 if rate_ul_min < 0.1 else 6e-4)


# --- the driver -------------------------------------------------------------------------------------------------------


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


# --- what became of an act --------------------------------------------------------------------------------------------


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


# --- what goes wrong --------------------------------------------------------------------------------------------------


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


def test_a_power_cycle_in_the_middle_of_an_act_is_a_fault_and_the_pump_is_set_up_again_before_the_next():
    it = rig()
    it.begin("dispense", "act-0", rate=(60.0, "uL/min"), time=(3.0, "s"))
    it.finish()
    begun(it, 5.0)
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="switched off and on") as caught:
        it.look()
    assert caught.value.kind == "reset" and "-" not in str(caught.value)
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


def test_a_brake_ends_the_motion_before_any_answer():
    it = rig()
    begun(it, 5.0)
    now_s = it.clock.now_s()
    it.driver.brake()
    assert it.clock.now_s() == now_s and it.ledger[-1].phase == "end"


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
