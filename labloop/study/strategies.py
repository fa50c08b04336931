"""Ways to choose the next condition, all behind one small face: told rows and their outcomes, asked for more rows.

labloop        the campaign as it is written: its planner, in this process
random         rows by chance, none twice
NAME=FILE      another campaign file over the same parameters: other engine words, say
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from labloop.campaign import events as e
from labloop.campaign.errors import SpecError
from labloop.campaign.spec import CampaignSpec
from labloop.planner import InlinePlanner

from .measured import Measured, against_table

LABLOOP = "labloop"
RANDOM = "random"
_AT = "1970-01-01T00:00:00+00:00"  # facts need a stamp, and nothing here is about time


class Strategy(Protocol):
    """Told what was measured (rows of the table), asked for the next rows."""

    def tell(self, rows: Sequence[int]) -> None: ...
    def ask(self, count: int) -> list[int]: ...


class Chance:
    """Rows by chance."""

    def __init__(self, measured: Measured, seed: int) -> None:
        self._order = list(np.random.default_rng([seed, 1]).permutation(len(measured)))
        self._told: set[int] = set()

    def tell(self, rows: Sequence[int]) -> None:
        """What was measured is not asked for again."""
        self._told.update(rows)

    def ask(self, count: int) -> list[int]:
        """The next rows of a shuffled deck."""
        self._order = [row for row in self._order if row not in self._told]
        given, self._order = self._order[:count], self._order[count:]
        return [int(row) for row in given]


class Planned:
    """A campaign's own planner over the table's rows. Raises SpecError for what it cannot plan."""

    def __init__(self, spec: CampaignSpec, measured: Measured, seed: int, initial: int) -> None:
        self._measured = measured
        self._names = tuple(dict.fromkeys(name for settings in measured.settings for name in settings))
        self._rows = {self._key(settings): row for row, settings in enumerate(measured.settings)}
        self._units = {name: one.unit for name, one in spec.outcomes.items()}
        self._planner = InlinePlanner(against_table(spec, measured, seed=seed, initial=initial))
        self._planner.start()
        self._seq = self._trials = 0
        self._open: dict[int, int] = {}  # row -> trial
        self._send(
            e.CampaignOpened(campaign=spec.campaign, run_id="", version="", mode="told", seed=seed, campaign_sha256="")
        )

    def tell(self, rows: Sequence[int]) -> None:
        """The outcomes of rows, proposed or not."""
        for row in rows:
            trial = self._open.pop(row, None)
            if trial is None:
                trial = self._propose(dict(self._measured.settings[row]), "told")
            outcomes = {
                name: e.Reading(value=value, unit=self._units[name])
                for name, value in self._measured.outcomes[row].items()
            }
            self._send(e.TrialMeasured(trial=trial, outcomes=outcomes, by="a table"))

    def ask(self, count: int) -> list[int]:
        """The planner's next rows."""
        given = []
        asked = self._planner.request(count, based_on=self._seq, first=self._trials + 1)
        for one in asked.result():
            row = self._rows[self._key(one.settings)]
            self._open[row] = self._propose(dict(one.settings), one.source)
            given.append(row)
        return given

    def _key(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """What tells a row's settings from another's; a parameter that does not count has none."""
        return tuple(settings.get(name) for name in self._names)

    def _propose(self, settings: dict[str, Any], source: str) -> int:
        self._trials += 1
        self._send(e.ProposalMade(trial=self._trials, sample=f"S{self._trials}", settings=settings, source=source))
        return self._trials

    def _send(self, fact: e.Fact) -> None:
        self._seq += 1
        self._planner.send_facts([e.Record(seq=self._seq, at=_AT, event=fact)])


def strategy(name: str, spec: CampaignSpec, measured: Measured, *, seed: int, initial: int) -> Strategy:
    """The strategy called ``name`` (``spec``: its campaign). Raises SpecError."""
    if name == RANDOM:
        return Chance(measured, seed)
    return Planned(spec, measured, seed, initial)


def check_names(names: Sequence[str]) -> None:
    """Refuse names given twice and empty ones. Raises SpecError."""
    for name in names:
        if not name or names.count(name) > 1:
            raise SpecError(f"--against {name or '(nothing)'}: give each strategy a name of its own, once")
