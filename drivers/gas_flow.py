"""What mass flow controllers of any maker declare alike: a rate within full scale, and when it counts as reached."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from labloop.bench import (
    Action,
    Amount,
    Expected,
    Hold,
    Progress,
    Reading,
    Sent,
    Setting,
    SpecError,
    Value,
    quantity_of,
    written,
)

# A flow settles within a second or two; the supply behind it may take longer.
SETTLE_S = 30.0

RATE = Setting(
    name="rate", argument="rate_ml_min", unit="mL/min", low=0.0, high=1e6,
    doc="volume of gas a minute, at the instrument's reference conditions",
)  # fmt: skip
TOLERANCE = Setting(
    name="tolerance", argument="tolerance_ml_min", unit="mL/min", low=0.0, high=1e6, required=False,
    doc="how near counts as reached; 2 % of full scale, if left out",
)  # fmt: skip
REACH_BY = Setting(
    name="reach_by", argument="reach_by_s", unit="s", low=1.0, high=3600.0, default=SETTLE_S, required=False,
    doc="how long reaching it may take",
)  # fmt: skip
TIME = Setting(name="time", argument="time_s", unit="s", low=0.0, high=604_800.0, doc="how long, once reached")


def full_scale_of(options: Mapping[str, Any]) -> float:
    """The full scale that the lab file gives, in mL/min. Raises SpecError."""
    if "full_scale" not in options:
        raise SpecError("a mass flow controller needs its full scale: full_scale: 500 mL/min")
    full = quantity_of(options["full_scale"], "mL/min")
    if not 0.1 <= full <= 5e6:
        raise SpecError(f"full_scale = {written(full, 'mL/min')} is no mass flow controller's")
    return full


def limited(actions: Mapping[str, Action], full_ml_min: float, steps: int) -> dict[str, Action]:
    """The actions with full scale as their limit. ``steps``: how many a setpoint has from 0 to there."""
    own = {
        "rate": replace(RATE, high=full_ml_min, resolution=full_ml_min / steps),
        "tolerance": replace(TOLERANCE, low=full_ml_min / 1000.0, high=full_ml_min, default=full_ml_min / 50.0),
    }
    return {
        name: replace(one, settings=tuple(own.get(setting.name, setting) for setting in one.settings))
        for name, one in actions.items()
    }


def sent_rate(values: Mapping[str, Value], *digits_ml_min: float) -> Sent:
    """A rate in whole numbers of a last digit: of each of these, where which one it is shows when it is opened."""
    if "rate_ml_min" not in values:
        return {}
    return {"rate": tuple(round(float(values["rate_ml_min"]) / digit) * digit for digit in digits_ml_min)}


def expected_of(values: Mapping[str, Value]) -> Expected:
    """A few seconds until the flow is there, then the hold; nothing of what has no rate."""
    if "rate_ml_min" not in values:
        return Expected()
    achieved = {"flow": Amount(float(values["rate_ml_min"]), "mL/min")}
    time_s = float(values.get("time_s", 0.0))
    most_s = float(values.get("reach_by_s", SETTLE_S)) + time_s
    return Expected(duration_s=3.0 + time_s, least_s=time_s, most_s=most_s, achieved=achieved)


def hold_flow(hold: Hold, flow_ml_min: float, elapsed_s: float) -> Progress:
    """One look at a flow: soon until it is there, then every two seconds. Raises InstrumentFault: not reached."""
    readings = {"flow": Reading(value=flow_ml_min, unit="mL/min")}
    return hold.look(flow_ml_min, elapsed_s, readings, every_s=2.0, first_s=0.5, remembers=False)
