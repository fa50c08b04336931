"""What can be set on a 2400 and asked back: headers, limits and defaults (manual, tables 18-1 to 18-11).

Numbers are written as the instrument writes them, 1.050000E-04; measured values elsewhere carry their sign.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .scpi import Refused, choice, number, pattern, text_of, truth

# By model: full scales of the voltage and of the current ranges (A-2; 18-75, 18-84).
_MICRO = (1.05e-5, 1.05e-4, 1.05e-3, 1.05e-2, 1.05e-1, 1.05)
MODELS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "2400": ((0.21, 2.1, 21.0, 210.0), (1.05e-6, *_MICRO)),
    "2401": ((0.21, 2.1, 21.0), (1.05e-6, *_MICRO)),
    "2410": ((0.21, 2.1, 21.0, 1100.0), (1.05e-6, *_MICRO)),
    "2420": ((0.21, 2.1, 21.0, 63.0), (*_MICRO, 3.15)),
    "2425": ((0.21, 2.1, 21.0, 105.0), (*_MICRO, 3.15)),
}
ROOT_V, ROOT_A = "[:SENSe[1]]:VOLTage[:DC]", "[:SENSe[1]]:CURRent[:DC]"
SOURCE = ":SOURce[1]"
# What a change of switches the output off.
SWITCH_OFF = ("function", "terminals")
# What CONFigure puts back (17-2).
OF_FUNCTION = {
    "VOLT": ("protection_VOLT", "range_VOLT", "range_auto_VOLT", "nplc"),
    "CURR": ("protection_CURR", "range_CURR", "range_auto_CURR", "nplc"),
    "RES": ("ohms_range", "ohms_range_auto", "nplc"),
}
# *RST and SYSTem:PRESet leave these alone (table 18-10).
LASTING = ("buffer_points", "feed", "feed_control", "timestamp", "text_1", "text_2", "text_1_on", "text_2_on")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One header: where its value is kept, how it is read, what it is at first."""

    name: str
    header: Any
    first: Any
    take: Callable[[str, Sequence[str], Mapping[str, Any]], Any]

    def read(self, model: str, parameters: Sequence[str], present: Mapping[str, Any]) -> Any:
        return self.take(model, parameters, present)


def most(model: str, quantity: str) -> float:
    return MODELS[model][quantity == "CURR"][-1]


def range_of(model: str, quantity: str, value: float) -> float:
    """The smallest range that holds a value."""
    scales = MODELS[model][quantity == "CURR"]
    return next((scale for scale in scales if abs(value) <= scale), scales[-1])


def _number(low: float, high: float, first: float) -> Callable[..., float]:
    return lambda model, parameters, present: number(parameters, low, high, first)


def _whole(low: float, high: float, first: float) -> Callable[..., int]:
    return lambda model, parameters, present: round(number(parameters, low, high, first))


def _level(quantity: str) -> Callable[..., float]:
    def take(model: str, parameters: Sequence[str], present: Mapping[str, Any]) -> float:
        return number(parameters, -most(model, quantity), most(model, quantity), 0.0)

    return take


def _range(quantity: str) -> Callable[..., float]:
    first = 21.0 if quantity == "VOLT" else 1.05e-4

    def take(model: str, parameters: Sequence[str], present: Mapping[str, Any]) -> float:
        return range_of(model, quantity, number(parameters, -most(model, quantity), most(model, quantity), first))

    return take


def _truth(model: str, parameters: Sequence[str], present: Mapping[str, Any]) -> bool:
    return truth(parameters)


def _word(*words: str) -> Callable[..., str]:
    return lambda model, parameters, present: choice(parameters, words)


def _text(longest: int) -> Callable[..., str]:
    return lambda model, parameters, present: text_of(parameters, longest)


def _azero(model: str, parameters: Sequence[str], present: Mapping[str, Any]) -> str:
    if [one.upper() for one in parameters] == ["ONCE"]:
        return str(present["autozero"])
    return "1" if truth(parameters) else "0"


def _both(quantity: str, name: str) -> list[tuple[str, str, Any, Any]]:
    """What voltage and current have alike."""
    root = ROOT_V if quantity == "VOLT" else ROOT_A
    source = f"{SOURCE}:{'VOLTage' if quantity == 'VOLT' else 'CURRent'}"
    first = 21.0 if quantity == "VOLT" else 1.05e-4
    return [
        (name, f"{source}[:LEVel][:IMMediate][:AMPLitude]", 0.0, _level(quantity)),
        (f"{name}_range", f"{source}:RANGe", first, _range(quantity)),
        (f"{name}_range_auto", f"{source}:RANGe:AUTO", True, _truth),
        (f"{name}_mode", f"{source}:MODE", "FIX", _word("FIXed", "SWEep", "LIST")),
        (f"{name}_start", f"{source}:STARt", 0.0, _level(quantity)),
        (f"{name}_stop", f"{source}:STOP", 0.0, _level(quantity)),
        (f"{name}_step", f"{source}:STEP", 0.0, _level(quantity)),
        (f"range_{quantity}", f"{root}:RANGe[:UPPer]", first, _range(quantity)),
        (f"range_auto_{quantity}", f"{root}:RANGe:AUTO", True, _truth),
        (f"protection_{quantity}", f"{root}:PROTection[:LEVel]", first, _level(quantity)),
        ("nplc", f"{root}:NPLCycles", 1.0, _number(0.01, 10.0, 1.0)),
    ]


