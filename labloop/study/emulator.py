"""What would have been measured anywhere in a campaign's space, as far as a table of past measurements can tell.

    model     a Gaussian process an outcome, with the planner's columns and kernel (labloop.planner.surrogate), given
              all conditions of the table. It answers with its mean, so the same settings always give the same
    error     FOLDS-fold cross-validation: each condition foretold by what the other folds alone have taught, parameters
              learnt anew; root mean square, and R2 = 1 - (mean square error) / (variance of the conditions)
    covered   every choice that the space allows stands in the table; no number of the space lies further beyond the
              table's than BEYOND of its range; and the process knows at least half of the outcome's variance at nine
              points of ten. Elsewhere it would answer with hardly more than its mean, and a campaign learn that

``drawn`` points of the space stand for all of it: their median and their best hundredth are what courses are scored by.
The optimum is looked for from the best of them and of the table, by smaller and smaller steps.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import moocore
import numpy as np

from labloop.campaign.errors import SpecError
from labloop.campaign.objective import Objective
from labloop.campaign.space import Settings, Space
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.campaign.units import number_text
from labloop.planner.design import free_rows, sample
from labloop.planner.encoding import Encoding
from labloop.planner.errors import SurrogateError
from labloop.planner.known import Observations
from labloop.planner.problem import read_problem
from labloop.planner.surrogate import Surrogate, fit_all
from labloop.planner.threads import one_thread

from .measured import Array, Measured, merits, without_instruments

FOLDS: Final = 10
LEAST_CONDITIONS: Final = 20  # two a fold; with fewer neither the model nor its error means much
BEYOND: Final = 0.1  # of a number's range: the published tables of designs in docs/backtest.md reach within 0.03
MOST_OPEN: Final = 0.1  # of the drawn points; of the silver table's space 0.001 is open
DRAWN: Final = 4096  # points: the best hundredth of them are 41, and their bound repeats to 0.1 of a hundredth
BLOCK: Final = 512
# The search for the optimum: so many points are kept, each with so many steps of each length (unit cube).
KEPT, STEPS, LENGTHS = 24, 24, (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """How far off one outcome is, by cross-validation. ``rmse``: in its unit; ``r2``: 1 is perfect, 0 the mean."""

    rmse: float
    r2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A table's conditions, made answer everywhere. ``errors``: by outcome; ``open_share``: of the space, hardly known.

    ``drawn``: points that stand for the space, N x d.
    """

    campaign: CampaignSpec
    space: Space
    encoding: Encoding
    surrogate: Surrogate
    errors: Mapping[str, Error]
    open_share: float
    drawn: Array

    def answer(self, settings: Settings) -> dict[str, float]:
        """The outcomes at a point of the space. Raises SpecError for settings outside it."""
        broken = self.space.contains(settings)
        if broken:
            raise SpecError(f"{settings} is asked of the emulator, and is not in the space: {'; '.join(broken)}")
        return self.at(self.encoding.encode([settings]))[0]

    def at(self, points: Array) -> list[dict[str, float]]:
        """The outcomes at points, N x d."""
        with one_thread():
            mean = self.surrogate.middles(points)
        return [dict(zip(self.surrogate.outcomes, map(float, row), strict=True)) for row in mean]

    def by_chance(self, seed: Sequence[int]) -> Iterator[Settings]:
        """Settings by chance, evenly over the space; of candidates each once, else without end."""
        if self.encoding.rows is not None:
            rows = free_rows(self.encoding, np.empty((0, self.encoding.dimension)))
            for row in np.random.default_rng(list(seed)).permutation(rows):
                yield self.encoding.decode(self.encoding.rows[row])
            return
        for block in count():
            generator = np.random.default_rng([*seed, block])
            points = sample(self.encoding, BLOCK, int(generator.integers(2**31)), method="random")
            for point in generator.permutation(points):  # inside tight constraints they come farthest first
                yield self.encoding.decode(point)

    def best(self, objective: Objective, measured: Measured) -> list[dict[str, Any]]:
        """The optimum {settings, outcomes}, or a front of several: the best that was found anywhere in the space."""
        points = np.concatenate([self.drawn, self.encoding.encode(measured.settings)])
        if self.encoding.rows is not None:
            points = self.drawn
        points = self._leading(points, objective)
        if not len(points):  # a front of nothing: no point keeps the limits
            return []
        if self.encoding.rows is None:
            generator = np.random.default_rng(0)
            for length in LENGTHS:
                points = self._leading(np.concatenate([points, self._around(points, length, generator)]), objective)
        kept = points if objective.pareto else points[:1]
        found = zip(kept, self.at(kept), strict=True)
        return [{"settings": self.encoding.decode(point), "outcomes": outcomes} for point, outcomes in found]

    def _around(self, points: Array, length: float, generator: np.random.Generator) -> Array:
        """Free points near these, other choices among them."""
        near = np.repeat(points, STEPS, axis=0)
        moved = generator.random(near.shape) < 0.5
        steps = generator.normal(0.0, length, near.shape)
        for index, column in enumerate(self.encoding.columns):
            if column.kind == "label":
                other = generator.integers(len(column.values), size=len(near))
                near[:, index] = np.where(generator.random(len(near)) < 0.1, other, near[:, index])
            else:
                near[:, index] += np.where(moved[:, index], steps[:, index], 0.0)
        near = self.encoding.snap(near)
        near = near[self.encoding.is_inside(near)]
        settings = [self.encoding.decode(point) for point in near]
        settings = [one for one in settings if not self.space.contains(one)]
        return self.encoding.encode(settings)

    def _leading(self, points: Array, objective: Objective) -> Array:
        """The best few of the points, best first; of a front what nothing is better than."""
        points = np.unique(points, axis=0)
        merit = merits(objective, self.at(points))
        if merit.shape[1] == 1:
            return np.asarray(points[np.argsort(-merit[:, 0], kind="stable")[:KEPT]])
        kept = np.isfinite(merit).all(axis=1)
        points, merit = points[kept], merit[kept]
        if not len(points):
            return points
        front = np.flatnonzero(moocore.is_nondominated(merit, maximise=True))
        return np.asarray(points[front[np.linspace(0, len(front) - 1, min(len(front), 4 * KEPT)).astype(int)]])

    def document(self) -> dict[str, Any]:
        """What it is and how good, as plain data."""
        return {
            "model": self.surrogate.words,
            "folds": FOLDS,
            "errors": {name: {"rmse": one.rmse, "r2": one.r2} for name, one in self.errors.items()},
            "open_share": self.open_share,
            "drawn": len(self.drawn),
        }


