"""What lab.yaml says of a GRBL controller: ranges with their units, and its name.

A GRBL tells its version and no model, and has three axes and a spindle whatever is wired to it. Which one it is stands
in one place only: the text that ``$I=STAGE`` writes into its memory and ``$I`` tells (commands.md). So a lab file must
say it.
"""

from collections.abc import Mapping
from typing import Any

from labloop.bench import SpecError, quantity_of, refuse_unknown, written

AXES = "xyz"
# Act at once, wherever they stand in a line (interface.md); begin or end a comment, or are passed over (protocol.c).
NEVER_KEPT = "?!~();/"
# 79 characters make a line (LINE_BUFFER_SIZE less its end), $I= takes three of them.
LONGEST_NAME = 76
# Any name: for a controller that was built without $I=, and for whoever only asks who is there.
ANY = "*"


def name_of(options: Mapping[str, Any]) -> str:
    """What the controller must call itself ("": anything); GRBL keeps a name in capitals and without blanks."""
    given = options.get("name")
    name = given.upper().replace(" ", "") if isinstance(given, str) else ""
    return "" if name == ANY else name


def refuse_nameless(options: Mapping[str, Any], example: str) -> None:
    """Raise SpecError without a name, or for one that no GRBL can keep."""
    name, given = name_of(options), options.get("name")
    if given is not None and not isinstance(given, str):
        raise SpecError(f"name = {given!r} is no text. Write it in quotation marks, as $I tells it: name: '{given}'")
    if options.get("name") == ANY:
        return
    if not name:
        raise SpecError(
            "a GRBL tells no model: without a name nothing tells this one from any other on a swapped port. Send it "
            f"$I={example} once, in a terminal, and write name: {example} (name: '*' takes any)"
        )
    if bad := "".join(letter for letter in name if not "!" <= letter <= "~" or letter in NEVER_KEPT):
        raise SpecError(f"name = {options['name']!r}: GRBL keeps no {bad!r}. Use letters, digits, - and _")
    if len(name) > LONGEST_NAME:
        raise SpecError(f"name = {options['name']!r} is longer than the {LONGEST_NAME} characters that GRBL takes")


def homing_of(options: Mapping[str, Any]) -> bool:
    """Whether the stage has switches to home to."""
    homing = options.get("homing", True)
    if not isinstance(homing, bool):
        raise SpecError(f"homing = {homing!r} is neither true nor false")
    return homing


def travel_of(options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """By axis: from where to where, in mm."""
    given = options.get("travel")
    if not isinstance(given, Mapping) or not given:
        raise SpecError("a stage needs its travel in machine coordinates: {x: [-200 mm, 0 mm], y: [-150 mm, 0 mm]}")
    refuse_unknown(given, AXES, "travel")
    return {axis: _span(f"travel.{axis}", given[axis], "mm") for axis in AXES if axis in given}


def speeds_of(options: Mapping[str, Any]) -> tuple[float, float]:
    """The slowest and the fastest speed of the spindle, in rpm."""
    low, high = _span("speed", options.get("speed", ["200 rpm", "6000 rpm"]), "rpm")
    if low <= 0.0:
        raise SpecError(f"speed: {written(low, 'rpm')} is not above 0")
    return low, high


def fastest_of(options: Mapping[str, Any]) -> float:
    """The fastest feed, in mm/min."""
    fastest = quantity_of(options.get("fastest", "3000 mm/min"), "mm/min")
    if not 1.0 < fastest <= 100_000.0:
        raise SpecError(f"fastest = {written(fastest, 'mm/min')} is no speed of a stage")
    return fastest


def _span(name: str, given: Any, unit: str) -> tuple[float, float]:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise SpecError(f"{name} = {given!r} is no range: write it as [-200 mm, 0 mm], with its unit")
    low, high = (quantity_of(one, unit) for one in given)
    if not low < high:
        raise SpecError(f"{name}: {written(low, unit)} is not below {written(high, unit)}")
    return low, high
