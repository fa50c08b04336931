"""MT-SICS balances: the bytes, from recorded traffic and from the manuals; and the driver on the simulated balance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mettler_toledo import MTSICS, Command, Reply, SicsCodec
from labloop.bench import Amount, InstrumentFault, ProtocolError, SpecError
from tests.drivers.rigs import Rig

CAPTURED = "captured from mettler_toledo_device 1.5.0 on a pty"
RECORDED = "recorded on a WXS205SDU (PyLabRobot, hardware_validation.ipynb)"
MANUAL = "MT-SICS reference manual 11781363, sections 2.1 and 3"

# command, sent, received, reply, source
TABLE = [
    ("I4", b"I4\r\n", b'I4 A "B123456789"\r\n', Reply("A", text="B123456789"), CAPTURED),
    ("I4", b"I4\r\n", b'I4 A "B207696838"\r\n', Reply("A", text="B207696838"), RECORDED),
    ("@", b"@\r\n", b'I4 A "B207696838"\r\n', Reply("A", text="B207696838"), RECORDED),
    (
        "I2", b"I2\r\n", b'I2 A "WXS205SDU WXA-Bridge 220.00900 g"\r\n',
        Reply("A", text="WXS205SDU WXA-Bridge 220.00900 g"), RECORDED,
    ),
    ("I3", b"I3\r\n", b'I3 A "2.10 10.28.0.493.142"\r\n', Reply("A", text="2.10 10.28.0.493.142"), MANUAL),
    ("SI", b"SI\r\n", b"S D    52.1874 g\r\n", Reply("D", 52.1874, 1e-4), CAPTURED),
    ("SI", b"SI\r\n", b"S S    -0.0082 g\r\n", Reply("S", -0.0082, 1e-4), MANUAL),
    ("SI", b"SI\r\n", b"S S    100.00  g\r\n", None, "a character slipped: not ten before the unit"),
    ("SI", b"SI\r\n", b"S S     100.00 g\r\n", Reply("S", 100.0, 0.01), MANUAL),
    ("SI", b"SI\r\n", b"S S     250.00 mg\r\n", Reply("S", 0.25, 1e-5), MANUAL),
    ("SI", b"SI\r\n", b"S S      12.50 ct\r\n", Reply("unit", text="ct"), MANUAL),
    ("SI", b"SI\r\n", b"S I\r\n", Reply("I"), MANUAL),
    ("SI", b"SI\r\n", b"S +\r\n", Reply("+"), MANUAL),
    ("SI", b"SI\r\n", b"S -\r\n", Reply("-"), MANUAL),
    ("SI", b"SI\r\n", b"S S    Error  10b\r\n", Reply("Error", text="10b"), MANUAL),
    ("ZI", b"ZI\r\n", b"ZI S\r\n", Reply("S"), CAPTURED),
    ("ZI", b"ZI\r\n", b"ZI +\r\n", Reply("+"), MANUAL),
    ("TI", b"TI\r\n", b"TI S    12.3456 g\r\n", Reply("S", 12.3456, 1e-4), MANUAL),
    ("TA", b"TA\r\n", b"TA A     0.0000 g\r\n", Reply("A", 0.0, 1e-4), MANUAL),
    ("SI", b"SI\r\n", b"ES\r\n", Reply("ES"), RECORDED),
    ("SI", b"SI\r\n", b"ET\r\n", Reply("ET"), MANUAL),
]  # fmt: skip
SOUND = [row for row in TABLE if row[3] is not None]


def codec(asked):
    made = SicsCodec()
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize("command, sent, received, reply, source", TABLE)
def test_lines(command, sent, received, reply, source):
    made = SicsCodec()
    assert made.encode(Command(command)) == [sent] and made.expects_reply(Command(command))
    if reply is None:
        with pytest.raises(ProtocolError):
            made.feed(received)
    else:
        said = made.feed(received)
        assert (said.status, said.text) == (reply.status, reply.text)
        assert said.value == pytest.approx(reply.value) and said.digit == pytest.approx(reply.digit)


@pytest.mark.parametrize("command, sent, received, reply, source", SOUND)
def test_one_byte_at_a_time_is_the_same(command, sent, received, reply, source):
    made = codec(command)
    for byte in received[:-1]:
        assert made.feed(bytes([byte])) is None
    assert made.feed(received[-1:]) == codec(command).feed(received)


@pytest.mark.parametrize("asked", ["I2", "I3", "I4", "TA", "TI", "ZI"])
def test_weights_and_serial_numbers_that_come_unasked_are_passed_over(asked):
    made = codec(asked)
    assert made.feed(b"S D    52.1874 g\r\nS I\r\n") is None
    received, reply = next((row[2], row[3]) for row in SOUND if row[0] == asked)
    if asked != "I4":
        assert made.feed(b'I4 A "B123456789"\r\n') is None
    assert made.feed(received) == reply


@pytest.mark.parametrize(
    "asked, received",
    [
        ("SI", b"ZI S\r\n"),
        ("I4", b"ZI S\r\n"),
        ("TA", b"TI S    12.3456 g\r\n"),
        ("SI", b"S A\r\n"),
        ("SI", b"S S   52.1873 g\r\n"),  # a blank was lost
        ("SI", b"S S    52.173 g\r\n"),  # a digit was lost
        ("SI", b"S S     521873 g\r\n"),
        ("SI", b"S S   052.1873 g\r\n"),
        ("SI", b"S S    5-.1873 g\r\n"),
        ("SI", b"\xd3 \xd3    52.1873 g\r\n"),  # parity noise
        ("SI", b"\r\n"),
        ("SI", b"9" * 300),
    ],
)
def test_what_answers_something_else_or_was_damaged_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked).feed(received)


@pytest.mark.parametrize("asked", ["SI", "TI", "ZI", "TA", "I2", "I3", "I4"])
def test_a_late_answer_to_what_finds_the_place_in_the_line_is_refused_and_tells_of_no_switching_on(asked):
    made = codec(asked)
    probe = made.probe(Command(asked))
    late = next(row[2] for row in SOUND if row[0] == probe.text)
    with pytest.raises(ProtocolError):
        made.feed(late)
    assert not made.switched_on


@given(st.sampled_from(["SI", "TI", "ZI", "TA", "I2", "I4", "@"]), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for piece in pieces:
        try:
            made.feed(piece + b"\r\n")
        except ProtocolError:
            made.reset()


@given(st.integers(-(10**7), 10**8), st.integers(1, 5), st.sampled_from("SD"), st.sampled_from(["g", "mg", "kg"]))
def test_what_a_balance_writes_is_what_is_read(digits, decimals, status, unit):
    text = f"{digits / 10**decimals:.{decimals}f}"
    reply = codec("SI").feed(f"S {status} {text:>10} {unit}\r\n".encode()) if len(text) <= 10 else None
    if reply is not None:
        factor = {"g": 1.0, "mg": 1e-3, "kg": 1e3}[unit]
        assert reply.status == status and reply.value == pytest.approx(float(text) * factor)
        assert reply.digit == pytest.approx(10.0**-decimals * factor)


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(MTSICS, **more).ready()


def place(it, mass_g):
    it.device.pan.place(mass_g, it.clock.now_s())


def test_open_tells_model_serial_number_and_firmware():
    identity = Rig(MTSICS).driver.open()
    assert (identity.model, identity.serial) == ("XS205DU Excellence", "B123456789")
    assert identity.firmware == "2.10 10.28.0.493.142"


def test_another_balance_than_the_one_in_the_lab_file_is_refused():
    it = Rig(MTSICS, model="XS205")
    it.driver.open()
    it.device.model = "AB104-S"
    with pytest.raises(InstrumentFault, match="balance 'AB104-S' answers where 'XS205' was expected") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_something_else_that_speaks_mt_sics_is_refused():
    it = Rig(MTSICS)
    it.device.model = "SevenExcellence pH"
    it.device.pan.capacity_g = float("nan")
    with pytest.raises(InstrumentFault, match="'SevenExcellence pH nan g' answers where a balance was expected"):
        it.driver.open()


def test_weighing_waits_for_the_pan_to_settle():
    it = rig()
    place(it, 10.0)
    it.begin("weigh")
    looks = [it.look()]
    while not looks[-1].done:
        assert not it.device.pan.stable(it.clock.now_s())
        it.wait(looks[-1].again_in_s)
        looks.append(it.look())
    assert len(looks) > 3
    assert looks[-1].readings["mass"].value == pytest.approx(22.5, abs=3e-4)
    assert looks[-1].readings["mass"].unit == "g" and looks[-1].achieved["mass"].unit == "g"


def test_a_tare_is_taken_off_what_is_weighed_afterwards():
    it = rig()
    it.begin("tare")
    assert it.finish().readings["tare"].value == pytest.approx(12.5, abs=3e-4)
    place(it, 0.25)
    it.begin("weigh")
    look = it.finish()
    assert look.readings["mass"].value == pytest.approx(0.25, abs=6e-4)
    assert look.readings["tare"].value == pytest.approx(12.5, abs=3e-4), "so a journal and a limit see it"
    said = it.driver.read()
    assert said["tare"].value == pytest.approx(12.5, abs=3e-4) and said["stable"].value == "yes"


def test_a_tare_on_a_moving_pan_is_taken_again_once_it_stands():
    it = rig()
    place(it, 5.0)
    it.begin("tare")
    it.driver._look = lambda: Reply("S", 0.0, 1e-4)  # as if it were stable just then
    assert not it.look().done and b"TI\r\n" in it.sent
    del it.driver._look
    assert it.finish().readings["tare"].value == pytest.approx(17.5, abs=3e-4)


def test_zero_clears_the_tare_and_has_a_range():
    it = rig(simulation={"load": "3 g"})
    it.begin("tare")
    it.finish()
    it.begin("zero")
    assert it.finish().readings["mass"].value == pytest.approx(0.0, abs=1e-4)
    assert it.driver.read()["tare"].value == 0.0
    place(it, 50.0)
    it.begin("zero")
    with pytest.raises(InstrumentFault, match="outside its zero range: tare it instead") as caught:
        it.finish()
    assert caught.value.kind == "zero_range"


def test_after_zeroing_there_is_no_tare_to_be_missed():
    it = rig(simulation={"load": "3 g"})
    for action in ("tare", "zero", "weigh"):
        it.begin(action)
        look = it.finish()
    assert look.readings["mass"].value == pytest.approx(0.0, abs=3e-4)


def test_two_stable_weights_that_contradict_each_other_are_both_refused():
    it = rig()
    exchange, said = it.driver.exchange, iter([Reply("S", 2.5, 1e-4)])

    def heard(codec, command, deadline_s):
        return (next(said, None) if command.text == "SI" else None) or exchange(codec, command, deadline_s)

    it.driver.exchange = heard
    it.begin("weigh")
    with pytest.raises(ProtocolError, match=r"SI was answered with 2.5 g and then with 12.5 g, both stable"):
        it.look()
    assert it.look().readings["mass"].value == 12.5


@pytest.mark.parametrize("mass_g, kind", [(300.0, "overload"), (-100.0, "underload")])
def test_too_much_and_no_pan_are_faults_not_values(mass_g, kind):
    it = rig()
    place(it, mass_g)
    it.wait(10.0)
    it.begin("weigh")
    with pytest.raises(InstrumentFault, match=kind) as caught:
        it.finish()
    assert caught.value.kind == kind
    with pytest.raises(InstrumentFault):
        it.driver.read()


def test_a_pan_that_never_settles_is_a_fault():
    it = rig()
    it.begin("weigh", within=(5.0, "s"))
    with pytest.raises(InstrumentFault, match=r"not stable within 5 s \(last about .* g\)") as caught:
        for _ in range(40):
            place(it, 0.01)
            assert not it.look().done
            it.wait(0.5)
    assert caught.value.kind == "unstable"


def test_a_power_cut_between_tare_and_weighing_is_found_by_the_tare_memory():
    it = rig()
    it.begin("tare")
    it.finish()
    place(it, 0.25)
    it.wait(10.0)
    it.device.power_cycle(it.clock.now_s())
    it.wait(5.0)
    it.bench.settle(it.clock.now_s())
    it.device._out.clear()  # what tells of it was lost on the line
    it.begin("weigh")
    with pytest.raises(InstrumentFault, match=r"its tare is 0 g where 12\.\d+ g was tared") as caught:
        it.finish()
    assert caught.value.kind == "reset"


def test_a_balance_that_was_switched_on_meanwhile_weighs_no_more_until_it_is_zeroed_or_tared():
    it = rig()
    it.device.power_cycle(it.clock.now_s())
    it.wait(5.0)
    for _ in range(2):
        it.begin("weigh")
        with pytest.raises(
            InstrumentFault, match="it was switched off and on, and takes what stood on its pan"
        ) as caught:
            it.finish()
        assert caught.value.kind == "reset"
    it.begin("tare")
    it.finish()
    place(it, 0.25)
    it.wait(10.0)
    it.begin("weigh")
    assert it.finish().readings["mass"].value == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("mains", [True, False])
def test_a_zero_of_which_nobody_can_tell_that_it_stands_weighs_nothing_after_the_line_was_away(mains):
    """Nothing tells of a zero; switched off and on behind a cable that was out, it took the pan's load for one."""
    it = rig(simulation={"load": "3 g"})
    it.begin("zero")
    it.finish()
    place(it, 0.25)
    if mains:
        it.device.power_cycle(it.clock.now_s())
    it.wait(5.0)
    it.bench.settle(it.clock.now_s())
    it.device._out.clear()  # the cable was out
    it.driver.open()
    for _ in range(2):
        it.begin("weigh")
        with pytest.raises(InstrumentFault, match="its line was away since it was zeroed") as caught:
            it.finish()
        assert caught.value.kind == "reset"
    it.begin("zero")
    it.finish()
    it.begin("weigh")
    assert it.finish().done


