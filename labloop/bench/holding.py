"""Something that is to be reached and kept, a temperature or a flow: what baths, furnaces and controllers do alike.

Only time without a break within the tolerance counts, so a hold that is left begins anew when it is reached again.
"""

from dataclasses import dataclass

from labloop.campaign.events import Amount

from .errors import InstrumentFault
from .instrument import Setting
from .settings import written


def hold_settings(temperature: Setting, reach_by_s: float) -> tuple[Setting, ...]:
    """The settings of a hold: temperature, tolerance, time and reach_by. ``reach_by_s``: how long, if not said."""
    return (
        temperature,
        Setting(
            name="tolerance", argument="tolerance_k", unit="K", low=0.2, high=50.0, default=1.0, required=False,
            difference=True, doc="how near counts as reached",
        ),
        Setting(name="time", argument="time_s", unit="s", low=0.0, high=604_800.0, doc="how long, once reached"),
        Setting(
            name="reach_by", argument="reach_by_s", unit="s", low=1.0, high=86_400.0, default=reach_by_s,
            required=False, doc="how long reaching it may take",
        ),
    )  # fmt: skip


@dataclass(slots=True)
class Hold:
    """A hold that was begun in this process; ``reached_s``: since when without a break it is within tolerance.

    ``quantity`` and ``unit``: what is held (temperature in degC or K, with a tolerance in kelvin).
    """

    wanted: float
    tolerance: float
    time_s: float
    reach_by_s: float
    started: bool = False
    reached_s: float | None = None
    unit: str = "degC"
    quantity: str = "temperature"

    def left_s(self, now: float, elapsed_s: float) -> float | None:
        """How long it is still to be kept (0 and less: done), or None while it is not reached.

        Raises InstrumentFault (``not_reached``) when that takes longer than it may.
        """
        if abs(now - self.wanted) > self.tolerance:
            self.reached_s = None
            if elapsed_s > self.reach_by_s:
                raise InstrumentFault(
                    f"{written(now, self.unit)} after {elapsed_s:.0f} s, where {written(self.wanted, self.unit)} "
                    f"was to be reached within {self.reach_by_s:.0f} s",
                    kind="not_reached",
                )
            return None
        if self.reached_s is None:
            self.reached_s = elapsed_s
        return self.time_s - (elapsed_s - self.reached_s)

    def achieved(self, now: float, elapsed_s: float) -> dict[str, Amount]:
        """What it is now, and how long it was kept, once it is reached."""
        found = {self.quantity: Amount(now, self.unit)}
        if self.reached_s is not None:
            found["time"] = Amount(elapsed_s - self.reached_s, "s")
        return found
