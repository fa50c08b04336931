"""What people's comparisons say of trials: a utility for each, larger is better.

    P(a is preferred over b) = Phi((u_a - u_b) / sqrt 2)        (Thurstone, 1927; Chu and Ghahramani, ICML 2005)
    equally good             = half a comparison each way
    u ~ N(0, C)

So a difference of 1 is told right by 76 of 100 comparisons, of 2 by 92 and of 3 by 98. People are noisy and contradict
themselves and each other: every comparison counts, and the utilities are those of highest posterior,

    a = (I + W C)^-1 (W u + g),   u = C a          g, -W: gradient and Hessian of the log likelihood

by Newton's method, halving a step that does not gain (the posterior has one maximum). Around it u is taken as Gaussian
with covariance (C^-1 + W)^-1 (Laplace).

Of a trial that won once by chance nothing would tell that it did, were each on its own. So settings that are alike are
taken to be worth alike,

    C = SPREAD^2 ((1 - OWN) exp(-r^2 / 2 d l^2) + OWN I)        r: between settings, each of d as a share of the range
                                                                that was compared; another word counts 1

for whichever l in REACHES has the highest evidence, log p(u) - 1/2 a'u - 1/2 log |I + W C|. Only differences count: the
mean of all compared trials is 0, and an sd is that of what a trial is above it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import inf, sqrt
from typing import Any, Final

from .events import Preferred, Reading, Value

# A difference of two trials is then N(0, 8) before they are compared: next to sure or next to a toss, both happen.
SPREAD: Final = 2.0
OWN: Final = 0.05  # of the variance: what settings do not say of a trial
REACHES: Final = (0.15, 0.3, 0.6, 1.2)
MOST_STEPS, NEAR = 100, 1e-10


@dataclass(frozen=True, slots=True)
class Duels:
    """Comparisons as arrays of one length: the row that won, the row that lost, and how much of a comparison it is."""

    won: Any
    lost: Any
    weight: Any

    @classmethod
    def of(cls, compared: Sequence[tuple[int, int, bool]]) -> "Duels":
        """Of (row, row, whether they are equally good)."""
        numpy = import_module("numpy")  # reading a campaign must not wait for it
        both = [(a, b, 0.5 if tie else 1.0) for a, b, tie in compared] + [(b, a, 0.5) for a, b, tie in compared if tie]
        won, lost, weight = zip(*both, strict=True) if both else ((), (), ())
        return cls(numpy.array(won, dtype=int), numpy.array(lost, dtype=int), numpy.array(weight, dtype=float))

    def likelihood(self, utility: Any) -> tuple[float, Any, Any, Any]:
        """Log likelihood of utilities (n); its first, second and third derivatives by each duel's own difference."""
        numpy, special = import_module("numpy"), import_module("scipy.special")
        z = (utility[self.won] - utility[self.lost]) / sqrt(2.0)
        log_p = special.log_ndtr(z)
        h = numpy.exp(-0.5 * z**2 - 0.5 * numpy.log(2.0 * numpy.pi) - log_p)
        curve = -h * (h + z)
        third = -curve * (2.0 * h + z) - h
        return (
            float(self.weight @ log_p),
            self.weight * h / sqrt(2.0),
            self.weight * curve / 2.0,
            self.weight * third / (2.0 * sqrt(2.0)),
        )

    def gathered(self, by_difference: Any, n: int) -> Any:
        """Derivatives by the duels' differences as one by n utilities."""
        numpy = import_module("numpy")
        return numpy.bincount(self.won, by_difference, n) - numpy.bincount(self.lost, by_difference, n)

    def information(self, curve: Any, n: int) -> Any:
        """W, n x n, minus the Hessian by n utilities."""
        numpy = import_module("numpy")
        w = numpy.zeros((n, n))
        for rows, columns, sign in (
            (self.won, self.won, -1.0), (self.lost, self.lost, -1.0), (self.won, self.lost, 1.0),
            (self.lost, self.won, 1.0),
        ):  # fmt: skip
            numpy.add.at(w, (rows, columns), sign * curve)
        return w


@dataclass(frozen=True, slots=True)
class Mode:
    """Utilities (n) of highest posterior, ``pull`` = C^-1 utility, W there, and the log of likelihood times prior."""

    utility: Any
    pull: Any
    information: Any
    height: float


