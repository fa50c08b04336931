"""`labloop serve` as a process: pyleco's Director drives it, and another labloop does through its LECO driver."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyleco.directors.director import Director
from pyleco.json_utils.errors import JSONRPCError
from pyleco.utils.communicator import Communicator

from drivers.leco import LecoActor
from labloop.bench import Amount, LinkError, Port
from labloop.keys import make_pair
from tests.patience import patient_link

ROOT = Path(__file__).parents[2]
LAB = ROOT / "campaigns" / "lab.yaml"
ACT = "ab" * 16

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

PUMP: dict[str, Any] = {
    "remembers": True,
    "identity": {"parameter": "kind", "is": "^New Era"},
    "readings": {"infused": {"unit": "uL"}, "state": {}},
    "actions": {
        "dispense": {
            "act": True,
            "call": "dispense",
            "settings": {
                "rate": {"argument": "rate", "unit": "uL/min", "from": 1, "to": 1000},
                "volume": {"argument": "volume", "unit": "uL", "from": 1, "to": 5000},
            },
            "counts": {"parameter": "volume", "setting": "volume"},
            "remainder": True,
        }
    },
    "stop": {"call": "stop"},
}
SPECTROMETER: dict[str, Any] = {
    "remembers": True,
    "actions": {
        "measure": {
            "call": "measure",
            "settings": {"integration": {"argument": "integration", "unit": "ms", "from": 1, "to": 10000}},
            "gives": {"spectrum": {"call": "array.spectrum", "array": True}},
        }
    },
}


class Serving:
    """The process, and where it is. It has said what it says when it has ended."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-P", "-m", "labloop", "serve", *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ)
        self.address = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if " at zmq+tcp://" in line:
                self.address = line.rpartition(" at ")[2].strip()
                break

    @property
    def number(self) -> int:
        return int(self.address.rpartition(":")[2])

    def end(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(how)
        said = self.process.communicate(timeout=120)[1]
        return self.process.returncode, said


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    running: list[Serving] = []

    def start(*arguments: object) -> Serving:
        running.append(Serving(*arguments))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.communicate()


def test_pyleco_drives_a_pump_and_a_spectrometer(serve: Callable[..., Serving]) -> None:
    serving = serve(LAB, "--port", 0, "--node", "L1")
    with Communicator("judge", host="127.0.0.1", port=serving.number, timeout=60) as communicator:
        pump = Director("L1.pump_agno3", communicator)
        assert "pump_water" in pump.ask_rpc("send_local_components", actor="COORDINATOR")
        assert "call_action" in [one["name"] for one in pump.get_rpc_capabilities()["methods"]]
        assert pump.get_parameters(["kind", "infused"]) == {"kind": "New Era NE-1000 syringe pump", "infused": 0.0}
        assert pump.call_action("dispense", rate="600 uL/min", volume=10, act=ACT)["state"] == "running"
        assert until_done(pump, ACT)["result"]["volume"] == pytest.approx(10.0, abs=0.1)
        with pytest.raises(JSONRPCError, match="above the limit of the New Era"):
            pump.call_action("dispense", rate=1e6, volume=10)
        spectrometer = Director("L1.spectrometer", communicator)
        act = spectrometer.call_action("measure", integration="50 ms")["act"]
        until_done(spectrometer, act)
        answer, frames = spectrometer.ask_rpc(
            "call_action", action="array.spectrum", kwargs={"act": act}, extract_additional_payload=True
        )
        assert answer["length"] == len(frames[0]) == 301 * 16
        pump.call_action("dispense", rate="60 uL/min", volume=1000)
    code, said = serving.end()
    assert code == 0 and "ended by SIGTERM; the bench is in its safe state." in said


def until(what: Callable[[], Any]) -> Any:
    """What it gives, once that is true."""
    deadline_s = time.monotonic() + 120
    while not (found := what()):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return found


def until_done(director: Director, act: str) -> dict[str, Any]:
    def over() -> Any:
        report = director.call_action("last_act", act=act)
        return report if report["state"] != "running" else None

    return dict(until(over))


def opened(address: str, name: str, options: dict[str, Any], folder: Path = Path()) -> tuple[Port, LecoActor]:
    where = f"{address}{'&' if '?' in address else '?'}actor=L1.{name}"
    port = Port(patient_link(where, folder))
    return port, LecoActor(port.exchange(name, where), **options)


def test_another_labloop_works_it_as_a_leco_actor_with_keys(serve: Callable[..., Serving], tmp_path: Path) -> None:
    for name in ("server", "me", "other"):
        make_pair(tmp_path, name)
    (tmp_path / "allow").mkdir(mode=0o700)
    (tmp_path / "allow" / "me.key").write_bytes((tmp_path / "me.key").read_bytes())
    keys = ("--own-key", tmp_path / "server.key_secret", "--allow", tmp_path / "allow")
    serving = serve(LAB, "--port", 0, "--node", "L1", "--host", "0.0.0.0", *keys)
    place = serving.address.replace("0.0.0.0", "127.0.0.1") + "?server_key=server.key&client_key="
    port, pump = opened(f"{place}me.key_secret", "pump_agno3", PUMP, tmp_path)
    try:
        assert pump.open().model == "New Era NE-1000 syringe pump" and pump.read()["infused"].value == 0.0
        assert pump.counters() == {}, "it remembers what it did, act by act"
        pump.begin("dispense", {"rate": 60.0, "volume": 9000.0}, "act-1")  # it lasts for two and a half minutes
        wished = {"rate": Amount(60.0, "uL/min"), "volume": Amount(9000.0, "uL")}
        assert pump.happened("dispense", wished, {}, "act-1").state == "running"
        time.sleep(0.5)
        pump.stop()
        verdict = pump.happened("dispense", wished, {}, "act-1")
        assert verdict.state == "partial" and 0.0 < float(verdict.remainder["volume"].value) < 9000.0
        pump.begin("dispense", {"rate": 600.0, "volume": 20.0}, "act-2")
        wished = {"rate": Amount(600.0, "uL/min"), "volume": Amount(20.0, "uL")}
        began_s = time.monotonic()
        while not (look := pump.progress(time.monotonic() - began_s)).done:
            time.sleep(0.1)
        assert float(look.achieved["volume"].value) == pytest.approx(20.0, abs=0.1)
        assert pump.happened("dispense", wished, {}, "act-2").state == "done"
        pump.close()
    finally:
        port.close()
    port, spectrometer = opened(f"{place}me.key_secret", "spectrometer", SPECTROMETER, tmp_path)
    try:
        spectrometer.open()
        spectrometer.begin("measure", {"integration": 50.0}, "act-3")
        while not (look := spectrometer.progress(0.0)).done:
            time.sleep(0.05)
        assert len(look.arrays["spectrum"]) == 301 * 16
    finally:
        port.close()
    port, pump = opened(f"{place}other.key_secret", "pump_agno3", PUMP, tmp_path)
    try:
        with pytest.raises(LinkError, match="does not let our key in"):
            pump.open()
    finally:
        port.close()
    code, said = serving.end(signal.SIGHUP)
    assert code == 0 and "ended by SIGHUP; the bench is in its safe state." in said


def test_a_live_service_that_is_killed_takes_its_act_up_again(
    serve: Callable[..., Serving], tmp_path: Path
) -> None:  # fmt: skip
    out, ledger = tmp_path / "OUT.yaml", tmp_path / "ledger.jsonl"
    simulate = [sys.executable, "-P", "-m", "labloop", "simulate", str(LAB), "--addresses", str(out)]
    simulators = subprocess.Popen([*simulate, "--ledger", str(ledger), "--speed", "2"], cwd=ROOT)
    try:
        until(lambda: out.exists() or simulators.poll() is not None)
        serving = serve(out, "--live", "--port", 0, "--node", "L1")
        with Communicator("judge", host="127.0.0.1", port=serving.number, timeout=60) as communicator:
            pump = Director("L1.pump_agno3", communicator)
            pump.call_action("dispense", rate="60 uL/min", volume=200, act=ACT)
            time.sleep(2.0)
        assert serving.end(signal.SIGKILL)[0] == -signal.SIGKILL
        busy = [sys.executable, "-P", "-m", "labloop", "instruments", str(out), "pump_agno3", "dispense"]
        serving = serve(out, "--live", "--port", 0, "--node", "L1")
        with Communicator("judge", host="127.0.0.1", port=serving.number, timeout=60) as communicator:
            pump = Director("L1.pump_agno3", communicator)
            report = pump.call_action("dispense", rate="60 uL/min", volume=200, act=ACT)
            assert report["state"] == "stopped" and "the service ended meanwhile" in report["why"]
            assert 2.0 < report["result"]["volume"] < 199.0
        hand = subprocess.run(
            [*busy, "rate=60 uL/min", "volume=1 uL", "--live"], cwd=ROOT, capture_output=True, text=True
        )
        assert hand.returncode == 5 and "has a controller already" in hand.stderr
        assert serving.end()[0] == 0
    finally:
        simulators.terminate()
        simulators.wait(120)
    acts = [json.loads(line) for line in ledger.read_text().splitlines()]
    dispensed = [(one["phase"], one["amount"]) for one in acts if one["act"] == "dispense"]
    assert [phase for phase, _ in dispensed] == ["begin", "end"]
    assert dispensed[-1][1] == pytest.approx(report["result"]["volume"], abs=0.1)


@pytest.mark.parametrize(
    "arguments, why",
    [
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--own-key", "nowhere.key_secret"], "keys need both"),
        (["--port", "70000"], "a TCP port is 0 to 65535"),
        (["--node", "a.b"], "a node's name has no dots"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_moves(arguments: list[str], why: str) -> None:
    command = [sys.executable, "-P", "-m", "labloop", "serve", str(LAB), *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert said.returncode == 2 and why in said.stderr and "Traceback" not in said.stderr
