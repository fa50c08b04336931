"""A folder with a sound campaign and lab, for tests that break one thing at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest

CAMPAIGN = """\
labloop: 1
campaign: silver-nanoparticles
title: Silver nanoprisms in a droplet reactor
lab: lab.yaml

parameters:
  q_agno3: {range: [4.53, 42.81], unit: percent}
  q_pva:   {range: [10.0, 40.0], unit: percent}
  q_tot:   {range: [200, 983], unit: uL/min}
constraints:
  - q_agno3 + q_pva <= 70 percent

outcomes:
  spectrum_loss: {goal: minimize, from: spectrum, analysis: distance_to_target, target: target.csv}

trial:
  - together:
      - pump_agno3.dispense: {rate: $q_tot * $q_agno3, time: 20 s}
      - pump_water.dispense: {rate: $q_tot * (100 percent - $q_agno3 - $q_pva), time: 20 s}
    if_interrupted: discard
  - hotplate.hold:         {temperature: 40 degC, tolerance: 1 K, time: 30 s, reach_by: 15 min}
  - spectrometer.measure:  {integration: 100 ms, save_as: spectrum}
    start_within: 5 min
cleanup:
  - spectrometer.rinse:    {}

design: {initial: {method: sobol, trials: 8}, batch: 1, seed: 7}
budget: {trials: 40}
stop_when: {no_improvement: 20 trials}
"""

LAB = """\
labloop: 1
name: droplet-bench
instruments:
  pump_agno3:   {driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "serial:///dev/ttyUSB0?baud=19200", address: 0, syringe: {volume: 10 mL}, stock: 10 mL}
  pump_water:   {driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000", port: "serial:///dev/ttyUSB0?baud=19200", address: 1, stock: 50 mL}
  hotplate:     {driver: "drivers.ika:RCT", simulator: "simulators.ika:RCT", port: "serial:///dev/ttyUSB1?baud=9600&bytesize=7&parity=E"}
  spectrometer: {driver: "drivers.spectrometer:Spectrometer", port: "zmq+tcp://127.0.0.1:12300?actor=N1.spectrometer"}
limits:
  hotplate:
    temperature: {max: 80 degC}
    plate: {max: 120 degC, rate: 10 K/min, stale_after: 5 s}
safe_state:
  - hotplate.off: {}
sample: {response: agnp.csv, inputs: [q_agno3, q_pva, q_tot], output: spectrum_loss}
simulation: {speed: 60}
"""  # noqa: E501

TARGET = "wavelength_nm,absorbance\n400,0.1\n500,0.7\n600,0.2\n"
SOLVENTS = "name,dipole,logP,note\nDMF,3.8,-1.0,amide\nDMSO,4.0,-1.35,sulfoxide\nwater,1.85,,oxide\n"
ROWS = """\
row_id,q_agno3,q_pva,q_tot,loss
0,13.10132159,32.99559471,227,0.58
1,17.3,11,280,0.68
2,6.672672673,39,333,0.8
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lab's folder with every file that the campaign and the lab name."""
    for name, text in {
        "campaign.yaml": CAMPAIGN, "lab.yaml": LAB, "target.csv": TARGET, "solvents.csv": SOLVENTS, "rows.csv": ROWS,
        "agnp.csv": ROWS,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def broken(folder: Path) -> Callable[..., Path]:
    """Write one of the files with some text replaced and some added; gives its path."""

    def write(name: str, *pairs: tuple[str, str], add: str = "") -> Path:
        path = folder / name
        text = path.read_text()
        for old, new in pairs:
            assert old in text, f"the sound file has no {old!r}"
            text = text.replace(old, new, 1)
        path.write_text(text + add)
        return path

    return write
