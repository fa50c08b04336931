"""What a point is worth: log expected improvement, in the shape that the goals ask for.

    one number to improve     qLogNEI (Ament et al., NeurIPS 2023, arXiv:2310.20708): improvement over the best of what
                              was measured *as the model believes it*, noise averaged out; points in flight count as
                              measured with an outcome still unknown
    the same, over a table    of more than MANY_ROWS rows: LogEI against the best posterior mean, in closed form; points
                              in flight enter at their predicted mean
    a Pareto front            qLogNEHVI (arXiv:2006.05078, 2105.08195) over a reference point, given or inferred:
                              halfway from the front's nadir to the worst that was seen, and at least a tenth of the
                              front's range below the nadir (Ishibuchi et al., GECCO 2011)

Goals enter as utilities to be maximized: y, -y, or minus the distance from a target beyond its tolerance. Weights make
one utility of several, their weighted sum. Limits are constraints on the outcomes.

Failed trials teach where not to go: the log of a kernel estimate of the chance that a point works is added,
(a + sum over trials that worked of k) / (a + b + sum over all of k), so that the neighbourhood of failures is avoided
while its edge stays open. It is a plain estimate, not yet a model of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import botorch.acquisition.multi_objective.logei as _logei
import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective, ScalarizedPosteriorTransform
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.pareto import is_non_dominated
from torch import Tensor

from .encoding import Array, Encoding
from .errors import SurrogateError
from .surrogate import Surrogate

# BoTorch 0.18 compiles a C++ kernel at the first hypervolume acquisition wherever it finds a compiler: half a minute in
# which a campaign would wait, and other last digits than the Python path that machines without one take. Saying that
# the attempt was made already keeps the Python path everywhere; test_acquisition.py fails if a compiler is called.
_logei._load_attempted = True
_logei._C = None

# The kernel estimate of the chance to work: reach in the unit cube for each sqrt(dimension), and the weight of the
# prior belief that a point works (a of a + b).
FAILURE_REACH = 0.15
PRIOR_WORKS, PRIOR_FAILS = 0.45, 0.05
ROW_CHUNK = 2048
# Beyond this many rows the closed form is worth its small loss: 20 000 rows by qLogNEI cost about a second of CPU.
MANY_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Goal:
    """What one outcome is to do. ``sense``: +1 maximize, -1 minimize, 0 no wish (a limit only)."""

    outcome: str
    sense: int = 0
    target: float | None = None
    tolerance: float = 0.0
    weight: float | None = None
    reference: float | None = None
    upper: float | None = None
    lower: float | None = None

    @property
    def is_wish(self) -> bool:
        """Whether it wants more than to keep a limit."""
        return self.sense != 0 or self.target is not None

    def utility(self, y: Tensor) -> Tensor:
        """Outcomes as something to be maximized, elementwise."""
        if self.target is not None:
            return -((y - self.target).abs() - self.tolerance).clamp_min(0.0)
        return self.sense * y


@dataclass(frozen=True, slots=True)
class Acquisition:
    """A name and a score: points b x 1 x d -> b log values; ``log_chance`` is already in it."""

    name: str
    score: Callable[[Tensor], Tensor]

    def of_rows(self, rows: Array) -> Array:
        """Scores of N points, N x d, in chunks that fit a processor's cache."""
        scores = np.empty(len(rows))
        with torch.no_grad():
            for start in range(0, len(rows), ROW_CHUNK):
                chunk = torch.as_tensor(rows[start : start + ROW_CHUNK], dtype=torch.float64)
                scores[start : start + ROW_CHUNK] = self.score(chunk.unsqueeze(-2)).numpy()
        return scores


@dataclass(frozen=True, slots=True)
class Known:
    """What has happened. observed: n x d; pending: p x d; worked, failed: where trials ended one way or the other."""

    observed: Array
    pending: Array
    worked: Array
    failed: Array


