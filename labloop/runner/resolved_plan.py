"""What a campaign will ask of its bench, as far as that is known before anything moves: what ``check`` finds out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from labloop.campaign.events import Value
from labloop.campaign.text import quantity

Settings = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Between which values a setting of an instrument can lie, and at which settings of the campaign it does."""

    instrument: str
    setting: str
    unit: str
    low: float
    high: float
    low_at: Settings
    high_at: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """``needed``: at worst, over the whole budget; ``held``: what the lab file says there is (None: not counted)."""

    needed: float
    held: float | None
    unit: str


@dataclass(slots=True, kw_only=True)
class Plan:
    """What a campaign will ask of its bench. ``trial_s``: one trial at worst; ``whole_s``: every attempt of the budget.

    ``safety``: who makes each instrument safe if this computer dies ("": nobody). ``desirability``: where that of an
    outcome is 0 and where 1, in words.
    """

    campaign: str
    complaints: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    trials: int | None = None
    attempts: int | None = None
    trial_s: float | None = None
    whole_s: float | None = None
    stock: dict[str, Stock] = field(default_factory=dict)
    reaches: list[Reach] = field(default_factory=list)
    safety: dict[str, str] = field(default_factory=dict)
    desirability: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)


def drawn_first(others: Mapping[str, float], per_trial: float, unit: str) -> tuple[float, str]:
    """The most that a stock must give before anybody can refill it, and in words what is drawn before a trial.

    ``others``: what each phase that is no trial's draws. What is drawn up (less than 0) is there only after it. When a
    run halts between a batch's acts and its trials these go on from there, and setup is done anew.
    """
    setup, batch = others["setup"], others["each_batch"]
    of_trial, of_batch = setup + min(batch, 0.0) + per_trial, setup + max(batch, 0.0)
    if of_trial > of_batch:
        return of_trial, f", after {quantity(setup, unit)} for setup" if setup > 0.0 else ""
    phases = " and ".join(one for one in ("setup", "each_batch") if others[one] > 0.0)
    return of_batch, f", after {quantity(of_batch, unit)} for {phases}" if phases else ""
