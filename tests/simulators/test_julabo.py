"""The circulator, byte for byte against its manuals (SL/HL series chapter 12, FL601 p. 39, Forte HT30 p. 63)."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.thermal import ROOM_C
from labloop.simulation.world import World
from simulators.julabo import AFTER_OUT_S, DOWN_K_S, UP_K_S, Circulator


def bath(**options):
    return Circulator(World(), "bath", options)


def told(device, *lines, at_s=0.0):
    """The answer to the last of some commands, said as slowly as the manual wants."""
    answer = b""
    for n, line in enumerate(lines):
        answer = device.receive(line + b"\r", at_s + n * AFTER_OUT_S)
    return answer


EXCHANGES = [
    ([b"version"], b"JULABO HIGHTECH FL HL/SL VERSION 4.0\r\n", "python-dvg-devices: an FP51-SL"),
    ([b"VERSION"], b"JULABO HIGHTECH FL HL/SL VERSION 4.0\r\n", "case does not matter"),
    ([b"status"], b"02 REMOTE STOP\r\n", "MAGIO MX p. 91"),
    ([b"out_mode_05 1", b"status"], b"03 REMOTE START\r\n", "MAGIO MX p. 91"),
    ([b"in_pv_00"], b"22.00\r\n", "SL-26 p. 82"),
    ([b"in_pv_01"], b"0.00\r\n", "LC 6 p. 46: heating power"),
    ([b"in_pv_02"], b"---.--\r\n", "python-dvg-devices: no external Pt100"),
    ([b"in_pv_03"], b"22.00\r\n", "LC 6 p. 46: safety sensor"),
    ([b"in_sp_00"], b"24.00\r\n", "SL-26 p. 82"),
    ([b"in_sp_06"], b"0\r\n", "python-dvg-devices: degC"),
    ([b"in_mode_01"], b"0\r\n", "SL-26 p. 82"),
    ([b"in_mode_02"], b"0\r\n", "Magnum 91 p. 66, asked by julabo 2.3.0 (written on a CF31)"),
    ([b"in_mode_03"], b"0\r\n", "Magnum 91 p. 66, asked by julabo 2.3.0"),
    ([b"in_mode_04"], b"0\r\n", "Magnum 91 p. 66, asked by julabo 2.3.0"),
    ([b"in_hil_01"], b"100\r\n", "Magnum 91 p. 66: in %"),
    ([b"out_mode_02 2", b"in_mode_02"], b"2\r\n", "SL-26 p. 82: selftuning always"),
    ([b"out_mode_04 1", b"status"], b"-08 INVALID COMMAND\r\n", "it has no external Pt100"),
    ([b"in_sp_07"], b"2\r\n", "Magnum 91 p. 66: pump pressure stage, asked by PyLabware (on a CF41)"),
    ([b"out_sp_07 4", b"in_sp_07"], b"4\r\n", "SC 2500 p. 42"),
    ([b"out_sp_07 5", b"status"], b"-11 VALUE TOO LARGE\r\n", "PyLabware: 1 to 4"),
    ([b"out_par_06 3.5", b"in_par_06"], b"3.5\r\n", "SC 2500 p. 42: Xp"),
    ([b"out_par_07 2", b"status"], b"-10 VALUE TOO SMALL\r\n", "PyLabware: Tn, 3 to 9999"),
    ([b"out_par_08 30", b"in_par_08"], b"30\r\n", "SC 2500 p. 42: Tv"),
    ([b"in_mode_05"], b"0\r\n", "FL601 p. 40"),
    ([b"out_sp_00 55.5"], b"", "SL-26 p. 82: out_ is not answered"),
    ([b"out_sp_00 55.5", b"in_sp_00"], b"55.50\r\n", "SL-26 p. 82"),
    ([b"out_sp_00 -12.34", b"in_sp_00"], b"-12.34\r\n", "SL-26 p. 82"),
    ([b"out_sp_03 120", b"in_sp_03"], b"120.00\r\n", "SC 2500 p. 42: high warning limit"),
    ([b"out_sp_04 -5", b"in_sp_04"], b"-5.00\r\n", "SC 2500 p. 42: low warning limit"),
    ([b"out_sp_01 33", b"in_sp_01"], b"33.00\r\n", "SL-26 p. 82"),
    ([b"out_mode_01 1", b"in_mode_01"], b"1\r\n", "SL-26 p. 82"),
    ([b"out_mode_05 1", b"in_mode_05"], b"1\r\n", "FL601 p. 40"),
    ([b"out_sp_00 -60", b"status"], b"-10 VALUE TOO SMALL\r\n", "MAGIO MX p. 91"),
    ([b"out_sp_00 250", b"status"], b"-11 VALUE TOO LARGE\r\n", "MAGIO MX p. 91"),
    ([b"out_sp_00 250", b"in_sp_00"], b"24.00\r\n", "refused"),
    ([b"out_sp_00 155", b"in_sp_00"], b"155.00\r\n", "Forte HT30 p. 63: stored"),
    ([b"out_sp_00 155", b"status"], b"-13 WARNING : VALUE EXCEEDS TEMPERATURE LIMITS\r\n", "Forte HT30 p. 63"),
    ([b"out_sp_00 155", b"status", b"status"], b"02 REMOTE STOP\r\n", "told once"),
    ([b"out_sp_00 hot", b"status"], b"-08 INVALID COMMAND\r\n", "no number"),
    ([b"out_sp_09 1", b"status"], b"-08 INVALID COMMAND\r\n", "FL601 p. 41"),
    ([b"out_mode_05 2", b"status"], b"-11 VALUE TOO LARGE\r\n", "MAGIO MX p. 91"),
    ([b"out_mode_05 0.5", b"status"], b"-10 VALUE TOO SMALL\r\n", "no mode"),
    ([b"nonsense"], b"", "unknown is not answered"),
    ([b"nonsense", b"status"], b"-08 INVALID COMMAND\r\n", "FL601 p. 41"),
    ([b""], b"", "an empty line"),
    ([b"x" * 200, b"in_mode_05"], b"0\r\n", "an endless line"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent, answer, source):
    assert told(bath(), *sent) == answer, source
    single, at_s = bath(), 0.0
    for line in sent:
        said = b"".join(single.receive(bytes([byte]), at_s) for byte in line + b"\r")
        at_s += AFTER_OUT_S
    assert said == answer, source


def test_in_fahrenheit_all_temperatures_on_the_line_are():
    """SL-26 p. 82: "in the selected unit"."""
    device = bath(unit="degF")
    assert told(device, b"in_sp_06") == b"1\r\n"
    assert told(device, b"in_pv_00") == b"71.60\r\n"
    assert told(device, b"out_sp_00 80", b"in_sp_00", at_s=1.0) == b"80.00\r\n"
    assert device.working[0] == pytest.approx(26.67, abs=0.01)
    assert told(device, b"out_sp_00 400", b"status", at_s=2.0) == b"-11 VALUE TOO LARGE\r\n"
    assert told(device, b"in_pv_01", at_s=3.0) == b"0.00\r\n"


def test_what_comes_too_soon_after_a_setting_is_lost():
    """All manuals: at least 250 ms between two commands; 100 ms of them are the computer's, when it is busy."""
    device = bath()
    device.receive(b"out_sp_00 55.5\r", 0.0)
    assert device.receive(b"in_sp_00\r", 0.14) == b""
    assert device.receive(b"in_sp_00\r", 0.15) == b"55.50\r\n"


