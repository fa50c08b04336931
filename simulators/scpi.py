"""SCPI as an instrument reads it: headers in long and short form, messages of several units, numbers, the error queue.

message   unit ; unit ; ...   A unit that begins with ":" starts at the root, another one goes on where the last
          stood (":SENS:CURR:RANG 1;NPLC 2"); "*" commands leave that place alone.
header    as the manual writes it, ":SENSe[1]:CURRent[:DC]:NPLCycles": capitals are the short form, the whole word
          the long one, nothing between; what stands in brackets may be left out. No case.
query     the header with "?" right after it
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# IEEE 488.2 and the texts of Keithley's table B-1.
ERRORS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -140: "Character data error",
    -221: "Settings conflict",
    -222: "Parameter data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -230: "Data corrupt or stale",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    802: "OUTPUT blocked by output enable",
    803: "Not permitted with OUTPUT off",
    822: "Too small for sense range",
    823: "Invalid with source read-back on",
    824: "Cannot exceed compliance range",
    830: "Invalid with INF ARM:COUNT",
}
QUEUE = 10
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,2})?")


class Refused(Exception):
    """A unit that is not done: its number goes into the error queue, and the rest of its message is thrown away."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(ERRORS[code])


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a message: whole header from the root, whether it asks, its parameters as written."""

    header: str
    asks: bool
    parameters: tuple[str, ...]


def units(message: str) -> Iterator[Unit]:
    """The units of one message, in order. Raises Refused at the one that cannot be read."""
    place = ""
    for text in parted(message, ";"):
        text = text.strip()
        if not text:
            continue  # pymeasure ends its messages with ";"
        match = re.fullmatch(r"(\*?[A-Za-z:][A-Za-z0-9_:]*)(\??)(?:\s+(.*))?", text, re.DOTALL)
        if match is None:
            raise Refused(-113 if re.match(r"\*?[A-Za-z:]", text) else -102)
        written, asks, rest = match[1], match[2] == "?", match[3]
        if written.startswith("*"):
            header = written
        else:
            header = written if written.startswith(":") else f"{place}:{written}"
            place = header.rpartition(":")[0]
        yield Unit(header, asks, tuple(one.strip() for one in parted(rest, ",")) if rest and rest.strip() else ())


def parted(text: str, at: str) -> list[str]:
    """Split at a character, but not inside quotes."""
    parts, quote = [""], ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        if character == at and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def pattern(header: str) -> re.Pattern[str]:
    """A header as the manual writes it, as a pattern for what a host writes."""
    found = re.sub(
        r"([A-Z0-9*]+)([a-z]*)", lambda word: f"{word[1]}(?:{word[2].upper()})?" if word[2] else word[1], header
    )
    found = found.replace("*", r"\*").replace("[", "(?:").replace("]", ")?")
    return re.compile(found, re.IGNORECASE)


def number(parameters: Sequence[str], low: float, high: float, default: float) -> float:
    """The one number a unit has. Raises Refused."""
    text = one(parameters)
    named = {"MIN": low, "MINIMUM": low, "MAX": high, "MAXIMUM": high, "DEF": default, "DEFAULT": default}
    if text.upper() in named:
        return named[text.upper()]
    if not NUMBER.fullmatch(text):
        raise Refused(-104)
    value = float(text)
    if not low <= value <= high:
        raise Refused(-222)
    return value


def truth(parameters: Sequence[str]) -> bool:
    """0, 1, ON or OFF; any other number than 0 is 1. Raises Refused."""
    text = one(parameters).upper()
    if text in ("ON", "OFF"):
        return text == "ON"
    if not NUMBER.fullmatch(text):
        raise Refused(-104)
    return round(float(text)) != 0


def choice(parameters: Sequence[str], words: Sequence[str]) -> str:
    """One of ``words`` (written "HIMPedance"), in its short form. Raises Refused."""
    text = one(parameters).strip("'\"")
    for word in words:
        if pattern(word).fullmatch(text):
            return "".join(character for character in word if not character.islower())
    raise Refused(-224)


def text_of(parameters: Sequence[str], longest: int) -> str:
    """A text between quotes. Raises Refused."""
    written = one(parameters)
    if len(written) < 2 or written[0] != written[-1] or written[0] not in "'\"":
        raise Refused(-104)
    if len(written) - 2 > longest:
        raise Refused(-223)
    if not written.isascii():
        raise Refused(-101)
    return written[1:-1]


def one(parameters: Sequence[str]) -> str:
    if len(parameters) != 1:
        raise Refused(-108 if parameters else -109)
    return parameters[0]


class ErrorQueue:
    """First in, first out; when it is full the last place says so."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def add(self, code: int) -> None:
        if len(self.codes) == QUEUE:
            self.codes[-1] = -350
        else:
            self.codes.append(code)

    def take(self) -> str:
        return said(self.codes.pop(0) if self.codes else 0)

    def take_all(self) -> str:
        codes, self.codes = self.codes or [0], []
        return ",".join(said(code) for code in codes)


def said(code: int) -> str:
    return f'{"+" if code > 0 else ""}{code},"{ERRORS[code]}"'
