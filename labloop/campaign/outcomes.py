"""Outcomes: what is wanted, in which unit, and which saved readings it is worked out from."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from .analysis import Window, read_target
from .desirability import Shape, Slope
from .errors import SpecError
from .models import KEY, Model, Number, Rule, Seconds, Text, Unit, did_you_mean, files_of, in_unit, located
from .units import NUMBER, Quantity, parse_quantity

TOLD = "told"
ENDLESS = {".inf": math.inf, "-.inf": -math.inf}  # as YAML writes a bound that is none
PASS = "pass"
FAIL = "fail"
PREFER = "prefer"
_LONGEST_WORD = 60
_PASSED = {"pass": 1.0, "passed": 1.0, "yes": 1.0, "true": 1.0, "1": 1.0}
_FAILED = {"fail": 0.0, "failed": 0.0, "no": 0.0, "false": 0.0, "0": 0.0}
_MEANT = {
    "min": "minimize", "max": "maximize", "minimise": "minimize", "maximise": "maximize", "preferred": "prefer",
    "preference": "prefer",
}  # fmt: skip
_OF_NUMBERS = ("unit", "limit", "weight", "reference", "desirability", "detects", "analysis", "target", "window")
_LIMIT = re.compile(r"\s*(<=|>=)\s*(.+)")
_QUANTITY = {"type": ["number", "string"]}
_PAIR: dict[str, Any] = {"type": "array", "items": _QUANTITY, "minItems": 2, "maxItems": 2}
_LEAST_EXPONENT, _MOST_EXPONENT = 0.01, 100.0  # beyond them a slope is a step


class Target(Model):
    """A value to hit: within ``tolerance`` of it all is equally good. Both in the outcome's unit."""

    target: Annotated[float, WithJsonSchema(_QUANTITY)]
    tolerance: Annotated[float, WithJsonSchema(_QUANTITY)] = 0.0


class Limit(Model):
    """A bound that a good trial keeps: ``value`` in the outcome's unit."""

    sense: Literal["<=", ">="]
    value: float

    def excess(self, value: float) -> float:
        """By how much a value breaks the bound (0: it keeps it)."""
        return max(0.0, value - self.value if self.sense == "<=" else self.value - value)


class Desirability(Model):
    """What is of no use and what could not be better: two values in the outcome's unit, see desirability.

    exponents: of the slope at the low value and of the one at the high value (equal but of a target).
    """

    between: tuple[float, float]
    exponents: tuple[float, float] = (1.0, 1.0)


