"""Bytes to frames, sans-IO: what serial protocols share before their codecs differ.

A framer is fed whatever the line gave, in any portions, and hands out whole frames in order. It never waits and never
guesses: what cannot become a frame raises ProtocolError and is forgotten, and memory is bounded by ``longest``.
"""

from typing import Any

from .errors import ProtocolError

# Longest frame of any instrument we know is a 2400's five-element reading (70 bytes); text answers such as G-code
# settings stay below 1 kB. A line that gives 4 kB without an end is noise (test_framing: an endless line is refused).
LONGEST = 4096


def shown(data: bytes | list[bytes]) -> str:
    """Bytes as they belong in a message: repr, cut to 200 characters, and never written out before they are cut."""
    text = repr(data[:201] if isinstance(data, bytes) else [frame[:201] for frame in data[:201]])
    return text if len(text) <= 200 else text[:197] + "..."


class LineFramer:
    """Frames that end with a terminator (``\\r\\n``, ``\\r``, ``\\n``); the terminator is taken off."""

    def __init__(self, terminator: bytes, longest: int = LONGEST) -> None:
        self._terminator = terminator
        self._longest = longest
        self._rest = b""

    def push(self, data: bytes) -> None:
        """Take in bytes. Raises ProtocolError when a frame grows past ``longest``."""
        self._rest += data
        if len(self._rest) > self._longest and self._terminator not in self._rest[: self._longest]:
            noise, self._rest = self._rest, b""
            raise ProtocolError(f"{len(noise)} bytes without the end of a line: {shown(noise)}")

    def pop(self) -> bytes | None:
        """The next whole frame, or None: more is needed."""
        frame, end, rest = self._rest.partition(self._terminator)
        if not end:
            return None
        self._rest = rest
        return frame

    @property
    def holds(self) -> bool:
        """Whether part of a frame is there."""
        return bool(self._rest)

    def reset(self) -> None:
        """Forget what was half read."""
        self._rest = b""


class LineCodec:
    """What codecs of lines share: each whole line is given to ``reply`` until one is the answer.

    A subclass has ``encode``, ``urgent``, ``probe`` and ``reply``. Every command is answered, unless it knows better.
    """

    def __init__(self, terminator: bytes, longest: int = LONGEST) -> None:
        self._framer = LineFramer(terminator, longest)

    def expects_reply(self, command: Any) -> bool:
        """Whether the instrument answers this at all."""
        return True

    def reset(self) -> None:
        """Forget what was half read."""
        self._framer.reset()

    def feed(self, data: bytes | list[bytes]) -> Any | None:
        """The first reply in what came; None: more is needed. Raises ProtocolError."""
        self._framer.push(data if isinstance(data, bytes) else b"".join(data))
        while (line := self._framer.pop()) is not None:
            if (said := self.reply(line)) is not None:
                return said
        return None

    def reply(self, line: bytes) -> Any | None:
        """What a line says in reply; None: it is passed over. Raises ProtocolError for what answers nothing asked."""
        raise NotImplementedError


class EnclosedFramer:
    """Frames between a start and an end byte (STX ... ETX); noise outside a frame raises ProtocolError."""

    def __init__(self, start: bytes = b"\x02", end: bytes = b"\x03", longest: int = LONGEST) -> None:
        self._start = start
        self._end = end
        self._longest = longest
        self._rest = b""

    def push(self, data: bytes) -> None:
        """Take in bytes. Raises ProtocolError when a frame grows past ``longest``."""
        self._rest += data
        if len(self._rest) > self._longest and self._end not in self._rest[: self._longest]:
            noise, self._rest = self._rest, b""
            raise ProtocolError(f"{len(noise)} bytes without the end of a frame: {shown(noise)}")

    def pop(self) -> bytes | None:
        """The inside of the next whole frame, or None: more is needed. Raises ProtocolError for bytes outside one."""
        if self._rest and not self._rest.startswith(self._start):
            noise, start, rest = self._rest.partition(self._start)
            self._rest = start + rest
            raise ProtocolError(f"bytes that belong to no frame: {shown(noise)}")
        frame, end, rest = self._rest.partition(self._end)
        if not end:
            return None
        self._rest = rest
        return frame[len(self._start) :]

    def reset(self) -> None:
        """Forget what was half read."""
        self._rest = b""


class FixedFramer:
    """Frames of one fixed length (a balance's 22 bytes, a supply's status byte)."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._rest = b""

    def push(self, data: bytes) -> None:
        """Take in bytes. Raises ProtocolError when far more came than was asked for."""
        self._rest += data
        if len(self._rest) > max(LONGEST, 8 * self._length):
            noise, self._rest = self._rest, b""
            raise ProtocolError(f"{len(noise)} bytes where {self._length} were due: {shown(noise)}")

    def pop(self) -> bytes | None:
        """The next whole frame, or None: more is needed."""
        if len(self._rest) < self._length:
            return None
        frame, self._rest = self._rest[: self._length], self._rest[self._length :]
        return frame

    def reset(self) -> None:
        """Forget what was half read."""
        self._rest = b""
