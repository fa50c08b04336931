"""The wire of IKA plates: NAMUR commands, and what answers what.

Source: as drivers/ika.py, which has what it means for a driver.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, shown

NUMBER = r"-?\d{1,4}(?:\.\d+)?"
ECHO = re.compile(rf"({NUMBER})")
NAME = re.compile(r"[A-Z][ -~]{1,30}")


@dataclass(frozen=True, slots=True)
class Command:
    """One message's text: ``IN_PV_1``, ``OUT_SP_1 40.0``, ``START_1``."""

    text: str

    @property
    def asks(self) -> bool:
        """Whether it is answered: questions, and the commands with an @, which are echoed."""
        return self.text.startswith(("IN_", "STATUS_")) or "@" in self.text


class IkaCodec(LineCodec):
    """Lines of text. A number must carry the channel that was asked for; a name is a word."""

    def __init__(self) -> None:
        super().__init__(b"\r\n", longest=128)
        self._asked = ""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        return [command.text.encode("ascii") + b" \r\n"]

    def expects_reply(self, command: Command) -> bool:
        return command.asks

    def urgent(self, command: Command) -> bool:
        return command.text.startswith("STOP_")

    def probe(self, command: Command) -> Command:
        """The name is answered like nothing else; after a lost name, the safety limit's channel is."""
        return Command("IN_SP_3") if command.text in ("IN_NAME", "IN_TYPE") else Command("IN_NAME")

    def reply(self, line: bytes) -> str:
        """The answer without its channel and blanks. Raises ProtocolError for what answers another question."""
        text = line.decode("ascii", "replace").strip()
        match = self._pattern().fullmatch(text)
        if match is None:
            raise ProtocolError(f"{shown(line)} is no answer to {self._asked!r}")
        return match[1] if match.groups() else match[0]

    def _pattern(self) -> re.Pattern[str]:
        if self._asked in ("IN_NAME", "IN_TYPE"):
            return NAME
        if "@" in self._asked:
            return ECHO
        return re.compile(rf"({NUMBER}) {self._asked[-1:]}")