_TABLE: list[tuple[str, str, Any, Any]] = [
    *_both("VOLT", "voltage"),
    *_both("CURR", "current"),
    ("function", f"{SOURCE}:FUNCtion[:MODE]", "VOLT", _word("VOLTage", "CURRent")),
    ("delay", f"{SOURCE}:DELay", 0.0, _number(0.0, 999.9999, 0.0)),
    ("delay_auto", f"{SOURCE}:DELay:AUTO", True, _truth),
    ("auto_off", f"{SOURCE}:CLEar:AUTO", False, _truth),
    ("ovp", f"{SOURCE}:VOLTage:PROTection[:LEVel]", 210.0, _number(-1100.0, 1100.0, 210.0)),
    ("sweep_points", f"{SOURCE}:SWEep:POINts", 2500, _whole(2, 2500, 2500)),
    ("sweep_spacing", f"{SOURCE}:SWEep:SPACing", "LIN", _word("LINear", "LOGarithmic")),
    ("sweep_ranging", f"{SOURCE}:SWEep:RANGing", "BEST", _word("BEST", "AUTO", "FIXed")),
    ("concurrent", "[:SENSe[1]]:FUNCtion:CONCurrent", True, _truth),
    ("ohms_mode", "[:SENSe[1]]:RESistance:MODE", "AUTO", _word("MANual", "AUTO")),
    ("ohms_range", "[:SENSe[1]]:RESistance:RANGe[:UPPer]", 2.1e5, _number(0.0, 2.1e8, 2.1e5)),
    ("ohms_range_auto", "[:SENSe[1]]:RESistance:RANGe:AUTO", True, _truth),
    ("nplc", "[:SENSe[1]]:RESistance:NPLCycles", 1.0, _number(0.01, 10.0, 1.0)),
    ("filter", "[:SENSe[1]]:AVERage[:STATe]", False, _truth),
    ("filter_control", "[:SENSe[1]]:AVERage:TCONtrol", "REP", _word("REPeat", "MOVing")),
    ("filter_count", "[:SENSe[1]]:AVERage:COUNt", 10, _whole(1, 100, 10)),
    ("off_state", ":OUTPut[1]:SMODe", "NORM", _word("HIMPedance", "NORMal", "ZERO", "GUARd")),
    ("trigger_count", ":TRIGger[:SEQuence[1]]:COUNt", 1, _whole(1, 2500, 1)),
    ("trigger_delay", ":TRIGger[:SEQuence[1]]:DELay", 0.0, _number(0.0, 999.9999, 0.0)),
    ("trigger_source", ":TRIGger[:SEQuence[1]]:SOURce", "IMM", _word("IMMediate", "TLINk")),
    ("trigger_output", ":TRIGger[:SEQuence[1]]:OUTPut", "NONE", _word("SOURce", "DELay", "SENSe", "NONE")),
    ("trigger_input_line", ":TRIGger[:SEQuence[1]]:ILINe", 1, _whole(1, 4, 1)),
    ("trigger_line", ":TRIGger[:SEQuence[1]]:OLINe", 2, _whole(1, 4, 2)),
    ("arm_count", ":ARM[:SEQuence[1]]:COUNt", 1, _whole(1, 2500, 1)),
    ("arm_source", ":ARM[:SEQuence[1]]:SOURce", "IMM", _word("IMMediate", "TLINk", "TIMer", "MANual", "BUS")),
    ("arm_timer", ":ARM[:SEQuence[1]]:TIMer", 0.1, _number(0.001, 99999.99, 0.1)),
    ("arm_output", ":ARM[:SEQuence[1]]:OUTPut", "NONE", _word("TENTer", "TEXit", "NONE")),
    ("arm_input_line", ":ARM[:SEQuence[1]]:ILINe", 1, _whole(1, 4, 1)),
    ("arm_line", ":ARM[:SEQuence[1]]:OLINe", 2, _whole(1, 4, 2)),
    ("data_format", ":FORMat[:DATA]", "ASC", _word("ASCii")),
    ("buffer_points", ":TRACe:POINts", 100, _whole(1, 2500, 100)),
    ("feed", ":TRACe:FEED", "SENS", _word("SENSe[1]", "CALCulate[1]", "CALCulate2")),
    ("feed_control", ":TRACe:FEED:CONTrol", "NEV", _word("NEXT", "NEVer")),
    ("timestamp", ":TRACe:TSTamp:FORMat", "ABS", _word("ABSolute", "DELTa")),
    ("statistic", ":CALCulate3:FORMat", "MEAN", _word("MEAN", "SDEViation", "MAXimum", "MINimum", "PKPK")),
    ("autozero", ":SYSTem:AZERo[:STATe]", "1", _azero),
    ("remote_sense", ":SYSTem:RSENse", False, _truth),
    ("keys_locked", ":SYSTem:RWLock", False, _truth),
    ("line_frequency", ":SYSTem:LFRequency", 60, _whole(50, 60, 60)),
    ("line_auto", ":SYSTem:LFRequency:AUTO", True, _truth),
    ("beeper", ":SYSTem:BEEPer:STATe", True, _truth),
    ("terminals", ":ROUTe:TERMinals", "FRON", _word("FRONt", "REAR")),
    ("display", ":DISPlay:ENABle", True, _truth),
    ("digits", ":DISPlay:DIGits", 6, _whole(4, 7, 6)),
    ("text_1", ":DISPlay[:WINDow[1]]:TEXT:DATA", "", _text(20)),
    ("text_2", ":DISPlay:WINDow2:TEXT:DATA", "", _text(32)),
    ("text_1_on", ":DISPlay[:WINDow[1]]:TEXT:STATe", False, _truth),
    ("text_2_on", ":DISPlay:WINDow2:TEXT:STATe", False, _truth),
    ("event_enable", "*ESE", 0, _whole(0, 255, 0)),
    ("service_enable", "*SRE", 0, _whole(0, 255, 0)),
    ("measurement_enable", ":STATus:MEASurement:ENABle", 0, _whole(0, 65535, 0)),
    ("operation_enable", ":STATus:OPERation:ENABle", 0, _whole(0, 65535, 0)),
    ("questionable_enable", ":STATus:QUEStionable:ENABle", 0, _whole(0, 65535, 0)),
]
_SETTINGS = [Setting(name=name, header=pattern(header), first=first, take=take) for name, header, first, take in _TABLE]


