"""EZO pH: the bytes, from its datasheet; and the driver on a probe in a simulated beaker."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.atlas import EzoPh
from drivers.atlas_codec import Answer, Command, EzoCodec
from labloop.bench import InstrumentFault, LinkTimeout, ProtocolError, SpecError
from simulators.atlas import _COMMANDS
from tests.drivers.rigs import Rig

DATASHEET = "EZO pH datasheet V6.1, UART mode"

# command, codes known to be on, received, answer
TABLE = [
    ("i", True, b"?i,pH,2.16\r*OK\r", Answer(("pH", "2.16")), DATASHEET),
    ("Status", True, b"?Status,P,5.038\r*OK\r", Answer(("P", "5.038")), DATASHEET),
    ("R", True, b"7.203\r*OK\r", Answer(("7.203",)), DATASHEET),
    ("T,?", True, b"?T,25\r*OK\r", Answer(("25",)), DATASHEET),
    ("T,25.0", True, b"*OK\r", Answer(), DATASHEET),
    ("Cal,?", True, b"?Cal,2\r*OK\r", Answer(("2",)), DATASHEET),
    ("Cal,?", True, b"?CAL,2\r*OK\r", Answer(("2",)), "the family writes it in capitals, too"),
    ("Cal,mid,7.000", True, b"*OK\r", Answer(), DATASHEET),
    ("Slope,?", True, b"?Slope,99.7,100.3,-0.89\r*OK\r", Answer(("99.7", "100.3", "-0.89")), DATASHEET),
    ("*OK,?", False, b"?*OK,1\r", Answer(("1",)), DATASHEET),
    ("Name,?", True, b"?Name,\r*OK\r", Answer(("",)), "a circuit without a name"),
    ("i", True, b"*WA\r", Answer(woke=True), f"{DATASHEET}: any byte wakes it"),
    ("T,999999", True, b"*ER\r", Answer(refused=True), DATASHEET),
    ("i", False, b"?i,pH,2.16\r", Answer(("pH", "2.16")), "response codes off"),
    ("i", True, b"7.123\r?i,pH,2.16\r7.124\r*OK\r", Answer(("pH", "2.16")), "continuous mode, between the lines"),
    ("R", True, b"7.123\r7.124\r*OK\r", Answer(("7.124",)), "continuous mode: the last before its *OK"),
    ("T,?", False, b"*OK\r?T,25\r", Answer(("25",)), "behind an answer that was taken before"),
    ("*OK,?", False, b"OK\r?*OK,1\r", Answer(("1",)), "the rest of one that was thrown away as stale"),
    ("i", True, b".123\r?i,pH,2.16\r*OK\r", Answer(("pH", "2.16")), "the rest of a reading"),
    ("R", True, b"*RS\r*RE\r7.203\r*OK\r", Answer(("7.203",), notes=("*RS", "*RE")), f"{DATASHEET}: started again"),
    ("R", True, b"*UV\r7.203\r*OK\r", Answer(("7.203",), notes=("*UV",)), f"{DATASHEET}: supply below 3.1 V"),
]


def codec(asked, codes):
    made = EzoCodec()
    made.codes = codes
    assert made.encode(Command(asked)) == [asked.encode() + b"\r"] and made.expects_reply(Command(asked))
    return made


@pytest.mark.parametrize("asked, codes, received, reply, source", TABLE)
def test_answers(asked, codes, received, reply, source):
    assert codec(asked, codes).feed(received) == reply


@pytest.mark.parametrize("asked, codes, received, reply, source", TABLE)
def test_one_byte_at_a_time_is_the_same(asked, codes, received, reply, source):
    made = codec(asked, codes)
    assert [made.feed(received[n : n + 1]) for n in range(len(received))][-1] == reply


@pytest.mark.parametrize(
    "asked, received",
    [
        ("T,?", b"?Cal,2\r"),
        ("T,25.0", b"?T,25\r"),
        ("R", b"*SL\r7.2\r"),
        ("i", b"*SL\rOK\r"),
        ("R", b"7.203*OK\r"),
        ("i", b"LSCI,MODEL336\r"),
        ("i", b"\xff\xfe\r"),
        ("i", b"9" * 100),
    ],
)
def test_what_answers_something_else_is_refused(asked, received):
    with pytest.raises(ProtocolError):
        codec(asked, True).feed(received)


@given(st.sampled_from(["i", "R", "T,?", "T,25"]), st.booleans(), st.lists(st.binary(max_size=60), max_size=12))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, codes, pieces):
    made = codec(asked, codes)
    for piece in pieces:
        try:
            made.feed(piece + b"\r")
        except ProtocolError:
            made.reset()


@given(st.integers(1, 14000))
def test_a_reading_is_read_as_it_was_written(thousandths):
    written = f"{thousandths / 1000:.3f}"
    assert codec("R", True).feed(f"{written}\r*OK\r".encode()) == Answer((written,))


# --- the driver -------------------------------------------------------------------------------------------------------


def rig(**more):
    return Rig(EzoPh, **more).ready()


def calibrated(it, *points):
    for point, ph in points:
        it.device.beaker.dip(ph, it.clock.now_s())
        it.begin("calibrate", point=(point,), ph=(ph, "pH"))
        look = it.finish()
    it.device.beaker.dip(None, it.clock.now_s())
    return look


THREE = (("mid", 7.0), ("low", 4.0), ("high", 10.0))


def test_continuous_mode_goes_off_and_response_codes_on():
    it = Rig(EzoPh)
    it.device.codes = False
    identity = it.driver.open()
    assert (identity.model, identity.firmware, identity.first_reply) == ("EZO pH", "2.16", "?i,pH,2.16")
    assert (it.device.every_s, it.device.codes) == (1, False)  # nothing was set
    it.driver.configure()
    assert (it.device.every_s, it.device.codes) == (0, True)
    said = len(it.sent)
    it.driver.configure()
    assert not [one for one in it.sent[said:] if b"?" not in one]


def test_one_that_sleeps_is_woken():
    it = Rig(EzoPh)
    it.device.asleep = True
    assert it.driver.open().model == "EZO pH"


def test_a_calibrated_probe_measures_what_is_in_the_beaker():
    it = rig(simulation={"beaker": {"ph": 5.5, "slope": 93.0, "zero": "12 mV"}})
    look = calibrated(it, *THREE)
    assert look.readings["points"].value == 3.0 and look.readings["zero"].value == pytest.approx(12.0, abs=0.2)
    assert look.readings["slope_acid"].value == pytest.approx(93.0, abs=0.3)
    assert look.readings["slope_base"].value == pytest.approx(93.0, abs=0.3)
    it.begin("measure")
    ph = it.finish().readings["ph"]
    assert ph.value == pytest.approx(5.5, abs=0.01) and ph.unit == "pH"
    assert it.ledger == []


def test_without_a_calibration_it_is_off_by_what_the_probe_is():
    it = rig(simulation={"beaker": {"ph": 4.0, "slope": 90.0, "zero": "0 V"}})
    it.begin("measure")
    assert it.finish().readings["ph"].value == pytest.approx(7.0 - 0.9 * 3.0, abs=0.01)


def test_the_temperature_is_compensated_for():
    it = rig(simulation={"beaker": {"ph": 10.0, "temperature": "60 degC", "slope": 100.0, "zero": "0 V"}})
    it.begin("measure", temperature=(60.0, "degC"))
    assert it.finish().readings["ph"].value == pytest.approx(10.0, abs=0.01)
    it.begin("measure", temperature=(25.0, "degC"))
    assert it.finish().readings["ph"].value == pytest.approx(7.0 + 3.0 * 333.15 / 298.15, abs=0.01)


def test_it_waits_until_the_probe_has_settled():
    it = rig(simulation={"beaker": {"slope": 100.0, "zero": "0 V", "settles": "10 s"}})
    it.device.beaker.dip(4.0, it.clock.now_s())
    it.begin("measure", tolerance=(0.01, "pH"))
    look = it.finish()
    assert look.readings["ph"].value == pytest.approx(4.0, abs=0.015)
    assert it.clock.now_s() - it.began_s > 50.0


def test_a_probe_that_never_settles_is_a_fault():
    it = rig(simulation={"beaker": {"settles": "1000 s"}})
    it.device.beaker.dip(2.0, it.clock.now_s())
    it.begin("measure", within=(60.0, "s"), tolerance=(0.002, "pH"))
    with pytest.raises(InstrumentFault, match=r"pH is not steady after \d\d s") as caught:
        it.finish()
    assert caught.value.kind == "unsteady"


def test_a_power_cut_during_a_measurement_is_noticed():
    it = rig()
    it.begin("measure", temperature=(40.0, "degC"))
    it.look()
    it.device.power_cycle(it.clock.now_s())
    with pytest.raises(InstrumentFault, match="compensates for 25 degC, not 40 degC any more") as caught:
        it.finish()
    assert caught.value.kind == "restarted"


def test_a_supply_that_is_too_low_is_a_fault():
    it = rig()
    it.begin("measure")
    reading = it.device._reading
    it.device._reading = lambda: "*UV\r" + reading()
    with pytest.raises(InstrumentFault, match="its supply is too low") as caught:
        it.finish()
    assert caught.value.kind == "supply"


def test_low_before_mid_is_refused_by_the_circuit():
    it = rig()
    it.begin("calibrate", point=("low",), ph=(4.0, "pH"))
    with pytest.raises(InstrumentFault, match=r"refuses 'Cal,low,4.000'") as caught:
        it.finish()
    assert caught.value.kind == "refused"


def test_mid_forgets_the_others_and_forget_all():
    it = rig()
    calibrated(it, *THREE)
    assert calibrated(it, ("mid", 7.0)).readings["points"].value == 1.0
    it.begin("forget")
    assert it.finish().done and it.device.points == {}


def test_find_blinks_until_the_stop():
    it = rig()
    action, settings = EzoPh.nudge({})
    it.begin(action, **settings)
    assert it.look().done and it.device.finding
    it.driver.stop()
    assert not it.device.finding


def test_acid_from_a_pump_lowers_the_ph():
    stand = {"beaker": {"catches": {"pump": "-100 mM"}, "slope": 100.0, "zero": "0 V"}}
    it = rig(simulation=stand)
    it.begin("measure")
    before = it.finish().readings["ph"].value
    it.bench.ledger.begin(it.clock.now_s(), "pump", "dispense", 2000.0, "uL")
    it.bench.ledger.end(it.clock.now_s(), "pump", "dispense", 2000.0, "uL")
    it.begin("measure")
    after = it.finish().readings["ph"].value
    # 0.5 mmol of buffer, of which 0.193 are base at pH 7 (pKa 7.2); of 0.2 mmol of acid the rest is free.
    free_mmol = 0.2 - 0.5 * 10**-7.2 / (10**-7.2 + 10**-7.0)
    assert before == pytest.approx(7.0, abs=0.01) and after == pytest.approx(-math.log10(free_mmol / 52.0), abs=0.02)


@pytest.mark.parametrize("name, answered", [("left", ""), ("left", "right")])
def test_another_circuit_is_refused_by_its_name(name, answered):
    it = Rig(EzoPh, name=name)
    it.device.called = answered
    with pytest.raises(InstrumentFault, match=f"called '{answered}' answers where 'left' was expected") as caught:
        it.driver.open()
    assert caught.value.kind == "identity"


def test_a_circuit_for_something_else_is_refused(monkeypatch):
    it = Rig(EzoPh)
    monkeypatch.setitem(_COMMANDS, "I", lambda device, rest: "?i,EC,2.16")
    with pytest.raises(InstrumentFault, match="an EZO EC circuit answers where one for pH was expected"):
        it.driver.open()


def test_i2c_mode_is_silence():
    it = Rig(EzoPh)
    it.device.receive = lambda data, now_s: b""
    with pytest.raises(LinkTimeout):
        it.driver.open()


@pytest.mark.parametrize("options", [{"name": ""}, {"name": 5}, {"address": 3}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(SpecError):
        EzoPh.declare(options)


def test_a_window_longer_than_its_time_is_refused():
    values = {"window_s": 60.0, "within_s": 30.0}
    assert EzoPh.complaint("measure", values, {}) == "window is longer than within"
    assert EzoPh.complaint("forget", {}, {}) == ""


@pytest.mark.parametrize("seed", range(6))
def test_on_a_bad_line_no_ph_is_wrong(seed):
    it = Rig(EzoPh, faults="drop=0.03,flip=0.03,late=0.03,double=0.03,unsolicited=0.03", seed=seed)

    it.insist(it.driver.open)
    it.insist(it.driver.configure)
    assert it.device.every_s == 0
    it.insist(lambda: it.begin("measure", temperature=(30.0, "degC")))
    while not (look := it.insist(it.look)).done:
        it.wait(look.again_in_s)
    truth = it.device.shows_ph(it.device.beaker.mv(it.clock.now_s()))
    assert it.device.temperature_c == 30.0 and look.readings["ph"].value == pytest.approx(truth, abs=0.01)
    it.insist(it.driver.stop)
