"""Constraints: which are linear and how, and whether any point is left.

A linear constraint over numbers in declared units is ``sum of coefficient * value  sense  bound``. The bound is the
tree's value at zero; each coefficient is its slope, read off the tree.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from .arithmetic import add, difference, divide, multiply, negate
from .complaints import Broken, Fault
from .errors import SpecError
from .formula import Binary, Both, Compare, Expression, Meaning, Name, Negative, Not, Word, quantity_of
from .grammar import CampaignSpec
from .models import did_you_mean
from .parameters import Choices, Mixture, Molecules, Parameter
from .ranges import Range
from .reading import Path_
from .units import Quantity, number_text
from .values import as_word


@dataclass(frozen=True, slots=True)
class Linear:
    """``sum(coefficients[name] * value[name]) sense bound``, values in declared units."""

    coefficients: Mapping[str, float]
    bound: float
    sense: str
    text: str = ""

    def excess(self, values: Mapping[str, Any]) -> float:
        """By how much settings break it, in the constraint's own unit (0: they keep it)."""
        total = math.fsum(factor * values[name] for name, factor in self.coefficients.items()) - self.bound
        return abs(total) if self.sense == "==" else max(total, 0.0)

    def slack(self, values: Mapping[str, Any]) -> float:
        """What rounding may cost: 1e-9 of the largest term."""
        return 1e-9 * max([abs(self.bound), *(abs(f * values[n]) for n, f in self.coefficients.items())], default=1.0)


def linear(
    constraint: Expression, parameters: Mapping[str, Parameter | None], *, optional: bool = False
) -> Linear | None:
    """Read a constraint as a linear one; None when it is not (or not over numbers). Raises UnitError.

    optional: parameters under a condition may be in it, and it does not bind where one of them has no value.
    """
    if not isinstance(constraint, Compare) or constraint.sign not in ("<=", ">=", "=="):
        return None
    names = sorted(constraint.names)
    units: dict[str, str] = {}
    for name in names:
        parameter = parameters.get(name)
        if not isinstance(parameter, Range) or (parameter.active_when is not None and not optional):
            return None
        units[name] = parameter.unit
    if not names or not (_affine(constraint.left) and _affine(constraint.right)):
        return None
    zero = {name: Quantity(0.0, unit) for name, unit in units.items()}
    constraint.evaluate(zero)  # units that clash, and bare numbers that could be fractions, are refused here
    left, right = quantity_of(constraint.left, zero), quantity_of(constraint.right, zero)
    if left.unit and not right.unit and not constraint.right.names:
        right = Quantity(right.value, left.unit)
    elif right.unit and not left.unit and not constraint.left.names:
        left = Quantity(left.value, right.unit)
    constant = difference(left, right)
    sign = -1.0 if constraint.sign == ">=" else 1.0
    coefficients = {
        name: _round(
            sign
            * (
                _slope(constraint.left, name, units, constant.unit)
                - _slope(constraint.right, name, units, constant.unit)
            )
        )
        for name in names
    }
    if not any(coefficients.values()):
        return None
    sense = "==" if constraint.sign == "==" else "<="
    return Linear(coefficients, _round(-sign * constant.value), sense, str(constraint))


def at_least(condition: Expression) -> Expression:
    """A comparison with its bound let in: > as >=, < as <=; anything else as it is."""
    if isinstance(condition, Compare) and condition.sign in ("<", ">"):
        return replace(condition, sign=f"{condition.sign}=")
    return condition


def _slope(node: Expression, name: str, units: Mapping[str, str], unit: str) -> float:
    """How much an affine tree grows, in ``unit``, for each unit of one name."""
    found = _grown(node, name, units)
    return 0.0 if found is None else found.to(unit, difference=True).value


def _grown(node: Expression, name: str, units: Mapping[str, str]) -> Quantity | None:
    """The slope with its unit (None: the name is not in it), read off the tree: no large constant can swallow it."""
    if name not in node.names:
        return None
    if isinstance(node, Negative):
        grown = _grown(node.of, name, units)
        return None if grown is None else negate(grown)
    if isinstance(node, Binary):
        left, right = _grown(node.left, name, units), _grown(node.right, name, units)
        if node.sign in ("+", "-"):
            if right is not None and node.sign == "-":
                right = negate(right)
            return add(left, right) if left is not None and right is not None else left or right
        zero = {word: Quantity(0.0, word_unit) for word, word_unit in units.items()}
        if node.sign == "/" and left is not None:
            return divide(left, quantity_of(node.right, zero))
        if left is not None:
            return multiply(left, quantity_of(node.right, zero))
        return None if right is None else multiply(quantity_of(node.left, zero), right)
    unit = units[name]
    return Quantity(1.0, {"degC": "K", "degF": "delta_degF"}.get(unit, unit))


