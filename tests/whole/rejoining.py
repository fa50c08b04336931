"""How long a killed run's furnace goes on without anybody at its controls once the run is resumed, on the wall's clock.

    python tests/whole/rejoining.py [REPEATS]

A furnace that its lab keeps, on a real pty, runs its programme of some hours. Its runner is killed again and again;
each time its guard has done its work, `labloop resume` is started. Told is the time from that moment until the fact
that the programme is watched again, how much of it went before the run's first fact (Python, its imports, reading the
files), and the processor's time that the process had had by then.
"""

import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from rig import ROOT, Rig, served, wait_for

from labloop.campaign import events as e

LAB = f"""
labloop: 1
root: {ROOT}
instruments:
  furnace: {{driver: "drivers.eurotherm:E3216", simulator: "simulators.eurotherm:E3216", control: program,
             port: "serial:///dev/furnace?baud=9600"}}
  pump: {{driver: "drivers.new_era:NE1000", simulator: "simulators.new_era:NE1000",
          port: "serial:///dev/pump?baud=19200", syringe: {{volume: 10 mL, diameter: 14.43 mm}}}}
keep: [furnace]
"""
CAMPAIGN = """
labloop: 1
campaign: four-hours
parameters: {x: {range: [1, 2]}}
outcomes: {y: {goal: maximize, from: told}}
trial:
  - furnace.run_program: {time: 4 h}
design: {initial: {method: random, trials: 1}}
budget: {trials: 1}
"""


def acts(rig: Rig) -> list[e.GuardActed]:
    """What the guard has done so far."""
    return [one.event for one in rig.bench_records() if isinstance(one.event, e.GuardActed)]


def main(repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lab.yaml").write_text(LAB)
        (Path(folder) / "four.yaml").write_text(CAMPAIGN)
        with served(Path(folder), Path(folder) / "lab.yaml", 1.0) as rig:
            runner = rig.run(Path(folder) / "four.yaml")
            wait_for(lambda: (rig.ledger() and rig.facts(e.GuardStarted)) or runner.poll() is not None)
            took: list[float] = []
            for number in range(repeats):
                runner.kill()
                runner.wait()
                wait_for(lambda: len(acts(rig)) > number)  # noqa: B023
                began_s = time.time()
                runner = rig.start("resume", "r", "--no-dashboard")
                wait_for(lambda: len(rig.facts(e.StepRejoined)) > number or runner.poll() is not None)  # noqa: B023
                spent_s = sum(map(int, Path(f"/proc/{runner.pid}/stat").read_text().split()[13:15])) / os.sysconf(
                    "SC_CLK_TCK"
                )
                at = [one.at for one in rig.records() if isinstance(one.event, e.StepRejoined | e.RunStarted)]
                controls_s = datetime.fromisoformat(at[-1]).timestamp() - began_s
                started_s = datetime.fromisoformat(at[-2]).timestamp() - began_s
                took.append(controls_s)
                said = f"{controls_s:.2f} s to control, of which {started_s:.2f} s before the run's first fact"
                sys.stdout.write(f"{said}; {spent_s:.2f} s of the processor; load {os.getloadavg()[0]:.1f}\n")
                sys.stdout.flush()
            runner.kill()
            runner.wait()
            wait_for(lambda: len(acts(rig)) > repeats)  # it writes into the folder until then
    sys.stdout.write(f"median {median(took):.2f} s, least {min(took):.2f} s, most {max(took):.2f} s\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
