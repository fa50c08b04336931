"""What the planner believes: a few Gaussian processes for each outcome, and how much each is believed.

    mean      a constant, learnt
    kernels   see kernels.py; one lengthscale a column
    priors    LogNormal lengthscales that grow with sqrt(d), so that many parameters do not mean a rough function
              (Hvarfner et al., ICML 2024, arXiv:2402.02229); LogNormal(-4, 1) noise
    learning  of more than ALL_LEARNT trials the parameters are learnt at intervals; all trials condition the process
    outcomes  standardized; one independent belief an outcome, each from the trials that have it
    noise     learnt: repeats stay separate rows, so the likelihood itself learns from their scatter. Where measurements
              carry an sd, its square is that row's own noise, and what is learnt comes on top (sample to sample)
    transform where the campaign asks, an outcome may be seen by its logarithm or a power (transform.py)
    saas      where the campaign asks, few of many parameters are taken to matter (sparse.py)
    drift     where the campaign asks, trials that are long ago count less (drift.py)
    outliers  where the campaign asks, they are found and believed less (robust.py)

A fit that fails raises SurrogateError: never a silent second best.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import drift, sparse, transform
from .encoding import Array, Encoding
from .errors import SurrogateError
from .gp import GP, Data, condition, fit
from .kernels import Kernel, LogNormal, Separable, dimension_scaled, hamming
from .known import Observations
from .robust import Learnt, pursue
from .transform import PLAIN, Transform

# Prior of the lengthscales: narrower and with a longer mode than BoTorch's (sqrt 2, sqrt 3), 0.74 sqrt(d) instead of
# 0.2 sqrt(d). With a handful of trials a fit stays near the mode, and a function that is taken for rough is searched
# point by point. docs/benchmarks.md has the tries.
LENGTH_LOC, LENGTH_SCALE = 0.7, 1.0
# Prior of the Hamming lengthscales. Its mode lets two choices share a quarter of what is known of one of them; on two
# tables of chemistry and a synthetic reaction narrower and wider priors were better on one and worse on another.
HAMMING_LOC, HAMMING_SCALE = 1.4142, 1.3
ALL_LEARNT, MOST_LEARNT = 128, 512
TOO_LARGE = "the outcomes are too large for a model to reach beyond them"
MOST_REMEMBERED = 64  # fits; a campaign needs a few at a time


class Model(Protocol):
    """What a proposal is told from, whoever fitted it."""

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes, in the order of the columns."""

    @property
    def scales(self) -> tuple[float, ...]:
        """Their spreads."""

    @property
    def noises(self) -> tuple[float, ...]:
        """Sd of the learnt noise of one measurement of each."""

    @property
    def words(self) -> str:
        """The model in a sentence."""

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and sd of the noiseless outcomes, each N x m."""


@dataclass(frozen=True, slots=True)
class Belief:
    """One outcome: members of one weight sum, in standardized units; transformed value = shift + scale * standardized.

    outliers: the trials whose measurements are believed less.
    """

    members: tuple[GP, ...]
    weights: Array
    shift: float
    scale: float
    outliers: tuple[int, ...] = ()
    transform: Transform = PLAIN

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and sd of the noiseless outcome in its own units, each N: those of the members' mixture.

        Of a transformed outcome the median, and half of what lies between the 16th and the 84th percentile: a mean may
        be nowhere near what is likely there.
        """
        each = [member.posterior(points)[:2] for member in self.members]
        means, variances = np.array([m for m, _ in each]), np.array([v for _, v in each])
        mean = self.weights @ means
        variance = self.weights @ (variances + (means - mean) ** 2)
        return self._own(mean, np.sqrt(variance))

    @property
    def noise_sd(self) -> float:
        """The learnt noise of one measurement in the outcome's own units; of a transformed one, of a middling one."""
        noise = np.sqrt(self.weights @ np.array([member.noise for member in self.members]))
        return float(self._own(np.zeros(1), np.array([noise]))[1][0])

    def _own(self, mean: Array, sd: Array) -> tuple[Array, Array]:
        if self.transform is PLAIN:
            return self.shift + self.scale * mean, self.scale * sd
        low, middle, high = (self.transform.backward(self.shift + self.scale * (mean + k * sd)) for k in (-1, 0, 1))
        return middle, 0.5 * (high - low)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Beliefs, one an outcome. ``scales``: the outcomes' spreads."""

    outcomes: tuple[str, ...]
    beliefs: tuple[Belief, ...]
    words: str

    @property
    def scales(self) -> tuple[float, ...]:
        """What each outcome was divided by."""
        return tuple(belief.scale for belief in self.beliefs)

    @property
    def noises(self) -> tuple[float, ...]:
        """Sd of the learnt noise of one measurement of each outcome."""
        return tuple(belief.noise_sd for belief in self.beliefs)

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and sd of the noiseless outcomes, each N x m."""
        each = [belief.predict(points) for belief in self.beliefs]
        return np.column_stack([mean for mean, _ in each]), np.column_stack([sd for _, sd in each])

    def with_flying(self, points: Array) -> "Surrogate":
        """The same with points in flight."""
        beliefs = tuple(
            replace(belief, members=tuple(member.with_flying(points) for member in belief.members))
            for belief in self.beliefs
        )
        return replace(self, beliefs=beliefs)


Memory = MutableMapping[tuple[str, bytes], Array]


def fit_all(
    data: Mapping[str, Observations],
    encoding: Encoding,
    shapes: Sequence[str],
    memory: Memory | None = None,
    robust: bool = False,
    transformed: str = "",
    drifting: bool = False,
    few: bool = False,
) -> Surrogate:
    """Fit each outcome's belief. ``memory`` keeps parameters that were learnt before: the answer is the same without.

    robust: outliers are looked for. transformed: the outcome whose transform is chosen. drifting: what is learnt holds
    for the trial after the last one that is known. few: few parameters are taken to matter. Each takes the first kernel
    alone.

    Raises SurrogateError, which names the outcome.
    """
    beliefs = []
    last = max((int(one.trials.max()) for one in data.values() if len(one.trials)), default=0)
    for outcome, observations in data.items():
        try:
            memory = memory if memory is not None else {}
            if robust:
                beliefs.append(_believe_few(observations, kernels(encoding, shapes)[0], memory))
            elif few:
                beliefs.append(_believe_sparse(observations, kernels(encoding, shapes)[0], memory))
            elif drifting:
                beliefs.append(_believe_now(observations, drift.over_time(kernels(encoding, shapes)[0]), last, memory))
            elif outcome == transformed:
                beliefs.append(_believe_seen(observations, kernels(encoding, shapes)[0], memory))
            else:
                beliefs.append(_believe(observations, kernels(encoding, shapes), memory))
        except (SurrogateError, ValueError, ArithmeticError) as error:
            raise SurrogateError(f"no model of {outcome} from {len(observations.values)} trials: {error}") from error
    noise = ", ".join(f"{name}: {belief.noise_sd:.3g}" for name, belief in zip(data, beliefs, strict=True))
    kernel = " and ".join(dict.fromkeys(member.kernel.words for member in beliefs[0].members))
    told = "".join(f"; {column.name} by {column.described}" for column in encoding.columns if column.described)
    wrong = "; ".join(
        f"outliers of {name}: {', '.join(map(str, belief.outliers))}"
        for name, belief in zip(data, beliefs, strict=True)
        if belief.outliers
    )
    told += f"; {wrong or 'no outliers'}" if robust else ""
    told += "".join(
        f"; {name} {belief.transform.words or 'as it is'}"
        for name, belief in zip(data, beliefs, strict=True)
        if name == transformed
    )
    if few:
        for name, belief in zip(data, beliefs, strict=True):
            matter = [encoding.names[column] for column in sparse.mattering(belief.members[-1])]
            told += f"; {name} by {', '.join(matter) or 'none'} of {len(encoding.columns)}"
    if drifting:
        told += "".join(
            f"; {name} drifts over about {drift.lasts(belief.members[0]):.2g} trials"
            for name, belief in zip(data, beliefs, strict=True)
        )
    return Surrogate(tuple(data), tuple(beliefs), f"GP {kernel}{told}; learnt noise sd {noise}")


def _believe(observations: Observations, every: Sequence[Kernel], memory: Memory) -> Belief:
    data, shift, scale = _standardized(observations)
    members = [_fitted(kernel, observations, data, memory, kernel.words) for kernel in every]
    return Belief(tuple(members), np.full(len(members), 1.0 / len(members)), shift, scale)


def _fitted(
    kernel: Kernel, observations: Observations, data: Data, memory: Memory, words: str, start: Array | None = None
) -> GP:
    """The process that has learnt from ``data``, or of many from some. words: what its parameters are remembered by."""
    if len(data.y) <= ALL_LEARNT:
        return fit(kernel, data, start)
    # Standardized by themselves, so that what they teach does not depend on when it was asked.
    part, _, _ = _standardized(observations.of(learnt_from(len(data.y))))
    key = _key(words, part.x, part.y, part.known)
    if key not in memory:
        _remember(memory, key, fit(kernel, part, start).parameters)
    return condition(kernel, data, memory[key])


def _believe_sparse(observations: Observations, kernel: Separable, memory: Memory) -> Belief:
    """A member for each tau, each begun where the one before ended."""
    data, shift, scale = _standardized(observations)
    members = [_fitted(kernel, observations, data, memory, kernel.words)]
    for tau, tight in zip(sparse.TAUS, sparse.tightened(kernel), strict=True):
        words = f"{kernel.words}, tau {tau}"
        members.append(_fitted(tight, observations, data, memory, words, members[-1].parameters))
    count = len(sparse.TAUS)
    return Belief(tuple(members[1:]), np.full(count, 1.0 / count), shift, scale)


def _believe_now(observations: Observations, kernel: Kernel, last: int, memory: Memory) -> Belief:
    """One member, that knows when each trial was and is asked for the next one."""
    timed = replace(observations, points=drift.timed(observations.points, observations.trials))
    belief = _believe(timed, [kernel], memory)
    return replace(belief, members=(replace(belief.members[0], now=(drift.time(last + 1),)),))


def _believe_seen(observations: Observations, kernel: Kernel, memory: Memory) -> Belief:
    """One member, that sees the outcomes as foretells them best."""
    part = observations.of(learnt_from(len(observations.values)))
    tries = transform.candidates(part.values, bool(observations.values.min() > 0.0))
    heights = []
    for one in tries:
        belief = _believe(_seen(part, one), [kernel], memory)
        heights.append(transform.evidence(belief.members[0], belief.scale, one, part.values))
    taken = tries[transform.best(heights)]
    return replace(_believe(_seen(observations, taken), [kernel], memory), transform=taken)


def _seen(observations: Observations, by: Transform) -> Observations:
    """Observations through a transform, their variances to first order."""
    seen = by.forward(observations.values)
    return replace(
        observations, values=seen, variances=observations.variances * np.exp(2.0 * by.log_slopes(observations.values))
    )


def _believe_few(observations: Observations, kernel: Kernel, memory: Memory) -> Belief:
    """One member, from the trials that are no outliers above all."""
    unit = float(np.max(np.abs(observations.values))) or 1.0  # squares of 1e300 are no numbers any more
    sized = replace(observations, values=observations.values / unit, variances=observations.variances / unit / unit)
    few = _pursued(sized, kernel, memory)
    if not np.isfinite(1e3 * unit * few.scale):
        raise SurrogateError(TOO_LARGE)
    outliers = tuple(int(trial) for trial in observations.trials[few.rho > 0.0])
    return Belief((few.gp,), np.ones(1), few.shift * unit, few.scale * unit, outliers)


def _pursued(observations: Observations, kernel: Kernel, memory: Memory) -> Learnt:
    n = len(observations.values)
    chosen = learnt_from(n)
    known: Array | None = None
    if len(chosen) < n:
        part = observations.of(chosen)
        key = _key(f"robust {kernel.words}", part.points, part.values, part.variances)
        if key not in memory:
            _remember(memory, key, _pursued(part, kernel, memory).gp.parameters)
        known = memory[key]

    def learn(rho: Array, before: Learnt | None) -> Learnt:
        noisy = replace(observations, variances=observations.variances + rho)
        data, shift, scale = _standardized(noisy, rho == 0.0)
        start = before.gp.parameters if before else None
        gp = fit(kernel, data, start) if known is None else condition(kernel, data, known)
        return Learnt(gp, shift, scale, rho)

    return pursue(n, learn, held=known is not None)


def _key(words: str, *arrays: Array) -> tuple[str, bytes]:
    return words, sha256(b"".join(array.tobytes() for array in arrays)).digest()


def _remember(memory: Memory, key: tuple[str, bytes], parameters: Array) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
    memory[key] = parameters


def _standardized(observations: Observations, ruling: NDArray[np.bool_] | None = None) -> tuple[Data, float, float]:
    """The data with outcomes of mean 0 and sd 1, and the shift and scale that were taken out.

    ruling: the rows that mean and sd are of (default: all).
    """
    values = observations.values
    # By their own size first: squares of 1e300 are no numbers any more.
    unit = float(np.max(np.abs(values))) or 1.0
    rule = values / unit if ruling is None else values[ruling] / unit
    shift = float(np.mean(rule))
    spread = float(np.std(rule, ddof=1)) if len(rule) > 1 else 0.0
    flat = spread <= 1e-8 * abs(shift) or spread < 1e-300
    scale = 1.0 / unit if flat else spread
    y = (values / unit - shift) / scale
    if not np.all(np.isfinite(y)) or not np.isfinite(1e3 * unit * scale):
        raise SurrogateError(TOO_LARGE)
    shift, scale = shift * unit, scale * unit
    return Data(observations.points, y, (np.sqrt(observations.variances) / scale) ** 2), shift, scale


def learnt_from(n: int) -> NDArray[np.intp]:
    """Which of n trials the parameters are learnt from; all n condition the process.

    Of more than ALL_LEARNT they are learnt anew at every sixteenth of n only: one trial in a hundred moves them by less
    than their own uncertainty, and at n = 400 a fit costs as much as ten proposals. Beyond MOST_LEARNT they come from
    as many trials, evenly spaced. Which ones depends on n alone, so that a replay, or a process that begins anew,
    learns the same.
    """
    if n <= ALL_LEARNT:
        return np.arange(n)
    first = n - n % _step(n)
    return np.unique(np.linspace(0, first - 1, min(first, MOST_LEARNT)).astype(np.intp))


def _step(n: int) -> int:
    return 1 << max(n.bit_length() - 5, 0)


def kernels(encoding: Encoding, shapes: Sequence[str]) -> list[Separable]:
    """One kernel a shape (matern, rbf) over the encoding's columns."""
    numbers = tuple(index for index in range(encoding.dimension) if index not in encoding.labels)
    labels, matrices, prior = unlike(encoding)
    return [
        Separable(
            shape,
            numbers,
            labels,
            matrices,
            dimension_scaled(len(numbers), len(numbers), LENGTH_LOC, LENGTH_SCALE),
            prior,
        )
        for shape in shapes
    ]


def unlike(encoding: Encoding) -> tuple[tuple[int, ...], tuple[Array, ...], LogNormal]:
    """Columns of choices, once for each way in which their levels differ, the ways, and their lengthscales' prior.

    Where levels are described their difference has several parts; each then counts less before anything is seen.
    """
    labels, matrices, parts = [], [], []
    for index in encoding.labels:
        column = encoding.columns[index]
        ways = [hamming(len(column.values)), *column.unlike]
        if column.optional:  # one more index, as unlike all others as they are in the mean
            ways = [np.pad(way, (0, 1), constant_values=1.0) - _corner(len(way)) for way in ways]
        labels += [index] * len(ways)
        matrices += ways
        parts += [len(ways)] * len(ways)
    loc = HAMMING_LOC + 0.5 * np.log(max(len(encoding.labels), 1)) + np.log(np.array(parts, dtype=float))
    return tuple(labels), tuple(matrices), LogNormal(loc, np.full(len(parts), HAMMING_SCALE))


def _corner(levels: int) -> Array:
    """1 in the last place of the diagonal, with one more index than ``levels``."""
    return np.diag(np.append(np.zeros(levels), 1.0))
