"""Models that are asked for together: each does its part, and together they foretell what neither does alone."""

from itertools import combinations

import numpy as np
import pytest

from labloop.planner.encoding import Column, Encoding
from labloop.planner.known import Observations
from labloop.planner.surrogate import Surrogate, fit_all

SPACE = Encoding((Column("a", "real"), Column("b", "real")))
NEW = np.random.default_rng(99).random((200, 2))
N = 40
WRONG = (5, 16, 27)


def smooth(x: np.ndarray) -> np.ndarray:
    return np.sin(4 * x[:, 0]) + x[:, 1]


def steep(x: np.ndarray) -> np.ndarray:
    return np.sin(18 * x[:, 0] ** 5) + 0.3 * x[:, 1]


def told(truth: np.ndarray, x: np.ndarray, wrong: float = 0.0, drift: float = 0.0, heavy: bool = False) -> Observations:
    y = truth + 0.02 * np.random.default_rng(1).standard_normal(N) + drift * np.arange(N) / N
    y = np.exp(3 * y) if heavy else y
    y[list(WRONG)] += wrong
    return Observations(x, y, np.zeros(N), np.arange(1, N + 1))


X = np.random.default_rng(0).random((N, 2))
CASES = {
    "robust transform": (told(smooth(X), X, wrong=4000.0, heavy=True), lambda x: np.exp(3 * smooth(x))),
    "robust drift": (told(smooth(X), X, wrong=6.0, drift=3.0), lambda x: smooth(x) + 3.0),
    "robust warp": (told(steep(X), X, wrong=6.0), steep),
    "transform drift": (told(smooth(X), X, drift=1.0, heavy=True), lambda x: np.exp(3 * smooth(x) + 3.0)),
    "transform warp": (told(steep(X), X, heavy=True), lambda x: np.exp(3 * steep(x))),
}
FLAGS = {
    "robust": {"robust": True},
    "transform": {"transformed": "y"},
    "drift": {"drifting": True},
    "warp": {"warp": True},
}


def fitted(data: Observations, words: str) -> Surrogate:
    return fit_all({"y": data}, SPACE, ["matern"], **{k: v for word in words.split() for k, v in FLAGS[word].items()})


def error(surrogate: Surrogate, wanted: np.ndarray) -> float:
    """Of the prediction, with the sizes of a heavy tail evened out."""
    return float(np.sqrt(np.mean((np.arcsinh(surrogate.predict(NEW)[0][:, 0]) - np.arcsinh(wanted)) ** 2)))


@pytest.mark.parametrize("words", CASES)
def test_two_together_foretell_better_than_each_alone(words: str) -> None:
    data, truth = CASES[words]
    both = error(fitted(data, words), truth(NEW))
    for one in words.split():
        assert both < 0.9 * error(fitted(data, one), truth(NEW))


@pytest.mark.parametrize("words", CASES)
def test_each_is_told(words: str) -> None:
    said = fitted(CASES[words][0], words).beliefs[0].words
    for word in words.split():
        marks = {
            "robust": "has outliers: 6, 17, 28",
            "transform": "by ",
            "drift": "drifts over about",
            "warp": "warped by a ",
        }
        assert marks[word] in said, said


@pytest.mark.parametrize("words", [" ".join(two) for two in combinations(FLAGS, 2) if two != ("drift", "warp")])
def test_derivatives_by_the_point(words: str) -> None:
    member = fitted(CASES["robust warp"][0], words).beliefs[0].members[0]
    point, step = np.array([[0.6, 0.3]]), 1e-6
    slope = member.watched(point)[1](np.ones(1), np.ones(1), np.zeros((1, 0)))[0]
    for column in range(2):
        ahead, behind = point.copy(), point.copy()
        ahead[0, column] += step
        behind[0, column] -= step
        (m1, v1, _), (m0, v0, _) = member.posterior(ahead), member.posterior(behind)
        assert slope[column] == pytest.approx((m1 + v1 - m0 - v0)[0] / (2 * step), abs=1e-4)
