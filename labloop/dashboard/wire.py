"""The last exchanges on a run's lines, byte by byte, as its runner leaves them in a file. Plain words, no widget."""

import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from labloop.campaign import text
from labloop.journal import StoreError
from labloop.journal.files import read_bounded

WIRE: Final = "wire.json"
# 7 lines with 40 exchanges of 512 bytes each, in hex, have some 300 kB.
LONGEST: Final = 8 * 1024 * 1024
TONES: Final = {"sent": "", "received": "good", "dropped": "warn"}
HEAD: Final = 21  # columns before the bytes: how long before the last one, and which way


@dataclass(frozen=True, slots=True)
class WireLine:
    """One line and what passed there, as (words, tone), the oldest first."""

    address: str
    instruments: str
    rows: tuple[tuple[str, str], ...]


def read_wire(run: Path, width: int) -> list[WireLine] | str:
    """Read the file; in words why there is nothing to show. ``width``: columns of a row."""
    path = run / WIRE
    try:
        told = json.loads(read_bounded(path, LONGEST))
        return [_line(address, one, width) for address, one in told["lines"].items()]
    except FileNotFoundError:
        return "Nothing has passed on a line yet; a virtual run has no lines, and leaves no such file."
    except (OSError, StoreError) as error:
        return text.plain(str(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text.plain(f"{path}: makes no sense. Its runner writes it anew when something passes.")


def _line(address: str, told: Any, width: int) -> WireLine:
    passed = told["passed"]
    last_s = float(passed[-1]["at_s"]) if passed else 0.0
    rows: list[tuple[str, str]] = []
    for one in _whole(passed):
        head = f"{float(one['at_s']) - last_s:9.3f} s {text.plain(str(one['kind'])):8} "
        for frame in one["frames"]:
            rows += [(words, TONES.get(one["kind"], "")) for words in _rows(head, binascii.unhexlify(frame), width)]
            head = " " * HEAD
        if one["more"]:
            rows.append((f"{'':{HEAD}}... and {int(one['more'])} bytes more", "quiet"))
    return WireLine(text.plain(address), text.plain(", ".join(map(str, told["instruments"]))), tuple(rows))


def _whole(passed: list[Any]) -> list[Any]:
    """What came in parts, one after the other, is one answer: serial lines bring it byte by byte."""
    found: list[Any] = []
    for one in passed:
        before = found[-1] if found else None
        if before and one["kind"] == before["kind"] == "received" and len(one["frames"]) == len(before["frames"]) == 1:
            joined = [before["frames"][0] + one["frames"][0]]
            found[-1] = {**before, "frames": joined, "more": before["more"] + one["more"]}
        else:
            found.append(one)
    return found


def _rows(head: str, data: bytes, width: int) -> list[str]:
    """``-0.312 s sent     30 52 55 4e 0d  |0RUN.|``, parted where the width ends."""
    each = max((width - HEAD - 4) // 4, 4)
    rows = []
    for at in range(0, max(len(data), 1), each):
        part = data[at : at + each]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        rows.append(f"{head if at == 0 else ' ' * HEAD}{part.hex(' '):{3 * each - 1}}  |{shown}|")
    return rows