def build(
    surrogate: Surrogate,
    goals: Sequence[Goal],
    known: Known,
    encoding: Encoding,
    seed: int,
    samples: int = 128,
    rows: int = 0,
    force: str = "",
) -> Acquisition:
    """The acquisition that the goals ask for. ``rows``: how many it will score.

    Raises SurrogateError when no goal can be worth anything (none is a wish).
    """
    wishes = [goal for goal in goals if goal.is_wish]
    if not wishes:
        raise SurrogateError("no outcome has a goal, so no point is better than another")
    chance = log_chance(known, encoding)
    if is_pareto(goals):
        name, base = "qLogNEHVI", _hypervolume(surrogate, goals, wishes, known, seed, samples)
    elif force != "qLogNEI" and (rows > MANY_ROWS or force == "LogEI") and _is_closed_form(goals, known):
        name, base = "LogEI", _closed_form(surrogate, wishes, known)
    else:
        name, base = "qLogNEI", _noisy(surrogate, goals, wishes, known, seed, samples)
    if chance is None:
        return Acquisition(name, base)
    return Acquisition(f"{name} x chance to work", lambda x: base(x) + chance(x.squeeze(-2)))


def is_pareto(goals: Sequence[Goal]) -> bool:
    """Whether several wishes stand side by side, none weighed against another."""
    wishes = [goal for goal in goals if goal.is_wish]
    return len(wishes) > 1 and all(goal.weight is None for goal in wishes)


def log_chance(known: Known, encoding: Encoding) -> Callable[[Tensor], Tensor] | None:
    """Log of the estimated chance that points (b x d) work; None while nothing has failed."""
    if not len(known.failed):
        return None
    failed = torch.as_tensor(known.failed, dtype=torch.float64)
    every = torch.as_tensor(np.concatenate([known.failed, known.worked]), dtype=torch.float64)
    labels = encoding.labels
    numbers = [index for index in range(encoding.dimension) if index not in labels]
    reach = FAILURE_REACH * encoding.dimension**0.5

    def near(x: Tensor, centres: Tensor) -> Tensor:
        squares = ((x[:, None, numbers] - centres[None, :, numbers]) / reach).square().sum(-1)
        unlike = (x[:, None, labels] != centres[None, :, labels]).to(x).sum(-1)
        return torch.exp(-0.5 * squares - unlike / reach)

    def score(x: Tensor) -> Tensor:
        fails = near(x, failed).sum(-1)
        return torch.log(1.0 - (PRIOR_FAILS + fails) / (PRIOR_WORKS + PRIOR_FAILS + near(x, every).sum(-1)))

    return score


def _is_closed_form(goals: Sequence[Goal], known: Known) -> bool:
    """One utility, linear in the outcomes, and no limits: improvement of a Gaussian.

    Points in flight can be conditioned on in one model, not in a list of them."""
    plain = all(goal.target is None and goal.upper is None and goal.lower is None for goal in goals)
    return plain and (len(goals) == 1 or not len(known.pending))


def _closed_form(surrogate: Surrogate, wishes: Sequence[Goal], known: Known) -> Callable[[Tensor], Tensor]:
    factors = _weights(wishes)
    weights = torch.zeros(len(surrogate.outcomes), dtype=torch.float64)
    for goal, factor in zip(wishes, factors, strict=True):
        weights[surrogate.outcomes.index(goal.outcome)] = factor * goal.sense
    transform = ScalarizedPosteriorTransform(weights)
    model, observed = surrogate.model, torch.as_tensor(known.observed, dtype=torch.float64)
    with torch.no_grad():
        if len(known.pending):
            pending = torch.as_tensor(known.pending, dtype=torch.float64)
            believed = model.posterior(pending).mean
            model = model.condition_on_observations(pending, believed)
        best = model.posterior(observed, posterior_transform=transform).mean.max()
    base: Callable[[Tensor], Tensor] = LogExpectedImprovement(model, best_f=best, posterior_transform=transform)
    return base


def _noisy(
    surrogate: Surrogate, goals: Sequence[Goal], wishes: Sequence[Goal], known: Known, seed: int, samples: int
) -> Callable[[Tensor], Tensor]:
    factors = _weights(wishes)
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]

    def utility(y: Tensor, X: Tensor | None = None) -> Tensor:
        parts = [f * g.utility(y[..., c]) for f, g, c in zip(factors, wishes, columns, strict=True)]
        return torch.stack(parts).sum(0)

    acquisition: Callable[[Tensor], Tensor] = qLogNoisyExpectedImprovement(
        surrogate.model,
        X_baseline=torch.as_tensor(known.observed, dtype=torch.float64),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCObjective(utility),
        constraints=_limits(surrogate, goals),
        X_pending=torch.as_tensor(known.pending, dtype=torch.float64) if len(known.pending) else None,
        prune_baseline=True,
    )
    return acquisition


