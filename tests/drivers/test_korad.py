"""Korad supplies: the bytes, from what is published and captured; and the driver on the simulated supply."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.korad import GAP_S, KA3005P, Command, KoradCodec
from labloop.bench import Amount, InstrumentFault, LinkError, ProtocolError
from tests.drivers.rigs import Rig

SIGROK = "sigrok wiki, Korad KAxxxxP series"
CAPTURED = "captured from koradctl 0.8 on a pty"
KORADCTL = "koradctl, tested_firmware"

# command, sent, received, reply, source
TABLE = [
    (Command("*IDN?"), b"*IDN?", b"KORADKA3005PV2.0", "KORADKA3005PV2.0", CAPTURED),
    (Command("*IDN?"), b"*IDN?", b"KORAD KA3005P V4.2", "KORAD KA3005P V4.2", "libsigrok #47"),
    (Command("*IDN?"), b"*IDN?", b"Multicomp Pro 72-2540 V6.1", "Multicomp Pro 72-2540 V6.1", "seen, psu.h"),
    (
        Command("*IDN?", numbered=True), b"*IDN?", b"TENMA 72-2540 V5.5 SN:05243173",
        "TENMA 72-2540 V5.5 SN:05243173", "seen on a 72-2540",
    ),
    (Command("*IDN?"), b"*IDN?", b"VELLEMANLABPS3005DV2.0", "VELLEMANLABPS3005DV2.0", SIGROK),
    (Command("*IDN?"), b"*IDN?", b"TENMA 72-2540 V2.1", "TENMA 72-2540 V2.1", KORADCTL),
    (
        Command("*IDN?", numbered=True), b"*IDN?", b"TENMA 72-2540 V5.8 SN:12345678",
        "TENMA 72-2540 V5.8 SN:12345678", KORADCTL,
    ),
    (Command("VSET1?"), b"VSET1?", b"12.50", "12.50", CAPTURED),
    (Command("ISET1?"), b"ISET1?", b"0.125", "0.125", SIGROK),
    (Command("VOUT1?"), b"VOUT1?", b"05.00", "05.00", SIGROK),
    (Command("IOUT1?"), b"IOUT1?", b"0.500", "0.500", SIGROK),
    (Command("STATUS?"), b"STATUS?", b"Q", "Q", CAPTURED),
    (Command("STATUS?"), b"STATUS?", b"\n", "\n", "any byte is a status"),
]  # fmt: skip
SILENT = [("VSET1:12.50", b"VSET1:12.50"), ("OUT1", b"OUT1"), ("OUT0", b"OUT0")]


def codec(asked):
    made = KoradCodec()
    made.encode(asked if isinstance(asked, Command) else Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_questions(command, sent, received, reply, source):
    made = KoradCodec()
    assert made.encode(command) == [sent] and made.expects_reply(command)
    assert made.feed(received) == reply


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == reply


@pytest.mark.parametrize("command, sent", SILENT)
def test_setting_and_switching_is_silent(command, sent):
    assert KoradCodec().encode(Command(command)) == [sent]
    assert not KoradCodec().expects_reply(Command(command))


def test_nothing_follows_a_command_and_a_sixth_byte_is_left_behind():
    assert not any(frame.endswith((b"\r", b"\n")) for row in TABLE for frame in KoradCodec().encode(row[0]))
    assert codec("ISET1?").feed(b"0.125K") == "0.125"
    assert codec("*IDN?").feed(b"KORADKA3005PV2.0\0") == "KORADKA3005PV2.0"
    assert codec("*IDN?").feed(b"TENMA 72-2540 V5.5 SN:05243173") == "TENMA 72-2540 V5.5"


@pytest.mark.parametrize(
    "asked, received",
    [
        ("VSET1?", b"1.250"),
        ("ISET1?", b"12.50"),
        ("VSET1?", b"KORAD"),
        ("VSET1?", b"2.5012"),  # a digit was lost, and it came twice
        ("VOUT1?", b"\xb1\xb2.\xb50"),
        ("STATUS?", b"\x0200S?\x03\r\nQ"),
        ("*IDN?", b"12.50"),
        ("*IDN?", b"\x02" + b"00S?\x03\r\n"),
        ("*IDN?", b"K" * 100),
    ],
)
def test_what_answers_something_else_or_was_damaged_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


def test_the_place_is_found_with_a_name_or_after_a_lost_name_with_a_number():
    made = KoradCodec()
    assert made.probe(Command("STATUS?")).text == made.probe(Command("VSET1?")).text == "*IDN?"
    assert made.probe(Command("*IDN?", numbered=True)).text == "VSET1?"
    assert made.urgent(Command("OUT0")) and not made.urgent(Command("OUT1"))


def test_every_complaint_takes_a_byte_so_that_an_answer_behind_noise_is_found():
    made, data = codec("*IDN?"), b"\x02\x03KORADKA3005PV2.0"
    for _ in range(2):
        with pytest.raises(ProtocolError):
            made.feed(data)
        data = b""
    assert made.feed(b"") == "KORADKA3005PV2.0"


@given(st.sampled_from([row[0] for row in TABLE]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece)
        except ProtocolError:
            assert len(made._rest) <= 12 * 60
            made.reset()


@given(st.integers(0, 3100).map(lambda n: f"{n / 100:05.2f}"), st.integers(0, 5100).map(lambda n: f"{n / 1000:.3f}"))
def test_what_a_supply_says_is_what_is_read(volts, amperes):
    assert codec("VOUT1?").feed(volts.encode()) == volts and codec("IOUT1?").feed(amperes.encode()) == amperes


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(KA3005P, **more).ready()


APPLY = {"voltage": (5.0, "V"), "current": (1.0, "A"), "time": (30.0, "s")}


def charges(it):
    return [entry.amount for entry in it.ledger if entry.phase == "end"]


def test_open_tells_model_firmware_and_serial_number_where_there_is_one():
    it = Rig(KA3005P)
    identity = it.driver.open()
    assert (identity.model, identity.firmware, identity.serial) == ("KORADKA3005P", "V2.0", "")
    assert it.sent == [b"*IDN?"] * 2, "old versions are not asked for a number"
    named = {"name": "TENMA 72-2540 V5.8 SN:12345678"}
    identity = Rig(KA3005P, simulation=named).driver.open()
    assert (identity.model, identity.firmware, identity.serial) == ("TENMA 72-2540", "V5.8", "12345678")
    identity = Rig(KA3005P, simulation={"name": "TENMA 72-2540 V5.8"}).driver.open()
    assert (identity.firmware, identity.serial) == ("V5.8", "")


def test_a_supply_of_another_rating_is_refused():
    it = Rig(KA3005P, simulation={"name": "KORADKA6003PV2.0"})
    with pytest.raises(
        InstrumentFault, match=r"'KORADKA6003PV2.0' answers where a Korad KA3005P was expected"
    ) as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_the_silence_between_commands_is_kept():
    it = rig()
    it.begin("apply", **APPLY)
    it.finish()
    times = [one.at_s for one in it.port.traffic if one.kind == "sent"]
    assert min(b - a for a, b in itertools.pairwise(times)) >= GAP_S - 1e-9


def test_the_output_is_on_for_its_time_and_the_charge_is_summed_up():
    it = rig()
    it.begin("apply", **APPLY)
    assert it.device.on and it.device.set_v == 5.0
    look = it.finish()
    assert not it.device.on and [entry.act for entry in it.ledger] == ["apply", "apply"]
    (flowed,) = charges(it)
    assert look.readings["charge"].value == pytest.approx(0.5 * 30.0, rel=0.05)
    assert flowed == pytest.approx(look.achieved["charge"].value, rel=0.1)
    assert look.readings["mode"].value == "voltage" and look.readings["current"].value == 0.5
    assert look.achieved["time"].value == pytest.approx(30.0, abs=1.5)


def test_a_current_that_is_held_is_told_apart():
    it = rig()
    it.begin("apply", **APPLY | {"current": (0.2, "A")})
    readings = it.look().readings
    assert (readings["mode"].value, readings["current"].value, readings["voltage"].value) == ("current", 0.2, 2.0)
    said = it.driver.read()
    assert said["output"].value == "on" and said["mode"].value == "current"


def test_an_output_that_goes_off_by_itself_is_a_fault():
    it = rig()
    it.begin("apply", **APPLY)
    it.wait(5.0)
    it.look()
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="went off by itself after about 5 s") as caught:
        it.look()
    assert caught.value.kind == "off"
    verdict = it.happened("apply", {name: Amount(*value) for name, value in APPLY.items()}, {})
    assert verdict.state == "partial" and verdict.achieved["charge"].value == pytest.approx(2.5, rel=0.2)


@pytest.mark.parametrize(("action", "times"), [("apply", 1), ("switch_on", 2)])
def test_a_protection_that_trips_at_once_is_a_fault_and_an_act_is_not_begun_twice(action, times):
    it = rig()
    it.device.ocp = True
    settings = APPLY | {"current": (0.2, "A")}
    with pytest.raises(InstrumentFault, match="its output is off right after it was told to go on"):
        it.begin(action, **{name: settings[name] for name in settings if action == "apply" or name != "time"})
    assert not it.device.on and it.sent.count(b"OUT1") == times


def test_set_values_are_changed_while_nothing_flows():
    it = rig()
    it.begin("switch_on", voltage=(2.0, "V"), current=(1.0, "A"))
    assert it.look().done and it.device.on
    seen = []
    setter = it.device._set
    it.device._set = lambda what, value, now_s: (seen.append(it.device.on), setter(what, value, now_s))
    it.begin("apply", "act-2", **APPLY)
    assert seen == [False, False]


def test_a_set_value_that_was_lost_is_said_again_and_one_that_does_not_take_is_a_fault():
    it = rig()
    do, lost = it.device._do, []
    it.device._do = lambda command, now_s: (
        lost.append(command) if command.startswith("VSET1:") and not lost else do(command, now_s)
    )
    it.begin("apply", **APPLY)
    assert it.device.set_v == 5.0 and lost == ["VSET1:05.00"]
    it.driver.stop()
    it.device._set = lambda what, value, now_s: None
    with pytest.raises(InstrumentFault, match=r"VSET1 reads back as 05.00 where 07.00 was sent; nothing was started"):
        it.begin("apply", "act-2", **APPLY | {"voltage": (7.0, "V")})
    assert not it.device.on


def test_switched_on_it_stays_on_until_it_is_switched_off():
    it = rig()
    amounts = it.begin("switch_on", voltage=(2.0, "V"), current=(1.0, "A"))
    assert it.look().done
    it.wait(600.0)
    assert it.happened("switch_on", amounts, {}).state == "done" and it.device.on
    it.begin("off", "act-2")
    assert it.look().done and not it.device.on
    assert it.happened("off", {}, {}, "act-2").state == "done"
    assert it.happened("switch_on", amounts, {}).state == "not_begun"


def test_what_became_of_it_after_a_crash():
    it = rig()
    amounts = it.begin("apply", **APPLY)
    it.restarted().open()
    assert it.happened("apply", amounts, {}).state == "running"
    other = amounts | {"voltage": Amount(6.0, "V")}
    assert it.happened("apply", other, {}).state == "partial"
    it.driver.stop()
    assert it.happened("apply", amounts, {}).state == "partial"
    assert it.happened("off", {}, {}).state == "done"


def test_an_act_that_was_never_started_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkError):
        it.begin("apply", **APPLY)
    it.port.link.resume()
    amounts = {name: Amount(*value) for name, value in APPLY.items()}
    assert it.happened("apply", amounts, {}).state == "not_begun"


def test_a_stop_that_is_lost_once_is_said_again_and_one_that_does_nothing_is_not_believed():
    it = rig()
    it.begin("apply", **APPLY)
    do, lost = it.device._do, []
    it.device._do = lambda command, now_s: (
        lost.append(command) if command == "OUT0" and not lost else do(command, now_s)
    )
    it.driver.stop()
    assert not it.device.on and lost
    it.device._do = do
    it.begin("apply", "act-2", **APPLY)
    it.device._output = lambda on, now_s: None
    with pytest.raises(InstrumentFault, match="its output is on after it was told to go off") as caught:
        it.driver.stop()
    assert caught.value.kind == "runaway"


def test_what_a_guard_asks_before_it_switches_off_takes_one_question_or_three():
    it = Rig(KA3005P).ready()
    asked = len(it.sent)
    assert [(name, one.value) for name, one in it.driver.glance()] == [("output", "off")]
    assert it.sent[asked:] == [b"STATUS?"]
    it.driver.begin("switch_on", {"voltage_v": 5.0, "current_a": 1.0}, "act-1")
    asked, began_s = len(it.sent), it.clock.now_s()
    seen = [(name, one.value) for name, one in it.driver.glance()]
    assert seen == [("output", "on"), ("current", 0.5), ("voltage", 5.0)]
    assert it.sent[asked:] == [b"STATUS?", b"IOUT1?", b"VOUT1?"] and it.clock.now_s() - began_s < 0.5


def test_nobody_watches_over_an_output_that_is_on():
    assert KA3005P.watchdog({}) == ""
    assert KA3005P.expected("apply", {"time_s": 30.0}, {}).duration_s == 30.0
    assert KA3005P.expected("switch_on", {}, {}).duration_s == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_it_is_applied_once_and_no_value_is_wrong(seed):
    it = Rig(KA3005P, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.again_s = 0.3
    it.insist(it.driver.open)
    amounts = {name: Amount(*value) for name, value in APPLY.items()}
    for _ in range(60):
        try:
            it.begin("apply", **APPLY)
            break
        except (LinkError, ProtocolError):
            if it.insist(it.happened, "apply", amounts, {}).state == "running":
                it.began_s = it.clock.now_s()
                break
    while not (look := it.insist(it.look)).done:
        assert look.readings["voltage"].value == pytest.approx(5.0, abs=0.21)
        assert look.readings["current"].value == pytest.approx(0.5, abs=0.051)
        it.wait(look.again_in_s)
    assert (it.device.set_v, it.device.set_a, it.device.on) == (5.0, 1.0, False)
    it.insist(it.driver.stop)
    assert len(charges(it)) == 1


@pytest.mark.parametrize("time_s, at_most_s", [(1.0, 1.8), (2.0, 2.35), (2.3, 2.65), (5.0, 5.35)])
def test_its_time_over_it_is_switched_off_before_anything_is_measured_again(time_s, at_most_s):
    """A look at a current that changes takes a second (the first one more), and the output would be on for longer."""
    it = rig()
    it.begin("apply", voltage=(5.0, "V"), current=(1.0, "A"), time=(time_s, "s"))
    began = it.clock.now_s()
    while not (look := it.look()).done:
        it.wait(look.again_in_s)
        before = len(it.sent)
    assert set(it.sent[before : it.sent.index(b"OUT0", before)]) == {b"STATUS?"}
    on_s = [one.at_s for one in it.bench.ledger.entries][-1] - began
    assert time_s <= on_s < at_most_s and look.readings["current"].value > 0.0
    assert 0.9 * time_s <= look.readings["charge"].value / look.readings["current"].value <= on_s