def fit_emulator(spec: CampaignSpec, measured: Measured, *, judged: bool = True) -> Emulator:
    """Fit an emulator of a campaign's outcomes over its space.

    judged: its error is worked out and its cover looked at; without, ``errors`` is empty (what answers is the same).
    Raises SpecError where the table has too little, leaves out a part of the space, or teaches nothing.
    """
    if len(measured) < LEAST_CONDITIONS:
        raise SpecError(
            f"--emulator: of {len(measured)} conditions no emulator is learnt; {LEAST_CONDITIONS} are the least. Take "
            "a table with more rows in the campaign's space, or leave --emulator out: then the rows are the candidates"
        )
    campaign = emulated(spec)
    encoding = read_problem(campaign).encoding
    points = encoding.encode(measured.settings)
    every = np.arange(len(measured))
    with one_thread():
        try:
            surrogate = _fitted(encoding, measured, points, every)
            errors = _errors(encoding, measured, points) if judged else {}
        except SurrogateError as error:
            raise SpecError(f"--emulator: {error}") from error
    drawn = _drawn(encoding) if judged else points
    open_share = _open_share(surrogate, drawn) if judged else 0.0
    if judged:
        faults = [*_uncovered(encoding, points, drawn), *_taught(errors, open_share)]
        if faults:
            raise SpecError(*(f"--emulator: {fault}" for fault in faults))
    return Emulator(
        campaign=campaign, space=Space(campaign), encoding=encoding, surrogate=surrogate, errors=errors,
        open_share=open_share, drawn=drawn,
    )  # fmt: skip


def emulated(spec: CampaignSpec, *, seed: int = 0, initial: int = 1, batch: int = 1) -> CampaignSpec:
    """The campaign as it is over its own space, told its first ``initial`` points, without instruments."""
    written = without_instruments(spec)
    if spec.candidates is not None:
        written["candidates"] = spec.dump()["candidates"]
    written["design"] = {"initial": {"method": "sobol", "trials": max(initial, 1)}, "seed": seed, "batch": batch}
    return spec_from_dict(written, spec.folder)


