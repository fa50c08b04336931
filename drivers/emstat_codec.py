"""The wire of PalmSens potentiostats: lines, MethodSCRIPT's data packages, and numbers as a script takes them.

Source: EmStat Pico communication protocol v1.6, MethodSCRIPT manual v1.8, and the maker's examples
(PalmSens/MethodSCRIPT_Examples); drivers/emstat.py has what it means for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineFramer, ProtocolError, shown

# What a script says as it runs; one of these may stand before any answer.
STREAM = re.compile(r"[PT].*|[MC][0-9A-F]{4}|[L*+-]|")
FIRMWARE = re.compile(r"t([ -~]{4,80})")
SERIAL = re.compile(r"i([0-9A-Za-z]{2,24})")
REFUSED = re.compile(r"([A-Za-z])!([0-9A-Fa-f]{4}.*)")
STARTED = re.compile(r"e(M[0-9A-F]{4})?|e!([0-9A-Fa-f]{4}.*)")
ABORTED = re.compile(r"Z(?:!(0006))?")
VARIABLE = re.compile(r"([a-z]{2})(?:([0-9A-F]{7})([afpnum kMGTPEi])| {5}nan )((?:,[0-9A-F]+)*)")
PREFIXES = {
    "a": 1e-18, "f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, " ": 1.0, "i": 1.0, "k": 1e3, "M": 1e6,
    "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
}  # fmt: skip
OFFSET = 1 << 27
OVERLOAD = 0x2
LISTEN, ABORT, CELL_OFF = "", "Z", "e\ncell_off\n"
# Ends a script whose rest was lost on the line, and has it refused as a whole: ``t`` is no command of any script, and
# stands in a line of its own once another line was said after the cut. Else it is a question more, and an empty line.
GIVE_UP = "t\n"


@dataclass(frozen=True, slots=True)
class Command:
    """``t`` and ``i`` ask, ``e`` with a script behind it begins one, ``Z`` aborts; LISTEN says nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Lines of an answer; ``wrong``: the code and place of an error."""

    lines: tuple[str, ...] = ()
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a package: two letters, the number (None: not a number), its status bits, and as it was said."""

    kind: str
    number: float | None
    status: int
    said: str


class EmStatCodec:
    """Lines that end with LF. After an error nothing is heard for 50 ms: ``gap_s``."""

    gap_s = 0.06

    def __init__(self) -> None:
        self._lines = LineFramer(b"\n", longest=512)
        self._asked = ""
        self._half: list[str] = []
        self._kept: list[str] = []

    def encode(self, command: Command) -> list[bytes]:
        self._asked, self._half = command.text[:1], []
        return [] if command.text == LISTEN else [command.text.encode("ascii") + b"\n"]

    def expects_reply(self, command: Command) -> bool:
        return command.text != GIVE_UP

    def listens(self, command: Command) -> bool:
        return command.text == LISTEN

    def urgent(self, command: Command) -> bool:
        return command.text in (ABORT, CELL_OFF, GIVE_UP)

    def probe(self, command: Command) -> Command:
        """The serial number is answered like nothing else; after a lost serial number, the firmware is."""
        return Command("t" if command.text == "i" else "i")

    def reset(self) -> None:
        self._lines.reset()
        self._half, self._kept = [], []

    def feed(self, data: bytes | list[bytes]) -> Answer | None:
        """The answer; of LISTEN every whole line that came. Raises ProtocolError for what is none."""
        self._lines.push(data if isinstance(data, bytes) else b"".join(data))
        while (line := self._lines.pop()) is not None:
            text = line.removesuffix(b"\r").decode("ascii", "replace")
            if self._asked == "":
                self._kept.append(text)
            elif (answer := self._answer(text)) is not None:
                return answer
        if self._asked or not self._kept:
            return None
        kept, self._kept = self._kept, []
        return Answer(tuple(kept))

    def _answer(self, text: str) -> Answer | None:
        if self._asked == "e" and (started := STARTED.fullmatch(text)):
            self._kept = [started[1]] if started[1] else []  # older firmware says the first line in the same breath
            return Answer(wrong=started[2] or "")
        if self._asked == "Z" and (aborted := ABORTED.fullmatch(text)):
            return Answer(wrong=aborted[1] or "")
        if self._asked == "t" and (self._half or FIRMWARE.fullmatch(text)):
            self._half.append(text)
            if text.endswith("*") and len(self._half) > 1:
                return Answer(tuple(self._half))
            if len(self._half) < 2:
                return None
        if self._asked == "i" and SERIAL.fullmatch(text):
            return Answer((text,))
        if (refused := REFUSED.fullmatch(text)) and refused[1] == self._asked:
            return Answer(wrong=refused[2])
        if STREAM.fullmatch(text):
            if self._asked == "e" and (text or self._kept):  # its echo is lost, and of a short script this is all
                self._kept.append(text)
            return None
        raise ProtocolError(f"{shown(text.encode())} is no answer to {self._asked!r}")


def package(text: str) -> list[Variable]:
    """The variables of one line that begins with P. Raises ProtocolError for what is none."""
    found = []
    for part in text[1:].split(";"):
        match = VARIABLE.fullmatch(part)
        if match is None:
            raise ProtocolError(f"{shown(part.encode())} is no variable of a package")
        kind, digits, prefix, more = match.groups()
        number = None if digits is None else (int(digits, 16) - OFFSET) * PREFIXES[prefix]
        status = next((int(one[1:], 16) for one in more.split(",") if len(one) == 2 and one[0] == "1"), 0)
        found.append(Variable(kind, number, status, part))
    return found


def literal(value: float) -> str:
    """A number as a script takes it: whole, with the coarsest prefix that loses nothing to a billionth."""
    for prefix in ("", "m", "u"):
        scaled = value / PREFIXES[prefix or " "]
        if abs(scaled - round(scaled)) <= 1e-9 * abs(scaled):
            return f"{round(scaled)}{prefix}"
    return f"{round(value / PREFIXES['n'])}n"
