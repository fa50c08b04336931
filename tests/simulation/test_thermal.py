"""Legs of a temperature: limited far away, exponential near, the two as steep where they meet."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labloop.simulation.thermal import ROOM_C, Leg, leg_of, resting

TEMPERATURES = st.floats(-50, 300)
RATES = st.one_of(st.just(math.inf), st.floats(1e-3, 1.0))
LEGS = st.builds(
    Leg, began_s=st.floats(0, 1e6), start_c=TEMPERATURES, goal_c=TEMPERATURES, tau_s=st.floats(1, 5000),
    up_k_s=RATES, down_k_s=RATES,
)  # fmt: skip


@given(LEGS)
def test_it_begins_where_it_began_and_ends_at_its_goal_without_overshoot(leg):
    assert leg.at(leg.began_s) == pytest.approx(leg.start_c, abs=1e-9)
    assert leg.at(leg.began_s + 1e7) == pytest.approx(leg.goal_c, abs=1e-6)
    low, high = sorted((leg.start_c, leg.goal_c))
    assert all(low - 1e-9 <= leg.at(leg.began_s + 10.0**n) <= high + 1e-9 for n in range(7))


@given(LEGS, st.floats(0, 1e5))
def test_it_is_never_faster_than_its_limits(leg, at_s):
    now_s = leg.began_s + at_s
    moved = leg.at(now_s + 1.0) - leg.at(now_s)
    assert -leg.down_k_s - 1e-6 <= moved <= leg.up_k_s + 1e-6


@given(LEGS, st.floats(1, 1e4), st.floats(0, 1e4))
def test_a_leg_that_is_cut_and_begun_anew_goes_on_as_it_was(leg, cut_s, later_s):
    cut_at = leg.began_s + cut_s
    rest = Leg(began_s=cut_at, start_c=leg.at(cut_at), goal_c=leg.goal_c, tau_s=leg.tau_s, up_k_s=leg.up_k_s,
               down_k_s=leg.down_k_s)  # fmt: skip
    assert rest.at(cut_at + later_s) == pytest.approx(leg.at(cut_at + later_s), abs=1e-6)


@given(LEGS)
def test_it_is_kept_as_plain_json(leg):
    assert leg_of(json.loads(json.dumps(leg.state(), allow_nan=False))) == leg


def test_left_alone_it_relaxes_to_the_room():
    leg = resting(10.0, 82.0, tau_s=600.0)
    assert leg.at(610.0) == pytest.approx(ROOM_C + 60.0 / math.e)
