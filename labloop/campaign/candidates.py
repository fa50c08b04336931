"""Candidate tables: the only settings that may be proposed, row by row as they stand."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import SpecError
from .events import Value
from .models import did_you_mean
from .parameters import Parameter
from .ranges import Range
from .tables import is_empty, plain_value

_MOST_ROWS_NAMED = 3  # enough to see what is wrong with a table of a million rows


def candidate_rows(
    rows: Iterable[Mapping[str, Any]], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Value], ...]:
    """Take the parameters' columns of a table, each value as it stands. Raises SpecError naming the rows at fault."""
    found: list[dict[str, Value]] = []
    wrong: list[str] = []
    for number, row in enumerate(rows, start=1):
        missing = [name for name, one in parameters.items() if name not in row and one.active_when is None]
        if missing:
            way_out = did_you_mean(missing[0], map(str, row)) if number == 1 else "Fill up the row"
            raise SpecError(f"row {number} has no column {missing[0]}. {way_out}")
        settings: dict[str, Value] = {}
        for name, parameter in parameters.items():
            value = plain_value(row.get(name))
            if parameter.active_when is not None and is_empty(value):
                continue
            fault = _row_fault(parameter, value)
            if fault:
                wrong.append(f"row {number}: {name}: {fault}")
            else:
                settings[name] = _as_it_stands(parameter, value)
        found.append(settings)
        if len(wrong) >= _MOST_ROWS_NAMED:
            break
    if wrong:
        raise SpecError(f"{'; '.join(wrong)}. Correct the rows, or widen the parameters")
    if not found:
        raise SpecError("has no rows. Add at least one")
    return tuple(found)


def _row_fault(parameter: Parameter, value: Any) -> str | None:
    try:
        return parameter.fault(parameter.read(value))
    except SpecError as error:
        return str(error)


def _as_it_stands(parameter: Parameter, value: Any) -> Value:
    if isinstance(parameter, Range) and isinstance(value, (int, float)):
        return value
    return parameter.read(value)
