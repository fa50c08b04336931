"""What of a campaign can be amended by one typed line: its place, how it stands now, and how another is written.

A part of what may be amended (see campaign.amending): what a person changes in mid-run, from a terminal, what is
changed most often first. Everything else, a table of candidates, the engine, needs a changed copy of the campaign.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from labloop.campaign.mixture import Mixture
from labloop.campaign.parameters import Choices, Molecules
from labloop.campaign.ranges import Range
from labloop.campaign.spec import CampaignSpec

RANGE: Final = "Two numbers; a unit behind them, or none for {unit}. What is under way is not changed by it."
NUMBERS: Final = "Two numbers. What is under way is not changed by it."
LIST: Final = "The whole list; or only what is added and retired: +{one}, -{other}."
EMPTY: Final = "Leave it empty to take it out."
WEIGHT: Final = f"How much it counts beside the other goals. {EMPTY}"
LIMIT: Final = f"A sign, a number and its unit: <= 12{{unit}}. {EMPTY}"
REFERENCE: Final = f"The corner of the front's volume, the zero of a weighted sum: a number{{unit}}. {EMPTY}"
CONSTRAINTS: Final = (
    f"All of them, a semicolon between two; or only what is added and retired: +A <= 3; -B >= 2. {EMPTY}"
)
STEP: Final = f"Values on a grid from the low bound on, so far apart: a number{{unit}}. {EMPTY}"
EXPECTED: Final = f"Where the optimum is expected, give or take how much: 60 within 10. {EMPTY}"
LIKELY: Final = f"At which choices the optimum is expected: one, or some with commas. {EMPTY}"
AT_MOST: Final = f"How many components a trial may have at most. {EMPTY}"
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
    """Return them: what is changed most often in the order in which a campaign has them, then the rest."""
    return [*_parameters(spec), _constraints(spec), *_outcomes(spec), *_budget(spec), *_seldom(spec)]


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


def _constraints(spec: CampaignSpec) -> Place:
    every = [str(one).strip() for one in spec.written("constraints") or ()]
    if every and all(one[0] in ("+", "-") for one in every):  # else the signs would add and retire
        return Place("constraints", f"[{', '.join(map(_in_brackets, every))}]", CONSTRAINTS)
    return Place("constraints", "; ".join(every), CONSTRAINTS)


def _in_brackets(constraint: str) -> str:
    """As one writes it in a list of YAML: quoted where its sign would be read as the sign of an item."""
    return f"'{constraint}'" if constraint[1:2].isspace() else constraint


def _seldom(spec: CampaignSpec) -> Iterator[Place]:
    """How finely a parameter is set, how many components there may be, where the optimum is expected."""
    for name, parameter in spec.parameters.items():
        written = _written(spec, "parameters", name)
        likely = written.get("likely")
        if isinstance(parameter, Range):
            unit = f" of {parameter.unit}" if parameter.unit else ""
            yield Place(f"parameters.{name}.step", _shown(written.get("step")), STEP.format(unit=unit))
            expected = f"{likely['value']} within {likely['within']}" if likely else ""
            yield Place(f"parameters.{name}.likely", expected, EXPECTED)
        elif isinstance(parameter, Choices | Molecules):
            yield Place(f"parameters.{name}.likely", _likely(likely), LIKELY)
        elif isinstance(parameter, Mixture):
            yield Place(f"parameters.{name}.at_most", _shown(written.get("at_most")), AT_MOST)


def _likely(written: Any) -> str:
    if isinstance(written, dict):  # with weights
        return json.dumps({str(name): weight for name, weight in written.items()})
    return ", ".join(_quoted(one) for one in (written if isinstance(written, list) else [written] if written else []))


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
        if len(goals) > 1 and name in goals:
            yield Place(f"outcomes.{name}.reference", _shown(written.get("reference")), REFERENCE.format(unit=unit))
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
