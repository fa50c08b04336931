"""What the planner answers: settings, and why these. Plain data, so that it can cross to another process as JSON."""

import msgspec

from labloop.campaign.events import Evidence, Prediction, RunnerUp, Value


class Proposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One trial to make. ``settings``: plain values in the declared units, inside the space.

    source: sobol, lhs, random (the design) or model. predicted: {outcome: mean and sd of the noiseless outcome}.
    acquisition_value: the log value that ``acquisition`` has at these settings. seed: of this trial alone, made of the
    campaign's seed and the trial's number. outlook: ``regret_bound`` and ``best_chance``, where they are asked for.
    evidence: {outcome: what spoke for its model}, where that was chosen. outliers: trials that are believed less.
    """

    trial: int
    settings: dict[str, Value]
    source: str
    seed: int
    reason: str
    predicted: dict[str, Prediction] = {}
    acquisition: str = ""
    acquisition_value: float | None = None
    model: str = ""
    runners_up: list[RunnerUp] = []
    outlook: dict[str, float] = {}
    evidence: dict[str, Evidence] = {}
    outliers: list[int] = []
