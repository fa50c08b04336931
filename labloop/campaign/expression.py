"""The grammar of expressions, as a recursive descent over a bounded list of tokens.

    condition  = both { "or" both }            both = opposite { "and" opposite }      opposite = ["not"] comparison
    comparison = sum [ ("<=" | ">=" | "==" | "!=" | "<" | ">") sum ]
    sum        = product { ("+" | "-") product }        product = signed { ("*" | "/") signed }
    signed     = "-" signed | power            power = atom [ "**" signed ]
    atom       = number [unit] | ["$"] name | quoted word | "(" condition ")"

A unit is what stands right after a number: words joined by * and / without blanks (``5 uL/min``). With a blank before
the stroke it is a division (``5 uL / $n``).
"""

import math
import re
from typing import NamedTuple

from . import formula as tree
from .errors import SpecError
from .formula import Expression
from .units import UNIT, check_unit, quote

_LONGEST_TEXT = 2000
_MOST_TOKENS = 400  # bounds the depth of the recursion (some 8 frames a bracket); a long constraint has 60
_DEEPEST = 50

_SAME = {
    "≤": "<=", "≥": ">=", "≠": "!=", "^": "**", "·": "*",
    "\N{MULTIPLICATION SIGN}": "*", "\N{MINUS SIGN}": "-",
}  # fmt: skip
_KEYWORDS = ("and", "or", "not", "when")
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_UNIT = re.compile(rf"\s*((?!(?:{'|'.join(_KEYWORDS)})\b)(?:{UNIT}|[°µμ℃℉][^\s()]*))")
_NAME = re.compile(r"\$?[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_SIGN = re.compile(rf"\*\*|<=|>=|==|!=|[-+*/()<>{''.join(_SAME)}]")
_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_BLANK = re.compile(r"\s+")


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises SpecError with the place in the text, and the way out."""
    return Parser(text).whole()


def parse_limit(text: str) -> tuple[Expression, Expression | None]:
    """Read ``comparison [when condition]``: the bound, and when it holds (None: always). Raises SpecError."""
    return Parser(text).limit()


class Token(NamedTuple):
    """One piece of the text: its kind (number, name, word, sign, end), its text, the unit of a number, its column."""

    kind: str
    text: str
    unit: str
    column: int


def tokens(text: str) -> list[Token]:
    """Part the text into tokens. Raises SpecError at the first character that belongs to none."""
    if len(text) > _LONGEST_TEXT:
        raise SpecError(f"{quote(text)} has more than {_LONGEST_TEXT} characters. Part it into shorter expressions")
    found, at = list[Token](), 0
    while at < len(text):
        if len(found) > _MOST_TOKENS:
            raise SpecError(f"{quote(text)} has more than {_MOST_TOKENS} parts. Part it into shorter expressions")
        if match := _BLANK.match(text, at):
            pass
        elif match := _NUMBER.match(text, at):
            unit = _UNIT.match(text, match.end())
            found.append(Token("number", match[0], unit[1] if unit else "", at))
            match = unit or match
        elif match := _QUOTED.match(text, at):
            found.append(Token("word", match[1] if match[1] is not None else match[2], "", at))
        elif match := _NAME.match(text, at):
            found.append(Token("sign" if match[0] in _KEYWORDS else "name", match[0], "", at))
        elif match := _SIGN.match(text, at):
            found.append(Token("sign", _SAME.get(match[0], match[0]), "", at))
        else:
            way_out = "Write == to compare" if text[at] == "=" else "Use names, numbers with units, + - * / ** ( )"
            raise SpecError(
                f"{quote(text)} has {quote(text[at])} at character {at + 1}, which means nothing. {way_out}"
            )
        at = match.end()
    found.append(Token("end", "", "", len(text)))
    return found


class Parser:
    """Reads one text; ``whole`` and ``limit`` are the two things a text can be."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Expression:
        """Read the whole text as one expression."""
        found = self._condition()
        self._end()
        return found

    def limit(self) -> tuple[Expression, Expression | None]:
        """Read ``comparison [when condition]``."""
        bound = self._condition()
        only = self._condition() if self._take("when") else None
        self._end()
        return bound, only

    def _end(self) -> None:
        token = self._tokens[self._at]
        if token.kind != "end":
            way_out = "Part it with + - * / or a comparison"
            if token.text in ("<=", ">=", "==", "!=", "<", ">"):
                way_out = "Write two constraints instead of a chain"
            elif token.text == ")":
                way_out = "Take the bracket away, or open it"
            raise self._wrong(token, way_out)

    def _wrong(self, token: Token, way_out: str) -> SpecError:
        seen = "the end" if token.kind == "end" else quote(token.text)
        return SpecError(f"{quote(self._text)} does not go on with {seen} at character {token.column + 1}. {way_out}")

    def _take(self, *texts: str) -> str | None:
        token = self._tokens[self._at]
        if token.kind == "sign" and token.text in texts:
            self._at += 1
            return token.text
        return None

    def _condition(self) -> Expression:
        found = self._both()
        while self._take("or"):
            found = tree.Both("or", found, self._both())
        return found

    def _both(self) -> Expression:
        found = self._opposite()
        while self._take("and"):
            found = tree.Both("and", found, self._opposite())
        return found

    def _opposite(self) -> Expression:
        if self._take("not"):
            self._deeper()
            found = tree.Not(self._opposite())
            self._depth -= 1
            return found
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if sign := self._take("<=", ">=", "==", "!=", "<", ">"):
            return tree.Compare(sign, left, self._sum())
        return left

    def _sum(self) -> Expression:
        found = self._product()
        while sign := self._take("+", "-"):
            found = tree.Binary(sign, found, self._product())
        return found

    def _product(self) -> Expression:
        found = self._signed()
        while sign := self._take("*", "/"):
            found = tree.Binary(sign, found, self._signed())
        return found

    def _signed(self) -> Expression:
        if self._take("-"):
            self._deeper()
            found: Expression = tree.Negative(self._signed())
            self._depth -= 1
            return found
        return self._power()

    def _power(self) -> Expression:
        base = self._atom()
        if self._take("**"):
            self._deeper()
            base = tree.Binary("**", base, self._signed())
            self._depth -= 1
        return base

    def _atom(self) -> Expression:
        token = self._tokens[self._at]
        self._at += 1
        if token.kind == "number":
            value = float(token.text)
            if not math.isfinite(value):
                raise self._wrong(token, "Write a finite number")
            return tree.Number(value, check_unit(token.unit))
        if token.kind == "name":
            return tree.Name(token.text.removeprefix("$"), token.text.startswith("$"))
        if token.kind == "word":
            return tree.Word(token.text)
        if token.text == "(" and token.kind == "sign":
            self._deeper()
            found = self._condition()
            if not self._take(")"):
                raise self._wrong(self._tokens[self._at], "Close the bracket")
            self._depth -= 1
            return found
        self._at -= 1
        raise self._wrong(token, "Write a number, a name or a bracket here")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise SpecError(f"{quote(self._text)} is nested deeper than {_DEEPEST}. Write it flatter")
