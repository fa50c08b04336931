"""Stamps without a clock, and a few facts."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from labloop.campaign.events import Amount, NoteTaken, Reading, StepStarted, TrialMeasured, TrialStarted


@pytest.fixture
def stamp() -> Callable[[], str]:
    seconds = count()
    return lambda: f"2026-01-01T00:{(n := next(seconds)) // 60 % 60:02d}:{n % 60:02d}.000000+00:00"


@pytest.fixture
def facts() -> Callable[[int], list]:
    def some(n: int) -> list:
        step = StepStarted(
            step=f"s{n}", trial=n, phase="trial", stage=0, index=0, instrument="pump", action="dispense",
            settings={"rate": Amount(100.5, "uL/min")}, act=True, t_s=float(n),
        )  # fmt: skip
        measured = TrialMeasured(trial=n, outcomes={"loss": Reading(value=0.1 * n, sd=0.01)})
        return [NoteTaken(text=f"note {n} é"), TrialStarted(trial=n), step, measured]

    return some


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"
