"""An abort while a driver call is blocked: the stop reaches every instrument, those of a dead line too."""

import sys
import time
from pathlib import Path

import pytest
from rig import CAMPAIGNS, Rig, served, wait_for

from labloop.campaign import events as e
from labloop.journal import inbox

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ptys")

# Far longer than a test lasts, on every instrument that moves or heats.
CAMPAIGN = f"""
labloop: 1
campaign: long
parameters:
  q: {{range: [200, 900], unit: uL/min}}
outcomes:
  loss: {{goal: minimize, from: spectrum, analysis: distance_to_target, target: {CAMPAIGNS / "target_spectrum.csv"}}}
trial:
  - together:
      - pump_agno3.dispense: {{rate: $q, time: 600 s}}
      - pump_water.dispense: {{rate: $q, time: 600 s}}
      - hotplate.hold: {{temperature: 40 degC, time: 600 s}}
  - spectrometer.measure: {{integration: 100 ms, save_as: spectrum}}
cleanup:
  - spectrometer.rinse: {{}}
budget: {{trials: 1}}
"""


def aborted(rig: Rig, dead: tuple[str, ...]) -> dict[str, float]:
    """Abort a run that is blocked on ``dead`` lines; {stop: seconds after the request's file was there}."""
    assert rig.taps is not None
    campaign = rig.folder / "long.yaml"
    campaign.write_text(CAMPAIGN)
    runner = rig.run(campaign)
    wait_for(lambda: len(rig.facts(e.StepStarted)) == 3 or runner.poll() is not None)
    assert runner.poll() is None, runner.communicate()
    plate, pumps = rig.taps["hotplate"], rig.taps["pump_agno3"]
    for name in dead:
        rig.taps[name].deaf = True
        asked = len(rig.taps[name].sent)
        wait_for(lambda: len(rig.taps[name].sent) > asked)  # a question that nobody will answer  # noqa: B023
    before_s = time.monotonic()
    inbox.post(rig.folder / "r" / "requests", "abort", by="ann")
    posted_s = time.monotonic()
    stops = {"heater": (plate, b"STOP_1"), "first pump": (pumps, b"0STP"), "last pump": (pumps, b"4STP")}
    took = {}
    for name, (tap, word) in stops.items():
        took[name] = wait_for(lambda: tap.heard(word, before_s)) - posted_s  # noqa: B023
    assert runner.wait(300) == 4
    reached = rig.facts(e.SafeStateReached)[-1]
    errors = {error.partition(".")[0]: error for error in reached.errors}
    assert set(dead) <= errors.keys()
    late = {name: error for name, error in errors.items() if name not in dead}
    assert all("no whole answer" in error for error in late.values()), late  # a busy computer answers late
    return took


def test_an_abort_reaches_every_instrument_while_a_line_is_dead(tmp_path: Path) -> None:
    with served(tmp_path, CAMPAIGNS / "lab.yaml", 1.0, tapped=True) as rig:
        aborted(rig, ("hotplate",))


@pytest.mark.slow
def test_how_long_an_abort_takes(tmp_path: Path) -> None:
    """The figure in docs/safety.md. A busy computer makes one late, and not each of ten."""
    took: list[float] = []
    while len(took) < 10 and min(took, default=1.0) >= 0.25:
        number = len(took)
        folder = tmp_path / str(number)
        folder.mkdir()
        with served(folder, CAMPAIGNS / "lab.yaml", 1.0, tapped=True) as rig:
            took.append(max(aborted(rig, ("hotplate",)).values()))
    print("seconds to the last stop byte:", sorted(took))  # noqa: T201
    assert min(took) < 0.25
