"""The space: which settings may be tried.

Settings are plain values by name, in the units that the campaign declares; a parameter that is not active has none.
The unit cube has one coordinate a parameter: numbers between their bounds (log scale: of their logarithms), ordered
choices by rank, the others by their index.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from itertools import combinations
from typing import Any

from .constraints import Linear, at_least, linear, meanings, mixture_sums
from .errors import SpecError
from .events import Value
from .formula import Compare, Expression, condition_of
from .grammar import CampaignSpec, flat_parameters
from .models import did_you_mean
from .parameters import Mixture, Parameter
from .pinned import pinned
from .polytope import Polytope
from .ranges import Range
from .units import number_text

Settings = dict[str, Value]
_TRIES = 10_000  # points tried before the space counts as having no room, and so many more a point wanted
_TRIES_A_POINT = 300
_POOR = 0.01  # of the points drawn in the cube are inside: then hit-and-run is quicker
_BATCH = 256
_PASSES = 30  # of putting numbers on equalities and back inside their bounds
_CUBE, _SHOWN = 2000, 8  # points that branches are looked for among, and how many of each are kept


class Space:
    """The space of a campaign."""

    def __init__(self, spec: CampaignSpec) -> None:
        self.parameters: dict[str, Parameter] = flat_parameters(spec.parameters)
        self.mixtures: dict[str, Mixture] = {
            name: one for name, one in spec.parameters.items() if isinstance(one, Mixture)
        }
        self.names: tuple[str, ...] = tuple(self.parameters)
        # What all trials of a batch have in common.
        self.shared: tuple[str, ...] = tuple(name for name, one in self.parameters.items() if one.shared)
        self.repeats = spec.candidates.repeats if spec.candidates else False
        self._rows = spec.candidates.rows if spec.candidates else None
        self.nonlinear: tuple[Expression, ...] = ()
        self._empty: set[tuple[frozenset[str] | None, tuple[tuple[str, ...], ...]]] = set()  # seen to have no point
        self._lines: list[Linear] = []
        # Linear where all that they name is active; they stand among the nonlinear ones too, which are the last word.
        self.conditional: list[Linear] = []
        for constraint in spec.constraints:
            line = linear(constraint, self.parameters)
            if line is None:
                self.nonlinear += (constraint,)
                if (conditional := linear(constraint, self.parameters, optional=True)) is not None:
                    self.conditional.append(conditional)
            else:
                self._lines.append(line)
        # As they are drawn and planned by; as they are written, they have the last word.
        self._bounding = pinned(self._lines, self.parameters, list(self.mixtures.values()))
        self._bounding += mixture_sums(spec.parameters)
        self._none = {name for one in self._bounding if one.bound == 0.0 and one.sense == "==" for name in _alone(one)}
        self._lines += mixture_sums(spec.parameters)

    def linear_constraints(self) -> list[Linear]:
        """The linear constraints, sums of mixtures among them, over numbers in declared units.

        One that leaves numbers no choice says of each of them what it is.
        """
        return list(self._bounding)

    @cached_property
    def candidates(self) -> list[Settings] | None:
        """The rows that may be proposed, as they stand, those that break a constraint left out; None: no table."""
        if self._rows is None:
            return None
        if not self._lines and not self.nonlinear:
            return [dict(row) for row in self._rows]
        return [dict(row) for row in self._rows if not self._broken(row)]

    def unit(self, name: str) -> str:
        """The declared unit of a parameter."""
        return self.parameters[name].unit

    def active(self, settings: Mapping[str, Value]) -> list[str]:
        """The parameters that count under these settings."""
        values = meanings(settings, self.parameters)
        found = []
        for name, parameter in self.parameters.items():
            condition = parameter.active_when
            if condition is None:
                found.append(name)
                continue
            known = all(word in values for word in condition.names if word in self.parameters)
            if known and condition_of(condition, values):
                found.append(name)
        return found

    def presence_faults(self, settings: Mapping[str, Value]) -> list[str]:
        """Which parameters under a condition have no value and should, or have one and should not."""
        active = self.active(settings)
        return [
            f"{name} has a value, and is not active here ({self.parameters[name].active_when})"
            for name in settings
            if name in self.parameters and name not in active
        ] + [f"{name} has no value" for name in active if name not in settings]

    def kept(self, settings: Mapping[str, Value]) -> Settings:
        """The settings without those of parameters that are not active, nor of what hangs on these in turn."""
        left = dict(settings)
        while len(active := {name for name in self.active(left) if name in left}) < len(left):
            left = {name: value for name, value in left.items() if name in active}
        return left

    def contains(self, settings: Mapping[str, Value]) -> list[str]:
        """Say why settings are not in the space, one sentence each; empty when they are. Tolerance 1e-9, relative."""
        broken = [
            f"{name} is no parameter. {did_you_mean(name, self.names)}"
            for name in settings
            if name not in self.parameters
        ]
        broken += self.presence_faults(settings)
        for name in self.names:
            if name in settings:
                fault = self.parameters[name].fault(settings[name])
                if fault:
                    broken.append(f"{name}: {fault}")
        return broken or self._broken(settings)

    def _broken(self, settings: Mapping[str, Value]) -> list[str]:
        broken = []
        for line in self._lines:
            if all(name in settings for name in line.coefficients):
                excess = line.excess(settings)
                if excess > line.slack(settings):
                    broken.append(f"{line.text} is broken by {number_text(float(f'{excess:.4g}'))}")
        values = meanings(settings, self.parameters)
        for constraint in self.nonlinear:
            spoken = [name for name in constraint.names if name in self.parameters]
            if all(name in settings for name in spoken) and not condition_of(constraint, values):
                broken.append(f"{constraint} does not hold")
        for name, mixture in self.mixtures.items():
            amounts = [settings[component] for component in mixture.mixture if component in settings]
            present = [one for one in amounts if isinstance(one, (int, float)) and one > 1e-9 * mixture.sum]
            if mixture.at_most is not None and len(present) > mixture.at_most:
                broken.append(f"{name} has {len(present)} components above zero, and {mixture.at_most} at most may be")
            least = mixture.at_least
            if least is not None and any(one < least * (1 - 1e-9) for one in present):
                broken.append(f"{name} has a component that is there with less than {number_text(least)}")
        return broken

    # --- the unit cube --------------------------------------------------------------------------------------------

    def encode(self, settings: Mapping[str, Value]) -> list[float]:
        """Settings as a point of the unit cube, one coordinate a name; a parameter that is not active is at 0.5."""
        return [self._encoded(name, settings[name]) if name in settings else 0.5 for name in self.names]

    def decode(self, point: Sequence[float]) -> Settings:
        """A point of the unit cube as settings, on the grids, what is not active left out."""
        return self.kept({name: self._decoded(name, u) for name, u in zip(self.names, point, strict=True)})

    def round(self, settings: Mapping[str, Value]) -> Settings:
        """The nearest settings within bounds, on the grids, and on the mixtures' sums; inactive ones left out."""
        rounded = {name: self._rounded(name, settings[name]) for name in self.names if name in settings}
        for mixture in self.mixtures.values():
            amounts = [float(rounded[name]) for name in mixture.mixture if name in rounded]
            total = math.fsum(amounts)
            if total > 0:
                for name in mixture.mixture:
                    if name in rounded:
                        rounded[name] = float(rounded[name]) * mixture.sum / total
        return self.kept(rounded)

    def _encoded(self, name: str, value: Value) -> float:
        parameter = self.parameters[name]
        if isinstance(parameter, Range):
            number = float(value)
            if parameter.scale == "log":
                return math.log(number / parameter.low) / math.log(parameter.high / parameter.low)
            return (number - parameter.low) / (parameter.high - parameter.low)
        index = parameter.values.index(parameter.read(value))
        return index / max(len(parameter.values) - 1, 1) if parameter.ordered else float(index)

    def _decoded(self, name: str, u: float) -> Value:
        parameter = self.parameters[name]
        if isinstance(parameter, Range):
            u = min(max(u, 0.0), 1.0)
            if parameter.scale == "log":
                return self._rounded(name, parameter.low * math.exp(u * math.log(parameter.high / parameter.low)))
            return self._rounded(name, parameter.low + u * (parameter.high - parameter.low))
        last = len(parameter.values) - 1
        index = u * last if parameter.ordered else u
        return parameter.values[min(max(round(index), 0), last)]

    def _rounded(self, name: str, value: Value) -> Value:
        parameter = self.parameters[name]
        if not isinstance(parameter, Range):
            return parameter.read(value)
        number = min(max(float(value), parameter.low), parameter.high)
        if parameter.stride is not None:
            steps = round((min(number, parameter.top) - parameter.low) / parameter.stride)
            number = float(f"{parameter.low + steps * parameter.stride:.12g}")
        return int(number) if parameter.integer else number

    # --- drawing --------------------------------------------------------------------------------------------------

    def sample(self, count: int, seed: int) -> list[Settings]:
        """Draw settings uniformly inside the constraints (log scales: of the logarithm), rows from a table.

        The same seed draws the same. Raises SpecError when no point is found.
        """
        numpy = import_module("numpy")
        random = numpy.random.default_rng(seed)
        rows = self.candidates
        if rows is not None:
            if not rows:
                raise SpecError("no row of the candidates keeps the constraints. Loosen one, or add rows")
            order = random.permutation(len(rows))
            return [dict(rows[order[at % len(rows)]]) for at in range(count)]
        found: list[Settings] = []
        rejecting = not any(line.sense == "==" for line in (*self._bounding, *self.conditional))
        tried = 0
        middles: dict[Any, tuple[Polytope, Any]] = {}
        while tried < _TRIES + _TRIES_A_POINT * count:
            wanted = max(count - len(found), 1)
            points = self._cube(random, _BATCH) if rejecting else self._walked(random, wanted, middles)
            tried += len(points)
            for point in points:
                settings = self._settled(self.round(point))
                if not self.contains(settings):
                    found.append(settings)
                    if len(found) == count:
                        return found
            if rejecting and tried >= 4 * _BATCH and len(found) < tried * _POOR:
                rejecting = not (self._lines or self.conditional)
        few = f"{len(found)} of {count} points were found inside the constraints"
        drawn = {one.text for one in self.conditional}
        for one in self.nonlinear:
            numbers = [name for name in one.names if isinstance(self.parameters.get(name), Range)]
            if isinstance(one, Compare) and one.sign == "==" and numbers and str(one) not in drawn:
                raise SpecError(
                    f"{few}: {one} is no sum of numbers alone, so that a point meets it by chance only. Give a choice "
                    "in it as a number (integer: [1, 5], or a range with a step), or leave room: <= and >="
                )
        raise SpecError(f"{few}. They leave too little room: loosen one")

    def _settled(self, settings: Settings) -> Settings:
        """The same where numbers without a grid make up for what the others' grids took from an equality."""
        lines = [
            line for line in (*self._bounding, *self.conditional)
            if line.sense == "==" and settings.keys() >= line.coefficients.keys()
        ]  # fmt: skip
        ranges = {name: self.parameters[name] for line in lines for name in line.coefficients}
        free = {
            name: one for name, one in ranges.items() if isinstance(one, Range) and one.stride is None
            and not (settings[name] == 0.0 and any(name in mixture.mixture for mixture in self.mixtures.values()))
        }  # fmt: skip
        if not free or len(free) == len(ranges) or all(line.excess(settings) <= line.slack(settings) for line in lines):
            return settings
        numpy = import_module("numpy")
        widths = numpy.array([one.high - one.low for one in free.values()])
        matrix = numpy.array([[line.coefficients.get(name, 0.0) for name in free] for line in lines]) * widths
        back = numpy.linalg.pinv(matrix)
        found = dict(settings)
        for _ in range(_PASSES):
            left = [
                line.bound - math.fsum(factor * float(found[name]) for name, factor in line.coefficients.items())
                for line in lines
            ]
            for (name, one), moved in zip(free.items(), back @ left * widths, strict=True):
                found[name] = min(max(float(found[name]) + float(moved), one.low), one.high)
        return found

    def _cube(self, random: Any, count: int) -> list[Settings]:
        return [
            {name: self._decoded(name, self._stretched(name, u)) for name, u in zip(self.names, row, strict=True)}
            for row in random.random((count, len(self.names)))
        ]

    def _stretched(self, name: str, u: float) -> float:
        """From [0, 1) to the coordinate, each choice and grid point equally likely."""
        parameter = self.parameters[name]
        if isinstance(parameter, Range):
            if parameter.stride is None:
                return u
            count = math.floor((parameter.high - parameter.low) / parameter.stride + 1e-9) + 1
            return min(math.floor(u * count) * parameter.stride / (parameter.high - parameter.low), 1.0) \
                if parameter.scale == "linear" else u  # fmt: skip
        index = math.floor(u * len(parameter.values))
        return index / max(len(parameter.values) - 1, 1) if parameter.ordered else float(index)

    def polytope(
        self, supports: Mapping[str, Sequence[str]] | None = None, branch: frozenset[str] | None = None
    ) -> Polytope:
        """The linear constraints over all numbers.

        supports: which components of each mixture may be above zero. branch: the parameters that have a value; then
        constraints over parameters under a condition bind too, and what keeps the others out, as far as it is linear.
        """
        ranges = {name: one for name, one in self.parameters.items() if isinstance(one, Range)}
        bounds = {name: (one.low, one.top) for name, one in ranges.items() if branch is None or name in branch}
        for name, support in (supports or {}).items():
            mixture = self.mixtures[name]
            for component in mixture.mixture:
                here = component in support
                bounds[component] = ((mixture.at_least or 0.0), mixture.sum) if here else (0.0, 0.0)
        return Polytope(bounds, [*self._bounding, *(self._of_branch(branch) if branch is not None else ())])

    def branch(self, settings: Mapping[str, Value]) -> frozenset[str] | None:
        """Which parameters have a value here; None where no linear constraint asks for it."""
        return frozenset(self.kept(settings)) if self.conditional else None

    def branches(self, seed: int) -> dict[frozenset[str], list[Settings]]:
        """Which parameters may have values together, and a few settings of each with other choices.

        Of the whole cube, so that one in which constraints leave little room is there too.
        """
        random = import_module("numpy").random.default_rng(seed)
        found: dict[frozenset[str], list[Settings]] = {}
        for point in self._cube(random, _CUBE):
            settings = self.kept(self.round(point))
            shown = found.setdefault(frozenset(settings), [])
            if len(shown) < _SHOWN and all(self._choices(one) != self._choices(settings) for one in shown):
                shown.append(settings)
        return found

    def _choices(self, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {name: value for name, value in settings.items() if not isinstance(self.parameters[name], Range)}

    def _of_branch(self, branch: frozenset[str]) -> list[Linear]:
        """The linear constraints that bind in a branch only: those over what counts there, and its own edges."""
        lines = [line for line in self.conditional if branch.issuperset(line.coefficients)]
        for name, one in self.parameters.items():
            condition = one.active_when
            if condition is None or not branch.issuperset(condition.names & set(self.names)):
                continue
            edge = linear(at_least(condition), self.parameters, optional=True)
            if edge is None:
                continue  # of choices, which are drawn; or of several things, which is left to be rejected
            strict = at_least(condition) is not condition
            if name in branch:
                lines.append(self._within(edge) if strict else edge)
            elif edge.sense == "<=":
                negated = {number: -factor for number, factor in edge.coefficients.items()}
                beyond = Linear(negated, -edge.bound, "<=", edge.text)
                lines.append(beyond if strict else self._within(beyond))
        return lines

    def _within(self, line: Linear) -> Linear:
        """The line just inside its edge, which itself belongs to the other side."""
        ranges = ((factor, self.parameters[name]) for name, factor in line.coefficients.items())
        reach = [abs(factor) * (one.high - one.low) for factor, one in ranges if isinstance(one, Range)]
        return replace(line, bound=line.bound - 1e-9 * max([abs(line.bound), *reach]))

    def _walked(self, random: Any, count: int, middles: dict[Any, tuple[Polytope, Any]]) -> list[Settings]:
        """Points inside the linear constraints. middles: where walks start, kept from one call to the next."""
        points = self._cube(random, count)
        groups: dict[tuple[frozenset[str] | None, tuple[tuple[str, ...], ...]], list[int]] = {}
        for at, point in enumerate(points):
            supports = tuple(self._support(one, random) for one in self.mixtures.values())
            groups.setdefault((self.branch(point), supports), []).append(at)
        for (branch, supports), places in groups.items():
            own_seed = int(random.integers(2**31))  # drawn in any case, so that the same seed always draws the same
            if (branch, supports) in self._empty:
                continue
            if (branch, supports) not in middles:  # many solutions of linear programmes: dear
                polytope = self.polytope(dict(zip(self.mixtures, supports, strict=True)), branch)
                try:
                    middles[branch, supports] = polytope, polytope.middle(own_seed)
                except SpecError:
                    # No point has just these components and parameters; what was drawn stays outside and is rejected.
                    self._empty.add((branch, supports))
                    continue
            polytope, middle = middles[branch, supports]
            drawn = polytope.draw(len(places), own_seed, middle)
            for at, row in zip(places, drawn, strict=True):
                points[at].update({name: float(value) for name, value in zip(polytope.names, row, strict=True)})
        return points

    def _support(self, mixture: Mixture, random: Any) -> tuple[str, ...]:
        known = self.may_be_there(mixture)
        most = min(mixture.at_most or len(known), len(known))
        if mixture.at_least is not None:
            most = min(most, math.floor(mixture.sum / mixture.at_least + 1e-9))
        if most >= len(known) and mixture.at_least is None:
            return known
        size = most if mixture.at_least is None else int(random.integers(1, most + 1))
        return tuple(known[at] for at in sorted(random.choice(len(known), size, replace=False)))

    def may_be_there(self, mixture: Mixture) -> tuple[str, ...]:
        """The components that no constraint keeps at zero."""
        return tuple(name for name in mixture.mixture if name not in self._none)

    def supports(self, most: int = 64) -> list[dict[str, tuple[str, ...]]]:
        """Ways to choose which components are there, at most ``most`` of them (one empty choice without mixtures)."""
        ways: list[dict[str, tuple[str, ...]]] = [{}]
        for name, mixture in self.mixtures.items():
            known = self.may_be_there(mixture)
            size = min(mixture.at_most or len(known), len(known))
            ways = [{**way, name: one} for way in ways for one in combinations(known, size)][:most]
        return ways


def _alone(line: Linear) -> Sequence[str]:
    """The number that a line speaks of, where it is one."""
    return tuple(line.coefficients) if len(line.coefficients) == 1 else ()
