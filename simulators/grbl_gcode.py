"""What GRBL 1.1 understands of G-code: words, their errors, and the modes that stay (gnea/grbl, gcode.c).

    G0 G1 (motion)   G4 (dwell)   G10 L2 L20 P0 P1, G92, G92.1 (offsets of G54)   G17   G20 G21   G40   G49   G53   G54
    G80   G90 G91   G91.1   G94   M0 M1 M2 M30   M3 M4 M5   M8 M9   F S T N X Y Z L P

Not simulated, answered 20 (unsupported): arcs, probing, G28, G30, inverse time, the other coordinate systems.
"""

import re
from dataclasses import dataclass, field, replace

AXES = "XYZ"
LINE_LENGTH = 79
INCH = 25.4
_WORD = re.compile(r"([A-Z])([-+]?(?:\d+\.?\d*|\.\d+))")
# By command: its modal group (one of each in a line).
GROUPS = {
    **dict.fromkeys(("G4", "G10", "G53", "G92", "G92.1"), 0),
    **dict.fromkeys(("G0", "G1", "G80"), 1),
    "G17": 2,
    **dict.fromkeys(("G90", "G91"), 3),
    "G91.1": 4,
    "G94": 5,
    **dict.fromkeys(("G20", "G21"), 6),
    "G40": 7,
    "G49": 8,
    "G54": 12,
    **dict.fromkeys(("M0", "M1", "M2", "M30"), 104),
    **dict.fromkeys(("M3", "M4", "M5"), 107),
    **dict.fromkeys(("M8", "M9"), 108),
}
MODAL = ("motion", "units", "distance", "spindle", "coolant")


class Refused(Exception):
    """``code``: GRBL's number for what is wrong with a line."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"error:{code}")


@dataclass(slots=True)
class Typed:
    """The line that is being typed: without blanks and comments, in capitals. ``overflows``: it was too long."""

    text: str = ""
    comment: str = ""
    overflows: bool = False

    def take(self, letter: str) -> "Typed | None":
        """One more character; the whole line at its end."""
        if letter in "\r\n":
            whole = replace(self)
            self.text, self.comment, self.overflows = "", "", False
            return whole
        if self.comment:
            self.comment = "" if (self.comment, letter) == ("(", ")") else self.comment
        elif letter in "(;":
            self.comment = letter
        elif letter > " " and letter != "/":
            if len(self.text) < LINE_LENGTH:
                self.text += letter.upper()
            else:
                self.overflows = True
        return None


@dataclass(slots=True)
class Modes:
    """What stays from line to line; a reset puts it back to this."""

    motion: str = "G0"
    units: str = "G21"
    distance: str = "G90"
    spindle: str = "M5"
    coolant: str = "M9"
    feed: float = 0.0
    speed: float = 0.0
    tool: int = 0

    def line(self) -> str:
        """As ``$G`` says it."""
        return (
            f"{self.motion} G54 G17 {self.units} {self.distance} G94 {self.spindle} {self.coolant} "
            f"T{self.tool} F{self.feed:.0f} S{self.speed:.0f}"
        )


@dataclass(slots=True)
class Line:
    """One line, read and found sound: the modes after it and what it does. Lengths in mm."""

    modes: Modes
    commands: frozenset[str]
    axes: dict[str, float] = field(default_factory=dict)
    feed: float | None = None
    dwell_s: float | None = None
    offset: float = 0.0  # of G10: 2 sets the offset itself, 20 sets it so that it stands at the axes' values

    def has(self, *commands: str) -> bool:
        return not self.commands.isdisjoint(commands)


def read_line(text: str, modes: Modes, *, jog: bool = False) -> Line:
    """Raises Refused with the number of the first thing that is wrong."""
    commands, words = _words(text)
    after = replace(modes)
    for command in commands:
        _apply(command, after)
    axes = {name: words.pop(name) for name in AXES if name in words}
    factor = INCH if after.units == "G20" else 1.0
    axes = {name: value * factor for name, value in axes.items()}
    feed = words.pop("F", None)
    line = Line(after, frozenset(commands), axes, feed * factor if feed is not None else None)
    if jog:
        _check_jog(line, words)
        return line
    after.feed = line.feed if line.feed is not None else modes.feed
    after.speed = words.pop("S", modes.speed)
    after.tool = int(words.pop("T", modes.tool))
    words.pop("N", None)
    _check(line, words)
    return line


def _words(text: str) -> tuple[list[str], dict[str, float]]:
    commands: list[str] = []
    words: dict[str, float] = {}
    groups: set[int] = set()
    place = 0
    while place < len(text):
        if not "A" <= text[place] <= "Z":
            raise Refused(1)
        match = _WORD.match(text, place)
        if match is None:
            raise Refused(2)
        place = match.end()
        letter, value = match[1], float(match[2])
        if letter in "GM":
            command = f"{letter}{value:g}"
            group = GROUPS.get(command)
            if group is None:
                raise Refused(20)
            if group in groups:
                raise Refused(21)
            groups.add(group)
            commands.append(command)
        elif letter in "FIJKLNPRSTXYZ":
            if letter in words:
                raise Refused(25)
            if letter in "FNPST" and value < 0.0:
                raise Refused(4)
            words[letter] = value
        else:
            raise Refused(20)
    return commands, words


def _apply(command: str, modes: Modes) -> None:
    if GROUPS[command] == 1:
        modes.motion = command
    elif GROUPS[command] == 6:
        modes.units = command
    elif GROUPS[command] == 3:
        modes.distance = command
    elif GROUPS[command] == 107:
        modes.spindle = command
    elif GROUPS[command] == 108:
        modes.coolant = command


def _check_jog(line: Line, words: dict[str, float]) -> None:
    """A jog has an F and an axis, and no other words than units and distances."""
    if line.feed is None:
        raise Refused(22)
    if not line.commands <= {"G20", "G21", "G53", "G90", "G91"} or not words.keys() <= {"N"}:
        raise Refused(16)
    if not line.axes:
        raise Refused(26)


def _check(line: Line, words: dict[str, float]) -> None:
    if line.has("G4"):
        if "P" not in words:
            raise Refused(28)
        line.dwell_s = words.pop("P")
        if line.axes:
            raise Refused(31)
    if line.has("G10"):
        if not line.axes:
            raise Refused(26)
        line.offset = words.pop("L", 0.0)
        if line.offset not in (2.0, 20.0) or words.pop("P", 0.0) not in (0.0, 1.0):
            raise Refused(20)
    elif line.has("G92") and not line.axes:
        raise Refused(26)
    elif line.axes and not line.has("G92"):
        if line.modes.motion == "G80":
            raise Refused(31)
        if line.modes.motion == "G1" and not line.modes.feed:
            raise Refused(22)
    if words:
        raise Refused(36)
