"""The bench as cards: what each instrument is, does, last said, and what holds it. Plain words, no widget."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from labloop.campaign import events as e
from labloop.campaign import text
from labloop.campaign.bench_state import BenchState
from labloop.campaign.bench_time import trials_allowed
from labloop.campaign.lab_spec import LabSpec
from labloop.campaign.limits import Limit
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import CampaignState

from .doing import InstrumentRow, with_by_hand
from .seen import Seen

BLOCKS: Final = "▁▂▃▄▅▆▇█"
SHOWN: Final = 10  # what a card of 38 columns has room for beside name and value
ROOM: Final = 34  # columns of such a card inside its border
LINES: Final = 24  # values that are kept of each reading


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a card."""

    words: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One instrument, or the interlocks of the bench."""

    title: str
    tone: str
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Said:
    """What the facts told of an instrument's values and alarms so far."""

    values: dict[str, list[float | int | str | bool]]
    units: dict[str, str]
    alarms: list[tuple[str, str]]  # (when, what)


def nothing_said() -> Said:
    """Before the first fact."""
    return Said({}, {}, [])


def hear(said: Said, name: str, value: float | int | str | bool, unit: str) -> None:
    """Add a value; values of long ago are let go."""
    course = said.values.get(name)
    if course is None:
        course = said.values[name] = []
    course.append(value)
    if len(course) > LINES:
        del course[0]
    said.units[name] = unit


def sparkline(values: Sequence[float | int | str | bool], width: int = LINES) -> str:
    """Return the course of the last values, from their least to their greatest; ``""`` where there is none.

    A NaN or an infinity among them has no height, and is left out.
    """
    last = [one for one in values[-width:] if not isinstance(one, bool | str)]
    if len(last) < len(values[-width:]):
        return ""
    halves = [float(one) / 2 for one in last if abs(one) <= sys.float_info.max]  # halved: their span is a number too
    if len(halves) < 2:
        return ""
    low, span = min(halves), max(halves) - min(halves)
    return "".join(BLOCKS[round((one - low) / span * (len(BLOCKS) - 1)) if span else 0] for one in halves)


def cards(
    rows: Sequence[InstrumentRow],
    spec: CampaignSpec,
    lab: LabSpec | None,
    state: CampaignState,
    said: Mapping[str, Said],
    times: Mapping[str, str],
    bench: BenchState,
    seen: Mapping[str, Mapping[str, Seen]],
    now: datetime,
) -> list[Card]:
    """Return a card for each instrument, then one for the interlocks where there are any.

    ``times``: how the stamp of each alarm is shown. ``bench``: what its own journal says of stock. ``seen``: what was
    read last, of steps that are not over as well.
    """
    limits = [*(lab.limits_written if lab else ()), *spec.limits]
    stock = {row.name: stock_line(row.name, spec, lab, state, bench) for row in rows}
    found = []
    for row in with_by_hand(rows, bench):
        values = list(_values(said.get(row.name) or nothing_said(), seen.get(row.name, {}), now))
        found.append(_card(row, limits, state, said.get(row.name) or nothing_said(), times, stock[row.name], values))
    locks = {**(lab.interlocks if lab else {}), **spec.interlocks}
    if locks:
        lines = []
        for name, lock in locks.items():
            held = state.held.get(f"interlocks.{name}")
            lines.append(Line(f"{name}: {lock.when} -> {lock.then}", ""))
            lines.append(_held(held) if held else Line("  clear", "quiet"))
        tone = "bad" if any(line.tone == "bad" for line in lines) else ""
        found.append(Card("interlocks", tone, tuple(lines)))
    return found


def stock_line(
    name: str, spec: CampaignSpec, lab: LabSpec | None, state: CampaignState, bench: BenchState
) -> Line | None:  # fmt: skip
    """Return what is left of a stock and for how many trials; None where nobody keeps count of it."""
    held = bench.stock.get(name)
    if held is None:
        return None
    full = lab.instruments[name].stock if lab and name in lab.instruments else None
    words = f"stock {text.quantity(held.value, held.unit, 3)}"
    if full is not None and float(held.value) <= full.value:  # one unit for both: a card has room for a line of 34
        unit = held.unit if held.unit != full.unit else ""
        words = f"stock {text.quantity(held.value, unit, 3)} of {text.quantity(full.value, full.unit, 3)}"
    lasts, allowed = bench.lasts(name), trials_allowed(spec, state)
    if lasts is None:
        return Line(text.plain(words))
    short = allowed is not None and lasts < allowed - state.measured
    many = f"{lasts} trial{'' if lasts == 1 else 's'}"
    more = f"{words}: NONE left for a trial" if lasts == 0 else f"{words}: ~{many}"
    return Line(text.plain(more), "bad" if lasts == 0 else "warn" if short else "")


def _card(
    row: InstrumentRow, limits: Sequence[Limit], state: CampaignState, said: Said, times: Mapping[str, str],
    stock: Line | None, values: Sequence[Line],
) -> Card:  # fmt: skip
    lines = [Line("  ".join(part for part in (f"{row.mark} {row.state}", row.where) if part), row.tone)]
    if row.doing:
        lines.append(Line(f"  {row.doing}", "quiet"))
    if stock is not None:
        lines.append(stock)
    lines += values
    for limit in limits:
        if limit.instrument == row.name:
            lines.append(Line(text.plain(f"limit {str(limit).removeprefix(f'{row.name}.')}"), "quiet"))
    for rule, held in state.held.items():
        if rule.split(".")[1:2] == [row.name]:
            lines.append(_held(held))
    lines += [Line(text.plain(f"alarm {times[at]}: {words}"), "warn") for at, words in said.alarms[-2:]]
    known = state.identities.get(row.name)
    if known:
        about = " ".join(f"{known.model} {known.firmware} {known.serial}".split())
        lines.append(Line(text.plain(about), "quiet"))
    return Card(row.name, row.tone if row.tone in ("bad", "warn") else "", tuple(lines))


def _values(said: Said, seen: Mapping[str, Seen], now: datetime) -> Iterator[Line]:
    """The last values; what was read since the last fact, with its age, in the place of what the fact said."""
    for name, one in seen.items():
        words = f"{name} {text.quantity(one.value, one.unit, 4)} {one.age(now)}"
        course = sparkline(one.course, max(min(SHOWN, ROOM - len(words) - 2), 2))
        yield Line(text.plain(f"{words}  {course}".rstrip()))
    for name, values in said.values.items():
        if name not in seen:
            shown = text.quantity(values[-1], said.units[name], 4)
            yield Line(text.plain(f"{name} {shown}  {sparkline(values, SHOWN)}".rstrip()))


def _held(fact: e.WatchTripped | e.WatchCleared) -> Line:
    if isinstance(fact, e.WatchTripped):
        return Line(text.plain(f"HOLDS THE RUN: {fact.reason}"), "bad")
    return Line("over, but steps wait until a person resumes", "warn")
