"""JULABO: ISIS's simulator (lewis) takes our driver, and Van Gils's client (dvg-devices) drives our simulator."""

import json

import pytest

from drivers.julabo import Circulator
from labloop.bench import Amount, InstrumentFault

pytestmark = pytest.mark.crosswise


def lewis(crosswise_python, number):
    python = crosswise_python("lewis==1.4.0")
    adapter = f"julabo-version-1: {{bind_address: 127.0.0.1, port: {number}}}"
    return [str(python.parent / "lewis"), "julabo", "-o", "none", "-e", "60", "-p", adapter]


def test_our_driver_on_lewis(run_server, crosswise_python, on_port):
    number = run_server(lambda port: lewis(crosswise_python, port))
    it = on_port(Circulator, f"tcp://127.0.0.1:{number}", external="in_pv_01", power="in_pv_02")
    assert it.open().model == "JULABO FP50_MH Simulator, ISIS"
    it.configure()
    assert {name: one.value for name, one in it.read().items()} == {
        "temperature": 24.0, "power": 5.0, "external": 26.0,
    }  # fmt: skip
    it.begin("hold", {"temperature_c": 25.0, "tolerance_k": 0.5, "time_s": 0.0, "reach_by_s": 600.0}, "act-1")
    for elapsed_s in range(200):
        if (look := it.progress(float(elapsed_s))).done:
            break
    assert abs(look.readings["temperature"].value - 25.0) <= 0.5
    assert it.happened("control", {"temperature": Amount(25.0, "degC")}, {}, "act-2").state == "done"
    assert it.happened("control", {"temperature": Amount(26.0, "degC")}, {}, "act-2").state == "not_begun"
    it.stop()
    with pytest.raises(InstrumentFault, match="it was stopped"):
        it.progress(1.0)
    with pytest.raises(InstrumentFault, match=r"it is set to 25 degC where 120 degC was sent"):  # lewis goes to 100
        it.begin("control", {"temperature_c": 120.0}, "act-3")


DVG = """
import json, sys
from dvg_devices.Julabo_circulator_protocol_RS232 import Julabo_circulator

bath = Julabo_circulator()
assert bath.connect_at_port(sys.argv[1], verbose=False)
seen = {"begun": bath.begin(), "version": bath.state.version, "unit": bath.state.temp_unit}
seen["set"] = bath.set_setpoint(60.0)
seen["on"] = bath.turn_on()
seen["read"] = bath.query_common_readings()
state = bath.state
seen |= {"running": state.running, "setpoint": state.setpoint, "status": state.status, "error": state.has_error,
         "warmer": state.bath_temp > 22.5, "pt100": repr(state.pt100_temp), "preset": state.setpoint_preset}
bath.turn_off()
bath.query_running()
seen["stopped"] = not state.running
bath.close()
print(json.dumps(seen))
"""


def test_dvg_devices_drives_our_simulator(serve_stand, run_client):
    device = serve_stand(Circulator, speed=60.0).device("it")
    said = run_client("dvg-devices==1.8.1", DVG, device)
    assert json.loads(said.splitlines()[-1]) == {
        "begun": True, "version": "JULABO HIGHTECH FL HL/SL VERSION 4.0", "unit": "C", "set": True, "on": True,
        "read": True, "running": True, "setpoint": 60.0, "status": "03 REMOTE START", "error": False, "warmer": True,
        "pt100": "nan", "preset": 1, "stopped": True,
    }  # fmt: skip
