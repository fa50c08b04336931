"""Readings that are not to be believed are kept with the reason, and nothing is made of them."""

import math
import struct
from fractions import Fraction

import msgspec
import numpy as np
import pytest

from labloop.campaign.events import Amount, Reading
from labloop.campaign.flags import array_flag, believed, no_number

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("value", [0, 0.0, -1.5, 1e30, -9.8e37, True, "idle", None])
def test_what_is_believed_stays_as_it_is(value):
    reading = Reading(value=value, unit="g", sd=0.1, censored="above")
    assert believed(reading) == reading


@pytest.mark.parametrize(
    ("value", "word"),
    [(NAN, "nan is no number"), (INF, "inf is no number"), (-INF, "-inf is no number"),
     (9.9e37, "9.9e+37 is what an instrument says"), (-9.9e37, "no reading"), (9.91e37, "no reading"),
     (10**300, "no reading")],
)  # fmt: skip
def test_what_is_no_number_is_flagged_and_can_be_kept(value, word):
    kept = believed(Reading(value=value, unit="g", censored="above"), "g")
    assert kept.value is None and kept.unit == "g" and word in kept.flag and kept.censored == ""
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Reading) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [(np.float64(1.5), 1.5), (np.float32(1.5), 1.5), (np.int64(3), 3), (Fraction(1, 2), 0.5), (np.float32(NAN), None),
     (np.float64(INF), None), (10**400, None), (1 + 2j, None), ([1.0], None), (np.array(1.0), None)],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_a_drivers_own_kinds_of_numbers_are_plain_ones_or_flagged(value, kept):
    reading = believed(Reading(value=value, unit="g", sd=value if kept else None), "g")
    assert reading.value == kept and type(reading.value) is type(kept) and bool(reading.flag) is (kept is None)
    assert msgspec.json.decode(msgspec.json.encode(reading), type=Reading) == reading
    assert believed(Reading(value=1.0, sd="0.1")).flag == "a standard deviation of '0.1'"


@pytest.mark.parametrize("sd", [NAN, INF, -0.1, 1e200])
def test_a_spread_that_is_none(sd):
    kept = believed(Reading(value=1.0, sd=sd))
    assert kept.sd is None and "standard deviation" in kept.flag


@pytest.mark.parametrize(("unit", "declared"), [("mg", "g"), ("", "g"), ("g", ""), ("degF", "degC"), ("no unit!", "g")])
def test_another_unit_than_declared(unit, declared):
    kept = believed(Reading(value=1.0, unit=unit), declared)
    assert kept.value == 1.0 and "is declared" in kept.flag
    assert believed(Reading(value="idle", unit=unit), declared).flag == ""


@pytest.mark.parametrize(("unit", "declared"), [("g", "g"), ("°C", "degC"), ("µL", "uL")])
def test_the_same_unit_written_otherwise(unit, declared):
    assert believed(Reading(value=1.0, unit=unit), declared).flag == ""


def test_a_word_without_end_is_cut():
    kept = believed(Reading(value="x" * 1_000_000))
    assert len(kept.value) == 200 and "1000000 characters" in kept.flag


def test_a_bound_has_two_sides():
    assert "neither above nor below" in believed(Reading(value=1.0, censored="maybe")).flag


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "0 bytes"), (bytes(12), "12 bytes"), (struct.pack("<2d", 1.0, NAN), "nan"),
     (struct.pack("<2d", 9.9e37, 1.0), "9.9e+37"), (struct.pack("<2d", 1.0, 2.0), "")],
)  # fmt: skip
def test_arrays(data, word):
    flag = array_flag(data)
    assert word in flag if word else flag == ""


def test_of_what_was_done_there_must_be_no_doubt():
    assert no_number({"volume": Amount(0.3, "mL"), "mode": Amount("fast")}) == ""
    assert no_number({"volume": Amount(NAN, "mL")}) == "volume = nan"
    assert no_number({"a": Amount(1), "volume": Amount(9.9e37, "mL")}) == "volume = 9.9e+37"
