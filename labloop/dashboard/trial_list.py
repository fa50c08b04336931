"""Which trials a person wants to see, and in which order. No widget.

A filter is words: each must stand somewhere in the row (``failed``, ``model``), or be a comparison of an outcome, a
parameter or the trial's number (``spectrum_loss<0.3``, ``trial>=20``, ``solvent=DMF``).
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from labloop.campaign import text
from labloop.campaign.events import Value
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.state import TrialState

from . import view

_COMPARES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_COMPARISON: Final = re.compile(r"([^\s<>=]+)(<=|>=|<|>|=)([^\s<>=]+)")
TRIAL: Final = "trial"
OFF_BY: Final = "off by"


class Wanted:
    """A filter, read once and asked of every trial."""

    def __init__(self, written: str, spec: CampaignSpec) -> None:
        self._outcomes = list(spec.outcomes)
        self._parameters = list(view.units(spec))
        self._words: list[str] = []
        self._compared: list[tuple[str, Callable[[Any, Any], bool], str]] = []
        self.unknown: list[str] = []  # what was compared, and is no column
        names = {name.lower(): name for name in (TRIAL, "state", "from", *self._outcomes, *self._parameters)}
        for word in written.split():
            found = _COMPARISON.fullmatch(word)
            name = names.get(found[1].lower()) if found else None
            if found and name:
                self._compared.append((name, _COMPARES[found[2]], found[3]))
            else:
                self._words.append(word.lower())
                if found:
                    self.unknown.append(text.plain(found[1]))

    @property
    def all(self) -> bool:
        """Whether every trial is wanted."""
        return not (self._words or self._compared)

    def __call__(self, trial: TrialState) -> bool:
        """Whether all of it holds of ``trial``."""
        if not all(_holds(value(trial, name), compare, other) for name, compare, other in self._compared):
            return False
        if not self._words:
            return True
        row = " ".join(view.trial_cells(trial, self._outcomes, self._parameters, best=False)).lower()
        return all(word in row for word in self._words)


def _holds(found: Value | None, compare: Callable[[Any, Any], bool], written: str) -> bool:
    if found is None:
        return False
    try:
        number = float(written)
    except ValueError:
        return compare is operator.eq and str(found).lower() == written.lower()
    return isinstance(found, int | float) and bool(compare(found, number))


def value(trial: TrialState, column: str) -> Value | None:
    """Return what stands in a column as it is compared: a number where there is one."""
    if column == TRIAL:
        return trial.trial
    if column in trial.outcomes:
        return view.measured(trial, column)
    if column == OFF_BY:
        return max((abs(view.sds(trial, name) or 0.0) for name in trial.outcomes), default=None)
    if column == "state":
        return trial.state
    if column == "from":
        return trial.source
    return trial.settings.get(column)


def columns(spec: CampaignSpec) -> list[str]:
    """Return what the trials can be put in order by."""
    return [TRIAL, *spec.outcomes, OFF_BY, "state", "from", *view.units(spec)]


def arranged(trials: Iterable[TrialState], wanted: Wanted, column: str, rising: bool) -> Sequence[int]:
    """Return the numbers of the trials that are wanted, the first of the list first.

    What has no value in the column stands last, whichever way it is turned.
    """
    if wanted.all and column == TRIAL:  # as the screen opens, and at each news: of 10,000 it need not look at any
        return sorted((trial.trial for trial in trials), reverse=not rising)
    with_value: list[tuple[Any, int]] = []
    without: list[int] = []
    for trial in trials:
        if wanted(trial):
            found = value(trial, column)
            if found is None:
                without.append(trial.trial)
            else:
                with_value.append(((not isinstance(found, int | float), found), trial.trial))
    # Words stand behind numbers: a parameter's choices may be either.
    with_value.sort(reverse=not rising)
    return [number for _, number in with_value] + sorted(without, reverse=True)
