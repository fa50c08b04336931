"""The planner's belief as it stands now, for figures: a model of the same data, made by the same road as a proposal's.

Of more than MOST_TRIALS results a figure's model rests on that many, and says so: the best of them and the others
evenly over the run. A fit to ten thousand takes minutes and gigabytes, and a terminal could not show the difference.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from labloop.campaign.objective import Objective
from labloop.campaign.space import Space
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import MEASURED, OPEN_STATES, CampaignState, TrialState

from . import figure as f
from .acquisition import Score
from .encoding import Array
from .errors import SurrogateError
from .front import front_of
from .goals import Goal, best_rows, standing
from .history import History, point_of, read
from .importance import importance
from .planner import Believer, Problem, score_of, trial_seed, turn_of
from .section import Section, along, levels
from .surrogate import Model
from .threads import one_thread

MOST_TRIALS = 2000
BEST_KEPT = 200
LEAST_TRIALS = 2
MAP_POINTS = 33  # along a range: a thousand points are foretold at once, and a terminal draws no finer
MOST_CHOICES = 48  # of one axis of a map: the best of them by the model
ACQUISITION = "acquisition"


class Portrait:
    """What is believed on the facts of ``state``. Raises SurrogateError, in words, for what cannot be drawn yet."""

    def __init__(self, spec: CampaignSpec, problem: Problem, state: CampaignState) -> None:
        self._objective, self._space, self._problem, self._state = Objective(spec), Space(spec), problem, state
        with one_thread():
            self._whole = read(state, problem.encoding, problem.goals)
            self._history = _thinned(self._whole, problem.goals)

    def draw(self, want: f.Want) -> f.Figure:
        """The figure that is wanted. Raises SurrogateError, SpecError."""
        with one_thread():
            return self._draw(want)

    def _draw(self, want: f.Want) -> f.Figure:
        if want.kind == "front":
            body, known = front_of(self._problem.goals, self._objective, self._state)
            return f.Figure(
                number=want.number, kind="front", seq=self._state.seq, body=body, trials=len(body.trials), known=known
            )
        if want.kind in ("importance", "parity"):
            of_all = f.Importance(shares=self._shares) if want.kind == "importance" else self._parity()
            return self._figure(want, of_all)
        best = self._best()
        trial = best if want.through is None else self._trial(want.through)
        point = point_of(trial.settings, self._problem.encoding)
        if point is None:
            raise SurrogateError(f"Trial {trial.trial} does not lie in this space: choose another")
        body_of = self._map if self._is_map(want) else self._slices
        return self._figure(want, body_of(want, trial, point), trial, trial is best)

    def _figure(
        self,
        want: f.Want,
        body: f.Slices | f.Map | f.Importance | f.Parity,
        trial: TrialState | None = None,
        is_best: bool = False,
    ) -> f.Figure:
        score = f"; {self._score.name}" if want.kind == ACQUISITION else ""
        return f.Figure(
            number=want.number, kind=want.kind, seq=self._state.seq, body=body, model=self._model.words + score,
            trials=len(self._history.known.observed), known=len(self._whole.known.observed),
            through=trial.trial if trial else None, is_best=is_best, settings=dict(trial.settings) if trial else {},
            measured=self._measured(trial) if trial else {}, notes=self._notes(trial),
        )  # fmt: skip

    # --- the model --------------------------------------------------------------------------------------------------

    @cached_property
    def _model(self) -> Model:
        problem, history = self._problem, self._history
        count = len(history.known.observed)
        if count < LEAST_TRIALS:
            had = "No trial is" if not count else "One trial is"
            raise SurrogateError(f"{had} measured yet; a model needs {LEAST_TRIALS}")
        if missing := [goal.outcome for goal in problem.goals if not len(history.data[goal.outcome].values)]:
            raise SurrogateError(f"Nothing is known yet of {', '.join(missing)}; a model needs every outcome")
        return Believer(problem, history.data, trial_seed(self._state.seed, 0))()

    @cached_property
    def _score(self) -> Score:
        seed = trial_seed(self._state.seed, turn_of(self._state, self._state.next_trial()))
        return score_of(self._problem, self._model, self._history, seed)

    @cached_property
    def _shares(self) -> dict[str, dict[str, float]]:
        return importance(self._model, self._problem.encoding)

    def _curves(self, section: Section, kind: f.Kind) -> dict[str, f.Curve]:
        if kind == ACQUISITION:
            return {ACQUISITION: f.Curve(mean=_numbers(self._score.of_rows(section.points)), sd=[])}
        mean, sd = self._model.predict(section.points)
        return {
            name: f.Curve(mean=_numbers(mean[:, at]), sd=[_short(value) for value in sd[:, at]])
            for at, name in enumerate(self._model.outcomes)
        }

    # --- figures ----------------------------------------------------------------------------------------------------

    def _is_map(self, want: f.Want) -> bool:
        return want.kind in ("map", ACQUISITION) and self._problem.encoding.dimension > 1

    def _slices(self, want: f.Want, trial: TrialState, point: Array) -> f.Slices:
        encoding = self._problem.encoding
        out = encoding.presence.conditions.out(point[None, :])[0] if encoding.presence.conditions else None
        slices = []
        for at in range(encoding.dimension):
            if out is not None and out[at]:
                axis = self._axis(at, np.empty(0), None)
                words = f"has no value in trial {trial.trial}"
                slices.append(f.Slice(axis=axis, curves={}, inside=[], words=words))
                continue
            where = self._with(levels(encoding, at), point[at])
            section = along(encoding, point, [at], where[:, None])
            curves = self._curves(section, want.kind)
            axis = self._axis(at, where, point[at])
            slices.append(f.Slice(axis=axis, curves=curves, inside=section.inside.tolist()))
        return f.Slices(slices=slices, shares=self._shares)

    def _map(self, want: f.Want, trial: TrialState, point: Array) -> f.Map:
        encoding = self._problem.encoding
        across, up = self._pair(want.pair, point)
        axes = [self._levels_of_map(at, point) for at in (across, up)]
        grid = np.stack([one.ravel() for one in np.meshgrid(*axes)], axis=1)
        section = along(encoding, point, [across, up], grid)
        out = encoding.presence.conditions.out(point[None, :])[0] if encoding.presence.conditions else None
        ends = [
            self._axis(at, where, None if out is not None and out[at] else point[at])
            for at, where in zip((across, up), axes, strict=True)
        ]
        return f.Map(
            across=ends[0], up=ends[1], curves=self._curves(section, want.kind), inside=section.inside.tolist(),
            tried=self._tried(across, up, trial.trial),
        )  # fmt: skip

    def _parity(self) -> f.Parity:
        model, data = self._model, self._history.data
        foretold, words = {}, {}
        for name in model.outcomes:
            if data[name].compared is not None:
                words[name] = "people compare it, two trials at a time: there is no number to hold against a forecast"
                continue
            rows = zip(data[name].trials, data[name].values, *model.left_out(name), strict=True)
            foretold[name] = [f.Foretold(int(n), *map(_short, numbers)) for n, *numbers in rows]
        return f.Parity(foretold=foretold, words=words)

    # --- where ------------------------------------------------------------------------------------------------------

    def _trial(self, number: int) -> TrialState:
        trial = self._state.trials.get(number)
        if trial is None:
            raise SurrogateError(f"There is no trial {number}; the last is {max(self._state.trials, default=0)}")
        return trial

    def _best(self) -> TrialState:
        """The best by what was measured; of a front one that stands well in all."""
        if not self._objective.pareto:
            found: TrialState | None = self._objective.best(self._state.believed)
            if found is not None:
                return found
        model, known = self._model, self._history.known.observed
        believed = standing(self._problem.goals, model.outcomes, model.scales, model.middles(known))
        numbers = _trials_of(self._history)
        return self._state.trials[int(numbers[best_rows(believed, 1)[0]])]

    def _measured(self, trial: TrialState) -> dict[str, float]:
        """What was measured in a trial; what people compare has no number of its own."""
        found = {}
        for name, data in self._whole.data.items():
            if data.compared is not None:
                continue
            rows = np.flatnonzero(data.trials == trial.trial)
            if len(rows):
                found[name] = float(data.values[rows[0]])
        return found

    def _pair(self, wanted: Sequence[str], point: Array) -> tuple[int, int]:
        """Which two parameters a map is over: those that are wanted, else those that matter most."""
        encoding = self._problem.encoding
        names = list(encoding.names)
        unknown = [name for name in wanted if name not in names]
        if unknown or len(wanted) > 2 or len(set(wanted)) < len(wanted):
            raise SurrogateError(f"A map is over two of {', '.join(names)}; not over {', '.join(wanted)}")
        out = encoding.presence.conditions.out(point[None, :])[0] if encoding.presence.conditions else None
        total = {name: sum(shares[name] for shares in self._shares.values()) for name in names}
        counts = [name for at, name in enumerate(names) if out is None or not out[at]]
        ranked = sorted(counts, key=lambda name: -total[name]) + [name for name in names if name not in counts]
        chosen = [*wanted, *(name for name in ranked if name not in wanted)][:2]
        if not wanted:
            chosen.sort(key=names.index)
        return names.index(chosen[0]), names.index(chosen[1])

    def _with(self, where: Array, own: float) -> Array:
        """The same with the trial's own value among them."""
        return np.unique(np.append(where[np.abs(where - own) > 1e-9], own))

    def _levels_of_map(self, at: int, point: Array) -> Array:
        encoding = self._problem.encoding
        column = encoding.columns[at]
        where = levels(encoding, at, MAP_POINTS)
        if column.kind not in ("label", "ordered") or len(where) <= MOST_CHOICES:
            return where
        believed = self._model.predict(along(encoding, point, [at], where[:, None]).points)[0]
        model = self._model
        chosen = best_rows(standing(self._problem.goals, model.outcomes, model.scales, believed), MOST_CHOICES - 1)
        return self._with(where[np.sort(chosen)], point[at])

    def _axis(self, at: int, where: Array, own: float | None) -> f.Axis:
        column = self._problem.encoding.columns[at]
        unit = getattr(self._space.parameters[column.name], "unit", "")
        if column.values:
            places = [int(place) for place in column.index(where)] if len(where) else []
            here = None if own is None else float(column.index(np.asarray(own)))
            choices = [str(value) for value in column.values]
            return f.Axis(name=column.name, unit=unit, at=[float(p) for p in places], choices=choices, here=here)
        here = None if own is None else float(f"{float(column.to_value(own)):.8g}")
        numbers = [float(f"{value:.8g}") for value in column.to_value(where)]
        return f.Axis(name=column.name, unit=unit, at=numbers, log=column.log, here=here)

    def _tried(self, across: int, up: int, own: int) -> list[tuple[int, float, float, str]]:
        """Where trials lie over two parameters, the newest last; of very many ``own`` and the newest."""
        encoding, found = self._problem.encoding, []
        for number in sorted(self._state.trials):
            trial = self._state.trials[number]
            if trial.state != MEASURED and trial.state not in OPEN_STATES:
                continue
            point = point_of(trial.settings, encoding)
            if point is None or not {encoding.names[across], encoding.names[up]} <= trial.settings.keys():
                continue
            x, y = (self._place(at, point[at]) for at in (across, up))
            found.append((number, x, y, trial.state))
        return [one for one in found[:-MOST_TRIALS] if one[0] == own] + found[-MOST_TRIALS:]

    def _place(self, at: int, u: float) -> float:
        column = self._problem.encoding.columns[at]
        return float(column.index(np.asarray(u)) if column.values else column.to_value(u))

    def _notes(self, trial: TrialState | None) -> list[str]:
        notes = []
        begun, initial = self._history.begun, self._problem.initial
        if begun < initial:
            notes.append(f"the first design still chooses the trials ({begun} of {initial})")
        if trial is not None and trial.state != MEASURED:
            notes.append(f"trial {trial.trial} is {trial.state}")
        return notes


