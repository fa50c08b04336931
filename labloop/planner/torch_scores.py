"""The same worth by BoTorch and sampling: what the closed forms are held to, and what they do not cover.

    one number to improve     qLogNEI (Ament et al., NeurIPS 2023, arXiv:2310.20708): improvement over the best of what
                              was measured *as the model believes it*, noise averaged out; points in flight count as
                              measured with an outcome still unknown
    a Pareto front            qLogNEHVI (arXiv:2006.05078, 2105.08195) over the same reference point; taken by itself
                              where there are more than three outcomes

``engine: {acquisition: qLogNEI}`` (or qLogNEHVI) forces it. The only file but torch_models.py that imports torch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import botorch.acquisition.multi_objective.logei as _logei
import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.exceptions.errors import BotorchError
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from .desire import LEAST, Wishes
from .encoding import Array, Encoding
from .errors import SurrogateError
from .feasibility import Factor, factors
from .goals import Goal, desired, is_pareto, reference_point, standing
from .known import Known
from .torch_models import Surrogate

# BoTorch 0.18 compiles a C++ kernel at the first hypervolume acquisition wherever it finds a compiler: half a minute in
# which a campaign would wait, and other last digits than the Python path that machines without one take. Saying that
# the attempt was made already keeps the Python path everywhere; test_acquisition.py fails if a compiler is called.
_logei._load_attempted = True
_logei._C = None

ROW_CHUNK = 2048


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A name and a score: points b x 1 x d -> b log values."""

    name: str
    score: Callable[[Tensor], Tensor]
    factors: tuple[Factor, ...] = ()

    def of_rows(self, rows: Array) -> Array:
        """Log values of N points, N x d, in chunks that fit a processor's cache."""
        scores = np.empty(len(rows))
        with torch.no_grad():
            for start in range(0, len(rows), ROW_CHUNK):
                chunk = torch.as_tensor(rows[start : start + ROW_CHUNK], dtype=torch.float64)
                scores[start : start + ROW_CHUNK] = self.score(chunk.unsqueeze(-2)).numpy()
        for factor in self.factors:
            scores += factor.log(rows)
        return scores

    def slopes(self, points: Array) -> tuple[Array, Array]:
        """Log values and their gradients by the points, N x d."""
        x = torch.tensor(points, dtype=torch.float64, requires_grad=True)
        values = self.score(x.unsqueeze(-2))
        (gradient,) = torch.autograd.grad(values.sum(), x)
        value, slope = values.detach().numpy(), gradient.numpy()
        for factor in self.factors:
            log_factor, factor_slope = factor.log_slopes(points)
            value, slope = value + log_factor, slope + factor_slope
        return value, slope


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """One thread and a random stream of our own, given back afterwards. Raises SurrogateError for BoTorch's errors."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    except BotorchError as error:
        raise SurrogateError(str(error) or type(error).__name__) from error
    finally:
        torch.set_num_threads(threads)


def build(
    surrogate: Surrogate, goals: Sequence[Goal], known: Known, encoding: Encoding, seed: int, samples: int = 128
) -> Acquisition:
    """The acquisition that the goals ask for. Raises SurrogateError when no outcome has a goal."""
    wishes = [goal for goal in goals if goal.is_wish]
    if not wishes:
        raise SurrogateError("no outcome has a goal, so no point is better than another")
    pareto = is_pareto(goals)
    base = (_hypervolume if pareto else _noisy)(surrogate, goals, wishes, known, seed, samples)
    times = factors(known, encoding)
    return Acquisition(" x ".join(["qLogNEHVI" if pareto else "qLogNEI", *(one.words for one in times)]), base, times)


def _noisy(
    surrogate: Surrogate, goals: Sequence[Goal], wishes: Sequence[Goal], known: Known, seed: int, samples: int
) -> Callable[[Tensor], Tensor]:
    factors = [goal.factor for goal in wishes]
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]

    def utility(y: Tensor, X: Tensor | None = None) -> Tensor:
        wished = desired(goals, surrogate.outcomes)
        if wished is not None:
            return _desirability(wished, y)
        parts = [f * g.utility(y[..., c]) for f, g, c in zip(factors, wishes, columns, strict=True)]
        return torch.stack(parts).sum(0)

    acquisition: Callable[[Tensor], Tensor] = qLogNoisyExpectedImprovement(
        surrogate.model,
        X_baseline=torch.as_tensor(known.rivals, dtype=torch.float64),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCObjective(utility),
        constraints=_limits(surrogate, goals),
        X_pending=torch.as_tensor(known.pending, dtype=torch.float64) if len(known.pending) else None,
        prune_baseline=True,
    )
    return acquisition


def _desirability(wished: Wishes, y: Tensor) -> Tensor:
    """The overall standing of outcomes, ... x m, as desire.py has it."""
    places, logs = [], []
    for shape, at in zip(wished.shapes, wished.columns, strict=True):
        sides = [((y[..., at] - one.zero) / (one.one - one.zero)).clamp(max=1.0) for one in shape.slopes]
        powers = [slope.exponent * side.clamp(min=LEAST).log() for slope, side in zip(shape.slopes, sides, strict=True)]
        places.append(torch.stack(sides).amin(0))
        logs.append(torch.stack(powers).amin(0))
    place, shares = torch.stack(places, dim=-1), torch.as_tensor(wished.shares, dtype=y.dtype)
    useful = (torch.stack(logs, dim=-1) @ shares).exp()
    return torch.where(place.amin(-1) > 0.0, useful, place.clamp(max=0.0) @ shares)


def _hypervolume(
    surrogate: Surrogate, goals: Sequence[Goal], wishes: Sequence[Goal], known: Known, seed: int, samples: int
) -> Callable[[Tensor], Tensor]:
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]

    def utility(y: Tensor, X: Tensor | None = None) -> Tensor:
        return torch.stack([goal.utility(y[..., c]) for goal, c in zip(wishes, columns, strict=True)], dim=-1)

    acquisition: Callable[[Tensor], Tensor] = qLogNoisyExpectedHypervolumeImprovement(
        surrogate.model,
        ref_point=reference_point(
            standing(goals, surrogate.outcomes, surrogate.scales, surrogate.middles(known.rivals))
        ).tolist(),
        X_baseline=torch.as_tensor(known.rivals, dtype=torch.float64),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCMultiOutputObjective(utility),
        constraints=_limits(surrogate, goals),
        X_pending=torch.as_tensor(known.pending, dtype=torch.float64) if len(known.pending) else None,
        prune_baseline=True,
    )
    return acquisition


def _limits(surrogate: Surrogate, goals: Sequence[Goal]) -> list[Callable[[Tensor], Tensor]] | None:
    """Outcome limits as functions that are negative where kept, in units of the outcome's own spread."""
    limits: list[Callable[[Tensor], Tensor]] = []
    for goal in goals:
        for sign, bound in ((1.0, goal.upper), (-1.0, goal.lower)):
            if bound is not None:
                limits.append(_limit(surrogate, goal.outcome, sign, bound))
    return limits or None


def _limit(surrogate: Surrogate, outcome: str, sign: float, bound: float) -> Callable[[Tensor], Tensor]:
    column = surrogate.outcomes.index(outcome)
    # BoTorch's sigmoid for limits has a fixed width, so the outcome comes standardized.
    scale = surrogate.scales[column]
    return lambda y: sign * (y[..., column] - bound) / scale
