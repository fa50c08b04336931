"""Numbers that a linear constraint leaves no choice: ``A <= 0`` of amounts that are never below 0 is A = 0.

What a sum of coefficient times number can be at least is its least term each, for numbers between bounds; amounts of a
mixture give their total to what costs least. Where that least is the bound itself, whatever would add to it stands
still. Said so, and not as an inequality without an inside, it leaves others their room: walks need an inside.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from .constraints import Linear
from .parameters import Mixture, Parameter
from .ranges import Range

ROUNDING: Final = 1e-12


def pinned(
    lines: Sequence[Linear], parameters: Mapping[str, Parameter], mixtures: Sequence[Mixture]
) -> list[Linear]:  # fmt: skip
    """The lines, where one that leaves numbers no choice says of each of them what it is instead."""
    found: list[Linear] = []
    for line in lines:
        still = _still(line, parameters, mixtures)
        if still is None and line.sense == "==":  # nor may it be at its most
            still = _still(_turned(line), parameters, mixtures)
        found += [line] if still is None else _each(still, line.text)
    return found


def _each(still: Mapping[str, float], text: str) -> Iterator[Linear]:
    for name, value in still.items():
        yield Linear({name: 1.0}, value, "==", text)


def _turned(line: Linear) -> Linear:
    return replace(line, coefficients={name: -one for name, one in line.coefficients.items()}, bound=-line.bound)


def _still(
    line: Linear, parameters: Mapping[str, Parameter], mixtures: Sequence[Mixture]
) -> dict[str, float] | None:  # fmt: skip
    """What stands still where the line is at its least, which is all it may be; None: it may be more, or never is."""
    factors = {name: factor for name, factor in line.coefficients.items() if factor}
    still: dict[str, float] = {}
    terms: list[float] = []
    for mixture in mixtures:
        if not factors.keys() & set(mixture.mixture):
            continue
        costs = {name: factors.pop(name, 0.0) for name in mixture.mixture}
        least = min(costs.values())
        still |= {name: 0.0 for name, cost in costs.items() if cost > least}
        terms.append(least * mixture.sum)
    for name, factor in factors.items():
        one = parameters[name]
        if not isinstance(one, Range) or one.stride is not None or one.scale != "linear":
            return None  # a grid's points are counted, and a logarithm's low end is far from any other
        still[name] = one.low if factor > 0 else one.high
        terms.append(factor * still[name])
    reach = max([abs(line.bound), *map(abs, terms)])
    return still if abs(sum(terms) - line.bound) <= ROUNDING * reach else None
