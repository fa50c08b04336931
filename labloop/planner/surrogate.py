"""What the planner believes: a few Gaussian processes for each outcome, and how much each is believed.

    mean      a constant, learnt
    kernels   see kernels.py; one lengthscale a column
    priors    LogNormal lengthscales that grow with sqrt(d), so that many parameters do not mean a rough function
              (Hvarfner et al., ICML 2024, arXiv:2402.02229); LogNormal(-4, 1) noise
    outcomes  standardized; one independent belief an outcome, each from the trials that have it
    noise     learnt: repeats stay separate rows, so the likelihood itself learns from their scatter. Where measurements
              carry an sd, its square is that row's own noise, and what is learnt comes on top (sample to sample)

belief.py says how the processes of one outcome are learnt, and what kinds of them a campaign may ask for.

A fit that fails raises SurrogateError: never a silent second best.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Protocol

import numpy as np

from labloop.campaign.events import Evidence

from .additive import Additive
from .belief import APART, Asked, Belief, Memory, believe, by_comparing
from .blends import Blend
from .encoding import Array, Encoding
from .errors import SurrogateError
from .evidence import JOIN, PLAIN, choose, even
from .kernels import LogNormal, Separable, dimension_scaled, hamming
from .known import Observations

# Prior of the lengthscales: narrower and with a longer mode than BoTorch's (sqrt 2, sqrt 3), 0.74 sqrt(d) instead of
# 0.2 sqrt(d). With a handful of trials a fit stays near the mode, and a function that is taken for rough is searched
# point by point. docs/benchmarks.md has the tries.
LENGTH_LOC, LENGTH_SCALE = 0.7, 1.0
# Prior of the Hamming lengthscales. Its mode lets two choices share a quarter of what is known of one of them; on two
# tables of chemistry and a synthetic reaction narrower and wider priors were better on one and worse on another.
HAMMING_LOC, HAMMING_SCALE = 1.4142, 1.3
# How much longer (log) the lengthscales of shares are where their components are described: what is like is then taken
# for alike until the data say otherwise. docs/benchmarks.md has the tries.
BESIDE = 1.4


MANY = 20  # parameters that are numbers, from which on it may be that few of them matter


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

    def middles(self, points: Array) -> Array:
        """What ``predict`` gives first: it costs much less alone."""

    def left_out(self, outcome: str) -> tuple[Array, Array]:
        """Mean and sd of each measurement of an outcome as the others foretell it, under the parameters of all."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Beliefs, one an outcome. ``scales``: the outcomes' spreads."""

    outcomes: tuple[str, ...]
    beliefs: tuple[Belief, ...]
    words: str
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # by outcome, where its model was chosen

    @property
    def outliers(self) -> list[int]:
        """The trials of which any outcome is taken for an outlier."""
        return sorted({trial for belief in self.beliefs for trial in belief.outliers})

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

    def middles(self, points: Array) -> Array:
        """What ``predict`` gives first: it costs much less alone."""
        return np.column_stack([belief.middles(points) for belief in self.beliefs])

    def left_out(self, outcome: str) -> tuple[Array, Array]:
        """Mean and sd of each measurement of an outcome as the others foretell it, under the parameters of all."""
        return self.beliefs[self.outcomes.index(outcome)].left_out()

    def with_flying(self, points: Array) -> "Surrogate":
        """The same with points in flight."""
        beliefs = tuple(
            replace(belief, members=tuple(member.with_flying(points) for member in belief.members))
            for belief in self.beliefs
        )
        return replace(self, beliefs=beliefs)