def test_a_tare_tells_by_itself_that_the_balance_was_on_while_its_line_was_away():
    it = rig()
    it.begin("tare")
    it.finish()
    it.driver.open()
    it.begin("weigh")
    assert it.finish().done


@pytest.mark.parametrize("asked", ["read", "stands", "stop"])
def test_it_is_not_forgotten_when_something_else_is_asked_before_it_weighs(asked):
    """A watch that reads the balance between two steps threw the line away, and a wrong mass was learnt."""
    it = rig()
    it.device.power_cycle(it.clock.now_s())
    it.wait(5.0)
    getattr(it.driver, asked)()
    it.begin("weigh")
    with pytest.raises(InstrumentFault, match="it was switched off and on"):
        it.finish()


@pytest.mark.parametrize("said", [b'I4 A "B123456789"\r\n', b'S S    12.4I4 A "B123456789"\r\n'])
@pytest.mark.parametrize("portions", [1, 7, 60])
@pytest.mark.parametrize("way", ["overhears", "feed"])
def test_that_it_was_switched_on_is_heard_in_any_portions(said, portions, way):
    """A serial port gives the first byte alone; and the line may follow what the power cut has broken off."""
    made = codec("SI")
    for at in range(0, len(said), portions):
        try:
            getattr(made, way)(said[at : at + portions])
        except ProtocolError:
            made.reset()
    assert made.switched_on


