"""The tree of an expression: what a recipe's settings and a campaign's constraints are written in.

    $q_tot * (100 percent - $q_agno3 - $q_pva)        a + b <= 95 percent        solvent == DMF and T > 120 degC

A small tree of frozen nodes, made by ``expression.parse_expression`` and never eval'd. ``str`` of a tree is text that
parses to the same tree. A name with ``$`` is a parameter (or a saved reading); a word without is one when there is one
of that name, and a choice otherwise. A number that stands without a unit beside a quantity with one is in that unit
(``q_tot <= 500``), but beside percent only where it cannot be mistaken for a fraction (0, or above 1).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from . import arithmetic
from .errors import SpecError, UnitError
from .units import Quantity, is_pure_number, number_text, quote
from .values import as_word

Meaning: TypeAlias = Quantity | str | bool
Values: TypeAlias = Mapping[str, Quantity | str | bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """A node of the tree."""

    rank: ClassVar[int] = 9  # how strongly it binds: or 1, and 2, not 3, compare 4, + - 5, * / 6, sign 7, ** 8, rest 9

    @property
    def parts(self) -> "tuple[Expression, ...]":
        """The nodes right below."""
        return ()

    @property
    def names(self) -> frozenset[str]:
        """Every name in it: parameters, readings, and words that may be choices."""
        return frozenset(node.name for node in self.walk() if isinstance(node, Name))

    def walk(self) -> "Iterator[Expression]":
        """Go through the tree, this node first."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def evaluate(self, values: Values) -> Meaning:
        """Work it out. Raises UnitError when units clash, SpecError for an unknown name or a word in arithmetic."""
        raise NotImplementedError

    def _bind(self, part: "Expression", least: int) -> str:
        return f"({part})" if part.rank < least else str(part)


@dataclass(frozen=True, slots=True)
class Number(Expression):
    """A number as written, with its unit or bare; never below zero (a sign is a node of its own)."""

    value: float
    unit: str = ""

    def evaluate(self, values: Values) -> Meaning:
        return Quantity(self.value, self.unit)

    def __str__(self) -> str:
        return f"{number_text(self.value)} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True)
class Name(Expression):
    """A parameter or reading; without ``$`` (``sure`` is False) it may also be a choice's word."""

    name: str
    sure: bool = False

    def evaluate(self, values: Values) -> Meaning:
        if self.name in values:
            return values[self.name]
        if self.sure:
            raise SpecError(f"${self.name} is not known here")
        return self.name

    def __str__(self) -> str:
        return f"${self.name}" if self.sure else self.name


@dataclass(frozen=True, slots=True)
class Word(Expression):
    """A quoted word: a choice that is no plain word (``"1,4-dioxane"``)."""

    text: str

    def evaluate(self, values: Values) -> Meaning:
        return self.text

    def __str__(self) -> str:
        return f"'{self.text}'" if '"' in self.text else f'"{self.text}"'


@dataclass(frozen=True, slots=True)
class Negative(Expression):
    """A sign."""

    rank: ClassVar[int] = 7
    of: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)

    def evaluate(self, values: Values) -> Meaning:
        if isinstance(self.of, Number):
            return Quantity(-self.of.value, self.of.unit)
        return arithmetic.negate(quantity_of(self.of, values))

    def __str__(self) -> str:
        return f"-{self._bind(self.of, 7)}"


_OPERATIONS = {
    "+": arithmetic.add,
    "-": arithmetic.subtract,
    "*": arithmetic.multiply,
    "/": arithmetic.divide,
    "**": arithmetic.power,
}
_RANKS = {"+": 5, "-": 5, "*": 6, "/": 6, "**": 8}


@dataclass(frozen=True, slots=True)
class Binary(Expression):
    """``+ - * / **`` of two."""

    sign: str
    left: Expression
    right: Expression

    @property
    def rank(self) -> int:  # type: ignore[override]
        return _RANKS[self.sign]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def evaluate(self, values: Values) -> Meaning:
        left, right = quantity_of(self.left, values), quantity_of(self.right, values)
        if self.sign in "+-":
            left, right = _in_one_unit(self.left, left, self.right, right, point=False)
        return _OPERATIONS[self.sign](left, right)

    def __str__(self) -> str:
        if self.sign == "**":
            return f"{self._bind(self.left, 9)} ** {self._bind(self.right, 7)}"
        return f"{self._bind(self.left, self.rank)} {self.sign} {self._bind(self.right, self.rank + 1)}"