def test_of_several_commands_in_one_write_those_before_a_setting_are_heard():
    device = bath()
    assert device.receive(b"in_sp_00\rin_mode_05\rout_mode_05 1\rin_mode_05\r", 0.0) == b"24.00\r\n0\r\n"
    assert device.receive(b"in_mode_05\r", 0.25) == b"1\r\n"


def test_these_are_times_of_the_host():
    device = Circulator(World(speed=60.0), "bath", {})
    device.receive(b"out_sp_00 55.5\r", 0.0)
    assert device.receive(b"in_sp_00\r", 8.9) == b""
    assert device.receive(b"in_sp_00\r", 9.0) == b"55.50\r\n"


def test_under_manual_control_it_answers_and_obeys_nobody():
    device = bath(remote=False)
    assert told(device, b"status") == b"00 MANUAL STOP\r\n"
    assert told(device, b"out_mode_05 1", b"in_mode_05", at_s=1.0) == b"0\r\n"
    assert told(device, b"status", at_s=2.0) == b"-09 COMMAND NOT ALLOWED IN CURRENT OPERATING MODE\r\n"


def test_on_rs485_it_hears_its_own_address_only():
    device = bath(address=32)
    assert told(device, b"A032_in_sp_00") == b"A032_24.00\r\n"
    assert told(device, b"in_sp_00", b"A033_in_sp_00", at_s=1.0) == b""


