"""What a SourceMeter can be told and says, what lab.yaml says of it, and the limits that follow from its model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labloop.bench import Reading, Setting, Signal, SpecError, Value, refuse_unknown, written

LINE_HZ = 50.0
# The instrument's own buffer holds as many (18-115); a curve of more points is no sweep but a recording.
MOST_POINTS = 2500
# Settings that have a sign, and settings that have none.
SIGNED = ("voltage_v", "start_v", "stop_v", "current_a")
UNSIGNED = ("limit_v", "limit_a", "step_v")

VOLTAGE = Setting(name="voltage", argument="voltage_v", unit="V", low=-210.0, high=210.0, resolution=5e-6)
CURRENT = Setting(name="current", argument="current_a", unit="A", low=-1.05, high=1.05, resolution=5e-11)
# 6-2: compliance can be set from 1 nA and from 200 uV.
CURRENT_LIMIT = Setting(
    name="current_limit", argument="limit_a", unit="A", low=1e-9, high=1.05, doc="no more than this flows",
)  # fmt: skip
VOLTAGE_LIMIT = Setting(
    name="voltage_limit", argument="limit_v", unit="V", low=2e-4, high=210.0, doc="no more than this stands there",
)  # fmt: skip
TIME = Setting(
    name="time", argument="time_s", unit="s", low=0.1, high=604_800.0, required=False,
    doc="how long, then off; left out: it stays on",
)  # fmt: skip
IF_LIMITED = Setting(
    name="if_limited", argument="if_limited", choices=("fault", "go_on"), default="fault", required=False,
    doc="what reaching the limit means",
)  # fmt: skip
OUTPUT_V = Signal(name="voltage", unit="V", doc="that it puts across its terminals; 0 while the output is off")
OUTPUT_A = Signal(name="current", unit="A", doc="that it sends through them; 0 while the output is off")
# Said of an output that is off: a limit on either stands on a fresh reading then, too.
NOTHING = {"voltage": Reading(value=0.0, unit="V"), "current": Reading(value=0.0, unit="A")}
LIMITED = Signal(name="limited", doc="yes or no: the source stands at its limit, and gives less than it was told")
CURVE = Signal(
    name="curve", unit="A", array=True, axis="V",
    doc="n voltages (V), then n currents (A), points at the limit left out",
)  # fmt: skip
BOUNDS = Signal(
    name="bounds", unit="A", array=True, axis="V", doc="the points at the limit: there is more than stands there"
)  # fmt: skip
RESISTANCE = Signal(name="resistance", unit="ohm", doc="measured voltage over measured current")
EVIDENCE = "the act's name on its display, and whether the output is on"
START = Setting(name="start", argument="start_v", unit="V", low=-210.0, high=210.0, resolution=5e-6)
END = Setting(name="stop", argument="stop_v", unit="V", low=-210.0, high=210.0, resolution=5e-6)
STEP = Setting(name="step", argument="step_v", unit="V", low=5e-6, high=210.0, resolution=5e-6)
SETTLE = Setting(
    name="settle", argument="settle_s", unit="s", low=0.0, high=10.0, default=0.0, required=False,
    doc="between setting a point and measuring it",
)  # fmt: skip
WAY = Setting(name="way", argument="way", choices=("there", "there_and_back"), default="there", required=False)


@dataclass(frozen=True, slots=True)
class Model:
    """Most voltage and current (18-84), and how they go together: above ``full_v`` no more than ``less_a`` (18-62)."""

    volts: float
    amps: float
    full_v: float
    less_a: float


MODELS = {
    "2400": Model(210.0, 1.05, 21.0, 0.105),
    "2401": Model(21.0, 1.05, 21.0, 1.05),
    "2410": Model(1100.0, 1.05, 21.0, 0.021),
    "2420": Model(63.0, 3.15, 21.0, 1.05),
    "2425": Model(105.0, 3.15, 21.0, 1.05),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one SourceMeter, read and found sensible."""

    model: str
    terminals: str
    wires: int
    nplc: float

    def bounded(self, setting: Setting) -> Setting:
        """A setting with the limits of this model."""
        most = MODELS[self.model].volts if setting.unit == "V" else MODELS[self.model].amps
        if setting.argument in SIGNED:
            return replace(setting, low=-most, high=most)
        return replace(setting, high=most) if setting.argument in UNSIGNED else setting

    def complaint(self, values: Mapping[str, Value]) -> str:
        """A voltage with a current that this model does not give at it."""
        model = MODELS[self.model]
        volts = _most(values, ("voltage_v", "start_v", "stop_v", "limit_v"))
        amps = _most(values, ("current_a", "limit_a"))
        if volts > model.full_v and amps > model.less_a:
            return (
                f"above {written(model.full_v, 'V')} a {self.model} gives no more than {written(model.less_a, 'A')}, "
                f"and {written(volts, 'V')} with {written(amps, 'A')} was asked for"
            )
        return ""

    @property
    def cycle_s(self) -> float:
        """What one reading takes: two functions, each integrated three times because of autozero."""
        return 6.0 * self.nplc / LINE_HZ


