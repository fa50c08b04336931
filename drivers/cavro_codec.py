"""The wire of Cavro pumps: the DT protocol's command strings and answers.

Sources: XLP 6000 operating manual 734237-C, chapter 3 (p. 3-8, 3-41 to 3-50), XP 3000 manual 725730C (p. 3-14, 3-46);
drivers/cavro.py has what they mean for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, SpecError, shown

# The data of an answer, by the question; what does or sets something has none, and neither has Q.
ANSWERS = {
    "?": re.compile(r"\d{1,6}"),
    "?6": re.compile(r"\d{1,2}|[ioeb]"),
    "?12": re.compile(r"\d{1,4}"),
    "&": re.compile(r"(?=.*[A-Za-z])[ -~]{3,60}"),
}
NOTHING = re.compile("")
# On RS-485 an FF may stand in front, which brings the line into step.
ANSWER = re.compile(rb"\xff*/0([@-O`-o])([ -~]*)")
BUSY = 0x20  # bit 5 is 0 while it is busy
# The number in an answer's low four bits: a word that a campaign may list, and what it means (XP 3000 p. 3-46).
ERRORS = {
    1: ("not_initialized", "its initialization failed"),
    2: ("refused", "it does not know this command"),
    3: ("refused", "a number is out of its range"),
    4: ("refused", "the commands do not go together"),
    5: ("fluid", "it detects no liquid"),
    6: ("memory", "its memory failed"),
    7: ("not_initialized", "it was not initialized since it was switched on. Run its action initialize"),
    9: ("stall", "the plunger was blocked. Run its action initialize"),
    10: ("valve", "the valve was blocked. Run its action initialize"),
    11: ("refused", "the plunger may not move with the valve in this position"),
    15: ("busy", "it was still moving"),
}
# Reports need no R; T must have none: R would take a program up again that T has cut short (p. 3-42).
WITHOUT_R = ("?", "?6", "?12", "&", "Q", "T")


@dataclass(frozen=True, slots=True)
class Command:
    """A question of ANSWERS, ``Q``, ``T``, or a string of commands that ends with ``R`` and is run at once."""

    text: str

    def __post_init__(self) -> None:
        if self.text not in WITHOUT_R and not re.fullmatch(r"(?:[A-QSU-Za-z][\d,]*)+R", self.text):
            raise SpecError(f"{self.text!r} is nothing that is said to a Cavro pump")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: whether it is busy, the number of an error (0: none), and the data."""

    busy: bool
    error: int
    data: str


class CavroCodec(LineCodec):
    """One pump, told from others by its switch (0 to 14)."""

    def __init__(self, switch: int) -> None:
        self._address = chr(ord("1") + switch)
        super().__init__(b"\x03\r\n", longest=96)
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [f"/{self._address}{command.text}\r".encode("ascii")]

    def urgent(self, command: Command) -> bool:
        return command.text == "T"

    def probe(self, command: Command) -> Command:
        """The version is answered like nothing else; after a lost version, the position is."""
        return Command("?") if command.text == "&" else Command("&")

    def reply(self, line: bytes) -> Reply:
        """The answer. Raises ProtocolError for what is none, or answers another question."""
        match = ANSWER.fullmatch(line)
        if match is None:
            raise ProtocolError(f"{shown(line)} is no answer of a Cavro pump")
        status, said = match[1][0], match[2].decode("ascii")
        if not ANSWERS.get(self._asked, NOTHING).fullmatch(said):
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return Reply(busy=not status & BUSY, error=status & 0x0F, data=said)
