"""What each instrument does now, as rows: at which step, how far it is, what it was asked for. No widget, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from labloop.campaign import text
from labloop.campaign.bench_state import BenchState
from labloop.campaign.grammar import PHASES
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState, StepState

from .seen import Seen


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """One instrument and what it does now."""

    name: str
    mark: str
    state: str
    tone: str
    where: str = ""
    doing: str = ""


def instrument_rows(
    names: Iterable[str], state: CampaignState, current: Mapping[str, StepState], runner: str, now: datetime,
    seen: Mapping[str, Mapping[str, Seen]] = MappingProxyType({}),
) -> list[InstrumentRow]:  # fmt: skip
    """Return one row for each instrument. ``names``: those that the campaign will need; ``current``: steps in hand.

    ``seen``: what was read last, shown beside what was asked for, with its age by ``now``. Where no runner lives,
    nobody knows what an instrument does now: the row says what it did last.
    """
    rows = []
    for name in dict.fromkeys([*names, *state.instruments]):
        doing = state.instruments.get(name)
        step = current.get(name)
        if doing is None:
            rows.append(InstrumentRow(name, "·", "not opened", "quiet"))
        elif doing == "lost":
            rows.append(InstrumentRow(name, "✗", "LOST", "bad"))
        elif doing == "idle" or step is None:
            rows.append(InstrumentRow(name, "○", "idle", "quiet"))
        elif step.question:
            rows.append(InstrumentRow(name, "?", "in doubt", "bad", place(step), amounts(step.begun.settings)))
        elif runner == "gone":
            rows.append(
                InstrumentRow(name, "?", f"last {text.plain(doing)}", "warn", place(step), amounts(step.begun.settings))
            )
        else:
            rows.append(
                InstrumentRow(name, "▶", text.plain(doing), "good", place(step), _asked(step, seen.get(name, {}), now))
            )
    return rows


def with_by_hand(rows: Iterable[InstrumentRow], bench: BenchState) -> list[InstrumentRow]:
    """Return the rows with what is done by hand now: that is no step of the run's, so that its facts do not say so."""
    found = []
    for row in rows:
        begun = bench.begun.get(row.name)
        if begun is not None:
            words = {"state": text.plain(f"{begun.action} by hand"), "where": text.plain(begun.by)}
            row = replace(row, mark="▶", tone="warn", doing=amounts(begun.settings), **words)
        found.append(row)
    return found


def takes(step: StepState) -> str:
    """Return how long a step will take as its driver says, ``about 20 s``; "" where it does not say."""
    expected_s = step.begun.expected_s
    return f"about {text.duration(expected_s)}" if expected_s else ""


def _asked(step: StepState, seen: Mapping[str, Seen], now: datetime) -> str:
    """How far it is first, ``temperature 41.2 of 60 degC``: that is what somebody looks for during a long hold.

    What was read before the step began says nothing about it.
    """
    asked, reached = dict(step.begun.settings), []
    began = datetime.fromisoformat(step.started)
    for name, one in seen.items():
        wished = asked.get(name)
        if wished is not None and wished.unit == one.unit and one.at >= began:
            del asked[name]
            value, wish, age = text.number(one.value), text.quantity(wished.value, wished.unit, 3), one.age(now)
            reached.append(text.plain(f"{name} {value} of {wish}{f' ({age})' if age != 'now' else ''}"))
    return "; ".join(filter(None, (", ".join(reached), takes(step), amounts(asked))))


def place(step: StepState) -> str:
    """Return where a step belongs: ``trial 7``, ``trial 7, cleanup`` or ``setup``."""
    begun = step.begun
    if begun.trial is None:
        return begun.phase
    return f"trial {begun.trial}" if begun.phase == "trial" else f"trial {begun.trial}, {begun.phase}"


def amounts(values: Mapping[str, Any]) -> str:
    """Return ``rate 81.2 uL/min, time 20 s`` for the amounts of a step."""
    return text.plain(", ".join(f"{name} {text.quantity(one.value, one.unit, 3)}" for name, one in values.items()))


def instrument_names(spec: CampaignSpec) -> list[str]:
    """Return the instruments that the campaign's steps name, in the order of the file."""
    phases = [*PHASES, *(f"every.{index}" for index in range(len(spec.every)))]
    steps = (step for phase in phases for stage in spec.steps_of(phase) for step in stage.steps)
    return list(dict.fromkeys(step.instrument for step in steps))
