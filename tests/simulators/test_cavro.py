"""The XCalibur, string for string against the manuals of its family, and at the edges a driver has to live with."""

import json
from functools import reduce
from operator import xor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.cavro import HOMING, MICROSTEPS, VALVE_S, XCalibur
from simulators.cavro_frames import LONGEST
from simulators.cavro_program import STROKE, Wrong, parse

HOMED = {"after": "N1Z1,1,9"}
END = b"\x03\r\n"


def pump(**options):
    return XCalibur(World(), "pump", {"syringe": "1 mL"} | options)


def told(device, *texts, at_s=0.0):
    """The answer to the last of some commands: its status and data."""
    answer = [device.receive(b"/1" + text + b"\r", at_s) for text in texts][-1]
    assert answer.startswith(b"/0") and answer.endswith(END)
    return answer[2:-3]


# XLP = 734237-C, XP = 725730C. ` is ready, @ busy; the letters behind each are an error's.
EXCHANGES = [
    ([b"&"], b"`30046219 Rev G", "XLP p. 3-47"),
    ([b"?23"], b"`30046219 Rev G", "matterlab-pumps"),
    ([b"Q"], b"`", "XLP p. 3-47"),
    ([b"?29"], b"`", "XLP p. 3-44"),
    ([b"?"], b"`0", "XLP p. 3-43"),
    ([b"?1"], b"`900", "XP 3000: start speed"),
    ([b"?2"], b"`1400", "XP 3000: top speed"),
    ([b"?3"], b"`900", "XP 3000: cutoff speed"),
    ([b"?6"], b"`1", "a distribution valve says a number"),
    ([b"?10"], b"`0", "nothing in the buffer"),
    ([b"F"], b"`0", "XP 3000"),
    ([b"?12"], b"`12", "XP 3000: backlash"),
    ([b"?24"], b"`20", "matterlab-pumps: home position"),
    ([b"V2000R", b"?2"], b"`2000", "top speed"),
    ([b"S2R", b"?2"], b"`5000", "XP 3000, speed codes; tecancavro"),
    ([b"S11R", b"?2"], b"`1400", "S11 is what holds after power-up"),
    ([b"S40R", b"?2"], b"`10", "the slowest"),
    ([b"v400c500R", b"?1"], b"`400", "start speed"),
    ([b"v400c500R", b"?3"], b"`500", "cutoff speed"),
    ([b"K97R", b"?12"], b"`97", "backlash"),
    ([b"k20R", b"?24"], b"`20", "home position"),
    ([b"V2000", b"?2"], b"`1400", "no R: it waits"),
    ([b"V2000", b"?10"], b"`1", "in the buffer"),
    ([b"V2000", b"R", b"?2"], b"`2000", "R runs the buffer"),
    ([b"V2000", b"R", b"F"], b"`0", "and empties it"),
    ([b"V2000R", b"V3000R", b"X", b"?2"], b"`3000", "X: the last once more"),
    ([b"Z1R"], b"@", "it initializes"),
    ([b"U"], b"b", "error 2: no command"),
    ([b"A12;3R"], b"b", "error 2"),
    ([b"V800RK20R"], b"d", "error 4: R stands last"),
    ([b"XV800R"], b"d", "error 4: X stands alone"),
    ([b"U", b"Q"], b"b", "told"),
    ([b"U", b"?"], b"b0", "reports tell it and keep it"),
    ([b"U", b"Q", b"Q"], b"`", "told once"),
    ([b"V1R"], b"`", "error 3: found when it is reached"),
    ([b"V1R", b"Q"], b"c", "and told by Q"),
    ([b"V800R", b"v900R", b"Q"], b"c", "a start speed above the top speed"),
    ([b"A100R"], b"`", "error 7: not initialized"),
    ([b"A100R", b"Q"], b"g", "told by Q"),
    ([b"I3R", b"Q"], b"g", "nor a valve"),
    ([b"A100R", b"Q", b"Q"], b"`", "once"),
    ([b"M500R"], b"@", "it waits"),
    ([b"M500R", b"K20R"], b"O", "error 15: it is busy"),
    ([b"M500R", b"Q"], b"@", "busy"),
    ([b"M500R", b"?1"], b"@900", "reports are answered"),
    ([b"M500V2000R", b"T", b"?10"], b"`1", "XLP p. 3-42: T leaves the rest"),
    ([b"M500V2000R", b"T", b"R", b"?10"], b"@0", "and R goes on"),
    ([b"T"], b"`", "nothing to stop"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent, answer, source):
    assert told(pump(), *sent) == answer, source
    single = pump()
    for text in sent:
        said = b"".join(single.receive(bytes([byte]), 0.0) for byte in b"/1" + text + b"\r")
    assert said == b"/0" + answer + END, source


HOME_EXCHANGES = [
    ([b"?"], 0.0, b"`0"),
    ([b"?15"], 0.0, b"`1"),
    ([b"A12000R"], 0.0, b"@"),
    ([b"a12000R"], 0.0, b"`"),  # the small letter does not say busy
    ([b"a12000R", b"?4"], 1.0, b"`5600"),
    ([b"a12000R", b"A0R"], 1.0, b"o"),
    ([b"A12000R", b"?"], 1.0, b"@5600"),  # XLP p. 3-43: on its way
    ([b"A12000R", b"?"], 3.0, b"`12000"),
    ([b"A12000P500D1500R", b"?"], 9.0, b"`11000"),
    ([b"N0A1500R", b"?"], 9.0, b"`1500"),
    ([b"N0A1500N1R", b"?"], 9.0, b"`12000"),
    ([b"P100R", b"X", b"?"], 9.0, b"@100"),  # without microsteps, 3000 a stroke
    ([b"A24001R", b"Q"], 0.0, b"c"),
    ([b"A3000D4000R", b"Q"], 9.0, b"c"),
    ([b"A3000D4000R", b"?"], 9.0, b"c3000"),
    ([b"I9R"], 0.0, b"@"),
    ([b"I4R", b"?6"], 0.2, b"@9"),
    ([b"I4R", b"?6"], 0.4, b"`4"),
    ([b"O3R", b"?6"], 0.4, b"`3"),
    ([b"I13R", b"Q"], 0.0, b"c"),
    ([b"I0R", b"Q"], 0.0, b"c"),
    ([b"I9A100R", b"?17"], 9.0, b"`1"),
    ([b"I9A100R", b"?16"], 9.0, b"`1"),
    ([b"A12000R", b"V700R"], 1.0, b"@"),  # XP 3000: V may change on its way
    ([b"A12000R", b"V700R", b"?2"], 1.0, b"@700"),
    ([b"A12000R", b"V9000R", b"Q"], 1.0, b"C"),
    ([b"A12000R", b"v700R"], 1.0, b"O"),
    ([b"A12000R", b"R"], 1.0, b"O"),
    ([b"A12000R", b"T"], 1.0, b"`"),
    ([b"A12000R", b"T", b"?"], 1.0, b"`5600"),
    ([b"A12000A0R", b"T", b"R", b"?"], 1.0, b"@5600"),  # p. 3-42: it goes on with the whole of what was stopped
    ([b"I4A100R", b"T"], 0.1, b"@"),  # the valve is not stopped
    ([b"Z1,14,9R", b"Q"], 0.0, b"c"),
    ([b"Z41R", b"Q"], 0.0, b"c"),
    ([b"A1234567R", b"Q"], 0.0, b"c"),
]


@pytest.mark.parametrize(("sent", "after_s", "answer"), HOME_EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges_once_it_is_initialized(sent, after_s, answer):
    device = pump(**HOMED)
    if len(sent) > 1:
        told(device, sent[0])
    assert told(device, *sent[1:] or sent, at_s=after_s) == answer


def test_several_commands_in_one_write_are_answered_in_order():
    assert pump().receive(b"/1?\r/1U\r/1Q\r", 0.0) == b"/0`0" + END + b"/0b" + END + b"/0b" + END


def test_only_its_own_address_is_answered_and_all_of_them_by_none():
    device = pump(address=14, **HOMED)
    assert device.receive(b"/1Q\r", 0.0) == b"" and device.receive(b"/?Q\r", 0.0) == b"/0`" + END
    assert device.receive(b"/_A12000R\r", 0.0) == b"" and device.receive(b"/?Q\r", 1.0) == b"/0@" + END
    for address in (-1, 15):
        with pytest.raises(ValueError, match="between 0 and 14"):
            pump(address=address)


def test_a_line_begins_with_its_slash_and_one_too_long_is_passed_over():
    device = pump()
    assert device.receive(b"1Q\r\r\n/1/1Q\r", 0.0) == b"/0`" + END
    assert (
        device.receive(b"/1" + b"M1" * LONGEST + b"R\r", 0.0) == b"" and device.receive(b"/1Q\r", 0.0) == b"/0`" + END
    )


# STX, address, sequence, text, ETX and all of them XORed (XLP p. 3-3 to 3-6); the first two as tecancavro sends them.
BLOCKS = [
    (b"\x0211?76\x03?", b"\x020`XCalibur, 3-port to 12-port distribution, 24000\x03l", "a report"),
    (b"\x0212Q\x03S", b"\x020`\x03Q", "Q: no data"),
    (b"noise\x0212Q\x03S\r", b"\x020`\x03Q", "what stands outside of a block is passed over"),
    (b"\x0211\x0212Q\x03S", b"\x020`\x03Q", "a block begins with its STX"),
    (b"\x0212Q\x03R", b"", "a wrong checksum"),
    (b"\x0222Q\x03P", b"", "another pump's"),
    (b"\x02_2Q\x03=", b"", "all of them: no answer"),
    (b"\x021\x12Q\x03s", b"", "bits 4 to 7 of the sequence byte are fixed"),
    (b"\x0211U\x03T", b"\x020b\x03S", "error 2"),
]


@pytest.mark.parametrize(("sent", "answer", "why"), BLOCKS, ids=[why for _, _, why in BLOCKS])
def test_blocks_of_the_oem_protocol(sent, answer, why):
    whole, device = pump(), pump()
    assert whole.receive(sent, 0.0) == answer
    assert b"".join(device.receive(sent[n : n + 1], 0.0) for n in range(len(sent))) == answer


def test_a_repeated_block_that_has_been_done_is_answered_and_not_done_again():
    device = pump(**HOMED)
    assert device.receive(b"\x0212P6000R\x03\x06", 0.0) == b"\x020@\x03q"
    again = pump()
    again.restore(json.loads(json.dumps(device.state())), 0.0)
    assert again.receive(b"\x021:P6000R\x03\x0e", 60.0) == b"\x020@\x03q"
    again.world.settle(120.0)
    assert again.plunger == 6000
    assert again.receive(b"\x021;P6000R\x03\x0f", 120.0) == b"\x020@\x03q"  # its first sending never came
    again.world.settle(180.0)
    assert again.plunger == 12_000


def test_a_repeated_block_to_all_is_answered_by_none():
    device = pump()
    assert device.receive(block("1", 0x31, "Q"), 0.0)
    assert device.receive(block("_", 0x32, "Q") + block("_", 0x3A, "Q"), 0.1) == b""


def block(address, sequence, text):
    said = bytes([2]) + address.encode() + bytes([sequence]) + text.encode() + b"\x03"
    return said + bytes([reduce(xor, said)])


@pytest.mark.parametrize(("first", "second"), [(b"/1Q\r", b"\x0212Q\x03S"), (b"\x0212Q\x03S", b"/1Q\r")])
def test_it_speaks_the_protocol_it_heard_first_until_it_is_switched_off(first, second):
    device = pump()
    assert device.receive(first, 0.0) and not device.receive(second, 0.0) and device.receive(first, 0.0)
    device.power_cycle(1.0)
    assert device.receive(second, 2.0) and not device.receive(first, 2.0)


def test_the_plunger_goes_four_microsteps_a_pulse_and_what_went_through_is_in_the_ledger():
    device = pump(**HOMED)
    told(device, b"V2000I1A12000I9D6000R")
    told(device, b"?", at_s=10.0)
    entries = device.world.ledger.entries
    assert [(one.act, one.phase, one.amount) for one in entries] == [
        ("aspirate", "begin", 0.0),
        ("aspirate", "end", 500.0),
        ("dispense", "begin", 0.0),
        ("dispense", "end", 250.0),
    ]
    # The valve stood at 9: it turns to 1, and back; each way takes its time, to the millisecond.
    ends = [VALVE_S, 12_000 / (2000 * MICROSTEPS), VALVE_S, 6000 / (2000 * MICROSTEPS)]
    assert [one.at_s for one in entries] == pytest.approx([sum(ends[:n]) for n in (1, 2, 3, 4)])


def test_it_is_initialized_by_going_all_the_way_and_what_it_held_goes_out():
    device = pump(after="N1Z1,1,9A12000")
    told(device, b"Z1,1,9R")
    assert device.due(0.0) == pytest.approx(1.0 + VALVE_S + 12_000 / (HOMING * MICROSTEPS))
    assert told(device, b"?", at_s=10.0) == b"`0"
    assert [(one.act, one.amount) for one in device.world.ledger.entries][-1] == ("initialize", 500.0)
    assert (device.port, device.initialized) == (9, True)


def test_initializing_the_plunger_alone_leaves_the_valve():
    device = pump()
    told(device, b"W1R")
    assert told(device, b"?6", at_s=9.0) == b"`1" and device.initialized


def test_a_stopped_plunger_is_where_it_is_and_the_ledger_counts_to_there():
    device = pump(**HOMED)
    told(device, b"A12000R")
    told(device, b"T", at_s=1.0)
    assert told(device, b"?", at_s=9.0) == b"`5600" and device.due(9.0) is None
    assert device.world.ledger.entries[-1].amount == pytest.approx(5600 / STROKE * 1000.0)


def test_a_blocked_plunger_is_told_once_and_moves_no_more_before_it_was_initialized():
    device = pump(**HOMED)
    told(device, b"A12000R")
    device.stall(1.0)
    assert told(device, b"Q", at_s=1.0) == b"i" and told(device, b"Q", at_s=1.0) == b"`"
    assert told(device, b"A0R", b"Q", at_s=1.0) == b"i"
    told(device, b"Z1R", at_s=2.0)
    assert told(device, b"A100R", at_s=9.0) == b"@"


@pytest.mark.parametrize("begun", [b"", b"I9R", b"Z1R"])
def test_nothing_is_blocked_where_no_plunger_is_told_to_move(begun):
    device = pump(**HOMED)
    if begun:
        told(device, begun)
    device.stall(0.1)
    assert told(device, b"A100R", b"Q", at_s=9.0) == b"@"


def test_after_power_up_it_believes_its_plunger_at_0_and_wants_to_be_initialized():
    device = pump(after="N1K97V2000Z1,1,9I4A12000")
    told(device, b"A0R")
    device.power_cycle(0.5)
    assert 0.0 < device.plunger < 12_000 and device.port == 4 and device.due(1.0) is None
    assert [told(device, text, at_s=1.0) for text in (b"?", b"?12", b"?2", b"Q")] == [b"`0", b"`12", b"`1400", b"`"]
    assert told(device, b"A1R", b"Q", at_s=1.0) == b"g"
    assert device.world.ledger.entries[-1].phase == "end"


@pytest.mark.parametrize("sent", [[b"I4A6000M2000D3000R"], [b"A6000A0R", b"T"], [b"U"], [b"Z1,1,9R"]])
def test_state_is_plain_json_and_goes_on_where_it_was(sent):
    device = pump(**HOMED)
    told(device, *sent)
    device.receive(b"", 1.0)
    again = pump()
    again.restore(json.loads(json.dumps(device.state(), allow_nan=False)), 1.0)
    for at_s in (1.2, 2.0, 60.0):
        for asked in (b"Q", b"?", b"?6", b"?10", b"X", b"R"):
            assert told(again, asked, at_s=at_s) == told(device, asked, at_s=at_s)
    assert again.state() == device.state()


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1000)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said):
    device, at_s = pump(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
        assert len(device.frames._line or b"") <= LONGEST and len(device.frames._block or b"") <= LONGEST + 3
    device.power_cycle(at_s)
    assert device.receive(b"\r/1&\r", at_s + 1).endswith(b"30046219 Rev G" + END)


LETTERS = "ZYWAaPpDdIOVvcLSKkNMXRTQ?U&F"


@given(st.lists(st.tuples(st.text(LETTERS + "0123456789,", max_size=12), st.booleans(), st.floats(0, 20))))
def test_no_commands_whatever_bring_it_down(said):
    device, at_s = pump(**HOMED), 0.0
    for text, runs, wait_s in said:
        at_s += wait_s
        told(device, f"{text}{'R' if runs else ''}".encode(), at_s=at_s)
        assert 0.0 <= device.plunger <= STROKE and 1 <= device.port <= 12
        assert device.due(at_s) is None or device.due(at_s) >= at_s
    moved = [one.amount for one in device.world.ledger.entries if one.phase == "end"]
    assert all(0.0 <= amount <= 1000.0 for amount in moved)


@given(st.text(max_size=30))
def test_a_string_is_taken_apart_without_loss_or_refused(text):
    try:
        ops = parse(text)
    except Wrong:
        return
    assert "".join(op.text for op in ops) == text
