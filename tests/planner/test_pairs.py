"""The likelihood pair by pair is that of whole matrices, and so is its gradient."""

from dataclasses import replace

import numpy as np
import pytest

from labloop.planner.blends import Blend
from labloop.planner.encoding import Column, Encoding
from labloop.planner.gp import NOISE_PRIOR, Data, objective
from labloop.planner.kernels import Separable, dimension_scaled
from labloop.planner.pairs import BAD, MOST, Likelihood
from labloop.planner.sparse import tightened
from labloop.planner.surrogate import kernels

NUMBERS = Encoding(tuple(Column(f"x{i}", "real") for i in range(3)))
LABELS = Encoding(tuple(Column(name, "label", values=("a", "b", "c")) for name in "uv"))
MIXED = Encoding((*NUMBERS.columns, *LABELS.columns))
PLAIN = kernels(NUMBERS, ["matern"])[0]
BLENDED = replace(
    PLAIN,
    blends=(Blend((0, 2), np.array([[0.2, 1.0], [0.9, -1.0]]), "mass"),),
    number_prior=dimension_scaled(3, 4),
)
KERNELS = {
    "numbers": PLAIN,
    "rbf": kernels(NUMBERS, ["rbf"])[0],
    "mixed": kernels(MIXED, ["matern"])[0],
    "labels": kernels(LABELS, ["matern"])[0],
    "blended": BLENDED,
    "sparse": tightened(PLAIN)[0],
}


def told(kernel: Separable, n: int) -> Data:
    rng = np.random.default_rng(n)
    x = rng.random((n, 1 + max((*kernel.numbers, *kernel.labels))))
    x[:, list(kernel.labels)] = rng.integers(0, 3, (n, len(kernel.labels)))
    return Data(x, rng.standard_normal(n), 0.1 * rng.random(n))


@pytest.mark.parametrize("n", [1, 2, 17])
@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())
def test_it_is_that_of_whole_matrices(kernel: Separable, n: int) -> None:
    data = told(kernel, n)
    pairwise = Likelihood(kernel, data.x, data.y, data.known, NOISE_PRIOR)
    for shift in (0.0, 0.3, -0.7):  # again and again in the same room
        at = np.append(kernel.start, -3.0) + shift * np.arange(1, len(kernel.start) + 2) / 3.0
        value, gradient = objective(kernel, data, at)
        assert pairwise(at)[0] == pytest.approx(value, rel=1e-10)
        assert pairwise(at)[1] == pytest.approx(gradient, rel=1e-8, abs=1e-10)


def test_what_cannot_be_factored_turns_back() -> None:
    data = told(PLAIN, 5)
    pairwise = Likelihood(PLAIN, data.x, data.y, np.full(5, -2.0), NOISE_PRIOR)
    value, gradient = pairwise(np.append(PLAIN.start, -3.0))
    assert value == BAD
    assert not gradient.any()


def test_it_is_for_as_many_pairs_as_a_pass_over_them_is_quick() -> None:
    assert Likelihood.is_for(PLAIN, 400)
    assert not Likelihood.is_for(PLAIN, 2 + int((2 * MOST / 3) ** 0.5))
    assert not Likelihood.is_for(object(), 5)
