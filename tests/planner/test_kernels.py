"""Kernels: their derivatives against differences, and what they say of two points."""

import numpy as np
import pytest

from labloop.planner.additive import Additive
from labloop.planner.blends import Blend
from labloop.planner.kernels import Kernel, Separable, dimension_scaled, hamming
from labloop.planner.warping import Warped

RNG = np.random.default_rng(0)
X = np.column_stack([RNG.random((9, 2)), RNG.integers(0, 3, 9)]).astype(float)


def mixed(shape: str) -> Separable:
    return Separable(shape, (0, 1), (2,), (hamming(3),), dimension_scaled(2, 2), dimension_scaled(1, 1))


DESCRIBED = Separable(
    "matern",
    (0, 1),
    (2, 2),
    (hamming(3), np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))),
    dimension_scaled(3, 3),
    dimension_scaled(2, 2),
    (Blend((0, 1), np.array([[0.2, 1.0], [0.9, 0.1]]), "size"),),
)
KERNELS = {
    "matern": mixed("matern"),
    "rbf": mixed("rbf"),
    "warped": Warped(mixed("matern")),
    "additive": Additive(mixed("matern")),
    "additive with blends and described levels": Additive(DESCRIBED),
    "of one number": Separable("matern", (1,), number_prior=dimension_scaled(1, 1)),
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_derivatives_by_parameters(kernel: Kernel) -> None:
    theta = kernel.start + 0.3 * RNG.standard_normal(len(kernel.start)) - 1.0
    weights = RNG.standard_normal((9, 9))
    found = kernel.matrix(theta, X)[1](weights)
    steps = 1e-6 * np.eye(len(theta))
    wanted = [np.sum(weights * (kernel.matrix(theta + s, X)[0] - kernel.matrix(theta - s, X)[0])) / 2e-6 for s in steps]
    assert found == pytest.approx(wanted, abs=1e-6)
    prior = kernel.log_prior(theta)[1]
    slopes = [(kernel.log_prior(theta + s)[0] - kernel.log_prior(theta - s)[0]) / 2e-6 for s in steps]
    assert prior == pytest.approx(slopes, abs=1e-6)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_derivatives_by_the_point(kernel: Kernel) -> None:
    theta = kernel.start - 1.0
    points = X[:4] + np.array([0.05, 0.02, 0.0])
    weights = RNG.standard_normal((4, 9))
    k, back = kernel.watched(theta, points, X)
    assert k == pytest.approx(kernel.cross(theta, points, X))
    found = back(weights)
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-6 if column < 2 else 0.0
        change = kernel.cross(theta, points + step, X) - kernel.cross(theta, points - step, X)
        assert found[:, column] == pytest.approx((weights * change).sum(1) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_cross_and_matrix_are_the_same_kernel(kernel: Kernel) -> None:
    matrix, _ = kernel.matrix(kernel.start, X)
    assert kernel.cross(kernel.start, X, X) == pytest.approx(matrix, abs=1e-7)
    assert np.diag(matrix) == pytest.approx(kernel.variance(kernel.start))
    assert np.linalg.eigvalsh(matrix).min() > -1e-10


def test_two_choices_of_one_column_tell_of_each_other_by_its_lengthscale() -> None:
    kernel = mixed("rbf")
    theta = np.log([1.0, 1.0, 0.5])
    a, b = np.array([[0.2, 0.3, 0.0]]), np.array([[0.2, 0.3, 2.0]])
    assert kernel.cross(theta, a, b)[0, 0] == pytest.approx(np.exp(-2.0))


def test_half_of_an_additive_kernel_is_the_mean_of_what_each_column_does_alone() -> None:
    kernel, theta = Additive(DESCRIBED), np.log([0.4, 0.7, 0.9, 2.0, 3.0])
    a, b = np.array([[0.2, 0.3, 0.0]]), np.array([[0.6, 0.1, 2.0]])
    first, second = (Separable("matern", (column,)).cross(theta[[column]], a, b) for column in (0, 1))
    blend = Separable("matern", (), blends=DESCRIBED.blends).cross(theta[[2]], a, b)
    label = np.exp(-1.0 / 2.0 - 2.0 / 3.0)
    wanted = 0.5 * DESCRIBED.cross(theta, a, b) + 0.5 * (first + second + blend + label) / 4
    assert kernel.cross(theta, a, b) == pytest.approx(wanted)
    assert len(kernel.parts) == 4


def test_rounding_changes_an_additive_kernel_by_no_more_than_is_said() -> None:
    kernel, theta = Additive(DESCRIBED), np.log([0.05, 0.1, 0.07, 2.0, 3.0])
    short = X.astype(np.float32)
    off = np.abs(kernel.cross(theta, short, short) - kernel.cross(theta, short.astype(float), short.astype(float)))
    assert off.max() < 16 * 2.0**-24 * kernel.roughness(theta)
