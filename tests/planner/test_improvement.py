"""Log improvements: exact against quadrature and 50 digits, and their derivatives."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import _log_ei_helper
from scipy.integrate import quad
from scipy.stats import norm

from labloop.planner.improvement import (
    log_below_slopes,
    log_ei,
    log_ei_slopes,
    log_h,
    log_target_slopes,
    log_within_slopes,
)


def test_log_h_is_botorchs_from_hope_to_none() -> None:
    u = np.concatenate([np.linspace(-60, 8, 400), [-1e3, -1e5, -1e8, -1e12, 30.0]])
    wanted = _log_ei_helper(torch.as_tensor(u)).numpy()
    assert log_h(u) == pytest.approx(wanted, rel=1e-8, abs=1e-12)


def test_log_ei_is_the_logarithm_of_the_integral() -> None:
    for mean, sd, best in ((0.3, 0.5, 1.0), (2.0, 0.1, 1.0), (-1.0, 0.7, 1.0)):
        wanted, _ = quad(lambda y: (y - best) * norm.pdf(y, mean, sd), best, best + 12 * sd + 4)  # noqa: B023
        assert float(log_ei(np.array(mean), np.array(sd), best)) == pytest.approx(np.log(wanted), rel=1e-6)


@pytest.mark.parametrize("mean", [-4.0, -0.3, 0.1, 0.9, 5.0])
@pytest.mark.parametrize("tolerance", [0.0, 0.2])
def test_target_is_the_logarithm_of_the_integral(mean: float, tolerance: float) -> None:
    sd, best, target = 0.8, -0.6, 0.25

    def gain(y: float) -> float:
        return max(-best - max(abs(y - target) - tolerance, 0.0), 0.0) * float(norm.pdf(y, mean, sd))

    edges = [target - tolerance - 0.6, target - tolerance, target, target + tolerance, target + tolerance + 0.6]
    wanted = sum(quad(gain, a, b)[0] for a, b in pairwise(edges))
    found = log_target_slopes(np.array([mean]), np.array([sd]), best, target, tolerance)[0][0]
    assert found == pytest.approx(np.log(wanted), abs=1e-6)


SLOPES: dict[str, Callable] = {
    "improvement": lambda m, s: log_ei_slopes(m, s, 0.4),
    "target": lambda m, s: log_target_slopes(m, s, -0.5, 0.2, 0.1),
    "target, nearly met": lambda m, s: log_target_slopes(m, s, -1e-9, 0.2, 0.1),
    "target without tolerance, nearly met": lambda m, s: log_target_slopes(m, s, -1e-9, 0.2, 0.0),
    "within": lambda m, s: log_within_slopes(m, s, 0.2, 0.1),
    "below": lambda m, s: log_below_slopes(m, s, 0.3, 1.0),
    "above": lambda m, s: log_below_slopes(m, s, 0.3, -1.0),
}


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_derivatives(slopes: Callable) -> None:
    mean, sd = np.array([-2.0, -0.4, 0.25, 0.7, 3.0]), np.array([0.3, 0.5, 0.2, 1.0, 0.6])
    _, by_mean, by_sd = slopes(mean, sd)
    step = 1e-6
    assert by_mean == pytest.approx((slopes(mean + step, sd)[0] - slopes(mean - step, sd)[0]) / (2 * step), rel=1e-4)
    assert by_sd == pytest.approx((slopes(mean, sd + step)[0] - slopes(mean, sd - step)[0]) / (2 * step), rel=1e-4)


def test_a_target_that_is_hit_leaves_nothing_to_gain() -> None:
    value, by_mean, by_sd = log_target_slopes(np.array([0.2]), np.array([0.3]), 0.0, 0.2, 0.1)
    assert value[0] < -1e100 and by_mean[0] == 0.0 and by_sd[0] == 0.0


@pytest.mark.parametrize("gain", [1e-4, 2e-6, 1e-6, 1e-9, 1e-13, 1e-140])
def test_a_target_that_is_nearly_met_is_worth_what_is_left_times_its_chance(gain: float) -> None:
    mean, sd = np.array([-2.0, -0.7, -0.2, 0.0, 0.1, 2.0]), np.array([0.6, 0.3, 0.05, 0.2, 0.4, 0.5])
    chance = norm.cdf((0.2 - mean) / sd) - norm.cdf((-0.2 - mean) / sd)
    found = log_target_slopes(mean, sd, -gain, 0.0, 0.2)[0]
    assert found - np.log(gain) == pytest.approx(np.log(chance), abs=1e-2 if gain > 1e-5 else 1e-4)
    found = log_target_slopes(mean, sd, -gain, 0.0, 0.0)[0]  # a triangle
    assert found - 2.0 * np.log(gain) == pytest.approx(norm.logpdf(mean, 0.0, sd), abs=1e-4)


@pytest.mark.parametrize("u", [-1.1e3, -1e4, -1e6, -1e9, -1e10, -1e12])
def test_slopes_far_down_are_those_of_the_tail(u: float) -> None:
    rest = 0.0
    for k in range(40, 0, -1):  # Laplace's continued fraction: Phi/phi = 1/(v + rest), h/phi = rest/(v + rest)
        rest = k / (-u + rest)
    here, one = np.array([u]), np.array([1.0])
    with np.errstate(over="raise", invalid="raise"):
        _, by_mean, by_sd = log_below_slopes(-here, one, 0.0, 1.0)
        assert by_mean == pytest.approx(u - rest, rel=1e-12) and by_sd == pytest.approx(-u * (rest - u), rel=1e-12)
        _, by_mean, by_sd = log_ei_slopes(here, one, 0.0)
        assert by_mean == pytest.approx(1.0 / rest, rel=1e-11) and by_sd == pytest.approx((rest - u) / rest, rel=1e-11)
