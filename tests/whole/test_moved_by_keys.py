"""The same over real ptys, with a guard: somebody presses keys between the end of a run and its resume."""

import signal
import struct
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import serial
from reach import LAB as PUMPS_AND_PLATE
from rig import Rig, served, wait_for
from ruamel.yaml import YAML
from test_moved_meanwhile import LAB

from labloop.campaign import events as e
from simulators.eurotherm_frames import framed

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="ptys"), pytest.mark.slow]

CAMPAIGN = """
labloop: 1
campaign: keys
parameters: {q: {range: [100, 400], unit: uL/min}}
outcomes: {y: {goal: maximize, from: told}}
setup:
  - hotplate.heat: {temperature: 40 degC}
  - bath.control: {temperature: 30 degC}
trial:
  - valve.turn: {position: acid}
  - pump_a.dispense: {rate: 300 uL/min, time: 10 min}
    if_interrupted: discard
design: {initial: {method: random, trials: 1}, seed: 1}
budget: {trials: 1}
"""
PRESSED = {
    "hotplate": b"OUT_SP_1 60 \r\n",
    "bath": b"out_sp_00 50\r",
    "valve": b"GO10\r",
    "furnace": framed(1, struct.pack(">BHh", 6, 24, 450)),
    "pump_b": b"1DIA4.7\r",
}
ASKED = {
    "hotplate.temperature": "stood at 40 degC, stands at 60 degC",
    "bath.temperature": "stood at 30 degC, stands at 50 degC",
    "valve.position": "stood at acid, stands at waste",
    "furnace.SP1": "stood at 20 degC, stands at 45 degC",
    "pump_b.diameter": "stood at 14.43 mm, stands at 4.7 mm",
}


def line_of(rig: Rig, name: str) -> serial.Serial:
    """The line of an instrument, at its speed."""
    port = urlsplit(YAML(typ="safe").load(rig.lab.read_text())["instruments"][name]["port"])
    return serial.Serial(port.path, int(dict(parse_qsl(port.query)).get("baud", 9600)), timeout=5.0)


def press(rig: Rig) -> None:
    """What the keys of an instrument do, its commands do as well."""
    for name, said in PRESSED.items():
        with line_of(rig, name) as line:
            line.write(said)
            line.flush()
    with line_of(rig, "valve") as line:  # until it has turned
        wait_for(lambda: line.write(b"CP\r") and line.read_until(b"\r").strip().endswith(b"10"))


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_what_was_moved_by_keys_is_asked_and_nothing_else(tmp_path: Path, way: str) -> None:
    text = "\n".join(line.removeprefix("    ") for line in PUMPS_AND_PLATE.splitlines())
    (tmp_path / "lab.yaml").write_text(f"{text}\n{LAB}")
    (tmp_path / "keys.yaml").write_text(CAMPAIGN)
    with served(tmp_path, tmp_path / "lab.yaml", 1.0) as rig:
        runner = rig.run(tmp_path / "keys.yaml")
        wait_for(lambda: [one for one in rig.facts(e.StepStarted) if one.instrument == "pump_a"] or runner.poll())
        if way == "stopped":
            runner.send_signal(signal.SIGINT)
            said, _ = runner.communicate(timeout=60)
            assert runner.returncode == 4, said
        else:
            runner.kill()
            wait_for(lambda: rig.status()["guard"] == "acted")
        press(rig)
        resumed = rig.start("resume", "r", "--no-dashboard")
        wait_for(lambda: rig.facts(e.CampaignPaused) or resumed.poll() is not None)
        assert resumed.poll() is None, resumed.communicate()
        (read,) = rig.facts(e.SettingsRead)
        assert read.moved == ASKED
        before = [one.event for one in rig.records()]
        last_start = max(n for n, one in enumerate(before) if isinstance(one, e.RunStarted))
        assert not any(isinstance(one, e.InstrumentConfigured | e.StepStarted) for one in before[last_start:])
        word = rig.labloop("request", "r", "resume", "--force", "--why", "it is meant", "--by", "bob")
        assert word.returncode == 0, word.stderr
        wait_for(lambda: [one for one in rig.facts(e.SettingsRead)[1:] if not one.moved] or resumed.poll() is not None)
        wait_for(lambda: len(rig.facts(e.StepStarted)) > 4 or resumed.poll() is not None)
        resumed.send_signal(signal.SIGINT)
        said, _ = resumed.communicate(timeout=60)
        assert resumed.returncode == 4, said
        assert rig.facts(e.MovedAccepted) == [e.MovedAccepted(by="bob", why="it is meant")]
        again = rig.start("resume", "r", "--no-dashboard")
        wait_for(lambda: len(rig.facts(e.SettingsRead)) == 3 or again.poll() is not None)
        again.send_signal(signal.SIGINT)
        said, _ = again.communicate(timeout=60)
        assert again.returncode == 4 and len(rig.facts(e.CampaignPaused)) == 1, said
