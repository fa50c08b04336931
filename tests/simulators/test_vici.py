"""The VICI actuator, command for command against its manual, and as others' clients expect it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.vici import LEARN_S, LONGEST, Actuator

TWO = {"mode": 1}


def actuator(**options):
    return Actuator(World(), "valve", options)


def told(device, *texts, at_s=0.0):
    """The answer to the last of some commands."""
    return [device.receive(text + b"\r", at_s) for text in texts][-1]


# Pages are of the EUT manual. commands, when the last is said, its answer, options
EXCHANGES = [
    ([b"CP"], 0.0, b"CP01\r", {}, "p. 15"),
    ([b"CP"], 0.0, b"CPA\r", TWO, "p. 15"),
    ([b"cp"], 0.0, b"CP01\r", {}, "a Haskell module writes it so"),
    ([b"AM"], 0.0, b"AM3\r", {}, "p. 15"),
    ([b"AM2", b"AM"], 0.0, b"AM2\r", {}, "p. 15"),
    ([b"AM4"], 0.0, b"AM4 = Bad command\r", {}, "modes are 1 to 3"),
    ([b"NP"], 0.0, b"NP10\r", {}, "p. 17"),
    ([b"NP6", b"NP"], 0.0, b"NP6\r", {}, "p. 17"),
    ([b"NP7"], 0.0, b"NP7 = Bad command\r", {}, "p. 17: even numbers"),
    ([b"NP42"], 0.0, b"NP42 = Bad command\r", {}, "p. 17: 40 at most"),
    ([b"GO8", b"NP6", b"CP"], 9.0, b"CP06\r", {}, "no place that is not there"),
    ([b"CNT"], 0.0, b"CNT0\r", {}, "p. 15"),
    ([b"CNT100", b"CNT"], 0.0, b"CNT100\r", {}, "p. 15"),
    ([b"DT1000", b"DT"], 0.0, b"DT1000\r", TWO, "p. 16"),
    ([b"SM"], 0.0, b"SMA\r", {}, "p. 17"),
    ([b"SMF", b"SM"], 0.0, b"SMF\r", {}, "p. 17"),
    ([b"SMX"], 0.0, b"SMX = Bad command\r", {}, "p. 17"),
    ([b"IFM1"], 0.0, b"IFM1\r", {}, "vicivalve waits for an answer"),
    ([b"IFM0"], 0.0, b"", {}, "p. 17"),
    ([b"LG1", b"CP"], 0.0, b"Position is  = 1\r", {}, "p. 17 and microelectric actuators"),
    ([b"LG1", b"NP"], 0.0, b"NP = 10\r", {}, "microelectric actuators"),
    ([b"LG1", b"ID"], 0.0, b"ID = not used\r", {}, "pyseq2"),
    ([b"LG1", b"GO1"], 0.0, b"GO1 = Bad command\r", {}, "pyseq2: where it is already"),
    ([b"DEL2", b"CP"], 0.0, b"CP01\n", {}, "p. 14"),
    ([b"DEL3", b"CP"], 0.0, b"CP01\r\n", {}, "p. 14"),
    ([b"CP\n"], 0.0, b"CP01\r", {}, "ruediPy ends its commands with CR LF"),
    ([b"NONSENSE"], 0.0, b"NONSENSE = Bad command\r", {}, "a MATLAB class"),
    ([b""], 0.0, b"", {}, "an empty line"),
    ([b"GO3"], 0.0, b"", {}, "p. 17: IFM0 as delivered"),
    ([b"GO3", b"CP"], 0.25, b"CP01\r", {}, "on its way"),
    ([b"GO3", b"CP"], 0.35, b"CP03\r", {}, "0.1 s, and 0.1 s each"),
    ([b"GO3", b"GO5"], 0.1, b"GO5 = Bad command\r", {}, "on its way"),
    ([b"GO9", b"CP"], 0.35, b"CP09\r", {}, "p. 17: the shortest way"),
    ([b"GO9", b"CNT"], 0.0, b"CNT2\r", {}, "p. 15: by positions"),
    ([b"SMF", b"GO9", b"CNT"], 0.0, b"CNT8\r", {}, "p. 17: forward"),
    ([b"SMR", b"GO3", b"CNT"], 0.0, b"CNT8\r", {}, "p. 17: reverse"),
    ([b"CW9", b"CNT"], 0.0, b"CNT8\r", {}, "p. 16"),
    ([b"CC3", b"CNT"], 0.0, b"CNT8\r", {}, "p. 15"),
    ([b"GO", b"CP"], 1.0, b"CP02\r", {}, "p. 16"),
    ([b"SMR", b"GO", b"CP"], 1.0, b"CP10\r", {}, "p. 16"),
    ([b"CW", b"CP"], 1.0, b"CP02\r", {}, "p. 16"),
    ([b"CC", b"CP"], 1.0, b"CP10\r", {}, "p. 15"),
    ([b"GO1", b"CNT"], 0.0, b"CNT0\r", {}, "it is there"),
    ([b"GO0"], 0.0, b"GO0 = Bad command\r", {}, "1 to NP"),
    ([b"GO11"], 0.0, b"GO11 = Bad command\r", {}, "1 to NP"),
    ([b"GOA"], 0.0, b"GOA = Bad command\r", {}, "no letters"),
    ([b"TO"], 0.0, b"TO = Bad command\r", {}, "p. 19: two positions"),
    ([b"HM5"], 0.0, b"HM5 = Bad command\r", {}, "no number"),
    ([b"GOB", b"CP"], 1.0, b"CPB\r", TWO, "p. 16"),
    ([b"GOB", b"CNT"], 1.0, b"CNT1\r", TWO, "p. 15: each move"),
    ([b"GO", b"CP"], 1.0, b"CPB\r", TWO, "p. 16: toggles"),
    ([b"TO", b"CP"], 1.0, b"CPB\r", TWO, "p. 19"),
    ([b"CC", b"CP"], 1.0, b"CPB\r", TWO, "p. 15"),
    ([b"CW", b"CP"], 1.0, b"CPA\r", TWO | {"place": 2}, "p. 16"),
    ([b"GO2"], 0.0, b"GO2 = Bad command\r", TWO, "letters"),
    ([b"CC2"], 0.0, b"CC2 = Bad command\r", TWO, "p. 15"),
    ([b"HM"], 0.0, b"HM = Bad command\r", TWO, "p. 16"),
    ([b"TT", b"CNT"], 1.0, b"CNT0\r", TWO, "p. 19: not with DT0"),
    ([b"LRN", b"CP"], 9.0, b"CPA\r", TWO | {"place": 2}, "p. 17"),
    ([b"LRN"], 0.0, b"LRN = Bad command\r", {"mode": 2}, "p. 17"),
]


@pytest.mark.parametrize(("sent", "at_s", "answer", "options", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent, at_s, answer, options, source):
    whole, single = actuator(**options), actuator(**options)
    for text in sent[:-1]:
        told(whole, text)
        told(single, text)
    assert told(whole, sent[-1], at_s=at_s) == answer, source
    assert b"".join(single.receive(bytes([byte]), at_s) for byte in sent[-1] + b"\r") == answer


def test_several_commands_in_one_write_are_answered_in_order():
    assert actuator().receive(b"AM\rGO4\rCP\rNP\r", 0.0) == b"AM3\rCP01\rNP10\r"


def test_firmware_is_five_lines_and_help_names_the_commands():
    lines = told(actuator(), b"VR").split(b"\r")[:-1]
    assert len(lines) == 5 and lines[-1] == b"UA_MAIN_EQ"  # an EUHA's, as its owner's client expects
    assert b" GO " in told(actuator(), b"/?")


@pytest.mark.parametrize(
    ("sent", "answer", "options"),
    [(b"GO4", b"GO4\r", {}), (b"HM", b"CP01\r", {"place": 3}), (b"TO", b"CPB\r", TWO), (b"LRN", b"CPA\r", TWO)],
)
def test_with_ifm1_what_was_done_is_told_once_it_is(sent, answer, options):
    device = actuator(**options)
    assert told(device, b"IFM1", sent) == b""
    assert device.receive(b"", device.due(0.0) - 0.01) == b"" and device.receive(b"", device.due(0.0)) == answer
    assert device.due(9.0) is None


def test_a_timed_toggle_goes_there_and_back():
    device = actuator(**TWO)
    told(device, b"IFM1", b"DT500", b"TT")
    assert [told(device, b"CP", at_s=at_s) for at_s in (0.1, 0.3, 0.65)] == [b"CPA\r", b"CPB\r", b"CPB\r"]
    assert told(device, b"GOA", at_s=0.66) == b"GOA = Bad command\r"
    assert device.receive(b"", 2.0) == b"CPA\r" and device.due(2.0) is None
    assert [(one.phase, one.at_s) for one in device.world.ledger.entries] == [
        ("begin", 0.0), ("end", 0.2), ("begin", 0.7), ("end", 0.9),
    ]  # fmt: skip


def test_an_id_makes_it_deaf_to_all_else():
    device = actuator()
    told(device, b"IDB")
    assert [told(device, text) for text in (b"CP", b"1CP", b"/1CP", b"")] == [b""] * 4
    assert [told(device, text) for text in (b"BCP", b"/BCP", b"*CP", b"bcp")] == [b"CP01\r"] * 4
    assert told(device, b"BID") == b"IDB\r"
    assert told(device, b"BID*", b"CP") == b"CP01\r"


def test_a_lab_files_valve_makes_the_mode():
    assert told(actuator(valve={"load": "A", "inject": "B"}), b"AM") == b"AM1\r"
    assert told(actuator(valve={"water": 1}, prefix="/3"), b"/3AM") == b"AM3\r"
    assert told(actuator(valve={"water": 1}, switching="2 s"), b"GO9", b"CP", at_s=1.9) == b"CP01\r"


def test_learning_takes_its_time():
    device = actuator(**TWO)
    told(device, b"LRN")
    assert device.due(0.0) == LEARN_S


@pytest.mark.parametrize("fault", ["stall", "power_cycle"])
def test_a_valve_that_is_held_up_stays_where_it_was(fault):
    device = actuator(**TWO)
    told(device, b"DT500", b"TT")
    getattr(device, fault)(0.1)
    assert told(device, b"CP", at_s=9.0) == b"CPA\r" and device.due(9.0) is None
    assert [one.phase for one in device.world.ledger.entries] == ["begin", "end"]


def test_a_power_cut_ends_a_timed_toggle_and_keeps_the_settings():
    device = actuator(**TWO)
    told(device, b"DT500", b"TT")
    device.receive(b"C", 0.4)
    device.power_cycle(0.5)
    assert told(device, b"CP", at_s=9.0) == b"CPB\r" and told(device, b"DT") == b"DT500\r"


@pytest.mark.parametrize("sent", [[b"GO7"], [b"AM1", b"IFM1", b"DT900", b"TT"], [b"IDC"], [b"LG1", b"SMF"]])
@pytest.mark.parametrize("at_s", [0.05, 0.4])
def test_state_is_plain_json_and_goes_on_where_it_was(sent, at_s):
    device = actuator()
    told(device, *sent)
    device.receive(b"", at_s)
    again = actuator()
    again.restore(json.loads(json.dumps(device.state(), allow_nan=False)), at_s)
    for later_s in (0.41, 0.9, 60.0):
        for asked in (b"CP", b"*CNT", b"GO", b"AM"):
            assert told(again, asked, at_s=later_s) == told(device, asked, at_s=later_s)
    assert again.state() == device.state()


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 100)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said):
    device, at_s = actuator(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
        assert len(device._line) <= LONGEST
    device.receive(b"\r*ID*\r*DEL1\r*LG0\r", at_s + 99)
    assert b"AM" in told(device, b"AM", at_s=at_s + 99)


WORDS = ["AM", "NP", "CNT", "DT", "IFM", "LG", "DEL", "SM", "CP", "VR", "GO", "HM", "CW", "CC", "TO", "TT", "LRN", "/?"]


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.text("0123456789ABFR*", max_size=3), st.floats(0, 2))))
def test_no_commands_whatever_bring_it_down(said):
    device, at_s = actuator(), 0.0
    for word, argument, wait_s in said:
        at_s += wait_s
        device.receive(f"{word}{argument}\r".encode(), at_s)
        assert 1 <= device.place <= device._positions
    device.receive(b"", at_s + 200.0)
    assert device.due(at_s + 200.0) is None
    phases = [one.phase for one in device.world.ledger.entries]
    assert phases == ["begin", "end"] * (len(phases) // 2)