@dataclass(frozen=True, slots=True)
class Compare(Expression):
    """``<= >= == != < >`` of two quantities or two words."""

    rank: ClassVar[int] = 4
    sign: str
    left: Expression
    right: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def evaluate(self, values: Values) -> Meaning:
        left, right = self.left.evaluate(values), self.right.evaluate(values)
        if isinstance(left, Quantity) and isinstance(right, Quantity):
            left, right = _in_one_unit(self.left, left, self.right, right, point=True)
            return arithmetic.compare(self.sign, left, right)
        if self.sign not in ("==", "!="):
            word = left if not isinstance(left, Quantity) else right
            raise SpecError(f"{quote(word)} is a word in {quote(str(self))}: words compare with == and != only")
        same = _said(left) == _said(right)
        return same if self.sign == "==" else not same

    def __str__(self) -> str:
        return f"{self._bind(self.left, 5)} {self.sign} {self._bind(self.right, 5)}"


@dataclass(frozen=True, slots=True)
class Both(Expression):
    """``and`` / ``or`` of two conditions."""

    sign: str
    left: Expression
    right: Expression

    @property
    def rank(self) -> int:  # type: ignore[override]
        return 2 if self.sign == "and" else 1

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def evaluate(self, values: Values) -> Meaning:
        left = condition_of(self.left, values)
        right = condition_of(self.right, values)
        return (left and right) if self.sign == "and" else (left or right)

    def __str__(self) -> str:
        return f"{self._bind(self.left, self.rank)} {self.sign} {self._bind(self.right, self.rank + 1)}"


@dataclass(frozen=True, slots=True)
class Not(Expression):
    """``not`` of a condition."""

    rank: ClassVar[int] = 3
    of: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)

    def evaluate(self, values: Values) -> Meaning:
        return not condition_of(self.of, values)

    def __str__(self) -> str:
        return f"not {self._bind(self.of, 3)}"


def quantity_of(node: Expression, values: Values) -> Quantity:
    """Evaluate to a quantity. Raises SpecError when it is a word or a condition."""
    found = node.evaluate(values)
    if not isinstance(found, Quantity):
        raise SpecError(f"{quote(found)} is {_kind(found)}, and arithmetic needs numbers")
    return found


def condition_of(node: Expression, values: Values) -> bool:
    """Evaluate to yes or no. Raises SpecError when it is a word or a quantity."""
    found = node.evaluate(values)
    if not isinstance(found, bool):
        raise SpecError(f"{quote(str(node))} is {_kind(found)}, not a condition. Compare it, like solvent == DMF")
    return found


def judge(condition: Expression, values: Values) -> bool | None:
    """Whether a condition holds; None: what it speaks of is not known, and decides.

    Kleene's logic: one side that is known may decide alone (``solvent == DCM and plate.speed < 100 rpm`` does not hold
    at 500 rpm, whatever the solvent is). A word that no value is known of may be a parameter or a choice: a comparison
    in which nothing is known is not judged, and an ``instrument.name`` without a value never is.
    """
    if isinstance(condition, Both):
        sides = judge(condition.left, values), judge(condition.right, values)
        decides = condition.sign == "or"
        return decides if decides in sides else None if None in sides else not decides
    if isinstance(condition, Not):
        judged = judge(condition.of, values)
        return None if judged is None else not judged
    missing = [one for one in condition.walk() if isinstance(one, Name) and one.name not in values]
    if any(one.sure or "." in one.name for one in missing) or (missing and not condition.names & set(values)):
        return None
    try:
        return condition_of(condition, values)
    except SpecError:
        return None


def _kind(found: Meaning) -> str:
    return "a word" if isinstance(found, str) else "a condition" if isinstance(found, bool) else "a quantity"


def _said(found: Meaning) -> str:
    """What is compared: ``True`` is true."""
    word = str(found) if isinstance(found, Quantity) else as_word(found)
    return word.lower() if word in ("True", "False") else word


def _in_one_unit(
    left_node: Expression, left: Quantity, right_node: Expression, right: Quantity, *, point: bool
) -> tuple[Quantity, Quantity]:
    """Give a bare number the unit of the quantity beside it."""
    if left.unit and not right.unit and not right_node.names:
        return left, _bare(right, left, point)
    if right.unit and not left.unit and not left_node.names:
        return _bare(left, right, point), right
    return left, right


def _bare(number: Quantity, beside: Quantity, point: bool) -> Quantity:
    if is_pure_number(beside.unit) and 0 < abs(number.value) <= 1:
        text = number_text(number.value)
        raise UnitError(
            f"{text} stands without a unit beside {beside.unit}, and could be a fraction. "
            f"Write {text} {beside.unit} or {number_text(number.value * 100)} {beside.unit}"
        )
    unit = beside.unit
    if not point and unit in ("degC", "degF"):
        unit = "K" if unit == "degC" else "delta_degF"
    return Quantity(number.value, unit)
