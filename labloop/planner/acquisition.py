"""What a point is worth: log expected improvement in closed form, in the shape that the goals ask for.

    one number to improve     EI over the best of what was measured *as the model believes it*, noise averaged out
    a target                  EI of the distance from it, exact; in a weighted sum its mean and variance count. Once the
                              best is believed to be within the tolerance: the chance to be within it,
                              times the sd, so that what is not known yet is learnt where it is likely to be good
    desirabilities            EI of the overall one, over quasi-random draws (desire.py)
    a Pareto front            EHVI over a reference point, given or inferred (hypervolume.py)
    limits                    times the chance that each is kept; the best is the best of what keeps them
    failed trials             times the chance that the point works (feasibility.py)
    what a person expects     times that belief, which fades (prior.py)

A surrogate has several members; each gives its own EI, against its own best, and the weighted mean of these counts:
a point is worth trying when it might be good under any model that is believed.

Points in flight are conditioned on with their outcome unknown: the variance narrows as if they were measured, and EI is
averaged over FANTASIES draws of what they may turn out to be (Snoek et al., 2012), drawn jointly with a fixed
low-discrepancy sequence, and WIDTH as wide as is believed. Everything has exact derivatives by the point.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from .desire import Desired, desired_over
from .encoding import Array, Encoding
from .errors import SurrogateError
from .feasibility import Factor, factors
from .goals import Goal, Standing, best_rows, desired, is_pareto, non_dominated, reference_point, standing
from .gp import GP
from .hypervolume import Boxes
from .improvement import Slopes, log_below_slopes, log_ei_slopes, log_sum, log_target_slopes, log_within_slopes
from .known import Known
from .surrogate import Surrogate

WITHIN = "LogP(within)sd"  # what a score is called where a target is met
FANTASIES = 16
# Trials in flight beside which all is done with all effort. Without an end to it 400 asked for at once cost more than
# twice as much; of so many none has to stand where the score is highest to the last digit.
CROWD = 64
# The best of several fantasies is too good a rival: whole ones cost 0.005 +- 0.002 of AUC at q = 4 (800 pairs on eight
# tables, docs/benchmarks.md; test_acquisition.py).
WIDTH = 0.5
CROWDED = 4  # fantasies of a front beside more: each has a front of its own, of as many points
MOST_FLYING = 1000  # of the latest; earlier ones are still kept apart from. A proposal's cost grows with their cube
MOST_EVEN = 128  # numbers a draw: of more the sequence is no more even than chance, and a quarter of a proposal's time
ROW_CHUNK = 4096  # rows scored at once: a chunk by a few hundred observations fits a processor's cache
# Nodes of the quadrature for a target in a weighted sum: test_acquisition.py holds it against sampling.
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


class Score(Protocol):
    """What a search asks of an acquisition."""

    @property
    def name(self) -> str:
        """As it is journaled."""

    def of_rows(self, rows: Array) -> Array:
        """Log values of N points, N x d."""

    def slopes(self, points: Array) -> tuple[Array, Array]:
        """Log values and their gradients by the points, N x d."""


class Merit(Protocol):
    """From outcomes to worth. ``means``: S x N x m, ``sds``: N x m, in the outcomes' own units."""

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by both, S x N x m."""


@dataclass(frozen=True, slots=True)
class Team:
    """One member of each outcome's belief. draws: S x p x m, standard normal, of what is in flight."""

    members: tuple[GP, ...]
    shifts: Array
    scales: Array
    draws: Array
    merit: Merit

    def values(self, points: Array) -> Array:
        """Log worth, S x N."""
        means, sds = _outcomes(self.shifts, self.scales, self.draws, [m.posterior(points) for m in self.members])
        if isinstance(self.merit, Desired):
            return self.merit.values(means, sds)
        return self.merit.slopes(means, sds)[0]

    def slopes(self, points: Array) -> tuple[Array, Array]:
        """Log of the mean worth over fantasies, N, and its gradients, N x d."""
        watched = [member.watched(points) for member in self.members]
        means, sds = _outcomes(self.shifts, self.scales, self.draws, [posterior for posterior, _ in watched])
        values, by_means, by_sds = self.merit.slopes(means, sds)
        if len(values) > 1:
            shares = np.exp(values - log_sum(values))[:, :, None]
            by_means, by_sds = shares * by_means, shares * by_sds
        gradient = np.zeros(points.shape)
        for j, (scale, (_, pull)) in enumerate(zip(self.scales, watched, strict=True)):
            by_mean = by_means[:, :, j] * scale
            by_variance = by_sds[:, :, j].sum(0) * scale / (2.0 * sds[:, j] / scale)
            gradient += pull(by_mean.sum(0), by_variance, by_mean.T @ self.draws[:, :, j])
        return _pooled(values), gradient


