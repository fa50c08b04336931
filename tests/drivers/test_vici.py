"""VICI actuators: the bytes, from manuals and from what others' clients expect; and the driver on the simulated one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.vici import LIMIT_S, Actuator
from drivers.vici_codec import ANSWERS, Command, ViciCodec
from labloop.bench import Amount, InstrumentFault, LinkError, LinkInterrupted, ProtocolError, SpecError
from tests.drivers.rigs import Rig

MANUAL = "EUT manual p. 15 to 17"
LG1 = "pyseq2, a MATLAB class and a Haskell module, for microelectric actuators"

# question, received, answer, source
TABLE = [
    ("CP", b"CP03\r", "3", MANUAL),
    ("CP", b"CP10\r", "10", MANUAL),
    ("CP", b"CPA\r", "A", MANUAL),
    ("CP", b"CPB\r\n", "B", "DEL3"),
    ("CP", b"Position is  = 3\r", "3", LG1),
    ("CP", b'Position is  = "A"\r', "A", "flowchem strips quotes"),
    ("CP", b"GO03\rCP03\r", "3", "vicivalve: with IFM1 a turn is told when it is done"),
    ("AM", b"AM3\r", "3", MANUAL),
    ("AM", b"AM = 1\r", "1", "LG1"),
    ("NP", b"NP10\r", "10", MANUAL),
    ("NP", b"NP = 10\r", "10", LG1),
    ("NP", b"NP6\r", "6", MANUAL),
]


def codec(asked, prefix=""):
    made = ViciCodec(prefix)
    made.encode(Command(asked))
    return made


@pytest.mark.parametrize(("asked", "received", "answer", "source"), TABLE)
def test_answers(asked, received, answer, source):
    assert codec(asked).feed(received) == answer
    slow = codec(asked)
    assert [said for byte in received if (said := slow.feed(bytes([byte])))] == [answer], source


@pytest.mark.parametrize(
    ("command", "prefix", "sent", "source"),
    [
        ("CP", "", b"CP\r", MANUAL),
        ("AM", "", b"AM\r", MANUAL),
        ("GO3", "", b"GO3\r", MANUAL),
        ("GOB", "", b"GOB\r", MANUAL),
        ("GO3", "1", b"1GO3\r", "two-position microelectric manual p. 5"),
        ("GO3", "/1", b"/1GO3\r", "vicivalve 0.1.0"),
    ],
)
def test_commands(command, prefix, sent, source):
    made = ViciCodec(prefix)
    assert made.encode(Command(command)) == [sent], source
    assert made.expects_reply(Command(command)) == (command in ANSWERS) and not made.urgent(Command(command))


@pytest.mark.parametrize("text", ["", "GO", "GO0", "GO100", "GOC", "NP4", "AM1", "SB192", "CP\rGO3", "LRN", "HM"])
def test_what_is_never_said(text):
    """Nothing that is kept when the mains go: mode, number of positions, baud rate, stops."""
    with pytest.raises(SpecError):
        Command(text)


@pytest.mark.parametrize(
    "received", [b"CP = Bad command\r", b"NP10\r", b"CP\r", b"CPC\r", b"CP100\r", b"\r", b"1CP03\r"]
)
def test_what_answers_something_else_is_refused(received):
    with pytest.raises(ProtocolError, match="is no answer to 'CP'"):
        codec("CP").feed(received)


@pytest.mark.parametrize("made", [ViciCodec(), codec("GO3")])
def test_an_answer_that_nobody_waits_for_is_refused(made):
    with pytest.raises(ProtocolError, match=r"b'CP03' is no answer to '(GO3)?'"):
        made.feed(b"CP03\r")


def test_an_endless_line_is_given_up():
    with pytest.raises(ProtocolError):
        codec("CP").feed(b"C" * 200)


@pytest.mark.parametrize("said", [b"CP03\r", b"1CP03\r"])
def test_an_answer_may_have_the_id_in_front(said):
    assert codec("CP", "1").feed(said) == "3"


@pytest.mark.parametrize("echoed", [False, True])
@pytest.mark.parametrize(("asked", "received", "answer", "source"), TABLE)
def test_an_id_that_begins_an_answer_is_not_taken_off_it(asked, received, answer, source, echoed):
    for prefix in ("C", "A", "N", "P", "G"):
        id_ = prefix.encode() if echoed else b""
        lines = received.replace(b"\n", b"").split(b"\r")[:-1]
        assert codec(asked, prefix).feed(b"".join(id_ + line + b"\r" for line in lines)) == answer, (prefix, source)


@pytest.mark.parametrize("asked", list(ANSWERS))
def test_the_answer_to_a_probe_is_never_taken_for_the_one_that_is_owed(asked):
    probe = codec(asked).probe(Command(asked))
    for other, received, _, _ in TABLE:
        if other == asked:
            with pytest.raises(ProtocolError):
                codec(probe.text).feed(received)


@given(st.sampled_from(list(ANSWERS)), st.lists(st.binary(max_size=200), max_size=20))
def test_random_bytes_raise_nothing_but_protocol_errors(asked, pieces):
    made = codec(asked)
    for data in pieces:
        try:
            said = made.feed(data)
        except ProtocolError:
            made.reset()
        else:
            assert said is None or said in ("A", "B") or 0 <= int(said) <= 99


@given(st.integers(1, 40), st.booleans())
def test_what_an_actuator_says_is_what_is_read(place, long):
    assert codec("CP").feed(f"Position is  = {place}\r".encode() if long else f"CP{place:02d}\r".encode()) == str(place)


# --- the driver ------------------------------------------------------------------------------------------------------

TURN = {"position": ("acid", "")}
QUICK = {"simulation": {"switching": "0.4 s"}}
LETTERS = {"valve": {"load": "A", "inject": "B"}, **QUICK}


def rig(**more):
    return Rig(Actuator, **{**QUICK, **more}).ready()


def test_it_says_who_it_is_and_where():
    it = rig()
    found = it.driver.open()
    assert (found.model, found.first_reply) == ("VICI actuator, multiposition", "AM3, CP1")
    assert it.driver.read()["position"].value == "water"
    it.device.place = 7
    assert it.driver.read()["position"].value == "7"
    assert Rig(Actuator, **LETTERS).driver.open().model == "VICI actuator, two positions, with stops"


@pytest.mark.parametrize("lg", [0, 1])
@pytest.mark.parametrize("ifm", [0, 1, 2])
def test_it_turns_however_the_actuator_answers(lg, ifm):
    it = rig()
    it.device.settings |= {"LG": lg, "IFM": ifm}
    for name, place in (("acid", 4), ("waste", 10), ("water", 1)):
        it.begin("turn", f"act-{name}", position=(name, ""))
        assert not it.look().done
        look = it.finish()
        assert it.device.place == place and look.readings["position"].value == name
        assert it.clock.now_s() - it.began_s == pytest.approx(0.4, abs=0.2)


def test_two_positions():
    it = rig(**LETTERS)
    it.begin("turn", position=("inject", ""))
    it.finish()
    assert it.device.place == 2 and b"GOB\r" in it.sent
    assert it.driver.read()["position"].value == "inject"


def test_where_it_is_already_nothing_is_said():
    it = rig()
    amounts = it.begin("turn", position=("water", ""))
    assert it.look().done and it.ledger == [] and not any(b"GO" in one for one in it.sent)
    assert it.happened("turn", amounts, {}).state == "done"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"simulation": {"mode": 1}},
            r"its mode is 1 \(two positions, with stops\), the lab file names its positions num",
        ),
        (
            {**LETTERS, "simulation": {"mode": 3}},
            r"its mode is 3 \(multiposition\), the lab file names its positions A and",
        ),
        ({"simulation": {"positions": 8}}, "it has 8 positions, the lab file names number 10"),
    ],
)
def test_another_valve_than_the_lab_files_is_refused(more, said):
    it = Rig(Actuator, **more)
    with pytest.raises(InstrumentFault, match=said) as caught:
        it.driver.open()
    assert caught.value.kind == "identity" and not any(b"GO" in one for one in it.sent)


def test_a_valve_that_does_not_get_there_is_a_stall():
    it = rig()
    it.begin("turn", **TURN)
    it.device.stall(it.clock.now_s() + 0.1)
    assert not it.look().done
    it.wait(LIMIT_S + 1.0)
    with pytest.raises(InstrumentFault, match="it is at water 11 s after it was sent to acid") as caught:
        it.look()
    assert caught.value.kind == "stall"


def test_what_became_of_a_turn():
    it = rig()
    amounts = it.begin("turn", **TURN)
    verdict = it.happened("turn", amounts, {})
    assert verdict.state == "cannot_tell" and "at water, and tells of no other place before" in verdict.why
    assert it.restarted().happened("turn", amounts, {}, "act-1").state == "cannot_tell"
    it.wait(1.0)
    assert it.happened("turn", amounts, {}).state == "done"
    it.begin("turn", "act-2", position=("waste", ""))
    it.device.power_cycle(it.clock.now_s() + 0.1)
    assert it.happened("turn", {"position": Amount("waste")}, {}, "act-2").state == "cannot_tell"


@pytest.mark.parametrize("from_there", [False, True])
def test_one_that_was_turned_by_hand_since_it_came_there_says_so(from_there):
    it = rig()
    if from_there:
        it.begin("turn", "act-0", **TURN)
        it.wait(2.0)
    amounts = it.begin("turn", **TURN)
    it.wait(2.0)
    assert it.look().done and it.happened("turn", amounts, {}).state == "done"
    it.device.place = 1
    verdict = it.happened("turn", amounts, {})
    assert verdict.state == "not_begun" and verdict.why == "it had come to acid, and stands at water since"
    assert it.happened("turn", amounts, {}, "another").state == "cannot_tell"
    it.begin("turn", "act-2", position=("acid", ""))
    assert it.happened("turn", amounts, {}, "act-2").state == "cannot_tell", "it is on its way"


def test_an_act_that_never_went_out_is_not_begun():
    it = rig()
    it.port.link.interrupt()
    with pytest.raises(LinkInterrupted):
        it.begin("turn", **TURN)
    it.port.link.resume()
    amounts = {"position": Amount("acid")}
    assert it.happened("turn", amounts, {}).state == "not_begun"
    assert it.restarted().happened("turn", amounts, {}, "act-1").state == "cannot_tell"


def test_a_stop_lets_it_turn_and_sees_that_somebody_is_there():
    it = rig()
    it.begin("turn", **TURN)
    said = len(it.sent)
    it.driver.stop()
    assert it.sent[said:] == [b"CP\r"]
    it.wait(1.0)
    assert it.driver.read()["position"].value == "acid"
    it.device.receive = lambda data, now_s: b""
    with pytest.raises(LinkError):
        it.driver.stop()


def test_two_on_one_line_are_told_apart():
    other = {"prefix": "B", "valve": {"load": "A", "inject": "B"}, "switching": "0.4 s"}
    it = rig(prefix="/1", more={"other": other})
    it.begin("turn", **TURN)
    it.finish()
    assert (it.device.place, it.bench.devices["other"].place) == (4, 1)
    assert all(one.startswith(b"/1") for one in it.sent)


WRONG = [
    ({"valve": None}, "needs the positions of its valve"),
    ({"valve": {}}, "needs the positions of its valve"),
    ({"valve": {"load": "A", "waste": 1}}, "positions are A and B, or numbers from 1 to 40"),
    ({"valve": {"load": "C"}}, "positions are A and B, or numbers from 1 to 40"),
    ({"valve": {"waste": 41}}, "positions are A and B, or numbers from 1 to 40"),
    ({"valve": {"waste": 0}}, "positions are A and B, or numbers from 1 to 40"),
    ({"valve": {"waste": True}}, "positions are A and B, or numbers from 1 to 40"),
    ({"valve": {"waste": 1, "water": 1}}, "two names for one position"),
    ({"prefix": "12"}, "prefix = '12' is no ID"),
    ({"prefix": "a"}, "prefix = 'a' is no ID"),
]


@pytest.mark.parametrize(("options", "said"), WRONG)
def test_options_that_cannot_be(options, said):
    with pytest.raises(SpecError, match=said):
        Actuator.declare({"valve": {"load": "A", "inject": "B"}} | options)


def test_positions_are_called_as_in_the_lab_file_and_who_makes_it_safe():
    options = {"valve": {"load": "A", "inject": "B"}, "prefix": 1}
    (position,) = Actuator.declare(options)["turn"].settings
    assert position.choices == ("load", "inject")
    assert Actuator.expected("turn", {"position": "load"}, options).duration_s == 1.0
    assert Actuator.watchdog(options).startswith("nothing to be made safe")


@pytest.mark.parametrize("seed", range(12))
def test_on_a_bad_line_the_valve_comes_where_it_was_sent_or_a_fault_says_not(seed):
    it = Rig(Actuator, **QUICK, faults="drop=0.02,flip=0.02,late=0.05,double=0.05", seed=seed)
    arrived = 0
    for n in range(40):
        name, place = (("acid", 4), ("waste", 10), ("water", 1))[n % 3]
        it.began_s = it.clock.now_s()
        for again in range(20):  # as the runner does
            try:
                if not again:
                    it.begin("turn", f"act-{n}", position=(name, ""))
                it.finish()
            except (LinkError, ProtocolError):
                it.wait(1.0)
            except InstrumentFault as fault:
                assert fault.kind == "stall"
                break
            else:
                assert it.device.place == place
                arrived += 1
                break
    assert arrived > 20


@pytest.mark.parametrize("there", [{"load": "A", "inject": "B"}, {"a": 1, "b": 4}])
@pytest.mark.parametrize("meant", [{"load": "A", "inject": "B"}, {"a": 1, "b": 10}])
def test_who_only_asks_who_is_there_takes_an_actuator_of_any_kind(there, meant):
    it = Rig(Actuator, valve=there)
    asking = Actuator(it.port.exchange("it", ""), **Actuator.anyone({"valve": meant}))
    assert asking.open().model.startswith("VICI actuator")
    with pytest.raises(SpecError, match="positions are A and B"):
        Actuator.declare({"valve": {"any": "*"}})
