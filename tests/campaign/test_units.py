"""Quantities: read as a chemist writes them, converted by dimension."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.campaign import arithmetic, units
from labloop.campaign.errors import UnitError
from labloop.campaign.events import Reading
from labloop.campaign.unit_table import BY_DIMENSION
from labloop.campaign.units import Quantity, convert, parse_measurement, parse_quantity, quote, same_dimension

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
UNITS = st.sampled_from(
    ["", "percent", "uL/min", "degC", "K", "K/min", "mol/L", "m**2", "mg/mL", "rpm", "nm", "%", "s", "pH"]
)


@pytest.mark.parametrize(
    ("raw", "unit", "value", "then"),
    [
        (90, "degC", 90, "degC"),
        ("90 degC", None, 90, "degC"),
        ("90°C", None, 90, "degC"),
        ("90 °C", "K", 363.15, "K"),
        ("300 K", "degC", 26.85, "degC"),
        ("20 µL/min", "mL/min", 0.02, "mL/min"),
        ("20 μL / min", None, 20, "uL/min"),
        ("1e-3 mL", "uL", 1, "uL"),
        ("012", "", 12, ""),
        ("5 %", "percent", 5, "percent"),
        ("0.2", "percent", 0.2, "percent"),
        ("50 mol%", "", 0.5, ""),
        ("60 rpm", "1/s", 1, "1/s"),
        ("2 h", "s", 7200, "s"),
        ("7.2 pH", "pH", 7.2, "pH"),
        ("\N{MINUS SIGN}5 degC", "degC", -5, "degC"),
        ("3 cm²", "mm**2", 300, "mm**2"),
        (".5", "s", 0.5, "s"),
    ],
)
def test_a_quantity_is_read_as_meant(raw: str | float, unit: str | None, value: float, then: str) -> None:
    quantity = parse_quantity(raw, unit)
    assert quantity.unit == then
    assert quantity.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("raw", "unit", "word"),
    [
        ("40 K", "uL/min", "a temperature"),
        ("7 pH", "", "a pH"),
        ("7 pH", "H", "a pH"),
        ("40 C", "degC", "coulomb"),
        ("3,5 mL", "mL", "comma"),
        ("nan", "s", "not a number"),
        (float("nan"), "s", "not a finite"),
        ("1e999", "s", "not a finite"),
        (10**400, "s", "not a finite"),
        ("abc", "s", "not a number"),
        ("", "s", "not a number"),
        ("5 mim", "min", "Did you mean min?"),
        ("5 __import__('os')", "s", "not a unit"),
        ("5 m**99999", "s", "not a unit"),
        ("5 " + "m*" * 50 + "m", "s", "not a unit"),
        ("5 " + "m*" * 5000 + "m", "s", "not a number"),
        (True, "s", "not a number"),
        ("5 dB", None, "logarithmic"),
        ("1:30", "min", "not a unit"),
    ],
)
def test_what_is_no_quantity_is_refused_with_the_way_out(raw: str | float, unit: str | None, word: str) -> None:
    with pytest.raises(UnitError) as raised:
        parse_quantity(raw, unit)
    assert word in str(raised.value)
    assert len(str(raised.value)) < 400


@given(NUMBERS, UNITS)
def test_the_text_of_a_quantity_reads_back(value: float, unit: str) -> None:
    assert parse_quantity(str(Quantity(value, unit))) == Quantity(value, unit)


@given(st.text(max_size=40))
def test_any_text_is_a_quantity_or_a_unit_error(text: str) -> None:
    try:
        parse_quantity(text)
    except UnitError as error:
        assert len(str(error)) < 500


@given(st.floats(-1e6, 1e6), st.sampled_from([("degC", "K"), ("mL", "uL"), ("percent", ""), ("degF", "degC")]))
def test_there_and_back(value: float, pair: tuple[str, str]) -> None:
    there = convert(value, *pair)
    assert convert(there, pair[1], pair[0]) == pytest.approx(value, rel=1e-9, abs=1e-9)


def test_temperatures_are_points_or_differences() -> None:
    c, k = Quantity(40, "degC"), Quantity(5, "K")
    assert arithmetic.add(c, k) == Quantity(45, "degC")
    assert arithmetic.add(k, c) == Quantity(45, "degC")
    assert arithmetic.subtract(c, k) == Quantity(35, "degC")
    assert arithmetic.subtract(c, Quantity(20, "degC")) == Quantity(20, "K")
    assert arithmetic.compare(">=", c, Quantity(300, "K"))
    assert convert(5, "K", "degC", difference=True) == 5
    for work in (arithmetic.add, arithmetic.multiply, arithmetic.divide):
        with pytest.raises(UnitError):
            work(c, c)


def test_products_keep_the_unit_that_says_most() -> None:
    flow = Quantity(500, "uL/min")
    assert arithmetic.multiply(flow, Quantity(20, "percent")) == Quantity(100, "uL/min")
    assert arithmetic.multiply(Quantity(20, "percent"), flow) == Quantity(100, "uL/min")
    assert arithmetic.multiply(flow, Quantity(2, "min")) == Quantity(1000, "uL")
    assert arithmetic.divide(Quantity(1, "mL"), Quantity(2, "min")) == Quantity(0.5, "mL/min")
    assert arithmetic.divide(Quantity(1, "mL"), Quantity(500, "uL")) == Quantity(2, "")
    assert arithmetic.power(Quantity(2, "cm"), Quantity(2)) == Quantity(4, "cm**2")
    with pytest.raises(UnitError, match="division by zero"):
        arithmetic.divide(flow, Quantity(0))


@pytest.mark.parametrize(
    ("raw", "unit", "reading"),
    [
        (0.41, None, Reading(value=0.41)),
        ("0.41", "g", Reading(value=0.41, unit="g")),
        ("12.34(5)", None, Reading(value=12.34, sd=0.05)),
        ("12.34(5) mL", "uL", Reading(value=12340, unit="uL", sd=50)),
        ("1234(56)", None, Reading(value=1234, sd=56)),
        ("1.2(1)e-3", None, Reading(value=0.0012, sd=0.0001)),
        ("12.3 ± 0.2 mL", None, Reading(value=12.3, unit="mL", sd=0.2)),
        ("20.0(5) degC", "K", Reading(value=293.15, unit="K", sd=0.5)),
    ],
)
def test_a_measurement_carries_its_uncertainty(raw: str | float, unit: str | None, reading: Reading) -> None:
    found = parse_measurement(raw, unit)
    assert (found.unit, found.value) == (reading.unit, pytest.approx(reading.value, rel=1e-12))
    assert found.sd == (None if reading.sd is None else pytest.approx(reading.sd))


@pytest.mark.parametrize("raw", ["12.3(x)", "12.34(5", "inf", "3 +- 2 mL 4", "()", "(5)", "3 +- -1", "3 g +- -1 g"])
def test_what_is_no_measurement_is_refused(raw: str) -> None:
    with pytest.raises(UnitError):
        parse_measurement(raw)


def test_dimensions() -> None:
    assert same_dimension("uL/min", "L/h") and same_dimension("percent", "") and not same_dimension("K", "s")


def test_a_value_is_shown_bounded_and_cheaply() -> None:
    deep: list[object] = ["x"]
    for _ in range(9):
        deep = [deep] * 9
    assert len(quote(deep)) <= 80
    assert len(quote("x" * 10**7)) <= 80
    assert quote(10**5000) == "a number of more than 40 digits"


def test_pint_is_loaded_by_a_rare_unit_only() -> None:
    code = (
        "import sys, labloop.campaign.units as u, labloop.campaign.space, labloop.campaign.recipe;"
        "assert not {'pint', 'scipy', 'numpy', 'torch', 'pandas'} & set(sys.modules), sorted(sys.modules);"
        "u.parse_quantity('3 mL'); assert 'pint' not in sys.modules;"
        "u.parse_quantity('3 fathom'); assert 'pint' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "value, unit, to, means",
    [
        (60.0, "rad/s", "rpm", 572.9577951308232), (600.0, "revolutions_per_minute", "rpm", 600.0),
        (1.0, "turn/s", "rpm", 60.0), (6000.0, "deg/s", "rpm", 1000.0), (10.0, "Hz", "rpm", 600.0),
        (180.0, "deg", "rad", math.pi), (1000.0, "mrad", "deg", 57.29577951308232),
    ],
)  # fmt: skip
def test_a_turn_is_one_turn_in_whatever_angle_it_is_written(value: float, unit: str, to: str, means: float) -> None:
    assert convert(value, unit, to) == pytest.approx(means)


def test_the_table_of_units_says_what_pint_says() -> None:
    for dimension, rows in BY_DIMENSION.items():
        for word, factor, offset in rows:
            told = units._word_of_pint(word)
            assert told.dimension == dimension, word
            assert (told.factor, told.offset) == pytest.approx((factor, offset), rel=1e-12), word


def test_the_shipped_lab_and_campaign_need_no_pint() -> None:
    """It takes a third of a second to read its own definitions; a runner that comes back has better things to do."""
    code = (
        "import sys; from pathlib import Path; from labloop.campaign.spec import read_lab, read_spec;"
        "read_lab(Path('campaigns/lab.yaml')); read_spec(Path('campaigns/quickstart.yaml'));"
        "found = [str(m) for m in sys.modules if m == 'pint']; assert not found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