def _thinned(history: History, goals: Sequence[Goal]) -> History:
    """As many trials as a figure can be made of: the best, and the others evenly over the run."""
    if len(history.known.observed) <= MOST_TRIALS or any(goal.compared for goal in goals):
        return history
    numbers = _trials_of(history)
    best = _best_of(history, goals)
    others = np.setdiff1d(numbers, best)
    spread = others[np.unique(np.linspace(0, len(others) - 1, MOST_TRIALS - len(best)).astype(np.intp))]
    kept = np.isin(numbers, np.concatenate([best, spread]))
    data = {name: one.of(np.flatnonzero(np.isin(one.trials, numbers[kept]))) for name, one in history.data.items()}
    known = history.known
    reachable = None if known.reachable is None else known.reachable[kept]
    known = replace(known, observed=known.observed[kept], worked=known.worked[kept], reachable=reachable)
    return replace(history, data=data, known=known)


def _best_of(history: History, goals: Sequence[Goal]) -> NDArray[np.intp]:
    """The numbers of the best trials, by what was measured of those of which everything was."""
    data = [history.data[goal.outcome] for goal in goals]
    complete = reduce(np.intersect1d, [one.trials for one in data])
    if not len(complete):
        return complete
    values = np.column_stack([one.values[np.searchsorted(one.trials, complete)] for one in data])
    scales = [float(one.values.std()) or 1.0 for one in data]
    order = best_rows(standing(goals, [goal.outcome for goal in goals], scales, values), BEST_KEPT)
    return np.asarray(complete[order])


def _trials_of(history: History) -> NDArray[np.intp]:
    """The trials' numbers of the rows of ``history.known.observed``."""
    return np.unique(np.concatenate([one.trials for one in history.data.values()]))


def _numbers(values: Array) -> list[float | None]:
    return [_short(value) if math.isfinite(value) else None for value in values]


def _short(value: float) -> float:
    """Six digits: more cannot be seen, and a line of them is read in a blink."""
    return float(f"{value:.6g}")
