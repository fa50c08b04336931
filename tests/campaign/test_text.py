"""How values are written for eyes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from labloop.campaign import text
from labloop.campaign.events import Reading


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.123456, "0.1235"), (12345.678, "12346"), (0.0, "0"), (1e-9, "1e-09"), (2.5e12, "2.5e+12"), (None, "-"),
        (7, "7"), (True, "yes"), ("DMF", "DMF"), (0.31, "0.31"), (-40.0, "-40"), (123456.0, "123456"),
    ],
)  # fmt: skip
def test_number(value, written):
    assert text.number(value) == written


@pytest.mark.parametrize(
    ("value", "sd", "written"),
    [
        (0.42131, 0.0527, "0.421 ± 0.053"), (531.27, 12.4, "531 ± 12"), (8123.0, 340.0, "8120 ± 340"),
        (0.42131, None, "0.4213"), (0.42131, 0.0, "0.4213"), (1.0, float("inf"), "1"), (0.5, 1e-12, "0.5 ± 1e-12"),
    ],
)  # fmt: skip
def test_spread_ends_at_the_second_digit_of_the_sd(value, sd, written):
    assert text.spread(value, sd) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0 s"), (2.34, "2.3 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (3540, "59 min"),
        (11100, "3 h 05 min"), (187200, "2 d 4 h"), (None, "-"), (float("nan"), "-"), (-42, "-42 s"),
    ],
)  # fmt: skip
def test_duration(seconds, written):
    assert text.duration(seconds) == written


def test_readings_carry_unit_and_sd_and_arrays_their_length():
    assert text.reading(Reading(value=12.34, sd=0.5, unit="nm")) == "12.34 ± 0.50 nm"
    assert text.reading(Reading(value="blue")) == "blue"
    assert text.reading(Reading(blob="0" * 64, length=802, unit="nm")) == "802 values nm"


def test_settings_in_one_line():
    assert text.settings({"q": 20.123, "solvent": "DMF"}, {"q": "percent"}) == "q 20.12 percent, solvent DMF"


def test_clock_is_in_the_zone_asked_for():
    stamp = "2026-03-02T23:30:05.123456+00:00"
    assert text.clock(stamp, UTC) == "23:30:05"
    assert text.clock(stamp, timezone(timedelta(hours=2))) == "01:30:05"
    assert text.clock(None, UTC) == "-"


def test_a_moment_of_another_day_has_its_date():
    stamp = "2026-03-02T23:30:05.123456+00:00"
    east = timezone(timedelta(hours=2))
    assert text.moment(stamp, UTC, datetime(2026, 3, 2, 1, tzinfo=UTC)) == "23:30:05"
    assert text.moment(stamp, UTC, datetime(2026, 3, 3, 1, tzinfo=UTC)) == "03-02 23:30:05"
    assert text.moment(stamp, east, datetime(2026, 3, 3, 1, tzinfo=UTC)) == "01:30:05"
    assert text.moment(stamp, UTC, datetime(2027, 3, 2, tzinfo=UTC)) == "2026-03-02 23:30:05"
    assert text.moment(None, UTC, datetime(2026, 3, 2, tzinfo=UTC)) == "-"


def test_plain_disarms_what_steers_a_terminal():
    assert text.plain("a\x1b[2Jb\nc\x07") == "a�[2Jb c�"
    assert text.plain("20 µL ± 1 °C") == "20 µL ± 1 °C"
