"""Which parameters move an outcome, by the model.

    importance of parameter i = E[(f(A) - f(A with column i of B))^2] / 2 Var f         (Jansen, 1999)

the total effect on the model's mean f over the whole cube, constraints left aside, as shares of their sum.
"""

import numpy as np
from scipy.stats import qmc

from .design import spread
from .encoding import Array, Encoding
from .surrogate import Model

BASE_POINTS = 512  # of the quasi-random pair A, B: shares repeat to about 0.02 (test_importance: a known function's)


def importance(model: Model, encoding: Encoding) -> dict[str, dict[str, float]]:
    """{outcome: {parameter: share}}, the shares of each outcome adding up to 1, largest first."""
    effects = _total_effects(model, encoding)
    found = {}
    for at, outcome in enumerate(model.outcomes):
        shares = effects[:, at] / (effects[:, at].sum() or 1.0)
        found[outcome] = {encoding.names[i]: round(float(shares[i]), 4) for i in np.argsort(-shares)}
    return found


def _total_effects(model: Model, encoding: Encoding) -> Array:
    """d x m."""
    d = encoding.dimension
    pair = qmc.Sobol(2 * d, scramble=True, rng=np.random.default_rng(0)).random(BASE_POINTS)
    a, b = (spread(encoding, block) for block in (pair[:, :d], pair[:, d:]))
    base = model.middles(a)
    effects = np.zeros((d, base.shape[1]))
    for i in range(d):
        mixed = a.copy()
        mixed[:, i] = b[:, i]
        moved = model.middles(encoding.presence.settled(mixed))
        effects[i] = 0.5 * np.mean((base - moved) ** 2, axis=0)
    return effects
