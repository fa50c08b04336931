"""The extremes of a recipe over its whole space: what ``check`` holds against the limits before anything moves.

Every setting of every step is worked out at the corners of the constrained space, at random points inside, at controls
and at every candidate; the highest and lowest are then followed uphill: the gradient at the best point so far, the
corner farthest along it, again while that is better; where the stage is left out there (``when``), as far as it is not.
For settings that are products of sums (flows are) this ends in the true extreme; for others the answer is the most
extreme point seen, and says where.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from .constraints import meanings
from .errors import SpecError
from .events import Amount, Value
from .formula import Expression
from .grammar import CampaignSpec
from .polytope import Polytope
from .ranges import Range
from .recipe import amount, holds
from .space import Settings, Space
from .steps import Setting, Stage, Step, Text
from .units import convert

RANDOM_POINTS = 1000
CORNERS = 96
LEAST_CORNERS = 24  # of each branch, where there are several
MOST_ROWS = 20_000
_CLIMBS = 6
_HALVINGS = 40
_SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """The lowest and highest value of one setting, in ``unit``, and settings of a trial that give each."""

    instrument: str
    action: str
    setting: str
    unit: str
    low: float
    high: float
    low_at: Mapping[str, Value]
    high_at: Mapping[str, Value]
    place: str = ""


@dataclass(slots=True)
class _Seen:
    unit: str
    low: float
    high: float
    low_at: Settings
    high_at: Settings

    def see(self, value: float, settings: Settings) -> None:
        if value < self.low:
            self.low, self.low_at = value, settings
        if value > self.high:
            self.high, self.high_at = value, settings


def worst_cases(spec: CampaignSpec) -> tuple[Extreme, ...]:
    """The extremes of every numeric setting of the recipe. Raises SpecError when one has no value somewhere."""
    space = Space(spec)
    found: list[Extreme] = []
    varied: list[tuple[Stage, Step, str, Setting]] = []
    for stage in _stages(spec):
        for step in stage.steps:
            for name, setting in step.settings.items():
                if isinstance(setting, Expression) and setting.names & set(space.names):
                    varied.append((stage, step, name, setting))
                    continue
                constant = _constant(setting)
                if constant is not None:
                    value = float(constant.value)
                    found.append(_extreme(spec, step, name, _Seen(constant.unit, value, value, {}, {})))
    points = list(_points(spec, space)) if varied else []
    polytope = _polytope(space) if varied else None
    for stage, step, name, setting in varied:
        seen = _over(spec, space, points, stage, step, name, setting)
        if seen is not None:
            if polytope is not None and space.candidates is None:
                _climb(space, polytope, stage, setting, seen)
            found.append(_extreme(spec, step, name, seen))
    order = {place: at for at, place in enumerate(_places(spec))}
    return tuple(sorted(found, key=lambda one: order[one.instrument, one.action, one.setting, one.place]))


def _places(spec: CampaignSpec) -> Iterator[tuple[str, str, str, str]]:
    for stage in _stages(spec):
        for step in stage.steps:
            for name in step.settings:
                yield step.instrument, step.action, name, spec.place(step.path_of(name))


def _stages(spec: CampaignSpec) -> Iterator[Stage]:
    for phase in ("setup", "each_batch", "trial", "cleanup", "teardown"):
        yield from spec.steps_of(phase)
    for index in range(len(spec.every)):
        yield from spec.steps_of(f"every.{index}")


def _constant(setting: Setting) -> Amount | None:
    if isinstance(setting, bool | Text):
        return None
    found = amount(setting, {})
    return found if isinstance(found.value, float) else None


def _extreme(spec: CampaignSpec, step: Step, name: str, seen: _Seen) -> Extreme:
    return Extreme(
        instrument=step.instrument, action=step.action, setting=name, unit=seen.unit, low=seen.low, high=seen.high,
        low_at=seen.low_at, high_at=seen.high_at, place=spec.place(step.path_of(name)),
    )  # fmt: skip


def _points(spec: CampaignSpec, space: Space) -> Iterator[Settings]:
    """Where to look: controls, then rows, or corners and random points."""
    yield from controls(spec)
    if space.candidates is not None:
        rows = space.candidates
        yield from rows[:: max(len(rows) // MOST_ROWS, 1)]
        for name, one in space.parameters.items():
            if isinstance(one, Range) and rows:
                filled = [row for row in rows if name in row] or rows
                yield min(filled, key=lambda row, key=name: row.get(key, 0))  # type: ignore[misc]
                yield max(filled, key=lambda row, key=name: row.get(key, 0))  # type: ignore[misc]
        return
    yield from corners(space)
    yield from space.sample(RANDOM_POINTS, _SEED)


def controls(spec: CampaignSpec) -> Iterator[Settings]:
    """The settings of controls and blanks."""
    for every in spec.every:
        if every.control or every.blank:
            yield dict(every.control or every.blank)


def corners(space: Space) -> Iterator[Settings]:
    """Corners of what the linear constraints leave, with choices in turn; what bends may leave some of them out."""
    if space.conditional:
        yield from _corners_of_branches(space)
        return
    words = {name: one.values for name, one in space.parameters.items() if not isinstance(one, Range)}
    cycles = {name: itertools.cycle(values) for name, values in words.items()}
    for supports in space.supports():
        polytope = space.polytope(supports)
        try:
            found = polytope.corners(CORNERS, _SEED)
        except SpecError:
            continue
        most = max(map(len, words.values()), default=1)
        for row in found:
            for _ in range(min(most, 8)):
                point: Settings = {name: float(value) for name, value in zip(polytope.names, row, strict=True)}
                point.update({name: next(cycle) for name, cycle in cycles.items()})
                yield space.kept(point)


def _corners_of_branches(space: Space) -> Iterator[Settings]:
    """Where constraints bind in some branches only, the corners of each branch, with choices that lead there."""
    branches = space.branches(_SEED)
    each = max(CORNERS // len(branches), LEAST_CORNERS)
    for branch, shown in branches.items():
        for supports in space.supports():
            polytope = space.polytope(supports, branch)
            try:
                found = polytope.corners(each, _SEED)
            except SpecError:
                continue
            for row in found:
                there = {name: float(value) for name, value in zip(polytope.names, row, strict=True)}
                for settings in shown:
                    point = space.kept({**settings, **there})
                    if not space.presence_faults(point):
                        yield point


def _polytope(space: Space) -> Polytope | None:
    mixed = any(one.at_most is not None or one.at_least is not None for one in space.mixtures.values())
    return None if mixed else space.polytope()


def _over(
    spec: CampaignSpec, space: Space, points: Sequence[Settings], stage: Stage, step: Step, name: str, setting: Setting
) -> _Seen | None:
    seen: _Seen | None = None
    for settings in points:
        values = meanings(settings, space.parameters)
        try:
            if stage.when is not None and not holds(stage.when, values, space.parameters):
                continue
            found = amount(setting, values)
        except SpecError as error:
            at = ", ".join(f"{key} = {value}" for key, value in settings.items())
            rule = _without(space, setting, settings) or str(error)
            raise SpecError(f"{spec.complaint(step.path_of(name), rule)} (at {at})") from error
        if not isinstance(found.value, float):
            continue
        if seen is None:
            seen = _Seen(found.unit, found.value, found.value, settings, settings)
        seen.see(convert(found.value, found.unit, seen.unit), settings)
    return seen


def _without(space: Space, setting: Setting, settings: Settings) -> str:
    """Say which parameter of a setting is not active here, and what to do; "": that is not it."""
    for name in sorted(getattr(setting, "names", frozenset()) & set(space.names) - set(settings)):
        condition = space.parameters[name].active_when
        return f"{name} has no value where `{condition}` does not hold. Write `when: {condition}` beside the step"
    return ""


def _climb(space: Space, polytope: Polytope, stage: Stage, setting: Setting, seen: _Seen) -> None:
    numpy = import_module("numpy")

    def done(settings: Settings) -> bool:
        return stage.when is None or holds(stage.when, meanings(settings, space.parameters), space.parameters)

    def value(settings: Settings) -> float:
        found = amount(setting, meanings(settings, space.parameters))
        return convert(float(found.value), found.unit, seen.unit)

    def gradient(settings: Settings) -> Any:
        slopes = []
        for name, low, high in zip(polytope.names, polytope.low, polytope.high, strict=True):
            if name not in settings or high <= low:
                slopes.append(0.0)
                continue
            step = 1e-4 * (high - low) * (1.0 if float(settings[name]) < (low + high) / 2 else -1.0)
            slopes.append((value({**settings, name: float(settings[name]) + step}) - value(settings)) / step)
        return numpy.array(slopes)

    whole = polytope
    for sign in (1.0, -1.0):
        for _ in range(_CLIMBS):
            settings = seen.high_at if sign > 0 else seen.low_at
            branch = space.branch(settings)
            polytope = whole if branch is None else space.polytope(None, branch)
            corner = polytope.extreme(sign * gradient(settings))
            if corner is None:
                break
            there = {name: float(x) for name, x in zip(polytope.names, corner, strict=True) if name in settings}
            point = {**settings, **there}
            if branch is not None and space.presence_faults(point):
                break  # the edge of the branch, where something else counts
            if not done(point):
                point = _edge(space, settings, point, done)
            before = seen.high, seen.low
            seen.see(value(point), point)
            if (seen.high, seen.low) == before:
                break


def _edge(space: Space, inside: Settings, beyond: Settings, done: Callable[[Settings], bool]) -> Settings:
    """How far it is done on the way from ``inside``, where it is, to ``beyond``, where it is not."""
    edge, near, far = inside, 0.0, 1.0
    moved = {name: (float(inside[name]), float(beyond[name])) for name in beyond if beyond[name] != inside[name]}
    for _ in range(_HALVINGS):
        part = (near + far) / 2.0
        point = space.round({**inside, **{name: low + part * (high - low) for name, (low, high) in moved.items()}})
        if done(point) and not space.contains(point):
            edge, near = point, part
        else:
            far = part
    return edge
