"""Believing a line without a checksum: two answers alike, news asked more often, and jumps asked again."""

import pytest

from labloop.bench import ProtocolError, Steady, Sure, twice_alike


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


def test_what_stands_still_is_believed_at_once_and_news_when_it_is_said_four_times():
    sure = Sure()
    ask, left = asked(12000, 1200, 1200, 1200, 12000, 12000, 12000, 12000, 1.0)
    assert sure.ask(ask, "?") == 12000 and left == [1.0]
    ask, left = asked(12000, 12000, 1.0)
    assert sure.ask(ask, "?") == 12000 and left == [1.0]
    ask, left = asked(1200, 1200, 1200, 12000, 12000, 1.0)
    assert sure.ask(ask, "?") == 12000 and left == [1.0]
    ask, left = asked(500, 500, 500, 500, 1.0)
    assert sure.ask(ask, "?") == 500 and left == [1.0]
    ask, left = asked(500, 500, 500, 500, 1.0)
    assert sure.ask(ask, "another") == 500 and left == [1.0]


def test_what_never_stands_still_is_refused():
    ask, left = asked(*[1, 1, 1, 0] * 3)
    with pytest.raises(ProtocolError, match=r"^\? is answered differently each time, last with 1$"):
        Sure().ask(ask, "?")
    assert len(left) == 3


def test_a_reading_that_jumps_is_asked_until_some_agree_and_one_that_creeps_is_not():
    steady = Steady(2.0)
    ask, left = asked(39.4, 39.5, 39.4, 39.5, 41.0, 4.0, 4.0, 4.0, 41.2, 41.2, 41.3, 41.2)
    assert steady.read(ask, "bath") == 39.5  # the first one of all is asked as often as one that jumps
    assert steady.read(ask, "bath") == 41.0
    assert steady.read(ask, "bath") == 41.2
    assert left == []
    ask, left = asked(*[80.0, 8.0] * 4, 80.0)
    with pytest.raises(ProtocolError, match=r"^bath was answered with 80, 8, 80, 8, 80, 8, 80, 8, 80$"):
        steady.read(ask, "bath")
    ask, left = asked(*[80.0] * 4)  # somebody moved the probe
    assert steady.read(ask, "bath") == 80.0 and left == []


def test_what_moves_more_than_its_grain_is_the_middle_of_what_was_said():
    steady = Steady(2.0, grain=0.15)
    ask, left = asked(*[20.0] * 4, 20.1, 20.5, 20.7, 20.9, 28.9, 21.3, 21.5, 21.7, 21.9, 22.1)
    assert steady.read(ask, "bath") == 20.0
    assert steady.read(ask, "bath") == 20.1
    assert steady.read(ask, "bath") == 21.5 and left == []


def test_readings_of_two_names_do_not_disturb_each_other():
    steady = Steady(2.0)
    for what, value in (("bath", 20.0), ("plate", 90.0), ("bath", 20.5), ("plate", 90.5)):
        ask, left = asked(*[value] * 4)
        steady.read(ask, what)
        assert len(left) == (0 if value in (20.0, 90.0) else 3)
