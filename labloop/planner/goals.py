"""What a campaign wants of its outcomes, as utilities: numbers of which more is better.

    maximize y        minimize -y        a target: minus the distance beyond its tolerance

Weights make one utility of several, their weighted sum; several wishes without weights stand side by side, a Pareto
front. Where wishes say how desirable values are, utilities are that, and one is made of them (desire.py). Limits are
kept apart: excess over them in units of the outcome's own spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labloop.campaign.desirability import Shape

from . import desire

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Goal:
    """What one outcome is to do. ``sense``: +1 maximize, -1 minimize, 0 no wish (a limit only).

    compared: it is a person's taste, known by comparisons alone. shape: how desirable values are (None: not said).
    """

    outcome: str
    sense: int = 0
    target: float | None = None
    tolerance: float = 0.0
    weight: float | None = None
    reference: float | None = None
    upper: float | None = None
    lower: float | None = None
    compared: bool = False
    shape: Shape | None = None

    @property
    def is_wish(self) -> bool:
        """Whether it wants more than to keep a limit."""
        return self.sense != 0 or self.target is not None

    @property
    def factor(self) -> float:
        """The weight of its utility. Weights stand as they are written, as when the campaign compares trials."""
        return 1.0 if self.weight is None else self.weight

    def utility(self, y: Any) -> Any:
        """Outcomes (an array, or a tensor) as something to be maximized, elementwise."""
        if self.shape is not None:
            return desire.standing(self.shape, y)
        if self.target is not None:
            return -(abs(y - self.target) - self.tolerance).clip(0.0)
        return self.sense * y


def is_pareto(goals: Sequence[Goal]) -> bool:
    """Whether several wishes stand side by side, none weighed against another."""
    wishes = [goal for goal in goals if goal.is_wish]
    return len(wishes) > 1 and all(goal.weight is None for goal in wishes)


def desired(goals: Sequence[Goal], outcomes: Sequence[str]) -> desire.Wishes | None:
    """What is desired together of these outcomes; None where no wish says how desirable its values are."""
    wishes = [goal for goal in goals if goal.is_wish]
    shapes = [goal.shape for goal in wishes if goal.shape is not None]
    if not shapes or len(shapes) < len(wishes):
        return None
    at = [outcomes.index(goal.outcome) for goal in wishes]
    return desire.wishes_of(shapes, at, [goal.factor for goal in wishes])


@dataclass(frozen=True, slots=True)
class Standing:
    """Outcomes as the goals see them. utilities: n x w of the wishes; excess: n, sum over limits, 0 where all kept.

    together: n, what desirabilities are together (None: none is asked for).
    """

    goals: tuple[Goal, ...]
    utilities: Array
    excess: Array
    together: Array | None = None

    @property
    def total(self) -> Array:
        """The weighted sum of the utilities, n; of desirabilities what they are together."""
        if self.together is not None:
            return self.together
        factors = np.array([goal.factor for goal in self.goals if goal.is_wish])
        return np.asarray(self.utilities @ factors)

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which keep every limit; all of them where none does."""
        kept = self.excess <= 0.0
        return kept if kept.any() else np.ones(len(kept), dtype=bool)


def standing(goals: Sequence[Goal], outcomes: Sequence[str], scales: Sequence[float], values: Array) -> Standing:
    """``values``: n x m in the outcomes' own units; ``scales``: their spreads."""
    at = {name: column for column, name in enumerate(outcomes)}
    wishes = [goal for goal in goals if goal.is_wish]
    utilities = np.column_stack([goal.utility(values[:, at[goal.outcome]]) for goal in wishes])
    excess = np.zeros(len(values))
    for goal in goals:
        for sign, bound in ((1.0, goal.upper), (-1.0, goal.lower)):
            if bound is not None:
                column = at[goal.outcome]
                excess += np.maximum(sign * (values[:, column] - bound) / scales[column], 0.0)
    overall = desired(goals, outcomes)
    return Standing(tuple(goals), utilities, excess, None if overall is None else overall.of(values))


def non_dominated(values: Array) -> NDArray[np.bool_]:
    """Which rows no other row beats in one column without losing in another; equal rows all count."""
    keep = np.asarray(np.isnan(values).any(axis=1))  # beaten by nothing, as it beats nothing
    rows = np.flatnonzero(~keep)
    rows = rows[np.lexsort(values[rows].T[::-1])[::-1]]  # whoever beats a row comes before it
    while len(rows):
        first = values[rows[0]]
        keep[rows[np.all(values[rows] == first, axis=1)]] = True
        rows = rows[np.any(values[rows] > first, axis=1)]
    return keep


def reference_point(standing: Standing) -> Array:
    """The point that a front must dominate, as utilities: what the goals say, else inferred.

    Inferred: the worst that was seen of each wish among what keeps the limits. What is as bad as that in one wish is of
    no use, however good in the others. The nadir of a young front cuts off the ends that are not found yet, and halfway
    from there to the worst the one that is bought dearly: docs/benchmarks.md has the tries. Where all that was seen
    lies on the front its ends are the worst: so a tenth of the front's range below its nadir at the least
    (Ishibuchi et al., GECCO 2011), that they may still be gone beyond.
    """
    kept = standing.utilities[standing.kept]
    front = kept[non_dominated(kept)]
    nadir, worst = front.min(0), kept.min(0)
    lowest = np.minimum(worst, nadir - 0.1 * (front.max(0) - nadir))
    point = lowest - 1e-6 * (1e-6 + (kept.max(0) - worst))
    for index, goal in enumerate(goal for goal in standing.goals if goal.is_wish):
        if goal.reference is not None:
            point[index] = float(goal.utility(np.array(goal.reference)))
    return np.asarray(point)


def best_rows(standing: Standing, count: int = 3) -> NDArray[np.intp]:
    """Rows that stand best, best first: the front of several wishes, else by the weighted utility."""
    values = standing.utilities
    if is_pareto(standing.goals):
        spread = np.maximum(values.std(0, ddof=1), 1e-12) if len(values) > 1 else np.ones(values.shape[1])
        score = (values / spread).sum(1) + 1e3 * non_dominated(values)
    else:
        total = standing.total
        score = (total - total.mean()) / (max(float(total.std(ddof=1)), 1e-12) if len(total) > 1 else 1.0)
    return np.argsort(-(score - 1e6 * standing.excess), kind="stable")[:count]
