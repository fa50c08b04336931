"""Who answers a strategy: a table's rows, or an emulator. Conditions go by number, so that a course is a list of them.

    Tabled      the table's conditions; nothing else may be asked for
    Emulated    any settings of the space; they are numbered as they come, equal settings once
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np

from labloop.campaign.space import Settings
from labloop.campaign.spec import CampaignSpec
from labloop.campaign.values import told_apart

from .emulator import Emulator, emulated
from .measured import Measured, against_table

# Draws in a row that gave nothing new: then a space that can be counted is taken to be used up.
_NOTHING_NEW: Final = 2000


class World(Protocol):
    """Conditions by number, and what is measured there."""

    def settings(self, at: int) -> Settings:
        """The settings of a condition."""

    def outcomes(self, at: int) -> Mapping[str, float]:
        """What is measured there."""

    def find(self, settings: Settings) -> int:
        """The condition that has these settings."""

    def by_chance(self, seed: Sequence[int]) -> Iterator[int]:
        """Conditions by chance, each once."""

    def campaign(self, spec: CampaignSpec, *, seed: int, initial: int) -> CampaignSpec:
        """What is planned in this world, told its first ``initial`` conditions."""


class Tabled:
    """The conditions of a table."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._names = tuple(dict.fromkeys(name for settings in measured.settings for name in settings))
        self._rows = {self._key(settings): row for row, settings in enumerate(measured.settings)}

    def settings(self, at: int) -> Settings:
        """The settings of a row."""
        return self._measured.settings[at]

    def outcomes(self, at: int) -> Mapping[str, float]:
        """The mean of its replicates."""
        return self._measured.outcomes[at]

    def find(self, settings: Settings) -> int:
        """The row that has these settings."""
        return self._rows[self._key(settings)]

    def by_chance(self, seed: Sequence[int]) -> Iterator[int]:
        """The rows of a shuffled deck."""
        yield from map(int, np.random.default_rng(list(seed)).permutation(len(self._measured)))

    def campaign(self, spec: CampaignSpec, *, seed: int, initial: int) -> CampaignSpec:
        """The campaign with the table's rows as its candidates."""
        return against_table(spec, self._measured, seed=seed, initial=initial)

    def _key(self, settings: Mapping[str, Any]) -> tuple[Any, ...]:
        """What tells a row's settings from another's; a parameter that does not count has none."""
        return tuple(settings.get(name) for name in self._names)


class Emulated:
    """Any condition of a space, as an emulator answers. ``conditions``, ``answers``: those that were asked for."""

    def __init__(self, emulator: Emulator, batch: int) -> None:
        self._emulator, self._batch = emulator, batch
        self.conditions: list[Settings] = []
        self.answers: list[dict[str, float]] = []
        self._known: dict[tuple[tuple[str, Any], ...], int] = {}

    def settings(self, at: int) -> Settings:
        """The settings of a condition."""
        return self.conditions[at]

    def outcomes(self, at: int) -> Mapping[str, float]:
        """What the emulator answers there."""
        return self.answers[at]

    def find(self, settings: Settings) -> int:
        """The condition's number, the next one for settings that were not asked for yet. Raises SpecError."""
        key = told_apart(settings)
        if key not in self._known:
            self.answers.append(self._emulator.answer(settings))
            self.conditions.append(dict(settings))
            self._known[key] = len(self.conditions) - 1
        return self._known[key]

    def by_chance(self, seed: Sequence[int]) -> Iterator[int]:
        """Conditions by chance, evenly over the space, each once."""
        given: set[tuple[tuple[str, Any], ...]] = set()
        deck = self._emulator.by_chance(seed)
        while fresh := next((one for one in islice(deck, _NOTHING_NEW) if told_apart(one) not in given), None):
            given.add(told_apart(fresh))
            yield self.find(fresh)

    def campaign(self, spec: CampaignSpec, *, seed: int, initial: int) -> CampaignSpec:
        """The campaign over its own space."""
        return emulated(spec, seed=seed, initial=initial, batch=self._batch)
