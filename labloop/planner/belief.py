"""How one outcome is believed: the processes that have learnt from its trials.

    plainly             one process a kernel, all alike
    sparsely            few of many parameters are taken to matter (sparse.py)
    robustly            outliers are found and believed less (robust.py)
    through_transform   the outcome is seen by its logarithm or a power, where that foretells it better (transform.py)
    by_comparing        nothing was measured, people said which of two trials is better (preference.py)

and of the kernel: numbers are warped, steeper at one end of their range than at the other (warping.py); trials that are
long ago count less (drift.py); half of it is effects that add up (additive.py); it is as smooth as can be (rbf).

Outcomes are standardized. Of more than ALL_LEARNT trials the parameters are learnt at intervals; all trials condition
the process. What was learnt is remembered in a Memory, and the answer is the same without it.
"""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from labloop.campaign.tastes import Duels

from . import drift, preference, sparse, transform
from .additive import Additive
from .encoding import Array
from .errors import SurrogateError
from .gp import GP, Data, condition, fit
from .kernels import Kernel, Separable
from .known import Observations
from .robust import Learnt, price, pursue
from .transform import PLAIN, Transform
from .warping import Warped

ALL_LEARNT, MOST_LEARNT = 128, 512
MOST_REMEMBERED = 64  # fits; a campaign needs a few at a time
TOO_LARGE = "the outcomes are too large for a model to reach beyond them"

Memory = MutableMapping[tuple[str, bytes], Array]
Learner = Callable[["Observations"], "Belief"]


