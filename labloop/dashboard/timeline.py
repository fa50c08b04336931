"""What ran when on which instrument: lanes of bars over lab time. Points and words only, no drawing.

Lab time, not the wall's: a simulated run that goes sixty times faster has its hour as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from labloop.campaign.state import CampaignState, StepState

# A bar's mark says how it ended where there is no colour: (mark, tone).
MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "started": ("▒", ""),
    "finished": ("█", "good"),
    "failed": ("✗", "bad"),
    "in_doubt": ("?", "bad"),
}
NOW: Final = "│"
OUTSIDE: Final = "░"  # setup, cleanup and other phases: work that is not a trial's own


@dataclass(frozen=True, slots=True)
class Bar:
    """One step, from ``start_s`` to ``end_s`` of lab time."""

    start_s: float
    end_s: float
    mark: str
    tone: str
    label: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One instrument's bars, the oldest first; ``busy``: the part of the window that they cover, 0 to 1."""

    name: str
    bars: tuple[Bar, ...]
    busy: float


def lanes(
    names: Iterable[str], state: CampaignState, start_s: float, end_s: float, now_s: float,
    coming: Mapping[str, Iterable[Bar]] = MappingProxyType({}),
) -> list[Lane]:  # fmt: skip
    """Return one lane for each instrument, with every step that touches the window; one in hand lasts until now.

    ``coming``: what is to come, by instrument.
    """
    found: dict[str, list[Bar]] = {name: [] for name in dict.fromkeys([*names, *state.instruments])}
    for step in state.steps.values():
        until_s = step.ended_t_s if step.finished else now_s
        if step.begun.t_s < end_s and max(until_s, step.begun.t_s) >= start_s:
            found.setdefault(step.begun.instrument, []).append(_bar(step, until_s))
    past = {name: _busy(bars, start_s, min(end_s, now_s)) for name, bars in found.items()}
    for name, bars in coming.items():
        found.setdefault(name, []).extend(bars)
    return [Lane(name, tuple(bars), past.get(name, 0.0)) for name, bars in found.items()]


def _bar(step: StepState, until_s: float) -> Bar:
    begun = step.begun
    mark, tone = MARKS[step.state]
    if begun.phase != "trial" and step.state in ("started", "finished"):
        mark, tone = OUTSIDE, "quiet"
    label = str(begun.trial) if begun.trial is not None and begun.phase == "trial" else ""
    return Bar(begun.t_s, max(until_s, begun.t_s), mark, tone, label)


def _busy(bars: Iterable[Bar], start_s: float, end_s: float) -> float:
    """Steps of one instrument may overlap (a hold while it is read): what two cover counts once."""
    covered_s, reached_s = 0.0, start_s
    for bar in sorted(bars, key=lambda bar: bar.start_s):
        covered_s += max(min(bar.end_s, end_s) - max(bar.start_s, reached_s), 0.0)
        reached_s = max(reached_s, min(bar.end_s, end_s))
    return covered_s / (end_s - start_s) if end_s > start_s else 0.0


def cells(
    lane: Lane, start_s: float, end_s: float, width: int, now_s: float | None = None
) -> list[tuple[str, str]]:  # fmt: skip
    """Return the lane as ``width`` (character, tone) pairs; ``now_s``: where now is marked.

    What is shorter than a cell still has one; a bar with room for it carries its trial's number; a fault is drawn over
    what went well beside it.
    """
    row = [(" ", "")] * width
    scale = width / (end_s - start_s)
    for bar in sorted(lane.bars, key=lambda bar: (bar.tone == "bad", bar.start_s)):
        first = max(int((bar.start_s - start_s) * scale), 0)
        last = max(min(int((bar.end_s - start_s) * scale), width), first + 1)
        for at in range(first, min(last, width)):
            row[at] = (bar.mark, bar.tone)
        if bar.label and first < width and last - first >= len(bar.label) + 2:
            for offset, letter in enumerate(bar.label, first + 1):
                row[offset] = (letter, bar.tone)
    if now_s is not None and start_s <= now_s < end_s:
        row[min(int((now_s - start_s) * scale), width - 1)] = (NOW, "warn")
    return row


def ticks(start_s: float, end_s: float, now_s: float, width: int) -> list[tuple[int, str]]:
    """Return (cell, words) for quarters of the window: how long before now each was, or after.

    The last ends where the window does; words that would run into others are left out.
    """
    found = []
    for quarter in range(5):
        ago_s = now_s - (start_s + (end_s - start_s) * quarter / 4)
        if abs(ago_s) < max((end_s - start_s) / 100, 1.0):
            words = "now"
        elif ago_s < 0:
            words = f"+{-ago_s / 60:.3g} min" if ago_s > -3600 * 3 else f"+{-ago_s / 3600:.3g} h"
        elif ago_s < 3600 * 3:
            words = f"-{ago_s / 60:.3g} min"
        else:
            words = f"-{ago_s / 3600:.3g} h"
        at = round(width * quarter / 4)
        found.append((max(min(at, width - len(words)), 0), words))
    room: list[tuple[int, str]] = []
    for at, words in reversed(found):
        if not room or at + len(words) < room[0][0]:
            room.insert(0, (at, words))
    return room
