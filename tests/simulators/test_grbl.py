"""The GRBL 1.1h simulator, byte for byte against its documents (gnea/grbl, doc/markdown) and source."""

import itertools
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.grbl import RX_BUFFER, Grbl
from simulators.grbl_motion import Motion

INTERFACE, COMMANDS, JOGGING = "interface.md", "commands.md", "jogging.md"
WELCOME = b"\r\nGrbl 1.1h ['$' for help]\r\n"
UNLOCK = b"[MSG:'$H'|'$X' to unlock]\r\n"


def grbl(**options: Any) -> Grbl:
    return Grbl(World(), "stage", {"homing": True, "homed": True} | options)


def free(**options: Any) -> Grbl:
    """Without homing and limits, standing at 0."""
    return Grbl(World(), "stage", {"homing": False} | options)


EXCHANGES = [
    (b"\n", b"ok\r\n", INTERFACE + ": an empty line"),
    (b"G21\n", b"ok\r\n", "captured from pygrbl-streamer 1.0.5"),
    (b"G90\nG1 X10 Y5 F600\n", b"ok\r\nok\r\n", "captured: two lines in one write"),
    (b"g1 x1 (go there) f100 ; now\n", b"ok\r\n", "blanks, comments and small letters"),
    (b"$X\n", b"ok\r\n", COMMANDS + ": no effect without an alarm"),
    (b"?", b"<Idle|MPos:0.000,0.000,0.000|FS:0,0|WCO:0.000,0.000,0.000>\r\n", INTERFACE + ": WCO in the first"),
    (
        b"??" + b"?",
        b"<Idle|MPos:0.000,0.000,0.000|FS:0,0|WCO:0.000,0.000,0.000>\r\n"
        b"<Idle|MPos:0.000,0.000,0.000|FS:0,0|Ov:100,100,100>\r\n<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n",
        INTERFACE + ": Ov in the second",
    ),
    (b"$10=3\n?", b"ok\r\n<Idle|MPos:0.000,0.000,0.000|Bf:15,128|FS:0,0|WCO:0.000,0.000,0.000>\r\n", INTERFACE),
    (
        b"G10 L20 P1 X5\n$10=0\n?",
        b"ok\r\nok\r\n<Idle|WPos:5.000,0.000,0.000|FS:0,0|WCO:-5.000,0.000,0.000>\r\n", INTERFACE,
    ),
    (b"$G\n", b"[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]\r\nok\r\n", INTERFACE + ", report.c"),
    (
        b"F1234\nS300\n$G\n",
        b"ok\r\nok\r\n[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F1234 S300]\r\nok\r\n", "gcode.c: F stays",
    ),
    (b"$I\n", b"[VER:1.1h.20190830:]\r\n[OPT:V,15,128]\r\nok\r\n", INTERFACE),
    (b"$I=box-3\n$I\n", b"ok\r\n[VER:1.1h.20190830:BOX-3]\r\n[OPT:V,15,128]\r\nok\r\n", COMMANDS + " (in capitals)"),
    (b"$\n", b"[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]\r\nok\r\n", COMMANDS),
    (b"$N\n", b"$N0=\r\n$N1=\r\nok\r\n", INTERFACE),
    (b"$H\n", b"error:5\r\n", "homing is not enabled"),
    (b"$20=1\n", b"error:10\r\n", "soft limits need homing"),
    (b"$J=X1\n", b"error:22\r\n", JOGGING + ": a jog needs F"),
    (b"$J=X1F100S3\n", b"error:16\r\n", JOGGING + ": no other words"),
    (b"$JX1\n", b"error:3\r\n", JOGGING),
    (b"$Q\n", b"error:3\r\n", "no such command"),
    (b"G1 X5\n", b"error:22\r\n", "no feed yet"),
    (b"G5 X1\n", b"error:20\r\n", "unsupported"),
    (b"G0 G1 X1\n", b"error:21\r\n", "two of one group"),
    (b"G20 G21\n", b"error:21\r\n", "two of one group"),
    (b"X1 X2\n", b"error:25\r\n", "repeated"),
    (b"G4\n", b"error:28\r\n", "no P"),
    (b"F-1\n", b"error:4\r\n", "below 0"),
    (b"G\n", b"error:2\r\n", "no number"),
    (b"=3\n", b"error:1\r\n", "no letter"),
    (b"G21 P3\n", b"error:36\r\n", "unused word"),
    (b"G1" + b"X" * 90 + b"\n", b"error:11\r\n", "80 characters"),
    (b"\xff\x84\x90\x9e\x85G21\n", b"ok\r\n", "bytes above 7F never enter the line"),
    (b"\x18", WELCOME, "captured from pygrbl-streamer 1.0.5"),
    (b"G2\x181\nG21\n", WELCOME + b"error:1\r\nok\r\n", "a reset forgets the line that was begun"),
    (b"$C\nG0X5\n$C\n?", b"[MSG:Enabled]\r\nok\r\nok\r\n[MSG:Disabled]\r\nok\r\n" + WELCOME
     + b"<Idle|MPos:0.000,0.000,0.000|FS:0,0|WCO:0.000,0.000,0.000>\r\n", INTERFACE + ": check mode moves nothing"),
    (b"M30\n", b"[MSG:Pgm End]\r\nok\r\n", INTERFACE),
    (b"$SLP\n", b"[MSG:Sleeping]\r\nok\r\n", INTERFACE),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert free().receive(sent, 0.0) == answer, source
    single = free()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def state(device: Grbl, at_s: float) -> str:
    return device.receive(b"?", at_s).decode().strip("<>\r\n").partition("|")[0]


def place(device: Grbl, at_s: float) -> tuple[float, ...]:
    match = re.search(rb"MPos:([^|]*)\|", device.receive(b"?", at_s))
    assert match is not None
    return tuple(float(value) for value in match[1].split(b","))


def ledger(device: Grbl) -> list[tuple[str, str, float, float]]:
    return [(one.act, one.phase, one.at_s, one.amount) for one in device.world.ledger.entries]


# -- motion ------------------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 300.0), st.floats(1.0, 100.0), st.floats(10.0, 2000.0))
def test_a_motion_is_its_ramps_integrated(length: float, rate: float, ramp: float) -> None:
    motion = Motion((0.0, 0.0, 0.0))
    motion.queue((length, 0.0, 0.0), rate, ramp)
    motion.start(0.0)
    lasts_s = motion.due()
    assert lasts_s is not None
    steps, way = 400, 0.0
    for n in range(steps):
        assert motion.speed(lasts_s * n / steps) <= rate * (1 + 1e-9)
        way += motion.speed(lasts_s * (n + 0.5) / steps) * lasts_s / steps
    assert way == pytest.approx(length, rel=2e-3)
    assert motion.where(lasts_s)[0] == pytest.approx(length) and motion.where(lasts_s * 0.5)[0] < length


@given(st.floats(0.0, 1.0), st.floats(5.0, 300.0))
def test_a_hold_falls_with_the_ramp_and_leaves_the_rest(part: float, length: float) -> None:
    motion = Motion((0.0, 0.0, 0.0))
    motion.queue((length, 0.0, 0.0), 20.0, 100.0)
    motion.start(0.0)
    at_s = part * (motion.due() or 0.0)
    before, speed = motion.where(at_s)[0], motion.speed(at_s)
    motion.hold(at_s)
    rests_s = motion.due()
    assert rests_s == pytest.approx(at_s + speed / 100.0)
    motion.step(rests_s or 0.0)
    rest = motion.where(1e9)[0]
    assert rest == pytest.approx(min(before + speed * speed / 200.0, length), abs=1e-6) and not motion.moves
    assert motion.target()[0] == pytest.approx(length)


def test_a_move_takes_its_time_and_is_reported_on_its_way() -> None:
    device = free()
    assert device.receive(b"G1 X60 F600\n", 0.0) == b"ok\r\n"
    assert state(device, 1.0) == "Run" and 9.0 < place(device, 1.0)[0] < 10.0
    assert b"|FS:600,0" in device.receive(b"?", 3.0)
    assert state(device, 6.2) == "Idle" and place(device, 6.2) == (60.0, 0.0, 0.0)
    assert ledger(device) == [("move", "begin", 0.0, 0.0), ("move", "end", pytest.approx(6.05), 60.0)]


def test_several_axes_go_in_a_straight_line_and_the_slowest_sets_the_rate() -> None:
    device = free(settings={"112": 60.0})
    device.receive(b"G0 X10 Z-10\n", 0.0)
    x, _, z = place(device, 5.0)
    assert x == -z and 4.5 < x < 5.5
    assert state(device, 9.9) == "Run" and state(device, 10.2) == "Idle"


def test_positions_are_whole_steps() -> None:
    device = free(settings={"100": 80.0})
    device.receive(b"G0 X1.004\n", 0.0)
    assert place(device, 10.0)[0] == 1.0


def test_inches_increments_and_work_offsets() -> None:
    device = free()
    device.receive(b"G20\nG91\nG0 X1\nG21\nG90\nG92 X0\nG0 X5\n", 0.0)
    assert place(device, 60.0) == (30.4, 0.0, 0.0)
    device.receive(b"G53 G0 X2\n", 60.0)
    assert place(device, 99.0) == (2.0, 0.0, 0.0)


def test_the_planner_holds_fifteen_and_the_buffer_the_rest() -> None:
    device = free(settings={"10": 3})
    sent = b"".join(b"G0 X%d\n" % (n % 2) for n in range(1, 41))
    answer = device.receive(sent, 0.0)
    assert answer == b"ok\r\n" * 15
    assert b"Bf:0,0" in device.receive(b"?", 0.0)
    answers = answer
    for n in range(1, 600):
        answers += device.receive(b"", n * 0.05)
    fits = 15 + 1 + RX_BUFFER // len(b"G0 X1\n")
    assert answers == b"ok\r\n" * fits, "what did not fit into the buffer was lost"


def test_what_waits_for_the_planner_holds_its_ok_and_all_behind_it_back() -> None:
    device = free()
    assert device.receive(b"G1 X10 F600\nG4 P0.5\nG21\n?", 0.0).count(b"ok") == 1
    assert device.receive(b"", 1.0) == b""
    assert device.receive(b"", 1.2) == b""  # the motion is over, the dwell goes on
    assert state(device, 1.3) == "Idle", "a dwell is Idle"
    assert device.receive(b"", 1.7) == b"ok\r\nok\r\n"


def test_a_dwell_counts_in_sixteen_bits() -> None:
    device = free()
    device.receive(b"G4 P3276.8\n", 0.0)
    assert device.receive(b"", 0.06) == b"ok\r\n"
    device.receive(b"G4 P3000\n", 1.0)
    assert device.receive(b"", 3000.9) == b"" and device.receive(b"", 3001.1) == b"ok\r\n"


def test_hold_and_resume_keep_the_way() -> None:
    device = free()
    device.receive(b"G1 X60 F600\nG0 Y5\n", 0.0)
    assert device.receive(b"!?", 2.0).startswith(b"<Hold:1|")
    assert state(device, 2.2) == "Hold:0"
    rest = place(device, 3.0)
    assert place(device, 90.0) == rest and 19.0 < rest[0] < 21.0
    assert device.receive(b"G21\n", 90.0) == b"", "lines wait during a hold"
    assert device.receive(b"~", 91.0) == b"ok\r\n"
    assert place(device, 120.0) == (60.0, 5.0, 0.0)
    assert [one[0:2] for one in ledger(device)] == [("move", "begin"), ("move", "end")] * 2


def test_a_held_dwell_goes_on_for_what_was_left() -> None:
    device = free()
    device.receive(b"M3 S1000\nG4 P10\nM5\n", 0.0)
    device.receive(b"!", 4.0)
    assert device.receive(b"?", 20.0).startswith(b"<Hold:0|") and device.machine.rpm == 1000.0
    device.receive(b"~", 30.0)
    assert device.receive(b"", 35.9) == b"" and device.receive(b"", 36.1) == b"ok\r\nok\r\n"
    assert ledger(device) == [("spin", "begin", 0.0, 0.0), ("spin", "end", 36.0, 36.0)]


# -- jogging -----------------------------------------------------------------------------------------------------------


def test_a_jog_is_cancelled_with_its_position_kept() -> None:
    device = grbl()
    assert device.receive(b"$J=G53 G90 X-101 F600\n$J=G91 Y-5 F600\n", 0.0) == b"ok\r\nok\r\n"
    assert state(device, 2.0) == "Jog"
    assert device.receive(b"G21\n", 2.0) == b"error:9\r\n"
    assert device.receive(b"$I\n", 2.0) == b"error:8\r\n"
    assert device.receive(b"\x85?", 3.0).startswith(b"<Jog|")
    assert state(device, 3.1) == "Idle"
    rest = place(device, 3.1)
    assert place(device, 60.0) == rest and -31.5 < rest[0] < -30.0 and rest[1] == -1.0
    assert device.machine.truly_at(60.0)[0] == pytest.approx(rest[0], abs=0.005)
    assert device.receive(b"$G\n", 60.0).endswith(b"F0 S0]\r\nok\r\n"), "a jog leaves no feed behind"


def test_a_jog_outside_the_travel_is_refused_without_an_alarm() -> None:
    device = grbl()
    assert device.receive(b"$J=G53X-201F600\n", 0.0) == b"error:15\r\n"
    assert device.receive(b"$J=G53X0.1F600\n", 0.0) == b"error:15\r\n"
    assert state(device, 0.0) == "Idle" and ledger(device) == []


def test_a_jog_to_where_it_stands_is_over_at_once() -> None:
    device = grbl()
    assert device.receive(b"$J=G53X-1F600\n?", 0.0).startswith(b"ok\r\n<Idle|")


# -- alarms, resets, homing --------------------------------------------------------------------------------------------


def test_power_up_with_homing_is_locked_until_homed_or_unlocked() -> None:
    device = Grbl(World(), "stage", {"homing": True, "at": {"x": "-80 mm", "y": "-20 mm", "z": "-5 mm"}})
    assert state(device, 0.0) == "Alarm"
    assert device.receive(b"G21\n", 0.0) == b"error:9\r\n" and device.receive(b"$J=X1F1\n", 0.0) == b"error:8\r\n"
    assert device.receive(b"$H\n", 1.0) == b""
    assert device.receive(b"??", 2.0) == b"", "no report while it homes"
    due_s = device.due(2.0)
    assert due_s is not None and 10.0 < due_s < 40.0
    answer = device.receive(b"", due_s)
    assert answer.startswith(b"<Home|MPos:-1.000,-1.000,-1.000|") and answer.endswith(b">\r\nok\r\n")
    assert answer.count(b"<") == 1
    assert device.machine.truly_at(due_s) == (-1.0, -1.0, -1.0)
    assert [one[0:2] for one in ledger(device)] == [("home", "begin"), ("home", "end")]
    locked = Grbl(World(), "stage", {"homing": True})
    assert locked.receive(b"$X\n", 0.0) == b"[MSG:Caution: Unlocked]\r\nok\r\n"
    assert state(locked, 0.0) == "Idle"


def test_a_reset_in_motion_loses_the_position_and_says_so() -> None:
    device = grbl()
    device.receive(b"$J=G53X-101F3000\n", 0.0)
    assert device.receive(b"\x18", 1.0) == b"ALARM:3\r\n" + WELCOME + UNLOCK
    assert state(device, 1.0) == "Alarm"
    believed, truly = place(device, 1.0)[0], device.machine.truly_at(1.0)[0]
    assert truly < believed - 0.1
    assert [one[0:2] for one in ledger(device)] == [("move", "begin"), ("move", "end")]
    assert device.receive(b"\x18", 2.0) == WELCOME + UNLOCK, "a reset does not unlock"


def test_a_reset_while_it_homes_or_after_a_hold() -> None:
    device = Grbl(World(), "stage", {"homing": True})
    device.receive(b"$H\n", 0.0)
    assert device.receive(b"\x18", 1.0) == b"ALARM:6\r\n" + WELCOME + UNLOCK
    device = grbl()
    device.receive(b"G1 X-50 F600\n", 0.0)
    device.receive(b"!", 1.0)
    assert device.receive(b"\x18", 2.0) == WELCOME, "it stood: nothing is lost"
    assert device.motion.blocks == [] and state(device, 2.0) == "Idle"


def test_a_soft_limit_slows_down_keeps_the_position_and_locks_everything() -> None:
    device = grbl()
    device.receive(b"G1 X-50 F600\n", 0.0)
    assert device.receive(b"G1 X5\n", 1.0) == b""
    assert device.receive(b"", 1.1) == b"ALARM:2\r\n[MSG:Reset to continue]\r\n"
    assert device.receive(b"?$X\nG21\n", 2.0) == b"", "nothing is answered until a reset"
    assert device.receive(b"\x18", 3.0) == WELCOME + UNLOCK
    assert place(device, 3.0)[0] == pytest.approx(device.machine.truly_at(3.0)[0], abs=0.005)


def test_a_hard_limit_stops_dead() -> None:
    device = grbl()
    device.receive(b"M3 S500\n$J=G53X-101F3000\n", 0.0)
    device.stall(1.0)
    assert device.receive(b"?", 1.0) == b"ALARM:1\r\n[MSG:Reset to continue]\r\n"
    assert device.machine.rpm == 0.0 and not device.motion.moves
    device.receive(b"\x18", 2.0)
    assert device.receive(b"$X\n", 2.0) == b"[MSG:Caution: Unlocked]\r\nok\r\n"


def test_power_cycle_forgets_where_it_stood() -> None:
    device = grbl()
    device.receive(b"F123\n$J=G53X-101F600\n", 0.0)
    device.power_cycle(5.0)
    assert device.receive(b"", 5.0) == WELCOME + UNLOCK
    assert place(device, 5.0) == (0.0, 0.0, 0.0) and device.machine.truly_at(5.0)[0] < -40.0
    assert b"F0 S0]" in device.receive(b"$G\n", 5.0)


# -- spindle -----------------------------------------------------------------------------------------------------------


def test_a_spin_in_one_write_is_timed_by_the_controller() -> None:
    device = free()
    sent = b"M3S500\nG4P5.00\nS3000\nG4P30.00\nM5\nF77\n"
    assert len(sent) < RX_BUFFER and device.receive(sent, 0.0) == b"ok\r\n"
    assert b"|FS:0,500" in device.receive(b"?", 4.9) and b"|FS:0,3000" in device.receive(b"?", 5.1)
    device.receive(b"", 34.9)
    assert device.machine.rpm == 3000.0
    assert device.receive(b"", 35.1) == b"ok\r\n" * 3
    assert b"|FS:0,0" in device.receive(b"?", 35.1) and b" F77 " in device.receive(b"$G\n", 35.1)
    assert ledger(device) == [("spin", "begin", 0.0, 0.0), ("spin", "end", 35.0, 35.0)]


def test_the_spindle_is_held_within_its_speeds_and_a_reset_stops_it_at_once() -> None:
    device = free(speed=["300 rpm", "4000 rpm"])
    device.receive(b"M3 S9000\n", 0.0)
    assert device.machine.rpm == 4000.0
    device.receive(b"S10\n", 0.0)
    assert device.machine.rpm == 300.0
    assert b"|Ov:100,100,100|A:S>" in device.receive(b"??", 0.0)
    assert device.receive(b"\x18", 1.0) == WELCOME and device.machine.rpm == 0.0


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_the_settings_are_printed_as_grbl_prints_them() -> None:
    lines = free(travel={"x": ["-300 mm", "0 mm"]}).receive(b"$$\n", 0.0).split(b"\r\n")
    assert lines[0] == b"$0=10" and lines[-2] == b"ok"
    assert {b"$22=0", b"$30=6000", b"$100=250.000", b"$130=300.000", b"$131=200.000"} <= set(lines)
    changed = free()
    assert changed.receive(b"$120=500\n$99=1\n$0=-1\n", 0.0) == b"ok\r\nerror:3\r\nerror:4\r\n"
    assert b"$120=500.000" in changed.receive(b"$$\n", 0.0)


def test_wco_comes_every_thirtieth_report_at_rest_and_every_tenth_in_motion() -> None:
    device = free()
    seen = [b"WCO" in device.receive(b"?", 0.0) for _ in range(61)]
    assert [n for n, has in enumerate(seen) if has] == [0, 30, 60]
    device.receive(b"G1 X100 F60\n", 1.0)
    seen = [b"WCO" in device.receive(b"?", 2.0) for _ in range(60)]
    places = [n for n, has in enumerate(seen) if has]
    assert all(b - a == 10 for a, b in itertools.pairwise(places[1:])) and len(places) > 3


@given(st.lists(st.floats(0, 40), max_size=20))
def test_how_often_somebody_looks_changes_nothing(looks: list[float]) -> None:
    said = [(0.0, b"G1X20F600\nM3S800\nG4P3\nM5\n"), (1.0, b"!"), (4.0, b"~"), (12.0, b"$J=X0F900\n"), (12.4, b"\x85")]
    looked_at, alone = free(), free()
    for at_s, data in sorted([*said, *((look, b"") for look in looks)], key=lambda each: each[0]):
        looked_at.receive(data, at_s)
    for at_s, data in said:
        alone.receive(data, at_s)
    assert looked_at.receive(b"?$G\n", 41.0) == alone.receive(b"?$G\n", 41.0)
    assert ledger(looked_at) == ledger(alone)


@pytest.mark.parametrize("at_s", [0.5, 2.5, 5.0, 9.0])
def test_state_is_plain_json_and_goes_on_where_it_was(at_s: float) -> None:
    device = free()
    device.receive(b"G1X20F600\nG0X0\nM3S800\nG4P3\nM5\nF9\n", 0.0)
    device.receive(b"$J=", at_s)
    again = free()
    again.restore(json.loads(json.dumps(device.state())), at_s)
    for until_s in (3.0, 8.0, 60.0):
        if until_s > at_s:
            assert again.receive(b"?", until_s) == device.receive(b"?", until_s)
    assert again.receive(b"X5F900\n$G\n", 61.0) == device.receive(b"X5F900\n$G\n", 61.0)


@given(st.lists(st.tuples(st.binary(max_size=60), st.floats(0, 5)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = grbl(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    device.receive(b"\x18", at_s)
    assert device.receive(b"\n$G\n", at_s + 1).endswith(b"]\r\nok\r\n")
    assert len(device._rx) <= RX_BUFFER and len(device.typed.text) < 80


@given(st.lists(st.sampled_from("GMXYZFSPNTLIJK$=.-0123456789 "), max_size=40).map("".join))
def test_every_line_has_one_answer_or_none(line: str) -> None:
    device = free()
    answers = device.receive(line.encode() + b"\n", 0.0) + device.receive(b"", 1e5)
    if device.condition != "Hold":
        assert len(re.findall(rb"(?m)^(?:ok|error:\d+)\r$", answers)) == 1
    assert all(math.isfinite(value) for value in device.motion.where(1e5))