def test_it_warms_at_its_rate_and_comes_to_rest_at_its_goal():
    device = bath()
    told(device, b"out_sp_00 60", b"out_mode_05 1")
    assert device.leg.at(600.15) == pytest.approx(ROOM_C + 600 * UP_K_S)
    assert float(device.receive(b"in_pv_00\r", 7200.0)) == 60.0
    told(device, b"out_sp_00 10", at_s=8000.0)
    assert device.leg.at(8600.0) == pytest.approx(60.0 - 600 * DOWN_K_S)
    temperatures = [device.leg.at(8000.0 + n) for n in range(6000)]
    assert all(a >= b for a, b in itertools.pairwise(temperatures)) and temperatures[-1] > 10.0 - 1e-9
    told(device, b"out_mode_05 0", at_s=20_000.0)
    assert 10.0 < device.leg.at(22_000.0) < ROOM_C
    assert [(entry.act, entry.phase, entry.at_s) for entry in device.world.ledger.entries] == [
        ("hold", "begin", AFTER_OUT_S), ("hold", "end", 20_000.0),
    ]  # fmt: skip


def test_the_working_temperature_that_is_chosen_is_the_one_it_goes_to():
    device = bath()
    told(device, b"out_sp_00 60", b"out_mode_01 1", b"out_mode_05 1")
    assert device.leg.goal_c == 20.0
    told(device, b"out_mode_01 0", at_s=5.0)
    assert device.leg.goal_c == 60.0


@given(st.lists(st.floats(0, 4000), max_size=30))
def test_how_often_somebody_looks_changes_nothing(looks):
    looked_at, alone = bath(), bath()
    for device in (looked_at, alone):
        told(device, b"out_sp_00 60", b"out_mode_05 1")
    for look in sorted(looks):
        looked_at.receive(b"in_pv_00\r", 1.0 + look)
    assert looked_at.receive(b"in_pv_00\r", 4002.0) == alone.receive(b"in_pv_00\r", 4002.0)


def test_an_alarm_stops_it_and_stands_until_the_mains_went_and_came():
    device = bath()
    told(device, b"out_sp_00 60", b"out_mode_05 1")
    device.stall(100.0)
    assert told(device, b"in_mode_05", b"status", at_s=101.0) == b"-01 LOW LEVEL ALARM\r\n"
    assert told(device, b"out_mode_05 1", b"in_mode_05", b"status", at_s=102.0) == b"-01 LOW LEVEL ALARM\r\n"
    assert device.world.ledger.entries[-1].phase == "end" and device.world.ledger.entries[-1].at_s == 100.0
    device.power_cycle(200.0)
    assert told(device, b"out_mode_05 1", b"status", at_s=201.0) == b"03 REMOTE START\r\n"


def test_power_cycle_forgets_what_was_sent_and_keeps_the_heat():
    """CF40 p. 29: everything must be sent again, and there is no autostart in remote control."""
    device = bath()
    told(device, b"out_sp_00 60", b"out_mode_05 1")
    device.power_cycle(1200.0)
    assert told(device, b"in_sp_00", at_s=1201.0) == b"24.00\r\n"
    assert told(device, b"status", at_s=1202.0) == b"02 REMOTE STOP\r\n"
    assert device.leg.at(1201.0) > 55.0


def test_state_is_plain_json_and_goes_on_where_it_was():
    device = bath()
    told(device, b"out_sp_00 60", b"out_mode_05 1")
    again = bath()
    again.restore(json.loads(json.dumps(device.state())), 5.0)
    for asked in (b"in_pv_00", b"status", b"in_sp_00"):
        assert told(again, asked, at_s=500.0) == told(device, asked, at_s=500.0)


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1000)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said):
    device, at_s = bath(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
        assert len(device._line) <= 81
    device.receive(b"\r", at_s + 1)
    assert device.receive(b"version\r", at_s + 2).startswith(b"JULABO")
