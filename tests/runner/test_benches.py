"""From a lab file to the plan of its simulated bench."""

from pathlib import Path

from labloop.campaign.spec import read_lab
from labloop.runner.benches import simulation_plan

LAB = """\
labloop: 1
instruments:
  pump: {driver: "drivers.x:X", simulator: "simulators.x:X", port: "sim:", address: 3, stock: 10 mL}
  balance: {driver: "drivers.y:Y", simulator: "simulators.y:Y", port: "sim:", serial: B1, simulation: {load: 12 g}}
  oven: {driver: "drivers.z:Z", port: "sim:"}
"""


def test_a_simulator_gets_the_drivers_options_and_what_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    lab = read_lab(tmp_path / "lab.yaml")
    plan = simulation_plan(lab)["instruments"]
    assert plan["pump"]["options"] == {"address": 3, "stock": "10 mL"}
    assert plan["balance"]["options"] == {"serial": "B1", "load": "12 g"}
    assert "oven" not in plan
    assert lab.instruments["balance"].options == {}, "the driver never hears of it"
