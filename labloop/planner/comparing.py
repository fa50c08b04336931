"""Which two trials are worth comparing: where a person's word tells most about what is best.

    EUBO(a, b) = E max(u_a, u_b) = m_a Phi(z) + m_b Phi(-z) + s phi(z),    z = (m_a - m_b)/s,  s = sd(u_a - u_b)

the expected utility of the best option, one step ahead the best question for whoever wants the best trial (Lin et al.,
AISTATS 2022, arXiv:2203.11382). Its gain is what it has over the best mean of all trials: next to 0 where no answer
could change which trial is taken for the best. Of what is worth it, pairs that were compared already come last. A trial
that is known to break a limit cannot be the best, and is left out while there are two others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf

import numpy as np
from scipy.special import ndtr

from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState
from labloop.campaign.tastes import Duels
from labloop.campaign.view import comparable

from . import preference
from .encoding import Array, Encoding
from .history import point_of, read
from .planner import Believer, trial_seed
from .problem import read_problem
from .surrogate import Surrogate, kernels
from .threads import one_thread

WORTH = 0.05  # gain, of utilities of which a difference of 1 is told right by 76 of 100 comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two trials. chance: that ``trial`` is better than ``other``, by the model; gain: what to know it is worth."""

    trial: int
    other: int
    chance: float
    gain: float
    compared: int

    @property
    def is_worth_it(self) -> bool:
        """Whether an answer may well change which trial is taken for the best."""
        return self.gain >= WORTH


def worth_comparing(
    spec: CampaignSpec, state: CampaignState, count: int = 1, former: Sequence[CampaignSpec] = ()
) -> list[Pair]:
    """The ``count`` pairs of trials that a person should compare first, best first; empty where there are no two.

    former: what the campaign was before it was amended. Raises SpecError where trials are not compared.
    """
    outcome = next((name for name, one in spec.outcomes.items() if one.prefers), None)
    if outcome is None:
        raise SpecError("no outcome of this campaign has goal: prefer, so there are no trials to compare")
    problem = read_problem(spec, former)
    with one_thread():
        history = read(state, problem.encoding, problem.goals)
        objective, every = Objective(spec), comparable(state)
        kept = [trial for trial in every if not 0.0 < objective.excess(trial) < inf]
        found = [
            (trial, point)
            for trial in (kept if len(kept) > 1 else every)
            if (point := point_of(trial.settings, problem.encoding)) is not None
        ]
        if len(found) < 2:
            return []
        points = np.array([point for _, point in found])
        mean, covariance = _believed(problem.encoding, points)
        if history.data[outcome].compared:
            model = Believer(problem, {outcome: history.data[outcome]}, trial_seed(state.seed, 0))()
            assert isinstance(model, Surrogate)
            (belief,) = model.beliefs
            mean, covariance = belief.members[0].joint(points)
            mean, covariance = belief.scale * mean, belief.scale**2 * covariance
    asked = [frozenset((one.trial, one.over)) for one in state.tastes.comparisons]
    pairs = list(_pairs([trial.trial for trial, _ in found], mean, covariance, asked))
    return sorted(pairs, key=_rank)[:count]


def _rank(pair: Pair) -> tuple[int, float, int, int]:
    """What is worth it and was not asked yet, then what is worth it, then the rest; each by gain."""
    group = (1 if pair.compared else 0) if pair.is_worth_it else 2
    return group, -pair.gain, pair.trial, pair.other


def _believed(encoding: Encoding, points: Array) -> tuple[Array, Array]:
    """Before anything was compared: the prior, by which those most unlike each other are worth most."""
    (kernel,) = kernels(encoding, ["matern"])
    kernel = preference.shorter(kernel)
    parameters = np.append(kernel.start, preference.LOOK_PRIOR.mode[0])
    gp = preference.condition(kernel, points, Duels.of([]), parameters)
    mean, covariance = gp.joint(points)
    return mean / np.sqrt(gp.noise), covariance / gp.noise


def _pairs(trials: list[int], mean: Array, covariance: Array, asked: list[frozenset[int]]) -> Iterable[Pair]:
    top, often = float(mean.max()), Counter(asked)
    for a, b in combinations(range(len(trials)), 2):
        s = float(np.sqrt(max(covariance[a, a] + covariance[b, b] - 2.0 * covariance[a, b], 1e-12)))
        z = float(mean[a] - mean[b]) / s
        best = float(mean[a] * ndtr(z) + mean[b] * ndtr(-z) + s * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi))
        known = often[frozenset((trials[a], trials[b]))]
        yield Pair(trial=trials[a], other=trials[b], chance=float(ndtr(z)), gain=best - top, compared=known)