def _hypervolume(
    surrogate: Surrogate, goals: Sequence[Goal], wishes: Sequence[Goal], known: Known, seed: int, samples: int
) -> Callable[[Tensor], Tensor]:
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]

    def utility(y: Tensor, X: Tensor | None = None) -> Tensor:
        return torch.stack([goal.utility(y[..., c]) for goal, c in zip(wishes, columns, strict=True)], dim=-1)

    acquisition: Callable[[Tensor], Tensor] = qLogNoisyExpectedHypervolumeImprovement(
        surrogate.model,
        ref_point=reference_point(surrogate, goals, known).tolist(),
        X_baseline=torch.as_tensor(known.observed, dtype=torch.float64),
        sampler=SobolQMCNormalSampler(torch.Size([samples]), seed=seed),
        objective=GenericMCMultiOutputObjective(utility),
        constraints=_limits(surrogate, goals),
        X_pending=torch.as_tensor(known.pending, dtype=torch.float64) if len(known.pending) else None,
        prune_baseline=True,
    )
    return acquisition


def reference_point(surrogate: Surrogate, goals: Sequence[Goal], known: Known) -> Array:
    """The point that a front must dominate, as utilities: what the goals say, else inferred from posterior means."""
    wishes = [goal for goal in goals if goal.is_wish]
    mean = torch.as_tensor(surrogate.predict(known.observed)[0])
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]
    values = torch.stack([goal.utility(mean[:, c]) for goal, c in zip(wishes, columns, strict=True)], dim=-1)
    limits = _limits(surrogate, goals)
    feasible = torch.stack([limit(mean) <= 0 for limit in limits]).all(0) if limits else torch.ones(len(mean)).bool()
    kept = values[feasible] if feasible.any() else values
    front = kept[is_non_dominated(kept)]
    nadir, span = front.min(0).values, front.max(0).values - front.min(0).values
    # The nadir of a young front cuts off the ends that are not found yet (in a two-dimensional test a share of 0.84 of
    # the hypervolume after 15 trials, against 0.97 so), hence halfway to the worst that was seen.
    worst = kept.min(0).values
    inferred = torch.minimum(nadir - 0.1 * span, 0.5 * (nadir + worst))
    point = (inferred - 1e-6 * (1e-6 + (kept.max(0).values - worst))).numpy().copy()
    for index, goal in enumerate(wishes):
        if goal.reference is not None:
            point[index] = float(goal.utility(torch.tensor(goal.reference, dtype=torch.float64)))
    return np.asarray(point)


def best_points(surrogate: Surrogate, goals: Sequence[Goal], known: Known, count: int = 3) -> Array:
    """The observed points believed best: the front of several wishes, else by the weighted utility; count x d."""
    wishes = [goal for goal in goals if goal.is_wish]
    mean = torch.as_tensor(surrogate.predict(known.observed)[0])
    columns = [surrogate.outcomes.index(goal.outcome) for goal in wishes]
    values = torch.stack([goal.utility(mean[:, c]) for goal, c in zip(wishes, columns, strict=True)], dim=-1)
    excess = torch.zeros(len(mean), dtype=torch.float64)
    for limit in _limits(surrogate, goals) or ():
        excess += limit(mean).clamp_min(0.0)
    if is_pareto(goals):
        spread = values.std(0).nan_to_num(1.0).clamp_min(1e-12) if len(values) > 1 else torch.ones(len(wishes))
        score = (values / spread).sum(-1) + 1e3 * is_non_dominated(values).to(values)
    else:
        score = (values * torch.tensor(_weights(wishes), dtype=torch.float64)).sum(-1)
        score = (score - score.mean()) / (score.std().nan_to_num(1.0).clamp_min(1e-12) if len(score) > 1 else 1.0)
    score = score - 1e6 * excess
    chosen = torch.argsort(score, descending=True, stable=True)[:count].numpy()
    return np.asarray(known.observed[chosen])


def _weights(wishes: Sequence[Goal]) -> list[float]:
    """Factor of each utility. Weights stand as they are written, as in the campaign's own comparison of trials."""
    return [1.0 if goal.weight is None else goal.weight for goal in wishes]


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
