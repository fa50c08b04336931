"""One amendment of a campaign, with its place in the journal."""

from dataclasses import dataclass
from typing import Final

from . import events as e

BUDGET: Final = "budget.trials"
AIM: Final = ("parameters.", "constraints", "candidates", "outcomes.")


@dataclass(frozen=True, slots=True)
class Amendment:
    """One amendment with its place in the journal. ``extended_trials``: what had been added to the budget before it."""

    seq: int
    at: str
    fact: e.Amended
    extended_trials: int

    @property
    def is_of_budget(self) -> bool:
        """Whether it sets how many trials the run may have."""
        return any(change.place == BUDGET for change in self.fact.changes)

    @property
    def is_of_aim(self) -> bool:
        """Whether it changes where trials may lie, or what is wanted of them."""
        return any(change.place.startswith(AIM) for change in self.fact.changes)
