"""CSV tables that a campaign names: choices with descriptors, molecules, candidates, target spectra.

A cell that reads as a number is one (``227`` stays whole); every other cell is a word. The first line names the
columns. Decimal points, commas between cells, UTF-8.
"""

import csv
import math
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from .errors import SpecError
from .events import Value
from .units import quote

Row: TypeAlias = dict[str, Value]
LONGEST_TABLE = 512_000_000  # bytes: a million rows of forty columns
LONGEST_TOLD = 64_000_000  # of results that are told: half a million rows, each of which becomes two facts
WIDEST_TABLE = 10_000  # columns: a spectrum a row, and no more


def read_table(path: Path, longest: int = LONGEST_TABLE) -> list[Row]:
    """Read a CSV file with a header, of at most ``longest`` bytes. Raises SpecError with the line that is wrong."""
    return list(_rows(path, longest))


def _rows(path: Path, longest: int) -> Iterator[Row]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe is waited for, and /dev/zero never ends
            raise SpecError(f"{path} is not a plain file. Name a CSV file")
        if status.st_size > longest:
            raise SpecError(f"{path} has more than {longest} bytes. Part the table")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = [name.strip() for name in next(reader, [])]
            if not any(names):
                raise SpecError(f"{path} is empty. Its first line names the columns")
            if len(names) > WIDEST_TABLE:
                raise SpecError(f"{path}:1: the header names {len(names)} columns, and {WIDEST_TABLE} are the most")
            for at, name in enumerate(names):
                if not name or name in names[:at]:
                    what = f"names the column {quote(name)} twice" if name else "has a column without a name"
                    raise SpecError(f"{path}:1: the header {what}. Give each column its own name")
            empty = True
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(names):
                    raise SpecError(
                        f"{path}:{reader.line_num}: the row has {len(cells)} cells, and the header names {len(names)}. "
                        "Fill up the row, or put a cell with a comma into quotes"
                    )
                empty = False
                yield {name: cell(text) for name, text in zip(names, cells, strict=True)}
            if empty:
                raise SpecError(f"{path} has a header and no rows. Add at least one row")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not UTF-8 (byte {error.start}). Save it as CSV UTF-8") from None
    except csv.Error as error:
        raise SpecError(f"{path} is not CSV ({error}). Export it as CSV with commas") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror}). Check the path") from None


def cell(text: str) -> Value:
    """Read one cell."""
    text = text.strip()
    if text and text[0] in "+-.0123456789":
        try:
            return int(text)
        except ValueError:
            pass
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) and "_" not in text else text
    return text


def rows_of(raw: Any) -> list[Mapping[str, Any]]:
    """Take a list of mappings or a pandas DataFrame. Raises SpecError."""
    if hasattr(raw, "to_dict") and hasattr(raw, "columns"):
        raw = raw.to_dict("records")
    if not isinstance(raw, list) or not all(isinstance(row, Mapping) for row in raw):
        raise SpecError("must be a CSV file, or a list of rows like {name: value}")
    return raw


def is_empty(raw: Any) -> bool:
    """Whether a cell holds nothing: no value, no text, and what pandas has there (NaN)."""
    return raw is None or raw == "" or (isinstance(raw, float) and math.isnan(raw))


def plain_value(raw: Any) -> Any:
    """Take a number out of its numpy box."""
    return raw.item() if hasattr(raw, "item") and not isinstance(raw, (str, int, float)) else raw
