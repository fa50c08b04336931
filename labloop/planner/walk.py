"""Points inside linear constraints by hit-and-run (Smith, Oper. Res. 32, 1296 (1984)).

From a point inside draw a direction, and go to a point of the chord. Constraints are linear in values: a log column
that one of them names is walked in its value (``Encoding.flat``), and drawn along the chord so that its logarithm is
uniform, as it is where nothing is constrained.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import linprog

from .encoding import Array, Encoding
from .errors import NothingLeftError
from .presence import Mask

# Steps of the walk between two points kept, for each dimension: enough to forget the last point in a simplex of 8.
WALK_STEPS = 10
# Places along a chord where its density is looked at, closer towards both ends: the lowest of four decades counts too.
PLACES = np.concatenate([[0.0], np.geomspace(1e-6, 0.5, 32), 1.0 - np.geomspace(1e-6, 0.5, 32)[-2::-1], [1.0]])


def walk(
    encoding: Encoding,
    count: int,
    generator: np.random.Generator,
    low: Array | None = None,
    high: Array | None = None,
    out: Mask | None = None,
) -> Array:
    """``count`` points inside the constraints, near uniform in the unit cube; ``low``, ``high``: in its coordinates.

    out: columns without a value. Raises NothingLeftError when there is none.
    """
    flat = encoding.flat
    if flat is encoding:
        return hit_and_run(encoding, count, generator, low, high, out)
    d = encoding.dimension
    ends = np.array([np.zeros(d) if low is None else low, np.ones(d) if high is None else high])
    bent = encoding.bent
    for at in bent:
        ends[:, at] = flat.columns[at].to_unit(encoding.columns[at].to_value(ends[:, at]))
    offsets = np.array([flat.columns[at].low / (flat.columns[at].high - flat.columns[at].low) for at in bent])
    points = hit_and_run(flat, count, generator, ends[0], ends[1], out, (bent, offsets))
    for at in bent:
        points[:, at] = np.clip(encoding.columns[at].to_unit(flat.columns[at].to_value(points[:, at])), 0.0, 1.0)
    return points


def hit_and_run(
    encoding: Encoding,
    count: int,
    generator: np.random.Generator,
    low: Array | None = None,
    high: Array | None = None,
    out: Mask | None = None,
    bent: tuple[list[int], Array] | None = None,
) -> Array:
    """``count`` points of {A u <= b, E u = f, low <= u <= high}, near uniform; by default the unit cube's.

    out: columns without a value. bent: columns whose density is 1/(u + offset), and these offsets. Raises
    NothingLeftError when it is empty.
    """
    a, b = encoding.halfspaces(out)
    e, f = encoding.equalities(out)
    d = encoding.dimension
    low, high = np.zeros(d) if low is None else low, np.ones(d) if high is None else high
    fixed = np.eye(d)[high <= low]
    e, f = np.concatenate([e, fixed]), np.concatenate([f, fixed @ low])
    free = np.eye(d)[high > low]
    a = np.vstack([a, free, -free])
    b = np.concatenate([b, free @ high, -(free @ low)])
    basis = null_space(e) if len(e) else np.eye(d)
    # The centre of the largest ball inside (in the flat that the equalities leave) is where all walks start.
    reach = np.linalg.norm(a @ basis, axis=1)
    centre = linprog(
        np.append(np.zeros(d), -1.0),
        A_ub=np.column_stack([a, reach]),
        b_ub=b,
        A_eq=np.column_stack([e, np.zeros(len(e))]) if len(e) else None,
        b_eq=f if len(e) else None,
        bounds=[(None, None)] * d + [(0, 1)],  # where one point is left, every ball is inside
    )
    if not centre.success:
        raise NothingLeftError("no settings keep all the linear constraints together: loosen one of them")
    chains = min(count, 64)
    points = np.tile(centre.x[:d], (chains, 1))
    if basis.shape[1] == 0:
        return np.tile(centre.x[:d], (count, 1))
    kept: list[Array] = []
    while len(kept) * chains < count:
        for _ in range(WALK_STEPS * d):
            directions = generator.standard_normal((chains, basis.shape[1])) @ basis.T
            slope, room = directions @ a.T, b - points @ a.T
            room = np.maximum(room, 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                steps = room / slope
            longest = np.where(slope > 1e-12, steps, np.inf).min(axis=1)
            shortest = np.where(slope < -1e-12, steps, -np.inf).max(axis=1)
            share = generator.random(chains)
            if bent is not None:
                start, whole = points + shortest[:, None] * directions, (longest - shortest)[:, None] * directions
                share = _along(start[:, bent[0]] + bent[1], whole[:, bent[0]], share)
            points = points + (shortest + share * (longest - shortest))[:, None] * directions
        kept.append(points)
    return np.clip(np.concatenate(kept)[:count], 0.0, 1.0)


def _along(start: Array, whole: Array, share: Array) -> Array:
    """How far along each chord, 0 to 1, the ``share`` of its density lies: 1/x of each of its coordinates x.

    start, whole: chains x columns; a chord is from start to start + whole.
    """
    at: NDArray[np.float64] = start[:, None, :] + PLACES[None, :, None] * whole[:, None, :]
    density = np.exp(-np.log(np.maximum(at, 1e-300)).sum(2))
    below = np.cumsum(0.5 * (density[:, 1:] + density[:, :-1]) * np.diff(PLACES), axis=1)
    below = np.column_stack([np.zeros(len(below)), below]) / below[:, -1:]
    return np.array([np.interp(one, row, PLACES) for one, row in zip(share, below, strict=True)])
