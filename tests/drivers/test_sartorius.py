"""SBI balances: the bytes, from recorded traffic and from the manuals; and the driver on the simulated balance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.sartorius import SBI, Command, Line, SbiCodec
from labloop.bench import Amount, InstrumentFault, LinkTimeout, ProtocolError, SpecError
from tests.drivers.rigs import Rig

RECORDED = "recorded on an MSE1203S (sartoriuslib, docs/sbi_commands.md)"
CAPTURED = "taken by sartorius 0.7.1 on a pty"
MANUAL = "operating instructions, Data Interfaces (Cubis MSE p. 71, Master series p. 79)"

# command, sent, received, reply, source
TABLE = [
    ("x1_", b"\x1bx1_\r\n", b"MSE1203S-100-DR     \r\n", Line(text="MSE1203S-100-DR"), RECORDED),
    ("x2_", b"\x1bx2_\r\n", b"0037402012          \r\n", Line(text="0037402012"), MANUAL),
    ("x2_", b"\x1bx2_\r\n", b"0037402012\r\n", Line(text="0037402012"), "not filled up"),
    ("P", b"\x1bP\r\n", b"N     +    0.026    \r\n", Line(0.026, 1e-3), RECORDED),
    ("P", b"\x1bP\r\n", b"N     -    0.013    \r\n", Line(-0.013, 1e-3), RECORDED),
    ("P", b"\x1bP\r\n", b"N     +    0.006 g  \r\n", Line(0.006, 1e-3, "g"), RECORDED),
    ("P", b"\x1bP\r\n", b"N          0.000 g  \r\n", Line(0.0, 1e-3, "g"), RECORDED),
    ("P", b"\x1bP\r\n", b"N     + 123.4567 g  \r\n", Line(123.4567, 1e-4, "g"), CAPTURED),
    ("P", b"\x1bP\r\n", b"G#    + 123.4567 g  \r\n", Line(123.4567, 1e-4, "g"), MANUAL),
    ("P", b"\x1bP\r\n", b"G     + 123.4567 g  \r\n", Line(123.4567, 1e-4, "g"), CAPTURED),
    ("P", b"\x1bP\r\n", b"+   123.56 kg \r\n", Line(123.56, 1e-2, "kg"), MANUAL + ", 16 characters"),
    ("P", b"\x1bP\r\n", b"Stat       High     \r\n", Line(special="High"), MANUAL),
    ("P", b"\x1bP\r\n", b"Stat       Low      \r\n", Line(special="Low"), MANUAL),
    ("P", b"\x1bP\r\n", b"Stat     Cal.Int.   \r\n", Line(special="Cal.Int."), RECORDED),
    ("P", b"\x1bP\r\n", b"Stat     ERR 054    \r\n", Line(special="ERR 054"), MANUAL),
    ("P", b"\x1bP\r\n", b"Stat       OFF      \r\n", Line(special="OFF"), CAPTURED),
    ("P", b"\x1bP\r\n", b"     High     \r\n", Line(special="High"), MANUAL + ", 16 characters"),
]
SILENT = [("T", b"\x1bT\r\n"), ("V", b"\x1bV\r\n")]


def codec(asked):
    made = SbiCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_lines(command, sent, received, reply, source):
    made = SbiCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    said = made.feed(received)
    assert (said.unit, said.special, said.text) == (reply.unit, reply.special, reply.text)
    assert said.value == reply.value and said.digit == pytest.approx(reply.digit)


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == codec(command).feed(received)


@pytest.mark.parametrize("command, sent", SILENT)
def test_tare_and_zero_are_silent(command, sent):
    assert SbiCodec().encode(Command(command)) == [sent]
    assert not SbiCodec().expects_reply(Command(command))


def test_a_version_with_a_point_behind_a_dash_is_no_weight():
    """As the simulator of labmcp-sartorius 0.1.2 has it."""
    codec = SbiCodec()
    codec.encode(Command("x3_"))
    assert codec.feed(b"00-20-12.01         \r\n") == Line(text="00-20-12.01")


def test_weights_that_come_between_are_passed_over_where_words_were_asked_for():
    between = b"N     +    0.026    \r\nStat     Cal.Int.   \r\nMSE1203S-100-DR     \r\n"
    assert codec("x1_").feed(between) == Line(text="MSE1203S-100-DR")


@pytest.mark.parametrize(
    "asked, received",
    [
        ("P", b"MSE1203S-100-DR     \r\n"),
        ("P", b"N     +   0.026 g  \r\n"),  # a blank was lost
        ("P", b"N     +    0.26 g  \r\n"),  # a digit was lost
        ("P", b"N     +    0.0 6 g  \r\n"),
        ("P", b"N     + 00.0260 g   \r\n"),
        ("P", b"N     +   00026 g   \r\n"),
        ("x1_", b"N     +    0.26 g  \r\n"),  # no name, but a weight that lost a digit
        ("x1_", b"Stat      High    \r\n"),
        ("x1_", b"                    \r\n"),
        ("P", b"Stat      High     \r\n"),  # a blank was lost
        ("x1_", b"\xcd\xd3\xc5\r\n"),  # parity noise
        ("x1_", b"M" * 21 + b"\r\n"),
        ("P", b"\r\n"),
        ("P", b"9" * 300),
    ],
)
def test_what_answers_something_else_or_was_damaged_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@given(st.sampled_from(["P", "x1_", "x2_"]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\r\n")
        except ProtocolError:
            made.reset()


@given(st.integers(0, 10**7), st.integers(1, 5), st.booleans(), st.sampled_from(["", "g", "mg", "kg"]), st.booleans())
def test_what_a_balance_prints_is_what_is_read(digits, decimals, negative, unit, identified):
    text = f"{digits / 10**decimals:.{decimals}f}"
    if len(text) <= 9:
        line = f"{'N     ' if identified else ''}{'-' if negative else '+'}{text:>9} {unit:<3}\r\n"
        said = codec("P").feed(line.encode())
        assert said.unit == unit and abs(said.value) == float(text) and (said.value <= 0 or not negative)


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(SBI, **more).ready()


def place(it, mass_g):
    it.device.pan.place(mass_g, it.clock.now_s())


def test_open_tells_model_serial_number_and_firmware():
    identity = Rig(SBI).driver.open()
    assert (identity.model, identity.serial, identity.firmware) == ("MSE1203S-100-DR", "0037402012", "00-39-21")


def test_another_balance_than_the_one_in_the_lab_file_is_refused():
    it = Rig(SBI, model="MSE12")
    it.driver.open()
    it.device.model = "AB104-S"
    with pytest.raises(InstrumentFault, match="balance 'AB104-S' answers where 'MSE12' was expected") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


@pytest.mark.parametrize("simulation", [{}, {"lines": 16}, {"autoprint": True}, {"print": "stable"}])
def test_weighing_waits_for_the_pan_to_settle_however_the_balance_prints(simulation):
    it = rig(simulation=simulation)
    place(it, 10.0)
    it.begin("weigh")
    began_s = it.clock.now_s()
    look = it.finish()
    assert it.clock.now_s() - began_s > 2.0 and it.device.pan.stable(it.clock.now_s())
    assert look.readings["mass"].value == pytest.approx(22.5, abs=3e-3)
    assert look.readings["mass"].unit == "g" and look.achieved["mass"].unit == "g"


def test_two_stable_weights_that_contradict_each_other_are_both_refused():
    it = rig()
    exchange, said = it.driver.exchange, iter([Line(2.5, 1e-3, "g")])
    it.driver.exchange = lambda codec, command, deadline_s: next(said, None) or exchange(codec, command, deadline_s)
    it.begin("weigh")
    with pytest.raises(ProtocolError, match=r"P is answered with 2.5 g, then 12.5 g, both stable"):
        it.look()
    assert it.look().readings["mass"].value == 12.5


def test_a_tare_is_told_once_the_pan_stands_and_seen_in_the_weight():
    it = rig()
    place(it, 2.0)
    it.begin("tare")
    assert it.finish().readings["mass"].value == pytest.approx(0.0, abs=5e-3)
    assert it.device.zero_g + it.device.tare_g == pytest.approx(14.5, abs=3e-3)
    place(it, 0.25)
    it.begin("weigh")
    assert it.finish().readings["mass"].value == pytest.approx(0.25, abs=6e-3)


def test_a_tare_that_was_lost_on_the_line_is_told_again():
    it = rig()
    do, lost = it.device._do, []
    it.device._do = lambda command, now_s: lost.append(command) if command == "T" and not lost else do(command, now_s)
    it.begin("tare")
    it.finish()
    assert lost == ["T"] and it.sent.count(b"\x1bT\r\n") == 2


def test_zero_outside_its_range_is_a_fault_and_not_taken_for_done():
    it = rig(simulation={"load": "100 g"})
    it.begin("zero", within=(5.0, "s"))
    with pytest.raises(InstrumentFault, match=r"it shows 100 g after ESC V: .* outside its range") as caught:
        it.finish()
    assert caught.value.kind == "not_zeroed"


@pytest.mark.parametrize("mass_g, kind", [(2000.0, "overload"), (-100.0, "underload")])
@pytest.mark.parametrize("simulation", [{}, {"lines": 16}])
def test_too_much_and_no_pan_are_faults_not_values(mass_g, kind, simulation):
    it = rig(simulation=simulation)
    place(it, mass_g)
    it.wait(10.0)
    it.begin("weigh")
    with pytest.raises(InstrumentFault, match=kind) as caught:
        it.finish()
    assert caught.value.kind == kind


@pytest.mark.parametrize("simulation", [{}, {"print": "stable"}])
def test_a_pan_that_never_settles_is_a_fault(simulation):
    it = rig(simulation=simulation)
    it.begin("weigh", within=(5.0, "s"))
    with pytest.raises(InstrumentFault, match=r"not stable within 5 s") as caught:
        for n in range(40):
            place(it, 0.2 if n % 2 else -0.2)
            assert not it.look().done
            it.wait(0.3)
    assert caught.value.kind == "unstable"


def test_a_balance_that_answers_nothing_at_all_is_lost_and_not_unstable():
    it = rig()
    it.device._do = lambda command, now_s: None
    it.begin("weigh")
    with pytest.raises(LinkTimeout):
        it.look()


def test_a_moving_pan_has_a_mass_only_once_its_unit_was_told():
    it = rig()
    place(it, 5.0)
    assert it.driver.read().keys() == {"stable"} and it.driver.read()["stable"].value == "no"
    it.wait(10.0)
    assert it.driver.read()["mass"].value == pytest.approx(17.5, abs=3e-3)
    place(it, 5.0)
    assert it.driver.read()["mass"].unit == "g" and it.driver.read()["stable"].value == "no"


def test_an_adjustment_and_a_broken_balance_are_named():
    it = rig()
    it.device.receive(b"\x1bZ", it.clock.now_s())
    with pytest.raises(InstrumentFault, match=r"it says 'Cal.Int.' in the place of a weight") as caught:
        it.driver.read()
    assert caught.value.kind == "busy"
    it.device.adjusts_until_s = None
    it.device._print = lambda now_s: it.device._special("ERR 054", 3)
    with pytest.raises(InstrumentFault, match="'ERR 054'") as caught:
        it.driver.read()
    assert caught.value.kind == "hardware"


def test_a_balance_that_weighs_in_another_unit_is_not_converted_by_guess():
    it = rig()
    say = it.device._say
    it.device._say = lambda text: say(text.replace(" g  ", " ct "))
    with pytest.raises(InstrumentFault, match="it weighs in 'ct': set its unit to g in the menu") as caught:
        it.driver.read()
    assert caught.value.kind == "setup"


def test_a_balance_that_weighs_in_milligrams_is_read_in_grams():
    it = rig()
    it.device._say = lambda text: it.device._out.extend(text.replace("12.500 g ", "12.500 mg").encode() + b"\r\n")
    assert it.driver.read()["mass"].value == 0.0125


def test_stop_sends_nothing():
    it = rig()
    it.begin("tare")
    sent = len(it.sent)
    it.driver.stop()
    it.driver.stop()
    assert len(it.sent) == sent


def test_options():
    assert SBI.expected("weigh", {"within_s": 2.0}, {}).duration_s == 2.0
    with pytest.raises(SpecError, match="model = '' is no name"):
        SBI.declare({"model": ""})


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_no_mass_is_wrong(seed):
    it = Rig(SBI, faults="drop=0.05,flip=0.05,late=0.05,double=0.05,unsolicited=0.05", seed=seed)

    it.again_s = 0.3
    assert it.insist(it.driver.open).serial == "0037402012"
    for mass_g in (1.0, 200.0, -4.0):
        place(it, mass_g)
        it.begin("weigh")
        while not (look := it.insist(it.look)).done:
            it.wait(look.again_in_s)
        assert look.achieved["mass"] == Amount(pytest.approx(it.device.pan.load_g, abs=1e-2), "g")
