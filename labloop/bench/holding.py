"""Something that is to be reached and kept, a temperature or a flow: what baths, furnaces and controllers do alike.

Only time without a break within the tolerance counts, so a hold that is left begins anew when it is reached again.

A hold that went on while no runner lived is taken up again (``again``). The time in between counts when it was reached
before, and is still within its tolerance now that somebody looks again; how much of the hold nobody watched is said in
what it achieved. A hold that was not reached when it was seen last counts from when it is seen to be.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from labloop.campaign.events import Amount, Reading, Value

from .driver import Driver
from .errors import InstrumentFault
from .instrument import Expected, Progress, Setting, Verdict
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


def hold_expected(
    values: Mapping[str, Value], way_s: float, argument: str = "temperature_c", unit: str = "degC"
) -> Expected:
    """What a hold will take: the way there, no longer than it may take, and its time."""
    return Expected(
        duration_s=min(way_s, float(values["reach_by_s"])) + float(values["time_s"]),
        least_s=float(values["time_s"]),
        most_s=float(values["reach_by_s"]) + float(values["time_s"]),
        achieved={"temperature": Amount(float(values[argument]), unit)},
    )


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
    unwatched_s: float = 0.0
    unit: str = "degC"
    quantity: str = "temperature"

    def left_s(self, now: float, elapsed_s: float) -> float | None:
        """How long it is still to be kept (0 and less: done), or None while it is not reached.

        Raises InstrumentFault (``not_reached``) when that takes longer than it may.
        """
        if abs(now - self.wanted) > self.tolerance:
            self.reached_s, self.unwatched_s = None, 0.0
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

    def look(
        self, now: float, elapsed_s: float, readings: Mapping[str, Reading], every_s: float,
        first_s: float | None = None, *, remembers: bool = True,
    ) -> Progress:  # fmt: skip
        """One look at it, for progress(). Raises InstrumentFault when it is not reached in time.

        ``every_s``: how often it is worth looking; ``first_s``: as long as it is not reached. ``remembers``: whether
        another process can take it up again.
        """
        left_s = self.left_s(now, elapsed_s)
        unreached_s = every_s if first_s is None else first_s
        return Progress(
            done=left_s is not None and left_s <= 0.0,
            achieved=self.achieved(now, elapsed_s),
            readings=readings,
            again_in_s=unreached_s if left_s is None else min(max(left_s, 0.0), every_s),
            kept=self.kept() if remembers else {},
        )

    def kept(self) -> dict[str, Amount]:
        """What another process needs to know to take it up again."""
        return {} if self.reached_s is None else {"reached": Amount(self.reached_s, "s")}

    @classmethod
    def again(
        cls, settings: Mapping[str, Value], kept: Mapping[str, Amount], elapsed_s: float, unwatched_s: float,
        unit: str = "degC",
    ) -> Self:  # fmt: skip
        """A hold that goes on, for rejoin(): begun ``elapsed_s`` ago, and watched by nobody for ``unwatched_s``."""
        hold = cls(
            next(float(value) for name, value in settings.items() if name.startswith("temperature")),
            float(settings["tolerance_k"]), float(settings["time_s"]), float(settings["reach_by_s"]), started=True,
            unit=unit,
        )  # fmt: skip
        if "reached" in kept:
            hold.reached_s = float(kept["reached"].value)
            hold.unwatched_s = max(0.0, min(unwatched_s, elapsed_s - hold.reached_s))
        return hold

    def achieved(self, now: float, elapsed_s: float) -> dict[str, Amount]:
        """What it is now, and how long it was kept, once it is reached."""
        found = {self.quantity: Amount(now, self.unit)}
        if self.reached_s is not None:
            found["time"] = Amount(elapsed_s - self.reached_s, "s")
            if self.unwatched_s:
                found["unwatched"] = Amount(self.unwatched_s, "s")
        return found


class HoldingDriver(Driver):
    """A driver that holds something. ``hold_unit``: of the temperature that a hold is rejoined with."""

    hold_unit: ClassVar[str] = "degC"
    _hold: Hold | None = None

    def rejoin(
        self, action: str, settings: Mapping[str, Value], act: str, kept: Mapping[str, Amount], elapsed_s: float,
        unwatched_s: float,
    ) -> None:  # fmt: skip
        """A hold that goes on: what it was set to is known, and what happened() read back."""
        self.act = act
        self._hold = Hold.again(settings, kept, elapsed_s, unwatched_s, unit=self.hold_unit)

    def became(
        self, action: str, act: str, what: str, as_asked: bool | None,
        achieved: Callable[[], Mapping[str, Amount]] = dict,
    ) -> Verdict:  # fmt: skip
        """What became of an act, by what was read back; how long a hold lasted, no instrument knows.

        ``what`` it was to keep, in words. ``as_asked``: whether it does; None: it does not say. ``achieved`` is only
        asked for when a hold was cut short.
        """
        if action != "hold":
            why = f"it is {'' if as_asked else 'not ' if as_asked is False else 'not known to be '}set to {what}"
            says = "cannot_tell" if as_asked is None else "done" if as_asked else "not_begun"
            return Verdict(state=says, why=why)
        if self._hold is not None and act == self.act and not self._hold.started:
            return Verdict(state="not_begun", why=f"it was never told to keep {what}")
        if as_asked is None:
            return Verdict(state="cannot_tell", why=f"it does not say whether it keeps {what}")
        if as_asked:
            return Verdict(state="running", why=f"it keeps {what}")
        why = f"it does not keep {what} now, and has no record of whether it did, nor how long"
        return Verdict(state="partial", why=why, achieved=achieved())
