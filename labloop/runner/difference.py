"""Two texts, and where they part: a unified diff that fits on a screen, however long they are."""

import re
from difflib import unified_diff
from typing import Final

MOST_LINES: Final = 40  # of a diff: what a person reads; the rest is counted
WIDEST: Final = 160  # characters of a line
BEFORE: Final = 60  # so many are shown before the one that differs, in a line that is wider
# difflib's time grows with the square of what differs; past this only the first line that differs is shown.
MOST_COMPARED: Final = 1000
_HUNK: Final = re.compile(r"([-+])(\d+)")


def difference(before: bytes, now: bytes, name: str) -> str:
    """Say how ``now`` differs from ``before``: a unified diff, bounded. Bytes that are no text are said to differ."""
    try:
        old, new = (data.decode("utf-8").splitlines() for data in (before, now))
    except UnicodeDecodeError:
        return f"{name}: {len(before)} bytes then, {len(now)} bytes now, and no text"
    same = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), None)
    first = min(len(old), len(new)) if same is None else same
    if len(old) == len(new) == first:
        return f"{name}: the lines are the same, and how they end is not"
    tail = 0
    while tail < min(len(old), len(new)) - first and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    begin, old_end, new_end = max(first - 3, 0), len(old) - max(tail - 3, 0), len(new) - max(tail - 3, 0)
    if max(old_end, new_end) - begin > MOST_COMPARED:
        one, other = ("".join(lines[first : first + 1]) or "(the end)" for lines in (old, new))
        at = _parts_at(one, other)
        return f"{name}: the first difference is in line {first + 1}\n{_cut('-' + one, at)}\n{_cut('+' + other, at)}"
    parts = unified_diff(
        old[begin:old_end], new[begin:new_end], f"{name} (when the run began)", f"{name} (now)", lineterm=""
    )
    lines = [_HUNK.sub(lambda at: f"{at[1]}{int(at[2]) + begin}", line) if line[:2] == "@@" else line for line in parts]
    shown = [_cut(line, at) for line, at in _marked(lines[:MOST_LINES])]
    more = len(lines) - len(shown)
    return "\n".join(shown + ([f"... and {more} more lines"] if more else []))


def _marked(lines: list[str]) -> list[tuple[str, int]]:
    """The lines of a diff, each with the place where it parts from the one that came in its stead (0: from none)."""
    places = [0] * len(lines)
    for at, line in enumerate(lines):
        if not line.startswith("-") or line.startswith("--- "):
            continue
        begin = end = at  # the lines that are gone, of which this is one; those that came follow at once
        while lines[begin - 1].startswith("-") and not lines[begin - 1].startswith("--- "):
            begin -= 1
        while end < len(lines) and lines[end].startswith("-"):
            end += 1
        other = end + at - begin
        if other < len(lines) and all(one.startswith("+") for one in lines[end : other + 1]):
            places[at] = places[other] = _parts_at(line[1:], lines[other][1:])
    return list(zip(lines, places, strict=True))


def _parts_at(one: str, other: str) -> int:
    """The first character that differs."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _cut(line: str, at: int) -> str:
    """A line of a diff that is not too wide, with the character ``at`` in sight."""
    if len(line) <= WIDEST:
        return line
    begin = max(at - BEFORE, 0)
    dots = "..." if begin else ""
    shown = line[0] + dots + line[1 + begin :]
    return shown if len(shown) <= WIDEST else shown[: WIDEST - 3] + "..."
