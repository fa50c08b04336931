"""Modbus RTU on the controller's side: bytes in, whole requests out; written from the Modbus specification V1.02.

A request ends where its function says (03 and 06: 8 bytes; 16: 9 and the bytes that it counts), or, when the line was
silent, wherever it stands: then what came is dropped. The specification's silence is 3.5 characters; here it is GAP_S,
because a host's bytes may come in two portions. A checksum that is wrong makes the request unheard.
"""

GAP_S = 0.05
LONGEST = 256


def crc16(data: bytes) -> bytes:
    """The checksum, low byte first (polynomial 0xA001, start 0xFFFF)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


def framed(unit: int, body: bytes) -> bytes:
    """A frame: unit, body, checksum."""
    frame = bytes([unit]) + body
    return frame + crc16(frame)


class Frames:
    """``take`` gives (unit, function and data) of a whole request, or None: more is needed."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._came = bytearray()
        self._heard_s = 0.0

    def take(self, byte: int, now_s: float) -> tuple[int, bytes] | None:
        if now_s - self._heard_s > self._gap_s:
            self._came.clear()
        self._heard_s = now_s
        if len(self._came) < LONGEST:  # what is longer is no request; only silence ends it
            self._came.append(byte)
        length = self._length()
        if length is None or len(self._came) < length:
            return None
        frame = bytes(self._came)
        self._came.clear()
        return (frame[0], frame[1:-2]) if crc16(frame[:-2]) == frame[-2:] else None

    def _length(self) -> int | None:
        if len(self._came) < 2:
            return None
        if self._came[1] != 16:
            return 8
        return 9 + self._came[6] if len(self._came) > 6 else None

    def forget(self) -> None:
        self._came.clear()
