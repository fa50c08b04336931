"""The MC, line for line against its manuals and what others have recorded of an MC-500SCCM-D."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.alicat import MC, TAU_S


def controller(**options):
    return MC(World(), "gas", {"full_scale": "500 mL/min"} | options)


def told(device, *lines, at_s=0.0):
    """The answer to the last of some commands."""
    return [device.receive(line + b"\r", at_s) for line in lines][-1]


IDLE = b"A +044.70 +022.00 +000.00 +000.00 +000.00     N2"
SET = b"A +044.70 +022.00 +000.00 +000.00 +100.00     N2"
EXCHANGES = [
    ([b"A"], IDLE + b"\r", "frame: captured from alicat 0.9.0"),
    ([b"a"], IDLE + b"\r", "MC p. 36: case does not matter"),
    ([b"AS100.00"], SET + b"\r", "captured"),
    ([b"AS 100"], SET + b"\r", "standard devices p. 32"),
    ([b"A12800"], SET + b"\r", "MC p. 43: 64000 is full scale"),
    ([b"A$$S100"], SET + b"\r", "older firmware"),
    ([b"AS600"], b"?\r", "beyond full scale"),
    ([b"AS-1"], b"?\r", "below 0"),
    ([b"AS600", b"A"], IDLE + b"\r", "refused"),
    ([b"AHC"], IDLE + b" HLD\r", "standard devices p. 32"),
    ([b"AHC", b"AS100"], SET + b" HLD\r", "held whatever the setpoint is"),
    ([b"AHP"], IDLE + b" HLD\r", "standard devices p. 32"),
    ([b"A$$H"], IDLE + b" HLD\r", "alicat 0.9.0"),
    ([b"AHC", b"AC"], IDLE + b"\r", "standard devices p. 32"),
    ([b"AVE"], b"A   10v20.0-R24 Jan  9 2025,15:04:07\r", "captured"),
    ([b"ALS"], b"A +000.00 +000.00 12 SCCM\r", "recorded"),
    ([b"AS100", b"ALS"], b"A +000.00 +100.00 12 SCCM\r", "recorded: flow, then setpoint"),
    ([b"ALSS"], b"A S\r", "recorded"),
    ([b"ALSS U"], b"A U\r", "recorded"),
    ([b"AR122"], b"A   122 = 37\r", "captured"),
    ([b"AW122=34"], b"A   122 = 34\r", "captured"),
    ([b"A$$W46=1"], b"A   046 = 1\r", "captured"),
    ([b"AG 1"], IDLE.replace(b"N2", b"Ar") + b"\r", "standard devices p. 32"),
    ([b"AG 99"], b"?\r", "no such gas"),
    ([b"A??M4"], b"A  M04 Model Number MC-500SCCM-D\r", "recorded, alicatlib"),
    ([b"A??M9"], b"A  M09 Software Revision 10v20.0-R24\r", "MC p. 43; recorded, alicatlib"),
    ([b"ALV"], b"A 37\r", "recorded, alicatlib"),
    ([b"ADCU 5"], b"A 12 SCCM\r", "recorded, alicatlib"),
    ([b"AFPF 5"], b"A +500.00 12 SCCM\r", "recorded, alicatlib"),
    ([b"ALS 100.0"], b"A +000.00 +100.00 12 SCCM\r", "alicatlib: it lags behind"),
    ([b"ALS 500.5"], b"?\r", "beyond full scale"),
    ([b"A@ C", b"C"], b"C" + IDLE[1:] + b"\r", "standard devices p. 32"),
    ([b"A@ C", b"A"], b"", "another letter"),
    ([b"B"], b"", "another device's"),
    ([b"ANONSENSE"], b"?\r", "unknown"),
    ([b""], b"", "an empty line"),
    ([b"A" * 300, b"A"], IDLE + b"\r", "an endless line"),
]


@pytest.mark.parametrize(("sent", "answer", "source"), EXCHANGES, ids=lambda value: str(value)[:40])
def test_exchanges(sent, answer, source):
    assert told(controller(), *sent) == answer, source
    single = controller()
    for line in sent:
        said = b"".join(single.receive(bytes([byte]), 0.0) for byte in line + b"\r")
    assert said == answer, source


def test_several_commands_in_one_write_are_answered_in_order():
    assert controller().receive(b"AS100\rA\r", 0.0) == (SET + b"\r") * 2


LISTS = [(b"A??M*", 10, b"A  M00 ALICAT"), (b"A??D*", 22, b"A D00 ID_"), (b"A??G*", 7, b"A G00      Air")]
# As an MC-500SCCM-D with 10v20 says them (recorded, alicatlib 0.3.1).
LAYOUT = b"""A D00 ID_ NAME______________________ TYPE_______ WIDTH NOTES___________________
A D01 700 Unit ID                    string          1
A D02 002 Abs Press                  s decimal     7/2 010 02 PSIA
A D03 003 Flow Temp                  s decimal     7/2 002 02 `C
A D04 004 Volu Flow                  s decimal     7/2 012 02 CCM
A D05 005 Mass Flow                  s decimal     7/2 012 02 SCCM
A D06 037 Mass Flow Setpt            s decimal     7/2 012 02 SCCM
A D07 703 Gas                        string          6
A D08 701 *Error                     string          3 ADC
A D09 702 *Status                    string          3 OPL"""


def test_the_layout_is_a_real_ones():
    assert told(controller(), b"A??D*").startswith(LAYOUT.replace(b"\n", b"\r"))


@pytest.mark.parametrize(("command", "count", "first"), LISTS)
def test_lists_have_a_line_for_each(command, count, first):
    lines = told(controller(), command).split(b"\r")[:-1]
    assert len(lines) == count and lines[0].startswith(first)


def test_a_large_one_counts_in_litres_with_five_digits():
    device = controller(full_scale="10 L/min")
    assert told(device, b"AS2.5") == b"A +044.70 +022.00 +00.000 +00.000 +02.500     N2\r"
    assert told(device, b"ALS", at_s=9.0) == b"A +02.500 +02.500 7 SLPM\r"
    assert told(device, b"A??M4").endswith(b"MC-10SLPM-D\r")


def test_the_flow_follows_the_setpoint_and_the_ledger_counts_what_passed():
    device = controller()
    told(device, b"AS120")
    assert device.leg.at(TAU_S) == pytest.approx(120.0 * (1.0 - 1.0 / math.e))
    told(device, b"AS60", at_s=60.0)
    told(device, b"AHC", at_s=120.0)
    begun, ended = device.world.ledger.entries
    assert (begun.phase, begun.at_s, ended.phase, ended.at_s) == ("begin", 0.0, "end", 120.0)
    lag_ml = TAU_S * (120.0 - 60.0) / 60.0 - 120.0 * TAU_S / 60.0
    assert ended.amount == pytest.approx(120.0 + 60.0 + lag_ml, abs=1e-6)
    assert told(device, b"A", at_s=121.0).split()[4] in (b"+000.00", b"+000.40")


def test_pressure_and_temperature_make_the_volumetric_flow():
    device = controller()
    told(device, b"AS100")
    frame = told(device, b"A", at_s=9.0).split()
    assert float(frame[3]) == pytest.approx(100.0 * 14.696 / 44.7 * 295.15 / 298.15, abs=0.01)


def test_a_tare_with_gas_flowing_spoils_the_reading():
    device = controller()
    told(device, b"AS100")
    told(device, b"AV", at_s=9.0)
    assert told(device, b"A", at_s=9.0).split()[4] == b"+000.00" and device.leg.at(9.0) > 99.0


def test_an_analog_source_takes_setpoints_and_follows_none():
    device = controller()
    told(device, b"ALSS A")
    assert told(device, b"AS100") == IDLE + b"\r" and device.world.ledger.entries == []


def test_no_gas_no_flow_and_too_much_is_said():
    device = controller()
    told(device, b"AS100")
    device.open_by_hand(5.0)
    assert told(device, b"A", at_s=5.0).endswith(b"N2 MOV\r")
    device.stall(10.0)
    assert told(device, b"A", at_s=20.0) == b"A +014.70 +022.00 +000.00 +000.00 +100.00     N2\r"


@pytest.mark.parametrize(("source", "after"), [(b"S", 100.0), (b"U", 0.0)])
def test_power_cycle_follows_a_saved_setpoint_and_forgets_another(source, after):
    device = controller()
    told(device, b"ALSS " + source, b"AS100", b"AHC")
    device.power_cycle(10.0)
    assert (device.setpoint, device.held, device.leg.goal_c) == (after, None, after)


def test_state_is_plain_json_and_goes_on_where_it_was():
    device = controller()
    told(device, b"AS100", b"ALSS U")
    device.receive(b"", 3.0)
    again = controller()
    again.restore(json.loads(json.dumps(device.state(), allow_nan=False)), 3.0)
    for asked in (b"A", b"ALSS", b"AHC"):
        assert told(again, asked, at_s=60.0) == told(device, asked, at_s=60.0)
    assert again.world.ledger.entries[-1].amount == device.world.ledger.entries[-1].amount


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1000)), max_size=20))
def test_no_bytes_whatever_bring_it_down(said):
    device, at_s = controller(), 0.0
    for data, wait_s in said:
        at_s += wait_s
        device.receive(data, at_s)
        assert len(device._line) <= 129
    device.receive(b"\r", at_s + 1)
    assert device.receive(device.address.encode() + b"VE\r", at_s + 2).endswith(b"15:04:07\r")


COMMANDS = ["S", "HC", "HP", "C", "VE", "LS", "LSS", "R122", "W122=", "W46=", "G", "??M", "??D*", "V", "@", "$$S"]


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.text("0123456789. ASU-*", max_size=6)), max_size=40))
def test_no_commands_whatever_bring_it_down(said):
    device = controller()
    for n, (command, argument) in enumerate(said):
        answer = device.receive(f"{device.address}{command}{argument}\r".encode(), n * 7.0)
        assert answer.endswith(b"\r")
        assert 0.0 <= device.leg.at(n * 7.0) <= 500.0 + 1e-6