def fit_all(
    data: Mapping[str, Observations],
    encoding: Encoding,
    shapes: Sequence[str],
    memory: Memory | None = None,
    robust: bool = False,
    transformed: str = "",
    drifting: bool = False,
    few: bool = False,
    warp: bool = False,
    choosing: bool = False,
    additive: bool = False,
    shaped: bool = False,
) -> Surrogate:
    """Fit each outcome's belief. ``memory`` keeps parameters that were learnt before: the answer is the same without.

    robust: outliers are looked for. transformed: the outcome whose transform is chosen. drifting: what is learnt holds
    for the trial after the last one that is known. few: few parameters are taken to matter. warp: numbers are warped.
    additive: half of the kernel is effects that add up. choosing: one of these is chosen by evidence, outcome by
    outcome, ``transformed`` where it may be seen through one; shaped: but no kernel, since one was given. Each takes
    the first kernel alone.

    Raises SurrogateError, which names the outcome.
    """
    memory = memory if memory is not None else {}
    every = kernels(encoding, shapes)
    last = max((int(one.trials.max()) for one in data.values() if len(one.trials)), default=0)
    beliefs: list[Belief] = []
    evidence: dict[str, Evidence] = {}
    for outcome, observations in data.items():
        try:
            asked = Asked(robust, outcome == transformed, drifting, warp, few, additive)
            if observations.compared is not None:
                belief = by_comparing(observations, every[0], memory)
            elif choosing:
                candidates = _candidates(encoding, every, last, outcome == transformed, shaped)
                chosen = choose(observations, candidates, memory)
                belief, evidence[outcome] = chosen.belief, chosen.evidence
            else:
                belief = believe(observations, every, asked, encoding.names, last, memory)
        except (SurrogateError, ValueError, ArithmeticError) as error:
            raise SurrogateError(f"no model of {outcome} from {len(observations.values)} trials: {error}") from error
        beliefs.append(belief)
    noise = ", ".join(f"{name}: {belief.noise_sd:.3g}" for name, belief in zip(data, beliefs, strict=True))
    kernel = " and ".join(dict.fromkeys(member.kernel.words for member in beliefs[0].members))
    told = described(encoding)
    told += "".join(f"; {name} {belief.words}" for name, belief in zip(data, beliefs, strict=True) if belief.words)
    words = f"GP {kernel}{told}; learnt noise sd {noise}"
    return Surrogate(tuple(data), tuple(even(beliefs)), words, evidence)


def _candidates(
    encoding: Encoding, every: Sequence[Separable], last: int, transformed: bool, shaped: bool
) -> dict[str, Callable[[Observations, Memory], Belief]]:
    """The models among which evidence chooses, by the word that asks for each; the plain one first."""
    numbers = len(every[0].numbers)
    words = {PLAIN: Asked(), "robust": Asked(robust=True), "drift": Asked(drift=True)}
    words |= {"transform": Asked(transform=True)} if transformed else {}
    words |= {"warp": Asked(warp=True)} if numbers else {}
    if not shaped:
        words |= {"additive": Asked(additive=True)} if len(Additive(every[0]).parts) > 1 else {}
        words |= {"rbf": Asked(rbf=True)} if every[0].smooth else {}
    for one, other in combinations([word for word in words if word != PLAIN], 2):
        if {one, other} not in APART:
            flags = {**asdict(words[one]), **{name: True for name, asked in asdict(words[other]).items() if asked}}
            words[f"{one}{JOIN}{other}"] = Asked(**flags)
    words |= {"saas": Asked(few=True)} if numbers >= MANY else {}

    def by(asked: Asked) -> Callable[[Observations, Memory], Belief]:
        return lambda seen, memory: believe(seen, every, asked, encoding.names, last, memory)

    return {word: by(asked) for word, asked in words.items()}


def described(encoding: Encoding) -> str:
    """By what choices and components are described, in words that follow the kernel's."""
    named = [(column.name, column.described) for column in encoding.columns if column.described]
    named += [(one.mixture, one.described) for one in encoding.blended]
    return "".join(f"; {name} by {what}" for name, what in named)


def kernels(encoding: Encoding, shapes: Sequence[str]) -> list[Separable]:
    """One kernel a shape (matern, rbf) over the encoding's columns."""
    numbers = tuple(index for index in range(encoding.dimension) if index not in encoding.labels)
    labels, matrices, prior = unlike(encoding)
    blends, lengths = blended(encoding, numbers)
    return [
        Separable(
            shape,
            numbers,
            labels,
            matrices,
            lengths,
            prior,
            blends,
        )
        for shape in shapes
    ]


def blended(encoding: Encoding, numbers: tuple[int, ...]) -> tuple[tuple[Blend, ...], LogNormal]:
    """What mixtures are like in each respect, and the prior of the lengthscales of numbers and of these."""
    blends = tuple(one for mixture in encoding.blended for one in mixture.blends)
    lengths = dimension_scaled(len(numbers), len(numbers) + len(blends), LENGTH_LOC, LENGTH_SCALE)
    for column in {column for one in blends for column in one.columns}:
        lengths.loc[numbers.index(column)] += BESIDE
    return blends, lengths


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