def test_of_a_serial_number_that_was_asked_for_and_comes_late_or_twice_nothing_is_thought():
    it = rig()
    number = b'I4 A "B123456789"\r\n'
    made = codec("I4")
    made.overhears(number)
    made.feed(number)
    made.overhears(number)
    assert not made.switched_on
    made.encode(Command("I3"))
    made.feed(b'I3 A "2.10 10.28.0.493.142"\r\n')
    made.overhears(number)
    assert made.switched_on
    it.driver.stop()
    it.begin("weigh")
    assert it.finish().done


def test_a_balance_that_was_left_repeating_is_heard_all_the_same():
    it = Rig(MTSICS)
    it.device.receive(b"SIR\r\n", 0.0)
    it.wait(5.0)
    assert it.driver.open().serial == "B123456789"
    assert it.device.repeats_s is None


def test_stop_ends_what_the_balance_waits_for():
    it = rig()
    place(it, 1.0)
    it.device.receive(b"S\r\n", it.clock.now_s())
    assert it.device.waits == "S"
    it.driver.stop()
    assert it.device.waits == "" and it.sent[-1] == b"@\r\n"


def test_a_balance_that_weighs_in_another_unit_is_not_converted_by_guess():
    it = rig()
    written = it.device._written
    it.device._written = lambda mass_g: written(mass_g).replace(" g", " ct")
    with pytest.raises(InstrumentFault, match="it weighs in 'ct': set the unit for the host to g") as caught:
        it.driver.read()
    assert caught.value.kind == "setup"


