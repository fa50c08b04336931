"""Believing a line without a checksum: two answers alike, and jumps asked again."""

import pytest

from labloop.bench import ProtocolError, Steady, twice_alike


def asked(*said):
    left = list(said)
    return lambda: left.pop(0), left


def test_two_alike_in_a_row_are_believed_and_no_more_is_asked():
    ask, left = asked(9.4, 39.4, 39.4, 1.0)
    assert twice_alike(ask, "IN_PV_1") == 39.4 and left == [1.0]


def test_answers_that_stay_unlike_are_refused():
    ask, left = asked(*range(20))
    with pytest.raises(ProtocolError, match=r"^IN_PV_1 is answered differently each time, last with 5$"):
        twice_alike(ask, "IN_PV_1")
    assert len(left) == 14


def test_a_reading_that_jumps_is_asked_again_and_one_that_creeps_is_not():
    steady = Steady(2.0)
    ask, left = asked(39.4, 39.5, 41.0, 4.0, 41.2, 80.0, 81.0)
    assert steady.read(ask, "bath") == 39.5  # the first one of all is asked twice
    assert steady.read(ask, "bath") == 41.0
    with pytest.raises(ProtocolError, match=r"bath was answered with 4 and then with 41.2"):
        steady.read(ask, "bath")
    assert steady.read(ask, "bath") == 81.0  # somebody moved the probe: said twice
    assert left == []


def test_readings_of_two_names_do_not_disturb_each_other():
    steady = Steady(2.0)
    for what, value in (("bath", 20.0), ("plate", 90.0), ("bath", 20.5), ("plate", 90.5)):
        ask, left = asked(value, value)
        steady.read(ask, what)
        assert len(left) == (0 if value in (20.0, 90.0) else 1)
