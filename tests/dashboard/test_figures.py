"""Figures as lines of characters: what is drawn where."""

import msgspec
import pytest

from labloop.dashboard.canvas import Canvas, Scale, below, between
from labloop.dashboard.heat import draw_map
from labloop.dashboard.slices import BAND, draw_slices, room_for
from labloop.dashboard.versus import parity_words
from labloop.planner.figure import Axis, Curve, Figure, Foretold, Map, Slice, Slices


def figure(body, **more):
    return Figure(number=1, kind="slices", seq=9, body=body, through=3, **more)


def of_choices(count, here=0):
    axis = Axis(name="base", unit="", at=[float(n) for n in range(count)], choices=[f"b{n}" for n in range(count)])
    curve = Curve(mean=[float(n) for n in range(count)], sd=[0.5] * count)
    one = Slice(axis=msgspec.structs.replace(axis, here=float(here)), curves={"y": curve}, inside=[True] * count)
    return Slices(slices=[one], shares={"y": {"base": 1.0}})


def of_range(inside, sd=0.0):
    at = [float(n) for n in range(11)]
    curve = Curve(mean=list(at), sd=[sd] * 11)
    one = Slice(axis=Axis(name="a", unit="mL", at=at, here=5.0), curves={"y": curve}, inside=inside)
    return Slices(slices=[one], shares={"y": {"a": 1.0}})


def words(lines):
    return [line.plain for line in lines]


def test_of_too_many_choices_the_best_and_the_trials_own_have_a_row():
    body = of_choices(30, here=2)
    lines = words(draw_slices(figure(body), body, "y", lambda value: value, 60, 10, {}))
    assert [line.split()[0] for line in lines[1:9]] == ["▸b2", "b24", "b25", "b26", "b27", "b28", "b29", "23"]
    assert "23 others" in lines[8]
    worst = words(draw_slices(figure(body), body, "y", lambda value: -value, 60, 10, {}))
    assert [line.split()[0] for line in worst[1:8]] == ["b0", "b1", "▸b2", "b3", "b4", "b5", "b6"]


def test_where_no_trial_may_be_there_is_no_band_and_dots_for_a_line():
    body = of_range([True] * 6 + [False] * 5, sd=0.8)
    lines = words(draw_slices(figure(body), body, "y", lambda value: value, 60, 12, {}))
    plot = [line[8:] for line in lines[1:-1]]
    middle = len(plot[0]) * 55 // 100
    assert any(BAND in row[:middle] for row in plot) and not any(BAND in row[middle + 2 :] for row in plot)
    marked = [sum("\u2800" < row[column] < "\u2900" for row in plot) for column in range(len(plot[0]))]
    assert all(marked[2 : middle - 2]) and not all(marked[middle + 2 :]) and any(marked[middle + 2 :])


def test_the_line_rises_from_one_corner_to_the_other_and_the_trial_is_marked():
    body = of_range([True] * 11)
    lines = words(draw_slices(figure(body, measured={"y": 5.0}), body, "y", lambda value: value, 60, 12, {}))
    rows = [n for n, line in enumerate(lines[1:-1]) if any("\u2800" < c < "\u2900" for c in line)]
    assert rows == list(range(len(lines) - 2))
    assert sum(line.count("◆") for line in lines) == 1
    assert lines[0].startswith(" a [mL]  moves 100%") and lines[-1].rstrip().endswith("10")


@pytest.mark.parametrize(
    ("count", "width", "height", "across"),
    [(1, 80, 18, 1), (4, 80, 18, 2), (5, 80, 18, 2), (5, 160, 40, 3), (4, 30, 9, 1)],
)
def test_panels_share_the_room(count, width, height, across):
    room = room_for(count, width, height)
    assert room.across == across and room.width * across <= width and room.height >= 8


def a_map(tried=(), inside=(True,) * 9, mean=tuple(float(n) for n in range(9))):
    across = Axis(name="a", unit="mL", at=[0.0, 1.0, 2.0], here=1.0)
    up = Axis(name="b", unit="", at=[1.0, 10.0, 100.0], log=True, here=10.0)
    curve = Curve(mean=list(mean), sd=[1.0] * 9)
    return Map(across=across, up=up, curves={"y": curve}, inside=list(inside), tried=list(tried))


def test_a_map_is_light_where_the_outcome_is_high_and_blank_where_no_trial_may_be():
    body = a_map(inside=(True,) * 8 + (False,))
    lines = words(draw_map(figure(body), body, "y", False, 40, 13, {}, colour=False))
    picture = [line[9:] for line in lines[1:-2]]
    assert picture[-1][0] == "·" and picture[0][0] == "█" and picture[0][-1] == " "
    assert lines[0] == " b   0 ·░▒▓█ 7"


def test_a_trial_lies_where_it_was_and_the_last_ones_are_drawn_of_many():
    body = a_map(tried=[(1, 0.0, 1.0, "measured"), (2, 2.0, 100.0, "running"), (3, 1.0, 10.0, "measured")])
    lines = words(draw_map(figure(body), body, "y", False, 40, 13, {}, colour=False))
    picture = [line[9:] for line in lines[1:-2]]
    assert (picture[-1][0], picture[0][-1], picture[4][15]) == ("●", "○", "◆")
    many = a_map(tried=[(n, (n % 20) / 10, 1.0 + n % 90, "measured") for n in range(3, 900)])
    lines = words(draw_map(figure(many), many, "y", False, 60, 13, {}, colour=False))
    assert sum(line.count("•") for line in lines) <= 61 and sum(line.count("◆") for line in lines) == 2
    assert "the last 60" in lines[-1]


def test_of_an_expected_gain_what_is_far_below_the_best_is_one_shade():
    mean = (-900.0, -50.0, -9.0, -3.0, -1.0, 0.0, -2.0, None, -4.0)
    body = msgspec.structs.replace(a_map(mean=mean), curves={"acquisition": Curve(mean=list(mean), sd=[])})
    lines = words(draw_map(figure(body), body, "acquisition", False, 60, 13, {}, colour=False))
    assert "1/1000 ·░▒▓█ of the best on this map" in lines[0]


def test_how_good_forecasts_are_is_said_as_far_as_there_is_room():
    points = [Foretold(n, float(n), n + 0.1, 0.1) for n in range(1, 10)] + [Foretold(10, 10.0, 12.0, 0.5)]
    told = parity_words(points, 200)
    assert told.startswith("rms error 0.64 · R² 0.95 · 9 of 10 within ± 2 sd · farthest trial 10, 4.0 sd")
    assert parity_words(points, 30) == "rms error 0.64 · R² 0.95"


def test_words_below_an_axis_do_not_overlap():
    assert below(12, [(6, "mid"), (0, "low"), (12, "high")]) == "low──mid────"
    assert below(3, [(1, "longer")]) == "───"


def test_a_place_on_a_logarithmic_axis():
    scale = Scale(1.0, 100.0, log=True)
    assert scale(10.0) == pytest.approx(0.5) and scale(0.0) == float("-inf")
    assert between([1.0, 10.0, 100.0], [0.0, 1.0, None], scale)(0.25) == pytest.approx(0.5)
    canvas = Canvas(10, 4, scale, Scale(0.0, 1.0))
    canvas.mark(0.0, 0.5, "x")  # nowhere
    assert all(cell == (" ", "") for row in canvas.cells for cell in row)
