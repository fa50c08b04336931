"""Two texts, and where they part: a unified diff that fits on a screen, however long they are."""

import re
from difflib import unified_diff
from typing import Final

MOST_LINES: Final = 40  # of a diff: what a person reads; the rest is counted
WIDEST: Final = 160  # characters of a line
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
        return "\n".join(
            (f"{name}: the first difference is in line {first + 1}", _cut("-", old, first), _cut("+", new, first))
        )
    parts = unified_diff(
        old[begin:old_end], new[begin:new_end], f"{name} (when the run began)", f"{name} (now)", lineterm=""
    )
    lines = [_HUNK.sub(lambda at: f"{at[1]}{int(at[2]) + begin}", line) if line[:2] == "@@" else line for line in parts]
    shown = [line if len(line) <= WIDEST else line[: WIDEST - 3] + "..." for line in lines[:MOST_LINES]]
    more = len(lines) - len(shown)
    return "\n".join(shown + ([f"... and {more} more lines"] if more else []))


def _cut(sign: str, lines: list[str], at: int) -> str:
    line = lines[at] if at < len(lines) else "(the end)"
    return sign + (line if len(line) < WIDEST else line[: WIDEST - 4] + "...")
