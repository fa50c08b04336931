"""The wire of VICI universal actuators.

Source: EUH/EUD/EUT manual, p. 14 to 19; drivers/vici.py has what it means for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, SpecError, shown

# LG0 and LG1: "CP03" and "Position is  = 3", "NP10" and "NP = 10".
ANSWERS = {
    "CP": re.compile(r'(?:CP|Position is) *=? *"?([AB]|\d{1,2})"?'),
    "AM": re.compile(r"AM *=? *([123])"),
    "NP": re.compile(r"NP *=? *(\d{1,2})"),
}
# With IFM1 and IFM2 it tells of each command that acts; that is passed over, whenever it comes.
ACTED = re.compile(r"(?:GO|HM|CW|CC|TO|TT|LRN).*")
PREFIX = re.compile(r"/?[0-9A-Z]")


@dataclass(frozen=True, slots=True)
class Command:
    """A question of ANSWERS, or ``GO`` with a place: A, B, or a number."""

    text: str

    def __post_init__(self) -> None:
        if self.text not in ANSWERS and not re.fullmatch(r"GO(?:[AB]|[1-9]\d?)", self.text):
            raise SpecError(f"{self.text!r} is nothing that is said to a VICI actuator")


class ViciCodec(LineCodec):
    """One actuator; ``prefix``: what stands before each command when it was given an ID, else nothing."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__(b"\r", longest=128)
        self._prefix = prefix
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [f"{self._prefix}{command.text}\r".encode("ascii")]

    def expects_reply(self, command: Command) -> bool:
        """GO has one only with IFM1 and IFM2, and only once the valve has turned."""
        return command.text in ANSWERS

    def urgent(self, command: Command) -> bool:
        return False

    def probe(self, command: Command) -> Command:
        return Command("CP") if command.text != "CP" else Command("AM")

    def reply(self, line: bytes) -> str | None:
        """What was asked for, a number without leading zeros. Raises ProtocolError for what is no answer to it."""
        text = line.decode("ascii", "replace").strip("\n ")
        # Whether an ID is echoed no manual says, and C, A, N, P and G begin answers too: first as it stands.
        readings = (text, text.removeprefix(self._prefix))
        if match := self._matched(readings):
            return match[1].lstrip("0") or "0"
        if not any(ACTED.fullmatch(one) for one in readings):
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return None

    def _matched(self, readings: tuple[str, str]) -> re.Match[str] | None:
        pattern = ANSWERS.get(self._asked)  # what acts has no answer of its own
        return pattern and (pattern.fullmatch(readings[0]) or pattern.fullmatch(readings[1]))