@dataclass(frozen=True, slots=True)
class Acquisition:
    """The mean of the teams' worths, times every factor, as a logarithm."""

    name: str
    teams: tuple[Team, ...]
    log_weights: Array
    factors: tuple[Factor, ...] = ()

    def of_rows(self, rows: Array) -> Array:
        """Log values of N points, N x d, in chunks."""
        parts = [self._score(rows[start : start + ROW_CHUNK]) for start in range(0, len(rows), ROW_CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _score(self, points: Array) -> Array:
        each = [_pooled(team.values(points)) + w for team, w in zip(self.teams, self.log_weights, strict=True)]
        value = log_sum(each)
        for factor in self.factors:
            value = value + factor.log(points)
        return value

    def slopes(self, points: Array) -> tuple[Array, Array]:
        """Log values and their gradients by the points, N x d (zero in columns of choices)."""
        each = [team.slopes(points) for team in self.teams]
        value, gradient = each[0]
        if len(each) > 1:
            values = [one + weight for (one, _), weight in zip(each, self.log_weights, strict=True)]
            value = log_sum(values)
            gradient = np.zeros(points.shape)
            for one, (_, slope) in zip(values, each, strict=True):
                gradient += np.exp(one - value)[:, None] * slope
        for factor in self.factors:
            log_factor, slope = factor.log_slopes(points)
            value, gradient = value + log_factor, gradient + slope
        return value, gradient


def _pooled(values: Array) -> Array:
    """The log of the mean over fantasies."""
    return np.asarray(values[0] if len(values) == 1 else log_sum(values) - np.log(len(values)))


def build(surrogate: Surrogate, goals: Sequence[Goal], known: Known, encoding: Encoding, seed: int) -> Acquisition:
    """The acquisition that the goals ask for. Raises SurrogateError when no outcome has a goal."""
    goals = tuple(goals)
    if not any(goal.is_wish for goal in goals):
        raise SurrogateError("no outcome has a goal, so no point is better than another")
    pending = known.pending[-MOST_FLYING:]
    flying = surrogate.with_flying(pending)
    seen = np.concatenate([known.rivals, pending])
    shifts = np.array([belief.shift for belief in flying.beliefs])
    scales = np.array(flying.scales)
    fantasies = CROWDED if len(pending) > CROWD and is_pareto(goals) else FANTASIES
    draws = _draws(len(pending), len(goals), seed, fantasies)
    teams = []
    log_weights = np.sum([np.log(belief.weights) for belief in flying.beliefs], axis=0)
    for believed in zip(*(belief.members for belief in flying.beliefs), strict=True):
        members = _against_the_best(believed, goals, flying, seen)
        means = _means(shifts, scales, draws, [member.means(seen) for member in members])
        standings = [standing(goals, flying.outcomes, flying.scales, values) for values in means]
        merit = _merit(goals, surrogate.outcomes, standings, seed)
        teams.append(Team(members, shifts, scales, draws, merit))
    times = factors(known, encoding)
    met = all(is_met(team.merit) for team in teams)
    name = " x ".join(["LogEHVI" if is_pareto(goals) else WITHIN if met else "LogEI", *(one.words for one in times)])
    return Acquisition(name, tuple(teams), log_weights - log_sum(log_weights), times)


def _against_the_best(
    members: tuple[GP, ...], goals: Sequence[Goal], surrogate: Surrogate, seen: Array
) -> tuple[GP, ...]:
    """A taste is told against the point that is believed best: what may be gained over it is what differs from it.

    How good the best itself is, is never known of a taste, and is no reason to try another point.
    """
    anchored = [at for at, member in enumerate(members) if member.anchor is not None]
    if not anchored:
        return members
    believed = standing(goals, surrogate.outcomes, surrogate.scales, surrogate.middles(seen))
    best = seen[best_rows(believed, 1)]
    return tuple(one.against(best, np.ones(1)) if at in anchored else one for at, one in enumerate(members))


def _draws(pending: int, outcomes: int, seed: int, fantasies: int) -> Array:
    """fantasies x pending x outcomes normal numbers, few of them spread evenly; of no width with nothing in flight."""
    if not pending:
        return np.zeros((1, 0, outcomes))
    if pending * outcomes > MOST_EVEN:
        return WIDTH * np.random.default_rng(seed).standard_normal((fantasies, pending, outcomes))
    uniform = qmc.Sobol(pending * outcomes, scramble=True, rng=seed).random(fantasies)
    return WIDTH * np.asarray(ndtri(np.clip(uniform, 1e-9, 1 - 1e-9)).reshape(fantasies, pending, outcomes))


def _outcomes(
    shifts: Array, scales: Array, draws: Array, posteriors: Sequence[tuple[Array, Array, Array]]
) -> tuple[Array, Array]:
    """Means S x N x m and sds N x m in the outcomes' own units."""
    sds = np.empty((len(posteriors[0][0]), len(posteriors)))
    for j, (_, variance, _) in enumerate(posteriors):
        sds[:, j] = scales[j] * np.sqrt(variance)
    return _means(shifts, scales, draws, [(mean, lifts) for mean, _, lifts in posteriors]), sds


def _means(shifts: Array, scales: Array, draws: Array, foretold: Sequence[tuple[Array, Array]]) -> Array:
    """S x N x m in the outcomes' own units, from each outcome's mean, N, and lifts, N x p."""
    means = np.empty((len(draws), len(foretold[0][0]), len(foretold)))
    for j, (mean, lifts) in enumerate(foretold):
        means[:, :, j] = shifts[j] + scales[j] * (mean + draws[:, :, j] @ lifts.T if lifts.shape[1] else mean)
    return means


# --- merits -----------------------------------------------------------------------------------------------------------


def _merit(goals: tuple[Goal, ...], outcomes: Sequence[str], standings: Sequence[Standing], seed: int) -> Merit:
    base: Merit
    wishes = desired(goals, outcomes)
    if wishes is not None:
        best = np.array([_best(one) for one in standings])
        base = desired_over(wishes, best, seed)
    elif is_pareto(goals):
        base = Hypervolume(goals, tuple(outcomes), tuple(_boxes(one) for one in standings))
    else:
        base = Improvement(goals, tuple(outcomes), np.array([_best(one) for one in standings]))
    limited = any(goal.upper is not None or goal.lower is not None for goal in goals)
    return Limited(base, goals, tuple(outcomes)) if limited else base


def _best(standing: Standing) -> float:
    """The best utility among what keeps the limits; where nothing does, so low that keeping them is what counts."""
    if np.any(standing.excess <= 0.0):
        return float(standing.total[standing.excess <= 0.0].max())
    spread = float(np.ptp(standing.total))
    return float(standing.total.min()) - max(spread, 1e-6 * abs(float(standing.total.min())), 1e-12)


def _boxes(standing: Standing) -> Boxes:
    kept = standing.utilities[standing.excess <= 0.0]
    front = kept[non_dominated(kept)] if len(kept) else kept
    return Boxes.of(front, reference_point(standing))


def is_met(merit: Merit) -> bool:
    """Whether nothing can be better than what there is: how likely a point is as good counts, and how unknown it is."""
    base = merit.base if isinstance(merit, Limited) else merit
    return isinstance(base, Improvement) and base.met


@dataclass(frozen=True, slots=True)
class Improvement:
    """One number to improve over ``best``, S."""

    goals: tuple[Goal, ...]
    outcomes: tuple[str, ...]
    best: Array

    @property
    def met(self) -> bool:
        """Whether the best is within the tolerance of the one target, whatever is in flight: nothing can be better."""
        wishes = [goal for goal in self.goals if goal.is_wish]
        return len(wishes) == 1 and wishes[0].tolerance > 0.0 and bool(np.all(self.best >= 0.0))

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by means and sds, S x N x m."""
        by_means, by_sds = np.zeros(means.shape), np.zeros(means.shape)
        wishes = [(goal, self.outcomes.index(goal.outcome)) for goal in self.goals if goal.is_wish]
        if len(wishes) == 1 and wishes[0][0].target is not None:
            goal, j = wishes[0]
            assert goal.target is not None
            mean, sd = means[:, :, j], np.broadcast_to(sds[:, j], means.shape[:2])
            best = self.best[:, None] / goal.factor
            if self.met:
                value, by_mean, by_sd = log_within_slopes(mean, sd, goal.target, goal.tolerance)
                value, by_sd = value + np.log(sd), by_sd + 1.0 / sd
            else:
                value, by_mean, by_sd = log_target_slopes(mean, sd, best, goal.target, goal.tolerance)
            by_means[:, :, j], by_sds[:, :, j] = by_mean, by_sd
            return value, by_means, by_sds
        if len(wishes) == 1:  # without squares: outcomes may be of any size
            goal, j = wishes[0]
            sign, size = goal.factor * goal.sense, abs(goal.factor)
            sd = np.broadcast_to(size * sds[:, j], means.shape[:2])
            value, by_mean, by_sd = log_ei_slopes(sign * means[:, :, j], sd, self.best[:, None])
            by_means[:, :, j], by_sds[:, :, j] = sign * by_mean, size * by_sd
            return value, by_means, by_sds
        parts = [_utility_moments(goal, means[:, :, j], sds[:, j]) for goal, j in wishes]
        total = np.asarray(sum(goal.factor * part.mean for (goal, _), part in zip(wishes, parts, strict=True)))
        variance = sum(goal.factor**2 * part.variance for (goal, _), part in zip(wishes, parts, strict=True))
        sd = np.broadcast_to(np.sqrt(variance), total.shape)
        value, by_total, by_sd = log_ei_slopes(total, sd, self.best[:, None])
        by_variance = by_sd / (2.0 * sd)
        for (goal, j), part in zip(wishes, parts, strict=True):
            f = goal.factor
            by_means[:, :, j] = by_total * f * part.mean_by_mean + by_variance * f * f * part.variance_by_mean
            by_sds[:, :, j] = by_total * f * part.mean_by_sd + by_variance * f * f * part.variance_by_sd
        return value, by_means, by_sds


@dataclass(frozen=True, slots=True)
class Hypervolume:
    """A front to push out; ``boxes``: what each fantasy's front leaves."""

    goals: tuple[Goal, ...]
    outcomes: tuple[str, ...]
    boxes: tuple[Boxes, ...]

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by means and sds, S x N x m."""
        wishes = [(goal, self.outcomes.index(goal.outcome)) for goal in self.goals if goal.is_wish]
        parts = [_utility_moments(goal, means[:, :, j], sds[:, j]) for goal, j in wishes]
        value = np.empty(means.shape[:2])
        by_means, by_sds = np.zeros(means.shape), np.zeros(means.shape)
        for s, box in enumerate(self.boxes):
            mean = np.column_stack([part.mean[s] for part in parts])
            sd = np.sqrt(np.column_stack([np.broadcast_to(part.variance, part.mean.shape)[s] for part in parts]))
            value[s], by_mean, by_sd = box.log_improvement(mean, sd)
            for column, ((_, j), part) in enumerate(zip(wishes, parts, strict=True)):
                a, b = by_mean[:, column], by_sd[:, column] / (2.0 * sd[:, column])
                by_means[s, :, j] = a * part.at(part.mean_by_mean, s) + b * part.at(part.variance_by_mean, s)
                by_sds[s, :, j] = a * part.at(part.mean_by_sd, s) + b * part.at(part.variance_by_sd, s)
        return value, by_means, by_sds


@dataclass(frozen=True, slots=True)
class Limited:
    """Another merit, times the chance that the limits are kept."""

    base: Merit
    goals: tuple[Goal, ...]
    outcomes: tuple[str, ...]

    def slopes(self, means: Array, sds: Array) -> Slopes:
        """Log worth, S x N, and its derivatives by means and sds, S x N x m."""
        value, by_means, by_sds = self.base.slopes(means, sds)
        for goal in self.goals:
            for sign, bound in ((1.0, goal.upper), (-1.0, goal.lower)):
                if bound is not None:
                    j = self.outcomes.index(goal.outcome)
                    sd = np.broadcast_to(sds[:, j], means.shape[:2])
                    kept, by_mean, by_sd = log_below_slopes(means[:, :, j], sd, bound, sign)
                    value = value + kept
                    by_means[:, :, j] += by_mean
                    by_sds[:, :, j] += by_sd
        return value, by_means, by_sds


@dataclass(frozen=True, slots=True)
class _Moments:
    """Mean and variance of a utility, and their derivatives by the outcome's mean and sd: S x N, or what broadcasts."""

    mean: Array
    variance: Array
    mean_by_mean: Array | float
    mean_by_sd: Array | float
    variance_by_mean: Array | float
    variance_by_sd: Array | float

    def at(self, values: Array | float, s: int) -> Array | float:
        """The part of fantasy s."""
        return np.asarray(np.broadcast_to(values, self.mean.shape)[s])


def _utility_moments(goal: Goal, mean: Array, sd: Array) -> _Moments:
    if goal.target is None:
        return _Moments(goal.sense * mean, np.broadcast_to(sd**2, mean.shape), float(goal.sense), 0.0, 0.0, 2.0 * sd)
    y = mean[..., None] + sd[..., None] * _NODES
    utility = goal.utility(y)
    slope = np.where(utility < 0.0, -np.sign(y - goal.target), 0.0)
    first = utility @ _NODE_WEIGHTS
    variance = np.maximum((utility - first[..., None]) ** 2 @ _NODE_WEIGHTS, 1e-12 * sd**2)
    by_mean, by_sd = slope @ _NODE_WEIGHTS, (slope * _NODES) @ _NODE_WEIGHTS
    both = 2.0 * (utility - first[..., None]) * slope
    return _Moments(first, variance, by_mean, by_sd, both @ _NODE_WEIGHTS, (both * _NODES) @ _NODE_WEIGHTS)
