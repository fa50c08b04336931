"""The shipped lab over real ptys and ZMQ: every driver at once, shared lines, and the way to the safe state."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labloop.bench import Amount, Envelope, open_lab
from labloop.campaign.spec import read_lab
from labloop.runner.benches import simulation_plan
from tests.patience import patient_port

ROOT = Path(__file__).parents[2]
SPEED = 60.0


@pytest.fixture
def served(tmp_path):
    """The open lab on simulators in a process of their own, and their ledger."""
    spec = read_lab(ROOT / "campaigns/lab.yaml")
    addresses, ledger = tmp_path / "addresses.json", tmp_path / "ledger.jsonl"
    plan = simulation_plan(spec, speed=SPEED, seed=3, ledger=ledger) | {"addresses": str(addresses)}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    process = subprocess.Popen(
        [sys.executable, "-m", "labloop.simulation.serve", str(tmp_path / "plan.json")],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    until_s = time.monotonic() + 300.0
    while not addresses.exists():
        assert process.poll() is None and time.monotonic() < until_s, "the simulators did not come up"
        time.sleep(0.01)
    ports = json.loads(addresses.read_text())["ports"]
    by_written = {spec.instruments[name].port: address for name, address in ports.items()}
    lab = open_lab(spec, lambda written: patient_port(by_written[written]))
    yield lab, lambda: [json.loads(line) for line in ledger.read_text().splitlines()]
    lab.close()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=300)


def run(lab, name, action, act, **settings):
    """An action from begin to end on its port's own thread, as the runner does it; the last look."""
    station = lab.instruments[name]
    amounts = {setting: Amount(*value) for setting, value in settings.items()}
    permit = Envelope(lab.spec).permit(name, action, amounts)
    station.port.submit(lambda: station.begin(permit, act)).result(timeout=300)
    began = time.monotonic()
    while True:
        elapsed_s = (time.monotonic() - began) * SPEED
        look = station.port.submit(lambda: station.driver.progress(elapsed_s)).result(timeout=300)  # noqa: B023
        if look.done:
            return look
        time.sleep(look.again_in_s / SPEED)


def test_the_whole_lab_works_over_real_ports(served):
    lab, ledger = served
    assert [one.model for one in lab.open().values()] == ["NE1000"] * 5 + ["RCT digital", "Z0 fibre spectrometer"]
    lab.configure()
    pumps = [name for name in lab.instruments if name.startswith("pump_")]
    looks = {}

    def pump(n, name):
        looks[name] = run(lab, name, "dispense", f"act-{n}", rate=(60.0 * (n + 1), "uL/min"), time=(20.0, "s"))

    threads = [threading.Thread(target=pump, args=one) for one in enumerate(pumps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert [looks[name].achieved["volume"].value for name in pumps] == [20.0, 40.0, 60.0, 80.0, 100.0]
    hold = run(lab, "hotplate", "hold", "act-h", temperature=(25.0, "degC"), tolerance=(1, "K"), time=(10.0, "s"))
    assert abs(hold.readings["temperature"].value - 25.0) < 1.0
    spectrum = run(lab, "spectrometer", "measure", "act-m", integration=(100.0, "ms"))
    assert len(spectrum.arrays["spectrum"]) == 4816
    run(lab, "spectrometer", "rinse", "act-r")
    assert lab.safe() == []
    done = {(entry["instrument"], entry["act"]): entry["amount"] for entry in ledger() if entry["phase"] == "end"}
    assert {name: done[name, "dispense"] for name in pumps} == {
        name: pytest.approx(20.0 * (n + 1), abs=0.02) for n, name in enumerate(pumps)
    }
    assert {("hotplate", "hold"), ("spectrometer", "measure"), ("spectrometer", "rinse")} <= set(done)


def test_the_safe_state_over_real_ports_stops_what_runs(served):
    lab, ledger = served
    lab.open()
    lab.configure()
    for name, action, settings in (
        ("pump_water", "dispense", {"rate": Amount(150.0, "uL/min"), "time": Amount(3600.0, "s")}),
        ("pump_seed", "dispense", {"rate": Amount(60.0, "uL/min"), "time": Amount(3600.0, "s")}),
        ("hotplate", "heat", {"temperature": Amount(60.0, "degC")}),
    ):
        station = lab.instruments[name]
        permit = Envelope(lab.spec).permit(name, action, settings)
        station.port.submit(lambda station=station, permit=permit: station.begin(permit, "act")).result(timeout=300)
    assert lab.safe() == []
    ended = {entry["instrument"]: entry["amount"] for entry in ledger() if entry["phase"] == "end"}
    assert sorted(ended) == ["hotplate", "pump_seed", "pump_water"]
    assert ended["pump_seed"] < 3600.0 and ended["pump_water"] < 9000.0, "cut short"
