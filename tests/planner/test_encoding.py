"""Settings to points and back, on every kind of column."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.planner.encoding import Column, Encoding, Linear

COLUMNS = (
    Column("linear", "real", -5.0, 200.0),
    Column("log", "real", 1e-3, 50.0, log=True),
    Column("step", "grid", 90.0, 161.0, step=5.0),
    Column("tenth", "grid", 0.0, 1.0, step=0.1),
    Column("N", "grid", 1.0, 1000.0, log=True, step=1.0, integer=True),
    Column("yield", "ordered", values=(1, 2, 5, 10)),
    Column("solvent", "label", values=("DMF", "DMSO", "NMP", True, 1)),
)


def test_bounds_are_the_ends_of_the_cube() -> None:
    low = {"linear": -5.0, "log": 1e-3, "step": 90.0, "tenth": 0.0, "N": 1, "yield": 1, "solvent": "DMF"}
    high = {"linear": 200.0, "log": 50.0, "step": 160.0, "tenth": 1.0, "N": 1000, "yield": 10, "solvent": 1}
    points = Encoding(COLUMNS).encode([low, high])
    assert points[0] == pytest.approx([0.0] * 7)
    assert points[1] == pytest.approx([1.0, 1.0, 70 / 71, 1.0, 1.0, 1.0, 4.0])
    assert Encoding(COLUMNS).decode(points[0]) == low
    assert Encoding(COLUMNS).decode(points[1]) == high


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_decoded_points_lie_inside_and_encode_to_themselves(cube: list[float]) -> None:
    encoding = Encoding(COLUMNS)
    point = np.array(cube)
    point[6] = round(point[6] * 4)
    settings = encoding.decode(point)
    assert -5.0 <= settings["linear"] <= 200.0
    assert 1e-3 <= settings["log"] <= 50.0
    assert settings["step"] in [90.0 + 5 * i for i in range(15)]
    assert settings["tenth"] in [round(0.1 * i, 1) for i in range(11)]
    assert isinstance(settings["N"], int) and 1 <= settings["N"] <= 1000
    assert encoding.decode(encoding.encode([settings])[0]) == settings


def test_true_and_one_are_two_choices() -> None:
    column = COLUMNS[6]
    assert column.encode([True, 1, 1.0]).tolist() == [3.0, 4.0, 4.0]
    assert column.decode(3.0) is True


def test_log_middle_is_the_geometric_mean() -> None:
    assert float(COLUMNS[1].to_value(0.5)) == pytest.approx((1e-3 * 50.0) ** 0.5)


def test_rows_come_back_as_they_stand() -> None:
    table = [{"a": 1, "b": "x"}, {"a": 0.30000000000000004, "b": "y"}, {"a": 1, "b": "x"}]
    encoding = Encoding((Column("a", "real", 0.0, 1.0), Column("b", "label", values=("x", "y"))), table=table)
    assert encoding.rows is not None
    assert encoding.find(encoding.rows[0]) == [0, 2]
    assert encoding.decode(encoding.rows[1]) == table[1]
    assert encoding.find(np.array([0.5, 0.0])) == []


def test_constraints_hold_over_log_columns_too() -> None:
    encoding = Encoding(COLUMNS[:2], (Linear({"linear": 1.0, "log": 2.0}, 100.0),))
    assert encoding.halfspaces()[0].shape == (0, 2)  # not linear in the cube, so no halfspace
    inside = encoding.is_inside(encoding.encode([{"linear": 90.0, "log": 4.9}, {"linear": 90.0, "log": 5.1}]))
    assert inside.tolist() == [True, False]


def test_halfspace_is_the_constraint() -> None:
    encoding = Encoding((COLUMNS[0], COLUMNS[2]), (Linear({"linear": 1.0, "step": -2.0}, -150.0),))
    a, b = encoding.halfspaces()
    for settings, inside in (({"linear": 30.0, "step": 95.0}, True), ({"linear": 50.0, "step": 95.0}, False)):
        assert bool(np.all(a @ encoding.encode([settings])[0] <= b)) is inside


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_a_decoded_mixture_keeps_its_sum(parts: list[float]) -> None:
    columns = tuple(Column(name, "real", 0.0, 1.0) for name in "abcd")
    encoding = Encoding(columns, (Linear(dict.fromkeys("abcd", 1.0), 1.0, equality=True),))
    settings = encoding.decode(np.array(parts) / sum(parts))
    assert sum(settings.values()) == pytest.approx(1.0, abs=1e-12)
    assert all(0.0 <= value <= 1.0 for value in settings.values())


def test_a_million_rows_are_arrays(benchmark_rows: int = 200_000) -> None:
    rng = np.random.default_rng(0)
    table = [{"a": float(a), "b": float(b)} for a, b in rng.random((benchmark_rows, 2))]
    encoding = Encoding((Column("a", "real"), Column("b", "real")), table=table)
    assert encoding.rows is not None and encoding.rows.shape == (benchmark_rows, 2)
    assert encoding.decode(encoding.rows[77_777]) == table[77_777]
