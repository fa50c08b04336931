"""A number between two bounds: the most common parameter. Everything is kept in the unit that it declares."""

import math
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, WithJsonSchema, field_validator, model_validator

from .errors import SpecError
from .events import Value
from .models import Condition, Model, Rule, Unit, in_unit, located
from .units import number_text, parse_quantity, quote

_QUANTITY = {"type": ["number", "string"]}
MOST_STEPS = 1_000_000_000  # a micrometre on a kilometre; and a number of steps that a float still counts one by one


class Likely(Model):
    """Where a person expects the optimum: ``value``, give or take ``within`` (one standard deviation)."""

    value: Annotated[float, WithJsonSchema(_QUANTITY)]
    within: Annotated[float, WithJsonSchema(_QUANTITY)]


class Range(Model):
    """A number between two bounds, both included: ``{range: [1, 60], unit: min, scale: log}``."""

    unit: Unit = ""
    range: Annotated[tuple[float, float], WithJsonSchema({"type": "array", "items": _QUANTITY})] = (0.0, 0.0)
    integer: Annotated[bool, WithJsonSchema({"type": ["boolean", "array"]})] = False
    scale: Literal["linear", "log"] = "linear"
    step: Annotated[float | None, WithJsonSchema(_QUANTITY)] = None
    active_when: Condition | None = None
    shared: Literal["batch"] | None = None
    likely: Likely | None = None

    @property
    def low(self) -> float:
        """The lower bound, in ``unit``."""
        return self.range[0]

    @property
    def high(self) -> float:
        """The upper bound, in ``unit``."""
        return self.range[1]

    @property
    def stride(self) -> float | None:
        """The distance of the grid's points from ``low`` (None: every value counts)."""
        return self.step if self.step is not None else 1.0 if self.integer else None

    @property
    def top(self) -> float:
        """The highest value there is: ``high``, or the last point of the grid below it."""
        if self.stride is None:
            return self.high
        steps = math.floor((self.high - self.low) / self.stride + 1e-9)
        return float(f"{self.low + steps * self.stride:.12g}")

    @model_validator(mode="before")
    @classmethod
    def _whole_range(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("integer"), (list, tuple, str)):
            if "range" in data:
                raise Rule("has integer: [low, high] and range. Keep one, or write integer: true")
            return {**data, "range": data["integer"], "integer": True}
        return data

    @field_validator("range", mode="plain")
    @classmethod
    def _bounds(cls, raw: Any, info: ValidationInfo) -> tuple[float, float]:
        if not isinstance(raw, (list, tuple)) or len(raw) != 2:
            raise Rule("must be two bounds. Write [low, high]")
        bounds, faults = [], []
        for at, one in enumerate(raw):
            try:
                bounds.append(in_unit(one, info))
            except Rule as rule:
                faults.append(((at,), rule.message(), one))
        if faults:
            raise located(faults, "range")
        if bounds[0] >= bounds[1]:
            raise Rule("the low bound must be below the high one. Write the smaller number first")
        if not math.isfinite(bounds[1] - bounds[0]):
            raise Rule("is wider than any number. Write bounds that an instrument can reach")
        return bounds[0], bounds[1]

    @field_validator("integer", mode="plain")
    @classmethod
    def _flag(cls, raw: Any) -> bool:
        if not isinstance(raw, bool):
            raise Rule("must be true, or bounds like [1, 12]")
        return raw

    @field_validator("step", mode="plain")
    @classmethod
    def _step(cls, raw: Any, info: ValidationInfo) -> float | None:
        if raw is None:
            return None
        step = _difference(raw, info)
        if step <= 0:
            raise Rule("must be above 0")
        bounds = info.data.get("range")
        if bounds and step > (bounds[1] - bounds[0]) * (1.0 + 1e-9):  # 0.3 - 0.1 is less than 0.2
            raise Rule(f"is wider than the whole range of {number_text(bounds[1] - bounds[0])}. Write a smaller step")
        if bounds and (bounds[1] - bounds[0]) / step > MOST_STEPS:
            raise Rule(f"makes more than {MOST_STEPS:,} values. Leave it out: so fine a grid is none")
        return step

    @field_validator("likely", mode="plain")
    @classmethod
    def _likely(cls, raw: Any, info: ValidationInfo) -> Likely | None:
        if raw is None:
            return None
        if not isinstance(raw, dict) or set(raw) != {"value", "within"}:
            raise Rule("must say where and how surely. Write {value: 60 degC, within: 10 K}")
        value, within = in_unit(raw["value"], info), _difference(raw["within"], info)
        if within <= 0:
            raise located([(("within",), "must be above 0: one standard deviation", raw["within"])], "likely")
        bounds = info.data.get("range")
        if bounds and not bounds[0] <= value <= bounds[1]:
            raise located([(("value",), "is outside the range. Widen the range, or move it", raw["value"])], "likely")
        return Likely(value=value, within=within)

    @model_validator(mode="after")
    def _agree(self) -> "Range":
        if "range" not in self.model_fields_set:
            raise Rule("range is missing. Write range: [low, high]")
        if self.scale == "log" and self.low <= 0:
            raise located(
                [(("range",), "a log scale needs bounds above 0. Raise the low bound", list(self.range))], "range"
            )
        if self.integer:
            if any(not bound.is_integer() for bound in self.range):
                raise located([(("range",), "whole numbers need whole bounds. Round them", list(self.range))], "range")
            if self.step is not None and not self.step.is_integer():
                raise located([(("step",), "whole numbers need a whole step. Round it", self.step)], "range")
        return self

    def read(self, raw: Any) -> Value:
        """Read a value in the declared unit; no bounds are checked. Raises SpecError."""
        value = parse_quantity(raw, self.unit).value
        return int(value) if self.integer and value.is_integer() else value

    def fault(self, value: Value) -> str | None:
        """Say why a value is not allowed, or None."""
        if isinstance(value, (str, bool)) or not math.isfinite(value):
            return f"{quote(value)} is not a number"
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        unit = f" {self.unit}".rstrip()
        if value < self.low - slack:
            return f"{number_text(float(value))}{unit} is below the low bound of {number_text(self.low)}{unit}"
        if value > self.high + slack:
            return f"{number_text(float(value))}{unit} is above the high bound of {number_text(self.high)}{unit}"
        if self.stride is not None:
            steps = (value - self.low) / self.stride
            if abs(steps - round(steps)) > 1e-6:
                grid = f"{number_text(self.stride)} from {number_text(self.low)}"
                return f"{number_text(float(value))}{unit} is not a whole number of steps of {grid}"
        return None


def _difference(raw: Any, info: ValidationInfo) -> float:
    """A difference in the declared unit: 5 K in a range of degC. Raises Rule."""
    try:
        unit = info.data.get("unit")
        quantity = parse_quantity(raw)
        return quantity.value if unit is None or not quantity.unit else quantity.to(unit, difference=True).value
    except SpecError as error:
        raise Rule(str(error)) from error
