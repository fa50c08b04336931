"""The 3216 on its furnace, byte for byte against captured and computed frames (Modbus over serial line V1.02)."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.thermal import ROOM_C
from labloop.simulation.world import World
from simulators.eurotherm import DOWN_K_S, E3216, FALLS_BACK_S, UP_K_S
from simulators.eurotherm_frames import GAP_S, framed
from simulators.eurotherm_program import Program


def furnace(**options):
    return E3216(World(), "furnace", options)


def raw(text):
    return bytes.fromhex(text)


def read(device, number, at_s=0.0, count=1):
    answer = device.receive(framed(1, struct.pack(">BHH", 3, number, count)), at_s)
    assert answer[:3] == bytes([1, 3, 2 * count]), answer.hex(" ")
    values = struct.unpack(f">{count}h", answer[3:-2])
    return values[0] if count == 1 else values


def write(device, number, value, at_s=0.0):
    request = framed(1, struct.pack(">BHh", 6, number, value))
    assert device.receive(request, at_s) == request
    return device


EXCHANGES = [
    ("01 03 00 01 00 01 d5 ca", "01 03 02 00 dc b9 dd", "22.0 degC with one decimal"),
    ("01 03 00 01 00 02 95 cb", "01 03 04 00 dc 00 c8 3a 5f", "two registers"),
    ("01 10 00 1a 00 01 02 04 b5 67 1d", "01 10 00 1a 00 01 20 0e", "function 16, computed"),
    ("01 06 00 1a 04 b5 6b 7a", "01 06 00 1a 04 b5 6b 7a", "function 6 is echoed"),
    ("01 03 27 0f 00 01 be bd", "01 83 02 c0 f1", "no such register"),
    ("01 06 00 1a ff fb a8 7e", "01 86 03 02 61", "below the setpoint limit"),
    ("01 06 00 01 00 00 d8 0a", "01 86 02 c3 a1", "the process value is read only"),
    ("01 03 00 01 00 00 14 0a", "01 83 03 01 31", "no register at all"),
    ("01 03 00 4b 00 02 b4 1d", "01 03 04 40 00 bf ff df 83", "HA028651 p. 82: bit 14 of the status, and its inverse"),
    ("01 06 01 12 00 01 e9 f3", "01 06 01 12 00 01 e9 f3", "274: alarms acknowledged, asked by eurothermlib"),
    ("01 03 00 06 00 01 64 0b", "01 03 02 00 c8 b9 d2", "HA028651 p. 81: the proportional band, 20.0"),
    ("01 04 00 01 00 01 60 0a", "01 84 01 82 c0", "a function it does not know"),
    ("02 03 00 01 00 01 d5 f9", "", "another unit"),
    ("01 03 00 01 00 01 d5 cb", "", "a wrong checksum is not answered"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES)
def test_exchanges(sent, answer, source):
    assert furnace().receive(raw(sent), 0.0) == raw(answer), source
    single = furnace()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in raw(sent)) == raw(answer), source


def test_several_requests_in_one_write_are_answered_in_order():
    sent = raw("01 03 00 01 00 01 d5 ca") + raw("01 06 00 1a 04 b5 6b 7a")
    assert furnace().receive(sent, 0.0) == raw("01 03 02 00 dc b9 dd 01 06 00 1a 04 b5 6b 7a")


def test_silence_ends_a_request_that_was_not_whole():
    device = furnace()
    device.receive(raw("01 03 00"), 0.0)
    assert device.receive(raw("01 03 00 01 00 01 d5 ca"), GAP_S) == b""  # three bytes of rubbish in front
    assert device.receive(raw("01 03 00 01 00 01 d5 ca"), 2.1 * GAP_S) == raw("01 03 02 00 dc b9 dd")


def test_integers_have_the_displays_decimals_and_floats_have_all():
    device = furnace(decimals=0)
    assert (read(device, 1), read(device, 111), read(device, 525)) == (22, 1200, 0)
    answer = device.receive(framed(1, struct.pack(">BHH", 3, 0x8000 + 2 * 1, 2)), 0.0)
    assert struct.unpack(">f", answer[3:7]) == (22.0,)
    answer = device.receive(framed(1, struct.pack(">BHH", 3, 0x8000 + 2 * 1280, 2)), 0.0)
    assert struct.unpack(">l", answer[3:7]) == (30 * 60_000,)  # a dwell in milliseconds
    body = struct.pack(">BHHBf", 16, 0x8000 + 2 * 26, 2, 4, 99.0)
    assert device.receive(framed(1, body), 0.0) == framed(1, body[:5])
    assert device.remote_c == 99.0 and device.worn == 0


@pytest.mark.parametrize(("value", "number"), [(1e30, 3), (-1.0, 3), (float("nan"), 3)])
def test_a_float_that_cannot_be_is_refused(value, number):
    body = struct.pack(">BHHBf", 16, 0x8000 + 2 * 26, 2, 4, value)
    assert furnace().receive(framed(1, body), 0.0) == framed(1, bytes([0x90, number]))


def test_the_remote_setpoint_is_followed_while_it_is_written_again():
    device = furnace()
    assert read(device, 75) == 1 << 14, "nobody has written it yet"
    for n in range(600):
        write(device, 26, 5000, float(n))
    assert read(device, 5, 599.0) == 5000 and read(device, 75, 599.0) == 0
    assert device.leg.at(600.0) == pytest.approx(ROOM_C + 600.0 * UP_K_S)
    assert device.due(600.0) == 599.0 + FALLS_BACK_S
    assert read(device, 5, 604.0) == 200 and read(device, 75, 604.0) == 1 << 14
    assert device.leg.at(664.0) == pytest.approx(ROOM_C + 605.0 * UP_K_S - 60.0 * DOWN_K_S, abs=0.5)
    assert [(entry.act, entry.phase, entry.at_s) for entry in device.world.ledger.entries] == [
        ("hold", "begin", 0.0), ("hold", "end", 604.0),
    ]  # fmt: skip


def test_what_it_falls_back_to_may_be_hot():
    device = write(furnace(), 24, 5000)
    write(device, 26, 0)
    assert device.leg.at(3.0) == ROOM_C
    device.receive(b"", 100.0)
    assert device.leg.at(100.0) > 50.0, "SP1 is 500 degC"


def test_falling_back_is_a_time_of_the_host():
    device = E3216(World(speed=60.0), "furnace", {})
    write(device, 26, 5000)
    assert device.due(0.0) == 60.0 * FALLS_BACK_S


def test_setpoints_and_other_settings_wear_a_memory_out_and_the_remote_one_does_not():
    device = furnace()
    for number in (2, 24, 25, 276, 328, 1281, 111, 112):
        write(device, number, 1)
    assert device.worn == 8
    write(write(device, 26, 1), 23, 1)
    assert device.worn == 8


def test_its_setpoint_limits_may_be_written_within_its_range_and_outlive_the_mains():
    device = write(write(furnace(), 111, 9000), 112, 150)
    device.power_cycle(1.0)
    assert (read(device, 111), read(device, 112), device.worn) == (9000, 150, 2)
    for number, value in ((111, 20000), (111, 149), (112, 9001), (112, -2001), (26, 9001), (26, 149)):
        answer = device.receive(framed(1, struct.pack(">BHh", 6, number, value)), 1.0)
        assert answer[1:3] == bytes([0x86, 3]), (number, value)
    assert (read(device, 111), read(device, 112), device.worn) == (9000, 150, 2)


def test_the_programme_ramps_dwells_and_ends():
    device = furnace(program=[[10.0, 122.0, 5.0], [0.0, 60.0, 1.0]])
    assert (read(device, 1281), read(device, 1282), read(device, 1280)) == (1220, 100, 5)
    write(device, 23, 1)
    assert read(device, 5, 300.0) == 720 and read(device, 75, 300.0) & 1 << 13
    assert read(device, 5, 700.0) == 1220
    assert read(device, 5, 900.5) == 600 and read(device, 23, 959.0) == 1
    assert read(device, 23, 960.0) == 3 and read(device, 75, 960.0) & 1 << 9
    assert [(entry.act, entry.at_s) for entry in device.world.ledger.entries] == [
        ("run_program", 0.0), ("run_program", 960.0),
    ]  # fmt: skip


def test_a_programme_on_hold_stands_still_and_goes_on():
    program = Program([[10.0, 120.0, 5.0]])
    program.command(1, 20.0, 0.0)
    program.command(2, 0.0, 120.0)
    assert program.setpoint_c(500.0) == 40.0
    program.command(1, 0.0, 500.0)
    assert program.setpoint_c(560.0) == 50.0 and program.ends_s() == 600.0 + 380.0 + 300.0
    program.command(0, 0.0, 600.0)
    program.command(2, 0.0, 601.0)
    assert program.state == 0, "what does not run cannot be held"


def test_a_programme_may_end_by_resetting():
    device = write(furnace(program=[[0.0, 100.0, 1.0]]), 328, 3)
    write(device, 23, 1)
    assert read(device, 23, 61.0) == 0 and read(device, 5, 61.0) == 200


@given(st.lists(st.floats(0, 4000), max_size=30))
def test_how_often_somebody_looks_changes_nothing(looks):
    looked_at, alone = furnace(), furnace()
    for device in (looked_at, alone):
        write(device, 23, 1)
    for look in sorted(looks):
        read(looked_at, 1, look)
    assert read(looked_at, 1, 4001.0, 5) == read(alone, 1, 4001.0, 5)
    assert looked_at.leg == alone.leg


def test_a_broken_sensor_shows_the_range_and_switches_the_output_off():
    device = write(furnace(), 26, 5000)
    assert read(device, 3, 1.0) == 1000
    device.break_sensor(2.0)
    assert (read(device, 1, 2.0), read(device, 3, 2.0), read(device, 75, 2.0)) == (13720, 0, 1 << 5)
    write(device, 26, 5000, 2.0)
    assert device.leg.goal_c == ROOM_C


def test_on_standby_nothing_is_heated():
    device = write(write(furnace(), 199, 1), 26, 5000)
    assert device.leg.goal_c == ROOM_C and read(device, 3) == 0
    write(device, 199, 0, 1.0)
    assert device.leg.goal_c == 500.0


def test_power_cycle_forgets_remote_setpoint_and_programme_and_keeps_what_lasts():
    device = write(write(furnace(), 24, 300), 23, 1)
    device.receive(raw("01 03 00"), 600.0)
    device.power_cycle(600.0)
    assert (read(device, 23, 600.0), read(device, 24, 600.0), read(device, 26, 600.0)) == (0, 300, 0)
    assert read(device, 1, 600.0) > 1000
    assert device.world.ledger.entries[-1].phase == "end"


@pytest.mark.parametrize("begin", [lambda device: write(device, 26, 900), lambda device: write(device, 23, 1)])
def test_state_is_plain_json_and_goes_on_where_it_was(begin):
    device = furnace()
    begin(device)
    device.receive(b"", 3.0)
    again = furnace()
    again.restore(json.loads(json.dumps(device.state(), allow_nan=False)), 3.0)
    for at_s in (3.5, 700.0):
        assert read(again, 1, at_s, 5) == read(device, 1, at_s, 5) and read(again, 23, at_s) == read(device, 23, at_s)


@given(st.lists(st.tuples(st.binary(max_size=300), st.floats(0, 100)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said):
    device, at_s = furnace(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
        assert len(device._frames._came) <= 256
    assert read(device, 122, at_s + 1.0) == 0x3216


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(-0x8000, 0x7FFF), st.floats(0, 500)), max_size=30))
def test_no_writes_whatever_bring_it_down(said):
    device, at_s = furnace(), 0.0
    for number, value, wait_s in said:
        at_s += wait_s
        device.receive(framed(1, struct.pack(">BHh", 6, number, value)), at_s)
        assert -1.0 <= device.leg.at(at_s) <= 1300.0
