"""Droplets: how they are made, heated, measured, rinsed away, and what they leave behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labloop.simulation import spectra
from labloop.simulation.sample import CARRY, JOIN_S, Sample, read_chemistry
from labloop.simulation.spectra import TARGET, distance

ROOT = Path(__file__).parents[2]
INPUTS = ["q_agno3", "q_pva", "q_tsc", "q_seed", "q_tot"]
PUMPS = [f"pump_{name}" for name in ("agno3", "pva", "tsc", "seed", "water")]
GIVEN = {"response": str(ROOT / "campaigns/agnp.csv"), "inputs": INPUTS, "output": "spectrum_loss"}
GOOD = {"pump_agno3": 35.0, "pump_pva": 32.2, "pump_tsc": 3.6, "pump_seed": 5.5, "pump_water": 23.7}
BAD = {"pump_agno3": 4.6, "pump_pva": 21.0, "pump_tsc": 6.7, "pump_seed": 19.5, "pump_water": 48.2}


def sample(seed: int = 7, **more: Any) -> Sample:
    return Sample(read_chemistry(GIVEN | more, PUMPS), seed)


def make(at: Sample, shares: dict[str, float], began_s: float, flow: float = 600.0, time_s: float = 20.0) -> None:
    """Pumps that run together for ``time_s``, as the pumps themselves report it."""
    for pump in shares:
        at.pump_starts(pump, began_s)
    for pump, share in shares.items():
        at.pump_moved(pump, flow * share / 100.0 * time_s / 60.0, time_s)
        at.pump_stops(pump, began_s + time_s)


def loss(at: Sample, at_s: float) -> float:
    return distance(at.measure(at_s), TARGET)


def expected(at: Sample, shares: dict[str, float], flow: float = 600.0) -> tuple[float, float]:
    """The response and the scatter of what was mixed."""
    assert at.chemistry is not None
    total = sum(shares.values())
    point = {f"q_{pump.removeprefix('pump_')}": 100.0 * share / total for pump, share in shares.items()} | {
        "q_tot": flow
    }
    return at.chemistry.response.value(point), at.chemistry.response.scatter(point)


def test_the_shipped_target_is_the_samples_own() -> None:
    assert np.array_equal(spectra.read_spectrum(ROOT / "campaigns" / "target_spectrum.csv"), TARGET)


@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.35, 0.9, 0.99])
def test_a_spectrum_lies_as_far_from_the_target_as_wanted(wanted: float) -> None:
    assert distance(spectra.at_distance(wanted), TARGET) == pytest.approx(wanted, abs=1e-9)


def test_a_droplet_is_worth_its_response_and_its_own_scatter() -> None:
    seen = []
    for seed in range(40):
        at = sample(seed)
        make(at, GOOD, 0.0)
        seen.append(loss(at, 60.0))
    mean, sd = expected(sample(), GOOD)
    assert np.mean(seen) == pytest.approx(mean, abs=4 * sd / np.sqrt(40) + 1e-3)
    assert np.std(seen) == pytest.approx(sd, rel=0.4)


def test_measuring_again_reads_the_same_droplet_but_for_the_detector() -> None:
    at = sample()
    make(at, GOOD, 0.0)
    first, second = at.measure(60.0), at.measure(61.0)
    assert not np.array_equal(first, second)
    assert np.abs(first - second).max() < 1e-3
    assert distance(first, TARGET) == pytest.approx(distance(second, TARGET), abs=1e-3)


def test_the_same_acts_give_the_same_bytes_and_another_seed_others() -> None:
    def readings(seed: int) -> bytes:
        at = sample(seed)
        make(at, GOOD, 0.0)
        return at.measure(60.0).tobytes()

    assert readings(7) == readings(7) != readings(8)


def test_what_was_delivered_decides() -> None:
    at = sample()
    for pump in GOOD:
        at.pump_starts(pump, 0.0)
    for pump, share in GOOD.items():
        cut = 0.25 if pump == "pump_agno3" else 1.0  # The silver pump stalled after a quarter.
        at.pump_moved(pump, share * 2.0 * cut, 20.0 * cut)
        at.pump_stops(pump, 20.0 * cut)
    at.measure(60.0)
    assert at.cell is not None and at.chemistry is not None
    point = at.chemistry.point(at.cell)
    assert point["q_agno3"] == pytest.approx(100 * 8.75 / (8.75 + 65.0))
    assert point["q_tot"] == pytest.approx(600.0)  # It ran at its rate as long as it ran.


def test_pumps_that_start_one_after_the_other_make_one_droplet() -> None:
    at = sample()
    for n, pump in enumerate(GOOD):
        at.pump_starts(pump, 6.0 * n)
        at.pump_moved(pump, GOOD[pump], 5.0)
        at.pump_stops(pump, 6.0 * n + 5.0)
    assert at.made == 1 and set(at.waiting[0].volumes_ul) == set(GOOD)


def test_a_pump_that_has_taken_part_begins_the_next_droplet() -> None:
    at = sample()
    make(at, GOOD, 0.0)
    make(at, BAD, 20.0)
    assert [droplet.number for droplet in at.waiting] == [1, 2]


def test_a_long_pause_begins_the_next_droplet_and_a_short_one_goes_on() -> None:
    for pause_s, resumes, droplets in ((JOIN_S - 1, True, 1), (JOIN_S + 1, True, 2), (JOIN_S - 1, False, 2)):
        at = sample()
        make(at, {"pump_pva": 1.0}, 0.0)
        at.pump_starts("pump_pva", 20.0 + pause_s, resumes)
        assert at.made == droplets


def test_droplets_are_measured_in_the_order_they_were_made() -> None:
    at = sample()
    make(at, GOOD, 0.0)
    make(at, BAD, 30.0)
    first = loss(at, 60.0)
    assert loss(at, 61.0) == pytest.approx(first, abs=1e-3)  # The second began before the first was measured: it waits.
    at.rinse(1.0)
    assert loss(at, 90.0) > first + 0.3
    assert at.cell is not None and at.cell.number == 2


def test_a_droplet_that_is_not_complete_is_not_in_the_cell() -> None:
    at = sample()
    at.pump_starts("pump_pva", 0.0)
    assert np.abs(at.measure(5.0)).max() < 1e-3
    assert at.cell is None


def test_an_unrinsed_cell_spoils_the_next_reading() -> None:
    at = sample()
    make(at, BAD, 0.0)
    bad = loss(at, 50.0)
    make(at, GOOD, 60.0)
    spoilt = loss(at, 120.0)
    good, _ = expected(at, GOOD)
    assert spoilt == pytest.approx(good + CARRY * (bad - good), abs=0.1)
    assert spoilt > good + 0.05
    at.rinse(1.0)
    assert np.abs(at.measure(200.0)).max() < 1e-3


def test_a_rinse_cut_short_leaves_remains_and_the_next_one_takes_only_them() -> None:
    at = sample()
    make(at, BAD, 0.0)
    make(at, GOOD, 20.0)
    loss(at, 50.0)
    at.rinse(0.2)
    ((_, part),) = at.remains
    assert part == pytest.approx(np.exp(-1.0))
    at.rinse(1.0)
    assert at.remains == [] and [droplet.number for droplet in at.waiting] == [2]


def test_rinsing_an_empty_cell_flushes_a_droplet_through_unmeasured() -> None:
    at = sample()
    make(at, BAD, 0.0)
    make(at, GOOD, 20.0)
    at.rinse(1.0)
    assert [droplet.number for droplet in at.waiting] == [2]
    at.rinse(1.0)
    at.rinse(1.0)
    assert at.waiting == []


HEAT = [(40.0, 0.0), (38.0, 0.0), (42.0, 0.0), (22.0, 1.0 - np.exp(-((16 / 15) ** 2))), (72.0, 1.0 - np.exp(-4.0))]


@pytest.mark.parametrize(("hottest_c", "part"), HEAT)
def test_only_between_38_and_42_degrees_heat_changes_nothing(hottest_c: float, part: float) -> None:
    at, cool = sample(), sample()
    for each in (at, cool):
        make(each, GOOD, 0.0)
    at.heated(hottest_c, hottest_c)
    assert at.chemistry is not None
    without, worst = loss(cool, 60.0), at.chemistry.worst
    mean, _ = expected(at, GOOD)
    assert loss(at, 60.0) == pytest.approx(without + part * (worst - mean), abs=2e-3)


def test_the_highest_temperature_counts() -> None:
    at = sample()
    at.heated(22.0, 22.0)
    make(at, GOOD, 0.0)
    at.heated(40.0, 39.0)
    at.heated(39.0, 25.0)
    assert at.waiting[0].hottest_c == 40.0


def test_state_is_plain_json() -> None:
    at, again = sample(), sample()
    make(at, BAD, 0.0)
    loss(at, 50.0)
    at.rinse(0.3)
    make(at, GOOD, 60.0)
    again.restore(json.loads(json.dumps(at.state())))
    assert again.measure(120.0).tobytes() == at.measure(120.0).tobytes()


def test_pumps_can_be_named() -> None:
    chemistry = read_chemistry(GIVEN | {"pumps": {"q_agno3": "left"}}, ["left", "pva", *PUMPS[2:]])
    assert chemistry.pumps == {"q_agno3": "left", "q_pva": "pva", "q_tsc": "pump_tsc", "q_seed": "pump_seed"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": 1}, "unknown colour; known are"),
        ({"encode": "smell"}, "known are distance and height"),
        ({"output": "q_tot"}, "write encode: height"),
        ({"output": "n_replicates"}, "replicates need row_id and n_replicates"),
        ({"pumps": {"q_pva": "nobody"}}, "an instrument called nobody, which the lab does not have"),
        ({"inputs": [*INPUTS, "n_replicates"]}, "pump_n_replicates or n_replicates"),
    ],
)
def test_complaints(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_chemistry(GIVEN | change, PUMPS)


def test_a_value_that_is_no_distance_becomes_the_height_of_a_band(tmp_path: Path) -> None:
    table = tmp_path / "yield.csv"
    table.write_text("x,yield\n" + "\n".join(f"{n},{10 + n / 2}" for n in range(0, 101, 5)) + "\n")
    given = {"response": str(table), "inputs": ["x"], "output": "yield", "encode": "height"}
    at = Sample(read_chemistry(given, ["pump_x", "pump_y"]), 1)
    make(at, {"pump_x": 40.0, "pump_y": 60.0}, 0.0)
    assert at.measure(60.0).max() == pytest.approx(30.0, abs=0.5)


def test_pumps_that_were_stopped_before_anything_moved_made_no_droplet() -> None:
    sample = Sample()
    for pump in ("a", "b"):
        sample.pump_starts(pump, 0.0)
    for pump in ("a", "b"):
        sample.pump_stops(pump, 0.0)
    assert sample.waiting == []
    sample.pump_starts("a", 600.0)
    sample.pump_moved("a", 10.0, 1.0)
    sample.pump_stops("a", 601.0)
    assert [droplet.volumes_ul for droplet in sample.waiting] == [{"a": 10.0}]
