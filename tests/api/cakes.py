"""The campaign in memory that the tests of the Python API bake."""

from pathlib import Path
from typing import Any

import labloop

CAKE: dict[str, Any] = {
    "labloop": 1,
    "campaign": "cake",
    "parameters": {
        "sugar": {"range": [10, 90], "unit": "g"},
        "N": {"integer": [1, 12]},
        "flour": {"choices": ["wheat", "rye", "spelt"]},
    },
    "outcomes": {"yield": {"goal": "maximize", "unit": "mm"}},
    "design": {"initial": {"method": "sobol", "trials": 4}, "seed": 3},
}


def cake(run: Path | None = None, **more: Any) -> labloop.Campaign:
    return labloop.Campaign(CAKE | more, run=run, planner="inline")


def bake(settings: dict[str, Any]) -> float:
    """A smooth height in mm, best at 50 g and six eggs, of rye."""
    return float(
        60 - ((settings["sugar"] - 50) / 10) ** 2 - (settings["N"] - 6) ** 2 / 4 + 5 * (settings["flour"] == "rye")
    )
