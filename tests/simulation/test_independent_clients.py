"""Clients that we did not write drive the simulators over real ports."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nesp_lib
import numpy as np
import pytest
from pyleco.directors.director import Director
from pyleco.json_utils.errors import JSONRPCError
from pyleco.utils.communicator import Communicator

from labloop.simulation import spectra

ACT, RINSE = "ab" * 16, "cd" * 16


@pytest.fixture
def pumps(serve_plan: Callable[..., Any], plan: dict[str, Any]) -> Any:
    with nesp_lib.Port(serve_plan(plan, speed=60).device("pump_agno3"), 19200) as port:
        yield port


def test_nesp_lib_drives_a_pump(pumps: Any) -> None:
    pump = nesp_lib.Pump(pumps, 0, model_number=1000)
    assert pump.firmware_version == (3, 923)
    pump.syringe_diameter_mm = 14.43
    pump.pumping_direction = nesp_lib.PumpingDirection.INFUSE
    pump.pumping_volume_ml = 0.5
    pump.pumping_rate_ml_per_min = 2.0
    assert pump.syringe_diameter_mm == 14.43
    assert pump.pumping_volume_ml == 0.5 and pump.pumping_rate_ml_per_min == 2.0
    pump.run()
    assert pump.volume_infused_ml == 0.5 and not pump.running
    pump.volume_infused_clear()
    assert pump.volume_infused_ml == 0.0
    pump.pumping_volume_ml, pump.pumping_rate_ml_per_min = 9.0, 0.1  # a minute and a half here
    pump.run(wait_while_running=False)
    assert pump.running
    with pytest.raises(nesp_lib.StateException):
        pump.pumping_direction = nesp_lib.PumpingDirection.WITHDRAW
    pump.stop()
    assert pump.status == nesp_lib.Status.PAUSED
    with pytest.raises(ValueError):
        pump.pumping_rate_ml_per_min = 50.0


def test_nesp_lib_in_safe_mode_and_several_pumps_on_one_line(pumps: Any) -> None:
    all_of_them = [nesp_lib.Pump(pumps, address) for address in range(5)]
    all_of_them[3].safe_mode_timeout_s = 250
    assert all_of_them[3].safe_mode_timeout_s == 250
    assert all_of_them[3].status == nesp_lib.Status.STOPPED
    assert all_of_them[2].status == nesp_lib.Status.STOPPED
    all_of_them[3].safe_mode_timeout_s = 0
    assert all_of_them[3].safe_mode_timeout_s == 0


def test_pyleco_drives_the_spectrometer(serve_plan: Callable[..., Any], plan: dict[str, Any]) -> None:
    served = serve_plan(plan, speed=60)
    number = int(served.ports["spectrometer"].partition("?")[0].rpartition(":")[2])
    with Communicator("judge", host="127.0.0.1", port=number, timeout=60) as communicator:
        assert communicator.namespace == "N1"
        director = Director("N1.spectrometer", communicator)
        assert director.ask_rpc("send_local_components", actor="COORDINATOR") == ["judge", "spectrometer"]
        assert "call_action" in [each["name"] for each in director.get_rpc_capabilities()["methods"]]
        assert director.get_parameters(["serial_number"]) == {"serial_number": "Z0-0001"}
        director.set_parameters({"integration_time_ms": 250.0})
        assert director.get_parameters("integration_time_ms") == {"integration_time_ms": 250.0}
        with pytest.raises(JSONRPCError, match="AttributeError: nope"):
            director.get_parameters(["nope"])
        with pytest.raises(JSONRPCError, match="Receiver is not in addresses list"):
            director.ask_rpc("pong", actor="N1.nobody")
        assert director.call_action("measure", act=ACT)["state"] == "running"
        report = wait_done(director, ACT)
        answer, frames = director.ask_rpc(
            "call_action", action="spectrum", kwargs={"act": ACT}, extract_additional_payload=True
        )
        assert len(frames) == 1 and hashlib.sha256(frames[0]).hexdigest() == answer["sha256"]
        assert report["result"]["sha256"] == answer["sha256"] and answer["length"] == len(frames[0])
        assert np.frombuffer(frames[0], "<f8")[:301].tolist() == spectra.WAVELENGTHS_NM.tolist()
        director.call_action("rinse", RINSE)
        assert wait_done(director, RINSE)["result"] == {"waste_ml": 2.0}
        assert director.call_action("stop") is None


def wait_done(director: Director, act: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while (report := director.call_action("last_act", act=act))["state"] == "running":
        assert time.monotonic() < deadline
    return dict(report)


IKA_CONTROL = """
import asyncio, json, sys
from ika.driver import Hotplate

async def main():
    plate = Hotplate(sys.argv[1])
    seen = [await plate.get_info(), await plate.get()]
    await plate.set("process", 80.0)
    await plate.set("shaker", 500)
    await plate.control("heater", on=True)
    await plate.control("motor", on=True)
    await asyncio.sleep(0.2)  # 12 s for the simulated plate
    seen.append(await plate.get())
    await plate.reset()
    seen.append(await plate.get())
    print(json.dumps(seen))

asyncio.run(main())
"""


@pytest.mark.crosswise
def test_ika_control_drives_the_hotplate(
    serve_plan: Callable[..., Any], plan: dict[str, Any], crosswise_python: Callable[[str], Path]
) -> None:
    device = str(Path(serve_plan(plan, speed=60).device("hotplate")).resolve())  # It takes only names below /dev.
    command = [crosswise_python("ika-control==0.7.0"), "-c", IKA_CONTROL, device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    info, before, heating, after = json.loads(done.stdout)
    assert info == {"name": "RCT digital", "device_type": "RCT5", "temp_limit": 360.0}
    assert before["speed"] == {"setpoint": 0, "actual": 0, "active": False}
    assert before["process_temp"] == {"setpoint": 0.0, "actual": 22.0, "active": False}
    assert heating["speed"] == {"setpoint": 500, "actual": 500, "active": True}
    assert heating["process_temp"]["setpoint"] == 80.0 and heating["process_temp"]["active"] is True
    assert heating["surface_temp"]["actual"] > heating["process_temp"]["actual"] > 22.0
    assert after["speed"]["active"] is False and after["process_temp"]["active"] is False
