"""The setpoint limits that a Eurotherm 3216 holds itself: SP.HI and SP.LO at its panel, registers 111 and 112.

Source: engineering handbook HA028651 issue 7, chapter 15, p. 81-82 (see eurotherm). They hold a wrong setpoint back
whoever sends it, and outlive a power cut. No page that we could read takes them out of the warning of a memory of
100 000 write cycles. So the lab file says what is done about them (``setpoint_limits``):

    checked   (left out, too) they are read, and must let through nothing that the lab forbids; never written
    set       where they are others than the lab's they are written, once, and read back; never where they are the same
    own       they are let be
"""

import math
from collections.abc import Callable
from typing import Final

from labloop.bench import InstrumentFault, SafetyError, written

HIGH: Final = 111
NAMES: Final = {HIGH: "SP.HI", HIGH + 1: "SP.LO"}
CHECKED, SET, OWN = POLICIES = ("checked", "set", "own")
# A limit that is not a whole number of last digits is rounded to the narrower side, but not for a rounding error.
ROUNDING: Final = 1e-6
# The largest number of a register: what a lab allows beyond that, with so many decimals, cannot be asked for.
MOST: Final = 0x7FFF
WAYS_OUT: Final = (
    "Correct that limit in the lab file, see what range and locks the controller has, or write setpoint_limits: own"
)


class SetpointLimits:
    """The limits of one controller. ``read``: so many registers from one on; ``write``: one; ``digit_c``: of its last
    digit; ``wrote``: whether it has written any."""

    def __init__(
        self, policy: str, read: Callable[[int, int], tuple[int, ...]], write: Callable[[int, int], None],
        digit_c: Callable[[], float],
    ) -> None:  # fmt: skip
        self.low_c = self.high_c = 0.0
        self._policy = policy
        self._read, self._write, self._digit_c = read, write, digit_c
        self._changed: list[str] = []
        self.wrote = False

    def look(self) -> None:
        """Read them."""
        high, low = self._read(HIGH, 2)
        self.low_c, self.high_c = self._value(low), self._value(high)

    def refuse(self, temperature_c: float) -> None:
        """Raise SafetyError for a temperature outside of them."""
        if not self.low_c <= temperature_c <= self.high_c:
            raise SafetyError(
                f"{written(temperature_c, 'degC')} is outside the controller's own setpoint limits, "
                f"{written(self.low_c, 'degC')} to {written(self.high_c, 'degC')}; nothing was sent"
            )

    def settle(self, least_c: float | None, most_c: float | None, harmless_c: float) -> None:
        """Make sure that they hold back what the lab forbids: below ``least_c``, above ``most_c`` (None: nothing).

        ``harmless_c``: no stop may leave it above. Raises InstrumentFault where they do not, or where one would.
        """
        if self._policy == SET and least_c is not None and least_c > harmless_c:
            raise InstrumentFault(
                f"setpoint_limits: set would make {_named(HIGH + 1)} the lab's least temperature, "
                f"{written(least_c, 'degC')}, and a stop could set it no lower; its option fallback calls "
                f"{written(harmless_c, 'degC')} harmless. Lower that min in the lab's limits, or leave "
                "setpoint_limits out",
                kind="setup",
            )
        if self._policy == SET and least_c is None and most_c is None:
            raise InstrumentFault(
                "setpoint_limits: set, but the lab file limits no temperature of it, so there is nothing to set. Write "
                "limits: {NAME: {temperature: {max: 900 degC}}} there, or leave setpoint_limits out",
                kind="setup",
            )
        if self._policy == OWN or (least_c is None and most_c is None):
            return
        if self._policy == SET:
            self._set(least_c, most_c)
        self.look()
        if most_c is not None and self.high_c > most_c:
            said = f"{_named(HIGH)} = {written(self.high_c, 'degC')} is above the {written(most_c, 'degC')}"
        elif least_c is not None and self.low_c < least_c:
            said = f"{_named(HIGH + 1)} = {written(self.low_c, 'degC')} is below the {written(least_c, 'degC')}"
        else:
            return
        raise InstrumentFault(
            f"its own limit {said} that the lab allows, so it would not hold a wrong setpoint back. Set it at the "
            "controller; or write setpoint_limits: set in the lab file, and labloop writes it once (into a memory that "
            "wears out), or setpoint_limits: own, and it is let be",
            kind="setup",
        )

    def changed(self) -> str:
        """What was written since this was asked last, in words ("": nothing)."""
        said, self._changed = "; ".join(self._changed), []
        return said

    def _set(self, least_c: float | None, most_c: float | None) -> None:
        """Write those that are others than the lab's, and read them back. Raises InstrumentFault where one stays."""
        stands = dict(zip(NAMES, self._read(HIGH, 2), strict=True))
        wanted = dict(stands)
        if most_c is not None and (high := math.floor(most_c / self._digit_c() + ROUNDING)) <= MOST:
            wanted[HIGH] = self._fits(HIGH, high, most_c)
        if least_c is not None and (low := math.ceil(least_c / self._digit_c() - ROUNDING)) >= -MOST:
            wanted[HIGH + 1] = self._fits(HIGH + 1, low, least_c)
        # The lower one first where the higher one would else come to stand below it.
        order = sorted(NAMES, reverse=wanted[HIGH] < stands[HIGH + 1])
        for register in (one for one in order if wanted[one] != stands[one]):
            before, meant = (written(self._value(one), "degC") for one in (stands[register], wanted[register]))
            self.wrote = True
            # Noted before: an answer that is lost takes nothing back. And a stop asks for nothing below the new one.
            self._changed.append(f"{_named(register)}: {before} -> {meant}")
            low_c = self.low_c
            if register != HIGH:
                self.low_c = max(self.low_c, self._value(wanted[register]))
            try:
                self._write(register, wanted[register])
            except InstrumentFault as fault:
                self._changed.pop()
                self.low_c = low_c
                why = f"{_named(register)} cannot be set to {meant}, the lab's limit: {fault}. {WAYS_OUT}"
                raise InstrumentFault(why, kind="setup") from fault
        if self._changed:
            self._taken(wanted)

    def _taken(self, wanted: dict[int, int]) -> None:
        for register, stands in zip(NAMES, self._read(HIGH, 2), strict=True):
            if stands != wanted[register]:
                now, meant = (written(self._value(one), "degC") for one in (stands, wanted[register]))
                why = f"{_named(register)} was set to {meant}, the lab's limit, and stands at {now}. {WAYS_OUT}"
                raise InstrumentFault(why, kind="setup")

    def _fits(self, register: int, digits: int, limit_c: float) -> int:
        if abs(digits) > MOST:
            ends = (written(self._value(end), "degC") for end in (-MOST, MOST))
            why = f"{_named(register)} holds {' to '.join(ends)}, and the lab's limit is {written(limit_c, 'degC')}"
            raise InstrumentFault(f"{why}. {WAYS_OUT}", kind="setup")
        return digits

    def _value(self, register: int) -> float:
        return round(register * self._digit_c(), 2)


def _named(register: int) -> str:
    return f"{NAMES[register]} (register {register})"
