"""One answer in five is damaged (of who is asked most, one in twenty), and has the right shape: it is not believed.

The instruments whose lines have no checksum, as they stand on the shipped bench. The seeds are such that two damaged
answers in a row are alike, which is what a driver that asks twice believes.
"""

from pathlib import Path

import pytest

from labloop.bench import BenchError
from labloop.campaign.spec import read_lab
from labloop.runner.proving import Stand

BENCH = read_lab(Path(__file__).parents[2] / "campaigns" / "bench.yaml")
LOOKS = 40
DAMAGED = 0.2
FEWER = {"furnace": 0.05}  # a look takes some twenty of its answers: with one in five damaged none would end
KINDS = ("drop", "flip")
# What another program says over LECO comes over TCP, which has a checksum, and is not asked twice.
CHECKED = "drivers.leco:LecoActor"
FIRST = {one.driver: name for name, one in reversed(BENCH.instruments.items()) if one.driver != CHECKED}


def wrong_readings(name: str, kind: str, seed: int) -> list[str]:
    """What was read and is not so, of 40 looks while nothing changes; and that some could be read at all."""
    stand = Stand(BENCH, name, faults=f"{kind}={FEWER.get(name, DAMAGED)},seed={seed}")
    truth, wrong, read = stand.truth(), [], 0
    for _ in range(LOOKS):
        try:
            stand.driver.open()
            readings = stand.driver.read()
        except BenchError:
            stand.wait(10.0)
            continue
        read += 1
        for what, reading in readings.items():
            known = truth[what].value
            near = 0.05 * max(abs(known), 1.0) if isinstance(known, float) else None
            if reading.value != known and (near is None or abs(reading.value - known) > near):
                wrong.append(f"{what} = {reading.value} where {known} is right")
    assert read, "nothing could be read at all"
    return wrong


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [5, 7, 16])
@pytest.mark.parametrize("name", ["quench", "supply", "hydrogen", "hotplate", "selector", "ph"])
def test_no_damaged_answer_is_believed(name: str, kind: str, seed: int) -> None:
    assert wrong_readings(name, kind, seed) == []


def test_two_damaged_answers_of_three_leave_no_middle() -> None:
    assert wrong_readings("cryostat", "flip", 109) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_no_damaged_answer_of_any_instrument_is_believed(name: str) -> None:
    assert [wrong for kind in KINDS for seed in range(100, 108) for wrong in wrong_readings(name, kind, seed)] == []
