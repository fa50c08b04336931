"""Alicat: NuMat's client drives our simulated controller."""

import json
from pathlib import Path

import pytest

from drivers.alicat import MC

pytestmark = pytest.mark.crosswise

ALICAT = """
import asyncio, json, sys
from alicat import FlowController

async def main():
    seen = []
    async with FlowController(sys.argv[1], "A", timeout=1.0) as gas:
        seen.append(await gas.get())
        await gas.set_flow_rate(123.4)
        await asyncio.sleep(0.1)  # 6 s for the simulated gas
        seen.append(await gas.get())
        await gas.set_gas("Ar")
        seen.append((await gas.get())["gas"])
        await gas.hold()
        seen.append(await gas.get_firmware())
        await gas.cancel_hold()
        await gas.set_pressure(20.0)
        seen.append(gas.control_point)
        await gas.set_flow_rate(0.0)
        seen.append((await gas.get())["setpoint"])
    print(json.dumps(seen))

asyncio.run(main())
"""


def test_alicat_drives_our_simulator(serve_stand, run_client):
    device = str(Path(serve_stand(MC, speed=60.0).device("it")).resolve())  # It takes only names below /dev.
    said = json.loads(run_client("alicat==0.9.0", ALICAT, device).splitlines()[-1])
    idle, flowing, gas, firmware, control, after = said
    assert idle == {
        "pressure": 44.7, "temperature": 22.0, "volumetric_flow": 0.0, "mass_flow": 0.0, "setpoint": 0.0, "gas": "N2",
        "control_point": "mass flow",
    }  # fmt: skip
    assert flowing["setpoint"] == 123.4 and flowing["mass_flow"] == pytest.approx(123.4, abs=0.1)
    assert (gas, control, after) == ("Ar", "abs pressure", 0.0) and firmware.startswith("A   10v20")