def find(header: str) -> Setting | None:
    return next((setting for setting in _SETTINGS if setting.header.fullmatch(header)), None)


def defaults(model: str) -> dict[str, Any]:
    """As after *RST, and what has no setting of its own kind: the functions and the elements of a reading."""
    first = {setting.name: setting.first for setting in _SETTINGS}
    return first | {"functions": ("CURR",), "elements": ("VOLT", "CURR", "RES", "TIME", "STAT")}


def reset(present: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What *RST makes of the present settings."""
    return defaults(model) | {name: present[name] for name in LASTING}


def put(present: dict[str, Any], name: str, value: Any, model: str) -> None:
    """Set one value, with what follows from it. Raises Refused for what does not go together."""
    for quantity, level in (("VOLT", "voltage"), ("CURR", "current")):
        if name == level and not present[f"{level}_range_auto"] and abs(value) > present[f"{level}_range"]:
            raise Refused(-222)
        if name == f"range_{quantity}":
            if present["function"] == quantity:
                raise Refused(823)
            if value > range_of(model, quantity, present[f"protection_{quantity}"]):
                raise Refused(824)
            present[f"range_auto_{quantity}"] = False
        if name == f"{level}_range":
            present[f"{level}_range_auto"] = False
    if name in ("trigger_count", "arm_count"):
        other = present["arm_count" if name == "trigger_count" else "trigger_count"]
        if value * other > 2500:
            raise Refused(-221)
    if name == "delay":
        present["delay_auto"] = False
    present[name] = value
    if name.endswith(("_start", "_stop", "_step")):
        _count_points(present, name.partition("_")[0], of_a_step=name.endswith("_step"))


def _count_points(present: dict[str, Any], level: str, *, of_a_step: bool) -> None:
    """Of a linear sweep with a step (18-88): (stop - start) / step + 1. Raises Refused for a step that leads away."""
    span, step = present[f"{level}_stop"] - present[f"{level}_start"], present[f"{level}_step"]
    steps = span / step if step else 0.0
    if of_a_step and span and not 1.0 <= steps <= 2499.0:
        present[f"{level}_step"] = 0.0
        raise Refused(-221)
    if 1.0 <= steps <= 2499.0:
        present["sweep_points"] = int(steps + 1e-9) + 1


def written(value: Any) -> str:
    """A setting as the instrument says it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.6E}"
    if isinstance(value, str) and (" " in value or not value.isalnum()):
        return f'"{value}"'
    return str(value)