class OutcomeSpec(Model):
    """One outcome. ``sources`` are the saved readings it comes from; ``told``: it comes from elsewhere."""

    unit: Unit = ""
    goal: Annotated[
        Literal["minimize", "maximize", "pass", "prefer"] | Target | None,
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": ["minimize", "maximize", "pass", "prefer"]},
                    {
                        "type": "object",
                        "properties": {"target": _QUANTITY, "tolerance": _QUANTITY},
                        "required": ["target"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ] = None
    words: Annotated[
        dict[str, Literal["pass", "fail"]] | None,
        WithJsonSchema({"type": "object", "additionalProperties": {"enum": ["pass", "fail"]}}),
    ] = None
    sources: Annotated[
        tuple[str, ...],
        Field(alias="from"),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = ()
    analysis: Text = "value"
    target: Text | None = None
    window: Annotated[Window | None, WithJsonSchema({"type": "array", "items": _QUANTITY})] = None
    detects: Annotated[tuple[float, float] | None, WithJsonSchema({"type": "array", "items": _QUANTITY})] = None
    limit: Annotated[Limit | None, WithJsonSchema({"type": "string", "examples": ["<= 12"]})] = None
    weight: Number | None = None
    reference: Annotated[float | None, WithJsonSchema(_QUANTITY)] = None
    desirability: Annotated[
        Desirability | None,
        WithJsonSchema(
            {
                "anyOf": [
                    _PAIR,
                    {
                        "type": "object",
                        "properties": {
                            "between": _PAIR,
                            "exponent": {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]},
                        },
                        "required": ["between"],
                        "additionalProperties": False,
                    },
                ]
            }
        ),
    ] = None
    expect_within_s: Annotated[Seconds | None, Field(alias="expect_within")] = None

    @property
    def shape(self) -> Shape | None:
        """How desirable each of its values is; None: that is not said."""
        if self.desirability is None or self.goal is None:
            return None
        (low, high), (rise, fall) = self.desirability.between, self.desirability.exponents
        if isinstance(self.goal, Target):
            least, most = self.goal.target - self.goal.tolerance, self.goal.target + self.goal.tolerance
            return Shape((Slope(low, least, rise), Slope(high, most, fall)))
        return Shape((Slope(low, high, rise) if self.goal == "maximize" else Slope(high, low, fall),))

    @property
    def desired(self) -> str:
        """Where its desirability is 0 and where 1, and what it weighs, in words ("": that is not said)."""
        if self.shape is None:
            return ""
        return f"{self.shape.words(self.unit)}; weight {1.0 if self.weight is None else self.weight:g}"

    @property
    def passes(self) -> bool:
        """Whether it is a verdict, 1 (pass) or 0 (fail): a good trial passes."""
        return self.goal == PASS

    def verdict(self, written: Any) -> tuple[float, str]:
        """1 of a pass, 0 of a fail, and the word that says what was seen ("": only the verdict). Raises SpecError."""
        if self.words is None:
            return verdict_of(written), ""
        known = {_folded(word): word for word in self.words}
        word = known.get(_folded(written))
        if word is None:
            raise SpecError(f"{str(written)[:40]!r} is none of its words. {did_you_mean(str(written), self.words)}")
        return (1.0 if self.words[word] == PASS else 0.0), word

    @property
    def prefers(self) -> bool:
        """Whether it is no number but a person's taste: trials are compared by it, two at a time."""
        return self.goal == PREFER

    @property
    def is_wish(self) -> bool:
        """Whether more of it, or less, or a target is wanted: not only that a limit is kept, or that it passes."""
        return self.goal is not None and not self.passes

    @property
    def told(self) -> bool:
        """Whether the value is told by a person or another program."""
        return self.sources == (TOLD,) or not self.sources

    @field_validator("goal", mode="plain")
    @classmethod
    def _goal(cls, raw: Any, info: ValidationInfo) -> Any:
        if isinstance(raw, dict):
            unknown = [key for key in raw if key not in ("target", "tolerance")]
            if unknown:
                raise located(
                    [((key,), "unknown key. A goal knows target and tolerance", KEY) for key in unknown], "goal"
                )
            if "target" not in raw:
                raise Rule("target is missing. Write {target: 530 nm, tolerance: 5 nm}")
            numbers: dict[str, float] = {}
            for key, value in raw.items():
                try:
                    unit = info.data.get("unit", "")
                    difference = key == "tolerance" and isinstance(value, str)
                    quantity = parse_quantity(value)
                    numbers[key] = (
                        quantity.to(unit, difference=True).value
                        if difference and quantity.unit
                        else parse_quantity(value, unit).value
                    )
                except SpecError as error:
                    raise located([((key,), str(error), value)], "goal") from error
            if numbers.get("tolerance", 0.0) < 0:
                raise located([(("tolerance",), "must not be below 0", raw["tolerance"])], "goal")
            return Target(**numbers)
        if isinstance(raw, (list, tuple)):
            raise Rule("must be one wish. Words that are seen go with goal: pass, as words: {clear: pass, gel: fail}")
        if raw not in ("minimize", "maximize", PASS, PREFER):
            hint = _MEANT.get(str(raw))
            meant = f" Did you mean {hint}?" if hint else ""
            raise Rule(f"must be minimize, maximize, pass, prefer or {{target: ...}}.{meant}")
        return raw

    @field_validator("words", mode="plain")
    @classmethod
    def _words(cls, raw: Any) -> dict[str, str] | None:
        if raw is None:
            return None
        if not isinstance(raw, dict) or not raw:
            raise Rule("must say of each word whether it passes. Write {clear: pass, hazy: pass, gel: fail}")
        faults: list[tuple[tuple[str, ...], str, Any]] = []
        found: dict[str, str] = {}
        for word, verdict in raw.items():
            name = f"{word:g}" if isinstance(word, float) else str(word).strip()
            if verdict not in (PASS, FAIL):
                faults.append(((str(word),), "must be pass or fail", verdict))
            elif not name or len(name) > _LONGEST_WORD or not name.isprintable():
                faults.append(((str(word),), f"is no word of 1 to {_LONGEST_WORD} printable characters", KEY))
            elif _folded(name) in map(_folded, found):
                faults.append(((str(word),), "stands there already. Words are told apart by more than capitals", KEY))
            found[name] = verdict
        if faults:
            raise located(faults, "words")
        if len(set(found.values())) < 2:
            rule = f"all of them {found.popitem()[1]}, so nothing would be learnt"
            raise Rule(f"{rule}. Write at least one word that passes and one that fails")
        return found

    @field_validator("sources", mode="plain")
    @classmethod
    def _sources(cls, raw: Any) -> tuple[str, ...]:
        names = [raw] if isinstance(raw, str) else raw
        if (
            not isinstance(names, (list, tuple))
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise Rule("must be the name of a saved reading, several in a list, or told")
        if TOLD in names and len(names) > 1:
            raise Rule("mixes told with saved readings. Make two outcomes of it")
        return tuple(names)

    @field_validator("target", mode="plain")
    @classmethod
    def _file(cls, raw: Any, info: ValidationInfo) -> str:
        if not isinstance(raw, str):
            raise Rule("must name a CSV file. A number to hit stands in the goal: goal: {target: 530 nm}")
        path = files_of(info).find(raw)
        if info.data.get("analysis") == "distance_to_target":
            try:
                read_target(path)
            except SpecError as error:
                raise Rule(str(error)) from error
        return raw

    @field_validator("window", mode="plain")
    @classmethod
    def _window(cls, raw: Any) -> Window | None:
        if raw is None:
            return None
        if not isinstance(raw, (list, tuple)) or len(raw) != 2:
            raise Rule("must be two bounds on the axis. Write [400 nm, 600 nm], with .inf for no end")
        try:
            low, high = (parse_quantity(one) if (end := endless(one)) is None else Quantity(end) for one in raw)
            unit = low.unit or high.unit
            ends = [one.to(unit).value if math.isfinite(one.value) else one.value for one in (low, high)]
        except SpecError as error:
            raise Rule(str(error)) from error
        if not ends[0] < ends[1]:
            raise Rule("the low bound must be below the high one. Write the smaller number first")
        return Window(ends[0], ends[1], unit)

    @field_validator("detects", mode="plain")
    @classmethod
    def _detects(cls, raw: Any, info: ValidationInfo) -> tuple[float, float] | None:
        if raw is None:
            return None
        if not isinstance(raw, (list, tuple)) or len(raw) != 2:
            raise Rule("must be the least and the greatest that can be seen. Write [0.05, 3], with .inf for no end")
        low, high = (in_unit(one, info) if (end := endless(one)) is None else end for one in raw)
        if not low < high:
            raise Rule("the least must be below the greatest. Write the smaller number first")
        return low, high

    @field_validator("limit", mode="plain")
    @classmethod
    def _limit(cls, raw: Any, info: ValidationInfo) -> Limit | None:
        if raw is None:
            return None
        match = _LIMIT.fullmatch(raw) if isinstance(raw, str) and len(raw) < 200 else None
        if match is None or re.match(NUMBER, match[2]) is None:
            raise Rule('must be a bound in quotes. Write "<= 12" or ">= 40 percent"')
        sense: Literal["<=", ">="] = "<=" if match[1] == "<=" else ">="
        return Limit(sense=sense, value=in_unit(match[2], info))

    @field_validator("reference", mode="plain")
    @classmethod
    def _reference(cls, raw: Any, info: ValidationInfo) -> float | None:
        return None if raw is None else in_unit(raw, info)

    @field_validator("desirability", mode="plain")
    @classmethod
    def _desirability(cls, raw: Any, info: ValidationInfo) -> Desirability | None:
        if raw is None:
            return None
        written = raw if isinstance(raw, dict) else {"between": raw}
        unknown = [key for key in written if key not in ("between", "exponent")]
        if unknown:
            rule = "unknown key. A desirability knows between and exponent"
            raise located([((key,), rule, KEY) for key in unknown], "desirability")
        between = written.get("between")
        if not isinstance(between, (list, tuple)) or len(between) != 2:
            raise Rule("must be two values between which it goes from 0 to 1. Write [40, 90]; the goal says which is 1")
        low, high = (in_unit(one, info) for one in between)
        if not low < high:
            raise Rule("the low value must be below the high one. The goal says which of them is 1")
        goal = info.data.get("goal")
        if isinstance(goal, Target) and not low < goal.target - goal.tolerance <= goal.target + goal.tolerance < high:
            raise Rule("the target and its tolerance must lie between the two values. Write the two further apart")
        return Desirability(between=(low, high), exponents=_exponents(written.get("exponent", 1.0), goal))

    @model_validator(mode="after")
    def _agree(self) -> "OutcomeSpec":
        faults: list[tuple[tuple[str, ...], str, Any]] = []
        if self.goal is None and self.limit is None:
            raise Rule("goal is missing. Write goal: minimize, maximize, pass, prefer or {target: ...}, or a limit")
        if self.words is not None and not self.passes:
            faults.append((("words",), "are for goal: pass. Write that goal, or leave them out", None))
        if self.weight is not None and (self.weight <= 0 or not math.isfinite(self.weight)):
            faults.append((("weight",), "must be above 0. The goal says the direction", self.weight))
        if self.passes:
            for key in _OF_NUMBERS:
                if key in self.model_fields_set:
                    faults.append(((key,), "is for numbers. A trial passes or it does not: leave it out", None))
            self.__dict__["limit"] = Limit(sense=">=", value=0.5)
        elif self.prefers:
            for key in _OF_NUMBERS:
                if key in self.model_fields_set:
                    faults.append(((key,), "is for numbers. Trials are compared here: leave it out", None))
            if not self.told:
                faults.append((("from",), "no reading says what a person prefers. Write from: told", self.sources[0]))
            if faults:
                raise located(faults, "outcome")
            return self
        elif self.weight is not None and self.goal is None:
            faults.append((("weight",), "has no goal to weigh. Write a goal, or leave the weight out", self.weight))
        if self.desirability is not None and self.goal is None:
            rule = "has no goal, which says which of the two values is 1. Write one, or leave it out"
            faults.append((("desirability",), rule, None))
        elif self.desirability is not None and self.reference is not None and not self.passes:
            rule = "has no use: a desirability has its own 0 and 1. Leave it out"
            faults.append((("reference",), rule, self.reference))
        if not self.sources and {"analysis", "target"} & self.model_fields_set:
            raise Rule("from is missing. Write from: READING (a step's save_as)")
        if self.detects is not None and self.told:
            faults.append((("detects",), "is for what is read. Tell a bound as > 3 or < 0.05", list(self.detects)))
        if self.told and "analysis" in self.model_fields_set:
            faults.append(
                (("analysis",), "has nothing to work on: the outcome is told. Write from: READING", self.analysis)
            )
        if self.expect_within_s is not None and not self.told:
            faults.append((("expect_within",), "is for outcomes that are told. Write from: told", self.expect_within_s))
        if faults:
            raise located(faults, "outcome")
        return self


def _exponents(raw: Any, goal: Any) -> tuple[float, float]:
    """The exponents of both slopes. Raises what says where."""
    several = list(raw) if isinstance(raw, (list, tuple)) else [raw]
    rule = ""
    if len(several) != 1 and not (isinstance(goal, Target) and len(several) == 2):
        rule = "must be one number; of a target also two, below it and above it, like [1, 2]"
    elif not all(
        isinstance(one, (int, float)) and not isinstance(one, bool) and _LEAST_EXPONENT <= one <= _MOST_EXPONENT
        for one in several
    ):
        rule = f"must be a number from {_LEAST_EXPONENT:g} to {_MOST_EXPONENT:g}. Above 1 it asks for values near the "
        rule += "best, below 1 it is content with little"
    if rule:
        raise located([(("exponent",), rule, raw)], "desirability")
    return float(several[0]), float(several[-1])


def endless(raw: Any) -> float | None:
    """A bound that is no end: infinity, or the word for it; None: it is an end."""
    if isinstance(raw, str):
        return ENDLESS.get(raw)
    return raw if isinstance(raw, float) and math.isinf(raw) else None


def plain_bounds(raw: Any) -> Any:
    """Bounds as JSON can say them, which knows no infinity."""
    words = {number: word for word, number in ENDLESS.items()}
    return [one if (end := endless(one)) is None else words[end] for one in raw] if isinstance(raw, list) else raw


def _folded(written: Any) -> str:
    """A word as it is told from others."""
    return f"{written:g}" if isinstance(written, float) else str(written).strip().lower()


def verdict_of(written: Any) -> float:
    """1 of a pass, 0 of a fail, however it is said: a word, a boolean or the number. Raises SpecError."""
    plain = _folded(written)
    for table in (_PASSED, _FAILED):
        if plain in table:
            return table[plain]
    raise SpecError(
        f"{str(written)[:40]!r} is neither pass nor fail. Write one of the two, or say in "
        "the campaign which words are which: words: {clear: pass, gel: fail}"
    )
