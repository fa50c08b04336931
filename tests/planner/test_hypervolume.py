"""The closed form of expected hypervolume improvement against sampling and BoTorch's own."""

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models import ModelListGP, SingleTaskGP
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from moocore import hypervolume

from labloop.planner.hypervolume import Boxes, boxes

FRONT2 = np.array([[0.9, 0.1], [0.6, 0.5], [0.2, 0.8], [0.6, 0.4]])
FRONT3 = np.array([[0.9, 0.1, 0.4], [0.5, 0.6, 0.3], [0.2, 0.8, 0.7], [0.4, 0.4, 0.9]])


@pytest.mark.parametrize("front", [FRONT2, FRONT3, FRONT2[:0]], ids=["two", "three", "empty"])
def test_is_the_mean_of_what_is_gained(front: np.ndarray) -> None:
    m = front.shape[1]
    reference = np.full(m, 0.05)
    mean, sd = np.array([[0.7, 0.55, 0.5][:m], [0.1, 0.1, 0.1][:m]]), np.array([[0.3, 0.2, 0.4][:m], [0.4] * m])
    before = hypervolume(-front, ref=-reference) if len(front) else 0.0  # moocore's is of what is minimized
    drawn = np.random.default_rng(0).standard_normal((4000, m))
    for row in range(2):
        gains = [hypervolume(-np.vstack([front, mean[row] + sd[row] * z]), ref=-reference) - before for z in drawn]
        found = np.exp(Boxes.of(front, reference).log_improvement(mean, sd)[0][row])
        assert found == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / len(gains) ** 0.5)


def test_is_botorchs_closed_form() -> None:
    rng = np.random.default_rng(1)
    x = torch.as_tensor(rng.random((8, 2)))
    y = torch.stack([x[:, 0] - x[:, 1] ** 2, 1 - x.sum(1)], dim=-1)
    models = ModelListGP(*[SingleTaskGP(x, y[:, j : j + 1], outcome_transform=None) for j in range(2)])
    reference = y.min(0).values - 0.1
    parts = FastNondominatedPartitioning(ref_point=reference, Y=y)
    stock = ExpectedHypervolumeImprovement(models, ref_point=reference.tolist(), partitioning=parts)
    points = torch.as_tensor(rng.random((20, 2)))
    with torch.no_grad():
        wanted = stock(points.unsqueeze(1)).numpy()
        posterior = models.posterior(points)
        mean, sd = posterior.mean.numpy(), posterior.variance.sqrt().numpy()
    found = np.exp(Boxes.of(y.numpy(), reference.numpy()).log_improvement(mean, sd)[0])
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-9)


def test_boxes_hold_what_the_front_leaves() -> None:
    low, high = boxes(FRONT3, np.zeros(3))
    points = np.random.default_rng(2).random((500, 3))
    inside = (np.all(points[:, None] >= low, axis=2) & np.all(points[:, None] < high, axis=2)).sum(1)
    dominated = np.any(np.all(FRONT3[None] > points[:, None], axis=2), axis=1)
    assert np.array_equal(inside, 1 - dominated.astype(int))  # every other point in exactly one


def test_derivatives() -> None:
    cut = Boxes.of(FRONT3, np.zeros(3))
    mean, sd = np.array([[0.5, 0.5, 0.6], [-2.0, 0.1, 0.2]]), np.array([[0.2, 0.3, 0.1], [0.1, 0.2, 0.3]])
    _, by_mean, by_sd = cut.log_improvement(mean, sd)
    for j in range(3):
        step = np.zeros(3)
        step[j] = 1e-6
        up, down = cut.log_improvement(mean + step, sd)[0], cut.log_improvement(mean - step, sd)[0]
        assert by_mean[:, j] == pytest.approx((up - down) / 2e-6, rel=1e-4)
        up, down = cut.log_improvement(mean, sd + step)[0], cut.log_improvement(mean, sd - step)[0]
        assert by_sd[:, j] == pytest.approx((up - down) / 2e-6, rel=1e-4)