def mode(covariance: Any, duels: Duels) -> Mode:
    """The utilities of highest posterior under the prior N(0, covariance), n x n."""
    numpy = import_module("numpy")
    n = len(covariance)
    pull = numpy.zeros(n)
    utility = covariance @ pull
    value, slope, curve, _ = duels.likelihood(utility)
    for _ in range(MOST_STEPS):
        w = duels.information(curve, n)
        newton = numpy.linalg.solve(numpy.eye(n) + w @ covariance, w @ utility + duels.gathered(slope, n))
        step, height = newton - pull, value - 0.5 * float(pull @ utility)
        for halving in range(30):
            tried = pull + 0.5**halving * step
            there = covariance @ tried
            value, slope, curve, _ = duels.likelihood(there)
            if value - 0.5 * float(tried @ there) >= height - 1e-12 * abs(height):
                break
        moved = float(numpy.max(numpy.abs(there - utility), initial=0.0))
        pull, utility = tried, there
        if moved < NEAR:
            break
    return Mode(utility, pull, duels.information(curve, n), value - 0.5 * float(pull @ utility))


@dataclass(slots=True)
class Tastes:
    """All comparisons of a campaign, in order, and what they say of each trial. Grows by ``add``."""

    comparisons: list[Preferred] = field(default_factory=list)
    settings: dict[int, Mapping[str, Value]] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)  # trials whose sample was not what it seemed
    _believed: dict[int, dict[str, Reading]] | None = field(default=None, compare=False, repr=False)

    def add(self, fact: Preferred, settings: Mapping[int, Mapping[str, Value]]) -> None:
        """One comparison more. settings: of its two trials."""
        self.comparisons.append(fact)
        self.settings.update(settings)
        self._believed = None

    def of(self, trial: int) -> dict[str, Reading]:
        """{outcome: believed utility and its sd} of a trial; empty while it was compared with nothing."""
        if not self.comparisons:
            return {}
        if self._believed is None:
            believed = self._that_count()
            compared = {number for one in believed for number in (one.trial, one.over)}
            settings = {number: self.settings[number] for number in compared}
            self._believed = _believed(believed, settings) if believed else {}
        return self._believed.get(trial, {})

    def leave_out(self, trial: int, out: bool) -> None:
        """Let a trial's comparisons count no more, or again."""
        (self.left_out.add if out else self.left_out.discard)(trial)
        self._believed = None

    def count(self, trial: int) -> int:
        """How often a trial was compared with one that is what it seemed."""
        return sum(trial in (one.trial, one.over) for one in self._that_count())

    def _that_count(self) -> list[Preferred]:
        return [one for one in self.comparisons if not {one.trial, one.over} & self.left_out]


def _believed(
    comparisons: Sequence[Preferred], settings: Mapping[int, Mapping[str, Value]]
) -> dict[int, dict[str, Reading]]:
    numpy = import_module("numpy")
    names = sorted(settings)
    row = {number: at for at, number in enumerate(names)}
    duels = Duels.of([(row[one.trial], row[one.over], one.tie) for one in comparisons])
    squares = _apart([settings[number] for number in names])
    eye = numpy.eye(len(names))
    best, found, spread = -inf, None, None
    for reach in REACHES:
        covariance = SPREAD**2 * ((1.0 - OWN) * numpy.exp(-0.5 * squares / reach**2) + OWN * eye)
        tried = mode(covariance, duels)
        widened = eye + covariance @ tried.information
        evidence = tried.height - 0.5 * float(numpy.linalg.slogdet(widened)[1])
        if found is None or evidence > best:
            best, found, spread = evidence, tried, numpy.linalg.solve(widened, covariance)
    assert found is not None  # there are REACHES
    centre = eye - 1.0 / len(names)
    utility, spread = centre @ found.utility, centre @ spread @ centre
    outcome = comparisons[0].outcome  # a campaign has one at most
    return {
        number: {outcome: Reading(value=float(utility[at]), sd=sqrt(max(float(spread[at, at]), 0.0)))}
        for number, at in row.items()
    }


def _apart(settings: Sequence[Mapping[str, Value]]) -> Any:
    """Mean squared distances of settings, n x n, over all that anybody of them has; what one lacks is another word."""
    numpy = import_module("numpy")
    names = list(dict.fromkeys(name for one in settings for name in one))
    total = numpy.zeros((len(settings), len(settings)))
    for name in names:
        values = [one.get(name) for one in settings]
        if all(isinstance(value, (int, float)) for value in values):
            numbers = numpy.array(values, dtype=float)
            whole = float(numpy.ptp(numbers))
            total += (numpy.subtract.outer(numbers, numbers) / (whole or 1.0)) ** 2
        else:
            words = numpy.array([repr(value) for value in values])
            total += words[:, None] != words[None, :]
    return total / max(len(names), 1)
