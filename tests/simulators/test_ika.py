"""The RCT digital simulator, byte for byte against its manual (20014388a) and captured traffic."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.ika import RCT
from simulators.ika_bath import LAG_S, RAMP_K_S, ROOM_C, Bath


def plate() -> RCT:
    return RCT(World(), "hotplate", {})


EXCHANGES = [
    (b"IN_NAME\r\n", b"RCT digital \r\n", "captured"),
    (b"IN_NAME \r\n", b"RCT digital \r\n", "manual: a message ends with blank CR LF"),
    (b"IN_TYPE\r\n", b"RCT5 \r\n", "captured"),
    (b"IN_PV_1\r\n", b"22.0 1 \r\n", "captured"),
    (b"IN_PV_2\r\n", b"22.0 2 \r\n", "captured"),
    (b"IN_PV_7\r\n", b"22.0 7 \r\n", "captured"),
    (b"IN_PV_4\r\n", b"0.0 4 \r\n", "captured"),
    (b"IN_PV_5\r\n", b"0.0 5 \r\n", "captured"),
    (b"IN_SP_1\r\n", b"0.0 1 \r\n", "captured"),
    (b"IN_SP_3\r\n", b"360.0 3 \r\n", "captured"),
    (b"IN_SP_4\r\n", b"0.0 4 \r\n", "captured"),
    (b"OUT_SP_1 80.0\r\n", b"", "setters are silent"),
    (b"OUT_SP_1 80.0\r\nIN_SP_1\r\n", b"80.0 1 \r\n", "captured"),
    (b"OUT_SP_1 350\r\nIN_SP_1\r\n", b"310.0 1 \r\n", "safety limit less 50 K"),
    (b"OUT_SP_4 500\r\nIN_SP_4\r\n", b"500.0 4 \r\n", "captured"),
    (b"OUT_SP_4 9000\r\nIN_SP_4\r\n", b"1500.0 4 \r\n", "fastest"),
    (b"START_1\r\n", b"", "silent"),
    (b"STOP_1\r\n", b"", "silent"),
    (b"START_4\r\n", b"", "silent"),
    (b"STOP_4\r\n", b"", "silent"),
    (b"STATUS_1\r\n", b"12 1 \r\n", "captured"),
    (b"START_1\r\nSTATUS_1\r\n", b"11 1 \r\n", "captured"),
    (b"STATUS_4\r\n", b"0 4 \r\n", "captured"),
    (b"START_4\r\nSTATUS_4\r\n", b"1 4 \r\n", "captured"),
    (b"START_1\r\nSTART_4\r\nRESET\r\nSTATUS_1\r\nSTATUS_4\r\n", b"12 1 \r\n0 4 \r\n", "RESET switches off"),
    (b"OUT_SP_12@60\r\n", b"60 \r\n", "watchdog's safety temperature is echoed"),
    (b"OUT_SP_42@200\r\n", b"200 \r\n", "watchdog's safety speed is echoed"),
    (b"OUT_WD1@30\r\n", b"30 \r\n", "watchdog's time is echoed"),
    (b"OUT_WD1@19\r\n", b"", "20 to 1500 s"),
    (b"OUT_WD1@1501\r\n", b"", "20 to 1500 s"),
    (b"OUT_WD2@0\r\n", b"0 \r\n", "ends the watchdog"),
    (b"in_name\r\n", b"", "capitals only"),
    (b"IN_PV_3\r\n", b"", "unknown is silent"),
    (b"OUT_SP_1 hot\r\n", b"", "unknown is silent"),
    (b"OUT_SP_1 -20\r\n", b"", "unknown is silent"),
    (b"NONSENSE\r\n", b"", "unknown is silent"),
    (b"X" * 200 + b"\r\nIN_TYPE\r\n", b"RCT5 \r\n", "80 characters at most"),
    (b"\r\n", b"", "an empty line"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent: bytes, answer: bytes, source: str) -> None:
    assert plate().receive(sent, 0.0) == answer, source
    single = plate()
    assert b"".join(single.receive(bytes([byte]), 0.0) for byte in sent) == answer, source


def reading(device: RCT, what: bytes, at_s: float) -> float:
    return float(device.receive(b"IN_" + what + b"\r\n", at_s).split()[0])


def test_heat_plate_on_its_ramp_medium_behind_it_and_both_there_at_the_end() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 40\r\nSTART_1\r\n", 0.0)
    assert reading(device, b"PV_2", 60.0) == 27.0
    lag = RAMP_K_S * LAG_S
    assert reading(device, b"PV_1", 60.0) == pytest.approx(27.0 - lag * (1 - math.exp(-1)), abs=0.06)
    assert (reading(device, b"PV_1", 3600.0), reading(device, b"PV_2", 3600.0)) == (40.0, 40.0)
    device.receive(b"STOP_1\r\n", 3600.0)
    assert reading(device, b"PV_2", 4200.0) == pytest.approx(ROOM_C + 18.0 / math.e, abs=0.06)
    ledger = [(e.act, e.phase, round(e.amount, 1)) for e in device.world.ledger.entries]
    assert ledger == [("hold", "begin", 22.0), ("hold", "end", 40.0)]


def test_the_plate_never_heats_faster_than_ten_kelvin_a_minute() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 110\r\nSTART_1\r\n", 0.0)
    seen = [reading(device, b"PV_2", n) for n in range(0, 1800, 30)]
    assert max(b - a for a, b in itertools.pairwise(seen)) < 5.0


def test_a_lower_set_temperature_is_reached_by_cooling() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 80\r\nSTART_1\r\n", 0.0)
    device.receive(b"OUT_SP_1 40\r\n", 5000.0)
    assert 60.0 < reading(device, b"PV_1", 5200.0) < 80.0
    assert reading(device, b"PV_1", 9000.0) == 40.0


@given(st.lists(st.floats(0, 4000), max_size=30))
def test_how_often_somebody_looks_changes_nothing(looks: list[float]) -> None:
    looked_at, alone = plate(), plate()
    said = [(0.0, b"OUT_SP_1 60\r\nSTART_1\r\n"), (900.0, b"OUT_SP_1 30\r\n"), (2500.0, b"STOP_1\r\n")]
    for at_s, data in sorted([*said, *((look, b"IN_PV_1\r\n") for look in looks)], key=lambda each: each[0]):
        looked_at.receive(data, at_s)
    for at_s, data in said:
        alone.receive(data, at_s)
    asked = b"IN_PV_1\r\nIN_PV_2\r\n"
    assert looked_at.receive(asked, 4001.0) == alone.receive(asked, 4001.0)
    assert looked_at.bath.medium_c(4001.0) == alone.bath.medium_c(4001.0)


def test_the_hottest_moment_lies_after_the_heat_went_off() -> None:
    bath = Bath()
    bath.steer(0.0, 80.0)
    bath.steer(300.0, None)
    off, hottest = bath.medium_c(300.0), bath.hottest_c(300.0, 5000.0)
    assert hottest > off + 1.0
    assert hottest == pytest.approx(max(bath.medium_c(300.0 + n * 0.1) for n in range(5000)), abs=1e-3)


def test_watchdog_one_switches_heat_and_stirrer_off_unless_its_command_comes_again() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 60\r\nSTART_1\r\nOUT_SP_4 300\r\nSTART_4\r\nOUT_WD1@30\r\n", 0.0)
    assert device.receive(b"STATUS_1\r\nOUT_WD1@30\r\n", 20.0) == b"11 1 \r\n30 \r\n"
    assert device.receive(b"STATUS_1\r\n", 49.0) == b"11 1 \r\n", "a question winds nothing up"
    assert device.due(49.0) == 50.0
    assert device.receive(b"STATUS_1\r\nSTATUS_4\r\n", 50.0) == b"12 1 \r\n0 4 \r\n"
    assert [e.at_s for e in device.world.ledger.entries if e.phase == "end"] == [50.0, 50.0]


def test_watchdog_two_falls_to_the_safe_values() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 60\r\nSTART_1\r\nOUT_SP_12@30\r\nOUT_SP_42@100\r\nOUT_WD2@20\r\n", 0.0)
    assert device.receive(b"IN_SP_1\r\nIN_SP_4\r\nSTATUS_1\r\n", 21.0) == b"30.0 1 \r\n100.0 4 \r\n11 1 \r\n"


def test_stirring_comes_up_to_speed() -> None:
    device = plate()
    device.receive(b"OUT_SP_4 500\r\nSTART_4\r\n", 0.0)
    assert device.receive(b"IN_PV_4\r\n", 1.0) == b"200.0 4 \r\n"
    assert device.receive(b"IN_PV_4\r\n", 9.0) == b"500.0 4 \r\n"


def test_each_start_is_an_act_of_its_own_in_the_ledger() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 40\r\nSTART_1\r\n", 0.0)
    device.receive(b"START_1\r\n", 100.0)
    assert [(e.at_s, e.phase) for e in device.world.ledger.entries] == [
        (0.0, "begin"),
        (100.0, "end"),
        (100.0, "begin"),
    ]


def test_power_cycle_keeps_the_heat_only() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 60\r\nSTART_1\r\n", 0.0)
    device.power_cycle(400.0)
    assert device.receive(b"STATUS_1\r\nIN_SP_1\r\n", 400.0) == b"12 1 \r\n0.0 1 \r\n"
    assert reading(device, b"PV_2", 400.0) > 50.0


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    device = plate()
    device.receive(b"OUT_SP_1 60\r\nSTART_1\r\nOUT_WD1@600\r\n", 0.0)
    device.receive(b"", 200.0)
    again = RCT(World(), "hotplate", {})
    again.restore(json.loads(json.dumps(device.state())), 200.0)
    asked = b"IN_PV_1\r\nIN_PV_2\r\nSTATUS_1\r\n"
    assert again.receive(asked, 500.0) == device.receive(asked, 500.0)


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1000)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said: list[tuple[bytes, float]]) -> None:
    device, at_s = plate(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
    assert device.receive(b"\r\nIN_TYPE\r\n", at_s + 1).endswith(b"RCT5 \r\n")
