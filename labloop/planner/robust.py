"""Which measurements are outliers, by relevance pursuit (Ament et al., NeurIPS 2024, arXiv:2410.24222).

    y_i = m + f(x_i) + e_i,   e_i ~ N(0, s^2 + v_i + rho_i),   rho_i > 0 for a few, the outliers, 0 for all others

Let r_i be how far y_i lies from what the others foretell, and w_i the variance of that without rho_i. The likelihood is
highest at rho_i = max(r_i^2 - w_i, 0), and then higher by (t - 1 - log t)/2, t = r_i^2/w_i. So the few that gain most
are made outliers, everything is learnt anew, and so on: outliers that hide each other by what they add to the learnt
noise come to light one after the other. Of this path the model of highest evidence is taken,

    log p(y, parameters | outliers) - (number of outliers) * price,   price = log((1 - e)/e) + log(n)/2

e: one measurement in twenty is expected to be an outlier; log(n)/2: what a variance that is fitted must gain (Schwarz).
An outlier is not left out. What is said of it is that it scatters by rho_i more than the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np

from .encoding import Array
from .gp import GP

EXPECTED = 0.05  # share of outliers before anything is seen
MOST = 0.25  # share that may be outliers: with more there is no telling which is the rule
AT_ONCE = 0.02  # share made outliers in one step, at least one: the path has a dozen steps at most where n is large
FEWEST = 4  # measurements: of three nobody can say which is wrong
STEPS = 16  # more than MOST/AT_ONCE: a path on which outliers come and go has an end too
SETTLING = 3  # rounds of variances and parameters, in turn, at the end: the second moves them by less than their noise


@dataclass(frozen=True, slots=True)
class Learnt:
    """A process, how its outcome was standardized (value = shift + scale * standardized), and with which rho, n.

    rho is in the outcome's own units, squared.
    """

    gp: GP
    shift: float
    scale: float
    rho: Array


Learn = Callable[[Array, Learnt | None], Learnt]  # with these rho, starting from what was learnt before


def pursue(n: int, learn: Learn, held: bool = False) -> Learnt:
    """What is learnt from n measurements with their outliers found.

    held: learning leaves the parameters as they are, so that outliers do not hide each other in the noise, and each
    must pay its price at once.
    """
    best = now = learn(np.zeros(n), None)
    cost = price(n)
    for _ in range(STEPS if n >= FEWEST else 0):
        rho = _with_more(now, cost if held else 0.0)
        if np.count_nonzero(rho) > MOST * n or not np.any(rho[now.rho == 0.0]):
            break
        now = learn(rho, now)
        if _evidence(now, cost) > _evidence(best, cost):
            best = now
    for _ in range(SETTLING if best.rho.any() else 0):
        best = learn(_settled(best, cost), best)
    return best


def price(n: int) -> float:
    """What each outlier of n measurements must gain."""
    return log((1 - EXPECTED) / EXPECTED) + 0.5 * log(n)


def _evidence(learnt: Learnt, price: float) -> float:
    # In the outcome's own units, so that models with other scales compare.
    return learnt.gp.value - len(learnt.rho) * log(learnt.scale) - price * np.count_nonzero(learnt.rho)


def _apart(learnt: Learnt) -> tuple[Array, Array]:
    """The best rho of each measurement, in the outcome's own units, and what it gains."""
    mean, variance = learnt.gp.leave_one_out()
    square = (learnt.gp.data.y - mean) ** 2
    alone = np.maximum(variance - learnt.rho / learnt.scale**2, learnt.gp.noise)
    t = np.maximum(square / alone, 1.0)
    return learnt.scale**2 * np.maximum(square - alone, 0.0), 0.5 * (t - 1.0 - np.log(t))


def _with_more(learnt: Learnt, least: float) -> Array:
    """The outliers' rho, and those of the next few that gain more than ``least``."""
    rho, gain = _apart(learnt)
    gain = np.where(learnt.rho > 0.0, -np.inf, gain)
    new = np.argsort(-gain, kind="stable")[: max(1, int(AT_ONCE * len(rho)))]
    keep = learnt.rho > 0.0
    keep[new] = gain[new] > least
    return np.where(keep, rho, 0.0)


def _settled(learnt: Learnt, price: float) -> Array:
    """The outliers' rho, but of those that do not pay their price any more."""
    rho, gain = _apart(learnt)
    return np.where((learnt.rho > 0.0) & (gain >= price), rho, 0.0)
