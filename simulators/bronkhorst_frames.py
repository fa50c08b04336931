"""ProPar frames on the instrument's side, written from manual 9.17.027: bytes in, messages out, and answers framed.

    binary    10 02 number node length body 10 03      each 10 between start and end is doubled
    ASCII     :LLNNbody CR LF                          in hexadecimal; LL counts the node, too

Both are taken at any time, and answered alike. Binary answers have the number of their question. A frame that
contradicts itself is answered with the error 04.
"""

from dataclasses import dataclass

DLE, STX, ETX = 0x10, 0x02, 0x03
SPELLING = b"0123456789ABCDEFabcdef\r\n"
LONGEST = 258  # number, node, length, and 255 bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """A message. ``number``: None in ASCII. ``sound``: False when its length is not what it says."""

    number: int | None
    node: int
    body: bytes
    sound: bool = True


class Frames:
    """``take`` gives a whole message, or None: more is needed."""

    def __init__(self) -> None:
        self._inside = bytearray()
        self._at = ""  # "": outside; "10": perhaps at a start; "in", "in 10": in a binary frame; ":": in ASCII

    def take(self, byte: int) -> Heard | None:
        if self._at == ":" and byte in SPELLING:
            return self._ascii(byte)
        if self._at in ("in", "in 10"):
            return self._binary(byte)
        if self._at == "10" and byte == STX:
            self._begin("in")
        elif byte == ord(":"):
            self._begin(":")
        else:
            self._at = "10" if byte == DLE else ""
        return None

    def _begin(self, at: str) -> None:
        self._inside.clear()
        self._at = at

    def _binary(self, byte: int) -> Heard | None:
        if self._at == "in" and byte == DLE:
            self._at = "in 10"
            return None
        if self._at == "in 10" and byte != DLE:
            inside = bytes(self._inside)
            self._begin("in" if byte == STX else "")
            return _heard(inside) if byte == ETX else None
        self._at = "in"
        self._inside.append(byte)
        if len(self._inside) > LONGEST:
            self._begin("")
        return None

    def _ascii(self, byte: int) -> Heard | None:
        if byte != ord("\n"):
            self._inside.append(byte)
            if len(self._inside) > 2 * LONGEST:
                self._begin("")
            return None
        text = bytes(self._inside).decode("ascii")
        self._begin("")
        return _spelled(text)

    def forget(self) -> None:
        self._begin("")


def _heard(inside: bytes) -> Heard | None:
    if len(inside) < 4:
        return None
    number, node, length, body = inside[0], inside[1], inside[2], inside[3:]
    return Heard(number, node, body, sound=length == len(body))


def _spelled(text: str) -> Heard | None:
    try:
        content = bytes.fromhex(text.removesuffix("\r")) if text.endswith("\r") else b""
    except ValueError:
        return None
    if len(content) < 3:
        return None
    return Heard(None, content[1], content[2:], sound=content[0] == len(content) - 1)


def framed(heard: Heard, node: int, body: bytes) -> bytes:
    """An answer in the form of its question."""
    if heard.number is None:
        return b":" + (bytes([len(body) + 1, node]) + body).hex().upper().encode("ascii") + b"\r\n"
    inside = bytes([heard.number, node, len(body)]) + body
    return bytes([DLE, STX]) + inside.replace(b"\x10", b"\x10\x10") + bytes([DLE, ETX])
