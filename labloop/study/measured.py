"""A table of past measurements as a world: what would have been measured, had a campaign asked for one of its rows.

Rows with equal settings are replicates: the world answers with their mean, as the published benchmarks do. Rows that
the campaign's space does not hold cannot be proposed and are left out; how many is said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from labloop.campaign.errors import SpecError
from labloop.campaign.flags import NO_READING
from labloop.campaign.models import did_you_mean
from labloop.campaign.objective import Objective
from labloop.campaign.space import Settings, Space
from labloop.campaign.spec import CampaignSpec, spec_from_dict
from labloop.campaign.tables import is_empty, read_table

Array = npt.NDArray[np.float64]

# What a campaign says of instruments and of its course means nothing against a table.
_KEPT = ("labloop", "campaign", "title", "parameters", "constraints", "outcomes", "engine")
_OF_AN_OUTCOME = ("goal", "unit", "limit", "weight", "reference", "desirability", "words")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A table of n conditions. ``outcomes``: {name: value} of each; ``merit``: n x m, larger is better.

    ``merit`` has one column when one number orders the conditions (one goal, or weights), else one a goal; a condition
    that breaks a limit has -inf in each. ``left_out``: rows outside the space. ``sha256``: of the file.
    """

    settings: tuple[Settings, ...]
    outcomes: tuple[Mapping[str, float], ...]
    merit: Array
    replicates: int
    left_out: int
    sha256: str

    def __len__(self) -> int:
        return len(self.settings)

    @property
    def pareto(self) -> bool:
        """Whether conditions are ordered by dominance only."""
        return bool(self.merit.shape[1] > 1)


def read_measured(path: Path, spec: CampaignSpec) -> Measured:
    """Read a CSV with a column for each parameter and each outcome, in the units that the campaign declares.

    Raises SpecError, with the line, for what is missing or no number; when fewer than two conditions are left, and when
    none of them keeps the limits.
    """
    for name, outcome in spec.outcomes.items():
        if outcome.prefers:
            rule = "is told by comparing, and a table compares nothing. Give what the table measures a goal of its own"
            raise SpecError(spec.complaint(("outcomes", name), rule))
    space, objective = Space(spec), Objective(spec)
    always = [name for name in space.names if space.parameters[name].active_when is None]
    groups: dict[tuple[Any, ...], tuple[Settings, list[dict[str, float]]]] = {}
    left_out = rows = 0
    for line, row in enumerate(read_table(path), start=2):
        missing = [name for name in (*always, *spec.outcomes) if name not in row]
        if missing:
            raise SpecError(f"{path}:1: there is no column {missing[0]}. {did_you_mean(missing[0], row)}")
        rows += 1
        values = {name: row[name] for name in spec.outcomes}
        for name, value in values.items():
            if spec.outcomes[name].passes:
                try:
                    values[name], _ = spec.outcomes[name].verdict(value)
                except SpecError as error:
                    raise SpecError(f"{path}:{line}: {name}: {error}") from error
            elif isinstance(value, str) or abs(value) >= NO_READING:
                raise SpecError(f"{path}:{line}: {name} = {value!r} is no number. Correct it, or take the row out")
        try:
            settings = {
                name: space.parameters[name].read(row[name])
                for name in space.names
                if name in always or not is_empty(row.get(name))
            }
        except SpecError:
            left_out += 1
            continue
        if space.contains(settings):
            left_out += 1
            continue
        as_it_stands: Settings = {
            name: row[name] if isinstance(row[name], (int, float)) else settings[name] for name in settings
        }
        key = tuple(as_it_stands.get(name) for name in space.names)
        groups.setdefault(key, (as_it_stands, []))[1].append({name: float(one) for name, one in values.items()})
    if len(groups) < 2:
        raise SpecError(
            f"{path}: of its {rows} rows {len(groups)} lie in the campaign's space. Widen the parameters, or look at "
            "the units: the table's columns are read in the units that the campaign declares"
        )
    outcomes = tuple(
        {name: fmean(one[name] for one in found) for name in spec.outcomes} for _, found in groups.values()
    )
    merit = merits(objective, outcomes)
    if not np.isfinite(merit).any():
        limits = ", ".join(
            f"{n} {one.limit.sense} {one.limit.value:g}" for n, one in spec.outcomes.items() if one.limit
        )
        raise SpecError(
            f"{path}: none of its {len(groups)} conditions in the campaign's space keeps {limits}. Loosen what is too "
            "tight, or look at the units"
        )
    return Measured(
        settings=tuple(settings for settings, _ in groups.values()), outcomes=outcomes, merit=merit,
        replicates=rows - left_out - len(groups), left_out=left_out,
        sha256=sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip


def merits(objective: Objective, outcomes: Sequence[Mapping[str, float]]) -> Array:
    """The merit of each: n x 1 where one number orders them, else n x goals; -inf where a limit is broken."""
    rows = []
    for one in outcomes:
        score = objective.utilities(one) if objective.pareto else (objective.score(one),)
        assert score is not None
        rows.append(score if objective.feasible(one) else (-np.inf,) * len(score))
    return np.array(rows, dtype=np.float64)


def against_table(spec: CampaignSpec, measured: Measured, *, seed: int, initial: int) -> CampaignSpec:
    """The campaign that may propose the table's rows only, told its first ``initial`` ones, without instruments."""
    written = without_instruments(spec)
    written["candidates"] = [dict(row) for row in measured.settings]
    written["design"] = {"initial": {"method": "sobol", "trials": max(initial, 1)}, "seed": seed}
    return spec_from_dict(written, spec.folder)


def without_instruments(spec: CampaignSpec) -> dict[str, Any]:
    """What a campaign says of its space, its outcomes and its engine, as its file would say it."""
    written = {key: value for key, value in spec.dump().items() if key in _KEPT}
    written["outcomes"] = {
        name: {key: value for key, value in one.items() if key in _OF_AN_OUTCOME}
        for name, one in written["outcomes"].items()
    }
    return written
