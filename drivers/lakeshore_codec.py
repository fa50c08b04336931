"""The wire of Lake Shore temperature controllers: messages of several questions, and what answers what.

Source: as drivers/lakeshore.py, which has what it means for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, shown

NUMBER = r"[-+]?\d{1,6}(?:\.\d{1,6})?(?:E[-+]\d{1,2})?"
# The answer to one question, by its first word (or by all of it); every message ends with the event register.
ANSWERS = {
    "*IDN?": r"LSCI,[ -:<-~]+",
    "KRDG?": NUMBER,
    "KRDG? 0": rf"{NUMBER}(?:,{NUMBER})*",
    "RDGST?": r"\d{3}",
    "SETP?": NUMBER,
    "RANGE?": r"[0-3]",
    "RAMP?": rf"[01],{NUMBER}",
    "RAMPST?": r"[01]",
    "HTR?": NUMBER,
    "HTRST?": r"[0-2]",
    "OUTMODE?": r"\d,\d{1,2},[01]",
    "TLIMIT?": NUMBER,
    "*ESR?": r"\d{3}",
}
SENSOR = {1: "invalid reading", 16: "temperature under its range", 32: "temperature over its range",
          64: "sensor at zero", 128: "sensor over its range"}  # fmt: skip
HEATER = {1: "its circuit is open", 2: "its circuit is shorted"}
# The event register: bit 5 not understood, bit 4 not possible.
REFUSED = 32 | 16


@dataclass(frozen=True, slots=True)
class Command:
    """One message: commands and questions joined by ``;``. The event register is asked for by the codec."""

    text: str


class LakeShoreCodec(LineCodec):
    """Lines of answers; each has the shape that its question asks for. ``gap_s``: manual 6.3.5."""

    gap_s = 0.05

    def __init__(self) -> None:
        super().__init__(b"\r\n", longest=512)
        self._pattern = re.compile("")
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = f"{command.text};*ESR?"
        words = [one if one in ANSWERS else one.partition(" ")[0] for one in self._asked.split(";")]
        self._pattern = re.compile(";".join(f"({ANSWERS[word]})" for word in words if "?" in word))
        return [self._asked.encode("ascii") + b"\n"]

    def urgent(self, command: Command) -> bool:
        return command.text.startswith("RANGE ") and command.text.endswith(",0")

    def probe(self, command: Command) -> Command:
        """The identity is answered like nothing else; after a lost identity, two answers in one line are."""
        return Command("HTRST? 1;RANGE? 1") if command.text == "*IDN?" else Command("*IDN?")

    def reply(self, line: bytes) -> tuple[str, ...]:
        """The answers, the event register last. Raises ProtocolError for what answers another message."""
        match = self._pattern.fullmatch(line.decode("ascii", "replace"))
        if match is None:
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return match.groups()


def bits(number: int, names: dict[int, str]) -> str:
    """What the set bits of a register mean."""
    return ", ".join(name for bit, name in names.items() if number & bit) or f"status {number}"
