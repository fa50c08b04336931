"""An IKA plate's own fail-safe, as the lab file writes it.

Source: operating instructions 20014388a, "Watchdog functions". What matters of it:

* ``OUT_WD1@s`` and ``OUT_WD2@s`` (s: 20 to 1500) start it, and must be sent again within s seconds; questions do
  not count.
* Mode 1 switches heater and stirrer off and shows an error. Mode 2 lets set temperature and set speed fall to the
  values that ``OUT_SP_12@`` and ``OUT_SP_42@`` have set before.
* Speeds reach from 50 to 1500 rpm, temperatures from 0 to 310 degC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import SpecError, quantity_of, written


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Its own fail-safe: after so many seconds of silence (0: never) off, or down to these values."""

    seconds: int = 0
    temperature_c: float | None = None
    speed_rpm: float = 0.0


def read_watchdog(options: Mapping[str, Any]) -> Watchdog:
    """Read the options. Raises SpecError for what the plate cannot do."""
    seconds = quantity_of(options["watchdog"], "s") if "watchdog" in options else 0.0
    if seconds != int(seconds) or not (seconds == 0 or 20 <= seconds <= 1500):
        raise SpecError(f"watchdog = {written(seconds, 's')} is not a whole number of seconds from 20 to 1500")
    if "safe_temperature" not in options:
        if "safe_speed" in options:
            raise SpecError("safe_speed belongs to safe_temperature: without it heater and stirrer go off")
        return Watchdog(int(seconds))
    if seconds == 0:
        raise SpecError("safe_temperature is what the watchdog falls to, and there is none. Add watchdog: 60 s")
    temperature_c = quantity_of(options["safe_temperature"], "degC")
    speed_rpm = quantity_of(options.get("safe_speed", 0.0), "rpm")
    if not 0.0 <= temperature_c <= 310.0:
        raise SpecError(f"safe_temperature = {written(temperature_c, 'degC')} is outside the plate's 0 to 310 degC")
    if not (speed_rpm == 0.0 or 50.0 <= speed_rpm <= 1500.0):
        raise SpecError(f"safe_speed = {written(speed_rpm, 'rpm')} is outside the plate's 50 to 1500 rpm")
    return Watchdog(int(seconds), temperature_c, speed_rpm)
