"""Points before there is a model: Sobol, Latin hypercube or random, inside the constraints.

A design is an endless sequence fixed by the campaign's seed; trial i takes its i-th point. So a replayed journal
proposes the same points, whatever else happened, and a point that is taken already (told data, a table's row) gives way
to the next one of a sequence of its own, fixed by (seed, trial).

Constraints are kept by rejection while at least one point in fifty is kept. Below that, and for equalities, points come
from a hit-and-run walk in the polytope (Smith, Oper. Res. 32, 1296 (1984)) and are put in farthest-first order, so that
its first points cover it as Sobol's cover a cube.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.stats import qmc

from labloop.campaign.errors import SpecError

from .encoding import Array, Encoding
from .errors import NothingLeftError
from .presence import Mask
from .walk import walk

BLOCK = 256
# Rejection costs at most this many draws a point; test_design.py has a space on either side.
WORST_ACCEPTANCE = 1 / 50
POOL = 512
FEW = 64  # points where drawing one is dear
WALKS = 16  # ways to choose the components of sparse mixtures in a pool
# What a space with constraints that no linear form can say may cost before it counts as empty.
MOST_DRAWS = 200_000
RARE = 400  # draws a point: after so many a sequence of points that are rarer ends, and searches take what it gave


def design_point(encoding: Encoding, method: str, seed: int, trial: int, initial: int, taken: Array) -> Array:
    """The point of trial ``trial`` (from 1); ``taken`` (n x d) are points of a discrete space not to give again.

    ``initial``: how many trials the design has (a Latin hypercube is laid out over them).
    Raises NothingLeftError when nothing is left.
    """
    if encoding.rows is not None:
        return _nearest_row(encoding, method, seed, trial, initial, taken)
    wanted, again = trial - 1, None
    for index, point in enumerate(_sequence(encoding, method, seed, initial)):
        if index == wanted:
            if not _is_given(encoding, point, taken):
                return point
            again = None if encoding.is_fixed(point[None, :])[0] else point
            break
    if encoding.size <= 20_000:
        left = free_grid(encoding, taken)
        return np.asarray(left[np.random.default_rng([seed, trial]).integers(len(left))])
    for tried, point in enumerate(_sequence(encoding, "random", _mix(seed, trial), initial)):
        if not _is_given(encoding, point, taken):
            return point
        if tried > (10 * BLOCK if again is None else FEW):
            break
    if again is not None:  # where a number is free a point may be given again, if there seems to be no other
        return again
    raise NothingLeftError("no point that has not been proposed was found: widen the space")


def sample(encoding: Encoding, count: int, seed: int, method: str = "sobol") -> Array:
    """``count`` feasible points of the columns (a table is not looked at), n x d, for searches to start from."""
    return np.array(list(islice(_sequence(encoding, method, seed, count), count)))


def free_rows(encoding: Encoding, taken: Array) -> NDArray[np.intp]:
    """Which rows of the table may still be proposed, as row numbers. Raises NothingLeftError when none is."""
    assert encoding.rows is not None and encoding.table is not None
    free = encoding.is_inside(encoding.rows)
    for point in taken:
        free[encoding.find(point)] = False
    rows = np.flatnonzero(free)
    if encoding.allowed is not None:
        rows = rows[np.array([encoding.allowed(dict(encoding.table[int(row)])) for row in rows], dtype=bool)]
    if not len(rows):
        raise NothingLeftError(
            f"every one of the {len(encoding.rows)} candidates is measured, failed, open or outside the constraints: "
            "add rows, or allow again what was measured and did not fail: `candidates: {table: ..., repeats: true}`"
        )
    return rows


def free_grid(encoding: Encoding, taken: Array) -> Array:
    """The points of a small discrete space that may still be proposed. Raises NothingLeftError when none is."""
    points = encoding.grid()
    if encoding.allowed is not None:
        points = points[np.array([encoding.allowed(encoding.decode(point)) for point in points], dtype=bool)]
    if len(points) and len(taken):
        known = {row.tobytes() for row in np.round(taken, 9) + 0.0}
        points = points[np.array([row.tobytes() not in known for row in np.round(points, 9) + 0.0], dtype=bool)]
    if not len(points):
        raise NothingLeftError(
            "every point of the space is measured, open or outside the constraints: "
            "widen the space, or measure the same again with `remake:`"
        )
    return points


def is_open(encoding: Encoding, point: Array, taken: Array) -> bool:
    """Whether a point keeps all constraints, and may still be proposed."""
    inside = bool(encoding.is_inside(point[None, :])[0])
    allowed = inside and (encoding.allowed is None or encoding.allowed(encoding.decode(point)))
    return allowed and not (encoding.is_fixed(point[None, :])[0] and _is_among(point, taken))


def _is_given(encoding: Encoding, point: Array, taken: Array) -> bool:
    """Whether a point, as it would be proposed, is one of those taken."""
    if not len(taken):
        return False
    if not encoding.is_fixed(point[None, :])[0]:
        point = encoding.encode([encoding.decode(point)])[0]
    return _is_among(point, taken)


def _is_among(point: Array, points: Array) -> bool:
    return bool(len(points)) and bool(np.any(np.all(np.abs(points - point) <= 1e-9, axis=1)))


def _mix(seed: int, trial: int) -> int:
    return int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])


def _nearest_row(encoding: Encoding, method: str, seed: int, trial: int, initial: int, taken: Array) -> Array:
    """The free row nearest to the trial's point of the unconstrained cube: the rows are the constraint."""
    assert encoding.rows is not None
    free = free_rows(encoding, taken)
    rows = encoding.rows[free]
    if method == "random":
        return np.asarray(rows[np.random.default_rng([seed, trial]).integers(len(rows))])
    wanted = trial - 1
    blocks = _uniform(method, encoding.dimension, seed, initial)
    block = next(blocks)
    while wanted >= len(block):
        wanted -= len(block)
        block = next(blocks)
    point = block[wanted]
    distance = np.zeros(len(rows))
    for index, column in enumerate(encoding.columns):
        if column.kind == "label":
            distance += rows[:, index] != column.opened(np.arange(column.count))[int(point[index] * column.count)]
        else:
            distance += (rows[:, index] - point[index]) ** 2
    return np.asarray(rows[np.argmin(distance)])