@dataclass(frozen=True, slots=True)
class Belief:
    """One outcome: members of one weight sum, in standardized units; transformed value = shift + scale * standardized.

    outliers: the trials whose measurements are believed less. words: what is to be said of the outcome.
    """

    members: tuple[GP, ...]
    weights: Array
    shift: float
    scale: float
    outliers: tuple[int, ...] = ()
    transform: Transform = PLAIN
    words: str = ""

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and sd of the noiseless outcome in its own units, each N: those of the members' mixture.

        Of a transformed outcome the median, and half of what lies between the 16th and the 84th percentile: a mean may
        be nowhere near what is likely there.
        """
        return self._mixed([member.posterior(points)[:2] for member in self.members])

    def middles(self, points: Array) -> Array:
        """What ``predict`` gives first."""
        means = np.array([member.means(points)[0] for member in self.members])
        middle = self.shift + self.scale * (self.weights @ means)
        return middle if self.transform is PLAIN else self.transform.backward(middle)

    def left_out(self) -> tuple[Array, Array]:
        """Mean and sd of each measurement as the others foretell it, its noise included, in the outcome's own units."""
        return self._mixed([member.leave_one_out() for member in self.members])

    def _mixed(self, each: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
        """The members' means and variances as one mean and sd."""
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
class Asked:
    """What is asked of a model beyond the plain one. few: few of many parameters are taken to matter.

    All go together but ``few`` with any other, and those that are APART: time has no end to be warped towards.
    """

    robust: bool = False
    transform: bool = False
    drift: bool = False
    warp: bool = False
    few: bool = False
    additive: bool = False
    rbf: bool = False


APART = ({"drift", "warp"}, {"drift", "additive"}, {"warp", "additive"})


def believe(
    observations: Observations,
    every: Sequence[Separable],
    asked: Asked,
    names: Sequence[str],
    last: int,
    memory: Memory,
) -> Belief:
    """The belief that is asked for, of the first kernel alone where it is not the plain one.

    names: of the columns. last: the last trial that is known of any outcome.
    """
    if asked == Asked():
        return plainly(observations, every, memory)
    if asked.few:
        return sparsely(observations, every[0], names, memory)
    base = replace(every[0], shape="rbf") if asked.rbf else every[0]
    kernel: Kernel = base
    if asked.drift:
        observations = replace(observations, points=drift.timed(observations.points, observations.trials))
        kernel = drift.over_time(base)
    if asked.warp:
        kernel = Warped(base)
    if asked.additive:
        kernel = Additive(base)

    def learn(seen: Observations) -> Belief:
        return robustly(seen, kernel, memory) if asked.robust else plainly(seen, [kernel], memory)

    belief = through_transform(observations, learn) if asked.transform else learn(observations)
    (member,) = belief.members
    said = [belief.words]
    said += ["by an rbf kernel"] * asked.rbf + ["half by effects that add up"] * asked.additive
    if isinstance(kernel, Warped):
        told = [f"{names[at]} {a:.2g} {b:.2g}" for at, a, b in kernel.warps(member.theta)]
        said.append(f"warped by {', '.join(told) or 'nothing'}")
    if asked.drift:
        member = replace(member, now=(drift.time(last + 1),))
        said.append(f"drifts over about {drift.lasts(member):.0f} trials")
    return replace(belief, members=(member,), words=", ".join(filter(None, said)))


def plainly(observations: Observations, every: Sequence[Kernel], memory: Memory) -> Belief:
    """A member a kernel, which count alike."""
    data, shift, scale = _standardized(observations)
    members = [_fitted(kernel, observations, data, memory, kernel.words) for kernel in every]
    return Belief(tuple(members), np.full(len(members), 1.0 / len(members)), shift, scale)


def by_comparing(observations: Observations, kernel: Separable, memory: Memory) -> Belief:
    """One member, in utilities of which a difference of 1 is told right by 76 of 100 comparisons."""
    compared = observations.compared or ()
    if not compared:
        raise SurrogateError("no two that this space holds were compared with each other")
    duels, kernel = Duels.of(compared), preference.shorter(kernel)
    key = key_of(f"compared {kernel.words}", observations.points, duels.won, duels.lost, duels.weight)
    if key not in memory:
        remember(memory, key, preference.fit(kernel, observations.points, duels).parameters)
    member = preference.condition(kernel, observations.points, duels, memory[key])
    words = f"by {len(compared)} comparison{'' if len(compared) == 1 else 's'} of {len(observations.points)} trials"
    return Belief((member,), np.ones(1), 0.0, float(member.noise**-0.5), words=words)


def sparsely(observations: Observations, kernel: Separable, names: Sequence[str], memory: Memory) -> Belief:
    """A member for each tau, each begun where the one before ended. names: of the columns."""
    data, shift, scale = _standardized(observations)
    members = [_fitted(kernel, observations, data, memory, kernel.words)]
    for tau, tight in zip(sparse.TAUS, sparse.tightened(kernel), strict=True):
        words = f"{kernel.words}, tau {tau}"
        members.append(_fitted(tight, observations, data, memory, words, members[-1].parameters))
    count = len(sparse.TAUS)
    matter = ", ".join(sparse.mattering(members[-1], names))
    words = f"by {matter or 'none'} of {len(names)}"
    return Belief(tuple(members[1:]), np.full(count, 1.0 / count), shift, scale, words=words)


def through_transform(observations: Observations, learn: Learner) -> Belief:
    """What is learnt of the outcomes seen as foretells them best."""
    part = observations.of(learnt_from(len(observations.values)))
    tries = transform.candidates(part.values, bool(observations.values.min() > 0.0))
    heights = []
    for one in tries:
        belief = learn(_seen(part, one))
        height = transform.evidence(belief.members[0], belief.scale, one, part.values)
        heights.append(height - price(len(part.values)) * len(belief.outliers))
    taken = tries[transform.best(heights)]
    belief = learn(_seen(observations, taken))
    words = ", ".join(filter(None, (taken.words or "as it is", belief.words)))
    return replace(belief, transform=taken, words=words)


def robustly(observations: Observations, kernel: Kernel, memory: Memory) -> Belief:
    """One member, from the trials that are no outliers above all."""
    unit = float(np.max(np.abs(observations.values))) or 1.0  # squares of 1e300 are no numbers any more
    sized = replace(observations, values=observations.values / unit, variances=observations.variances / unit / unit)
    held: Array | None = None
    if len(sized.values) > ALL_LEARNT:
        part = sized.of(learnt_from(len(sized.values)))
        key = key_of(f"robust {kernel.words}", part.points, part.values, part.variances)
        if key not in memory:
            remember(memory, key, _pursued(part, kernel, None).gp.parameters)
        held = memory[key]
    few = _pursued(sized, kernel, held)
    if not np.isfinite(1e3 * unit * few.scale):
        raise SurrogateError(TOO_LARGE)
    outliers = tuple(int(trial) for trial in observations.trials[few.rho > 0.0])
    words = f"has outliers: {', '.join(map(str, outliers))}" if outliers else "has no outliers"
    return Belief((few.gp,), np.ones(1), few.shift * unit, few.scale * unit, outliers, words=words)


def _pursued(observations: Observations, kernel: Kernel, held: Array | None) -> Learnt:
    """What is learnt with the outliers found; held: parameters that were learnt before."""

    def learn(rho: Array, before: Learnt | None) -> Learnt:
        noisy = replace(observations, variances=observations.variances + rho)
        data, shift, scale = _standardized(noisy, rho == 0.0)
        start = before.gp.parameters if before else None
        gp = fit(kernel, data, start) if held is None else condition(kernel, data, held)
        return Learnt(gp, shift, scale, rho)

    return pursue(len(observations.values), learn, held=held is not None)


def _fitted(
    kernel: Kernel, observations: Observations, data: Data, memory: Memory, words: str, start: Array | None = None
) -> GP:
    """The process that has learnt from ``data``, or of many from some. words: what its parameters are remembered by."""
    if len(data.y) <= ALL_LEARNT:
        return fit(kernel, data, start)
    # Standardized by themselves, so that what they teach does not depend on when it was asked.
    part, _, _ = _standardized(observations.of(learnt_from(len(data.y))))
    key = key_of(words, part.x, part.y, part.known)
    if key not in memory:
        remember(memory, key, fit(kernel, part, start).parameters)
    return condition(kernel, data, memory[key])


def _seen(observations: Observations, by: Transform) -> Observations:
    """Observations through a transform, their variances to first order."""
    seen = by.forward(observations.values)
    return replace(
        observations, values=seen, variances=observations.variances * np.exp(2.0 * by.log_slopes(observations.values))
    )


def key_of(words: str, *arrays: Array) -> tuple[str, bytes]:
    return words, sha256(b"".join(array.tobytes() for array in arrays)).digest()


def remember(memory: Memory, key: tuple[str, bytes], parameters: Array) -> None:
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