def read_options(options: Mapping[str, Any]) -> Options:
    """Read and check the options. Raises SpecError for what makes no sense."""
    refuse_unknown(options, ("model", "terminals", "wires", "nplc"), "K2400")
    model = str(options.get("model", "2400"))
    if model not in MODELS:
        raise SpecError(f"model = {model!r} is none of {', '.join(MODELS)}")
    terminals = {"front": "FRON", "rear": "REAR"}.get(str(options.get("terminals", "front")))
    if terminals is None:
        raise SpecError(f"terminals = {options['terminals']!r} is neither front nor rear")
    wires = options.get("wires", 2)
    if wires not in (2, 4) or isinstance(wires, bool):
        raise SpecError(f"wires = {wires!r} is neither 2 nor 4")
    nplc = options.get("nplc", 1)
    if isinstance(nplc, bool) or not isinstance(nplc, (int, float)) or not 0.01 <= nplc <= 10.0:
        raise SpecError(f"nplc = {nplc!r} is no number of power line cycles from 0.01 to 10")
    return Options(model, terminals, int(wires), float(nplc))


def sent(values: Mapping[str, Value]) -> dict[str, tuple[float, ...]]:
    """What can come to stand and flow there: the ends of a sweep, and all that a limit lets through."""
    numbers = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
    said = {"voltage": tuple(numbers[name] for name in ("start_v", "stop_v") if name in numbers)}
    if "limit_v" in numbers:
        said["voltage"] = (math.copysign(numbers["limit_v"], numbers["current_a"]),)
    if "limit_a" in numbers:
        driven = [numbers[name] for name in ("voltage_v", "start_v", "stop_v") if name in numbers]
        said["current"] = tuple(math.copysign(numbers["limit_a"], level) for level in driven)
    return said


def levels(start_v: float, stop_v: float, step_v: float, way: str) -> list[float]:
    """The points of a sweep, the last one exactly at its end; ``there_and_back`` measures the end once."""
    count = _steps(start_v, stop_v, step_v)
    there = [start_v + (stop_v - start_v) * place / count for place in range(count + 1)]
    return there + there[-2::-1] if way == "there_and_back" else there


def points(start_v: float, stop_v: float, step_v: float, way: str) -> int:
    """How many levels a sweep has, also where they would fill the memory."""
    count = _steps(start_v, stop_v, step_v)
    return 2 * count + 1 if way == "there_and_back" else count + 1


def _steps(start_v: float, stop_v: float, step_v: float) -> int:
    return max(1, math.ceil(abs(stop_v - start_v) / step_v - 1e-9))


def _most(values: Mapping[str, Value], names: tuple[str, ...]) -> float:
    return max((abs(float(values[name])) for name in names if name in values), default=0.0)
