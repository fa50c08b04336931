"""The wire of New Era syringe pumps: basic and safe-mode frames, what answers what, four-digit numbers.

Source: NE-1000 user manual, publication 1200-01, firmware V3.9 ("manual"), section 10; drivers/new_era.py has what it
means for a driver.
"""

import binascii
import re
from dataclasses import dataclass

from labloop.bench import ProtocolError, SpecError, shown

STX, ETX = b"\x02", b"\x03"
NUMBER = r"\d+\.?\d*"
# The data of an answer, by the question; a command that sets or does something has none.
ANSWERS = {
    "VER": re.compile(r"NE\d+X?\d*V\d+\.\d+"),
    "DIA": re.compile(rf"({NUMBER})"),
    "RAT": re.compile(rf"({NUMBER})(UM|MM|UH|MH)"),
    "VOL": re.compile(rf"({NUMBER})(UL|ML)"),
    "DIR": re.compile(r"(INF|WDR)"),
    "DIS": re.compile(rf"I({NUMBER})W({NUMBER})(UL|ML)"),
    "PHN": re.compile(r"(\d{1,2})"),
    "FUN": re.compile(r"([A-Z]{3})\d*"),
    "SAF": re.compile(r"(\d{1,3})"),
}
NOTHING = re.compile("")
ERROR = re.compile(r"\?(NA|OOR|COM|IGN|)")
BODY = re.compile(r"(\d\d)(?:A\?([RSTEO])|([IWSPTUX]))(.*)", re.DOTALL)

ALARMS = {
    "R": ("reset", "it was switched off and on: its volume counters are lost"),
    "S": ("stall", "the motor stalled: the syringe is blocked, empty or at its end"),
    "T": ("watchdog", "its watchdog stopped it, because nobody spoke to it in time"),
    "E": ("program", "its pumping program has an error"),
    "O": ("program", "its pumping program has no such phase"),
}
# Errors that only a command which reached it damaged can be answered with: nothing unknown is ever said to it.
DAMAGED = ("", "COM")
ERRORS = {
    "": "it does not know this command",
    "NA": "not now: it is pumping, or its program is in another phase",
    "OOR": "the value is out of its range",
    "COM": "the command reached it damaged",
    "IGN": "it ignored the command, because a new phase began at that moment",
}

# Four digits: the largest number on the wire.
MOST = 9999.0
UL = {"UL": 1.0, "ML": 1000.0}
UL_MIN = {"UM": 1.0, "UH": 1.0 / 60.0, "MM": 1000.0, "MH": 1000.0 / 60.0}


@dataclass(frozen=True, slots=True)
class Command:
    """One command's text: ``DIS`` asks, ``DIA14.43`` sets, ``RUN`` does, ``""`` only asks for the status."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``alarm``: its letter; ``error``: what follows the question mark (None: no error)."""

    status: str
    data: str = ""
    alarm: str = ""
    error: str | None = None


