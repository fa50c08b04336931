"""bronkhorst-propar, the maker's own library, drives the simulated EL-FLOW over a pty.

In a process of its own: it leaves two threads behind that look for messages a thousand times a second.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

THEIRS = """
import json, sys, time
import propar

it = propar.instrument(sys.argv[1])
it.master.response_timeout = 60.0
said = {"id": it.id, "nodes": it.master.get_nodes(find_first=False), "setpoint before": it.setpoint}
it.setpoint = 16000
until_s = time.monotonic() + 300.0
while it.measure < 15990 and time.monotonic() < until_s:
    time.sleep(0.05)
said["setpoint"], said["measure"] = it.setpoint, it.measure
said["flow"], said["fluid"], said["unit"] = it.readParameter(205), it.readParameter(25), it.readParameter(129)
several = it.db.get_parameters([92, 90, 9, 21, 128])
said["several"] = [one["data"] for one in it.read_parameters(several)]
said["in its unit"] = it.writeParameter(206, 100.0), it.setpoint
said["read only"] = it.write(1, 0, propar.PP_TYPE_INT16, 5)
said["locked"] = it.writeParameter(13, 1.0), it.writeParameter(7, 64), it.writeParameter(13, 1.0), it.readParameter(13)
said["unknown"] = it.read(99, 0, propar.PP_TYPE_INT8)
# A batch, as their values call it: counting up to limit, setpoint change at batch limit enabled.
batch = {128: "mln", 124: 4.0, 126: 1, 127: 0, 130: 2, 114: 3, 9: 32000}
said["batch"] = [it.writeParameter(number, value) for number, value in batch.items()]
until_s = time.monotonic() + 300.0
while not it.readParameter(28) & 0x10 and time.monotonic() < until_s:
    time.sleep(0.05)
said["counted"], said["alarm"] = it.readParameter(122), it.readParameter(28)
it.setpoint = 0
it.master.propar.mode = propar.PP_MODE_ASCII
said["ascii"] = it.setpoint, it.id, it.writeParameter(9, 3200), it.setpoint
print(json.dumps(said))
"""


def test_the_makers_library_finds_reads_sets_and_doses(serve_plan: Callable[..., Any]) -> None:
    gas = {
        "simulator": "simulators.bronkhorst:ELFlow", "port": "serial:///dev/gas?baud=38400",
        "options": {"full_scale": "500 mL/min", "gas": "N2"},
    }  # fmt: skip
    device = serve_plan({"instruments": {"gas": gas}}).device("gas")
    run = subprocess.run(
        [sys.executable, "-c", THEIRS, device], capture_output=True, text=True, timeout=900, check=False
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said.pop("nodes") == [
        {"address": 3, "type": "DMFC", "serial": "M12345678A", "id": "\x07SNM12345678A", "channels": 1}
    ]
    assert said.pop("counted") == 4.0 and 15990 <= said.pop("measure") <= 16000
    assert 249.8 <= said.pop("flow") <= 250.0
    assert said == {
        "id": "\x07SNM12345678A",
        "setpoint before": 0,
        "setpoint": 16000,
        "fluid": "N2",
        "unit": "mln/min",
        "several": ["M12345678A", "DMFC", 16000, 500.0, "ln"],
        "in its unit": [True, 6400],
        "read only": False,
        "locked": [False, True, True, 1.0],
        "unknown": None,
        "batch": [True] * 7,
        "alarm": 0x10,
        "ascii": [0, "\x07SNM12345678A", True, 3200],
    }
