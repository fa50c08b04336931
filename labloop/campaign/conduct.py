"""How a campaign is conducted: its design, its budget, when it stops, how long it may pause, what comes every so often.

These are keys of the campaign file (see grammar); a lab file has ``pause`` as well.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from .events import Value
from .models import (
    Count,
    Model,
    Number,
    Positive,
    Rule,
    Seconds,
    Share,
    Whole,
    located,
)
from .steps import Stage, read_phase

_STAGES = {"type": "array", "items": {"title": "Stage"}}  # schema.py puts the stage here
Phase = Annotated[tuple[Stage, ...], WithJsonSchema(_STAGES)]


class Initial(Model):
    """How the campaign begins, before there is a model. ``trials`` left out: twice the parameters, 5 to 20."""

    method: Literal["sobol", "lhs", "random"] = "sobol"
    trials: Annotated[Count, Field()] = 0


class Design(Model):
    """The plan: how it begins, how many trials at a time, and the seed of everything drawn."""

    initial: Initial = Initial()
    batch: Positive = 1
    seed: Whole = 0

    @field_validator("seed")
    @classmethod
    def _seed(cls, seed: int) -> int:
        if not 0 <= seed < 2**31:
            raise Rule("must be from 0 to 2147483647")
        return seed


class Budget(Model):
    """What may be spent: measured trials, attempts (twice that if left out), time on the bench, cost."""

    trials: Count | None = None
    attempts: Count | None = None
    time_s: Annotated[Seconds | None, Field(alias="time")] = None
    cost: Number | None = None

    @model_validator(mode="after")
    def _agree(self) -> "Budget":
        if self.cost is not None and self.cost <= 0:
            raise located([(("cost",), "must be above 0", self.cost)], "budget")
        if self.attempts is None and self.trials is not None:
            self.__dict__["attempts"] = 2 * self.trials
        elif self.attempts is not None and self.trials is not None and self.attempts < self.trials:
            rule = f"is below the {self.trials} trials wanted. Raise it, or leave it out for twice the trials"
            raise located([(("attempts",), rule, self.attempts)], "budget")
        return self


class Plateau(Model):
    """On a front: its hypervolume grew by less than ``gain`` over the last ``trials``."""

    trials: Count
    gain: Share = 0.01


class StopRules(Model):
    """Rules that each look at what was measured, or at what the planner sees (see stopping)."""

    no_improvement: Count | None = None
    plateau: Plateau | None = None
    regret_below: Number | None = None
    chance_below: Share | None = None

    @field_validator("regret_below")
    @classmethod
    def _above(cls, bound: float | None) -> float | None:
        if bound is not None and bound <= 0:
            raise Rule("must be above 0, in the outcome's unit")
        return bound


class StopWhen(StopRules):
    """When to stop before the budget is spent: any rule suffices, and all of ``all`` at once."""

    failures_in_a_row: Positive = 3
    all: StopRules | None = None

    @model_validator(mode="after")
    def _several(self) -> "StopWhen":
        if self.all is not None and sum(value is not None for value in self.all.__dict__.values()) < 2:
            raise located([(("all",), "must have two rules or more. Write a single one outside", None)], "stop_when")
        return self


class Pause(Model):
    """How long a pause may hold the bench as it is, and what then."""

    hold_s: Annotated[Seconds, Field(alias="hold")]
    then: Literal["safe"] = "safe"


class Every(Model):
    """What comes around: steps of its own, or a control (settings that are not the planner's)."""

    trials: Count
    do: Phase = ()
    control: Annotated[dict[str, Value], WithJsonSchema({"type": "object"})] = {}
    blank: Annotated[dict[str, Value], WithJsonSchema({"type": "object"})] = {}

    @field_validator("do", mode="plain")
    @classmethod
    def _do(cls, raw: Any) -> tuple[Stage, ...]:
        return read_phase(raw, ("do",))

    @field_validator("control", "blank", mode="plain")
    @classmethod
    def _settings(cls, raw: Any) -> dict[str, Any]:
        if not isinstance(raw, dict) or not raw:
            raise Rule("must be settings, like {q_agno3: 20, q_tot: 500}")
        return raw

    @model_validator(mode="after")
    def _one(self) -> "Every":
        if sum(map(bool, (self.do, self.control, self.blank))) != 1:
            raise Rule("must have one of do, control or blank. Part it into several entries")
        return self