def _round(value: float) -> float:
    return float(f"{value:.12g}") + 0.0


def _affine(node: Expression) -> bool:
    """Whether a tree is a sum of numbers times names."""
    if not node.names:
        return True
    if isinstance(node, Name):
        return True
    if isinstance(node, Negative):
        return _affine(node.of)
    if isinstance(node, Binary):
        if node.sign in ("+", "-"):
            return _affine(node.left) and _affine(node.right)
        if node.sign == "*":
            return (not node.left.names and _affine(node.right)) or (not node.right.names and _affine(node.left))
        if node.sign == "/":
            return not node.right.names and _affine(node.left)
    return False


def meanings(settings: Mapping[str, Any], parameters: Mapping[str, Parameter | None]) -> dict[str, Meaning]:
    """Settings as expressions read them: numbers with the declared unit, words as they are."""
    found: dict[str, Meaning] = {}
    for name, value in settings.items():
        parameter = parameters.get(name)
        if isinstance(value, (str, bool)):
            found[name] = value
        else:
            found[name] = Quantity(float(value), parameter.unit if parameter is not None else "")
    return found


def middle(parameters: Mapping[str, Parameter | None]) -> dict[str, Any] | None:
    """A point in the middle of every parameter; None when one is broken."""
    point: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter is None:
            return None
        point[name] = (parameter.low + parameter.high) / 2 if isinstance(parameter, Range) else parameter.values[0]
    return point


def choice_words(names: Mapping[str, Parameter | None]) -> set[str]:
    """Every word that some parameter can be; ``True`` too for true, as campaigns of runs already begun say it."""
    return {
        word for one in names.values() if isinstance(one, (Choices, Molecules)) for value in one.values
        for word in (as_word(value), str(value))
    }  # fmt: skip


def condition_fault(
    expression: Expression, names: Mapping[str, Parameter | None], readings: bool = False
) -> str | None:
    """Say what is wrong with the names of a condition over settings (and ``readings``: instrument.reading)."""
    words = choice_words(names)
    some_broken = any(parameter is None for parameter in names.values())
    for node in expression.walk():
        name = getattr(node, "name", None)
        if name is None or name in names or (not getattr(node, "sure", False) and name in words):
            continue
        if readings and "." in name:
            continue  # the bench knows its readings
        if some_broken and not getattr(node, "sure", False):
            continue  # it may be a choice of the broken one
        what = "no parameter" if getattr(node, "sure", False) or not words else "neither a parameter nor a choice"
        return f"{name} is {what}. {did_you_mean(name, [*names, *sorted(words)])}"
    return None


def nearly_named(condition: Expression, names: Mapping[str, Parameter]) -> Iterator[str]:
    """Words that are a parameter or a choice but for capitals and blanks: a limit with ``dcm`` in it never holds.

    What an instrument says (``valve.position == Acid``) is its own word.
    """
    words = {*names, *choice_words(names)}
    nearly = {word.strip().casefold(): word for word in sorted(words)}
    compared = (one for one in condition.walk() if isinstance(one, Compare))
    theirs = {node for one in compared if any("." in name for name in one.names) for node in one.walk()}
    for node in (one for one in condition.walk() if one not in theirs):
        said = node.name if isinstance(node, Name) else node.text if isinstance(node, Word) else None
        if said is not None and said not in words and (meant := nearly.get(said.strip().casefold())):
            yield f"{said!r} is neither a parameter nor a choice of the campaign. Did you mean {meant!r}?"


def truth_fault(condition: Expression, names: Mapping[str, Parameter | None]) -> str | None:
    """Say why a condition cannot be answered yes or no."""
    if not _is_condition(condition):
        return "is no condition. Compare something, like solvent == DMF"
    return _evaluation_fault(condition, names)


def value_fault(expression: Expression, names: Mapping[str, Parameter | None]) -> str | None:
    """Say why a setting's expression has no value: units that clash, words in arithmetic."""
    if not expression.parts:
        return None
    if _is_condition(expression):
        return "is a condition, and a setting needs a value. Write a number, a word or a sum"
    return _evaluation_fault(expression, names)


def _is_condition(node: Expression) -> bool:
    return isinstance(node, (Compare, Both, Not))


def _evaluation_fault(expression: Expression, names: Mapping[str, Parameter | None]) -> str | None:
    used = {name: names[name] for name in expression.names if name in names}
    point = middle(used)
    if point is None:
        return None
    try:
        expression.evaluate(meanings(point, used))
    except SpecError as error:
        return str(error)
    return None


