"""What a person may change at the front of a Keithley 2400, as it says it.

Source: as drivers/keithley.py.

* What it sources, at which level, and its compliance; whether its output is on.
* Its terminals (front or rear) and wires (2 or 4): configure() sets them again, but somebody meant something.
* Not what is sent before each measurement: ranges, delays, integration.
* The text on its display goes with the power: then all of this is as the maker has it.
"""

from collections.abc import Callable

from labloop.bench import Stand

NAMED = "labloop "
# It keeps seven digits of what it is told; a lost or turned digit shows.
SAME = 1e-5
# By what it sources: the setting's name and unit, and those of its compliance, which is a limit of the other one.
SOURCES = {
    "VOLT": ("voltage", "V", "CURR", "current_limit", "A"),
    "CURR": ("current", "A", "VOLT", "voltage_limit", "V"),
}


def standing(sure: Callable[[str], str]) -> dict[str, Stand]:
    """Source, level, compliance, output, terminals and wires. ``sure``: a question's answer, said twice alike."""
    function = sure(":SOUR:FUNC?")
    sourced, unit, sense, limited, limit_unit = SOURCES[function]
    level, limit = float(sure(f":SOUR:{function}?")), float(sure(f":SENS:{sense}:PROT?"))
    lost = not sure(":DISP:WIND2:TEXT:DATA?").startswith(NAMED)
    said = "its display names nothing of labloop: it was switched off and on, or used by hand" if lost else ""
    return {
        "source": Stand(value=sourced, said=said),
        sourced: Stand(value=level, unit=unit, within=SAME * abs(level), said=said),
        limited: Stand(value=limit, unit=limit_unit, within=SAME * abs(limit), said=said),
        "output": Stand(value=sure(":OUTP?") == "1"),
        "terminals": Stand(value={"FRON": "front", "REAR": "rear"}[sure(":ROUT:TERM?")], said=said),
        "wires": Stand(value="4" if sure(":SYST:RSEN?") == "1" else "2", said=said),
    }
