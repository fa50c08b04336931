"""The two protocols of a Cavro pump on its line (XLP 6000 manual, 734237-C, p. 3-3 to 3-8): bytes in, messages out.

    DT     / address text CR                            ->  / 0 status data ETX CR LF
    OEM    STX address sequence text ETX checksum       ->  STX 0 status data ETX checksum

The checksum is all bytes before it, XORed. The sequence byte is 0011 R SSS: another number than the last block's, and R
in a block that is sent again because no answer came. A block that is repeated and has been done is answered and not
done again; with another number it is new. A pump takes the protocol that it hears first, and ignores the other
until it is switched off and on. Between messages everything is passed over.

Our readings, not the manual's: a block whose checksum is wrong is not answered (the host asks again after 100 ms); the
answer to a block that is repeated is the one that it had.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Any

SLASH, CR, STX, ETX = 0x2F, 0x0D, 0x02, 0x03
LONGEST = 255
DT, OEM = "DT", "OEM"
REPEATED, SEQUENCE = 0x08, 0x07


@dataclass(frozen=True, slots=True)
class Message:
    """``sequence``: of an OEM block; 0 in DT."""

    address: str
    text: str
    sequence: int = 0
    repeated: bool = False


class Frames:
    """What a pump hears, byte by byte, and how it frames what it says."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """It was switched off and on."""
        self.protocol = ""
        self._last, self._answer = -1, b""
        self._line: bytearray | None = None
        self._block: bytearray | None = None

    def feed(self, byte: int) -> Message | None:
        """The message that this byte ends."""
        heard = self._hear_dt(byte) if self.protocol in ("", DT) else None
        return heard or (self._hear_oem(byte) if self.protocol in ("", OEM) else None)

    def _hear_dt(self, byte: int) -> Message | None:
        if byte == SLASH:
            self._line = bytearray()
        elif byte == CR and self._line is not None:
            line, self._line = self._line.decode("ascii", "replace"), None
            if line:
                self.protocol = DT
                return Message(line[0], line[1:])
        elif self._line is not None:
            self._line.append(byte)
            if len(self._line) > LONGEST:
                self._line = None  # too long for its buffer: passed over until the next one begins
        return None

    def _hear_oem(self, byte: int) -> Message | None:
        block = self._block
        if block and block[-1] == ETX:
            self._block = None
            return self._whole(bytes(block), byte)
        if byte == STX:
            self._block = bytearray([STX])
        elif block is not None:
            block.append(byte)
            if len(block) > LONGEST + 3:
                self._block = None
        return None

    def _whole(self, block: bytes, checksum: int) -> Message | None:
        if len(block) < 4 or checksum != reduce(xor, block) or block[2] & 0xF0 != 0x30:
            return None
        self.protocol = OEM
        text = block[3:-1].decode("ascii", "replace")
        return Message(chr(block[1]), text, block[2] & SEQUENCE, bool(block[2] & REPEATED))

    def again(self, message: Message) -> bytes:
        """The answer that a repeated block had; nothing for a new one, which is to be done."""
        known = message.repeated and message.sequence == self._last
        self._last = message.sequence
        return self._answer if known else b""

    def answer(self, status: int, data: str) -> bytes:
        if self.protocol == DT:
            return b"/0" + bytes([status]) + data.encode("ascii") + b"\x03\r\n"
        block = bytes([STX, 0x30, status]) + data.encode("ascii") + bytes([ETX])
        self._answer = block + bytes([reduce(xor, block)])
        return self._answer

    def state(self) -> Mapping[str, Any]:
        return {"protocol": self.protocol, "last": self._last, "answer": self._answer.decode("latin-1")}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.protocol, self._last = state["protocol"], state["last"]
        self._answer = state["answer"].encode("latin-1")
