"""Clients of balances that we did not write, in venvs of their own, drive the simulated balances over ptys."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.crosswise


def one(simulator: str, port: str, **options: Any) -> dict[str, Any]:
    return {"instruments": {"balance": {"simulator": simulator, "port": port, "options": options}}}


def said(python: Path, program: str, device: str) -> Any:
    done = subprocess.run([python, "-c", program, device], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


METTLER = """
import json, sys
from mettler_toledo_device import MettlerToledoDevice

balance = MettlerToledoDevice(port=sys.argv[1])
seen = {
    "serial": balance.get_serial_number(), "data": balance.get_balance_data(), "levels": balance.get_mtsics_level(),
    "stable": balance.get_weight_stable(), "now": balance.get_weight(),
    "zeroed": balance.zero_stable(), "zero": balance.zero(), "after": balance.get_weight(),
}
balance.reset()
seen["reset"] = balance._serial_device.readline().decode()
balance._send_request("XYZ")
seen["unknown"] = balance._serial_device.readline().decode()
print(json.dumps(seen))
"""


def test_mettler_toledo_device_drives_the_balance(
    serve_plan: Callable[..., Any], crosswise_python: Callable[..., Path]
) -> None:
    plan = one("simulators.mettler_toledo:MTSICS", "serial:///dev/balance?baud=9600", load="2.1873 g")
    python = crosswise_python("mettler_toledo_device==1.5.0", "serial-interface<2.4")
    seen = said(python, METTLER, serve_plan(plan).device("balance"))
    assert seen["serial"] == "B123456789"
    assert seen["data"] == ["XS205DU", "Excellence", "220.0000", "g"]
    assert seen["levels"][0] == "01"
    assert seen["stable"] == [2.1873, "g"] and seen["now"] == [2.1873, "g", "S"]
    assert seen["zeroed"] is True and seen["zero"] == "S" and seen["after"] == [0.0, "g", "S"]
    assert seen["reset"] == 'I4 A "B123456789"\r\n' and seen["unknown"] == "ES\r\n"


SARTORIUS = """
import asyncio, json, sys
from sartorius import Scale

async def main():
    async with Scale(sys.argv[1], timeout=1.0) as scale:
        seen = [await scale.get_info(), await scale.get()]
        await scale.zero()
        seen.append(await scale.get())
        print(json.dumps(seen))

asyncio.run(main())
"""


def test_sartorius_drives_the_balance(serve_plan: Callable[..., Any], crosswise_python: Callable[..., Path]) -> None:
    plan = one("simulators.sartorius:SBI", "serial:///dev/balance?baud=9600&bytesize=8&parity=O", load="12.5 g")
    device = str(Path(serve_plan(plan).device("balance")).resolve())  # It takes only names below /dev.
    info, before, after = said(crosswise_python("sartorius==0.7.1"), SARTORIUS, device)
    assert info == {"model": "MSE1203S-100-DR", "serial": "0037402012", "software": "00-39-21"}
    assert before == {"mass": 12.5, "units": "g", "stable": True, "measurement": "net"}
    assert after == {"mass": 0.0, "units": "g", "stable": True, "measurement": "net"}
