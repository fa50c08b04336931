"""The load cell behind the simulated balances."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.world import World
from simulators.new_era import NE1000
from simulators.pan import SETTLES_S, Pan


def pan(world: World | None = None, **options: Any) -> Pan:
    return Pan(world or World(), "balance", options, digit_g=1e-4, capacity_g=220.0)


def test_a_load_is_approached_and_stable_when_its_last_digit_stands() -> None:
    cell = pan(load="12.5 g")
    assert cell.shows_g(0.0) == 12.5 and cell.stable(0.0)
    cell.place(10.0, 100.0)
    assert not cell.stable(100.0) and cell.shows_g(100.0) == 12.5
    assert cell.shows_g(100.0 + SETTLES_S) == pytest.approx(12.5 + 10.0 * (1 - 1 / math.e), abs=1e-3)
    settled_s = cell.stable_at_s() - 100.0
    assert 3.0 < settled_s < 4.5
    assert not cell.stable(100.0 + settled_s - 0.1) and cell.stable(100.0 + settled_s + 0.1)
    assert abs(cell.shows_g(100.0 + settled_s) - cell.shows_g(1000.0)) <= 0.51e-4


def test_loads_repeat_within_some_digits_and_by_seed() -> None:
    def shown(seed: int) -> list[float]:
        cell = pan(World(seed=seed))
        seen = []
        for n in range(20):
            cell.place(1.0 if n % 2 == 0 else -1.0, 100.0 * n)
            seen.append(cell.shows_g(100.0 * n + 50.0) - cell.load_g)
        return seen

    assert shown(3) == shown(3) != shown(4)
    assert max(abs(off) for off in shown(3)) <= 2.5e-4 and len(set(shown(3))) > 10


@given(st.lists(st.floats(0, 400), max_size=20))
def test_looking_changes_nothing(looks: list[float]) -> None:
    said = [(0.0, 5.0), (2.0, -1.0), (60.0, 20.0)]
    looked_at, alone = pan(), pan()
    for at_s, mass_g in sorted([*said, *((look, None) for look in looks)], key=lambda each: each[0]):
        if mass_g is None:
            looked_at.shows_g(at_s)
            looked_at.catch()
        else:
            looked_at.place(mass_g, at_s)
    for at_s, mass_g in said:
        alone.place(mass_g, at_s)
    assert looked_at.shows_g(61.0) == alone.shows_g(61.0)


def test_too_much_and_no_pan() -> None:
    cell = pan()
    assert cell.overloaded(0.0) == 0
    cell.place(250.0, 0.0)
    assert cell.overloaded(10.0) == 1
    cell.place(-300.0, 10.0)
    assert cell.overloaded(20.0) == -1


def test_what_a_pump_pushes_out_lands_on_the_pan_at_its_own_moment() -> None:
    world = World()
    syringe = {"volume": "10 mL", "diameter": "14.43 mm"}
    pump = NE1000(world, "pump_water", {"syringe": syringe, "stock": "10 mL"})
    other = NE1000(world, "pump_acid", {"address": 1, "syringe": syringe, "stock": "10 mL"})
    cell = pan(world, catches=["pump_water"], density="0.9 g/mL", load=1.0)
    for command in (b"0\r", b"1\r", b"0DIA14.43\r", b"0VOL.5\r", b"0RAT6MM\r", b"1VOL.5\r", b"1RAT6MM\r"):
        pump.receive(command, 0.0)
        other.receive(command, 0.0)
    pump.receive(b"0RUN\r", 10.0)
    other.receive(b"1RUN\r", 10.0)
    world.settle(14.0)
    cell.catch()
    assert cell.load_g == 1.0
    world.settle(40.0)
    cell.catch()
    cell.catch()
    assert cell.load_g == pytest.approx(1.45, abs=1e-4)
    assert cell.shows_g(15.0) == pytest.approx(1.0, abs=1e-3) and cell.stable(25.0)


def test_state_is_plain_json_and_goes_on_where_it_was() -> None:
    cell, again = pan(load=2.0), pan()
    cell.place(3.0, 1.0)
    again.restore(json.loads(json.dumps(cell.state())))
    assert again.shows_g(2.0) == cell.shows_g(2.0) and again.stable_at_s() == cell.stable_at_s()


@pytest.mark.parametrize("options", [{"load": "12 mL"}, {"load": "heavy"}, {"density": "1 mL"}])
def test_options_that_are_no_mass_or_density(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"known units are|is not a quantity"):
        pan(**options)