def _sequence(encoding: Encoding, method: str, seed: int, initial: int) -> Iterator[Array]:
    """The sequence of feasible points, endless but where next to none is inside.

    Raises NothingLeftError when the space seems to be empty.
    """
    if encoding.constraints and _acceptance(encoding, seed) < WORST_ACCEPTANCE:
        blocks = _polytope_blocks(encoding, seed)
    else:
        blocks = (spread(encoding, block) for block in _uniform(method, encoding.dimension, seed, initial))
    drawn, given = 0, 0
    for block in blocks:
        drawn += len(block)
        for point in block[encoding.is_inside(block)]:
            if encoding.allowed is None or encoding.allowed(encoding.decode(point)):
                given += 1
                yield point
        if drawn >= MOST_DRAWS and given * RARE < drawn:
            if given:
                return
            raise NothingLeftError(f"none of {drawn} points keeps the constraints: is there any that does?")


def _uniform(method: str, dimension: int, seed: int, initial: int) -> Iterator[Array]:
    """Blocks of points of the unit cube."""
    if method == "sobol":
        engine = qmc.Sobol(dimension, scramble=True, rng=seed)
        while True:
            # 2**30 points is where the engine ends; nobody gets there.
            yield engine.random(BLOCK)
    generator = np.random.default_rng(seed)
    while True:
        if method == "lhs":
            count = max(initial, 1)
            strata = generator.permuted(np.tile(np.arange(count), (dimension, 1)), axis=1).T
            yield (strata + generator.random((count, dimension))) / count
        else:
            yield generator.random((BLOCK, dimension))


def spread(encoding: Encoding, block: Array) -> Array:
    """Points of the cube as points of the columns, every level with an equal share."""
    out = block.copy()
    for index, column in enumerate(encoding.columns):
        if column.levels is not None:
            nth = np.minimum(np.floor(block[:, index] * column.count), column.count - 1).astype(np.intp)
            out[:, index] = column.level(column.opened(nth))
    return encoding.presence.settled(out)


def _acceptance(encoding: Encoding, seed: int) -> float:
    if any(constraint.equality for constraint in encoding.constraints) or encoding.is_conditional:
        return 0.0  # where a constraint binds at some points only, all those that pass could be the others
    points = spread(encoding, np.random.default_rng(seed).random((1024, encoding.dimension)))
    return float(encoding.is_inside(points).mean())


def _polytope_blocks(encoding: Encoding, seed: int) -> Iterator[Array]:
    """Pools of points inside the linear constraints, each in farthest-first order; grids and labels snapped."""
    round_ = 0
    while True:
        generator = np.random.default_rng([seed, round_])
        round_ += 1
        try:
            walked = _walked(encoding, generator)
        except NothingLeftError as error:
            yield _as_the_campaign_draws(encoding, generator, error)
            continue
        pool = spread(encoding, generator.random(walked.shape))
        moved = [index for index, column in enumerate(encoding.flat.columns) if column.is_linear]
        pool[:, moved] = walked[:, moved]
        if encoding.is_conditional:
            parents = list(encoding.presence.conditions.parents) if encoding.presence.conditions else []
            pool[:, parents] = walked[:, parents]
        pool = encoding.snap(pool)
        inside = encoding.is_inside(pool)
        kept = pool[inside]
        # What rounding took outside comes last: it is passed over, and counts as drawn.
        yield np.concatenate([kept[_farthest_first(kept)], pool[~inside]]) if len(kept) else pool


def _as_the_campaign_draws(encoding: Encoding, generator: np.random.Generator, error: NothingLeftError) -> Array:
    """Points that ``check`` finds too where the walks found none, because a condition over numbers seldom holds.

    Raises ``error`` where there is none.
    """
    if encoding.drawn is None:
        raise error
    try:
        pool = encoding.encode(encoding.drawn(FEW, int(generator.integers(2**31))))
    except SpecError:
        raise error from None
    pool = pool[encoding.is_inside(pool)]
    if not len(pool):
        raise error
    return np.asarray(pool[_farthest_first(pool)])


