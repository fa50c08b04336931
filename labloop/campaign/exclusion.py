"""Whether two conditions can never hold for the same settings.

Choices are tried in every combination. Between the numbers that a condition compares with it does not change, so those
numbers, the ends of the range and one number in each gap stand for all; where a range has few steps, they do. What
compares several numbers at once, or curves, is not judged: then the two count as holding together somewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import prod
from typing import Final

from .constraints import linear, meanings
from .errors import SpecError
from .events import Value
from .formula import Compare, Expression, condition_of
from .parameters import Parameter
from .ranges import Range

MOST: Final = 4096  # combinations that are tried; with more nothing is proved
FEW_STEPS: Final = 64


def exclude(one: Expression, other: Expression, parameters: Mapping[str, Parameter]) -> bool:
    """Whether no settings keep both; False where that is not proved."""
    conditions = _with_what_they_need([one, other], parameters)
    names = sorted({name for condition in conditions for name in condition.names if name in parameters})
    every: list[Sequence[Value]] = []
    for name in names:
        found = _values(name, parameters, conditions)
        if found is None:
            return False
        every.append(found)
    if prod(map(len, every)) > MOST:
        return False
    try:
        return not any(
            all(condition_of(condition, values) for condition in conditions)
            for chosen in product(*every)
            if (values := meanings(dict(zip(names, chosen, strict=True)), parameters)) is not None
        )
    except SpecError:
        return False


def _with_what_they_need(
    conditions: Sequence[Expression], parameters: Mapping[str, Parameter]
) -> tuple[Expression, ...]:
    """A condition holds where all that it names has a value: so do the conditions of those parameters, and theirs."""
    found: list[Expression] = []
    left = list(conditions)
    while left:
        condition = left.pop()
        if condition not in found:
            found.append(condition)
            spoken = (parameters[name].active_when for name in condition.names if name in parameters)
            left += [one for one in spoken if one is not None]
    return tuple(found)


def _values(
    name: str, parameters: Mapping[str, Parameter], conditions: Sequence[Expression]
) -> Sequence[Value] | None:
    """Values that stand for all that a parameter can have; None where the conditions do not tell which."""
    parameter = parameters[name]
    if not isinstance(parameter, Range):
        return parameter.values
    steps = (parameter.high - parameter.low) / parameter.stride if parameter.stride else FEW_STEPS + 1
    if parameter.stride and steps <= FEW_STEPS:
        return [float(f"{parameter.low + at * parameter.stride:.12g}") for at in range(int(steps + 1e-9) + 1)]
    cuts = {parameter.low, parameter.high}
    for node in (node for condition in conditions for node in condition.walk()):
        if not isinstance(node, Compare) or name not in node.names:
            continue
        line = linear(replace(node, sign="=="), parameters, optional=True)
        if line is None or set(line.coefficients) != {name}:
            return None
        cuts.add(line.bound / line.coefficients[name])
    inside = sorted(cut for cut in cuts if parameter.low <= cut <= parameter.high)
    return sorted({*inside, *((a + b) / 2 for a, b in pairwise(inside))})