def check(
    spec: CampaignSpec, names: Mapping[str, Parameter | None], broken: Broken, earlier: Sequence[Fault]
) -> Iterator[Fault]:
    """What is wrong with the constraints, and whether they leave any point."""
    lines: list[tuple[Path_, Linear]] = []
    sound = True
    for at, constraint in enumerate(spec.constraints):
        path: Path_ = ("constraints", at)
        fault = _constraint_fault(constraint, names)
        if fault:
            sound = False
            yield path, fault, False
            continue
        line = linear(constraint, names)
        if line is not None:
            lines.append((path, line))
    ranges = {name: one for name, one in names.items() if isinstance(one, Range)}
    mixed = list(mixture_sums(spec.parameters))
    if sound and not broken.touches("constraints") and not broken.touches("parameters") and not earlier:
        yield from _emptiness(lines, mixed, ranges)


def mixture_sums(parameters: Mapping[str, Parameter | Mixture]) -> Iterator[Linear]:
    """The sum that each mixture keeps."""
    for name, one in parameters.items():
        if isinstance(one, Mixture):
            yield Linear(dict.fromkeys(one.mixture, 1.0), one.sum, "==", f"the sum of {name}")


def _constraint_fault(constraint: Expression, names: Mapping[str, Parameter | None]) -> str | None:
    fault = condition_fault(constraint, names)
    if fault:
        return fault
    if not _is_condition(constraint):
        return "compares nothing. Write a + b <= 95 percent"
    if not any(name in names for name in constraint.names):
        return "speaks of no parameter. Name one"
    if isinstance(constraint, Compare) and constraint.sign in ("<", ">"):
        words = isinstance(constraint.left, Word) or isinstance(constraint.right, Word)
        return None if words else f"a bound belongs to the space. Write {constraint.sign}= instead of {constraint.sign}"
    return truth_fault(constraint, names)


def _emptiness(
    lines: Sequence[tuple[Path_, Linear]], sums: Sequence[Linear], ranges: Mapping[str, Range]
) -> Iterator[Fault]:
    binding: list[Linear] = list(sums)
    alone = True
    for path, line in lines:
        low, high = _extent(line, ranges)
        slack = 1e-9 * max(abs(line.bound), abs(low), abs(high))
        if low > line.bound + slack or (line.sense == "==" and high < line.bound - slack):
            alone = False
            way = (
                f"it is {number_text(_round(low))} at least"
                if low > line.bound
                else f"it is {number_text(_round(high))} at most"
            )
            rule = f"leaves no point: {way}, and {line.sense} {number_text(line.bound)} is asked for"
            yield path, f"{rule}. Widen a range, or loosen the constraint", False
        elif high > line.bound + slack or line.sense == "==":
            binding.append(line)
    if alone and len(binding) > 1 and not feasible(binding, ranges):
        texts = "; ".join(line.text for line in binding[:5])
        yield ("constraints",), f"leave no point that keeps them all: {texts}. Loosen one, or widen a range", False


def _extent(line: Linear, ranges: Mapping[str, Range]) -> tuple[float, float]:
    ends = [sorted((f * ranges[name].low, f * ranges[name].high)) for name, f in line.coefficients.items()]
    return math.fsum(low for low, _ in ends), math.fsum(high for _, high in ends)


def feasible(lines: Sequence[Linear], ranges: Mapping[str, Range]) -> bool:
    """Whether some point within the ranges keeps all lines (a linear programme).

    Each number is taken as a share of its range, and each line in units of its largest term: the solver forgives 1e-7
    and passes over factors below 1e-9, whatever the units are.
    """
    optimize = import_module("scipy.optimize")
    names = sorted({name for line in lines for name in line.coefficients})
    rows: dict[str, list[list[float]]] = {"<=": [], "==": []}
    bounds: dict[str, list[float]] = {"<=": [], "==": []}
    for line in lines:
        terms = {name: factor * (ranges[name].high - ranges[name].low) for name, factor in line.coefficients.items()}
        unit = max(map(abs, terms.values()), default=0.0) or 1.0
        rows[line.sense].append([terms.get(name, 0.0) / unit for name in names])
        slack = 1e-9 * abs(line.bound) if line.sense == "<=" else 0.0
        least = math.fsum(factor * ranges[name].low for name, factor in line.coefficients.items())
        bounds[line.sense].append((line.bound + slack - least) / unit)
    answer = optimize.linprog(
        [0.0] * len(names),
        A_ub=rows["<="] or None, b_ub=bounds["<="] or None, A_eq=rows["=="] or None, b_eq=bounds["=="] or None,
        bounds=[(0.0, 1.0)] * len(names), method="highs",
    )  # fmt: skip
    return bool(answer.status != 2)  # 2: the solver proved that there is none
