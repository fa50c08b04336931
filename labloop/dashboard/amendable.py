"""What of a campaign can be amended by one typed line: its place, how it stands now, and how another is written.

A part of what may be amended (see campaign.amending): what a person changes in mid-run, from a terminal. Everything
else, a constraint, a table of candidates, the engine, needs a changed copy of the campaign.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign.parameters import Choices, Molecules
from labloop.campaign.ranges import Range
from labloop.campaign.spec import CampaignSpec

RANGE: Final = "Two numbers; a unit behind them, or none for {unit}. What is under way is not changed by it."
NUMBERS: Final = "Two numbers. What is under way is not changed by it."
LIST: Final = "The whole list; or only what is added and retired: +{one}, -{other}."
EMPTY: Final = "Leave it empty to take it out."
WEIGHT: Final = f"How much it counts beside the other goals. {EMPTY}"
LIMIT: Final = f"A sign, a number and its unit: <= 12{{unit}}. {EMPTY}"
GOAL: Final = "minimize, maximize, or {target: 530 nm, tolerance: 5 nm}"
BUDGET: Final = {
    "trials": f"How many trials are to be measured in all, those so far included. {EMPTY}",
    "attempts": f"How many trials may be begun in all, those that fail included. {EMPTY}",
    "time": f"How long the bench may work in all: 36 h, 5 d. {EMPTY}",
    "cost": f"What all trials together may cost. {EMPTY}",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One place. now: its value, as one writes it ("": nothing is written there); how: what may be written."""

    place: str
    now: str
    how: str


def places(spec: CampaignSpec) -> list[Place]:
    """Return them in the order in which a campaign has them."""
    return [*_parameters(spec), *_outcomes(spec), *_budget(spec)]


def _parameters(spec: CampaignSpec) -> Iterator[Place]:
    for name, parameter in spec.parameters.items():
        written = _written(spec, "parameters", name)
        unit = getattr(parameter, "unit", "")
        if isinstance(parameter, Range):
            how = RANGE.format(unit=unit) if unit else NUMBERS
            key = "range" if "range" in written else "integer"
            low, high = written[key][:2]
            yield Place(f"parameters.{name}.{key}", _range(low, high, unit), how)
        elif isinstance(parameter, Choices | Molecules):
            key = "choices" if isinstance(parameter, Choices) else "molecules"
            names = written[key] if isinstance(written[key], list) else []
            if names and not any(isinstance(one, dict) for one in names):
                shown = [_quoted(one) for one in names]
                how = LIST.format(one="another", other=shown[-1])
                yield Place(f"parameters.{name}.{key}", ", ".join(shown), how)


def _quoted(name: Any) -> str:
    """A choice as one writes it in a list: quoted where its commas, signs or brackets would be read as the list's."""
    text = str(name)
    plain = "," not in text and text.count("[") == text.count("]") and text == text.strip()
    if not isinstance(name, str) or (plain and text[:1] not in ("+", "-", "'", '"')):
        return text
    return "'" + text.replace("'", "''") + "'"


def _range(low: float | str, high: float | str, unit: str) -> str:
    if isinstance(low, str) or isinstance(high, str):  # a unit behind the second would be taken for both
        low, high = (f"{end} {unit}".rstrip() if not isinstance(end, str) else end for end in (low, high))
        return f"{low} to {high}"
    return f"{low} to {high}" if unit[:1].isdigit() else f"{low} to {high} {unit}".rstrip()  # not 2 1/min


def _outcomes(spec: CampaignSpec) -> Iterator[Place]:
    goals = [name for name, outcome in spec.outcomes.items() if outcome.is_wish]
    for name, outcome in spec.outcomes.items():
        written = _written(spec, "outcomes", name)
        unit = f" {outcome.unit}".rstrip()
        if isinstance(written.get("goal"), str) and outcome.goal in ("minimize", "maximize"):
            yield Place(f"outcomes.{name}.goal", str(written["goal"]), GOAL)
        if len(goals) > 1 and name in goals:
            yield Place(f"outcomes.{name}.weight", _shown(written.get("weight")), WEIGHT)
        yield Place(f"outcomes.{name}.limit", _shown(written.get("limit")), LIMIT.format(unit=unit))


def _budget(spec: CampaignSpec) -> Iterator[Place]:
    written = spec.written("budget") or {}
    for name, how in BUDGET.items():
        yield Place(f"budget.{name}", _shown(written.get(name)), how)


def _written(spec: CampaignSpec, section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = spec.written(section)[name]
    return found


def _shown(value: Any) -> str:
    return "" if value is None else str(value)