def test_a_broken_cell_and_a_command_it_does_not_know_are_named():
    it = rig()
    it.device._written = lambda mass_g: "  Error  10b"
    with pytest.raises(InstrumentFault, match="it reports error 10b") as caught:
        it.driver.read()
    assert caught.value.kind == "hardware"
    it = Rig(MTSICS)
    it.device._tell = lambda command: it.device._say("ES")
    with pytest.raises(InstrumentFault, match=r"I2: it does not know this command \(ES\)"):
        it.driver.open()


def test_an_answer_that_was_damaged_into_a_fault_is_asked_again():
    it = rig()
    exchange, spoilt = it.driver.exchange, iter([Reply("+")])
    it.driver.exchange = lambda codec, command, deadline_s: next(spoilt, None) or exchange(codec, command, deadline_s)
    assert it.driver.read()["mass"].value == pytest.approx(12.5, abs=3e-4)


def test_options():
    assert MTSICS.expected("weigh", {"within_s": 60.0}, {}).duration_s == 4.0
    with pytest.raises(SpecError, match="model = '' is no name"):
        MTSICS.declare({"model": ""})


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_line_no_mass_is_wrong(seed):
    it = Rig(MTSICS, faults="drop=0.05,flip=0.05,late=0.05,double=0.05,unsolicited=0.05", seed=seed)

    it.again_s = 0.3
    assert it.insist(it.driver.open).serial == "B123456789"
    for mass_g in (1.0, 20.0, -4.0):
        place(it, mass_g)
        it.begin("weigh")
        while not (look := it.insist(it.look)).done:
            it.wait(look.again_in_s)
        assert look.achieved["mass"] == Amount(pytest.approx(it.device.pan.load_g, abs=1e-3), "g")
    it.insist(it.driver.stop)
