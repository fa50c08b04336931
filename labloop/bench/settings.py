"""Settings of an action: from what a recipe says to what a method takes, and back to words when they do not fit."""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from labloop.campaign.errors import SpecError, UnitError
from labloop.campaign.events import Amount, Value
from labloop.campaign.units import convert, number_text, parse_quantity, quote

from .errors import SafetyError
from .instrument import Action, Setting


def resolve(action: Action, settings: Mapping[str, Amount]) -> dict[str, Value]:
    """Settings in the units that ``action`` declares, defaults filled in: {argument: value}.

    Raises SpecError for a setting that is unknown, missing, of another dimension or no word of the choices, and
    SafetyError for a number that is not finite. Limits are the envelope's business.
    """
    known = {setting.name: setting for setting in action.settings}
    values: dict[str, Value] = {}
    complaints = [
        f"{action.name} has no setting {name!r}; {suggest(name, known)}" for name in settings if name not in known
    ]
    for setting in action.settings:
        amount = settings.get(setting.name)
        if amount is None:
            if setting.default is not None:
                values[setting.argument] = setting.default
            elif setting.required:
                complaints.append(f"{action.name} needs {setting.name} ({setting.doc or setting.unit})")
            continue
        try:
            values[setting.argument] = in_unit(setting, amount)
        except UnitError as error:
            complaints.append(f"{action.name}.{setting.name}: {error}")
    if complaints:
        raise SpecError(*complaints)
    return values


def in_unit(setting: Setting, amount: Amount) -> Value:
    """One value in the unit its setting declares; a bare number is in it already.

    Raises UnitError, or SafetyError (not finite).
    """
    value = amount.value
    if setting.choices:
        word = _word(amount)
        if word not in setting.choices:
            raise UnitError(f"{word!r} is none of {', '.join(setting.choices)}; {suggest(word, setting.choices)}")
        return word
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnitError(f"{value!r} is not a number; write it in {setting.unit or 'no unit'}")
    try:
        number = convert(float(value), amount.unit or setting.unit, setting.unit, setting.difference)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        said = f"{value}"[:40]
        raise SafetyError(f"{setting.name} = {said} is not a finite number, and nothing was sent.")
    return number + 0.0  # -0 is 0, and said as 0


def _word(amount: Amount) -> str:
    """A choice as it is called: a valve's position may be called 2, and is read as a number wherever it is written."""
    if isinstance(amount.value, (bool, str)):
        return str(amount.value)
    if abs(amount.value) >= 10**40:
        return quote(amount.value)
    return f"{number_text(float(amount.value))} {amount.unit}".rstrip()


def as_amounts(action: Action, values: Mapping[str, Value]) -> dict[str, Amount]:
    """The way back: {argument: value} in declared units as {setting: Amount}."""
    return {
        setting.name: Amount(values[setting.argument], setting.unit)
        for setting in action.settings
        if setting.argument in values
    }


def quantity_of(raw: Any, unit: str) -> float:
    """An option of lab.yaml (``10 mL``, 10) as a number in ``unit``. Raises UnitError."""
    return parse_quantity(raw, unit).value


def refuse_unknown(options: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Raise SpecError for an option that nobody knows, with what may have been meant."""
    names = tuple(known)
    complaints = [f"{what} has no option {name!r}; {suggest(name, names)}" for name in options if name not in names]
    if complaints:
        raise SpecError(*complaints)


def suggest(name: str, known: Iterable[str]) -> str:
    """The way out for a name that is not known."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "it has none"


def written(value: float, unit: str) -> str:
    """A number with its unit, for a message."""
    return f"{number_text(float(f'{value:.10g}'))} {unit}".rstrip()
