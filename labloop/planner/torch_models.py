"""The same beliefs as surrogate.py by BoTorch and GPyTorch: the reference, and what torch_scores.py samples from.

    mean      a constant, learnt
    kernel    Matern 5/2 or RBF with one lengthscale a column, times a Hamming kernel over unordered choices
    priors    LogNormal lengthscales that grow with sqrt(d), so that many parameters do not mean a rough function
              (Hvarfner et al., ICML 2024, arXiv:2402.02229); LogNormal(-4, 1) noise
    outcomes  standardized; one independent model an outcome, each from the trials that have it
    noise     learnt: repeats stay separate rows, so the likelihood itself learns from their scatter. Where measurements
              carry an sd, its square is that row's own noise, and what is learnt comes on top (sample to sample)

Fitted by maximum a posteriori with L-BFGS-B. A fit that fails raises SurrogateError: never a silent second best.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.exceptions.errors import BotorchError
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models.gp_regression import SingleTaskGP
from botorch.models.model_list_gp_regression import ModelListGP
from botorch.models.transforms.outcome import Standardize
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from .encoding import Array, Encoding
from .errors import SurrogateError
from .gp import LEAST_NOISE
from .kernels import LEAST_LENGTH, LogNormal, Separable
from .known import Observations
from .surrogate import described, kernels


class UnlikeKernel(Kernel):  # type: ignore[misc]
    """exp(-sum_c D_c[x_c, x'_c] / l_c) of index columns: D_c, how unlike two levels are; l_c, how much it matters."""

    has_lengthscale = True

    def __init__(self, unlike: Sequence[Array], **settings: Any) -> None:
        super().__init__(ard_num_dims=len(unlike), **settings)
        self._unlike = [torch.as_tensor(one, dtype=torch.float64) for one in unlike]

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: object) -> Tensor:
        """Kernel matrix ... x n1 x n2 of index columns ... x n x c (its diagonal where ``diag``)."""
        a, b = (x1.long(), x2.long()) if diag else (x1.long().unsqueeze(-2), x2.long().unsqueeze(-3))
        each = [one[a[..., c], b[..., c]] / self.lengthscale[..., c] for c, one in enumerate(self._unlike)]
        return torch.exp(-torch.stack(each).sum(0))


class BlendedKernel(Kernel):  # type: ignore[misc]
    """Another kernel over numbers and what mixtures are like (kernels.py): each with a lengthscale of its own."""

    has_lengthscale = True

    def __init__(self, base: Kernel, features: Separable, **settings: Any) -> None:
        super().__init__(ard_num_dims=features.smooth, **settings)
        self.ard_num_dims = None  # points have fewer columns than there are lengthscales
        base.lengthscale = 1.0
        base.requires_grad_(False)
        self._base, self._numbers, self._blends = base, list(features.numbers), features.blends
        self._lengths = torch.as_tensor(features.lengths)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: object) -> Tensor:
        """Kernel matrix ... x n1 x n2 of points ... x n x d (its diagonal where ``diag``)."""
        rates = 1.0 / self.lengthscale[..., self._lengths]
        k: Tensor = self._base.forward(self._features(x1) * rates, self._features(x2) * rates, diag=diag, **params)
        return k

    def _features(self, x: Tensor) -> Tensor:
        like = [x[..., list(one.columns)] @ torch.as_tensor(one.weights, dtype=x.dtype) for one in self._blends]
        return torch.cat([x[..., self._numbers], *like], dim=-1)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Fitted models, one an outcome, in one BoTorch model of m outputs in the outcomes' own units."""

    outcomes: tuple[str, ...]
    model: Any  # SingleTaskGP, or ModelListGP of several; BoTorch's own types do not say what a model has
    scales: tuple[float, ...]  # what each outcome was divided by
    noises: tuple[float, ...]  # sd of the learnt noise of one measurement of each
    words: str

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and sd of the noiseless outcomes, each n x m."""
        with torch.no_grad():
            posterior = self.model.posterior(torch.as_tensor(points, dtype=torch.float64).unsqueeze(-2))
            mean, variance = posterior.mean.squeeze(-2), posterior.variance.squeeze(-2)
        return mean.numpy(), variance.clamp_min(0.0).sqrt().numpy()

    def middles(self, points: Array) -> Array:
        """What ``predict`` gives first."""
        return self.predict(points)[0]

    def left_out(self, outcome: str) -> tuple[Array, Array]:
        """Mean and sd of each measurement of an outcome as the others foretell it (Sundararajan and Keerthi, 2001)."""
        model = self.model if len(self.outcomes) == 1 else self.model.models[self.outcomes.index(outcome)]
        with torch.no_grad():
            x, y = model.train_inputs[0], model.train_targets
            model.train()  # the prior of what was measured, not what is known of it
            prior = model.likelihood(model(x), [x])
            model.eval()
            inverse = torch.linalg.inv(prior.covariance_matrix)
            variance = 1.0 / inverse.diagonal()
            mean = y - (inverse @ (y - prior.mean)) * variance
            scale, shift = model.outcome_transform.stdvs.squeeze(), model.outcome_transform.means.squeeze()
        return (shift + scale * mean).numpy(), (scale * variance.sqrt()).numpy()


def fit(data: Mapping[str, Observations], encoding: Encoding, kernel: str = "matern") -> Surrogate:
    """Fit one model an outcome. Raises SurrogateError, which names the outcome."""
    models: list[Any] = []
    for outcome, observations in data.items():
        try:
            models.append(_fit_one(observations, encoding, kernel))
        except (BotorchError, RuntimeError, ValueError) as error:
            raise SurrogateError(f"no model of {outcome} from {len(observations.values)} trials: {error}") from error
    scales = tuple(float(model.outcome_transform.stdvs.mean()) for model in models)
    noises = tuple(_noise_sd(model) * scale for model, scale in zip(models, scales, strict=True))
    noise = ", ".join(f"{outcome}: {one:.3g}" for outcome, one in zip(data, noises, strict=True))
    words = f"GP {kernel}{' x hamming' if encoding.labels else ''}{described(encoding)}; learnt noise sd {noise}"
    return Surrogate(tuple(data), models[0] if len(models) == 1 else ModelListGP(*models), scales, noises, words)


def _fit_one(observations: Observations, encoding: Encoding, kernel: str) -> SingleTaskGP:
    x = torch.as_tensor(observations.points, dtype=torch.float64)
    y = torch.as_tensor(observations.values, dtype=torch.float64).unsqueeze(-1)
    likelihood = None
    if np.any(observations.variances > 0.0):
        spread = float(np.std(observations.values, ddof=1)) if len(observations.values) > 1 else 1.0
        likelihood = _known_noise(observations.variances / max(spread, 1e-8) ** 2)
    with warnings.catch_warnings():
        # Constant outcomes and single points are expected here, and answered: Standardize leaves them as they are.
        warnings.simplefilter("ignore", BotorchWarning)
        warnings.simplefilter("ignore", UserWarning)
        model = SingleTaskGP(
            x, y, likelihood=likelihood, covar_module=_kernel(encoding, kernel), outcome_transform=Standardize(m=1)
        )
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    if not all(torch.isfinite(parameter).all() for parameter in model.parameters()):
        raise SurrogateError("the fit ended at numbers that are not finite")
    return model


def _kernel(encoding: Encoding, kernel: str) -> Kernel:
    labels = encoding.labels
    seen = kernels(encoding, [kernel])[0]
    smooth = _smooth(seen) if seen.smooth else None
    if not labels:
        return smooth
    prior = LogNormalPrior(loc=torch.as_tensor(seen.label_prior.loc), scale=torch.as_tensor(seen.label_prior.scale))
    choices = UnlikeKernel(
        seen.unlike,
        active_dims=seen.labels,
        lengthscale_prior=prior,
        lengthscale_constraint=GreaterThan(LEAST_LENGTH, transform=None, initial_value=prior.mode),
    )
    return choices if smooth is None else smooth * choices


def _smooth(seen: Separable) -> Kernel:
    assert isinstance(seen.number_prior, LogNormal)
    prior = LogNormalPrior(loc=torch.as_tensor(seen.number_prior.loc), scale=torch.as_tensor(seen.number_prior.scale))
    settings = {
        "lengthscale_prior": prior,
        "lengthscale_constraint": GreaterThan(LEAST_LENGTH, transform=None, initial_value=prior.mode),
    }
    if seen.blends:
        return BlendedKernel(RBFKernel() if seen.shape == "rbf" else MaternKernel(nu=2.5), seen, **settings)
    settings |= {"ard_num_dims": len(seen.numbers), "active_dims": seen.numbers}
    return RBFKernel(**settings) if seen.shape == "rbf" else MaternKernel(nu=2.5, **settings)


def _known_noise(variances: Array) -> FixedNoiseGaussianLikelihood:
    likelihood = FixedNoiseGaussianLikelihood(
        noise=torch.as_tensor(np.maximum(variances, 1e-8), dtype=torch.float64), learn_additional_noise=True
    )
    prior = LogNormalPrior(loc=-4.0, scale=1.0)
    likelihood.second_noise_covar.register_prior(
        "noise_prior", prior, lambda module: module.noise, lambda module, value: module._set_noise(value)
    )
    likelihood.second_noise_covar.register_constraint(
        "raw_noise", GreaterThan(LEAST_NOISE, transform=None, initial_value=prior.mode)
    )
    return likelihood


def _noise_sd(model: Any) -> float:
    """The learnt noise of one measurement, standardized."""
    likelihood = model.likelihood
    known = isinstance(likelihood, FixedNoiseGaussianLikelihood)
    variance = likelihood.second_noise if known else likelihood.noise
    return float(variance.detach().sqrt().mean())
