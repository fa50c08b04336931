"""The commands of a 2400 that are no plain settings: common commands, output, measuring, buffer, queues.

Each takes the device, whether it was asked (``?``), and its parameters; it gives the answer, or None when silent.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from . import keithley_settings as settings
from .scpi import Refused, choice, pattern, truth

Parameters = Sequence[str]
Command = Callable[[Any, bool, Parameters], str | None]
FUNCTIONS = ("VOLTage[:DC]", "CURRent[:DC]", "RESistance")
ELEMENT_WORDS = ("VOLTage", "CURRent", "RESistance", "TIME", "STATus")
BUFFER_FULL, IN_COMPLIANCE, AVAILABLE = 1 << 9, 1 << 14, 1 << 6


def _identity(device: Any, asks: bool, parameters: Parameters) -> str:
    return f"KEITHLEY INSTRUMENTS INC.,MODEL {device.model},{device.serial},C32   Oct  4 2010 14:20:11/A02  /S/K"


def _reset(device: Any, asks: bool, parameters: Parameters) -> None:
    device.reset()


def _clear_status(device: Any, asks: bool, parameters: Parameters) -> None:
    device.errors.codes.clear()
    device.event = device.measurement_event = 0


def _event(device: Any, asks: bool, parameters: Parameters) -> str:
    event, device.event = device.event, 0
    return str(event)


def _status_byte(device: Any, asks: bool, parameters: Parameters) -> str:
    bits = int(bool(device.measurement_event & device.set["measurement_enable"]))
    bits |= 4 * bool(device.errors.codes) | 0x20 * bool(device.event & device.set["event_enable"])
    return str(bits | 0x40 * bool(bits & device.set["service_enable"] & ~0x40))


def _complete(device: Any, asks: bool, parameters: Parameters) -> str | None:
    if asks:
        return "1"
    device.event |= 1
    return None


def _nothing(device: Any, asks: bool, parameters: Parameters) -> None:
    """Done by being heard."""


def _error(device: Any, asks: bool, parameters: Parameters) -> str:
    return str(device.errors.take())


def _all_errors(device: Any, asks: bool, parameters: Parameters) -> str:
    return str(device.errors.take_all())


def _error_count(device: Any, asks: bool, parameters: Parameters) -> str:
    return str(len(device.errors.codes))


def _output(device: Any, asks: bool, parameters: Parameters) -> str | None:
    if asks:
        return str(int(device.output))
    device.switch(truth(parameters))
    return None


def _initiate(device: Any, asks: bool, parameters: Parameters) -> None:
    device.initiate(answers=False)


def _read(device: Any, asks: bool, parameters: Parameters) -> None:
    device.initiate(answers=True)


def _fetch(device: Any, asks: bool, parameters: Parameters) -> str:
    if not device.sample:
        raise Refused(-230)
    return str(device.readings(device.sample))


def _measure(function: str) -> Command:
    def measure(device: Any, asks: bool, parameters: Parameters) -> None:
        device.configure(function or next(iter(device.measured()), "CURR"))
        if asks:
            device.initiate(answers=True)

    return measure


def _tripped(quantity: str) -> Command:
    def tripped(device: Any, asks: bool, parameters: Parameters) -> str:
        sourced = "CURR" if device.set["function"] == "VOLT" else "VOLT"
        return str(int(device.output and sourced == quantity and device.operate()[2] != 0))

    return tripped


def _functions(device: Any, asks: bool, parameters: Parameters) -> str | None:
    if asks:
        names = {"VOLT": "VOLT:DC", "CURR": "CURR:DC", "RES": "RES"}
        return ",".join(f'"{names[one]}"' for one in device.set["functions"])
    if not parameters:
        raise Refused(-109)
    wanted = tuple(choice([one], FUNCTIONS).partition("[")[0] for one in parameters)
    kept = device.set["functions"] if device.set["concurrent"] else ()
    device.set["functions"] = tuple(dict.fromkeys((*wanted, *kept)))
    return None


def _functions_off(device: Any, asks: bool, parameters: Parameters) -> None:
    gone = {choice([one], FUNCTIONS).partition("[")[0] for one in parameters}
    device.set["functions"] = tuple(one for one in device.set["functions"] if one not in gone)


def _all_functions(device: Any, asks: bool, parameters: Parameters) -> None:
    device.set["functions"] = ("VOLT", "CURR", "RES")


def _no_functions(device: Any, asks: bool, parameters: Parameters) -> None:
    device.set["functions"] = ()


def _elements(device: Any, asks: bool, parameters: Parameters) -> str | None:
    if asks:
        return ",".join(device.set["elements"])
    if not parameters:
        raise Refused(-109)
    device.set["elements"] = tuple(choice([one], ELEMENT_WORDS) for one in parameters)
    return None


def _data(device: Any, asks: bool, parameters: Parameters) -> str:
    return str(device.readings(device.buffer))


def _clear_buffer(device: Any, asks: bool, parameters: Parameters) -> None:
    device.buffer = []


def _stored(device: Any, asks: bool, parameters: Parameters) -> str:
    return str(len(device.buffer))


def _free(device: Any, asks: bool, parameters: Parameters) -> str:
    return f"{(2500 - len(device.buffer)) * 20},{len(device.buffer) * 20}"


def _statistic(device: Any, asks: bool, parameters: Parameters) -> str:
    if not device.buffer:
        raise Refused(-230)
    work: dict[str, Callable[[list[float]], float]] = {
        "MEAN": statistics.fmean, "MAX": max, "MIN": min, "PKPK": lambda column: max(column) - min(column),
        "SDEV": lambda column: statistics.stdev(column) if len(column) > 1 else 0.0,
    }  # fmt: skip
    columns = [[one[place] for one in device.buffer] for place in range(3)]
    return ",".join(f"{work[device.set['statistic']](column):+.6E}" for column in columns)


def _time(device: Any, asks: bool, parameters: Parameters) -> str:
    return f"{device.now_s - device.zero_s:.6f}"


def _zero_time(device: Any, asks: bool, parameters: Parameters) -> None:
    device.zero_s = device.now_s


def _abort(device: Any, asks: bool, parameters: Parameters) -> None:
    device.abort()


def _measurement(device: Any, asks: bool, parameters: Parameters) -> str:
    event, device.measurement_event = device.measurement_event, 0
    return str(event)


def _condition(device: Any, asks: bool, parameters: Parameters) -> str:
    full = len(device.buffer) >= device.set["buffer_points"]
    return str(BUFFER_FULL * full | IN_COMPLIANCE * (device.output and device.operate()[2] != 0))


def _preset_status(device: Any, asks: bool, parameters: Parameters) -> None:
    for name in ("measurement_enable", "operation_enable", "questionable_enable"):
        device.set[name] = 0


_QUERIES: dict[str, Command] = {
    "*IDN": _identity,
    "*ESR": _event,
    "*STB": _status_byte,
    "*OPC": _complete,
    "*TST": lambda device, asks, parameters: "0",
    "*OPT": lambda device, asks, parameters: "0",
    ":SYSTem:ERRor[:NEXT]": _error,
    ":SYSTem:ERRor:ALL": _all_errors,
    ":SYSTem:ERRor:COUNt": _error_count,
    ":STATus:QUEue[:NEXT]": _error,
    ":SYSTem:VERSion": lambda device, asks, parameters: "1996.0",
    ":SYSTem:TIME": _time,
    ":OUTPut[1][:STATe]": _output,
    ":FETCh": _fetch,
    ":READ": _read,
    ":MEASure": _measure(""),
    ":MEASure:VOLTage[:DC]": _measure("VOLT"),
    ":MEASure:CURRent[:DC]": _measure("CURR"),
    ":MEASure:RESistance": _measure("RES"),
    f"{settings.ROOT_V}:PROTection:TRIPped": _tripped("VOLT"),
    f"{settings.ROOT_A}:PROTection:TRIPped": _tripped("CURR"),
    "[:SENSe[1]]:FUNCtion[:ON]": _functions,
    ":FORMat:ELEMents[:SENSe[1]]": _elements,
    ":TRACe:DATA": _data,
    ":TRACe:POINts:ACTual": _stored,
    ":TRACe:FREE": _free,
    ":CALCulate3:DATA": _statistic,
    ":STATus:MEASurement[:EVENt]": _measurement,
    ":STATus:MEASurement:CONDition": _condition,
    ":STATus:OPERation[:EVENt]": lambda device, asks, parameters: "0",
    ":STATus:QUEStionable[:EVENt]": lambda device, asks, parameters: "0",
}
_ORDERS: dict[str, Command] = {
    "*RST": _reset,
    "*CLS": _clear_status,
    "*OPC": _complete,
    "*WAI": _nothing,
    "*TRG": _nothing,
    ":SYSTem:PRESet": _reset,
    ":SYSTem:LOCal": _nothing,
    ":SYSTem:REMote": _nothing,
    ":SYSTem:BEEPer[:IMMediate]": _nothing,
    ":SYSTem:TIME:RESet": _zero_time,
    ":OUTPut[1][:STATe]": _output,
    ":INITiate[:IMMediate]": _initiate,
    ":ABORt": _abort,
    ":CONFigure:VOLTage[:DC]": _measure("VOLT"),
    ":CONFigure:CURRent[:DC]": _measure("CURR"),
    ":CONFigure:RESistance": _measure("RES"),
    "[:SENSe[1]]:FUNCtion[:ON]": _functions,
    "[:SENSe[1]]:FUNCtion[:ON]:ALL": _all_functions,
    "[:SENSe[1]]:FUNCtion:OFF": _functions_off,
    "[:SENSe[1]]:FUNCtion:OFF:ALL": _no_functions,
    ":FORMat:ELEMents[:SENSe[1]]": _elements,
    ":TRACe:CLEar": _clear_buffer,
    ":TRIGger:CLEar": _nothing,
    ":STATus:PRESet": _preset_status,
}
_TABLES = {
    True: [(pattern(header), command) for header, command in _QUERIES.items()],
    False: [(pattern(header), command) for header, command in _ORDERS.items()],
}


def find(header: str, asks: bool) -> Command | None:
    return next((command for known, command in _TABLES[asks] if known.fullmatch(header)), None)
