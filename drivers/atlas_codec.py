"""The wire of Atlas Scientific's EZO circuits in UART mode: lines that end with CR.

Source: EZO pH datasheet V6.1; drivers/atlas.py has what it means for a driver. With response codes on every command
ends with ``*OK`` or ``*ER``; a question's own line comes before it and names what was asked. Between them stand
readings (continuous mode) and what the circuit says of itself: ``*RS *RE *UV *OV *SL``.
"""

import re
from dataclasses import dataclass

from labloop.bench import LineCodec, ProtocolError, shown

READING = re.compile(r"-?\d{1,2}\.\d{3}")
SAID = re.compile(r"\?(\*?[A-Za-z]+)((?:,[!-+\--~ ]*)*)")
# What is left of a line whose beginning was thrown away as stale: of a reading, or of the ``*OK`` behind an answer.
TAIL = re.compile(r"\d?\.?\d{0,3}|O?K")
OF_ITSELF = {"*RS", "*RE", "*UV", "*OV", "*SL"}
DONE, REFUSED, WOKE = "*OK", "*ER", "*WA"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: ``i``, ``R``, ``T,25.0``, ``T,?``."""

    text: str

    @property
    def asks(self) -> str:
        """The name that its answer begins with ("": it is answered with ``*OK`` alone, or with a reading)."""
        name, _, rest = self.text.partition(",")
        return name.lower() if rest == "?" or name in ("i", "Status") else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """``values``: what stood in its line. ``woke``: it slept, and the command is lost. ``notes``: ``*RS`` and such."""

    values: tuple[str, ...] = ()
    refused: bool = False
    woke: bool = False
    notes: tuple[str, ...] = ()


class EzoCodec(LineCodec):
    """``codes``: whether the response codes are known to be on. Then a line of an answer counts when ``*OK`` is there.

    Until then the line alone counts, and an ``*OK`` that comes behind it is passed over.
    """

    def __init__(self) -> None:
        super().__init__(b"\r", longest=80)
        self.codes = False
        self._asked = Command("i")
        self._values: tuple[str, ...] | None = None
        self._notes: list[str] = []
        self._first = True

    def encode(self, command: Command) -> list[bytes]:
        self._asked, self._values, self._notes, self._first = command, None, [], True
        return [command.text.encode("ascii") + b"\r"]

    def urgent(self, command: Command) -> bool:
        return False

    def probe(self, command: Command) -> Command:
        """Both name what they answer, and change nothing."""
        return Command("Status" if command.text == "i" else "i")

    def reset(self) -> None:
        super().reset()
        self._values, self._notes = None, []

    def reply(self, line: bytes) -> Answer | None:
        """The answer. Raises ProtocolError for a line that is none and that it does not say of itself."""
        text = line.decode("ascii", "replace")
        first, self._first = self._first, False
        if first and not READING.fullmatch(text) and TAIL.fullmatch(text):
            return None
        if text in OF_ITSELF:
            self._notes.append(text)
            return None
        if text == WOKE:
            return self._answer((), woke=True)
        if text == REFUSED:
            return self._answer((), refused=True)
        if text == DONE:
            if self._values is not None or not (self._asked.asks or self._asked.text == "R"):
                return self._answer(self._values or ())
            return None  # behind an answer that was taken before
        if READING.fullmatch(text):
            if self._asked.text != "R":
                return None  # continuous mode
            self._values = (text,)
        elif (said := SAID.fullmatch(text)) and said[1].lower() == self._asked.asks:
            self._values = tuple(said[2].split(",")[1:])
        else:
            raise ProtocolError(f"{shown(text.encode())} is no answer to {self._asked.text!r}")
        return None if self.codes else self._answer(self._values)

    def _answer(self, values: tuple[str, ...], *, refused: bool = False, woke: bool = False) -> Answer:
        answer = Answer(values, refused, woke, tuple(self._notes))
        self._values, self._notes = None, []
        return answer
