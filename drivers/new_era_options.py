"""What lab.yaml says of a New Era pump, and the limits that follow from its syringe."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labloop.bench import Setting, SpecError, Value, quantity_of, refuse_unknown, written

from .new_era_codec import MOST, UL_MIN, number, rate
from .syringes import diameter_of, makers_with, refuse_contradiction

MODEL = re.compile(r"NE-?(\d{3,5})")
# Manual 12.5: the plunger's speeds.
FASTEST_CM_MIN = 5.1005
SLOWEST_CM_H = 0.004205
# Manual 12.5: 0.2126 um of the plunger a motor step; less than one step cannot be delivered.
STEP_CM = 0.2126e-4

RATE = Setting(
    name="rate", argument="rate_ul_min", unit="uL/min", low=0.0001, high=100_000.0, zero=True,
    doc="pumping rate; exactly 0 does nothing",
)  # fmt: skip
TIME = Setting(
    name="time", argument="time_s", unit="s", low=0.1, high=86_400.0, required=False,
    doc="how long, instead of a volume",
)  # fmt: skip
VOLUME = Setting(
    name="volume", argument="volume_ul", unit="uL", low=0.001, high=MOST, zero=True, required=False,
    doc="how much, instead of a time",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one pump, read and found sensible. Rates in uL/min, volumes in uL."""

    address: int
    volume_ul: float
    diameter_mm: float
    watchdog_s: int
    model: str  # as VER says it

    @property
    def rates(self) -> tuple[float, float]:
        """The slowest and the fastest rate, from the plunger's speeds."""
        area_cm2 = math.pi * (self.diameter_mm / 20.0) ** 2
        return _up(area_cm2 * SLOWEST_CM_H * 1000.0 / 60.0), _down(area_cm2 * FASTEST_CM_MIN * 1000.0)

    @property
    def volumes(self) -> tuple[float, float]:
        """One motor step, and the most in one go."""
        step_ul = math.pi * (self.diameter_mm / 20.0) ** 2 * STEP_CM * 1000.0
        return max(0.001, _up(step_ul)), min(MOST, self.volume_ul)

    @property
    def nudge(self) -> tuple[float, float]:
        """A rate and a volume by which the plunger moves half a millimetre, in 5 s where it is that fast."""
        volume_ul = math.pi * (self.diameter_mm / 2.0) ** 2 * 0.5
        slowest, fastest = self.rates
        return min(max(volume_ul * 12.0, slowest), fastest), volume_ul


def read_options(options: Mapping[str, Any]) -> Options:
    """Read and check the options. Raises SpecError for what makes no sense."""
    refuse_unknown(options, ("address", "syringe", "watchdog", "model"), "NE1000")
    volume_ul, diameter_mm = _syringe(options)
    return Options(_address(options), volume_ul, diameter_mm, _watchdog_s(options), _model(options))


def refuses(meant: str, said: str) -> str:
    """What is wrong with a pump that says so ("": nothing); an X behind its model is the maker's upgrade."""
    model = said.partition("V")[0]
    if re.sub(r"X\d*$", "", model) == meant:
        return ""
    wanted, there = (name.replace("NE", "NE-", 1) for name in (meant, model))
    return f"{said!r} answers where an {wanted} was expected. If it is the right one, write model: {there}"


def _up(value: float) -> float:
    """The next number up with three digits, so that a limit can be read and be kept."""
    scale = 10.0 ** (2 - math.floor(math.log10(value)))
    return math.ceil(value * scale) / scale


def _down(value: float) -> float:
    scale = 10.0 ** (2 - math.floor(math.log10(value)))
    return math.floor(value * scale) / scale


def _address(options: Mapping[str, Any]) -> int:
    address = options.get("address", 0)
    if not isinstance(address, int) or isinstance(address, bool) or not 0 <= address <= 99:
        raise SpecError(f"address = {address!r} is not a whole number from 0 to 99")
    return address


def _syringe(options: Mapping[str, Any]) -> tuple[float, float]:
    """Volume in uL and inside diameter in mm."""
    syringe = options.get("syringe")
    if not isinstance(syringe, Mapping) or "volume" not in syringe:
        raise SpecError("a pump needs its syringe: {maker: BD, volume: 10 mL, diameter: 14.43 mm}")
    refuse_unknown(syringe, ("maker", "volume", "diameter"), "syringe")
    maker, volume_ul = str(syringe.get("maker", "")), quantity_of(syringe["volume"], "uL")
    known_mm = diameter_of(maker, volume_ul)
    if "diameter" in syringe:
        diameter_mm = quantity_of(syringe["diameter"], "mm")
        refuse_contradiction(maker, volume_ul, diameter_mm)
    elif known_mm is not None:
        diameter_mm = known_mm
    else:
        raise SpecError(
            f"no table has the inside diameter of a {maker or 'nameless'} syringe of {written(volume_ul, 'uL')} "
            f"(it is known of: {makers_with(volume_ul)}). Write diameter: 14.43 mm"
        )
    if not 0.1 <= diameter_mm <= 50.0:
        raise SpecError(f"diameter = {written(diameter_mm, 'mm')} is outside the pump's 0.1 to 50 mm")
    stroke_mm = volume_ul / (math.pi * (diameter_mm / 2.0) ** 2)
    if not 10.0 <= stroke_mm <= 200.0:
        raise SpecError(
            f"a syringe of {written(volume_ul, 'uL')} and {written(diameter_mm, 'mm')} would be {stroke_mm:.0f} mm "
            "long; one of the two is wrong"
        )
    return volume_ul, diameter_mm


def _model(options: Mapping[str, Any]) -> str:
    """The pump's name on the wire: NE1000, of NE-1000."""
    model = str(options.get("model", "NE-1000"))
    match = MODEL.fullmatch(model)
    if match is None:
        raise SpecError(f"model = {model!r} is no pump of this family. Write it as it stands on the pump: NE-1000")
    return f"NE{match[1]}"


def _watchdog_s(options: Mapping[str, Any]) -> int:
    seconds = quantity_of(options["watchdog"], "s") if "watchdog" in options else 0.0
    if seconds != int(seconds) or not 0 <= seconds <= 255:
        raise SpecError(f"watchdog = {written(seconds, 's')} is not a whole number of seconds up to 255")
    return int(seconds)


def asks_for_something(values: Mapping[str, Value]) -> bool:
    """Whether settings in declared units move anything: less than the pump's last digit is nothing."""
    return number_of(values, "rate_ul_min") != 0.0 and float(number(volume_of(values))) != 0.0


def volume_of(values: Mapping[str, Value]) -> float:
    """The volume that settings in declared units ask for."""
    if "volume_ul" in values:
        return number_of(values, "volume_ul")
    return number_of(values, "rate_ul_min") * number_of(values, "time_s") / 60.0


def number_of(values: Mapping[str, Value], name: str) -> float:
    """One of them; 0.0 where it was left out."""
    return float(values.get(name, 0.0))


def sent(values: Mapping[str, Value]) -> dict[str, tuple[float, ...]]:
    """What settings in declared units come to on the wire."""
    rate_ul_min, volume_ul = number_of(values, "rate_ul_min"), volume_of(values)
    if volume_ul > MOST or not asks_for_something(values):
        return {}
    text, unit = rate(rate_ul_min)
    said: dict[str, tuple[float, ...]] = {"rate": (float(text) * UL_MIN[unit],), "volume": (float(number(volume_ul)),)}
    return said if "time_s" in values else said | {"time": (volume_ul / rate_ul_min * 60.0,)}