def _fitted(encoding: Encoding, measured: Measured, points: Array, rows: Any) -> Surrogate:
    data = {
        name: Observations(
            points[rows], np.array([measured.outcomes[row][name] for row in rows]), np.zeros(len(rows)), np.array(rows)
        )
        for name in measured.outcomes[0]
    }
    return fit_all(data, encoding, ["matern"])


def _errors(encoding: Encoding, measured: Measured, points: Array) -> dict[str, Error]:
    names = list(measured.outcomes[0])
    values = np.array([[one[name] for name in names] for one in measured.outcomes])
    order = np.random.default_rng(0).permutation(len(measured))
    foretold = np.empty(values.shape)
    for fold in range(FOLDS):
        left = order[fold::FOLDS]
        rest = np.sort(np.setdiff1d(order, left))
        foretold[left] = _fitted(encoding, measured, points, rest).predict(points[left])[0]
    squares = np.mean((foretold - values) ** 2, axis=0)
    spread = np.var(values, axis=0)
    return {
        name: Error(
            rmse=float(f"{np.sqrt(squares[at]):.6g}"),
            r2=round(1.0 - float(squares[at] / spread[at]), 4) if spread[at] > 0.0 else 0.0,
        )
        for at, name in enumerate(names)
    }


def _drawn(encoding: Encoding) -> Array:
    """Points that stand for the space: all candidates, or DRAWN by chance, evenly."""
    if encoding.rows is not None:
        return np.asarray(encoding.rows[free_rows(encoding, np.empty((0, encoding.dimension)))])
    settings = [encoding.decode(point) for point in sample(encoding, DRAWN, 0)]
    return encoding.encode(settings)


def _open_share(surrogate: Surrogate, drawn: Array) -> float:
    """The share of the points where some outcome's process knows less than half of its variance."""
    is_open = np.zeros(len(drawn), dtype=bool)
    with one_thread():
        for belief in surrogate.beliefs:
            for member in belief.members:
                is_open |= member.posterior(drawn)[1] > 0.5 * member.prior
    return round(float(is_open.mean()), 4)


def _uncovered(encoding: Encoding, points: Array, drawn: Array) -> Iterator[str]:
    """What the space has and the table has not."""
    conditions = encoding.presence.conditions
    for at, column in enumerate(encoding.columns):
        here, there = points[:, at], drawn[:, at]
        if conditions is not None:
            here, there = here[~conditions.out(points)[:, at]], there[~conditions.out(drawn)[:, at]]
        if not len(there):
            continue
        if column.kind in ("label", "ordered"):
            known = {column.decode(float(u)) for u in here}
            missing = [str(one) for one in dict.fromkeys(column.decode(float(u)) for u in there) if one not in known]
            if missing:
                yield (
                    f"of {column.name} the table has no row with {', '.join(sorted(missing)[:5])}, and the space has. "
                    "Take them out of the parameter, or add rows"
                )
            continue
        low, high = (float(here.min()), float(here.max())) if len(here) else (1.0, 0.0)
        if max(low - there.min(), there.max() - high) > BEYOND:
            seen = f"from {_text(column, low)} to {_text(column, high)}" if len(here) else "with no value"
            yield (
                f"{column.name} goes from {_text(column, there.min())} to {_text(column, there.max())} in the space, "
                f"and {seen} in the table. Narrow its range to what was measured, or add rows"
            )


def _text(column: Any, u: float) -> str:
    return number_text(float(f"{float(column.to_value(u)):.4g}"))


def _taught(errors: Mapping[str, Error], open_share: float) -> Iterator[str]:
    for name, error in errors.items():
        if error.r2 <= 0.0:
            yield (
                f"{name} is foretold no better than by its mean (R2 {error.r2:g}, {FOLDS}-fold). Leave --emulator out: "
                "then the table's rows are the candidates"
            )
    if open_share > MOST_OPEN:
        yield (
            f"at {100 * open_share:.0f} % of the space the table tells less than half of what there is to know, and "
            f"{100 * MOST_OPEN:.0f} % are the most. Narrow the parameters to what was measured, or add rows"
        )


def in_words(document: Mapping[str, Any]) -> str:
    """An emulator's document in a line: which outcome is how far off."""
    errors = "; ".join(
        f"{name}: RMSE {one['rmse']:.3g}, R2 {one['r2']:.3f}" for name, one in document["errors"].items()
    )
    return f"{errors} ({document['folds']}-fold cross-validation)"
