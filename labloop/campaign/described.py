"""What choices and the components of a mixture have in common: names, and columns that describe them."""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from .errors import SpecError
from .models import Rule, located
from .tables import Row, read_table
from .units import quote

_SMILES = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:./\\%*~]{1,2000}")


def _columns(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, (list, tuple)) or not all(isinstance(name, str) for name in raw):
        raise Rule("must be a list of column names")
    return tuple(raw)


# Names of the columns that describe in numbers.
Columns = Annotated[
    tuple[str, ...], PlainValidator(_columns), WithJsonSchema({"type": "array", "items": {"type": "string"}})
]


def check_name(name: str) -> str:
    """Check the name of a parameter or outcome: any printable word. Raises Rule."""
    if not name or name != name.strip() or len(name) > 80 or not name.isprintable():
        raise Rule("is no name. Use up to 80 printable characters without blanks at the ends")
    return name


def check_smiles(smiles: str, at: int) -> str:
    """Check that row ``at`` may be a SMILES, as far as that shows without chemistry. Raises ValidationError."""
    if _SMILES.fullmatch(smiles) is None:
        raise located([((at,), "is no SMILES. Write it like CC#N", smiles)], "smiles")
    return smiles


def descriptors_of(row: Mapping[str, Any], names: Iterable[str], at: int) -> tuple[float, ...]:
    """The numbers that describe row ``at`` of a table, in the order of ``names``. Raises ValidationError."""
    numbers = []
    for name in names:
        number = row.get(name)
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            what = f"has no column {name}" if name not in row else f"{name} = {quote(number)} is not a number"
            raise located([((at,), f"{what}. Every descriptor needs a number in every row", dict(row))], "descriptors")
        numbers.append(float(number))
    return tuple(numbers)


def read_described(path: Path) -> list[Row]:
    """Read a table of what is described: the column ``name`` has the names, else the first. Raises Rule."""
    try:
        rows = read_table(path)
    except SpecError as error:
        raise Rule(str(error)) from error
    key = "name" if "name" in rows[0] else next(iter(rows[0]))
    return [{"name": row[key], **{name: value for name, value in row.items() if name != key}} for row in rows]