def _walked(encoding: Encoding, generator: np.random.Generator) -> Array:
    """POOL points inside the linear constraints; of sparse mixtures by what is in them, each walk with its own."""
    presence = encoding.presence
    if not presence.sparse and not presence.held and not encoding.is_conditional:
        return walk(encoding, POOL, generator)
    walked: list[Array] = []
    for tried in range(3 * WALKS):
        low, high = np.zeros(encoding.dimension), np.ones(encoding.dimension)
        # Where components drawn blindly do not go together, they are drawn among those that do.
        blindly = tried < 2 * WALKS or not presence.sparse
        drawn = _supports(encoding, generator) if blindly else _together(encoding, generator)
        for mixture, there in zip(presence.sparse, drawn, strict=True):
            high[list(mixture.columns)], high[there], low[there] = 0.0, 1.0, mixture.least
        for column, value in presence.held:
            if encoding.columns[column].kind != "label":
                low[column] = high[column] = value
        out, start = _activity(encoding, generator)
        stands = np.zeros(encoding.dimension, dtype=bool)
        if out is not None and start is not None:
            stands |= out
            stands[list(presence.conditions.parents if presence.conditions else ())] = True
            low, high = np.where(stands, start, low), np.where(stands, start, high)
        try:
            points = walk(encoding, POOL // WALKS, generator, low, high, out)
        except NothingLeftError:
            continue  # no point has just these components, or what counts there
        if start is not None:
            points[:, stands] = start[stands]
        walked.append(points)
        if len(walked) == WALKS or (walked and tried >= 2 * WALKS and len(walked) >= WALKS // 2):
            break
    if not walked:
        raise NothingLeftError("no settings that keep all the linear constraints were found: loosen one of them")
    return np.concatenate(walked)


def _activity(encoding: Encoding, generator: np.random.Generator) -> tuple[Mask | None, Array | None]:
    """Which columns have no value at a point drawn by chance, and the point; None, None: no constraint asks for it."""
    conditions = encoding.presence.conditions
    if conditions is None or not encoding.is_conditional:
        return None, None
    point = spread(encoding, generator.random((1, encoding.dimension)))
    return conditions.out(point)[0], point[0]


def _supports(encoding: Encoding, generator: np.random.Generator) -> list[NDArray[np.intp]]:
    """What is in each sparse mixture, by chance."""
    found = []
    for mixture in encoding.presence.sparse:
        few, many = mixture.sizes
        size = generator.integers(few, many + 1)
        found.append(generator.choice(np.array(mixture.columns), size, replace=False))
    return found


def _together(encoding: Encoding, generator: np.random.Generator) -> list[NDArray[np.intp]]:
    """The same among what the linear constraints allow, by a mixed-integer program with random wishes.

    Raises NothingLeftError when nothing is allowed.
    """
    a, b = encoding.halfspaces()
    e, f = encoding.equalities()
    d, sparse = encoding.dimension, encoding.presence.sparse
    parts = [column for mixture in sparse for column in mixture.columns]
    z = d + np.arange(len(parts))  # whether each component is there, behind the coordinates
    rows, least, most = [], [], []

    def say(coefficients: dict[int, float], low: float, high: float) -> None:
        row = np.zeros(d + len(parts))
        row[list(coefficients)] = list(coefficients.values())
        rows.append(row)
        least.append(low)
        most.append(high)

    for row, bound in zip(a, b, strict=True):
        say(dict(enumerate(row)), -np.inf, bound)
    for row, bound in zip(e, f, strict=True):
        say(dict(enumerate(row)), bound, bound)
    start = 0
    for mixture in sparse:
        own = z[start : start + len(mixture.columns)]
        start += len(mixture.columns)
        say(dict.fromkeys(own, 1.0), *map(float, mixture.sizes))
        for column, there in zip(mixture.columns, own, strict=True):
            say({column: 1.0, there: -1.0}, -np.inf, 0.0)
            say({column: 1.0, there: -mixture.least}, 0.0, np.inf)
    low, high = np.zeros(d + len(parts)), np.ones(d + len(parts))
    for column, value in encoding.presence.held:
        if encoding.columns[column].kind != "label":
            low[column] = high[column] = value
    solved = milp(
        generator.standard_normal(d + len(parts)),
        integrality=np.append(np.zeros(d), np.ones(len(parts))),
        bounds=Bounds(low, high),
        constraints=LinearConstraint(np.array(rows), np.array(least), np.array(most)),
    )
    if not solved.success:
        raise NothingLeftError("no settings keep all the linear constraints with so few components: loosen one of them")
    there = np.array(parts)[solved.x[d:] > 0.5]
    return [there[np.isin(there, mixture.columns)] for mixture in sparse]


def _farthest_first(points: Array) -> Array:
    """Row numbers so that each is the farthest from all before it; the first is the first."""
    order = [0]
    distance = np.sum((points - points[0]) ** 2, axis=1)
    for _ in range(len(points) - 1):
        order.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.sum((points - points[order[-1]]) ** 2, axis=1))
        distance[order] = -1.0
    return np.array(order)
