"""ProPar messages on the instrument's side, written from manual 9.17.027 p. 16 and 22 to 26.

    04 Pp Nn process Nn [length] ...   asks: Pp Nn come back in the answer; 80 in Pp: another process follows, 80 in Nn:
                                       another parameter of this one; 60 in Nn: the type (00 byte, 20 word, 40 float or
                                       long, 60 text, with its length, 0: up to a NUL)
    02 Pp Nn value ...                 the answer
    01 Pp Nn value ...                 sets; 00 00 position is the answer, where position is how much was read
    02 Pp Nn value ...                 sets without an answer

What cannot be done ends the message where it stands: 00 status position. What stood before is done.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

BYTE, WORD, LONG, TEXT = 0x00, 0x20, 0x40, 0x60
MORE = 0x80
COMMAND, PROCESS, PARAMETER, TYPE, VALUE, READ_ONLY, PROTOCOL, WRITE_ONLY = 2, 3, 4, 5, 6, 13, 0x22, 17
FORMATS = {BYTE: ">B", WORD: ">H", LONG: ">f"}

Worth = int | float | str


class Status(Exception):
    """What is answered instead of a value."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status:02X}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter. ``low``/``high``: of a number that is set. ``length``: of a text."""

    kind: int
    get: Callable[[], Worth] | None = None
    put: Callable[[Worth], None] | None = None
    low: float = 0.0
    high: float = 255.0
    length: int = 0
    locked: Callable[[], bool] = field(default=lambda: False)


Table = Mapping[tuple[int, int], Parameter]


class _Reader:
    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 1

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.body):
            raise Status(PROTOCOL)
        self.at += count
        return self.body[self.at - count : self.at]

    def up_to_nul(self) -> bytes:
        end = self.body.find(b"\0", self.at)
        if end < 0:
            raise Status(PROTOCOL)
        return self.take(end + 1 - self.at)[:-1]

    def end(self) -> None:
        if self.at != len(self.body):
            raise Status(PROTOCOL)


def answer_to(body: bytes, table: Table) -> bytes:
    """The body of the answer; none where none is wanted."""
    reader = _Reader(body)
    try:
        if body[0] == 4:
            return _asked(reader, table)
        if body[0] in (1, 2):
            _set(reader, table)
            return bytes([0, 0, reader.at]) if body[0] == 1 else b""
        raise Status(COMMAND)
    except Status as status:
        return bytes([0, status.status, min(reader.at, len(body))]) if body[0] != 2 else b""


def _found(table: Table, process: int, number: int) -> Parameter:
    if (process, number) in table:
        return table[process, number]
    raise Status(PARAMETER if any(process == known for known, _ in table) else PROCESS)


def _asked(reader: _Reader, table: Table) -> bytes:
    out, more = bytearray([2]), True
    while more:
        head = reader.byte()
        out.append(head)
        more, beside = bool(head & MORE), True
        while beside:
            index, process, number = reader.take(3)
            length = reader.byte() if number & TEXT == TEXT else 0
            one = _found(table, process & 0x7F, number & 0x1F)
            if index & TEXT != number & TEXT or one.kind != number & TEXT:
                raise Status(TYPE)
            if one.get is None:
                raise Status(WRITE_ONLY)
            out += bytes([index]) + _packed(one, one.get(), length)
            beside = bool(index & MORE)
    reader.end()
    return bytes(out)


def _set(reader: _Reader, table: Table) -> None:
    more = True
    while more:
        head = reader.byte()
        more, beside = bool(head & MORE), True
        while beside:
            index = reader.byte()
            one = _found(table, head & 0x7F, index & 0x1F)
            if one.kind != index & TEXT:
                raise Status(TYPE)
            value = _unpacked(one, reader)
            if one.put is None or one.locked():
                raise Status(READ_ONLY)
            if not isinstance(value, str) and not one.low <= value <= one.high:
                raise Status(VALUE)
            one.put(value)
            beside = bool(index & MORE)
    reader.end()


def _packed(one: Parameter, value: Worth, length: int) -> bytes:
    if one.kind != TEXT:
        return struct.pack(FORMATS[one.kind], value)
    text = str(value).encode("latin-1")
    return bytes([length]) + text.ljust(length)[:length] if length else b"\0" + text + b"\0"


def _unpacked(one: Parameter, reader: _Reader) -> Worth:
    if one.kind != TEXT:
        value: int | float = struct.unpack(FORMATS[one.kind], reader.take(struct.calcsize(FORMATS[one.kind])))[0]
        return value
    length = reader.byte()
    text = reader.take(length) if length else reader.up_to_nul()
    return text.decode("latin-1")[: one.length]