class NewEraCodec:
    """Basic and safe-mode frames of one address. ``safe``: only answers with a checksum are believed.

    ``unheard``: how many commands went out whose answer was not heard, each of which may have said an alarm.
    """

    def __init__(self, address: int) -> None:
        self.address = address
        self.safe = False
        self.alarm = ""  # the last one said, in answer to whatever was asked: a probe of the line included
        self.unheard = 0
        self._asked = ""
        self._rest = b""

    def encode(self, command: Command) -> list[bytes]:
        self._asked = command.text
        self.unheard += 1
        text = f"{self.address}{command.text}".encode("ascii")
        if not self.safe:
            return [text + b"\r"]
        return [STX + bytes([len(text) + 4]) + text + binascii.crc_hqx(text, 0).to_bytes(2, "big") + ETX]

    def expects_reply(self, command: Command) -> bool:
        return True

    def urgent(self, command: Command) -> bool:
        return command.text == "STP"

    def probe(self, command: Command) -> Command:
        """VER is answered like nothing else; after a lost VER, DIA is."""
        return Command("DIA") if command.text == "VER" else Command("VER")

    def reset(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | list[bytes]) -> Reply | None:
        self._rest += data if isinstance(data, bytes) else b"".join(data)
        while (body := self._frame()) is not None:
            match = BODY.fullmatch(body.decode("ascii", "replace"))
            if match is None:
                raise ProtocolError(f"not an answer of a New Era pump: {shown(body)}")
            address, alarm, status, text = match.groups()
            if int(address) == self.address:
                return self._reply(alarm or "", status or "", text, body)
        return None

    def overhears(self, data: bytes | list[bytes]) -> None:
        """Take the alarm out of an answer that nobody waits for any more."""
        while self._rest or data:
            try:
                if self.feed(data) is None:
                    return
            except ProtocolError:  # what makes no sense was taken out, and stays unheard
                pass
            data = b""

    def _reply(self, alarm: str, status: str, text: str, body: bytes) -> Reply:
        error = ERROR.fullmatch(text)
        fits = alarm or error or ANSWERS.get(self._asked, NOTHING).fullmatch(text)
        # A late answer to an earlier question is none to this one, and was heard all the same.
        if fits or any(answer.fullmatch(text) for answer in (NOTHING, *ANSWERS.values())):
            self.unheard = max(0, self.unheard - 1)
        if not fits:
            raise ProtocolError(f"{shown(body)} is no answer to {self._asked!r}")
        if alarm:
            self.alarm = alarm
            return Reply(status="S", alarm=alarm)
        return Reply(status=status, error=error[1]) if error else Reply(status=status, data=text)

    def _frame(self) -> bytes | None:
        """The inside of the next frame, without framing and checksum."""
        if not self._rest.startswith(STX) and self._rest:
            noise, start, rest = self._rest.partition(STX)
            self._rest = start + rest
            raise ProtocolError(f"bytes that belong to no frame: {shown(noise)}")
        if len(self._rest) < 2:
            return None
        # A basic frame goes on with an address digit (30 hex and up), a safe one with its length (below 30 hex).
        if self._rest[1] < 0x30:
            return self._safe_frame(length=self._rest[1] + 1)
        frame, end, rest = self._rest.partition(ETX)
        if not end:
            if len(frame) > 64:  # the longest answer has 25 characters
                self._rest = b""
                raise ProtocolError(f"no end of frame in {shown(frame)}")
            return None
        self._rest = rest
        if self.safe and self._asked != "SAF0":  # whose answer is a basic frame already
            raise ProtocolError(f"an answer without a checksum in safe mode: {shown(frame)}")
        return frame[1:]

    def _safe_frame(self, length: int) -> bytes | None:
        if length < 8:  # 02, length, three characters at least, two of checksum, 03
            noise, self._rest = self._rest[:2], self._rest[2:]
            raise ProtocolError(f"a safe-mode frame cannot begin with {shown(noise)}")
        if len(self._rest) < length:
            return None
        frame, self._rest = self._rest[:length], self._rest[length:]
        text, crc = frame[2:-3], int.from_bytes(frame[-3:-1], "big")
        if frame[-1:] != ETX or binascii.crc_hqx(text, 0) != crc:
            raise ProtocolError(f"the checksum of {shown(frame)} is wrong")
        return text


@dataclass(frozen=True, slots=True)
class Volumes:
    """What DIS says, in uL; ``resolution`` is one unit of its last digit, the coarser of the two."""

    infused: float
    withdrawn: float
    resolution: float


def number(value: float) -> str:
    """A number as the pump takes it: four digits, three behind the point (manual 10.2.1)."""
    for decimals in (3, 2, 1, 0):
        text = f"{value:.{decimals}f}"
        if len(text.replace(".", "")) <= 4:
            return text
    raise SpecError(f"{value:g} has more than the four digits that a New Era pump takes")


def rate(rate_ul_min: float) -> tuple[str, str]:
    """The number and the unit that say a rate best in four digits; uL/min when it is as good as any."""
    best: tuple[float, str, str] | None = None
    for unit, factor in UL_MIN.items():
        if rate_ul_min / factor > MOST:
            continue
        text = number(rate_ul_min / factor)
        off = abs(float(text) * factor / rate_ul_min - 1.0)
        if best is None or off < best[0] - 1e-5:
            best = (off, text, unit)
    if best is None:
        raise SpecError(f"a rate of {rate_ul_min:g} uL/min cannot be said in four digits")
    return best[1], best[2]


def volumes(data: str) -> Volumes:
    """The data of an answer to DIS (``I501.4W0.000UL``) in uL. Raises ProtocolError."""
    match = ANSWERS["DIS"].fullmatch(data)
    if match is None:
        raise ProtocolError(f"DIS was answered with {data!r}")
    factor = UL[match[3]]
    last_digit = max(10.0 ** -len(text.partition(".")[2]) for text in (match[1], match[2]))
    return Volumes(float(match[1]) * factor, float(match[2]) * factor, last_digit * factor)
