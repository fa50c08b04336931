"""How the NE-1000 writes: frames and numbers (manual 1200-01, sections 10.2.1 to 10.2.5)."""

import binascii
import re
from dataclasses import dataclass

STX, ETX, CR = 0x02, 0x03, 0x0D
PACKET_GAP_S = 0.5
LINE_LENGTH = 80
SHORTEST_PACKET = 4


class Refusal(Exception):
    """An error in the pump's words: ?, ?NA, ?OOR."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one frame said, plain and in capitals. ``sound``: its CRC and its end are right."""

    text: str
    sound: bool = True


class Frames:
    """Bytes in, frames out; basic and safe ones in any order. ``gap_s``: a safe frame with such a pause is dropped."""

    def __init__(self, gap_s: float = PACKET_GAP_S) -> None:
        self._gap_s = gap_s
        self._line = bytearray()
        self._byte_s = 0.0

    def forget(self) -> None:
        self._line.clear()

    def take(self, byte: int, now_s: float) -> Heard | None:
        line = self._line
        if line and line[0] == STX and now_s - self._byte_s > self._gap_s:
            line.clear()
        self._byte_s = now_s
        in_packet = bool(line) and line[0] == STX
        if byte == STX and not in_packet:
            line[:] = [STX]
        elif in_packet:
            line.append(byte)
            return self._packet()
        elif byte == CR:
            text = plain(bytes(line))
            line.clear()
            return Heard(text)
        elif len(line) < LINE_LENGTH:
            line.append(byte)
        return None

    def _packet(self) -> Heard | None:
        line = self._line
        if line[1] < SHORTEST_PACKET:
            line.clear()
        elif len(line) == line[1] + 1:
            payload, crc, end = bytes(line[2:-3]), int.from_bytes(line[-3:-1], "big"), line[-1]
            line.clear()
            return Heard(plain(payload), sound=end == ETX and crc == binascii.crc_hqx(payload, 0))
        return None


def framed(text: str, safe: bool) -> bytes:
    payload = text.encode("ascii")
    if not safe:
        return bytes([STX]) + payload + bytes([ETX])
    crc = binascii.crc_hqx(payload, 0).to_bytes(2, "big")
    return bytes([STX, len(payload) + SHORTEST_PACKET]) + payload + crc + bytes([ETX])


def plain(data: bytes) -> str:
    """Without spaces and control characters, in capitals; what is not ASCII becomes a character no command has."""
    return "".join(chr(b) if 0x20 < b < 0x7F else "~" for b in data if b > 0x20 and b != 0x7F).upper()


def number(value: float) -> str:
    """Four digits and a point: 0.123, 14.43, 501.4, 1000."""
    for decimals, limit in ((3, 10.0), (2, 100.0), (1, 1000.0)):
        if round(value, decimals) < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}."


def parse_number(text: str) -> float:
    """Raises Refusal: ``?`` for no number, ``?OOR`` for more than four digits or three decimals."""
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", text):
        raise Refusal("?")
    whole, _, decimals = text.partition(".")
    if len(whole) + len(decimals) > 4 or len(decimals) > 3:
        raise Refusal("?OOR")
    return float(text)
